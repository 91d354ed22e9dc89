//! Named engine configurations: complete, checked, and with derived sizes as methods.

use alloc::{format, string::String};

/// Dimensions of one engine. Every size is a capacity, not a setting of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name used on command lines and in manifests.
    pub name: &'static str,
    /// Rows computed at a time; each lane has 16 multipliers. 2 or 4 in this version.
    pub lanes: usize,
    /// Value words (16 bytes per lane) of one loader slot; a power of two.
    pub slot_words: usize,
    /// Largest model width d.
    pub d_max: usize,
    /// Largest expert width f.
    pub f_max: usize,
    /// Largest number of experts of a layer; a power of two.
    pub experts_max: usize,
    /// Largest number of tokens of a command; a power of two.
    pub tokens_max: usize,
    /// Bytes of card memory that the board of this configuration has.
    pub memory_bytes: u64,
}

/// Fast tests: small memories, two lanes.
pub const TINY: Config = Config {
    name: "tiny",
    lanes: 2,
    slot_words: 128,
    d_max: 256,
    f_max: 256,
    experts_max: 16,
    tokens_max: 8,
    memory_bytes: 16 << 20,
};

/// The default simulated board: 64 multipliers.
pub const SIM: Config = Config {
    name: "sim",
    lanes: 4,
    slot_words: 512,
    d_max: 1024,
    f_max: 2048,
    experts_max: 64,
    tokens_max: 32,
    memory_bytes: 256 << 20,
};

/// All named configurations.
pub const CONFIGS: [Config; 2] = [TINY, SIM];

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
        if !matches!(self.lanes, 2 | 4) {
            return bad(format!("lanes must be 2 or 4, not {}", self.lanes));
        }
        for (what, v, max) in [
            ("slot_words", self.slot_words, 4096),
            ("d_max", self.d_max, 8192),
            ("f_max", self.f_max, 8192),
            ("experts_max", self.experts_max, 256),
            ("tokens_max", self.tokens_max, 128),
        ] {
            if !v.is_power_of_two() || v > max {
                return bad(format!(
                    "{what} must be a power of two of at most {max}, not {v}"
                ));
            }
        }
        for (what, v) in [("d_max", self.d_max), ("f_max", self.f_max)] {
            if v < 64 {
                return bad(format!("{what} must be at least 64, not {v}"));
            }
        }
        if self.experts_max < 2 || self.tokens_max < 2 {
            return bad(format!(
                "experts_max {} and tokens_max {} must be at least 2",
                self.experts_max, self.tokens_max
            ));
        }
        let need = (self.d_max / 8).max(self.f_max / 16);
        if self.slot_words < need {
            return bad(format!(
                "slot_words {} cannot hold one dense gate and up group of d_max {} and one down group of f_max {}: at least {need} are needed",
                self.slot_words, self.d_max, self.f_max
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

    /// Multiply-accumulates per cycle at most.
    pub const fn peak_macs(&self) -> usize {
        self.lanes * 16
    }
    /// Blocks of the longest input vector of width `d_max`.
    pub const fn d_blocks(&self) -> usize {
        self.d_max / crate::BLOCK
    }
    /// Blocks of the longest hidden vector.
    pub const fn f_blocks(&self) -> usize {
        self.f_max / crate::BLOCK
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
        assert!(SIM.peak_macs() >= 64);
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
        let cases = [
            (Config { lanes: 3, ..SIM }, "lanes"),
            (
                Config {
                    slot_words: 100,
                    ..SIM
                },
                "slot_words",
            ),
            (
                Config {
                    slot_words: 64,
                    ..SIM
                },
                "slot_words 64 cannot hold",
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
                    tokens_max: 1,
                    ..SIM
                },
                "at least 2",
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
}
