//! Register slice for a valid/ready stream.
//!
//! What: cuts every path between its two sides. Data, `valid` and `ready` leave from registers, order is kept,
//! nothing is lost or doubled under any stalls. Formal and random tests of it anchor every stream here.
//! Cost: 2 `W` + 2 flip-flops, one `W`-bit 2:1 multiplexer. No state machine: `m_valid` and `spare_full` are the state.
//! Latency: 1 cycle. Throughput: one word per cycle, also right after a stall (that is what the spare register is for).
//! Bottleneck: none. A half-rate version without the spare would save `W` flip-flops; take it if area ever rules.

use leaf::prelude::*;

/// The slice; `W` data bits. `m_valid` stays up until `m_ready`, and `m_data` with it.
#[derive(LogicBlock, Default)]
pub struct Skid<const W: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: empties the slice.
    pub rst: Signal<In, Bit>,
    /// A word is offered.
    pub s_valid: Signal<In, Bit>,
    /// It is taken this cycle.
    pub s_ready: Signal<Out, Bit>,
    /// The word.
    pub s_data: Signal<In, Bits<W>>,
    /// A word is offered to the consumer.
    pub m_valid: Signal<Out, Bit>,
    /// The consumer takes it this cycle.
    pub m_ready: Signal<In, Bit>,
    /// The word.
    pub m_data: Signal<Out, Bits<W>>,
    out: Dff<Bits<W>>,
    out_full: Dff<Bit>,
    spare: Dff<Bits<W>>,
    spare_full: Dff<Bit>,
}

impl<const W: usize> Logic for Skid<W> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("skid");
        dff_setup!(self, clk, out, out_full, spare, spare_full);
        self.s_ready.next = !self.spare_full.q.val();
        self.m_valid.next = self.out_full.q.val();
        self.m_data.next = self.out.q.val();
        if !self.out_full.q.val() || self.m_ready.val() {
            // The output register is free: the spare word goes first.
            self.out_full.d.next = self.spare_full.q.val() || self.s_valid.val();
            self.spare_full.d.next = false;
            if self.spare_full.q.val() {
                self.out.d.next = self.spare.q.val();
            } else {
                self.out.d.next = self.s_data.val();
            }
        } else if !self.spare_full.q.val() {
            // It is held: what arrives now waits in the spare register.
            self.spare.d.next = self.s_data.val();
            self.spare_full.d.next = self.s_valid.val();
        }
        if self.rst.val() {
            self.out_full.d.next = false;
            self.spare_full.d.next = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fifo::tests::{check_stream, Stream};

    impl Stream for Skid<16> {
        fn drive(&mut self, clk: bool, s: Option<u64>, m_ready: bool) -> (bool, Option<u64>) {
            self.clk.next = clk.into();
            self.s_valid.next = s.is_some();
            self.s_data.next = s.unwrap_or(0xdead).into();
            self.m_ready.next = m_ready;
            assert!(simulate(self, 100), "the slice settles");
            (
                self.s_ready.val(),
                self.m_valid.val().then(|| self.m_data.val().to_u64()),
            )
        }
    }

    #[test]
    fn words_pass_in_order_under_any_stalls() {
        check_stream(|| {
            let mut uut = Skid::<16>::default();
            uut.connect_all();
            Box::new(uut)
        });
    }

    #[test]
    fn full_throughput_without_stalls() {
        let mut uut = Skid::<16>::default();
        uut.connect_all();
        let mut passed = 0;
        for i in 0..100 {
            let (ready, out) = uut.drive(false, Some(i), true);
            assert!(ready);
            passed += u64::from(out.is_some());
            uut.drive(true, Some(i), true);
        }
        assert_eq!(passed, 99, "one cycle of latency, then a word per cycle");
    }

    #[test]
    fn reads_as_verilog() {
        let text =
            backend::emit(&Skid::<16>::default(), "skid", &backend::Header::default()).unwrap();
        println!("{text}");
        assert_eq!(
            text.matches("endmodule").count(),
            1,
            "registers are folded:\n{text}"
        );
        assert_eq!(text.matches("always @(posedge clk)").count(), 1, "{text}");
    }
}
