//! The header of a safetensors file: 8 bytes of length, then JSON that names the tensors, then their bytes without a gap.
//!
//! Read here and not by the `safetensors` crate, whose maps take some ten times the header's size: a file that is nearly all header would
//! make more memory of it than it has bytes. Here it is less than four times the header, whatever it says.

use std::fmt;
use std::ops::Range;

use safetensors::Dtype;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The key that names no tensor.
const METADATA: &str = "__metadata__";
/// Bytes of the least that can stand for a tensor; what is shorter is none.
const SHORTEST: usize = r#""":{"dtype":"U8","shape":[],"data_offsets":[0,0]}"#.len();
/// More dimensions than any tensor has.
const DIMENSIONS: usize = 8;

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: Box<str>,
    /// Its number format.
    pub dtype: Dtype,
    /// Size of each dimension, outermost first.
    pub shape: Box<[usize]>,
    /// Its bytes in the file: as many as format and shape say, all of them there.
    pub bytes: Range<usize>,
}

/// The tensors of a file, in the order of their bytes.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(file: &[u8]) -> Result<Vec<Info>, String> {
    let (length, rest) = file
        .split_first_chunk()
        .ok_or("it is shorter than the 8 bytes before its header")?;
    let length = u64::from_le_bytes(*length);
    let header = usize::try_from(length)
        .ok()
        .and_then(|n| rest.get(..n))
        .ok_or_else(|| {
            format!(
                "its header should have {length} bytes, but only {} follow",
                rest.len()
            )
        })?;
    let text = std::str::from_utf8(header).map_err(|_| "its header is not text")?;
    let wrong = |e: serde_json::Error| format!("its header is not one: {}", shortened(&e));
    // Once to count, so that there is room for all and no more.
    let mut tensors = Vec::new();
    let keys = serde_json::from_str::<Count>(text).map_err(wrong)?.0;
    tensors.reserve_exact(keys.min(text.len() / SHORTEST));
    let mut reader = serde_json::Deserializer::from_str(text);
    let filled = Fill(&mut tensors).deserialize(&mut reader);
    filled.and_then(|()| reader.end()).map_err(wrong)?;

    tensors.sort_unstable_by_key(|t| (t.bytes.start, t.bytes.end));
    let data = 8 + header.len();
    let mut end = data;
    for tensor in &mut tensors {
        let elements = tensor
            .shape
            .iter()
            .try_fold(1usize, |n, d| n.checked_mul(*d));
        let size = elements.and_then(|n| n.checked_mul(tensor.dtype.size()));
        let there = end..size.and_then(|n| end.checked_add(n)).unwrap_or(0);
        let said = |offset: usize| offset.checked_add(data);
        let is_so = (said(tensor.bytes.start), said(tensor.bytes.end));
        if file.get(there.clone()).is_none() || is_so != (Some(there.start), Some(there.end)) {
            return Err(format!(
                "the bytes of a tensor ({:?} {:?} at {:?}) are not those after the tensor before, or not in the file",
                tensor.dtype, tensor.shape, tensor.bytes
            ));
        }
        end = there.end;
        tensor.bytes = there;
    }
    match end == file.len() {
        true => Ok(tensors),
        false => Err(format!(
            "{} bytes at its end belong to no tensor",
            file.len() - end
        )),
    }
}

/// An error that may repeat what it found, without the most of it.
fn shortened(e: &impl fmt::Display) -> String {
    let text = e.to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

/// How many keys an object has.
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        struct Counter;
        impl<'de> Visitor<'de> for Counter {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
                let mut n = 0;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    n += 1;
                }
                Ok(Count(n))
            }
        }
        deserializer.deserialize_map(Counter)
    }
}

/// Fills a list with the tensors of an object.
struct Fill<'a>(&'a mut Vec<Info>);

impl<'de> DeserializeSeed<'de> for Fill<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fill<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Box<str>>()? {
            if &*name == METADATA {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Entry {
                dtype,
                shape: Shape(shape),
                data_offsets: (start, end),
            } = map.next_value()?;
            let bytes = start..end;
            self.0.push(Info {
                name,
                dtype,
                shape,
                bytes,
            });
        }
        Ok(())
    }
}

/// What stands for a tensor.
#[derive(Deserialize)]
struct Entry {
    dtype: Dtype,
    shape: Shape,
    data_offsets: (usize, usize),
}

struct Shape(Box<[usize]>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        struct Sizes;
        impl<'de> Visitor<'de> for Sizes {
            type Value = Shape;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of sizes")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut sizes: A) -> Result<Shape, A::Error> {
                let (mut shape, mut n) = ([0; DIMENSIONS], 0);
                while let Some(size) = sizes.next_element()? {
                    let place = shape.get_mut(n).ok_or_else(|| {
                        A::Error::custom(format!("a tensor has more than {DIMENSIONS} dimensions"))
                    })?;
                    *place = size;
                    n += 1;
                }
                Ok(Shape(shape[..n].into()))
            }
        }
        deserializer.deserialize_seq(Sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let length = (header.len() as u64).to_le_bytes();
        [&length[..], header.as_bytes(), &vec![0; data]].concat()
    }

    /// What the `safetensors` crate writes and says of it.
    #[test]
    fn a_header_is_as_the_crate_reads_it() {
        let data = [7; 24];
        let views = [
            (
                "b",
                TensorView::new(Dtype::F32, vec![2, 1], &data[..8]).unwrap(),
            ),
            (
                "a",
                TensorView::new(Dtype::U8, vec![3], &data[..3]).unwrap(),
            ),
            (
                "none",
                TensorView::new(Dtype::I16, vec![0, 5], &[]).unwrap(),
            ),
            (
                "one",
                TensorView::new(Dtype::BF16, vec![], &data[..2]).unwrap(),
            ),
        ];
        let bytes =
            safetensors::serialize(views, &Some([("k".into(), "v".into())].into())).unwrap();
        let ours = parse(&bytes).unwrap();
        let (header, theirs) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(ours.len(), 4);
        for tensor in ours {
            let info = theirs.info(&tensor.name).unwrap();
            let (start, end) = info.data_offsets;
            assert_eq!(
                (tensor.dtype, &*tensor.shape),
                (info.dtype, &info.shape[..])
            );
            assert_eq!(tensor.bytes, header + 8 + start..header + 8 + end);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let one = |offsets: &str, shape: &str| {
            format!(r#"{{"x":{{"dtype":"U8","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        assert!(parse(&file(&one("[0,4]", "[4]"), 4)).is_ok());
        assert!(parse(&file("{}", 0)).is_ok());
        let most = u64::MAX;
        for (bytes, part) in [
            (b"short".to_vec(), "shorter than the 8 bytes"),
            (
                most.to_le_bytes().to_vec(),
                "should have 18446744073709551615 bytes",
            ),
            (file("\u{1f4a5}", 0)[..11].to_vec(), "only 3 follow"),
            (file("[]", 0), "expected an object"),
            (file("{}x", 0), "trailing characters"),
            (file("{} ", 1), "1 bytes at its end"),
            (
                file(&one("[0,4]", "[5]"), 4),
                "not those after the tensor before",
            ),
            (file(&one("[1,5]", "[4]"), 5), "not those after"),
            (file(&one("[4,0]", "[4]"), 4), "not those after"),
            (file(&one("[0,5]", "[5]"), 4), "not in the file"),
            (
                file(&one(&format!("[0,{most}]"), &format!("[{most}]")), 0),
                "not in the file",
            ),
            (
                file(&one("[0,0]", "[4294967296,4294967296]"), 0),
                "not those after",
            ),
            (
                file(&one("[0,1]", "[1,1,1,1,1,1,1,1,1]"), 1),
                "more than 8 dimensions",
            ),
            (file(&one("[0,1]", "[-1]"), 1), "invalid value"),
            (
                file(&one("[0,4]", "[4]").replace("U8", "U9"), 4),
                "unknown variant",
            ),
        ] {
            let e = parse(&bytes).unwrap_err();
            assert!(e.contains(part), "{part:?}: {e}");
        }
        let long = format!("{{\"x\":\"{}\"}}", "y".repeat(5000));
        assert!(parse(&file(&long, 0)).unwrap_err().len() < 300);
    }
}
