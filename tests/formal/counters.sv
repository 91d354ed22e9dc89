// Counter sum: what is shown of a counter is the sum of all its increments up to its visit, whatever comes in and whenever.
//
//: file units/counters
//: module counters
//: depth 4
//: reach 54
//: each F_N 0 8 16 nightly 1 2 3 4 5 6 7 9 10 11 12 13 14 15
//: path f_add == 16'd1 && !freeze && rst == !f_begun
//: probe ram_17x64 memory
//: mutant if (!freeze) pending_$F_N <= {5'd0, add_$F_N} & mask_$F_N; => 
//: mutant sum <= word + {39'd0, more} => sum <= word | {39'd0, more}
//: mutant else if (!freeze) pending_$F_N <= (pending_$F_N + {5'd0, add_$F_N}) & mask_$F_N => else if (!freeze) pending_$F_N <= (pending_$F_N + {5'd0, add_$F_N}) & 21'd7
//: mutant fresh <= 1'b0 => fresh <= 1'b1
//
// The counters differ in number, width and factor alone; the three that every run looks at have the narrowest, beats, and the widest. The sum is proved in two steps, because the increments are added in an order of their
// own: what waits is what came in since the last visit, no bit of it lost; and what is shown is the sum of all that waited at a visit.
// The counters of the cycle's causes add up to that of the cycles as soon as every cycle has one cause.

    wire [4:0] f_n = F_N;
    wire [271:0] f_adds = {add_16, add_15, add_14, add_13, add_12, add_11, add_10, add_9, add_8, add_7, add_6, add_5, add_4, add_3, add_2, add_1, add_0};
    wire [356:0] f_waits = {pending_16, pending_15, pending_14, pending_13, pending_12, pending_11, pending_10, pending_9, pending_8, pending_7,
        pending_6, pending_5, pending_4, pending_3, pending_2, pending_1, pending_0};
    wire [15:0] f_add = f_adds[f_n * 16 +: 16];
    wire [20:0] f_wait = f_waits[f_n * 21 +: 21];
    // Bits of the widest increment of each counter, and which count bytes in beats of 16.
    wire [4:0] f_bits = f_n == 7 || f_n == 11 || f_n == 16 ? 5'd16 : f_n == 8 ? 5'd2 : f_n == 10 ? 5'd4 : f_n == 14 ? 5'd3 : 5'd1;
    wire f_beats = f_n == 8 || f_n == 9 || f_n == 15 || f_n == 16;
    wire [24:0] f_pending = f_beats ? {f_wait, 4'd0} : {4'd0, f_wait};

    reg f_begun = 0, f_v1 = 0, f_v2 = 0;
    reg [63:0] f_sum = 0;
    // Increments since the last visit, with room that nothing can overrun; and its age.
    reg [23:0] f_since = 0;
    reg [4:0] f_age = 0;
    wire [15:0] f_now = freeze ? 16'd0 : f_add;
    always @(posedge clk) begin
        f_since <= (turn[f_n] ? 24'd0 : f_since) + {8'd0, f_now};
        if (turn[f_n]) f_sum <= f_sum + {39'd0, f_pending};
        f_age <= turn[f_n] ? 5'd1 : f_age + 5'd1;
        f_v1 <= f_begun;
        f_v2 <= f_v1;
        if (rst) begin
            f_begun <= 1;
            f_v1 <= 0;
            f_v2 <= 0;
            f_sum <= 0;
            f_since <= 0;
            f_age <= 0;
        end
    end
    assign f_memory_at = {11'd0, f_n};
    wire f_untouched = fresh && at <= f_n;
    always @* begin
        assume (f_add >> f_bits == 16'd0);
        if (f_begun && !rst) begin
            assert (at <= 5'd16 && turn == 17'd1 << at);
            assert (!f_v1 || at1 == (at == 0 ? 5'd16 : at - 5'd1));
            assert (!f_v2 || f_v1 && at2 == (at1 == 0 ? 5'd16 : at1 - 5'd1));
            assert (f_v2 || fresh && at == {4'd0, f_v1});
            assert (!f_v1 || fresh1 == (fresh || at == 0 && fresh1));
            assert (!fresh || f_age == (at <= f_n ? at : at - f_n));
            assert (fresh || f_age == (at <= f_n ? at + 5'd17 - f_n : at - f_n));
            assert (f_since <= {19'd0, f_age} << f_bits);
            assert ({3'd0, f_wait} == f_since);
            if (f_v1 && at1 == f_n) assert ((fresh1 ? 64'd0 : memory_rdata) + {39'd0, more} == f_sum);
            else if (f_v2 && at2 == f_n) assert (sum == f_sum && value == f_sum && index == f_n);
            else assert ((f_untouched ? 64'd0 : f_memory_word) == f_sum);
            cover (f_v2 && index == f_n && value != 64'd0 && !fresh);
        end
    end
