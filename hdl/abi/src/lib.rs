//! The one truth about the engine's outside: registers, commands, named configurations, memory layout and the fingerprint.
//!
//! The RTL decoder, the driver, `abi.json` and `docs/registers.md` are all made from the tables here.
//! Nothing in this crate depends on anything; the core is `no_std`, writers of text need `alloc`.
#![no_std]

extern crate alloc;

pub mod command;
pub mod config;
pub mod dma;
pub mod fingerprint;
pub mod layout;
pub mod pci;
pub mod registers;
pub mod serial;
pub mod text;

pub use command::{Command, Completion, Opcode, Status};
pub use config::Config;
pub use fingerprint::fingerprint;
pub use layout::{Format, Kind, Section, Sparsity, Storage};
pub use registers::{Access, Register, REGISTERS};

/// Value of the MAGIC register: the bytes "RDHS" as a little-endian word.
pub const MAGIC: u32 = u32::from_le_bytes(*b"RDHS");
/// Version of the register and command contract; raised when an old driver would misread a new engine.
pub const ABI_VERSION: u32 = 2;
/// Revision of the arithmetic of `docs/formats.md`; part of the fingerprint.
pub const NUMERIC_REVISION: u32 = 2;
/// Inputs per block: one activation exponent and one weight scale each (OCP Microscaling block).
pub const BLOCK: usize = 32;
/// Bytes per beat of `m_axi` and `s_axi`.
pub const BEAT: usize = 16;
/// Largest number of experts per token.
pub const TOPK_MAX: usize = 8;
/// Alignment in bytes of every structure in card memory.
pub const ALIGN: u64 = 64;
