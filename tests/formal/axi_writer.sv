// AXI write master: bursts stand still until taken, stay within 1 KiB and follow each other; each has its beats and its last, behind its address.
//
//: file units/axi_writer
//: module axi_writer
//: depth 5
//: reach 12
//: mutant room = (next_addr[5:4] == 2'd3) ? => room = (next_addr[5:4] == 2'd2) ?
//: mutant w_count == 4'hf => w_count == 4'h1
//: mutant w_final <= w_left == 32'd2 => w_final <= w_left == 32'd1
//: mutant w_vld = in_vld && ahead != 2'd0 => w_vld = in_vld
//: mutant if (!issue && b_vld) unanswered => if (b_vld) unanswered
//: mutant quiet <= !some && => quiet <=

    // Up to two bursts whose data is not out: beats left of the first, beats of the second.
    reg [1:0] f_open = 0;
    reg [4:0] f_now = 0, f_then = 0;
    // Where the data is, where the next address begins, what is left of the job for each.
    reg [5:0] f_at = 0;
    reg [35:0] f_next = 0;
    reg [31:0] f_aw = 0, f_w = 0;
    reg [4:0] f_due = 0;
    reg f_err = 0, f_run = 0, f_stood = 0, f_fresh = 1;
    reg [39:0] f_addr;
    reg [7:0] f_len;
    wire f_new = aw_vld && f_fresh;
    wire f_beat = w_vld && w_rdy;
    wire [4:0] f_size = aw_len[4:0] + 5'd1;
    // With the address that is new in this cycle.
    wire [1:0] f_open_ = f_open + {1'b0, f_new};
    wire [4:0] f_now_ = f_new && f_open == 0 ? f_size : f_now;
    wire [4:0] f_then_ = f_new && f_open != 0 ? f_size : f_then;
    wire [31:0] f_aw_ = f_aw - (f_new ? {27'd0, f_size} : 32'd0);
    wire [35:0] f_next_ = f_next + (f_new ? {31'd0, f_size} : 36'd0);
    wire [4:0] f_due_ = f_due + {4'd0, f_new};
    wire f_ends = f_beat && f_now_ == 5'd1;
    always @(posedge clk) begin
        f_open <= f_open_ - {1'b0, f_ends};
        f_now <= f_ends ? f_then_ : f_now_ - {4'd0, f_beat};
        f_then <= f_then_;
        f_at <= f_at + {5'd0, f_beat};
        f_next <= f_next_;
        f_aw <= f_aw_;
        f_w <= f_w - {31'd0, f_beat};
        f_due <= f_due_ - {4'd0, b_vld};
        if (b_vld && b_resp != 0) f_err <= 1;
        if (start) begin
            f_run <= 1;
            f_at <= addr[9:4];
            f_next <= addr[39:4];
            f_aw <= beats;
            f_w <= beats;
            f_err <= 0;
        end
        f_stood <= aw_vld && !aw_rdy && !rst;
        f_fresh <= !aw_vld || aw_rdy;
        f_addr <= aw_addr;
        f_len <= aw_len;
        if (rst) begin
            f_open <= 0;
            f_aw <= 0;
            f_w <= 0;
            f_due <= 0;
            f_err <= 0;
            f_run <= 0;
            f_fresh <= 1;
        end
    end

    // Bursts that the memory can answer: taken, and their data out.
    reg [4:0] f_taken = 0, f_out = 0;
    always @(posedge clk) begin
        f_taken <= f_taken + {4'd0, aw_vld && aw_rdy} - {4'd0, b_vld};
        f_out <= f_out + {4'd0, f_ends} - {4'd0, b_vld};
        if (rst) begin
            f_taken <= 0;
            f_out <= 0;
        end
    end
    always @* if (!rst) begin
        if (start) assume (idle && !in_vld);
        if (b_vld) assume (f_taken != 0 && f_out != 0);
    end

    wire [6:0] f_end = {1'b0, f_at} + {2'd0, f_now_};
    wire [6:0] f_end2 = {1'b0, f_end[5:0]} + {2'd0, f_then_};
    always @* if (!rst) begin
        assert (!f_stood || aw_vld && aw_addr == f_addr && aw_len == f_len);
        if (aw_vld) begin
            assert (aw_addr[3:0] == 4'd0 && aw_len <= 8'd15);
            assert ({1'b0, aw_addr[9:4]} + aw_len[6:0] <= 7'd63);
        end
        if (f_new) begin
            assert (aw_addr[39:4] == f_next);
            assert ({27'd0, f_size} <= f_aw);
            assert (f_open < 2);
        end
        // Data only behind its address, and the last beat of a burst is marked as such.
        if (w_vld) assert (f_open_ != 0 && w_last == (f_now_ == 5'd1));
        assert (f_open_ <= 2 && f_w >= f_aw_);
        assert (f_due_ <= 5'd15 && f_taken <= f_due_ && f_out <= f_due_);
        assert (err == f_err);
        assert (!idle || f_due_ == 0 && f_aw_ == 0 && f_w == 0 && !aw_vld);

        // What the registers hold.
        assert (ahead == f_open_ && aw_left == f_aw_);
        // Before the first job after reset there is nothing.
        if (f_run) assert (w_left == f_w && next_addr == f_next_ && w_offset == f_at);
        else assert (f_aw_ == 0 && f_w == 0 && f_open_ == 0);
        assert ({1'b0, unanswered} == f_due_);
        assert (f_due_ == f_out + {3'd0, f_open_} && f_due_ == f_taken + {4'd0, aw_vld});
        assert (f_w == f_aw_ + (f_open_ != 0 ? {27'd0, f_now_} : 32'd0) + (f_open_ == 2 ? {27'd0, f_then_} : 32'd0));
        assert (f_w == 0 || w_final == (f_w == 32'd1));
        assert (f_open_ != 0 || f_w == 0 || w_count == 0);
        if (f_open_ != 0) begin
            assert (f_now_ != 0 && f_end <= 7'd64 && {2'd0, w_count} + {1'b0, f_now_} <= 6'd16);
            assert ({2'd0, w_count} + {1'b0, f_now_} == 6'd16 || f_end == 7'd64 || f_w == {27'd0, f_now_});
            assert (f_open_ == 2 || f_end[5:0] == f_next_[5:0]);
        end else assert (f_w == 0 || f_at == f_next_[5:0]);
        if (f_open_ == 2) begin
            assert (f_then_ != 0 && f_then_ <= 5'd16 && f_end2 <= 7'd64 && f_end2[5:0] == f_next_[5:0]);
            assert (f_then_ == 5'd16 || f_end2 == 7'd64 || f_w == {27'd0, f_now_} + {27'd0, f_then_});
        end
        cover (f_new && aw_addr[9:4] == 6'd62 && f_size == 5'd2 && f_aw > 32'd2);
        cover (w_vld && w_rdy && w_last && !(aw_vld && aw_rdy) && f_taken == 0);
        cover (f_open_ == 2 && f_then_ == 5'd16);
        cover (f_err && idle);
    end
