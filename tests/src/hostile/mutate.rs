//! Changes of valid inputs: of bytes, of the words of a text, and of safetensors as header and data.

use std::ops::Range;

use sim_tb::rng::Rng;

/// Repeating a part never makes an input longer than this.
const LONG: usize = 1 << 18;

fn below(rng: &mut Rng, n: usize) -> usize {
    rng.below(n.max(1) as u64) as usize
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[below(rng, from.len())]
}

/// A part of `0..len`, often short.
fn part(rng: &mut Rng, len: usize) -> Range<usize> {
    let from = below(rng, len + 1);
    let most = match rng.below(3) {
        0 => len - from,
        _ => (len - from).min(16),
    };
    from..from + below(rng, most + 1)
}

/// One change of bytes.
fn change_bytes(rng: &mut Rng, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    const EXTREMES: [u64; 12] = [
        0,
        1,
        0x7F,
        0xFF,
        0x7FFF,
        0xFFFF,
        0x7FFF_FFFF,
        0xFFFF_FFFF,
        i64::MAX as u64,
        u64::MAX,
        u64::MAX - 7,
        1 << 32,
    ];
    let at = below(rng, bytes.len());
    match rng.below(9) {
        0..=1 if !bytes.is_empty() => bytes[at] ^= 1 << rng.below(8),
        2 if !bytes.is_empty() => bytes[at] = rng.next() as u8,
        // A number, of any width, in either order, perhaps only nearly extreme.
        3 => {
            let n = pick(rng, &EXTREMES)
                .wrapping_add(rng.below(5))
                .wrapping_sub(2);
            let width = 1 << rng.below(4);
            let number = match rng.chance(128) {
                true => n.to_le_bytes()[..width].to_vec(),
                false => n.to_be_bytes()[8 - width..].to_vec(),
            };
            let end = (at + width).min(bytes.len());
            bytes.splice(at.min(end)..end, number);
        }
        4 => {
            let gone = part(rng, bytes.len());
            bytes.drain(gone);
        }
        5 => bytes.truncate(at),
        6 => {
            let more: Vec<u8> = (0..below(rng, 16)).map(|_| rng.next() as u8).collect();
            bytes.splice(at..at, more);
        }
        7 => {
            let copied = bytes[part(rng, bytes.len())].to_vec();
            bytes.splice(at..at, copied);
        }
        _ => {
            let other = pick(rng, others);
            let copied = other[part(rng, other.len())].to_vec();
            bytes.splice(at..at, copied);
        }
    }
    bytes.truncate(bytes.len().min(1 << 21));
}

/// Bytes of one of `seeds`, changed in a few places.
pub fn bytes(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = pick(rng, seeds).clone();
    for _ in 0..1 + rng.below(6) / 3 {
        change_bytes(rng, &mut bytes, seeds);
    }
    bytes
}

/// Strings, numbers, names and single signs of JSON or TOML, where they stand.
fn words(text: &[u8]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut at = 0;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_+-.".contains(&b);
    while at < text.len() {
        let from = at;
        at += 1;
        match text[from] {
            b'"' => {
                while at < text.len() && text[at] != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(text.len());
            }
            b if plain(b) => {
                while at < text.len() && plain(text[at]) {
                    at += 1;
                }
            }
            b if b.is_ascii_whitespace() => continue,
            _ => {}
        }
        words.push(from..at);
    }
    words
}

/// What a word may become.
const INSTEAD: [&str; 32] = [
    "0",
    "-1",
    "1",
    "2147483648",
    "4294967295",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "1e400",
    "-0.0",
    "1.5",
    "1e-400",
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[[]]",
    "[0]",
    "{\"\":0}",
    "\"\"",
    "\"x\"",
    "\"\\u0000\"",
    "\"\u{7f}\u{7f}\u{7f}\"",
    "\"../config.json\"",
    "\"/etc/passwd\"",
    "\"\u{e9}\u{1f4a5}\"",
    "\"\\ud800\"",
    ",",
    ":",
    "]",
    "}",
];

/// One change of words.
fn change_words(rng: &mut Rng, text: &mut Vec<u8>, others: &[Vec<u8>]) {
    let words = words(text);
    if words.is_empty() {
        return change_bytes(rng, text, others);
    }
    let word = pick(rng, &words).clone();
    // From one word to another, at most some dozens on.
    let first = below(rng, words.len());
    let last = (first + below(rng, 40)).min(words.len() - 1);
    let some = words[first].start..words[last].end;
    match rng.below(13) {
        0..=3 => {
            let new = pick(rng, &INSTEAD);
            text.splice(word, new.bytes());
        }
        4 => {
            text.drain(some);
        }
        // Another word of the same text: of the wrong kind, or a name twice.
        5..=6 => {
            let other = text[pick(rng, &words).clone()].to_vec();
            text.splice(word, other);
        }
        7 => {
            let copied = text[some.clone()].to_vec();
            text.splice(some.start..some.start, copied);
        }
        // Very often.
        8 if rng.chance(64) => {
            let copied = text[some.clone()].to_vec();
            let times = below(
                rng,
                LONG.saturating_sub(text.len()) / copied.len().max(1) + 1,
            );
            text.splice(some.start..some.start, copied.repeat(times));
        }
        9 if rng.chance(64) => {
            let (open, close) = *pick(rng, &[("[", "]"), ("{\"a\":", "}"), ("[", "")]);
            let deep = 1 << rng.below(16);
            let nested = open.repeat(deep) + "0" + &close.repeat(deep);
            text.splice(word, nested.bytes());
        }
        // A long list of small things.
        10 if rng.chance(64) => {
            let thing = pick(
                rng,
                &["0,", "[],", "\"\",", "{\"\":0},", "[0],", "\"a\":0,"],
            );
            let many = thing.repeat(below(rng, LONG / thing.len()));
            let many = format!("[{}]", many.trim_end_matches(','));
            text.splice(word, many.bytes());
        }
        11 => {
            let other = pick(rng, others);
            let copied = other[part(rng, other.len())].to_vec();
            text.splice(word, copied);
        }
        _ => change_bytes(rng, text, others),
    }
    text.truncate(text.len().min(1 << 21));
}

/// A text of one of `seeds`, changed in a few places.
pub fn text(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut text = pick(rng, seeds).clone();
    for _ in 0..1 + rng.below(5) / 3 {
        change_words(rng, &mut text, seeds);
    }
    text
}

/// The header of safetensors as text, and the data after it.
fn cut(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = file.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

/// Safetensors of a header and data.
pub fn joined(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header, data].concat()
}

/// Safetensors of one of `seeds`: mostly with a changed header of the right length, sometimes with changed data or any changed bytes.
pub fn safetensors(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let Some((header, data)) = cut(pick::<Vec<u8>>(rng, seeds)) else {
        return bytes(rng, seeds);
    };
    let headers = [header.to_vec()];
    match rng.below(8) {
        0 => bytes(rng, seeds),
        1..=2 => {
            let mut data = data.to_vec();
            let len = data.len();
            // The file's length stays that of its header.
            for _ in 0..1 + rng.below(64) {
                let at = below(rng, len);
                if let Some(byte) = data.get_mut(at) {
                    *byte = rng.next() as u8;
                }
            }
            joined(header, &data)
        }
        _ => joined(&text(rng, &headers), data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_json() {
        let text = br#"{"a\"b": [-1.5e3,true]}"#;
        let words = words(text);
        let words: Vec<_> = words.into_iter().map(|w| &text[w]).collect();
        let wanted: [&[u8]; 9] = [
            b"{",
            br#""a\"b""#,
            b":",
            b"[",
            b"-1.5e3",
            b",",
            b"true",
            b"]",
            b"}",
        ];
        assert_eq!(words, wanted);
    }

    /// The same seed is the same case, and every way to change occurs.
    #[test]
    fn changes_are_those_of_the_seed() {
        let seeds = [br#"{"a":1,"b":[2,3]}"#.to_vec(), b"[0]".to_vec()];
        for change in [bytes, text, safetensors] {
            let all = |n| (0..n).map(|seed| change(&mut Rng::new(seed), &seeds));
            assert!(all(200).eq(all(200)));
            let different = all(200).collect::<std::collections::BTreeSet<_>>().len();
            assert!(different > 100, "{different}");
            assert!(all(2000).any(|case| case.len() < 3));
        }
        let longest = (0..4000)
            .map(|n| text(&mut Rng::new(n), &seeds).len())
            .max();
        assert!(longest > Some(LONG / 2), "{longest:?}");
    }
}
