//! Activation: gate and up accumulators to the hidden vector, h = silu(gate) * up (`docs/formats.md`, section 5).
//!
//! What: brings each accumulator to Q12.24, keeps the gate rows of a group until its up rows come, and sends silu(gate) * up as
//! binary32. Cost: one 36 x 36 and one 20 x 20 multiplier, a ROM of 512 x 43, four 48 to 72 bit shifters, 1233 flip-flops.
//! Latency: 13 cycles from an up row to its h. Bottleneck: one row per cycle, gate or up, so at most one h in two cycles.
//!
//! Hazards: all stages move together, or not at all while the output waits; nothing can be overtaken. A gate row is stored under
//! its row modulo 4, which is unique in a group of 2 or 4 rows. The array sends a gate group, then its up group, so a gate row is
//! written at least one cycle before its up row reads it, and not written again before the group's last up row has passed.

use leaf::prelude::*;

const STAGES: usize = 13;

/// See the module's page. It has no sizes, so `default()` makes it.
#[derive(LogicBlock)]
pub struct Activation {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: drops all rows inside.
    pub rst: Signal<In, Bit>,
    /// Accumulator valid.
    pub in_vld: Signal<In, Bit>,
    /// Accumulator taken.
    pub in_rdy: Signal<Out, Bit>,
    /// The accumulator, signed.
    pub in_acc: Signal<In, Bits<48>>,
    /// Its LSB is 2^this, signed.
    pub in_lsb: Signal<In, Bits<16>>,
    /// An up row; otherwise a gate row.
    pub in_up: Signal<In, Bit>,
    /// The row of gate or up: the index in the hidden vector.
    pub in_row: Signal<In, Bits<16>>,
    /// The position in the expert's queue.
    pub in_q: Signal<In, Bits<8>>,
    /// Hidden value valid.
    pub h_vld: Signal<Out, Bit>,
    /// Hidden value taken.
    pub h_rdy: Signal<In, Bit>,
    /// Its position in the expert's queue.
    pub h_q: Signal<Out, Bits<8>>,
    /// Its index in the hidden vector.
    pub h_row: Signal<Out, Bits<16>>,
    /// The value, a binary32.
    pub h_f32: Signal<Out, Bits<32>>,
    /// Accumulators that Q12.24 could not hold, this cycle.
    pub sat: Signal<Out, Bits<2>>,
    /// Rows are inside.
    pub busy: Signal<Out, Bit>,

    /// All stages move.
    go: Signal<Local, Bit>,
    // What travels with a row; stage 0 is behind the input, the last one is the output.
    vld: [Dff<Bit>; STAGES],
    row: [Dff<Bits<16>>; STAGES],
    q: [Dff<Bits<8>>; STAGES],
    any: Signal<Local, Bits<13>>,

    // Stages 0 to 2: to Q12.24.
    place: Signal<Local, Bits<17>>,
    distance: Signal<Local, Bits<17>>,
    s0_up: Dff<Bit>,
    s0_acc: Dff<Signed<48>>,
    s0_right: Dff<Bit>,
    s0_shift: Dff<Bits<7>>,
    right: ShrRne<48, 7>,
    left: Shl<48, 7>,
    s1_up: Dff<Bit>,
    s1_fix: Dff<Bits<48>>,
    s1_over: Dff<Bit>,
    s1_negative: Dff<Bit>,
    beyond: Signal<Local, Bit>,
    s2_up: Dff<Bit>,
    s2_fix: Dff<Bits<36>>,
    gates: Dram<36, 2>,

    // Stages 3 to 6: silu.
    s3_gate: Dff<Bits<36>>,
    s3_up: Dff<Signed<36>>,
    magnitude: Signal<Local, Bits<36>>,
    table_rom: Rom<43, 9>,
    s4_far: Dff<Bit>,
    s4_rest: Dff<Bits<19>>,
    s4_gate: Dff<Bits<36>>,
    s4_up: Dff<Signed<36>>,
    slope: MulS<20, 20, 40>,
    s5_far: Dff<Bit>,
    s5_base: Dff<Bits<23>>,
    s5_gate: Dff<Bits<36>>,
    s5_up: Dff<Signed<36>>,
    rise: Signal<Local, Bits<40>>,
    rise_rounded: Signal<Local, Signed<21>>,
    delta: Signal<Local, Bits<36>>,
    relu: Signal<Local, Bits<36>>,
    s6_silu: Dff<Signed<36>>,
    s6_up: Dff<Signed<36>>,

    // Stages 7 to 12: the product, as binary32.
    product: MulS2<36, 36, 72>,
    product_bits: Signal<Local, Bits<72>>,
    s9_negative: Dff<Bit>,
    s9_size: Dff<Bits<72>>,
    zeros: Lzc<72, 7>,
    s10_negative: Dff<Bit>,
    s10_size: Dff<Bits<72>>,
    s10_zeros: Dff<Bits<7>>,
    s11_negative: Dff<Bit>,
    s11_size: Dff<Bits<72>>,
    s11_zeros: Dff<Bits<7>>,
    round_up: Signal<Local, Bit>,
    exponent: Signal<Local, Bits<31>>,
    number: Signal<Local, Bits<31>>,
    s12_f32: Dff<Bits<32>>,
}

/// The words of the delta table: `Y[i]`, and above it `Y[i+1] - Y[i]` in 20 bits.
fn table_words() -> impl Iterator<Item = u128> {
    numeric::silu::DELTA_TABLE.windows(2).map(|y| {
        let step = i64::from(y[1]) - i64::from(y[0]);
        assert!(
            y[0] < 1 << 23 && step.abs() < 1 << 18,
            "the table does not fit the ROM"
        );
        u128::from(y[0]) | u128::from(step as u64 & 0xF_FFFF) << 23
    })
}

impl Default for Activation {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            in_vld: Default::default(),
            in_rdy: Default::default(),
            in_acc: Default::default(),
            in_lsb: Default::default(),
            in_up: Default::default(),
            in_row: Default::default(),
            in_q: Default::default(),
            h_vld: Default::default(),
            h_rdy: Default::default(),
            h_q: Default::default(),
            h_row: Default::default(),
            h_f32: Default::default(),
            sat: Default::default(),
            busy: Default::default(),
            go: Default::default(),
            vld: arr(),
            row: arr(),
            q: arr(),
            any: Default::default(),
            place: Default::default(),
            distance: Default::default(),
            s0_up: Default::default(),
            s0_acc: Default::default(),
            s0_right: Default::default(),
            s0_shift: Default::default(),
            right: Default::default(),
            left: Default::default(),
            s1_up: Default::default(),
            s1_fix: Default::default(),
            s1_over: Default::default(),
            s1_negative: Default::default(),
            beyond: Default::default(),
            s2_up: Default::default(),
            s2_fix: Default::default(),
            gates: Dram::new(4),
            s3_gate: Default::default(),
            s3_up: Default::default(),
            magnitude: Default::default(),
            table_rom: Rom::new(table_words()),
            s4_far: Default::default(),
            s4_rest: Default::default(),
            s4_gate: Default::default(),
            s4_up: Default::default(),
            slope: Default::default(),
            s5_far: Default::default(),
            s5_base: Default::default(),
            s5_gate: Default::default(),
            s5_up: Default::default(),
            rise: Default::default(),
            rise_rounded: Default::default(),
            delta: Default::default(),
            relu: Default::default(),
            s6_silu: Default::default(),
            s6_up: Default::default(),
            product: Default::default(),
            product_bits: Default::default(),
            s9_negative: Default::default(),
            s9_size: Default::default(),
            zeros: Default::default(),
            s10_negative: Default::default(),
            s10_size: Default::default(),
            s10_zeros: Default::default(),
            s11_negative: Default::default(),
            s11_size: Default::default(),
            s11_zeros: Default::default(),
            round_up: Default::default(),
            exponent: Default::default(),
            number: Default::default(),
            s12_f32: Default::default(),
        }
    }
}

impl Logic for Activation {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("activation");
        clock!(self, clk, gates, table_rom, slope, product);
        dff_setup!(self, clk, s0_up, s0_acc, s0_right, s0_shift);
        dff_setup!(
            self,
            clk,
            s1_up,
            s1_fix,
            s1_over,
            s1_negative,
            s2_up,
            s2_fix
        );
        dff_setup!(self, clk, s3_gate, s3_up, s4_far, s4_rest, s4_gate, s4_up);
        dff_setup!(self, clk, s5_far, s5_base, s5_gate, s5_up, s6_silu, s6_up);
        dff_setup!(
            self,
            clk,
            s9_negative,
            s9_size,
            s10_negative,
            s10_size,
            s10_zeros
        );
        dff_setup!(self, clk, s11_negative, s11_size, s11_zeros, s12_f32);
        for i in 0..13 {
            self.vld[i].clock.next = self.clk.val();
            self.row[i].clock.next = self.clk.val();
            self.q[i].clock.next = self.clk.val();
            self.vld[i].d.next = self.vld[i].q.val();
            self.row[i].d.next = self.row[i].q.val();
            self.q[i].d.next = self.q[i].q.val();
        }
        self.go.next = !self.vld[12].q.val() || self.h_rdy.val();
        self.in_rdy.next = self.go.val();
        if self.go.val() {
            self.vld[0].d.next = self.in_vld.val();
            self.row[0].d.next = self.in_row.val();
            self.q[0].d.next = self.in_q.val();
            for i in 1..13 {
                self.vld[i].d.next = self.vld[i - 1].q.val();
                self.row[i].d.next = self.row[i - 1].q.val();
                self.q[i].d.next = self.q[i - 1].q.val();
            }
            self.vld[3].d.next = self.vld[2].q.val() && self.s2_up.q.val(); // gate rows end in `gates`
        }
        self.any.next = 0.into();
        for i in 0..13 {
            self.any.next = self.any.val().replace_bit(i, self.vld[i].q.val());
        }
        self.busy.next = self.any.val().any();

        // Where the LSB has to go, as direction and distance (127 is further than any bit can move).
        self.place.next = unsigned_cast(bit_cast_sx::<17, 16>(signed_cast(self.in_lsb.val()))) + 24;
        self.distance.next = self.place.val();
        if self.place.val().get_bit(16) {
            self.distance.next = bits::<17>(0) - self.place.val();
        }
        if self.go.val() {
            self.s0_up.d.next = self.in_up.val();
            self.s0_acc.d.next = signed_cast(self.in_acc.val());
            self.s0_right.d.next = self.place.val().get_bit(16);
            self.s0_shift.d.next = self.distance.val().get_bits::<7>(0);
            if self.distance.val().get_bits::<10>(7).any() {
                self.s0_shift.d.next = 127.into();
            }
        }

        // Shift.
        self.right.x.next = self.s0_acc.q.val();
        self.right.s.next = self.s0_shift.q.val();
        self.left.x.next = self.s0_acc.q.val();
        self.left.s.next = self.s0_shift.q.val();
        if self.go.val() {
            self.s1_up.d.next = self.s0_up.q.val();
            self.s1_negative.d.next = self.s0_acc.q.val().get_bit(47);
            if self.s0_right.q.val() {
                self.s1_fix.d.next = unsigned_cast(self.right.y.val());
                self.s1_over.d.next = false;
            } else {
                self.s1_fix.d.next = unsigned_cast(self.left.y.val());
                self.s1_over.d.next = self.left.ovf.val();
            }
        }

        // Saturate to +-(2^35 - 1): the bits above 34 must all be the sign, and -2^35 is out too.
        self.beyond.next = self.s1_over.q.val()
            || (self.s1_fix.q.val().get_bits::<13>(35).any()
                && !self.s1_fix.q.val().get_bits::<13>(35).all())
            || (self.s1_fix.q.val().get_bit(35) && !self.s1_fix.q.val().get_bits::<35>(0).any());
        self.sat.next =
            bit_cast::<2, 1>((self.go.val() && self.vld[1].q.val() && self.beyond.val()).into());
        if self.go.val() {
            self.s2_up.d.next = self.s1_up.q.val();
            self.s2_fix.d.next = self.s1_fix.q.val().get_bits::<36>(0);
            if self.beyond.val() {
                if self.s1_negative.q.val() {
                    self.s2_fix.d.next = 0x8_0000_0001u64.into();
                } else {
                    self.s2_fix.d.next = 0x7_FFFF_FFFFu64.into();
                }
            }
        }

        // Gate rows stay here until their up rows come.
        self.gates.we.next = self.vld[2].q.val() && !self.s2_up.q.val();
        self.gates.waddr.next = self.row[2].q.val().get_bits::<2>(0);
        self.gates.wdata.next = self.s2_fix.q.val();
        self.gates.raddr.next = self.row[2].q.val().get_bits::<2>(0);
        if self.go.val() {
            self.s3_gate.d.next = self.gates.rdata.val();
            self.s3_up.d.next = signed_cast(self.s2_fix.q.val());
        }

        // |gate| to the table.
        self.magnitude.next = self.s3_gate.q.val();
        if self.s3_gate.q.val().get_bit(35) {
            self.magnitude.next = bits::<36>(0) - self.s3_gate.q.val();
        }
        self.table_rom.re.next = self.go.val();
        self.table_rom.addr.next = self.magnitude.val().get_bits::<9>(19);
        if self.go.val() {
            self.s4_far.d.next = self.magnitude.val().get_bits::<8>(28).any();
            self.s4_rest.d.next = self.magnitude.val().get_bits::<19>(0);
            self.s4_gate.d.next = self.s3_gate.q.val();
            self.s4_up.d.next = self.s3_up.q.val();
        }

        // Between two entries.
        self.slope.en.next = self.go.val();
        self.slope.a.next = signed_cast(self.table_rom.data.val().get_bits::<20>(23));
        self.slope.b.next = signed_cast(bit_cast::<20, 19>(self.s4_rest.q.val()));
        if self.go.val() {
            self.s5_far.d.next = self.s4_far.q.val();
            self.s5_base.d.next = self.table_rom.data.val().get_bits::<23>(0);
            self.s5_gate.d.next = self.s4_gate.q.val();
            self.s5_up.d.next = self.s4_up.q.val();
        }
        self.rise.next = unsigned_cast(self.slope.p.val()) + 0x4_0000;
        self.rise_rounded.next = signed_cast(self.rise.val().get_bits::<21>(19));
        self.delta.next = bit_cast::<36, 23>(self.s5_base.q.val())
            + unsigned_cast(bit_cast_sx::<36, 21>(self.rise_rounded.val()));
        if self.s5_far.q.val() {
            self.delta.next = 0.into();
        }
        self.relu.next = self.s5_gate.q.val();
        if self.s5_gate.q.val().get_bit(35) {
            self.relu.next = 0.into();
        }
        if self.go.val() {
            self.s6_silu.d.next = signed_cast(self.relu.val() - self.delta.val());
            self.s6_up.d.next = self.s5_up.q.val();
        }

        // The product is there at stage 8.
        self.product.en.next = self.go.val();
        self.product.a.next = self.s6_silu.q.val();
        self.product.b.next = self.s6_up.q.val();
        self.product_bits.next = unsigned_cast(self.product.p.val());
        self.zeros.x.next = self.s9_size.q.val();
        if self.go.val() {
            self.s9_negative.d.next = self.product_bits.val().get_bit(71);
            self.s9_size.d.next = self.product_bits.val();
            if self.product_bits.val().get_bit(71) {
                self.s9_size.d.next = bits::<72>(0) - self.product_bits.val();
            }
            self.s10_negative.d.next = self.s9_negative.q.val();
            self.s10_size.d.next = self.s9_size.q.val();
            self.s10_zeros.d.next = self.zeros.n.val();
            self.s11_negative.d.next = self.s10_negative.q.val();
            self.s11_size.d.next = self.s10_size.q.val() << self.s10_zeros.q.val();
            self.s11_zeros.d.next = self.s10_zeros.q.val();
        }

        // 24 bits, rounded. The leading one is added into the exponent field, which is why that is one less (bit 71 is 2^23, hence
        // 127 + 23 - zeros), and a mantissa that rounds up to 2^24 is right as well.
        self.round_up.next = self.s11_size.q.val().get_bit(47)
            && (self.s11_size.q.val().get_bit(48) || self.s11_size.q.val().get_bits::<47>(0).any());
        self.exponent.next = bits::<31>(149) - bit_cast::<31, 7>(self.s11_zeros.q.val());
        self.number.next = (self.exponent.val() << 23)
            + bit_cast::<31, 24>(self.s11_size.q.val().get_bits::<24>(48))
            + bit_cast::<31, 1>(self.round_up.val().into());
        if self.go.val() {
            self.s12_f32.d.next = bit_cast::<32, 31>(self.number.val())
                | (bit_cast::<32, 1>(self.s11_negative.q.val().into()) << 31);
            if !self.s11_size.q.val().get_bit(71) {
                self.s12_f32.d.next = 0.into();
            }
        }

        self.h_vld.next = self.vld[12].q.val();
        self.h_q.next = self.q[12].q.val();
        self.h_row.next = self.row[12].q.val();
        self.h_f32.next = self.s12_f32.q.val();

        if self.rst.val() {
            for i in 0..13 {
                self.vld[i].d.next = false;
            }
        }
    }
}
