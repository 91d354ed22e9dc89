//! A skid register: a place where a stream is cut in both directions.
//!
//! What: takes an item while its spare place is free and sends it a cycle later; `in_rdy` is a register and hangs on nothing of the same
//! cycle. Cost: 2 N flip-flops, N LUTs. Latency: 1 cycle. Bottleneck: none, one item per cycle.
//! Hazards: none; the head is the older item whenever the spare place is taken.

use leaf::prelude::*;

/// See the module's page; `N` bits an item.
#[derive(LogicBlock, Default)]
pub struct Skid<const N: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// An item.
    pub in_vld: Signal<In, Bit>,
    /// Item taken.
    pub in_rdy: Signal<Out, Bit>,
    /// The item.
    pub in_data: Signal<In, Bits<N>>,
    /// An item leaves.
    pub out_vld: Signal<Out, Bit>,
    /// It is taken.
    pub out_rdy: Signal<In, Bit>,
    /// The item.
    pub out_data: Signal<Out, Bits<N>>,
    head: Dff<Bits<N>>,
    head_vld: Dff<Bit>,
    spare: Dff<Bits<N>>,
    spare_vld: Dff<Bit>,
    moves: Signal<Local, Bit>,
}

impl<const N: usize> Logic for Skid<N> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("skid");
        dff_setup!(self, clk, head, head_vld, spare, spare_vld);
        self.in_rdy.next = !self.spare_vld.q.val();
        self.out_vld.next = self.head_vld.q.val();
        self.out_data.next = self.head.q.val();
        self.moves.next = !self.head_vld.q.val() || self.out_rdy.val();
        if !self.spare_vld.q.val() {
            self.spare.d.next = self.in_data.val();
        }
        if self.moves.val() {
            self.head_vld.d.next = self.in_vld.val();
            self.head.d.next = self.in_data.val();
            if self.spare_vld.q.val() {
                self.head_vld.d.next = true;
                self.head.d.next = self.spare.q.val();
            }
            self.spare_vld.d.next = false;
        } else if self.in_vld.val() {
            self.spare_vld.d.next = true;
        }
        if self.rst.val() {
            self.head_vld.d.next = false;
            self.spare_vld.d.next = false;
        }
    }
}
