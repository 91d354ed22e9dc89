//! The Roundhouse engine described in rust-hdl, one unit per file.
