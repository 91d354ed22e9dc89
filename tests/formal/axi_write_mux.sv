// AXI write sharing: addresses as in axi_read_mux; data leaves in the order of the addresses, burst by burst; answers go to who asked.
//
//: file units/axi_write_mux
//: module axi_write_mux
//: depth 3
//: reach 10
//: mutant (!full || m_aw_rdy) && queued != 3'd4 => (!full || m_aw_rdy)
//: mutant ends ? queued - 3'd1 : queued => ends ? queued : queued
//: mutant ends ? order >> 1 : order => order
//: mutant head ? s1_w_strb : 16'hffff => 16'hffff

    // A burst is followed by its number: whose it is.
    reg [3:0] f_in = 0, f_out = 0;
    (* anyconst *) reg [3:0] f_which;
    reg f_host;
    wire f_take0 = s0_aw_vld && s0_aw_rdy;
    wire f_take1 = s1_aw_vld && s1_aw_rdy;
    wire f_takes = f_take0 || f_take1;
    wire f_beat = m_w_vld && m_w_rdy;
    wire f_ends = f_beat && m_w_last;
    wire [3:0] f_inside = f_in - f_out;
    wire [3:0] f_ahead = f_which - f_out;
    wire f_here = f_ahead < f_inside;
    // The last address taken.
    reg f_full = 0;
    reg [58:0] f_address;
    wire [58:0] f_is = {m_aw_id, m_aw_addr, m_aw_len, m_aw_size, m_aw_burst};
    reg f_stood = 0;
    reg [58:0] f_was;
    reg f_late0 = 0, f_late1 = 0;
    always @(posedge clk) begin
        if (m_aw_rdy) f_full <= 0;
        if (f_takes) f_full <= 1;
        if (f_take0) f_address <= {6'd48, s0_aw_addr, s0_aw_len, 3'd4, 2'd1};
        if (f_take1) f_address <= {2'd2, s1_aw_id, s1_aw_addr, s1_aw_len, s1_aw_size, s1_aw_burst};
        if (f_takes && f_in == f_which) f_host <= f_take1;
        f_in <= f_in + {3'd0, f_takes};
        f_out <= f_out + {3'd0, f_ends};
        f_stood <= m_aw_vld && !m_aw_rdy && !rst;
        f_was <= f_is;
        if (f_takes) begin
            f_late0 <= s0_aw_vld && !f_take0;
            f_late1 <= s1_aw_vld && !f_take1;
        end
        if (rst) begin
            f_full <= 0;
            f_in <= 0;
            f_out <= 0;
            {f_late0, f_late1} <= 0;
        end
    end

    reg f_s0 = 0, f_s1 = 0;
    always @(posedge clk) begin
        f_s0 <= s0_aw_vld && !s0_aw_rdy && !rst;
        f_s1 <= s1_aw_vld && !s1_aw_rdy && !rst;
    end
    always @* if (!rst) begin
        if (f_s0) assume (s0_aw_vld);
        if (f_s1) assume (s1_aw_vld);
        // Only what was asked is answered, with its ID.
        if (m_b_vld) assume (m_b_id == 6'd48 || m_b_id[5:4] == 2'd2);
    end

    always @* if (!rst) begin
        assert (m_aw_vld == f_full);
        if (m_aw_vld) assert (f_is == f_address);
        assert (!f_stood || m_aw_vld && f_is == f_was);
        assert (!(f_take0 && f_take1));
        assert (!f_takes || !f_full || m_aw_rdy);
        // Whoever waited while the other went is next.
        assert (!(f_late0 && f_take1) && !(f_late1 && f_take0));
        assert (!f_late0 || s0_aw_vld && last);
        assert (!f_late1 || s1_aw_vld && !last);
        // Data only behind an address, from the source whose turn it is, unchanged.
        assert (f_inside <= 4'd4 && {1'b0, queued} == f_inside);
        assert (!(s0_w_rdy && s1_w_rdy));
        assert (f_beat == (s0_w_vld && s0_w_rdy || s1_w_vld && s1_w_rdy));
        if (m_w_vld) assert (f_inside != 0);
        if (f_here) assert (order[f_ahead[1:0]] == f_host);
        if (f_here && f_ahead == 0) begin
            assert (f_host ? !s0_w_rdy : !s1_w_rdy);
            if (m_w_vld && f_host) assert (s1_w_vld && {m_w_data, m_w_strb, m_w_last} == {s1_w_data, s1_w_strb, s1_w_last});
            if (m_w_vld && !f_host) assert (s0_w_vld && {m_w_data, m_w_strb, m_w_last} == {s0_w_data, 16'hFFFF, s0_w_last});
        end
        assert (queued >= 3'd4 || order >> queued == 4'd0);
        // Answers.
        assert ({1'b0, s0_b_vld} + {1'b0, s1_b_vld} == {1'b0, m_b_vld});
        if (m_b_vld) begin
            assert (s1_b_vld == (m_b_id[5:4] == 2'd2));
            assert (m_b_rdy == (s1_b_vld ? s1_b_rdy : s0_b_rdy));
        end
        if (s0_b_vld) assert (s0_b_resp == m_b_resp);
        if (s1_b_vld) assert (s1_b_resp == m_b_resp && s1_b_id == m_b_id[3:0]);
        cover (f_inside == 4'd4 && f_here && f_ahead == 4'd3 && f_host && order[0] == 0);
        cover (f_late0 && f_take0 && f_stood);
        cover (f_here && f_ahead == 0 && f_ends && f_host && f_full && !m_aw_rdy);
        cover (s1_b_vld && s1_b_rdy && f_out == 4'd1);
    end
