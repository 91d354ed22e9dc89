//! The world misbehaves, one fault at a time: each is an error that names it within its deadline, or does no harm; nothing hangs or
//! panics, and the next run works, after no more than what the row says. The rows are docs/reliability.md; `make reliability` writes
//! them, these tests compare.

use abi::config::TINY;
use abi::dma::{job, JOB_BLOCK};
use abi::layout::WATCHED_PAGE;
use abi::registers::offset;
use device::board::PciBoard;
use device::{Device, DoneRegister, Error};
use golden::sample::Random;
use host::bitstream::Manifest;
use host::driver::{CardExperts, GoldenBoard};
use host::model::Model as Network;
use host::runtime::{self, Experts, Routing};
use sim_tb::attached::{slot, Attached, Slot, When};
use sim_tb::card_model::CardModel;
use sim_tb::faults::{Harm, OnFunction, OnLink, Place, Rule};
use sim_tb::function::Function;
use sim_tb::pcie_card::{Card, CardLibrary, CardParams};
use sim_tb::root_complex::{Manners, RootComplex};
use sim_tb::serve::Server;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use unit_tests::page::{fill, filled};

const PAGE: &str = "docs/reliability.md";
/// Several tests fill parts of one page.
static WRITING: Mutex<()> = Mutex::new(());

/// A row of the page.
struct Row {
    fault: String,
    place: String,
    said: String,
    time: String,
    next: String,
}

/// Compares the part of the page called `name` with `rows`, or writes it.
fn page(name: &str, rows: &[Row]) {
    let mut text = String::from(
        "| fault | where injected | what was said | time to error | next run |\n|---|---|---|---|---|\n",
    );
    for row in rows {
        let cells = [&row.fault, &row.place, &row.said, &row.time, &row.next];
        for cell in cells {
            assert!(!cell.trim().is_empty(), "an empty cell beside {cells:?}");
            assert!(!cell.contains('\n'), "{cell}");
        }
        let cells = cells.map(|c| c.replace('|', "\\|"));
        text += &format!("| {} |\n", cells.join(" | "));
    }
    let marks = [
        format!("<!-- {name}: written by `make reliability` -->"),
        format!("<!-- end of {name} -->"),
    ];
    let marks = [&*marks[0], &*marks[1]];
    if std::env::var_os("ROUNDHOUSE_PAGES").is_some() {
        let _one = WRITING.lock().unwrap();
        return fill(PAGE, marks, &text).unwrap();
    }
    let [is, should] = filled(PAGE, marks, &text).unwrap();
    if is != should {
        let new = should.lines().find(|l| !is.contains(l)).unwrap_or("");
        panic!(
            "{PAGE}, {name}, is stale: run `make reliability`; the first line that is new: {new}"
        );
    }
}

/// A function that can be harmed.
trait Harmed: Function + 'static {
    /// What time is counted in.
    const UNIT: &'static str;
    fn arm(&mut self, rule: Rule);
    fn heal(&mut self) -> Option<u64>;
    /// Time from the beginning.
    fn clock(slot: &Slot<Self>) -> u64
    where
        Self: Sized;
    /// Of it, what the function itself does not count.
    fn still(slot: &Slot<Self>) -> u64
    where
        Self: Sized;
}

type Rtl = RootComplex<OnLink<Card>>;

impl Harmed for Rtl {
    const UNIT: &'static str = "cycles";
    fn arm(&mut self, rule: Rule) {
        self.link_mut().arm(rule);
    }
    fn heal(&mut self) -> Option<u64> {
        self.link_mut().heal()
    }
    fn clock(slot: &Slot<Rtl>) -> u64 {
        slot.cycles().unwrap()
    }
    fn still(slot: &Slot<Rtl>) -> u64 {
        slot.cycles().unwrap() - slot.function.cycles().unwrap()
    }
}

type Model = OnFunction<CardModel>;

impl Harmed for Model {
    const UNIT: &'static str = "accesses";
    fn arm(&mut self, rule: Rule) {
        OnFunction::arm(self, rule);
    }
    fn heal(&mut self) -> Option<u64> {
        OnFunction::heal(self)
    }
    fn clock(slot: &Slot<Model>) -> u64 {
        slot.function.accesses()
    }
    fn still(_: &Slot<Model>) -> u64 {
        0
    }
}

/// The Verilated card of `tiny` behind the root complex.
fn rtl() -> Rtl {
    let library = CardLibrary::load("tiny", false).unwrap();
    let card = Card::new(&library, CardParams::calm(TINY.memory_bytes, 1)).unwrap();
    let link = OnLink::new(card, |card, up| card.set_link(up, false));
    RootComplex::new(link, Manners::calm(1)).unwrap()
}

/// The plain model of the card.
fn model() -> Model {
    OnFunction::new(CardModel::new(TINY).unwrap())
}

/// What is behind the driver's back.
fn grip<F>(slot: &Mutex<Slot<F>>) -> MutexGuard<'_, Slot<F>> {
    slot.lock().unwrap()
}

fn board<F: Harmed>(slot: &Arc<Mutex<Slot<F>>>) -> Result<PciBoard, Error> {
    let link = Box::new(Attached::new("card", slot));
    PciBoard::new(link, TINY.memory_bytes, None)
}

/// Bytes whose place in memory is the same modulo 64 in every run, as it decides how they are cut into packets.
#[repr(align(64))]
struct Bytes<const N: usize>([u8; N]);

impl<const N: usize> Bytes<N> {
    fn new(seed: u8) -> Box<Bytes<N>> {
        let mut bytes = Box::new(Bytes([0; N]));
        for (i, byte) in bytes.0.iter_mut().enumerate() {
            *byte = (i as u8).wrapping_mul(37).wrapping_add((i >> 8) as u8) ^ seed;
        }
        bytes
    }
}

/// Bytes of most transfers here: one descriptor, six reads of 512 bytes, each answered by two packets.
const SOME: usize = 3072;
const AT: u64 = 0x2000;

fn put(board: &mut PciBoard) -> Result<(), Error> {
    board.copy_in(&Bytes::<SOME>::new(1).0, AT)
}

/// Whatever `get` reads without an error must be right.
fn get(board: &mut PciBoard) -> Result<(), Error> {
    let mut back = Bytes::<SOME>::new(0);
    board.copy_out(AT, &mut back.0)?;
    assert!(
        back.0 == Bytes::<SOME>::new(1).0,
        "wrong bytes without an error"
    );
    Ok(())
}

fn magic(board: &mut PciBoard) -> Result<(), Error> {
    assert_eq!(
        board.read_register(0)?,
        abi::MAGIC,
        "a wrong value without an error"
    );
    Ok(())
}

/// A run: register, memory, both ways.
fn run(board: &mut PciBoard) -> Result<(), Error> {
    magic(board)?;
    put(board)?;
    get(board)
}

/// What it takes until a run works again.
fn next<F: Harmed>(slot: &Arc<Mutex<Slot<F>>>, mut board: PciBoard) -> String {
    if run(&mut board).is_ok() {
        return "works".into();
    }
    if board.reset().and_then(|()| run(&mut board)).is_ok() {
        return "works after a function-level reset".into();
    }
    drop(board);
    grip(slot).replug().unwrap();
    let mut board = self::board(slot).unwrap();
    run(&mut board).unwrap();
    "works after the card is plugged in again".into()
}

/// What a row expects to be said.
enum Says {
    /// An error with these parts.
    Error(&'static [&'static str]),
    /// None: it does no harm, for this reason.
    Nothing(&'static str),
}
use Says::{Error as Fails, Nothing};

/// A fault while a board that has worked before does `act`.
fn row<F: Harmed>(
    make: fn() -> F,
    fault: &str,
    place: &str,
    rule: Rule,
    act: impl Fn(&mut PciBoard) -> Result<(), Error>,
    says: Says,
) -> Row {
    let no_more = |_: &mut Slot<F>| ();
    row_and(make, fault, place, rule, act, says, no_more)
}

/// As [`row`], with a look at the card before the next run.
fn row_and<F: Harmed>(
    make: fn() -> F,
    fault: &str,
    place: &str,
    rule: Rule,
    act: impl Fn(&mut PciBoard) -> Result<(), Error>,
    says: Says,
    look: impl Fn(&mut Slot<F>),
) -> Row {
    let slot = slot(make()).unwrap();
    let mut board = board(&slot).unwrap();
    run(&mut board).unwrap();
    grip(&slot).function.arm(rule);
    let still = F::still(&grip(&slot));
    let result = act(&mut board);
    let mut grip = grip(&slot);
    let hit = grip.function.heal();
    let hit = hit.unwrap_or_else(|| panic!("{fault}, {place}: it was never injected"));
    let took = F::clock(&grip) - (hit + still);
    look(&mut grip);
    drop(grip);
    finish(&slot, board, [fault, place], result, says, took)
}

/// Judges what was said, and makes the next run.
fn finish<F: Harmed>(
    slot: &Arc<Mutex<Slot<F>>>,
    board: PciBoard,
    [fault, place]: [&str; 2],
    result: Result<(), Error>,
    says: Says,
    took: u64,
) -> Row {
    let (said, time) = judge(fault, result, says, took, F::UNIT);
    let next = next(slot, board);
    assert!(
        !next.contains("plugged in") || said.contains("plug it in again"),
        "{fault}, {place}: {said} does not say that the card must be plugged in again"
    );
    Row {
        fault: fault.into(),
        place: place.into(),
        said,
        time,
        next,
    }
}

/// What was said and when, in words; it must be as expected.
fn judge(
    fault: &str,
    result: Result<(), impl std::fmt::Display>,
    says: Says,
    took: u64,
    unit: &str,
) -> (String, String) {
    match (result, says) {
        (Err(e), Fails(parts)) => {
            let e = e.to_string();
            for part in parts {
                assert!(e.contains(part), "{fault}: `{e}` does not say `{part}`");
            }
            (e, format!("{took} {unit}"))
        }
        (Ok(()), Nothing(why)) => (format!("nothing: {why}"), "no error".into()),
        (Err(e), Nothing(_)) => panic!("{fault}: {e}"),
        (Ok(()), Fails(_)) => panic!("{fault}: no error"),
    }
}

fn hit(place: Place, nth: u64, harm: Harm) -> Rule {
    let lasting = false;
    Rule {
        place,
        nth,
        harm,
        lasting,
    }
}

/// As [`hit`], and all that come after it.
fn hits(place: Place, nth: u64, harm: Harm) -> Rule {
    Rule {
        lasting: true,
        ..hit(place, nth, harm)
    }
}

/// Completions of the card's reads. The first one carries the descriptor; the third one ends the first read of data.
#[test]
fn completions() {
    const DESCRIPTOR: u64 = 0;
    const DATA: u64 = 2;
    let mut rows = Vec::new();
    for (fault, harm, kind) in [
        (
            "unsupported request",
            Harm::Unsupported,
            "unsupported request",
        ),
        ("completer abort", Harm::Aborted, "completer abort"),
        ("poisoned completion", Harm::Poisoned, "poisoned"),
        (
            "lost completion",
            Harm::Lost,
            "unexpected completion or time-out",
        ),
    ] {
        for (place, nth, doing) in [
            (
                "RTL: the descriptor's fetch",
                DESCRIPTOR,
                "fetching a descriptor",
            ),
            ("RTL: data to the card", DATA, "reading host memory"),
        ] {
            let rule = hit(Place::Completion, nth, harm);
            let says: &'static [&'static str] = Box::leak(Box::new([kind, doing]));
            rows.push(row(rtl, fault, place, rule, put, Fails(says)));
        }
    }
    for (place, nth) in [
        ("RTL: the descriptor's fetch", DESCRIPTOR),
        ("RTL: data to the card", DATA),
    ] {
        let rule = hit(Place::Completion, nth, Harm::Doubled);
        let why = "the endpoint drops the second one, and logs an advisory error in AER";
        let put_and_get = |board: &mut PciBoard| put(board).and_then(|()| get(board));
        let aer = |slot: &mut Slot<Rtl>| {
            let correctable = slot.config(0x110).unwrap();
            assert_eq!(correctable, 1 << 13, "advisory error, in AER");
        };
        let fault = "completion comes twice";
        rows.push(row_and(
            rtl,
            fault,
            place,
            rule,
            put_and_get,
            Nothing(why),
            aer,
        ));
    }
    let rule = hit(Place::Completion, 1, Harm::Unsupported);
    let says = Fails(&["unsupported request while reading host memory"]);
    rows.push(row(
        model,
        "unsupported request",
        "model: data to the card",
        rule,
        put,
        says,
    ));
    page("completions", &rows);
}

const DONE: DoneRegister = DoneRegister {
    name: "DONE_COUNT",
    offset: offset("DONE_COUNT"),
    mask: 0xFFFF,
};

/// A megabyte, so that a card without a clock is at it for more than one look.
fn put_long(board: &mut PciBoard) -> Result<(), Error> {
    board.copy_in(&Bytes::<{ 1 << 20 }>::new(1).0, 0)
}

/// Waits for a command that nobody has given.
fn wait(board: &mut PciBoard) -> Result<(), Error> {
    board.wait_done(DONE, 1, Duration::from_secs(60), "a command")
}

/// What the card does with descriptors that are not as they should be, with memory that fails, and when it stands still.
#[test]
fn card() {
    let word = |n, value| Harm::Word(n, value);
    let descriptor = |harm| hit(Place::Completion, 0, harm);
    let mut rows = vec![
        row(
            rtl,
            "wrong descriptor magic",
            "RTL: word 0 of the descriptor, on the link",
            descriptor(word(0, 0x1234_0013)),
            put,
            Fails(&["no descriptor where one was expected"]),
        ),
        row(
            model,
            "wrong descriptor magic",
            "model: word 0 of the descriptor",
            descriptor(word(0, 0x1234_0013)),
            put,
            Fails(&["no descriptor where one was expected"]),
        ),
        row(
            rtl,
            "descriptor of length 0",
            "RTL: word 1 of the descriptor, data from the card",
            descriptor(word(1, 0)),
            get,
            Nothing("the driver misses the last bytes, and transfers again"),
        ),
        row(
            rtl,
            "bad host address, read",
            "RTL: the descriptor's source is not mapped",
            descriptor(word(3, 7)),
            put,
            Fails(&["unsupported request while reading host memory"]),
        ),
        row(
            rtl,
            "bad host address, written",
            "RTL: one descriptor's destination is not mapped",
            descriptor(word(5, 7)),
            get,
            Nothing("the driver misses the last bytes, and transfers again"),
        ),
        row(
            rtl,
            "bad host address, written",
            "RTL: every descriptor's destination",
            hits(Place::Completion, 0, word(5, 7)),
            get,
            Fails(&["did not reach this program's memory", "IOMMU"]),
        ),
        row(
            rtl,
            "bad card address",
            "RTL: the descriptor's destination is beyond card memory",
            descriptor(word(5, 0xFF)),
            put,
            Fails(&["error while writing card memory"]),
        ),
        row(
            rtl,
            "the last write of data is lost",
            "RTL: data from the card",
            hit(Place::Write, 11, Harm::Lost),
            get,
            Nothing("the driver misses the last bytes, and transfers again"),
        ),
        row(
            rtl,
            "the write-back is lost",
            "RTL: the count of descriptors done, to host memory",
            hit(Place::Write, 0, Harm::Lost),
            put,
            Fails(&["its last write was lost", "reset the board"]),
        ),
        row(
            rtl,
            "message of the interrupt lost",
            "RTL: the channel's vector",
            hits(Place::Message, 0, Harm::Lost),
            put,
            Nothing("completion is polled, an interrupt only ends a nap early"),
        ),
        row(
            model,
            "channel stuck busy",
            "model: the card stands still at the first page",
            hits(Place::Completion, 1, Harm::Starved),
            put_long,
            Fails(&["nothing more done in 60", "of 16 descriptors done", "reset"]),
        ),
    ];
    rows.push(failing_memory(false));
    rows.push(failing_memory(true));
    rows.push(halted());
    rows.push(masked());
    rows.push(missed_by_selftest());
    rows.push(outside());
    let reset = |slot: &mut Slot<Rtl>| slot.function_level_reset().unwrap();
    let replug = |slot: &mut Slot<Rtl>| slot.replug().unwrap();
    let says = Fails(&["the card was reset behind this program's back", "run again"]);
    rows.push(meddled(
        rtl,
        "function-level reset during DMA",
        "RTL: by somebody else",
        reset,
        put,
        says,
    ));
    let says = Fails(&["the card was reset behind this program's back"]);
    rows.push(meddled(
        rtl,
        "reset of the slot during DMA",
        "RTL: by somebody else",
        replug,
        put,
        says,
    ));
    let reset = |slot: &mut Slot<Model>| slot.function_level_reset().unwrap();
    let says = Fails(&["the channel has stopped by itself", "has reset the card"]);
    let place = "model, whose registers answer after it";
    rows.push(meddled(
        model,
        "function-level reset during DMA",
        place,
        reset,
        put_long,
        says,
    ));
    page("card", &rows);
}

/// Card memory answers with an error where a transfer goes.
fn failing_memory(write: bool) -> Row {
    let slot = slot(rtl()).unwrap();
    let mut board = board(&slot).unwrap();
    run(&mut board).unwrap();
    let start = {
        let mut grip = grip(&slot);
        let card = &mut grip.function.link_mut().link;
        card.fail(AT + 0x400..AT + 0x410, !write, write);
        Rtl::clock(&grip)
    };
    let (result, place, says) = match write {
        true => (
            put(&mut board),
            "RTL: 16 bytes of card memory, written",
            "slave error while writing card memory",
        ),
        false => (
            get(&mut board),
            "RTL: 16 bytes of card memory, read",
            "slave error while reading card memory",
        ),
    };
    let mut grip = grip(&slot);
    let took = Rtl::clock(&grip) - start;
    grip.function.link_mut().link.heal();
    drop(grip);
    let says: &'static [&'static str] = Box::leak(Box::new([says]));
    finish(
        &slot,
        board,
        ["memory error response", place],
        result,
        Fails(says),
        took,
    )
}

/// The register that keeps descriptors from being fetched.
fn halted() -> Row {
    const HALT_SET: u64 = 0x6014;
    const HALT: u64 = 0x6010;
    let slot = slot(rtl()).unwrap();
    let mut board = board(&slot)
        .unwrap()
        .with_deadline(Duration::from_millis(50));
    run(&mut board).unwrap();
    grip(&slot).write(1, HALT_SET, 1).unwrap();
    let start = Rtl::clock(&grip(&slot));
    let result = put(&mut board);
    let mut grip = grip(&slot);
    let took = Rtl::clock(&grip) - start;
    grip.write(1, HALT, 0).unwrap();
    drop(grip);
    let said = [
        "channel stuck busy",
        "RTL: HALT of the DMA set by somebody else; a deadline of 50 ms",
    ];
    let says = Fails(&["nothing more done in 5", "0 of 1 descriptors done", "reset"]);
    finish(&slot, board, said, result, says, took)
}

/// The vectors' mask bits in the MSI-X table.
fn masked() -> Row {
    let slot = slot(rtl()).unwrap();
    let mut board = board(&slot).unwrap();
    run(&mut board).unwrap();
    for vector in 0..3 {
        grip(&slot).write(1, 0x8000 + 16 * vector + 12, 1).unwrap();
    }
    let result = put(&mut board).and_then(|()| get(&mut board));
    let woken = board.wait_interrupt(Duration::from_millis(1)).unwrap();
    assert_eq!(woken, device::link::Wake::Timeout);
    let said = [
        "MSI-X vectors masked",
        "RTL: mask bits of the MSI-X table set by somebody else",
    ];
    let why = Nothing("completion is polled, an interrupt only ends a nap early");
    finish(&slot, board, said, result, why, 0)
}

/// Whoever wants to know whether interrupts arrive asks `host selftest`.
fn missed_by_selftest() -> Row {
    let slot = slot(model()).unwrap();
    let mut board = board(&slot).unwrap();
    run(&mut board).unwrap();
    grip(&slot)
        .function
        .arm(hits(Place::Message, 0, Harm::Lost));
    let what = host::driver::selftest::Options {
        limit: 4096,
        seed: 1,
    };
    let report = host::driver::selftest::run(&mut board, &TINY, what, |_| ()).unwrap();
    assert!(grip(&slot).function.heal().is_some());
    let failed: Vec<_> = report.checks.iter().filter(|c| c.got.is_some()).collect();
    let [check] = failed[..] else {
        panic!("{:?}", report.checks);
    };
    let (expected, got) = (
        check.expected.as_ref().unwrap(),
        check.got.as_ref().unwrap(),
    );
    let said = format!(
        "selftest, {}: FAILED: {}; expected {expected}, got {got}",
        check.name, check.note
    );
    assert!(said.contains("selftest, interrupt: FAILED"), "{said}");
    let row = finish(
        &slot,
        board,
        [
            "message of the interrupt lost",
            "model: every vector, during `host selftest`",
        ],
        Ok(()),
        Nothing(""),
        0,
    );
    let time = "when the command is done".into();
    Row { said, time, ..row }
}

/// A copy that leaves card memory is refused before the card hears of it.
fn outside() -> Row {
    let slot = slot(model()).unwrap();
    let mut board = board(&slot).unwrap();
    run(&mut board).unwrap();
    let before = grip(&slot).accesses();
    let result = board.copy_in(&[0; 2], TINY.memory_bytes - 1);
    let took = grip(&slot).accesses() - before;
    let said = ["bad card address", "the program asks for it"];
    finish(
        &slot,
        board,
        said,
        result,
        Fails(&["leaves the card's memory"]),
        took,
    )
}

/// Somebody else does something to the card 2 us after `act` began.
fn meddled<F: Harmed>(
    make: fn() -> F,
    fault: &str,
    place: &str,
    deed: impl FnOnce(&mut Slot<F>) + Send + 'static,
    act: impl Fn(&mut PciBoard) -> Result<(), Error>,
    says: Says,
) -> Row {
    let slot = slot(make()).unwrap();
    let mut board = board(&slot).unwrap();
    run(&mut board).unwrap();
    let when = Arc::new(Mutex::new(None));
    let seen = when.clone();
    grip(&slot).plan(When::After(Duration::from_micros(2)), move |slot| {
        *seen.lock().unwrap() = Some(F::clock(slot));
        deed(slot);
    });
    let result = act(&mut board);
    let when = when
        .lock()
        .unwrap()
        .unwrap_or_else(|| panic!("{fault}: it was never done"));
    let took = F::clock(&grip(&slot)) - when;
    finish(&slot, board, [fault, place], result, says, took)
}

/// The link goes down without a warning, or loses what the host sends and is sent.
#[test]
fn link() {
    const DEAD: Says = Fails(&["nobody answers any more", "plug it in again"]);
    let down = |place, nth| hit(place, nth, Harm::LinkDown);
    let link = "surprise link loss";
    let mut rows = vec![
        row(
            rtl,
            link,
            "RTL: data to the card",
            down(Place::Completion, 2),
            put,
            DEAD,
        ),
        row(
            rtl,
            link,
            "RTL: data from the card",
            down(Place::Write, 3),
            get,
            DEAD,
        ),
        row(
            rtl,
            link,
            "RTL: a register is read",
            down(Place::Answer, 0),
            magic,
            DEAD,
        ),
        row(
            rtl,
            link,
            "RTL: a command is waited for",
            down(Place::Answer, 3),
            wait,
            DEAD,
        ),
        row(
            rtl,
            link,
            "RTL: the function is being reset",
            down(Place::Request, 3),
            |b| b.reset(),
            DEAD,
        ),
        row(
            rtl,
            "completion of the host's read refused",
            "RTL: unsupported request for a register",
            hit(Place::Answer, 0, Harm::Unsupported),
            magic,
            Nothing("all ones are read again"),
        ),
        row(
            rtl,
            "completion of the host's read lost",
            "RTL: a register; the root complex gives up after 1 ms",
            hit(Place::Answer, 0, Harm::Lost),
            magic,
            Nothing("all ones are read again"),
        ),
        row(
            model,
            "the host's write lost",
            "model: the channel's start",
            hit(Place::Request, 3, Harm::Lost),
            put,
            Fails(&["its order to start or its last write was lost"]),
        ),
    ];
    for (place, nth) in [
        ("configuration space is read", 0),
        ("the DMA's registers are looked for", 4),
        ("the channels are looked for", 14),
    ] {
        rows.push(lost_while_opening(place, nth));
    }
    page("link", &rows);
}

/// The link goes down at the n-th request of a driver that opens the board.
fn lost_while_opening(doing: &str, nth: u64) -> Row {
    let slot = slot(rtl()).unwrap();
    grip(&slot)
        .function
        .arm(hit(Place::Request, nth, Harm::LinkDown));
    let still = Rtl::still(&grip(&slot));
    let result = board(&slot).map(drop);
    let mut grip = grip(&slot);
    let hit = grip.function.heal();
    let hit = hit.unwrap_or_else(|| panic!("{doing}: it was never injected"));
    let took = Rtl::clock(&grip) - (hit + still);
    drop(grip);
    let grip = self::grip;
    let says = Fails(&["nobody answers any more", "plug it in again"]);
    let (said, time) = judge(doing, result, says, took, Rtl::UNIT);
    assert!(board(&slot).is_err());
    grip(&slot).replug().unwrap();
    run(&mut board(&slot).unwrap()).unwrap();
    Row {
        fault: "surprise link loss".into(),
        place: format!("RTL: while it is opened, {doing}"),
        said,
        time,
        next: "works after the card is plugged in again".into(),
    }
}

/// A small model, one of its layers, and what that gives.
struct Task {
    network: Network,
    manifest: Manifest,
    layer: usize,
    x: Vec<f32>,
    y: Vec<f32>,
    /// The expert of the largest weight.
    chosen: usize,
}

fn compute(card: &mut CardExperts, layer: usize, x: &[f32]) -> Result<(Vec<f32>, Routing), String> {
    let (mut y, mut routing) = (vec![0.0; x.len()], Routing::default());
    match card.layer(layer, x, &mut y, &mut routing) {
        Ok(()) => Ok((y, routing)),
        Err(runtime::Error::Experts(e)) => Err(e.to_string()),
        Err(e) => Err(e.to_string()),
    }
}

impl Task {
    fn new() -> Task {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let network = Network::open(&root.join("tests/fixtures/models/olmoe")).unwrap();
        let manifest = Manifest::open(Some(&root.join("bitstreams/tiny.toml"))).unwrap();
        let (layer, _) = network.spec.moe_layers().next().unwrap();
        let mut random = Random::new(1);
        let x: Vec<f32> = (0..network.spec.hidden)
            .map(|_| random.normal() as f32)
            .collect();
        let golden = Box::new(GoldenBoard::open(TINY).unwrap());
        let mut card = CardExperts::load(golden, &manifest, &network, 1).unwrap();
        let (y, routing) = compute(&mut card, layer, &x).unwrap();
        let chosen = routing.indices[0] as usize;
        Task {
            network,
            manifest,
            layer,
            x,
            y,
            chosen,
        }
    }

    fn load<F: Harmed>(
        &self,
        slot: &Arc<Mutex<Slot<F>>>,
    ) -> Result<CardExperts, host::driver::Error> {
        CardExperts::load(Box::new(board(slot)?), &self.manifest, &self.network, 1)
    }

    /// One layer; without an error its result must be right.
    fn run(&self, card: &mut CardExperts) -> Result<(), String> {
        let (y, _) = compute(card, self.layer, &self.x)?;
        assert!(y == self.y, "a wrong result without an error");
        Ok(())
    }

    /// First byte behind all experts, where the ring of commands stands.
    fn ring(&self, card: &CardExperts) -> u64 {
        let (layer, moe) = self.network.spec.moe_layers().last().unwrap();
        let (at, bytes) = card.expert_image(layer, moe.experts - 1).unwrap();
        (at + bytes as u64).next_multiple_of(WATCHED_PAGE)
    }

    /// A fault while a layer runs on a board on which one has run before.
    fn row<F: Harmed>(
        &self,
        make: fn() -> F,
        [fault, place]: [&str; 2],
        harm: impl FnOnce(&mut Slot<F>, &CardExperts),
        heal: impl FnOnce(&mut Slot<F>),
        says: Says,
    ) -> Row {
        let slot = slot(make()).unwrap();
        let mut card = self.load(&slot).unwrap().with_deadline(ENGINE_DEADLINE);
        self.run(&mut card).unwrap();
        harm(&mut grip(&slot), &card);
        let start = grip(&slot).accesses();
        let result = self.run(&mut card);
        let took = grip(&slot).accesses() - start;
        heal(&mut grip(&slot));
        let (said, time) = judge(fault, result, says, took, "accesses");
        let next = self.next(&slot, card, &said);
        Row {
            fault: fault.into(),
            place: place.into(),
            said,
            time,
            next,
        }
    }

    /// What it takes until the layer is right again.
    fn next<F: Harmed>(
        &self,
        slot: &Arc<Mutex<Slot<F>>>,
        mut card: CardExperts,
        said: &str,
    ) -> String {
        let resets = grip(slot).resets();
        if self.run(&mut card).is_ok() {
            return match grip(slot).resets() - resets {
                0 => "works".into(),
                _ => "works: the driver resets the function first".into(),
            };
        }
        drop(card);
        let mut next = "works, the experts being loaded again";
        let card = match self.load(slot) {
            Ok(card) => Ok(card),
            Err(_) => {
                assert!(said.contains("plug it in again"), "{said}");
                next = "works after the card is plugged in again";
                grip(slot).replug().unwrap();
                self.load(slot)
            }
        };
        self.run(&mut card.unwrap()).unwrap();
        next.into()
    }
}

/// For commands in these tests: thousands of times what the layer takes, and longer than the endpoint waits for a completion.
const ENGINE_DEADLINE: Duration = Duration::from_millis(20);

/// The doorbell of a job.
const DOORBELL: u64 = JOB_BLOCK.at(0, "DOORBELL") as u64;
/// A job has been rung for.
const RUNG: When = When::Written(1, DOORBELL);
/// Cycles from there until the engine is in the middle of it.
const MIDDLE: u64 = 500;

/// The engine's side: its memory fails, its commands do not reach it, it is reset by somebody else.
#[test]
fn engine() {
    let task = Task::new();
    let nothing = |_: &mut Slot<Rtl>| ();
    let fail = |slot: &mut Slot<Rtl>, at: u64, bytes: u64, write: bool| {
        let card = &mut slot.function.link_mut().link;
        card.fail(at..at + bytes, !write, write);
    };
    let heal = |slot: &mut Slot<Rtl>| slot.function.link_mut().link.heal();
    let image = |card: &CardExperts| card.expert_image(task.layer, task.chosen).unwrap();
    let mut rows = vec![
        task.row(
            rtl,
            [
                "memory error response",
                "RTL: the last 16 bytes of the chosen expert, in the middle of a layer",
            ],
            |slot, card| {
                let (at, bytes) = image(card);
                fail(slot, (at + bytes as u64 - 1) & !15, 16, false);
            },
            heal,
            Fails(&["layer 0", "card memory answered a read with an error"]),
        ),
        task.row(
            rtl,
            [
                "memory error response",
                "RTL: the command's descriptor in card memory",
            ],
            |slot, card| {
                let ring = task.ring(card);
                slot.function
                    .link_mut()
                    .link
                    .fail(ring..ring + 0x100, true, false);
            },
            heal,
            Fails(&["layer 0", "card memory answered a read with an error"]),
        ),
        task.row(
            rtl,
            [
                "damaged card memory",
                "RTL: the header of the chosen expert's image is overwritten",
            ],
            |slot, card| {
                let at = image(card).0 as usize;
                slot.function.link_mut().link.memory_mut()[at..at + 16].fill(0x5A);
            },
            nothing,
            Fails(&["layer 0", "a weight image in card memory has no header"]),
        ),
        task.row(
            rtl,
            [
                "engine reset while a job is read",
                "RTL: CONTROL written by somebody else",
            ],
            |slot, _| {
                slot.plan(RUNG, |slot| {
                    slot.write(0, offset("CONTROL").into(), 1).unwrap();
                });
            },
            nothing,
            Fails(&["layer 0"]),
        ),
        task.row(
            rtl,
            [
                "engine reset in the middle of a layer",
                "RTL: CONTROL written by somebody else",
            ],
            |slot, _| {
                slot.plan(RUNG, |slot| {
                    slot.let_pass(MIDDLE).unwrap();
                    slot.write(0, offset("CONTROL").into(), 1).unwrap();
                });
            },
            nothing,
            Nothing("the engine ends its command before it resets, and the card sees it end"),
        ),
        task.row(
            rtl,
            [
                "function-level reset in the middle of a layer",
                "RTL: by somebody else",
            ],
            |slot, _| {
                slot.plan(RUNG, |slot| {
                    slot.let_pass(MIDDLE).unwrap();
                    slot.function_level_reset().unwrap();
                });
            },
            nothing,
            Fails(&["the card was reset behind this program's back"]),
        ),
        task.row(
            rtl,
            [
                "card memory loses everything",
                "RTL: with a reset of the slot, in the middle of a layer",
            ],
            |slot, _| {
                slot.plan(RUNG, |slot| {
                    slot.let_pass(MIDDLE).unwrap();
                    slot.function.link_mut().link.memory_mut().fill(0);
                    slot.replug().unwrap();
                });
            },
            nothing,
            Fails(&["the card was reset behind this program's back"]),
        ),
    ];
    let doorbell = Place::Register(0, offset("TAIL").into());
    rows.push(task.row(
        model,
        [
            "the doorbell is lost",
            "model: the write that tells of a command",
        ],
        |slot, _| slot.function.arm(hit(doorbell, 0, Harm::Lost)),
        |slot| assert!(slot.function.heal().is_some()),
        Fails(&["layer 0", "DONE_COUNT", "run again, which resets the board"]),
    ));
    page("engine", &rows);
}

/// Jobs: what the card reads and writes for them by itself.
#[test]
fn jobs() {
    let task = Task::new();
    let nothing = |_: &mut Slot<Rtl>| ();
    let healed = |slot: &mut Slot<Rtl>| {
        let harmed = slot.function.heal();
        assert!(harmed.is_some(), "nothing was harmed");
    };
    let mut rows = Vec::new();
    // The first completion is that of the commands, the second begins x.
    for (fault, place, nth, harm, says) in [
        (
            "completion refused",
            "RTL: unsupported request for a job's commands",
            0,
            Harm::Unsupported,
            "unsupported request while reading host memory",
        ),
        (
            "completion refused",
            "RTL: completer abort for a job's x",
            1,
            Harm::Aborted,
            "completer abort while reading host memory",
        ),
        (
            "completion poisoned",
            "RTL: a job's x",
            1,
            Harm::Poisoned,
            "poisoned while reading host memory",
        ),
        (
            "completion lost",
            "RTL: a job's x; the card gives up after 8 to 16 ms",
            1,
            Harm::Lost,
            "time-out while reading host memory",
        ),
    ] {
        let says: &'static [&'static str] = Box::leak(Box::new(["layer 0", says]));
        let rule = hit(Place::Completion, nth, harm);
        let arm = |slot: &mut Slot<Rtl>, _: &CardExperts| slot.function.arm(rule);
        rows.push(task.row(rtl, [fault, place], arm, healed, Fails(says)));
    }
    rows.push(task.row(
        rtl,
        [
            "memory error response",
            "RTL: x of a job, written to card memory",
        ],
        |slot, card| {
            let at = card.job_areas().expect("there are jobs").x;
            let card = &mut slot.function.link_mut().link;
            card.fail(at..at + job::AREA, false, true);
        },
        |slot| slot.function.link_mut().link.heal(),
        Fails(&["layer 0", "slave error while writing card memory"]),
    ));
    rows.push(task.row(
        rtl,
        [
            "memory error response",
            "RTL: the output of a job, read from card memory",
        ],
        |slot, card| {
            let at = card.job_areas().expect("there are jobs").y;
            let card = &mut slot.function.link_mut().link;
            card.fail(at..at + job::AREA, true, false);
        },
        |slot| slot.function.link_mut().link.heal(),
        Fails(&["layer 0", "slave error while reading card memory"]),
    ));
    for (fault, place, rule, says) in [
        (
            "the doorbell is lost",
            "RTL: the write that tells of a job",
            hit(Place::Request, 0, Harm::Lost),
            "its doorbell was lost",
        ),
        (
            "the word of a job is lost",
            "RTL: every write of the card",
            hits(Place::Write, 0, Harm::Lost),
            "its word did not reach this program's memory",
        ),
    ] {
        let says: &'static [&'static str] = Box::leak(Box::new(["layer 0", says]));
        let arm = |slot: &mut Slot<Rtl>, _: &CardExperts| slot.function.arm(rule);
        rows.push(task.row(rtl, [fault, place], arm, healed, Fails(says)));
    }
    rows.push(task.row(
        rtl,
        [
            "function-level reset during DMA",
            "RTL: by somebody else, while a job is read",
        ],
        |slot, _| slot.plan(RUNG, |slot| slot.function_level_reset().unwrap()),
        nothing,
        Fails(&["the card was reset behind this program's back"]),
    ));
    rows.push(task.row(
        rtl,
        ["surprise link loss", "RTL: a job's x is read"],
        |slot, _| slot.function.arm(hit(Place::Completion, 1, Harm::LinkDown)),
        nothing,
        Fails(&["nobody answers any more", "plug it in again"]),
    ));
    page("jobs", &rows);
}

/// What the program does with a board, in its order.
const STATES: [&str; 5] = [
    "the board is opened",
    "experts are loaded",
    "a layer runs",
    "counters are read",
    "the board is closed",
];

const NO_FIGURES: &str = "no figures are given; the layer's result was right";

impl Task {
    /// A whole run; the accesses made by the end of each state, or what was said in which state.
    fn live(&self, slot: &Arc<Mutex<Slot<Model>>>) -> Result<[u64; 5], (usize, String)> {
        let mut ends = [0; 5];
        let now = || grip(slot).function.accesses();
        let device = board(slot).map_err(|e| (0, e.to_string()))?;
        ends[0] = now();
        let card = CardExperts::load(Box::new(device), &self.manifest, &self.network, 1);
        let mut card = card.map_err(|e| (1, e.to_string()))?;
        ends[1] = now();
        self.run(&mut card).map_err(|e| (2, e))?;
        ends[2] = now();
        card.report().ok_or((3, NO_FIGURES.into()))?;
        ends[3] = now();
        drop(card);
        ends[4] = now();
        Ok(ends)
    }
}

/// The link is lost for good at every single access of the driver, from the first to the last.
#[test]
fn states() {
    let task = Task::new();
    let ends = task.live(&slot(model()).unwrap()).unwrap();
    let mut rows = Vec::new();
    let mut begin = 0;
    for (state, end) in ends.into_iter().enumerate() {
        let middle = begin + (end - begin) / 2;
        let mut row = None;
        for nth in begin..end {
            let slot = slot(model()).unwrap();
            // The set-up of the slot is no access of the driver.
            grip(&slot)
                .function
                .arm(hit(Place::Request, nth, Harm::LinkDown));
            let result = task.live(&slot);
            let took = grip(&slot).function.accesses() - nth - 1;
            let what = format!("{}, access {nth}", STATES[state]);
            let said = match result {
                // A write is not answered: it may show later, but in nothing that is wrong.
                Err((at, said)) => {
                    assert!(at >= state, "{what}: {said}");
                    let none = at == 3 && said == NO_FIGURES;
                    assert!(
                        none || said.contains("nobody answers any more"),
                        "{what}: {said}"
                    );
                    said
                }
                Ok(_) => {
                    assert!(state == 4 || nth + 1 == end, "{what}: no error");
                    "nothing: nobody is left to tell".into()
                }
            };
            assert!(grip(&slot).function.heal().is_some(), "{what}");
            assert!(board(&slot).is_err(), "{what}: it answers");
            grip(&slot).replug().unwrap();
            task.live(&slot)
                .unwrap_or_else(|(_, e)| panic!("after {what}: {e}"));
            if nth == middle {
                row = Some(Row {
                    fault: "surprise link loss".into(),
                    place: format!(
                        "model: at each access while {}; here the middle one",
                        STATES[state]
                    ),
                    time: match said.starts_with("nothing") {
                        true => "no error".into(),
                        false => format!("{took} accesses, those of closing it included"),
                    },
                    said,
                    next: "works after the card is plugged in again".into(),
                });
            }
        }
        rows.push(row.unwrap());
        begin = end;
    }
    page("states", &rows);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// The programs of this tree, built by the cargo that builds this test.
fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let args = ["build", "--quiet", "-p", "host", "-p", "sim-tb", "--bins"];
        let built = Command::new(env!("CARGO"))
            .args(args)
            .current_dir(root())
            .status();
        assert!(built.unwrap().success());
    });
    // target/debug/deps/faults-1234
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join(name)
}

/// A directory that is gone after the test; sockets in it have short names, which messages repeat.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("faults-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// No program of these tests may take longer, whatever happens to it.
const HANG: Duration = Duration::from_secs(150);

/// A program at work.
struct Running {
    child: Child,
    /// Its first bytes have come.
    begun: mpsc::Receiver<()>,
    streams: Option<[JoinHandle<Vec<u8>>; 2]>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tell, begun) = mpsc::channel();
        let mut stdout = child.stdout.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let out = std::thread::spawn(move || {
            let mut all = vec![0];
            // Nobody may listen any more.
            if stdout.read_exact(&mut all).is_ok() {
                let _ = tell.send(());
                stdout.read_to_end(&mut all).unwrap();
                return all;
            }
            Vec::new()
        });
        let err = std::thread::spawn(move || {
            let mut all = Vec::new();
            stderr.read_to_end(&mut all).unwrap();
            all
        });
        Running {
            child,
            begun,
            streams: Some([out, err]),
        }
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }

    /// Waits for its end: status, output, and the last thing that it said.
    fn end(mut self) -> (ExitStatus, Vec<u8>, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < HANG, "it hangs");
            std::thread::sleep(Duration::from_millis(10));
        };
        let [out, err] = self.streams.take().unwrap().map(|s| s.join().unwrap());
        let err = String::from_utf8(err).unwrap();
        let last = err.lines().last().unwrap_or_default();
        let last = last.strip_prefix("error: ").unwrap_or(last);
        (status, out, last.to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `sim-tb serve` with the plain model of a configuration, in its own process; `before` stands before it in a shell.
fn serve(scratch: &Scratch, config: &str, before: &str) -> Running {
    let program = program("sim-tb");
    let socket = scratch.0.join("board.sock");
    let _ = std::fs::remove_file(&socket);
    let mut command = Command::new("sh");
    let script = format!("{before}exec \"$0\" serve --socket board.sock --config {config} --model");
    command
        .args(["-c", &script])
        .arg(program)
        .current_dir(&scratch.0);
    let server = Running::start(command);
    let start = Instant::now();
    while !socket.exists() && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(10));
    }
    server
}

/// The demo model's text on a board; `before` stands before the program in a shell.
fn text(scratch: &Scratch, before: &str, device: &str, more: &[&str]) -> Running {
    let mut command = Command::new("sh");
    let script = format!("{before}exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(program("host"));
    command.args([
        "-n",
        "20",
        "--temp",
        "0",
        "--prompt",
        "In the beginning",
        "--bitstream",
    ]);
    command.arg(root().join("bitstreams/sim.toml"));
    command.args(["--model"]).arg(root().join("models/demo"));
    command
        .args(["--device", device])
        .args(more)
        .current_dir(&scratch.0);
    Running::start(command)
}

/// Two tokens of a small model on a board of `tiny`.
fn little(scratch: &Scratch, before: &str) -> Running {
    let mut command = Command::new("sh");
    let script = format!("{before}exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(program("host"));
    command.args(["-n", "2", "--device", BOARD, "--bitstream"]);
    command
        .arg(root().join("bitstreams/tiny.toml"))
        .arg("--model");
    command
        .arg(root().join("tests/fixtures/models/olmoe"))
        .current_dir(&scratch.0);
    Running::start(command)
}

const BOARD: &str = "vfio-user:board.sock";

/// What differs from run to run is left out: which access it was, which process.
fn plain(said: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in said.split(' ') {
        let after = words.last().copied();
        match word {
            _ if after == Some("process") => words.push("N"),
            _ if word.starts_with("0x") && after == Some("at") => {
                words.pop();
                while words.last().is_some_and(|w| *w != "(the") {
                    words.pop();
                }
                words.push("access");
            }
            _ => words.push(word),
        }
    }
    words.join(" ")
}

/// Rows of whole programs.
struct Life {
    scratch: Scratch,
    /// The text that every sound run gives.
    golden: Vec<u8>,
}

impl Life {
    fn new(name: &str) -> Life {
        let scratch = Scratch::new(name);
        let (status, golden, said) = text(&scratch, "", "golden", &[]).end();
        assert!(status.success(), "{said}");
        Life { scratch, golden }
    }

    /// The next run on whatever is served now.
    fn works(&self) {
        let (status, out, said) = text(&self.scratch, "", BOARD, &[]).end();
        assert!(
            status.success() && out == self.golden,
            "the next run: {said}"
        );
    }

    /// Something happens to the server while the host is in the middle of its text.
    fn server(
        &self,
        [fault, place, next]: [&str; 3],
        harm: impl FnOnce(&Running),
        more: &[&str],
        says: Says,
        time: &str,
    ) -> Row {
        let server = serve(&self.scratch, "sim", "");
        let host = text(&self.scratch, "", BOARD, more);
        host.begun.recv_timeout(HANG).unwrap();
        harm(&server);
        let (status, out, said) = host.end();
        // A text that breaks off ends its line.
        let begun = self.golden.starts_with(out.trim_ascii_end());
        assert!(begun, "{fault}: {}", String::from_utf8_lossy(&out));
        let result = match status.success() {
            true => Ok(()),
            false => Err(plain(&said)),
        };
        assert_eq!(status.success(), out == self.golden, "{fault}");
        let (said, _) = judge(fault, result, says, 0, "");
        if next.contains("again") {
            drop(server);
            let _server = serve(&self.scratch, "sim", "");
            self.works();
        } else {
            server.signal("-CONT");
            self.works();
        }
        Row {
            fault: fault.into(),
            place: place.into(),
            said,
            time: time.into(),
            next: next.into(),
        }
    }
}

/// What a row says of a program that was killed.
const KILLED: &str = "nothing: it was killed";

fn killed(place: &str, next: &str) -> Row {
    Row {
        fault: "the program is killed".into(),
        place: place.into(),
        said: KILLED.into(),
        time: "no error".into(),
        next: next.into(),
    }
}

/// A server in this process whose first card stands still as soon as it has read a page of its client's memory; who is told then.
struct Stuck {
    stop: Arc<AtomicBool>,
    at_work: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Stuck {
    fn serve(scratch: &Scratch) -> Stuck {
        let server = Server::bind(&scratch.0.join("board.sock")).unwrap();
        let (tell, at_work) = mpsc::channel();
        let mut tell = Some(tell);
        let make = move || {
            let mut function = OnFunction::new(CardModel::new(abi::config::SIM)?);
            if let Some(tell) = tell.take() {
                function.arm(hits(Place::Completion, 1, Harm::Starved));
                function.tell(tell);
            }
            let function: Box<dyn Function> = Box::new(function);
            Ok(function)
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || server.run(make, &stopped).unwrap());
        Stuck {
            stop,
            at_work,
            thread: Some(thread),
        }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|end| end.is_ok()) || std::thread::panicking());
    }
}

impl Life {
    fn killed(&self) -> Row {
        let _server = serve(&self.scratch, "sim", "");
        let host = text(&self.scratch, "", BOARD, &[]);
        host.begun.recv_timeout(HANG).unwrap();
        host.signal("-KILL");
        assert!(!host.end().0.success());
        self.works();
        killed("SIGKILL in the middle of a text", "works")
    }

    fn killed_in_flight(&self) -> Row {
        let server = Stuck::serve(&self.scratch);
        let host = text(&self.scratch, "", BOARD, &[]);
        server.at_work.recv_timeout(HANG).unwrap();
        host.signal("-KILL");
        assert!(!host.end().0.success());
        self.works();
        killed(
            "SIGKILL while the card reads its memory",
            "works: the server resets the function between clients, as the kernel's VFIO does",
        )
    }

    /// One program has the board; another one comes, with the first one's lock and without.
    fn two_at_once(&self) -> Vec<Row> {
        let server = Stuck::serve(&self.scratch);
        let first = text(&self.scratch, "", BOARD, &[]);
        server.at_work.recv_timeout(HANG).unwrap();
        let elsewhere = self.scratch.0.join("elsewhere");
        std::fs::create_dir_all(&elsewhere).unwrap();
        let elsewhere = format!("XDG_RUNTIME_DIR='{}' ", elsewhere.display());
        let mut rows = Vec::new();
        for (place, before, says) in [
            (
                "a second one is started",
                "",
                &["is in use by process N (host)", "stop it"][..],
            ),
            (
                "a second one, which keeps its locks elsewhere",
                &elsewhere,
                &[
                    "the peer closed the connection",
                    "another program may have the board",
                ],
            ),
        ] {
            let (status, out, said) = text(&self.scratch, before, BOARD, &[]).end();
            assert!(!status.success() && out.is_empty());
            let says: &'static [&'static str] = Box::leak(says.to_vec().into_boxed_slice());
            let result: Result<(), String> = Err(plain(&said));
            let (said, _) = judge(place, result, Fails(says), 0, "");
            rows.push(Row {
                fault: "two programs at once".into(),
                place: place.into(),
                said,
                time: "when it is opened".into(),
                next: "works when the first one has ended".into(),
            });
        }
        first.signal("-KILL");
        first.end();
        self.works();
        rows
    }

    /// From none to enough of them: an error that names it, or the text. The row shows the one that stops at the card's buffer.
    fn few_files_for_the_host(&self) -> Row {
        let _server = serve(&self.scratch, "tiny", "");
        let mut shown = None;
        for limit in 4..24 {
            let before = format!("ulimit -n {limit}; ");
            let (status, out, said) = little(&self.scratch, &before).end();
            if status.success() {
                continue;
            }
            // Below that not even the program's own files can be opened.
            assert!(
                said.contains("Too many open files"),
                "ulimit -n {limit}: {said}"
            );
            assert!(out.is_empty());
            if said.contains("a buffer") {
                shown.get_or_insert(said);
            }
        }
        let said = shown.expect("no limit stops at the buffer");
        assert!(said.contains("raise the limit (`ulimit -n`)"), "{said}");
        assert!(little(&self.scratch, "").end().0.success());
        Row {
            fault: "too few open files".into(),
            place: "the program, `ulimit -n` from 4 to 23; here where the card's buffer is made"
                .into(),
            said,
            time: "when it is opened".into(),
            next: "works with a higher limit".into(),
        }
    }

    fn few_files_for_the_server(&self) -> Row {
        let mut shown = None;
        for limit in 4..20 {
            let server = serve(&self.scratch, "tiny", &format!("ulimit -n {limit}; "));
            let (status, _, said) = little(&self.scratch, "").end();
            let served = format!("ulimit -n {limit} for the server: {said}");
            if status.success() {
                continue;
            }
            drop(server);
            if said.contains("too many open files") {
                shown.get_or_insert(said);
            } else {
                // It did not come as far as taking a client, or could not take one.
                let known = ["no such socket", "nobody serves", "closed the connection"];
                assert!(known.iter().any(|k| said.contains(k)), "{served}");
            }
        }
        let said = shown.expect("no limit stops at the mapping");
        let _server = serve(&self.scratch, "tiny", "");
        assert!(little(&self.scratch, "").end().0.success());
        Row {
            fault: "too few open files".into(),
            place: "the server, `ulimit -n` from 4 to 19; here where it is given the card's buffer"
                .into(),
            said,
            time: "when it is opened".into(),
            next: "works with a higher limit".into(),
        }
    }
}

/// A driver that ended in the middle of a transfer, and a platform that resets nothing.
fn left_busy() -> Row {
    let slot = slot(model()).unwrap();
    let mut first = board(&slot)
        .unwrap()
        .with_deadline(Duration::from_millis(50));
    run(&mut first).unwrap();
    grip(&slot)
        .function
        .arm(hits(Place::Completion, 1, Harm::Starved));
    put_long(&mut first).unwrap_err();
    // As when a process is killed: nothing is tidied up.
    std::mem::forget(first);
    grip(&slot).unmap();
    grip(&slot).function.heal().unwrap();
    let resets = grip(&slot).resets();
    run(&mut board(&slot).unwrap()).unwrap();
    assert_eq!(grip(&slot).resets(), resets + 1);
    killed(
        "model: with a transfer under way, and nobody resets the function",
        "works: the driver that opens it next finds a busy channel and resets the function",
    )
}

/// The kernel refuses to pin: its answer is made here, and goes the way of kernel VFIO's.
fn no_pinning() -> Row {
    struct Full;
    impl vfio_ioctls::VfioOps for Full {
        unsafe fn vfio_dma_map(
            &self,
            _: u64,
            _: usize,
            _: *mut u8,
        ) -> Result<(), vfio_ioctls::VfioError> {
            let e = std::io::Error::from_raw_os_error(12);
            Err(vfio_ioctls::VfioError::IommuDmaMap(e.into()))
        }
    }
    let space = device::iommu_space("vfio:0000:01:00.0", Arc::new(Full));
    let result = space.allocate(1 << 20).map(drop);
    let says = Fails(&["a buffer of 1048576 bytes", "locked", "ulimit -l"]);
    let (said, _) = judge("no pinning", result, says, 0, "");
    Row {
        fault: "the host has no memory to pin".into(),
        place: "kernel VFIO: the answer to the map of a buffer, as the kernel gives it beyond RLIMIT_MEMLOCK, made by the test".into(),
        said,
        time: "when it is opened".into(),
        next: "works with a higher limit; nothing was mapped".into(),
    }
}

/// Programs that end, wait, or meet each other and the limits of their system.
#[test]
fn life() {
    let life = Life::new("life");
    let gone = Fails(&[
        "nobody answers any more",
        "the peer closed the connection",
        "start the server",
    ]);
    let again = "works when the server is started again";
    let mut rows = vec![
        life.server(
            [
                "the socket's peer vanishes",
                "`sim-tb serve` is killed in the middle of a text",
                again,
            ],
            |server| server.signal("-KILL"),
            &[],
            gone,
            "at the next access",
        ),
        life.server(
            [
                "the device is taken away under the program",
                "`sim-tb serve` ends in the middle of a text (SIGTERM)",
                again,
            ],
            |server| server.signal("-TERM"),
            &[],
            Fails(&[
                "nobody answers any more",
                "the peer closed the connection",
                "start the server",
            ]),
            "at the next access",
        ),
        life.server(
            [
                "the simulator is suspended",
                "SIGSTOP in the middle of a text, `--device-timeout 2`",
                "works when the server goes on",
            ],
            |server| server.signal("-STOP"),
            &["--device-timeout", "2"],
            Fails(&["nobody answers any more", "suspended", "--device-timeout"]),
            "2 s of wall clock, the deadline asked for; 60 s if none is",
        ),
        life.server(
            [
                "the simulator is suspended for a second",
                "SIGSTOP and SIGCONT in the middle of a text",
                "works",
            ],
            |server| {
                server.signal("-STOP");
                std::thread::sleep(Duration::from_secs(1));
                server.signal("-CONT");
            },
            &[],
            Nothing("the text is right"),
            "no error",
        ),
        life.killed(),
        life.killed_in_flight(),
        left_busy(),
    ];
    rows.extend(life.two_at_once());
    rows.push(life.few_files_for_the_host());
    rows.push(life.few_files_for_the_server());
    rows.push(no_pinning());
    page("life", &rows);
}
