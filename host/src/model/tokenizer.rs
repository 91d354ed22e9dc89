//! Text to token ids and back, and text that arrives one token at a time.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Once;

use super::Error;
use crate::files;

/// Longer than any tokenizer; those of a quarter of a million tokens have 35 MB.
const MAX_BYTES: u64 = 64 << 20;

/// A model's `tokenizer.json`.
pub struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// Reads a tokenizer; fails where the file is missing or is not one.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |reason: String| Error::Tokenizer {
            path: path.to_owned(),
            reason,
        };
        let text = files::read(path, MAX_BYTES).map_err(|e| failed(e.to_string()))?;
        let opened = guarded(|| tokenizers::Tokenizer::from_bytes(&text));
        let mut tokenizer = opened.map_err(failed)?;
        // Prompts are neither cut nor filled up, whatever the file wishes, which may be to four thousand million tokens.
        let _ = tokenizer.with_padding(None).with_truncation(None);
        Ok(Self(tokenizer))
    }

    /// The token ids of a text. `special` adds the tokens that the tokenizer puts around a text, such as its start.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, Error> {
        let encoding = guarded(|| self.0.encode_fast(text, special)).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of token ids; special tokens and unknown ids have none, and broken UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        guarded(|| self.0.decode(ids, true)).map_err(failed)
    }

    /// The id of a token by its exact text.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }
}

fn failed(reason: String) -> Error {
    Error::Text { reason }
}

/// Calls the crate, which panics where a file is damaged in a way that it did not think of; that is an error like any other, and nothing
/// is printed. What it was at work on is not used again after an error of [`Tokenizer::open`]; the others change nothing.
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    thread_local!(static GUARDED: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                usual(info);
            }
        }));
    });
    GUARDED.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(false);
    match result {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(said) => {
            let text = said.downcast_ref::<String>().map(String::as_str);
            let text = text.or(said.downcast_ref::<&str>().copied());
            Err(format!(
                "it is damaged: {}",
                text.unwrap_or("it cannot be read")
            ))
        }
    }
}

/// Turns a growing list of tokens into text that is never printed too early: what could still be half a character, or
/// could be changed by the next token, is held back.
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// Tokens whose text may still be needed as context for the next ones.
    ids: Vec<u32>,
    /// How many of `ids` have had their text printed.
    printed: usize,
}

impl<'a> TextStream<'a> {
    /// A stream whose text continues that of `context`.
    pub fn after(tokenizer: &'a Tokenizer, context: &[u32]) -> Self {
        // A few tokens are enough: their only use is to tell the decoder that this is not the start of a text.
        let ids = context[context.len().saturating_sub(4)..].to_vec();
        Self {
            tokenizer,
            printed: ids.len(),
            ids,
        }
    }

    /// Adds a token; returns the text that is now certain, which may be empty.
    pub fn push(&mut self, id: u32) -> Result<String, Error> {
        self.ids.push(id);
        let text = self.pending()?;
        if text.ends_with('\u{fffd}') {
            return Ok(String::new());
        }
        // The tokens just printed are the context of the next; older ones are no longer needed.
        self.ids.drain(..self.printed);
        self.printed = self.ids.len();
        Ok(text)
    }

    /// The text held back at the end, with what never became a character as U+FFFD.
    pub fn finish(self) -> Result<String, Error> {
        self.pending()
    }

    /// The text that the tokens not yet printed add to that of their context.
    fn pending(&self) -> Result<String, Error> {
        let before = self.tokenizer.decode(&self.ids[..self.printed])?;
        let all = self.tokenizer.decode(&self.ids)?;
        Ok(all.get(before.len()..).unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        let fixture = "../tests/fixtures/models/mixtral/tokenizer.json";
        Tokenizer::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture)).unwrap()
    }

    #[test]
    fn a_character_of_many_tokens_comes_out_whole() {
        let tokenizer = tokenizer();
        let text = "In Zürich: 日本語 ⛪ ok";
        let ids = tokenizer.encode(text, false).unwrap();
        let mut stream = TextStream::after(&tokenizer, &[]);
        let mut out = String::new();
        for id in ids {
            let piece = stream.push(id).unwrap();
            assert!(!piece.contains('\u{fffd}'), "{piece:?}");
            out += &piece;
        }
        assert_eq!(out + &stream.finish().unwrap(), text);
    }

    #[test]
    fn half_a_character_at_the_end_is_held_then_marked() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("a⛪", false).unwrap();
        let mut stream = TextStream::after(&tokenizer, &[]);
        let certain: String = ids[..ids.len() - 1]
            .iter()
            .map(|&id| stream.push(id).unwrap())
            .collect();
        assert_eq!(certain, "a");
        assert_eq!(stream.finish().unwrap(), "\u{fffd}");
    }

    #[test]
    fn unknown_ids_have_no_text() {
        assert_eq!(tokenizer().decode(&[9_999_999]).unwrap(), "");
    }
}
