//! The register.

use rust_hdl_core::prelude::*;

/// A register of any signal type: `q` takes `d` at each rising edge of `clock`.
///
/// Its ports and its Verilog are those of `rust_hdl_widgets::DFF`, with an initial value in addition; the back end
/// knows the pair and folds it into `reg q = init` and one `always @(posedge clk)` of the parent.
/// Reset is data: write the reset value to `d` as the last statement of the kernel.
#[derive(Clone, Debug, LogicBlock)]
pub struct Dff<T: Synth> {
    /// The next value.
    pub d: Signal<In, T>,
    /// The present value.
    pub q: Signal<Out, T>,
    /// Rising edge.
    pub clock: Signal<In, Clock>,
    _init: T,
}

impl<T: Synth> Dff<T> {
    /// A register that holds `init` from power-up until its first clock edge.
    pub fn new(init: T) -> Self {
        Self {
            d: Signal::default(),
            q: Signal::new_with_default(init),
            clock: Signal::default(),
            _init: init,
        }
    }
}

impl<T: Synth> Default for Dff<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Synth> Logic for Dff<T> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            self.q.next = self.d.val();
        }
    }

    fn connect(&mut self) {
        self.q.connect();
    }

    fn hdl(&self) -> Verilog {
        let init = self._init.verilog();
        Verilog::Custom(format!(
            "initial begin\n   q = {init:x};\nend\n\nalways @(posedge clock) begin\n   q <= d;\nend\n"
        ))
    }
}
