//! Accesses to the DMA's registers, one at a time, and the two blocks that belong to no channel.
//!
//! What: an access is taken, its block found, then it happens (`act`) and a read is answered. The units with registers see the offset a
//! cycle before and find their register meanwhile. The identifier of the configuration block and the common block of the descriptors are
//! here.
//!
//! Cost (ECP5): 116 LUT sites. Latency: a read is answered 4 cycles after it is taken. Bottleneck: one access in 5 cycles: registers are
//! no data path.

use abi::dma;
use leaf::prelude::*;

const NAMES: [&str; 7] = [
    "IDENTIFIER",
    "HALT",
    "HALT_W1S",
    "HALT_W1C",
    "CREDIT_ENABLE",
    "CREDIT_ENABLE_W1S",
    "CREDIT_ENABLE_W1C",
];

/// See the module's page. Element n of an array belongs to register n of `NAMES`.
#[derive(LogicBlock)]
pub struct Access {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Function-level reset.
    pub flr: Signal<In, Bit>,
    /// An access.
    pub rg_vld: Signal<In, Bit>,
    /// It is taken.
    pub rg_rdy: Signal<Out, Bit>,
    /// It is a write.
    pub rg_write: Signal<In, Bit>,
    /// Offset in the BAR.
    pub rg_addr: Signal<In, Bits<16>>,
    /// Word to write.
    pub rg_data: Signal<In, Bits<32>>,
    /// Byte enables: a write without all four is ignored.
    pub rg_be: Signal<In, Bits<4>>,
    /// A read is answered.
    pub rs_vld: Signal<Out, Bit>,
    /// The word.
    pub rs_data: Signal<Out, Bits<32>>,
    /// The offset is in block n (bits 15:12), channel 0.
    pub at: Signal<Out, Bits<8>>,
    /// Offset in the block.
    pub offset: Signal<Out, Bits<8>>,
    /// The access happens.
    pub act: Signal<Out, Bit>,
    /// It is a write.
    pub write: Signal<Out, Bit>,
    /// Word to write.
    pub wdata: Signal<Out, Bits<32>>,
    /// What the units answer, a cycle after `act`: H2C.
    pub rdata0: Signal<In, Bits<32>>,
    /// C2H.
    pub rdata1: Signal<In, Bits<32>>,
    /// Interrupts.
    pub rdata2: Signal<In, Bits<32>>,
    /// Jobs.
    pub rdata3: Signal<In, Bits<32>>,
    /// Descriptors of H2C (0) and C2H (1) are not to be fetched.
    pub halt: Signal<Out, Bits<2>>,

    // 0 ready, 1 the block is found, 2 the register, 3 it happens, 4 the answer.
    stage: Dff<Bits<3>>,
    happens: Dff<Bit>,
    writing: Dff<Bit>,
    place: Dff<Bits<16>>,
    word: Dff<Bits<32>>,
    block: Dff<Bits<8>>,
    hit: Vec<Dff<Bit>>,
    offsets: Vec<Constant<Bits<8>>>,
    configured: Dff<Bit>,
    answer: Dff<Bits<32>>,
    halted: Dff<Bits<2>>,
    credit: Dff<Bits<2>>,
    read: Signal<Local, Bits<32>>,
    halts: Signal<Local, Bits<32>>,
    credits: Signal<Local, Bits<32>>,
    both: Signal<Local, Bits<2>>,
    identifier: Constant<Bits<32>>,
    config_identifier: Constant<Bits<32>>,
    one: Constant<Bits<8>>,
    _n: usize,
}

impl Default for Access {
    /// # Panics
    /// If `abi::dma` has other registers than this unit.
    fn default() -> Self {
        let registers = dma::SGDMA_BLOCK.registers;
        assert_eq!(registers.iter().map(|r| r.name).collect::<Vec<_>>(), NAMES);
        let bases = dma::BLOCKS.map(|b| b.base);
        assert_eq!(
            bases,
            [0, 0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000]
        );
        assert_eq!((registers[1].mask, dma::CHANNELS), (0x0001_0001, 1));
        let number = |n: u32| u64::from(n).to_bits();
        Self {
            hit: registers.iter().map(|_| Default::default()).collect(),
            offsets: (registers.iter())
                .map(|r| Constant::new(u64::from(r.offset).to_bits()))
                .collect(),
            identifier: Constant::new(number(dma::SGDMA_BLOCK.identifier(0))),
            config_identifier: Constant::new(number(dma::CONFIG_BLOCK.identifier(0))),
            one: Constant::new(1u64.to_bits()),
            _n: NAMES.len(),
            clk: Default::default(),
            rst: Default::default(),
            flr: Default::default(),
            rg_vld: Default::default(),
            rg_rdy: Default::default(),
            rg_write: Default::default(),
            rg_addr: Default::default(),
            rg_data: Default::default(),
            rg_be: Default::default(),
            rs_vld: Default::default(),
            rs_data: Default::default(),
            at: Default::default(),
            offset: Default::default(),
            act: Default::default(),
            write: Default::default(),
            wdata: Default::default(),
            rdata0: Default::default(),
            rdata1: Default::default(),
            rdata2: Default::default(),
            rdata3: Default::default(),
            halt: Default::default(),
            stage: Default::default(),
            happens: Default::default(),
            writing: Default::default(),
            place: Default::default(),
            word: Default::default(),
            block: Default::default(),
            configured: Default::default(),
            answer: Default::default(),
            halted: Default::default(),
            credit: Default::default(),
            read: Default::default(),
            halts: Default::default(),
            credits: Default::default(),
            both: Default::default(),
        }
    }
}

impl Logic for Access {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma_access");
        dff_setup!(
            self, clk, stage, happens, writing, place, word, block, configured, answer, halted,
            credit
        );

        self.rg_rdy.next = self.stage.q.val() == 0;
        if self.stage.q.val() != 0 {
            self.stage.d.next = self.stage.q.val() + 1;
        }
        if self.stage.q.val() == 4 {
            self.stage.d.next = 0.into();
        }
        if self.rg_vld.val() && self.stage.q.val() == 0 {
            self.writing.d.next = self.rg_write.val();
            self.place.d.next = self.rg_addr.val();
            self.word.d.next = self.rg_data.val();
            if !self.rg_write.val() || self.rg_be.val() == 15 {
                self.stage.d.next = 1.into();
            }
        }
        self.block.d.next = 0.into();
        if self.place.q.val().get_bits::<4>(8) == 0 && !self.place.q.val().get_bit(15) {
            self.block.d.next = self.one.val() << self.place.q.val().get_bits::<3>(12);
        }
        self.at.next = self.block.q.val();
        self.offset.next = self.place.q.val().get_bits::<8>(0);
        self.happens.d.next = self.stage.q.val() == 2;
        self.act.next = self.happens.q.val();
        self.write.next = self.writing.q.val();
        self.wdata.next = self.word.q.val();

        // The common block and the configuration block.
        self.configured.d.next =
            self.block.q.val().get_bit(3) && self.place.q.val().get_bits::<8>(0) == 0;
        self.halts.next = bit_cast::<32, 1>(self.halted.q.val().get_bit(0).into())
            | (bit_cast::<32, 1>(self.halted.q.val().get_bit(1).into()) << 16);
        self.credits.next = bit_cast::<32, 1>(self.credit.q.val().get_bit(0).into())
            | (bit_cast::<32, 1>(self.credit.q.val().get_bit(1).into()) << 16);
        for i in 0..self._n {
            self.hit[i].clock.next = self.clk.val();
            self.hit[i].d.next = self.block.q.val().get_bit(6)
                && self.place.q.val().get_bits::<8>(0) == self.offsets[i].val();
        }
        self.read.next = 0.into();
        if self.hit[0].q.val() {
            self.read.next = self.identifier.val();
        }
        if self.configured.q.val() {
            self.read.next = self.config_identifier.val();
        }
        if self.hit[1].q.val() || self.hit[2].q.val() || self.hit[3].q.val() {
            self.read.next = self.halts.val();
        }
        if self.hit[4].q.val() || self.hit[5].q.val() || self.hit[6].q.val() {
            self.read.next = self.credits.val();
        }
        self.answer.d.next = self.read.val();
        self.both.next = bit_cast::<2, 1>(self.word.q.val().get_bit(0).into())
            | (bit_cast::<2, 1>(self.word.q.val().get_bit(16).into()) << 1);
        if self.happens.q.val() && self.writing.q.val() {
            if self.hit[1].q.val() {
                self.halted.d.next = self.both.val();
            }
            if self.hit[2].q.val() {
                self.halted.d.next = self.halted.q.val() | self.both.val();
            }
            if self.hit[3].q.val() {
                self.halted.d.next = self.halted.q.val() & !self.both.val();
            }
            if self.hit[4].q.val() {
                self.credit.d.next = self.both.val();
            }
            if self.hit[5].q.val() {
                self.credit.d.next = self.credit.q.val() | self.both.val();
            }
            if self.hit[6].q.val() {
                self.credit.d.next = self.credit.q.val() & !self.both.val();
            }
        }
        self.halt.next = self.halted.q.val();
        self.rs_vld.next = self.stage.q.val() == 4 && !self.writing.q.val();
        self.rs_data.next = (self.answer.q.val() | self.rdata0.val())
            | (self.rdata1.val() | self.rdata2.val())
            | self.rdata3.val();

        if self.rst.val() || self.flr.val() {
            self.halted.d.next = 0.into();
            self.credit.d.next = 0.into();
        }
        if self.rst.val() {
            self.stage.d.next = 0.into();
            self.happens.d.next = false;
        }
    }
}
