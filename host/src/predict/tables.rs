//! Tables of what usually follows, trained on a trace and kept in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Trace;

/// What usually follows. Entries hold the two likeliest experts, best first; 256 at most exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tables {
    /// Experts of a layer.
    pub experts: usize,
    /// `[layer][expert]`: of the layer after, the last layer being followed by the first of the next token; filled up with the lowest
    /// numbers where fewer than two were seen, because the board's table has no empty entries.
    pub circular: Vec<Vec<Vec<u8>>>,
    /// `[layer]`: whatever the token.
    pub usual: Vec<Vec<u8>>,
    /// `[token][layer]`, for the tokens that were seen.
    pub tokens: BTreeMap<u32, Vec<Vec<u8>>>,
}

/// Why tables could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("cannot {what} the prediction tables `{path}`: {source}")]
    File {
        /// Read or write.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error(
        "`{path}` holds no prediction tables: {why}; write them anew with `host trace --tables`"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// How often each expert was seen.
type Counts = Vec<u64>;

/// The two seen most often; ties to the lowest number, none that was never seen.
fn best(counts: &Counts) -> Vec<u8> {
    let mut seen: Vec<usize> = (0..counts.len()).filter(|&e| counts[e] > 0).collect();
    seen.sort_by_key(|&e| (std::cmp::Reverse(counts[e]), e));
    seen.truncate(2);
    seen.into_iter().map(|e| e as u8).collect()
}

impl Tables {
    /// Counts what follows what in `trace`.
    pub fn train(trace: &Trace) -> Tables {
        let (layers, experts) = (trace.layers(), trace.experts);
        let none = || vec![0u64; experts];
        let mut circular = vec![vec![none(); experts]; layers];
        let mut usual = vec![none(); layers];
        let mut tokens: BTreeMap<u32, Vec<Counts>> = BTreeMap::new();
        for (at, step) in trace.steps.iter().enumerate() {
            let own = tokens
                .entry(step.token)
                .or_insert_with(|| vec![none(); layers]);
            for (layer, chosen) in step.chosen.iter().enumerate() {
                for &e in chosen {
                    own[layer][usize::from(e)] += 1;
                    usual[layer][usize::from(e)] += 1;
                }
                if let Some((from, before)) = trace.before(at, layer) {
                    for &b in before {
                        for &e in chosen {
                            circular[from][usize::from(b)][usize::from(e)] += 1;
                        }
                    }
                }
            }
        }
        let all = |rows: &Vec<Counts>| rows.iter().map(best).collect::<Vec<_>>();
        let filled = |row: &Counts| {
            let mut two = best(row);
            let rest = (0..experts as u8).filter(|e| !two.contains(e));
            let rest: Vec<u8> = rest.take(2 - two.len()).collect();
            two.extend(rest);
            two
        };
        Tables {
            experts,
            circular: circular
                .iter()
                .map(|rows| rows.iter().map(filled).collect())
                .collect(),
            usual: all(&usual),
            tokens: tokens.iter().map(|(&t, rows)| (t, all(rows))).collect(),
        }
    }

    /// Guesses for the layer after `layer`, which chose `chosen` (by falling weight): the likeliest successor of each chosen
    /// expert, then the second likeliest of each, without repeats. The board's predictor does the same.
    pub fn following(&self, layer: usize, chosen: &[u8]) -> Vec<u8> {
        let mut guesses = Vec::new();
        for rank in 0..2 {
            for &e in chosen {
                let entry = &self.circular[layer][usize::from(e)];
                if let Some(&guess) = entry.get(rank) {
                    if !guesses.contains(&guess) {
                        guesses.push(guess);
                    }
                }
            }
        }
        guesses
    }

    /// Guesses for a layer by the token, filled up with what is usual there.
    pub fn by_token(&self, token: u32, layer: usize) -> Vec<u8> {
        let own = self.tokens.get(&token).map(|rows| &rows[layer]);
        let mut guesses: Vec<u8> = own.cloned().unwrap_or_default();
        for &e in self.usual.get(layer).into_iter().flatten() {
            if !guesses.contains(&e) {
                guesses.push(e);
            }
        }
        guesses
    }

    /// Reads tables for a model with `layers` routed layers of `experts` experts.
    ///
    /// # Errors
    /// If the file cannot be read, holds something else, or tables of another model.
    pub fn load(path: &Path, layers: usize, experts: usize) -> Result<Tables, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            what: "read",
            path: path.to_owned(),
            source,
        })?;
        let wrong = |why| Error::Content {
            path: path.to_owned(),
            why,
        };
        let tables: Tables = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let known = |list: &Vec<u8>| list.iter().all(|&e| usize::from(e) < experts);
        let shaped = tables.experts == experts
            && tables.circular.len() == layers
            && tables.usual.len() == layers
            && tables.usual.iter().all(known)
            && tables
                .circular
                .iter()
                .all(|rows| rows.len() == experts && rows.iter().all(known))
            && tables
                .tokens
                .values()
                .all(|rows| rows.len() == layers && rows.iter().all(known));
        if !shaped {
            return Err(wrong(format!(
                "they are not those of a model with {layers} routed layers of {experts} experts"
            )));
        }
        Ok(tables)
    }

    /// Writes the tables.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string(self).expect("tables are plain data") + "\n";
        std::fs::write(path, text).map_err(|source| Error::File {
            what: "write",
            path: path.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors_come_by_rank_and_once() {
        let tables = Tables {
            experts: 4,
            circular: vec![vec![vec![3, 1], vec![3, 2], vec![], vec![0]]],
            ..Tables::default()
        };
        assert_eq!(tables.following(0, &[0, 1]), [3, 1, 2]);
        assert!(tables.following(0, &[2]).is_empty());
        assert_eq!(tables.following(0, &[3, 0]), [0, 3, 1]);
    }

    #[test]
    fn a_file_of_another_model_is_refused() {
        let dir = std::env::temp_dir().join(format!("roundhouse-tables-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("tables.json");
        let tables = Tables {
            experts: 2,
            circular: vec![vec![vec![1], vec![0, 1]]],
            usual: vec![vec![0]],
            tokens: BTreeMap::from([(7, vec![vec![1]])]),
        };
        tables.save(&path).unwrap();
        assert_eq!(Tables::load(&path, 1, 2).unwrap(), tables);
        assert_eq!(tables.by_token(7, 0), [1, 0]);
        assert_eq!(tables.by_token(8, 0), [0]);
        let e = Tables::load(&path, 2, 2).unwrap_err().to_string();
        assert!(e.contains("2 routed layers"), "{e}");
        std::fs::write(&path, "{}").unwrap();
        assert!(Tables::load(&path, 1, 2).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(Tables::load(&path, 1, 2).is_err());
    }
}
