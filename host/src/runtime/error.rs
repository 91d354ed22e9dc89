//! What can go wrong while a model runs.

/// A failure of the runtime, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model directory is at fault.
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    /// A token id that the model does not have.
    #[error("token id {id} at position {position} is out of range; the model has {vocab} tokens")]
    Token {
        /// The id.
        id: u32,
        /// Its place in the sequence.
        position: usize,
        /// Number of token ids.
        vocab: usize,
    },
    /// More positions than the context has.
    #[error("context overflow: {used} tokens are held and {added} more were given, but the context is {limit}")]
    Context {
        /// Tokens already held.
        used: usize,
        /// Tokens to be added.
        added: usize,
        /// The limit.
        limit: usize,
    },
    /// A computation needs at least one token.
    #[error("there are no tokens to run; give a prompt that is not empty")]
    NoTokens,
    /// The logits hold a value that is not a number, so nothing can be chosen.
    #[error("the model produced logits that are not numbers; its weights or the experts' results are damaged")]
    NotANumber,
    /// Whoever runs the model asked to stop; see [`super::Session::stop_on`].
    #[error("interrupted")]
    Interrupted,
    /// The experts' device failed.
    #[error("experts")]
    Experts(#[source] Box<dyn std::error::Error + Send + Sync>),
}
