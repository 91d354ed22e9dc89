//! A PCI function served over a UNIX socket (vfio-user): the simulated board's, or any other.
//!
//! The server reaches DMA memory through the descriptors that go with each mapping; one that asks for bytes by message instead is told
//! that this is not served.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vfio_user::message::{self, *};
use vfio_user::{Receiver, Sender};

use crate::buffer::{DmaSpace, Mapper, Memory};
use crate::dma::VECTORS;
use crate::event;
use crate::link::{Link, Wake};
use crate::lock::Lock;
use crate::Error;

/// The conversation.
struct Client {
    sender: Sender,
    receiver: Receiver,
    id: u16,
    /// How long the server may take over one message: a simulated register access may wait behind a long transfer.
    timeout: Duration,
    /// What ended it: nothing can be understood after that.
    broken: Option<String>,
}

/// Why a request was not answered as wished.
enum Failure {
    /// The server refuses this one.
    Refused(Errno),
    /// The conversation is over.
    Over(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Failure::Refused(Errno(0)) => write!(f, "the server refuses it and does not say why"),
            Failure::Refused(Errno::EMFILE) => {
                write!(
                    f,
                    "the server has too many open files; raise its limit (`ulimit -n`)"
                )
            }
            Failure::Refused(e) => write!(f, "the server refuses it: {e}"),
            Failure::Over(why) => write!(f, "{why}"),
        }
    }
}

impl Client {
    fn over(&mut self, e: vfio_user::Error) -> Failure {
        let why = match e {
            vfio_user::Error::TimedOut(_) => format!(
                "{e} of {} s, so the server is suspended, or too slow for `--device-timeout`",
                self.timeout.as_secs()
            ),
            vfio_user::Error::Io(e)
                if matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
            {
                vfio_user::Error::Closed.to_string()
            }
            e => e.to_string(),
        };
        self.broken = Some(why.clone());
        Failure::Over(why)
    }

    fn send(
        &mut self,
        command: Command,
        reply: bool,
        parts: &[&[u8]],
        fds: &[BorrowedFd],
    ) -> Result<u16, Failure> {
        if let Some(why) = &self.broken {
            return Err(Failure::Over(why.clone()));
        }
        self.id = self.id.wrapping_add(1);
        let kind = Kind::Request { reply };
        let sent = self
            .sender
            .send(self.id, command as u16, kind, parts, fds, self.timeout);
        match sent {
            Ok(()) => Ok(self.id),
            Err(e) => Err(self.over(e)),
        }
    }

    /// Sends a request; the body of its reply.
    fn ask(
        &mut self,
        command: Command,
        parts: &[&[u8]],
        fds: &[BorrowedFd],
    ) -> Result<Vec<u8>, Failure> {
        let id = self.send(command, true, parts, fds)?;
        loop {
            let message = match self.receiver.wait(self.timeout) {
                Ok(message) => message,
                Err(e) => return Err(self.over(e)),
            };
            match message.kind {
                Kind::Reply { error: Some(e) } if message.id == id => {
                    return Err(Failure::Refused(e))
                }
                Kind::Reply { error: None } if message.id == id => return Ok(message.body),
                Kind::Reply { .. } => {
                    let e = format!("a reply to request {}, {id} was wanted", message.id);
                    return Err(self.over(vfio_user::Error::Malformed(e)));
                }
                Kind::Request { .. } => self.decline(&message)?,
            }
        }
    }

    /// Answers a request of the server.
    fn decline(&mut self, message: &Message) -> Result<(), Failure> {
        if message.kind == (Kind::Request { reply: false }) {
            return Ok(());
        }
        let kind = Kind::Reply {
            error: Some(Errno::EOPNOTSUPP),
        };
        let sent = self
            .sender
            .send(message.id, message.command, kind, &[], &[], self.timeout);
        sent.map_err(|e| self.over(e))
    }

    /// Sends a request that is one structure and wants the same back.
    fn structure<T>(
        &mut self,
        command: Command,
        request: &[u8],
        parse: impl Fn(&[u8]) -> Option<(T, &[u8])>,
    ) -> Result<T, Failure> {
        let body = self.ask(command, &[request], &[])?;
        match parse(&body) {
            Some((structure, _)) => Ok(structure),
            None => {
                let e = format!("{} bytes in reply to {command:?}", body.len());
                Err(self.over(vfio_user::Error::Malformed(e)))
            }
        }
    }

    fn read(&mut self, region: u32, offset: u64, bytes: &mut [u8]) -> Result<(), Failure> {
        let access = RegionAccess {
            offset,
            region,
            count: bytes.len() as u32,
        };
        let body = self.ask(Command::RegionRead, &[&access.to_bytes()], &[])?;
        match RegionAccess::parse(&body) {
            Some((_, data)) if data.len() == bytes.len() => {
                bytes.copy_from_slice(data);
                Ok(())
            }
            _ => {
                let e = format!("{} bytes in reply to a read of {}", body.len(), bytes.len());
                Err(self.over(vfio_user::Error::Malformed(e)))
            }
        }
    }

    /// A write to a BAR is posted, as on a bus: a later read says whether all is well.
    fn write(&mut self, region: u32, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let access = RegionAccess {
            offset,
            region,
            count: bytes.len() as u32,
        };
        let parts = [&access.to_bytes()[..], bytes];
        match region {
            PCI_CONFIG => self.ask(Command::RegionWrite, &parts, &[]).map(drop),
            _ => self
                .send(Command::RegionWrite, false, &parts, &[])
                .map(drop),
        }
    }
}

type Shared = Arc<Mutex<Client>>;

fn locked(client: &Shared) -> std::sync::MutexGuard<'_, Client> {
    client.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Maps(Shared);

impl Mapper for Maps {
    fn ranges(&self) -> Vec<RangeInclusive<u64>> {
        // No IOMMU stands between; what a 64-bit address reaches, a card of 2^48 bytes at most is given.
        vec![0..=(1 << 48) - 1]
    }

    unsafe fn map(&self, iova: u64, memory: &Memory) -> Result<(), String> {
        let map = DmaMap {
            argsz: DmaMap::BYTES as u32,
            flags: DMA_READ | DMA_WRITE,
            offset: 0,
            address: iova,
            size: memory.bytes() as u64,
        };
        let body = map.to_bytes();
        let done = locked(&self.0).ask(Command::DmaMap, &[&body], &[memory.as_fd()]);
        done.map(drop).map_err(|e| e.to_string())
    }

    fn unmap(&self, iova: u64, bytes: usize) -> Result<(), String> {
        let unmap = DmaUnmap {
            argsz: DmaUnmap::BYTES as u32,
            flags: 0,
            address: iova,
            size: bytes as u64,
        };
        let mut client = locked(&self.0);
        match client.ask(Command::DmaUnmap, &[&unmap.to_bytes()], &[]) {
            Ok(_) => Ok(()),
            Err(e) => Err(e.to_string()),
        }
    }

    // The server maps the descriptor for itself, and what it writes there is then seen by nobody else.
    fn keeps_pages(&self) -> bool {
        true
    }
}

/// A function behind a socket.
pub(crate) struct VfioUser {
    name: String,
    client: Shared,
    space: Arc<DmaSpace>,
    bars: [u64; 6],
    resets: bool,
    events: Vec<File>,
    no_interrupts: Option<String>,
    /// Another handle of the socket, for waits.
    socket: UnixStream,
}

impl VfioUser {
    /// Connects to the socket at `path`; `timeout` is how long its server may take over one message.
    pub fn open(path: &Path, timeout: Duration) -> Result<(VfioUser, Lock), Error> {
        let name = format!("vfio-user:{}", path.display());
        let say = |what: String| Error::Open(format!("{name}: {what}"));
        let hint = format!(
            "start a board with `sim-tb serve --socket {}`",
            path.display()
        );
        if let Err(e) = std::fs::metadata(path) {
            return Err(say(format!("no such socket ({e}); {hint}")));
        }
        let lock = Lock::take(&name, path)?;
        let socket = UnixStream::connect(path).map_err(|e| match e.raw_os_error() {
            // This program's trouble, not the server's.
            Some(errno) if errno == rustix::io::Errno::MFILE.raw_os_error() => {
                say(crate::because(e))
            }
            _ => say(format!("nobody serves this socket ({e}); {hint}")),
        })?;
        let other = socket.try_clone().map_err(|e| say(crate::because(e)))?;
        let (sender, receiver) = vfio_user::pair(socket).map_err(|e| match e {
            vfio_user::Error::Io(e) => say(crate::because(e)),
            e => say(e.to_string()),
        })?;
        let client = Client {
            sender,
            receiver,
            id: 0,
            timeout,
            broken: None,
        };
        let link = VfioUser::greet(name.clone(), client, other)
            .map_err(|e| say(format!("the server does not do as the protocol says: {e}; another program may have the board, and keep its lock elsewhere")))?;
        Ok((link, lock))
    }

    fn greet(name: String, mut client: Client, socket: UnixStream) -> Result<VfioUser, Failure> {
        let ours = Capabilities::OURS.to_body();
        let theirs = client.ask(Command::Version, &[&ours], &[])?;
        if Capabilities::from_body(&theirs).is_none() {
            let e = "a version that is not 0.x".to_owned();
            return Err(client.over(vfio_user::Error::Malformed(e)));
        }
        let info = DeviceInfo {
            argsz: DeviceInfo::BYTES as u32,
            ..DeviceInfo::default()
        };
        let info = client.structure(Command::DeviceGetInfo, &info.to_bytes(), DeviceInfo::parse)?;
        if info.flags & message::DEVICE_PCI == 0 {
            return Err(Failure::Over("its device is not a PCI function".into()));
        }
        let mut bars = [0; 6];
        for (bar, size) in bars.iter_mut().enumerate() {
            let region = RegionInfo {
                argsz: RegionInfo::BYTES as u32,
                index: bar as u32,
                ..RegionInfo::default()
            };
            let region = client.structure(
                Command::DeviceGetRegionInfo,
                &region.to_bytes(),
                RegionInfo::parse,
            )?;
            *size = region.size;
        }
        let client = Arc::new(Mutex::new(client));
        let mut link = VfioUser {
            space: DmaSpace::new(name.clone(), Box::new(Maps(client.clone()))),
            name,
            client,
            bars,
            resets: info.flags & message::DEVICE_RESET != 0,
            events: Vec::new(),
            no_interrupts: None,
            socket,
        };
        if let Err(e) = link.listen() {
            link.events.clear();
            link.no_interrupts = Some(e);
        }
        Ok(link)
    }

    /// Asks for the vectors.
    fn listen(&mut self) -> Result<(), String> {
        let mut client = locked(&self.client);
        let irq = IrqInfo {
            argsz: IrqInfo::BYTES as u32,
            index: PCI_MSIX,
            ..IrqInfo::default()
        };
        let irq = client.structure(Command::DeviceGetIrqInfo, &irq.to_bytes(), IrqInfo::parse);
        let there = irq.map_err(|e| e.to_string())?.count;
        if there < VECTORS {
            return Err(format!(
                "the function has {there} MSI-X vectors, {VECTORS} are needed"
            ));
        }
        self.events = event::events(VECTORS)?;
        let set = SetIrqs {
            argsz: SetIrqs::BYTES as u32,
            flags: IRQ_DATA_EVENTFD | IRQ_ACTION_TRIGGER,
            index: PCI_MSIX,
            start: 0,
            count: VECTORS,
        };
        let fds: Vec<_> = self.events.iter().map(AsFd::as_fd).collect();
        let done = client.ask(Command::DeviceSetIrqs, &[&set.to_bytes()], &fds);
        done.map(drop).map_err(|e| e.to_string())
    }

    fn lift(&self, access: &'static str, address: u64, e: Failure) -> Error {
        match e {
            Failure::Over(why) => Error::Dead {
                device: self.name.clone(),
                what: format!("the {access} at 0x{address:X} got no answer: {why}"),
            },
            e => Error::Access {
                device: self.name.clone(),
                access,
                address,
                reason: e.to_string(),
            },
        }
    }
}

impl Link for VfioUser {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn bar_bytes(&self, bar: usize) -> u64 {
        self.bars.get(bar).copied().unwrap_or(0)
    }

    fn read(&mut self, bar: usize, offset: u64) -> Result<u32, Error> {
        let mut word = [0; 4];
        let done = locked(&self.client).read(bar as u32, offset, &mut word);
        done.map_err(|e| self.lift("register read", offset, e))?;
        Ok(u32::from_le_bytes(word))
    }

    fn write(&mut self, bar: usize, offset: u64, value: u32) -> Result<(), Error> {
        let done = locked(&self.client).write(bar as u32, offset, &value.to_le_bytes());
        done.map_err(|e| self.lift("register write", offset, e))
    }

    fn read_config(&mut self, offset: u16) -> Result<u32, Error> {
        let mut word = [0; 4];
        let done = locked(&self.client).read(PCI_CONFIG, offset.into(), &mut word);
        done.map_err(|e| self.lift("configuration read", offset.into(), e))?;
        Ok(u32::from_le_bytes(word))
    }

    fn write_config(&mut self, offset: u16, value: u16) -> Result<(), Error> {
        let done = locked(&self.client).write(PCI_CONFIG, offset.into(), &value.to_le_bytes());
        done.map_err(|e| self.lift("configuration write", offset.into(), e))
    }

    fn dma(&self) -> Arc<DmaSpace> {
        self.space.clone()
    }

    fn reset(&mut self) -> Result<(), Error> {
        if !self.resets {
            return Ok(());
        }
        let done = locked(&self.client).ask(Command::DeviceReset, &[], &[]);
        done.map(drop).map_err(|e| self.lift("reset", 0, e))
    }

    fn no_interrupts(&self) -> Option<&str> {
        self.no_interrupts.as_deref()
    }

    fn wait_interrupt(&mut self, vector: u32, timeout: Duration) -> Result<Wake, Error> {
        let Some(event) = self.events.get_mut(vector as usize) else {
            std::thread::sleep(timeout);
            return Ok(Wake::Timeout);
        };
        let waited = event::readable([event.as_fd(), self.socket.as_fd()], timeout);
        let [rung, spoken] = waited.map_err(|e| Error::Access {
            device: self.name.clone(),
            access: "wait for interrupt",
            address: vector.into(),
            reason: e.to_string(),
        })?;
        let came = rung && event::take(event);
        if spoken {
            // A request of the server, or its end.
            let mut client = locked(&self.client);
            let heard = match client.receiver.receive() {
                Ok(Some(message)) => client.decline(&message),
                Ok(None) => Ok(()),
                Err(e) => Err(client.over(e)),
            };
            drop(client);
            heard.map_err(|e| self.lift("wait for interrupt", vector.into(), e))?;
        }
        Ok(if came { Wake::Interrupt } else { Wake::Timeout })
    }
}
