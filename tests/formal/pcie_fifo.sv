// FIFO: committed words come out once, in order and unchanged, within three cycles; what is discarded does not; nothing is overwritten.
//
//: file units/pcie_fifo
//: module pcie_fifo
//: depth 4
//: reach 12
//: probe ram_32x36 ram
//: mutant if (in_discard) write <= good; => 
//: mutant if (kept) word <= spare; => 
//: mutant read != good && => read != write &&
//: mutant kept <= kept && fetched => kept <= 1'b0
//: mutant !(kept && fetched) => 1'b1
//
// One word is followed by its number; what is discarded gives its number back. Numbers are longer than places in memory.

    reg [7:0] f_in = 0, f_good = 0, f_read = 0, f_out = 0;
    (* anyconst *) reg [7:0] f_which;
    reg [35:0] f_item;
    reg f_held = 0;
    reg [35:0] f_last;
    reg [2:0] f_late = 0;
    wire f_takes = in_vld && in_rdy;
    wire f_gives = out_vld && out_rdy;
    always @(posedge clk) begin
        if (f_takes) begin
            f_in <= in_discard ? f_good : f_in + 8'd1;
            if (in_commit) f_good <= f_in + 8'd1;
            if (f_in == f_which) f_item <= in_data;
        end
        if (fetch) f_read <= f_read + 8'd1;
        if (f_gives) f_out <= f_out + 8'd1;
        f_held <= out_vld && !out_rdy && !rst;
        f_last <= out_data;
        f_late <= f_good != f_out && !out_vld ? f_late + 3'd1 : 3'd0;
        if (rst) begin
            f_in <= 0;
            f_good <= 0;
            f_read <= 0;
            f_out <= 0;
            f_late <= 0;
        end
    end
    wire [7:0] f_ahead = f_which - f_out;
    wire [7:0] f_inside = f_in - f_out;
    wire f_here = f_ahead < f_inside;
    // Words that have left the memory: in the register that is shown, beside it, in the memory's own.
    wire [7:0] f_left = {7'd0, full} + {7'd0, kept} + {7'd0, fetched};
    wire [7:0] f_stored = f_in - f_read;
    assign f_ram_at = {11'd0, f_which[4:0]};

    always @* if (!rst) begin
        assume (!(in_commit && in_discard));
        assert (write == f_in[4:0] && good == f_good[4:0] && read == f_read[4:0]);
        assert (f_read - f_out == f_left && (full || !kept));
        // Places are never used twice, with one left over; only good words leave.
        assert (f_stored <= 8'd30 && (!room || f_stored <= 8'd29));
        assert (f_good - f_read <= f_stored);
        if (f_here) begin
            if (f_ahead == 0 && full) assert (word == f_item);
            if (f_ahead == {7'd0, full} && kept) assert (spare == f_item);
            if (f_ahead == {7'd0, full} + {7'd0, kept} && fetched) assert (ram_rdata == f_item);
            if (f_ahead >= f_left) assert (f_ram_word == f_item);
        end
        if (f_gives) assert (f_good != f_out);
        if (f_gives && f_which == f_out) assert (out_data == f_item);
        if (f_held) assert (out_vld && out_data == f_last);
        assert (f_late <= 3'd2);
        cover (f_out == 8'd3 && f_inside == 0 && f_which == 8'd2);
        cover (kept && fetched && f_gives);
        cover (f_takes && in_discard && f_in - f_good == 8'd2 && f_good != 0);
        cover (f_late == 3'd2);
    end
