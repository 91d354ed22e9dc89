//! The two weight slots: memory only.
//!
//! What: one bank of 128-bit words per lane for values, one for scales, one for 2:4 positions; each holds slot 0 below slot 1. All
//! banks are read at once, at one slot. Cost: `lanes + 2` RAMs of `2 * slot_words` beats (ECP5, `sim`: 48 DP16KD). Latency: data
//! one cycle after the address.
//!
//! Hazard: none here. A slot is written only while the loader owns it and read only while the linear array owns it (`loader`), so no
//! word that matters is read and written in one cycle.

use abi::Config;
use leaf::prelude::*;

/// See the module's page. Without reset: it has no state but memory.
#[derive(LogicBlock)]
pub struct Slots {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Write one beat.
    pub wr_vld: Signal<In, Bit>,
    /// 0 to lanes-1: values of that lane; 4: scales; 5: positions.
    pub wr_bank: Signal<In, Bits<3>>,
    /// Slot to write.
    pub wr_slot: Signal<In, Bit>,
    /// Word in the slot.
    pub wr_addr: Signal<In, Bits<16>>,
    /// The beat.
    pub wr_data: Signal<In, Bits<128>>,
    /// Slot to read.
    pub rd_slot: Signal<In, Bit>,
    /// Value word in the slot, the same in every lane.
    pub rd_value_addr: Signal<In, Bits<16>>,
    /// Scale word in the slot.
    pub rd_scale_addr: Signal<In, Bits<16>>,
    /// Position word in the slot.
    pub rd_position_addr: Signal<In, Bits<16>>,
    /// Values of each lane, one cycle later; lanes that do not exist give 0.
    pub rd_value: [Signal<Out, Bits<128>>; 4],
    /// Scales, one cycle later.
    pub rd_scale: Signal<Out, Bits<128>>,
    /// Positions, one cycle later.
    pub rd_position: Signal<Out, Bits<128>>,
    value: Vec<Ram<128, 16>>,
    scale: Ram<128, 16>,
    position: Ram<128, 16>,
    slot_words: Constant<Bits<16>>,
    wr_base: Signal<Local, Bits<16>>,
    rd_base: Signal<Local, Bits<16>>,
    waddr: Signal<Local, Bits<16>>,
    value_addr: Signal<Local, Bits<16>>,
    _lanes: usize,
}

impl Slots {
    /// Two slots of `slot_words` words for each lane of the configuration.
    pub fn new(config: &Config) -> Self {
        let depth = 2 * config.slot_words;
        Self {
            clk: Default::default(),
            wr_vld: Default::default(),
            wr_bank: Default::default(),
            wr_slot: Default::default(),
            wr_addr: Default::default(),
            wr_data: Default::default(),
            rd_slot: Default::default(),
            rd_value_addr: Default::default(),
            rd_scale_addr: Default::default(),
            rd_position_addr: Default::default(),
            rd_value: arr(),
            rd_scale: Default::default(),
            rd_position: Default::default(),
            value: (0..abi::config::LANES).map(|_| Ram::new(depth)).collect(),
            scale: Ram::new(depth),
            position: Ram::new(depth),
            slot_words: Constant::new((config.slot_words as u64).to_bits()),
            wr_base: Default::default(),
            rd_base: Default::default(),
            waddr: Default::default(),
            value_addr: Default::default(),
            _lanes: abi::config::LANES,
        }
    }
}

impl Logic for Slots {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("slots");
        clock!(self, clk, scale, position);

        self.wr_base.next = 0.into();
        if self.wr_slot.val() {
            self.wr_base.next = self.slot_words.val();
        }
        self.rd_base.next = 0.into();
        if self.rd_slot.val() {
            self.rd_base.next = self.slot_words.val();
        }
        self.waddr.next = self.wr_base.val() + self.wr_addr.val();
        self.value_addr.next = self.rd_base.val() + self.rd_value_addr.val();

        for i in 0..4 {
            self.rd_value[i].next = 0.into();
        }
        for i in 0..self._lanes {
            self.value[i].clock.next = self.clk.val();
            self.value[i].we.next = self.wr_vld.val() && self.wr_bank.val() == i.to_bits();
            self.value[i].waddr.next = self.waddr.val();
            self.value[i].wdata.next = self.wr_data.val();
            self.value[i].re.next = true;
            self.value[i].raddr.next = self.value_addr.val();
            self.rd_value[i].next = self.value[i].rdata.val();
        }
        self.scale.we.next = self.wr_vld.val() && self.wr_bank.val() == 4;
        self.scale.waddr.next = self.waddr.val();
        self.scale.wdata.next = self.wr_data.val();
        self.scale.re.next = true;
        self.scale.raddr.next = self.rd_base.val() + self.rd_scale_addr.val();
        self.rd_scale.next = self.scale.rdata.val();
        self.position.we.next = self.wr_vld.val() && self.wr_bank.val() == 5;
        self.position.waddr.next = self.waddr.val();
        self.position.wdata.next = self.wr_data.val();
        self.position.re.next = true;
        self.position.raddr.next = self.rd_base.val() + self.rd_position_addr.val();
        self.rd_position.next = self.position.rdata.val();
    }
}
