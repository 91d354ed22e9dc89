//! Going on without the board: the golden engine takes over where the board has failed, with the same bits.

use super::Error;
use crate::runtime::{self, Experts, Routing, Stats};

/// Makes what takes the board's place.
pub type Make = Box<dyn FnMut() -> Result<Box<dyn Experts>, Error>>;

/// The experts on a board, and after its first failure on what stands in for it.
///
/// A layer that the board did not finish is done again from its beginning. A batch may be split anywhere without changing a bit, so
/// the text is that of a board that did not fail.
pub struct WithReserve {
    now: Box<dyn Experts>,
    make: Make,
    /// Told once, in one sentence.
    say: fn(&str),
    failure: Option<String>,
}

impl WithReserve {
    /// `board`, and `make` for when it fails, of which `say` is told.
    pub fn new(board: Box<dyn Experts>, make: Make, say: fn(&str)) -> WithReserve {
        WithReserve {
            now: board,
            make,
            say,
            failure: None,
        }
    }

    /// The reserve from the start: the board has failed before anything ran on it.
    ///
    /// # Errors
    /// If the reserve cannot be made.
    pub fn from_the_start(
        failure: &Error,
        mut make: Make,
        say: fn(&str),
    ) -> Result<WithReserve, Error> {
        say(&sentence(&failure.to_string()));
        let now = make()?;
        let mut with = WithReserve::new(now, make, say);
        with.failure = Some(failure.to_string());
        Ok(with)
    }

    /// Puts the reserve in the board's place if `failure` is the board's first one; else gives it back.
    fn replace(&mut self, failure: runtime::Error) -> Result<(), runtime::Error> {
        let runtime::Error::Experts(cause) = &failure else {
            return Err(failure);
        };
        if self.failure.is_some() {
            return Err(failure);
        }
        let cause = cause.to_string();
        (self.say)(&sentence(&cause));
        self.failure = Some(cause);
        let made = (self.make)();
        // The board is closed here, which leaves it idle if it still answers.
        self.now = made.map_err(|e| runtime::Error::Experts(Box::new(e)))?;
        Ok(())
    }
}

fn sentence(cause: &str) -> String {
    format!("warning: the board failed: {cause}; going on with the golden engine on the CPU, which gives the same bits, slowly")
}

impl Experts for WithReserve {
    fn layer(
        &mut self,
        layer: usize,
        x: &[f32],
        out: &mut [f32],
        routing: &mut Routing,
    ) -> Result<(), runtime::Error> {
        match self.now.layer(layer, x, out, routing) {
            Ok(()) => Ok(()),
            Err(e) => {
                self.replace(e)?;
                self.now.layer(layer, x, out, routing)
            }
        }
    }

    fn shares(&self, layer: usize) -> bool {
        self.now.shares(layer)
    }

    /// `None` after a failure: what the board counted went with it, and the golden engine's counters would be of a part only.
    fn report(&self) -> Option<Stats> {
        match self.failure {
            None => self.now.report(),
            Some(_) => None,
        }
    }

    fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn foresees(&self) -> bool {
        self.now.foresees()
    }

    fn foresee(
        &mut self,
        layer: usize,
        tokens: &[u32],
        logits: &[f32],
    ) -> Result<(), runtime::Error> {
        // A hint that was lost changes no result: it is not sent again.
        let result = self.now.foresee(layer, tokens, logits);
        result.or_else(|e| self.replace(e))
    }
}
