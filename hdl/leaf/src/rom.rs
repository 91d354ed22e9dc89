//! A table in block RAM.

use crate::int::bits_from_u128;
use rust_hdl_core::prelude::*;

/// Read-only memory with a registered output: `data` is the word at `addr`, one cycle later; it holds while `re` is low.
///
/// `W` data bits (up to 128), `A` address bits. Addresses past the contents read zero.
#[derive(Clone, Debug, LogicBlock)]
pub struct Rom<const W: usize, const A: usize> {
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    /// Read `addr` into `data`.
    pub re: Signal<In, Bit>,
    /// Address.
    pub addr: Signal<In, Bits<A>>,
    /// The word read by the last cycle with `re`.
    pub data: Signal<Out, Bits<W>>,
    _words: Vec<u128>,
}

impl<const W: usize, const A: usize> Rom<W, A> {
    /// A table of the given words, from address 0; words not given are zero.
    ///
    /// # Panics
    /// If there are more than 2^`A` words or one does not fit `W` bits.
    pub fn new(words: impl IntoIterator<Item = u128>) -> Self {
        let mut words: Vec<u128> = words.into_iter().collect();
        assert!(
            words.len() <= 1 << A,
            "Rom: {} words do not fit {A} address bits",
            words.len()
        );
        assert!(W <= 128, "Rom: {W} data bits are more than 128");
        if let Some(i) = words.iter().position(|w| W < 128 && w >> W != 0) {
            panic!(
                "Rom: word {i} is {:#x}, which does not fit {W} bits",
                words[i]
            );
        }
        words.resize(1 << A, 0);
        Self {
            clock: Signal::default(),
            re: Signal::default(),
            addr: Signal::default(),
            data: Signal::default(),
            _words: words,
        }
    }
}

impl<const W: usize, const A: usize> Logic for Rom<W, A> {
    fn update(&mut self) {
        if self.clock.pos_edge() && self.re.val() {
            self.data.next = bits_from_u128(self._words[self.addr.val().index()]);
        }
    }

    fn connect(&mut self) {
        self.data.connect();
    }

    fn hdl(&self) -> Verilog {
        let words: String = self
            ._words
            .iter()
            .enumerate()
            .map(|(i, w)| format!("    mem[{i}] = {W}'h{w:x};\n"))
            .collect();
        Verilog::Custom(format!(
            "// module rom_{depth}x{W}
reg [{wt}:0] mem [0:{dt}];

initial begin
{words}end

always @(posedge clock)
    if (re) data <= mem[addr];
",
            depth = 1usize << A,
            wt = W - 1,
            dt = (1usize << A) - 1,
        ))
    }
}
