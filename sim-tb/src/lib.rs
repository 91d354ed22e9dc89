//! The simulated board: Verilated engine, bus and memory models, scoreboard.
