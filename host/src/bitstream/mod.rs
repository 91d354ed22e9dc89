//! Manifests: what stands in `bitstreams/NAME.toml` beside a built image (a simulated board has no image of its own).

use std::path::{Path, PathBuf};

use abi::Config;

/// The manifest of the simulated board, for when none is named.
const SIMULATED: &str = include_str!("../../../bitstreams/sim.toml");

/// Says which engine a board holds and how to reach it.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Where it was read from.
    pub path: PathBuf,
    /// The board.
    pub board: String,
    /// The engine's configuration.
    pub config: Config,
    /// The engine's fingerprint when the image was built.
    pub fingerprint: u64,
    /// Ways to reach the board, the usual one first.
    pub device: Vec<String>,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read manifest `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a manifest.
    #[error("`{}` is not a manifest: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest was written for another version of this program.
    #[error("manifest `{}` has fingerprint {found:016x}, but this program's is {wanted:016x} for configuration `{config}`; rebuild with `{rebuild}` and set the fingerprint", path.display())]
    Stale {
        /// The file.
        path: PathBuf,
        /// The manifest's fingerprint.
        found: u64,
        /// This program's fingerprint.
        wanted: u64,
        /// The configuration.
        config: &'static str,
        /// The command that rebuilds.
        rebuild: String,
    },
}

/// The form of the file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    board: String,
    config: String,
    fingerprint: String,
    device: Vec<String>,
    /// Versions of the tools that built the image; for people.
    #[serde(default)]
    #[allow(dead_code)]
    tools: toml::Table,
}

/// The command that rebuilds the engine of a configuration.
pub fn rebuild(config: &Config) -> String {
    format!("make sim CONFIG={}", config.name)
}

impl Manifest {
    /// The manifest at `path`, or beside the image at `path`; the simulated board's where no path is given.
    ///
    /// # Errors
    /// If the file is missing, has another form, or was made for another version of this program.
    pub fn open(path: Option<&Path>) -> Result<Manifest, Error> {
        let Some(path) = path else {
            return Self::parse(SIMULATED, Path::new("bitstreams/sim.toml"));
        };
        let path = path.with_extension("toml");
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        Self::parse(&text, &path)
    }

    fn parse(text: &str, path: &Path) -> Result<Manifest, Error> {
        let wrong = |reason: String| Error::Form {
            path: path.to_owned(),
            reason,
        };
        let file: File =
            toml::from_str(text).map_err(|e| wrong(e.message().replace('\n', ", ")))?;
        let config = Config::named(&file.config).map_err(wrong)?;
        let fingerprint = u64::from_str_radix(&file.fingerprint, 16)
            .ok()
            .filter(|_| file.fingerprint.len() == 16)
            .ok_or_else(|| {
                wrong(format!(
                    "fingerprint `{}` is not 16 hexadecimal digits",
                    file.fingerprint
                ))
            })?;
        if file.device.is_empty() {
            return Err(wrong("`device` names no way to reach the board".to_owned()));
        }
        let wanted = abi::fingerprint(&config);
        if fingerprint != wanted {
            return Err(Error::Stale {
                path: path.to_owned(),
                found: fingerprint,
                wanted,
                config: config.name,
                rebuild: rebuild(&config),
            });
        }
        Ok(Manifest {
            path: path.to_owned(),
            board: file.board,
            config,
            fingerprint,
            device: file.device,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manifests of the repository are those of this program's contract.
    #[test]
    fn no_manifest_is_stale() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bitstreams");
        for config in abi::config::CONFIGS {
            let path = dir.join(format!("{}.toml", config.name));
            let manifest = Manifest::open(Some(&path)).unwrap();
            assert_eq!(manifest.config, config);
        }
        assert_eq!(Manifest::open(None).unwrap().config.name, "sim");
    }

    fn parse(text: &str) -> Result<Manifest, Error> {
        Manifest::parse(text, Path::new("x.toml"))
    }

    #[test]
    fn an_image_stands_beside_its_manifest() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bitstreams/tiny.bit");
        assert_eq!(Manifest::open(Some(&path)).unwrap().config.name, "tiny");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (change, part) in [
            (("config = \"sim\"", "config = \"huge\""), "`huge`"),
            (("board", "bord"), "bord"),
            (("[\"sim\"", "[] #"), "no way to reach"),
            (("fingerprint = \"", "fingerprint = \"zz"), "hexadecimal"),
        ] {
            let e = parse(&SIMULATED.replace(change.0, change.1)).unwrap_err();
            let e = e.to_string();
            assert!(e.contains("x.toml") && e.contains(part), "{e}");
            assert!(!e.contains('\n'), "{e}");
        }
    }

    #[test]
    fn a_stale_fingerprint_prints_both_and_the_command() {
        let right = format!("{:016x}", abi::fingerprint(&abi::config::SIM));
        let e = parse(&SIMULATED.replace(&right, "0123456789abcdef")).unwrap_err();
        let e = e.to_string();
        for part in ["0123456789abcdef", &right, "make sim CONFIG=sim"] {
            assert!(e.contains(part), "{e} does not say {part}");
        }
    }
}
