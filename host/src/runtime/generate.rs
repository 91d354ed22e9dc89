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
    /// The caller said so.
    Interrupted,
}

/// Continues the sequence of `session` after `prompt` by at most `count` tokens.
///
/// Each new token is handed to `take` (an end token is not); `go_on` is asked before each step whether to go on, with the number of
/// prompt tokens read so far.
pub fn generate<E: From<Error>>(
    session: &mut Session,
    sampler: &mut Sampler,
    prompt: &[u32],
    count: usize,
    end_tokens: &[u32],
    mut go_on: impl FnMut(usize) -> bool,
    mut take: impl FnMut(u32) -> Result<(), E>,
) -> Result<Stop, E> {
    let Some(mut logits) = session.feed(prompt, &mut go_on)? else {
        return Ok(Stop::Interrupted);
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
        match session.feed(&[token], |_| go_on(prompt.len()))? {
            Some(next) => logits = next,
            None => return Ok(Stop::Interrupted),
        }
    }
    Ok(Stop::Length)
}
