//! Configuration space of the card: constant bytes, and a mask of the bits that can be written.

use crate::function::{Bar, CONFIG_SPACE};

const COMMAND: usize = 0x04;
const BARS: usize = 0x10;
/// Power management, MSI-X and PCI Express capabilities, in the order of the list.
const PM: usize = 0x40;
const MSIX: usize = 0x60;
const EXPRESS: usize = 0x70;
/// Extended capability with the serial number.
const SERIAL: usize = 0x100;

/// Link of the model: 2.5 GT/s, one lane.
const LINK: u32 = 1 << 4 | 1;

pub(super) struct ConfigSpace {
    bytes: [u8; CONFIG_SPACE],
    writable: [u8; CONFIG_SPACE],
}

impl ConfigSpace {
    /// After reset. `msix` is BAR, table and PBA offset of the MSI-X structures.
    pub fn new(bars: &[Option<Bar>; 6], vectors: u32, msix: (u32, u32, u32)) -> ConfigSpace {
        let mut c = ConfigSpace {
            bytes: [0; CONFIG_SPACE],
            writable: [0; CONFIG_SPACE],
        };
        c.word(0x00, 0x9011_10EE, 0);
        // Status: a capability list. Command: I/O is not implemented, as no BAR is an I/O BAR.
        c.word(COMMAND, 0x0010_0000, 0x0000_0546);
        c.word(0x08, 0x1200_0000, 0); // a processing accelerator, revision 0
        c.word(0x0C, 0, 0x0000_00FF); // cache line size: kept, without meaning
        for (i, bar) in bars.iter().enumerate() {
            let Some(bar) = bar else { continue };
            let kind = u32::from(bar.prefetchable) << 3 | u32::from(bar.wide) << 2;
            let mask = !(bar.size - 1);
            c.word(BARS + 4 * i, kind, mask as u32 & !0xF);
            if bar.wide {
                c.word(BARS + 4 * i + 4, 0, (mask >> 32) as u32);
            }
        }
        c.word(0x2C, 0x5248_10EE, 0);
        c.word(0x34, PM as u32, 0);
        c.word(0x3C, 0x0000_0100, 0x0000_00FF); // INTA#

        c.word(PM, 0x0003_0001 | (MSIX as u32) << 8, 0);
        c.word(PM + 4, 0x0000_0008, 0x0000_0003); // no soft reset; the power state
        let (bar, table, pba) = msix;
        let control = (vectors - 1) << 16;
        c.word(MSIX, 0x11 | (EXPRESS as u32) << 8 | control, 0xC000_0000);
        c.word(MSIX + 4, table | bar, 0);
        c.word(MSIX + 8, pba | bar, 0);
        c.word(EXPRESS, 0x0002_0010, 0); // version 2, endpoint
                                         // Payload 256, extended tags, role-based errors, function-level reset.
        c.word(EXPRESS + 4, 0x1000_8021, 0);
        // Device control: relaxed ordering, payload, extended tags, no snoop, read request; reset reads as 0.
        c.word(EXPRESS + 8, 0x0000_2810, 0x0000_79FF);
        c.word(EXPRESS + 0xC, LINK | 0x0000_0C00, 0); // ASPM L0s, as the capability must have one
        c.word(EXPRESS + 0x10, LINK << 16, 0x0000_0043);
        c.word(SERIAL, 0x0001_0003, 0);
        c.word(SERIAL + 4, 0x0000_0001, 0);
        c.word(SERIAL + 8, 0x5244_4853, 0);
        c
    }

    fn word(&mut self, at: usize, value: u32, writable: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self.writable[at..at + 4].copy_from_slice(&writable.to_le_bytes());
    }

    /// The caller has checked the range.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.bytes[offset..offset + bytes.len()]);
    }

    /// Whether the write asks for a function-level reset. The caller has checked the range.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> bool {
        for (at, new) in (offset..).zip(bytes) {
            let mask = self.writable[at];
            self.bytes[at] = self.bytes[at] & !mask | new & mask;
        }
        let flr = (EXPRESS + 9).checked_sub(offset).and_then(|i| bytes.get(i));
        flr.is_some_and(|byte| byte & 0x80 != 0)
    }

    /// The card may send requests.
    pub fn bus_master(&self) -> bool {
        self.bytes[COMMAND] & 4 != 0
    }
}
