// 4 KiB crossing: every piece of a descriptor stays within 4 KiB on both sides and within a packet; the pieces are the descriptor.
//
//: file units/pcie_dma
//: module dma_cut
//: depth 7
//: reach 16
//: mutant 13'h1000 - {1'b0, card[11:0]} => 13'h1001 - {1'b0, card[11:0]}
//: mutant if (carry) host <= host + 64'h0000000000001000; => 
//: mutant if (!long && fits_host && fits_card) => if (!long && fits_host)

    // The descriptor in hand, as a piece by piece count would have it.
    reg [63:0] f_host = 0;
    reg [39:0] f_card = 0;
    reg [27:0] f_left = 0;
    reg [1:0] f_kind = 0;
    reg f_some = 0;
    (* anyconst *) reg [2:0] f_limit;
    wire [9:0] f_size = f_limit == 0 ? 10'd128 : f_limit == 1 ? 10'd256 : 10'd512;
    wire [12:0] f_host_end = {1'b0, p_host[11:0]} + {3'd0, p_bytes};
    wire [12:0] f_card_end = {1'b0, p_card[11:0]} + {3'd0, p_bytes};
    wire [9:0] f_within = p_host[9:0] & (f_size - 10'd1);

    always @(posedge clk) begin
        if (d_vld && d_rdy) begin
            f_host <= d_host;
            f_card <= d_card;
            f_left <= d_length;
            f_kind <= d_kind == 0 && d_length == 0 ? 2'd1 : d_kind;
            f_some <= 1;
        end
        if (p_vld && p_rdy) begin
            f_host <= f_host + {54'd0, p_bytes};
            f_card <= f_card + {30'd0, p_bytes};
            f_left <= f_left - {18'd0, p_bytes};
            if (p_last) f_some <= 0;
        end
        if (rst || kill) f_some <= 0;
    end

    always @* begin
        assume (limit == f_limit);
        assert (f_some == (stage != 0));
        assert (stage <= 3'd4);
        // What the registers hold is what is left; the carry of the lower 12 bits comes a cycle later.
        if (stage != 0) begin
            assert (card == f_card && length == f_left);
            assert (host + (stage == 3'd1 && carry ? 64'd4096 : 64'd0) == f_host);
            assert (kind == f_kind || stage == 3'd1 && kind == 0 && length == 0 && f_kind == 2'd1);
            assert (f_kind != 0 || length != 0);
        end
        if (p_vld) begin
            assert (p_host == f_host);
            assert (p_card == f_card);
            assert (p_kind == f_kind);
            assert (p_bytes <= 10'd512);
            assert (f_host_end <= 13'd4096);
            assert (f_card_end <= 13'd4096);
            assert ({3'd0, f_within} + {3'd0, p_bytes} <= {3'd0, f_size});
            if (f_kind == 0) begin
                // Something moves, never more than there is, and the last piece is what is left.
                assert (p_bytes != 0 && {18'd0, p_bytes} <= f_left);
                assert (p_last == ({18'd0, p_bytes} == f_left));
            end else begin
                assert (p_bytes == 0 && p_last);
            end
        end
        cover (p_vld && f_host_end == 13'd4096 && !p_last && p_host[31:12] == 20'hFFFFF);
        cover (p_vld && f_card_end == 13'd4096 && !p_last && f_host_end != 13'd4096);
        cover (p_vld && p_last && p_bytes == 10'd512);
        cover (p_vld && p_last && f_kind == 1);
        cover (p_vld && p_host == 64'd0 && f_host != 0 || p_vld && p_bytes == 1 && p_last);
    end
