//! Tables of what usually follows, trained on a trace and kept in a file.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Trace;
use crate::files;

/// Longer than any tables: a million tokens of 60 layers take 500 MB.
const MAX_BYTES: u64 = 1 << 30;

/// At most two experts, the likeliest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Best {
    count: u8,
    experts: [u8; 2],
}

impl Best {
    /// The first two of `experts`.
    pub fn of(experts: &[u8]) -> Best {
        let mut best = Best::default();
        for (place, expert) in best.experts.iter_mut().zip(experts) {
            *place = *expert;
            best.count += 1;
        }
        best
    }
}

impl Deref for Best {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.experts[..usize::from(self.count)]
    }
}

impl Serialize for Best {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// What usually follows. 256 experts at most exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tables {
    /// Experts of a layer.
    pub experts: usize,
    /// `[layer][expert]`: of the layer after, the last layer being followed by the first of the next token; filled up with the lowest
    /// numbers where fewer than two were seen, because the board's table has no empty entries.
    pub circular: Vec<Vec<Best>>,
    /// `[layer]`: whatever the token.
    pub usual: Vec<Best>,
    /// For the tokens that were seen.
    pub tokens: ByToken,
}

/// What is likeliest after a token, in each layer. One list for all tokens: a list for each would take several times the file's size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByToken {
    /// Ascending.
    tokens: Vec<u32>,
    /// `[token][layer]`.
    rows: Vec<Best>,
}

impl ByToken {
    /// Of every token of `all`, which have as many layers each.
    pub fn of(all: &BTreeMap<u32, Vec<Best>>) -> ByToken {
        ByToken {
            tokens: all.keys().copied().collect(),
            rows: all.values().flatten().copied().collect(),
        }
    }

    /// Of a token, by layer, if it was seen.
    pub fn get(&self, token: u32) -> Option<&[Best]> {
        let at = self.tokens.binary_search(&token).ok()?;
        let layers = self.rows.len() / self.tokens.len();
        Some(&self.rows[at * layers..(at + 1) * layers])
    }
}

impl Serialize for ByToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.tokens.len()))?;
        for token in &self.tokens {
            map.serialize_entry(token, self.get(*token).unwrap_or_default())?;
        }
        map.end()
    }
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
fn best(counts: &Counts) -> Best {
    let mut seen: Vec<usize> = (0..counts.len()).filter(|&e| counts[e] > 0).collect();
    seen.sort_by_key(|&e| (std::cmp::Reverse(counts[e]), e));
    let seen: Vec<u8> = seen.into_iter().map(|e| e as u8).collect();
    Best::of(&seen)
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
            let two = best(row);
            let rest = (0..experts as u8).filter(|e| !two.contains(e));
            Best::of(&two.iter().copied().chain(rest).collect::<Vec<_>>())
        };
        Tables {
            experts,
            circular: circular
                .iter()
                .map(|rows| rows.iter().map(filled).collect())
                .collect(),
            usual: all(&usual),
            tokens: ByToken::of(&tokens.iter().map(|(&t, rows)| (t, all(rows))).collect()),
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
        let own = self.tokens.get(token).map(|rows| rows[layer].to_vec());
        let mut guesses = own.unwrap_or_default();
        for &e in self
            .usual
            .get(layer)
            .into_iter()
            .flat_map(|best| best.iter())
        {
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
        let text = files::read(path, MAX_BYTES).map_err(|source| Error::File {
            what: "read",
            path: path.to_owned(),
            source,
        })?;
        let wrong = |why| Error::Content {
            path: path.to_owned(),
            why,
        };
        let shape = Shape { layers, experts };
        let mut reader = serde_json::Deserializer::from_slice(&text);
        let tables = shape.deserialize(&mut reader);
        let tables = tables.and_then(|tables| reader.end().map(|()| tables));
        let tables = tables.map_err(|e| wrong(e.to_string()))?;
        let shaped = tables.experts == experts
            && tables.circular.len() == layers
            && tables.circular.iter().all(|rows| rows.len() == experts)
            && tables.usual.len() == layers;
        if !shaped {
            return Err(wrong(shape.to_string()));
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

/// The model that a file is read for. Every list is known by its length, so no file makes more memory of itself than a small part of
/// its own size, whatever it holds.
#[derive(Clone, Copy)]
struct Shape {
    layers: usize,
    experts: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Shape { layers, experts } = self;
        write!(
            f,
            "they are not those of a model with {layers} routed layers of {experts} experts"
        )
    }
}

impl<'de> DeserializeSeed<'de> for Shape {
    type Value = Tables;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tables, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = Tables;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("tables")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tables, A::Error> {
        #[derive(Clone, Copy, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Key {
            Experts,
            Circular,
            Usual,
            Tokens,
        }
        let Shape { layers, experts } = self;
        let row = List {
            most: experts,
            of: Choice { experts },
        };
        let (mut tables, mut keys) = (Tables::default(), 0);
        while let Some(key) = map.next_key()? {
            keys |= 1 << key as u8;
            match key {
                Key::Experts => tables.experts = map.next_value()?,
                Key::Circular => {
                    let most = layers;
                    tables.circular = map.next_value_seed(List { most, of: row })?;
                }
                Key::Usual => {
                    let (most, of) = (layers, row.of);
                    tables.usual = map.next_value_seed(List { most, of })?;
                }
                Key::Tokens => tables.tokens = map.next_value_seed(Tokens(self))?,
            }
        }
        match keys {
            0b1111 => Ok(tables),
            _ => Err(A::Error::custom(
                "`experts`, `circular`, `usual` and `tokens` are not all there",
            )),
        }
    }
}

/// A list of at most so many things.
#[derive(Clone, Copy)]
struct List<S> {
    most: usize,
    of: S,
}

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for List<S> {
    type Value = Vec<S::Value>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for List<S> {
    type Value = Vec<S::Value>;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "a list of {}", self.most)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = seq.next_element_seed(self.of)? {
            if list.len() == self.most {
                return Err(A::Error::custom(format!(
                    "a list is longer than {}",
                    self.most
                )));
            }
            list.push(one);
        }
        Ok(list)
    }
}

/// A [`Best`].
#[derive(Clone, Copy)]
struct Choice {
    experts: usize,
}

impl<'de> DeserializeSeed<'de> for Choice {
    type Value = Best;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Best, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Choice {
    type Value = Best;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("at most two experts")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Best, A::Error> {
        let mut best = Best::default();
        while let Some(expert) = seq.next_element::<u8>()? {
            let place = best.experts.get_mut(usize::from(best.count));
            match place.filter(|_| usize::from(expert) < self.experts) {
                Some(place) => *place = expert,
                None => {
                    return Err(A::Error::custom(format!(
                        "an entry has more than two experts, or one beyond the {} there are",
                        self.experts
                    )))
                }
            }
            best.count += 1;
        }
        Ok(best)
    }
}

/// A [`ByToken`].
struct Tokens(Shape);

impl<'de> DeserializeSeed<'de> for Tokens {
    type Value = ByToken;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ByToken, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tokens {
    type Value = ByToken;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a map from tokens to lists")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ByToken, A::Error> {
        let Shape { layers, experts } = self.0;
        let mut all = ByToken::default();
        while let Some(token) = map.next_key::<u32>()? {
            if all.tokens.last().is_some_and(|last| *last >= token) {
                return Err(A::Error::custom(format!(
                    "token {token} is not in ascending order"
                )));
            }
            let row: Vec<Best> = map.next_value_seed(List {
                most: layers,
                of: Choice { experts },
            })?;
            if row.len() != layers {
                return Err(A::Error::custom(self.0));
            }
            all.tokens.push(token);
            all.rows.extend(row);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors_come_by_rank_and_once() {
        let tables = Tables {
            experts: 4,
            circular: vec![[&[3, 1][..], &[3, 2], &[], &[0]].map(Best::of).into()],
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
            circular: vec![[&[1][..], &[0, 1]].map(Best::of).into()],
            usual: vec![Best::of(&[0])],
            tokens: ByToken::of(&[(7, vec![Best::of(&[1])])].into()),
        };
        tables.save(&path).unwrap();
        assert_eq!(Tables::load(&path, 1, 2).unwrap(), tables);
        assert_eq!(tables.by_token(7, 0), [1, 0]);
        assert_eq!(tables.by_token(8, 0), [0]);
        let e = Tables::load(&path, 2, 2).unwrap_err().to_string();
        assert!(e.contains("2 routed layers"), "{e}");
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to, part) in [
            ("\"usual\":[[0]],", "", "not all there"),
            ("[[0]]", "[[0],[0]]", "longer than 1"),
            ("[[0]]", "[[2]]", "beyond the 2"),
            ("[0,1]", "[0,1,0]", "more than two"),
            ("\"7\":[[1]]", "\"7\":[]", "1 routed layers"),
            ("\"7\":[[1]]", "\"7\":[[1]],\"7\":[[1]]", "ascending"),
            ("\"experts\":2", "\"experts\":3", "1 routed layers"),
            ("\"usual\"", "\"other\"", "unknown variant"),
        ] {
            assert!(text.contains(from), "{text}");
            std::fs::write(&path, text.replace(from, to)).unwrap();
            let e = Tables::load(&path, 1, 2).unwrap_err().to_string();
            assert!(e.contains(part), "{part}: {e}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(Tables::load(&path, 1, 2).is_err());
    }
}
