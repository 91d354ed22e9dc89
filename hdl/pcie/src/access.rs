//! Words to and from what is behind the BARs: the engine's registers, the DMA's registers, the MSI-X table, card memory, and
//! configuration space.
//!
//! What: two askers, and jobs that ring the engine. Writes of posted requests come word by word; they have precedence. Requests to be
//! answered ask for one word at a time and wait. Words for card memory are gathered into beats of 16 bytes, each written by itself;
//! reading keeps the last beat, so a request reads each beat once. A read of card memory waits for the answers to all writes before it;
//! writes do not wait for theirs.
//!
//! Cost (ECP5): 1010 LUTs, 720 flip-flops. Latency: write of a register 4 cycles and what the other side takes, read 3 and the
//! same. Bottleneck: one word per cycle into card memory, 15 writes without an answer; reads one beat at a time. Hazard: the other
//! side must answer; nothing here gives up.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock, Default)]
pub struct Access {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: power-on.
    pub rst: Signal<In, Bit>,
    /// Both askers are being reset: what is under way ends without them.
    pub forget: Signal<In, Bit>,
    /// A word to write.
    pub wr_vld: Signal<In, Bit>,
    /// It is on its way.
    pub wr_rdy: Signal<Out, Bit>,
    /// BAR.
    pub wr_target: Signal<In, Bits<2>>,
    /// Address bits 39..2.
    pub wr_addr: Signal<In, Bits<38>>,
    /// The word.
    pub wr_data: Signal<In, Bits<32>>,
    /// Bytes of it.
    pub wr_be: Signal<In, Bits<4>>,
    /// Last word of its request.
    pub wr_last: Signal<In, Bit>,
    /// A word is asked for, or a write of configuration space; held until `ask_done`.
    pub ask_vld: Signal<In, Bit>,
    /// First word of its request.
    pub ask_first: Signal<In, Bit>,
    /// 0 to 2: BAR, 3: configuration.
    pub ask_target: Signal<In, Bits<2>>,
    /// Write configuration space.
    pub ask_write: Signal<In, Bit>,
    /// Address bits 39..2.
    pub ask_addr: Signal<In, Bits<38>>,
    /// The word to write.
    pub ask_data: Signal<In, Bits<32>>,
    /// Bytes that are wanted: without any nothing is read.
    pub ask_be: Signal<In, Bits<4>>,
    /// The answer, for one cycle.
    pub ask_done: Signal<Out, Bit>,
    /// The word.
    pub ask_word: Signal<Out, Bits<32>>,
    /// The other side reported an error.
    pub ask_error: Signal<Out, Bit>,
    /// The engine's TAIL is to be written, for a job.
    pub tail_vld: Signal<In, Bit>,
    /// The write begins.
    pub tail_rdy: Signal<Out, Bit>,
    /// The tail.
    pub tail: Signal<In, Bits<16>>,
    /// Configuration space: a word is wanted or written.
    pub cf_vld: Signal<Out, Bit>,
    /// Write it.
    pub cf_write: Signal<Out, Bit>,
    /// Number of the word.
    pub cf_addr: Signal<Out, Bits<10>>,
    /// The word.
    pub cf_data: Signal<Out, Bits<32>>,
    /// Bytes of it.
    pub cf_be: Signal<Out, Bits<4>>,
    /// It is done.
    pub cf_done: Signal<In, Bit>,
    /// The word, with `cf_done`.
    pub cf_word: Signal<In, Bits<32>>,
    /// MSI-X table: write one word.
    pub mx_write: Signal<Out, Bit>,
    /// Byte address in the BAR, bits 11..2.
    pub mx_addr: Signal<Out, Bits<10>>,
    /// The word.
    pub mx_data: Signal<Out, Bits<32>>,
    /// The word at `mx_addr`, three cycles later.
    pub mx_word: Signal<In, Bits<32>>,
    /// DMA registers: an access.
    pub rg_vld: Signal<Out, Bit>,
    /// It is taken.
    pub rg_rdy: Signal<In, Bit>,
    /// Write.
    pub rg_write: Signal<Out, Bit>,
    /// Byte address in the BAR.
    pub rg_addr: Signal<Out, Bits<16>>,
    /// The word.
    pub rg_data: Signal<Out, Bits<32>>,
    /// Bytes of it.
    pub rg_be: Signal<Out, Bits<4>>,
    /// The answer to a read.
    pub rs_vld: Signal<In, Bit>,
    /// The word.
    pub rs_data: Signal<In, Bits<32>>,
    /// Engine registers, AXI4-Lite: write address.
    pub l_awvalid: Signal<Out, Bit>,
    /// Address taken.
    pub l_awready: Signal<In, Bit>,
    /// Byte address.
    pub l_awaddr: Signal<Out, Bits<12>>,
    /// Write data.
    pub l_wvalid: Signal<Out, Bit>,
    /// Data taken.
    pub l_wready: Signal<In, Bit>,
    /// The word.
    pub l_wdata: Signal<Out, Bits<32>>,
    /// Byte enables.
    pub l_wstrb: Signal<Out, Bits<4>>,
    /// Write answer.
    pub l_bvalid: Signal<In, Bit>,
    /// Always: a posted write has nobody to tell.
    pub l_bready: Signal<Out, Bit>,
    /// Read address.
    pub l_arvalid: Signal<Out, Bit>,
    /// Address taken.
    pub l_arready: Signal<In, Bit>,
    /// Byte address.
    pub l_araddr: Signal<Out, Bits<12>>,
    /// Read answer.
    pub l_rvalid: Signal<In, Bit>,
    /// Always.
    pub l_rready: Signal<Out, Bit>,
    /// The word.
    pub l_rdata: Signal<In, Bits<32>>,
    /// 0: OKAY.
    pub l_rresp: Signal<In, Bits<2>>,
    /// Card memory, AXI4, single beats: write address.
    pub aw_vld: Signal<Out, Bit>,
    /// Address taken.
    pub aw_rdy: Signal<In, Bit>,
    /// Byte address.
    pub aw_addr: Signal<Out, Bits<40>>,
    /// Write data.
    pub w_vld: Signal<Out, Bit>,
    /// Data taken.
    pub w_rdy: Signal<In, Bit>,
    /// One beat.
    pub w_data: Signal<Out, Bits<128>>,
    /// Byte enables.
    pub w_strb: Signal<Out, Bits<16>>,
    /// Write answer.
    pub b_vld: Signal<In, Bit>,
    /// Always.
    pub b_rdy: Signal<Out, Bit>,
    /// Read address.
    pub ar_vld: Signal<Out, Bit>,
    /// Address taken.
    pub ar_rdy: Signal<In, Bit>,
    /// Byte address.
    pub ar_addr: Signal<Out, Bits<40>>,
    /// Read data.
    pub r_vld: Signal<In, Bit>,
    /// Always.
    pub r_rdy: Signal<Out, Bit>,
    /// One beat.
    pub r_data: Signal<In, Bits<128>>,
    /// 0: OKAY.
    pub r_resp: Signal<In, Bits<2>>,
    // The words to write: one being worked on, one behind it.
    now_vld: Dff<Bit>,
    now_word: Dff<Bits<77>>,
    next_vld: Dff<Bit>,
    next_word: Dff<Bits<77>>,
    // What is under way: 0 nothing, 1 write of a register, 2 read of a register, 3 engine write, 4 engine read, 5 memory read,
    // 6 configuration, 7 MSI-X read.
    state: Dff<Bits<3>>,
    wait: Dff<Bits<2>>,
    reg_vld: Dff<Bit>,
    reg_write: Dff<Bit>,
    word_addr: Dff<Bits<14>>,
    word: Dff<Bits<32>>,
    be: Dff<Bits<4>>,
    table: Dff<Bit>,
    lite_aw: Dff<Bit>,
    lite_w: Dff<Bit>,
    lite_ar: Dff<Bit>,
    conf: Dff<Bit>,
    conf_write: Dff<Bit>,
    done: Dff<Bit>,
    orphan: Dff<Bit>,
    answer: Dff<Bits<32>>,
    error: Dff<Bit>,
    // Card memory: the beat being gathered, the beat going out, the beat read.
    gather: Dff<Bits<128>>,
    strobes: Dff<Bits<16>>,
    beat_aw: Dff<Bit>,
    beat_w: Dff<Bit>,
    beat_addr: Dff<Bits<36>>,
    beat: Dff<Bits<128>>,
    beat_strobes: Dff<Bits<16>>,
    unanswered: Dff<Bits<4>>,
    crowded: Dff<Bit>,
    read_ar: Dff<Bit>,
    read_addr: Dff<Bits<36>>,
    have: Dff<Bit>,
    read_beat: Dff<Bits<128>>,
    read_error: Dff<Bit>,
    lane: Signal<Local, Bits<2>>,
    placed: Signal<Local, Bits<128>>,
    placed_strobes: Signal<Local, Bits<16>>,
    room: Signal<Local, Bit>,
    closes: Signal<Local, Bit>,
    sent: Signal<Local, Bit>,
    mem_write: Signal<Local, Bit>,
    reg_start: Signal<Local, Bit>,
    hit: Signal<Local, Bit>,
    asks: Signal<Local, Bit>,
    given: Signal<Local, Bits<77>>,
    taken: Signal<Local, Bit>,
    target: Signal<Local, Bits<2>>,
    addr: Signal<Local, Bits<38>>,
    data: Signal<Local, Bits<32>>,
    enables: Signal<Local, Bits<4>>,
    last: Signal<Local, Bit>,
    rings: Signal<Local, Bit>,
}

// The kernel's word number.
const _: () = assert!(abi::registers::offset("TAIL") == 13 << 2);

impl Logic for Access {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_access");
        dff_setup!(self, clk, state, wait, reg_vld, reg_write, word_addr, word, be, table);
        dff_setup!(self, clk, lite_aw, lite_w, lite_ar, conf, conf_write, done, answer, error);
        dff_setup!(self, clk, gather, strobes, beat_aw, beat_w, beat_addr, beat);
        dff_setup!(
            self,
            clk,
            beat_strobes,
            unanswered,
            read_ar,
            read_addr,
            have
        );
        dff_setup!(
            self, clk, read_beat, read_error, orphan, crowded, now_vld, now_word, next_vld,
            next_word
        );

        // Words to write come through two registers, so that who gives them sees a register.
        self.given.next = bit_cast::<77, 38>(self.wr_addr.val())
            | (bit_cast::<77, 32>(self.wr_data.val()) << 38)
            | (bit_cast::<77, 4>(self.wr_be.val()) << 70)
            | (bit_cast::<77, 2>(self.wr_target.val()) << 74)
            | (bit_cast::<77, 1>(self.wr_last.val().into()) << 76);
        self.wr_rdy.next = !self.next_vld.q.val();
        self.addr.next = self.now_word.q.val().get_bits::<38>(0);
        self.data.next = self.now_word.q.val().get_bits::<32>(38);
        self.enables.next = self.now_word.q.val().get_bits::<4>(70);
        self.target.next = self.now_word.q.val().get_bits::<2>(74);
        self.last.next = self.now_word.q.val().get_bit(76);

        // Card memory, writes. A beat is complete with its last word or the request's.
        self.lane.next = self.addr.val().get_bits::<2>(0);
        self.placed.next = self.gather.q.val();
        self.placed_strobes.next = self.strobes.q.val();
        if self.lane.val() == 0 {
            self.placed.next = bit_cast::<128, 32>(self.data.val());
            self.placed_strobes.next = bit_cast::<16, 4>(self.enables.val());
        }
        if self.lane.val() == 1 {
            self.placed.next = (bit_cast::<128, 32>(self.data.val()) << 32)
                | bit_cast::<128, 32>(self.gather.q.val().get_bits::<32>(0));
            self.placed_strobes.next = (bit_cast::<16, 4>(self.enables.val()) << 4)
                | bit_cast::<16, 4>(self.strobes.q.val().get_bits::<4>(0));
        }
        if self.lane.val() == 2 {
            self.placed.next = (bit_cast::<128, 32>(self.data.val()) << 64)
                | bit_cast::<128, 64>(self.gather.q.val().get_bits::<64>(0));
            self.placed_strobes.next = (bit_cast::<16, 4>(self.enables.val()) << 8)
                | bit_cast::<16, 8>(self.strobes.q.val().get_bits::<8>(0));
        }
        if self.lane.val() == 3 {
            self.placed.next = (bit_cast::<128, 32>(self.data.val()) << 96)
                | bit_cast::<128, 96>(self.gather.q.val().get_bits::<96>(0));
            self.placed_strobes.next = (bit_cast::<16, 4>(self.enables.val()) << 12)
                | bit_cast::<16, 12>(self.strobes.q.val().get_bits::<12>(0));
        }
        if self.aw_rdy.val() {
            self.beat_aw.d.next = false;
        }
        if self.w_rdy.val() {
            self.beat_w.d.next = false;
        }
        self.room.next = !self.beat_aw.q.val() && !self.beat_w.q.val() && !self.crowded.q.val();
        self.crowded.d.next = self.unanswered.q.val().get_bits::<3>(1) == 7;
        self.closes.next = self.lane.val() == 3 || self.last.val();
        self.mem_write.next = self.now_vld.q.val()
            && self.target.val() == 2
            && (self.room.val() || !self.closes.val());
        self.sent.next = self.mem_write.val() && self.closes.val();
        if self.mem_write.val() {
            self.gather.d.next = self.placed.val();
            self.strobes.d.next = self.placed_strobes.val();
        }
        if self.sent.val() {
            self.strobes.d.next = 0.into();
            self.beat_aw.d.next = true;
            self.beat_w.d.next = true;
            self.beat_addr.d.next = self.addr.val().get_bits::<36>(2);
            self.beat.d.next = self.placed.val();
            self.beat_strobes.d.next = self.placed_strobes.val();
        }
        if self.sent.val() && !self.b_vld.val() {
            self.unanswered.d.next = self.unanswered.q.val() + 1;
        }
        if !self.sent.val() && self.b_vld.val() {
            self.unanswered.d.next = self.unanswered.q.val() - 1;
        }
        self.aw_vld.next = self.beat_aw.q.val();
        self.aw_addr.next = bit_cast::<40, 36>(self.beat_addr.q.val()) << 4;
        self.w_vld.next = self.beat_w.q.val();
        self.w_data.next = self.beat.q.val();
        self.w_strb.next = self.beat_strobes.q.val();
        self.b_rdy.next = true;

        // What the other side has taken is not offered again.
        self.table.d.next = false;
        if self.rg_rdy.val() {
            self.reg_vld.d.next = false;
        }
        if self.l_awready.val() {
            self.lite_aw.d.next = false;
        }
        if self.l_wready.val() {
            self.lite_w.d.next = false;
        }
        if self.l_arready.val() {
            self.lite_ar.d.next = false;
        }
        if self.ar_rdy.val() {
            self.read_ar.d.next = false;
        }

        // Something begins: a write before a question.
        self.done.d.next = false;
        self.error.d.next = false;
        self.reg_start.next =
            self.now_vld.q.val() && self.target.val() != 2 && self.state.q.val() == 0;
        self.taken.next = self.mem_write.val() || self.reg_start.val();
        if self.taken.val() || !self.now_vld.q.val() {
            self.now_vld.d.next = self.next_vld.q.val() || self.wr_vld.val();
            self.now_word.d.next = self.given.val();
            if self.next_vld.q.val() {
                self.now_word.d.next = self.next_word.q.val();
            }
            self.next_vld.d.next = false;
        } else if self.wr_vld.val() && !self.next_vld.q.val() {
            self.next_vld.d.next = true;
        }
        if !self.next_vld.q.val() {
            self.next_word.d.next = self.given.val();
        }
        self.asks.next = self.ask_vld.val()
            && !self.done.q.val()
            && !self.now_vld.q.val()
            && !self.forget.val()
            && self.state.q.val() == 0;
        self.rings.next = self.tail_vld.val() && !self.now_vld.q.val() && self.state.q.val() == 0;
        self.tail_rdy.next = self.rings.val();
        self.hit.next = !self.ask_first.val() && self.ask_addr.val().get_bits::<2>(0) != 0;
        if self.reg_start.val() {
            self.word_addr.d.next = self.addr.val().get_bits::<14>(0);
            self.word.d.next = self.data.val();
            self.be.d.next = self.enables.val();
            if self.target.val() == 0 {
                self.state.d.next = 3.into();
                self.lite_aw.d.next = true;
                self.lite_w.d.next = true;
            } else if self.addr.val().get_bits::<4>(10) == 8 {
                self.table.d.next = self.enables.val() == 15;
            } else {
                self.state.d.next = 1.into();
                self.reg_vld.d.next = true;
                self.reg_write.d.next = true;
            }
        } else if self.rings.val() {
            self.word_addr.d.next = 13.into();
            self.word.d.next = bit_cast::<32, 16>(self.tail.val());
            self.be.d.next = 15.into();
            self.state.d.next = 3.into();
            self.lite_aw.d.next = true;
            self.lite_w.d.next = true;
        } else if self.asks.val() {
            self.word_addr.d.next = self.ask_addr.val().get_bits::<14>(0);
            self.word.d.next = self.ask_data.val();
            self.be.d.next = self.ask_be.val();
            if self.ask_target.val() == 2 && self.unanswered.q.val() != 0 {
                self.state.d.next = 0.into();
            } else if self.ask_be.val() == 0 && self.ask_target.val() != 3 {
                self.done.d.next = true;
                self.answer.d.next = 0.into();
            } else if self.ask_target.val() == 0 {
                self.state.d.next = 4.into();
                self.lite_ar.d.next = true;
            } else if self.ask_target.val() == 1 {
                self.state.d.next = 2.into();
                self.reg_vld.d.next = true;
                self.reg_write.d.next = false;
                if self.ask_addr.val().get_bits::<4>(10) == 8 {
                    self.state.d.next = 7.into();
                    self.reg_vld.d.next = false;
                    self.wait.d.next = 3.into();
                }
            } else if self.ask_target.val() == 2 {
                self.state.d.next = 5.into();
                if !self.hit.val() {
                    self.have.d.next = false;
                    self.read_ar.d.next = true;
                    self.read_addr.d.next = self.ask_addr.val().get_bits::<36>(2);
                }
            } else {
                self.state.d.next = 6.into();
                self.conf.d.next = true;
                self.conf_write.d.next = self.ask_write.val();
            }
        }

        // The DMA's registers.
        self.rg_vld.next = self.reg_vld.q.val();
        self.rg_write.next = self.reg_write.q.val();
        self.rg_addr.next = bit_cast::<16, 14>(self.word_addr.q.val()) << 2;
        self.rg_data.next = self.word.q.val();
        self.rg_be.next = self.be.q.val();
        if self.state.q.val() == 1 && self.rg_rdy.val() {
            self.state.d.next = 0.into();
        }
        if self.state.q.val() == 2 && self.rs_vld.val() {
            self.state.d.next = 0.into();
            self.done.d.next = true;
            self.answer.d.next = self.rs_data.val();
        }

        // The MSI-X table: its words have no byte enables.
        self.mx_write.next = self.table.q.val();
        self.mx_addr.next = self.word_addr.q.val().get_bits::<10>(0);
        self.mx_data.next = self.word.q.val();
        if self.state.q.val() == 7 {
            self.wait.d.next = self.wait.q.val() - 1;
            if self.wait.q.val() == 0 {
                self.state.d.next = 0.into();
                self.done.d.next = true;
                self.answer.d.next = self.mx_word.val();
            }
        }

        // The engine's registers.
        self.l_awvalid.next = self.lite_aw.q.val();
        self.l_awaddr.next = bit_cast::<12, 10>(self.word_addr.q.val().get_bits::<10>(0)) << 2;
        self.l_wvalid.next = self.lite_w.q.val();
        self.l_wdata.next = self.word.q.val();
        self.l_wstrb.next = self.be.q.val();
        self.l_bready.next = true;
        self.l_arvalid.next = self.lite_ar.q.val();
        self.l_araddr.next = bit_cast::<12, 10>(self.word_addr.q.val().get_bits::<10>(0)) << 2;
        self.l_rready.next = true;
        if self.state.q.val() == 3 && self.l_bvalid.val() {
            self.state.d.next = 0.into();
        }
        if self.state.q.val() == 4 && self.l_rvalid.val() {
            self.state.d.next = 0.into();
            self.done.d.next = true;
            self.answer.d.next = self.l_rdata.val();
            self.error.d.next = self.l_rresp.val() != 0;
        }

        // Card memory, reads.
        self.ar_vld.next = self.read_ar.q.val();
        self.ar_addr.next = bit_cast::<40, 36>(self.read_addr.q.val()) << 4;
        self.r_rdy.next = true;
        if self.r_vld.val() {
            self.have.d.next = true;
            self.read_beat.d.next = self.r_data.val();
            self.read_error.d.next = self.r_resp.val() != 0;
        }
        if self.state.q.val() == 5 && self.have.q.val() {
            self.state.d.next = 0.into();
            self.done.d.next = true;
            self.error.d.next = self.read_error.q.val();
            self.answer.d.next = self.read_beat.q.val().get_bits::<32>(0);
            if self.word_addr.q.val().get_bits::<2>(0) == 1 {
                self.answer.d.next = self.read_beat.q.val().get_bits::<32>(32);
            }
            if self.word_addr.q.val().get_bits::<2>(0) == 2 {
                self.answer.d.next = self.read_beat.q.val().get_bits::<32>(64);
            }
            if self.word_addr.q.val().get_bits::<2>(0) == 3 {
                self.answer.d.next = self.read_beat.q.val().get_bits::<32>(96);
            }
        }

        // Configuration space.
        self.cf_vld.next = self.conf.q.val();
        self.cf_write.next = self.conf_write.q.val();
        self.cf_addr.next = self.word_addr.q.val().get_bits::<10>(0);
        self.cf_data.next = self.word.q.val();
        self.cf_be.next = self.be.q.val();
        if self.conf.q.val() && self.cf_done.val() {
            self.conf.d.next = false;
            self.state.d.next = 0.into();
            self.done.d.next = true;
            self.answer.d.next = self.cf_word.val();
        }
        // Whoever asked is gone.
        if self.state.q.val() == 0 {
            self.orphan.d.next = false;
        } else if self.forget.val() {
            self.orphan.d.next = true;
        }
        if self.forget.val() {
            self.now_vld.d.next = false;
            self.next_vld.d.next = false;
            self.strobes.d.next = 0.into();
        }
        self.ask_done.next = self.done.q.val() && !self.orphan.q.val();
        self.ask_word.next = self.answer.q.val();
        self.ask_error.next = self.error.q.val();

        if self.rst.val() {
            self.state.d.next = 0.into();
            self.reg_vld.d.next = false;
            self.table.d.next = false;
            self.lite_aw.d.next = false;
            self.lite_w.d.next = false;
            self.lite_ar.d.next = false;
            self.conf.d.next = false;
            self.done.d.next = false;
            self.now_vld.d.next = false;
            self.next_vld.d.next = false;
            self.strobes.d.next = 0.into();
            self.beat_aw.d.next = false;
            self.beat_w.d.next = false;
            self.unanswered.d.next = 0.into();
            self.read_ar.d.next = false;
            self.have.d.next = false;
        }
    }
}
