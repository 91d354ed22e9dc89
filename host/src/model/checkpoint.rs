//! The tensors of a model directory: one safetensors file or many, memory-mapped.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::tensor::{Data, Slice};
use super::{Error, Tensor};

/// Every tensor of a directory, by name.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    tensors: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    map: Arc<Mmap>,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Range<usize>,
}

/// A tensor as it is stored.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    /// Number format.
    pub dtype: Dtype,
    /// Size of each dimension, outermost first.
    pub shape: &'a [usize],
    /// The elements, little-endian.
    pub bytes: &'a [u8],
}

impl Checkpoint {
    /// Maps the files of a directory: the shards that `model.safetensors.index.json` names, or `model.safetensors`.
    ///
    /// Fails where a file is missing, shorter than its header says, or not a safetensors file.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let index = dir.join("model.safetensors.index.json");
        let files = if index.exists() {
            shards(&index)?
        } else {
            vec!["model.safetensors".to_owned()]
        };
        let mut tensors = HashMap::new();
        for file in files {
            map_file(&dir.join(file), &mut tensors)?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            tensors,
        })
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The stored bytes of a tensor, if there is one of this name.
    pub fn raw(&self, name: &str) -> Option<Raw<'_>> {
        let entry = self.tensors.get(name)?;
        Some(Raw {
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes: &entry.map[entry.bytes.clone()],
        })
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.tensors.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The tensor of this name; fails where it is missing, of another shape, or of a format that is not read.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        let Some(entry) = self.tensors.get(name) else {
            return Err(Error::NoTensor {
                dir: self.dir.clone(),
                name: name.to_owned(),
            });
        };
        if entry.shape != shape {
            let (found, expected) = (entry.shape.clone(), shape.to_vec());
            return Err(Error::Shape {
                name: name.to_owned(),
                found,
                expected,
            });
        }
        let (map, bytes) = (&entry.map, entry.bytes.clone());
        let data = match entry.dtype {
            Dtype::F32 => Data::F32(Slice::map(map, bytes)),
            Dtype::BF16 => Data::Bf16(Slice::map(map, bytes)),
            Dtype::F16 => Data::F16(Slice::map(map, bytes)),
            other => {
                return Err(Error::Format {
                    name: name.to_owned(),
                    found: format!("{other:?}"),
                })
            }
        };
        Ok(Tensor {
            shape: shape.to_vec(),
            data,
        })
    }

    /// The first of these names (spellings of one tensor, the usual one first) that is there; otherwise as [`Self::get`].
    pub fn any(&self, names: &[String], shape: &[usize]) -> Result<Tensor, Error> {
        let name = names
            .iter()
            .find(|name| self.has(name))
            .unwrap_or(&names[0]);
        self.get(name, shape)
    }
}

/// The distinct files of a shard index, sorted.
fn shards(path: &Path) -> Result<Vec<String>, Error> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let text = std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let index: Index = serde_json::from_slice(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })?;
    let mut files: Vec<_> = index.weight_map.into_values().collect();
    files.sort_unstable();
    files.dedup();
    let wrong = |reason: String| Error::Index {
        path: path.to_owned(),
        reason,
    };
    if files.is_empty() {
        return Err(wrong("it names no files".to_owned()));
    }
    // A model directory may come from anywhere: it must not make the host read outside itself.
    if let Some(outside) = files
        .iter()
        .find(|f| Path::new(f).file_name() != Some(f.as_ref()))
    {
        return Err(wrong(format!("`{outside}` is not a plain file name")));
    }
    Ok(files)
}

fn map_file(path: &Path, tensors: &mut HashMap<String, Entry>) -> Result<(), Error> {
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    // SAFETY: the map is read-only. Changing a model file while it is in use is outside the contract of every program
    // that maps its weights; the worst of it is wrong numbers or a bus error, as with a damaged disk.
    let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(read)?);
    let damaged = |source| Error::Safetensors {
        path: path.to_owned(),
        source,
    };
    // Checks that the header parses, that offsets are in order, fit their shapes, and end where the file ends.
    let (header, metadata) = SafeTensors::read_metadata(&map).map_err(damaged)?;
    let start = header + size_of::<u64>();
    for (name, info) in metadata.tensors() {
        let bytes = start + info.data_offsets.0..start + info.data_offsets.1;
        let entry = Entry {
            map: map.clone(),
            dtype: info.dtype,
            shape: info.shape.clone(),
            bytes,
        };
        tensors.insert(name, entry);
    }
    Ok(())
}
