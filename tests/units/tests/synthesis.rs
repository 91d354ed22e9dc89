//! One synthesis check of every unit and of both engines: no latch, no loop, one driver each, memories stay memories.

use unit_tests::synth::{check, designs, root, Design};

#[test]
fn every_unit_is_synthesisable() {
    let designs = designs().unwrap_or_else(|e| panic!("{e}"));
    assert!(designs.len() > 2, "no units in target/verilog/units");
    let problems = check("check", &designs).unwrap_or_else(|e| panic!("{e}"));
    assert!(
        problems.is_empty(),
        "Yosys objects (log: target/synth/check/log):\n{}",
        problems.join("\n")
    );
}

/// A module with body `body`, and what the check says of it.
fn verdict(name: &str, body: &str) -> String {
    let folder = format!("control-{name}");
    let file = format!("target/synth/{folder}.v");
    let text = format!(
        "module {name} (input wire clock, input wire [3:0] a, input wire [7:0] d, output reg [7:0] q);\n{body}\nendmodule\n"
    );
    std::fs::create_dir_all(root().join("target/synth")).unwrap();
    std::fs::write(root().join(&file), text).unwrap();
    check(&folder, &[Design::new(name, name, &file)])
        .unwrap_or_else(|e| panic!("{e}"))
        .join("; ")
}

/// The check sees what it is there for.
#[test]
fn mistakes_are_found() {
    let good =
        "reg [7:0] mem [0:15];\nalways @(posedge clock) begin mem[a] <= d; q <= mem[d[3:0]]; end";
    assert_eq!(verdict("good", good), "");
    for (name, body, complaint) in [
        ("latch", "always @(*) if (a[0]) q = d;", "Latch inferred"),
        ("looped", "wire [7:0] n; assign n = n ^ d; always @(*) q = n;", "loop"),
        ("undriven", "wire [7:0] n; always @(posedge clock) q <= n;", "no driver"),
        (
            "doubled",
            "wire [7:0] n; assign n = d; assign n = ~d; always @(posedge clock) q <= n;",
            "multiple conflicting drivers",
        ),
        (
            "asynchronous",
            "reg [7:0] mem [0:15];\nalways @(posedge clock) mem[a] <= d;\nalways @(*) q = mem[d[3:0]];",
            "not read through a register",
        ),
        (
            "registers",
            "reg [7:0] mem [0:15];\nalways @(*) begin mem[a] = d; q = mem[d[3:0]]; end",
            "not a memory any more",
        ),
    ] {
        let found = verdict(name, body);
        assert!(found.contains(complaint), "{name}: found only: {found}");
    }
}
