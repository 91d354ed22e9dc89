//! Errors that the transaction layer finds: which bits of status they set, what is logged, and which message is sent.
//!
//! What: advanced error reporting, and the events for Status and Device Status. Each kind of error waits in one bit, one is worked on
//! per cycle. An error whose severity is non-fatal, and which has been dealt with here (the requester was told, the data marked, the
//! completion dropped), is advisory: it is reported as correctable, if at all. First error pointer and header log hold the first
//! unmasked error until software clears its bit. Errors of the data link layer are not known here.
//!
//! The registers are sticky: only `rst` (power-on) resets them. Cost (ECP5): 800 LUTs, 380 flip-flops. Latency: 3 cycles.
//! Hazard: of errors in the same cycle, or while one waits, only the first keeps its header; the others are logged with it.

use abi::pci::{error, offset, word};
use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock)]
pub struct Errors {
    /// Rising edge.
    pub clk: Signal<In, Clock>,
    /// Synchronous, active high: power-on.
    pub rst: Signal<In, Bit>,
    /// A posted request was not supported; header in `dispatch_header`.
    pub posted_unsupported: Signal<In, Bit>,
    /// A request came with poisoned data; header in `dispatch_header`.
    pub request_poisoned: Signal<In, Bit>,
    /// Header.
    pub dispatch_header: Signal<In, Bits<128>>,
    /// A request was answered with unsupported request; header in `completer_header`.
    pub unsupported: Signal<In, Bit>,
    /// A request was answered with completer abort; header in `completer_header`.
    pub aborted: Signal<In, Bit>,
    /// Header.
    pub completer_header: Signal<In, Bits<128>>,
    /// A completion was not expected; header in `requester_header`.
    pub unexpected: Signal<In, Bit>,
    /// A completion was poisoned; header in `requester_header`.
    pub poisoned: Signal<In, Bit>,
    /// A completion brought unsupported request.
    pub got_unsupported: Signal<In, Bit>,
    /// A completion brought completer abort.
    pub got_abort: Signal<In, Bit>,
    /// Header.
    pub requester_header: Signal<In, Bits<128>>,
    /// A completion did not come in time.
    pub timed_out: Signal<In, Bit>,
    /// A TLP was malformed; header in `ingress_header`.
    pub malformed: Signal<In, Bit>,
    /// Header.
    pub ingress_header: Signal<In, Bits<128>>,
    /// Parity Error Response.
    pub parity: Signal<In, Bit>,
    /// SERR# Enable.
    pub serr: Signal<In, Bit>,
    /// Device Control: report correctable, non-fatal, fatal errors, unsupported requests.
    pub reports: Signal<In, Bits<4>>,
    /// Events for Status.
    pub status_set: Signal<Out, Bits<16>>,
    /// Events for Device Status.
    pub device_set: Signal<Out, Bits<4>>,
    /// Send ERR_COR.
    pub send_correctable: Signal<Out, Bit>,
    /// Send ERR_NONFATAL.
    pub send_nonfatal: Signal<Out, Bit>,
    /// Send ERR_FATAL.
    pub send_fatal: Signal<Out, Bit>,
    /// Number of a word of configuration space.
    pub cf_addr: Signal<In, Bits<10>>,
    /// What is written.
    pub cf_data: Signal<In, Bits<32>>,
    /// It is written in this cycle.
    pub apply: Signal<In, Bit>,
    /// The bits that are.
    pub lanes: Signal<In, Bits<32>>,
    /// The word, two cycles after its number; zero if it is not here.
    pub cf_word: Signal<Out, Bits<32>>,
    // Kinds: 0 posted unsupported, 1 unsupported, 2 aborted, 3 unexpected, 4 poisoned, 5 time-out, 6 malformed.
    waiting: Dff<Bits<7>>,
    head: Dff<Bits<128>>,
    status: Dff<Bits<32>>,
    mask: Dff<Bits<32>>,
    severity: Dff<Bits<32>>,
    // The one that is worked on.
    found: Dff<Bit>,
    bit: Dff<Bits<32>>,
    place: Dff<Bits<5>>,
    unsupported_kind: Dff<Bit>,
    dealt_with: Dff<Bit>,
    headed: Dff<Bit>,
    advisory: Dff<Bit>,
    advisory_mask: Dff<Bit>,
    first: Dff<Bits<5>>,
    log: Dff<Bits<128>>,
    choice: [Dff<Bit>; 11],
    word: Dff<Bits<32>>,
    status_out: Dff<Bits<16>>,
    device_out: Dff<Bits<4>>,
    correctable: Dff<Bit>,
    nonfatal: Dff<Bit>,
    fatal: Dff<Bit>,
    come: Signal<Local, Bits<7>>,
    rest: Signal<Local, Bits<7>>,

    severe: Signal<Local, Bit>,
    hidden: Signal<Local, Bit>,
    advises: Signal<Local, Bit>,
    logs: Signal<Local, Bit>,
    set: Signal<Local, Bits<32>>,
    drop: Signal<Local, Bits<32>>,
    sent: Signal<Local, Bit>,
    shown: Signal<Local, Bits<32>>,
    value: [Signal<Local, Bits<32>>; 11],
    c_bit: [Constant<Bits<32>>; 7],
    c_place: [Constant<Bits<5>>; 7],
    c_number: [Constant<Bits<10>>; 11],
    c_all: Constant<Bits<32>>,
    c_fatal: Constant<Bits<32>>,
    c_advisory: Constant<Bits<32>>,
    c_id: Constant<Bits<32>>,
}

const BITS: [u32; 7] = [
    error::UNSUPPORTED,
    error::UNSUPPORTED,
    error::ABORT,
    error::UNEXPECTED,
    error::POISONED,
    error::TIMEOUT,
    error::MALFORMED,
];

impl Default for Errors {
    fn default() -> Self {
        Self {
            clk: Default::default(),
            rst: Default::default(),
            posted_unsupported: Default::default(),
            request_poisoned: Default::default(),
            dispatch_header: Default::default(),
            unsupported: Default::default(),
            aborted: Default::default(),
            completer_header: Default::default(),
            unexpected: Default::default(),
            poisoned: Default::default(),
            got_unsupported: Default::default(),
            got_abort: Default::default(),
            requester_header: Default::default(),
            timed_out: Default::default(),
            malformed: Default::default(),
            ingress_header: Default::default(),
            parity: Default::default(),
            serr: Default::default(),
            reports: Default::default(),
            status_set: Default::default(),
            device_set: Default::default(),
            send_correctable: Default::default(),
            send_nonfatal: Default::default(),
            send_fatal: Default::default(),
            cf_addr: Default::default(),
            cf_data: Default::default(),
            apply: Default::default(),
            lanes: Default::default(),
            cf_word: Default::default(),
            waiting: Default::default(),
            head: Default::default(),
            status: Default::default(),
            mask: Default::default(),
            severity: Dff::new(u64::from(error::FATAL).to_bits()),
            found: Default::default(),
            bit: Default::default(),
            place: Default::default(),
            unsupported_kind: Default::default(),
            dealt_with: Default::default(),
            headed: Default::default(),
            advisory: Default::default(),
            advisory_mask: Dff::new(true),
            first: Default::default(),
            log: Default::default(),
            choice: arr(),
            word: Default::default(),
            status_out: Default::default(),
            device_out: Default::default(),
            correctable: Default::default(),
            nonfatal: Default::default(),
            fatal: Default::default(),
            come: Default::default(),
            rest: Default::default(),
            severe: Default::default(),
            hidden: Default::default(),
            advises: Default::default(),
            logs: Default::default(),
            set: Default::default(),
            drop: Default::default(),
            sent: Default::default(),
            shown: Default::default(),
            value: arr(),
            c_bit: std::array::from_fn(|i| Constant::new(u64::from(BITS[i]).to_bits())),
            c_place: std::array::from_fn(|i| {
                Constant::new(u64::from(BITS[i].trailing_zeros()).to_bits())
            }),
            c_number: std::array::from_fn(|i| {
                Constant::new((u64::from(offset::AER) / 4 + i as u64).to_bits())
            }),
            c_all: Constant::new(u64::from(error::ALL).to_bits()),
            c_fatal: Constant::new(u64::from(error::FATAL).to_bits()),
            c_advisory: Constant::new(u64::from(error::ADVISORY).to_bits()),
            c_id: Constant::new(u64::from(word::AER).to_bits()),
        }
    }
}

impl Logic for Errors {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_errors");
        dff_setup!(
            self,
            clk,
            waiting,
            head,
            status,
            mask,
            severity,
            advisory,
            advisory_mask
        );
        dff_setup!(
            self,
            clk,
            first,
            log,
            word,
            status_out,
            device_out,
            correctable,
            nonfatal
        );
        dff_setup!(
            self,
            clk,
            fatal,
            found,
            bit,
            place,
            unsupported_kind,
            dealt_with,
            headed
        );

        // Events wait; the header of the first is kept.
        self.come.next = bit_cast::<7, 1>(self.posted_unsupported.val().into())
            | (bit_cast::<7, 1>(self.unsupported.val().into()) << 1)
            | (bit_cast::<7, 1>(self.aborted.val().into()) << 2)
            | (bit_cast::<7, 1>(self.unexpected.val().into()) << 3)
            | (bit_cast::<7, 1>((self.request_poisoned.val() || self.poisoned.val()).into()) << 4)
            | (bit_cast::<7, 1>(self.timed_out.val().into()) << 5)
            | (bit_cast::<7, 1>(self.malformed.val().into()) << 6);
        if self.waiting.q.val() == 0 && !self.found.q.val() {
            self.head.d.next = self.ingress_header.val();
            if self.posted_unsupported.val() || self.request_poisoned.val() {
                self.head.d.next = self.dispatch_header.val();
            } else if self.unsupported.val() || self.aborted.val() {
                self.head.d.next = self.completer_header.val();
            } else if self.unexpected.val() || self.poisoned.val() {
                self.head.d.next = self.requester_header.val();
            }
        }

        // One of them: the lowest.
        self.rest.next = self.waiting.q.val() & (self.waiting.q.val() - 1);
        self.waiting.d.next = self.rest.val() | self.come.val();
        self.found.d.next = self.waiting.q.val() != 0;
        self.bit.d.next = 0.into();
        self.place.d.next = 0.into();
        for n in 0..7 {
            if self.waiting.q.val().get_bit(6 - n) {
                self.bit.d.next = self.c_bit[6 - n].val();
                self.place.d.next = self.c_place[6 - n].val();
            }
        }
        self.unsupported_kind.d.next = self.waiting.q.val().get_bits::<2>(0) != 0;
        self.dealt_with.d.next =
            !self.waiting.q.val().get_bit(0) && self.waiting.q.val().get_bits::<4>(1) != 0;
        self.headed.d.next =
            self.waiting.q.val().get_bits::<5>(0) != 0 || !self.waiting.q.val().get_bit(5);
        self.severe.next = (self.severity.q.val() & self.bit.q.val()) != 0;
        self.hidden.next = (self.mask.q.val() & self.bit.q.val()) != 0;
        self.advises.next = self.dealt_with.q.val() && !self.severe.val();
        self.logs.next = self.found.q.val() && !(self.advises.val() && self.advisory_mask.q.val());

        // The log.
        self.set.next = 0.into();
        if self.logs.val() {
            self.set.next = self.bit.q.val();
            if !self.hidden.val() && !self.status.q.val().get_bit(self.first.q.val().index()) {
                self.first.d.next = self.place.q.val();
                self.log.d.next = 0.into();
                if self.headed.q.val() {
                    self.log.d.next = bit_cast::<128, 96>(self.head.q.val().get_bits::<96>(0));
                    if self.head.q.val().get_bit(29) {
                        self.log.d.next = self.head.q.val();
                    }
                }
            }
        }

        // Device Status and messages.
        self.device_out.d.next = 0.into();
        self.correctable.d.next = false;
        self.nonfatal.d.next = false;
        self.fatal.d.next = false;
        if self.found.q.val() {
            self.device_out.d.next = bit_cast::<4, 1>(self.unsupported_kind.q.val().into()) << 3;
            if self.advises.val() {
                self.device_out.d.next =
                    (bit_cast::<4, 1>(self.unsupported_kind.q.val().into()) << 3) | 1;
                self.correctable.d.next = !self.advisory_mask.q.val()
                    && !self.hidden.val()
                    && self.reports.val().get_bit(0)
                    && (!self.unsupported_kind.q.val() || self.reports.val().get_bit(3));
            } else if self.severe.val() {
                self.device_out.d.next =
                    (bit_cast::<4, 1>(self.unsupported_kind.q.val().into()) << 3) | 4;
                self.fatal.d.next = !self.hidden.val()
                    && (self.serr.val()
                        || (self.reports.val().get_bit(2)
                            && (!self.unsupported_kind.q.val() || self.reports.val().get_bit(3))));
            } else {
                self.device_out.d.next =
                    (bit_cast::<4, 1>(self.unsupported_kind.q.val().into()) << 3) | 2;
                self.nonfatal.d.next = !self.hidden.val()
                    && (self.serr.val()
                        || (self.reports.val().get_bit(1)
                            && (!self.unsupported_kind.q.val() || self.reports.val().get_bit(3))));
            }
        }
        self.sent.next = (self.nonfatal.q.val() || self.fatal.q.val()) && self.serr.val();
        self.status_out.d.next =
            (bit_cast::<16, 1>((self.poisoned.val() && self.parity.val()).into()) << 8)
                | (bit_cast::<16, 1>(self.aborted.val().into()) << 11)
                | (bit_cast::<16, 1>(self.got_abort.val().into()) << 12)
                | (bit_cast::<16, 1>(self.got_unsupported.val().into()) << 13)
                | (bit_cast::<16, 1>(self.sent.val().into()) << 14)
                | (bit_cast::<16, 1>((self.poisoned.val() || self.request_poisoned.val()).into())
                    << 15);
        self.status_set.next = self.status_out.q.val();
        self.device_set.next = self.device_out.q.val();
        self.send_correctable.next = self.correctable.q.val();
        self.send_nonfatal.next = self.nonfatal.q.val();
        self.send_fatal.next = self.fatal.q.val();

        // Registers.
        self.drop.next = 0.into();
        if self.apply.val() {
            if self.choice[1].q.val() {
                self.drop.next = self.cf_data.val() & self.lanes.val();
            }
            if self.choice[2].q.val() {
                self.mask.d.next = ((self.mask.q.val() & !self.lanes.val())
                    | (self.cf_data.val() & self.lanes.val()))
                    & self.c_all.val();
            }
            if self.choice[3].q.val() {
                self.severity.d.next = ((self.severity.q.val() & !self.lanes.val())
                    | (self.cf_data.val() & self.lanes.val()))
                    & self.c_all.val();
            }
            if self.choice[4].q.val()
                && (self.cf_data.val() & self.lanes.val() & self.c_advisory.val()) != 0
            {
                self.advisory.d.next = false;
            }
            if self.choice[5].q.val() && (self.lanes.val() & self.c_advisory.val()) != 0 {
                self.advisory_mask.d.next = (self.cf_data.val() & self.c_advisory.val()) != 0;
            }
        }
        self.status.d.next = (self.status.q.val() & !self.drop.val()) | self.set.val();
        if self.found.q.val() && self.advises.val() {
            self.advisory.d.next = true;
        }
        self.value[0].next = self.c_id.val();
        self.value[1].next = self.status.q.val();
        self.value[2].next = self.mask.q.val();
        self.value[3].next = self.severity.q.val();
        self.value[4].next = 0.into();
        if self.advisory.q.val() {
            self.value[4].next = self.c_advisory.val();
        }
        self.value[5].next = 0.into();
        if self.advisory_mask.q.val() {
            self.value[5].next = self.c_advisory.val();
        }
        self.value[6].next = bit_cast::<32, 5>(self.first.q.val());
        self.value[7].next = self.log.q.val().get_bits::<32>(0);
        self.value[8].next = self.log.q.val().get_bits::<32>(32);
        self.value[9].next = self.log.q.val().get_bits::<32>(64);
        self.value[10].next = self.log.q.val().get_bits::<32>(96);
        self.shown.next = 0.into();
        for i in 0..11 {
            self.choice[i].clock.next = self.clk.val();
            self.choice[i].d.next = self.cf_addr.val() == self.c_number[i].val();
            if self.choice[i].q.val() {
                self.shown.next = self.shown.val() | self.value[i].val();
            }
        }
        self.word.d.next = self.shown.val();
        self.cf_word.next = self.word.q.val();

        if self.rst.val() {
            self.waiting.d.next = 0.into();
            self.found.d.next = false;
            self.status.d.next = 0.into();
            self.mask.d.next = 0.into();
            self.severity.d.next = self.c_fatal.val();
            self.advisory.d.next = false;
            self.advisory_mask.d.next = true;
            self.first.d.next = 0.into();
            self.log.d.next = 0.into();
        }
    }
}
