//! Continuing a text, token by token.

use super::sample::Sampler;
use super::{Error, Session};

/// Why a continuation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// As many tokens as were asked for.
    Length,
    /// The model ended the text.
    End,
    /// The context is full.
    Context,
    /// It was asked to stop; see [`Session::stop_on`].
    Interrupted,
}

/// Continues the sequence of `session` after `prompt` by at most `count` tokens.
///
/// Each new token is handed to `take` (an end token is not); `progress` is called before each step with the number of
/// prompt tokens read so far. Fails as [`Session::feed`], or where `take` does.
pub fn generate<E: From<Error>>(
    session: &mut Session,
    sampler: &mut Sampler,
    prompt: &[u32],
    count: usize,
    end_tokens: &[u32],
    mut progress: impl FnMut(usize),
    mut take: impl FnMut(u32) -> Result<(), E>,
) -> Result<Stop, E> {
    let mut logits = match session.feed(prompt, &mut progress) {
        Err(Error::Interrupted) => return Ok(Stop::Interrupted),
        logits => logits?,
    };
    for made in 1..=count {
        let token = sampler.choose(&logits)?;
        if end_tokens.contains(&token) {
            return Ok(Stop::End);
        }
        take(token)?;
        if made == count {
            break;
        }
        if session.room() == 0 {
            return Ok(Stop::Context);
        }
        logits = match session.feed(&[token], |_| progress(prompt.len())) {
            Err(Error::Interrupted) => return Ok(Stop::Interrupted),
            logits => logits?,
        };
    }
    Ok(Stop::Length)
}
