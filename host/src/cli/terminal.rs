//! Where output goes: results to stdout, everything else to stderr.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use anyhow::Context;

/// Whoever read our stdout has had enough. Not an error.
#[derive(Debug, thiserror::Error)]
#[error("stdout was closed")]
pub(super) struct StdoutClosed;

/// Writes to stdout at once.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        result => result.context("cannot write to stdout"),
    }
}

/// A progress line stands on the terminal.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Writes lines to stderr, in place of any progress. Where that fails there is nobody left to tell. What a file has put into them does not
/// command the terminal: control characters are spelt out.
pub(super) fn note(lines: &str) {
    Progress::clear();
    let mut said = String::with_capacity(lines.len());
    for c in lines.chars() {
        match c.is_control() && c != '\n' {
            true => said.extend(c.escape_default()),
            false => said.push(c),
        }
    }
    let _ = writeln!(std::io::stderr(), "{said}");
}

/// A line on stderr that is overwritten as work goes on, and gone at the end. Silent where stderr is not a terminal.
pub(super) struct Progress {
    on: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            on: std::io::stderr().is_terminal(),
        }
    }

    /// Replaces the line.
    pub(super) fn show(&self, text: &str) {
        if self.on {
            let _ = write!(std::io::stderr(), "\r\x1b[2K{text}");
            SHOWN.store(true, Ordering::Relaxed);
        }
    }

    /// Replaces the line for good, so that what is printed next continues it.
    pub(super) fn leave(&self, text: &str) {
        self.show(text);
        SHOWN.store(false, Ordering::Relaxed);
    }

    /// Removes the line, if one is there.
    pub(super) fn clear() {
        if SHOWN.swap(false, Ordering::Relaxed) {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        Self::clear();
    }
}

/// Whether Ctrl-C (or a polite kill) has asked us to stop. Asking a second time ends the program at once.
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // In this order: the first signal sets the flag, the second finds it set.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())
                .and_then(|_| signal_hook::flag::register(signal, asked.clone()))
                .context("cannot listen for Ctrl-C")?;
        }
        Ok(Self(asked))
    }

    pub(super) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// What is set when asked; for those who look at it while they work.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

/// Exit code after an interruption.
pub(super) const INTERRUPTED: u8 = 130;
