//! Primitives with a Rust model and hand-checked Verilog.
//!
//! A *leaf* is what `#[hdl_gen]` cannot say: a block RAM, a signed multiplier, a variable shift. Each is a rust-hdl
//! struct whose `Logic` is written by hand: `update()` is the exact integer model, `hdl()` the Verilog text. Nothing
//! but a test ties the two together, so each leaf has one in `tests/models.rs`: random and corner inputs go through
//! the model and through the Verilated text, and every output bit must agree. Leaves hold no state machines (a test
//! counts their lines); control logic belongs into units.
//!
//! Conventions: the clock port is `clock` (so that `clock!` and `dff_setup!` work); outputs are driven by the text as
//! `reg` from `always` blocks or as nets by `assign NAME = ..`; widths are const generics, checked in the constructor.

mod chain;
mod dff;
mod dsp;
mod int;
mod lanes;
mod lzc;
mod mul;
mod pairs;
pub mod prelude;
mod ram;
mod rom;
mod select;
mod shift;
mod weight;

pub use chain::{AddMux, AddSub};
pub use dff::Dff;
pub use dsp::MulDsp;
pub use int::{from_i128, to_i128};
pub use lanes::{MuxLanes, Rotate};
pub use lzc::Lzc;
pub use mul::{MulLut, MulS, MulS2};
pub use pairs::MulPairs;
pub use ram::{Dram, Ram};
pub use rom::Rom;
pub use select::{Last8, Mux4, Mux8};
pub use shift::{Ashr, Shl, ShrRne};
pub use weight::Weight;
