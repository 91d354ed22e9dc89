//! The serial console: requests of `abi::serial` as accesses of an AXI4-Lite bus.
//!
//! What: takes bytes, makes one access at a time, sends the answer. Cost: docs/utilisation.md. Latency: an access, then a byte whenever
//! the UART takes one. Bottleneck: the UART. Hazards: a byte that comes while an answer is under way is lost (`abi::serial` says so);
//! part of a request is forgotten after the timeout, so a byte of noise does not shift all that follows.

use abi::serial;
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Console {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// A byte came; it cannot wait.
    pub in_vld: Signal<In, Bit>,
    /// The byte.
    pub in_data: Signal<In, Bits<8>>,
    /// A byte of the answer.
    pub out_vld: Signal<Out, Bit>,
    /// It is taken.
    pub out_rdy: Signal<In, Bit>,
    /// The byte.
    pub out_data: Signal<Out, Bits<8>>,
    /// Write address.
    pub awaddr: Signal<Out, Bits<12>>,
    /// Write address valid.
    pub awvalid: Signal<Out, Bit>,
    /// Write address taken.
    pub awready: Signal<In, Bit>,
    /// Write data, all bytes of it.
    pub wdata: Signal<Out, Bits<32>>,
    /// Write data valid.
    pub wvalid: Signal<Out, Bit>,
    /// Write data taken.
    pub wready: Signal<In, Bit>,
    /// Write answered.
    pub bvalid: Signal<In, Bit>,
    /// Always taken.
    pub bready: Signal<Out, Bit>,
    /// Read address.
    pub araddr: Signal<Out, Bits<12>>,
    /// Read address valid.
    pub arvalid: Signal<Out, Bit>,
    /// Read address taken.
    pub arready: Signal<In, Bit>,
    /// Read data.
    pub rdata: Signal<In, Bits<32>>,
    /// Read data valid.
    pub rvalid: Signal<In, Bit>,
    /// Always taken.
    pub rready: Signal<Out, Bit>,
    state: Dff<Bits<3>>,
    opcode: Dff<Bits<8>>,
    operands: Dff<Bits<48>>,
    operands_left: Dff<Bits<3>>,
    quiet: Dff<Bits<23>>,
    address: Dff<Bits<12>>,
    words_left: Dff<Bits<3>>,
    word: Dff<Bits<32>>,
    bytes_left: Dff<Bits<2>>,
    aw_vld: Dff<Bit>,
    w_vld: Dff<Bit>,
    ar_vld: Dff<Bit>,
    timeout: Constant<Bits<23>>,
    c_identify: Constant<Bits<8>>,
    c_read: Constant<Bits<8>>,
    c_write: Constant<Bits<8>>,
    c_unknown: Constant<Bits<8>>,
    c_words: Constant<Bits<3>>,
    c_read_operands: Constant<Bits<3>>,
    c_write_operands: Constant<Bits<3>>,
}

impl Console {
    /// Part of a request is forgotten after this many cycles without a byte.
    ///
    /// # Panics
    /// With 0, or more than 23 bits: the designer's mistake.
    pub fn new(timeout: u32) -> Self {
        assert!(
            (1..1 << 23).contains(&timeout),
            "a timeout of {timeout} cycles"
        );
        let byte = |b: u8| Constant::new(u64::from(b).to_bits());
        let number = |n: usize| Constant::new((n as u64).to_bits());
        Self {
            clk: Default::default(),
            rst: Default::default(),
            in_vld: Default::default(),
            in_data: Default::default(),
            out_vld: Default::default(),
            out_rdy: Default::default(),
            out_data: Default::default(),
            awaddr: Default::default(),
            awvalid: Default::default(),
            awready: Default::default(),
            wdata: Default::default(),
            wvalid: Default::default(),
            wready: Default::default(),
            bvalid: Default::default(),
            bready: Default::default(),
            araddr: Default::default(),
            arvalid: Default::default(),
            arready: Default::default(),
            rdata: Default::default(),
            rvalid: Default::default(),
            rready: Default::default(),
            state: Default::default(),
            opcode: Default::default(),
            operands: Default::default(),
            operands_left: Default::default(),
            quiet: Default::default(),
            address: Default::default(),
            words_left: Default::default(),
            word: Default::default(),
            bytes_left: Default::default(),
            aw_vld: Default::default(),
            w_vld: Default::default(),
            ar_vld: Default::default(),
            timeout: Constant::new(u64::from(timeout).to_bits()),
            c_identify: byte(serial::IDENTIFY),
            c_read: byte(serial::READ),
            c_write: byte(serial::WRITE),
            c_unknown: byte(serial::UNKNOWN),
            c_words: number(serial::IDENTITY_WORDS),
            c_read_operands: number(serial::READ_OPERANDS),
            c_write_operands: number(serial::WRITE_OPERANDS),
        }
    }
}

impl Logic for Console {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("console");
        dff_setup!(
            self,
            clk,
            state,
            opcode,
            operands,
            operands_left,
            quiet,
            address
        );
        dff_setup!(self, clk, words_left, word, bytes_left, aw_vld, w_vld, ar_vld);

        self.awaddr.next = self.operands.q.val().get_bits::<12>(0);
        self.awvalid.next = self.aw_vld.q.val();
        self.wdata.next = self.operands.q.val().get_bits::<32>(16);
        self.wvalid.next = self.w_vld.q.val();
        self.bready.next = true;
        self.araddr.next = self.address.q.val();
        self.arvalid.next = self.ar_vld.q.val();
        self.rready.next = true;
        if self.awready.val() {
            self.aw_vld.d.next = false;
        }
        if self.wready.val() {
            self.w_vld.d.next = false;
        }
        if self.arready.val() {
            self.ar_vld.d.next = false;
        }

        // States: 0 the first byte, 1 operands, 2 a write is under way, 3 the first byte of the answer, 4 a read is under way,
        // 5 the bytes of a word.
        if self.state.q.val() == 0 && self.in_vld.val() {
            self.opcode.d.next = self.in_data.val();
            self.quiet.d.next = 0.into();
            self.address.d.next = 0.into();
            self.words_left.d.next = 0.into();
            self.state.d.next = 1.into();
            if self.in_data.val() == self.c_identify.val() {
                self.words_left.d.next = self.c_words.val();
                self.state.d.next = 3.into();
            } else if self.in_data.val() == self.c_read.val() {
                self.words_left.d.next = 1.into();
                self.operands_left.d.next = self.c_read_operands.val();
            } else if self.in_data.val() == self.c_write.val() {
                self.operands_left.d.next = self.c_write_operands.val();
            } else {
                self.opcode.d.next = self.c_unknown.val();
                self.state.d.next = 3.into();
            }
        }
        if self.state.q.val() == 1 {
            self.quiet.d.next = self.quiet.q.val() + 1;
            if self.quiet.q.val() == self.timeout.val() {
                self.state.d.next = 0.into();
            }
            if self.in_vld.val() {
                self.quiet.d.next = 0.into();
                self.operands_left.d.next = self.operands_left.q.val() - 1;
                // The newest byte enters at the top; in the end the first one of six is at the bottom.
                self.operands.d.next =
                    (self.operands.q.val() >> 8) | (bit_cast::<48, 8>(self.in_data.val()) << 40);
                self.state.d.next = 1.into();
                if self.operands_left.q.val() == 1 {
                    self.state.d.next = 3.into();
                    // Of two bytes the first one is the last that entered before this one.
                    self.address.d.next =
                        bit_cast::<12, 8>(self.operands.q.val().get_bits::<8>(40))
                            | (bit_cast::<12, 8>(self.in_data.val()) << 8);
                    if self.words_left.q.val() == 0 {
                        self.state.d.next = 2.into();
                        self.aw_vld.d.next = true;
                        self.w_vld.d.next = true;
                    }
                }
            }
        }
        if self.state.q.val() == 2 && self.bvalid.val() {
            self.state.d.next = 3.into();
        }
        self.out_vld.next = self.state.q.val() == 3 || self.state.q.val() == 5;
        self.out_data.next = self.word.q.val().get_bits::<8>(0);
        if self.state.q.val() == 3 {
            self.out_data.next = self.opcode.q.val();
            if self.out_rdy.val() {
                self.state.d.next = 0.into();
                if self.words_left.q.val() != 0 {
                    self.state.d.next = 4.into();
                    self.ar_vld.d.next = true;
                }
            }
        }
        if self.state.q.val() == 4 && self.rvalid.val() {
            self.word.d.next = self.rdata.val();
            self.bytes_left.d.next = 3.into();
            self.words_left.d.next = self.words_left.q.val() - 1;
            self.address.d.next = self.address.q.val() + 4;
            self.state.d.next = 5.into();
        }
        if self.state.q.val() == 5 && self.out_rdy.val() {
            self.word.d.next = self.word.q.val() >> 8;
            self.bytes_left.d.next = self.bytes_left.q.val() - 1;
            if self.bytes_left.q.val() == 0 {
                self.state.d.next = 0.into();
                if self.words_left.q.val() != 0 {
                    self.state.d.next = 4.into();
                    self.ar_vld.d.next = true;
                }
            }
        }

        if self.rst.val() {
            self.state.d.next = 0.into();
            self.aw_vld.d.next = false;
            self.w_vld.d.next = false;
            self.ar_vld.d.next = false;
        }
    }
}
