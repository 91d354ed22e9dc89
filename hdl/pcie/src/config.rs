//! Configuration space: header, power management, MSI, MSI-X, PCI Express capability, serial number.
//!
//! What: one word at a time. The words that can be written are registers of 32 bits, each with a mask of the bits that software may
//! change; the others are constants of `abi::pci`. A bit of status is set by an event and cleared by writing it as one. The words of
//! error reporting are in `errors`, on the same lines.
//!
//! Resets: everything at `rst`; at `flr` everything but payload size and link control, as the specification has it. Writing the bit
//! Initiate Function Level Reset gives `reset`; the endpoint then answers with `flr` when nothing is under way.
//!
//! Cost (ECP5): 570 LUTs, 280 flip-flops. Latency: 3 cycles. Hazard: none.

use abi::pci::{offset, word};
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Config {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: power-on, hot reset, link down.
    pub rst: Signal<In, Bit>,
    /// Reset of the function.
    pub flr: Signal<In, Bit>,
    /// A word is wanted or written; held until `cf_done`.
    pub cf_vld: Signal<In, Bit>,
    /// Write it.
    pub cf_write: Signal<In, Bit>,
    /// Its number.
    pub cf_addr: Signal<In, Bits<10>>,
    /// The word.
    pub cf_data: Signal<In, Bits<32>>,
    /// Bytes of it.
    pub cf_be: Signal<In, Bits<4>>,
    /// Done.
    pub cf_done: Signal<Out, Bit>,
    /// The word, with `cf_done`.
    pub cf_word: Signal<Out, Bits<32>>,
    /// The word as `errors` has it: zero if it is not its own.
    pub error_word: Signal<In, Bits<32>>,
    /// Events for the upper half of the word of Command and Status: its bits 8 and 11 to 15.
    pub status_set: Signal<In, Bits<16>>,
    /// Events for Device Status, bits 3..0.
    pub device_set: Signal<In, Bits<4>>,
    /// Requests are outstanding.
    pub pending: Signal<In, Bit>,
    /// An interrupt is pending, by level.
    pub irq: Signal<In, Bit>,
    /// Memory Space Enable, and the function is in D0.
    pub memory: Signal<Out, Bit>,
    /// Bus Master Enable, and the function is in D0.
    pub bme: Signal<Out, Bit>,
    /// Parity Error Response.
    pub parity: Signal<Out, Bit>,
    /// SERR# Enable.
    pub serr: Signal<Out, Bit>,
    /// Level of INTA, as far as it is enabled and neither MSI nor MSI-X is.
    pub intx: Signal<Out, Bit>,
    /// Address bits 31..12 of BAR 0.
    pub bar0: Signal<Out, Bits<20>>,
    /// Address bits 31..16 of BAR 1.
    pub bar1: Signal<Out, Bits<16>>,
    /// BARs 2 and 3.
    pub bar2: Signal<Out, Bits<64>>,
    /// Their writable bits: those above the window's size.
    pub bar2_mask: Signal<Out, Bits<64>>,
    /// Device Control, bits 3..0: which errors are reported.
    pub reports: Signal<Out, Bits<4>>,
    /// Max_Payload_Size.
    pub mps: Signal<Out, Bits<3>>,
    /// Max_Read_Request_Size.
    pub mrrs: Signal<Out, Bits<3>>,
    /// Extended Tag Field Enable.
    pub ext_tag: Signal<Out, Bit>,
    /// Completion Timeout Disable.
    pub patient: Signal<Out, Bit>,
    /// MSI-X Enable.
    pub msix: Signal<Out, Bit>,
    /// MSI-X Function Mask.
    pub masked: Signal<Out, Bit>,
    /// MSI Enable.
    pub msi: Signal<Out, Bit>,
    /// MSI address, bits 63..2.
    pub msi_addr: Signal<Out, Bits<62>>,
    /// MSI data.
    pub msi_data: Signal<Out, Bits<16>>,
    /// Software asked for a reset of the function.
    pub reset: Signal<Out, Bit>,
    /// A word is written in this cycle: for `errors`.
    pub apply: Signal<Out, Bit>,
    /// The bits of the bytes that are written.
    pub lanes: Signal<Out, Bits<32>>,
    // Registers: number of the word, constant bits, bits that software writes, bits that it clears, value after reset, bits that a
    // reset of the function leaves.
    number: [Constant<Bits<10>>; REGISTERS],
    fixed: [Constant<Bits<32>>; REGISTERS],
    mask: [Constant<Bits<32>>; REGISTERS],
    clears: [Constant<Bits<32>>; REGISTERS],
    initial: [Constant<Bits<32>>; REGISTERS],
    kept: [Constant<Bits<32>>; REGISTERS],
    keep: [Dff<Bits<32>>; REGISTERS],
    choice: [Dff<Bit>; REGISTERS],
    events: [Signal<Local, Bits<32>>; REGISTERS],
    stored: [Signal<Local, Bits<32>>; REGISTERS],
    written: [Signal<Local, Bits<32>>; REGISTERS],
    dropped: [Signal<Local, Bits<32>>; REGISTERS],
    // Constants.
    c_number: [Constant<Bits<10>>; CONSTANTS],
    c_word: [Constant<Bits<32>>; CONSTANTS],
    c_choice: [Dff<Bit>; CONSTANTS],
    bytes: Dff<Bits<32>>,
    stage: Dff<Bits<2>>,
    read: Dff<Bits<32>>,
    writes: Dff<Bit>,
    asked: Dff<Bit>,
    wide: Signal<Local, Bits<32>>,
    selected: Signal<Local, Bits<32>>,
    write: Signal<Local, Bit>,
    awake: Signal<Local, Bit>,
}

/// A register of configuration space.
#[derive(Clone, Copy)]
struct Register {
    offset: u16,
    fixed: u32,
    mask: u32,
    clears: u32,
    initial: u32,
    kept: u32,
}

const fn register(offset: u16, fixed: u32, mask: u32) -> Register {
    Register {
        offset,
        fixed,
        mask,
        clears: 0,
        initial: 0,
        kept: 0,
    }
}

const REGISTERS: usize = 16;
const CONSTANTS: usize = 15;

/// All registers; the kernel knows them by their place. `window` is the mask of BARs 2 and 3.
fn registers(window: u64) -> [Register; REGISTERS] {
    [
        Register {
            clears: 0xF900_0000,
            ..register(0x04, 1 << 20, 0x546)
        },
        register(0x10, 0, 0xFFFF_F000),
        register(0x14, 0, 0xFFFF_0000),
        register(0x18, word::BAR_WINDOW_TYPE, window as u32),
        register(0x1C, 0, (window >> 32) as u32),
        register(offset::PM + 4, word::PM_STATUS, 3),
        register(offset::MSI, word::MSI, 1 << 16),
        register(offset::MSI + 4, 0, !3),
        register(offset::MSI + 8, 0, !0),
        register(offset::MSI + 12, 0, 0xFFFF),
        register(offset::MSIX, word::MSIX, 3 << 30),
        Register {
            clears: 0xF_0000,
            initial: word::DEVICE_CONTROL,
            kept: 0xE0,
            ..register(offset::EXPRESS + 8, 0, 0x79FF)
        },
        Register {
            kept: 0xCB,
            ..register(offset::EXPRESS + 16, word::LINK_STATUS, 0xCB)
        },
        register(offset::EXPRESS + 40, 0, 1 << 4),
        register(0x0C, 0, 0xFF),
        register(0x3C, word::INTERRUPT_PIN, 0xFF),
    ]
}

/// The words that never change and are not zero.
const FIXED: [(u16, u32); CONSTANTS] = [
    (0x00, word::ID),
    (0x08, word::CLASS),
    (0x2C, word::SUBSYSTEM),
    (0x34, offset::PM as u32),
    (offset::PM, word::PM),
    (offset::MSIX + 4, word::MSIX_TABLE),
    (offset::MSIX + 8, word::MSIX_PENDING),
    (offset::EXPRESS, word::EXPRESS),
    (offset::EXPRESS + 4, word::DEVICE),
    (offset::EXPRESS + 12, word::LINK),
    (offset::EXPRESS + 36, word::DEVICE2),
    (offset::EXPRESS + 44, word::LINK2),
    (offset::SERIAL, word::SERIAL),
    (offset::SERIAL + 4, abi::pci::SERIAL_NUMBER as u32),
    (offset::SERIAL + 8, (abi::pci::SERIAL_NUMBER >> 32) as u32),
];

impl Config {
    /// A window of `window` bytes, a power of two of at least 4096.
    pub fn new(window: u64) -> Self {
        let words = registers(!(window - 1));
        let each32 = |of: fn(&Register) -> u32| {
            std::array::from_fn(|i| Constant::new(u64::from(of(&words[i])).to_bits()))
        };
        Self {
            clk: Default::default(),
            rst: Default::default(),
            flr: Default::default(),
            cf_vld: Default::default(),
            cf_write: Default::default(),
            cf_addr: Default::default(),
            cf_data: Default::default(),
            cf_be: Default::default(),
            cf_done: Default::default(),
            cf_word: Default::default(),
            error_word: Default::default(),
            status_set: Default::default(),
            device_set: Default::default(),
            pending: Default::default(),
            irq: Default::default(),
            memory: Default::default(),
            bme: Default::default(),
            parity: Default::default(),
            serr: Default::default(),
            intx: Default::default(),
            bar0: Default::default(),
            bar1: Default::default(),
            bar2: Default::default(),
            bar2_mask: Default::default(),
            reports: Default::default(),
            mps: Default::default(),
            mrrs: Default::default(),
            ext_tag: Default::default(),
            patient: Default::default(),
            msix: Default::default(),
            masked: Default::default(),
            msi: Default::default(),
            msi_addr: Default::default(),
            msi_data: Default::default(),
            reset: Default::default(),
            apply: Default::default(),
            lanes: Default::default(),
            number: std::array::from_fn(|i| {
                Constant::new((u64::from(words[i].offset) / 4).to_bits())
            }),
            fixed: each32(|r| r.fixed),
            mask: each32(|r| r.mask),
            clears: each32(|r| r.clears),
            initial: each32(|r| r.initial),
            kept: each32(|r| r.kept),
            keep: std::array::from_fn(|i| Dff::new(u64::from(words[i].initial).to_bits())),
            choice: arr(),
            events: arr(),
            stored: arr(),
            written: arr(),
            dropped: arr(),
            c_number: std::array::from_fn(|i| Constant::new((u64::from(FIXED[i].0) / 4).to_bits())),
            c_word: std::array::from_fn(|i| Constant::new(u64::from(FIXED[i].1).to_bits())),
            c_choice: arr(),
            bytes: Default::default(),
            stage: Default::default(),
            read: Default::default(),
            writes: Default::default(),
            asked: Default::default(),
            wide: Default::default(),
            selected: Default::default(),
            write: Default::default(),
            awake: Default::default(),
        }
    }
}

impl Logic for Config {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_config");
        dff_setup!(self, clk, bytes, stage, read, writes, asked);

        // One cycle to find the word, one to read it, one to write it and to say so.
        self.writes.d.next = self.stage.q.val() == 1 && self.cf_write.val();
        self.write.next = self.writes.q.val();
        if self.stage.q.val() == 0 && self.cf_vld.val() {
            self.stage.d.next = 1.into();
        }
        if self.stage.q.val() == 1 {
            self.stage.d.next = 2.into();
        }
        if self.stage.q.val() == 2 {
            self.stage.d.next = 0.into();
        }
        self.wide.next = 0.into();
        for i in 0..4 {
            if self.cf_be.val().get_bit(i) {
                self.wide.next = self.wide.val() | (bits::<32>(0xFF) << (8 * i).to_bits::<5>());
            }
        }
        self.bytes.d.next = self.wide.val();
        self.cf_done.next = self.stage.q.val() == 2;
        self.cf_word.next = self.read.q.val() | self.error_word.val();
        self.apply.next = self.write.val();
        self.lanes.next = self.bytes.q.val();

        // Constants and registers.
        self.selected.next = 0.into();
        for i in 0..CONSTANTS {
            self.c_choice[i].clock.next = self.clk.val();
            self.c_choice[i].d.next = self.cf_addr.val() == self.c_number[i].val();
            if self.c_choice[i].q.val() {
                self.selected.next = self.selected.val() | self.c_word[i].val();
            }
        }
        for i in 0..REGISTERS {
            self.keep[i].clock.next = self.clk.val();
            self.choice[i].clock.next = self.clk.val();
            self.choice[i].d.next = self.cf_addr.val() == self.number[i].val();
            self.written[i].next = 0.into();
            self.dropped[i].next = 0.into();
            if self.write.val() && self.choice[i].q.val() {
                self.written[i].next = self.mask[i].val() & self.bytes.q.val();
                self.dropped[i].next =
                    self.clears[i].val() & self.bytes.q.val() & self.cf_data.val();
            }
            self.events[i].next = 0.into();
            self.stored[i].next = self.keep[i].q.val() | self.fixed[i].val();
        }
        self.events[0].next = bit_cast::<32, 16>(self.status_set.val()) << 16;
        self.events[11].next = bit_cast::<32, 4>(self.device_set.val()) << 16;
        self.stored[0].next = self.keep[0].q.val()
            | self.fixed[0].val()
            | (bit_cast::<32, 1>(self.irq.val().into()) << 19);
        self.stored[11].next =
            self.keep[11].q.val() | (bit_cast::<32, 1>(self.pending.val().into()) << 21);
        for i in 0..REGISTERS {
            if self.choice[i].q.val() {
                self.selected.next = self.selected.val() | self.stored[i].val();
            }
            self.keep[i].d.next = (self.keep[i].q.val()
                & !(self.written[i].val() | self.dropped[i].val()))
                | (self.cf_data.val() & self.written[i].val())
                | self.events[i].val();
            if self.flr.val() {
                self.keep[i].d.next =
                    (self.keep[i].q.val() & self.kept[i].val()) | self.initial[i].val();
            }
            if self.rst.val() {
                self.keep[i].d.next = self.initial[i].val();
            }
        }
        self.read.d.next = self.selected.val();

        // What the others want to know.
        self.awake.next = self.keep[5].q.val().get_bits::<2>(0) == 0;
        self.memory.next = self.keep[0].q.val().get_bit(1) && self.awake.val();
        self.bme.next = self.keep[0].q.val().get_bit(2) && self.awake.val();
        self.parity.next = self.keep[0].q.val().get_bit(6);
        self.serr.next = self.keep[0].q.val().get_bit(8);
        self.bar0.next = self.keep[1].q.val().get_bits::<20>(12);
        self.bar1.next = self.keep[2].q.val().get_bits::<16>(16);
        self.bar2.next = (bit_cast::<64, 32>(self.keep[4].q.val()) << 32)
            | bit_cast::<64, 32>(self.keep[3].q.val());
        self.bar2_mask.next =
            (bit_cast::<64, 32>(self.mask[4].val()) << 32) | bit_cast::<64, 32>(self.mask[3].val());
        self.msi.next = self.keep[6].q.val().get_bit(16);
        self.msi_addr.next = (bit_cast::<62, 32>(self.keep[8].q.val()) << 30)
            | bit_cast::<62, 30>(self.keep[7].q.val().get_bits::<30>(2));
        self.msi_data.next = self.keep[9].q.val().get_bits::<16>(0);
        self.msix.next = self.keep[10].q.val().get_bit(31);
        self.masked.next = self.keep[10].q.val().get_bit(30);
        self.intx.next = self.irq.val()
            && self.awake.val()
            && !self.keep[0].q.val().get_bit(10)
            && !self.keep[6].q.val().get_bit(16)
            && !self.keep[10].q.val().get_bit(31);
        self.reports.next = self.keep[11].q.val().get_bits::<4>(0);
        self.mps.next = self.keep[11].q.val().get_bits::<3>(5);
        self.ext_tag.next = self.keep[11].q.val().get_bit(8);
        self.mrrs.next = self.keep[11].q.val().get_bits::<3>(12);
        self.patient.next = self.keep[13].q.val().get_bit(4);
        self.asked.d.next = self.write.val()
            && self.choice[11].q.val()
            && self.bytes.q.val().get_bit(15)
            && self.cf_data.val().get_bit(15);
        self.reset.next = self.asked.q.val();

        if self.rst.val() {
            self.stage.d.next = 0.into();
            self.writes.d.next = false;
            self.asked.d.next = false;
        }
    }
}
