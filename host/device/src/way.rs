//! The ways to reach a board, as they are written on a command line.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::time::Duration;

use crate::board::PciBoard;
use crate::find::Root;
use crate::vfio::Vfio;
use crate::vfio_user::VfioUser;
use crate::xdma::XdmaBoard;
use crate::{Device, Error};

/// A way to a board that is not in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Kernel VFIO: the function's address, in full.
    Vfio(String),
    /// The vendor's kernel driver: the board's number.
    Xdma(u32),
    /// A vfio-user socket.
    VfioUser(PathBuf),
}

impl Way {
    /// Their forms, for help and messages.
    pub const FORMS: [&'static str; 3] = ["vfio:BDF", "xdma:N", "vfio-user:PATH"];

    /// The way that `text` names.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Way, String> {
        match text.split_once(':') {
            Some(("vfio", address)) => bdf(address).map(Way::Vfio).ok_or_else(|| {
                format!("`{address}` is not a PCI address such as 0000:01:00.0; `host info` and `lspci -D` list them")
            }),
            Some(("xdma", number)) => number.parse().map(Way::Xdma).map_err(|_| {
                format!("`{number}` is not the number of a board, as 0 in /dev/xdma0_user")
            }),
            Some(("vfio-user", "")) => Err("`vfio-user:` wants the path of a socket, as `sim-tb serve --socket PATH` makes it".into()),
            Some(("vfio-user", path)) => Ok(Way::VfioUser(path.into())),
            _ => Err(format!("there is no way `{text}` to reach a board")),
        }
    }

    /// Opens the board, which has `memory_bytes` of card memory, and may take `timeout` over one answer or over the next part of a transfer
    /// (the vendor's driver has its own). When `stop` is set, what it does ends with [`Error::Interrupted`].
    ///
    /// # Errors
    /// There is no such board, it is in use, or it does not answer; the sentence says what to do.
    pub fn open(
        &self,
        memory_bytes: u64,
        stop: Option<Arc<AtomicBool>>,
        timeout: Duration,
    ) -> Result<Box<dyn Device>, Error> {
        let root = Root::of_this_machine();
        Ok(match self {
            Way::Vfio(address) => {
                let (link, lock) = Vfio::open(&root, address)?;
                let board = PciBoard::new(Box::new(link), memory_bytes, stop)?;
                Box::new(board.with_deadline(timeout).holding(lock))
            }
            Way::Xdma(number) => Box::new(XdmaBoard::open(&root, *number, memory_bytes, stop)?),
            Way::VfioUser(path) => {
                let (link, lock) = VfioUser::open(path, timeout)?;
                let board = PciBoard::new(Box::new(link), memory_bytes, stop)?;
                Box::new(board.with_deadline(timeout).holding(lock))
            }
        })
    }
}

/// `[dddd:]bb:dd.f` in full and in small letters.
fn bdf(text: &str) -> Option<String> {
    let hex = |text: &str, digits: usize, most: u32| {
        let value = u32::from_str_radix(text, 16).ok()?;
        let plain = text.bytes().all(|b| b.is_ascii_hexdigit());
        (plain && text.len() == digits && value <= most).then_some(value)
    };
    let parts: Vec<_> = text.split(':').collect();
    let (domain, bus, slot) = match parts[..] {
        [bus, slot] => ("0000", bus, slot),
        [domain, bus, slot] => (domain, bus, slot),
        _ => return None,
    };
    let (device, function) = slot.split_once('.')?;
    let domain = hex(domain, 4, 0xFFFF)?;
    let (bus, device) = (hex(bus, 2, 0xFF)?, hex(device, 2, 0x1F)?);
    let function = hex(function, 1, 7)?;
    Some(format!("{domain:04x}:{bus:02x}:{device:02x}.{function}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_forms_are_understood() {
        let vfio = |text: &str| Way::Vfio(text.into());
        assert_eq!(Way::parse("vfio:0000:01:00.0"), Ok(vfio("0000:01:00.0")));
        assert_eq!(Way::parse("vfio:0A:1f.7"), Ok(vfio("0000:0a:1f.7")));
        assert_eq!(Way::parse("xdma:3"), Ok(Way::Xdma(3)));
        assert_eq!(
            Way::parse("vfio-user:/run/b:1"),
            Ok(Way::VfioUser("/run/b:1".into()))
        );
    }

    #[test]
    fn bad_forms_are_explained() {
        for (text, part) in [
            ("vfio:", "host info"),
            ("vfio:1:0.0", "0000:01:00.0"),
            ("vfio:00:20.0", "PCI address"),
            ("vfio:00:01.8", "PCI address"),
            ("vfio:0000:00:+1.0", "PCI address"),
            ("xdma:", "/dev/xdma0_user"),
            ("xdma:-1", "/dev/xdma0_user"),
            ("vfio-user:", "sim-tb serve --socket"),
            ("pcie", "no way `pcie`"),
            ("", "no way ``"),
        ] {
            let e = Way::parse(text).unwrap_err();
            assert!(e.contains(part), "{text}: {e}");
        }
    }
}
