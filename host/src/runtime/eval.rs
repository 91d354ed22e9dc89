//! How well a model predicts a text.

use super::{Error, Session};

/// What [`predict`] found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Tokens that were predicted.
    pub tokens: usize,
    /// Information in them under the model, in bits: the sum of `-log2` of each token's probability.
    pub bits: f64,
}

/// The information in `tokens` under the model; over the bytes of their text it is the bits per byte.
///
/// The text is cut into windows of `window` tokens. Each is run by itself, with `start` (the token before a text) in
/// front, so that every token is predicted exactly once, from that and the tokens before it in its window. `progress` is
/// called before each window with the tokens predicted so far; an interruption ends the text there. Otherwise fails as
/// [`Session::score`].
pub fn predict(
    session: &mut Session,
    start: u32,
    tokens: &[u32],
    window: usize,
    mut progress: impl FnMut(usize),
) -> Result<Score, Error> {
    let mut score = Score {
        tokens: 0,
        bits: 0.0,
    };
    for targets in tokens.chunks(window.max(1)) {
        progress(score.tokens);
        let mut inputs = vec![start];
        inputs.extend_from_slice(&targets[..targets.len() - 1]);
        session.clear();
        let logits = match session.score(&inputs) {
            Err(Error::Interrupted) => break,
            logits => logits?,
        };
        let rows = logits.chunks_exact(logits.len() / inputs.len());
        for (logits, &target) in rows.zip(targets) {
            score.bits += surprise(logits, target)?;
        }
        score.tokens += targets.len();
    }
    Ok(score)
}

/// `-log2` of the probability that softmax gives to `target`, in f64.
fn surprise(logits: &[f32], target: u32) -> Result<f64, Error> {
    let Some(&logit) = logits.get(target as usize) else {
        return Err(Error::Token {
            id: target,
            position: 0,
            vocab: logits.len(),
        });
    };
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| libm::exp(f64::from(l - max))).sum();
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
