//! The experts of a model in card memory, and the commands that run them.

use std::cell::RefCell;
use std::time::Duration;

use abi::command::{
    Predict, Score, COMMAND_STRIDE, FLAG_KEEP_SUMS, FLAG_NO_Y, ROUTE_SCALE_ONE, ROUTING_RENORMALISE,
};
use abi::dma::job;
use abi::layout::{
    down_section, expert_bytes, hidden_section, row_bytes, window_words, Section, ROUTE_BYTES,
    WATCHED_PAGE,
};
use abi::registers::{offset, COUNTERS, COUNTERS_BASE};
use abi::{Command, Completion, Config, Opcode, Status, Storage, ALIGN, TOPK_MAX};
use device::dma::{Job, JobAreas};
use device::{Device, DoneRegister};

use super::{Error, Foresight, TIMEOUT};
use crate::bitstream::{rebuild, Manifest};
use crate::model::{self, Model};
use crate::pack::{self, PackedLayer};
use crate::runtime::{self, Cause, Experts, Routing, Stats};

/// LSB of y: outputs within ±8192 in steps of 2^-18.
const LSB_Y: i16 = -18;
/// Largest ring that its register can tell.
const RING_MAX: usize = 1 << 15;
/// Bytes between completion records.
const RECORD: u64 = ALIGN;
/// Bytes of [`CardExperts::stamp`].
const STAMP: usize = 16;

const CONTROL_RESET: u32 = 1;
const CONTROL_FREEZE: u32 = 4;
const DONE: DoneRegister = DoneRegister {
    name: "DONE_COUNT",
    offset: offset("DONE_COUNT"),
    mask: 0xFFFF,
};

/// What the six causes are called, in the order of [`COUNTERS`] after CYCLES.
const CAUSES: [&str; 6] = [
    "computing",
    "waiting for memory",
    "waiting for the host",
    "waiting for a slot",
    "draining",
    "idle",
];

/// Experts in card memory: their command, all but tokens and the addresses of vectors.
struct Work {
    command: Command,
    sections: [Section; 2],
}

impl Work {
    fn new(packed: &PackedLayer, storage: Storage, command: Command) -> Work {
        let (d, f) = (packed.hidden, packed.width);
        Work {
            command,
            sections: [
                hidden_section(d, f, true, storage),
                down_section(d, f, storage),
            ],
        }
    }

    /// Words of a loader slot to use with so many tokens.
    fn window(&self, config: &Config, tokens: usize) -> u16 {
        window_words(&self.sections, config.slot_words, tokens) as u16
    }
}

/// A layer in card memory.
struct CardLayer {
    routed: Work,
    /// The shared expert: a second command that goes on with the sums of the first. Its gate is a router of one row.
    shared: Option<Work>,
    experts: usize,
    top_k: usize,
}

/// Where the vectors and commands of a batch stand.
#[derive(Clone, Copy, Debug, Default)]
struct Areas {
    ring: u64,
    done: u64,
    x: u64,
    y: u64,
    routes: u64,
    /// What the gates of shared experts gave, in the form of routes; only where there are such experts.
    gates: u64,
    stamp: u64,
}

/// The experts of a model on a board.
pub struct CardExperts {
    /// Behind a cell, because reading counters is an access too and a report changes nothing.
    device: RefCell<Box<dyn Device>>,
    name: String,
    config: Config,
    hidden: usize,
    /// One entry per decoder layer; `None` where the layer is dense.
    layers: Vec<Option<CardLayer>>,
    areas: Areas,
    /// Where jobs stand on the card, if the board has them, and the slot of the next.
    jobs: Option<JobAreas>,
    next_job: u64,
    /// First byte of card memory that is not in use.
    free: u64,
    ring_log2: u32,
    /// Most tokens of one doorbell.
    batch: usize,
    /// Most tokens of one command.
    split: usize,
    /// Commands written since reset, as the TAIL register counts.
    tail: u16,
    commands: u64,
    foresight: Foresight,
    /// Hints sent and not yet seen to be taken: commands before `tail`.
    hinted: u16,
    /// Something failed: the board's ring may not be where this program thinks.
    doubt: bool,
    /// Stands in card memory behind everything else, as long as that keeps what was loaded.
    stamp: [u8; STAMP],
    deadline: Duration,
}

/// How the output of a job stands in its slot: y, routes, records.
#[derive(Clone, Copy)]
struct Output {
    routes: usize,
    records: usize,
    bytes: usize,
}

impl Output {
    /// Of `each` commands on the tokens of `command`.
    fn of(command: &Command, each: usize, hidden: usize) -> Output {
        let tokens = usize::from(command.tokens);
        let align = ALIGN as usize;
        let routes = (tokens * row_bytes(hidden)).next_multiple_of(align);
        let records = (routes + tokens * ROUTE_BYTES).next_multiple_of(align);
        Output {
            routes,
            records,
            bytes: records + each * RECORD as usize,
        }
    }
}

/// Hands out card memory from the bottom up.
struct Allocator {
    free: u64,
}

impl Allocator {
    fn take(&mut self, bytes: usize) -> u64 {
        let at = self.free;
        // Sums beyond 64 bits stay beyond any memory.
        let end = self.free.saturating_add(bytes as u64);
        self.free = end.checked_next_multiple_of(ALIGN).unwrap_or(end);
        at
    }
}

impl CardExperts {
    /// Checks that `device` holds the engine of `manifest`, and loads all routed experts of `model`, which stay in card
    /// memory; `batch` tokens at most will go to the board at a time. Nothing is prefetched, see [`Self::with`]; shared experts
    /// are left to the caller, see [`Self::with_shared`].
    ///
    /// # Errors
    /// If the engine is another one, the model is larger than it takes, memory is too small, or the device fails.
    pub fn load(
        mut device: Box<dyn Device>,
        manifest: &Manifest,
        model: &Model,
        batch: usize,
    ) -> Result<CardExperts, Error> {
        let config = manifest.config;
        let name = device.name();
        device.reset()?;
        identify(&mut *device, manifest)?;
        for (layer, moe) in model.spec.moe_layers() {
            within(&config, layer, model.spec.hidden, moe)?;
        }

        let batch = batch.max(1);
        let split = batch.min(config.tokens_max);
        let mut memory = Allocator { free: 0 };
        let mut layers: Vec<Option<CardLayer>> = model.spec.layers.iter().map(|_| None).collect();
        let mut overflow = false;
        for (place, (at, moe)) in model.spec.moe_layers().enumerate() {
            let packed = PackedLayer::of(model, at, &pack::Options::default())?;
            let storage = readable(&config, &packed)?;
            let images = packed.images(storage);
            let router_addr = memory.take(images.router.len());
            let experts_addr = memory.take(images.experts.len());
            // Sizes of the rest are still added up, for the message.
            overflow |= memory.free > device.memory_bytes();
            if overflow {
                continue;
            }
            device.copy_in(&images.router, router_addr)?;
            device.copy_in(&images.experts, experts_addr)?;
            let command = Command {
                router_addr,
                experts_addr,
                expert_stride: images.stride as u32,
                // The board's table may be shorter than a model is deep; rows are shared then, and only guesses suffer.
                layer: (place % config.layers_max) as u8,
                ..template(&packed, storage, moe)
            };
            layers[at] = Some(CardLayer {
                routed: Work::new(&packed, storage, command),
                shared: None,
                experts: moe.experts,
                top_k: moe.router.top_k,
            });
        }
        if overflow {
            return Err(Error::Model {
                needed: memory.free,
                device: name,
                memory: device.memory_bytes(),
            });
        }

        // What follows a layer: the next one, and the first after the last.
        let mut next = layers
            .iter()
            .flatten()
            .map(|l| l.routed.command.experts_addr)
            .next();
        for layer in layers.iter_mut().rev().flatten() {
            let command = &mut layer.routed.command;
            command.next_addr = next.unwrap_or(0);
            next = Some(command.experts_addr);
        }

        // Results and records are written while experts may be prefetched: they stand in pages of their own.
        memory.free = memory
            .free
            .checked_next_multiple_of(WATCHED_PAGE)
            .unwrap_or(memory.free);
        let used = memory.free;
        // One more than a batch needs, for the hints before it.
        let shared = model.spec.moe_layers().any(|(_, moe)| moe.shared.is_some());
        let each = 1 + usize::from(shared);
        let commands = batch.div_ceil(split).saturating_mul(each);
        let slots = (commands + 1).next_power_of_two();
        let row = row_bytes(model.spec.hidden);
        // Jobs want the ring at a multiple of its size.
        let ring = slots.saturating_mul(COMMAND_STRIDE as usize);
        let aligned = memory.free.checked_next_multiple_of(ring as u64);
        memory.free = aligned.unwrap_or(memory.free);
        let areas = Areas {
            ring: memory.take(ring),
            done: memory.take(slots.saturating_mul(RECORD as usize)),
            x: memory.take(batch.saturating_mul(row)),
            y: memory.take(batch.saturating_mul(row)),
            routes: memory.take(batch.saturating_mul(ROUTE_BYTES)),
            gates: memory.take(batch.saturating_mul(each - 1).saturating_mul(ROUTE_BYTES)),
            stamp: memory.take(STAMP),
        };
        if memory.free > device.memory_bytes() || slots > RING_MAX {
            return Err(Error::Batch {
                tokens: batch,
                needed: memory.free - used,
                free: device.memory_bytes() - used,
                device: name,
                memory: device.memory_bytes(),
            });
        }
        let mut card = CardExperts {
            device: RefCell::new(device),
            name,
            config,
            hidden: model.spec.hidden,
            layers,
            areas,
            jobs: None,
            next_job: 0,
            free: memory.free,
            ring_log2: slots.ilog2(),
            batch,
            split,
            tail: 0,
            commands: 0,
            foresight: Foresight::none(),
            hinted: 0,
            doubt: false,
            stamp: stamp(),
            deadline: TIMEOUT,
        };
        card.device.get_mut().copy_in(&card.stamp, areas.stamp)?;
        card.start()?;
        card.place_jobs()?;
        Ok(card)
    }

    /// Jobs, if the board has them and there is room for their slots.
    fn place_jobs(&mut self) -> Result<(), Error> {
        let x = self.free.next_multiple_of(job::AREA);
        let y = x + job::AREA;
        let device = self.device.get_mut();
        if y + job::AREA > device.memory_bytes() {
            return Ok(());
        }
        let ring = self.areas.ring;
        let areas = JobAreas { ring, x, y };
        if device.jobs(areas)? {
            self.jobs = Some(areas);
            self.free = y + job::AREA;
        }
        Ok(())
    }

    /// Shared experts too, those that the engine takes and for which there is room; the others stay with the caller.
    ///
    /// # Errors
    /// If a tensor is missing or not finite, or the device fails.
    pub fn with_shared(mut self, model: &Model) -> Result<CardExperts, Error> {
        let device = self.device.get_mut();
        for (at, moe) in model.spec.moe_layers() {
            if moe.shared.is_none_or(|s| s.width > self.config.f_max) {
                continue;
            }
            let Some(packed) = PackedLayer::shared(model, at)? else {
                continue;
            };
            let storage = readable(&self.config, &packed)?;
            let images = packed.images(storage);
            let mut memory = Allocator { free: self.free };
            let router_addr = memory.take(images.router.len());
            let experts_addr = memory.take(images.experts.len());
            if memory.free > device.memory_bytes() {
                continue;
            }
            self.free = memory.free;
            device.copy_in(&images.router, router_addr)?;
            device.copy_in(&images.experts, experts_addr)?;
            let command = Command {
                router_addr,
                experts_addr,
                expert_stride: images.stride as u32,
                flags: FLAG_KEEP_SUMS,
                experts: 1,
                topk: 1,
                routing: (Score::Sigmoid as u8) << 2,
                ..template(&packed, storage, moe)
            };
            if let Some(layer) = &mut self.layers[at] {
                layer.shared = Some(Work::new(&packed, storage, command));
            }
        }
        Ok(self)
    }

    /// From now on experts are prefetched as `foresight` says.
    ///
    /// # Errors
    /// If the device fails while the board's table is written.
    pub fn with(mut self, foresight: Foresight) -> Result<CardExperts, Error> {
        self.foresight = foresight;
        self.write_table()?;
        Ok(self)
    }

    /// The same, with another time for a command to end than a minute.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> CardExperts {
        self.deadline = deadline;
        self
    }

    fn write_table(&mut self) -> Result<(), Error> {
        let device = self.device.get_mut();
        if self.foresight.on_board() != Predict::Table {
            return Ok(());
        }
        for (layer, expert, entry) in self.foresight.table() {
            if layer < self.config.layers_max {
                let index = layer * self.config.experts_max + expert;
                device.write_register(offset("PREDICT_INDEX"), index as u32)?;
                device.write_register(offset("PREDICT_DATA"), entry)?;
            }
        }
        Ok(())
    }

    /// The board, for a look at its registers and its memory between layers.
    pub fn device(&mut self) -> &mut dyn Device {
        &mut **self.device.get_mut()
    }

    /// Where jobs stand on the card, if layers go as jobs.
    pub fn job_areas(&self) -> Option<JobAreas> {
        self.jobs
    }

    /// Card address and bytes of the image of one expert; `None` where there is no such expert.
    pub fn expert_image(&self, layer: usize, expert: usize) -> Option<(u64, usize)> {
        let layer = self.layers.get(layer)?.as_ref()?;
        let c = &layer.routed.command;
        let bytes = expert_bytes(c.d.into(), c.f.into(), c.gated(), c.storage()?);
        let at = c.experts_addr + expert as u64 * u64::from(c.expert_stride);
        (expert < layer.experts).then_some((at, bytes))
    }

    /// Starts the counters and the ring anew.
    fn start(&mut self) -> Result<(), Error> {
        let device = self.device.get_mut();
        device.write_register(offset("CONTROL"), CONTROL_RESET)?;
        device.write_register(offset("RING_BASE_LO"), self.areas.ring as u32)?;
        device.write_register(offset("RING_BASE_HI"), (self.areas.ring >> 32) as u32)?;
        device.write_register(offset("RING_LOG2"), self.ring_log2)?;
        Ok(())
    }

    /// Resets a board that has failed, and sets it up anew over the experts that it still holds.
    fn recover(&mut self) -> Result<(), Error> {
        let device = self.device.get_mut();
        device.reset()?;
        let mut found = [0; STAMP];
        device.copy_out(self.areas.stamp, &mut found)?;
        if found != self.stamp {
            return Err(Error::MemoryLost {
                device: self.name.clone(),
            });
        }
        self.start()?;
        if let Some(areas) = self.jobs {
            self.device.get_mut().jobs(areas)?;
        }
        self.write_table()?;
        (self.tail, self.next_job, self.hinted, self.doubt) = (0, 0, 0, false);
        Ok(())
    }

    /// Tells the board which experts `layer` will probably want, without waiting.
    fn hint(&mut self, at: usize, token: u32, logits: &[f32]) -> Result<(), Error> {
        // The next layer sets the board up first; a hint changes no result.
        if self.doubt {
            return Ok(());
        }
        let Some(Some(layer)) = self.layers.get(at) else {
            return Ok(());
        };
        let place = self.layers[..at].iter().flatten().count();
        let count = layer.top_k.min(self.config.slots);
        let guesses = self.foresight.guess(place, token, logits, count);
        if guesses.is_empty() {
            return Ok(());
        }
        let mut hints = [0; 8];
        hints[..guesses.len()].copy_from_slice(&guesses);
        let (slots, areas) = (1u64 << self.ring_log2, self.areas);
        let slot = u64::from(self.tail) % slots;
        let command = Command {
            opcode: Opcode::Prefetch as u8,
            tokens: 1,
            x_addr: areas.x,
            y_addr: areas.y,
            route_addr: areas.routes,
            done_addr: areas.done + slot * RECORD,
            next_addr: layer.routed.command.experts_addr,
            predict: Predict::Hints as u8,
            guesses: guesses.len() as u8,
            hints: u64::from_le_bytes(hints),
            window_words: layer.routed.window(&self.config, 1),
            ..layer.routed.command
        };
        let device = self.device.get_mut();
        self.doubt = true;
        device.copy_in(&command.to_bytes(), areas.ring + slot * COMMAND_STRIDE)?;
        self.tail = self.tail.wrapping_add(1);
        self.hinted += 1;
        device.write_register(offset("TAIL"), self.tail.into())?;
        self.doubt = false;
        Ok(())
    }

    /// Runs one layer; if the one before it failed, on a board that is set up anew first.
    fn run(
        &mut self,
        at: usize,
        x: &[f32],
        out: &mut [f32],
        routing: &mut Routing,
    ) -> Result<(), Error> {
        if self.doubt {
            self.recover()?;
        }
        let result = self.attempt(at, x, out, routing);
        // A command that ended with an error has ended: the ring is where it should be.
        self.doubt = !matches!(result, Ok(()) | Err(Error::Command { .. }));
        result
    }

    /// Runs one layer on at most `batch` tokens: by jobs, or where they have no room by copies and one ring of the doorbell.
    fn attempt(
        &mut self,
        at: usize,
        x: &[f32],
        out: &mut [f32],
        routing: &mut Routing,
    ) -> Result<(), Error> {
        let (d, row) = (self.hidden, row_bytes(self.hidden));
        let tokens = x.len() / d;
        let mut rows = Vec::with_capacity(tokens * row);
        for (t, x) in x.chunks_exact(d).enumerate() {
            rows.extend(x.iter().flat_map(|v| v.to_le_bytes()));
            rows.resize((t + 1) * row, 0);
        }
        let commands = self.layer_commands(at, tokens);
        let mut routes = vec![0; tokens * ROUTE_BYTES];
        let what = format!("layer {at}, {tokens} tokens");
        match self.job_places(&commands) {
            Some(places) => self.by_jobs(at, commands, &places, &mut rows, &mut routes, &what)?,
            None => self.by_copies(at, commands, &mut rows, &mut routes, &what)?,
        }

        let layer = self.layers[at].as_ref().expect("checked by the caller");
        let unit = 2f64.powi(i32::from(layer.routed.command.lsb_y));
        for (out, row) in out.chunks_exact_mut(d).zip(rows.chunks_exact(row)) {
            for (out, y) in out.iter_mut().zip(words(row)) {
                *out = (f64::from(y as i32) * unit) as f32;
            }
        }
        for chosen in routes.chunks_exact(ROUTE_BYTES) {
            let words: Vec<u32> = words(chosen).collect();
            for choice in words.chunks_exact(2).take(layer.top_k) {
                if choice[0] as usize >= layer.experts {
                    return Err(Error::Nonsense {
                        device: self.name.clone(),
                        layer: at,
                        what: "the chosen expert",
                        found: choice[0],
                    });
                }
                routing.indices.push(choice[0]);
                routing.weights.push(choice[1] as f32 / 65536.0);
            }
        }
        Ok(())
    }

    /// The commands of a layer on so many tokens, all but the addresses of vectors and records; where the shared expert is on the card
    /// its command follows each of the others.
    fn layer_commands(&self, at: usize, tokens: usize) -> Vec<Command> {
        let layer = self.layers[at].as_ref().expect("checked by the caller");
        let shared = layer.shared.as_ref().filter(|_| self.shares(at));
        // The board's table speaks of one token's choices.
        let predict = match tokens {
            1 => self.foresight.on_board(),
            _ => Predict::None,
        };
        let mut commands = Vec::new();
        for first in (0..tokens).step_by(self.split) {
            let part = self.split.min(tokens - first);
            for work in std::iter::once(&layer.routed).chain(shared) {
                commands.push(Command {
                    tag: commands.len() as u16,
                    tokens: part as u16,
                    window_words: work.window(&self.config, part),
                    // Of the shared expert alone; the other's routes go elsewhere.
                    route_addr: self.areas.gates + (first * ROUTE_BYTES) as u64,
                    ..work.command
                });
            }
            let routed = commands.len() - 1 - usize::from(shared.is_some());
            let routed = &mut commands[routed];
            routed.predict = predict as u8;
            routed.guesses = layer.top_k.min(self.config.slots) as u8;
            routed.flags = if shared.is_some() { FLAG_NO_Y } else { 0 };
        }
        commands
    }

    /// Where command `n` from now on stands in the ring.
    fn place(&self, n: usize) -> u64 {
        (u64::from(self.tail) + n as u64) % (1 << self.ring_log2)
    }

    /// Whether all commands can go as jobs: the place in the ring of each job's first command.
    fn job_places(&self, commands: &[Command]) -> Option<Vec<u64>> {
        self.jobs?;
        let fits = Output::of(commands.first()?, self.each(commands), self.hidden);
        if !Job::fits(fits.routes, fits.bytes) {
            return None;
        }
        let each = self.each(commands);
        let places: Vec<u64> = (0..commands.len())
            .step_by(each)
            .map(|n| self.place(n))
            .collect();
        let whole = |place: &u64| place + each as u64 <= 1 << self.ring_log2;
        places.iter().all(whole).then_some(places)
    }

    /// Commands that belong together: those of one part of the tokens.
    fn each(&self, commands: &[Command]) -> usize {
        match commands.first() {
            Some(first) if first.flags & FLAG_NO_Y != 0 => 2,
            _ => 1,
        }
    }

    /// Runs commands as jobs: x in `rows` is replaced by y.
    fn by_jobs(
        &mut self,
        at: usize,
        mut commands: Vec<Command>,
        places: &[u64],
        rows: &mut Vec<u8>,
        routes: &mut [u8],
        what: &str,
    ) -> Result<(), Error> {
        let (areas, row) = (self.jobs.expect("there are jobs"), row_bytes(self.hidden));
        let each = self.each(&commands);
        let first_tail = self.tail;
        let mut texts = Vec::new();
        let mut outputs = Vec::new();
        for (n, commands) in commands.chunks_exact_mut(each).enumerate() {
            let slot = (self.next_job + n as u64) % u64::from(job::SLOTS) * job::SLOT;
            let output = Output::of(&commands[0], each, self.hidden);
            let y = areas.y + slot;
            let mut text = Vec::new();
            for (i, command) in commands.iter_mut().enumerate() {
                command.x_addr = areas.x + slot;
                command.y_addr = y;
                if i == 0 {
                    command.route_addr = y + output.routes as u64;
                }
                command.done_addr = y + (output.records + i * RECORD as usize) as u64;
                text.extend(command.to_bytes());
            }
            texts.push(text);
            outputs.push((output, vec![0; output.bytes]));
        }
        self.next_job += places.len() as u64;
        let tail = first_tail.wrapping_add(commands.len() as u16);
        let part = self.split * row;
        let mut jobs: Vec<Job> = (texts.iter().zip(&mut outputs).zip(rows.chunks(part)))
            .enumerate()
            .map(|(n, ((text, (_, output)), x))| Job {
                commands: text,
                place: places[n] as u16,
                tail: first_tail.wrapping_add(((n + 1) * each) as u16),
                x,
                output,
            })
            .collect();
        let deadline = self.deadline * commands.len() as u32;
        let device = self.device.get_mut();
        device.run_jobs(&mut jobs, DONE, deadline, what)?;
        self.tail = tail;
        self.commands += commands.len() as u64 + u64::from(std::mem::take(&mut self.hinted));

        for (n, (output, bytes)) in outputs.iter().enumerate() {
            for i in 0..each {
                let record = output.records + i * RECORD as usize;
                self.judge(at, first_tail, n * each + i, &bytes[record..])?;
            }
        }
        rows.clear();
        let mut chosen = Vec::with_capacity(routes.len());
        for ((output, bytes), command) in outputs.iter().zip(commands.chunks_exact(each)) {
            let tokens = usize::from(command[0].tokens);
            rows.extend(&bytes[..tokens * row]);
            chosen.extend(&bytes[output.routes..][..tokens * ROUTE_BYTES]);
        }
        routes.copy_from_slice(&chosen);
        Ok(())
    }

    /// Runs commands by copies: x and commands in, one ring of the doorbell, and all results out. x in `rows` is replaced by y.
    fn by_copies(
        &mut self,
        at: usize,
        commands: Vec<Command>,
        rows: &mut [u8],
        routes: &mut [u8],
        what: &str,
    ) -> Result<(), Error> {
        let (areas, row) = (self.areas, row_bytes(self.hidden));
        let each = self.each(&commands);
        let places: Vec<u64> = (0..commands.len()).map(|n| self.place(n)).collect();
        let device = self.device.get_mut();
        device.copy_in(rows, areas.x)?;
        for (n, (command, place)) in commands.iter().zip(&places).enumerate() {
            let first = n / each * self.split;
            let mut command = Command {
                x_addr: areas.x + (first * row) as u64,
                y_addr: areas.y + (first * row) as u64,
                done_addr: areas.done + place * RECORD,
                ..*command
            };
            if n % each == 0 {
                command.route_addr = areas.routes + (first * ROUTE_BYTES) as u64;
            }
            device.copy_in(&command.to_bytes(), areas.ring + place * COMMAND_STRIDE)?;
        }
        let tail = self.tail.wrapping_add(commands.len() as u16);
        device.write_register(offset("TAIL"), tail.into())?;
        device.wait_done(
            DONE,
            tail.into(),
            self.deadline * commands.len() as u32,
            what,
        )?;
        let before = std::mem::replace(&mut self.tail, tail);
        self.commands += commands.len() as u64 + u64::from(std::mem::take(&mut self.hinted));

        for (n, place) in places.iter().enumerate() {
            let mut record = [0; 16];
            let device = self.device.get_mut();
            device.copy_out(areas.done + place * RECORD, &mut record)?;
            self.judge(at, before, n, &record)?;
        }
        let device = self.device.get_mut();
        device.copy_out(areas.y, rows)?;
        device.copy_out(areas.routes, routes)?;
        Ok(())
    }

    /// Looks at the completion record of command `n` behind the tail `before`.
    fn judge(&mut self, at: usize, before: u16, n: usize, record: &[u8]) -> Result<(), Error> {
        let record = Completion::from_bytes(record[..16].try_into().expect("16 bytes"));
        let nonsense = |name: &str, what, found| Error::Nonsense {
            device: name.to_owned(),
            layer: at,
            what,
            found,
        };
        let failed = |name: &str, status: u32| {
            let known = Status::from_code(status);
            Error::Command {
                device: name.to_owned(),
                layer: at,
                sentence: known.map_or("a status that is not known", Status::sentence),
                status,
            }
        };
        let sequence = before.wrapping_add(n as u16 + 1);
        if record.sequence != u32::from(sequence) {
            // Without its descriptor the engine knows no place for a record; the register has the last command's status.
            let device = self.device.get_mut();
            return Err(match device.read_register(offset("LAST_STATUS"))? {
                0 => nonsense(
                    &self.name,
                    "the completion record's number",
                    record.sequence,
                ),
                status => failed(&self.name, status),
            });
        }
        if record.status != Status::Ok as u32 {
            return Err(failed(&self.name, record.status));
        }
        if record.tag != n as u32 {
            return Err(nonsense(
                &self.name,
                "the completion record's tag",
                record.tag,
            ));
        }
        Ok(())
    }

    /// All counters as one.
    fn counters(&self) -> Result<[u64; COUNTERS.len()], Error> {
        let mut device = self.device.borrow_mut();
        device.write_register(offset("CONTROL"), CONTROL_FREEZE)?;
        let mut values = [0; COUNTERS.len()];
        for (n, value) in values.iter_mut().enumerate() {
            let at = COUNTERS_BASE + 8 * n as u32;
            let low = device.read_register(at)?;
            let high = device.read_register(at + 4)?;
            *value = u64::from(high) << 32 | u64::from(low);
        }
        device.write_register(offset("CONTROL"), 0)?;
        Ok(values)
    }
}

impl Drop for CardExperts {
    /// Leaves the board idle: after an interruption it may be at work on something that nobody waits for.
    fn drop(&mut self) {
        // A board that does not answer has said so before, and nobody is left to tell.
        let _ = self.device.get_mut().reset();
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes
        .chunks_exact(4)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// Another one for each load: what an earlier program left in card memory is not taken for what this one loaded.
fn stamp() -> [u8; STAMP] {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = time.map_or(0, |t| t.as_nanos() as u64);
    let process = u64::from(std::process::id());
    (u128::from(nanos) << 64 | u128::from(process)).to_le_bytes()
}

/// Refuses a device that is not the engine of the manifest.
fn identify(device: &mut dyn Device, manifest: &Manifest) -> Result<(), Error> {
    for (register, wanted) in [("MAGIC", abi::MAGIC), ("ABI_VERSION", abi::ABI_VERSION)] {
        let seen = device.read_register(offset(register))?;
        if seen != wanted {
            return Err(Error::Identity {
                device: device.name(),
                register,
                seen,
                wanted,
            });
        }
    }
    let low = device.read_register(offset("FINGERPRINT_LO"))?;
    let high = device.read_register(offset("FINGERPRINT_HI"))?;
    let seen = u64::from(high) << 32 | u64::from(low);
    if seen != manifest.fingerprint {
        return Err(Error::Fingerprint {
            device: device.name(),
            seen,
            manifest: manifest.path.display().to_string(),
            wanted: manifest.fingerprint,
            rebuild: rebuild(&manifest.config),
        });
    }
    Ok(())
}

/// Refuses a layer that is larger than the engine.
fn within(
    config: &Config,
    layer: usize,
    hidden: usize,
    moe: &model::spec::Moe,
) -> Result<(), Error> {
    for (what, found, limit) in [
        ("hidden size", hidden, config.d_max),
        ("expert width", moe.width, config.f_max),
        ("a number of experts of", moe.experts, config.experts_max),
        ("experts per token", moe.router.top_k, TOPK_MAX),
    ] {
        if found > limit {
            return Err(Error::Limit {
                layer,
                what,
                found,
                limit,
                config: config.name,
            });
        }
    }
    Ok(())
}

/// How the experts stand in card memory; refuses what the engine cannot read.
fn readable(config: &Config, packed: &PackedLayer) -> Result<Storage, Error> {
    let storage = packed.storage(config);
    let Storage {
        format,
        sparsity,
        paired,
        ..
    } = storage;
    if config.reads(format, sparsity, paired) {
        return Ok(storage);
    }
    Err(Error::Storage {
        format: pack::format_name(format),
        sparsity: sparsity.name(),
        config: config.name,
    })
}

/// The command of a layer, without addresses and tokens.
fn template(packed: &PackedLayer, storage: Storage, moe: &model::spec::Moe) -> Command {
    let (d, f) = (packed.hidden, packed.width);
    Command {
        opcode: Opcode::MoeLayer as u8,
        d: d as u16,
        f: f as u16,
        experts: moe.experts as u16,
        topk: moe.router.top_k as u8,
        storage: storage.code(),
        lsb_y: LSB_Y,
        routing: if moe.router.renormalise {
            ROUTING_RENORMALISE
        } else {
            0
        },
        route_scale: ROUTE_SCALE_ONE,
        ..Command::default()
    }
}

impl Experts for CardExperts {
    fn layer(
        &mut self,
        layer: usize,
        x: &[f32],
        out: &mut [f32],
        routing: &mut Routing,
    ) -> Result<(), runtime::Error> {
        let Some(Some(on_card)) = self.layers.get(layer) else {
            return Err(model::Error::NoExperts { layer }.into());
        };
        routing.clear(on_card.top_k);
        let part = self.batch * self.hidden;
        for (x, out) in x.chunks(part).zip(out.chunks_mut(part)) {
            self.run(layer, x, out, routing)
                .map_err(|e| match e.is_interruption() {
                    true => runtime::Error::Interrupted,
                    false => runtime::Error::Experts(Box::new(e)),
                })?;
        }
        Ok(())
    }

    /// Not where the board prefetches the next layer by itself while it computes this one: the shared expert's command between the
    /// two would undo that.
    fn shares(&self, layer: usize) -> bool {
        let layer = self.layers.get(layer).and_then(Option::as_ref);
        self.foresight.on_board() == Predict::None && layer.is_some_and(|l| l.shared.is_some())
    }

    /// `None` where the device does not answer any more; what it said then is in the error of [`Experts::layer`].
    fn report(&self) -> Option<Stats> {
        let values = self.counters().ok()?;
        let of = |name| {
            let at = COUNTERS.iter().position(|c| *c == name);
            values[at.expect("a counter of the register map")]
        };
        Some(Stats {
            commands: self.commands,
            cycles: of("CYCLES"),
            causes: CAUSES
                .iter()
                .zip(&values[1..])
                .map(|(name, &cycles)| Cause {
                    name: (*name).to_owned(),
                    cycles,
                })
                .collect(),
            macs: of("MACS"),
            peak_macs_per_cycle: self.config.peak_macs() as u64,
            bytes_read: of("READ_BYTES"),
            bytes_written: of("WRITTEN_BYTES"),
            saturations: of("SATURATIONS"),
            skipped: of("SKIPPED"),
            expert_uses: of("EXPERT_USES"),
            predict_hits: of("PREDICT_HITS"),
            prefetch_bytes: of("PREFETCH_BYTES"),
            prefetch_used: of("PREFETCH_USED"),
        })
    }

    fn foresees(&self) -> bool {
        self.foresight.hints()
    }

    fn foresee(
        &mut self,
        layer: usize,
        tokens: &[u32],
        logits: &[f32],
    ) -> Result<(), runtime::Error> {
        // Many tokens want most experts anyway.
        let &[token] = tokens else {
            return Ok(());
        };
        self.hint(layer, token, logits)
            .map_err(|e| match e.is_interruption() {
                true => runtime::Error::Interrupted,
                false => runtime::Error::Experts(Box::new(e)),
            })
    }
}
