//! Unit benches: the pins of one Verilated unit, and seeded valid/ready drivers for its streams.
//!
//! `make units` builds `target/sim/units/UNIT.so` for every unit of the engine. Each [`Pins`] is an independent simulation.
//!
//! ```no_run
//! use sim_tb::pins::{cycle, Pins, StreamIn, StreamOut};
//! let mut p = Pins::new("act").unwrap();
//! p.reset("rst", 2);
//! let mut x = StreamIn::new("in", &["data", "last"], 1, 64); // ports in_vld, in_rdy, in_data, in_last
//! let mut y = StreamOut::new("out", &["data"], 2, 64);
//! x.push(&[17, 1]);
//! while y.len() < 1 {
//!     cycle(&mut p, &mut [&mut x, &mut y]);
//! }
//! assert_eq!(y.narrow(0), [17]);
//! ```

use crate::library::{open, sim_dir, symbol, Error};
use crate::rng::Rng;
use std::collections::{HashMap, VecDeque};
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Version of the C interface of `shim/pins.cpp`.
const ABI: u32 = 1;
/// Cycles that [`cycle`] runs before it takes a bench for hung.
const LIMIT: u64 = 10_000_000;
/// Cycles of this process, over all units that a mutant was chosen in.
static MUTANT_CYCLES: AtomicU64 = AtomicU64::new(0);

/// One port of a unit.
#[derive(Clone, Debug)]
struct Port {
    index: u32,
    width: u32,
    output: bool,
}

/// One simulated unit, driven pin by pin. Values wider than 64 bits travel as 32-bit words, lowest first.
pub struct Pins {
    unit: String,
    ports: HashMap<String, Port>,
    clock: Option<Port>,
    dirty: bool,
    cycles: u64,
    /// Of [`MUTANT_CYCLES`], if a mutant was chosen.
    mutant_limit: Option<u64>,
    bench: *mut c_void,
    set: unsafe extern "C" fn(*mut c_void, u32, *const u32),
    get: unsafe extern "C" fn(*mut c_void, u32, *mut u32),
    eval: unsafe extern "C" fn(*mut c_void),
    tick: unsafe extern "C" fn(*mut c_void, u32),
    free: unsafe extern "C" fn(*mut c_void),
    // Last: the code must stay loaded while anything above lives.
    library: libloading::Library,
}

impl Pins {
    /// A fresh simulation of `unit`, with all inputs 0.
    ///
    /// # Errors
    /// The library is missing (the message names the make target) or was built from another shim.
    pub fn new(unit: &str) -> Result<Pins, Error> {
        Self::load(&sim_dir().join("units").join(format!("{unit}.so")), unit)
    }

    /// As [`Pins::new`], from the file at `path`.
    ///
    /// # Errors
    /// As [`Pins::new`].
    pub fn load(path: &Path, unit: &str) -> Result<Pins, Error> {
        let library = open(path, "make units")?;
        // SAFETY: the signatures below are those of shim/pins.cpp at ABI; the number is checked before any other use.
        let abi: extern "C" fn() -> u32 = unsafe { symbol(&library, path, "rh_pins_abi")? };
        if abi() != ABI {
            return Err(Error::Abi {
                path: path.into(),
                found: abi(),
                expected: ABI,
                make: "make units".into(),
            });
        }
        // SAFETY: as above; the function pointers are kept no longer than `library`.
        let (count, name, width, output, new, set, get, eval, tick, free) = unsafe {
            let count: extern "C" fn() -> u32 = symbol(&library, path, "rh_pins_count")?;
            let name: extern "C" fn(u32) -> *const c_char = symbol(&library, path, "rh_pins_name")?;
            let width: extern "C" fn(u32) -> u32 = symbol(&library, path, "rh_pins_width")?;
            let output: extern "C" fn(u32) -> u32 = symbol(&library, path, "rh_pins_output")?;
            let new: extern "C" fn() -> *mut c_void = symbol(&library, path, "rh_pins_new")?;
            (
                count,
                name,
                width,
                output,
                new,
                symbol(&library, path, "rh_pins_set")?,
                symbol(&library, path, "rh_pins_get")?,
                symbol(&library, path, "rh_pins_eval")?,
                symbol(&library, path, "rh_pins_tick")?,
                symbol(&library, path, "rh_pins_free")?,
            )
        };
        let mut ports = HashMap::new();
        for index in 0..count() {
            // SAFETY: the shim returns pointers to string constants of the library, which is still loaded here.
            let raw = unsafe { CStr::from_ptr(name(index)) };
            ports.insert(
                demangle(&raw.to_string_lossy()),
                Port {
                    index,
                    width: width(index),
                    output: output(index) != 0,
                },
            );
        }
        let clock = ["clk", "clock"]
            .iter()
            .find_map(|n| ports.get(*n).filter(|p| !p.output).cloned());
        let mut pins = Pins {
            unit: unit.into(),
            ports,
            clock,
            dirty: true,
            cycles: 0,
            mutant_limit: None,
            bench: new(),
            set,
            get,
            eval,
            tick,
            free,
            library,
        };
        if let Some(mutant) = std::env::var_os("ROUNDHOUSE_MUTANT") {
            let mutant = mutant.to_string_lossy();
            pins.choose(&mutant).ok_or_else(|| Error::Mutant {
                path: path.into(),
                mutant: mutant.to_string(),
            })?;
        }
        Ok(pins)
    }

    /// Chooses one of the mutants in a library of `make mutate`: `NUMBER,LIMIT` with the cycles that all units of the process may run
    /// together. Another library stays as it is. `None` if it is no such text or mutant.
    fn choose(&mut self, mutant: &str) -> Option<()> {
        let (number, limit) = mutant.split_once(',')?;
        let (number, limit): (u64, u64) = (number.parse().ok()?, limit.parse().ok()?);
        let Some(port) = self.ports.get("mutsel").filter(|p| !p.output) else {
            return Some(());
        };
        let fits = number >> port.width == 0;
        self.mutant_limit = Some(limit);
        fits.then(|| self.set("mutsel", number))
    }

    fn port(&self, name: &str) -> &Port {
        self.ports.get(name).unwrap_or_else(|| {
            let mut known: Vec<&str> = self.ports.keys().map(String::as_str).collect();
            known.sort_unstable();
            panic!(
                "unit `{}` has no port `{name}`; it has: {}",
                self.unit,
                known.join(", ")
            )
        })
    }

    /// Names of all ports, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.ports.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Whether the unit has this port.
    pub fn has(&self, port: &str) -> bool {
        self.ports.contains_key(port)
    }

    /// Width of a port in bits.
    ///
    /// # Panics
    /// If there is no such port.
    pub fn width(&self, port: &str) -> u32 {
        self.port(port).width
    }

    /// Drives an input; bits beyond its width must be zero. Signed values: pass `v as u64 & mask`, or use [`Pins::set_signed`].
    ///
    /// # Panics
    /// If the port does not exist, is an output, or `value` does not fit: a mistake of the bench.
    pub fn set(&mut self, port: &str, value: u64) {
        self.set_wide(port, &[value as u32, (value >> 32) as u32]);
    }

    /// Drives an input with a two's complement value.
    ///
    /// # Panics
    /// As [`Pins::set`].
    pub fn set_signed(&mut self, port: &str, value: i64) {
        let width = self.port(port).width;
        let fits = width >= 64 || (value >> (width - 1) == 0 || value >> (width - 1) == -1);
        assert!(
            fits,
            "{value} does not fit the {width} bits of `{}.{port}`",
            self.unit
        );
        let mask = if width >= 64 {
            u64::MAX
        } else {
            (1 << width) - 1
        };
        self.set(port, value as u64 & mask);
    }

    /// Drives an input with 32-bit words, lowest first; missing words are zero.
    ///
    /// # Panics
    /// As [`Pins::set`].
    pub fn set_wide(&mut self, port: &str, words: &[u32]) {
        let p = self.port(port).clone();
        assert!(!p.output, "`{}.{port}` is an output", self.unit);
        let n = p.width.div_ceil(32) as usize;
        let mut all = vec![0; n];
        for (i, w) in words.iter().enumerate() {
            let bits = if i < n {
                all[i] = *w;
                p.width - 32 * i as u32
            } else {
                0
            };
            assert!(
                bits >= 32 || w >> bits == 0,
                "{words:x?} does not fit the {} bits of `{}.{port}`",
                p.width,
                self.unit
            );
        }
        // SAFETY: `all` has the words of the port's width; `bench` is alive.
        unsafe { (self.set)(self.bench, p.index, all.as_ptr()) };
        self.dirty = true;
    }

    /// The value of a port of at most 64 bits, after inputs have settled.
    ///
    /// # Panics
    /// If the port does not exist or is wider.
    pub fn get(&mut self, port: &str) -> u64 {
        let words = self.get_wide(port);
        assert!(
            words.len() <= 2,
            "`{}.{port}` is wider than 64 bits: use get_wide",
            self.unit
        );
        u64::from(words[0]) | u64::from(words.get(1).copied().unwrap_or(0)) << 32
    }

    /// The value of a port of at most 64 bits as two's complement.
    ///
    /// # Panics
    /// As [`Pins::get`].
    pub fn get_signed(&mut self, port: &str) -> i64 {
        let unused = 64 - self.port(port).width.min(64);
        (self.get(port) << unused) as i64 >> unused
    }

    /// The value of a port as 32-bit words, lowest first.
    ///
    /// # Panics
    /// If the port does not exist.
    pub fn get_wide(&mut self, port: &str) -> Vec<u32> {
        let p = self.port(port).clone();
        if self.dirty {
            self.eval();
        }
        let mut words = vec![0; p.width.div_ceil(32) as usize];
        // SAFETY: `words` has the words of the port's width; `bench` is alive.
        unsafe { (self.get)(self.bench, p.index, words.as_mut_ptr()) };
        words
    }

    /// Lets combinational logic settle; `get` does so by itself.
    pub fn eval(&mut self) {
        // SAFETY: `bench` is alive.
        unsafe { (self.eval)(self.bench) };
        self.dirty = false;
    }

    /// One rising edge of `clk` (or `clock`): state changes by the inputs set before it.
    ///
    /// # Panics
    /// If the unit has no clock.
    pub fn tick(&mut self) {
        let Some(clock) = &self.clock else {
            panic!("unit `{}` has no port clk or clock", self.unit)
        };
        // SAFETY: `bench` is alive and the index is that of a 1-bit input.
        unsafe { (self.tick)(self.bench, clock.index) };
        self.cycles += 1;
        self.dirty = false;
        if let Some(limit) = self.mutant_limit {
            let cycles = MUTANT_CYCLES.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(
                cycles <= limit,
                "mutant of `{}` still runs after {limit} cycles",
                self.unit
            );
        }
    }

    /// Holds input `port` high for `cycles` ticks, then low.
    ///
    /// # Panics
    /// As [`Pins::set`].
    pub fn reset(&mut self, port: &str, cycles: usize) {
        self.set(port, 1);
        for _ in 0..cycles {
            self.tick();
        }
        self.set(port, 0);
    }

    /// Ticks so far.
    pub fn cycles(&self) -> u64 {
        self.cycles
    }

    /// Writes a VCD file of everything from now on; needs the library of `make units TRACE=1`, loaded with [`Pins::load`].
    ///
    /// # Errors
    /// The library has no waveforms, or the file cannot be written.
    pub fn trace(&mut self, file: &Path) -> Result<(), Error> {
        let path = sim_dir().join("units").join(&self.unit);
        // SAFETY: the signature is that of shim/pins.cpp.
        let trace: extern "C" fn(*mut c_void, *const c_char) -> c_int =
            unsafe { symbol(&self.library, &path, "rh_pins_trace")? };
        let name = CString::new(file.to_string_lossy().as_bytes()).unwrap_or_default();
        if trace(self.bench, name.as_ptr()) == 0 {
            return Err(Error::Trace {
                file: file.into(),
                make: "make units TRACE=1".into(),
            });
        }
        Ok(())
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if self.mutant_limit.is_some() {
            eprintln!("mutant cycles: {}", MUTANT_CYCLES.load(Ordering::Relaxed));
        }
        // SAFETY: `bench` came from rh_pins_new and is not used afterwards.
        unsafe { (self.free)(self.bench) };
    }
}

/// Verilator writes `$` and repeated underscores of a name as `__024` and `__05F`.
fn demangle(name: &str) -> String {
    name.replace("__024", "$").replace("__05F", "_")
}

/// Something that takes part in each cycle of a bench.
pub trait Stream {
    /// Sets inputs for this cycle.
    fn drive(&mut self, pins: &mut Pins);
    /// Looks at the settled signals just before the clock edge.
    fn sample(&mut self, pins: &mut Pins);
}

/// One cycle: every stream drives, the logic settles, every stream samples, the clock rises.
///
/// # Panics
/// After ten million cycles, so that a bench that waits for ever ends with a message.
pub fn cycle(pins: &mut Pins, streams: &mut [&mut dyn Stream]) {
    assert!(
        pins.cycles < LIMIT,
        "unit `{}` did not finish within {LIMIT} cycles",
        pins.unit
    );
    for s in streams.iter_mut() {
        s.drive(pins);
    }
    pins.eval();
    for s in streams.iter_mut() {
        s.sample(pins);
    }
    pins.tick();
}

/// The ports of a stream: `NAME_vld`, `NAME_rdy` (may be missing: always ready) and the payload `NAME_FIELD`.
struct Ports {
    valid: String,
    ready: String,
    fields: Vec<String>,
}

impl Ports {
    fn new(name: &str, fields: &[&str]) -> Ports {
        Ports {
            valid: format!("{name}_vld"),
            ready: format!("{name}_rdy"),
            fields: fields.iter().map(|f| format!("{name}_{f}")).collect(),
        }
    }
}

fn narrow(words: &[u32]) -> u64 {
    assert!(words.len() <= 2, "a field is wider than 64 bits");
    u64::from(words[0]) | u64::from(words.get(1).copied().unwrap_or(0)) << 32
}

fn wide(values: &[u64]) -> Vec<Vec<u32>> {
    values
        .iter()
        .map(|v| vec![*v as u32, (*v >> 32) as u32])
        .collect()
}

/// Feeds items to a stream input; valid is lowered at random between items, never during one. While nothing is offered the
/// payload is noise, so that a unit which looks at it without valid is found out.
pub struct StreamIn {
    ports: Ports,
    queue: VecDeque<Vec<Vec<u32>>>,
    stall: u32,
    offered: bool,
    sent: usize,
    rng: Rng,
}

impl StreamIn {
    /// Drives `NAME_vld` and the payload ports `NAME_FIELD`. In `stall` of 256 cycles with no item on offer, none is started.
    pub fn new(name: &str, fields: &[&str], seed: u64, stall: u32) -> StreamIn {
        StreamIn {
            ports: Ports::new(name, fields),
            queue: VecDeque::new(),
            stall,
            offered: false,
            sent: 0,
            rng: Rng::new(seed),
        }
    }
    /// Appends an item: one value per field, each at most 64 bits wide.
    ///
    /// # Panics
    /// If the number of values is not the number of fields.
    pub fn push(&mut self, values: &[u64]) {
        self.push_wide(wide(values));
    }
    /// Appends an item: for each field its 32-bit words, lowest first.
    ///
    /// # Panics
    /// As [`StreamIn::push`].
    pub fn push_wide(&mut self, values: Vec<Vec<u32>>) {
        let fields = &self.ports.fields;
        assert_eq!(values.len(), fields.len(), "values for {fields:?}");
        self.queue.push_back(values);
    }
    /// Items not yet accepted.
    pub fn pending(&self) -> usize {
        self.queue.len()
    }
    /// Items accepted by the unit.
    pub fn sent(&self) -> usize {
        self.sent
    }
}

impl Stream for StreamIn {
    fn drive(&mut self, pins: &mut Pins) {
        if !self.offered && !self.queue.is_empty() && !self.rng.chance(self.stall) {
            self.offered = true;
        }
        pins.set(&self.ports.valid, self.offered.into());
        for (i, f) in self.ports.fields.iter().enumerate() {
            if self.offered {
                pins.set_wide(f, &self.queue[0][i]);
            } else {
                let width = pins.width(f) as usize;
                let mut noise: Vec<u32> = (0..width.div_ceil(32))
                    .map(|_| self.rng.next() as u32)
                    .collect();
                if !width.is_multiple_of(32) {
                    noise[width / 32] &= (1 << (width % 32)) - 1;
                }
                pins.set_wide(f, &noise);
            }
        }
    }
    fn sample(&mut self, pins: &mut Pins) {
        let ready = !pins.has(&self.ports.ready) || pins.get(&self.ports.ready) == 1;
        if self.offered && ready {
            self.queue.pop_front();
            self.offered = false;
            self.sent += 1;
        }
    }
}

/// Takes items from a stream output, with random gaps in ready, and checks that an offered item stays as it is until taken.
/// An output without `NAME_rdy` (a pulse) is taken whenever it is valid.
pub struct StreamOut {
    ports: Ports,
    /// Items taken so far: for each field its 32-bit words, lowest first.
    pub items: Vec<Vec<Vec<u32>>>,
    /// Cycle in which each item was taken.
    pub at: Vec<u64>,
    waiting: Option<Vec<Vec<u32>>>,
    ready_now: bool,
    stall: u32,
    rng: Rng,
}

impl StreamOut {
    /// Watches `NAME_vld` and the payload ports `NAME_FIELD`, drives `NAME_rdy`: low in `stall` of 256 cycles.
    pub fn new(name: &str, fields: &[&str], seed: u64, stall: u32) -> StreamOut {
        StreamOut {
            ports: Ports::new(name, fields),
            items: Vec::new(),
            at: Vec::new(),
            waiting: None,
            ready_now: true,
            stall,
            rng: Rng::new(seed),
        }
    }
    /// Items taken.
    pub fn len(&self) -> usize {
        self.items.len()
    }
    /// Whether nothing was taken.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
    /// Item `i` as one 64-bit value per field.
    ///
    /// # Panics
    /// If there is no such item or a field is wider.
    pub fn narrow(&self, i: usize) -> Vec<u64> {
        self.items[i].iter().map(|w| narrow(w)).collect()
    }
}

impl Stream for StreamOut {
    fn drive(&mut self, pins: &mut Pins) {
        if pins.has(&self.ports.ready) {
            self.ready_now = !self.rng.chance(self.stall);
            pins.set(&self.ports.ready, self.ready_now.into());
        }
    }
    fn sample(&mut self, pins: &mut Pins) {
        let p = &self.ports;
        let at = format!("unit `{}`, cycle {}", pins.unit, pins.cycles);
        let valid = pins.get(&p.valid) == 1;
        let item: Vec<Vec<u32>> = p.fields.iter().map(|f| pins.get_wide(f)).collect();
        if let Some(before) = self.waiting.take() {
            assert!(valid, "{at}: {} fell before {}", p.valid, p.ready);
            assert_eq!(
                before, item,
                "{at}: {:?} changed without {}",
                p.fields, p.ready
            );
        }
        if valid && self.ready_now {
            self.items.push(item);
            self.at.push(pins.cycles);
        } else if valid {
            self.waiting = Some(item);
        }
    }
}

/// What a synchronous memory outside the unit answers: the words of each data port, lowest first.
pub type Answer<'a> = Box<dyn FnMut(&[u64]) -> Vec<Vec<u32>> + 'a>;

/// A synchronous memory outside the unit: what `answer` makes of the address ports appears on the data ports one cycle later.
pub struct ReadPort<'a> {
    address: Vec<String>,
    data: Vec<String>,
    answer: Answer<'a>,
    next: Vec<Vec<u32>>,
}

impl<'a> ReadPort<'a> {
    /// `address` are outputs of the unit, `data` its inputs; all zero before the first cycle.
    pub fn new(address: &[&str], data: &[&str], answer: Answer<'a>) -> ReadPort<'a> {
        ReadPort {
            address: address.iter().map(|s| s.to_string()).collect(),
            data: data.iter().map(|s| s.to_string()).collect(),
            answer,
            next: vec![vec![0]; data.len()],
        }
    }
}

impl Stream for ReadPort<'_> {
    fn drive(&mut self, pins: &mut Pins) {
        for (port, words) in self.data.iter().zip(&self.next) {
            pins.set_wide(port, words);
        }
    }
    fn sample(&mut self, pins: &mut Pins) {
        let address: Vec<u64> = self.address.iter().map(|a| pins.get(a)).collect();
        self.next = (self.answer)(&address);
        assert_eq!(
            self.next.len(),
            self.data.len(),
            "answers for {:?}",
            self.data
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_verilog() {
        assert_eq!(demangle("a___05Fb"), "a__b");
        assert_eq!(demangle("p__0240"), "p$0");
        assert_eq!(demangle("in_data"), "in_data");
    }

    #[test]
    fn a_missing_unit_names_the_make_target() {
        let e = Pins::new("no_such_unit").err().unwrap().to_string();
        assert!(
            e.contains("no_such_unit.so") && e.contains("make units"),
            "{e}"
        );
    }
}
