//! Number formats, rounding and saturation, as docs/formats.md says.
