// What all bus models share: payloads, one channel's statistics and rules, the first violation, the random source.
#pragma once
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

enum : uint32_t { OKAY = 0, SLVERR = 2, DECERR = 3 };
constexpr uint32_t BEAT = 16;      // bytes per beat
constexpr uint32_t PAGE = 4096;    // no burst crosses such a boundary

struct Addr {  // AR and AW
    uint64_t addr;
    uint32_t id, len, size, burst;  // len: beats - 1
};
struct Data {  // R and W
    uint32_t data[4];
    uint32_t id, strb, resp, last;
};
struct Resp {  // B
    uint32_t id, resp;
};

// The first thing that went wrong; later ones are its consequences.
struct Violation {
    std::string text;
    void raise(uint64_t cycle, const char* format, ...) {
        if (!text.empty()) return;
        char line[400];
        int n = snprintf(line, sizeof line, "cycle %llu: ", (unsigned long long)cycle);
        va_list args;
        va_start(args, format);
        vsnprintf(line + n, sizeof line - n, format, args);
        va_end(args);
        text = line;
    }
};

// splitmix64, as in src/rng.rs.
struct Rng {
    uint64_t state;
    uint64_t next() {
        uint64_t z = state += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        return z ^ z >> 31;
    }
    uint32_t below(uint32_t n) { return uint32_t((next() >> 32) * n >> 32); }
};

// One channel as seen at the engine's ports: counts, and the rule that an offer stays, unchanged, until it is taken. The payload is
// fetched (by a callable) only for an offer that was not or is not taken at once: most cycles are quiet, and this is the inner loop.
template <typename P> struct Channel {
    const char* name;
    uint64_t beats = 0;    // valid and ready
    uint64_t waits = 0;    // valid, not ready
    uint64_t starved = 0;  // ready, not valid
    bool held = false;
    P kept{};

    template <typename F> bool sample(bool valid, bool ready, F payload, uint64_t cycle, Violation& v) {
        if (!valid) {
            if (held) v.raise(cycle, "%s: valid fell before ready", name);
            held = false;
            starved += ready;
            return false;
        }
        if (held || !ready) {
            P now = payload();
            if (held && memcmp(&kept, &now, sizeof(P)) != 0)
                v.raise(cycle, "%s: the payload changed while waiting for ready", name);
            kept = now;
            held = !ready;
            waits += !ready;
        }
        beats += ready;
        return ready;
    }
    void reset() { held = false; }
};

// The rules of an address beat: whole beats' sizes or less, INCR, no crossing of a 4 KiB boundary.
inline void check_address(const char* name, const Addr& a, uint64_t cycle, Violation& v) {
    uint64_t bytes = uint64_t(a.len + 1) << a.size;
    if (a.burst != 1) v.raise(cycle, "%s: burst type %u at 0x%llx; only INCR is served", name, a.burst, (unsigned long long)a.addr);
    if (a.size > 4) v.raise(cycle, "%s: size %u at 0x%llx is wider than the bus", name, a.size, (unsigned long long)a.addr);
    uint64_t first = a.addr >> a.size << a.size;
    if (first / PAGE != (first + bytes - 1) / PAGE)
        v.raise(cycle, "%s: a burst of %u beats at 0x%llx crosses a 4 KiB boundary", name, a.len + 1, (unsigned long long)a.addr);
}
