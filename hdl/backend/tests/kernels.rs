//! Kernels of every form in rust-hdl's simulator and, through this back end, in Verilator: same bits, no lint.
//!
//! The first module has one kernel for each case in which the library's own generator is known to be wrong.

use backend::bench::{Bench, Random};
use leaf::prelude::*;

const SEED: u64 = 0xbac_0ffee;
const STEPS: usize = 200;

/// What the library's own generator gets wrong (width and sign), or cannot print.
mod stock_defects {
    use super::*;

    /// `==` binds tighter than `&` in Verilog, looser in Rust.
    #[derive(LogicBlock, Default)]
    pub struct Precedence {
        pub a: Signal<In, Bits<8>>,
        pub b: Signal<In, Bits<8>>,
        pub y: Signal<Out, Bit>,
        pub z: Signal<Out, Bit>,
    }
    impl Logic for Precedence {
        #[hdl_gen]
        fn update(&mut self) {
            self.y.next = self.a.val() & self.b.val() == self.b.val();
            self.z.next = self.a.val() ^ self.b.val() | self.a.val() != self.b.val() + self.a.val();
        }
    }

    /// A signed value against a literal and against a constant.
    #[derive(LogicBlock)]
    pub struct SignedCompare {
        pub a: Signal<In, Signed<8>>,
        pub below_literal: Signal<Out, Bit>,
        pub below_negative: Signal<Out, Bit>,
        pub below_constant: Signal<Out, Bit>,
        pub sum_above: Signal<Out, Bit>,
        limit: Constant<Signed<8>>,
    }
    impl Default for SignedCompare {
        fn default() -> Self {
            Self {
                a: Signal::default(),
                below_literal: Signal::default(),
                below_negative: Signal::default(),
                below_constant: Signal::default(),
                sum_above: Signal::default(),
                limit: Constant::new((-20).into()),
            }
        }
    }
    impl Logic for SignedCompare {
        #[hdl_gen]
        fn update(&mut self) {
            self.below_literal.next = self.a.val() < 5.into();
            self.below_negative.next = self.a.val() <= (-5).into();
            self.below_constant.next = self.a.val() < self.limit.val();
            self.sum_above.next = self.a.val() + self.limit.val() >= 3.into();
        }
    }

    /// A widening cast of a sum, and of an inverted bit.
    #[derive(LogicBlock, Default)]
    pub struct WideningCast {
        pub a: Signal<In, Bits<8>>,
        pub b: Signal<In, Bits<8>>,
        pub x: Signal<In, Bit>,
        pub sum: Signal<Out, Bits<9>>,
        pub inverted: Signal<Out, Bits<8>>,
        pub narrow: Signal<Out, Bits<4>>,
    }
    impl Logic for WideningCast {
        #[hdl_gen]
        fn update(&mut self) {
            self.sum.next = bit_cast::<9, 8>(self.a.val() + self.b.val());
            self.inverted.next = bit_cast::<8, 1>((!self.x.val()).into());
            self.narrow.next = bit_cast::<4, 8>(self.a.val() - self.b.val());
        }
    }

    /// Sign extension, of the most negative value too.
    #[derive(LogicBlock, Default)]
    pub struct SignExtend {
        pub a: Signal<In, Signed<8>>,
        pub b: Signal<In, Signed<8>>,
        pub y: Signal<Out, Signed<16>>,
        pub z: Signal<Out, Signed<16>>,
        pub below: Signal<Out, Bit>,
        pub cut: Signal<Out, Signed<4>>,
    }
    impl Logic for SignExtend {
        #[hdl_gen]
        fn update(&mut self) {
            self.y.next = signed_bit_cast_sx::<16, 8>(self.a.val())
                - signed_bit_cast_sx::<16, 8>(self.b.val());
            self.z.next = bit_cast_sx::<16, 8>(self.a.val() + self.b.val());
            self.below.next =
                bit_cast_sx::<12, 8>(self.a.val()) < bit_cast_sx::<12, 8>(self.b.val());
            self.cut.next = signed_bit_cast_sx::<4, 8>(self.a.val() + self.b.val());
        }
    }

    /// `>>` of a signed value, by a signal and by a constant, alone and beside an unsigned operand. Rust has no such
    /// operator for `Signed`, so the tree is made by hand.
    #[derive(LogicBlock, Default)]
    pub struct SignedShift {
        pub a: Signal<In, Signed<8>>,
        pub s: Signal<In, Bits<4>>,
        pub y: Signal<Out, Signed<8>>,
        pub z: Signal<Out, Signed<8>>,
    }
    impl Logic for SignedShift {
        fn update(&mut self) {
            let a = leaf::to_i128(self.a.val());
            let s = self.s.val().index();
            self.y.next = leaf::from_i128(a >> s);
            self.z.next = leaf::from_i128((a >> s) ^ (a >> 3));
        }
        fn connect(&mut self) {
            self.y.connect();
            self.z.connect();
        }
        fn hdl(&self) -> Verilog {
            use ast::{VerilogExpression as E, VerilogOp, VerilogStatement};
            let signal = |n: &str| Box::new(E::Signal(n.into()));
            let shift = |by| Box::new(E::Binary(signal("a"), VerilogOp::Shr, by));
            let cut = E::Unsigned(shift(Box::new(E::Literal(3.into()))));
            let mixed = E::Binary(shift(signal("s")), VerilogOp::BitXor, Box::new(cut));
            Verilog::Combinatorial(vec![
                VerilogStatement::Assignment(*signal("y$next"), *shift(signal("s"))),
                VerilogStatement::Assignment(*signal("z$next"), mixed),
            ])
        }
    }

    /// Two indices in one path.
    #[derive(LogicBlock)]
    pub struct Inner {
        pub o: [Signal<Out, Bits<4>>; 3],
        pub i: Signal<In, Bits<4>>,
    }
    impl Default for Inner {
        fn default() -> Self {
            Self {
                o: arr(),
                i: Signal::default(),
            }
        }
    }
    impl Logic for Inner {
        #[hdl_gen]
        fn update(&mut self) {
            for k in 0..3 {
                self.o[k].next = self.i.val() + k.to_bits();
            }
        }
    }
    #[derive(LogicBlock)]
    pub struct TwoIndices {
        pub i: [Signal<In, Bits<4>>; 2],
        pub y: [Signal<Out, Bits<4>>; 6],
        r: [Inner; 2],
    }
    impl Default for TwoIndices {
        fn default() -> Self {
            Self {
                i: arr(),
                y: arr(),
                r: arr(),
            }
        }
    }
    impl Logic for TwoIndices {
        #[hdl_gen]
        fn update(&mut self) {
            for i in 0..2 {
                self.r[i].i.next = self.i[i].val();
                for j in 0..3 {
                    self.y[3 * i + j].next = self.r[1 - i].o[j].val();
                }
            }
        }
    }

    /// A part of an expression.
    #[derive(LogicBlock, Default)]
    pub struct PartOfSum {
        pub a: Signal<In, Bits<8>>,
        pub b: Signal<In, Bits<8>>,
        pub s: Signal<In, Bits<2>>,
        pub high: Signal<Out, Bits<4>>,
        pub low: Signal<Out, Bits<4>>,
        pub one_bit: Signal<Out, Bit>,
        pub some: Signal<Out, Bits<2>>,
    }
    impl Logic for PartOfSum {
        #[hdl_gen]
        fn update(&mut self) {
            self.high.next = (self.a.val() + self.b.val()).get_bits::<4>(4);
            self.low.next = (self.a.val() - self.b.val()).get_bits::<4>(0);
            self.one_bit.next = (self.a.val() + self.b.val()).get_bit(7);
            self.some.next = (self.a.val() ^ self.b.val()).get_bits::<2>(self.s.val().index() * 2);
        }
    }
}

mod forms {
    use super::*;

    #[derive(Copy, Clone, PartialEq, Debug, LogicState)]
    pub enum State {
        Idle,
        Run,
        Done,
    }

    #[derive(Copy, Clone, PartialEq, Debug, Default, LogicStruct)]
    pub struct Pair {
        pub low: Bits<3>,
        pub flag: Bit,
        pub high: Bits<4>,
    }

    /// A state machine with registers, a struct, a comment and reset as data.
    #[derive(LogicBlock, Default)]
    pub struct Machine {
        pub clk: Signal<In, Clock>,
        pub rst: Signal<In, Bit>,
        pub go: Signal<In, Bit>,
        pub n: Signal<In, Bits<4>>,
        pub busy: Signal<Out, Bit>,
        pub code: Signal<Out, Bits<2>>,
        pub left: Signal<Out, Bits<4>>,
        pub pair: Signal<Out, Pair>,
        pub low: Signal<Out, Bits<3>>,
        state: Dff<State>,
        count: Dff<Bits<4>>,
        kept: Dff<Pair>,
        unread: Dff<Bits<7>>,
        never: Signal<Local, Bits<5>>,
    }
    impl Logic for Machine {
        #[hdl_gen]
        fn update(&mut self) {
            comment!("state_machine");
            dff_setup!(self, clk, state, count, kept, unread);
            self.never.next = bit_cast::<5, 4>(self.n.val());
            self.unread.d.next = self.unread.q.val() + 1;
            self.busy.next = false;
            self.code.next = 0.into();
            match self.state.q.val() {
                State::Idle => {
                    if self.go.val() {
                        // Rust's own comment is not seen by the macro, the next one is.
                        comment!("take the number");
                        self.count.d.next = self.n.val();
                        self.state.d.next = State::Run;
                    }
                }
                State::Run => {
                    self.busy.next = true;
                    self.code.next = 1.into();
                    self.count.d.next = self.count.q.val() - 1;
                    if self.count.q.val() == 0 {
                        self.state.d.next = State::Done;
                        self.kept.d.next.high = self.n.val();
                        self.kept.d.next.flag = self.go.val();
                    } else if self.count.q.val() == 9 && !self.go.val() {
                        self.state.d.next = State::Idle;
                    } else {
                        self.kept.d.next.low = self.n.val().get_bits::<3>(1);
                    }
                }
                State::Done => {
                    self.code.next = 3.into();
                    self.state.d.next = State::Idle;
                }
            }
            self.left.next = self.count.q.val();
            self.pair.next = self.kept.q.val();
            self.low.next = self.kept.q.val().low;
            if self.rst.val() {
                self.state.d.next = State::Idle;
                self.count.d.next = 0.into();
            }
        }
    }

    /// Parts, at constants and signals, beyond the top and with replaced bits.
    #[derive(LogicBlock, Default)]
    pub struct Parts {
        pub a: Signal<In, Bits<24>>,
        pub s: Signal<In, Bits<2>>,
        pub t: Signal<In, Bits<4>>,
        pub x: Signal<In, Bit>,
        pub octet: Signal<Out, Bits<8>>,
        pub past: Signal<Out, Bits<8>>,
        pub beyond: Signal<Out, Bits<8>>,
        pub wide: Signal<Out, Bits<40>>,
        pub one_bit: Signal<Out, Bit>,
        pub fixed: Signal<Out, Bits<24>>,
        pub moved: Signal<Out, Bits<24>>,
        pub every: Signal<Out, Bits<5>>,
        pub one: Signal<Out, Bit>,
    }
    impl Logic for Parts {
        #[hdl_gen]
        fn update(&mut self) {
            self.octet.next = self.a.val().get_bits::<8>(self.t.val().index());
            self.past.next = self.a.val().get_bits::<8>(self.s.val().index() * 7 + 3);
            self.beyond.next = self.a.val().get_bits::<8>(20);
            self.wide.next = self.a.val().get_bits::<40>(self.s.val().index());
            self.one_bit.next = self.a.val().get_bit(self.t.val().index());
            self.fixed.next = self.a.val().replace_bit(5, self.x.val());
            self.moved.next = self.a.val().replace_bit(self.t.val().index(), self.x.val());
            self.every.next = bits::<5>(0);
            for i in 0..5 {
                if self.a.val().get_bit(4 * i) {
                    self.every.next = self.every.val() | (bits::<5>(1) << i.to_bits::<3>());
                }
            }
            self.one.next = self.t.val().get_bits::<1>(2).get_bit(0);
        }
    }

    /// Arithmetic, shifts, reductions, products, additions of a bool, negative literals.
    #[derive(LogicBlock, Default)]
    pub struct Operators {
        pub a: Signal<In, Bits<16>>,
        pub b: Signal<In, Bits<16>>,
        pub c: Signal<In, Signed<16>>,
        pub d: Signal<In, Signed<16>>,
        pub s: Signal<In, Bits<5>>,
        pub x: Signal<In, Bit>,
        pub y: Signal<Out, Bits<16>>,
        pub up: Signal<Out, Bits<16>>,
        pub left: Signal<Out, Bits<16>>,
        pub right: Signal<Out, Bits<16>>,
        pub low: Signal<Out, Bits<6>>,
        pub fixed: Signal<Out, Bits<16>>,
        pub product: Signal<Out, Bits<32>>,
        pub signed_product: Signal<Out, Signed<32>>,
        pub some: Signal<Out, Bit>,
        pub all: Signal<Out, Bit>,
        pub odd: Signal<Out, Bit>,
        pub minus: Signal<Out, Signed<16>>,
        pub order: Signal<Out, Bits<6>>,
        pub part: Signal<Out, Signed<6>>,
        pub shifted: Signal<Out, Bits<64>>,
    }
    impl Logic for Operators {
        #[hdl_gen]
        fn update(&mut self) {
            self.y.next = self.a.val() - (self.b.val() - self.a.val())
                + (self.b.val() ^ !self.a.val() & 0x0ff0);
            self.up.next = self.a.val() + self.x.val();
            self.left.next = self.a.val() << self.s.val();
            self.right.next = (self.a.val() + self.b.val()) >> self.s.val();
            self.low.next = bit_cast::<6, 16>((self.a.val() >> 3) | (self.b.val() << 2));
            self.fixed.next = (self.a.val() - self.b.val()) >> 7;
            self.product.next = self.a.val() * self.b.val();
            self.signed_product.next = self.c.val() * (self.d.val() - self.c.val());
            self.some.next = self.a.val().any() && !(self.b.val() & 0x00f0).any();
            self.all.next = (self.a.val() | self.b.val()).all();
            self.odd.next = self.a.val().get_bits::<7>(3).xor() ^ self.x.val();
            self.minus.next = -(self.c.val() + self.d.val()) + (-3).into();
            self.order.next = bits::<6>(0);
            if self.c.val() < self.d.val() {
                self.order.next = self.order.val() | 1;
            }
            if unsigned_cast(self.c.val()) < unsigned_cast(self.d.val()) {
                self.order.next = self.order.val() | 2;
            }
            if signed_cast(self.a.val()) >= self.c.val() {
                self.order.next = self.order.val() | 4;
            }
            if 0x1000 > self.a.val()
                || self.a.val() == self.b.val()
                || !self.x.val() && self.s.val() <= 7
            {
                self.order.next = self.order.val() | 8;
            }
            if -self.c.val() <= 0.into() {
                self.order.next = self.order.val() | 16;
            }
            self.part.next = (self.c.val() - self.d.val()).get_bits::<6>(4);
            self.shifted.next = (bit_cast::<64, 16>(self.a.val()) << self.s.val())
                + bit_cast::<64, 16>(self.b.val());
        }
    }

    /// Intermediate values of locals, casts whose width comes from the context, matches on numbers and bools.
    #[derive(LogicBlock)]
    pub struct Sequence<const N: usize> {
        pub a: [Signal<In, Bits<8>>; N],
        pub c: [Signal<In, Signed<6>>; N],
        pub sum: Signal<Out, Bits<12>>,
        pub signed_sum: Signal<Out, Signed<12>>,
        pub first: Signal<Out, Bits<4>>,
        pub found: Signal<Out, Bit>,
        pub pick: Signal<Out, Bits<8>>,
        pub inv: Signal<Out, Bits<2>>,
        acc: Signal<Local, Bits<12>>,
        tree: [Signal<Local, Signed<12>>; 8],
    }
    impl<const N: usize> Default for Sequence<N> {
        fn default() -> Self {
            Self {
                a: arr(),
                c: arr(),
                sum: Signal::default(),
                signed_sum: Signal::default(),
                first: Signal::default(),
                found: Signal::default(),
                pick: Signal::default(),
                inv: Signal::default(),
                acc: Signal::default(),
                tree: arr(),
            }
        }
    }
    impl<const N: usize> Logic for Sequence<N> {
        #[hdl_gen]
        fn update(&mut self) {
            self.acc.next = 0.into();
            self.found.next = false;
            self.first.next = 0.into();
            for i in 0..N {
                self.acc.next = self.acc.val() + unsigned_cast_zx::<12, 8>(self.a[i].val());
                if !self.found.val() && self.a[i].val() > 0xc0 {
                    self.found.next = true;
                    self.first.next = i.to_bits();
                }
            }
            self.sum.next = self.acc.val();
            for n in N..(N + 1) {
                for i in 0..N {
                    self.tree[i + n].next = signed_bit_cast_sx::<12, 6>(self.c[i].val());
                }
                for k in 1..N {
                    self.tree[n - k].next =
                        self.tree[2 * (n - k)].val() + self.tree[2 * (n - k) + 1].val();
                }
            }
            self.tree[0].next = 0.into();
            self.signed_sum.next = self.tree[1].val() + self.tree[0].val();
            match self.a[0].val().get_bits::<2>(0).index() {
                0 => self.pick.next = self.a[1].val(),
                2 => {
                    self.pick.next = self.a[2].val();
                }
                _ => self.pick.next = 0x5a.into(),
            }
            match self.a[1].val().get_bit(7) {
                true => self.inv.next = !self.a[1].val().get_bits::<2>(0),
                false => self.inv.next = self.a[2].val().get_bits::<2>(6),
            }
        }
    }

    #[derive(Clone, Debug, Default, LogicInterface)]
    #[join = "Sink"]
    pub struct Source {
        pub data: Signal<Out, Bits<6>>,
        pub valid: Signal<Out, Bit>,
        pub ready: Signal<In, Bit>,
    }
    #[derive(Clone, Debug, Default, LogicInterface)]
    #[join = "Source"]
    pub struct Sink {
        pub data: Signal<In, Bits<6>>,
        pub valid: Signal<In, Bit>,
        pub ready: Signal<Out, Bit>,
    }
    #[derive(LogicBlock, Default)]
    pub struct Front {
        pub s: Sink,
        pub m: Source,
    }
    impl Logic for Front {
        #[hdl_gen]
        fn update(&mut self) {
            self.m.data.next = self.s.data.val() + 1;
            self.m.valid.next = self.s.valid.val() && !self.s.data.val().all();
            self.s.ready.next = self.m.ready.val();
        }
    }
    /// Interfaces: two fronts in a row, joined to each other and linked to the outside.
    #[derive(LogicBlock, Default)]
    pub struct Chain {
        pub s: Sink,
        pub m: Source,
        one: Front,
        two: Front,
    }
    impl Logic for Chain {
        #[hdl_gen]
        fn update(&mut self) {
            Sink::link(&mut self.s, &mut self.one.s);
            Source::join(&mut self.one.m, &mut self.two.s);
            Source::link(&mut self.m, &mut self.two.m);
        }
    }

    /// Registers: initial values, arrays, a d that is read, a d computed from an intermediate value, partial writes.
    #[derive(LogicBlock)]
    pub struct Registers {
        pub clk: Signal<In, Clock>,
        pub x: Signal<In, Bits<8>>,
        pub load: Signal<In, Bit>,
        pub y: Signal<Out, Bits<8>>,
        pub next: Signal<Out, Bits<8>>,
        pub mixed: Signal<Out, Bits<8>>,
        pub first: Signal<Out, Signed<8>>,
        pub again: Signal<Out, Bits<8>>,
        line: [Dff<Bits<8>>; 4],
        seen: Dff<Bits<8>>,
        mix: Dff<Bits<8>>,
        one: Dff<Signed<8>>,
        twice: [Echo; 2],
        temp: Signal<Local, Bits<8>>,
    }
    /// A child with a register of its own, used twice: one module.
    #[derive(LogicBlock, Default)]
    pub struct Echo {
        pub clk: Signal<In, Clock>,
        pub i: Signal<In, Bits<8>>,
        pub o: Signal<Out, Bits<8>>,
        pub spare: Signal<Out, Bit>,
        r: Dff<Bits<8>>,
    }
    impl Logic for Echo {
        #[hdl_gen]
        fn update(&mut self) {
            dff_setup!(self, clk, r);
            self.r.d.next = self.i.val() ^ (self.r.q.val() << 1);
            self.o.next = self.r.q.val();
            self.spare.next = self.r.q.val().any();
        }
    }
    impl Default for Registers {
        fn default() -> Self {
            Self {
                clk: Signal::default(),
                x: Signal::default(),
                load: Signal::default(),
                y: Signal::default(),
                next: Signal::default(),
                mixed: Signal::default(),
                first: Signal::default(),
                again: Signal::default(),
                line: std::array::from_fn(|i| Dff::new((17 * i as u64).into())),
                seen: Dff::default(),
                mix: Dff::new(0xa5.into()),
                one: Dff::new((-7).into()),
                twice: arr(),
                temp: Signal::default(),
            }
        }
    }
    impl Logic for Registers {
        #[hdl_gen]
        fn update(&mut self) {
            dff_setup!(self, clk, seen, mix, one);
            for i in 0..4 {
                self.line[i].clock.next = self.clk.val();
                self.line[i].d.next = self.line[i].q.val();
            }
            if self.load.val() {
                self.line[0].d.next = self.x.val();
                for i in 1..4 {
                    self.line[i].d.next = self.line[i - 1].q.val();
                }
            }
            self.y.next = self.line[3].q.val();
            if self.load.val() && self.x.val().get_bit(0) {
                self.seen.d.next = self.x.val() - 1;
            }
            self.next.next = self.seen.d.val() + self.seen.q.val();
            self.temp.next = self.x.val();
            if self.load.val() {
                self.temp.next = self.temp.val() + self.mix.q.val();
            }
            self.mix.d.next = self.temp.val();
            self.temp.next = self.temp.val() ^ self.x.val();
            self.mixed.next = self.temp.val();
            self.one.d.next = self.one.q.val() - 1.into();
            self.first.next = self.one.q.val();
            self.twice[0].clk.next = self.clk.val();
            self.twice[1].clk.next = self.clk.val();
            self.twice[0].i.next = self.x.val();
            self.twice[1].i.next = self.twice[0].o.val();
            self.again.next = self.twice[1].o.val();
        }
    }
}

fn random<const W: usize>(r: &mut Random) -> Bits<W> {
    let x = r.corners();
    (x & (u128::MAX >> (128 - W))).to_bits()
}

fn signed<const W: usize>(r: &mut Random) -> Signed<W> {
    leaf::from_i128(r.corners() as i128)
}

fn add_defects(bench: &mut Bench) {
    use stock_defects::*;
    let mut r = Random::new(SEED);
    bench
        .add(
            "precedence",
            &mut Precedence::default(),
            STEPS,
            |u, step, _| {
                (u.a.next, u.b.next) = (random(&mut r), random(&mut r));
                if step == 0 {
                    (u.a.next, u.b.next) = (0x0e.into(), 0x02.into());
                }
            },
        )
        .unwrap();
    bench
        .add(
            "signed_compare",
            &mut SignedCompare::default(),
            256,
            |u, step, _| {
                u.a.next = leaf::from_i128(step as i128);
            },
        )
        .unwrap();
    bench
        .add(
            "widening_cast",
            &mut WideningCast::default(),
            STEPS,
            |u, step, _| {
                (u.a.next, u.b.next, u.x.next) = (random(&mut r), random(&mut r), step % 2 == 1);
                if step == 0 {
                    (u.a.next, u.b.next) = (0xff.into(), 3.into());
                }
            },
        )
        .unwrap();
    bench
        .add(
            "sign_extend",
            &mut SignExtend::default(),
            STEPS,
            |u, step, _| {
                (u.a.next, u.b.next) = (signed(&mut r), signed(&mut r));
                if step < 2 {
                    u.a.next = leaf::from_i128(-128);
                }
            },
        )
        .unwrap();
    bench
        .add(
            "signed_shift",
            &mut SignedShift::default(),
            STEPS,
            |u, _, _| {
                (u.a.next, u.s.next) = (signed(&mut r), random(&mut r));
            },
        )
        .unwrap();
    bench
        .add("two_indices", &mut TwoIndices::default(), 40, |u, _, _| {
            u.i.iter_mut().for_each(|i| i.next = random(&mut r));
        })
        .unwrap();
    bench
        .add(
            "part_of_sum",
            &mut PartOfSum::default(),
            STEPS,
            |u, _, _| {
                (u.a.next, u.b.next, u.s.next) = (random(&mut r), random(&mut r), random(&mut r));
            },
        )
        .unwrap();
}

fn add_forms(bench: &mut Bench) {
    use forms::*;
    let mut r = Random::new(SEED);
    bench
        .add("machine", &mut Machine::default(), 600, |u, step, clock| {
            u.clk.next = clock.into();
            if !clock {
                (u.rst.next, u.go.next, u.n.next) = (
                    step == 0 || r.below(40) == 0,
                    r.below(3) > 0,
                    random(&mut r),
                );
            }
        })
        .unwrap();
    bench
        .add("parts", &mut Parts::default(), STEPS, |u, _, _| {
            (u.a.next, u.s.next, u.t.next, u.x.next) = (
                bits(r.u64() & 0xff_ffff),
                random(&mut r),
                random(&mut r),
                r.below(2) == 1,
            );
        })
        .unwrap();
    bench
        .add(
            "operators",
            &mut Operators::default(),
            2 * STEPS,
            |u, _, _| {
                (u.a.next, u.b.next, u.s.next) =
                    (random(&mut r), random(&mut r), bits(r.below(32)));
                (u.c.next, u.d.next, u.x.next) = (signed(&mut r), signed(&mut r), r.below(2) == 1);
            },
        )
        .unwrap();
    bench
        .add(
            "sequences",
            &mut Sequence::<4>::default(),
            STEPS,
            |u, _, _| {
                u.a.iter_mut().for_each(|a| a.next = bits(r.below(256)));
                u.c.iter_mut().for_each(|c| c.next = signed(&mut r));
            },
        )
        .unwrap();
    bench
        .add("chain", &mut Chain::default(), STEPS, |u, _, _| {
            u.s.data.next = random(&mut r);
            u.s.valid.next = r.below(2) == 1;
            u.m.ready.next = r.below(2) == 1;
        })
        .unwrap();
    bench
        .add(
            "registers",
            &mut Registers::default(),
            STEPS,
            |u, _, clock| {
                u.clk.next = clock.into();
                if !clock {
                    (u.x.next, u.load.next) = (bits(r.below(256)), r.below(2) == 1);
                }
            },
        )
        .unwrap();
    bench.add_stock(&Registers::default());
}

#[test]
fn verilog_computes_what_rust_computes() {
    println!("seed {SEED:#x}");
    let mut bench = Bench::new("kernels");
    add_defects(&mut bench);
    add_forms(&mut bench);
    bench.check().unwrap();
}
