// AXI read master: bursts stand still until taken, stay within 1 KiB and follow each other; none beyond the grants, 16 under way at most.
//
//: file units/axi_reader
//: module axi_reader
//: depth 7
//: reach 14
//: mutant {1'b0, allowance[5:0]} < to_edge => {1'b0, allowance[5:0]} < 7'h40
//: mutant recent <= 2'd2 => recent <= 2'd1
//: mutant if (issue && !complete) bursts => if (issue) bursts
//: mutant request_len <= size - 7'd1 => request_len <= size
//: mutant (!request || ar_rdy) => (!request || 1'b1)

    // Beats granted and not in a request yet; bursts taken and not answered; the next request's first beat.
    reg [20:0] f_left = 0;
    reg [5:0] f_out = 0;
    reg [35:0] f_next = 0;
    reg f_err = 0, f_run = 0;
    reg f_stood = 0, f_fresh = 1;
    reg [39:0] f_addr;
    reg [7:0] f_len;
    wire f_taken = ar_vld && ar_rdy;
    wire f_ended = r_vld && r_rdy && r_last;
    // A request is new in the cycle after the last one went, or after there was none.
    wire f_new = ar_vld && f_fresh;
    wire [20:0] f_beats = {13'd0, ar_len} + 21'd1;
    always @(posedge clk) begin
        f_left <= f_left + (grant_vld ? {5'd0, grant_beats} : 21'd0) - (f_new ? f_beats : 21'd0);
        f_out <= f_out + {5'd0, f_taken} - {5'd0, f_ended};
        if (f_new) f_next <= f_next + {28'd0, ar_len} + 36'd1;
        if (start) f_next <= addr[39:4];
        if (start) f_err <= 0;
        if (start) f_run <= 1;
        if (r_vld && r_rdy && r_resp != 0) f_err <= 1;
        f_stood <= ar_vld && !ar_rdy && !rst;
        f_fresh <= !ar_vld || ar_rdy;
        f_addr <= ar_addr;
        f_len <= ar_len;
        if (rst) begin
            f_left <= 0;
            f_out <= 0;
            f_err <= 0;
            f_run <= 0;
            f_fresh <= 1;
        end
    end

    always @* if (!rst) begin
        // The other sides: `start` only when all is asked for, grants that can be counted, data only for bursts.
        if (start) assume (issued);
        if (grant_vld) assume (f_run || start);
        if (grant_vld) assume (f_left + {5'd0, grant_beats} < 21'd1048576);
        if (r_vld) assume (f_out != 0);
    end

    always @* if (!rst) begin
        assert (!f_stood || ar_vld && ar_addr == f_addr && ar_len == f_len);
        if (ar_vld) begin
            assert (ar_addr[3:0] == 4'd0 && ar_len <= 8'd63);
            assert ({7'd0, ar_addr[9:4]} + {5'd0, ar_len} <= 13'd63);
        end
        if (f_new) begin
            assert (ar_addr[39:4] == f_next);
            assert (f_beats <= f_left);
        end
        assert (f_out <= 6'd16 && f_out + {5'd0, ar_vld} <= 6'd16);
        assert (err == f_err);
        // `start` cannot come between a request's issue and its appearance, so what is issued has all been seen.
        assert (!issued || f_left == 0 && !f_new);
        assert (!idle || f_out == 0 && !ar_vld && f_left == 0);
        assert (bursts <= 5'd16);
        assert ({1'b0, bursts} == f_out + {5'd0, ar_vld} + {5'd0, complete});
        assert (f_run || f_left == 0 && !f_new);
        assert (!f_run || next_addr == f_next + (f_new ? {28'd0, ar_len} + 36'd1 : 36'd0));
        assert ({1'b0, granted - requested} == f_left - (f_new ? f_beats : 21'd0));
        cover (f_out == 6'd2 && f_left == 0 && idle == 0 && issued);
        cover (f_new && ar_addr[9:4] == 6'd60 && ar_len == 8'd3 && f_left > 21'd4);
        cover (ar_vld && ar_len == 8'd63);
        cover (err && idle);
    end
