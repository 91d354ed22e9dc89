//! Descriptors that count events, and waiting for them.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{eventfd, poll, EventfdFlags, PollFd, PollFlags, Timespec};

/// Makes `count` of them; reading one does not block.
pub(crate) fn events(count: u32) -> Result<Vec<File>, String> {
    let one = |_| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(File::from);
    let all: Result<_, _> = (0..count).map(one).collect();
    all.map_err(|e| format!("cannot make an eventfd: {}", crate::because(e)))
}

/// Waits until one of `fds` can be read, or its other end is gone; which ones.
pub(crate) fn readable<const N: usize>(
    fds: [BorrowedFd; N],
    timeout: Duration,
) -> std::io::Result<[bool; N]> {
    let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let limit = Timespec::try_from(timeout).ok();
    match poll(&mut fds, limit.as_ref()) {
        Ok(_) => Ok(fds.map(|fd| !fd.revents().is_empty())),
        // A signal: as if the time were over.
        Err(rustix::io::Errno::INTR) => Ok([false; N]),
        Err(e) => Err(e.into()),
    }
}

/// Takes what an event has counted; whether there was anything.
pub(crate) fn take(event: &mut File) -> bool {
    event.read(&mut [0; 8]).is_ok()
}

/// Waits until an event has counted something, and takes that.
pub(crate) fn wait(event: &mut File, timeout: Duration) -> std::io::Result<bool> {
    let [ready] = readable([event.as_fd()], timeout)?;
    Ok(ready && take(event))
}
