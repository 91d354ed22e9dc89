// The card's side of a Verilated top: its port m_axi with card memory behind it. Both shims use it.
#pragma once
#include "memory.h"

template <typename Top> struct CardSide {
    Memory memory;
    Channel<Addr> ar{"m_axi AR"}, aw{"m_axi AW"};
    Channel<Data> r{"m_axi R"}, w{"m_axi W"};
    Channel<Resp> b{"m_axi B"};

    CardSide(const MemoryParams& p, uint64_t seed) : memory(p, seed) {}

    void drive(Top& t, uint64_t cycle, bool stall_ar, bool stall_r, bool stall_aw, bool stall_w, bool stall_b) {
        memory.drive(cycle, stall_ar, stall_r, stall_aw, stall_w, stall_b);
        t.m_axi_arready = memory.ar_ready;
        t.m_axi_awready = memory.aw_ready;
        t.m_axi_wready = memory.w_ready;
        t.m_axi_rvalid = memory.r_valid;
        if (memory.r_valid) {
            t.m_axi_rid = memory.r.id;
            t.m_axi_rresp = memory.r.resp;
            t.m_axi_rlast = memory.r.last;
            memcpy(&t.m_axi_rdata, memory.r.data, BEAT);
        }
        t.m_axi_bvalid = memory.b_valid;
        if (memory.b_valid) {
            t.m_axi_bid = memory.b.id;
            t.m_axi_bresp = memory.b.resp;
        }
    }

    // What moves in this cycle, on the settled signals; true if anything does.
    bool exchange(Top& t, uint64_t cycle, Violation& v) {
        auto ar_beat = [&] { return Addr{t.m_axi_araddr, t.m_axi_arid, t.m_axi_arlen, t.m_axi_arsize, t.m_axi_arburst}; };
        auto aw_beat = [&] { return Addr{t.m_axi_awaddr, t.m_axi_awid, t.m_axi_awlen, t.m_axi_awsize, t.m_axi_awburst}; };
        auto w_beat = [&] {
            Data d{{}, 0, t.m_axi_wstrb, 0, t.m_axi_wlast};
            memcpy(d.data, &t.m_axi_wdata, BEAT);
            return d;
        };
        bool take_ar = ar.sample(t.m_axi_arvalid, memory.ar_ready, ar_beat, cycle, v);
        bool take_aw = aw.sample(t.m_axi_awvalid, memory.aw_ready, aw_beat, cycle, v);
        bool take_w = w.sample(t.m_axi_wvalid, memory.w_ready, w_beat, cycle, v);
        bool r_taken = r.sample(memory.r_valid, t.m_axi_rready, [&] { return memory.r; }, cycle, v);
        bool b_taken = b.sample(memory.b_valid, t.m_axi_bready, [&] { return memory.b; }, cycle, v);
        if (r_taken) memory.r_taken();
        if (b_taken) memory.b_taken();
        if (take_ar) {
            check_address("m_axi AR", ar_beat(), cycle, v);
            memory.take_ar(ar_beat(), cycle);
        }
        if (take_aw) {
            check_address("m_axi AW", aw_beat(), cycle, v);
            memory.take_aw(aw_beat(), cycle, v);
        }
        if (take_w) memory.take_w(w_beat(), cycle, v);
        return take_ar | take_aw | take_w | r_taken | b_taken;
    }
    template <typename F> void channels(F f) { f(ar), f(r), f(aw), f(w), f(b); }
};
