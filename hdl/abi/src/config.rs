//! Named engine configurations: complete, checked, and with derived sizes as methods.

use alloc::{format, string::String};

use crate::layout::{Format, Sparsity};

/// Rows that the array computes at a time (twice as many where two int4 weights share a multiplier).
pub const LANES: usize = 8;
/// Multipliers of a lane: inputs of a row that enter in one cycle.
pub const LANE_WIDTH: usize = 8;

/// Which storage forms, pairs and activations an engine can read. Each costs logic, so a configuration names those it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modes {
    /// int4 values.
    pub int4: bool,
    /// FP4 (E2M1) values.
    pub fp4: bool,
    /// Two 4-bit rows per lane that share one multiplier's input.
    pub pairs: bool,
    /// Positions within eight inputs: 4:8 and 1:8.
    pub octets: bool,
    /// Activation tables beside SiLU: GELU, GELU-tanh and the clamped form. ReLU and its square need no table.
    pub gelu: bool,
}

/// Everything.
pub const ALL_MODES: Modes = Modes {
    int4: true,
    fp4: true,
    pairs: true,
    octets: true,
    gelu: true,
};
/// int8, dense and chunks of four (2:4, 1:4), SiLU and the ReLU family.
pub const INT8_MODES: Modes = Modes {
    int4: false,
    fp4: false,
    pairs: false,
    octets: false,
    gelu: false,
};

/// Dimensions of one engine. Every size is a capacity, not a setting of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name used on command lines and in manifests.
    pub name: &'static str,
    /// What the array and the activation unit can do.
    pub modes: Modes,
    /// Loader slots for experts, 2 to 4.
    pub slots: usize,
    /// Words of a slot (in each of its banks).
    pub slot_words: usize,
    /// Words of each of the two slots for the router's weights.
    pub router_words: usize,
    /// Largest model width d, and longest output of a dense layer; a power of two.
    pub d_max: usize,
    /// Largest expert width f; a power of two.
    pub f_max: usize,
    /// Largest number of experts of a layer; a power of two.
    pub experts_max: usize,
    /// Largest number of tokens of a command; a power of two.
    pub tokens_max: usize,
    /// Layers of the prediction table; a power of two.
    pub layers_max: usize,
    /// Bytes of card memory that the board of this configuration has.
    pub memory_bytes: u64,
}

/// Fast tests: small memories, every mode.
pub const TINY: Config = Config {
    name: "tiny",
    modes: ALL_MODES,
    slots: 2,
    slot_words: 128,
    router_words: 64,
    d_max: 256,
    f_max: 256,
    experts_max: 16,
    tokens_max: 8,
    layers_max: 8,
    memory_bytes: 16 << 20,
};

/// The default simulated board: every mode, room for the layers of published models.
pub const SIM: Config = Config {
    name: "sim",
    modes: ALL_MODES,
    slots: 4,
    slot_words: 4096,
    router_words: 1032,
    d_max: 8192,
    f_max: 16384,
    experts_max: 256,
    tokens_max: 256,
    layers_max: 64,
    memory_bytes: 256 << 20,
};

/// ECP5-5G Versa 45F.
pub const VERSA: Config = Config {
    name: "versa",
    modes: INT8_MODES,
    slots: 2,
    slot_words: 448,
    router_words: 64,
    d_max: 256,
    f_max: 512,
    experts_max: 16,
    tokens_max: 8,
    layers_max: 16,
    memory_bytes: 128 << 20,
};

/// The first images of boards: the smallest memories that the units allow, and card memory in block RAM.
pub const MINI: Config = Config {
    name: "mini",
    modes: INT8_MODES,
    slots: 2,
    slot_words: 32,
    router_words: 16,
    d_max: 64,
    f_max: 64,
    experts_max: 16,
    tokens_max: 2,
    layers_max: 2,
    memory_bytes: 32 << 10,
};

/// XC7A200T (Acorn CLE-215+).
pub const ACORN: Config = Config {
    name: "acorn",
    modes: ALL_MODES,
    slots: 4,
    slot_words: 480,
    router_words: 136,
    d_max: 1024,
    f_max: 2048,
    experts_max: 64,
    tokens_max: 16,
    layers_max: 32,
    memory_bytes: 1 << 30,
};

/// All named configurations.
pub const CONFIGS: [Config; 5] = [TINY, SIM, VERSA, MINI, ACORN];

impl Config {
    /// The configuration called `name`, checked.
    ///
    /// # Errors
    /// A sentence naming the known configurations, or the rule that is broken.
    pub fn named(name: &str) -> Result<Config, String> {
        let found = CONFIGS.iter().find(|c| c.name == name).copied();
        let config = found.ok_or_else(|| {
            let mut known = String::new();
            for c in CONFIGS {
                if !known.is_empty() {
                    known.push_str(", ");
                }
                known.push_str(c.name);
            }
            format!("there is no engine configuration `{name}`; known: {known}")
        })?;
        config.check()?;
        Ok(config)
    }

    /// Refuses a bad combination by name.
    ///
    /// # Errors
    /// A sentence with the configuration, the rule and the values that break it.
    pub fn check(&self) -> Result<(), String> {
        let bad = |rule: String| Err(format!("engine configuration `{}`: {rule}", self.name));
        if !(2..=4).contains(&self.slots) {
            return bad(format!("slots must be 2 to 4, not {}", self.slots));
        }
        for (what, v, min, max) in [
            ("d_max", self.d_max, 64, 16384),
            ("f_max", self.f_max, 64, 16384),
            ("experts_max", self.experts_max, 16, 256),
            ("tokens_max", self.tokens_max, 2, 256),
            ("layers_max", self.layers_max, 2, 256),
        ] {
            if !v.is_power_of_two() || v > max || v < min {
                return bad(format!(
                    "{what} must be a power of two of {min} to {max}, not {v}"
                ));
            }
        }
        if self.modes.pairs && !(self.modes.int4 || self.modes.fp4) {
            return bad("pairs need a 4-bit format (int4 or fp4)".into());
        }
        let most = |k: usize| 4 * (k / crate::BLOCK + 1);
        let need = most(self.d_max.max(self.f_max));
        if self.slot_words < need {
            return bad(format!(
                "slot_words {} cannot hold one dense group of d_max {} and f_max {} with a bias: {need} are needed",
                self.slot_words, self.d_max, self.f_max
            ));
        }
        if self.router_words < most(self.d_max) {
            return bad(format!(
                "router_words {} cannot hold one group of d_max {}: {} are needed",
                self.router_words,
                self.d_max,
                most(self.d_max)
            ));
        }
        if self.slots * self.slot_words + 2 * self.router_words > 1 << 16 {
            return bad(format!(
                "{} slots of {} words and two of {} are more than the 65536 that an address tells apart",
                self.slots, self.slot_words, self.router_words
            ));
        }
        if !self.memory_bytes.is_multiple_of(4096) || self.memory_bytes == 0 {
            return bad(format!(
                "memory_bytes {} must be a positive multiple of 4096",
                self.memory_bytes
            ));
        }
        Ok(())
    }

    /// int8 multiply-accumulates per cycle at most.
    pub const fn peak_macs(&self) -> usize {
        LANES * LANE_WIDTH
    }
    /// Blocks of the longest input vector of width `d_max`.
    pub const fn d_blocks(&self) -> usize {
        self.d_max / crate::BLOCK
    }
    /// Blocks of the longest hidden vector.
    pub const fn f_blocks(&self) -> usize {
        self.f_max / crate::BLOCK
    }
    /// Whether this engine reads weights of this storage.
    pub const fn reads(&self, format: Format, sparsity: Sparsity, paired: bool) -> bool {
        let m = &self.modes;
        let format_known = match format {
            Format::Int8 => true,
            Format::Int4 => m.int4,
            Format::Fp4 => m.fp4,
        };
        let sparsity_known = match sparsity {
            Sparsity::Dense | Sparsity::TwoOfFour | Sparsity::OneOfFour => true,
            Sparsity::FourOfEight | Sparsity::OneOfEight => m.octets,
        };
        let pair_known =
            !paired || (m.pairs && !matches!(format, Format::Int8) && sparsity.passes() >= 2);
        format_known && sparsity_known && pair_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_configuration_keeps_the_rules() {
        for c in CONFIGS {
            c.check().unwrap();
            assert_eq!(Config::named(c.name).unwrap(), c);
        }
        assert_eq!(SIM.peak_macs(), 64);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let e = Config::named("huge").unwrap_err();
        assert!(
            e.contains("huge") && e.contains("tiny") && e.contains("sim"),
            "{e}"
        );
    }

    #[test]
    fn each_rule_is_refused_by_name() {
        let pairs = Modes {
            int4: false,
            fp4: false,
            ..ALL_MODES
        };
        let cases = [
            (Config { slots: 5, ..SIM }, "slots must be 2 to 4"),
            (
                Config {
                    slot_words: 64,
                    ..SIM
                },
                "slot_words 64 cannot hold",
            ),
            (
                Config {
                    router_words: 8,
                    ..SIM
                },
                "router_words 8 cannot hold",
            ),
            (
                Config {
                    slot_words: 16384,
                    ..SIM
                },
                "65536",
            ),
            (Config { d_max: 1000, ..SIM }, "d_max"),
            (Config { f_max: 16, ..SIM }, "f_max"),
            (
                Config {
                    experts_max: 512,
                    ..SIM
                },
                "experts_max",
            ),
            (
                Config {
                    tokens_max: 3,
                    ..SIM
                },
                "tokens_max",
            ),
            (
                Config {
                    layers_max: 1,
                    ..SIM
                },
                "layers_max",
            ),
            (
                Config {
                    modes: pairs,
                    ..SIM
                },
                "pairs need",
            ),
            (
                Config {
                    memory_bytes: 5000,
                    ..SIM
                },
                "memory_bytes",
            ),
        ];
        for (c, word) in cases {
            let e = c.check().unwrap_err();
            assert!(e.contains(word), "{e} does not name {word}");
        }
    }

    #[test]
    fn what_a_configuration_reads() {
        use Format::*;
        use Sparsity::*;
        assert!(VERSA.reads(Int8, OneOfFour, false) && !VERSA.reads(Int4, Dense, false));
        assert!(!VERSA.reads(Int8, FourOfEight, false));
        assert!(SIM.reads(Int4, Dense, true) && SIM.reads(Fp4, TwoOfFour, true));
        assert!(!SIM.reads(Int4, OneOfFour, true) && !SIM.reads(Int8, Dense, true));
    }
}
