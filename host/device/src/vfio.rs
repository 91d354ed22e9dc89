//! A PCI function of this machine, through the kernel's VFIO: by container and group, or, with the feature `iommufd` and where the kernel
//! has no groups, by the device's own node.
//!
//! Registers go through `pread` and `pwrite` of the device's descriptor: a system call costs a fraction of what the access costs on the
//! link, and each access says whether it failed. No write to a BAR waits in this program, so none needs a barrier.

use std::fs::File;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
#[cfg(feature = "iommufd")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::ioctl::{ioctl, opcode, Ioctl, IoctlOutput, Opcode};
use vfio_bindings::bindings::vfio::{
    VFIO_BASE, VFIO_IOMMU_INFO_CAPS, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
    VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_PCI_CONFIG_REGION_INDEX,
    VFIO_PCI_MSIX_IRQ_INDEX, VFIO_TYPE,
};
use vfio_ioctls::{VfioContainer, VfioDevice, VfioError, VfioOps};

use crate::buffer::{DmaSpace, Mapper, Memory};
use crate::dma::VECTORS;
use crate::event;
use crate::find::Root;
use crate::link::{Link, Wake};
use crate::lock::Lock;
use crate::Error;

/// Numbers of the requests made here and not in `vfio-ioctls`, which drops what they return.
const DEVICE_SET_IRQS: u32 = VFIO_BASE + 10;
const DEVICE_RESET: u32 = VFIO_BASE + 11;
const IOMMU_GET_INFO: u32 = VFIO_BASE + 12;

/// A request of VFIO: its argument is words, the first of which says how many bytes they are.
struct Request<'a> {
    number: u32,
    words: &'a mut [u32],
}

impl Request<'_> {
    fn send(number: u32, words: &mut [u32], fd: BorrowedFd) -> rustix::io::Result<i32> {
        // SAFETY: each number used in this file takes a structure that says its size in its first word, or nothing; the kernel touches no
        // byte beyond that size, and every caller sets it to that of the slice or less.
        unsafe { ioctl(fd, Request { number, words }) }
    }
}

// SAFETY: the opcode is VFIO's, the pointer that of the words, and what the kernel returns is passed on.
unsafe impl Ioctl for Request<'_> {
    type Output = i32;
    const IS_MUTATING: bool = true;
    fn opcode(&self) -> Opcode {
        opcode::none(VFIO_TYPE, self.number as u8)
    }
    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        self.words.as_mut_ptr().cast()
    }
    unsafe fn output_from_ptr(
        output: IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<i32> {
        Ok(output)
    }
}

/// An IOMMU, by whichever interface.
struct Iommu {
    ops: Arc<dyn VfioOps>,
    ranges: Vec<RangeInclusive<u64>>,
}

impl Mapper for Iommu {
    fn ranges(&self) -> Vec<RangeInclusive<u64>> {
        self.ranges.clone()
    }

    unsafe fn map(&self, iova: u64, memory: &Memory) -> Result<(), String> {
        // SAFETY: the caller keeps the memory until it is unmapped, and reaches it by pointer only.
        let done = unsafe { self.ops.vfio_dma_map(iova, memory.bytes(), memory.as_ptr()) };
        done.map_err(|e| format!("{e}; if memory may not be locked, raise the limit (`ulimit -l`, or `memlock` in /etc/security/limits.conf)"))
    }

    fn unmap(&self, iova: u64, bytes: usize) -> Result<(), String> {
        self.ops
            .vfio_dma_unmap(iova, bytes)
            .map_err(|e| e.to_string())
    }
}

/// The addresses behind `ops`, as if they were the kernel's: for tests of what the kernel may refuse.
pub fn iommu_space(device: &str, ops: Arc<dyn VfioOps>) -> Arc<DmaSpace> {
    let ranges = vec![USUAL];
    DmaSpace::new(device.into(), Box::new(Iommu { ops, ranges }))
}

/// What `VFIO_IOMMU_GET_INFO` says of addresses, from its words; none where it says nothing.
fn ranges(words: &[u32]) -> Vec<RangeInclusive<u64>> {
    let word = |at: usize| words.get(at).copied().unwrap_or(0);
    let pair = |at: usize| u64::from(word(at + 1)) << 32 | u64::from(word(at));
    if word(1) & VFIO_IOMMU_INFO_CAPS == 0 {
        return Vec::new();
    }
    let mut at = word(4) as usize / 4;
    // A chain longer than the answer has words is a ring.
    for _ in 0..words.len() {
        if at == 0 || at >= words.len() {
            break;
        }
        if word(at) & 0xFFFF == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE {
            let count = (word(at + 2) as usize).min(words.len() / 4);
            return (0..count)
                .map(|i| pair(at + 4 + 4 * i)..=pair(at + 6 + 4 * i))
                .collect();
        }
        at = word(at + 1) as usize / 4;
    }
    Vec::new()
}

fn container_ranges(container: &VfioContainer) -> rustix::io::Result<Vec<RangeInclusive<u64>>> {
    // SAFETY: the container is open, and outlives the borrow.
    let fd = unsafe { BorrowedFd::borrow_raw(container.as_raw_fd()) };
    let mut words = vec![0; 6];
    words[0] = 24;
    Request::send(IOMMU_GET_INFO, &mut words, fd)?;
    let bytes = words[0].min(1 << 16);
    words.resize(bytes.div_ceil(4).max(6) as usize, 0);
    words[0] = bytes;
    Request::send(IOMMU_GET_INFO, &mut words, fd)?;
    Ok(ranges(&words))
}

/// Where an IOMMU does not say what it maps: what every one of them does.
const USUAL: RangeInclusive<u64> = 0..=(1 << 32) - 1;

/// A function in this process's hands.
pub(crate) struct Vfio {
    name: String,
    events: Vec<File>,
    no_interrupts: Option<String>,
    space: Arc<DmaSpace>,
    device: VfioDevice,
}

impl Vfio {
    /// Takes the function at `address`.
    pub fn open(root: &Root, address: &str) -> Result<(Vfio, Lock), Error> {
        let name = format!("vfio:{address}");
        let say = |what: String| Error::Open(format!("{name}: {what}"));
        let node = root.vfio(address);
        #[cfg(feature = "iommufd")]
        let node = node.or_else(|why| by_own_node(root, address).ok_or(why));
        let node = node.map_err(|problem| say(problem.to_string()))?;
        let lock = Lock::take(&name, &node)?;
        let (ops, container) = iommu(&node).map_err(say)?;
        let device = VfioDevice::new(&root.function(address), ops.clone(), true)
            .map_err(|e| say(refusal(&e)))?;
        // Known from when the first group is in.
        let mut ranges = match container {
            None => Vec::new(),
            Some(container) => container_ranges(&container)
                .map_err(|e| say(format!("the kernel does not describe the IOMMU: {e}")))?,
        };
        if ranges.is_empty() {
            ranges.push(USUAL);
        }
        let mut link = Vfio {
            space: DmaSpace::new(name.clone(), Box::new(Iommu { ops, ranges })),
            name,
            events: Vec::new(),
            no_interrupts: None,
            device,
        };
        if let Err(why) = link.listen() {
            link.events.clear();
            link.no_interrupts = Some(why);
        }
        Ok((link, lock))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the device's descriptor is open as long as the device is there, which the borrow holds.
        unsafe { BorrowedFd::borrow_raw(self.device.as_raw_fd()) }
    }

    /// Asks for MSI-X vectors, and checks that they were given.
    fn listen(&mut self) -> Result<(), String> {
        let index = VFIO_PCI_MSIX_IRQ_INDEX;
        let there = self.device.get_irq_info(index).map_or(0, |irq| irq.count);
        if there < VECTORS {
            return Err(format!(
                "the function has {there} MSI-X vectors, {VECTORS} are needed"
            ));
        }
        self.events = event::events(VECTORS)?;
        let flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
        let mut words = vec![4 * (5 + VECTORS), flags, index, 0, VECTORS];
        words.extend(self.events.iter().map(|event| event.as_raw_fd() as u32));
        match Request::send(DEVICE_SET_IRQS, &mut words, self.fd()) {
            Ok(0) => Ok(()),
            // Not an error to the kernel: so many could have been had.
            Ok(fewer) => Err(format!(
                "the kernel gives {fewer} MSI-X vectors, {VECTORS} were asked for"
            )),
            Err(e) => Err(format!("the kernel gives no MSI-X vectors: {e}")),
        }
    }

    fn region(&self, index: u32, offset: u64, bytes: u64) -> Result<u64, String> {
        let size = self.device.get_region_size(index);
        match offset.checked_add(bytes) {
            Some(end) if end <= size => Ok(self.device.get_region_offset(index) + offset),
            _ => Err(format!("the region has {size} bytes")),
        }
    }

    fn get(&self, index: u32, offset: u64) -> Result<u32, String> {
        let at = self.region(index, offset, 4)?;
        let mut word = [0; 4];
        match rustix::io::pread(self.fd(), &mut word, at) {
            Ok(4) => Ok(u32::from_le_bytes(word)),
            Ok(n) => Err(format!("the kernel read {n} of 4 bytes")),
            Err(e) => Err(e.to_string()),
        }
    }

    fn put(&self, index: u32, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let at = self.region(index, offset, bytes.len() as u64)?;
        match rustix::io::pwrite(self.fd(), bytes, at) {
            Ok(n) if n == bytes.len() => Ok(()),
            Ok(n) => Err(format!("the kernel wrote {n} of {} bytes", bytes.len())),
            Err(e) => Err(e.to_string()),
        }
    }

    fn lift<'a>(&'a self, access: &'static str, address: u64) -> impl FnOnce(String) -> Error + 'a {
        move |reason| Error::Access {
            device: self.name.clone(),
            access,
            address,
            reason,
        }
    }
}

/// Operations of an IOMMU, and the container where it is one.
type Opened = (Arc<dyn VfioOps>, Option<Arc<VfioContainer>>);

/// The interface that fits a node: that of groups, or with iommufd that of devices.
#[cfg_attr(not(feature = "iommufd"), allow(unused_variables))]
fn iommu(node: &Path) -> Result<Opened, String> {
    #[cfg(feature = "iommufd")]
    if node
        .parent()
        .is_some_and(|dir| dir.ends_with("vfio/devices"))
    {
        let fd = iommufd_ioctls::IommuFd::new()
            .map_err(|e| format!("cannot open /dev/iommu: {e}; `sudo chown $USER /dev/iommu`"))?;
        let ops = vfio_ioctls::VfioIommufd::new(Arc::new(fd), None, None);
        return Ok((Arc::new(ops.map_err(|e| refusal(&e))?), None));
    }
    let container = Arc::new(VfioContainer::new(None).map_err(|e| refusal(&e))?);
    Ok((container.clone(), Some(container)))
}

/// The device's own node, where there is one. Untested: no kernel with it was at hand.
#[cfg(feature = "iommufd")]
fn by_own_node(root: &Root, address: &str) -> Option<PathBuf> {
    let mut entries = root.function(address).join("vfio-dev").read_dir().ok()?;
    let node = root
        .node("vfio/devices")
        .join(entries.next()?.ok()?.file_name());
    node.exists().then_some(node)
}

/// What the kernel's refusals mean, where that is known.
fn refusal(e: &VfioError) -> String {
    let mend = match e {
        VfioError::OpenContainer(_) => "`sudo modprobe vfio vfio_iommu_type1`, and let this user open /dev/vfio/vfio",
        VfioError::ContainerSetIOMMU(_) => "the platform may lack interrupt remapping: `sudo dmesg | grep -i remapping`; without it, and at your own risk, `echo 1 | sudo tee /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts`",
        VfioError::GroupViable => "another function of its IOMMU group is bound to another driver; `host info` names it",
        _ => "see `sudo dmesg | grep vfio`, and `host info`",
    };
    format!("the kernel's VFIO refuses: {e}; {mend}")
}

impl Link for Vfio {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn bar_bytes(&self, bar: usize) -> u64 {
        match bar {
            0..=5 => self.device.get_region_size(bar as u32),
            _ => 0,
        }
    }

    fn read(&mut self, bar: usize, offset: u64) -> Result<u32, Error> {
        let word = self.get(bar as u32, offset);
        word.map_err(self.lift("register read", offset))
    }

    fn write(&mut self, bar: usize, offset: u64, value: u32) -> Result<(), Error> {
        let done = self.put(bar as u32, offset, &value.to_le_bytes());
        done.map_err(self.lift("register write", offset))
    }

    fn read_config(&mut self, offset: u16) -> Result<u32, Error> {
        let word = self.get(VFIO_PCI_CONFIG_REGION_INDEX, offset.into());
        word.map_err(self.lift("configuration read", offset.into()))
    }

    fn write_config(&mut self, offset: u16, value: u16) -> Result<(), Error> {
        let region = VFIO_PCI_CONFIG_REGION_INDEX;
        let done = self.put(region, offset.into(), &value.to_le_bytes());
        done.map_err(self.lift("configuration write", offset.into()))
    }

    fn dma(&self) -> Arc<DmaSpace> {
        self.space.clone()
    }

    fn reset(&mut self) -> Result<(), Error> {
        use rustix::io::Errno;
        match Request::send(DEVICE_RESET, &mut [], self.fd()) {
            // A function that the kernel has no way to reset alone.
            Ok(_) | Err(Errno::INVAL | Errno::NOTTY) => Ok(()),
            Err(Errno::AGAIN) => Err(self.lift("reset", 0)("the kernel has it in hand for somebody else: it is being unbound from vfio-pci, or another function of its slot is being reset; when that is over, run again".into())),
            Err(e) => Err(self.lift("reset", 0)(e.to_string())),
        }
    }

    fn no_interrupts(&self) -> Option<&str> {
        self.no_interrupts.as_deref()
    }

    fn wait_interrupt(&mut self, vector: u32, timeout: Duration) -> Result<Wake, Error> {
        let Some(event) = self.events.get_mut(vector as usize) else {
            std::thread::sleep(timeout);
            return Ok(Wake::Timeout);
        };
        match event::wait(event, timeout) {
            Ok(true) => Ok(Wake::Interrupt),
            Ok(false) => Ok(Wake::Timeout),
            Err(e) => Err(self.lift("wait for interrupt", vector.into())(
                e.to_string(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_behind_other_capabilities() {
        let mut words = vec![0; 6];
        (words[1], words[4]) = (3, 24);
        words.extend([3 | 1 << 16, 36, 0]); // another capability
        words.extend([1 | 1 << 16, 0, 2, 0]);
        words.extend([0, 0, 0xFEDF_FFFF, 0]);
        words.extend([0xFEF0_0000, 0, 0xFFFF_FFFF, 0x7F]);
        let found = ranges(&words);
        assert_eq!(found, [0..=0xFEDF_FFFF, 0xFEF0_0000..=0x7F_FFFF_FFFF]);
        assert!(ranges(&words[..6]).is_empty());
        words[1] = 1;
        assert!(ranges(&words).is_empty());
        // A ring of capabilities ends.
        (words[1], words[7], words[9]) = (3, 24, 9);
        assert!(ranges(&words).is_empty());
    }
}
