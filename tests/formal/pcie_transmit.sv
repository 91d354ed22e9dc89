// Credit accounting: no TLP is sent beyond the other side's credits, and what is counted as consumed is what was sent.
//
//: file units/pcie_endpoint
//: file units/pcie_endpoint_128
//: module pcie_transmit
//: depth 6
//: reach 16
//: mutant pd <= pd + {3'd0, cost} => pd <= pd
//: mutant stale_p <= 3'd7 => stale_p <= 3'd0
//: mutant pd_left >= wr_need => pd_left >= wr_need - 12'd1
//: mutant cplh <= cplh + 8'd1 => cplh <= cplh
//
// PCI Express Base 2.1, 2.6.1.2: a TLP may go if (limit - (consumed + its cost)) mod 2^n <= 2^n / 2.

    // What has gone out, read from the headers on `tx_*`: word 0 is in the first beat's low bits.
    reg [7:0] f_ph = 0, f_nph = 0, f_cplh = 0;
    reg [11:0] f_pd = 0, f_cpld = 0;
    wire [31:0] f_word = tx_data[31:0];
    wire f_posted = f_word[30] && f_word[28:24] == 5'd0 || f_word[28:27] == 2'b10;
    wire f_completes = f_word[28:24] == 5'b01010;
    wire [11:0] f_need = f_word[30] ? ({5'd0, f_word[6:0]} + 12'd3) >> 2 : 12'd0;
    wire f_here = tx_vld && tx_sop;
    wire f_goes = f_here && tx_rdy;
    always @(posedge clk) begin
        if (f_goes && f_posted) begin
            f_ph <= f_ph + 8'd1;
            f_pd <= f_pd + f_need;
        end
        if (f_goes && f_completes) begin
            f_cplh <= f_cplh + 8'd1;
            f_cpld <= f_cpld + f_need;
        end
        if (f_goes && !f_posted && !f_completes) f_nph <= f_nph + 8'd1;
        if (rst) begin
            f_ph <= 0;
            f_pd <= 0;
            f_nph <= 0;
            f_cplh <= 0;
            f_cpld <= 0;
        end
    end

    // The other side: limits only rise, and never by more than half of what they can count.
    (* anyconst *) reg [5:0] f_inf;
    reg f_past = 0, f_reset = 0;
    reg [7:0] f_lph, f_lnph, f_lcplh;
    reg [11:0] f_lpd, f_lcpld;
    // The sources: an offer stands still until it is taken.
    reg f_wr = 0, f_ms = 0, f_cpl = 0, f_rd = 0;
    reg f_sop;
    reg [63:0] f_addr;
    reg [12:0] f_bytes;
    reg [127:0] f_msh, f_cplhdr, f_rdh;
    (* anyconst *) reg [2:0] f_mps;
    always @(posedge clk) begin
        f_past <= 1;
        f_reset <= rst;
        f_lph <= fc_ph;
        f_lpd <= fc_pd;
        f_lnph <= fc_nph;
        f_lcplh <= fc_cplh;
        f_lcpld <= fc_cpld;
        f_wr <= wr_vld && !wr_rdy && !rst;
        f_ms <= ms_vld && !ms_done && !rst;
        f_cpl <= cpl_vld && !cpl_done && !rst;
        f_rd <= rd_vld && !rd_done && !rst;
        f_sop <= wr_sop;
        f_addr <= wr_addr;
        f_bytes <= wr_bytes;
        f_msh <= ms_header;
        f_cplhdr <= cpl_header;
        f_rdh <= rd_header;
    end
    wire [12:0] f_wr_words = ({11'd0, wr_addr[1:0]} + wr_bytes + 13'd3) >> 2;
    // The first beat of a write is marked, and no other.
    reg f_open = 0;
    always @(posedge clk) begin
        if (starts && sel == 2'd0) f_open <= 1;
        if (wr_vld && wr_rdy) f_open <= 0;
        if (rst) f_open <= 0;
    end
    wire f_first = starts && sel == 2'd0 || f_open;
    always @* if (wr_vld && wr_rdy) assume (wr_sop == f_first);
    // Credits left, and whether a start of source `sel` is covered.
    wire [7:0] f_ph_left = fc_ph - ph;
    wire [11:0] f_pd_left = fc_pd - (pd + {3'd0, cost});
    wire [7:0] f_nph_left = fc_nph - nph;
    wire [7:0] f_cplh_left = fc_cplh - cplh;
    wire [11:0] f_cpld_left = fc_cpld - cpld;
    wire f_inside = f_here && f_posted;

    always @* begin
        assume (fc_inf == f_inf);
        assume (mps == f_mps);
        if (f_past && !f_reset) begin
            assume (fc_ph - f_lph <= 8'd127 && fc_ph - ph <= 8'd127);
            assume (fc_pd - f_lpd <= 12'd2047 && fc_pd - (pd + {3'd0, cost}) <= 12'd2047);
            assume (fc_nph - f_lnph <= 8'd127 && fc_nph - nph <= 8'd127);
            assume (fc_cplh - f_lcplh <= 8'd127 && fc_cplh - cplh <= 8'd127);
            assume (fc_cpld - f_lcpld <= 12'd2047 && fc_cpld - cpld <= 12'd2047);
        end
        if (f_wr) assume (wr_vld && wr_sop == f_sop && wr_addr == f_addr && wr_bytes == f_bytes);
        if (f_ms) assume (ms_vld && ms_header == f_msh);
        if (f_cpl) assume (cpl_vld && cpl_header == f_cplhdr);
        if (f_rd) assume (rd_vld && rd_header == f_rdh);
        // A write has something to write, at most a payload (256 bytes here), in words as in memory.
        assume (wr_bytes != 0 && wr_bytes <= 13'd4096 && f_wr_words <= (mps == 0 ? 13'd32 : 13'd64));
        // Messages and interrupts: no data, or one word. Completions: at most 64 words. Reads: none.
        assume (ms_header[28:27] == 2'b10 || ms_header[30] && ms_header[28:24] == 5'd0);
        assume (!ms_header[30] || ms_header[9:0] == 10'd1);
        assume (cpl_header[28:24] == 5'b01010 && cpl_header[9:0] <= 10'd64);
        assume (!cpl_header[30] || cpl_header[9:0] != 0);
        assume (!rd_header[30] && rd_header[28:24] == 5'd0);
    end

    always @* if (!rst) begin
        if (starts && sel == 2'd0) begin
            assert (f_inf[0] || f_ph_left >= 8'd1 && f_ph_left <= 8'd127);
            assert (f_inf[1] || f_pd_left >= wr_need && f_pd_left <= 12'd2047);
        end
        if (starts && sel == 2'd1) begin
            assert (f_inf[0] || f_ph_left >= 8'd1 && f_ph_left <= 8'd127);
            assert (f_inf[1] || f_pd_left >= ms_need && f_pd_left <= 12'd2047);
        end
        if (starts && sel == 2'd2) begin
            assert (f_inf[4] || f_cplh_left >= 8'd1 && f_cplh_left <= 8'd127);
            assert (f_inf[5] || f_cpld_left >= cpl_need && f_cpld_left <= 12'd2047);
        end
        if (starts && sel == 2'd3) assert (f_inf[2] || f_nph_left >= 8'd1 && f_nph_left <= 8'd127);
        // Who has been chosen offers still, and is covered until it starts.
        if (!busy && sel == 2'd1) begin
            assert (ms_vld && !ms_done);
            assert (f_inf[0] || f_ph_left >= 8'd1 && f_ph_left <= 8'd127);
            assert (f_inf[1] || f_pd_left >= ms_need && f_pd_left <= 12'd2047);
        end
        if (!busy && sel == 2'd2) begin
            assert (cpl_vld && !cpl_done);
            assert (f_inf[4] || f_cplh_left >= 8'd1 && f_cplh_left <= 8'd127);
            assert (f_inf[5] || f_cpld_left >= cpl_need && f_cpld_left <= 12'd2047);
        end
        if (!busy && sel == 2'd3) begin
            assert (rd_vld && !rd_done);
            assert (f_inf[2] || f_nph_left >= 8'd1 && f_nph_left <= 8'd127);
        end
        assert (open == f_open);
        assert (!open || busy && sel == 2'd0 && (second || !shifted));
        // Consumed is sent and what stands on the output.
        assert (ph == f_ph + {7'd0, f_inside});
        assert (pd + {3'd0, cost} == f_pd + (f_inside ? f_need : 12'd0));
        assert (nph == f_nph + {7'd0, f_here && !f_posted && !f_completes});
        assert (cplh == f_cplh + {7'd0, f_here && f_completes});
        assert (cpld == f_cpld + (f_here && f_completes ? f_need : 12'd0));
        cover (f_ph == 8'd2 && f_inf == 0 && f_pd == 12'd3);
        cover (f_cplh == 8'd1 && f_nph == 8'd1 && f_ph == 8'd1 && f_inf == 0);
        cover (wr_vld && wr_sop && !starts && f_ph_left == 8'd0 && f_ph == 8'd1);
    end
