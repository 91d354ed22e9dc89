//! What the root complex model stands on: something that carries packets to a card and from it, and keeps the time.

use crate::function::Error;

/// Credits of the three classes: headers, and data in units of 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Headers.
    pub headers: u32,
    /// Units of 16 bytes.
    pub data: u32,
}

/// Counters of flow control, cumulative since the link came up, modulo 256 and 4096; None where the grantor gives without end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Posted.
    pub posted: Option<Pool>,
    /// Non-posted.
    pub non_posted: Option<Pool>,
    /// Completions.
    pub completion: Option<Pool>,
}

/// A packet of the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its words.
    pub words: Vec<u32>,
    /// The cycle of its first word.
    pub first: u64,
    /// The cycle of its last word.
    pub cycle: u64,
    /// What the card had been granted when its first word came.
    pub granted: Grants,
}

/// What a link does to packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It carries every one: what is not answered was the card's to answer.
    Sound,
    /// It may lose some: what is not answered in time reads as ones.
    Lossy,
    /// It is down: nothing comes or goes, and everything reads as ones at once.
    Down,
}

/// A card at the end of a link. Time is in cycles of the card's clock.
pub trait Link: Send {
    /// Cycles since the link was made.
    fn now(&self) -> u64;

    /// Queues a packet for the card; the link carries them in order, at its own speed.
    fn send(&mut self, words: &[u32]);

    /// Words that are queued and not yet with the card.
    fn queued(&self) -> usize;

    /// What the root complex grants the card from now on.
    fn grant(&mut self, grants: &Grants);

    /// What the card grants.
    fn granted(&self) -> Grants;

    /// Lets time pass until `cycle`, or until a packet has come from the card.
    ///
    /// # Errors
    /// [`Error::Broken`]: a rule below the packets was broken, or the simulation failed.
    fn run(&mut self, cycle: u64) -> Result<Option<Received>, Error>;

    /// The cycle in which something last moved, on the link or inside the card.
    fn active(&self) -> u64;

    /// Cycles without anything moving after which nothing will, short of the host.
    fn quiet(&self) -> u64 {
        1_000_000
    }

    /// Takes the link down and brings it up: everything on its way is lost, credits begin anew from `grants`.
    fn reset(&mut self, grants: &Grants);

    /// Whether packets arrive.
    fn health(&self) -> Health {
        Health::Sound
    }
}
