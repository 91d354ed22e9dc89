//! A vfio-user server for any [`Function`]: QEMU, or a program of its own, attaches to the socket and has a PCI device.
//! One client at a time; each finds a fresh function. docs/pcie.md says how to attach.

mod irqs;
mod memory;
mod platform;
mod queue;
mod session;

use crate::function::Function;
use rustix::event::PollFlags;
use std::fs::DirBuilder;
use std::io::{self, ErrorKind::*};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Why a server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket cannot be made.
    #[error("the socket {} cannot be made: {reason}", path.display())]
    Bind {
        /// The path.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The listening socket failed.
    #[error("no client can be accepted: {0}")]
    Accept(#[from] vfio_user::Error),
    /// A board for the next client cannot be had.
    #[error(transparent)]
    Board(#[from] Box<dyn std::error::Error + Send + Sync>),
}

/// A socket, removed when this is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Makes the socket, which only this user may connect to. A socket that a server left behind is replaced.
    ///
    /// # Errors
    /// The path is in use, or no socket can be made there.
    pub fn bind(path: &Path) -> Result<Server, Error> {
        let fail = |reason: String| Error::Bind {
            path: path.into(),
            reason,
        };
        let lift = |e: io::Error| fail(e.to_string());
        if let Ok(found) = std::fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(fail("something else has this name; choose another".into()));
            }
            if UnixStream::connect(path).is_ok() {
                return Err(fail("another server uses it; choose another path".into()));
            }
            std::fs::remove_file(path).map_err(lift)?;
        }
        // In a private folder until its permissions are set, so that nobody else can connect in between.
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let n = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = parent
            .unwrap_or(Path::new("."))
            .join(format!(".sim-tb.{}.{n}", std::process::id()));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(lift)?;
        let bound = (|| {
            let inner = folder.join("s");
            let listener = UnixListener::bind(&inner)?;
            std::fs::set_permissions(&inner, PermissionsExt::from_mode(0o600))?;
            std::fs::rename(&inner, path)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })();
        let _ = std::fs::remove_dir_all(&folder);
        Ok(Server {
            listener: bound.map_err(lift)?,
            path: path.into(),
        })
    }

    /// Serves one client after another, each with a function from `make`, until `stop` is set.
    ///
    /// # Errors
    /// The listening socket fails, or `make` does.
    pub fn run(
        &self,
        mut make: impl FnMut() -> Result<Box<dyn Function>, Box<dyn std::error::Error + Send + Sync>>,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        while !stop.load(Ordering::Relaxed) {
            let tick = Duration::from_millis(100);
            if !vfio_user::ready(self.listener.as_fd(), PollFlags::IN, tick)? {
                continue;
            }
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                // It may have left already.
                Err(e) if matches!(e.kind(), WouldBlock | Interrupted | ConnectionAborted) => {
                    continue;
                }
                // As with too many open files: it would be the same the next time.
                Err(e) => return Err(Error::Accept(e.into())),
            };
            if let Err(e) = session::serve(make()?, stream, &self.listener, stop) {
                session::log(format_args!("the client was dropped: {e}"));
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
