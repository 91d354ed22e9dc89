//! What the board is told to prefetch.

use abi::command::Predict;

use crate::predict::{largest, Predictor, Tables};

/// A way of guessing, with what it knows.
#[derive(Debug, Clone)]
pub struct Foresight {
    predictor: Predictor,
    tables: Tables,
}

impl Foresight {
    /// Guesses by `predictor`; `tables` may be empty where it needs none.
    pub fn new(predictor: Predictor, tables: Tables) -> Foresight {
        Foresight { predictor, tables }
    }

    /// No guesses.
    pub fn none() -> Foresight {
        Foresight::new(Predictor::None, Tables::default())
    }

    /// How a layer's command tells the board to guess by itself.
    pub fn on_board(&self) -> Predict {
        match self.predictor {
            Predictor::Table => Predict::Table,
            _ => Predict::None,
        }
    }

    /// Whether the host sends hints, and so wants to be told what comes.
    pub fn hints(&self) -> bool {
        matches!(
            self.predictor,
            Predictor::Token | Predictor::Gate | Predictor::Hybrid
        )
    }

    /// The board's table: for routed layer `layer` and each expert, its two likeliest successors (`PREDICT_DATA`); one that was
    /// never seen points to experts 0 and 1.
    pub fn table(&self) -> impl Iterator<Item = (usize, usize, u32)> + '_ {
        let rows = self.tables.circular.iter().enumerate();
        rows.flat_map(|(layer, row)| {
            row.iter().enumerate().map(move |(expert, next)| {
                let first = next.first().copied().unwrap_or(0);
                let second = next.get(1).copied().unwrap_or(u8::from(first == 0));
                (layer, expert, u32::from(first) | u32::from(second) << 8)
            })
        })
    }

    /// At most `count` guesses for routed layer `layer` (counted from 0), from the token and the gate's logits on the residual stream before the
    /// layer's attention.
    pub fn guess(&self, layer: usize, token: u32, logits: &[f32], count: usize) -> Vec<u8> {
        let mut guesses = match self.predictor {
            Predictor::Token => self.tables.by_token(token, layer),
            Predictor::Hybrid if layer == 0 => self.tables.by_token(token, layer),
            Predictor::Gate | Predictor::Hybrid => largest(logits, count),
            Predictor::None | Predictor::Table => Vec::new(),
        };
        guesses.truncate(count);
        guesses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::{Best, ByToken};

    #[test]
    fn the_first_layer_of_the_hybrid_goes_by_token() {
        let tables = Tables {
            experts: 4,
            circular: vec![[&[3, 1][..], &[2], &[], &[0]].map(Best::of).into()],
            usual: vec![Best::of(&[2]); 2],
            tokens: ByToken::of(&[(9, vec![Best::of(&[1]), Best::of(&[0])])].into()),
        };
        let logits = [0.0, 3.0, 1.0, 2.0];
        let of = |p| Foresight::new(p, tables.clone());
        assert_eq!(of(Predictor::Hybrid).guess(0, 9, &logits, 2), [1, 2]);
        assert_eq!(of(Predictor::Hybrid).guess(1, 9, &logits, 2), [1, 3]);
        assert_eq!(of(Predictor::Token).guess(1, 9, &logits, 2), [0, 2]);
        assert!(of(Predictor::Table).guess(0, 9, &logits, 2).is_empty());
        let table: Vec<_> = of(Predictor::Table).table().collect();
        let words = [0x0103, 0x0002, 0x0100, 0x0100];
        assert_eq!(table.len(), 4);
        assert!(
            table.iter().zip(words).all(|(row, w)| row.2 == w),
            "{table:x?}"
        );
    }
}
