//! Endurance: the host's library drives RTL behind a socket, served by another process, for long: random models, prompts, lengths and
//! batches, in stalls drawn from a seed. Every logit equals `golden`'s, counters stay consistent, and neither process grows. An hour at night.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use abi::layout::{down_section, hidden_section, router_section};
use abi::Storage;
use host::bitstream::Manifest;
use host::driver::{open_device, CardExperts, GoldenBoard, Options};
use host::model::Model;
use host::runtime::sample::most_likely;
use host::runtime::{Decoder, Experts, Session};
use sim_tb::rng::Rng;
use system_tests::hostile::night;
use unit_tests::synth::root;

/// Servers one after the other, each with the stalls of its own seed.
const SHIFTS: u64 = 2;
const SHIFTS_AT_NIGHT: u64 = 6;
/// Prompts of a shift; at night it is time that ends one.
const PROMPTS: usize = 6;
/// Clients before anything is measured: from the second on the allocator takes a card's 16 MiB from what the first gave back, and fills them
/// with zeros, where the kernel had given zeros that took no memory until they were touched.
const WARM: usize = 2;
const SHIFT_AT_NIGHT: Duration = Duration::from_secs(600);
/// Bytes by which the second half of a shift may be larger at its largest than the first half was: blocks that the allocators keep. What is
/// lost with every command, prompt or client would be more in an hour.
const SLACK: u64 = 4 << 20;
/// Most positions of a sequence here.
const CONTEXT: usize = 48;

/// `sim-tb serve`; ended when dropped.
struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    fn start(seed: u64) -> Server {
        // Beside the tests of every package.
        let tests = std::env::current_exe().unwrap();
        let program = tests
            .parent()
            .and_then(Path::parent)
            .unwrap()
            .join("sim-tb");
        assert!(
            program.exists(),
            "{} is missing: run `cargo build -p sim-tb`",
            program.display()
        );
        let name = format!("endurance-{}-{seed}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let mut command = Command::new(program);
        command.args([
            "serve",
            "--config",
            "tiny",
            "--stormy",
            "--seed",
            &seed.to_string(),
        ]);
        command.arg("--socket").arg(&socket);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        while !socket.exists() {
            assert!(
                child.try_wait().unwrap().is_none(),
                "sim-tb serve has ended"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Server { child, socket }
    }

    fn way(&self) -> String {
        format!("vfio-user:{}", self.socket.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Bytes of a process that are in memory.
fn resident(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")).unwrap();
    kib.trim().parse::<u64>().unwrap() << 10
}

/// The largest of each half of what was seen, in order.
fn halves(seen: &[u64]) -> [u64; 2] {
    let (first, second) = seen.split_at(seen.len() / 2);
    [first, second].map(|half| half.iter().copied().max().unwrap_or(0))
}

/// MACs of one token through all routed layers: non-zero weights of the experts chosen, and the router's in two limbs.
fn macs(model: &Model) -> u64 {
    let d = model.spec.hidden;
    let layers = model.spec.moe_layers().map(|(_, moe)| {
        let expert = hidden_section(d, moe.width, true, Storage::INT8).nonzeros()
            + down_section(d, moe.width, Storage::INT8).nonzeros();
        moe.router.top_k * expert + 2 * router_section(d, moe.experts, false).nonzeros()
    });
    layers.sum::<usize>() as u64
}

/// Logits of a prompt and of what is made after it, step by step.
fn say(
    decoder: &Decoder,
    experts: &mut dyn Experts,
    prompt: &[u32],
    more: usize,
    batch: usize,
) -> Vec<f32> {
    let mut session = Session::new(decoder, experts, CONTEXT, batch);
    let mut logits = session.feed(prompt, |_| ()).unwrap();
    let mut all = logits.clone();
    for _ in 0..more {
        let token = most_likely(&logits).unwrap();
        logits = session.feed(&[token], |_| ()).unwrap();
        all.extend_from_slice(&logits);
    }
    all
}

/// A model, and what it says on `golden`.
struct Subject {
    name: &'static str,
    model: Model,
    decoder: Decoder,
    macs: u64,
    golden: CardExperts,
}

impl Subject {
    fn open(name: &'static str, manifest: &Manifest) -> Subject {
        let model = Model::open(&root().join("tests/fixtures/models").join(name)).unwrap();
        let golden = Box::new(GoldenBoard::open(manifest.config).unwrap());
        Subject {
            name,
            decoder: Decoder::open(&model).unwrap(),
            macs: macs(&model),
            golden: CardExperts::load(golden, manifest, &model, 8).unwrap(),
            model,
        }
    }
}

/// A model loaded into the served board.
struct Turn<'a> {
    subject: &'a mut Subject,
    card: CardExperts,
    /// Tokens and commands that the card has had.
    tokens: u64,
    commands: u64,
}

impl Turn<'_> {
    fn begin<'a>(subject: &'a mut Subject, manifest: &Manifest, way: String) -> Turn<'a> {
        let options = Options {
            device: Some(way),
            batch: 8,
            ..Options::default()
        };
        let device = open_device(manifest, &options).unwrap();
        let card = CardExperts::load(device, manifest, &subject.model, 8).unwrap();
        Turn {
            subject,
            card,
            tokens: 0,
            commands: 0,
        }
    }

    /// One random prompt: the same logits, and counters that agree with themselves, with the law and with what was asked.
    fn prompt(&mut self, rng: &mut Rng, place: &str) {
        let place = format!("{place}, {}", self.subject.name);
        let vocab = self.subject.model.spec.vocab;
        let length = 1 + rng.below(if night() { 24 } else { 6 }) as usize;
        let prompt: Vec<u32> = (0..length)
            .map(|_| rng.below(vocab as u64) as u32)
            .collect();
        let (more, batch) = (rng.below(3) as usize, 1 + rng.below(8) as usize);
        let said = say(&self.subject.decoder, &mut self.card, &prompt, more, batch);
        let wanted = say(
            &self.subject.decoder,
            &mut self.subject.golden,
            &prompt,
            more,
            8,
        );
        let bits = |v: &[f32]| v.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
        assert!(
            bits(&said) == bits(&wanted),
            "{place}: {prompt:?} and {more} more, in batches of {batch}"
        );
        self.tokens += (length + more) as u64;
        let stats = self.card.report().unwrap();
        let causes: u64 = stats.causes.iter().map(|c| c.cycles).sum();
        assert_eq!(causes, stats.cycles, "{place}: every cycle has one cause");
        assert_eq!(
            stats.macs,
            self.subject.macs * self.tokens,
            "{place}: MACs = non-zeros x tokens"
        );
        assert!(
            stats.commands > self.commands,
            "{place}: {} commands",
            stats.commands
        );
        assert!(
            stats.predict_hits <= stats.expert_uses && stats.prefetch_used <= stats.prefetch_bytes
        );
        self.commands = stats.commands;
    }
}

/// One server, one seed of stalls: models come and go, each for a few prompts.
fn shift(seed: u64, manifest: &Manifest, over: impl Fn(usize) -> bool) -> usize {
    let server = Server::start(seed);
    let process = server.child.id().to_string();
    let mut rng = Rng::new(seed);
    let mut subjects = ["mixtral", "olmoe", "qwen2_moe"].map(|n| Subject::open(n, manifest));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut prompts, mut turns) = (0, 0);
    while !over(ours.len()) {
        let subject = &mut subjects[rng.below(3) as usize];
        let mut turn = Turn::begin(subject, manifest, server.way());
        turns += 1;
        if turns <= WARM {
            turn.prompt(&mut rng, &format!("seed {seed}, warming"));
            prompts += 1;
            continue;
        }
        for _ in 0..3 {
            turn.prompt(&mut rng, &format!("seed {seed}, prompt {prompts}"));
            prompts += 1;
            ours.push(resident("self"));
            theirs.push(resident(&process));
        }
    }
    for (who, seen) in [("host", &ours), ("sim-tb", &theirs)] {
        let [first, second] = halves(seen);
        println!(
            "seed {seed}: {who} {} KiB, then {} KiB",
            first >> 10,
            second >> 10
        );
        assert!(
            second <= first + SLACK,
            "seed {seed}: {who} grew from {first} to {second} bytes: {seen:?}"
        );
    }
    prompts
}

#[test]
fn for_a_long_time() {
    let manifest = Manifest::open(Some(&root().join("bitstreams/tiny.toml"))).unwrap();
    let mut prompts = 0;
    for seed in 0..if night() { SHIFTS_AT_NIGHT } else { SHIFTS } {
        let begin = Instant::now();
        prompts += shift(seed, &manifest, |done| match night() {
            true => begin.elapsed() >= SHIFT_AT_NIGHT,
            false => done >= PROMPTS,
        });
    }
    println!("{prompts} prompts");
    assert!(prompts >= PROMPTS);
}

#[test]
fn growth_is_seen() {
    let mib = |n: u64| n << 20;
    assert_eq!(halves(&[mib(1), mib(9), mib(2), mib(3)]), [mib(9), mib(3)]);
    let growing: Vec<u64> = (0..100).map(mib).collect();
    let [first, second] = halves(&growing);
    assert!(second > first + SLACK);
    // Memory that is taken is resident.
    let before = resident("self");
    let block = vec![1u8; 64 << 20];
    assert!(resident("self") >= before + (32 << 20), "{}", block.len());
}
