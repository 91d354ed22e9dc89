//! Who may write what a program makes.

use rustix::fs::Mode;
use rustix::process::umask;

/// From now on, files and directories that this process makes can be written by its user alone, whatever mask it was started with. For the
/// beginning of a program: the mask is the whole process's.
pub fn others_do_not_write() {
    let others = Mode::WGRP | Mode::WOTH;
    // It can only be read by setting it; until it is right, nobody else may do anything.
    let given = umask(Mode::RWXG | Mode::RWXO);
    umask(given | others);
}
