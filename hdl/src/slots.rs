//! The weight slots: memory only.
//!
//! What: four banks of words that are read at once, each at its own address: values (512 bits, 8 bytes a lane), positions (256 bits), scales
//! (128 bits) and zero maps (32 bits). A bank has `slots * slot_words + 2 * router_words` words; who owns which words is a matter between
//! loader and walker, so addresses here are absolute.
//! Cost: no logic but the write enables of seven RAMs (ECP5, `versa`: 1024 words). Latency: data one cycle after the address.
//!
//! Hazard: none here. A group is read only after it is complete in memory and its slot is written again only after it was handed
//! back, so no word that matters is read and written in one cycle.

use abi::Config;
use leaf::prelude::*;

/// See the module's page. Without reset: it has no state but memory.
#[derive(LogicBlock)]
pub struct Slots {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Write one beat.
    pub wr_vld: Signal<In, Bit>,
    /// 0 scales, 1 positions, 2 values.
    pub wr_bank: Signal<In, Bits<2>>,
    /// Which 128 bits of the bank's word, lowest first: 0 for scales, 0 to 1 for positions, 0 to 3 for values.
    pub wr_sub: Signal<In, Bits<2>>,
    /// Word to write.
    pub wr_addr: Signal<In, Bits<16>>,
    /// The beat.
    pub wr_data: Signal<In, Bits<128>>,
    /// Write one word of the zero maps.
    pub map_vld: Signal<In, Bit>,
    /// Word to write.
    pub map_addr: Signal<In, Bits<16>>,
    /// A bit for each of 32 blocks: some row of the group has a scale other than zero there.
    pub map_data: Signal<In, Bits<32>>,
    /// Word of values to read.
    pub rd_value_addr: Signal<In, Bits<16>>,
    /// Word of positions to read.
    pub rd_position_addr: Signal<In, Bits<16>>,
    /// Word of scales to read.
    pub rd_scale_addr: Signal<In, Bits<16>>,
    /// Word of the zero maps to read.
    pub rd_map_addr: Signal<In, Bits<16>>,
    /// Values one cycle later: entry i has those of lanes 2i and 2i+1.
    pub rd_value: [Signal<Out, Bits<128>>; 4],
    /// Positions one cycle later: entry i has those of lanes 4i to 4i+3.
    pub rd_position: [Signal<Out, Bits<128>>; 2],
    /// Scales one cycle later, one of 16 bits for each lane.
    pub rd_scale: Signal<Out, Bits<128>>,
    /// Zero map one cycle later.
    pub rd_map: Signal<Out, Bits<32>>,
    value: Vec<Ram<128, 16>>,
    position: Vec<Ram<128, 16>>,
    scale: Ram<128, 16>,
    map: Ram<32, 16>,
}

impl Slots {
    /// The slots of a configuration: those for experts, then two for the router.
    pub fn new(config: &Config) -> Self {
        let depth = config.slots * config.slot_words + 2 * config.router_words;
        Self {
            clk: Default::default(),
            wr_vld: Default::default(),
            wr_bank: Default::default(),
            wr_sub: Default::default(),
            wr_addr: Default::default(),
            wr_data: Default::default(),
            map_vld: Default::default(),
            map_addr: Default::default(),
            map_data: Default::default(),
            rd_value_addr: Default::default(),
            rd_position_addr: Default::default(),
            rd_scale_addr: Default::default(),
            rd_map_addr: Default::default(),
            rd_value: arr(),
            rd_position: arr(),
            rd_scale: Default::default(),
            rd_map: Default::default(),
            value: (0..4).map(|_| Ram::new(depth)).collect(),
            position: (0..2).map(|_| Ram::new(depth)).collect(),
            scale: Ram::new(depth),
            map: Ram::new(depth),
        }
    }
}

impl Logic for Slots {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("slots");
        clock!(self, clk, scale, map);

        for i in 0..4 {
            self.value[i].clock.next = self.clk.val();
            self.value[i].we.next =
                self.wr_vld.val() && self.wr_bank.val() == 2 && self.wr_sub.val() == i.to_bits();
            self.value[i].waddr.next = self.wr_addr.val();
            self.value[i].wdata.next = self.wr_data.val();
            self.value[i].re.next = true;
            self.value[i].raddr.next = self.rd_value_addr.val();
            self.rd_value[i].next = self.value[i].rdata.val();
        }
        for i in 0..2 {
            self.position[i].clock.next = self.clk.val();
            self.position[i].we.next =
                self.wr_vld.val() && self.wr_bank.val() == 1 && self.wr_sub.val() == i.to_bits();
            self.position[i].waddr.next = self.wr_addr.val();
            self.position[i].wdata.next = self.wr_data.val();
            self.position[i].re.next = true;
            self.position[i].raddr.next = self.rd_position_addr.val();
            self.rd_position[i].next = self.position[i].rdata.val();
        }
        self.scale.we.next = self.wr_vld.val() && self.wr_bank.val() == 0;
        self.scale.waddr.next = self.wr_addr.val();
        self.scale.wdata.next = self.wr_data.val();
        self.scale.re.next = true;
        self.scale.raddr.next = self.rd_scale_addr.val();
        self.rd_scale.next = self.scale.rdata.val();
        self.map.we.next = self.map_vld.val();
        self.map.waddr.next = self.map_addr.val();
        self.map.wdata.next = self.map_data.val();
        self.map.re.next = true;
        self.map.raddr.next = self.rd_map_addr.val();
        self.rd_map.next = self.map.rdata.val();
    }
}
