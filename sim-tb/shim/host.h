// The host's side: AXI4 bursts on s_axi and single accesses on s_axil.
#pragma once
#include <vector>
#include "axi.h"

// One copy at a time, cut into bursts of which several are in flight, each with its own id.
class HostBursts {
public:
    // Driven towards the engine.
    bool ar_valid = false, aw_valid = false, w_valid = false, r_ready = false, b_ready = false;
    Addr ar{}, aw{};
    Data w{};

    uint32_t bad_response = OKAY;  // the first answer that was not OKAY, and where
    uint64_t bad_address = 0;

    void reset() { *this = HostBursts(); }

    void start(bool write, uint64_t addr, uint8_t* bytes, uint64_t len, uint32_t burst_beats) {
        reset();
        writing = write;
        base = addr;
        end = addr + len;
        memory = bytes;
        uint64_t at = addr / BEAT * BEAT;
        while (at < end) {
            uint64_t beats = (end - at + BEAT - 1) / BEAT;
            uint64_t room = (PAGE - at % PAGE) / BEAT;
            if (beats > room) beats = room;
            if (beats > burst_beats) beats = burst_beats;
            bursts.push_back({at, uint32_t(beats), 0, false});
            at += beats * BEAT;
        }
    }
    bool done() const { return finished == bursts.size(); }
    size_t in_flight() const { return issued - finished; }

    void drive(bool stall_ar, bool stall_r, bool stall_aw, bool stall_w, bool stall_b) {
        r_ready = !stall_r;
        b_ready = !stall_b;
        bool more = issued < bursts.size() && issued - finished < IN_FLIGHT && !busy(issued);
        if (writing) {
            if (!aw_valid && more && !stall_aw) aw_valid = offer(aw);
            // Data may be one burst ahead of its address.
            if (!w_valid && sending < bursts.size() && sending <= issued && !stall_w) offer_data();
        } else if (!ar_valid && more && !stall_ar) {
            ar_valid = offer(ar);
        }
    }
    void aw_taken() { aw_valid = false, issued++; }
    void ar_taken() { ar_valid = false, issued++; }
    void w_taken() {
        w_valid = false;
        if (++bursts[sending].beat == bursts[sending].beats) sending++;
    }
    void take_b(const Resp& b, uint64_t cycle, Violation& v) {
        Burst* burst = find(b.id);
        if (!writing || !burst || burst->beat != burst->beats)
            return v.raise(cycle, "s_axi B: an answer with id %u, for which no burst is complete", b.id);
        if (b.resp != OKAY) note(b.resp, burst->addr);
        burst->answered = true;
        finished++;
    }
    void take_r(const Data& r, uint64_t cycle, Violation& v) {
        Burst* burst = find(r.id);
        if (writing || !burst) return v.raise(cycle, "s_axi R: data with id %u, which was not asked for", r.id);
        uint64_t at = burst->addr + uint64_t(burst->beat) * BEAT;
        if (r.resp != OKAY) note(r.resp, at);
        const uint8_t* from = reinterpret_cast<const uint8_t*>(r.data);
        for (uint32_t i = 0; i < BEAT; i++)
            if (at + i >= base && at + i < end) memory[at + i - base] = from[i];
        bool last = ++burst->beat == burst->beats;
        if (bool(r.last) != last)
            v.raise(cycle, "s_axi R: last is %u in beat %u of %u at 0x%llx", r.last, burst->beat, burst->beats,
                    (unsigned long long)burst->addr);
        if (last) {
            burst->answered = true;
            finished++;
        }
    }

private:
    static constexpr size_t IN_FLIGHT = 8, IDS = 16;
    struct Burst {
        uint64_t addr;
        uint32_t beats, beat;
        bool answered;
    };
    bool writing = false;
    uint64_t base = 0, end = 0;
    uint8_t* memory = nullptr;
    std::vector<Burst> bursts;
    size_t issued = 0, sending = 0, finished = 0;

    // Burst n has id n mod 16; with answers out of order an old burst may still hold the id.
    bool busy(size_t n) const { return n >= IDS && !bursts[n - IDS].answered; }
    Burst* find(uint32_t id) {
        size_t from = issued > IDS ? issued - IDS : 0;
        for (size_t n = from; n < issued; n++)
            if (n % IDS == id && !bursts[n].answered) return &bursts[n];
        return nullptr;
    }
    bool offer(Addr& a) {
        a = {bursts[issued].addr, uint32_t(issued % IDS), bursts[issued].beats - 1, 4, 1};
        return true;
    }
    void offer_data() {
        const Burst& burst = bursts[sending];
        uint64_t at = burst.addr + uint64_t(burst.beat) * BEAT;
        w = {};
        uint8_t* to = reinterpret_cast<uint8_t*>(w.data);
        for (uint32_t i = 0; i < BEAT; i++) {
            if (at + i < base || at + i >= end) continue;
            to[i] = memory[at + i - base];
            w.strb |= 1u << i;
        }
        w.last = burst.beat + 1 == burst.beats;
        w_valid = true;
    }
    void note(uint32_t resp, uint64_t addr) {
        if (bad_response != OKAY) return;
        bad_response = resp;
        bad_address = addr;
    }
};

// One register access at a time.
class HostLite {
public:
    bool ar_valid = false, aw_valid = false, w_valid = false, r_ready = false, b_ready = false;
    uint32_t addr = 0, wdata = 0, rdata = 0, resp = OKAY;

    void reset() { *this = HostLite(); }
    void start(bool write, uint32_t address, uint32_t value) {
        reset();
        addr = address;
        wdata = value;
        if (write) want_aw = want_w = want_b = true;
        else want_ar = want_r = true;
    }
    bool done() const { return !want_r && !want_b; }
    void drive(bool stall_ar, bool stall_r, bool stall_aw, bool stall_w, bool stall_b) {
        r_ready = !stall_r;
        b_ready = !stall_b;
        ar_valid |= want_ar && !stall_ar;
        aw_valid |= want_aw && !stall_aw;
        w_valid |= want_w && !stall_w;
    }
    void ar_taken() { ar_valid = want_ar = false; }
    void aw_taken() { aw_valid = want_aw = false; }
    void w_taken() { w_valid = want_w = false; }
    void take_r(uint32_t data, uint32_t response, uint64_t cycle, Violation& v) {
        if (want_ar || !want_r) v.raise(cycle, "s_axil R: data that was not asked for");
        rdata = data;
        resp = response;
        want_r = false;
    }
    void take_b(uint32_t response, uint64_t cycle, Violation& v) {
        if (want_aw || want_w || !want_b) v.raise(cycle, "s_axil B: an answer without a complete write");
        resp = response;
        want_b = false;
    }
    // What is still missing, for messages.
    const char* waiting_for() const {
        return want_ar ? "arready" : want_r ? "rvalid" : want_aw ? "awready" : want_w ? "wready" : want_b ? "bvalid" : "nothing";
    }

private:
    bool want_ar = false, want_r = false, want_aw = false, want_w = false, want_b = false;
};
