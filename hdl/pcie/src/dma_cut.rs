//! Cuts a descriptor into pieces: each is one packet on the link and one burst on the card's bus.
//!
//! What: a piece ends at the next multiple of the largest packet in host memory (128, 256 or 512 bytes), at the next 4 KiB of card memory,
//! or with the descriptor. A descriptor that moves nothing (length 0, bad magic, not arrived) becomes one piece of 0 bytes, so that its
//! turn is kept.
//!
//! Cost (ECP5): 462 LUT sites. Latency: 4 cycles to the first piece. Bottleneck: one piece in 4 cycles, of at most 512 bytes.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock, Default)]
pub struct Cut {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Drop what is here and what comes.
    pub kill: Signal<In, Bit>,
    /// Largest packet: 128 << `limit` bytes; 2 and above mean 512.
    pub limit: Signal<In, Bits<3>>,
    /// A descriptor.
    pub d_vld: Signal<In, Bit>,
    /// It is taken.
    pub d_rdy: Signal<Out, Bit>,
    /// Address in host memory.
    pub d_host: Signal<In, Bits<64>>,
    /// Address in card memory.
    pub d_card: Signal<In, Bits<40>>,
    /// Bytes.
    pub d_length: Signal<In, Bits<28>>,
    /// Its end is to be logged.
    pub d_completed: Signal<In, Bit>,
    /// The last one.
    pub d_stop: Signal<In, Bit>,
    /// 0 good, 2 without magic, 3 did not arrive.
    pub d_kind: Signal<In, Bits<2>>,
    /// A piece.
    pub p_vld: Signal<Out, Bit>,
    /// It is taken.
    pub p_rdy: Signal<In, Bit>,
    /// Address in host memory.
    pub p_host: Signal<Out, Bits<64>>,
    /// Address in card memory.
    pub p_card: Signal<Out, Bits<40>>,
    /// Bytes: 1 to 512, or 0 where nothing is to be moved.
    pub p_bytes: Signal<Out, Bits<10>>,
    /// Its descriptor ends with it.
    pub p_last: Signal<Out, Bit>,
    /// That descriptor's Completed flag.
    pub p_completed: Signal<Out, Bit>,
    /// Its Stop flag.
    pub p_stop: Signal<Out, Bit>,
    /// 0 good, 1 length 0, 2 without magic, 3 did not arrive.
    pub p_kind: Signal<Out, Bits<2>>,
    /// Nothing is here.
    pub idle: Signal<Out, Bit>,

    // 0 empty, 1 distances, 2 the smaller, 3 the piece's size, 4 on offer.
    stage: Dff<Bits<3>>,
    host: Dff<Bits<64>>,
    // The lower 12 bits of `host` ran over.
    carry: Dff<Bit>,
    card: Dff<Bits<40>>,
    length: Dff<Bits<28>>,
    completed: Dff<Bit>,
    stop: Dff<Bit>,
    kind: Dff<Bits<2>>,
    to_host: Dff<Bits<10>>,
    to_card: Dff<Bits<13>>,
    most: Dff<Bits<10>>,
    long: Dff<Bit>,
    fits_host: Dff<Bit>,
    fits_card: Dff<Bit>,
    bytes: Dff<Bits<10>>,
    last: Dff<Bit>,
    size: Signal<Local, Bits<10>>,
    within: Signal<Local, Bits<10>>,
    low: Signal<Local, Bits<13>>,
}

impl Logic for Cut {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("dma_cut");
        dff_setup!(
            self, clk, stage, carry, fits_host, fits_card, host, card, length, completed, stop,
            kind
        );
        dff_setup!(self, clk, to_host, to_card, most, long, bytes, last);

        self.d_rdy.next = self.stage.q.val() == 0;
        if self.stage.q.val() == 0 && self.d_vld.val() {
            self.stage.d.next = 1.into();
            self.host.d.next = self.d_host.val();
            self.card.d.next = self.d_card.val();
            self.length.d.next = self.d_length.val();
            self.completed.d.next = self.d_completed.val();
            self.stop.d.next = self.d_stop.val();
            self.kind.d.next = self.d_kind.val();
            self.carry.d.next = false;
        }

        self.size.next = 512.into();
        self.within.next = bit_cast::<10, 9>(self.host.q.val().get_bits::<9>(0));
        if self.limit.val() == 0 {
            self.size.next = 128.into();
            self.within.next = bit_cast::<10, 7>(self.host.q.val().get_bits::<7>(0));
        }
        if self.limit.val() == 1 {
            self.size.next = 256.into();
            self.within.next = bit_cast::<10, 8>(self.host.q.val().get_bits::<8>(0));
        }
        if self.stage.q.val() == 1 {
            self.to_host.d.next = self.size.val() - self.within.val();
            self.to_card.d.next =
                bits::<13>(4096) - bit_cast::<13, 12>(self.card.q.val().get_bits::<12>(0));
            self.long.d.next = self.length.q.val().get_bits::<18>(10) != 0;
            self.stage.d.next = 2.into();
            self.carry.d.next = false;
            if self.carry.q.val() {
                self.host.d.next = self.host.q.val() + 4096;
            }
            if self.kind.q.val() == 0 && self.length.q.val() == 0 {
                self.kind.d.next = 1.into();
            }
        }
        if self.stage.q.val() == 2 {
            self.most.d.next = self.to_host.q.val();
            if self.to_card.q.val() < bit_cast::<13, 10>(self.to_host.q.val()) {
                self.most.d.next = self.to_card.q.val().get_bits::<10>(0);
            }
            self.fits_host.d.next = self.length.q.val().get_bits::<10>(0) <= self.to_host.q.val();
            self.fits_card.d.next =
                bit_cast::<13, 10>(self.length.q.val().get_bits::<10>(0)) <= self.to_card.q.val();
            self.stage.d.next = 3.into();
        }
        if self.stage.q.val() == 3 {
            self.bytes.d.next = self.most.q.val();
            self.last.d.next = false;
            if !self.long.q.val() && self.fits_host.q.val() && self.fits_card.q.val() {
                self.bytes.d.next = self.length.q.val().get_bits::<10>(0);
                self.last.d.next = true;
            }
            if self.kind.q.val() != 0 {
                self.bytes.d.next = 0.into();
                self.last.d.next = true;
            }
            self.stage.d.next = 4.into();
        }
        self.low.next = bit_cast::<13, 12>(self.host.q.val().get_bits::<12>(0))
            + bit_cast::<13, 10>(self.bytes.q.val());
        self.p_vld.next = self.stage.q.val() == 4;
        self.p_host.next = self.host.q.val();
        self.p_card.next = self.card.q.val();
        self.p_bytes.next = self.bytes.q.val();
        self.p_last.next = self.last.q.val();
        self.p_completed.next = self.completed.q.val();
        self.p_stop.next = self.stop.q.val();
        self.p_kind.next = self.kind.q.val();
        if self.stage.q.val() == 4 && self.p_rdy.val() {
            self.host.d.next = (self.host.q.val() & 0xFFFF_FFFF_FFFF_F000u64)
                | bit_cast::<64, 12>(self.low.val().get_bits::<12>(0));
            self.carry.d.next = self.low.val().get_bit(12);
            self.card.d.next = self.card.q.val() + bit_cast::<40, 10>(self.bytes.q.val());
            self.length.d.next = self.length.q.val() - bit_cast::<28, 10>(self.bytes.q.val());
            self.stage.d.next = 1.into();
            if self.last.q.val() {
                self.stage.d.next = 0.into();
            }
        }
        self.idle.next = self.stage.q.val() == 0;

        if self.rst.val() || self.kill.val() {
            self.stage.d.next = 0.into();
        }
    }
}
