// Command decoder: what is refused starts nothing and writes its record alone, with the lowest code; every descriptor counts once.
//
//: file units/command
//: module command
//: slow
//: depth 3
//: reach 30
//: path f_words == (rd_data & ~f_free) && task_index == 0 && ring_base == 0 && ring_log2 == 0 && tail == 1 && rst == !f_begun && rd_vld && f_calm
//: mutant if (rd_err) fetch_failed <= 1'b1; => 
//: mutant else if (bad_window) status <= 8'd5; => else if (1'b0) status <= 8'd5;
//: mutant else if (bad_opcode) status <= 8'd1; => else if (bad_opcode && !bad_window) status <= 8'd1;
//: mutant no_record <= fetch_failed || bad_done => no_record <= fetch_failed
//: mutant if (settle && waiting && !hold) begin => if (settle && waiting) begin
//
// Which descriptors are bad is compared with the golden model, descriptor by descriptor (`tests/tests/programs.rs`); here: what follows from it.

    reg f_begun = 0, f_refused = 0, f_unread = 0, f_held = 0, f_error = 0;
    reg [4:0] f_was = 0;
    reg [5:0] f_bad = 0;
    reg [15:0] f_fetched = 0;
    // From the lowest code: opcode, mode, size, alignment, window; the descriptor was not read.
    wire [5:0] f_flags = {fetch_failed, bad_window, bad_align, bad_size, bad_mode, bad_opcode};
    wire f_decides = state == State_Check && step == 4'hd;
    always @(posedge clk) begin
        f_was <= state;
        f_held <= hold;
        f_error <= rd_err;
        f_unread <= (f_unread || state == State_Check && rd_err) && state != State_Ring;
        if (f_decides) begin
            f_refused <= f_flags != 0;
            f_bad <= f_flags;
        end
        if (state == State_Ring) begin
            f_refused <= 0;
            f_bad <= 0;
        end
        if (f_was == State_Ring && state == State_Fetch) f_fetched <= f_fetched + 16'd1;
        if (rst) begin
            f_begun <= 1;
            f_was <= State_Idle;
            f_fetched <= 0;
            f_refused <= 0;
            f_unread <= 0;
            f_bad <= 0;
        end
    end
    // A valid descriptor, and the bits of it that covers and mutants may change: opcode, done_addr, window.
    reg [127:0] f_words, f_free;
    always @* begin
        case (at)
            7'h01: f_words = 128'h00b10801000219340010001961090701;
            7'h02: f_words = 128'h000000787883474000000090ccb6a040;
            7'h04: f_words = 128'h000000dc3320bb800000009fbd963580;
            7'h08: f_words = 128'h0000001bea994d00000000ce45a342c0;
            7'h10: f_words = 128'h0194c3790202320938537a8084950600;
            7'h20: f_words = 128'h0000f26e0003020b000000a64b31c200;
            default: f_words = 128'h0000000000000000635b0b7e74f0c83e;
        endcase
        f_free = 128'd0;
        if (at[0]) f_free = 128'h0000_0000_0000_0000_0000_0000_0000_0004;
        if (at[2]) f_free = 128'h0000_0000_0000_0001_0000_0000_0000_0000;
        if (at[4]) f_free = 128'hf000_0000_0000_0000_0000_0000_0000_0000;
        f_words = f_words & ~f_free;
    end
    wire f_calm = wr_idle && rd_idle && rd_issued && !rt_done && !y_done && !section_done && !wr_err;
    wire f_newly = f_was == State_Ring && state == State_Fetch;
    wire f_open = state >= State_Fetch && !f_newly;
    // All seven beats are there: the reader has met its error or will meet none.
    always @* assume (!(state == State_Check && f_was == State_Check) || rd_err == f_error);
    always @* if (f_begun && !rst) begin
        assert (state <= State_Finish);
        // Every descriptor that is fetched counts once, when it is done.
        assert (f_fetched == head + {15'd0, f_open});
        assert (done_count == head);
        // None is fetched while the host holds.
        assert (!(state == State_Ring && f_was == State_Idle) || !f_held);
        // Only what passed every check begins, and nothing begins twice.
        assert (!(state >= State_Begin && state <= State_Judge) || !f_refused);
        assert (!begins || f_was == State_Begin && !f_refused);
        assert (!begins_guesses || f_was == State_Begin && !f_refused);
        assert (!sends_routes || f_was == State_RouteStart);
        // What is refused writes its record, or nothing if that has no place.
        assert (!(f_refused && writes) || writes_at == done_addr && write_beats == 32'd1 && !no_record);
        assert (!(f_refused && (state > State_Judge)) || no_record == (f_bad[5] || bad_done));
        assert (!(f_refused && no_record) || !record && !writes);
        // A descriptor that was not read is refused.
        assert (!(state == State_Fetch) || !f_unread && !fetch_failed && step == 4'd0);
        assert (!(f_unread && state == State_Check) || fetch_failed);
        assert (!(rd_err && state == State_Check && f_was == State_Check) || f_unread);
        assert (!(f_unread && state > State_Check) || f_bad[5]);
        // The code is the lowest that applies.
        if (f_refused && state > State_Judge)
            assert (status == (f_bad[5] ? 8'd6 : f_bad[0] ? 8'd1 : f_bad[1] ? 8'd2 : f_bad[2] ? 8'd3 : f_bad[3] ? 8'd4 : 8'd5));
        cover (begins);
        cover (f_refused && record && status == 8'd5);
        cover (f_refused && state == State_Finish && no_record && status == 8'd1);
    end
