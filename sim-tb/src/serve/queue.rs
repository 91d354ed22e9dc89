//! What waits for the simulator: filled by the thread that reads the socket, emptied by the one that owns the function.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An access that the function itself has to answer.
#[derive(Debug)]
pub enum Job {
    /// REGION_READ.
    Read {
        /// The message to answer.
        id: u16,
        /// Region number.
        region: u32,
        /// First byte.
        offset: u64,
        /// Bytes.
        count: usize,
    },
    /// REGION_WRITE.
    Write {
        /// The message to answer; None for a posted write.
        id: Option<u16>,
        /// Region number.
        region: u32,
        /// First byte.
        offset: u64,
        /// What is written.
        data: Vec<u8>,
    },
    /// DEVICE_RESET.
    Reset {
        /// The message to answer.
        id: u16,
    },
    /// The client began or ceased to listen to MSI-X.
    Interrupts(bool),
}

impl Job {
    fn weight(&self) -> usize {
        let data = match self {
            Job::Write { data, .. } => data.len(),
            _ => 0,
        };
        data + size_of::<Job>()
    }
}

/// Bytes from which on no more messages are read, so that the client's socket fills and it waits.
const FULL: usize = 1 << 20;
/// Bytes that cannot be: only a client that the simulator waits for may go on beyond [`FULL`], and it owes an answer.
const LIMIT: usize = 1 << 26;

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    weight: usize,
    closed: bool,
    /// The simulator waits for the client's answer, which stands behind what is not read yet.
    asking: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

/// The next thing to do.
#[derive(Debug)]
pub enum Next {
    /// A job.
    Job(Job),
    /// None is waiting.
    Nothing,
    /// None will come.
    Closed,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; false when the queue is closed or absurdly long.
    pub fn push(&self, job: Job) -> bool {
        let mut state = self.state();
        state.weight += job.weight();
        state.jobs.push_back(job);
        self.changed.notify_all();
        !state.closed && state.weight <= LIMIT
    }

    /// Waits up to `timeout` until messages may be read; false when it is still too full.
    pub fn has_room(&self, timeout: Duration) -> bool {
        let full = |s: &mut State| s.weight >= FULL && !s.asking && !s.closed;
        let waited = self.changed.wait_timeout_while(self.state(), timeout, full);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !full(&mut state)
    }

    /// Takes the oldest job; with `wait` it waits for one, or for the end.
    pub fn next(&self, wait: bool) -> Next {
        let empty = |s: &mut State| wait && s.jobs.is_empty() && !s.closed;
        let waited = self.changed.wait_while(self.state(), empty);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        // A client that has left does not need what it still had asked for.
        if state.closed {
            return Next::Closed;
        }
        let Some(job) = state.jobs.pop_front() else {
            return Next::Nothing;
        };
        state.weight -= job.weight();
        self.changed.notify_all();
        Next::Job(job)
    }

    /// Says whether the simulator waits for an answer of the client.
    pub fn asking(&self, asking: bool) {
        self.state().asking = asking;
        self.changed.notify_all();
    }

    /// No more jobs, from either side.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// Whether either side has closed it.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(bytes: usize) -> Job {
        Job::Write {
            id: None,
            region: 2,
            offset: 0,
            data: vec![0; bytes],
        }
    }

    #[test]
    fn a_full_queue_stops_the_reader_unless_it_is_asked_something() {
        let queue = Queue::default();
        assert!(matches!(queue.next(false), Next::Nothing));
        assert!(queue.has_room(Duration::ZERO));
        assert!(queue.push(write(FULL)));
        assert!(!queue.has_room(Duration::from_millis(5)));
        queue.asking(true);
        assert!(queue.has_room(Duration::ZERO));
        queue.asking(false);
        assert!(matches!(queue.next(true), Next::Job(_)));
        assert!(queue.has_room(Duration::ZERO));
        assert!(queue.push(Job::Interrupts(true)));
        assert!(!queue.push(write(LIMIT)));
        queue.close();
        assert!(queue.has_room(Duration::from_secs(60)));
        assert!(matches!(queue.next(true), Next::Closed));
        assert!(!queue.push(Job::Reset { id: 0 }));
    }
}
