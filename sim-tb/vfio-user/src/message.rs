//! The messages: 16 bytes of header, then a fixed structure for each command, then perhaps data. All numbers are little-endian.

use std::os::fd::OwnedFd;

/// An error number as in `errno.h` of Linux; what replies carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u32);

/// The error numbers that this protocol's servers have use for.
impl Errno {
    /// No such entry.
    pub const ENOENT: Errno = Errno(2);
    /// Input or output failed.
    pub const EIO: Errno = Errno(5);
    /// Out of memory.
    pub const ENOMEM: Errno = Errno(12);
    /// Bad address.
    pub const EFAULT: Errno = Errno(14);
    /// Exists already.
    pub const EEXIST: Errno = Errno(17);
    /// Invalid argument.
    pub const EINVAL: Errno = Errno(22);
    /// Too many open files.
    pub const EMFILE: Errno = Errno(24);
    /// No space left.
    pub const ENOSPC: Errno = Errno(28);
    /// Not supported.
    pub const EOPNOTSUPP: Errno = Errno(95);
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        std::io::Error::from_raw_os_error(self.0 as i32).fmt(f)
    }
}

/// Bytes of [`Message`]'s header on the wire.
pub const HEADER: usize = 16;

macro_rules! commands {
    ($($name:ident = $number:literal,)*) => {
        /// What a message asks for, or answers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        #[allow(missing_docs)] // the names are the protocol's
        pub enum Command { $($name = $number,)* }

        impl Command {
            /// The command of this number, if there is one.
            pub fn from_number(number: u16) -> Option<Command> {
                match number {
                    $($number => Some(Command::$name),)*
                    _ => None,
                }
            }
        }
    };
}

commands! {
    Version = 1,
    DmaMap = 2,
    DmaUnmap = 3,
    DeviceGetInfo = 4,
    DeviceGetRegionInfo = 5,
    DeviceGetRegionIoFds = 6,
    DeviceGetIrqInfo = 7,
    DeviceSetIrqs = 8,
    RegionRead = 9,
    RegionWrite = 10,
    DmaRead = 11,
    DmaWrite = 12,
    DeviceReset = 13,
}

/// The two directions of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something is wanted.
    Request {
        /// False for posted writes: whatever happens, no reply is sent.
        reply: bool,
    },
    /// The answer to the request of the same id.
    Reply {
        /// Set when the request failed. Some peers send 0 here: failed without a reason.
        error: Option<Errno>,
    },
}

/// A message as it arrived.
#[derive(Debug)]
pub struct Message {
    /// Chosen by the requester, repeated in the reply.
    pub id: u16,
    /// The number of a [`Command`], or of something unknown.
    pub command: u16,
    /// Request or reply.
    pub kind: Kind,
    /// All after the header.
    pub body: Vec<u8>,
    /// What came beside it.
    pub fds: Vec<OwnedFd>,
    /// Descriptors were sent that this process has no room for.
    pub fds_lost: bool,
}

const TYPE_MASK: u32 = 0xF;
const REPLY: u32 = 1;
const NO_REPLY: u32 = 1 << 4;
const ERROR: u32 = 1 << 5;

/// The header's fields beside the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub id: u16,
    pub command: u16,
    pub size: u32,
    pub kind: Kind,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let (flags, error) = match self.kind {
            Kind::Request { reply: true } => (0, 0),
            Kind::Request { reply: false } => (NO_REPLY, 0),
            Kind::Reply { error: None } => (REPLY, 0),
            Kind::Reply {
                error: Some(Errno(n)),
            } => (REPLY | ERROR, n),
        };
        let mut bytes = [0; HEADER];
        bytes[0..2].copy_from_slice(&self.id.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.command.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..12].copy_from_slice(&flags.to_le_bytes());
        bytes[12..16].copy_from_slice(&error.to_le_bytes());
        bytes
    }

    /// None for a type that is neither request nor reply. Unknown flags are ignored.
    pub(crate) fn from_bytes(bytes: &[u8; HEADER]) -> Option<Header> {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from(half(at)) | u32::from(half(at + 2)) << 16;
        let flags = word(8);
        let kind = match flags & TYPE_MASK {
            0 => Kind::Request {
                reply: flags & NO_REPLY == 0,
            },
            REPLY => Kind::Reply {
                error: (flags & ERROR != 0).then(|| Errno(word(12))),
            },
            _ => return None,
        };
        Some(Header {
            id: half(0),
            command: half(2),
            size: word(4),
            kind,
        })
    }
}

macro_rules! structures {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $name {
            /// Bytes on the wire.
            pub const BYTES: usize = 0 $(+ size_of::<$type>())*;

            /// The structure at the start of `body`, and what follows it; None if `body` is too short.
            pub fn parse(body: &[u8]) -> Option<($name, &[u8])> {
                $(let (field, body) = body.split_first_chunk()?; let $field = <$type>::from_le_bytes(*field);)*
                Some(($name { $($field,)* }, body))
            }

            /// Its bytes.
            pub fn to_bytes(&self) -> Vec<u8> {
                let mut bytes = Vec::with_capacity(Self::BYTES);
                $(bytes.extend_from_slice(&self.$field.to_le_bytes());)*
                bytes
            }
        }
    )*};
}

structures! {
    /// VERSION, both ways; JSON with a final NUL follows (see [`Capabilities`]).
    Version {
        /// Major version; another one is another protocol.
        major: u16,
        /// Minor version.
        minor: u16,
    }
    /// DMA_MAP; a descriptor beside it backs the range. The reply is empty.
    DmaMap {
        /// Bytes of this structure, or more.
        argsz: u32,
        /// [`DMA_READ`], [`DMA_WRITE`]: what the device may do.
        flags: u32,
        /// Where in the descriptor's file the range begins.
        offset: u64,
        /// First I/O virtual address.
        address: u64,
        /// Bytes.
        size: u64,
    }
    /// DMA_UNMAP; the reply repeats it.
    DmaUnmap {
        /// Bytes of this structure, or more.
        argsz: u32,
        /// [`UNMAP_ALL`].
        flags: u32,
        /// First I/O virtual address.
        address: u64,
        /// Bytes.
        size: u64,
    }
    /// DEVICE_GET_INFO, both ways.
    DeviceInfo {
        /// Bytes the requester has room for; in the reply, bytes there are.
        argsz: u32,
        /// [`DEVICE_RESET`], [`DEVICE_PCI`].
        flags: u32,
        /// Number of regions.
        regions: u32,
        /// Number of interrupt indexes.
        irqs: u32,
    }
    /// DEVICE_GET_REGION_INFO, both ways; in the reply capabilities may follow.
    RegionInfo {
        /// Bytes the requester has room for; in the reply, bytes there are.
        argsz: u32,
        /// [`REGION_READ`] and the others.
        flags: u32,
        /// The region.
        index: u32,
        /// Where in the reply the first capability is, or 0.
        cap_offset: u32,
        /// Bytes of the region.
        size: u64,
        /// Where in the descriptor beside the reply the region begins.
        offset: u64,
    }
    /// DEVICE_GET_IRQ_INFO, both ways.
    IrqInfo {
        /// Bytes of this structure, or more.
        argsz: u32,
        /// [`IRQ_EVENTFD`] and the others.
        flags: u32,
        /// The interrupt index.
        index: u32,
        /// Vectors.
        count: u32,
    }
    /// DEVICE_SET_IRQS; for [`IRQ_DATA_BOOL`] one byte for each vector follows, for [`IRQ_DATA_EVENTFD`] descriptors are beside it.
    SetIrqs {
        /// Bytes of this structure and its data, or more.
        argsz: u32,
        /// One of IRQ_DATA_*, one of IRQ_ACTION_*.
        flags: u32,
        /// The interrupt index.
        index: u32,
        /// First vector.
        start: u32,
        /// Vectors.
        count: u32,
    }
    /// REGION_READ and REGION_WRITE, both ways; a write's request and a read's reply are followed by the data.
    RegionAccess {
        /// First byte.
        offset: u64,
        /// The region.
        region: u32,
        /// Bytes.
        count: u32,
    }
    /// DMA_READ and DMA_WRITE from the server to its client; a write's request and a read's reply are followed by the data.
    DmaAccess {
        /// First I/O virtual address.
        address: u64,
        /// Bytes.
        count: u64,
    }
}

/// [`DmaMap`]: the device may read.
pub const DMA_READ: u32 = 1;
/// [`DmaMap`]: the device may write.
pub const DMA_WRITE: u32 = 2;
/// [`DmaUnmap`]: everything; address and size are 0.
pub const UNMAP_ALL: u32 = 2;
/// [`DeviceInfo`]: DEVICE_RESET is served.
pub const DEVICE_RESET: u32 = 1;
/// [`DeviceInfo`]: a PCI function.
pub const DEVICE_PCI: u32 = 2;
/// [`RegionInfo`]: can be read.
pub const REGION_READ: u32 = 1;
/// [`RegionInfo`]: can be written.
pub const REGION_WRITE: u32 = 2;
/// [`RegionInfo`]: the descriptor beside the reply can be mapped.
pub const REGION_MMAP: u32 = 4;
/// [`IrqInfo`]: can be signalled by eventfd.
pub const IRQ_EVENTFD: u32 = 1;
/// [`IrqInfo`]: can be masked.
pub const IRQ_MASKABLE: u32 = 2;
/// [`IrqInfo`]: masks itself when it fires (INTx).
pub const IRQ_AUTOMASKED: u32 = 4;
/// [`SetIrqs`]: no data.
pub const IRQ_DATA_NONE: u32 = 1;
/// [`SetIrqs`]: a byte for each vector.
pub const IRQ_DATA_BOOL: u32 = 2;
/// [`SetIrqs`]: a descriptor for each vector.
pub const IRQ_DATA_EVENTFD: u32 = 4;
/// [`SetIrqs`]: mask.
pub const IRQ_ACTION_MASK: u32 = 8;
/// [`SetIrqs`]: unmask.
pub const IRQ_ACTION_UNMASK: u32 = 16;
/// [`SetIrqs`]: with eventfds, the places to signal; without, signal now.
pub const IRQ_ACTION_TRIGGER: u32 = 32;

/// Regions of a PCI function: BAR0..5, ROM, configuration space, VGA.
pub const PCI_REGIONS: u32 = 9;
/// The ROM's region.
pub const PCI_ROM: u32 = 6;
/// Configuration space's region.
pub const PCI_CONFIG: u32 = 7;
/// Interrupt indexes of a PCI function: INTx, MSI, MSI-X, errors, requests.
pub const PCI_IRQS: u32 = 5;
/// INTx.
pub const PCI_INTX: u32 = 0;
/// MSI.
pub const PCI_MSI: u32 = 1;
/// MSI-X.
pub const PCI_MSIX: u32 = 2;
/// Errors.
pub const PCI_ERR: u32 = 3;
/// Requests to give the device back.
pub const PCI_REQ: u32 = 4;

/// Version of the protocol that this crate speaks.
pub const VERSION: Version = Version { major: 0, minor: 1 };

/// What a side can take; from the JSON in VERSION, with the protocol's defaults for what is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Descriptors in a message.
    pub max_msg_fds: usize,
    /// Bytes of data in a read or write.
    pub max_data_xfer_size: usize,
}

impl Capabilities {
    /// What this crate can take.
    pub const OURS: Capabilities = Capabilities {
        max_msg_fds: crate::MAX_FDS,
        max_data_xfer_size: crate::MAX_DATA,
    };

    /// The body of a VERSION message.
    pub fn to_body(&self) -> Vec<u8> {
        let mut body = VERSION.to_bytes();
        let json = format!(
            r#"{{"capabilities":{{"max_msg_fds":{},"max_data_xfer_size":{}}}}}"#,
            self.max_msg_fds, self.max_data_xfer_size
        );
        body.extend_from_slice(json.as_bytes());
        body.push(0);
        body
    }

    /// From the body of a VERSION message. None when the body is no such thing or the major version is another.
    pub fn from_body(body: &[u8]) -> Option<Capabilities> {
        let (version, json) = Version::parse(body)?;
        if version.major != VERSION.major {
            return None;
        }
        let json = json.strip_suffix(&[0]).unwrap_or(json);
        let mut caps = Capabilities {
            max_msg_fds: 1,
            max_data_xfer_size: crate::MAX_DATA,
        };
        if json.is_empty() {
            return Some(caps);
        }
        let json: serde_json::Value = serde_json::from_slice(json).ok()?;
        let number = |name: &str, default: usize| match json["capabilities"].get(name) {
            None => Some(default),
            Some(n) => n.as_u64().and_then(|n| usize::try_from(n).ok()),
        };
        caps.max_msg_fds = number("max_msg_fds", caps.max_msg_fds)?;
        caps.max_data_xfer_size =
            number("max_data_xfer_size", caps.max_data_xfer_size)?.min(crate::MAX_DATA);
        (caps.max_data_xfer_size > 0).then_some(caps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_as_in_the_specification() {
        let header = Header {
            id: 0x1234,
            command: Command::DmaMap as u16,
            size: 0x30,
            kind: Kind::Request { reply: true },
        };
        let bytes = [0x34, 0x12, 2, 0, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(header.to_bytes(), bytes);
        for (kind, flags, error) in [
            (Kind::Request { reply: false }, 0x10, 0),
            (Kind::Reply { error: None }, 1, 0),
            (
                Kind::Reply {
                    error: Some(Errno::EINVAL),
                },
                0x21,
                22,
            ),
        ] {
            let bytes = Header { kind, ..header }.to_bytes();
            assert_eq!((bytes[8], bytes[12]), (flags, error));
            assert_eq!(Header::from_bytes(&bytes), Some(Header { kind, ..header }));
        }
        let mut odd = bytes;
        odd[8] = 7;
        assert_eq!(Header::from_bytes(&odd), None);
    }

    #[test]
    fn structures_have_the_specification_s_sizes() {
        let sizes = [
            DmaMap::BYTES,
            DmaUnmap::BYTES,
            DeviceInfo::BYTES,
            RegionInfo::BYTES,
            IrqInfo::BYTES,
            SetIrqs::BYTES,
            RegionAccess::BYTES,
            DmaAccess::BYTES,
        ];
        assert_eq!(sizes, [32, 24, 16, 32, 16, 20, 16, 16]);
        let access = RegionAccess {
            offset: 0x0102_0304_0506_0708,
            region: 7,
            count: 2,
        };
        let mut body = access.to_bytes();
        body.extend([0xAA, 0xBB]);
        assert_eq!(
            RegionAccess::parse(&body),
            Some((access, &[0xAA, 0xBB][..]))
        );
        assert_eq!(RegionAccess::parse(&body[..15]), None);
    }

    #[test]
    fn capabilities_have_defaults_and_limits() {
        let ours = Capabilities::from_body(&Capabilities::OURS.to_body());
        assert_eq!(ours, Some(Capabilities::OURS));
        let body = |json: &str| [&VERSION.to_bytes(), json.as_bytes()].concat();
        let bare = Capabilities::from_body(&body("")).unwrap();
        assert_eq!((bare.max_msg_fds, bare.max_data_xfer_size), (1, 1 << 20));
        let c = Capabilities::from_body(&body("{\"capabilities\":{\"max_data_xfer_size\":64}}\0"));
        assert_eq!(c.unwrap().max_data_xfer_size, 64);
        for bad in [
            "x",
            "{\"capabilities\":{\"max_msg_fds\":-1}}",
            "{\"capabilities\":{\"max_data_xfer_size\":0}}",
        ] {
            assert_eq!(Capabilities::from_body(&body(bad)), None, "{bad}");
        }
        assert_eq!(Capabilities::from_body(&[1, 0, 0, 0]), None);
        assert_eq!(Capabilities::from_body(&[0]), None);
    }
}
