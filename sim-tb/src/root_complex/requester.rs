//! Requests of the host that wait for the card's completion.

use super::tlp::{Completion, Status};

/// What a request expects.
#[derive(Clone, Debug)]
pub struct Expected {
    /// For messages.
    pub what: String,
    /// First byte wanted, as in the completion's lower address; 0 for configuration requests.
    pub address: u64,
    /// Bytes still to come; the completion's byte count.
    pub bytes: u32,
    /// Whether data are wanted at all.
    pub data: bool,
}

#[derive(Debug)]
enum Slot {
    Free,
    Waiting(Expected, Vec<u32>),
    Done(Status, Vec<u32>),
}

/// Tags of the root complex, which are enough for one access's parts.
#[derive(Debug)]
pub struct Requester {
    slots: [Slot; Requester::TAGS],
    next: usize,
}

impl Default for Requester {
    fn default() -> Requester {
        Requester {
            slots: [const { Slot::Free }; Requester::TAGS],
            next: 0,
        }
    }
}

impl Requester {
    /// Tags there are.
    pub const TAGS: usize = 8;

    /// A tag for a request; None when all wait. Tags are used in turn, so that a late completion is recognised.
    pub fn begin(&mut self, expected: Expected) -> Option<u8> {
        let tag = self.next;
        if !matches!(self.slots[tag], Slot::Free) {
            return None;
        }
        self.slots[tag] = Slot::Waiting(expected, Vec::new());
        self.next = (tag + 1) % Self::TAGS;
        Some(tag as u8)
    }

    /// The answer of `tag`, once it is complete; the tag is free then.
    pub fn finish(&mut self, tag: u8) -> Option<(Status, Vec<u32>)> {
        let slot = &mut self.slots[tag as usize];
        let Slot::Done(..) = slot else {
            return None;
        };
        match std::mem::replace(slot, Slot::Free) {
            Slot::Done(status, data) => Some((status, data)),
            _ => None,
        }
    }

    /// No longer waits for the answer of `tag`.
    pub fn abandon(&mut self, tag: u8) {
        self.slots[tag as usize] = Slot::Free;
    }

    /// Takes a completion.
    ///
    /// # Errors
    /// Nobody waits for it, or it is not what its request allows.
    pub fn take(&mut self, completion: &Completion) -> Result<(), String> {
        let tag = completion.tag as usize;
        let Some(Slot::Waiting(expected, data)) = self.slots.get_mut(tag) else {
            return Err(format!("a completion with tag {tag}, which is not in use"));
        };
        let fault = |what: &str, got: u64, wanted: u64| {
            Err(format!(
                "a completion for {} with {what} {got}, not {wanted}",
                expected.what
            ))
        };
        if completion.poisoned {
            return fault("poison", 1, 0);
        }
        if completion.status != Status::Success {
            if !completion.data.is_empty() {
                return fault(
                    "words of data and an error",
                    completion.data.len() as u64,
                    0,
                );
            }
            self.slots[tag] = Slot::Done(completion.status, Vec::new());
            return Ok(());
        }
        let wanted = if expected.data { expected.bytes } else { 4 };
        if completion.byte_count != wanted {
            return fault("byte count", completion.byte_count.into(), wanted.into());
        }
        let lower = expected.address & 0x7F;
        if u64::from(completion.lower_address) != lower {
            return fault("lower address", completion.lower_address.into(), lower);
        }
        let lead = expected.address % 4;
        let most = (lead + u64::from(expected.bytes)).div_ceil(4);
        let most = if expected.data { most } else { 0 };
        let words = completion.data.len() as u64;
        if words > most || (words == 0) != (most == 0) {
            return fault("words of data", words, most);
        }
        data.extend(&completion.data);
        if words == most {
            let data = std::mem::take(data);
            self.slots[tag] = Slot::Done(Status::Success, data);
            return Ok(());
        }
        // A part: it ends at a boundary of a completer that is no root complex.
        let got = 4 * words - lead;
        expected.address += got;
        expected.bytes -= got as u32;
        match expected.address % 128 {
            0 => Ok(()),
            rest => fault("an end within 128 bytes, at", rest, 0),
        }
    }

    /// What is waited for, for messages.
    pub fn waiting(&self) -> Option<&str> {
        self.slots.iter().find_map(|s| match s {
            Slot::Waiting(expected, _) => Some(&*expected.what),
            _ => None,
        })
    }
}
