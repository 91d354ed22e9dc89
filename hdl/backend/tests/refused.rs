//! Designs without faithful Verilog are refused, and the message names module and signal. And what the text looks like.

use backend::{emit, emit_all, ports, Direction, ErrorKind, Header};
use leaf::prelude::*;

fn refused(top: &dyn Block) -> (ErrorKind, String) {
    let error = emit(top, "top", &Header::default()).expect_err("it must be refused");
    (error.kind, error.to_string())
}

/// A block with the given fields and kernel.
macro_rules! block {
    ($name: ident { $($field: ident: $kind: ty),* $(,)? } $($body: tt)*) => {
        #[derive(LogicBlock, Default)]
        #[allow(dead_code)]
        struct $name { $($field: $kind),* }
        impl Logic for $name {
            $($body)*
        }
    };
}

type InBit = Signal<In, Bit>;
type OutBit = Signal<Out, Bit>;
type In8 = Signal<In, Bits<8>>;
type Out8 = Signal<Out, Bits<8>>;

block!(Latch { a: InBit, y: OutBit }
    #[hdl_gen]
    fn update(&mut self) {
    if self.a.val() { self.y.next = true; }
    }
);
block!(Early { a: InBit, y: OutBit, t: Signal<Local, Bit> }
    #[hdl_gen]
    fn update(&mut self) {
    self.y.next = self.t.val();
    self.t.next = self.a.val();
    }
);
block!(Undriven { a: InBit, y: OutBit, z: OutBit }
    #[hdl_gen]
    fn update(&mut self) {
    self.y.next = self.a.val();
    }
);
block!(OpenRegister { clk: Signal<In, Clock>, y: OutBit, r: Dff<Bit> }
    #[hdl_gen]
    fn update(&mut self) {
    self.r.clock.next = self.clk.val();
    self.y.next = self.r.q.val();
    }
);
block!(GatedClock { clk: Signal<In, Clock>, y: OutBit, r: Dff<Bit> }
    #[hdl_gen]
    fn update(&mut self) {
    self.r.clock.next = !self.clk.val();
    self.r.d.next = !self.r.q.val();
    self.y.next = self.r.q.val();
    }
);
block!(WritesInput { a: InBit, y: OutBit }
    #[hdl_gen]
    fn update(&mut self) {
    self.a.next = true;
    self.y.next = self.a.val();
    }
);
block!(Child { i: InBit, o: OutBit }
    #[hdl_gen]
    fn update(&mut self) {
    self.o.next = !self.i.val();
    }
);
block!(WritesChild { a: InBit, y: OutBit, c: Child }
    #[hdl_gen]
    fn update(&mut self) {
    self.c.i.next = self.a.val();
    self.c.o.next = self.a.val();
    self.y.next = self.c.o.val();
    }
);
block!(Cycle { a: InBit, y: OutBit, c: Child }
    #[hdl_gen]
    fn update(&mut self) {
    self.c.i.next = self.a.val() ^ self.c.i.val();
    self.y.next = self.c.o.val();
    }
);
block!(TooWide { a: In8, y: Signal<Out, Bits<4>>, s: Signal<In, Bits<2>> }
    #[hdl_gen]
    fn update(&mut self) {
    self.y.next = self.a.val().get_bits::<4>((self.s.val() + 1).index());
    }
);
block!(NoWidth { a: Signal<In, Signed<8>>, b: Signal<In, Signed<8>>, y: OutBit }
    #[hdl_gen]
    fn update(&mut self) {
    self.y.next = signed_bit_cast_sx::<16, 8>(self.a.val()) < signed_bit_cast_sx::<16, 8>(self.b.val());
    }
);
block!(BigLiteral { a: Signal<In, Bits<40>>, y: OutBit }
    #[hdl_gen]
    fn update(&mut self) {
    self.y.next = bit_cast::<4, 40>(self.a.val()) == 0x10;
    }
);
block!(OutOfRange { a: In8, y: OutBit }
    #[hdl_gen]
    fn update(&mut self) {
    for i in 7..9 { self.y.next = self.a.val().get_bit(i); }
    }
);
block!(Reserved { a: InBit, table: OutBit }
    #[hdl_gen]
    fn update(&mut self) {
    self.table.next = self.a.val();
    }
);
block!(Moving { a: In8, y: OutBit, t: Signal<Local, Bits<8>> }
    #[hdl_gen]
    fn update(&mut self) {
    self.y.next = false;
    self.t.next = self.a.val();
    if self.a.val().any() {
        self.t.next = self.t.val() + 1;
        self.y.next = (self.t.val() + 1).get_bit(7);
    }
    }
);

#[derive(LogicBlock, Default)]
struct ConstGeneric<const N: usize> {
    a: In8,
    y: Out8,
}
impl<const N: usize> Logic for ConstGeneric<N> {
    #[hdl_gen]
    fn update(&mut self) {
        self.y.next = self.a.val() + N.to_bits();
    }
}

#[derive(LogicBlock)]
struct ConstGenericIndex<const N: usize> {
    a: [Signal<In, Bit>; N],
    y: OutBit,
}
impl<const N: usize> Logic for ConstGenericIndex<N> {
    #[hdl_gen]
    fn update(&mut self) {
        self.y.next = self.a[N - 1].val();
    }
}

#[derive(LogicBlock)]
struct Collision {
    a: [Signal<In, Bit>; 2],
    a_0: Signal<In, Bit>,
    y: OutBit,
}
impl Logic for Collision {
    #[hdl_gen]
    fn update(&mut self) {
        self.y.next = self.a[0].val() & self.a[1].val() & self.a_0.val();
    }
}

#[derive(LogicBlock, Default)]
struct Parent {
    a: InBit,
    y: OutBit,
    inner: Latch,
}
impl Logic for Parent {
    #[hdl_gen]
    fn update(&mut self) {
        self.inner.a.next = self.a.val();
        self.y.next = self.inner.y.val();
    }
}

#[test]
fn every_fault_is_refused_by_name() {
    let collision = Collision {
        a: arr(),
        a_0: Signal::default(),
        y: Signal::default(),
    };
    let index = ConstGenericIndex::<3> {
        a: arr(),
        y: Signal::default(),
    };
    let cases: Vec<(&dyn Block, ErrorKind, &str)> = vec![
        (
            &collision,
            ErrorKind::Name,
            "module top: two ports are called a_0 once",
        ),
        (
            &index,
            ErrorKind::Index,
            "the index [N-1] in a[N-1]: N is not known here",
        ),
    ];
    for (top, kind, text) in cases {
        let (found, message) = refused(top);
        assert_eq!(found, kind, "{message}");
        assert!(message.contains(text), "{message}");
    }
    fn check<B: Block + Default>(kind: ErrorKind, text: &str) {
        let (found, message) = refused(&B::default());
        assert_eq!(found, kind, "{message}");
        assert!(message.contains(text), "{message}");
    }
    check::<Latch>(
        ErrorKind::Latch,
        "module top: y is not assigned on every path",
    );
    check::<Parent>(
        ErrorKind::Latch,
        "module top.inner: y is not assigned on every path",
    );
    check::<Early>(
        ErrorKind::ReadBeforeWrite,
        "t is read before it is assigned",
    );
    check::<Undriven>(ErrorKind::Undriven, "z is never assigned");
    check::<OpenRegister>(ErrorKind::Undriven, "r.d is never assigned");
    check::<GatedClock>(
        ErrorKind::Driver,
        "r.clock must be assigned once, straight from a clock",
    );
    check::<WritesInput>(
        ErrorKind::Driver,
        "the input a is assigned inside the module",
    );
    check::<WritesChild>(
        ErrorKind::Driver,
        "the output c.o of a child is assigned by its parent",
    );
    check::<Cycle>(
        ErrorKind::ReadBeforeWrite,
        "c.i is read by what computes it",
    );
    check::<TooWide>(ErrorKind::Ambiguous, "put it into a Local of 4 bits");
    check::<NoWidth>(
        ErrorKind::Ambiguous,
        "neither side of a comparison has a known width",
    );
    check::<BigLiteral>(ErrorKind::Literal, "does not fit 4 bits");
    check::<OutOfRange>(ErrorKind::Index, "bit 8 of a value of 8 bits");
    check::<Reserved>(
        ErrorKind::Name,
        "the port table has a name that Verilog reserves",
    );
    check::<Moving>(ErrorKind::Unsupported, "put the expression into a Local");
    check::<ConstGeneric<3>>(ErrorKind::UnknownName, "the name N is no signal here");
}

block!(Counter { clk: Signal<In, Clock>, rst: InBit, en: InBit, count: Out8, value: Dff<Bits<8>> }
    #[hdl_gen]
    fn update(&mut self) {
    comment!("counter");
    dff_setup!(self, clk, value);
    comment!("wraps around");
    if self.en.val() { self.value.d.next = self.value.q.val() + 1; }
    self.count.next = self.value.q.val();
    if self.rst.val() { self.value.d.next = 0.into(); }
    }
);

block!(Pair { clk: Signal<In, Clock>, rst: InBit, en: InBit, sum: Out8, left: Counter, right: Counter }
    #[hdl_gen]
    fn update(&mut self) {
    self.left.clk.next = self.clk.val();
    self.right.clk.next = self.clk.val();
    self.left.rst.next = self.rst.val();
    self.right.rst.next = self.rst.val();
    self.left.en.next = self.en.val();
    self.right.en.next = !self.en.val();
    self.sum.next = self.left.count.val() + self.right.count.val();
    }
);

const COUNTER: &str = "\
module counter (
    input  wire clk,
    input  wire rst,
    input  wire en,
    output wire [7:0] count
);

    reg [7:0] value = 8'd0;

    assign count = value;

    always @(posedge clk) begin
        // wraps around
        if (en) value <= value + 8'd1;
        if (rst) value <= 8'd0;
    end
endmodule
";

#[test]
fn the_text_is_what_an_engineer_would_write() {
    let header = Header {
        generator: "backend 0.1".into(),
        config: "tiny".into(),
        fingerprint: "00ff".into(),
        lines: vec!["make verilog CONFIG=tiny".into()],
    };
    let text = emit(&Pair::default(), "pair", &header).unwrap();
    assert!(text.starts_with(
        "// Generated by: backend 0.1\n// Configuration: tiny\n// Fingerprint: 00ff\n// make "
    ));
    assert!(text.contains("`timescale 1ns/1ps\n`default_nettype none\n"));
    assert!(
        text.contains(COUNTER),
        "the module is named and shared:\n{text}"
    );
    assert_eq!(text.matches("endmodule").count(), 2, "{text}");
    assert!(text.contains("        .en(!en),\n"), "{text}");
    assert!(!text.contains("$0") && !text.contains("pair$"), "{text}");
    assert_eq!(
        text,
        emit(&Pair::default(), "pair", &header).unwrap(),
        "the same design, the same text"
    );
}

#[test]
fn several_tops_share_modules_and_different_bodies_do_not() {
    let (counter, pair) = (Counter::default(), Pair::default());
    let (small, large) = (Dram::<8, 4>::new(16), Dram::<8, 4>::new(9));
    let tops: [(&str, &dyn Block); 4] = [
        ("count", &counter),
        ("pair", &pair),
        ("little", &small),
        ("big", &large),
    ];
    let text = emit_all(&tops, &Header::default()).unwrap();
    assert_eq!(text.matches("endmodule").count(), 5, "{text}");
    assert!(emit_all(&[("a", &counter), ("a", &pair)], &Header::default()).is_err());
    assert!(emit(&counter, "module", &Header::default()).is_err());
}

#[test]
fn ports_are_listed_for_harnesses() {
    let ports = ports(&Counter::default()).unwrap();
    let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["clk", "rst", "en", "count"]);
    assert!(ports[0].clock && !ports[1].clock);
    assert_eq!(
        (ports[3].dir, ports[3].width, ports[3].signed),
        (Direction::Out, 8, false)
    );
}

block!(TwoClocks { fast: Signal<In, Clock>, slow: Signal<In, Clock>, a: In8, y: Out8, z: Out8, p: Dff<Bits<8>>, q: Dff<Bits<8>> }
    #[hdl_gen]
    fn update(&mut self) {
        self.p.clock.next = self.fast.val();
        self.q.clock.next = self.slow.val();
        self.p.d.next = self.a.val();
        self.q.d.next = self.a.val();
        self.y.next = self.p.q.val();
        self.z.next = self.q.q.val();
    }
);

#[test]
fn each_clock_has_its_block() {
    let text = emit(&TwoClocks::default(), "clocks", &Header::default()).unwrap();
    assert!(
        text.contains("always @(posedge fast) begin\n        p <= a;\n    end\n"),
        "{text}"
    );
    assert!(
        text.contains("always @(posedge slow) begin\n        q <= a;\n    end\n"),
        "{text}"
    );
}

/// A vendor primitive in a wrapper, and one as a black box.
#[derive(LogicBlock, Default)]
struct Buffer<const WRAPPED: bool> {
    i: InBit,
    o: OutBit,
}
impl<const WRAPPED: bool> Logic for Buffer<WRAPPED> {
    fn update(&mut self) {
        self.o.next = self.i.val();
    }
    fn connect(&mut self) {
        self.o.connect();
    }
    fn hdl(&self) -> Verilog {
        let core = "module BUF8 (input i, output o);\nendmodule";
        if WRAPPED {
            Verilog::Wrapper(Wrapper {
                code: "BUF8 inner (.i(i), .o(o));".into(),
                cores: core.into(),
            })
        } else {
            Verilog::Blackbox(BlackBox {
                code: core.into(),
                name: "BUF8".into(),
            })
        }
    }
}
block!(Buffers { a: InBit, y: OutBit, z: OutBit, one: Buffer<true>, two: Buffer<true>, bare: Buffer<false> }
    #[hdl_gen]
    fn update(&mut self) {
        self.one.i.next = self.a.val();
        self.two.i.next = self.one.o.val();
        self.y.next = self.two.o.val();
        self.bare.i.next = self.a.val();
        self.z.next = self.bare.o.val();
    }
);

#[test]
fn vendor_primitives_are_declared_once() {
    let text = emit(&Buffers::default(), "buffers", &Header::default()).unwrap();
    assert_eq!(text.matches("module BUF8").count(), 1, "{text}");
    assert_eq!(
        text.matches("BUF8 inner").count(),
        1,
        "both wrappers are one module:\n{text}"
    );
    assert!(
        text.contains("    BUF8 bare (\n        .i(a),\n        .o(z)\n    );\n"),
        "{text}"
    );
    assert!(emit(&Buffer::<false>::default(), "top", &Header::default()).is_err());
}

/// A leaf whose Verilog is wrong must be caught, or the other comparisons mean nothing.
#[derive(LogicBlock, Default)]
struct Liar {
    a: In8,
    y: Out8,
}
impl Logic for Liar {
    fn update(&mut self) {
        self.y.next = self.a.val();
    }
    fn connect(&mut self) {
        self.y.connect();
    }
    fn hdl(&self) -> Verilog {
        Verilog::Custom("assign y = a ^ {7'd0, &a};".into())
    }
}

#[test]
fn a_bench_tells_a_wrong_leaf() {
    let mut bench = backend::bench::Bench::new("liar");
    let drive = |u: &mut Liar, step: usize, _| u.a.next = bits(step as u64);
    bench.add("liar", &mut Liar::default(), 256, drive).unwrap();
    let message = bench.check().unwrap_err();
    assert!(
        message.starts_with("liar step 255: y is 8'hff in Rust and 8'hfe in Verilog"),
        "{message}"
    );
}
