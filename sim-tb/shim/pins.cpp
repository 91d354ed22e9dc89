// Unit bench: the pins of one Verilated unit behind a C interface. Compiled once per unit; `ports.inc` is made from the
// generated class: PORT(name, IN|OUT, msb, lsb). Values travel as 32-bit words, lowest first.
#include <cstdint>
#include <cstring>
#include "Vunit.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif
#if VM_COVERAGE
#include <unistd.h>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include "verilated_cov.h"
#endif

namespace {

#if VM_COVERAGE
// What all benches of this process have reached, by Verilator's name of the point; written when the library goes, to the folder that
// ROUNDHOUSE_COVERAGE names.
struct Reached {
    std::map<std::string, uint64_t> counts;
    std::mutex lock;
    std::string base;

    Reached() {
        const char* folder = getenv("ROUNDHOUSE_COVERAGE");
        if (folder) base = std::string(folder) + "/" UNIT "-" + std::to_string(getpid());
    }
    void add(VerilatedContext& context) {
        if (base.empty()) return;
        std::lock_guard<std::mutex> hold(lock);
        std::string file = base + ".tmp", line;
        context.coveragep()->write(file.c_str());
        std::ifstream in(file);
        while (std::getline(in, line)) {
            size_t end = line.rfind("' ");
            if (line.compare(0, 3, "C '") == 0 && end != line.npos) counts[line.substr(0, end + 2)] += strtoull(&line[end + 2], nullptr, 10);
        }
        in.close();
        remove(file.c_str());
    }
    ~Reached() {
        if (base.empty() || counts.empty()) return;
        // A library that is loaded again adds to what it left: counts of a point are summed by whoever reads them.
        std::ofstream out(base + ".dat", std::ios::app);
        for (auto& point : counts) out << point.first << point.second << "\n";
    }
};
Reached reached;
#endif

// Copies between a Verilated signal (1, 2, 4 or 8 bytes, or an array of words) and words; little-endian hosts only.
template <typename T> void load(T& signal, const uint32_t* words, int width) {
    uint32_t tmp[64] = {};
    int n = (width + 31) / 32;
    memcpy(tmp, words, 4 * n);
    if (width % 32) tmp[n - 1] &= (1u << width % 32) - 1;
    memcpy(&signal, tmp, sizeof(T));
}
template <typename T> void store(const T& signal, uint32_t* words, int width) {
    uint32_t tmp[64] = {};
    memcpy(tmp, &signal, sizeof(T));
    memcpy(words, tmp, 4 * ((width + 31) / 32));
}

struct Port {
    const char* name;
    int output;
    int width;
};
const Port PORTS[] = {
#define PORT(name, dir, msb, lsb) {#name, #dir[0] == 'O', msb - lsb + 1},
#include "ports.inc"
#undef PORT
};
#define PORT(name, dir, msb, lsb) static_assert(sizeof(Vunit::name) <= 256, #name " is wider than 2048 bits");
#include "ports.inc"
#undef PORT

struct Bench {
    VerilatedContext context;
    Vunit* unit;
    uint64_t time = 0;
#if VM_TRACE
    VerilatedVcdC vcd;
#endif
    void eval() {
        unit->eval();
#if VM_TRACE
        if (vcd.isOpen()) vcd.dump(time);
#endif
        time++;
    }
};

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API uint32_t rh_pins_abi() { return 1; }
API uint32_t rh_pins_count() { return sizeof(PORTS) / sizeof(PORTS[0]); }
API const char* rh_pins_name(uint32_t i) { return PORTS[i].name; }
API uint32_t rh_pins_width(uint32_t i) { return PORTS[i].width; }
API uint32_t rh_pins_output(uint32_t i) { return PORTS[i].output; }

API Bench* rh_pins_new() {
    Bench* b = new Bench;
    b->context.threads(1);  // no pool of workers for units that use none
    b->context.traceEverOn(VM_TRACE);
    b->unit = new Vunit{&b->context, "unit"};
    return b;
}
API void rh_pins_free(Bench* b) {
#if VM_TRACE
    if (b->vcd.isOpen()) b->vcd.close();
#endif
    // The model leaves the thread's context, which may be that of another bench.
    Verilated::threadContextp(&b->context);
    b->unit->final();
#if VM_COVERAGE
    reached.add(b->context);
#endif
    delete b->unit;
    delete b;
}
// Returns 0 when the library was built without waveforms.
API int rh_pins_trace(Bench* b, const char* path) {
#if VM_TRACE
    b->unit->trace(&b->vcd, 99);
    b->vcd.open(path);
    return b->vcd.isOpen();
#else
    return 0;
#endif
}
API void rh_pins_set(Bench* b, uint32_t i, const uint32_t* words) {
    uint32_t n = 0;
#define PORT(name, dir, msb, lsb) \
    if (i == n++) return load(b->unit->name, words, msb - lsb + 1);
#include "ports.inc"
#undef PORT
}
API void rh_pins_get(Bench* b, uint32_t i, uint32_t* words) {
    uint32_t n = 0;
#define PORT(name, dir, msb, lsb) \
    if (i == n++) return store(b->unit->name, words, msb - lsb + 1);
#include "ports.inc"
#undef PORT
}
API void rh_pins_eval(Bench* b) { b->eval(); }
// One clock: inputs settle, then port `i` rises; afterwards outputs are those of the new state.
API void rh_pins_tick(Bench* b, uint32_t i) {
    const uint32_t low = 0, high = 1;
    rh_pins_set(b, i, &low);
    b->eval();
    rh_pins_set(b, i, &high);
    b->eval();
}
