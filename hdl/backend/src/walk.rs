//! The design as a tree of plain data: what a `Probe` sees.

use crate::error::{fault, ErrorKind, Fault};
use crate::lit::Lit;
use rust_hdl_core::ast::Verilog;
use rust_hdl_core::atom::{is_atom_signed, Atom, AtomKind};
use rust_hdl_core::block::Block;
use rust_hdl_core::probe::Probe;
use rust_hdl_core::type_descriptor::{TypeDescriptor, TypeKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    In,
    Out,
    InOut,
    Local,
    Const,
}

#[derive(Debug)]
pub(crate) struct Signal {
    /// `a`, `a$0` in an array, `bus$data` in an interface.
    pub path: String,
    pub kind: Kind,
    pub width: usize,
    pub signed: bool,
    pub clock: bool,
    /// The value at power-up, or of the constant.
    pub init: Lit,
}

/// One value of an enum: `State$Idle`.
#[derive(Clone, Debug)]
pub(crate) struct EnumValue {
    pub name: String,
    pub value: Lit,
}

#[derive(Debug)]
pub(crate) struct Node {
    /// The field's name in the parent, `lane$3` in an array.
    pub field: String,
    /// Field names from the top, for messages.
    pub path: String,
    pub signals: Vec<Signal>,
    pub children: Vec<Node>,
    pub enums: Vec<EnumValue>,
    pub code: Verilog,
}

impl Node {
    /// The initial value if this is a register as `leaf::Dff` and `rust_hdl_widgets::DFF` describe it.
    pub(crate) fn register(&self) -> Option<&Lit> {
        let Verilog::Custom(text) = &self.code else {
            return None;
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let shape = [
            "initial",
            "begin",
            "q",
            "=",
            "",
            "end",
            "always",
            "@(posedge",
            "clock)",
            "begin",
            "q",
            "<=",
            "d;",
            "end",
        ];
        let same = words.len() == shape.len()
            && words
                .iter()
                .zip(shape)
                .all(|(w, s)| s.is_empty() || *w == s);
        let ports: Vec<(&str, Kind)> = self
            .signals
            .iter()
            .map(|s| (s.path.as_str(), s.kind))
            .collect();
        let expected = [("d", Kind::In), ("q", Kind::Out), ("clock", Kind::In)];
        (same && ports == expected).then(|| &self.signals[1].init)
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = &Signal> {
        self.signals
            .iter()
            .filter(|s| matches!(s.kind, Kind::In | Kind::Out | Kind::InOut))
    }
}

/// Walks the design below `top`.
pub(crate) fn walk(top: &dyn Block, name: &str) -> Result<Node, Fault> {
    let mut walker = Walker::default();
    top.accept(name, &mut walker);
    if let Some(fault) = walker.fault {
        return Err(fault);
    }
    match walker.done {
        Some(node) => Ok(node),
        None => fault!(Unsupported, "{name} is not a single block"),
    }
}

#[derive(Default)]
struct Walker {
    stack: Vec<(Node, Vec<String>)>,
    done: Option<Node>,
    fault: Option<Fault>,
}

fn enum_values(descriptor: &TypeDescriptor, found: &mut Vec<EnumValue>) {
    match &descriptor.kind {
        TypeKind::Enum(labels) => {
            let width = labels.len().next_power_of_two().trailing_zeros() as usize;
            for (i, label) in labels.iter().enumerate() {
                let name = label.replace("::", "$");
                if !found.iter().any(|e| e.name == name) {
                    found.push(EnumValue {
                        name,
                        value: Lit::from_u128(i as u128, width),
                    });
                }
            }
        }
        TypeKind::Composite(fields) => fields.iter().for_each(|f| enum_values(&f.kind, found)),
        TypeKind::Bits(_) | TypeKind::Signed(_) => {}
    }
}

impl Probe for Walker {
    fn visit_start_scope(&mut self, name: &str, node: &dyn Block) {
        let path = match self.stack.last() {
            Some((parent, _)) => format!("{}.{}", parent.path, name.replace('$', ".")),
            None => name.to_string(),
        };
        let node = Node {
            field: name.to_string(),
            path,
            signals: Vec::new(),
            children: Vec::new(),
            enums: Vec::new(),
            code: node.hdl(),
        };
        self.stack.push((node, Vec::new()));
    }

    fn visit_start_namespace(&mut self, name: &str, _node: &dyn Block) {
        if let Some((_, namespace)) = self.stack.last_mut() {
            namespace.push(name.to_string());
        }
    }

    fn visit_end_namespace(&mut self, _name: &str, _node: &dyn Block) {
        if let Some((_, namespace)) = self.stack.last_mut() {
            namespace.pop();
        }
    }

    fn visit_atom(&mut self, name: &str, signal: &dyn Atom) {
        let Some((node, namespace)) = self.stack.last_mut() else {
            return;
        };
        let mut parts = namespace.clone();
        parts.push(name.to_string());
        let descriptor = signal.descriptor();
        enum_values(&descriptor, &mut node.enums);
        let width = signal.bits();
        let kind = match signal.kind() {
            AtomKind::InputParameter => Kind::In,
            AtomKind::OutputParameter => Kind::Out,
            AtomKind::InOutParameter => Kind::InOut,
            AtomKind::Constant => Kind::Const,
            _ => Kind::Local,
        };
        let (init, mut fault) = match Lit::from_ast(&signal.verilog(), width) {
            Ok(init) => (init, None),
            Err(f) => (Lit::zero(width), Some(f)),
        };
        if width == 0 {
            fault = Some(Fault(
                ErrorKind::Width,
                format!("the signal {} has no bits", parts.join(".")),
            ));
        }
        self.fault = self.fault.take().or(fault);
        node.signals.push(Signal {
            path: parts.join("$"),
            kind,
            width,
            signed: is_atom_signed(signal),
            clock: descriptor.name == "clock",
            init,
        });
    }

    fn visit_end_scope(&mut self, _name: &str, _node: &dyn Block) {
        let Some((node, _)) = self.stack.pop() else {
            return;
        };
        match self.stack.last_mut() {
            Some((parent, _)) => parent.children.push(node),
            None => self.done = Some(node),
        }
    }
}
