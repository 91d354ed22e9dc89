//! The fingerprint: a 64-bit hash of everything a driver and an engine must agree on.

use crate::{command, registers, Access, Config};

/// FNV-1a, 64 bits: small, stable, and enough to tell two contracts apart (it is no defence against malice).
struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, b: &[u8]) {
        for &x in b {
            self.0 = (self.0 ^ u64::from(x)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
    fn word(&mut self, v: u64) {
        self.bytes(&v.to_le_bytes());
    }
    fn name(&mut self, s: &str) {
        self.word(s.len() as u64);
        self.bytes(s.as_bytes());
    }
}

/// Hash of the registers, the command, `config` and the numeric revision; no prose goes in.
pub fn fingerprint(config: &Config) -> u64 {
    let mut h = Fnv(0xCBF2_9CE4_8422_2325);
    h.word(crate::ABI_VERSION.into());
    h.word(crate::NUMERIC_REVISION.into());
    for r in registers::REGISTERS {
        h.name(r.name);
        h.word(r.offset.into());
        h.word(match r.access {
            Access::Ro => 0,
            Access::Rw => 1,
            Access::W1c => 2,
        });
        h.word(r.mask.into());
        h.word(r.reset.into());
        for f in r.fields {
            h.name(f.name);
            h.word(f.lsb.into());
            h.word(f.width.into());
        }
    }
    for f in command::COMMAND_FIELDS {
        h.name(f.name);
        h.word(f.offset as u64);
        h.word(f.bytes as u64);
    }
    for (s, _) in command::STATUSES {
        h.word(s as u64);
    }
    h.name(config.name);
    let m = config.modes;
    for v in [m.int4, m.fp4, m.pairs, m.octets, m.gelu] {
        h.word(v.into());
    }
    for v in [
        config.slots,
        config.slot_words,
        config.router_words,
        config.d_max,
        config.f_max,
        config.experts_max,
        config.tokens_max,
        config.layers_max,
    ] {
        h.word(v as u64);
    }
    h.word(config.memory_bytes);
    h.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SIM, TINY};

    #[test]
    fn configurations_have_different_fingerprints() {
        assert_ne!(fingerprint(&SIM), fingerprint(&TINY));
        assert_ne!(fingerprint(&SIM), fingerprint(&Config { slots: 2, ..SIM }));
        assert_eq!(fingerprint(&SIM), fingerprint(&SIM));
    }
}
