//! Manifests: what stands in `bitstreams/NAME.toml` beside a built image (a simulated board has no image of its own).

pub mod image;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use abi::Config;
use sha2::{Digest, Sha256};

use self::image::{Family, Image};
use crate::files;

/// Longer than any manifest; the parser takes some 150 times as much memory.
const MAX_MANIFEST: u64 = 16 << 10;
/// Longer than any image.
const MAX_IMAGE: u64 = 256 << 20;
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
    /// What is known of the image that was named, and what to do with it; absent where the manifest was.
    pub image: Option<String>,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read `{}`", path.display())]
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
    /// The image is damaged, or another one than the manifest's.
    #[error("image `{}`: {reason}", path.display())]
    Image {
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
    /// Versions of the tools that built the image; for people, as the next three.
    #[serde(default)]
    #[allow(dead_code)]
    tools: toml::Table,
    /// Part and seeds.
    #[serde(default)]
    #[allow(dead_code)]
    build: toml::Table,
    /// Clocks: what they must have and have.
    #[serde(default)]
    #[allow(dead_code)]
    timing: toml::Table,
    /// Cells of the part by type.
    #[serde(default)]
    #[allow(dead_code)]
    utilisation: toml::Table,
    /// The image that lies beside it.
    image: Option<Built>,
}

/// What a manifest says of its image.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Built {
    /// IDCODE of the part, hexadecimal.
    idcode: String,
    /// USERCODE, hexadecimal: the low half of the fingerprint.
    usercode: String,
    /// SHA-256 of the file, hexadecimal.
    sha256: String,
    /// The command that loads it into the board's FPGA.
    load: String,
    /// What whoever loads it should know, where the board is not found afterwards as `device` says.
    note: Option<String>,
}

/// Compares an image with its manifest; what to say of it.
fn checked(bytes: &[u8], built: &Built, fingerprint: u64) -> Result<String, String> {
    let image = Image::parse(bytes)?;
    let number = |what: &str, text: &str| {
        u32::from_str_radix(text, 16)
            .map_err(|_| format!("the manifest's {what} `{text}` is no hexadecimal number"))
    };
    let wanted = number("idcode", &built.idcode)?;
    let name = image.part().unwrap_or("an unknown part");
    if image.idcode != wanted {
        return Err(format!(
            "it is for {name} (IDCODE {:08x}); its manifest says {wanted:08x}",
            image.idcode
        ));
    }
    let wanted = number("usercode", &built.usercode)?;
    if wanted != fingerprint as u32 {
        return Err(format!("the manifest's usercode {wanted:08x} is not the low half of its fingerprint {fingerprint:016x}"));
    }
    let usercode = match image.usercode {
        Some(found) if found != wanted => {
            return Err(format!("its USERCODE is {found:08x}; the manifest says {wanted:08x}, so it holds another engine; build it again"))
        }
        Some(_) => "IDCODE, USERCODE and SHA-256 as",
        None => "without USERCODE; IDCODE and SHA-256 as",
    };
    let hash = Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, b| {
            let _ = write!(text, "{b:02x}");
            text
        });
    if hash != built.sha256 {
        return Err(format!("its SHA-256 is {hash}; the manifest says {}, so the file was changed after it was built", built.sha256));
    }
    let family = match image.family {
        Family::Ecp5 => "ECP5",
        Family::Xilinx7 => "7 series",
    };
    let after = match &built.note {
        Some(note) => format!("; {note}"),
        None => ", after which the board is looked for as the manifest says".to_owned(),
    };
    Ok(format!(
        "{family} image for {name}, {usercode} its manifest says; load it with `{}`{after}",
        built.load
    ))
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
        let file = path;
        let path = path.with_extension("toml");
        let read = |path: &Path, limit| {
            files::read(path, limit).map_err(|source| Error::Read {
                path: path.to_owned(),
                source,
            })
        };
        let text = String::from_utf8_lossy(&read(&path, MAX_MANIFEST)?).into_owned();
        let (mut manifest, built) = Self::parse_all(&text, &path)?;
        // A simulated board has no image; naming one that could lie beside its manifest is naming the manifest.
        if file != path && (built.is_some() || file.exists()) {
            let wrong = |reason| Error::Image {
                path: file.to_owned(),
                reason,
            };
            let built = built.ok_or_else(|| {
                wrong(format!(
                    "its manifest `{}` knows of no image",
                    path.display()
                ))
            })?;
            let said =
                checked(&read(file, MAX_IMAGE)?, &built, manifest.fingerprint).map_err(wrong)?;
            manifest.image = Some(format!("{}: {said}", file.display()));
        }
        Ok(manifest)
    }

    fn parse(text: &str, path: &Path) -> Result<Manifest, Error> {
        Ok(Self::parse_all(text, path)?.0)
    }

    fn parse_all(text: &str, path: &Path) -> Result<(Manifest, Option<Built>), Error> {
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
        let manifest = Manifest {
            path: path.to_owned(),
            board: file.board,
            config,
            fingerprint,
            device: file.device,
            image: None,
        };
        Ok((manifest, file.image))
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

    /// A manifest with an image that is one of its own, in a folder of its own.
    fn built(name: &str, change: impl Fn(&str) -> String) -> (PathBuf, Result<Manifest, Error>) {
        let folder = std::env::temp_dir().join(format!("roundhouse-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let bytes = image::lattice(abi::fingerprint(&abi::config::SIM) as u32);
        std::fs::write(folder.join("x.bit"), &bytes).unwrap();
        let hash: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let usercode = abi::fingerprint(&abi::config::SIM) as u32;
        let text = format!(
            "{SIMULATED}\n[image]\nidcode = \"81112043\"\nusercode = \"{usercode:08x}\"\nsha256 = \"{hash}\"\nload = \"openFPGALoader x.bit\"\n"
        );
        std::fs::write(folder.join("x.toml"), change(&text)).unwrap();
        let manifest = Manifest::open(Some(&folder.join("x.bit")));
        (folder, manifest)
    }

    #[test]
    fn an_image_is_compared_with_its_manifest() {
        let (folder, manifest) = built("image", |t| t.into());
        let said = manifest.unwrap().image.unwrap();
        for part in [
            "LFE5UM5G-45F",
            "openFPGALoader x.bit",
            "SHA-256",
            "is looked for",
        ] {
            assert!(said.contains(part), "{said}");
        }
        std::fs::remove_dir_all(folder).unwrap();
        let (folder, manifest) = built("image", |t| format!("{t}note = \"serial only\"\n"));
        let said = manifest.unwrap().image.unwrap();
        assert!(
            said.ends_with("`openFPGALoader x.bit`; serial only"),
            "{said}"
        );
        std::fs::remove_dir_all(folder).unwrap();
        for (change, part) in [
            (("81112043", "81113043"), "it is for LFE5UM5G-45F"),
            (("idcode = \"", "idcode = \"zz"), "no hexadecimal number"),
            (("usercode = \"", "usercode = \"1"), "no hexadecimal number"),
            (
                ("sha256 = \"", "sha256 = \"0"),
                "was changed after it was built",
            ),
            (("[image]", "[tools]"), "knows of no image"),
        ] {
            let (folder, manifest) = built("image", |t| t.replacen(change.0, change.1, 1));
            let e = manifest.unwrap_err().to_string();
            assert!(e.contains("x.bit") && e.contains(part), "{e}");
            std::fs::remove_dir_all(folder).unwrap();
        }
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
