//! Two boards driven as one: the Verilated engine, and `golden` beside it.

use abi::registers::offset;
use device::{Device, DoneRegister, Error};
use host::driver::GoldenBoard;
use sim_tb::SimBoard;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Passes every access to both boards and compares whatever comes back: registers that are not about time, and every byte
/// of card memory that the driver reads. A difference panics, naming the address.
pub struct Lockstep {
    rtl: SimBoard,
    golden: GoldenBoard,
    compared: Arc<AtomicU64>,
}

/// Registers whose value is a matter of time, or of bus traffic: golden has no clock and no bus.
fn is_timed(register: u32) -> bool {
    let timeless = [
        "MACS_LO",
        "MACS_HI",
        "SATURATIONS_LO",
        "SATURATIONS_HI",
        "EXPERT_USES_LO",
        "EXPERT_USES_HI",
    ];
    register >= offset("CYCLES_LO") && !timeless.iter().any(|n| offset(n) == register)
}

impl Lockstep {
    /// Both boards; the counter tells how many bytes of results were compared so far.
    ///
    /// # Panics
    /// If a board cannot be opened.
    pub fn new(rtl: SimBoard) -> (Lockstep, Arc<AtomicU64>) {
        let golden = GoldenBoard::open(*rtl.config()).expect("the golden board opens");
        let compared = Arc::new(AtomicU64::new(0));
        (
            Lockstep {
                rtl,
                golden,
                compared: compared.clone(),
            },
            compared,
        )
    }
}

impl Device for Lockstep {
    fn name(&self) -> String {
        format!("{} in lockstep with golden", self.rtl.name())
    }

    fn memory_bytes(&self) -> u64 {
        self.rtl.memory_bytes()
    }

    fn read_register(&mut self, register: u32) -> Result<u32, Error> {
        let value = self.rtl.read_register(register)?;
        if !is_timed(register) {
            let expected = self.golden.read_register(register)?;
            assert_eq!(value, expected, "register 0x{register:03X}");
        }
        Ok(value)
    }

    fn write_register(&mut self, register: u32, value: u32) -> Result<(), Error> {
        self.rtl.write_register(register, value)?;
        self.golden.write_register(register, value)
    }

    fn copy_in(&mut self, bytes: &[u8], address: u64) -> Result<(), Error> {
        self.rtl.copy_in(bytes, address)?;
        self.golden.copy_in(bytes, address)
    }

    fn copy_out(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.rtl.copy_out(address, bytes)?;
        let mut expected = vec![0; bytes.len()];
        self.golden.copy_out(address, &mut expected)?;
        // The last word of a completion record counts cycles; the driver reads records by themselves.
        let untimed = if bytes.len() == 16 { 12 } else { bytes.len() };
        for i in 0..untimed {
            assert_eq!(
                bytes[i],
                expected[i],
                "card memory at 0x{:X}",
                address + i as u64
            );
        }
        self.compared.fetch_add(untimed as u64, Ordering::Relaxed);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.rtl.reset()?;
        self.golden.reset()
    }

    fn wait_done(
        &mut self,
        register: DoneRegister,
        wanted: u32,
        timeout: Duration,
        what: &str,
    ) -> Result<(), Error> {
        self.rtl.wait_done(register, wanted, timeout, what)?;
        self.golden.wait_done(register, wanted, timeout, what)
    }
}
