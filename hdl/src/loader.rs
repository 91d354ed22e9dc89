//! The expert loader: reads images from memory into the weight slots and tells the linear array what lies where.
//!
//! What: two machines that follow the same sequence of images, sections and windows (`docs/formats.md`, section 7).
//! The *request* side grants beats to an `axi_reader`: one for a header, then a window's worth whenever the next slot is free. The
//! *receive* side counts arriving beats, puts each into its bank and announces a window when its last beat is in memory.
//! Windows take the slots in turn: 0, 1, 0, 1.
//!
//! Cost (ECP5, `sim`, with the reader): 1453 LUTs, 917 flip-flops, one multiplier (addresses of experts, sizes of windows) of 2 DSPs.
//! Latency: `job_vld` to `ar_vld` 4 cycles, last beat of a window to `win_vld` 2 cycles. Bottleneck: the bus. The request side runs
//! ahead by up to 512 beats or one window, whichever is less, also over the end of an image, so beats follow each other without a
//! gap where the slot is free and the memory answers.
//!
//! Hazards: a slot is granted only after `go` or its `free_vld`, so no beat can arrive for a slot that is being read, and the
//! receive side never has to refuse a beat. A window is announced one cycle after its last write. At most one header is under way,
//! so what was asked for (`expert`, `router_image`) still stands when it arrives. Errors are noted and change nothing else.

use abi::Config;
use leaf::prelude::*;

use crate::axi_reader::AxiReader;

/// Steps of the request side.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
enum Request {
    /// Takes a job, or the router's image.
    Idle,
    /// The expert's offset is being multiplied.
    Offset,
    /// Asks for the header.
    Header,
    /// Decides the next window's groups.
    Size,
    /// The window's beats are being multiplied.
    Beats,
    /// Waits for the slot and asks for the window.
    Window,
}

/// What the next arriving beat is.
#[derive(Copy, Clone, PartialEq, Debug, LogicState)]
enum Part {
    /// The header of an image.
    Header,
    /// Scales of a group.
    Scale,
    /// 2:4 positions of a group.
    Position,
    /// Values of a group.
    Value,
}

/// See the module's page. Kinds: 0 router, 1 gate and up, 2 down.
#[derive(LogicBlock)]
pub struct Loader {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high.
    pub rst: Signal<In, Bit>,
    /// Starts a command: the router's image is loaded first. Only while not `busy`.
    pub go: Signal<In, Bit>,
    /// Image of the router.
    pub router_addr: Signal<In, Bits<40>>,
    /// Image of expert 0.
    pub experts_addr: Signal<In, Bits<40>>,
    /// Bytes from one expert's image to the next one's.
    pub expert_stride: Signal<In, Bits<32>>,
    /// Experts are stored 2:4.
    pub sparse: Signal<In, Bit>,
    /// Blocks of a model vector.
    pub nblk_d: Signal<In, Bits<16>>,
    /// Blocks of a hidden vector.
    pub nblk_f: Signal<In, Bits<16>>,
    /// Groups of the router.
    pub groups_router: Signal<In, Bits<16>>,
    /// Groups of gate and up together.
    pub groups_gate_up: Signal<In, Bits<16>>,
    /// Groups of down.
    pub groups_down: Signal<In, Bits<16>>,
    /// Groups of a full window: router. Its value words must fit `slot_words`; so for the two below.
    pub win_router: Signal<In, Bits<16>>,
    /// Groups of a full window: gate and up (even).
    pub win_gate_up: Signal<In, Bits<16>>,
    /// Groups of a full window: down.
    pub win_down: Signal<In, Bits<16>>,
    /// The next expert.
    pub job_vld: Signal<In, Bit>,
    /// Expert taken.
    pub job_rdy: Signal<Out, Bit>,
    /// Its number.
    pub job_expert: Signal<In, Bits<8>>,
    /// AXI read address.
    pub ar_vld: Signal<Out, Bit>,
    /// Address taken.
    pub ar_rdy: Signal<In, Bit>,
    /// Byte address.
    pub ar_addr: Signal<Out, Bits<40>>,
    /// Beats - 1.
    pub ar_len: Signal<Out, Bits<8>>,
    /// AXI read data.
    pub r_vld: Signal<In, Bit>,
    /// Always taken.
    pub r_rdy: Signal<Out, Bit>,
    /// One beat.
    pub r_data: Signal<In, Bits<128>>,
    /// 0: OKAY.
    pub r_resp: Signal<In, Bits<2>>,
    /// Last beat of a burst.
    pub r_last: Signal<In, Bit>,
    /// Writes one beat into a slot (`slots`).
    pub wr_vld: Signal<Out, Bit>,
    /// Lane of a value beat; 4: scales; 5: positions.
    pub wr_bank: Signal<Out, Bits<3>>,
    /// Slot.
    pub wr_slot: Signal<Out, Bit>,
    /// Word in the slot.
    pub wr_addr: Signal<Out, Bits<16>>,
    /// The beat.
    pub wr_data: Signal<Out, Bits<128>>,
    /// A window is complete.
    pub win_vld: Signal<Out, Bit>,
    /// Window taken.
    pub win_rdy: Signal<In, Bit>,
    /// Its kind.
    pub win_kind: Signal<Out, Bits<2>>,
    /// The slot it lies in.
    pub win_slot: Signal<Out, Bit>,
    /// Its groups.
    pub win_groups: Signal<Out, Bits<16>>,
    /// Number of its first group in the section.
    pub win_first: Signal<Out, Bits<16>>,
    /// It ends its section.
    pub win_last: Signal<Out, Bit>,
    /// Its expert; 0 for the router.
    pub win_expert: Signal<Out, Bits<8>>,
    /// Header, bits 15..0: exponent of gate, or of the router.
    pub win_exp_a: Signal<Out, Bits<16>>,
    /// Header, bits 31..16: exponent of up.
    pub win_exp_b: Signal<Out, Bits<16>>,
    /// Header, bits 47..32: exponent of down.
    pub win_exp_c: Signal<Out, Bits<16>>,
    /// The array has read a slot.
    pub free_vld: Signal<In, Bit>,
    /// Which one.
    pub free_slot: Signal<In, Bit>,
    /// A beat since `go` came with an AXI error.
    pub err_read: Signal<Out, Bit>,
    /// A header since `go` had no magic number.
    pub err_image: Signal<Out, Bit>,
    /// Something is asked for, arriving, or not yet taken by the array.
    pub busy: Signal<Out, Bit>,
    /// There is a window to load and its slot is not free.
    pub wait_slot: Signal<Out, Bit>,
    /// A beat arrives.
    pub beat: Signal<Out, Bit>,
    reader: AxiReader,
    mul: MulS2<17, 33, 50>,

    // Beats of a group, by kind; constant during a command.
    scale_last: [Dff<Bits<16>>; 3],
    position_last: [Dff<Bits<16>>; 3],
    word_last: [Dff<Bits<16>>; 3],
    group_beats: [Dff<Bits<16>>; 3],
    blocks: [Signal<Local, Bits<16>>; 3],
    dense: [Signal<Local, Bit>; 3],
    scales: [Signal<Local, Bits<16>>; 3],
    positions: [Signal<Local, Bits<16>>; 3],
    words: [Signal<Local, Bits<16>>; 3],

    // Request side.
    request: Dff<Request>,
    router_waits: Dff<Bit>,
    router_image: Dff<Bit>,
    expert: Dff<Bits<8>>,
    ask_kind: Dff<Bits<2>>,
    ask_left: Dff<Bits<16>>,
    ask_slot: Dff<Bit>,
    header_asked: Dff<Bit>,
    free: [Dff<Bit>; 2],
    full_window: Signal<Local, Bits<16>>,
    ask_groups: Signal<Local, Bits<16>>,
    beats_per_group: Signal<Local, Bits<16>>,
    product: Signal<Local, Bits<50>>,
    slot_is_free: Signal<Local, Bit>,
    a: Signal<Local, Bits<16>>,
    b: Signal<Local, Bits<32>>,

    // Receive side.
    part: Dff<Part>,
    kind: Dff<Bits<2>>,
    count: Dff<Bits<16>>,
    lane: Dff<Bits<2>>,
    section_left: Dff<Bits<16>>,
    window_left: Dff<Bits<16>>,
    window_groups: Dff<Bits<16>>,
    window_first: Dff<Bits<16>>,
    slot: Dff<Bit>,
    scale_addr: Dff<Bits<16>>,
    position_addr: Dff<Bits<16>>,
    value_addr: Dff<Bits<16>>,
    image_expert: Dff<Bits<8>>,
    image_exponents: Dff<Bits<48>>,
    arrived: Signal<Local, Bit>,
    limit: Signal<Local, Bits<16>>,
    at_limit: Signal<Local, Bit>,
    has_positions: Signal<Local, Bit>,
    group_ends: Signal<Local, Bit>,
    section_ends: Signal<Local, Bit>,
    window_ends: Signal<Local, Bit>,

    // The write port, and windows by slot.
    write: Dff<Bit>,
    write_bank: Dff<Bits<3>>,
    write_slot: Dff<Bit>,
    write_addr: Dff<Bits<16>>,
    write_data: Dff<Bits<128>>,
    written: Dff<Bit>,
    ready: [Dff<Bit>; 2],
    w_kind: [Dff<Bits<2>>; 2],
    w_groups: [Dff<Bits<16>>; 2],
    w_first: [Dff<Bits<16>>; 2],
    w_last: [Dff<Bit>; 2],
    w_expert: [Dff<Bits<8>>; 2],
    w_exponents: [Dff<Bits<48>>; 2],
    out_slot: Dff<Bit>,
    offered: Signal<Local, Bit>,
    exponents: Signal<Local, Bits<48>>,
    read_failed: Dff<Bit>,
    image_bad: Dff<Bit>,

    magic: Constant<Bits<16>>,
    lane_last: Constant<Bits<2>>,
    // log2 of: lanes, scale bytes per block, position bytes per block.
    lane_shift: Constant<Bits<3>>,
    scale_shift: Constant<Bits<3>>,
    position_shift: Constant<Bits<3>>,
}

impl Loader {
    /// A loader for the lanes of the configuration.
    pub fn new(config: &Config) -> Self {
        let log = u64::from(abi::config::LANES.trailing_zeros());
        Self {
            clk: Default::default(),
            rst: Default::default(),
            go: Default::default(),
            router_addr: Default::default(),
            experts_addr: Default::default(),
            expert_stride: Default::default(),
            sparse: Default::default(),
            nblk_d: Default::default(),
            nblk_f: Default::default(),
            groups_router: Default::default(),
            groups_gate_up: Default::default(),
            groups_down: Default::default(),
            win_router: Default::default(),
            win_gate_up: Default::default(),
            win_down: Default::default(),
            job_vld: Default::default(),
            job_rdy: Default::default(),
            job_expert: Default::default(),
            ar_vld: Default::default(),
            ar_rdy: Default::default(),
            ar_addr: Default::default(),
            ar_len: Default::default(),
            r_vld: Default::default(),
            r_rdy: Default::default(),
            r_data: Default::default(),
            r_resp: Default::default(),
            r_last: Default::default(),
            wr_vld: Default::default(),
            wr_bank: Default::default(),
            wr_slot: Default::default(),
            wr_addr: Default::default(),
            wr_data: Default::default(),
            win_vld: Default::default(),
            win_rdy: Default::default(),
            win_kind: Default::default(),
            win_slot: Default::default(),
            win_groups: Default::default(),
            win_first: Default::default(),
            win_last: Default::default(),
            win_expert: Default::default(),
            win_exp_a: Default::default(),
            win_exp_b: Default::default(),
            win_exp_c: Default::default(),
            free_vld: Default::default(),
            free_slot: Default::default(),
            err_read: Default::default(),
            err_image: Default::default(),
            busy: Default::default(),
            wait_slot: Default::default(),
            beat: Default::default(),
            reader: Default::default(),
            mul: Default::default(),
            scale_last: arr(),
            position_last: arr(),
            word_last: arr(),
            group_beats: arr(),
            blocks: arr(),
            dense: arr(),
            scales: arr(),
            positions: arr(),
            words: arr(),
            request: Dff::new(Request::Idle),
            router_waits: Default::default(),
            router_image: Default::default(),
            expert: Default::default(),
            ask_kind: Default::default(),
            ask_left: Default::default(),
            ask_slot: Default::default(),
            header_asked: Default::default(),
            free: arr(),
            full_window: Default::default(),
            ask_groups: Default::default(),
            beats_per_group: Default::default(),
            product: Default::default(),
            slot_is_free: Default::default(),
            a: Default::default(),
            b: Default::default(),
            part: Dff::new(Part::Header),
            kind: Default::default(),
            count: Default::default(),
            lane: Default::default(),
            section_left: Default::default(),
            window_left: Default::default(),
            window_groups: Default::default(),
            window_first: Default::default(),
            slot: Default::default(),
            scale_addr: Default::default(),
            position_addr: Default::default(),
            value_addr: Default::default(),
            image_expert: Default::default(),
            image_exponents: Default::default(),
            arrived: Default::default(),
            limit: Default::default(),
            at_limit: Default::default(),
            has_positions: Default::default(),
            group_ends: Default::default(),
            section_ends: Default::default(),
            window_ends: Default::default(),
            write: Default::default(),
            write_bank: Default::default(),
            write_slot: Default::default(),
            write_addr: Default::default(),
            write_data: Default::default(),
            written: Default::default(),
            ready: arr(),
            w_kind: arr(),
            w_groups: arr(),
            w_first: arr(),
            w_last: arr(),
            w_expert: arr(),
            w_exponents: arr(),
            out_slot: Default::default(),
            offered: Default::default(),
            exponents: Default::default(),
            read_failed: Default::default(),
            image_bad: Default::default(),
            magic: Constant::new(u64::from(abi::layout::IMAGE_MAGIC).to_bits()),
            lane_last: Constant::new((abi::config::LANES as u64 - 1).to_bits()),
            lane_shift: Constant::new(log.to_bits()),
            scale_shift: Constant::new((log + 1).to_bits()),
            position_shift: Constant::new((log + 2).to_bits()),
        }
    }
}

impl Logic for Loader {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("loader");
        dff_setup!(
            self,
            clk,
            request,
            router_waits,
            router_image,
            expert,
            ask_kind,
            ask_left,
            ask_slot
        );
        dff_setup!(
            self,
            clk,
            header_asked,
            part,
            kind,
            count,
            lane,
            section_left,
            window_left
        );
        dff_setup!(
            self,
            clk,
            window_groups,
            window_first,
            slot,
            scale_addr,
            position_addr,
            value_addr
        );
        dff_setup!(
            self,
            clk,
            image_expert,
            image_exponents,
            write,
            write_bank,
            write_slot,
            write_addr
        );
        dff_setup!(
            self,
            clk,
            write_data,
            written,
            out_slot,
            read_failed,
            image_bad
        );
        clock!(self, clk, mul);

        // Sizes of a group, by kind: registers, for speed; what they are made of is stable from `go`.
        self.blocks[0].next = self.nblk_d.val();
        self.blocks[1].next = self.nblk_d.val();
        self.blocks[2].next = self.nblk_f.val();
        self.dense[0].next = true;
        self.dense[1].next = !self.sparse.val();
        self.dense[2].next = !self.sparse.val();
        for i in 0..3 {
            self.scale_last[i].clock.next = self.clk.val();
            self.position_last[i].clock.next = self.clk.val();
            self.word_last[i].clock.next = self.clk.val();
            self.group_beats[i].clock.next = self.clk.val();
            self.scales[i].next = ((self.blocks[i].val() << self.scale_shift.val()) + 15) >> 4;
            self.positions[i].next =
                ((self.blocks[i].val() << self.position_shift.val()) + 15) >> 4;
            self.words[i].next = self.blocks[i].val();
            if self.dense[i].val() {
                self.positions[i].next = 0.into();
                self.words[i].next = self.blocks[i].val() << 1;
            }
            self.scale_last[i].d.next = self.scales[i].val() - 1;
            self.position_last[i].d.next = self.positions[i].val() - 1;
            self.word_last[i].d.next = self.words[i].val() - 1;
            self.group_beats[i].d.next = self.scales[i].val()
                + self.positions[i].val()
                + (self.words[i].val() << self.lane_shift.val());
        }

        // The bus.
        self.reader.clk.next = self.clk.val();
        self.reader.rst.next = self.rst.val();
        self.ar_vld.next = self.reader.ar_vld.val();
        self.reader.ar_rdy.next = self.ar_rdy.val();
        self.ar_addr.next = self.reader.ar_addr.val();
        self.ar_len.next = self.reader.ar_len.val();
        self.reader.r_vld.next = self.r_vld.val();
        self.r_rdy.next = self.reader.r_rdy.val();
        self.reader.r_data.next = self.r_data.val();
        self.reader.r_resp.next = self.r_resp.val();
        self.reader.r_last.next = self.r_last.val();
        self.reader.out_rdy.next = true;
        self.arrived.next = self.reader.out_vld.val();
        self.beat.next = self.arrived.val();

        // Request side. The multiplier's operands are those of the step; it holds its product in Header and Window.
        self.full_window.next = self.win_gate_up.val();
        self.beats_per_group.next = self.group_beats[1].q.val();
        if self.ask_kind.q.val() == 0 {
            self.full_window.next = self.win_router.val();
            self.beats_per_group.next = self.group_beats[0].q.val();
        }
        if self.ask_kind.q.val() == 2 {
            self.full_window.next = self.win_down.val();
            self.beats_per_group.next = self.group_beats[2].q.val();
        }
        self.ask_groups.next = self.full_window.val();
        if self.ask_left.q.val() < self.full_window.val() {
            self.ask_groups.next = self.ask_left.q.val();
        }
        self.a.next = self.ask_groups.val();
        self.b.next = bit_cast::<32, 16>(self.beats_per_group.val());
        if self.request.q.val() == Request::Idle {
            self.a.next = bit_cast::<16, 8>(self.job_expert.val());
            self.b.next = self.expert_stride.val();
        }
        self.mul.a.next = signed_cast(bit_cast::<17, 16>(self.a.val()));
        self.mul.b.next = signed_cast(bit_cast::<33, 32>(self.b.val()));
        self.mul.en.next =
            self.request.q.val() != Request::Header && self.request.q.val() != Request::Window;
        self.product.next = unsigned_cast(self.mul.p.val());
        self.slot_is_free.next = self.free[0].q.val();
        if self.ask_slot.q.val() {
            self.slot_is_free.next = self.free[1].q.val();
        }
        for i in 0..2 {
            self.free[i].clock.next = self.clk.val();
            self.free[i].d.next = self.free[i].q.val();
        }
        if self.free_vld.val() && !self.free_slot.val() {
            self.free[0].d.next = true;
        }
        if self.free_vld.val() && self.free_slot.val() {
            self.free[1].d.next = true;
        }
        self.job_rdy.next = false;
        self.wait_slot.next = false;
        self.reader.start.next = false;
        self.reader.addr.next = self.router_addr.val();
        if !self.router_image.q.val() {
            self.reader.addr.next = self.experts_addr.val() + self.product.val().get_bits::<40>(0);
        }
        self.reader.grant_vld.next = false;
        self.reader.grant_beats.next = self.product.val().get_bits::<16>(0);
        match self.request.q.val() {
            Request::Idle => {
                if self.router_waits.q.val() {
                    self.router_waits.d.next = false;
                    self.router_image.d.next = true;
                    self.expert.d.next = 0.into();
                    self.request.d.next = Request::Header;
                } else if !self.header_asked.q.val() {
                    self.job_rdy.next = true;
                    if self.job_vld.val() {
                        self.router_image.d.next = false;
                        self.expert.d.next = self.job_expert.val();
                        self.request.d.next = Request::Offset;
                    }
                }
            }
            Request::Offset => {
                self.request.d.next = Request::Header;
            }
            Request::Header => {
                self.reader.grant_beats.next = 1.into();
                if self.reader.issued.val() {
                    self.reader.start.next = true;
                    self.reader.grant_vld.next = true;
                    self.header_asked.d.next = true;
                    self.ask_kind.d.next = 1.into();
                    self.ask_left.d.next = self.groups_gate_up.val();
                    if self.router_image.q.val() {
                        self.ask_kind.d.next = 0.into();
                        self.ask_left.d.next = self.groups_router.val();
                    }
                    self.request.d.next = Request::Size;
                }
            }
            Request::Size => {
                self.ask_left.d.next = self.ask_left.q.val() - self.ask_groups.val();
                self.request.d.next = Request::Beats;
            }
            Request::Beats => {
                self.request.d.next = Request::Window;
            }
            Request::Window => {
                self.wait_slot.next = !self.slot_is_free.val();
                if self.slot_is_free.val() {
                    self.reader.grant_vld.next = true;
                    self.ask_slot.d.next = !self.ask_slot.q.val();
                    if self.ask_slot.q.val() {
                        self.free[1].d.next = false;
                    } else {
                        self.free[0].d.next = false;
                    }
                    self.request.d.next = Request::Size;
                    if self.ask_left.q.val() == 0 {
                        if self.ask_kind.q.val() == 1 {
                            self.ask_kind.d.next = 2.into();
                            self.ask_left.d.next = self.groups_down.val();
                        } else {
                            self.request.d.next = Request::Idle;
                        }
                    }
                }
            }
        }

        // Receive side: where this beat goes, and what it ends.
        self.limit.next = self.scale_last[1].q.val();
        if self.part.q.val() == Part::Position {
            self.limit.next = self.position_last[1].q.val();
        }
        if self.part.q.val() == Part::Value {
            self.limit.next = self.word_last[1].q.val();
        }
        if self.kind.q.val() == 0 {
            self.limit.next = self.scale_last[0].q.val();
            if self.part.q.val() == Part::Value {
                self.limit.next = self.word_last[0].q.val();
            }
        }
        if self.kind.q.val() == 2 {
            self.limit.next = self.scale_last[2].q.val();
            if self.part.q.val() == Part::Position {
                self.limit.next = self.position_last[2].q.val();
            }
            if self.part.q.val() == Part::Value {
                self.limit.next = self.word_last[2].q.val();
            }
        }
        self.at_limit.next = self.count.q.val() == self.limit.val();
        self.has_positions.next = self.sparse.val() && self.kind.q.val() != 0;
        self.group_ends.next = self.arrived.val()
            && self.part.q.val() == Part::Value
            && self.at_limit.val()
            && self.lane.q.val() == self.lane_last.val();
        self.section_ends.next = self.group_ends.val() && self.section_left.q.val() == 1;
        self.window_ends.next =
            self.section_ends.val() || (self.group_ends.val() && self.window_left.q.val() == 1);

        self.write.d.next = false;
        self.written.d.next = false;
        self.write_slot.d.next = self.slot.q.val();
        self.write_data.d.next = self.reader.out_data.val();
        if self.arrived.val() {
            self.write.d.next = self.part.q.val() != Part::Header;
            self.written.d.next = self.window_ends.val();
            match self.part.q.val() {
                Part::Header => {
                    self.header_asked.d.next = false;
                    self.image_expert.d.next = self.expert.q.val();
                    self.image_exponents.d.next = self.reader.out_data.val().get_bits::<48>(0);
                    if self.reader.out_data.val().get_bits::<16>(48) != self.magic.val() {
                        self.image_bad.d.next = true;
                    }
                    self.kind.d.next = 1.into();
                    self.section_left.d.next = self.groups_gate_up.val();
                    self.window_left.d.next = self.win_gate_up.val();
                    if self.router_image.q.val() {
                        self.kind.d.next = 0.into();
                        self.section_left.d.next = self.groups_router.val();
                        self.window_left.d.next = self.win_router.val();
                    }
                    self.part.d.next = Part::Scale;
                }
                Part::Scale => {
                    self.write_bank.d.next = 4.into();
                    self.write_addr.d.next = self.scale_addr.q.val();
                    self.scale_addr.d.next = self.scale_addr.q.val() + 1;
                    self.count.d.next = self.count.q.val() + 1;
                    if self.at_limit.val() {
                        self.count.d.next = 0.into();
                        self.part.d.next = Part::Value;
                        if self.has_positions.val() {
                            self.part.d.next = Part::Position;
                        }
                    }
                }
                Part::Position => {
                    self.write_bank.d.next = 5.into();
                    self.write_addr.d.next = self.position_addr.q.val();
                    self.position_addr.d.next = self.position_addr.q.val() + 1;
                    self.count.d.next = self.count.q.val() + 1;
                    if self.at_limit.val() {
                        self.count.d.next = 0.into();
                        self.part.d.next = Part::Value;
                    }
                }
                Part::Value => {
                    self.write_bank.d.next = bit_cast::<3, 2>(self.lane.q.val());
                    self.write_addr.d.next = self.value_addr.q.val();
                    self.lane.d.next = self.lane.q.val() + 1;
                    if self.lane.q.val() == self.lane_last.val() {
                        self.lane.d.next = 0.into();
                        self.value_addr.d.next = self.value_addr.q.val() + 1;
                        self.count.d.next = self.count.q.val() + 1;
                    }
                }
            }
        }
        if self.group_ends.val() {
            self.count.d.next = 0.into();
            self.part.d.next = Part::Scale;
            self.section_left.d.next = self.section_left.q.val() - 1;
            self.window_left.d.next = self.window_left.q.val() - 1;
            self.window_groups.d.next = self.window_groups.q.val() + 1;
        }
        if self.window_ends.val() {
            self.slot.d.next = !self.slot.q.val();
            self.scale_addr.d.next = 0.into();
            self.position_addr.d.next = 0.into();
            self.value_addr.d.next = 0.into();
            self.window_first.d.next = self.window_first.q.val() + self.window_groups.q.val() + 1;
            self.window_groups.d.next = 0.into();
            self.window_left.d.next = self.win_gate_up.val();
            if self.kind.q.val() == 0 {
                self.window_left.d.next = self.win_router.val();
            }
            if self.kind.q.val() == 2 {
                self.window_left.d.next = self.win_down.val();
            }
        }
        if self.section_ends.val() {
            self.window_first.d.next = 0.into();
            self.part.d.next = Part::Header;
            if self.kind.q.val() == 1 {
                self.part.d.next = Part::Scale;
                self.kind.d.next = 2.into();
                self.section_left.d.next = self.groups_down.val();
                self.window_left.d.next = self.win_down.val();
            }
        }
        self.wr_vld.next = self.write.q.val();
        self.wr_bank.next = self.write_bank.q.val();
        self.wr_slot.next = self.write_slot.q.val();
        self.wr_addr.next = self.write_addr.q.val();
        self.wr_data.next = self.write_data.q.val();

        // Windows: described when their last beat arrives, offered when it is in memory.
        self.offered.next = self.ready[0].q.val();
        if self.out_slot.q.val() {
            self.offered.next = self.ready[1].q.val();
        }
        for i in 0..2 {
            self.ready[i].clock.next = self.clk.val();
            self.w_kind[i].clock.next = self.clk.val();
            self.w_groups[i].clock.next = self.clk.val();
            self.w_first[i].clock.next = self.clk.val();
            self.w_last[i].clock.next = self.clk.val();
            self.w_expert[i].clock.next = self.clk.val();
            self.w_exponents[i].clock.next = self.clk.val();
            self.ready[i].d.next = self.ready[i].q.val();
            self.w_kind[i].d.next = self.w_kind[i].q.val();
            self.w_groups[i].d.next = self.w_groups[i].q.val();
            self.w_first[i].d.next = self.w_first[i].q.val();
            self.w_last[i].d.next = self.w_last[i].q.val();
            self.w_expert[i].d.next = self.w_expert[i].q.val();
            self.w_exponents[i].d.next = self.w_exponents[i].q.val();
            if self.window_ends.val() && bit_cast::<8, 1>(self.slot.q.val().into()) == i.to_bits() {
                self.w_kind[i].d.next = self.kind.q.val();
                self.w_groups[i].d.next = self.window_groups.q.val() + 1;
                self.w_first[i].d.next = self.window_first.q.val();
                self.w_last[i].d.next = self.section_ends.val();
                self.w_expert[i].d.next = self.image_expert.q.val();
                self.w_exponents[i].d.next = self.image_exponents.q.val();
            }
            if self.written.q.val()
                && bit_cast::<8, 1>(self.write_slot.q.val().into()) == i.to_bits()
            {
                self.ready[i].d.next = true;
            }
            if self.offered.val()
                && self.win_rdy.val()
                && bit_cast::<8, 1>(self.out_slot.q.val().into()) == i.to_bits()
            {
                self.ready[i].d.next = false;
            }
        }
        self.win_kind.next = self.w_kind[0].q.val();
        self.win_groups.next = self.w_groups[0].q.val();
        self.win_first.next = self.w_first[0].q.val();
        self.win_last.next = self.w_last[0].q.val();
        self.win_expert.next = self.w_expert[0].q.val();
        self.exponents.next = self.w_exponents[0].q.val();
        if self.out_slot.q.val() {
            self.win_kind.next = self.w_kind[1].q.val();
            self.win_groups.next = self.w_groups[1].q.val();
            self.win_first.next = self.w_first[1].q.val();
            self.win_last.next = self.w_last[1].q.val();
            self.win_expert.next = self.w_expert[1].q.val();
            self.exponents.next = self.w_exponents[1].q.val();
        }
        if self.offered.val() && self.win_rdy.val() {
            self.out_slot.d.next = !self.out_slot.q.val();
        }
        self.win_vld.next = self.offered.val();
        self.win_slot.next = self.out_slot.q.val();
        self.win_exp_a.next = self.exponents.val().get_bits::<16>(0);
        self.win_exp_b.next = self.exponents.val().get_bits::<16>(16);
        self.win_exp_c.next = self.exponents.val().get_bits::<16>(32);

        // Status.
        if self.reader.err.val() {
            self.read_failed.d.next = true;
        }
        self.err_read.next = self.read_failed.q.val();
        self.err_image.next = self.image_bad.q.val();
        self.busy.next = self.request.q.val() != Request::Idle
            || self.router_waits.q.val()
            || self.header_asked.q.val()
            || self.part.q.val() != Part::Header
            || self.written.q.val()
            || self.ready[0].q.val()
            || self.ready[1].q.val();

        if self.go.val() || self.rst.val() {
            // The reader forgets the last command's error with a start that asks for nothing.
            self.reader.start.next = true;
            self.reader.grant_vld.next = false;
            self.request.d.next = Request::Idle;
            self.router_waits.d.next = self.go.val();
            self.header_asked.d.next = false;
            self.ask_slot.d.next = false;
            self.free[0].d.next = true;
            self.free[1].d.next = true;
            self.part.d.next = Part::Header;
            self.count.d.next = 0.into();
            self.lane.d.next = 0.into();
            self.window_groups.d.next = 0.into();
            self.window_first.d.next = 0.into();
            self.slot.d.next = false;
            self.scale_addr.d.next = 0.into();
            self.position_addr.d.next = 0.into();
            self.value_addr.d.next = 0.into();
            self.written.d.next = false;
            self.ready[0].d.next = false;
            self.ready[1].d.next = false;
            self.out_slot.d.next = false;
            self.read_failed.d.next = false;
            self.image_bad.d.next = false;
        }
        if self.rst.val() {
            self.router_waits.d.next = false;
            self.write.d.next = false;
        }
    }
}
