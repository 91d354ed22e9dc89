//! What the world can do to a card and its driver, one thing at a time: between root complex and card ([`OnLink`], packets), and
//! between host and function ([`OnFunction`], accesses; for the plain model of the card, which has no packets). Both are put around
//! what they disturb, and neither is known to it.

use crate::function::{self, Bar, Fault, Function, Host, Progress};
use crate::root_complex::tlp::{Status, Tlp};
use crate::root_complex::{Grants, Health, Link, Pool, Received, MESSAGES};
use std::ops::Range;
use std::sync::mpsc::Sender;

/// What is counted, and then hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Completions of the card's reads: packets on a link, whole reads at a function.
    Completion,
    /// Answers of the card to the host's reads.
    Answer,
    /// Memory writes of the card, without messages of interrupts.
    Write,
    /// Messages of interrupts.
    Message,
    /// Requests of the host.
    Request,
    /// Accesses of the host to a register, which a link does not know: BAR and offset.
    Register(usize, u64),
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Answered with Unsupported Request.
    Unsupported,
    /// Answered with Completer Abort.
    Aborted,
    /// Marked as known to be wrong.
    Poisoned,
    /// It never arrives.
    Lost,
    /// It arrives twice.
    Doubled,
    /// A word of its data is another one.
    Word(usize, u32),
    /// The link goes down, before it and until [`Link::reset`].
    LinkDown,
    /// From here on the card is granted nothing more to ask with; for a function: it stands still.
    Starved,
}

/// One thing that will happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What is counted.
    pub place: Place,
    /// Which one is hit, the next one being 0.
    pub nth: u64,
    /// What happens.
    pub harm: Harm,
    /// It happens to all that come after it too, until the injector is healed.
    pub lasting: bool,
}

/// The state of an injector.
#[derive(Clone, Debug, Default)]
struct Plan {
    rule: Option<Rule>,
    seen: u64,
    hit: Option<u64>,
    /// Whoever waits for what was lost has given up by then.
    given_up: u64,
    down: bool,
    starved: bool,
}

impl Plan {
    /// Whether something at `place` is hit, and how; `now` is kept.
    fn hits(&mut self, place: Place, now: u64) -> Option<Harm> {
        let rule = self.rule.filter(|r| r.place == place)?;
        self.seen += 1;
        if self.seen <= rule.nth {
            return None;
        }
        self.rule = self.rule.filter(|r| r.lasting);
        self.hit.get_or_insert(now);
        match rule.harm {
            Harm::LinkDown => self.down = true,
            Harm::Starved => self.starved = true,
            Harm::Lost if place == Place::Completion => self.given_up = now + PATIENCE,
            _ => {}
        }
        Some(rule.harm)
    }
}

/// Cycles after a packet was lost within which whoever waits for it must have given up: the longest time-out of the endpoint.
const PATIENCE: u64 = 2_500_000;

/// A link on which packets are harmed.
pub struct OnLink<L> {
    /// The sound link.
    pub link: L,
    /// What a surprise does to what is below the packets.
    cut: fn(&mut L, bool),
    plan: Plan,
    /// The link went down while a packet was sent: whoever waits for the answer is told at once.
    fell: bool,
    /// What is granted to the card, and what would be if it were not starved.
    granted: Grants,
    due: Grants,
}

impl<L: Link> OnLink<L> {
    /// Around `link`; `cut` takes it down or up at its own level.
    pub fn new(link: L, cut: fn(&mut L, bool)) -> OnLink<L> {
        OnLink {
            link,
            cut,
            plan: Plan::default(),
            fell: false,
            granted: Grants::default(),
            due: Grants::default(),
        }
    }

    /// From now on `rule` is waited for.
    pub fn arm(&mut self, rule: Rule) {
        self.plan = Plan {
            rule: Some(rule),
            ..Plan::default()
        };
    }

    /// The cycle of the harm, once it was done; the world is then sound again, except that a link that is down stays so.
    pub fn heal(&mut self) -> Option<u64> {
        let hit = self.plan.hit;
        self.plan = Plan {
            down: self.plan.down,
            ..Plan::default()
        };
        let due = self.due;
        self.grant(&due);
        hit
    }

    fn hits(&mut self, place: Place) -> Option<Harm> {
        let now = self.link.now();
        let harm = self.plan.hits(place, now);
        if harm == Some(Harm::LinkDown) {
            (self.cut)(&mut self.link, false);
        }
        harm
    }
}

/// The words of a completion after `harm`.
fn harmed(words: &[u32], harm: Harm) -> Vec<u32> {
    let Ok(Tlp::Completion(mut c)) = Tlp::parse(words) else {
        return words.to_vec();
    };
    let refused = |status| {
        let mut c = c.clone();
        c.status = status;
        c.data.clear();
        Tlp::Completion(c).to_words()
    };
    match harm {
        Harm::Unsupported => refused(Status::Unsupported),
        Harm::Aborted => refused(Status::Abort),
        Harm::Poisoned => {
            c.poisoned = true;
            Tlp::Completion(c).to_words()
        }
        Harm::Word(n, value) => {
            if let Some(word) = c.data.get_mut(n) {
                *word = value;
            }
            Tlp::Completion(c).to_words()
        }
        _ => words.to_vec(),
    }
}

/// Where a packet counts.
fn place(tlp: &Tlp, from_card: bool) -> Option<Place> {
    match (tlp, from_card) {
        (Tlp::Completion(_), false) => Some(Place::Completion),
        (Tlp::Completion(_), true) => Some(Place::Answer),
        (Tlp::MemWrite { address, .. }, true) if MESSAGES.contains(address) => Some(Place::Message),
        (Tlp::MemWrite { .. }, true) => Some(Place::Write),
        (Tlp::MemRead { .. } | Tlp::MemWrite { .. } | Tlp::Config { .. }, false) => {
            Some(Place::Request)
        }
        _ => None,
    }
}

impl<L: Link> Link for OnLink<L> {
    fn now(&self) -> u64 {
        self.link.now()
    }

    fn send(&mut self, words: &[u32]) {
        let place = Tlp::parse(words).ok().and_then(|tlp| place(&tlp, false));
        let harm = place.and_then(|place| self.hits(place));
        self.fell = harm == Some(Harm::LinkDown);
        if self.plan.down || harm == Some(Harm::Lost) {
            return;
        }
        let Some(harm) = harm else {
            return self.link.send(words);
        };
        self.link.send(&harmed(words, harm));
        if harm == Harm::Doubled {
            self.link.send(words);
        }
    }

    fn queued(&self) -> usize {
        self.link.queued()
    }

    fn grant(&mut self, grants: &Grants) {
        self.due = *grants;
        let non_posted: Option<Pool> = match self.plan.starved {
            true => self.granted.non_posted,
            false => grants.non_posted,
        };
        self.granted = Grants {
            non_posted,
            ..*grants
        };
        self.link.grant(&self.granted);
    }

    fn granted(&self) -> Grants {
        self.link.granted()
    }

    fn run(&mut self, cycle: u64) -> Result<Option<Received>, function::Error> {
        if std::mem::take(&mut self.fell) {
            return Ok(None);
        }
        loop {
            let Some(mut received) = self.link.run(cycle)? else {
                return Ok(None);
            };
            let tlp = Tlp::parse(&received.words).ok();
            let harm = tlp
                .and_then(|tlp| place(&tlp, true))
                .and_then(|place| self.hits(place));
            if harm == Some(Harm::LinkDown) {
                return Ok(None);
            }
            if self.plan.down || harm == Some(Harm::Lost) {
                continue;
            }
            if let Some(harm) = harm {
                received.words = harmed(&received.words, harm);
            }
            return Ok(Some(received));
        }
    }

    fn active(&self) -> u64 {
        // What waits for a lost packet does not move, and must have the time to give up.
        let waits = self.plan.given_up.min(self.link.now());
        self.link.active().max(waits)
    }

    /// Long before any deadline; what was lost is seen to in `active`.
    fn quiet(&self) -> u64 {
        100_000
    }

    fn reset(&mut self, grants: &Grants) {
        (self.due, self.granted) = (*grants, *grants);
        self.plan.down = false;
        self.link.reset(grants);
    }

    fn health(&self) -> Health {
        match self.plan.down {
            true => Health::Down,
            false => Health::Lossy,
        }
    }
}

/// A function whose accesses are harmed, those of the host and its own. Of [`Harm`], what needs packets (`Aborted`, `Poisoned`,
/// `Doubled`) is a refused access here.
pub struct OnFunction<F> {
    /// The sound function.
    pub function: F,
    plan: Plan,
    accesses: u64,
    /// Told once when the harm is done.
    told: Option<Sender<()>>,
}

impl<F: Function> OnFunction<F> {
    /// Around `function`.
    pub fn new(function: F) -> OnFunction<F> {
        OnFunction {
            function,
            plan: Plan::default(),
            accesses: 0,
            told: None,
        }
    }

    /// As [`OnLink::arm`].
    pub fn arm(&mut self, rule: Rule) {
        self.plan = Plan {
            rule: Some(rule),
            ..Plan::default()
        };
    }

    /// Whoever is at the other end is told when the harm is done.
    pub fn tell(&mut self, who: Sender<()>) {
        self.told = Some(who);
    }

    /// The host's access of the harm, counted from the beginning, once it was done; as [`OnLink::heal`].
    pub fn heal(&mut self) -> Option<u64> {
        let hit = self.plan.hit;
        self.plan = Plan {
            down: self.plan.down,
            ..Plan::default()
        };
        hit
    }

    /// Accesses of the host from the beginning.
    pub fn accesses(&self) -> u64 {
        self.accesses
    }

    /// One access of the host, to a register unless to configuration space: whether it arrives.
    fn arrives(&mut self, answered: bool, register: Option<(usize, u64)>) -> bool {
        self.accesses += 1;
        let now = self.accesses;
        let mut harm = self.plan.hits(Place::Request, now);
        if let Some((bar, offset)) = register {
            harm = self.plan.hits(Place::Register(bar, offset), now).or(harm);
        }
        if answered {
            harm = self.plan.hits(Place::Answer, now).or(harm);
        }
        !self.plan.down && matches!(harm, None | Some(Harm::Starved))
    }
}

/// The host, with harm to what the card asks of it.
struct Harming<'a> {
    host: &'a mut dyn Host,
    plan: &'a mut Plan,
    now: u64,
}

impl Host for Harming<'_> {
    fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let harm = self.plan.hits(Place::Completion, self.now);
        let fault = Fault {
            iova,
            bytes: bytes.len(),
            write: false,
        };
        match harm {
            None | Some(Harm::Starved) => self.host.read(iova, bytes),
            Some(Harm::Word(n, value)) => {
                self.host.read(iova, bytes)?;
                if let Some(word) = bytes.get_mut(4 * n..4 * n + 4) {
                    word.copy_from_slice(&value.to_le_bytes());
                }
                Ok(())
            }
            Some(_) => Err(fault),
        }
    }

    fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        match self.plan.hits(Place::Write, self.now) {
            None | Some(Harm::Starved) => self.host.write(iova, bytes),
            // Posted: nobody hears of it.
            Some(_) => Ok(()),
        }
    }

    fn interrupt(&mut self, vector: u32) {
        if self.plan.hits(Place::Message, self.now).is_none() {
            self.host.interrupt(vector);
        }
    }
}

/// The function and its harmed host.
macro_rules! through {
    ($self:ident, $host:ident, $call:ident($($arg:expr),*)) => {{
        let mut host = Harming { host: $host, plan: &mut $self.plan, now: $self.accesses };
        $self.function.$call(&mut host, $($arg),*)
    }};
}

impl<F: Function> Function for OnFunction<F> {
    fn bars(&self) -> [Option<Bar>; 6] {
        self.function.bars()
    }

    fn vectors(&self) -> u32 {
        self.function.vectors()
    }

    fn msix_area(&self) -> (usize, [Range<u64>; 2]) {
        self.function.msix_area()
    }

    fn config_read(
        &mut self,
        host: &mut dyn Host,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), function::Error> {
        if self.arrives(true, None) {
            return through!(self, host, config_read(offset, bytes));
        }
        bytes.fill(0xFF);
        Ok(())
    }

    fn config_write(
        &mut self,
        host: &mut dyn Host,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), function::Error> {
        match self.arrives(false, None) {
            true => through!(self, host, config_write(offset, bytes)),
            false => Ok(()),
        }
    }

    fn bar_read(
        &mut self,
        host: &mut dyn Host,
        bar: usize,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), function::Error> {
        if self.arrives(true, Some((bar, offset))) {
            return through!(self, host, bar_read(bar, offset, bytes));
        }
        bytes.fill(0xFF);
        Ok(())
    }

    fn bar_write(
        &mut self,
        host: &mut dyn Host,
        bar: usize,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), function::Error> {
        match self.arrives(false, Some((bar, offset))) {
            true => through!(self, host, bar_write(bar, offset, bytes)),
            false => Ok(()),
        }
    }

    fn enable_interrupts(&mut self, host: &mut dyn Host, on: bool) -> Result<(), function::Error> {
        match self.plan.down {
            true => Ok(()),
            false => through!(self, host, enable_interrupts(on)),
        }
    }

    fn reset(&mut self, host: &mut dyn Host) -> Result<(), function::Error> {
        self.plan.down = false;
        through!(self, host, reset())
    }

    fn run(&mut self, host: &mut dyn Host) -> Result<Progress, function::Error> {
        if self.plan.hit.is_some() {
            // Nobody may be left to listen.
            self.told.take().map(|who| who.send(()));
        }
        match self.plan.down || self.plan.starved {
            true => Ok(Progress::Idle),
            false => through!(self, host, run()),
        }
    }
}
