//! The tensors of a model directory: one safetensors file or many, memory-mapped.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::Dtype;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::header::{self, Info};
use super::tensor::{Data, Slice};
use super::{place, Error, Tensor};
use crate::files;

const INDEX: &str = "model.safetensors.index.json";
/// Longer than any index: of a model of a hundred thousand tensors it is some 10 MB.
const MAX_INDEX: u64 = 256 << 20;
/// More files than any model has.
const MAX_SHARDS: usize = 4096;

/// Every tensor of a directory, by name.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    files: Vec<Arc<Mmap>>,
    /// By name; of tensors of the same name, that of the last file.
    tensors: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Of [`Checkpoint::files`].
    file: usize,
    info: Info,
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
        let index = dir.join(INDEX);
        let names = if index.exists() {
            shards(&index, &place(dir, INDEX)?)?
        } else {
            vec!["model.safetensors".to_owned()]
        };
        let (mut files, mut tensors) = (Vec::new(), Vec::new());
        for (file, name) in names.into_iter().enumerate() {
            let path = dir.join(&name);
            let map = map(&place(dir, &name)?)?;
            let found =
                header::parse(&map).map_err(|reason| Error::Safetensors { path, reason })?;
            tensors.reserve(found.len());
            tensors.extend(found.into_iter().map(|info| Entry { file, info }));
            files.push(map);
        }
        tensors.sort_unstable_by(|a: &Entry, b| {
            let names = a.info.name.cmp(&b.info.name);
            names.then(b.file.cmp(&a.file))
        });
        tensors.dedup_by(|b, a| a.info.name == b.info.name);
        Ok(Self {
            dir: dir.to_owned(),
            files,
            tensors,
        })
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        let at = self.tensors.binary_search_by(|t| (*t.info.name).cmp(name));
        at.ok().map(|at| &self.tensors[at])
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The stored bytes of a tensor, if there is one of this name.
    pub fn raw(&self, name: &str) -> Option<Raw<'_>> {
        let Entry { file, info } = self.find(name)?;
        Some(Raw {
            dtype: info.dtype,
            shape: &info.shape,
            bytes: &self.files[*file][info.bytes.clone()],
        })
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.tensors.iter().map(|t| &*t.info.name).collect()
    }

    /// The tensor of this name; fails where it is missing, of another shape, or of a format that is not read.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        let Some(Entry { file, info }) = self.find(name) else {
            return Err(Error::NoTensor {
                dir: self.dir.clone(),
                name: name.to_owned(),
            });
        };
        if *info.shape != *shape {
            let (found, expected) = (info.shape.to_vec(), shape.to_vec());
            return Err(Error::Shape {
                name: name.to_owned(),
                found,
                expected,
            });
        }
        let (map, bytes) = (&self.files[*file], info.bytes.clone());
        let data = match info.dtype {
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

/// The distinct files of the shard index at `place`, which is called `path`, sorted.
fn shards(path: &Path, place: &Path) -> Result<Vec<String>, Error> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: Shards,
    }
    let text = files::read(place, MAX_INDEX).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let index: Index = serde_json::from_slice(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })?;
    let files = index.weight_map.0;
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
    Ok(files.into_iter().collect())
}

/// The distinct values of the map from tensors to files; the tensors are named in the files themselves.
struct Shards(BTreeSet<String>);

impl<'de> Deserialize<'de> for Shards {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shards, D::Error> {
        struct Files;
        impl<'de> Visitor<'de> for Files {
            type Value = Shards;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map from tensors to files")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shards, A::Error> {
                let mut files = BTreeSet::new();
                while let Some((_, file)) = map.next_entry::<IgnoredAny, String>()? {
                    files.insert(file);
                    if files.len() > MAX_SHARDS {
                        return Err(A::Error::custom(format!("more than {MAX_SHARDS} files")));
                    }
                }
                Ok(Shards(files))
            }
        }
        deserializer.deserialize_map(Files)
    }
}

/// A file as memory.
pub(super) fn map(path: &Path) -> Result<Arc<Mmap>, Error> {
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    // SAFETY: the map is read-only. Changing a model file while it is in use is outside the contract of every program
    // that maps its weights; the worst of it is wrong numbers or a bus error, as with a damaged disk.
    let map = unsafe { Mmap::map(&file) }.map_err(read)?;
    Ok(Arc::new(map))
}
