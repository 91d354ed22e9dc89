//! The lanes with their control and nothing else: what docs/utilisation.md counts per multiply-accumulate.
//!
//! What: one [`LaneControl`] and eight [`Lane`]s on the same activations, as [`crate::linear`] has them; no part of the engine.
//! Cost, latency, hazards: those of [`crate::lane`].
//!
//! Not built: the operands' registers. `linear` is counted beside it, with everything that brings a beat.

use crate::lane::{Lane, LaneControl};
use abi::config::{Modes, LANES};
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Array {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// See [`LaneControl`].
    pub rst: Signal<In, Bit>,
    /// See [`LaneControl`].
    pub vld: Signal<In, Bit>,
    /// See [`LaneControl`].
    pub block_last: Signal<In, Bit>,
    /// See [`LaneControl`].
    pub row_last: Signal<In, Bit>,
    /// See [`LaneControl`].
    pub format: Signal<In, Bits<2>>,
    /// See [`LaneControl`].
    pub paired: Signal<In, Bit>,
    /// See [`LaneControl`].
    pub base: Signal<In, Bits<9>>,
    /// See [`Lane`]; for all of them.
    pub acts: Signal<In, Bits<256>>,
    /// See [`Lane`].
    pub values: [Signal<In, Bits<64>>; 8],
    /// See [`Lane`].
    pub positions: [Signal<In, Bits<32>>; 8],
    /// See [`Lane`].
    pub scale: [Signal<In, Bits<16>>; 8],
    /// See [`Lane`].
    pub scale2: [Signal<In, Bits<16>>; 8],
    /// See [`LaneControl`].
    pub out_vld: Signal<Out, Bit>,
    /// See [`Lane`].
    pub out_acc: [Signal<Out, Bits<36>>; 8],
    /// See [`Lane`].
    pub out2_acc: [Signal<Out, Bits<36>>; 8],
    control: LaneControl,
    lane: Vec<Lane>,
}

impl Array {
    /// With the formats of `modes`.
    pub fn new(modes: &Modes) -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            vld: Default::default(),
            block_last: Default::default(),
            row_last: Default::default(),
            format: Default::default(),
            paired: Default::default(),
            base: Default::default(),
            acts: Default::default(),
            values: Default::default(),
            positions: Default::default(),
            scale: Default::default(),
            scale2: Default::default(),
            out_vld: Default::default(),
            out_acc: Default::default(),
            out2_acc: Default::default(),
            control: LaneControl::new(modes),
            lane: (0..LANES).map(|_| Lane::new(modes)).collect(),
        }
    }
}

impl Logic for Array {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("array");
        self.control.clk.next = self.clk.val();
        self.control.rst.next = self.rst.val();
        self.control.vld.next = self.vld.val();
        self.control.block_last.next = self.block_last.val();
        self.control.row_last.next = self.row_last.val();
        self.control.format.next = self.format.val();
        self.control.paired.next = self.paired.val();
        self.control.base.next = self.base.val();
        self.out_vld.next = self.control.out_vld.val();
        for i in 0..8 {
            self.lane[i].clk.next = self.clk.val();
            self.lane[i].ctl.next = self.control.ctl.val();
            self.lane[i].acts.next = self.acts.val();
            self.lane[i].values.next = self.values[i].val();
            self.lane[i].positions.next = self.positions[i].val();
            self.lane[i].scale.next = self.scale[i].val();
            self.lane[i].scale2.next = self.scale2[i].val();
            self.out_acc[i].next = self.lane[i].out_acc.val();
            self.out2_acc[i].next = self.lane[i].out2_acc.val();
        }
    }
}
