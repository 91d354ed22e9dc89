//! Reads of the card, from the request to the last completion (chapter 2.3.1.1): completions of one request in order of addresses,
//! cut at read completion boundaries, those of different requests in any order.

use super::tlp::{Completion, Id, Request, Status};
use super::Manners;
use crate::function::Host;
use crate::rng::Rng;

/// One request that is not yet completely answered.
#[derive(Debug)]
struct Serving {
    request: Request,
    /// Address of the next byte to send; not below the first byte that is enabled.
    at: u64,
    /// One past the last.
    end: u64,
    /// The memory's bytes from the first word on, once they were read.
    data: Option<Vec<u8>>,
    first_word: u64,
    /// The next completion is not sent before this cycle.
    due: u64,
}

/// All of them, oldest first.
#[derive(Debug, Default)]
pub struct Completer {
    reads: Vec<Serving>,
}

impl Completer {
    /// Takes a request that arrived at `now`.
    ///
    /// # Errors
    /// The tag is in use.
    pub fn take(
        &mut self,
        request: Request,
        address: u64,
        words: u32,
        due: u64,
    ) -> Result<(), String> {
        if let Some(old) = self.reads.iter().find(|r| r.request.tag == request.tag) {
            return Err(format!(
                "tag {} is used again, for 0x{address:X}, while its read at 0x{:X} is not answered",
                request.tag, old.first_word
            ));
        }
        let leading = u64::from(request.first_be.trailing_zeros()).min(3);
        let last_be = if words == 1 {
            request.first_be
        } else {
            request.last_be
        };
        let trailing = u64::from(last_be.leading_zeros() - 4);
        let last = address + 4 * u64::from(words);
        // A read without bytes is answered as one of a byte.
        let (at, end) = match last_be {
            0 => (address, address + 1),
            _ => (address + leading, last - trailing),
        };
        self.reads.push(Serving {
            request,
            at,
            end,
            data: None,
            first_word: address,
            due,
        });
        Ok(())
    }

    /// Requests that are not answered.
    pub fn outstanding(&self) -> usize {
        self.reads.len()
    }

    /// The cycle from which on something can be sent.
    pub fn due(&self) -> Option<u64> {
        self.reads.iter().map(|r| r.due).min()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.reads.clear();
    }

    /// A completion to send at `now`, if one is due: the oldest request's, or with `manners.split` any one's; and the address of its
    /// first byte.
    pub fn next(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        completer: Id,
        max_payload: u32,
        manners: &Manners,
        rng: &mut Rng,
    ) -> Option<(u64, Completion)> {
        let due: Vec<usize> = (0..self.reads.len())
            .filter(|i| self.reads[*i].due <= now)
            .collect();
        let chosen = match manners.split {
            false => *due.first()?,
            true if due.is_empty() => return None,
            true => due[rng.below(due.len() as u64) as usize],
        };
        let read = &mut self.reads[chosen];
        let at = read.at;
        let mut completion = Completion {
            completer,
            status: Status::Success,
            byte_count: (read.end - read.at) as u32,
            requester: read.request.requester,
            tag: read.request.tag,
            lower_address: (read.at & 0x7F) as u8,
            poisoned: false,
            data: Vec::new(),
        };
        if read.data.is_none() {
            let bytes = (read.end - read.first_word).next_multiple_of(4) as usize;
            let mut data = vec![0; bytes];
            if host.read(read.first_word, &mut data).is_err() {
                completion.status = Status::Unsupported;
                completion.lower_address = 0;
                self.reads.remove(chosen);
                return Some((at, completion));
            }
            read.data = Some(data);
        }
        let end = cut(read.at, read.end, max_payload, manners, rng);
        let from = (read.at & !3) - read.first_word;
        let to = end.next_multiple_of(4) - read.first_word;
        let bytes = &read.data.as_deref().unwrap_or_default()[from as usize..to as usize];
        completion.data = bytes
            .chunks_exact(4)
            .map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]))
            .collect();
        if end == read.end {
            self.reads.remove(chosen);
        } else {
            read.at = end;
            if manners.split {
                read.due = now + rng.below(u64::from(manners.jitter) + 1);
            }
        }
        Some((at, completion))
    }
}

/// Where a completion that begins at `at` ends: at `end` or at a boundary, with no more payload than is allowed.
fn cut(at: u64, end: u64, max_payload: u32, manners: &Manners, rng: &mut Rng) -> u64 {
    let rcb = u64::from(manners.read_completion_boundary);
    let most = (at & !3) + u64::from(max_payload);
    if end <= most && !manners.split {
        return end;
    }
    let first = (at + 1).next_multiple_of(rcb);
    let mut choices: Vec<u64> = (0..)
        .map(|n| first + n * rcb)
        .take_while(|c| *c < end.min(most + 1))
        .collect();
    if end <= most {
        choices.push(end);
    }
    match manners.split {
        false => choices[choices.len() - 1],
        true => choices[rng.below(choices.len() as u64) as usize],
    }
}
