//! The PCI function: IDs, base address registers, capabilities, limits. The RTL's configuration space, the driver and the models of
//! the card read them here.

/// Vendor: the one that the stock `xdma` kernel driver binds to (facts of the register contract, not a claim of origin).
pub const VENDOR_ID: u16 = 0x10EE;
/// Device by that driver's convention: generation 1, one lane.
pub const DEVICE_ID: u16 = 0x9011;
/// Subsystem vendor: none was assigned; the vendor's.
pub const SUBSYSTEM_VENDOR_ID: u16 = VENDOR_ID;
/// Subsystem: "RH".
pub const SUBSYSTEM_ID: u16 = 0x5248;
/// Revision of the function.
pub const REVISION_ID: u8 = 0;
/// Class: processing accelerator.
pub const CLASS_CODE: u32 = 0x12_0000;

/// BAR of the engine's registers: 32 bits, not prefetchable.
pub const BAR_REGISTERS: u8 = 0;
/// Its size in bytes.
pub const BAR_REGISTERS_BYTES: u64 = 1 << 12;
/// BAR of the DMA's registers and the MSI-X table: 32 bits, not prefetchable.
pub const BAR_DMA: u8 = 1;
/// Its size in bytes.
pub const BAR_DMA_BYTES: u64 = 1 << 16;
/// BAR pair of the window onto card memory: 64 bits, prefetchable; its size is that of the memory.
pub const BAR_WINDOW: u8 = 2;

/// MSI-X vectors; the register contract wants at least the channels and 16.
pub const VECTORS: usize = 32;
/// Offset of the MSI-X table in [`BAR_DMA`].
pub const MSIX_TABLE: u32 = 0x8000;
/// Offset of the pending bits.
pub const MSIX_PENDING: u32 = 0x8FE0;

/// Device serial number: an EUI-64 with the bit that says it was assigned locally.
pub const SERIAL_NUMBER: u64 = 0x0252_4844_5300_0001;
/// Link speed: 1 is 2.5 GT/s.
pub const LINK_SPEED: u32 = 1;
/// Lanes.
pub const LINK_WIDTH: u32 = 1;

/// Words of configuration space that never change, or their reset values: what the capabilities promise.
pub mod word {
    use super::*;
    const fn capability(id: u32, next: u16, upper: u32) -> u32 {
        id | (next as u32) << 8 | upper << 16
    }
    const fn extended(id: u32, next: u16) -> u32 {
        id | 1 << 16 | (next as u32) << 20
    }
    /// Vendor and device.
    pub const ID: u32 = VENDOR_ID as u32 | (DEVICE_ID as u32) << 16;
    /// Class and revision.
    pub const CLASS: u32 = CLASS_CODE << 8 | REVISION_ID as u32;
    /// Subsystem.
    pub const SUBSYSTEM: u32 = SUBSYSTEM_VENDOR_ID as u32 | (SUBSYSTEM_ID as u32) << 16;
    /// Low bits of BAR 2: 64 bits, prefetchable.
    pub const BAR_WINDOW_TYPE: u32 = 0xC;
    /// Interrupt pin INTA, above the interrupt line.
    pub const INTERRUPT_PIN: u32 = 1 << 8;
    /// Power management, version 3: D0 and D3hot, no PME.
    pub const PM: u32 = capability(0x01, offset::MSI, 3);
    /// PMCSR: No_Soft_Reset.
    pub const PM_STATUS: u32 = 1 << 3;
    /// MSI: one message, 64-bit address.
    pub const MSI: u32 = capability(0x05, offset::MSIX, 1 << 7);
    /// MSI-X: number of vectors - 1.
    pub const MSIX: u32 = capability(0x11, offset::EXPRESS, VECTORS as u32 - 1);
    /// MSI-X table: offset and BAR.
    pub const MSIX_TABLE: u32 = super::MSIX_TABLE | BAR_DMA as u32;
    /// MSI-X pending bits: offset and BAR.
    pub const MSIX_PENDING: u32 = super::MSIX_PENDING | BAR_DMA as u32;
    /// PCI Express, version 2: endpoint.
    pub const EXPRESS: u32 = capability(0x10, 0, 2);
    /// Device capabilities: payload of 256 bytes, extended tags, any exit latency, role-based errors, function-level reset.
    pub const DEVICE: u32 = 1 | 1 << 5 | 7 << 6 | 7 << 9 | 1 << 15 | 1 << 28;
    /// Device control after reset: relaxed ordering and no snoop allowed, read requests of 512 bytes.
    pub const DEVICE_CONTROL: u32 = 1 << 4 | 1 << 11 | 2 << 12;
    /// Link capabilities: speed, width, no ASPM (said by the bit for that).
    pub const LINK: u32 = LINK_SPEED | LINK_WIDTH << 4 | 1 << 22;
    /// Link status: speed, width, clock of the slot.
    pub const LINK_STATUS: u32 = (LINK_SPEED | LINK_WIDTH << 4 | 1 << 12) << 16;
    /// Device capabilities 2: the completion time-out can be switched off; its range cannot be chosen.
    pub const DEVICE2: u32 = 1 << 4;
    /// Link capabilities 2: speeds.
    pub const LINK2: u32 = ((1 << LINK_SPEED) - 1) << 1;
    /// Advanced error reporting.
    pub const AER: u32 = extended(0x0001, offset::SERIAL);
    /// Device serial number, the last.
    pub const SERIAL: u32 = extended(0x0003, 0);
}

/// Uncorrectable errors that the transaction layer finds: bits of the AER registers.
pub mod error {
    /// A TLP with poisoned data.
    pub const POISONED: u32 = 1 << 12;
    /// A completion did not come in time.
    pub const TIMEOUT: u32 = 1 << 14;
    /// A request was answered with completer abort.
    pub const ABORT: u32 = 1 << 15;
    /// A completion that nothing waited for.
    pub const UNEXPECTED: u32 = 1 << 16;
    /// A malformed TLP.
    pub const MALFORMED: u32 = 1 << 18;
    /// An unsupported request.
    pub const UNSUPPORTED: u32 = 1 << 20;
    /// All of them.
    pub const ALL: u32 = POISONED | TIMEOUT | ABORT | UNEXPECTED | MALFORMED | UNSUPPORTED;
    /// Severity after reset: which of them are fatal.
    pub const FATAL: u32 = MALFORMED;
    /// Advisory non-fatal: the bit of the correctable errors, masked after reset.
    pub const ADVISORY: u32 = 1 << 13;
}

/// Offsets in configuration space.
pub mod offset {
    /// Power management capability, the first.
    pub const PM: u16 = 0x40;
    /// MSI capability.
    pub const MSI: u16 = 0x48;
    /// MSI-X capability.
    pub const MSIX: u16 = 0x60;
    /// PCI Express capability.
    pub const EXPRESS: u16 = 0x70;
    /// Advanced error reporting, the first extended capability.
    pub const AER: u16 = 0x100;
    /// Device serial number.
    pub const SERIAL: u16 = 0x140;
}

/// Largest payload that the function takes or sends, in bytes.
pub const MAX_PAYLOAD: usize = 256;
/// Largest read request that may be configured, in bytes.
pub const MAX_READ_REQUEST: usize = 4096;
/// Outstanding read requests of the function.
pub const TAGS: usize = 64;
/// Boundary at which completions to a request may be split, in bytes.
pub const READ_COMPLETION_BOUNDARY: usize = 128;
/// Posted request headers that the function holds.
pub const POSTED_HEADERS: usize = 16;
/// Posted data that it holds, in credits of 16 bytes.
pub const POSTED_DATA: usize = 64;
/// Non-posted requests that it holds; each may bring one credit of data.
pub const NON_POSTED: usize = 8;
