//! One row of the array (or a pair): 8 multipliers, the block's scale, the shift to the vector's common exponent and the row's sum.
//!
//! What: `docs/formats.md` section 3 for one row. [`LaneControl`] carries the flags of a beat for all lanes; each [`Lane`] brings its
//! eight weights together with the activations that their positions choose.

use abi::config::Modes;
use leaf::prelude::*;

/// Bits of the bundle from [`LaneControl`] to every [`Lane`].
pub const CTL: usize = 32;

/// The flags of every beat, once for all lanes: `ctl` goes to the lanes as it is, `out_vld` tells when their sums stand.
///
/// There is no stall. A beat is offered with `vld`; the lanes' operands belong to the same cycle.
#[derive(LogicBlock)]
pub struct LaneControl {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: forgets the beats on their way, and clears all sums.
    pub rst: Signal<In, Bit>,
    /// A beat enters the lanes.
    pub vld: Signal<In, Bit>,
    /// Last pass of its block. Paired: never in two cycles that follow each other (a paired block has at least two passes;
    /// a row without any block is two beats, only the second of them with this flag).
    pub block_last: Signal<In, Bit>,
    /// The block is the last of the row; read with `block_last`.
    pub row_last: Signal<In, Bit>,
    /// `abi::layout::Format`. Stands still while beats of a segment are on their way, as `paired`.
    pub format: Signal<In, Bits<2>>,
    /// Two rows per lane.
    pub paired: Signal<In, Bit>,
    /// 30 + Bmax - B of the block; the same on every beat of the block.
    pub base: Signal<In, Bits<9>>,
    /// To the lanes.
    pub ctl: Signal<Out, Bits<CTL>>,
    /// `out_acc` (and, paired, `out2_acc`) of every lane is a complete row. One cycle.
    pub out_vld: Signal<Out, Bit>,
}

impl LaneControl {
    /// For lanes of `modes`.
    pub fn new(_modes: &Modes) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            vld: Default::default(),
            block_last: Default::default(),
            row_last: Default::default(),
            format: Default::default(),
            paired: Default::default(),
            base: Default::default(),
            ctl: Default::default(),
            out_vld: Default::default(),
        }
    }
}

impl Logic for LaneControl {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("lane_control");
        self.ctl.next = 0.into();
        self.out_vld.next = false;
    }
}

/// See the module's page.
#[derive(LogicBlock)]
pub struct Lane {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// From [`LaneControl`].
    pub ctl: Signal<In, Bits<CTL>>,
    /// The block's 32 activations, int8, input i at bit 8i; the same for all lanes.
    pub acts: Signal<In, Bits<256>>,
    /// Weight of multiplier j in byte j: int8, or in its low half the 4-bit weight (of the first row), in its high half that of the
    /// second row (read only where paired). Zero where there is none (1:8: odd j).
    pub values: Signal<In, Bits<64>>,
    /// What multiplier j takes in nibble j: the number of the input within its eight (j >> 1), 0 to 7. Without octets only the low two
    /// bits are read: the number within the four inputs 4j to 4j+3. (So with octets, but another storage: 4 * (j & 1) + number.)
    pub positions: Signal<In, Bits<32>>,
    /// The block's scale, binary16; the same on every beat of the block.
    pub scale: Signal<In, Bits<16>>,
    /// Paired: that of the second row; read with the last beat of the block.
    pub scale2: Signal<In, Bits<16>>,
    /// The row's sum, signed; valid with `out_vld` of the control.
    pub out_acc: Signal<Out, Bits<36>>,
    /// Paired: the second row's.
    pub out2_acc: Signal<Out, Bits<36>>,
}

impl Lane {
    /// With the formats of `modes`.
    pub fn new(_modes: &Modes) -> Self {
        Self {
            clk: Default::default(),
            ctl: Default::default(),
            acts: Default::default(),
            values: Default::default(),
            positions: Default::default(),
            scale: Default::default(),
            scale2: Default::default(),
            out_acc: Default::default(),
            out2_acc: Default::default(),
        }
    }
}

impl Logic for Lane {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("lane");
        self.out_acc.next = 0.into();
        self.out2_acc.next = 0.into();
    }
}
