//! Token ids from a file: `input_ids`, int32 [T], of a safetensors file; other tensors are passed over.

use std::path::Path;

use safetensors::Dtype;

use super::checkpoint::map;
use super::{header, Error};

/// Reads them.
///
/// # Errors
/// The file is missing or damaged, or the tensor is missing, of another type or shape, or holds a negative number.
pub fn read_ids(path: &Path) -> Result<Vec<u32>, Error> {
    let wrong = |reason: String| Error::Ids {
        path: path.to_owned(),
        reason,
    };
    let map = map(path)?;
    let tensors = header::parse(&map).map_err(|reason| Error::Safetensors {
        path: path.to_owned(),
        reason,
    })?;
    let ids = tensors
        .iter()
        .find(|t| &*t.name == "input_ids")
        .ok_or_else(|| wrong("it has no tensor `input_ids`".into()))?;
    if ids.dtype != Dtype::I32 || ids.shape.len() != 1 {
        return Err(wrong(format!(
            "`input_ids` is {:?} {:?}, but must be int32 [T]",
            ids.dtype, ids.shape
        )));
    }
    let words = map[ids.bytes.clone()]
        .chunks_exact(4)
        .map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let id = |(at, id)| {
        u32::try_from(id).map_err(|_| wrong(format!("token id {id} at position {at} is negative")))
    };
    words.enumerate().map(id).collect()
}
