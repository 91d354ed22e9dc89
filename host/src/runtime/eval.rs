//! How well a model predicts a text.

use super::{Error, Session};

/// The result of [`bits_per_byte`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Tokens that were predicted.
    pub tokens: usize,
    /// Information in them under the model, in bits.
    pub bits: f64,
}

/// The information in `tokens` under the model, each predicted from at most `window` tokens before it.
///
/// The text is cut into windows of `window` tokens, each starting at the last token of the one before, so every token but
/// the first of the text is predicted exactly once and nothing is carried over between windows. `progress` is called with
/// the tokens predicted so far; where it says false, the score is of those. Fails as [`Session::score`].
pub fn bits_per_byte(
    session: &mut Session,
    tokens: &[u32],
    window: usize,
    mut progress: impl FnMut(usize) -> bool,
) -> Result<Score, Error> {
    let mut score = Score {
        tokens: 0,
        bits: 0.0,
    };
    while score.tokens + 1 < tokens.len() && progress(score.tokens) {
        let rest = &tokens[score.tokens..];
        let inputs = &rest[..window.max(1).min(rest.len() - 1)];
        session.clear();
        let logits = session.score(inputs)?;
        let vocab = logits.len() / inputs.len();
        for (logits, &target) in logits.chunks_exact(vocab).zip(&rest[1..]) {
            score.bits += surprise(logits, target)?;
        }
        score.tokens += inputs.len();
    }
    Ok(score)
}

/// `-log2` of the probability that softmax gives to `target`, in f64.
fn surprise(logits: &[f32], target: u32) -> Result<f64, Error> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| libm::exp(f64::from(l - max))).sum();
    let Some(&logit) = logits.get(target as usize) else {
        return Err(Error::Token {
            id: target,
            position: 0,
            vocab: logits.len(),
        });
    };
    let nats = libm::log(sum) - f64::from(logit - max);
    if nats.is_finite() {
        Ok(nats / std::f64::consts::LN_2)
    } else {
        Err(Error::NotANumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_choice_among_eight_is_three_bits() {
        assert!((surprise(&[0.5; 8], 3).unwrap() - 3.0).abs() < 1e-12);
    }
}
