//! Which experts a layer will want, before its router says so. Guesses only move bytes early: results do not depend on them.
//!
//! A [`Trace`] records what a model chose on some text; [`Tables`] are trained on it offline; [`Predictor::guess`] is what each
//! way of guessing would have said, and [`replay`] counts how often it was right. The board's own table (`PREDICT_DATA`) and
//! counters are held against this replay in `tests/tests/prediction.rs`.

mod tables;
mod trace;

pub use tables::{Best, ByToken, Error, Tables};
pub(crate) use trace::largest;
pub use trace::{Recorder, Step, Trace};

/// A way of guessing. All are exact: a wrong guess costs time, never a bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Predictor {
    /// No guess.
    None,
    /// The experts of the layer before (for the first layer: of the last layer, one token ago), through a table of what most
    /// often follows each: FLAME's circular prediction, on the board.
    Table,
    /// The experts most often chosen for this token, by layer.
    Token,
    /// The layer's own gate, on the residual stream as it is before the layer's attention.
    Gate,
    /// [`Predictor::Token`] for the first layer and [`Predictor::Gate`] for the others.
    Hybrid,
}

impl Predictor {
    /// All, weakest first.
    pub const ALL: [Predictor; 5] = [
        Predictor::None,
        Predictor::Table,
        Predictor::Token,
        Predictor::Gate,
        Predictor::Hybrid,
    ];

    /// Its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Predictor::None => "none",
            Predictor::Table => "table",
            Predictor::Token => "token",
            Predictor::Gate => "gate",
            Predictor::Hybrid => "hybrid",
        }
    }

    /// At most `count` experts, likeliest first, for layer `layer` (routed layers counted from 0) of step `at` of `trace`.
    pub fn guess(
        self,
        tables: &Tables,
        trace: &Trace,
        at: usize,
        layer: usize,
        count: usize,
    ) -> Vec<u8> {
        let step = &trace.steps[at];
        let mut guesses = match self {
            Predictor::None => Vec::new(),
            Predictor::Token => tables.by_token(step.token, layer),
            Predictor::Gate => step.gates[layer].clone(),
            Predictor::Hybrid if layer == 0 => tables.by_token(step.token, layer),
            Predictor::Hybrid => step.gates[layer].clone(),
            Predictor::Table => match trace.before(at, layer) {
                Some((from, chosen)) => tables.following(from, chosen),
                None => Vec::new(),
            },
        };
        guesses.truncate(count);
        guesses
    }
}

/// How often a way of guessing was right.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Score {
    /// The way.
    pub predictor: Predictor,
    /// Experts used: tokens times layers times k.
    pub uses: u64,
    /// Of these, guessed.
    pub hits: u64,
    /// Experts guessed.
    pub guesses: u64,
    /// The same as `hits` by routed layer.
    pub hits_by_layer: Vec<u64>,
}

impl Score {
    /// Hits over uses.
    pub fn accuracy(&self) -> f64 {
        self.hits as f64 / self.uses.max(1) as f64
    }
    /// Guesses that no token wanted: each wastes what was prefetched of an expert.
    pub const fn wrong(&self) -> u64 {
        self.guesses - self.hits
    }
}

/// Guesses `count` experts for every layer of every step (one token each, as a text is continued) and counts.
pub fn replay(predictor: Predictor, tables: &Tables, trace: &Trace, count: usize) -> Score {
    let mut score = Score {
        predictor,
        uses: 0,
        hits: 0,
        guesses: 0,
        hits_by_layer: vec![0; trace.layers()],
    };
    for at in 0..trace.steps.len() {
        for layer in 0..trace.layers() {
            let guesses = predictor.guess(tables, trace, at, layer, count);
            let chosen = &trace.steps[at].chosen[layer];
            let hits = chosen.iter().filter(|e| guesses.contains(e)).count() as u64;
            score.uses += chosen.len() as u64;
            score.hits += hits;
            score.guesses += guesses.len() as u64;
            score.hits_by_layer[layer] += hits;
        }
    }
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two layers of four experts; each token is its own expert in layer 0, and one further on in layer 1.
    fn trace(tokens: &[u32]) -> Trace {
        let steps = tokens.iter().enumerate().map(|(n, &token)| {
            let e = token as u8 % 4;
            Step {
                token,
                first: n == 0,
                chosen: vec![vec![e], vec![(e + 1) % 4]],
                gates: vec![vec![e ^ 1, e], vec![(e + 1) % 4]],
            }
        });
        Trace {
            experts: 4,
            steps: steps.collect(),
        }
    }

    #[test]
    fn what_is_regular_is_guessed() {
        let text = trace(&[0, 1, 2, 3, 0, 1, 2, 3, 0]);
        let tables = Tables::train(&text);
        let hits = |predictor, count| replay(predictor, &tables, &text, count).hits;
        assert_eq!(hits(Predictor::None, 2), 0);
        // All but the first token's first layer: nothing comes before it.
        assert_eq!(hits(Predictor::Table, 1), 17);
        assert_eq!(hits(Predictor::Token, 1), 18);
        assert_eq!(
            (hits(Predictor::Gate, 1), hits(Predictor::Gate, 2)),
            (9, 18)
        );
        assert_eq!(hits(Predictor::Hybrid, 1), 18);
    }

    #[test]
    fn a_new_text_has_nothing_before_it() {
        let mut text = trace(&[0, 1]);
        text.steps[1].first = true;
        let tables = Tables::train(&text);
        let score = replay(Predictor::Table, &tables, &text, 2);
        assert_eq!((score.uses, score.hits_by_layer), (4, vec![0, 2]));
        // Layer 1 follows nobody's last layer here, so the table has no entry for it and guesses nothing in layer 0.
        assert!(Predictor::Table.guess(&tables, &text, 0, 0, 2).is_empty());
    }
}
