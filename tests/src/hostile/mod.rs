//! Hostile input: mutations of valid inputs, run against whatever reads them. Deterministic: a seed is a case, on any machine.
//!
//! A case fails by a panic, by memory beyond the target's bound (see [`Counting`]), or by lasting longer than [`HANG`]. What fails is
//! written to `target/hostile/`; once mended, it lies in `tests/corpus/TARGET/` and is replayed by every run.

mod alloc;
pub mod bits;
pub mod mutate;
pub mod page;
pub mod targets;
pub mod wire;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sim_tb::rng::Rng;
use unit_tests::synth::root;

pub use alloc::{peak_of, Counting};

/// Cases of a target that reads files, in `make test`.
pub const FILES: u64 = 10_000;
/// Cases of one that talks.
pub const TALKS: u64 = 2000;
/// Time for each target in `make nightly`.
pub const NIGHT: Duration = Duration::from_secs(600);
/// A case that lasts this long does not end. The slowest takes some tens of milliseconds.
pub const HANG: Duration = Duration::from_secs(120);

/// Memory that one case may take at its peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Bytes for each byte of input.
    pub factor: usize,
    /// Bytes whatever the input.
    pub constant: usize,
}

impl Bound {
    fn of(self, input: usize) -> usize {
        self.factor * input + self.constant
    }
}

/// Something that reads input from anywhere.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// What it reads.
    pub what: &'static str,
    /// What it may take.
    pub bound: Bound,
    /// Cases in `make test`.
    pub cases: u64,
    /// How inputs are changed.
    pub change: fn(&mut Rng, &[Vec<u8>]) -> Vec<u8>,
}

/// What a run saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Cases.
    pub cases: u64,
    /// Of these, taken as valid.
    pub taken: u64,
    /// Most memory of a case beyond the bound's constant, per byte of its input.
    pub most: f64,
    /// Most memory of a case.
    pub peak: usize,
}

/// Whether tests are to run long.
pub fn night() -> bool {
    std::env::var_os("ROUNDHOUSE_NIGHTLY").is_some()
}

/// One target at a time: memory is counted for the whole process.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The inputs of `tests/corpus/TARGET`, by name.
pub fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let Ok(folder) = std::fs::read_dir(root().join("tests/corpus").join(target)) else {
        return Vec::new();
    };
    let mut files: Vec<_> = folder
        .map(|entry| {
            let path = entry.expect("a readable corpus").path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            let bytes = std::fs::read(&path).expect("a readable corpus");
            (name.unwrap_or_default(), bytes)
        })
        .collect();
    files.sort();
    files
}

impl Target {
    /// The corpus, the seeds as they are, which `read` must take, and then changed ones. `read` says whether it took its input.
    ///
    /// # Panics
    /// At the first case that fails, which is kept.
    pub fn run(&self, seeds: &[Vec<u8>], mut read: impl FnMut(&[u8]) -> bool) -> Seen {
        let mut seen = Seen::default();
        let watch = Watch::new(self.name);
        for (name, input) in corpus(self.name) {
            self.case(
                &format!("corpus {name}"),
                &input,
                &mut read,
                &watch,
                &mut seen,
            );
        }
        for (n, seed) in seeds.iter().enumerate() {
            let taken = self.case(&format!("seed {n}"), seed, &mut read, &watch, &mut seen);
            assert!(taken, "{}: valid input {n} was refused", self.name);
        }
        let begin = Instant::now();
        for case in 0.. {
            let over = match night() {
                true => begin.elapsed() >= NIGHT,
                false => case >= self.cases,
            };
            if over {
                break;
            }
            let input = (self.change)(&mut Rng::new(case), seeds);
            self.case(
                &format!("case {case}"),
                &input,
                &mut read,
                &watch,
                &mut seen,
            );
        }
        println!(
            "{}: {} cases in {:.1} s, {} taken; at most {:.1} bytes for each byte beyond {} KiB, {} KiB at the peak",
            self.name,
            seen.cases,
            begin.elapsed().as_secs_f64(),
            seen.taken,
            seen.most,
            self.bound.constant >> 10,
            seen.peak >> 10
        );
        // Changes after which nothing is valid any more would reach nothing but the first check.
        assert!(
            seen.taken * 100 >= seen.cases && seen.taken < seen.cases,
            "{}: {} of {} cases were taken",
            self.name,
            seen.taken,
            seen.cases
        );
        seen
    }

    fn case(
        &self,
        name: &str,
        input: &[u8],
        read: &mut impl FnMut(&[u8]) -> bool,
        watch: &Watch,
        seen: &mut Seen,
    ) -> bool {
        watch.begin(input);
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| peak_of(|| read(input))));
        watch.end();
        let Ok((taken, peak)) = result else {
            panic!(
                "{}, {name}: panicked on {}",
                self.name,
                keep(self.name, input)
            );
        };
        let allowed = self.bound.of(input.len());
        assert!(
            peak <= allowed,
            "{}, {name}: {peak} bytes of memory for {} of input, {allowed} are allowed: {}",
            self.name,
            input.len(),
            keep(self.name, input)
        );
        seen.cases += 1;
        seen.taken += u64::from(taken);
        seen.peak = seen.peak.max(peak);
        let beyond = peak.saturating_sub(self.bound.constant) as f64;
        seen.most = seen.most.max(beyond / input.len().max(1) as f64);
        taken
    }
}

/// Writes an input that failed; where to.
fn keep(target: &str, input: &[u8]) -> String {
    let folder = root().join("target/hostile");
    // FNV-1a, for a name.
    let hash = input.iter().fold(0xCBF2_9CE4_8422_2325u64, |hash, b| {
        (hash ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let path: PathBuf = folder.join(format!("{target}-{hash:016x}"));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, input));
    match written {
        Ok(()) => format!(
            "{}; mended, it belongs to tests/corpus/{target}",
            path.display()
        ),
        Err(e) => format!("{} bytes that could not be kept: {e}", input.len()),
    }
}

/// Ends the process when a case does not end.
struct Watch {
    state: Arc<State>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// When the case began, and its input.
    now: Mutex<Option<(Instant, Vec<u8>)>>,
    over: AtomicBool,
    changed: Condvar,
}

impl Watch {
    fn new(target: &'static str) -> Watch {
        let state = Arc::new(State::default());
        let seen = state.clone();
        let watch = move || loop {
            let now = seen.now.lock().unwrap_or_else(PoisonError::into_inner);
            let tick = Duration::from_secs(1);
            let waited = seen.changed.wait_timeout(now, tick);
            let (now, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if seen.over.load(Ordering::Relaxed) {
                return;
            }
            if let Some((begin, input)) = &*now {
                if begin.elapsed() > HANG {
                    eprintln!("{target}: does not end on {}", keep(target, input));
                    std::process::abort();
                }
            }
        };
        let thread = Some(std::thread::spawn(watch));
        Watch { state, thread }
    }

    fn set(&self, now: Option<(Instant, Vec<u8>)>) {
        *self
            .state
            .now
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = now;
    }

    fn begin(&self, input: &[u8]) {
        self.set(Some((Instant::now(), input.to_vec())));
    }

    fn end(&self) {
        self.set(None);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        self.state.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
