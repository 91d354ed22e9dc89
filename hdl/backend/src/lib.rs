//! From rust-hdl's syntax tree to readable, width-exact Verilog.
