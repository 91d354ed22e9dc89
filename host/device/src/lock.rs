//! One program per board: a locked file in a directory of the user's own. The kernel gives the lock back when the program ends, however.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Error;

/// A board that is this program's as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the board whose node is `node`; `device` is its name for messages.
    ///
    /// # Errors
    /// Another program has it, which is named; or there is no place for the file.
    pub fn take(device: &str, node: &Path) -> Result<Lock, Error> {
        let say = |what: String| Error::Open(format!("{device}: {what}"));
        let name = name(node).map_err(|e| say(format!("cannot find `{}`: {e}", node.display())))?;
        Lock::within(&directory().map_err(say)?, device, &name)
    }

    /// Who has the board whose node is `node`, if that is known.
    pub fn holder(node: &Path) -> Option<String> {
        let path = directory().ok()?.join(name(node).ok()?);
        let mut file = File::open(path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(said(&mut file)),
            _ => None,
        }
    }

    fn within(directory: &Path, device: &str, name: &str) -> Result<Lock, Error> {
        let path = directory.join(name);
        let failed = |e: std::io::Error| {
            Error::Open(format!(
                "{device}: cannot use the lock file `{}`: {e}",
                path.display()
            ))
        };
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = said(&mut file);
                return Err(Error::Open(format!(
                    "{device} is in use by {holder}; wait until it ends, or stop it"
                )));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let program = std::env::args().next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default();
        let text = format!("process {} ({program})\n", std::process::id());
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(failed)?;
        Ok(Lock { file })
    }
}

impl Drop for Lock {
    /// Nobody is named by mistake later.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

/// What a lock file says of its holder.
fn said(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    match text.trim() {
        "" => "another program".to_owned(),
        known => known.to_owned(),
    }
}

/// The same however the path to the node is spelt.
fn name(node: &Path) -> std::io::Result<String> {
    let node = std::fs::metadata(node)?;
    Ok(format!("{:x}-{:x}.lock", node.dev(), node.ino()))
}

/// Where locks lie: the user's run-time directory, or one made in the directory for temporary files; nobody else can write to it.
fn directory() -> Result<PathBuf, String> {
    let me = std::fs::metadata("/proc/self")
        .map_err(|e| format!("cannot read /proc/self: {e}; mount /proc"))?;
    let (parent, name) = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) if Path::new(&dir).is_dir() => (PathBuf::from(dir), "roundhouse".to_owned()),
        _ => (std::env::temp_dir(), format!("roundhouse-{}", me.uid())),
    };
    let dir = parent.join(name);
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(format!(
                "cannot make the directory `{}` for lock files: {e}",
                dir.display()
            ));
        }
        _ => {}
    }
    let found = std::fs::symlink_metadata(&dir);
    match found {
        Ok(m) if m.is_dir() && m.uid() == me.uid() && m.mode() & 0o022 == 0 => Ok(dir),
        _ => Err(format!(
            "`{0}` is to hold lock files, but is not a directory that only you can write to; remove it, or `chmod 700 {0}` if it is yours",
            dir.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_the_first() {
        let dir = std::env::temp_dir().join(format!("device-lock-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let first = Lock::within(&dir, "xdma:7", "xdma-7").unwrap();
        let e = Lock::within(&dir, "xdma:7", "xdma-7")
            .unwrap_err()
            .to_string();
        assert!(
            e.contains(&format!("process {}", std::process::id())),
            "{e}"
        );
        assert!(e.contains("xdma:7 is in use"), "{e}");
        drop(first);
        Lock::within(&dir, "xdma:7", "xdma-7").unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
