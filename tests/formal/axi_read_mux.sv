// AXI read sharing: every address goes out once and unchanged, stands still until taken, none waits for more than two others; data goes to who asked.
//
//: file units/axi_read_mux
//: module axi_read_mux
//: depth 3
//: reach 8
//: mutant space = !full || m_ar_rdy => space = 1'b1
//: mutant addr <= s1_ar_addr => addr <= s0_ar_addr
//: mutant m_r_vld && source == 2'd1; => m_r_vld && source != 2'd0;
//: mutant (last == 2'd1 || !s1_ar_vld) => (last != 2'd3 || !s1_ar_vld)

    // The last address taken, as its source gave it.
    reg f_full = 0;
    reg [5:0] f_id;
    reg [39:0] f_addr;
    reg [7:0] f_len;
    reg [2:0] f_size;
    reg [1:0] f_burst;
    // How many others went first while a source asked.
    reg [1:0] f_late0 = 0, f_late1 = 0, f_late2 = 0;
    wire f_take0 = s0_ar_vld && s0_ar_rdy;
    wire f_take1 = s1_ar_vld && s1_ar_rdy;
    wire f_take2 = s2_ar_vld && s2_ar_rdy;
    wire f_takes = f_take0 || f_take1 || f_take2;
    // Bursts of the engine under way.
    reg [5:0] f_engine = 0;
    wire f_ends = (s0_r_vld && s0_r_rdy || s1_r_vld && s1_r_rdy) && m_r_last;
    reg f_stood = 0;
    reg [58:0] f_was;
    wire [58:0] f_is = {m_ar_id, m_ar_addr, m_ar_len, m_ar_size, m_ar_burst};
    always @(posedge clk) begin
        if (m_ar_rdy) f_full <= 0;
        if (f_takes) f_full <= 1;
        if (f_take0) {f_id, f_addr, f_len, f_size, f_burst} <= {6'd0, s0_ar_addr, s0_ar_len, 3'd4, 2'd1};
        if (f_take1) {f_id, f_addr, f_len, f_size, f_burst} <= {6'd16, s1_ar_addr, s1_ar_len, 3'd4, 2'd1};
        if (f_take2) {f_id, f_addr, f_len, f_size, f_burst} <= {2'd2, s2_ar_id, s2_ar_addr, s2_ar_len, s2_ar_size, s2_ar_burst};
        if (f_takes) begin
            f_late0 <= !s0_ar_vld || f_take0 ? 2'd0 : f_late0 + 2'd1;
            f_late1 <= !s1_ar_vld || f_take1 ? 2'd0 : f_late1 + 2'd1;
            f_late2 <= !s2_ar_vld || f_take2 ? 2'd0 : f_late2 + 2'd1;
        end
        f_engine <= f_engine + {5'd0, f_take0 || f_take1} - {5'd0, f_ends};
        f_stood <= m_ar_vld && !m_ar_rdy && !rst;
        f_was <= f_is;
        if (rst) begin
            f_full <= 0;
            f_engine <= 0;
            {f_late0, f_late1, f_late2} <= 0;
        end
    end

    // An address stays on offer; data comes for what was asked, 63 bursts of the engine at most.
    reg f_s0 = 0, f_s1 = 0, f_s2 = 0;
    always @(posedge clk) begin
        f_s0 <= s0_ar_vld && !s0_ar_rdy && !rst;
        f_s1 <= s1_ar_vld && !s1_ar_rdy && !rst;
        f_s2 <= s2_ar_vld && !s2_ar_rdy && !rst;
    end
    always @* if (!rst) begin
        if (f_s0) assume (s0_ar_vld);
        if (f_s1) assume (s1_ar_vld);
        if (f_s2) assume (s2_ar_vld);
        if (m_r_vld) assume (m_r_id[5:4] != 2'd3);
        if (m_r_vld && !m_r_id[5]) assume (f_engine != 0);
        if (f_engine == 6'd63) assume (!s0_ar_vld && !s1_ar_vld);
    end

    always @* if (!rst) begin
        assert (m_ar_vld == f_full);
        if (m_ar_vld) assert (f_is == {f_id, f_addr, f_len, f_size, f_burst});
        assert (!f_stood || m_ar_vld && f_is == f_was);
        assert ({1'b0, f_take0} + {1'b0, f_take1} + {1'b0, f_take2} <= 2'd1);
        assert (!f_takes || !f_full || m_ar_rdy);
        assert (f_late0 <= 2'd2 && f_late1 <= 2'd2 && f_late2 <= 2'd2);
        // Who was passed over asks still, and what that says of the last winner.
        assert (last <= 2'd2);
        assert (f_late0 == 0 || s0_ar_vld && (f_late0 == 2'd1 ? last != 2'd0 : last == 2'd2));
        assert (f_late1 == 0 || s1_ar_vld && (f_late1 == 2'd1 ? last != 2'd1 : last == 2'd0));
        assert (f_late2 == 0 || s2_ar_vld && (f_late2 == 2'd1 ? last != 2'd2 : last == 2'd1));
        // Data: to one source, and taken when that one takes it.
        assert ({1'b0, s0_r_vld} + {1'b0, s1_r_vld} + {1'b0, s2_r_vld} == {1'b0, m_r_vld});
        if (m_r_vld) begin
            assert (m_r_id[5:4] == 0 ? s0_r_vld : m_r_id[4] ? s1_r_vld : s2_r_vld);
            assert (m_r_rdy == (s0_r_vld && s0_r_rdy || s1_r_vld && s1_r_rdy || s2_r_vld && s2_r_rdy));
        end
        if (s0_r_vld) assert (s0_r_data == m_r_data && s0_r_resp == m_r_resp && s0_r_last == m_r_last);
        if (s1_r_vld) assert (s1_r_data == m_r_data && s1_r_resp == m_r_resp && s1_r_last == m_r_last);
        if (s2_r_vld) assert ({s2_r_id, s2_r_data, s2_r_resp, s2_r_last} == {m_r_id[3:0], m_r_data, m_r_resp, m_r_last});
        assert (engine_bursts == f_engine);
        cover (f_late0 == 2'd2 && f_take0);
        cover (f_late2 == 2'd2 && f_take2);
        cover (f_engine == 6'd2 && s1_r_vld && f_ends);
        cover (f_stood && m_ar_rdy && f_takes);
    end
