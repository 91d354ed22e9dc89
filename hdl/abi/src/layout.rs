//! Layout of matrices and images in card memory (`docs/formats.md`, section 7).

use crate::{Config, BEAT, BLOCK};

/// How the weights of a matrix are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sparsity {
    /// Every weight is stored.
    Dense,
    /// Two of each four consecutive inputs are stored, with 2-bit positions.
    TwoOfFour,
}

/// Which linear layer a window of weights belongs to. The numbers are those in the RTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Router rows: `hi` limbs, then `lo` limbs.
    Router = 0,
    /// Gate and up groups, alternating.
    GateUp = 1,
    /// Down groups.
    Down = 2,
}

/// Address bits of `s_axi` and `m_axi`.
pub const ADDR_BITS: usize = 40;
/// ID bits of `s_axi`; `m_axi` has two more, above, that tell command, loader, output and host traffic apart.
pub const ID_BITS: usize = 4;
/// Address bits of `s_axil`.
pub const AXIL_ADDR_BITS: usize = 12;

/// Magic number of an image's header beat.
pub const IMAGE_MAGIC: u16 = 0x4D45;

/// Rows, inputs and storage of one matrix; all sizes below follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixShape {
    /// Output rows N.
    pub rows: usize,
    /// Inputs K.
    pub inputs: usize,
    /// Storage of the values.
    pub sparsity: Sparsity,
}

impl MatrixShape {
    /// Blocks of 32 inputs per row, the last one perhaps partial.
    pub const fn blocks(&self) -> usize {
        self.inputs.div_ceil(BLOCK)
    }
    /// Groups of `lanes` rows.
    pub const fn groups(&self, lanes: usize) -> usize {
        self.rows.div_ceil(lanes)
    }
    /// Beats of scales in one group record.
    pub const fn scale_beats(&self, lanes: usize) -> usize {
        (self.blocks() * lanes * 2).div_ceil(BEAT)
    }
    /// Beats of 2:4 positions in one group record.
    pub const fn position_beats(&self, lanes: usize) -> usize {
        match self.sparsity {
            Sparsity::Dense => 0,
            Sparsity::TwoOfFour => (self.blocks() * lanes * 4).div_ceil(BEAT),
        }
    }
    /// Value words per lane in one group record: 16 values each.
    pub const fn value_words(&self) -> usize {
        match self.sparsity {
            Sparsity::Dense => 2 * self.blocks(),
            Sparsity::TwoOfFour => self.blocks(),
        }
    }
    /// Beats of one group record.
    pub const fn group_beats(&self, lanes: usize) -> usize {
        self.scale_beats(lanes) + self.position_beats(lanes) + self.value_words() * lanes
    }
    /// Bytes of all group records.
    pub const fn bytes(&self, lanes: usize) -> usize {
        self.groups(lanes) * self.group_beats(lanes) * BEAT
    }
    /// Structurally present weights.
    pub const fn nonzeros(&self) -> usize {
        match self.sparsity {
            Sparsity::Dense => self.rows * self.inputs,
            Sparsity::TwoOfFour => self.rows * self.inputs / 2,
        }
    }
    /// Bytes that must move at least: values, positions and scales without any filling (the first cycle law's `bytes`).
    pub const fn unpadded_bytes(&self) -> usize {
        let positions = match self.sparsity {
            Sparsity::Dense => 0,
            Sparsity::TwoOfFour => self.nonzeros().div_ceil(4),
        };
        self.nonzeros() + positions + self.rows * self.blocks() * 2
    }
    /// Groups that fit one loader slot.
    pub const fn slot_groups(&self, config: &Config) -> usize {
        config.slot_words / self.value_words()
    }
    /// Groups of a loader window: as few windows as the slot allows, of about equal size, because while a short last window
    /// arrives the array is still busy with the long one before it and the bus waits for a slot. Gate and up windows must take
    /// an even number: use [`Self::window_pairs`].
    pub const fn window_groups(&self, config: &Config) -> usize {
        level(self.groups(config.lanes), self.slot_groups(config))
    }
    /// As [`Self::window_groups`], of the gate and up groups together, in whole pairs.
    pub const fn window_pairs(&self, config: &Config) -> usize {
        2 * level(self.groups(config.lanes), self.slot_groups(config) / 2)
    }
}

/// The size of the fewest equal windows over `items` of which `fits` fit one; 0 if none fits.
const fn level(items: usize, fits: usize) -> usize {
    if fits == 0 || items == 0 {
        return 0;
    }
    items.div_ceil(items.div_ceil(fits))
}

/// Shape of the router matrix: 2E rows of limbs.
pub const fn router_shape(d: usize, experts: usize) -> MatrixShape {
    MatrixShape {
        rows: 2 * experts,
        inputs: d,
        sparsity: Sparsity::Dense,
    }
}

/// Shape of gate (and of up): f rows, d inputs.
pub const fn gate_shape(d: usize, f: usize, sparsity: Sparsity) -> MatrixShape {
    MatrixShape {
        rows: f,
        inputs: d,
        sparsity,
    }
}

/// Shape of down: d rows, f inputs.
pub const fn down_shape(d: usize, f: usize, sparsity: Sparsity) -> MatrixShape {
    MatrixShape {
        rows: d,
        inputs: f,
        sparsity,
    }
}

/// Bytes of an expert's image, header included.
pub const fn expert_bytes(d: usize, f: usize, sparsity: Sparsity, lanes: usize) -> usize {
    BEAT + 2 * gate_shape(d, f, sparsity).bytes(lanes) + down_shape(d, f, sparsity).bytes(lanes)
}

/// Bytes of a router's image, header included.
pub const fn router_bytes(d: usize, experts: usize, lanes: usize) -> usize {
    BEAT + router_shape(d, experts).bytes(lanes)
}

/// Bytes of one row of x or y: whole beats of four 32-bit values.
pub const fn row_bytes(d: usize) -> usize {
    d.div_ceil(4) * BEAT
}

/// Bytes of one token's entry in the routes array.
pub const ROUTE_BYTES: usize = crate::TOPK_MAX * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_a_known_shape() {
        let m = gate_shape(192, 256, Sparsity::Dense);
        assert_eq!(
            (
                m.blocks(),
                m.scale_beats(4),
                m.value_words(),
                m.group_beats(4)
            ),
            (6, 3, 12, 51)
        );
        let s = gate_shape(192, 256, Sparsity::TwoOfFour);
        assert_eq!(
            (s.position_beats(4), s.value_words(), s.group_beats(4)),
            (6, 6, 33)
        );
        assert_eq!(s.nonzeros(), 192 * 256 / 2);
        let odd = down_shape(32, 24, Sparsity::TwoOfFour);
        assert_eq!(
            (
                odd.blocks(),
                odd.scale_beats(4),
                odd.position_beats(2),
                odd.group_beats(2)
            ),
            (1, 1, 1, 4)
        );
        // 42 groups fit; 128 gate and up groups in four windows are 32 each, 64 down groups in two the same.
        assert_eq!(m.window_pairs(&crate::config::SIM), 32);
        assert_eq!(m.window_groups(&crate::config::SIM), 32);
    }
}
