//! What a unit needs: `use leaf::prelude::*;`.
//!
//! # A unit
//!
//! ```
//! use leaf::prelude::*;
//!
//! /// Counts `en` cycles; `rst` wins. Latency 1.
//! #[derive(LogicBlock, Default)]
//! pub struct Counter {
//!     pub clk: Signal<In, Clock>,
//!     pub rst: Signal<In, Bit>,
//!     pub en: Signal<In, Bit>,
//!     pub count: Signal<Out, Bits<8>>,
//!     value: Dff<Bits<8>>,
//! }
//!
//! impl Logic for Counter {
//!     #[hdl_gen]
//!     fn update(&mut self) {
//!         comment!("counter"); // the Verilog module's name
//!         dff_setup!(self, clk, value); // clock, and d = q unless changed below
//!         if self.en.val() {
//!             self.value.d.next = self.value.q.val() + 1;
//!         }
//!         self.count.next = self.value.q.val();
//!         if self.rst.val() {
//!             self.value.d.next = 0.into(); // reset is data, and comes last
//!         }
//!     }
//! }
//!
//! let mut uut = Counter::default();
//! uut.connect_all();
//! uut.en.next = true;
//! for clock in [false, true, false, true] {
//!     uut.clk.next = clock.into();
//!     assert!(simulate(&mut uut, 100));
//! }
//! assert_eq!(uut.count.val(), 2);
//! ```
//!
//! # Casts
//!
//! rust-hdl's macro knows a cast by the beginning of its name, which is how the functions below come into a kernel.
//! `bit_cast_sx` knows its own width, but its argument cannot mention a loop variable (a limit of the macro, shared by
//! `bit_cast`); `signed_bit_cast_sx` and `unsigned_cast_zx` can stand in loops, and take their width from what they
//! are assigned to, added to or compared with.

pub use crate::MulPairs;
pub use crate::{clock, comment, dff_setup};
pub use crate::{AddMux, AddSub, Ashr, Dff, Dram, Lzc, MulLut, MulS, MulS2, Ram, Rom, Shl, ShrRne};
pub use crate::{Last8, MulDsp, Mux4, Mux8, MuxLanes, Rotate, Weight};
pub use rust_hdl_core::prelude::*;

/// `[T; N]` of defaults, for the sizes that the standard library's `Default` does not cover.
pub fn arr<T: Default, const N: usize>() -> [T; N] {
    std::array::from_fn(|_| T::default())
}

/// Sign-extends, or truncates, `N` bits to `M`. Exact for the most negative value (the library's own
/// `signed_bit_cast` recurses for ever there).
pub fn signed_bit_cast_sx<const M: usize, const N: usize>(x: Signed<N>) -> Signed<M> {
    let raw = x.inner();
    let mut wide = bit_cast::<M, N>(raw);
    if x.sign_bit() {
        for i in N..M {
            wide = wide.replace_bit(i, true);
        }
    }
    signed_cast(wide)
}

/// As [`signed_bit_cast_sx`], printed with its own width: needs no context, but no loop variable in its argument.
pub fn bit_cast_sx<const M: usize, const N: usize>(x: Signed<N>) -> Signed<M> {
    signed_bit_cast_sx(x)
}

/// Zero-extends, or truncates, `N` bits to `M`; unlike `bit_cast` its argument may mention a loop variable.
pub fn unsigned_cast_zx<const M: usize, const N: usize>(x: Bits<N>) -> Bits<M> {
    bit_cast(x)
}

/// A comment in the Verilog. As first statement of a kernel, one identifier names the module.
#[macro_export]
macro_rules! comment {
    ($text: literal) => {};
}

/// Connects the `clock` of registers and leaves to this unit's clock: `clock!(self, clk, ram, mul)`.
#[macro_export]
macro_rules! clock {
    ($me: ident, $clock: ident, $($sub: ident),+) => {
        $($me.$sub.clock.next = $me.$clock.val();)+
    };
}

/// Connects the `clock` of registers and lets each keep its value (`d = q`): `dff_setup!(self, clk, a, b)`.
#[macro_export]
macro_rules! dff_setup {
    ($me: ident, $clock: ident, $($dff: ident),+) => {
        $($me.$dff.clock.next = $me.$clock.val();)+
        $($me.$dff.d.next = $me.$dff.q.val();)+
    };
}
