//! The predictor: which experts of the next layer are worth reading before they are asked for.
//!
//! What: makes a list of guesses, best first and without repeats, either from the descriptor's hints or from the circular table: the
//! choices of the command's last token, row `layer`, give two experts each. They are taken in pairs of choices: the likeliest of the first
//! and of the second choice, then the next likeliest of these two, then the same of the third and fourth, ... What is no expert
//! (at or above E) is left out. The list is all it makes; whether and when a guess is read is the loader's business.
//!
//! Cost: docs/utilisation.md; the table is `layers_max * experts_max` words of 16 bits
//! (`sim`: 16 DP16KD). Latency: the first hint 13 cycles after `go` (measured), the first table guess 10 cycles after `rt_done` (counted, not
//! measured); a further table guess takes 7 cycles and one more for each guess already listed. Bottleneck: none, a guess is worth
//! thousands of beats.
//!
//! Hazards: parameters are taken at `go` and in the eight cycles after it; the list outlives the command (prefetch goes on between
//! commands). The host may write the table at any time: an entry written while it is read is an undefined guess, never a wrong result.

use abi::Config;
use leaf::prelude::*;

/// Steps of the list.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
enum Step {
    /// Nothing to do, or waiting for the last route.
    Idle,
    /// Copies the hints.
    Copy,
    /// Which source is next.
    Source,
    /// It is read.
    Fetch,
    /// The table is being read.
    Read,
    /// Its entry arrives.
    Entry,
    /// A guess is at hand.
    Guess,
    /// It is compared with the list.
    Compare,
}

/// See the module's page.
#[derive(LogicBlock)]
pub struct Predictor {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Writes an entry of the table.
    pub wr_vld: Signal<In, Bit>,
    /// layer * experts_max + expert.
    pub wr_index: Signal<In, Bits<16>>,
    /// Bits 7..0 the likeliest expert of the next layer, 15..8 the second.
    pub wr_data: Signal<In, Bits<16>>,

    /// Starts a command, also one that only prefetches: the old list is void.
    pub go: Signal<In, Bit>,
    /// 0 none, 1 table, 2 hints.
    pub predict: Signal<In, Bits<2>>,
    /// Row of the table.
    pub layer: Signal<In, Bits<8>>,
    /// Guesses at most, up to 8.
    pub guesses: Signal<In, Bits<8>>,
    /// Experts, one byte each, best first.
    pub hints: Signal<In, Bits<64>>,
    /// T.
    pub tokens: Signal<In, Bits<16>>,
    /// E.
    pub experts: Signal<In, Bits<16>>,

    /// A route; always accepted.
    pub rt_vld: Signal<In, Bit>,
    /// Its token.
    pub rt_token: Signal<In, Bits<8>>,
    /// Its place among the token's choices.
    pub rt_slot: Signal<In, Bits<3>>,
    /// Its expert.
    pub rt_expert: Signal<In, Bits<8>>,
    /// No route comes after this cycle.
    pub rt_done: Signal<In, Bit>,

    /// A guess.
    pub pf_vld: Signal<Out, Bit>,
    /// Guess taken.
    pub pf_rdy: Signal<In, Bit>,
    /// The expert.
    pub pf_expert: Signal<Out, Bits<8>>,
    /// A new list begins: a guess on offer is withdrawn.
    pub pf_flush: Signal<Out, Bit>,

    entries: Ram<16, 16>,
    // Hints in their order, or the last token's experts by slot.
    source: Dram<8, 3>,
    known: Dff<Bits<8>>,
    list: Dram<8, 3>,
    offers: Dram<8, 3>,

    // A route, as it came.
    in_vld: Dff<Bit>,
    in_token: Dff<Bits<8>>,
    in_slot: Dff<Bits<3>>,
    in_expert: Dff<Bits<8>>,
    in_done: Dff<Bit>,
    from_last: Signal<Local, Bit>,
    mark: Signal<Local, Bits<8>>,
    // A hint to copy.
    hint_vld: Dff<Bit>,
    hint_at: Dff<Bits<3>>,
    hint: Dff<Bits<8>>,
    hint_place: Signal<Local, Bits<6>>,

    step: Dff<Step>,
    by_table: Dff<Bit>,
    collecting: Dff<Bit>,
    row: Dff<Bits<8>>,
    most: Dff<Bits<4>>,
    number: Dff<Bits<9>>,
    last_token: Dff<Bits<8>>,
    // Which source comes next. Hints: 0..7; table: pair [3:2], half of the entry [1], choice of the pair [0].
    at: Dff<Bits<4>>,
    at_last: Signal<Local, Bit>,
    last_of_sources: Dff<Bit>,
    which: Dff<Bits<3>>,
    exists: Dff<Bit>,
    entry: Dff<Bits<16>>,
    guess: Dff<Bits<8>>,
    short_guess: Signal<Local, Bits<8>>,
    absent: Dff<Bit>,

    // The comparison of a cycle ago: there was one; with the guess in the list; or the list had ended.
    compared: Dff<Bits<4>>,
    looked: Dff<Bit>,
    equal: Dff<Bit>,
    ended: Dff<Bit>,
    listed: Dff<Bits<4>>,
    full: Dff<Bit>,
    append: Signal<Local, Bit>,
    next_source: Signal<Local, Bit>,

    // The guess on offer.
    offered: Dff<Bits<4>>,
    offer: Dff<Bit>,
    offer_expert: Dff<Bits<8>>,

    layer_shift: Constant<Bits<16>>,
    token_bits: Constant<Bits<8>>,
    expert_bits: Constant<Bits<8>>,
}

impl Predictor {
    /// A table for the layers and experts of the configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            wr_vld: Default::default(),
            wr_index: Default::default(),
            wr_data: Default::default(),
            go: Default::default(),
            predict: Default::default(),
            layer: Default::default(),
            guesses: Default::default(),
            hints: Default::default(),
            tokens: Default::default(),
            experts: Default::default(),
            rt_vld: Default::default(),
            rt_token: Default::default(),
            rt_slot: Default::default(),
            rt_expert: Default::default(),
            rt_done: Default::default(),
            pf_vld: Default::default(),
            pf_rdy: Default::default(),
            pf_expert: Default::default(),
            pf_flush: Default::default(),
            entries: Ram::new(config.layers_max * config.experts_max),
            source: Dram::new(8),
            known: Default::default(),
            list: Dram::new(8),
            offers: Dram::new(8),
            in_vld: Default::default(),
            in_token: Default::default(),
            in_slot: Default::default(),
            in_expert: Default::default(),
            in_done: Default::default(),
            from_last: Default::default(),
            mark: Default::default(),
            hint_vld: Default::default(),
            hint_at: Default::default(),
            hint: Default::default(),
            hint_place: Default::default(),
            step: Dff::new(Step::Idle),
            by_table: Default::default(),
            collecting: Default::default(),
            row: Default::default(),
            most: Default::default(),
            number: Default::default(),
            last_token: Default::default(),
            at: Default::default(),
            at_last: Default::default(),
            last_of_sources: Default::default(),
            which: Default::default(),
            exists: Default::default(),
            entry: Default::default(),
            guess: Default::default(),
            short_guess: Default::default(),
            absent: Default::default(),
            compared: Default::default(),
            looked: Default::default(),
            equal: Default::default(),
            ended: Default::default(),
            listed: Default::default(),
            full: Default::default(),
            append: Default::default(),
            next_source: Default::default(),
            offered: Default::default(),
            offer: Default::default(),
            offer_expert: Default::default(),
            layer_shift: Constant::new(u64::from(config.experts_max.trailing_zeros()).to_bits()),
            token_bits: Constant::new((config.tokens_max as u64 - 1).to_bits()),
            expert_bits: Constant::new((config.experts_max as u64 - 1).to_bits()),
        }
    }
}

impl Logic for Predictor {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("predictor");
        dff_setup!(self, clk, in_vld, in_token, in_slot, in_expert, in_done);
        dff_setup!(self, clk, hint_vld, hint_at, hint);
        dff_setup!(self, clk, known, step, by_table, collecting, row, most, number);
        dff_setup!(
            self,
            clk,
            last_token,
            at,
            last_of_sources,
            which,
            exists,
            entry,
            guess,
            absent
        );
        dff_setup!(self, clk, compared, looked, equal, ended, listed, full);
        dff_setup!(self, clk, offered, offer, offer_expert);
        clock!(self, clk, entries, source, list, offers);

        // The table.
        self.entries.we.next = self.wr_vld.val();
        self.entries.waddr.next = self.wr_index.val();
        self.entries.wdata.next = self.wr_data.val();
        self.entries.re.next = true;
        self.entries.raddr.next = (bit_cast::<16, 8>(self.row.q.val()) << self.layer_shift.val())
            | bit_cast::<16, 8>(self.guess.q.val());
        self.entry.d.next = self.entries.rdata.val();

        // Sources: the last token's routes as they come, or the hints one by one.
        self.in_vld.d.next = self.rt_vld.val();
        self.in_token.d.next = self.rt_token.val() & self.token_bits.val();
        self.in_slot.d.next = self.rt_slot.val();
        self.in_expert.d.next = self.rt_expert.val() & self.expert_bits.val();
        self.in_done.d.next = self.rt_done.val();
        self.from_last.next = self.in_vld.q.val()
            && self.collecting.q.val()
            && self.in_token.q.val() == self.last_token.q.val();
        self.hint_vld.d.next = self.step.q.val() == Step::Copy;
        self.hint_at.d.next = self.at.q.val().get_bits::<3>(0);
        self.hint_place.next = bit_cast::<6, 3>(self.at.q.val().get_bits::<3>(0)) << bits::<3>(3);
        self.hint.d.next = (self.hints.val() >> self.hint_place.val()).get_bits::<8>(0);
        self.source.we.next = self.from_last.val() || self.hint_vld.q.val();
        self.source.waddr.next = self.in_slot.q.val();
        self.source.wdata.next = self.in_expert.q.val();
        if self.hint_vld.q.val() {
            self.source.waddr.next = self.hint_at.q.val();
            self.source.wdata.next = self.hint.q.val();
        }
        self.mark.next = bits::<8>(1) << self.in_slot.q.val();
        if self.from_last.val() {
            self.known.d.next = self.known.q.val() | self.mark.val();
        }

        // One of them.
        self.which.d.next = self.at.q.val().get_bits::<3>(0);
        if self.by_table.q.val() {
            self.which.d.next = (bit_cast::<3, 2>(self.at.q.val().get_bits::<2>(2)) << 1)
                | bit_cast::<3, 1>(self.at.q.val().get_bits::<1>(0));
        }
        self.at_last.next = self.at.q.val().get_bits::<3>(0) == 7;
        self.last_of_sources.d.next =
            self.at_last.val() && (self.at.q.val().get_bit(3) || !self.by_table.q.val());
        self.source.raddr.next = self.which.q.val();
        self.exists.d.next = (self.known.q.val() >> self.which.q.val()).get_bit(0);

        // A guess that is none, and the guess against the list.
        self.short_guess.next = self.guess.q.val() & self.expert_bits.val();
        self.absent.d.next =
            bit_cast::<9, 8>(self.guess.q.val()) >= self.number.q.val() || !self.exists.q.val();
        self.list.raddr.next = self.compared.q.val().get_bits::<3>(0);
        self.equal.d.next =
            (self.list.rdata.val() & self.expert_bits.val()) == self.short_guess.val();
        self.ended.d.next = self.compared.q.val() == self.listed.q.val();
        self.full.d.next = self.listed.q.val() == self.most.q.val();
        self.looked.d.next = false;
        self.next_source.next = self.looked.q.val()
            && (self.absent.q.val() || self.ended.q.val() || self.equal.q.val());
        self.append.next = self.looked.q.val() && !self.absent.q.val() && self.ended.q.val();

        match self.step.q.val() {
            Step::Idle => {
                if self.collecting.q.val() && self.in_done.q.val() {
                    self.collecting.d.next = false;
                    self.step.d.next = Step::Source;
                }
            }
            Step::Copy => {
                self.at.d.next = self.at.q.val() + 1;
                if self.at_last.val() {
                    self.at.d.next = 0.into();
                    self.step.d.next = Step::Source;
                }
            }
            Step::Source => {
                self.step.d.next = Step::Fetch;
            }
            Step::Fetch => {
                self.guess.d.next = self.source.rdata.val();
                self.compared.d.next = 0.into();
                self.step.d.next = Step::Compare;
                if self.by_table.q.val() {
                    self.step.d.next = Step::Read;
                }
                if self.full.q.val() {
                    self.step.d.next = Step::Idle;
                }
            }
            Step::Read => {
                self.step.d.next = Step::Entry;
            }
            Step::Entry => {
                self.step.d.next = Step::Guess;
            }
            Step::Guess => {
                self.guess.d.next = self.entry.q.val().get_bits::<8>(0);
                if self.at.q.val().get_bit(1) {
                    self.guess.d.next = self.entry.q.val().get_bits::<8>(8);
                }
                self.step.d.next = Step::Compare;
            }
            Step::Compare => {
                self.compared.d.next = self.compared.q.val() + 1;
                self.looked.d.next = true;
            }
        }
        if self.next_source.val() {
            self.looked.d.next = false;
            self.at.d.next = self.at.q.val() + 1;
            self.step.d.next = Step::Source;
            if self.last_of_sources.q.val() {
                self.step.d.next = Step::Idle;
            }
        }

        // The list, twice: to compare with, and to offer.
        self.list.we.next = self.append.val();
        self.list.waddr.next = self.listed.q.val().get_bits::<3>(0);
        self.list.wdata.next = self.short_guess.val();
        self.offers.we.next = self.append.val();
        self.offers.waddr.next = self.listed.q.val().get_bits::<3>(0);
        self.offers.wdata.next = self.short_guess.val();
        if self.append.val() {
            self.listed.d.next = self.listed.q.val() + 1;
        }
        self.offers.raddr.next = self.offered.q.val().get_bits::<3>(0);
        if !self.offer.q.val() {
            self.offer_expert.d.next = self.offers.rdata.val() & self.expert_bits.val();
            if self.offered.q.val() != self.listed.q.val() {
                self.offer.d.next = true;
                self.offered.d.next = self.offered.q.val() + 1;
            }
        }
        if self.offer.q.val() && self.pf_rdy.val() {
            self.offer.d.next = false;
        }
        self.pf_vld.next = self.offer.q.val();
        self.pf_expert.next = self.offer_expert.q.val();
        self.pf_flush.next = self.go.val();

        if self.go.val() {
            self.step.d.next = Step::Idle;
            self.by_table.d.next = false;
            self.collecting.d.next = false;
            self.known.d.next = 0.into();
            if self.predict.val() == 1 {
                self.by_table.d.next = true;
                self.collecting.d.next = true;
            }
            if self.predict.val() == 2 {
                self.known.d.next = 0xFF.into();
                self.step.d.next = Step::Copy;
            }
            self.row.d.next = self.layer.val();
            self.most.d.next = self.guesses.val().get_bits::<4>(0);
            self.number.d.next = self.experts.val().get_bits::<9>(0);
            self.last_token.d.next =
                (self.tokens.val().get_bits::<8>(0) - 1) & self.token_bits.val();
            self.at.d.next = 0.into();
            self.listed.d.next = 0.into();
            self.offered.d.next = 0.into();
            self.offer.d.next = false;
            self.looked.d.next = false;
        }
        if self.rst.val() {
            self.step.d.next = Step::Idle;
            self.collecting.d.next = false;
            self.listed.d.next = 0.into();
            self.offered.d.next = 0.into();
            self.offer.d.next = false;
            self.looked.d.next = false;
        }
    }
}
