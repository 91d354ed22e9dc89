// Counter sum: what is shown of a counter is the sum of all its increments up to the visit, whatever comes in and whenever.
//
//: file units/counters
//: module counters
//: depth 4
//: reach 24
//: probe ram_17x64 memory
//: mutant if (!freeze) pending_7 <= {5'd0, add_7} & mask_7; => 
//: mutant sum <= word + {39'd0, more} => sum <= word | {39'd0, more}
//: mutant chosen | (gated_8 << 4) => chosen | (gated_8 << 3)
//: mutant mask_10 = 21'h0001ff => mask_10 = 21'h00001f
//
// One counter stands for all: which one is free. A sum is the same whoever adds first, so the counters of the cycle's causes add up to
// that of the cycles as soon as every cycle has one cause.

    (* anyconst *) reg [4:0] f_n;
    wire [271:0] f_adds = {add_16, add_15, add_14, add_13, add_12, add_11, add_10, add_9, add_8, add_7, add_6, add_5, add_4, add_3, add_2, add_1, add_0};
    wire [356:0] f_waits = {pending_16, pending_15, pending_14, pending_13, pending_12, pending_11, pending_10, pending_9, pending_8, pending_7,
        pending_6, pending_5, pending_4, pending_3, pending_2, pending_1, pending_0};
    wire [15:0] f_add = f_adds[f_n * 16 +: 16];
    wire [20:0] f_wait = f_waits[f_n * 21 +: 21];
    // The widest increment of each counter, and which count bytes in beats of 16.
    wire [15:0] f_most = f_n == 7 || f_n == 11 || f_n == 16 ? 16'hFFFF : f_n == 8 ? 16'd3 : f_n == 10 ? 16'd15 : f_n == 14 ? 16'd7 : 16'd1;
    wire f_beats = f_n == 8 || f_n == 9 || f_n == 15 || f_n == 16;
    wire [63:0] f_more = f_beats ? {44'd0, f_add, 4'd0} : {48'd0, f_add};
    wire [63:0] f_pending = f_beats ? {39'd0, f_wait, 4'd0} : {43'd0, f_wait};

    reg f_begun = 0, f_v1 = 0, f_v2 = 0;
    reg [63:0] f_total = 0, f_total1 = 0, f_total2 = 0;
    // Increments since the last visit.
    reg [4:0] f_age = 0;
    always @(posedge clk) begin
        if (!freeze) f_total <= f_total + f_more;
        f_total1 <= f_total;
        f_total2 <= f_total1;
        f_age <= turn[f_n] ? 5'd1 : f_age + 5'd1;
        f_v1 <= f_begun;
        f_v2 <= f_v1;
        if (rst) begin
            f_begun <= 1;
            f_v1 <= 0;
            f_v2 <= 0;
            f_total <= 0;
            f_age <= 0;
        end
    end
    assign f_memory_at = {11'd0, f_n};
    wire f_untouched = fresh && at <= f_n;
    always @* begin
        assume (f_n <= 5'd16);
        assume (f_add <= f_most);
        if (f_begun && !rst) begin
            assert (at <= 5'd16 && turn == 17'd1 << at);
            assert (!f_v1 || at1 == (at == 0 ? 5'd16 : at - 5'd1));
            assert (!f_v2 || f_v1 && at2 == (at1 == 0 ? 5'd16 : at1 - 5'd1));
            assert (f_v2 || fresh && at == {4'd0, f_v1});
            assert (!f_v1 || fresh1 == (fresh || at == 0 && fresh1));
            assert (!fresh || f_age == (at <= f_n ? at : at - f_n));
            assert (fresh || f_age == (at <= f_n ? at + 5'd17 - f_n : at - f_n));
            assert (f_wait <= f_age * f_most);
            if (f_v1 && at1 == f_n) assert ((fresh1 ? 64'd0 : memory_rdata) + {39'd0, more} + f_pending == f_total);
            else if (f_v2 && at2 == f_n) assert (sum + f_pending == f_total);
            else assert ((f_untouched ? 64'd0 : f_memory_word) + f_pending == f_total);
            if (f_v2 && index == f_n) assert (value == f_total2);
            cover (f_v2 && index == f_n && f_n == 5'd8 && value == 64'd48);
            cover (f_v2 && index == f_n && f_n == 5'd3 && value == 64'd18 && !fresh);
        end
    end
