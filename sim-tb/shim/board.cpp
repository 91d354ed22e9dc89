// The simulated PCIe board: a Verilated `board` with card memory on one side and the beats of a link on the other, behind a C
// interface. Packets go in and come out whole; what they mean is known in src/root_complex alone. The inner loop is here, and is left
// only when a packet of the card is complete. src/pcie_card.rs has the same declarations, guarded by rb_abi().
#include "Vboard.h"
#include "card.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

constexpr size_t BYTES = sizeof(Vboard::rx_data);  // of a beat
constexpr size_t WORDS = BYTES / 4;
constexpr size_t LONGEST = 4 + 1024;  // words of a packet
constexpr int UNIT = 256;             // parts of a byte, for speeds
constexpr int RESET = 16;             // cycles
enum { M_AR, M_R, M_AW, M_W, M_B, RX, TX, CHANNELS };

struct Params {  // as `CardParams` in src/pcie_card.rs
    uint64_t seed;
    uint64_t memory_bytes;
    uint32_t latency, jitter, bandwidth, order, queue;
    uint32_t rate;             // of the link, each way: bytes per 256 cycles
    uint32_t overhead;         // bytes of framing for each packet
    uint32_t stall[CHANNELS];  // of 256
};

struct Credits {  // of one direction, cumulative; as in src/pcie_card.rs
    uint32_t limit[6];  // ph, pd, nph, npd, cplh, cpld
    uint32_t infinite;  // a bit for each
};

struct Beat {
    uint32_t data[WORDS];
    uint32_t keep, sop, eop;
};

struct Packet {
    std::vector<uint32_t> words;
    uint64_t first = 0, cycle = 0;  // of its first and last beat
    Credits granted{};
};

// The time that a link needs for its bytes. A beat may go when all before it have gone.
struct Wire {
    int64_t rate, debt = 0;
    void tick() { debt = debt - rate > -rate ? debt - rate : -rate; }
    bool free() const { return debt <= 0; }
    void carry(size_t bytes) { debt += int64_t(bytes) * UNIT; }
};

struct Board {
    Params params;
    VerilatedContext context;
    Vboard* top;
    CardSide<Vboard> card;
    Rng rng;
    Violation violation;
    uint64_t cycle = 0, active = 0;
    bool stalling = false;
    Wire rx_wire, tx_wire;
    // Towards the card: words of packets in a row, and where each ends.
    std::deque<uint32_t> rx_words;
    std::deque<uint32_t> rx_lengths;
    uint32_t rx_left = 0;  // words of the packet that is on its way, beyond the beat that is offered
    bool rx_valid = false;
    Beat rx{};
    Channel<Beat> rx_channel{"rx"};
    // From the card.
    Channel<Beat> tx{"tx"};
    Packet tx_packet;
    std::deque<Packet> received;
    Credits grants{};
    // First and last cycle of each packet that the card took, while it is asked for.
    bool logging = false;
    std::vector<uint64_t> log;
#if VM_TRACE
    VerilatedVcdC vcd;
    uint64_t vcd_from = 0, vcd_to = 0;
#endif

    explicit Board(const Params& p)
        : params(p),
          card({p.memory_bytes, p.latency, p.jitter, p.bandwidth, p.order, p.queue < 1 ? 1 : p.queue > 64 ? 64 : p.queue}, ~p.seed),
          rng{p.seed},
          rx_wire{p.rate},
          tx_wire{p.rate} {
        context.threads(1);  // no pool of workers for models that use none
        context.traceEverOn(VM_TRACE);
        top = new Vboard{&context, "board"};
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

    // The next beat of the oldest packet.
    void offer() {
        rx = {};
        rx.sop = rx_left == 0;
        if (rx.sop) {
            rx_left = rx_lengths.front();
            rx_lengths.pop_front();
            rx_wire.carry(params.overhead);
        }
        size_t n = rx_left < WORDS ? rx_left : WORDS;
        for (size_t i = 0; i < n; i++) {
            rx.data[i] = rx_words.front();
            rx_words.pop_front();
        }
        rx_left -= uint32_t(n);
        rx.keep = (1u << n) - 1;
        rx.eop = rx_left == 0;
        rx_wire.carry(4 * n);
        rx_valid = true;
    }

    void step() {
        bool stall[CHANNELS] = {};
        if (stalling) {
            uint64_t random = rng.next();
            for (int i = 0; i < CHANNELS; i++) stall[i] = (random >> 8 * i & 255) < params.stall[i];
        }
        Vboard& t = *top;
        card.drive(t, cycle, stall[M_AR], stall[M_R], stall[M_AW], stall[M_W], stall[M_B]);
        rx_wire.tick();
        tx_wire.tick();
        if (!rx_valid && (rx_left || !rx_lengths.empty()) && !stall[RX] && rx_wire.free()) offer();
        t.rx_vld = rx_valid;
        if (rx_valid) {
            memcpy(&t.rx_data, rx.data, BYTES);
            t.rx_keep = rx.keep;
            t.rx_sop = rx.sop;
            t.rx_eop = rx.eop;
        }
        t.tx_rdy = !stall[TX] && tx_wire.free();
        t.clk = 0;
        eval(0);
        if (!t.rst) exchange(t);
        t.clk = 1;
        eval(1);
        cycle++;
    }

    void exchange(Vboard& t) {
        auto& v = violation;
        bool moved = card.exchange(t, cycle, v);
        if (rx_channel.sample(rx_valid, t.rx_rdy, [&] { return rx; }, cycle, v)) {
            rx_valid = false;
            moved = true;
            if (logging && rx.sop) log.insert(log.end(), {cycle, cycle});
            else if (logging && !log.empty()) log.back() = cycle;
        }
        auto beat = [&] {
            Beat b{{}, t.tx_keep, t.tx_sop, t.tx_eop};
            memcpy(b.data, &t.tx_data, BYTES);
            return b;
        };
        // Credits are looked at when a packet is first offered.
        if (t.tx_vld && t.tx_sop && !tx.held) tx_packet.granted = grants;
        if (tx.sample(t.tx_vld, t.tx_rdy, beat, cycle, v)) {
            take(beat());
            moved = true;
        }
        if (moved) active = cycle;
    }

    void take(const Beat& b) {
        auto& words = tx_packet.words;
        if (bool(b.sop) != words.empty())
            return violation.raise(cycle, b.sop ? "tx: a packet begins within another" : "tx: a beat before the beginning of a packet");
        size_t n = 0;
        while (n < WORDS && b.keep >> n & 1) n++;
        if (b.keep != (1u << n) - 1 || n == 0 || (!b.eop && n < WORDS))
            return violation.raise(cycle, "tx: keep is 0x%x in %s beat", b.keep, b.eop ? "the last" : "a");
        if (b.sop) {
            tx_wire.carry(params.overhead);
            tx_packet.first = cycle;
        }
        tx_wire.carry(4 * n);
        words.insert(words.end(), b.data, b.data + n);
        if (words.size() > LONGEST) return violation.raise(cycle, "tx: a packet without end");
        if (!b.eop) return;
        tx_packet.cycle = cycle;
        received.push_back(std::move(tx_packet));
        tx_packet = {};
    }

    void drive_credits() {
        Vboard& t = *top;
        const uint32_t* l = grants.limit;
        t.fc_ph = l[0] & 255, t.fc_pd = l[1] & 4095, t.fc_nph = l[2] & 255, t.fc_npd = l[3] & 4095;
        t.fc_cplh = l[4] & 255, t.fc_cpld = l[5] & 4095, t.fc_inf = grants.infinite;
    }

    // Power-on: card memory, the cycle count and the statistics stay; everything on its way is forgotten.
    void reset() {
        card.memory.reset();
        card.channels([](auto& c) { c.reset(); });
        rx_channel.reset();
        tx.reset();
        rx_words.clear();
        rx_lengths.clear();
        received.clear();
        tx_packet = {};
        rx_left = 0;
        rx_valid = false;
        violation.text.clear();
        top->rst = 1;
        top->link_up = 0;
        top->hot_reset = 0;
        for (int i = 0; i < RESET; i++) step();
        card.memory.reset();
        top->rst = 0;
        for (int i = 0; i < RESET; i++) step();
        top->link_up = 1;
    }
};

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API uint32_t rb_abi() { return 1; }
API uint32_t rb_params_size() { return sizeof(Params); }
API uint32_t rb_width() { return 8 * BYTES; }

API Board* rb_create(const Params* p) {
    Board* b = new Board(*p);
    if (b->card.memory.bytes) return b;
    delete b;
    return nullptr;
}
API void rb_destroy(Board* b) { delete b; }
API void rb_reset(Board* b, const Credits* grants) {
    b->grants = *grants;
    b->drive_credits();
    b->reset();
}
API uint8_t* rb_memory(Board* b) { return b->card.memory.bytes; }
API uint64_t rb_cycles(Board* b) { return b->cycle; }
// The cycle in which something last moved on the link or at card memory.
API uint64_t rb_active(Board* b) { return b->active; }
API const char* rb_violation(Board* b) { return b->violation.text.c_str(); }

API void rb_grant(Board* b, const Credits* grants) {
    b->grants = *grants;
    b->drive_credits();
}
// What the card grants; completions are always without end.
API void rb_granted(Board* b, Credits* granted) {
    Vboard& t = *b->top;
    *granted = {{t.rxfc_ph, t.rxfc_pd, t.rxfc_nph, t.rxfc_npd, 0, 0}, 0x30};
}
API void rb_send(Board* b, const uint32_t* words, uint32_t n) {
    b->rx_words.insert(b->rx_words.end(), words, words + n);
    b->rx_lengths.push_back(n);
}
// Words that are not yet with the card.
API uint64_t rb_queued(Board* b) { return b->rx_words.size(); }

// Runs until `end`, or until a packet of the card is there: 1 there is one, 0 none, -1 violation.
API int rb_run(Board* b, uint64_t end) {
    while (b->received.empty()) {
        if (!b->violation.text.empty()) return -1;
        if (b->cycle >= end) return 0;
        b->step();
    }
    return 1;
}
// The oldest packet that was received; valid until rb_drop.
API const uint32_t* rb_received(Board* b, uint64_t* words, uint64_t* cycles, Credits* granted) {
    const Packet& p = b->received.front();
    *words = p.words.size();
    cycles[0] = p.first;
    cycles[1] = p.cycle;
    *granted = p.granted;
    return p.words.data();
}
API void rb_drop(Board* b) { b->received.pop_front(); }

// From now on (with an empty record) the cycles of packets that the card takes are kept, or are no more.
API void rb_log(Board* b, int on) {
    b->logging = on;
    b->log.clear();
}
// First and last cycle of each; valid until the next call that runs cycles.
API const uint64_t* rb_logged(Board* b, uint64_t* numbers) {
    *numbers = b->log.size();
    return b->log.data();
}

// Beats in [from, to) of card memory answer SLVERR to reads, to writes; to <= from clears all ranges.
API void rb_fault(Board* b, uint64_t from, uint64_t to, int read, int write) {
    if (to <= from) b->card.memory.clear_faults();
    else b->card.memory.fault(from, to, read, write);
}
// The link goes down, without a reset of the board, or comes up; what is on its way towards the card is lost with it.
API void rb_link(Board* b, int up, int hot_reset) {
    b->top->link_up = up;
    b->top->hot_reset = hot_reset;
    if (up) return;
    b->rx_words.clear();
    b->rx_lengths.clear();
    b->rx_left = 0;
    b->rx_valid = false;
    b->rx_channel.reset();
    b->tx.reset();
    b->tx_packet = {};
}
// beats, waits, starved of rx, tx and the five channels of m_axi.
API const char* rb_channel(Board* b, uint32_t i, uint64_t* counts) {
    const char* name = nullptr;
    uint32_t n = 0;
    auto one = [&](auto& c) {
        if (n++ != i) return;
        name = c.name;
        counts[0] = c.beats, counts[1] = c.waits, counts[2] = c.starved;
    };
    one(b->rx_channel);
    one(b->tx);
    b->card.channels(one);
    return name;
}

// Writes the cycles [from, to) to a VCD file; 0 when the library has no waveforms or the file cannot be opened.
API int rb_trace(Board* b, const char* path, uint64_t from, uint64_t to) {
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
