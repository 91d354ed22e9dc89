//! What is sent: who comes next, whether the other side has room for it, and header and payload as one stream.
//!
//! What: four sources, one TLP at a time. 0: writes of the DMA; 1: interrupts and messages; 2: completions; 3: read requests. A TLP
//! starts only if the receiver's credits cover it, so a class without credits holds up no other class. There is no queue behind the
//! choice: what is taken first is sent first, so nothing passes a write whose last beat has been taken, and writes and completions
//! never wait for read requests. Writes alternate with whatever else is there; the others take turns.
//!
//! Credits: consumed and limit are counted modulo 256 and 4096 as the specification has it. Whether a source may go is a register, so
//! it is a cycle old; a class that has just gone waits two or three cycles. Writes go without that delay while there is room for a whole payload.
//!
//! Cost (ECP5): 128 bits 1100 LUTs, 370 flip-flops. Latency: 2 cycles for a write on an idle bus, 3 otherwise. Bottleneck: one beat
//! per cycle without a gap between TLPs of 3 and more beats. Hazard: a source must keep its offer until it is done, and the DMA must go on
//! with a payload that it has begun.

use crate::request_header::RequestHeader;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock, Default)]
pub struct Transmit<const W: usize, const K: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Bus, device and function.
    pub id: Signal<In, Bits<16>>,
    /// Writes of the DMA may start.
    pub enable: Signal<In, Bit>,
    /// Max_Payload_Size: 128 << mps bytes.
    pub mps: Signal<In, Bits<3>>,
    /// CREDIT_LIMIT: posted headers.
    pub fc_ph: Signal<In, Bits<8>>,
    /// Posted data.
    pub fc_pd: Signal<In, Bits<12>>,
    /// Non-posted headers.
    pub fc_nph: Signal<In, Bits<8>>,
    /// Non-posted data: not looked at, because nothing that is sent needs it.
    pub fc_npd: Signal<In, Bits<12>>,
    /// Completion headers.
    pub fc_cplh: Signal<In, Bits<8>>,
    /// Completion data.
    pub fc_cpld: Signal<In, Bits<12>>,
    /// No limit: bit 0 posted headers, 1 posted data, 2 non-posted headers, 4 completion headers, 5 completion data.
    pub fc_inf: Signal<In, Bits<6>>,
    /// A beat of a write.
    pub wr_vld: Signal<In, Bit>,
    /// It is taken.
    pub wr_rdy: Signal<Out, Bit>,
    /// First beat of a write.
    pub wr_sop: Signal<In, Bit>,
    /// Address of its first byte.
    pub wr_addr: Signal<In, Bits<64>>,
    /// Its bytes; words as in memory at most Max_Payload_Size, not across 4 KiB.
    pub wr_bytes: Signal<In, Bits<13>>,
    /// Words as in memory.
    pub wr_data: Signal<In, Bits<W>>,
    /// An interrupt or a message.
    pub ms_vld: Signal<In, Bit>,
    /// It is sent.
    pub ms_done: Signal<Out, Bit>,
    /// Header.
    pub ms_header: Signal<In, Bits<128>>,
    /// Payload, if there is any.
    pub ms_data: Signal<In, Bits<32>>,
    /// A completion.
    pub cpl_vld: Signal<In, Bit>,
    /// It is sent.
    pub cpl_done: Signal<Out, Bit>,
    /// Header.
    pub cpl_header: Signal<In, Bits<128>>,
    /// The present beat of its payload.
    pub cpl_data: Signal<In, Bits<W>>,
    /// That beat is there.
    pub cpl_there: Signal<In, Bit>,
    /// That beat is taken.
    pub cpl_take: Signal<Out, Bit>,
    /// A read request.
    pub rd_vld: Signal<In, Bit>,
    /// It is sent.
    pub rd_done: Signal<Out, Bit>,
    /// Header.
    pub rd_header: Signal<In, Bits<128>>,
    /// A beat to the data link layer.
    pub tx_vld: Signal<Out, Bit>,
    /// It is taken.
    pub tx_rdy: Signal<In, Bit>,
    /// Words.
    pub tx_data: Signal<Out, Bits<W>>,
    /// Which words there are.
    pub tx_keep: Signal<Out, Bits<K>>,
    /// First beat of a TLP.
    pub tx_sop: Signal<Out, Bit>,
    /// Last beat.
    pub tx_eop: Signal<Out, Bit>,
    /// No TLP is under way.
    pub idle: Signal<Out, Bit>,
    maker: RequestHeader,
    // Credits consumed, and what is left of the limits, a cycle old.
    ph: Dff<Bits<8>>,
    pd: Dff<Bits<12>>,
    nph: Dff<Bits<8>>,
    cplh: Dff<Bits<8>>,
    cpld: Dff<Bits<12>>,
    ph_left: Dff<Bits<8>>,
    pd_left: Dff<Bits<12>>,
    nph_left: Dff<Bits<8>>,
    cplh_left: Dff<Bits<8>>,
    cpld_left: Dff<Bits<12>>,
    // Who may go; and how long that is not to be believed.
    room: Dff<Bit>,
    may_wr: Dff<Bit>,
    // A write is under way whose first beat is still at the pins.
    open: Dff<Bit>,
    may_ms: Dff<Bit>,
    may_cpl: Dff<Bit>,
    may_rd: Dff<Bit>,
    stale_p: Dff<Bits<3>>,
    stale_ms: Dff<Bits<2>>,
    stale_cpl: Dff<Bits<2>>,
    stale_rd: Dff<Bits<2>>,
    done: Dff<Bits<3>>,
    // Credits that the last write or message cost, still to be added.
    cost: Dff<Bits<9>>,
    turn: Dff<Bits<2>>,
    // The TLP under way or next.
    sel: Dff<Bits<2>>,
    busy: Dff<Bit>,
    second: Dff<Bit>,
    shifted: Dff<Bit>,
    left: Dff<Bits<7>>,
    hold: Dff<Bits<W>>,
    vld: Dff<Bit>,
    data: Dff<Bits<W>>,
    keep: Dff<Bits<K>>,
    sop: Dff<Bit>,
    eop: Dff<Bit>,
    k: Signal<Local, Bits<7>>,
    wr_need: Signal<Local, Bits<12>>,
    ms_need: Signal<Local, Bits<12>>,
    cpl_need: Signal<Local, Bits<12>>,
    most: Signal<Local, Bits<12>>,
    p_header: Signal<Local, Bit>,
    cpl_room: Signal<Local, Bit>,
    wr_next: Signal<Local, Bit>,
    posts: Signal<Local, Bit>,
    ready: Signal<Local, Bits<4>>,
    waits: Signal<Local, Bits<4>>,
    other: Signal<Local, Bits<2>>,
    choice: Signal<Local, Bits<2>>,
    able: Signal<Local, Bit>,
    free: Signal<Local, Bit>,
    starts: Signal<Local, Bit>,
    header: Signal<Local, Bits<128>>,
    payload: Signal<Local, Bits<W>>,
    there: Signal<Local, Bit>,
    four: Signal<Local, Bit>,
    carries: Signal<Local, Bit>,
    single: Signal<Local, Bit>,
    lead: Signal<Local, Bits<W>>,
    top: Signal<Local, Bits<W>>,
    leads: Signal<Local, Bit>,
    half: Signal<Local, Bit>,
    beat: Signal<Local, Bits<W>>,
    wants: Signal<Local, Bit>,
    moves: Signal<Local, Bit>,
    takes: Signal<Local, Bit>,
    rest: Signal<Local, Bits<7>>,
    ends: Signal<Local, Bit>,
    kept: Signal<Local, Bits<K>>,
    finished: Signal<Local, Bit>,
}

impl<const W: usize, const K: usize> Logic for Transmit<W, K> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_transmit");
        dff_setup!(self, clk, ph, pd, nph, cplh, cpld, ph_left, pd_left, nph_left, cplh_left);
        dff_setup!(self, clk, cpld_left, room, may_wr, may_ms, may_cpl, may_rd, stale_p);
        dff_setup!(
            self, clk, stale_ms, stale_cpl, stale_rd, open, turn, sel, busy, second, shifted
        );
        dff_setup!(self, clk, left, hold, vld, data, keep, sop, eop, done, cost);
        for n in K..(K + 1) {
            self.k.next = n.to_bits();
        }
        self.maker.addr.next = self.wr_addr.val();
        self.maker.bytes.next = self.wr_bytes.val();
        self.maker.write.next = true;
        self.maker.tag.next = 0.into();
        self.maker.id.next = self.id.val();

        // Credits: what is left of each kind, and what each source needs.
        self.ph_left.d.next = self.fc_ph.val() - self.ph.q.val();
        self.pd_left.d.next = self.fc_pd.val() - self.pd.q.val();
        self.nph_left.d.next = self.fc_nph.val() - self.nph.q.val();
        self.cplh_left.d.next = self.fc_cplh.val() - self.cplh.q.val();
        self.cpld_left.d.next = self.fc_cpld.val() - self.cpld.q.val();
        self.most.next = 8.into();
        if self.mps.val() != 0 {
            self.most.next = 16.into();
        }
        self.wr_need.next = bit_cast::<12, 9>(
            (self.wr_bytes.val()
                + bit_cast::<13, 5>(bit_cast::<5, 2>(self.wr_addr.val().get_bits::<2>(0)) + 15))
            .get_bits::<9>(4),
        );
        self.ms_need.next = bit_cast::<12, 1>(self.ms_header.val().get_bit(30).into());
        self.cpl_need.next = 0.into();
        if self.cpl_header.val().get_bit(30) {
            self.cpl_need.next =
                (bit_cast::<12, 7>(self.cpl_header.val().get_bits::<7>(0)) + 3) >> 2;
        }

        // Who may go. A difference of half the range or more is none: the limit is behind.
        self.p_header.next = self.fc_inf.val().get_bit(0)
            || (self.ph_left.q.val() != 0 && !self.ph_left.q.val().get_bit(7));
        self.cpl_room.next = self.fc_inf.val().get_bit(4)
            || (self.cplh_left.q.val() != 0 && !self.cplh_left.q.val().get_bit(7));
        self.may_ms.d.next = self.ms_vld.val()
            && self.p_header.val()
            && (self.fc_inf.val().get_bit(1)
                || (!self.pd_left.q.val().get_bit(11)
                    && self.pd_left.q.val() >= self.ms_need.val()));
        self.may_cpl.d.next = self.cpl_vld.val()
            && self.cpl_room.val()
            && (self.fc_inf.val().get_bit(5)
                || (!self.cpld_left.q.val().get_bit(11)
                    && self.cpld_left.q.val() >= self.cpl_need.val()));
        self.may_rd.d.next = self.rd_vld.val()
            && (self.fc_inf.val().get_bit(2)
                || (self.nph_left.q.val() != 0 && !self.nph_left.q.val().get_bit(7)));
        self.wr_next.next = self.wr_vld.val() && self.wr_sop.val() && self.enable.val();
        self.ready.next = 0.into();
        if self.wr_vld.val() && self.wr_sop.val() && (self.room.q.val() || self.may_wr.q.val()) {
            self.ready.next = 1.into();
        }
        if self.may_ms.q.val() && self.stale_ms.q.val() == 0 && self.stale_p.q.val() == 0 {
            self.ready.next = self.ready.val() | 2;
        }
        if self.may_cpl.q.val() && self.stale_cpl.q.val() == 0 {
            self.ready.next = self.ready.val() | 4;
        }
        if self.may_rd.q.val() && self.stale_rd.q.val() == 0 {
            self.ready.next = self.ready.val() | 8;
        }
        // A source other than 0 is chosen only when it is ready, and then stays so.
        self.able.next = self.ready.val().get_bit(0) || self.sel.q.val() != 0;

        // Who is next. After a write the others take turns, after one of them it is the writes' turn.
        self.waits.next = self.ready.val();
        // A write of a single beat begins and ends at once: what it costs is not yet in what a message was promised.
        if self.sel.q.val() == 0 && !self.busy.q.val() && self.ready.val().get_bit(0) {
            self.waits.next = self.ready.val() & 13;
        }
        if self.sel.q.val() == 1 {
            self.waits.next = self.ready.val() & 13;
        }
        if self.sel.q.val() == 2 {
            self.waits.next = self.ready.val() & 11;
        }
        if self.sel.q.val() == 3 {
            self.waits.next = self.ready.val() & 7;
        }
        self.other.next = 0.into();
        if self.turn.q.val() == 1 {
            if self.waits.val().get_bit(2) {
                self.other.next = 2.into();
            } else if self.waits.val().get_bit(3) {
                self.other.next = 3.into();
            } else if self.waits.val().get_bit(1) {
                self.other.next = 1.into();
            }
        } else if self.turn.q.val() == 2 {
            if self.waits.val().get_bit(3) {
                self.other.next = 3.into();
            } else if self.waits.val().get_bit(1) {
                self.other.next = 1.into();
            } else if self.waits.val().get_bit(2) {
                self.other.next = 2.into();
            }
        } else {
            if self.waits.val().get_bit(1) {
                self.other.next = 1.into();
            } else if self.waits.val().get_bit(2) {
                self.other.next = 2.into();
            } else if self.waits.val().get_bit(3) {
                self.other.next = 3.into();
            }
        }
        self.choice.next = self.other.val();
        if self.sel.q.val() != 0 && self.wr_next.val() {
            self.choice.next = 0.into();
        }

        // The source's header and payload.
        self.header.next = self.maker.header.val();
        self.payload.next = self.wr_data.val();
        self.there.next = self.wr_vld.val();
        if self.sel.q.val() == 1 {
            self.header.next = self.ms_header.val();
            self.payload.next = bit_cast::<W, 32>(self.ms_data.val());
            self.there.next = true;
        }
        if self.sel.q.val() == 2 {
            self.header.next = self.cpl_header.val();
            self.payload.next = self.cpl_data.val();
            self.there.next = self.cpl_there.val();
        }
        if self.sel.q.val() == 3 {
            self.header.next = self.rd_header.val();
            self.there.next = true;
        }
        self.top.next = self.payload.val() << 32;
        if self.k.val() == 4 {
            self.top.next = (self.payload.val() << 48) << 48;
        }
        self.four.next = self.header.val().get_bit(29);
        self.carries.next = self.sel.q.val() == 0 || self.header.val().get_bit(30);
        self.single.next = self.maker.one.val();
        if self.sel.q.val() != 0 {
            self.single.next = self.header.val().get_bits::<7>(0) == 1;
        }

        // The beat: the first of two for the header (64 bits), the one that ends the header, or one of payload. A header of three words
        // leaves room for the payload's first word, and every later beat is then made of two of the source's.
        self.lead.next = bit_cast::<W, 96>(self.header.val().get_bits::<96>(0));
        if self.k.val() == 2 {
            self.lead.next = bit_cast::<W, 32>(self.header.val().get_bits::<32>(64));
        }
        self.half.next = self.k.val() == 2 && !self.busy.q.val();
        self.leads.next = !self.busy.q.val();
        if self.k.val() == 2 {
            self.leads.next = self.second.q.val();
        }
        self.wants.next = !self.shifted.q.val() || self.left.q.val() > self.k.val();
        self.ends.next = self.left.q.val() <= self.k.val()
            || (self.shifted.q.val() && self.left.q.val() == self.k.val() + 1);
        self.rest.next = self.left.q.val() - self.k.val();
        self.kept.next = 0.into();
        for i in 0..K {
            if self.left.q.val() > (i + 1).to_bits()
                || (!self.shifted.q.val() && self.left.q.val() > i.to_bits())
            {
                self.kept.next = self.kept.val().replace_bit(i, true);
            }
        }

        self.beat.next = self.payload.val();
        if self.shifted.q.val() {
            self.beat.next = self.hold.q.val() | self.top.val();
        }
        if self.leads.val() {
            self.wants.next = !self.four.val() && self.carries.val();
            self.ends.next = !self.carries.val() || (!self.four.val() && self.single.val());
            self.rest.next = self.header.val().get_bits::<7>(0);
            self.kept.next = bits::<K>(0) - 1;
            if !self.four.val() && !self.carries.val() {
                self.kept.next = (bits::<K>(0) - 1) >> 1;
            }

            self.beat.next = bit_cast::<W, 128>(self.header.val());
            if self.k.val() == 2 {
                self.beat.next = bit_cast::<W, 64>(self.header.val().get_bits::<64>(64));
            }
            if !self.four.val() {
                self.beat.next = self.lead.val() | self.top.val();
            }
        }
        if self.half.val() {
            self.wants.next = false;
            self.ends.next = false;
            self.kept.next = bits::<K>(0) - 1;
            self.beat.next = bit_cast::<W, 128>(self.header.val());
        }
        self.free.next = !self.vld.q.val() || self.tx_rdy.val();
        self.moves.next = self.free.val()
            && (self.busy.q.val() || self.able.val())
            && (self.there.val() || !self.wants.val());
        self.takes.next = self.moves.val() && self.wants.val();

        self.starts.next = self.moves.val() && !self.busy.q.val();
        self.finished.next = self.moves.val() && self.ends.val();
        // Writes: known a cycle ahead, with all that forbids them. A message that waits is looked at before the next write.
        self.posts.next = self.enable.val()
            && !self.starts.val()
            && self.stale_p.q.val().get_bits::<2>(1) == 0
            && !(self.ms_vld.val() && self.stale_p.q.val().get_bit(0));
        self.room.d.next = self.posts.val()
            && self.p_header.val()
            && (self.fc_inf.val().get_bit(1)
                || (!self.pd_left.q.val().get_bit(11) && self.pd_left.q.val() >= self.most.val()));
        self.may_wr.d.next = self.posts.val()
            && !self.open.q.val()
            && self.wr_vld.val()
            && self.wr_sop.val()
            && self.p_header.val()
            && (self.fc_inf.val().get_bit(1)
                || (!self.pd_left.q.val().get_bit(11)
                    && self.pd_left.q.val() >= self.wr_need.val()));
        if self.tx_rdy.val() {
            self.vld.d.next = false;
        }
        if self.moves.val() {
            self.vld.d.next = true;
            self.data.d.next = self.beat.val();
            self.keep.d.next = self.kept.val();
            self.sop.d.next = !self.busy.q.val();
            self.eop.d.next = self.ends.val();
            self.busy.d.next = !self.ends.val();
            self.second.d.next = self.half.val();
            self.left.d.next = self.rest.val();
            self.hold.d.next = self.payload.val() >> 32;
            if self.leads.val() {
                self.shifted.d.next = !self.four.val();
            }
        }
        if self.finished.val() {
            self.sel.d.next = self.choice.val();
            if self.sel.q.val() != 0 {
                self.turn.d.next = self.sel.q.val();
            }
        } else if !self.busy.q.val() && !self.able.val() {
            self.sel.d.next = self.choice.val();
        }

        // What a start costs, and what is not to be believed after it.
        self.stale_p.d.next = self.stale_p.q.val() >> 1;
        self.stale_ms.d.next = self.stale_ms.q.val() >> 1;
        self.stale_cpl.d.next = self.stale_cpl.q.val() >> 1;
        self.stale_rd.d.next = self.stale_rd.q.val() >> 1;
        self.cost.d.next = 0.into();
        self.pd.d.next = self.pd.q.val() + bit_cast::<12, 9>(self.cost.q.val());
        if self.starts.val() {
            if self.sel.q.val() == 0 {
                self.ph.d.next = self.ph.q.val() + 1;
                self.cost.d.next = self.wr_need.val().get_bits::<9>(0);
                self.stale_p.d.next = 7.into();
            }
            if self.sel.q.val() == 1 {
                self.ph.d.next = self.ph.q.val() + 1;
                self.cost.d.next = self.ms_need.val().get_bits::<9>(0);
                self.stale_p.d.next = 7.into();
            }
            if self.sel.q.val() == 2 {
                self.cplh.d.next = self.cplh.q.val() + 1;
                self.cpld.d.next = self.cpld.q.val() + self.cpl_need.val();
            }
            if self.sel.q.val() == 3 {
                self.nph.d.next = self.nph.q.val() + 1;
            }
        }
        if self.takes.val() {
            self.open.d.next = false;
        } else if self.starts.val() && self.sel.q.val() == 0 {
            self.open.d.next = true;
        }
        self.done.d.next = 0.into();
        if self.finished.val() {
            if self.sel.q.val() == 1 {
                self.done.d.next = 1.into();
                self.stale_ms.d.next = 3.into();
            }
            if self.sel.q.val() == 2 {
                self.done.d.next = 2.into();
                self.stale_cpl.d.next = 3.into();
            }
            if self.sel.q.val() == 3 {
                self.done.d.next = 4.into();
                self.stale_rd.d.next = 3.into();
            }
        }
        self.ms_done.next = self.done.q.val().get_bit(0);
        self.cpl_done.next = self.done.q.val().get_bit(1);
        self.rd_done.next = self.done.q.val().get_bit(2);

        self.wr_rdy.next = self.takes.val() && self.sel.q.val() == 0;
        self.cpl_take.next = self.takes.val() && self.sel.q.val() == 2;
        self.tx_vld.next = self.vld.q.val();
        self.tx_data.next = self.data.q.val();
        self.tx_keep.next = self.keep.q.val();
        self.tx_sop.next = self.sop.q.val();
        self.tx_eop.next = self.eop.q.val();
        self.idle.next = !self.busy.q.val() && !self.vld.q.val();

        if self.rst.val() {
            self.ph.d.next = 0.into();
            self.pd.d.next = 0.into();
            self.nph.d.next = 0.into();
            self.cplh.d.next = 0.into();
            self.cpld.d.next = 0.into();
            self.cost.d.next = 0.into();
            self.stale_p.d.next = 7.into();
            self.stale_rd.d.next = 3.into();
            self.stale_cpl.d.next = 3.into();
            self.room.d.next = false;
            self.may_wr.d.next = false;
            self.open.d.next = false;
            self.sel.d.next = 0.into();
            self.busy.d.next = false;
            self.second.d.next = false;
            self.vld.d.next = false;
            self.done.d.next = 0.into();
        }
    }
}
