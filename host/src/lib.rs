//! Drives the board and runs the whole model.
