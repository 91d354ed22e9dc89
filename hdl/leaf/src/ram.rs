//! Memories with one write and one read port.

use rust_hdl_core::prelude::*;

/// Block RAM: one write port, one read port with a register (data one cycle after the address), one clock.
///
/// `W` data bits, `A` address bits, `depth` words (a run-time size: 2 to 2^`A`). While `re` is low, `rdata` holds.
/// Reading an address in the very cycle it is written gives an undefined word: the array carries `no_rw_check`, which
/// saves 400 LUTs for 128 bits on ECP5. The model then returns the old word *inverted* and counts a collision, so a
/// design that relies on it fails its tests. Contents are undefined at power-up (zero in the model).
#[derive(Clone, Debug, LogicBlock)]
pub struct Ram<const W: usize, const A: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Write `wdata` to `waddr`.
    pub we: Signal<In, Bit>,
    /// Write address, below `depth`.
    pub waddr: Signal<In, Bits<A>>,
    /// Word to write.
    pub wdata: Signal<In, Bits<W>>,
    /// Read `raddr` into `rdata`.
    pub re: Signal<In, Bit>,
    /// Read address, below `depth`.
    pub raddr: Signal<In, Bits<A>>,
    /// The word read by the last cycle with `re`.
    pub rdata: Signal<Out, Bits<W>>,
    _mem: Vec<Bits<W>>,
    _collisions: usize,
}

/// Panics unless `depth` words fit `a` address bits: a mistake of the designer, not of the user.
fn check_depth(kind: &str, depth: usize, a: usize) {
    assert!(
        (2..=1 << a).contains(&depth),
        "{kind}: a depth of {depth} does not fit {a} address bits (2 to {})",
        1usize << a
    );
}

/// The address bits in use, and a net that names the others as unused on purpose.
fn address_text(names: [&str; 2], depth: usize, a: usize) -> ([String; 2], String) {
    let k = clog2(depth);
    if k == a {
        return (names.map(String::from), String::new());
    }
    let spare = |n: &str| format!("{n}[{}:{k}]", a - 1);
    (
        names.map(|n| format!("{n}[{}:0]", k - 1)),
        format!(
            "wire unused_address = &{{1'b0, {}, {}}};\n",
            spare(names[0]),
            spare(names[1])
        ),
    )
}

impl<const W: usize, const A: usize> Ram<W, A> {
    /// A memory of `depth` words.
    ///
    /// # Panics
    /// If `depth` is not 2 to 2^`A`.
    pub fn new(depth: usize) -> Self {
        check_depth("Ram", depth, A);
        Self {
            clock: Signal::default(),
            we: Signal::default(),
            waddr: Signal::default(),
            wdata: Signal::default(),
            re: Signal::default(),
            raddr: Signal::default(),
            rdata: Signal::default(),
            _mem: vec![Bits::default(); depth],
            _collisions: 0,
        }
    }

    /// How many cycles so far read the address they wrote.
    pub fn collisions(&self) -> usize {
        self._collisions
    }
}

impl<const W: usize, const A: usize> Logic for Ram<W, A> {
    fn update(&mut self) {
        if !self.clock.pos_edge() {
            return;
        }
        let (r, w) = (self.raddr.val().index(), self.waddr.val().index());
        if self.re.val() {
            let word = self._mem.get(r).copied().unwrap_or_default();
            let collision = self.we.val() && r == w;
            self._collisions += usize::from(collision);
            self.rdata.next = if collision { !word } else { word };
        }
        if self.we.val() && w < self._mem.len() {
            self._mem[w] = self.wdata.val();
        }
    }

    fn connect(&mut self) {
        self.rdata.connect();
    }

    fn hdl(&self) -> Verilog {
        let depth = self._mem.len();
        let ([waddr, raddr], unused) = address_text(["waddr", "raddr"], depth, A);
        Verilog::Custom(format!(
            "// module ram_{depth}x{W}
{unused}(* no_rw_check *)
reg [{wt}:0] mem [0:{dt}];

always @(posedge clock) begin
    if (we) mem[{waddr}] <= wdata;
    if (re) rdata <= mem[{raddr}];
end
",
            wt = W - 1,
            dt = depth - 1,
        ))
    }
}

/// Distributed RAM: as [`Ram`], but `rdata` follows `raddr` within the cycle. For small depths (LUT RAM).
#[derive(Clone, Debug, LogicBlock)]
pub struct Dram<const W: usize, const A: usize> {
    /// Rising edge, for the write port.
    pub clock: Signal<In, Clock>,
    /// Write `wdata` to `waddr`.
    pub we: Signal<In, Bit>,
    /// Write address, below `depth`.
    pub waddr: Signal<In, Bits<A>>,
    /// Word to write.
    pub wdata: Signal<In, Bits<W>>,
    /// Read address, below `depth`.
    pub raddr: Signal<In, Bits<A>>,
    /// The word at `raddr`, as of the last clock edge.
    pub rdata: Signal<Out, Bits<W>>,
    _mem: Vec<Bits<W>>,
    _style: &'static str,
}

impl<const W: usize, const A: usize> Dram<W, A> {
    /// A memory of `depth` words.
    ///
    /// # Panics
    /// If `depth` is not 2 to 2^`A`.
    pub fn new(depth: usize) -> Self {
        check_depth("Dram", depth, A);
        Self {
            clock: Signal::default(),
            we: Signal::default(),
            waddr: Signal::default(),
            wdata: Signal::default(),
            raddr: Signal::default(),
            rdata: Signal::default(),
            _mem: vec![Bits::default(); depth],
            _style: "",
        }
    }

    /// As [`Dram::new`], and it stays LUT RAM: without being told so, Yosys takes a memory of some size whose data goes into a register
    /// for block RAM, which answers ten times as slowly.
    ///
    /// # Panics
    /// As [`Dram::new`].
    pub fn in_luts(depth: usize) -> Self {
        Self {
            _style: "(* ram_style = \"distributed\" *)\n",
            ..Self::new(depth)
        }
    }
}

impl<const W: usize, const A: usize> Logic for Dram<W, A> {
    fn update(&mut self) {
        let w = self.waddr.val().index();
        if self.clock.pos_edge() && self.we.val() && w < self._mem.len() {
            self._mem[w] = self.wdata.val();
        }
        self.rdata.next = self
            ._mem
            .get(self.raddr.val().index())
            .copied()
            .unwrap_or_default();
    }

    fn connect(&mut self) {
        self.rdata.connect();
    }

    fn hdl(&self) -> Verilog {
        let depth = self._mem.len();
        let ([waddr, raddr], unused) = address_text(["waddr", "raddr"], depth, A);
        Verilog::Custom(format!(
            "// module dram_{depth}x{W}{suffix}
{unused}{style}reg [{wt}:0] mem [0:{dt}];

always @(posedge clock)
    if (we) mem[{waddr}] <= wdata;

assign rdata = mem[{raddr}];
",
            wt = W - 1,
            dt = depth - 1,
            style = self._style,
            suffix = if self._style.is_empty() { "" } else { "_luts" },
        ))
    }
}
