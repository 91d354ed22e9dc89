//! What is read from anywhere, and what each may take. The constants are what a parser takes for the longest input that it accepts at all.

use super::{mutate, Bound, Target};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// See `what`.
pub const CONFIG: Target = Target {
    name: "config",
    what: "`config.json`, `generation_config.json`",
    bound: Bound {
        factor: 4,
        constant: 2 * MIB,
    },
    change: mutate::text,
};

/// See `what`.
pub const INDEX: Target = Target {
    name: "index",
    what: "the index of shards",
    bound: Bound {
        factor: 4,
        constant: MIB,
    },
    change: mutate::text,
};

/// See `what`.
pub const SAFETENSORS: Target = Target {
    name: "safetensors",
    what: "a safetensors file of a model",
    bound: Bound {
        factor: 4,
        constant: 64 * KIB,
    },
    change: mutate::safetensors,
};

/// See `what`.
pub const PACKED: Target = Target {
    name: "packed",
    what: "a packed model's tensors, their checksum made right",
    bound: Bound {
        factor: 4,
        constant: 64 * KIB,
    },
    change: mutate::safetensors,
};

/// See `what`.
pub const TOKENIZER: Target = Target {
    name: "tokenizer",
    what: "`tokenizer.json`, and a text through it",
    bound: Bound {
        factor: 256,
        constant: 16 * MIB,
    },
    change: mutate::text,
};

/// See `what`.
pub const MANIFEST: Target = Target {
    name: "manifest",
    what: "`bitstreams/NAME.toml`",
    bound: Bound {
        factor: 4,
        constant: 4 * MIB,
    },
    change: mutate::text,
};

/// See `what`.
pub const IMAGE: Target = Target {
    name: "image",
    what: "an FPGA image",
    bound: Bound {
        factor: 4,
        constant: 64 * KIB,
    },
    change: mutate::bytes,
};

/// See `what`.
pub const IDS: Target = Target {
    name: "ids",
    what: "token ids (`host score --ids`)",
    bound: Bound {
        factor: 4,
        constant: 64 * KIB,
    },
    change: mutate::safetensors,
};

/// See `what`.
pub const TABLES: Target = Target {
    name: "tables",
    what: "prediction tables (`predict.json`)",
    bound: Bound {
        factor: 4,
        constant: 64 * KIB,
    },
    change: mutate::text,
};

/// All of them.
pub const ALL: [Target; 9] = [
    CONFIG,
    INDEX,
    SAFETENSORS,
    PACKED,
    TOKENIZER,
    MANIFEST,
    IMAGE,
    IDS,
    TABLES,
];
