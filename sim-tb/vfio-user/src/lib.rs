//! The vfio-user protocol's wire layer, version 0.1, for servers and for clients: what the messages are ([`message`]) and how they
//! travel over a UNIX socket with descriptors beside them ([`Sender`], [`Receiver`]). It knows no device and keeps no state beyond the
//! message that is arriving.
//!
//! Nothing that a peer sends makes it panic, wait without a deadline or allocate more than [`MAX_MESSAGE`] bytes.

#![forbid(unsafe_code)]

pub mod message;
mod socket;

pub use message::{Command, Errno, Kind, Message};
pub use socket::{pair, ready, Receiver, Sender};

use std::io;

/// Largest `max_data_xfer_size`: bytes that one read or write carries.
pub const MAX_DATA: usize = 1 << 20;
/// Largest message that is received: data and what may stand before it.
pub const MAX_MESSAGE: usize = MAX_DATA + 256;
/// Descriptors that one message may carry, as told to the peer.
pub const MAX_FDS: usize = 16;

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer broke the framing; what follows cannot be understood.
    #[error("the peer sent a message that cannot be: {0}")]
    Malformed(String),
    /// Nothing came, or nothing could be sent, for the time given.
    #[error("no {0} within the time")]
    TimedOut(&'static str),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
