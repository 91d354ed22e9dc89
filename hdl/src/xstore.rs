//! Input vectors: takes the f32 rows of x from memory, quantises them and keeps them for the array.
//!
//! What: splits beats into elements, drops each row's filling, feeds [`BlockQuant`] and writes its blocks (q8 and both limbs) and
//! exponents; clears the combiner's sums on the way. Cost: three RAMs of `tokens_max * d_max` bytes. Latency: 32 elements of
//! quantiser behind the data. Bottleneck: one element per cycle, a quarter of the bus.
//!
//! Not built: four elements per cycle, which costs four more pairs of shifters. Reconsider when x takes more than a few percent
//! of a layer (it is T * d cycles against about T * k * 3 * d * f / MACs).

use crate::block_quant::BlockQuant;
use abi::Config;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct XStore {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Starts a command.
    pub go: Signal<In, Bit>,
    /// T.
    pub tokens: Signal<In, Bits<16>>,
    /// Elements per row.
    pub d: Signal<In, Bits<16>>,
    /// Beats of x.
    pub in_vld: Signal<In, Bit>,
    /// Beat taken.
    pub in_rdy: Signal<Out, Bit>,
    /// Four binary32.
    pub in_data: Signal<In, Bits<128>>,
    /// Clears one sum of the combiner.
    pub clr_vld: Signal<Out, Bit>,
    /// Its token.
    pub clr_token: Signal<Out, Bits<8>>,
    /// Its row.
    pub clr_row: Signal<Out, Bits<16>>,
    /// 0: q8, 1: hi limbs, 2: lo limbs.
    pub x_region: Signal<In, Bits<2>>,
    /// Token to read.
    pub x_token: Signal<In, Bits<8>>,
    /// Block to read.
    pub x_blk: Signal<In, Bits<16>>,
    /// The block, one cycle later.
    pub x_data: Signal<Out, Bits<256>>,
    /// Its exponent B.
    pub x_b: Signal<Out, Bits<8>>,
    /// The token's exponent Bmax.
    pub x_bmax: Signal<Out, Bits<8>>,
    /// All of x is stored.
    pub x_ready: Signal<Out, Bit>,
    /// An infinity or NaN was met since `go`.
    pub nonfinite: Signal<Out, Bit>,
    /// Waits for a beat.
    pub waiting: Signal<Out, Bit>,
    /// A block is stored this cycle (for the scoreboard).
    pub blk_vld: Signal<Out, Bit>,
    /// Its token.
    pub blk_token: Signal<Out, Bits<8>>,
    /// Its number.
    pub blk_index: Signal<Out, Bits<16>>,
    /// Its exponent.
    pub blk_b: Signal<Out, Bits<8>>,
    /// Its q8 values.
    pub blk_q8: Signal<Out, Bits<256>>,
    quant: BlockQuant,
    q8: Ram<256, 16>,
    hi: Ram<256, 16>,
    lo: Ram<256, 16>,
    b: Ram<8, 16>,
    bmax: Ram<8, 8>,
    active: Dff<Bit>,
    token: Dff<Bits<16>>,
    row: Dff<Bits<16>>,
    sub: Dff<Bits<2>>,
    out_token: Dff<Bits<16>>,
    out_blk: Dff<Bits<16>>,
    running: Dff<Bits<8>>,
    ready: Dff<Bit>,
    bad: Dff<Bit>,
    region: Dff<Bits<2>>,
    take: Signal<Local, Bit>,
    row_end: Signal<Local, Bit>,
    new_max: Signal<Local, Bits<8>>,
    waddr: Signal<Local, Bits<16>>,
    raddr: Signal<Local, Bits<16>>,
    blk_shift: Constant<Bits<16>>,
}

impl XStore {
    /// Storage for `tokens_max` rows of `d_max` elements.
    pub fn new(config: &Config) -> Self {
        let depth = config.tokens_max * config.d_blocks();
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            tokens: Default::default(),
            d: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_data: Default::default(),
            clr_vld: Default::default(),
            clr_token: Default::default(),
            clr_row: Default::default(),
            x_region: Default::default(),
            x_token: Default::default(),
            x_blk: Default::default(),
            x_data: Default::default(),
            x_b: Default::default(),
            x_bmax: Default::default(),
            x_ready: Default::default(),
            nonfinite: Default::default(),
            waiting: Default::default(),
            blk_vld: Default::default(),
            blk_token: Default::default(),
            blk_index: Default::default(),
            blk_b: Default::default(),
            blk_q8: Default::default(),
            quant: Default::default(),
            q8: Ram::new(depth),
            hi: Ram::new(depth),
            lo: Ram::new(depth),
            b: Ram::new(depth),
            bmax: Ram::new(config.tokens_max),
            active: Default::default(),
            token: Default::default(),
            row: Default::default(),
            sub: Default::default(),
            out_token: Default::default(),
            out_blk: Default::default(),
            running: Default::default(),
            ready: Default::default(),
            bad: Default::default(),
            region: Default::default(),
            take: Default::default(),
            row_end: Default::default(),
            new_max: Default::default(),
            waddr: Default::default(),
            raddr: Default::default(),
            blk_shift: Constant::new(u64::from(config.d_blocks().trailing_zeros()).to_bits()),
        }
    }
}

impl Logic for XStore {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("xstore");
        dff_setup!(
            self, clk, active, token, row, sub, out_token, out_blk, running, ready, bad, region
        );
        clock!(self, clk, q8, hi, lo, b, bmax);
        self.quant.clk.next = self.clk.val();
        self.quant.rst.next = self.rst.val();

        // Elements into the quantiser.
        self.row_end.next = self.row.q.val() + 1 == self.d.val();
        self.quant.in_vld.next = self.active.q.val() && self.in_vld.val();
        self.quant.in_f32.next = self.in_data.val().get_bits::<32>(0);
        if self.sub.q.val() == 1 {
            self.quant.in_f32.next = self.in_data.val().get_bits::<32>(32);
        }
        if self.sub.q.val() == 2 {
            self.quant.in_f32.next = self.in_data.val().get_bits::<32>(64);
        }
        if self.sub.q.val() == 3 {
            self.quant.in_f32.next = self.in_data.val().get_bits::<32>(96);
        }
        self.quant.in_last.next = self.row_end.val() || self.row.q.val().get_bits::<5>(0) == 31;
        self.take.next = self.active.q.val() && self.in_vld.val() && self.quant.in_rdy.val();
        self.in_rdy.next = self.take.val() && (self.row_end.val() || self.sub.q.val() == 3);
        self.waiting.next = self.active.q.val() && !self.in_vld.val();
        if self.take.val() {
            self.row.d.next = self.row.q.val() + 1;
            self.sub.d.next = self.sub.q.val() + 1;
            if self.row_end.val() {
                self.row.d.next = 0.into();
                self.sub.d.next = 0.into();
                self.token.d.next = self.token.q.val() + 1;
                if self.token.q.val() + 1 == self.tokens.val() {
                    self.active.d.next = false;
                }
            }
        }
        self.clr_vld.next = self.take.val();
        self.clr_token.next = self.token.q.val().get_bits::<8>(0);
        self.clr_row.next = self.row.q.val();

        // Blocks into the memories.
        self.waddr.next = (self.out_token.q.val() << self.blk_shift.val()) + self.out_blk.q.val();
        self.new_max.next = self.quant.out_b.val();
        if self.out_blk.q.val() != 0 && self.running.q.val() > self.quant.out_b.val() {
            self.new_max.next = self.running.q.val();
        }
        self.q8.we.next = self.quant.out_vld.val();
        self.q8.waddr.next = self.waddr.val();
        self.q8.wdata.next = self.quant.out_q8.val();
        self.hi.we.next = self.quant.out_vld.val();
        self.hi.waddr.next = self.waddr.val();
        self.hi.wdata.next = self.quant.out_hi.val();
        self.lo.we.next = self.quant.out_vld.val();
        self.lo.waddr.next = self.waddr.val();
        self.lo.wdata.next = self.quant.out_lo.val();
        self.b.we.next = self.quant.out_vld.val();
        self.b.waddr.next = self.waddr.val();
        self.b.wdata.next = self.quant.out_b.val();
        self.bmax.we.next = self.quant.out_vld.val(); // every block of the row; the last write is the row's
        self.bmax.waddr.next = self.out_token.q.val().get_bits::<8>(0);
        self.bmax.wdata.next = self.new_max.val();
        if self.quant.out_vld.val() {
            self.running.d.next = self.new_max.val();
            self.out_blk.d.next = self.out_blk.q.val() + 1;
            if self.quant.out_nonfinite.val() {
                self.bad.d.next = true;
            }
            if ((self.out_blk.q.val() + 1) << 5) >= self.d.val() {
                self.out_blk.d.next = 0.into();
                self.out_token.d.next = self.out_token.q.val() + 1;
                if self.out_token.q.val() + 1 == self.tokens.val() {
                    self.ready.d.next = true;
                }
            }
        }
        self.x_ready.next = self.ready.q.val();
        self.nonfinite.next = self.bad.q.val();
        self.blk_vld.next = self.quant.out_vld.val();
        self.blk_token.next = self.out_token.q.val().get_bits::<8>(0);
        self.blk_index.next = self.out_blk.q.val();
        self.blk_b.next = self.quant.out_b.val();
        self.blk_q8.next = self.quant.out_q8.val();

        // The array's read port.
        self.raddr.next =
            (bit_cast::<16, 8>(self.x_token.val()) << self.blk_shift.val()) + self.x_blk.val();
        self.q8.re.next = true;
        self.q8.raddr.next = self.raddr.val();
        self.hi.re.next = true;
        self.hi.raddr.next = self.raddr.val();
        self.lo.re.next = true;
        self.lo.raddr.next = self.raddr.val();
        self.b.re.next = true;
        self.b.raddr.next = self.raddr.val();
        self.bmax.re.next = true;
        self.bmax.raddr.next = self.x_token.val();
        self.region.d.next = self.x_region.val();
        self.x_data.next = self.q8.rdata.val();
        if self.region.q.val() == 1 {
            self.x_data.next = self.hi.rdata.val();
        }
        if self.region.q.val() == 2 {
            self.x_data.next = self.lo.rdata.val();
        }
        self.x_b.next = self.b.rdata.val();
        self.x_bmax.next = self.bmax.rdata.val();

        if self.go.val() {
            self.active.d.next = true;
            self.token.d.next = 0.into();
            self.row.d.next = 0.into();
            self.sub.d.next = 0.into();
            self.out_token.d.next = 0.into();
            self.out_blk.d.next = 0.into();
            self.ready.d.next = false;
            self.bad.d.next = false;
        }
        if self.rst.val() {
            self.active.d.next = false;
            self.ready.d.next = false;
            self.bad.d.next = false;
        }
    }
}
