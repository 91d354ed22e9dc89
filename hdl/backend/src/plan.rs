//! What becomes of each net: checks (latches, reads before writes, drivers) and the split of a kernel into independent
//! groups: registers for a clocked block, single assignments, and the rest for `always @(*)` blocks.

use crate::error::{fault, Fault};
use crate::expr::{Ex, NetId, Op};
use crate::kernel::{Kernel, Net, NetKind, Stmt};
use std::collections::BTreeMap;

/// Everything known about one net's use in the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Use {
    /// Positions of the first and last write, and how many there are.
    pub first: usize,
    pub last: usize,
    pub writes: usize,
    /// The value if there is exactly one write, of the whole net, under no condition.
    pub single: Option<Ex>,
    /// Which bits live statements read.
    pub read: Vec<bool>,
    /// How often live statements read it.
    pub reads: usize,
    pub live: bool,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub uses: Vec<Use>,
    /// Registers (by their `d`) whose statements go into the clocked block as they are.
    pub inline: Vec<bool>,
    /// Nets of one `always @(*)` or `assign`, keyed by the position of their first write.
    pub groups: BTreeMap<usize, Vec<NetId>>,
}

/// One read: which net and bits, at which position, for the sake of which written net (none for a condition that
/// guards nothing).
struct Read {
    net: NetId,
    lo: usize,
    width: usize,
    at: usize,
    target: NetId,
}

#[derive(Default)]
struct Scan {
    reads: Vec<Read>,
    /// Position, net.
    writes: Vec<(usize, NetId)>,
    position: usize,
}

/// The nets written in a block.
pub(crate) fn targets(block: &[Stmt], out: &mut Vec<NetId>) {
    for stmt in block {
        match stmt {
            Stmt::Assign { net, .. } => out.push(*net),
            Stmt::If { then, other, .. } => {
                targets(then, out);
                targets(other, out);
            }
            Stmt::Case { arms, .. } => arms.iter().for_each(|(_, b)| targets(b, out)),
            Stmt::Comment(..) => {}
        }
    }
}

impl Scan {
    fn expr(&mut self, e: &Ex, nets: &[Net], targets: &[NetId]) {
        let at = self.position;
        let reads = &mut self.reads;
        e.reads(&|n| nets[n].width, &mut |net, lo, width| {
            reads.extend(targets.iter().map(|&target| Read {
                net,
                lo,
                width,
                at,
                target,
            }));
        });
    }

    fn block(&mut self, block: &[Stmt], nets: &[Net]) {
        for stmt in block {
            self.position += 1;
            let mut written = Vec::new();
            targets(std::slice::from_ref(stmt), &mut written);
            written.sort_unstable();
            written.dedup();
            match stmt {
                Stmt::Assign { net, value, .. } => {
                    self.expr(value, nets, &written);
                    self.writes.push((self.position, *net));
                }
                Stmt::If { test, then, other } => {
                    self.expr(test, nets, &written);
                    self.block(then, nets);
                    self.block(other, nets);
                }
                Stmt::Case { test, arms } => {
                    self.expr(test, nets, &written);
                    arms.iter().for_each(|(_, b)| self.block(b, nets));
                }
                Stmt::Comment(..) => {}
            }
        }
    }
}

/// Which bits of each net are assigned on every path so far.
type Assigned = Vec<Vec<bool>>;

fn check_read(e: &Ex, nets: &[Net], assigned: &Assigned) -> Result<(), Fault> {
    let mut early = None;
    e.reads(&|n| nets[n].width, &mut |net, lo, width| {
        if nets[net].is_sequential() && !assigned[net][lo..lo + width].iter().all(|&b| b) {
            early = Some(net);
        }
    });
    match early {
        Some(net) => fault!(
            ReadBeforeWrite,
            "{} is read before it is assigned on every path; assign it (or a default) first",
            nets[net].rust_name()
        ),
        None => Ok(()),
    }
}

fn check_block(block: &[Stmt], nets: &[Net], assigned: &mut Assigned) -> Result<(), Fault> {
    for stmt in block {
        match stmt {
            Stmt::Assign { net, lo, value } => {
                check_read(value, nets, assigned)?;
                assigned[*net][*lo..lo + value.width].fill(true);
            }
            Stmt::If { test, then, other } => {
                check_read(test, nets, assigned)?;
                check_branches(&[then, other], nets, assigned)?;
            }
            Stmt::Case { test, arms } => {
                check_read(test, nets, assigned)?;
                let blocks: Vec<&Vec<Stmt>> = arms.iter().map(|(_, b)| b).collect();
                check_branches(&blocks, nets, assigned)?;
            }
            Stmt::Comment(..) => {}
        }
    }
    Ok(())
}

fn check_branches(
    blocks: &[&Vec<Stmt>],
    nets: &[Net],
    assigned: &mut Assigned,
) -> Result<(), Fault> {
    let mut touched = Vec::new();
    blocks.iter().for_each(|b| targets(b, &mut touched));
    touched.sort_unstable();
    touched.dedup();
    let before: Vec<Vec<bool>> = touched.iter().map(|&n| assigned[n].clone()).collect();
    let mut common: Vec<Vec<bool>> = touched.iter().map(|&n| vec![true; nets[n].width]).collect();
    for block in blocks {
        check_block(block, nets, assigned)?;
        for ((&n, c), b) in touched.iter().zip(&mut common).zip(&before) {
            c.iter_mut().zip(&assigned[n]).for_each(|(c, a)| *c &= a);
            assigned[n].clone_from(b);
        }
    }
    for (&n, c) in touched.iter().zip(common) {
        assigned[n] = c;
    }
    Ok(())
}

/// Latches and undriven nets.
fn check(kernel: &Kernel) -> Result<(), Fault> {
    let nets = &kernel.nets;
    let mut assigned: Assigned = nets.iter().map(|n| vec![false; n.width]).collect();
    check_block(&kernel.body, nets, &mut assigned)?;
    let mut list = Vec::new();
    targets(&kernel.body, &mut list);
    let mut written = vec![false; nets.len()];
    list.into_iter().for_each(|n| written[n] = true);
    for (i, net) in nets.iter().enumerate() {
        let driven = matches!(
            net.kind,
            NetKind::Out | NetKind::ChildIn(_) | NetKind::RegD(_) | NetKind::RegClock(_)
        );
        let name = net.rust_name();
        if !written[i] {
            if driven {
                return fault!(Undriven, "{name} is never assigned");
            }
        } else if !assigned[i].iter().all(|&b| b) {
            return fault!(Latch, "{name} is not assigned on every path, which makes a latch; give it a default first");
        }
    }
    Ok(())
}

fn find(parents: &mut [usize], mut i: usize) -> usize {
    while parents[i] != i {
        parents[i] = parents[parents[i]];
        i = parents[i];
    }
    i
}

/// Drops writes that a later unconditional one makes void, where nobody looks in between.
fn drop_dead_writes(kernel: &mut Kernel) {
    let mut scan = Scan::default();
    scan.block(&kernel.body, &kernel.nets);
    // Positions of the top-level statements.
    let mut overwritten: BTreeMap<NetId, usize> = BTreeMap::new();
    for (i, stmt) in kernel.body.iter().enumerate() {
        if let Stmt::Assign { net, lo: 0, value } = stmt {
            if value.width == kernel.nets[*net].width {
                overwritten.insert(*net, i);
            }
        }
    }
    let last: BTreeMap<NetId, usize> = scan.writes.iter().map(|&(at, n)| (n, at)).collect();
    for r in &scan.reads {
        if kernel.nets[r.net].is_sequential() && last.get(&r.net).is_some_and(|&l| l >= r.at) {
            overwritten.remove(&r.net);
        }
    }
    let body = std::mem::take(&mut kernel.body);
    kernel.body = body
        .into_iter()
        .enumerate()
        .filter_map(|(i, stmt)| prune(stmt, &|net| overwritten.get(&net).is_none_or(|&o| i >= o)))
        .collect();
}

/// The statement with only the assignments that `keep` wants; none if nothing is left.
pub(crate) fn prune(stmt: Stmt, keep: &dyn Fn(NetId) -> bool) -> Option<Stmt> {
    let block =
        |b: Vec<Stmt>| -> Vec<Stmt> { b.into_iter().filter_map(|s| prune(s, keep)).collect() };
    let assigns = |b: &[Stmt]| {
        let mut t = Vec::new();
        targets(b, &mut t);
        !t.is_empty()
    };
    match stmt {
        Stmt::Assign { net, .. } => keep(net).then_some(stmt),
        Stmt::If { test, then, other } => {
            let (then, other) = (block(then), block(other));
            (assigns(&then) || assigns(&other)).then_some(Stmt::If { test, then, other })
        }
        Stmt::Case { test, arms } => {
            let arms: Vec<_> = arms.into_iter().map(|(l, b)| (l, block(b))).collect();
            arms.iter()
                .any(|(_, b)| assigns(b))
                .then_some(Stmt::Case { test, arms })
        }
        Stmt::Comment(..) => Some(stmt),
    }
}

/// Checks the kernel and decides how to print it.
pub(crate) fn plan(kernel: &mut Kernel) -> Result<Plan, Fault> {
    check(kernel)?;
    drop_dead_writes(kernel);
    let nets = &kernel.nets;
    let mut scan = Scan::default();
    scan.block(&kernel.body, nets);

    let mut uses: Vec<Use> = nets
        .iter()
        .map(|n| Use {
            read: vec![false; n.width],
            ..Use::default()
        })
        .collect();
    for &(at, n) in &scan.writes {
        let u = &mut uses[n];
        if u.writes == 0 {
            u.first = at;
        }
        u.last = at;
        u.writes += 1;
    }
    for stmt in &kernel.body {
        if let Stmt::Assign { net, value, .. } = stmt {
            if uses[*net].writes == 1 && value.width == nets[*net].width {
                uses[*net].single = Some(value.clone());
            }
        }
    }

    // A register's statements can stand in the clocked block if they read only settled values and nobody reads its d.
    let intermediate = |r: &Read| nets[r.net].is_sequential() && uses[r.net].last >= r.at;
    let mut inline: Vec<bool> = nets
        .iter()
        .map(|n| matches!(n.kind, NetKind::RegD(_)))
        .collect();
    for r in &scan.reads {
        if matches!(nets[r.net].kind, NetKind::RegD(_)) {
            inline[r.net] = false;
        }
        if intermediate(r) {
            inline[r.target] = false;
        }
    }

    // Whoever reads an intermediate value belongs to the group that computes it.
    let mut parents: Vec<usize> = (0..nets.len()).collect();
    for r in scan.reads.iter().filter(|r| intermediate(r)) {
        let (a, b) = (find(&mut parents, r.net), find(&mut parents, r.target));
        parents[a.max(b)] = a.min(b);
    }
    for r in &scan.reads {
        let input = matches!(nets[r.net].kind, NetKind::ChildIn(_) | NetKind::RegD(_));
        if input
            && uses[r.net].last >= r.at
            && find(&mut parents, r.net) == find(&mut parents, r.target)
        {
            return fault!(
                ReadBeforeWrite,
                "{} is read by what computes it; its value is that of the end of the kernel, so use a Local",
                nets[r.net].rust_name()
            );
        }
    }

    mark_live(kernel, &scan, &mut uses);
    for r in &scan.reads {
        if uses[r.target].live {
            uses[r.net].read[r.lo..r.lo + r.width].fill(true);
            uses[r.net].reads += 1;
        }
    }

    let mut roots: BTreeMap<usize, Vec<NetId>> = BTreeMap::new();
    for n in 0..nets.len() {
        if uses[n].writes > 0
            && uses[n].live
            && !inline[n]
            && !matches!(nets[n].kind, NetKind::RegClock(_))
        {
            roots.entry(find(&mut parents, n)).or_default().push(n);
        }
    }
    let groups = roots
        .into_values()
        .map(|group| {
            (
                group.iter().map(|&n| uses[n].first).min().unwrap_or(0),
                group,
            )
        })
        .collect();
    Ok(Plan {
        uses,
        inline,
        groups,
    })
}

/// A Local called `tap_..` is kept although nothing reads it: testbenches look at it.
fn is_tap(net: &Net) -> bool {
    net.kind == NetKind::Local && net.path.starts_with("tap_")
}

/// Outputs, inputs of instances and taps are live, and what live statements read is live. A register is live if its q is.
fn mark_live(kernel: &Kernel, scan: &Scan, uses: &mut [Use]) {
    let (nets, registers) = (&kernel.nets, &kernel.registers);
    let mut by_target: BTreeMap<NetId, Vec<NetId>> = BTreeMap::new();
    for r in &scan.reads {
        by_target.entry(r.target).or_default().push(r.net);
    }
    let mut work: Vec<NetId> = (0..nets.len())
        .filter(|&n| matches!(nets[n].kind, NetKind::Out | NetKind::ChildIn(_)) || is_tap(&nets[n]))
        .collect();
    while let Some(n) = work.pop() {
        if std::mem::replace(&mut uses[n].live, true) {
            continue;
        }
        work.extend(by_target.get(&n).into_iter().flatten());
        match nets[n].kind {
            NetKind::RegQ(c) => work.extend([registers[&c].d, registers[&c].clock]),
            NetKind::RegD(c) => work.push(registers[&c].q),
            _ => {}
        }
    }
}

/// Whether `e` is just the net `n`.
pub(crate) fn is_net(e: &Ex, n: NetId) -> bool {
    e.op == Op::Net(n)
}
