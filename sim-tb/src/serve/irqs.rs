//! The client's ears: an eventfd for each MSI-X vector that it listens to.

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use vfio_user::message::{
    IrqInfo, SetIrqs, IRQ_ACTION_MASK, IRQ_ACTION_TRIGGER, IRQ_ACTION_UNMASK, IRQ_DATA_BOOL,
    IRQ_DATA_EVENTFD, IRQ_DATA_NONE, IRQ_EVENTFD, PCI_ERR, PCI_IRQS, PCI_MSIX, PCI_REQ,
};
use vfio_user::Errno;

#[derive(Debug, Default)]
struct Vector {
    eventfd: Option<File>,
    masked: bool,
    /// It was raised while nobody listened; delivered, as from a pending bit, when somebody does.
    pending: bool,
}

impl Vector {
    fn fire(&mut self) {
        self.pending = true;
        self.deliver();
    }
    fn deliver(&mut self) {
        let Some(file) = self
            .eventfd
            .as_mut()
            .filter(|_| self.pending && !self.masked)
        else {
            return;
        };
        self.pending = false;
        // A client may pass something that is full and would block. A full eventfd has its event already.
        let zero = Timespec::default();
        let mut fds = [PollFd::new(file, PollFlags::OUT)];
        if poll(&mut fds, Some(&zero)).is_ok_and(|n| n > 0) {
            // A client that closed the other end does not want to know.
            let _ = file.write(&1u64.to_ne_bytes());
        }
    }
}

/// Interrupts of one session.
#[derive(Debug)]
pub struct Irqs {
    msix: Vec<Vector>,
    /// The errors' and the requests' index: accepted, never signalled.
    other: [Vector; 2],
    enabled: bool,
}

impl Irqs {
    /// For a function of so many MSI-X vectors.
    pub fn new(vectors: u32) -> Irqs {
        Irqs {
            msix: (0..vectors).map(|_| Vector::default()).collect(),
            other: Default::default(),
            enabled: false,
        }
    }

    fn index(&mut self, index: u32) -> Option<&mut [Vector]> {
        match index {
            PCI_MSIX => Some(&mut self.msix),
            PCI_ERR => Some(&mut self.other[..1]),
            PCI_REQ => Some(&mut self.other[1..]),
            n if n < PCI_IRQS => Some(&mut []),
            _ => None,
        }
    }

    /// What there is at an interrupt index.
    ///
    /// # Errors
    /// There is no such index.
    pub fn info(&mut self, index: u32) -> Result<IrqInfo, Errno> {
        let count = self.index(index).ok_or(Errno::EINVAL)?.len() as u32;
        Ok(IrqInfo {
            argsz: IrqInfo::BYTES as u32,
            flags: if count > 0 { IRQ_EVENTFD } else { 0 },
            index,
            count,
        })
    }

    /// Vector `n` was raised by the function.
    pub fn fire(&mut self, n: u32) {
        if let Some(vector) = self.msix.get_mut(n as usize) {
            vector.fire();
        }
    }

    /// Does what a client asks. `Some(on)` when the index of MSI-X was enabled or disabled by it.
    ///
    /// # Errors
    /// No such index or vector, or an impossible combination.
    pub fn set(
        &mut self,
        request: &SetIrqs,
        data: &[u8],
        fds: Vec<OwnedFd>,
    ) -> Result<Option<bool>, Errno> {
        let SetIrqs {
            flags,
            index,
            start,
            count,
            ..
        } = *request;
        const ACTIONS: u32 = IRQ_ACTION_MASK | IRQ_ACTION_UNMASK | IRQ_ACTION_TRIGGER;
        let (form, action) = (flags & !ACTIONS, flags & ACTIONS);
        if !action.is_power_of_two() || (form != IRQ_DATA_EVENTFD && !fds.is_empty()) {
            return Err(Errno::EINVAL);
        }
        let all = self.index(index).ok_or(Errno::EINVAL)?;
        let (from, n) = (start as usize, count as usize);
        let disable = form == IRQ_DATA_NONE && action == IRQ_ACTION_TRIGGER && count == 0;
        if disable && start == 0 {
            all.iter_mut().for_each(|v| *v = Vector::default());
            let was = self.enabled && index == PCI_MSIX;
            self.enabled &= index != PCI_MSIX;
            return Ok(was.then_some(false));
        }
        let vectors = from.checked_add(n).and_then(|end| all.get_mut(from..end));
        let vectors = vectors.filter(|v| !v.is_empty()).ok_or(Errno::EINVAL)?;
        match form {
            IRQ_DATA_NONE => vectors.iter_mut().for_each(|v| act(v, action)),
            IRQ_DATA_BOOL => {
                let data = data.get(..n).ok_or(Errno::EINVAL)?;
                let chosen = vectors.iter_mut().zip(data).filter(|(_, b)| **b != 0);
                chosen.for_each(|(v, _)| act(v, action));
            }
            IRQ_DATA_EVENTFD if action == IRQ_ACTION_TRIGGER => {
                // Without descriptors: vectors that exist and that nobody listens to for now.
                if !fds.is_empty() && fds.len() != n {
                    return Err(Errno::EINVAL);
                }
                let mut fds = fds.into_iter();
                for vector in vectors {
                    vector.eventfd = fds.next().map(File::from);
                    vector.deliver();
                }
                let begins = index == PCI_MSIX && !self.enabled;
                self.enabled |= begins;
                return Ok(begins.then_some(true));
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(None)
    }
}

fn act(vector: &mut Vector, action: u32) {
    match action {
        IRQ_ACTION_TRIGGER => vector.fire(),
        IRQ_ACTION_MASK => vector.masked = true,
        _ => {
            vector.masked = false;
            vector.deliver();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{eventfd, EventfdFlags};
    use std::io::Read;

    fn request(flags: u32, start: u32, count: u32) -> SetIrqs {
        SetIrqs {
            argsz: 20,
            flags,
            index: PCI_MSIX,
            start,
            count,
        }
    }
    fn event() -> (OwnedFd, File) {
        let fd = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        (fd.try_clone().unwrap(), fd.into())
    }
    fn count(file: &mut File) -> u64 {
        let mut bytes = [0; 8];
        file.read(&mut bytes)
            .map_or(0, |_| u64::from_ne_bytes(bytes))
    }
    const LISTEN: u32 = IRQ_DATA_EVENTFD | IRQ_ACTION_TRIGGER;
    const OFF: u32 = IRQ_DATA_NONE | IRQ_ACTION_TRIGGER;

    #[test]
    fn vectors_are_assigned_one_at_a_time_or_together() {
        let mut irqs = Irqs::new(4);
        let (a, mut a_in) = event();
        let (b, mut b_in) = event();
        // As QEMU: a placeholder first, then single vectors.
        assert_eq!(
            irqs.set(&request(LISTEN, 2, 1), &[], vec![]),
            Ok(Some(true))
        );
        assert_eq!(irqs.set(&request(LISTEN, 2, 1), &[], vec![a]), Ok(None));
        irqs.fire(2);
        irqs.fire(2);
        assert_eq!(count(&mut a_in), 2);
        // Raised before somebody listens: delivered afterwards, once.
        irqs.fire(1);
        irqs.fire(1);
        let (c, mut c_in) = event();
        assert_eq!(irqs.set(&request(LISTEN, 0, 2), &[], vec![b, c]), Ok(None));
        assert_eq!((count(&mut b_in), count(&mut c_in)), (0, 1));
        // Mask, unmask, loopback.
        irqs.set(&request(IRQ_DATA_NONE | IRQ_ACTION_MASK, 0, 1), &[], vec![])
            .unwrap();
        irqs.fire(0);
        assert_eq!(count(&mut b_in), 0);
        irqs.set(
            &request(IRQ_DATA_BOOL | IRQ_ACTION_UNMASK, 0, 2),
            &[1, 0],
            vec![],
        )
        .unwrap();
        assert_eq!(count(&mut b_in), 1);
        irqs.set(
            &request(IRQ_DATA_BOOL | IRQ_ACTION_TRIGGER, 0, 3),
            &[0, 1, 1],
            vec![],
        )
        .unwrap();
        irqs.set(&request(OFF, 1, 1), &[], vec![]).unwrap();
        assert_eq!(
            (count(&mut a_in), count(&mut b_in), count(&mut c_in)),
            (1, 0, 2)
        );
        assert_eq!(irqs.set(&request(OFF, 0, 0), &[], vec![]), Ok(Some(false)));
        assert_eq!(irqs.set(&request(OFF, 0, 0), &[], vec![]), Ok(None));
        irqs.fire(2);
        assert_eq!(count(&mut a_in), 0);
    }

    #[test]
    fn impossible_requests_are_refused() {
        let mut irqs = Irqs::new(4);
        for (r, data, fds) in [
            (request(LISTEN, 4, 1), &[][..], 0),
            (request(LISTEN, u32::MAX, u32::MAX), &[], 0),
            (request(LISTEN, 0, 2), &[], 1),
            (request(LISTEN, 0, 0), &[], 0),
            (request(OFF, 0, 1), &[], 1),
            (request(OFF, 1, 0), &[], 0),
            (request(IRQ_DATA_BOOL | IRQ_ACTION_TRIGGER, 0, 2), &[1], 0),
            (request(IRQ_DATA_EVENTFD | IRQ_ACTION_MASK, 0, 1), &[], 1),
            (request(IRQ_DATA_NONE, 0, 1), &[], 0),
            (request(7 | IRQ_ACTION_TRIGGER, 0, 1), &[], 0),
            (
                request(IRQ_ACTION_MASK | IRQ_ACTION_TRIGGER | 1, 0, 1),
                &[],
                0,
            ),
            (
                SetIrqs {
                    index: 5,
                    ..request(OFF, 0, 1)
                },
                &[],
                0,
            ),
            (
                SetIrqs {
                    index: 0,
                    ..request(LISTEN, 0, 1)
                },
                &[],
                1,
            ),
        ] {
            let fds = (0..fds).map(|_| event().0).collect();
            assert_eq!(irqs.set(&r, data, fds), Err(Errno::EINVAL), "{r:?}");
        }
    }

    #[test]
    fn what_would_block_is_left_alone() {
        let mut irqs = Irqs::new(1);
        let (_kept, full) = std::os::unix::net::UnixStream::pair().unwrap();
        full.set_nonblocking(true).unwrap();
        while (&full).write(&[0; 4096]).is_ok() {}
        full.set_nonblocking(false).unwrap();
        irqs.set(&request(LISTEN, 0, 1), &[], vec![full.into()])
            .unwrap();
        irqs.fire(0);
    }
}
