//! Framing over a UNIX stream socket. The socket does not block; a message is read to its own end and never beyond, so the descriptors
//! that come with its bytes are its own.

use crate::message::{Header, Kind, Message, HEADER};
use crate::{Error, MAX_MESSAGE};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    recvmsg, sendmsg, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// More than the kernel lets through at once, so that none is cut off for want of room here.
const RECEIVED_FDS: usize = 254;

/// The two halves of a connection, which may go to different threads.
///
/// # Errors
/// The socket cannot be duplicated or made non-blocking.
pub fn pair(stream: UnixStream) -> Result<(Sender, Receiver), Error> {
    stream.set_nonblocking(true)?;
    let receiver = Receiver {
        stream: stream.try_clone()?,
        header: [0; HEADER],
        body: None,
        filled: 0,
        fds: Vec::new(),
        fds_lost: false,
    };
    Ok((Sender { stream }, receiver))
}

/// Waits until `fd` is ready for one of `events`, or its other side is gone; false when the time is over.
///
/// # Errors
/// `poll` failed.
pub fn ready(fd: BorrowedFd, events: PollFlags, timeout: Duration) -> Result<bool, Error> {
    let end = Instant::now() + timeout;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: left.as_secs().min(1 << 30) as i64,
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::from_borrowed_fd(fd, events)], Some(&left)) {
            Ok(n) => return Ok(n > 0),
            Err(Errno::INTR) => {}
            Err(e) => return Err(Error::Io(e.into())),
        }
    }
}

/// The sending half.
#[derive(Debug)]
pub struct Sender {
    stream: UnixStream,
}

impl Sender {
    /// Sends one message: the body is `parts` in a row.
    ///
    /// # Errors
    /// The connection is of no more use; after [`Error::TimedOut`] too, since a part may have been sent.
    pub fn send(
        &mut self,
        id: u16,
        command: u16,
        kind: Kind,
        parts: &[&[u8]],
        fds: &[BorrowedFd],
        timeout: Duration,
    ) -> Result<(), Error> {
        let end = Instant::now() + timeout;
        let size = HEADER + parts.iter().map(|p| p.len()).sum::<usize>();
        let header = Header {
            id,
            command,
            size: u32::try_from(size)
                .map_err(|_| Error::Malformed(format!("{size} bytes to send")))?,
            kind,
        }
        .to_bytes();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(RECEIVED_FDS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Error::Malformed(format!("{} descriptors", fds.len())));
        }
        let mut sent = 0;
        while sent < size {
            let mut slices = Vec::with_capacity(1 + parts.len());
            let mut skip = sent;
            for part in std::iter::once(&header[..]).chain(parts.iter().copied()) {
                let from = skip.min(part.len());
                skip -= from;
                if from < part.len() {
                    slices.push(IoSlice::new(&part[from..]));
                }
            }
            match sendmsg(&self.stream, &slices, &mut beside, SendFlags::NOSIGNAL) {
                Ok(n) => {
                    sent += n;
                    beside.clear();
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() || !ready(self.stream.as_fd(), PollFlags::OUT, left)? {
                        return Err(Error::TimedOut("room to send"));
                    }
                }
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(Error::Closed),
                Err(e) => return Err(Error::Io(e.into())),
            }
        }
        Ok(())
    }
}

/// The receiving half.
#[derive(Debug)]
pub struct Receiver {
    stream: UnixStream,
    header: [u8; HEADER],
    /// Once the header is complete.
    body: Option<(Header, Vec<u8>)>,
    /// Bytes there are of the header, or of the body.
    filled: usize,
    fds: Vec<OwnedFd>,
    fds_lost: bool,
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Receiver {
    /// The next message if all of it is here; never waits.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub fn receive(&mut self) -> Result<Option<Message>, Error> {
        loop {
            if self.body.is_none() && self.filled == HEADER {
                self.begin_body()?;
            }
            if self
                .body
                .as_ref()
                .is_some_and(|(_, b)| self.filled == b.len())
            {
                return Ok(self.finish());
            }
            let into = match &mut self.body {
                None => &mut self.header[self.filled..],
                Some((_, body)) => &mut body[self.filled..],
            };
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(RECEIVED_FDS))];
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let got = match recvmsg(
                &self.stream,
                &mut [IoSliceMut::new(into)],
                &mut beside,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Ok(got) => got,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::CONNRESET) => return Err(Error::Closed),
                Err(e) => return Err(Error::Io(e.into())),
            };
            for message in beside.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    self.fds.extend(fds);
                }
            }
            self.fds_lost |= got.flags.contains(ReturnFlags::CTRUNC);
            // A byte at a time, each with descriptors: no honest peer does that.
            if self.fds.len() > RECEIVED_FDS {
                return Err(Error::Malformed("too many descriptors".into()));
            }
            if got.bytes == 0 {
                return Err(match (&self.body, self.filled) {
                    (None, 0) => Error::Closed,
                    _ => Error::Malformed("it ends in the middle".into()),
                });
            }
            self.filled += got.bytes;
        }
    }

    /// As [`Receiver::receive`], waiting up to `timeout`.
    ///
    /// # Errors
    /// [`Error::TimedOut`], after which the connection is still good; or it is of no more use.
    pub fn wait(&mut self, timeout: Duration) -> Result<Message, Error> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(message) = self.receive()? {
                return Ok(message);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || !ready(self.stream.as_fd(), PollFlags::IN, left)? {
                return Err(Error::TimedOut("message"));
            }
        }
    }

    fn begin_body(&mut self) -> Result<(), Error> {
        let header = Header::from_bytes(&self.header)
            .ok_or_else(|| Error::Malformed("neither request nor reply".into()))?;
        let size = header.size as usize;
        if !(HEADER..=MAX_MESSAGE).contains(&size) {
            return Err(Error::Malformed(format!(
                "{size} bytes long ({HEADER} to {MAX_MESSAGE} are possible)"
            )));
        }
        self.body = Some((header, vec![0; size - HEADER]));
        self.filled = 0;
        Ok(())
    }

    fn finish(&mut self) -> Option<Message> {
        let (header, body) = self.body.take()?;
        self.filled = 0;
        Some(Message {
            id: header.id,
            command: header.command,
            kind: header.kind,
            body,
            fds: std::mem::take(&mut self.fds),
            fds_lost: std::mem::take(&mut self.fds_lost),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Command;
    use std::fs::File;
    use std::io::{Read, Write};

    const SOON: Duration = Duration::from_secs(5);
    const REQUEST: Kind = Kind::Request { reply: true };

    fn connection() -> (Sender, Receiver) {
        let (a, b) = UnixStream::pair().unwrap();
        (pair(a).unwrap().0, pair(b).unwrap().1)
    }

    #[test]
    fn messages_and_their_descriptors_stay_together() {
        let (mut tx, mut rx) = connection();
        assert!(rx.receive().unwrap().is_none());
        let null = File::open("/dev/null").unwrap();
        for n in 0..40u16 {
            let fds = vec![null.as_fd(); usize::from(n % 3)];
            let body = vec![n as u8; usize::from(n)];
            tx.send(n, 9, REQUEST, &[&body[..], b"tail"], &fds, SOON)
                .unwrap();
        }
        for n in 0..40u16 {
            let m = rx.wait(SOON).unwrap();
            assert_eq!((m.id, m.command, m.kind), (n, 9, REQUEST));
            assert_eq!(m.fds.len(), usize::from(n % 3));
            assert_eq!(
                m.body,
                [&vec![n as u8; usize::from(n)][..], b"tail"].concat()
            );
        }
        assert!(matches!(rx.wait(Duration::ZERO), Err(Error::TimedOut(_))));
        drop(tx);
        assert!(matches!(rx.wait(SOON), Err(Error::Closed)));
    }

    #[test]
    fn a_large_message_comes_in_parts_while_it_is_sent() {
        let (mut tx, mut rx) = connection();
        let data = vec![7; crate::MAX_DATA];
        let sent = data.clone();
        let thread = std::thread::spawn(move || tx.send(1, 9, REQUEST, &[&sent], &[], SOON));
        assert!(rx.wait(SOON).unwrap().body == data);
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn a_peer_that_does_not_read_is_an_error_in_time() {
        let (mut tx, _rx) = connection();
        let data = vec![0; 1 << 24];
        let e = tx.send(1, 9, REQUEST, &[&data], &[], Duration::from_millis(50));
        assert!(matches!(e, Err(Error::TimedOut(_))));
    }

    #[test]
    fn broken_framing_ends_the_connection() {
        let good = Header {
            id: 1,
            command: Command::DeviceReset as u16,
            size: 16,
            kind: REQUEST,
        };
        let odd_type = {
            let mut bytes = good.to_bytes();
            bytes[8] = 3;
            bytes
        };
        for bytes in [
            Header { size: 15, ..good }.to_bytes(),
            Header { size: 0, ..good }.to_bytes(),
            Header {
                size: u32::MAX,
                ..good
            }
            .to_bytes(),
            odd_type,
        ] {
            let (a, b) = UnixStream::pair().unwrap();
            (&a).write_all(&bytes).unwrap();
            let mut rx = pair(b).unwrap().1;
            assert!(
                matches!(rx.wait(SOON), Err(Error::Malformed(_))),
                "{bytes:?}"
            );
        }
        for cut in [3, 16, 17] {
            let (a, b) = UnixStream::pair().unwrap();
            let bytes = [&Header { size: 20, ..good }.to_bytes()[..], &[0; 4]].concat();
            (&a).write_all(&bytes[..cut]).unwrap();
            drop(a);
            let e = pair(b).unwrap().1.wait(SOON);
            assert!(matches!(e, Err(Error::Malformed(_))), "{cut}: {e:?}");
        }
    }

    #[test]
    fn passed_descriptors_work() {
        let (mut tx, mut rx) = connection();
        let (a, mut b) = UnixStream::pair().unwrap();
        tx.send(1, 2, REQUEST, &[], &[a.as_fd()], SOON).unwrap();
        let m = rx.wait(SOON).unwrap();
        File::from(m.fds.into_iter().next().unwrap())
            .write_all(b"x")
            .unwrap();
        let mut got = [0];
        b.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"x");
    }
}
