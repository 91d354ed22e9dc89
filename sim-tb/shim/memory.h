// Card memory behind m_axi: bytes, latency, bandwidth, order of answers, injected errors.
#pragma once
#include <cstdlib>
#include <deque>
#include <vector>
#include "axi.h"

struct MemoryParams {
    uint64_t bytes;
    uint32_t latency;    // cycles from an address beat (or a last W beat) to its first answer
    uint32_t jitter;     // up to so many more, at random for each burst
    uint32_t bandwidth;  // beats per 256 cycles, of reads and of writes
    uint32_t order;      // 0: as asked; 1: bursts of different ids in any order; 2: their beats as well
    uint32_t queue;      // bursts that wait at most, reads and writes each
};

class Memory {
public:
    uint8_t* bytes = nullptr;
    // Driven towards the engine.
    bool ar_ready = false, aw_ready = false, w_ready = false, r_valid = false, b_valid = false;
    Data r{};
    Resp b{};

    Memory(const MemoryParams& p, uint64_t seed) : params(p), rng{seed} {
        bytes = static_cast<uint8_t*>(calloc(p.bytes ? p.bytes : 1, 1));
    }
    ~Memory() { free(bytes); }
    Memory(const Memory&) = delete;

    void reset() {
        reads.clear();
        writes.clear();
        answers.clear();
        beats.clear();
        ar_ready = aw_ready = w_ready = r_valid = b_valid = false;
        current = -1;
    }
    void fault(uint64_t from, uint64_t to, bool read, bool write) { faults.push_back({from, to, read, write}); }
    void clear_faults() { faults.clear(); }
    size_t reads_waiting() const { return reads.size(); }
    size_t writes_waiting() const { return writes.size() + answers.size(); }

    // Decides this cycle's signals; a stalled channel starts nothing new.
    void drive(uint64_t now, bool stall_ar, bool stall_r, bool stall_aw, bool stall_w, bool stall_b) {
        // A beat costs 256; what is saved up stays below two beats, so that the mean is exact and there are no bursts of luck.
        uint32_t cap = 255 + params.bandwidth;
        read_credit = read_credit + params.bandwidth < cap ? read_credit + params.bandwidth : cap;
        write_credit = write_credit + params.bandwidth < cap ? write_credit + params.bandwidth : cap;
        ar_ready = !stall_ar && reads.size() < params.queue;
        aw_ready = !stall_aw && writes.size() < params.queue;
        w_ready = !stall_w && write_credit >= 256 && beats.size() < 4;
        if (!r_valid && !stall_r && read_credit >= 256) offer_read(now);
        if (!b_valid && !stall_b) offer_answer(now);
    }
    void take_ar(const Addr& a, uint64_t now) { reads.push_back({a, 0, due(now)}); }
    void take_aw(const Addr& a, uint64_t now, Violation& v) {
        writes.push_back({a, 0, 0});
        apply(now, v);
    }
    void take_w(const Data& w, uint64_t now, Violation& v) {
        write_credit -= 256;
        beats.push_back(w);
        apply(now, v);
    }
    void r_taken() {
        r_valid = false;
        read_credit -= 256;
        Burst& burst = reads[current];
        if (++burst.beat > burst.a.len) {
            reads.erase(reads.begin() + current);
            current = -1;
        } else if (params.order == 2) {
            current = -1;
        }
    }
    void b_taken() { b_valid = false; }

private:
    struct Burst {
        Addr a;
        uint32_t beat;
        uint64_t due;
        uint32_t resp = OKAY;
    };
    struct Range {
        uint64_t from, to;
        bool read, write;
    };
    MemoryParams params;
    Rng rng;
    std::vector<Burst> reads, answers;
    std::deque<Burst> writes;
    std::deque<Data> beats;
    std::vector<Range> faults;
    int current = -1;  // the burst that r belongs to
    uint32_t read_credit = 0, write_credit = 0;

    uint64_t due(uint64_t now) { return now + params.latency + (params.jitter ? rng.below(params.jitter + 1) : 0); }

    static uint64_t address(const Burst& burst) {
        uint64_t first = burst.a.addr;
        return burst.beat ? (first >> burst.a.size << burst.a.size) + (uint64_t(burst.beat) << burst.a.size) : first;
    }
    uint32_t response(uint64_t beat_addr, bool write) const {
        if (beat_addr + BEAT > params.bytes) return DECERR;
        for (const Range& f : faults)
            if (beat_addr < f.to && beat_addr + BEAT > f.from && (write ? f.write : f.read)) return SLVERR;
        return OKAY;
    }
    // Index of the burst to answer next, or -1: the oldest that is due, or any that is due and the oldest of its id.
    int choose(const std::vector<Burst>& queue, uint64_t now) {
        if (queue.empty()) return -1;
        if (params.order == 0) return queue[0].due <= now ? 0 : -1;
        int found[64], n = 0;
        for (size_t i = 0; i < queue.size() && n < 64; i++) {
            bool oldest = true;
            for (size_t j = 0; j < i; j++) oldest &= queue[j].a.id != queue[i].a.id;
            if (oldest && queue[i].due <= now) found[n++] = int(i);
        }
        return n ? found[rng.below(n)] : -1;
    }
    void offer_read(uint64_t now) {
        if (current < 0) current = choose(reads, now);
        if (current < 0) return;
        const Burst& burst = reads[current];
        uint64_t at = address(burst) / BEAT * BEAT;
        r = {};
        r.id = burst.a.id;
        r.resp = response(at, false);
        r.last = burst.beat == burst.a.len;
        if (r.resp == OKAY) memcpy(r.data, bytes + at, BEAT);
        r_valid = true;
    }
    void offer_answer(uint64_t now) {
        int i = choose(answers, now);
        if (i < 0) return;
        b = {answers[i].a.id, answers[i].resp};
        answers.erase(answers.begin() + i);
        b_valid = true;
    }
    // Writes data beats for which the address is known.
    void apply(uint64_t now, Violation& v) {
        while (!writes.empty() && !beats.empty()) {
            Burst& burst = writes.front();
            const Data& w = beats.front();
            bool last = burst.beat == burst.a.len;
            if (bool(w.last) != last)
                v.raise(now, "m_axi W: last is %u in beat %u of %u at 0x%llx", w.last, burst.beat + 1, burst.a.len + 1,
                        (unsigned long long)burst.a.addr);
            uint64_t at = address(burst) / BEAT * BEAT;
            uint32_t resp = response(at, true);
            if (resp == OKAY) {
                const uint8_t* from = reinterpret_cast<const uint8_t*>(w.data);
                for (uint32_t i = 0; i < BEAT; i++)
                    if (w.strb >> i & 1) bytes[at + i] = from[i];
            } else if (burst.resp == OKAY) {
                burst.resp = resp;
            }
            burst.beat++;
            beats.pop_front();
            if (last) {
                burst.due = due(now);
                answers.push_back(burst);
                writes.pop_front();
            }
        }
    }
};
