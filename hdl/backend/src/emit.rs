//! Modules as text, each kind of body printed once: instances whose text is the same share a module.

use crate::error::{fault, Error, Fault};
use crate::expr::{Ex, NetId, Op};
use crate::kernel::{elaborate, Kernel, Net, NetKind, Stmt};
use crate::names::{flat, is_identifier, is_reserved, Scope};
use crate::plan::{is_net, plan, prune, targets, Plan};
use crate::print::{Printer, Style};
use crate::walk::{Kind, Node, Signal};
use rust_hdl_core::ast::{Verilog, VerilogBlock};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Longer expressions get a net of their own instead of standing in a port connection.
const INLINE_CHARS: usize = 48;

/// A module as its parent sees it.
struct Module {
    name: String,
    /// Path in Rust and name in Verilog of each port.
    ports: Vec<(String, String)>,
}

/// The modules printed so far.
#[derive(Default)]
pub(crate) struct Library {
    texts: Vec<String>,
    /// Module by body.
    by_body: HashMap<String, String>,
    names: HashSet<String>,
    /// Declarations that vendor primitives bring along, each once.
    cores: Vec<String>,
}

struct Body {
    name: Option<String>,
    ports: Vec<(String, String)>,
    text: String,
}

impl Library {
    /// All modules, children before parents; then what vendors declare, in their own style of nets.
    pub(crate) fn text(self) -> String {
        let mut text = self.texts.join("\n") + "\n`default_nettype wire\n";
        for core in self.cores {
            text += &format!("\n{}\n", core.trim());
        }
        text
    }

    /// Reserves the names of the top modules before any other module takes one.
    pub(crate) fn reserve(&mut self, name: &str) -> Result<(), Fault> {
        if !is_identifier(name) || is_reserved(name) {
            return fault!(Name, "{name} cannot be the name of a Verilog module");
        }
        if !self.names.insert(name.to_string()) {
            return fault!(Name, "two top modules are called {name}");
        }
        Ok(())
    }

    /// Prints `node` as the module `name`.
    pub(crate) fn top(&mut self, node: &Node, name: &str) -> Result<(), Error> {
        if matches!(node.code, Verilog::Blackbox(_)) {
            return Err(Fault(
                crate::ErrorKind::Unsupported,
                "a black box cannot be the top".into(),
            )
            .at(&node.path));
        }
        let body = self.body(node)?;
        self.texts
            .push(format!("module {name} {}endmodule\n", body.text));
        Ok(())
    }

    fn module(&mut self, node: &Node) -> Result<Module, Error> {
        if let Verilog::Blackbox(b) = &node.code {
            self.core(&b.code);
            let ports = node
                .ports()
                .map(|p| (p.path.clone(), flat(&p.path)))
                .collect();
            return Ok(Module {
                name: b.name.clone(),
                ports,
            });
        }
        let body = self.body(node)?;
        if let Some(name) = self.by_body.get(&body.text) {
            return Ok(Module {
                name: name.clone(),
                ports: body.ports,
            });
        }
        let base = body
            .name
            .unwrap_or_else(|| node.field.split('$').next().unwrap_or("module").to_string());
        let base = if is_reserved(&base) { base + "_" } else { base };
        let mut name = base.clone();
        let mut n = 1;
        while !self.names.insert(name.clone()) {
            n += 1;
            name = format!("{base}_{n}");
        }
        self.texts
            .push(format!("module {name} {}endmodule\n", body.text));
        self.by_body.insert(body.text, name.clone());
        Ok(Module {
            name,
            ports: body.ports,
        })
    }

    fn core(&mut self, text: &str) {
        if !text.trim().is_empty() && !self.cores.iter().any(|c| c == text) {
            self.cores.push(text.to_string());
        }
    }

    fn body(&mut self, node: &Node) -> Result<Body, Error> {
        let body = match &node.code {
            Verilog::Combinatorial(block) => return self.kernel(node, block),
            Verilog::Empty => return self.kernel(node, &Vec::new()),
            Verilog::Custom(text) => leaf(node, text, false),
            Verilog::Wrapper(w) => {
                self.core(&w.cores);
                leaf(node, &w.code, true)
            }
            Verilog::Blackbox(_) => fault!(Unsupported, "a black box has no body"),
        };
        body.map_err(|f| f.at(&node.path))
    }

    fn kernel(&mut self, node: &Node, block: &VerilogBlock) -> Result<Body, Error> {
        let at = |f: Fault| f.at(&node.path);
        let mut modules = Vec::new();
        for child in &node.children {
            modules.push(if child.register().is_some() {
                None
            } else {
                Some(self.module(child)?)
            });
        }
        let mut kernel = elaborate(node, block).map_err(at)?;
        let plan = plan(&mut kernel).map_err(at)?;
        KernelText::new(node, &kernel, &plan, &modules)
            .map_err(at)?
            .print()
            .map_err(at)
    }
}

/// One line of a port list.
fn port_line(s: &Signal, name: &str, reg: bool, unused: bool) -> String {
    let direction = match (s.kind, reg) {
        (Kind::In, _) => "input  wire",
        (Kind::Out, false) => "output wire",
        (Kind::Out, true) => "output reg ",
        _ => "inout  wire",
    };
    waive(
        unused,
        &format!(
            "{direction} {}{}{name}",
            sign(s.signed),
            Printer::range(s.width)
        ),
    )
}

fn sign(signed: bool) -> &'static str {
    if signed {
        "signed "
    } else {
        ""
    }
}

/// A declaration some of whose bits nobody reads, on purpose.
fn waive(unused: bool, declaration: &str) -> String {
    if unused {
        format!("/* verilator lint_off UNUSEDSIGNAL */ {declaration} /* verilator lint_on UNUSEDSIGNAL */")
    } else {
        declaration.to_string()
    }
}

fn port_list(lines: &[String]) -> String {
    if lines.is_empty() {
        return "();\n".into();
    }
    // A waiver's closing comment may stand behind the comma just as well.
    format!("(\n    {}\n);\n", lines.join(",\n    "))
}

/// A module whose text is written by hand.
fn leaf(node: &Node, text: &str, wrapper: bool) -> Result<Body, Fault> {
    if let Some(child) = node.children.first() {
        return fault!(
            Unsupported,
            "it has Verilog of its own and the child {}; a leaf cannot have children",
            child.field
        );
    }
    let mut scope = Scope::default();
    let mut ports = Vec::new();
    let mut lines = Vec::new();
    for s in node.ports() {
        let name = scope.port(&s.path)?;
        let assigned = wrapper
            || text.contains(&format!("assign {name} "))
            || text.contains(&format!("assign {name}["));
        lines.push(port_line(s, &name, !assigned, false));
        ports.push((s.path.clone(), name));
    }
    let mut out = port_list(&lines);
    for s in node
        .signals
        .iter()
        .filter(|s| matches!(s.kind, Kind::Local | Kind::Const))
    {
        let name = scope.inner(&s.path);
        let (sign, range) = (sign(s.signed), Printer::range(s.width));
        out += &match s.kind {
            Kind::Const => format!(
                "    localparam {sign}{range}{name} = {};\n",
                s.init.verilog(s.signed)
            ),
            _ => format!("    reg {sign}{range}{name};\n"),
        };
    }
    let (name, text) = match text.trim_start().strip_prefix("// module ") {
        Some(rest) => {
            let (name, text) = rest.split_once('\n').unwrap_or((rest, ""));
            (Some(name.trim().to_string()), text)
        }
        None => (None, text),
    };
    for line in text.trim().lines() {
        let pad = if line.trim().is_empty() { "" } else { "    " };
        out += &format!("{pad}{}\n", line.trim_end());
    }
    Ok(Body {
        name,
        ports,
        text: out,
    })
}

/// A kernel on its way to text.
struct KernelText<'a> {
    node: &'a Node,
    kernel: &'a Kernel,
    plan: &'a Plan,
    modules: &'a [Option<Module>],
    names: Vec<String>,
    instance_names: Vec<String>,
    ports: Vec<(String, String)>,
    scope: RefCell<Scope>,
    enum_names: RefCell<BTreeMap<String, String>>,
    /// Child outputs that are wired straight to an output of this module.
    aliases: BTreeMap<NetId, NetId>,
    /// Which top-level statements assign each net.
    statements: Vec<Vec<usize>>,
    /// By path.
    by_path: HashMap<&'a str, NetId>,
}

impl<'a> KernelText<'a> {
    fn new(
        node: &'a Node,
        kernel: &'a Kernel,
        plan: &'a Plan,
        modules: &'a [Option<Module>],
    ) -> Result<Self, Fault> {
        let mut scope = Scope::default();
        let mut ports = Vec::new();
        let mut names = vec![String::new(); kernel.nets.len()];
        for (net, name) in kernel.nets.iter().zip(&mut names) {
            if matches!(net.kind, NetKind::In | NetKind::Out | NetKind::InOut) {
                *name = scope.port(&net.path)?;
                ports.push((net.path.clone(), name.clone()));
            }
        }
        // Registers and instances are called like their fields; nets follow.
        let mut instance_names = Vec::new();
        for (child, module) in node.children.iter().zip(modules) {
            let _ = module;
            instance_names.push(scope.inner(&child.field));
        }
        for (net, name) in kernel.nets.iter().zip(&mut names) {
            if let NetKind::RegQ(c) = net.kind {
                name.clone_from(&instance_names[c]);
            }
        }
        let mut aliases = BTreeMap::new();
        for (out, net) in kernel.nets.iter().enumerate() {
            if net.kind != NetKind::Out {
                continue;
            }
            if let Some(Ex {
                op: Op::Net(from), ..
            }) = plan.uses[out].single
            {
                if matches!(kernel.nets[from].kind, NetKind::ChildOut(_))
                    && plan.uses[from].reads == 1
                {
                    aliases.insert(from, out);
                }
            }
        }
        for (i, net) in kernel.nets.iter().enumerate() {
            if !names[i].is_empty() {
                continue;
            }
            names[i] = match aliases.get(&i) {
                Some(&out) => names[out].clone(),
                None => scope.inner(&net.path),
            };
        }
        let mut statements = vec![Vec::new(); kernel.nets.len()];
        for (at, stmt) in kernel.body.iter().enumerate() {
            let mut written = Vec::new();
            targets(std::slice::from_ref(stmt), &mut written);
            written.sort_unstable();
            written.dedup();
            written.into_iter().for_each(|n| statements[n].push(at));
        }
        Ok(KernelText {
            node,
            kernel,
            plan,
            modules,
            names,
            instance_names,
            ports,
            scope: RefCell::new(scope),
            enum_names: RefCell::default(),
            aliases,
            statements,
            by_path: kernel
                .nets
                .iter()
                .enumerate()
                .map(|(i, n)| (n.path.as_str(), i))
                .collect(),
        })
    }

    /// The top-level statements that assign one of `nets`, each with the comments right before it.
    fn statements_of(&self, nets: &[NetId]) -> Vec<&'a Stmt> {
        let body = &self.kernel.body;
        let wanted: BTreeSet<usize> = nets
            .iter()
            .flat_map(|&n| self.statements[n].iter().copied())
            .collect();
        let mut out = Vec::new();
        for at in wanted {
            let comments = body[..at]
                .iter()
                .rev()
                .take_while(|s| matches!(s, Stmt::Comment(..)))
                .count();
            out.extend(&body[at - comments..=at]);
        }
        out
    }

    fn port_of(&self, child: usize, port: &str) -> Option<NetId> {
        let path = format!("{}${port}", self.node.children[child].field);
        self.by_path.get(path.as_str()).copied()
    }

    fn net(&self, n: NetId) -> &Net {
        &self.kernel.nets[n]
    }

    fn partly_unused(&self, n: NetId) -> bool {
        !self.plan.uses[n].read.iter().all(|&b| b)
    }

    fn print(self) -> Result<Body, Fault> {
        let enum_name = |name: &str| {
            let mut known = self.enum_names.borrow_mut();
            known
                .entry(name.to_string())
                .or_insert_with(|| self.scope.borrow_mut().inner(name))
                .clone()
        };
        let printer = Printer {
            nets: &self.kernel.nets,
            names: &self.names,
            enum_names: &enum_name,
            enums_used: RefCell::new(BTreeSet::new()),
            comments: RefCell::default(),
        };
        let connections = self.connections(&printer);
        let (logic, regs) = self.logic(&printer, &connections);
        let instances = self.instances(&connections);
        let clocked = self.clocked(&printer)?;
        let enums = printer.enums_used.take();

        let lines: Vec<String> = self
            .kernel
            .nets
            .iter()
            .enumerate()
            .filter(|(_, n)| matches!(n.kind, NetKind::In | NetKind::Out | NetKind::InOut))
            .zip(self.node.ports())
            .map(|((n, _), s)| {
                port_line(
                    s,
                    &self.names[n],
                    regs.contains(&n),
                    s.kind != Kind::Out && self.partly_unused(n),
                )
            })
            .collect();
        let mut text = port_list(&lines);
        text += &self.declarations(&enums, &regs, &connections);
        for part in [logic, instances, clocked] {
            if !part.is_empty() {
                text += "\n";
                text += &part;
            }
        }
        let name = self.kernel.name.clone();
        Ok(Body {
            name,
            ports: self.ports,
            text,
        })
    }

    /// Child inputs short enough to stand in the port connection.
    fn connections(&self, printer: &Printer) -> BTreeMap<NetId, String> {
        let mut inline = BTreeMap::new();
        for (n, net) in self.kernel.nets.iter().enumerate() {
            let u = &self.plan.uses[n];
            if let (NetKind::ChildIn(_), Some(value), 0) = (net.kind, &u.single, u.reads) {
                let text = printer.expr(value);
                if text.len() <= INLINE_CHARS {
                    inline.insert(n, text);
                }
            }
        }
        inline
    }

    fn declarations(
        &self,
        enums: &BTreeSet<String>,
        regs: &BTreeSet<NetId>,
        inline: &BTreeMap<NetId, String>,
    ) -> String {
        let mut out = String::new();
        for e in enums {
            let value = self
                .node
                .enums
                .iter()
                .chain(self.node.children.iter().flat_map(|c| &c.enums));
            if let Some(e) = value.into_iter().find(|v| v.name == *e) {
                let name = self.enum_names.borrow()[&e.name].clone();
                let (range, value) = (Printer::range(e.value.width()), e.value.verilog(false));
                out += &format!("    localparam {range}{name} = {value};\n");
            }
        }
        for (n, net) in self.kernel.nets.iter().enumerate() {
            let u = &self.plan.uses[n];
            let (sign, range, name) = (sign(net.signed), Printer::range(net.width), &self.names[n]);
            let kind = if regs.contains(&n) { "reg" } else { "wire" };
            let line = match net.kind {
                NetKind::Const if u.reads > 0 => {
                    format!(
                        "localparam {sign}{range}{name} = {};",
                        net.init.verilog(net.signed)
                    )
                }
                NetKind::RegQ(_) if u.live => format!(
                    "reg {sign}{range}{name} = {};",
                    net.init.verilog(net.signed)
                ),
                NetKind::RegD(_) if u.live && !self.plan.inline[n] => {
                    format!("{kind} {sign}{range}{name};")
                }
                NetKind::Local | NetKind::Temp if u.live => format!("{kind} {sign}{range}{name};"),
                NetKind::ChildIn(_) if !inline.contains_key(&n) => {
                    format!("{kind} {sign}{range}{name};")
                }
                NetKind::ChildOut(_) if u.reads > 0 && !self.aliases.contains_key(&n) => {
                    format!("wire {sign}{range}{name};")
                }
                _ => continue,
            };
            let checked = matches!(
                net.kind,
                NetKind::RegQ(_) | NetKind::Local | NetKind::Temp | NetKind::ChildOut(_)
            );
            out += &format!("    {}\n", waive(checked && self.partly_unused(n), &line));
        }
        if !out.is_empty() {
            out.insert(0, '\n');
        }
        out
    }

    /// The combinational groups, and the nets that `always` blocks drive.
    fn logic(
        &self,
        printer: &Printer,
        inline: &BTreeMap<NetId, String>,
    ) -> (String, BTreeSet<NetId>) {
        let mut regs = BTreeSet::new();
        let mut out = String::new();
        let mut was_block = false;
        let name = |n: NetId| self.names[n].clone();
        let aliased: HashSet<NetId> = self.aliases.values().copied().collect();
        for group in self.plan.groups.values() {
            if let [n] = group[..] {
                if inline.contains_key(&n) || aliased.contains(&n) {
                    continue;
                }
                if let Some(text) = self.assignment(printer, n) {
                    if was_block {
                        out += "\n";
                    }
                    was_block = false;
                    let mut comment = String::new();
                    self.leading_comments(printer, n, &mut comment);
                    out += &format!("{comment}    assign {} = {text};\n", self.names[n]);
                    continue;
                }
            }
            regs.extend(group.iter().copied());
            if !out.is_empty() {
                out += "\n";
            }
            was_block = true;
            out += "    always @(*) begin\n";
            let style = Style {
                arrow: "=",
                wanted: &|n| group.contains(&n),
                name: &name,
            };
            printer.block(self.statements_of(group), &style, 2, &mut out);
            out += "    end\n";
        }
        (out, regs)
    }

    /// Comments right before the first statement that assigns `n`.
    fn leading_comments(&self, printer: &Printer, n: NetId, out: &mut String) {
        for stmt in self.statements_of(&[n]) {
            let Stmt::Comment(text, id) = stmt else {
                return;
            };
            if printer.comments.borrow_mut().insert(*id) {
                *out += &format!("    // {text}\n");
            }
        }
    }

    /// The value of `n` as one expression, if it is one assignment or a choice of two.
    fn assignment(&self, printer: &Printer, n: NetId) -> Option<String> {
        if let Some(value) = &self.plan.uses[n].single {
            return Some(printer.expr(value));
        }
        let width = self.net(n).width;
        let own: Vec<Stmt> = self.statements[n]
            .iter()
            .filter_map(|&at| prune(self.kernel.body[at].clone(), &|m| m == n))
            .collect();
        let value = |block: &[Stmt]| {
            let mut rest = block.iter().filter(|s| !matches!(s, Stmt::Comment(..)));
            match (rest.next(), rest.next()) {
                (Some(Stmt::Assign { lo: 0, value, .. }), None) if value.width == width => {
                    Some(value.clone())
                }
                _ => None,
            }
        };
        let (test, yes, no) = match &own[..] {
            [first @ Stmt::Assign { .. }, Stmt::If { test, then, other }] if other.is_empty() => {
                (test, value(then)?, value(std::slice::from_ref(first))?)
            }
            [Stmt::If { test, then, other }] => (test, value(then)?, value(other)?),
            _ => return None,
        };
        // What reads itself (an intermediate value) stays a block.
        let mut reads_self = false;
        for e in [test, &yes, &no] {
            e.reads(&|m| self.net(m).width, &mut |m, _, _| reads_self |= m == n);
        }
        if reads_self {
            return None;
        }
        let choice = |e: &Ex| printer.expr(e);
        let test = match &test.op {
            Op::Bin(..) | Op::Cmp(..) => format!("({})", printer.expr(test)),
            _ => printer.expr(test),
        };
        Some(format!("{test} ? {} : {}", choice(&yes), choice(&no)))
    }

    fn instances(&self, inline: &BTreeMap<NetId, String>) -> String {
        let mut out = String::new();
        for (c, module) in self.modules.iter().enumerate() {
            let Some(module) = module else {
                continue;
            };
            let connect = |(path, port): &(String, String)| {
                let n = self.port_of(c, path);
                let value = match n {
                    Some(n) => match (inline.get(&n), self.net(n).kind) {
                        (Some(text), _) => text.clone(),
                        (None, NetKind::ChildOut(_)) if self.plan.uses[n].reads == 0 => {
                            String::new()
                        }
                        _ => self.names[n].clone(),
                    },
                    None => String::new(),
                };
                format!("        .{port}({value})")
            };
            let ports: Vec<String> = module.ports.iter().map(connect).collect();
            if !out.is_empty() {
                out += "\n";
            }
            out += &format!(
                "    {} {} (\n{}\n    );\n",
                module.name,
                self.instance_names[c],
                ports.join(",\n")
            );
        }
        out
    }

    /// One clocked block per clock.
    fn clocked(&self, printer: &Printer) -> Result<String, Fault> {
        let mut by_clock: BTreeMap<&str, Vec<NetId>> = BTreeMap::new();
        for (n, net) in self.kernel.nets.iter().enumerate() {
            let NetKind::RegClock(c) = net.kind else {
                continue;
            };
            let d = self.kernel.registers[&c].d;
            if !self.plan.uses[d].live {
                continue;
            }
            match &self.plan.uses[n].single {
                Some(Ex {
                    op: Op::Net(clock), ..
                }) if self.net(*clock).clock => {
                    by_clock.entry(&self.names[*clock]).or_default().push(d);
                }
                _ => {
                    return fault!(
                        Driver,
                        "{} must be assigned once, straight from a clock",
                        net.rust_name()
                    )
                }
            }
        }
        let name = |d: NetId| self.names[self.q_of(d)].clone();
        let blocks = by_clock.into_iter().map(|(clock, ds)| {
            let mut out = format!("    always @(posedge {clock}) begin\n");
            let (inline, computed): (Vec<NetId>, Vec<NetId>) =
                ds.into_iter().partition(|&d| self.plan.inline[d]);
            for d in computed {
                out += &format!("        {} <= {};\n", name(d), self.names[d]);
            }
            let mut begun = HashSet::new();
            let statements = self.statements_of(&inline);
            let body = statements
                .into_iter()
                .filter(|s| !self.holds(s, &mut begun));
            let wanted: HashSet<NetId> = inline.iter().copied().collect();
            let style = Style {
                arrow: "<=",
                wanted: &|n| wanted.contains(&n),
                name: &name,
            };
            printer.block(body, &style, 2, &mut out);
            out + "    end\n"
        });
        Ok(blocks.collect::<Vec<_>>().join("\n"))
    }

    /// The output of the register whose input is `d`.
    fn q_of(&self, d: NetId) -> NetId {
        match self.net(d).kind {
            NetKind::RegD(c) => self.kernel.registers[&c].q,
            _ => d,
        }
    }

    /// `d = q` as the first statement about a register: it keeps its value without being told. `begun` are the nets
    /// that earlier statements assigned.
    fn holds(&self, stmt: &Stmt, begun: &mut HashSet<NetId>) -> bool {
        let mut written = Vec::new();
        targets(std::slice::from_ref(stmt), &mut written);
        let first = written.iter().filter(|n| !begun.insert(**n)).count() == 0;
        let Stmt::Assign { net, lo: 0, value } = stmt else {
            return false;
        };
        first && matches!(self.net(*net).kind, NetKind::RegD(_)) && is_net(value, self.q_of(*net))
    }
}
