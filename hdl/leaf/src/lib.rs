//! Primitives with a Rust model and hand-checked Verilog.
