// BAR decode: a memory request goes to the BAR whose range holds its address, at the right offset, and to none otherwise.
//
//: file units/pcie_endpoint
//: file units/pcie_endpoint_128
//: module pcie_receive
//: depth 3
//: reach 8
//: mutant hit0 = memory && high == 32'd0 && => hit0 = memory &&
//: mutant low[31:16] == bar1 => low[31:17] == bar1[15:1]
//: mutant & bar2_mask) == 64'd0 => & bar2_mask[62:0]) == 64'd0
//
// The BARs stand still. Ranges are compared as begin and end, not as the unit does it.

    (* anyconst *) reg [19:0] f_bar0;
    (* anyconst *) reg [15:0] f_bar1;
    (* anyconst *) reg [63:0] f_bar2;
    (* anyconst *) reg [63:0] f_mask;
    (* anyconst *) reg f_memory;
    wire f_four = out_header[29];
    wire [63:0] f_addr = f_four ? {out_header[95:64], out_header[127:98], 2'd0} : {32'd0, out_header[95:66], 2'd0};
    wire [63:0] f_base0 = {32'd0, f_bar0, 12'd0};
    wire [63:0] f_base1 = {32'd0, f_bar1, 16'd0};
    wire [63:0] f_last2 = f_bar2 + ~f_mask;
    wire f_in0 = f_memory && f_addr >= f_base0 && f_addr - f_base0 < 64'h1000;
    wire f_in1 = f_memory && f_addr >= f_base1 && f_addr - f_base1 < 64'h10000;
    wire f_in2 = f_memory && f_addr >= f_bar2 && f_addr <= f_last2;
    wire f_is_memory = out_header[28:24] == 5'd0;
    wire f_apart = {1'b0, f_in0} + {1'b0, f_in1} + {1'b0, f_in2} <= 2'd1;

    // A header has been looked at since the beginning; what was found stands beside it.
    reg f_known = 0;
    always @(posedge clk) if (emit && fresh) f_known <= 1;

    always @* begin
        assume (bar0 == f_bar0 && bar1 == f_bar1 && bar2 == f_bar2 && bar2_mask == f_mask && memory == f_memory);
        // A size that is a power of two, 4 KiB to 1 TiB, at a multiple of itself.
        assume ((~f_mask & (~f_mask + 64'd1)) == 64'd0);
        assume (f_mask[11:0] == 12'd0 && f_mask[63:40] == 24'hFFFFFF);
        assume ((f_bar2 & ~f_mask) == 64'd0);
        assert (f_known || fresh || !out_vld && rest == 0 && !flush);
        assert (f_known || !out_vld);
        if (f_known) begin
            if (f_is_memory) begin
                assert (out_unsupported == !(f_in0 || f_in1 || f_in2));
                if (f_apart) begin
                    if (f_in0) assert (out_target == 2'd0);
                    if (f_in1) assert (out_target == 2'd1);
                    if (f_in2) assert (out_target == 2'd2);
                end
                // The BARs below have their offsets in the low bits; the window's is what the address is above its begin.
                if (f_in0 && f_apart) assert (out_addr[9:0] == f_addr[11:2]);
                if (f_in1 && f_apart) assert (out_addr[13:0] == f_addr[15:2]);
                if (f_in2) assert ({24'd0, out_addr, 2'd0} == f_addr - f_bar2);
                assert (out_class == (out_header[30] ? 2'd0 : 2'd2));
            end
            // A completion is one whatever stands where an address would be.
            if (out_header[28:25] == 4'b0101) assert (out_class == 2'd1);
            if (out_header[28:24] == 5'b00100) assert (out_target == 2'd3 && out_class == 2'd2);
            cover (out_vld && f_is_memory && f_in0 && out_first && f_base0 != 0);
            cover (out_vld && f_is_memory && f_in1 && f_four);
            cover (out_vld && f_is_memory && f_in2 && f_bar2[63:32] != 0 && out_addr != 0);
            cover (out_vld && f_is_memory && out_unsupported && f_memory);
            cover (out_vld && f_is_memory && f_addr == f_base1 - 64'd4 && f_bar1 != 0 && f_memory);
        end
    end
