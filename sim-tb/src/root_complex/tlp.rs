//! Transaction layer packets as words: header words are numbers whose bits 31:24 are the packet's first byte (Fmt and Type); payload
//! words hold their first byte in bits 7:0. Written from the PCI Express base specification, chapter 2.2; never shared with the RTL.

/// Bus, device, function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(pub u16);

/// Completion status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Successful completion.
    Success,
    /// Unsupported request.
    Unsupported,
    /// Configuration request retry.
    Retry,
    /// Completer abort.
    Abort,
}

impl Status {
    fn bits(self) -> u32 {
        match self {
            Status::Success => 0,
            Status::Unsupported => 1,
            Status::Retry => 2,
            Status::Abort => 4,
        }
    }
}

/// What all requests share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub requester: Id,
    /// Its number for the completion.
    pub tag: u8,
    /// Byte enables of the first word.
    pub first_be: u8,
    /// Byte enables of the last word; 0 when there is one word.
    pub last_be: u8,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tlp {
    /// MRd.
    MemRead {
        /// See [`Request`].
        request: Request,
        /// Address of the first word.
        address: u64,
        /// Words, 1 to 1024.
        words: u32,
    },
    /// MWr.
    MemWrite {
        /// See [`Request`].
        request: Request,
        /// Address of the first word.
        address: u64,
        /// 1 to 1024 words.
        data: Vec<u32>,
    },
    /// CfgRd0, CfgWr0.
    Config {
        /// See [`Request`].
        request: Request,
        /// The function.
        target: Id,
        /// Offset of the word.
        offset: u32,
        /// For a write.
        data: Option<u32>,
    },
    /// Cpl, CplD.
    Completion(Completion),
    /// Msg, MsgD.
    Message {
        /// Who sends it.
        requester: Id,
        /// Three bits: 0 to the root complex, 4 local.
        routing: u8,
        /// Message code.
        code: u8,
        /// For MsgD.
        data: Vec<u32>,
    },
}

/// Cpl, CplD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Who answers.
    pub completer: Id,
    /// How.
    pub status: Status,
    /// Bytes from the first of this packet to the end of the request.
    pub byte_count: u32,
    /// Who asked.
    pub requester: Id,
    /// With which tag.
    pub tag: u8,
    /// Low bits of the address of the first byte.
    pub lower_address: u8,
    /// The bytes are known to be wrong.
    pub poisoned: bool,
    /// Empty for Cpl.
    pub data: Vec<u32>,
}

/// Which credits a packet takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Writes and messages.
    Posted,
    /// What is answered by a completion.
    NonPosted,
    /// Completions.
    Completion,
}

const READ: u32 = 0b000_00000;
const WRITE: u32 = 0b010_00000;
const LONG: u32 = 0b001_00000;
const CONFIG_READ: u32 = 0b000_00100;
const CONFIG_WRITE: u32 = 0b010_00100;
const MESSAGE: u32 = 0b001_10000;
const CPL: u32 = 0b000_01010;
const CPL_DATA: u32 = 0b010_01010;

impl Tlp {
    /// Its credits' class.
    pub fn class(&self) -> Class {
        match self {
            Tlp::MemWrite { .. } | Tlp::Message { .. } => Class::Posted,
            Tlp::MemRead { .. } | Tlp::Config { .. } => Class::NonPosted,
            Tlp::Completion(_) => Class::Completion,
        }
    }

    /// Words of payload.
    pub fn payload(&self) -> usize {
        match self {
            Tlp::MemWrite { data, .. } => data.len(),
            Tlp::Config { data, .. } => usize::from(data.is_some()),
            Tlp::Completion(c) => c.data.len(),
            Tlp::Message { data, .. } => data.len(),
            Tlp::MemRead { .. } => 0,
        }
    }

    /// The packet's words.
    pub fn to_words(&self) -> Vec<u32> {
        let second = |r: &Request| {
            u32::from(r.requester.0) << 16
                | u32::from(r.tag) << 8
                | u32::from(r.last_be) << 4
                | u32::from(r.first_be)
        };
        // 1024 words are written as 0.
        let first = |kind: u32, words: usize| kind << 24 | words as u32 & 0x3FF;
        let memory = |kind: u32, request: &Request, address: u64, words: usize| {
            let high = (address >> 32) as u32;
            let low = address as u32;
            match high {
                0 => vec![first(kind, words), second(request), low],
                _ => vec![first(kind | LONG, words), second(request), high, low],
            }
        };
        match self {
            Tlp::MemRead {
                request,
                address,
                words,
            } => memory(READ, request, *address, *words as usize),
            Tlp::MemWrite {
                request,
                address,
                data,
            } => [memory(WRITE, request, *address, data.len()), data.clone()].concat(),
            Tlp::Config {
                request,
                target,
                offset,
                data,
            } => {
                let kind = data.map_or(CONFIG_READ, |_| CONFIG_WRITE);
                let third = u32::from(target.0) << 16 | offset & 0xFFC;
                let mut words = vec![first(kind, 1), second(request), third];
                words.extend(data);
                words
            }
            Tlp::Completion(c) => {
                let kind = if c.data.is_empty() { CPL } else { CPL_DATA };
                let mut words = vec![
                    first(kind, c.data.len()) | u32::from(c.poisoned) << 14,
                    u32::from(c.completer.0) << 16 | c.status.bits() << 13 | c.byte_count & 0xFFF,
                    u32::from(c.requester.0) << 16
                        | u32::from(c.tag) << 8
                        | u32::from(c.lower_address),
                ];
                words.extend(&c.data);
                words
            }
            Tlp::Message {
                requester,
                routing,
                code,
                data,
            } => {
                let with_data = if data.is_empty() { 0 } else { WRITE };
                let kind = MESSAGE | with_data | u32::from(*routing);
                let second = u32::from(requester.0) << 16 | u32::from(*code);
                [&[first(kind, data.len()), second, 0, 0], &data[..]].concat()
            }
        }
    }

    /// The packet in `words`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(words: &[u32]) -> Result<Tlp, String> {
        let [w0, w1, w2, ..] = *words else {
            return Err(format!("a packet of {} words", words.len()));
        };
        let kind = w0 >> 24;
        let long = kind & LONG != 0;
        let header = 3 + usize::from(long);
        let Some(payload) = words.get(header..) else {
            return Err(format!("a packet of {} words", words.len()));
        };
        let with_data = kind & WRITE != 0;
        let length = match w0 & 0x3FF {
            0 => 1024,
            n => n,
        };
        let message = kind & 0b000_11000 == 0b000_10000;
        for (what, bits) in [
            ("reserved bits of word 0 or IDO", w0 & 0x008E_0000),
            ("TH", w0 & 1 << 16),
            ("TD", w0 & 1 << 15),
            ("AT", w0 & 0xC00),
            ("a traffic class", w0 & 0x0070_0000),
        ] {
            if bits != 0 {
                return Err(format!("{what} set in 0x{w0:08X}"));
            }
        }
        if payload.len() != if with_data { length as usize } else { 0 } {
            return Err(format!(
                "{} words of payload in a packet whose first word is 0x{w0:08X}",
                payload.len()
            ));
        }
        let poisoned = w0 & 1 << 14 != 0;
        let request = Request {
            requester: Id((w1 >> 16) as u16),
            tag: (w1 >> 8) as u8,
            last_be: (w1 >> 4) as u8 & 0xF,
            first_be: w1 as u8 & 0xF,
        };
        let address = match long {
            true => u64::from(w2) << 32 | u64::from(words[3]),
            false => u64::from(w2),
        };
        let tlp = match kind & !LONG {
            READ | WRITE => {
                if long && w2 == 0 {
                    return Err(format!(
                        "a long header for address 0x{address:X}, which fits a short one"
                    ));
                }
                if address % 4 != 0 {
                    return Err(format!("reserved bits set in address 0x{address:X}"));
                }
                check_request(&request, address, length)?;
                match kind & !LONG {
                    READ => Tlp::MemRead {
                        request,
                        address,
                        words: length,
                    },
                    _ => Tlp::MemWrite {
                        request,
                        address,
                        data: payload.to_vec(),
                    },
                }
            }
            CONFIG_READ | CONFIG_WRITE if !long => {
                check_request(&request, 0, length)?;
                if length != 1 || w2 & 0xF003 != 0 {
                    return Err(format!(
                        "a configuration request of words 0x{w0:08X}, 0x{w2:08X}"
                    ));
                }
                Tlp::Config {
                    request,
                    target: Id((w2 >> 16) as u16),
                    offset: w2 & 0xFFC,
                    data: payload.first().copied(),
                }
            }
            CPL | CPL_DATA if !long => {
                let status = match w1 >> 13 & 7 {
                    0 => Status::Success,
                    1 => Status::Unsupported,
                    2 => Status::Retry,
                    4 => Status::Abort,
                    n => return Err(format!("completion status {n}")),
                };
                if w1 & 1 << 12 != 0 || w2 & 0x80 != 0 {
                    return Err(format!(
                        "BCM or reserved bits set in 0x{w1:08X}, 0x{w2:08X}"
                    ));
                }
                Tlp::Completion(Completion {
                    completer: Id((w1 >> 16) as u16),
                    status,
                    byte_count: match w1 & 0xFFF {
                        0 => 4096,
                        n => n,
                    },
                    requester: Id((w2 >> 16) as u16),
                    tag: (w2 >> 8) as u8,
                    lower_address: w2 as u8,
                    poisoned,
                    data: payload.to_vec(),
                })
            }
            _ if message && long => Tlp::Message {
                requester: request.requester,
                routing: (kind & 7) as u8,
                code: w1 as u8,
                data: payload.to_vec(),
            },
            _ => return Err(format!("an unknown type in word 0x{w0:08X}")),
        };
        if poisoned && !matches!(tlp, Tlp::Completion(_)) {
            return Err(format!("EP set in a request, 0x{w0:08X}"));
        }
        Ok(tlp)
    }
}

/// Byte enables and the 4 KiB boundary.
fn check_request(request: &Request, address: u64, words: u32) -> Result<(), String> {
    let Request {
        first_be, last_be, ..
    } = *request;
    let fault = |what: &str| {
        Err(format!(
            "{what}: {words} words at 0x{address:X}, byte enables {first_be:04b} and {last_be:04b}"
        ))
    };
    let single = words == 1;
    if single != (last_be == 0) || (!single && first_be == 0) {
        return fault("byte enables of the first or last word");
    }
    // Beyond two words the bytes must be contiguous; with two, only in a quadword-aligned pair may they not be.
    let contiguous =
        first_be & 8 != 0 && last_be & 1 != 0 && run_of_ones(first_be) && run_of_ones(last_be);
    if words > 2 && !contiguous || words == 2 && !address.is_multiple_of(8) && !contiguous {
        return fault("byte enables with a gap");
    }
    if address % 4096 + 4 * u64::from(words) > 4096 {
        return fault("a request across a 4 KiB boundary");
    }
    Ok(())
}

fn run_of_ones(be: u8) -> bool {
    let low = be >> be.trailing_zeros().min(7);
    low & (low + 1) == 0
}

/// Byte enables of an access of `bytes` bytes at `address` and the number of its words; `bytes` > 0.
pub fn enables(address: u64, bytes: usize) -> (u8, u8, u32) {
    let offset = (address % 4) as u32;
    let end = offset + bytes as u32;
    let words = end.div_ceil(4);
    let first = 0xF << offset & 0xF;
    let last = 0xF >> (4 * words - end);
    match words {
        1 => (first & last, 0, 1),
        _ => (first, last, words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Request = Request {
        requester: Id(0x0100),
        tag: 0x2A,
        first_be: 0xE,
        last_be: 0x3,
    };

    #[test]
    fn packets_are_as_the_specification_draws_them() {
        let read = Tlp::MemRead {
            request: REQUEST,
            address: 0x1_2345_6780,
            words: 5,
        };
        assert_eq!(read.to_words(), [0x2000_0005, 0x0100_2A3E, 1, 0x2345_6780]);
        let write = Tlp::MemWrite {
            request: Request {
                first_be: 0xF,
                last_be: 0,
                ..REQUEST
            },
            address: 0xFEE0_0000,
            data: vec![0x0403_0201],
        };
        assert_eq!(
            write.to_words(),
            [0x4000_0001, 0x0100_2A0F, 0xFEE0_0000, 0x0403_0201]
        );
        let config = Tlp::Config {
            request: Request {
                first_be: 3,
                last_be: 0,
                ..REQUEST
            },
            target: Id(0x0208),
            offset: 0x104,
            data: None,
        };
        assert_eq!(config.to_words(), [0x0400_0001, 0x0100_2A03, 0x0208_0104]);
        let completion = Tlp::Completion(Completion {
            completer: Id(0x0200),
            status: Status::Success,
            byte_count: 4096,
            requester: Id(0x0100),
            tag: 7,
            lower_address: 0x40,
            poisoned: false,
            data: vec![1, 2],
        });
        assert_eq!(
            completion.to_words(),
            [0x4A00_0002, 0x0200_0000, 0x0100_0740, 1, 2]
        );
        let message = Tlp::Message {
            requester: Id(0x0100),
            routing: 4,
            code: 0x50,
            data: vec![0x1900_0000],
        };
        for tlp in [read, write, config, completion, message] {
            assert_eq!(Tlp::parse(&tlp.to_words()), Ok(tlp));
        }
    }

    #[test]
    fn broken_rules_are_named() {
        for (words, text) in [
            (&[0x0000_0001, 0][..], "2 words"),
            (&[0x2000_0001, 0xF, 1], "3 words"),
            (&[0x2000_0001, 0xF, 0, 0x1000], "long header"),
            (&[0x0000_0001, 0xF, 0x1002], "reserved bits"),
            (&[0x0000_8001, 0xF, 0x1000], "TD"),
            (&[0x4000_0002, 0xFF, 0x1000, 1], "1 words of payload"),
            (
                &[0x0000_0001, 0xFF, 0x1000],
                "byte enables of the first or last",
            ),
            (
                &[0x0000_0002, 0x0F, 0x1000],
                "byte enables of the first or last",
            ),
            (&[0x0000_0003, 0xF7, 0x1000], "gap"),
            (&[0x0000_0002, 0xF7, 0x1004], "gap"),
            (&[0x0000_0002, 0xFF, 0x1FFC], "4 KiB"),
            (&[0x4000_4001, 0xF, 0x1000, 1], "EP"),
            (&[0x0A00_0000, 0x3 << 13, 0], "status 3"),
            (&[0x1B00_0000, 0, 0], "unknown type"),
        ] {
            let e = Tlp::parse(words).unwrap_err();
            assert!(e.contains(text), "{words:x?}: {e}");
        }
        // Two words of a pair may have any bytes.
        Tlp::parse(&[0x0000_0002, 0xA5, 0x1000]).unwrap();
    }

    #[test]
    fn enables_cover_exactly_the_bytes() {
        for address in 0..8u64 {
            for bytes in 1..20 {
                let (first, last, words) = enables(address, bytes);
                let mut all = u64::from(first);
                for word in 1..words {
                    let be = if word + 1 == words { last } else { 0xF };
                    all |= u64::from(be) << (4 * word);
                }
                assert_eq!(all, ((1 << bytes) - 1) << (address % 4));
            }
        }
    }
}
