//! The engine as plain Rust, bit-exact, no rust-hdl.
