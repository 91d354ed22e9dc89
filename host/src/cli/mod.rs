//! The `host` command.
