//! Reading one JSON configuration file: typed getters that name the file and the key when they fail.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Error;
use crate::files;

/// Longer than any configuration.
const MAX_BYTES: u64 = 4 << 20;
/// More values than any configuration has, counted by the signs around them: a value that takes two bytes in the file takes many times
/// as much in memory.
const MAX_VALUES: usize = 8192;

/// Sizes above this are refused, so that products of two sizes cannot overflow.
const MAX_SIZE: u64 = 1 << 31;

/// A parsed JSON object and where it came from.
#[derive(Debug)]
pub struct Config {
    path: PathBuf,
    root: Value,
}

impl Config {
    /// Reads a file of a model directory; fails where it is missing, lies elsewhere, or is not a JSON object.
    pub fn of_model(dir: &Path, name: &str) -> Result<Self, Error> {
        Self::parse(&dir.join(name), &super::place(dir, name)?)
    }

    /// Reads a file; fails where it is missing or not a JSON object.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(path, path)
    }

    /// Reads the file at `place`, which is called `path`.
    fn parse(path: &Path, place: &Path) -> Result<Self, Error> {
        let text = files::read(place, MAX_BYTES).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut config = Self {
            path: path.to_owned(),
            root: Value::Null,
        };
        let values = text.iter().filter(|b| b",:[{".contains(b)).count();
        if values > MAX_VALUES {
            return Err(config.wrong(format!(
                "it has {values} values, but at most {MAX_VALUES} can be in a configuration"
            )));
        }
        config.root = serde_json::from_slice(&text).map_err(|source| Error::Json {
            path: path.to_owned(),
            source,
        })?;
        if config.root.is_object() {
            Ok(config)
        } else {
            Err(config.wrong("it is not a JSON object"))
        }
    }

    /// An error about this file.
    pub fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::Config {
            path: self.path.clone(),
            reason: reason.into(),
        }
    }

    /// The value of the first of `keys` (spellings of one thing) that is present and not null.
    /// A dot descends into an object.
    fn value(&self, keys: &[&str]) -> Option<(String, &Value)> {
        keys.iter().find_map(|key| {
            let found = key
                .split('.')
                .try_fold(&self.root, |at, part| at.get(part))?;
            (!found.is_null()).then(|| (key.to_string(), found))
        })
    }

    fn typed<'a, T>(
        &'a self,
        keys: &[&str],
        wanted: &str,
        take: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some((key, value)) = self.value(keys) else {
            return Ok(None);
        };
        match take(value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.wrong(format!("`{key}` is {value}, but must be {wanted}"))),
        }
    }

    fn missing(&self, keys: &[&str]) -> Error {
        self.wrong(format!("`{}` is missing", keys[0]))
    }

    /// Whether there is a value for this key.
    pub fn has(&self, key: &str) -> bool {
        self.value(&[key]).is_some()
    }

    /// An optional non-negative integer.
    pub fn count_or(&self, keys: &[&str], default: usize) -> Result<usize, Error> {
        let take = |v: &Value| v.as_u64().filter(|&n| n <= MAX_SIZE).map(|n| n as usize);
        Ok(self
            .typed(keys, "an integer from 0 to 2^31", take)?
            .unwrap_or(default))
    }

    /// An optional size: a positive integer.
    pub fn size_opt(&self, keys: &[&str]) -> Result<Option<usize>, Error> {
        let take = |v: &Value| {
            v.as_u64()
                .filter(|&n| (1..=MAX_SIZE).contains(&n))
                .map(|n| n as usize)
        };
        self.typed(keys, "an integer from 1 to 2^31", take)
    }

    /// A required size: a positive integer.
    pub fn size(&self, keys: &[&str]) -> Result<usize, Error> {
        self.size_opt(keys)?.ok_or_else(|| self.missing(keys))
    }

    /// An optional finite number.
    pub fn number_opt(&self, keys: &[&str]) -> Result<Option<f64>, Error> {
        self.typed(keys, "a number", |v| v.as_f64().filter(|n| n.is_finite()))
    }

    /// An optional flag.
    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool, Error> {
        Ok(self
            .typed(&[key], "true or false", Value::as_bool)?
            .unwrap_or(default))
    }

    /// An optional string.
    pub fn text_opt(&self, keys: &[&str]) -> Result<Option<&str>, Error> {
        self.typed(keys, "a string", Value::as_str)
    }

    /// A required string.
    pub fn text(&self, keys: &[&str]) -> Result<&str, Error> {
        self.text_opt(keys)?.ok_or_else(|| self.missing(keys))
    }

    /// A list of layer numbers; empty where absent.
    pub fn layers(&self, key: &str) -> Result<Vec<usize>, Error> {
        let take = |v: &Value| {
            v.as_array()?
                .iter()
                .map(|n| n.as_u64().map(|n| n as usize))
                .collect()
        };
        Ok(self
            .typed(&[key], "a list of layer numbers", take)?
            .unwrap_or_default())
    }

    /// A token id or a list of them; empty where absent.
    pub fn ids(&self, key: &str) -> Result<Vec<u32>, Error> {
        let id = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
        let take = |v: &Value| match v {
            Value::Array(list) => list.iter().map(id).collect(),
            one => id(one).map(|n| vec![n]),
        };
        Ok(self
            .typed(&[key], "a token id or a list of them", take)?
            .unwrap_or_default())
    }

    /// A list of strings; `None` where absent.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&str>>, Error> {
        self.typed(&[key], "a list of strings", |v| {
            v.as_array()?.iter().map(Value::as_str).collect()
        })
    }
}
