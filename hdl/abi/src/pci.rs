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
