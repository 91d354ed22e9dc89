//! One client from its VERSION to its leaving. The thread that reads the socket answers what needs no simulation at once; accesses go
//! through a queue to the thread that owns the function, which answers when it is done.

use super::irqs::Irqs;
use super::memory::{Maps, Part};
use super::platform::Platform;
use super::queue::{Job, Next, Queue};
use crate::function::{Error, Fault, Function, Host, Progress};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use vfio_user::message::{
    Capabilities, Command, DeviceInfo, DmaAccess, DmaMap, DmaUnmap, IrqInfo, RegionAccess,
    RegionInfo, SetIrqs, Version, DEVICE_PCI, DEVICE_RESET, PCI_IRQS, PCI_REGIONS, REGION_READ,
    REGION_WRITE, VERSION,
};
use vfio_user::{Errno, Kind, Message, Receiver, Sender};

/// How often the signal to stop is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long a client may leave its socket full.
const SEND: Duration = Duration::from_secs(30);
/// How long a client may take to answer DMA_READ or DMA_WRITE.
const ANSWER: Duration = Duration::from_secs(10);

/// What both threads use.
struct Shared {
    sender: Mutex<Sender>,
    maps: Mutex<Maps>,
    irqs: Mutex<Irqs>,
    queue: Queue,
    /// `max_data_xfer_size` of the client.
    most: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Sends a reply; when that fails, the session is over.
    fn reply(&self, id: u16, command: Command, result: Result<&[&[u8]], Errno>) {
        let (parts, error) = match result {
            Ok(parts) => (parts, None),
            Err(errno) => (&[][..], Some(errno)),
        };
        let kind = Kind::Reply { error };
        let sent = lock(&self.sender).send(id, command as u16, kind, parts, &[], SEND);
        if sent.is_err() {
            self.queue.close();
        }
    }
}

/// Says something to whoever runs the server.
pub(super) fn log(text: impl std::fmt::Display) {
    eprintln!("sim-tb: {text}");
}

/// Serves one client until it leaves or `stop` is set; connections to `listener` meanwhile are closed.
pub fn serve(
    function: Box<dyn Function>,
    stream: UnixStream,
    listener: &UnixListener,
    stop: &AtomicBool,
) -> Result<(), vfio_user::Error> {
    let (sender, receiver) = vfio_user::pair(stream)?;
    let (answers, answered) = mpsc::sync_channel(64);
    let shared = Shared {
        sender: Mutex::new(sender),
        maps: Mutex::default(),
        irqs: Mutex::new(Irqs::new(function.vectors())),
        queue: Queue::default(),
        most: AtomicUsize::new(vfio_user::MAX_DATA),
    };
    let mut client = Client {
        shared: &shared,
        answered,
        next_id: 0,
        faults: 0,
    };
    let platform = match Platform::new(function, &mut client) {
        Ok(platform) => platform,
        Err(e) => {
            log(e);
            return Ok(());
        }
    };
    let mut reader = Reader {
        shared: &shared,
        receiver,
        answers,
        sizes: platform.sizes(),
        negotiated: false,
    };
    std::thread::scope(|scope| {
        let simulator = scope.spawn(|| {
            let _closer = Closer(&shared.queue);
            simulate(platform, client);
        });
        let result = reader.read(listener, stop);
        drop(reader);
        shared.queue.close();
        if simulator.join().is_err() {
            log("the function panicked; the client was dropped");
        }
        result
    })
}

/// Closes the queue however its thread ends.
struct Closer<'a>(&'a Queue);
impl Drop for Closer<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct Reader<'a> {
    shared: &'a Shared,
    receiver: Receiver,
    /// To the simulator, if it waits for an answer.
    answers: mpsc::SyncSender<Message>,
    sizes: [u64; PCI_REGIONS as usize],
    negotiated: bool,
}

impl Reader<'_> {
    fn read(&mut self, listener: &UnixListener, stop: &AtomicBool) -> Result<(), vfio_user::Error> {
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: TICK.as_nanos() as i64,
        };
        while !stop.load(Ordering::Relaxed) && !self.shared.queue.is_closed() {
            if !self.shared.queue.has_room(TICK) {
                continue;
            }
            match self.receiver.receive() {
                Ok(Some(message)) => {
                    self.take(message);
                    continue;
                }
                Ok(None) => {}
                Err(vfio_user::Error::Closed) => return Ok(()),
                Err(e) => return Err(e),
            }
            let mut fds = [
                PollFd::from_borrowed_fd(self.receiver.as_fd(), PollFlags::IN | PollFlags::RDHUP),
                PollFd::new(listener, PollFlags::IN),
            ];
            if poll(&mut fds, Some(&tick)).is_err() {
                continue;
            }
            // Whoever comes after this client has left is the next one.
            let left = fds[0]
                .revents()
                .intersects(PollFlags::RDHUP | PollFlags::HUP);
            if !left && fds[1].revents().contains(PollFlags::IN) {
                let _ = listener.accept();
                log("refused a second client; the board serves one at a time");
            }
        }
        Ok(())
    }

    fn take(&mut self, message: Message) {
        let wanted = match message.kind {
            Kind::Reply { .. } => {
                // The simulator takes the one it waits for; others are stale, or were never asked for.
                let _ = self.answers.try_send(message);
                return;
            }
            Kind::Request { reply } => reply,
        };
        let (id, number) = (message.id, message.command);
        let Some(command) = Command::from_number(number) else {
            if wanted {
                let error = Some(Errno::EOPNOTSUPP);
                let mut sender = lock(&self.shared.sender);
                if sender
                    .send(id, number, Kind::Reply { error }, &[], &[], SEND)
                    .is_err()
                {
                    self.shared.queue.close();
                }
            }
            return;
        };
        let result = match message.fds_lost {
            true => Err(Errno::EMFILE),
            false => self.answer(command, message, wanted),
        };
        match result {
            Ok(None) => {}
            Ok(Some(body)) if wanted => self.shared.reply(id, command, Ok(&[&body])),
            Err(errno) if wanted => self.shared.reply(id, command, Err(errno)),
            _ => {}
        }
    }

    /// The reply's body, or None if the simulator will answer.
    fn answer(
        &mut self,
        command: Command,
        message: Message,
        wanted: bool,
    ) -> Result<Option<Vec<u8>>, Errno> {
        const SHORT: Errno = Errno::EINVAL;
        let Message { id, body, fds, .. } = message;
        if (command == Command::Version) == self.negotiated {
            return Err(Errno::EINVAL);
        }
        let takes_fds = matches!(command, Command::DmaMap | Command::DeviceSetIrqs);
        if !takes_fds && !fds.is_empty() {
            return Err(Errno::EINVAL);
        }
        let job = match command {
            Command::Version => {
                let theirs = Capabilities::from_body(&body).ok_or(SHORT)?;
                self.negotiated = true;
                let most = theirs.max_data_xfer_size;
                self.shared.most.store(most, Ordering::Relaxed);
                let mut reply = Capabilities::OURS.to_body();
                // The lower minor version of the two; QEMU refuses a higher one than its own.
                let theirs = Version::parse(&body).map_or(0, |(version, _)| version.minor);
                let minor = VERSION.minor.min(theirs);
                reply[2..4].copy_from_slice(&minor.to_le_bytes());
                return Ok(Some(reply));
            }
            Command::DmaMap => {
                let (map, _) = DmaMap::parse(&body).ok_or(SHORT)?;
                let mut fds = fds.into_iter();
                let fd = fds.next();
                if fds.next().is_some() {
                    return Err(Errno::EINVAL);
                }
                lock(&self.shared.maps).map(&map, fd)?;
                return Ok(Some(Vec::new()));
            }
            Command::DmaUnmap => {
                let (unmap, _) = DmaUnmap::parse(&body).ok_or(SHORT)?;
                lock(&self.shared.maps).unmap(&unmap)?;
                return Ok(Some(unmap.to_bytes()));
            }
            Command::DeviceGetInfo => {
                DeviceInfo::parse(&body).ok_or(SHORT)?;
                let info = DeviceInfo {
                    argsz: DeviceInfo::BYTES as u32,
                    flags: DEVICE_PCI | DEVICE_RESET,
                    regions: PCI_REGIONS,
                    irqs: PCI_IRQS,
                };
                return Ok(Some(info.to_bytes()));
            }
            Command::DeviceGetRegionInfo => {
                let (asked, _) = RegionInfo::parse(&body).ok_or(SHORT)?;
                let size = self.sizes.get(asked.index as usize).ok_or(Errno::EINVAL)?;
                let info = RegionInfo {
                    argsz: RegionInfo::BYTES as u32,
                    flags: match size {
                        0 => 0,
                        _ => REGION_READ | REGION_WRITE,
                    },
                    index: asked.index,
                    cap_offset: 0,
                    size: *size,
                    offset: 0,
                };
                return Ok(Some(info.to_bytes()));
            }
            Command::DeviceGetIrqInfo => {
                let (asked, _) = IrqInfo::parse(&body).ok_or(SHORT)?;
                let info = lock(&self.shared.irqs).info(asked.index)?;
                return Ok(Some(info.to_bytes()));
            }
            Command::DeviceSetIrqs => {
                let (request, data) = SetIrqs::parse(&body).ok_or(SHORT)?;
                let change = lock(&self.shared.irqs).set(&request, data, fds)?;
                // The queue keeps the order with accesses that come later.
                if let Some(on) = change {
                    self.push(Job::Interrupts(on))?;
                }
                return Ok(Some(Vec::new()));
            }
            Command::RegionRead => {
                let (access, _) = RegionAccess::parse(&body).ok_or(SHORT)?;
                let count = access.count as usize;
                if count > vfio_user::MAX_DATA || !wanted {
                    return Err(Errno::EINVAL);
                }
                Job::Read {
                    id,
                    region: access.region,
                    offset: access.offset,
                    count,
                }
            }
            Command::RegionWrite => {
                let (access, data) = RegionAccess::parse(&body).ok_or(SHORT)?;
                let data = data.get(..access.count as usize).ok_or(SHORT)?;
                Job::Write {
                    id: wanted.then_some(id),
                    region: access.region,
                    offset: access.offset,
                    data: data.to_vec(),
                }
            }
            Command::DeviceReset if wanted => Job::Reset { id },
            Command::DeviceReset => return Err(Errno::EINVAL),
            Command::DeviceGetRegionIoFds | Command::DmaRead | Command::DmaWrite => {
                return Err(Errno::EOPNOTSUPP)
            }
        };
        self.push(job).map(|()| None)
    }

    fn push(&self, job: Job) -> Result<(), Errno> {
        if self.shared.queue.push(job) {
            return Ok(());
        }
        self.shared.queue.close();
        Err(Errno::ENOMEM)
    }
}

/// The simulator's thread: accesses first, then time.
fn simulate(mut platform: Platform, mut client: Client) {
    let shared = client.shared;
    let mut busy = false;
    let mut broken = false;
    // What broke is said once; the client gets an error from then on.
    let mut judge = |result: Result<(), Error>| match result {
        Ok(()) => Ok(()),
        Err(Error::Range { .. }) => Err(Errno::EINVAL),
        Err(Error::Broken(text)) => {
            if !std::mem::replace(&mut broken, true) {
                log(format_args!("the board is broken: {text}"));
            }
            Err(Errno::EIO)
        }
    };
    loop {
        match shared.queue.next(!busy) {
            Next::Closed => return,
            Next::Nothing => {
                busy = match platform.run(&mut client) {
                    Ok(progress) => progress == Progress::Busy,
                    Err(e) => {
                        let _ = judge(Err(e));
                        false
                    }
                };
                continue;
            }
            Next::Job(Job::Read {
                id,
                region,
                offset,
                count,
            }) => {
                let mut data = vec![0; count];
                let result = judge(platform.read(&mut client, region, offset, &mut data));
                let access = RegionAccess {
                    offset,
                    region,
                    count: count as u32,
                };
                let parts = [&access.to_bytes()[..], &data];
                shared.reply(id, Command::RegionRead, result.map(|()| &parts[..]));
            }
            Next::Job(Job::Write {
                id,
                region,
                offset,
                data,
            }) => {
                let result = judge(platform.write(&mut client, region, offset, &data));
                let access = RegionAccess {
                    offset,
                    region,
                    count: data.len() as u32,
                };
                let parts = [&access.to_bytes()[..]];
                if let Some(id) = id {
                    shared.reply(id, Command::RegionWrite, result.map(|()| &parts[..]));
                }
            }
            Next::Job(Job::Reset { id }) => {
                let result = judge(platform.reset(&mut client));
                shared.reply(id, Command::DeviceReset, result.map(|()| &[][..]));
            }
            Next::Job(Job::Interrupts(on)) => {
                let _ = judge(platform.enable_interrupts(&mut client, on));
            }
        }
        busy = true;
    }
}

/// The client as the function's host.
struct Client<'a> {
    shared: &'a Shared,
    answered: mpsc::Receiver<Message>,
    next_id: u16,
    /// Accesses to what is not mapped.
    faults: u64,
}

impl Client<'_> {
    /// DMA_READ or DMA_WRITE; the data that came back.
    fn ask(&mut self, command: Command, iova: u64, count: usize, data: &[u8]) -> Option<Vec<u8>> {
        let shared = self.shared;
        self.next_id = self.next_id.wrapping_add(1);
        let access = DmaAccess {
            address: iova,
            count: count as u64,
        };
        let (id, kind) = (self.next_id, Kind::Request { reply: true });
        // What came too late for the question before.
        while self.answered.try_recv().is_ok() {}
        shared.queue.asking(true);
        let parts = [&access.to_bytes()[..], data];
        let sent = lock(&shared.sender).send(id, command as u16, kind, &parts, &[], SEND);
        let answer = sent.ok().and_then(|()| self.wait(id, command));
        shared.queue.asking(false);
        let (back, data) = DmaAccess::parse(answer.as_deref()?)?;
        (back.count == access.count).then(|| data.to_vec())
    }

    fn wait(&mut self, id: u16, command: Command) -> Option<Vec<u8>> {
        let end = Instant::now() + ANSWER;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.answered.recv_timeout(left.min(TICK)) {
                Ok(m) if m.id == id && m.command == command as u16 => {
                    return (m.kind == Kind::Reply { error: None }).then_some(m.body);
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    if left.is_zero() || self.shared.queue.is_closed() {
                        return None;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn fault(&mut self, fault: Fault) -> Fault {
        self.faults += 1;
        if self.faults <= 10 {
            log(fault);
        }
        fault
    }
}

impl Host for Client<'_> {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let fault = Fault {
            iova,
            bytes: bytes.len(),
            write: false,
        };
        let most = self.shared.most.load(Ordering::Relaxed);
        let mut at = 0;
        while at < bytes.len() {
            let next = iova.checked_add(at as u64);
            let rest = &mut bytes[at..];
            let part = next.and_then(|next| lock(&self.shared.maps).read(next, rest));
            at += match (part, next) {
                (Some(Part::Done(n)), _) => n,
                (Some(Part::Ask(n)), Some(next)) => {
                    let n = n.min(most);
                    match self.ask(Command::DmaRead, next, n, &[]) {
                        Some(data) if data.len() >= n => rest[..n].copy_from_slice(&data[..n]),
                        _ => return Err(self.fault(fault)),
                    }
                    n
                }
                _ => return Err(self.fault(fault)),
            };
        }
        Ok(())
    }

    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        let fault = Fault {
            iova,
            bytes: bytes.len(),
            write: true,
        };
        let most = self.shared.most.load(Ordering::Relaxed);
        let mut at = 0;
        while at < bytes.len() {
            let next = iova.checked_add(at as u64);
            let rest = &bytes[at..];
            let part = next.and_then(|next| lock(&self.shared.maps).write(next, rest));
            at += match (part, next) {
                (Some(Part::Done(n)), _) => n,
                (Some(Part::Ask(n)), Some(next)) => {
                    let n = n.min(most);
                    if self.ask(Command::DmaWrite, next, n, &rest[..n]).is_none() {
                        return Err(self.fault(fault));
                    }
                    n
                }
                _ => return Err(self.fault(fault)),
            };
        }
        Ok(())
    }

    fn interrupt(&mut self, vector: u32) {
        lock(&self.shared.irqs).fire(vector);
    }
}
