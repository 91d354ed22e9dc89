//! Drives the board and runs the whole model.
//!
//! A token's way: [`model`] reads a Hugging Face directory and says what the model is; [`runtime`] runs everything but
//! the routed experts on the CPU and hands those to whoever stands behind [`runtime::Experts`]: the CPU itself, or the
//! board through [`driver`]. [`pack`] makes the images that the board reads;
//! [`predict`] guesses which experts come next; [`cli`] is the `host` command.

pub mod bitstream;
pub mod cli;
pub mod driver;
pub mod files;
pub mod model;
pub mod pack;
pub mod predict;
pub mod runtime;
