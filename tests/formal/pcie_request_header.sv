// TLP length arithmetic: length, byte enables and address of any run of bytes that stays within 4 KiB.
//
//: file units/pcie_request_header
//: module pcie_request_header
//: depth 1
//: reach 1
//: mutant {1'b0, addr[1:0]} + 3'd3 => {1'b0, addr[1:0]} + 3'd2
//: mutant little <= 3'd4 => 1'b1
//: mutant if (ends == 2'd3) last = 4'd7; => 
//
// PCI Express Base 2.1, 2.2.5 (byte enables) and 2.2.7 (a request does not cross 4 KiB). The module has no state: one step is all.

    wire [12:0] f_offset = {1'b0, addr[11:0]};
    // Words that the run touches, by a way other than the unit's: last word minus first word.
    wire [12:0] f_end = f_offset + bytes - 13'd1;
    wire [10:0] f_words = f_end[12:2] - f_offset[12:2] + 11'd1;
    reg [3:0] f_first, f_last;
    integer f_i;
    always @* begin
        for (f_i = 0; f_i < 4; f_i = f_i + 1) begin
            // Byte i of the first word and of the last word belongs to the run.
            f_first[f_i] = {f_offset[12:2], f_i[1:0]} >= f_offset && {f_offset[12:2], f_i[1:0]} <= f_end;
            f_last[f_i] = {f_end[12:2], f_i[1:0]} >= f_offset && {f_end[12:2], f_i[1:0]} <= f_end;
        end
    end
    wire f_four = addr[63:32] != 32'd0;

    always @* begin
        assume (bytes >= 13'd1 && bytes <= 13'd4096);
        assume (f_offset + bytes <= 13'd4096);
        // 1024 words are written as 0.
        assert (header[9:0] == f_words[9:0]);
        assert (f_words <= 11'd1024);
        assert (header[35:32] == f_first);
        assert (header[39:36] == (f_words == 11'd1 ? 4'd0 : f_last));
        assert (one == (f_words == 11'd1));
        // Fmt and Type: memory read or write, three words below 4 GiB and else four.
        assert (header[31:10] == {1'b0, write, f_four, 5'd0, 14'd0});
        assert (header[63:40] == {id, 2'd0, tag});
        if (f_four) assert (header[127:64] == {addr[31:2], 2'd0, addr[63:32]});
        else assert (header[95:64] == {addr[31:2], 2'd0});
        cover (f_words == 11'd1024);
        cover (bytes == 13'd1 && addr[1:0] == 2'd3);
        cover (one && header[35:32] == 4'b0110);
        cover (f_words == 11'd2 && bytes == 13'd2);
        cover (f_four && write);
        cover (!f_four && addr[11:0] == 12'hFFF);
    end
