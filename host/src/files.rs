//! Files that may come from anywhere: how much of them is read, and where they may lie.

use std::fs::File;
use std::io::{Error, Read, Result};
use std::path::{Path, PathBuf};

/// The bytes of a file of at most `limit` bytes; of a longer one no more is read than that.
///
/// # Errors
/// As for any file, and where it is longer, which the error says.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path)?;
    let expected = file.metadata()?.len().min(limit);
    let mut bytes = Vec::new();
    // What is read after the end decides whether more would have come; the room for it saves a copy of all.
    bytes.reserve_exact(expected as usize + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(Error::other(format!(
            "it is longer than {limit} bytes, so it is not what it should be"
        ))),
        false => Ok(bytes),
    }
}

/// Where the file `name` of a model directory is. Models come from anywhere, so it is a regular file inside the directory, also where
/// links are followed; or one of the `blobs` of the hub's cache to whose `snapshots` the directory belongs.
///
/// # Errors
/// There is no such file, or it lies elsewhere, which the error says.
pub fn within(dir: &Path, name: &str) -> Result<PathBuf> {
    if Path::new(name).file_name() != Some(name.as_ref()) {
        return Err(Error::other(format!("`{name}` is not a plain file name")));
    }
    let (dir, file) = (dir.canonicalize()?, dir.join(name).canonicalize()?);
    let snapshots = dir.parent().filter(|up| up.ends_with("snapshots"));
    let blobs = snapshots.and_then(Path::parent).map(|up| up.join("blobs"));
    let inside = file.starts_with(&dir) || blobs.is_some_and(|blobs| file.starts_with(blobs));
    if !inside {
        return Err(Error::other(format!(
            "it is a link to `{}`, outside the model's directory; if you trust it, put the file itself there",
            file.display()
        )));
    }
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(Error::other("it is not a regular file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, remove_dir_all, write};
    use std::os::unix::fs::symlink;

    #[test]
    fn no_more_is_read_than_may_be() {
        let e = read(Path::new("/dev/zero"), 100).unwrap_err().to_string();
        assert!(e.contains("longer than 100 bytes"), "{e}");
        let me = Path::new(file!()).file_name().unwrap();
        let me = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(me);
        let length = std::fs::metadata(&me).unwrap().len();
        assert_eq!(read(&me, length).unwrap().len() as u64, length);
        assert!(read(&me, length - 1).is_err());
    }

    #[test]
    fn files_of_a_model_lie_in_its_directory() {
        let root = std::env::temp_dir().join(format!("host-files-{}", std::process::id()));
        let dir = root.join("models--a--b/snapshots/1");
        let blobs = root.join("models--a--b/blobs");
        create_dir_all(dir.join("inner")).unwrap();
        create_dir_all(&blobs).unwrap();
        for file in [
            dir.join("plain"),
            dir.join("inner/deep"),
            blobs.join("f00"),
            root.join("secret"),
        ] {
            write(file, b"x").unwrap();
        }
        for (name, to) in [
            ("to-plain", "plain"),
            ("to-deep", "inner/deep"),
            // As the hub's cache has it.
            ("to-blob", "../../blobs/f00"),
            ("to-secret", "../../../secret"),
            ("to-root", "/etc/hostname"),
            ("to-link", "to-secret"),
            ("to-device", "/dev/zero"),
            ("to-nothing", "nothing"),
            ("to-itself", "to-itself"),
        ] {
            symlink(to, dir.join(name)).unwrap();
        }
        for name in ["plain", "to-plain", "to-deep", "to-blob"] {
            assert!(within(&dir, name).is_ok(), "{name}");
        }
        for (name, part) in [
            ("../../../secret", "not a plain file name"),
            ("/etc/hostname", "not a plain file name"),
            ("inner/deep", "not a plain file name"),
            ("..", "not a plain file name"),
            ("", "not a plain file name"),
            ("to-secret", "secret`, outside the model's directory"),
            ("to-root", "`/etc/hostname`, outside"),
            ("to-link", "outside"),
            ("to-device", "outside"),
            ("to-nothing", "No such file"),
            ("to-itself", "symbolic links"),
            ("inner", "not a regular file"),
        ] {
            let e = within(&dir, name).unwrap_err().to_string();
            assert!(e.contains(part), "{name}: {e}");
        }
        // Elsewhere `blobs` has no meaning.
        let plain = root.join("x/y/z");
        create_dir_all(&plain).unwrap();
        create_dir_all(root.join("x/blobs")).unwrap();
        write(root.join("x/blobs/f00"), b"x").unwrap();
        symlink("../../blobs/f00", plain.join("to-blob")).unwrap();
        assert!(within(&plain, "to-blob").is_err());
        remove_dir_all(root).unwrap();
    }
}
