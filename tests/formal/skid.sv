// Stream slice: nothing is lost, doubled or reordered, and what is offered stands still until it is taken.
//
//: file units/skid
//: module skid
//: depth 3
//: mutant spare_vld <= 1'b1 => spare_vld <= 1'b0
//: mutant head <= spare => head <= in_data
//
// Two items are followed by their number: the first stands for all before it.

    reg [7:0] f_in = 0, f_out = 0;
    (* anyconst *) reg [7:0] f_which;
    reg [127:0] f_item;
    reg f_held = 0;
    reg [127:0] f_last;
    wire f_takes = in_vld && in_rdy;
    wire f_gives = out_vld && out_rdy;
    wire [7:0] f_inside = f_in - f_out;
    always @(posedge clk) begin
        if (f_takes) f_in <= f_in + 8'd1;
        if (f_takes && f_in == f_which) f_item <= in_data;
        if (f_gives) f_out <= f_out + 8'd1;
        f_held <= out_vld && !out_rdy && !rst;
        f_last <= out_data;
        if (rst) begin
            f_in <= 0;
            f_out <= 0;
        end
    end
    // The followed item is here: it came in and has not gone out.
    wire [7:0] f_ahead = f_which - f_out;
    wire f_here = f_ahead < f_inside;
    always @* if (!rst) begin
        assert (f_inside == {7'd0, head_vld} + {7'd0, spare_vld});
        assert (!spare_vld || head_vld);
        if (f_here && f_ahead == 8'd0) assert (head == f_item);
        if (f_here && f_ahead == 8'd1) assert (spare == f_item);
        if (f_held) assert (out_vld && out_data == f_last);
        cover (f_inside == 8'd2 && f_here && f_ahead == 8'd1);
        cover (f_out == 8'd4 && f_inside == 8'd0);
    end
