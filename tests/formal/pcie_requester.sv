// Tag accounting: a read's tag waits until its end is told, that is told once, and nothing is delivered for a tag that has no read.
//
//: file units/pcie_endpoint
//: file units/pcie_endpoint_128
//: module pcie_requester
//: depth 6
//: reach 24
//: mutant waiting <= (waiting & ~clear) | set => waiting <= waiting | set
//: mutant late <= !unsure && => late <= !unsure ||
//
// One tag stands for all: which one is free. A tag is used again only after its end was told (the DMA's part of the contract).

    (* anyconst *) reg [5:0] f_tag;
    // The tag has a read, and its end has not been told.
    reg f_used = 0;
    wire f_asks = rq_vld && rq_rdy && rq_tag == f_tag;
    wire f_told = cp_vld && cp_tag == f_tag;
    // Completions come as `receive` gives them: a first beat, others, a last one.
    reg f_inside = 0;
    reg [127:0] f_header;
    always @(posedge clk) begin
        if (f_asks) f_used <= 1;
        if (f_told && cp_last) f_used <= 0;
        if (in_vld && in_rdy) begin
            f_inside <= !in_last;
            f_header <= in_header;
        end
        if (rst || forget) f_inside <= 0;
        if (rst) f_used <= 0;
    end

    always @* begin
        if (rq_vld && rq_tag == f_tag) assume (!f_used);
        assume (rq_bytes != 0 && rq_bytes <= 13'd4096 && rq_addr[11:0] + rq_bytes <= 13'd4096);
        if (in_vld) assume (in_first == !f_inside);
        if (in_vld && f_inside) assume (in_header == f_header);
        if (!rst) begin
            // What waits is used; what is used waits, or its end is being told.
            assert (!waiting[f_tag] || f_used && !(f_told && cp_last));
            assert (!f_used || waiting[f_tag] || f_told && cp_last);
            assert (!f_told || f_used);
            assert (inside_ == f_inside);
            assert (!f_inside || head == f_header);
            // Beats behind a good first one are of a tag that waits.
            assert (!((f_inside || vld) && !update && good && tag == f_tag) || waiting[f_tag]);
            cover (f_told && cp_last && cp_error == 0);
            cover (f_told && !cp_last);
            cover (f_told && cp_last && cp_error == 5'd16);
            cover (f_told && cp_last && cp_error == 5'd1);
        end
    end
