//! Card memory in block RAM: an AXI4 slave for images of boards whose DRAM is not connected yet.
//!
//! What: `m_axi` of the engine (beats of 16 bytes, INCR). Reads and writes go side by side, each burst by burst and in the order they
//! came. Beyond its size a whole burst is answered with DECERR (no burst crosses 4 KiB, and the size is a multiple of that). Cost: one
//! block RAM of 16 kbit for each byte of a beat and 2048 beats; docs/utilisation.md. Latency: 2 cycles from address to first beat.
//! Bottleneck: one cycle between two bursts. Hazards: a beat that is read in the very cycle it is written is undefined: a master that
//! reads what it wrote waits for the answer, as AXI asks of it.

use abi::Config;
use leaf::prelude::*;

/// Bytes of a beat.
const LANES: usize = 16;
/// The largest memory, in address bits of beats: 1 MiB.
const BEATS_BITS: usize = 16;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Memory {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Write ID.
    pub awid: Signal<In, Bits<6>>,
    /// Write address.
    pub awaddr: Signal<In, Bits<40>>,
    /// Write address valid.
    pub awvalid: Signal<In, Bit>,
    /// Write address taken.
    pub awready: Signal<Out, Bit>,
    /// Write data.
    pub wdata: Signal<In, Bits<128>>,
    /// Byte enables.
    pub wstrb: Signal<In, Bits<16>>,
    /// Last beat of the burst.
    pub wlast: Signal<In, Bit>,
    /// Write data valid.
    pub wvalid: Signal<In, Bit>,
    /// Write data taken.
    pub wready: Signal<Out, Bit>,
    /// ID of the response.
    pub bid: Signal<Out, Bits<6>>,
    /// Write response.
    pub bresp: Signal<Out, Bits<2>>,
    /// Write response valid.
    pub bvalid: Signal<Out, Bit>,
    /// Write response taken.
    pub bready: Signal<In, Bit>,
    /// Read ID.
    pub arid: Signal<In, Bits<6>>,
    /// Read address.
    pub araddr: Signal<In, Bits<40>>,
    /// Beats of the burst less one.
    pub arlen: Signal<In, Bits<8>>,
    /// Read address valid.
    pub arvalid: Signal<In, Bit>,
    /// Read address taken.
    pub arready: Signal<Out, Bit>,
    /// ID of the data.
    pub rid: Signal<Out, Bits<6>>,
    /// Read data.
    pub rdata: Signal<Out, Bits<128>>,
    /// Read response.
    pub rresp: Signal<Out, Bits<2>>,
    /// Last beat of the burst.
    pub rlast: Signal<Out, Bit>,
    /// Read data valid.
    pub rvalid: Signal<Out, Bit>,
    /// Read data taken.
    pub rready: Signal<In, Bit>,
    lanes: Vec<Ram<8, BEATS_BITS>>,
    writing: Dff<Bit>,
    write_id: Dff<Bits<6>>,
    write_beat: Dff<Bits<BEATS_BITS>>,
    write_bad: Dff<Bit>,
    answer: Dff<Bit>,
    reading: Dff<Bit>,
    read_id: Dff<Bits<6>>,
    read_beat: Dff<Bits<BEATS_BITS>>,
    read_left: Dff<Bits<8>>,
    read_bad: Dff<Bit>,
    beat_vld: Dff<Bit>,
    beat_last: Dff<Bit>,
    moves: Signal<Local, Bit>,
    data: Signal<Local, Bits<128>>,
    c_beats: Constant<Bits<36>>,
    place: Vec<Constant<Bits<7>>>,
    _lanes: usize,
}

impl Memory {
    /// As large as the configuration's memory.
    ///
    /// # Errors
    /// More than fits on a chip.
    pub fn new(config: &Config) -> Result<Self, String> {
        let most = (LANES as u64) << BEATS_BITS;
        if config.memory_bytes > most {
            return Err(format!(
                "engine configuration `{}` has {} bytes of card memory, and block RAM takes {most} at most: choose `mini`",
                config.name, config.memory_bytes
            ));
        }
        let beats = config.memory_bytes as usize / LANES;
        Ok(Self {
            clk: Default::default(),
            rst: Default::default(),
            awid: Default::default(),
            awaddr: Default::default(),
            awvalid: Default::default(),
            awready: Default::default(),
            wdata: Default::default(),
            wstrb: Default::default(),
            wlast: Default::default(),
            wvalid: Default::default(),
            wready: Default::default(),
            bid: Default::default(),
            bresp: Default::default(),
            bvalid: Default::default(),
            bready: Default::default(),
            arid: Default::default(),
            araddr: Default::default(),
            arlen: Default::default(),
            arvalid: Default::default(),
            arready: Default::default(),
            rid: Default::default(),
            rdata: Default::default(),
            rresp: Default::default(),
            rlast: Default::default(),
            rvalid: Default::default(),
            rready: Default::default(),
            lanes: (0..LANES).map(|_| Ram::new(beats)).collect(),
            writing: Default::default(),
            write_id: Default::default(),
            write_beat: Default::default(),
            write_bad: Default::default(),
            answer: Default::default(),
            reading: Default::default(),
            read_id: Default::default(),
            read_beat: Default::default(),
            read_left: Default::default(),
            read_bad: Default::default(),
            beat_vld: Default::default(),
            beat_last: Default::default(),
            moves: Default::default(),
            data: Default::default(),
            c_beats: Constant::new((beats as u64).to_bits()),
            place: (0..LANES)
                .map(|lane| Constant::new((8 * lane as u64).to_bits()))
                .collect(),
            _lanes: LANES,
        })
    }
}

impl Logic for Memory {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("memory");
        dff_setup!(self, clk, writing, write_id, write_beat, write_bad, answer);
        dff_setup!(
            self, clk, reading, read_id, read_beat, read_left, read_bad, beat_vld, beat_last
        );

        // Write: an address, its beats, its answer.
        self.awready.next = !self.writing.q.val() && !self.answer.q.val();
        self.wready.next = self.writing.q.val();
        if !self.writing.q.val() && !self.answer.q.val() && self.awvalid.val() {
            self.writing.d.next = true;
            self.write_id.d.next = self.awid.val();
            self.write_beat.d.next = self.awaddr.val().get_bits::<16>(4);
            self.write_bad.d.next = self.awaddr.val().get_bits::<36>(4) >= self.c_beats.val();
        }
        if self.writing.q.val() && self.wvalid.val() {
            self.write_beat.d.next = self.write_beat.q.val() + 1;
            if self.wlast.val() {
                self.writing.d.next = false;
                self.answer.d.next = true;
            }
        }
        self.bvalid.next = self.answer.q.val();
        self.bid.next = self.write_id.q.val();
        self.bresp.next = 0.into();
        if self.write_bad.q.val() {
            self.bresp.next = 3.into();
        }
        if self.answer.q.val() && self.bready.val() {
            self.answer.d.next = false;
        }

        // Read: the memory's register holds the beat that is offered, and is filled again as it leaves.
        self.moves.next = self.reading.q.val() && (!self.beat_vld.q.val() || self.rready.val());
        self.arready.next = !self.reading.q.val() && (!self.beat_vld.q.val() || self.rready.val());
        if self.beat_vld.q.val() && self.rready.val() {
            self.beat_vld.d.next = false;
        }
        if self.arvalid.val()
            && !self.reading.q.val()
            && (!self.beat_vld.q.val() || self.rready.val())
        {
            self.reading.d.next = true;
            self.read_id.d.next = self.arid.val();
            self.read_beat.d.next = self.araddr.val().get_bits::<16>(4);
            self.read_left.d.next = self.arlen.val();
            self.read_bad.d.next = self.araddr.val().get_bits::<36>(4) >= self.c_beats.val();
        }
        if self.moves.val() {
            self.beat_vld.d.next = true;
            self.beat_last.d.next = self.read_left.q.val() == 0;
            self.read_beat.d.next = self.read_beat.q.val() + 1;
            self.read_left.d.next = self.read_left.q.val() - 1;
            if self.read_left.q.val() == 0 {
                self.reading.d.next = false;
            }
        }
        self.data.next = 0.into();
        for i in 0..self._lanes {
            self.lanes[i].clock.next = self.clk.val();
            self.lanes[i].we.next = self.writing.q.val()
                && self.wvalid.val()
                && self.wstrb.val().get_bit(i)
                && !self.write_bad.q.val();
            self.lanes[i].waddr.next = self.write_beat.q.val();
            self.lanes[i].wdata.next = self.wdata.val().get_bits::<8>(i * 8);
            self.lanes[i].re.next = self.moves.val();
            self.lanes[i].raddr.next = self.read_beat.q.val();
            self.data.next = self.data.val()
                | (unsigned_cast_zx::<128, 8>(self.lanes[i].rdata.val()) << self.place[i].val());
        }
        self.rvalid.next = self.beat_vld.q.val();
        self.rid.next = self.read_id.q.val();
        self.rdata.next = self.data.val();
        self.rlast.next = self.beat_last.q.val();
        self.rresp.next = 0.into();
        if self.read_bad.q.val() {
            self.rresp.next = 3.into();
        }

        if self.rst.val() {
            self.writing.d.next = false;
            self.answer.d.next = false;
            self.reading.d.next = false;
            self.beat_vld.d.next = false;
        }
    }
}
