//! What is read from anywhere, and what each may take. The constants are what a parser takes for the longest input that it accepts at all.

use super::{mutate, wire, Bound, Target, FILES, TALKS};

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
    cases: FILES,
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
    cases: FILES,
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
    cases: FILES,
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
    cases: FILES,
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
    cases: FILES,
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
    cases: FILES,
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
    cases: FILES,
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
    cases: FILES,
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
    cases: FILES,
    change: mutate::text,
};

/// See `what`.
pub const SERVER: Target = Target {
    name: "vfio-user-server",
    what: "what a client sends to `sim-tb serve`, whole conversations",
    bound: Bound {
        factor: 4,
        constant: 4 * MIB,
    },
    cases: TALKS,
    change: wire::conversation,
};

/// See `what`.
pub const CLIENT: Target = Target {
    name: "vfio-user-client",
    what:
        "what a server answers to `--device vfio-user:PATH`: its replies, changed as a script says",
    bound: Bound {
        factor: 4,
        constant: 4 * MIB,
    },
    cases: TALKS,
    change: wire::script,
};

/// See `what`.
pub const ACCESSES: Target = Target {
    name: "accesses",
    what: "accesses of a host to the card's plain model, and its memory: registers, descriptors, commands",
    bound: Bound {
        factor: 4,
        constant: 64 * KIB,
    },
    cases: FILES,
    change: mutate::bytes,
};

/// All of them.
pub const ALL: [Target; 12] = [
    CONFIG,
    INDEX,
    SAFETENSORS,
    PACKED,
    TOKENIZER,
    MANIFEST,
    IMAGE,
    IDS,
    TABLES,
    SERVER,
    CLIENT,
    ACCESSES,
];
