//! What can be wrong with a design, said so that the designer finds the place.

use std::fmt;

/// A design that has no faithful Verilog, or none worth having. Displays as one sentence that names the module (by its
/// path of field names from the top), the signal, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of fault.
    pub kind: ErrorKind,
    /// The module, as a path of field names from the top.
    pub module: String,
    /// The sentence, without the module.
    pub message: String,
}

/// The kinds of fault the back end refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A name in the kernel that is neither a signal, an enum value nor a loop variable.
    UnknownName,
    /// Operands, or the two sides of an assignment, differ in width.
    Width,
    /// The width of a cast or literal does not follow from its surroundings.
    Ambiguous,
    /// A literal that does not fit its width.
    Literal,
    /// An index or part-select outside its signal.
    Index,
    /// A signal that keeps its old value on some path: a latch.
    Latch,
    /// A local or output read before it is written.
    ReadBeforeWrite,
    /// A signal nobody drives.
    Undriven,
    /// A signal with two drivers, or one driven from the wrong side.
    Driver,
    /// A construct without Verilog.
    Unsupported,
    /// A name that Verilog reserves or that two things share.
    Name,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "module {}: {}", self.module, self.message)
    }
}

impl std::error::Error for Error {}

/// A fault found inside a module; the module's path is added on the way out.
#[derive(Debug)]
pub(crate) struct Fault(pub ErrorKind, pub String);

impl Fault {
    pub(crate) fn at(self, module: &str) -> Error {
        Error {
            kind: self.0,
            module: module.to_string(),
            message: self.1,
        }
    }
}

/// `Err(Fault)` with a formatted sentence.
macro_rules! fault {
    ($kind: ident, $($text: tt)+) => {
        Err($crate::error::Fault($crate::error::ErrorKind::$kind, format!($($text)+)))
    };
}
pub(crate) use fault;
