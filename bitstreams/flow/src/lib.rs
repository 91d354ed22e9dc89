//! From Verilog to a board's image with open tools.

pub mod board;
pub mod tools;
