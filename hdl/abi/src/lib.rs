//! Registers, commands, configurations and memory layout: the one truth.
