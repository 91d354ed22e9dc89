// The simulated board: a Verilated `engine` between a model of card memory and a model of the host, behind a C interface.
// The inner loop is here; one call runs many cycles. src/board.rs has the same declarations, guarded by rh_abi().
#include "Vengine.h"
#include "Vengine___024root.h"
#include "card.h"
#include "host.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

constexpr int CHANNELS = 15;
enum { M_AR, M_R, M_AW, M_W, M_B, S_AR, S_R, S_AW, S_W, S_B, L_AR, L_R, L_AW, L_W, L_B };

struct Params {  // as `Params` in src/board.rs
    uint64_t seed;
    uint64_t memory_bytes;
    uint32_t latency, jitter, bandwidth, order, queue;
    uint32_t host_burst;
    uint32_t stall[CHANNELS];  // of 256
};

// A stream of internal wires tap_NAME_valid, tap_NAME_data of module `engine`; taps.inc is made from the generated class.
struct Tap {
    const char* name;
    uint32_t words;
};
const Tap TAPS[] = {
#define TAP(name, words) {#name, words},
#include "taps.inc"
#undef TAP
    {nullptr, 0},
};

template <typename T> uint32_t words_of(const T& signal, uint32_t* out) {
    memcpy(out, &signal, sizeof(T) < 4 ? 4 : sizeof(T));
    return 0;
}
template <> uint32_t words_of(const CData& signal, uint32_t* out) { return *out = signal, 0; }
template <> uint32_t words_of(const SData& signal, uint32_t* out) { return *out = signal, 0; }

struct Board {
    Params params;
    VerilatedContext context;
    Vengine* top;
    CardSide<Vengine> card;
    HostBursts host;
    HostLite lite;
    Rng rng;
    Violation violation;
    uint64_t cycle = 0;
    bool stalling = false, tapping = false;
    std::vector<uint32_t> tapped;
    std::string state;
#if VM_TRACE
    VerilatedVcdC vcd;
    uint64_t vcd_from = 0, vcd_to = 0;
#endif
    Channel<Addr> s_ar{"s_axi AR"}, s_aw{"s_axi AW"}, l_ar{"s_axil AR"}, l_aw{"s_axil AW"};
    Channel<Data> s_r{"s_axi R"}, s_w{"s_axi W"}, l_r{"s_axil R"}, l_w{"s_axil W"};
    Channel<Resp> s_b{"s_axi B"}, l_b{"s_axil B"};

    explicit Board(const Params& p)
        : params(p),
          card({p.memory_bytes, p.latency, p.jitter, p.bandwidth, p.order, p.queue < 1 ? 1 : p.queue > 64 ? 64 : p.queue}, ~p.seed),
          rng{p.seed} {
        context.threads(1);  // no pool of workers for models that use none
        context.traceEverOn(VM_TRACE);
        top = new Vengine{&context, "board"};
        for (uint32_t s : params.stall) stalling |= s != 0;
    }
    ~Board() {
#if VM_TRACE
        if (vcd.isOpen()) vcd.close();
#endif
        // The model leaves the thread's context, which may be that of another board.
        Verilated::threadContextp(&context);
        top->final();
        delete top;
    }

    void eval(int phase) {
        top->eval();
#if VM_TRACE
        if (cycle >= vcd_from && cycle < vcd_to) vcd.dump(cycle * 2 + phase);
        else if (cycle >= vcd_to && vcd.isOpen()) vcd.close();
#else
        (void)phase;
#endif
    }

    void tap() {
        uint32_t stream = 0;
        auto* r = top->rootp;
        (void)r;
        auto record = [&](const auto& data, uint32_t words) {
            size_t at = tapped.size();
            tapped.resize(at + 3 + words);
            tapped[at] = stream;
            tapped[at + 1] = uint32_t(cycle);
            tapped[at + 2] = uint32_t(cycle >> 32);
            words_of(data, &tapped[at + 3]);
        };
        (void)record;
#define TAP(name, words)                                                                       \
    if (r->engine__DOT__tap_##name##_valid) record(r->engine__DOT__tap_##name##_data, words); \
    stream++;
#include "taps.inc"
#undef TAP
    }

    void step() {
        bool stall[CHANNELS] = {};
        if (stalling) {
            uint64_t a = rng.next(), b = rng.next();
            for (int i = 0; i < CHANNELS; i++) stall[i] = ((i < 8 ? a >> 8 * i : b >> 8 * (i - 8)) & 255) < params.stall[i];
        }
        Vengine& t = *top;
        card.drive(t, cycle, stall[M_AR], stall[M_R], stall[M_AW], stall[M_W], stall[M_B]);

        // The host is quiet while the engine works.
        host.drive(stall[S_AR], stall[S_R], stall[S_AW], stall[S_W], stall[S_B]);
        t.s_axi_rready = host.r_ready;
        t.s_axi_bready = host.b_ready;
        t.s_axi_arvalid = host.ar_valid;
        t.s_axi_awvalid = host.aw_valid;
        t.s_axi_wvalid = host.w_valid;
        if (host.ar_valid) {
            t.s_axi_arid = host.ar.id;
            t.s_axi_araddr = host.ar.addr;
            t.s_axi_arlen = host.ar.len;
            t.s_axi_arsize = host.ar.size;
            t.s_axi_arburst = host.ar.burst;
        }
        if (host.aw_valid) {
            t.s_axi_awid = host.aw.id;
            t.s_axi_awaddr = host.aw.addr;
            t.s_axi_awlen = host.aw.len;
            t.s_axi_awsize = host.aw.size;
            t.s_axi_awburst = host.aw.burst;
        }
        if (host.w_valid) {
            memcpy(&t.s_axi_wdata, host.w.data, BEAT);
            t.s_axi_wstrb = host.w.strb;
            t.s_axi_wlast = host.w.last;
        }

        lite.drive(stall[L_AR], stall[L_R], stall[L_AW], stall[L_W], stall[L_B]);
        t.s_axil_rready = lite.r_ready;
        t.s_axil_bready = lite.b_ready;
        t.s_axil_arvalid = lite.ar_valid;
        t.s_axil_awvalid = lite.aw_valid;
        t.s_axil_wvalid = lite.w_valid;
        if (lite.ar_valid | lite.aw_valid | lite.w_valid) {
            t.s_axil_araddr = lite.addr;
            t.s_axil_awaddr = lite.addr;
            t.s_axil_wdata = lite.wdata;
            t.s_axil_wstrb = 15;
        }

        t.clk = 0;
        eval(0);
        if (!t.rst) exchange(t);
        t.clk = 1;
        eval(1);
        cycle++;
    }

    // What moves in this cycle, seen on the settled signals; the models change only after all were looked at.
    void exchange(Vengine& t) {
        if (tapping) tap();
        auto& v = violation;
        auto r = [&] {
            Data d{{}, t.s_axi_rid, 0, t.s_axi_rresp, t.s_axi_rlast};
            memcpy(d.data, &t.s_axi_rdata, BEAT);
            return d;
        };
        auto b = [&] { return Resp{t.s_axi_bid, t.s_axi_bresp}; };
        auto lr = [&] { return Data{{t.s_axil_rdata}, 0, 0, t.s_axil_rresp, 0}; };
        auto lb = [&] { return Resp{0, t.s_axil_bresp}; };
        auto lw = [&] { return Data{{lite.wdata}, 0, 15, 0, 0}; };
        auto la = [&] { return Addr{lite.addr, 0, 0, 2, 1}; };
        auto is = [](auto& payload) { return [&payload] { return payload; }; };

        card.exchange(t, cycle, v);
        bool s_ar_taken = s_ar.sample(host.ar_valid, t.s_axi_arready, is(host.ar), cycle, v);
        bool s_aw_taken = s_aw.sample(host.aw_valid, t.s_axi_awready, is(host.aw), cycle, v);
        bool s_w_taken = s_w.sample(host.w_valid, t.s_axi_wready, is(host.w), cycle, v);
        bool s_take_r = s_r.sample(t.s_axi_rvalid, host.r_ready, r, cycle, v);
        bool s_take_b = s_b.sample(t.s_axi_bvalid, host.b_ready, b, cycle, v);
        bool l_ar_taken = l_ar.sample(lite.ar_valid, t.s_axil_arready, la, cycle, v);
        bool l_aw_taken = l_aw.sample(lite.aw_valid, t.s_axil_awready, la, cycle, v);
        bool l_w_taken = l_w.sample(lite.w_valid, t.s_axil_wready, lw, cycle, v);
        bool l_take_r = l_r.sample(t.s_axil_rvalid, lite.r_ready, lr, cycle, v);
        bool l_take_b = l_b.sample(t.s_axil_bvalid, lite.b_ready, lb, cycle, v);

        if (s_ar_taken) host.ar_taken();
        if (s_aw_taken) host.aw_taken();
        if (s_w_taken) host.w_taken();
        if (s_take_r) host.take_r(r(), cycle, v);
        if (s_take_b) host.take_b(b(), cycle, v);
        if (l_ar_taken) lite.ar_taken();
        if (l_aw_taken) lite.aw_taken();
        if (l_w_taken) lite.w_taken();
        if (l_take_r) lite.take_r(t.s_axil_rdata, t.s_axil_rresp, cycle, v);
        if (l_take_b) lite.take_b(t.s_axil_bresp, cycle, v);
    }

    // Runs until `stop` or for `limit` cycles: 1 stopped, 0 limit, -1 violation.
    template <typename F> int run(uint64_t limit, F stop) {
        for (uint64_t end = cycle + limit; cycle < end;) {
            step();
            if (!violation.text.empty()) return -1;
            if (stop()) return 1;
        }
        return 0;
    }
    template <typename F> void channels(F f) {
        card.channels(f);
        f(s_ar), f(s_r), f(s_aw), f(s_w), f(s_b);
        f(l_ar), f(l_r), f(l_aw), f(l_w), f(l_b);
    }
};

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API uint32_t rh_abi() { return 3; }
API uint32_t rh_params_size() { return sizeof(Params); }

API Board* rh_create(const Params* p) {
    Board* b = new Board(*p);
    if (b->card.memory.bytes) return b;
    delete b;
    return nullptr;
}
API void rh_destroy(Board* b) { delete b; }

// Holds rst for some cycles. Card memory, the cycle count and the statistics stay; everything on its way is forgotten.
API void rh_reset(Board* b) {
    b->card.memory.reset();
    b->host.reset();
    b->lite.reset();
    b->violation.text.clear();
    b->channels([](auto& c) { c.reset(); });
    b->top->rst = 1;
    for (int i = 0; i < 8; i++) b->step();
    b->card.memory.reset();
    b->top->rst = 0;
}
API uint8_t* rh_memory(Board* b) { return b->card.memory.bytes; }
API uint64_t rh_cycles(Board* b) { return b->cycle; }
API const char* rh_violation(Board* b) { return b->violation.text.c_str(); }
// What is on its way, for messages about a deadline.
API const char* rh_state(Board* b) {
    char line[300];
    snprintf(line, sizeof line, "card memory has %zu reads and %zu writes to answer, the host %zu bursts in flight, s_axil waits for %s",
             b->card.memory.reads_waiting(), b->card.memory.writes_waiting(), b->host.in_flight(), b->lite.waiting_for());
    b->state = line;
    return b->state.c_str();
}

// These three return 1 done, 0 not within `limit` cycles (to go on, call again, with start = 0), -1 violation.
API int rh_run(Board* b, uint64_t limit, int until_irq) {
    return b->run(limit, [&] { return until_irq && b->top->irq; });
}
// The same model without this board around it: constant inputs, nothing looked at. What `rh_run` is measured against; the engine
// itself goes on, so it is for boards on which nothing is under way.
API void rh_bare(Board* b, uint64_t cycles) {
    Vengine& t = *b->top;
    for (uint64_t i = 0; i < cycles; i++) {
        t.clk = 0;
        t.eval();
        t.clk = 1;
        t.eval();
    }
    b->cycle += cycles;
}
API int rh_copy(Board* b, int start, int write, uint64_t addr, uint8_t* bytes, uint64_t len, uint64_t limit, uint32_t* resp,
                uint64_t* bad_address) {
    if (start) b->host.start(write, addr, bytes, len, b->params.host_burst ? b->params.host_burst : 64);
    int rc = b->host.done() ? 1 : b->run(limit, [&] { return b->host.done(); });
    *resp = b->host.bad_response;
    *bad_address = b->host.bad_address;
    return rc;
}
API int rh_register(Board* b, int start, int write, uint32_t addr, uint32_t* value, uint64_t limit, uint32_t* resp) {
    if (start) b->lite.start(write, addr, *value);
    int rc = b->run(limit, [&] { return b->lite.done(); });
    *value = b->lite.rdata;
    *resp = b->lite.resp;
    return rc;
}
API uint32_t rh_irq(Board* b) { return b->top->irq; }

// beats, waits, starved of channel 0..14.
API const char* rh_channel(Board* b, uint32_t i, uint64_t* counts) {
    const char* name = nullptr;
    uint32_t n = 0;
    b->channels([&](auto& c) {
        if (n++ != i) return;
        name = c.name;
        counts[0] = c.beats, counts[1] = c.waits, counts[2] = c.starved;
    });
    return name;
}
// Beats in [from, to) answer SLVERR to reads, to writes; to <= from clears all ranges.
API void rh_fault(Board* b, uint64_t from, uint64_t to, int read, int write) {
    if (to <= from) b->card.memory.clear_faults();
    else b->card.memory.fault(from, to, read, write);
}

API const char* rh_tap_name(uint32_t i) { return i + 1 < sizeof(TAPS) / sizeof(TAPS[0]) ? TAPS[i].name : nullptr; }
API uint32_t rh_tap_words(uint32_t i) { return TAPS[i].words; }
API void rh_tap_on(Board* b, int on) {
    b->tapping = on;
    b->tapped.clear();
}
// The records so far: stream, cycle low, cycle high, words. Valid until the next call that runs cycles.
API const uint32_t* rh_tapped(Board* b, uint64_t* words) {
    *words = b->tapped.size();
    return b->tapped.data();
}
API void rh_tap_clear(Board* b) { b->tapped.clear(); }

// Writes the cycles [from, to) to a VCD file; 0 when the library has no waveforms or the file cannot be opened.
API int rh_trace(Board* b, const char* path, uint64_t from, uint64_t to) {
#if VM_TRACE
    b->top->trace(&b->vcd, 99);
    b->vcd.open(path);
    if (!b->vcd.isOpen()) return 0;
    b->vcd_from = from;
    b->vcd_to = to;
    return 1;
#else
    (void)b, (void)path, (void)from, (void)to;
    return 0;
#endif
}
