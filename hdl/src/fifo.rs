//! Small synchronous FIFO, first word falls through.
//!
//! What: a queue between two valid/ready sides of one clock. `m_data` shows the oldest word as soon as `m_valid` is up.
//! Cost: 2^`A` x `W` bits of distributed RAM, two pointers of `A` + 1 bits, no output register.
//! State: write and read pointer; the extra bit of each tells full from empty. Nothing else.
//! Latency: 1 cycle from in to out. Throughput: one word per cycle; `s_ready` does not depend on `m_ready`.
//! Bottleneck: the asynchronous read; put a `Skid` behind it where timing is tight, and use block RAM beyond 64 words.

use leaf::prelude::*;

/// The queue: `W` data bits, 2^`A` words; `A1` must be `A` + 1.
#[derive(LogicBlock)]
pub struct Fifo<const W: usize, const A: usize, const A1: usize> {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: empties the queue.
    pub rst: Signal<In, Bit>,
    /// A word is offered.
    pub s_valid: Signal<In, Bit>,
    /// There is room for it.
    pub s_ready: Signal<Out, Bit>,
    /// The word.
    pub s_data: Signal<In, Bits<W>>,
    /// There is a word.
    pub m_valid: Signal<Out, Bit>,
    /// The consumer takes it this cycle.
    pub m_ready: Signal<In, Bit>,
    /// The oldest word.
    pub m_data: Signal<Out, Bits<W>>,
    /// Words in the queue.
    pub level: Signal<Out, Bits<A1>>,
    depth: Constant<Bits<A1>>,
    ram: Dram<W, A>,
    write: Dff<Bits<A1>>,
    read: Dff<Bits<A1>>,
    push: Signal<Local, Bit>,
    pop: Signal<Local, Bit>,
    count: Signal<Local, Bits<A1>>,
}

impl<const W: usize, const A: usize, const A1: usize> Default for Fifo<W, A, A1> {
    /// # Panics
    /// If `A1` is not `A` + 1.
    fn default() -> Self {
        assert!(
            A1 == A + 1,
            "Fifo: the pointers of 2^{A} words need {} bits, not {A1}",
            A + 1
        );
        Self {
            clk: Signal::default(),
            rst: Signal::default(),
            s_valid: Signal::default(),
            s_ready: Signal::default(),
            s_data: Signal::default(),
            m_valid: Signal::default(),
            m_ready: Signal::default(),
            m_data: Signal::default(),
            level: Signal::default(),
            depth: Constant::new((1u64 << A).into()),
            ram: Dram::new(1 << A),
            write: Dff::default(),
            read: Dff::default(),
            push: Signal::default(),
            pop: Signal::default(),
            count: Signal::default(),
        }
    }
}

impl<const W: usize, const A: usize, const A1: usize> Logic for Fifo<W, A, A1> {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("fifo");
        dff_setup!(self, clk, write, read);
        clock!(self, clk, ram);
        // The pointers count modulo twice the depth, so their difference is the number of words.
        self.count.next = self.write.q.val() - self.read.q.val();
        self.level.next = self.count.val();
        self.s_ready.next = self.count.val() != self.depth.val();
        self.m_valid.next = self.count.val().any();
        self.push.next = self.s_valid.val() && self.s_ready.val();
        self.pop.next = self.m_ready.val() && self.m_valid.val();

        self.ram.we.next = self.push.val();
        self.ram.waddr.next = self.write.q.val().get_bits::<A>(0);
        self.ram.wdata.next = self.s_data.val();
        self.ram.raddr.next = self.read.q.val().get_bits::<A>(0);
        self.m_data.next = self.ram.rdata.val();

        if self.push.val() {
            self.write.d.next = self.write.q.val() + 1;
        }
        if self.pop.val() {
            self.read.d.next = self.read.q.val() + 1;
        }
        if self.rst.val() {
            self.write.d.next = 0.into();
            self.read.d.next = 0.into();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A unit with one 16-bit stream in and one out.
    pub(crate) trait Stream {
        /// Sets clock, the offered word and the consumer's readiness; returns `s_ready` and the word offered.
        fn drive(&mut self, clk: bool, s: Option<u64>, m_ready: bool) -> (bool, Option<u64>);
    }

    /// xorshift64: stalls and data, reproducible from the seed in the failure message.
    struct Random(u64);

    impl Random {
        fn next(&mut self, below: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 16) % below
        }
    }

    /// Random words under every mix of stalls of producer and consumer: out comes what went in, in order; an offered
    /// word stays until it is taken.
    pub(crate) fn check_stream(new: impl Fn() -> Box<dyn Stream>) {
        for (i, (give, take)) in [(10, 10), (10, 3), (3, 10), (5, 5), (1, 10), (10, 1)]
            .into_iter()
            .enumerate()
        {
            let seed = 0x9e37_79b9_7f4a_7c15 + i as u64;
            let context = format!("seed {seed:#x}, producer {give}/10, consumer {take}/10");
            let mut random = Random(seed);
            let mut uut = new();
            let mut queue = VecDeque::new();
            let (mut offered, mut pending, mut passed) = (None, None, 0);
            for _ in 0..600 {
                if offered.is_none() && random.next(10) < give {
                    offered = Some(random.next(1 << 16));
                }
                let m_ready = random.next(10) < take;
                let (ready, out) = uut.drive(false, offered, m_ready);
                if let Some(word) = pending {
                    assert_eq!(out, Some(word), "an offered word stays: {context}");
                }
                pending = out.filter(|_| !m_ready);
                if let (Some(word), true) = (out, m_ready) {
                    assert_eq!(queue.pop_front(), Some(word), "{context}");
                    passed += 1;
                }
                if let (Some(word), true) = (offered, ready) {
                    queue.push_back(word);
                }
                uut.drive(true, offered, m_ready);
                if ready {
                    offered = None;
                }
            }
            assert!(passed > 30, "only {passed} words passed: {context}");
        }
    }

    impl Stream for Fifo<16, 2, 3> {
        fn drive(&mut self, clk: bool, s: Option<u64>, m_ready: bool) -> (bool, Option<u64>) {
            self.clk.next = clk.into();
            self.s_valid.next = s.is_some();
            self.s_data.next = s.unwrap_or(0xdead).into();
            self.m_ready.next = m_ready;
            assert!(simulate(self, 100), "the queue settles");
            (
                self.s_ready.val(),
                self.m_valid.val().then(|| self.m_data.val().to_u64()),
            )
        }
    }

    fn fifo() -> Fifo<16, 2, 3> {
        let mut uut = Fifo::default();
        uut.connect_all();
        uut
    }

    #[test]
    fn words_pass_in_order_under_any_stalls() {
        check_stream(|| Box::new(fifo()));
    }

    #[test]
    fn reads_as_verilog() {
        let text = backend::emit(&fifo(), "fifo", &backend::Header::default()).unwrap();
        println!("{text}");
        assert_eq!(
            text.matches("endmodule").count(),
            2,
            "the queue and its RAM:\n{text}"
        );
    }

    #[test]
    fn it_fills_to_its_depth_and_no_further() {
        let mut uut = fifo();
        for i in 0..10 {
            let (ready, _) = uut.drive(false, Some(i), false);
            assert_eq!(ready, i < 4);
            assert_eq!(uut.level.val().to_u64(), i.min(4));
            uut.drive(true, Some(i), false);
        }
        uut.rst.next = true;
        uut.drive(false, None, false);
        uut.drive(true, None, false);
        uut.rst.next = false;
        assert_eq!(
            uut.drive(false, None, true),
            (true, None),
            "reset empties it"
        );
    }
}
