//! The interrupt block: sources, masks, vectors, and one message on each rising edge.
//!
//! What: a source is a channel (H2C, then C2H) or a user interrupt (the engine's). Source AND mask is the request; its rising edge makes
//! one message with the source's vector due. Messages go out one at a time, the lowest source first. A rising edge while the message of
//! the edge before it is still due is covered by that message.
//!
//! Cost (ECP5): 82 LUT sites. Latency: 3 cycles from a source to `ms_vld`. Bottleneck: one message in 2 cycles.

use abi::dma;
use leaf::prelude::*;

const NAMES: [&str; 13] = [
    "IDENTIFIER",
    "USER_MASK",
    "USER_MASK_W1S",
    "USER_MASK_W1C",
    "CHANNEL_MASK",
    "CHANNEL_MASK_W1S",
    "CHANNEL_MASK_W1C",
    "USER_REQUEST",
    "CHANNEL_REQUEST",
    "USER_PENDING",
    "CHANNEL_PENDING",
    "USER_VECTORS",
    "CHANNEL_VECTORS",
];

/// See the module's page. Element n of an array belongs to register n of `NAMES`; sources are 0 H2C, 1 C2H, 2 user 0.
#[derive(LogicBlock)]
pub struct Irq {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Function-level reset.
    pub flr: Signal<In, Bit>,
    /// The offset is in this block.
    pub at: Signal<In, Bit>,
    /// Offset in the block; stands for a cycle before `act`.
    pub offset: Signal<In, Bits<8>>,
    /// The access happens.
    pub act: Signal<In, Bit>,
    /// It is a write.
    pub write: Signal<In, Bit>,
    /// Word to write.
    pub wdata: Signal<In, Bits<32>>,
    /// Word read, a cycle after `act`; else 0.
    pub rdata: Signal<Out, Bits<32>>,
    /// Sources.
    pub sources: Signal<In, Bits<3>>,
    /// A message.
    pub ms_vld: Signal<Out, Bit>,
    /// It is sent.
    pub ms_rdy: Signal<In, Bit>,
    /// Its vector.
    pub ms_vector: Signal<Out, Bits<5>>,
    /// Some request is pending.
    pub level: Signal<Out, Bit>,
    /// No message is due.
    pub idle: Signal<Out, Bit>,

    hit: Vec<Dff<Bit>>,
    value: Vec<Signal<Local, Bits<32>>>,
    place: Vec<Constant<Bits<8>>>,
    answer: Dff<Bits<32>>,
    read: Signal<Local, Bits<32>>,
    stores: Signal<Local, Bit>,
    source: Dff<Bits<3>>,
    mask: Dff<Bits<3>>,
    before: Dff<Bits<3>>,
    due: Dff<Bits<3>>,
    vector: [Dff<Bits<5>>; 3],
    message: Dff<Bit>,
    number: Dff<Bits<5>>,
    request: Signal<Local, Bits<3>>,
    picked: Signal<Local, Bits<3>>,
    users: Signal<Local, Bits<3>>,
    channels: Signal<Local, Bits<3>>,
    identifier: Constant<Bits<32>>,
    _n: usize,
}

impl Default for Irq {
    /// # Panics
    /// If `abi::dma` has other registers, or other numbers of channels and users, than this unit.
    fn default() -> Self {
        let registers = dma::IRQ_BLOCK.registers;
        assert_eq!(registers.iter().map(|r| r.name).collect::<Vec<_>>(), NAMES);
        assert_eq!((dma::CHANNELS, dma::USERS), (1, 1));
        Self {
            hit: registers.iter().map(|_| Default::default()).collect(),
            value: registers.iter().map(|_| Default::default()).collect(),
            place: (registers.iter())
                .map(|r| Constant::new(u64::from(r.offset).to_bits()))
                .collect(),
            vector: arr(),
            identifier: Constant::new(u64::from(dma::IRQ_BLOCK.identifier(0)).to_bits()),
            _n: NAMES.len(),
            clk: Default::default(),
            rst: Default::default(),
            flr: Default::default(),
            at: Default::default(),
            offset: Default::default(),
            act: Default::default(),
            write: Default::default(),
            wdata: Default::default(),
            rdata: Default::default(),
            sources: Default::default(),
            ms_vld: Default::default(),
            ms_rdy: Default::default(),
            ms_vector: Default::default(),
            level: Default::default(),
            idle: Default::default(),
            answer: Default::default(),
            read: Default::default(),
            stores: Default::default(),
            source: Default::default(),
            mask: Default::default(),
            before: Default::default(),
            due: Default::default(),
            message: Default::default(),
            number: Default::default(),
            request: Default::default(),
            picked: Default::default(),
            users: Default::default(),
            channels: Default::default(),
        }
    }
}

impl Logic for Irq {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma_irq");
        dff_setup!(self, clk, answer, source, mask, before, due, message, number);
        for i in 0..3 {
            self.vector[i].clock.next = self.clk.val();
            self.vector[i].d.next = self.vector[i].q.val();
        }

        // What the registers read as.
        self.source.d.next = self.sources.val();
        self.request.next = self.source.q.val() & self.mask.q.val();
        self.value[0].next = self.identifier.val();
        for i in 1..4 {
            self.value[i].next = bit_cast::<32, 1>(self.mask.q.val().get_bit(2).into());
        }
        for i in 4..7 {
            self.value[i].next = bit_cast::<32, 2>(self.mask.q.val().get_bits::<2>(0));
        }
        self.value[7].next = bit_cast::<32, 1>(self.request.val().get_bit(2).into());
        self.value[8].next = bit_cast::<32, 2>(self.request.val().get_bits::<2>(0));
        self.value[9].next = bit_cast::<32, 1>(self.source.q.val().get_bit(2).into());
        self.value[10].next = bit_cast::<32, 2>(self.source.q.val().get_bits::<2>(0));
        self.value[11].next = bit_cast::<32, 5>(self.vector[2].q.val());
        self.value[12].next = bit_cast::<32, 5>(self.vector[0].q.val())
            | (bit_cast::<32, 5>(self.vector[1].q.val()) << 8);
        self.read.next = 0.into();
        for i in 0..self._n {
            self.hit[i].clock.next = self.clk.val();
            self.hit[i].d.next = self.at.val() && self.offset.val() == self.place[i].val();
            if self.hit[i].q.val() {
                self.read.next = self.read.val() | self.value[i].val();
            }
        }
        self.answer.d.next = 0.into();
        if self.act.val() && !self.write.val() {
            self.answer.d.next = self.read.val();
        }
        self.rdata.next = self.answer.q.val();

        // Writes; what does not exist is not stored.
        self.stores.next = self.act.val() && self.write.val();
        self.users.next = bit_cast::<3, 1>(self.wdata.val().get_bit(0).into()) << 2;
        self.channels.next = bit_cast::<3, 2>(self.wdata.val().get_bits::<2>(0));
        if self.stores.val() {
            if self.hit[1].q.val() {
                self.mask.d.next = (self.mask.q.val() & 3) | self.users.val();
            }
            if self.hit[2].q.val() {
                self.mask.d.next = self.mask.q.val() | self.users.val();
            }
            if self.hit[3].q.val() {
                self.mask.d.next = self.mask.q.val() & !self.users.val();
            }
            if self.hit[4].q.val() {
                self.mask.d.next = (self.mask.q.val() & 4) | self.channels.val();
            }
            if self.hit[5].q.val() {
                self.mask.d.next = self.mask.q.val() | self.channels.val();
            }
            if self.hit[6].q.val() {
                self.mask.d.next = self.mask.q.val() & !self.channels.val();
            }
            if self.hit[11].q.val() {
                self.vector[2].d.next = self.wdata.val().get_bits::<5>(0);
            }
            if self.hit[12].q.val() {
                self.vector[0].d.next = self.wdata.val().get_bits::<5>(0);
                self.vector[1].d.next = self.wdata.val().get_bits::<5>(8);
            }
        }

        // Edges make messages due; the lowest goes first.
        self.before.d.next = self.request.val();
        self.picked.next = 0.into();
        if self.message.q.val() && self.ms_rdy.val() {
            self.message.d.next = false;
        }
        if !self.message.q.val() {
            if self.due.q.val().get_bit(2) {
                self.picked.next = 4.into();
                self.number.d.next = self.vector[2].q.val();
            }
            if self.due.q.val().get_bit(1) {
                self.picked.next = 2.into();
                self.number.d.next = self.vector[1].q.val();
            }
            if self.due.q.val().get_bit(0) {
                self.picked.next = 1.into();
                self.number.d.next = self.vector[0].q.val();
            }
            self.message.d.next = self.due.q.val() != 0;
        }
        self.due.d.next =
            (self.due.q.val() & !self.picked.val()) | (self.request.val() & !self.before.q.val());
        self.ms_vld.next = self.message.q.val();
        self.ms_vector.next = self.number.q.val();
        self.level.next = self.request.val() != 0;
        self.idle.next = !self.message.q.val() && self.due.q.val() == 0;

        if self.rst.val() || self.flr.val() {
            self.mask.d.next = 0.into();
            self.before.d.next = 0.into();
            self.due.d.next = 0.into();
            self.message.d.next = false;
            for i in 0..3 {
                self.vector[i].d.next = 0.into();
            }
        }
    }
}
