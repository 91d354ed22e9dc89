// Jobs: the engine is rung once for a job, when its commands and x have arrived whole; its word comes behind its output; at most four are in hand.
//
//: file units/pcie_dma
//: module dma_job
//: depth 3
//: reach 20
//: mutant (begun - finished) == 3'd4 => (begun - finished) == 3'd5
//: mutant if (!failed && i_error == 5'd0 && i_answer == 2'd0) good => if (!failed && i_answer == 2'd0) good
//: mutant (claimed & (wants | ~still)) => (claimed & ~still)
//: mutant && rung == good) begin => ) begin
//
// Assumed of the DMA: reports come for what was asked for, and only while the channel is claimed.

    // Distances from the oldest job that is not finished.
    wire [2:0] f_begun = begun - finished;
    wire [3:0] f_asked = asked - {finished, 1'b0};
    wire [3:0] f_arrived = arrived - {finished, 1'b0};
    wire [2:0] f_good = good - finished;
    wire [2:0] f_rung = rung - finished;
    // The present job's output is out; something of an input was bad; where `good` stood then.
    reg f_out = 0;
    reg f_hurt = 0;
    reg [2:0] f_stood = 0;
    // The word that waits.
    reg f_waits = 0;
    reg [31:0] f_word;
    always @(posedge clk) begin
        if (o_done && o_last) f_out <= 1;
        if (wb_vld && wb_rdy) f_out <= 0;
        if (i_done && (i_error != 0 || i_answer != 0)) begin
            f_hurt <= 1;
            if (!f_hurt) f_stood <= good;
        end
        f_waits <= wb_vld && !wb_rdy;
        f_word <= wb_data;
        if (rst || flr) begin
            f_out <= 0;
            f_hurt <= 0;
            f_waits <= 0;
        end
    end

    always @* begin
        if (i_done) assume (claimed[0] && asked != arrived);
        if (o_done) assume (claimed[1] && state == 3'd3);
        // The chain: no job is rung, asked for or finished before the step before it.
        assert (f_begun <= 3'd4);
        assert (f_asked <= {f_begun, 1'b0});
        assert (f_arrived <= f_asked);
        assert ({f_good, 1'b0} <= f_arrived);
        assert (f_rung <= f_good);
        assert (state <= 3'd5);
        // What is bad is never rung for, nor what comes behind it.
        assert (!f_hurt || failed && good == f_stood);
        // What is on its way keeps its channel; what is offered has it.
        assert (asked == arrived || claimed[0]);
        assert (state != 3'd3 || claimed[1]);
        assert (!i_vld || claimed[0]);
        assert (!o_vld || claimed[1]);
        // An output is of a job that was rung; a good word is behind it; one that fails is told after a failure.
        assert (!(state == 3'd2 || state == 3'd3 || state == 3'd4 && !told) || f_rung != 0);
        assert (!(state == 3'd4 && !told) || f_out);
        assert (!f_out || state == 3'd4);
        assert (state < 3'd4 || !told || failed);
        assert (state != 3'd5 || failed);
        // Behind a bad input everything before it has ended when that is told.
        assert (state < 3'd4 || !told || output_error != 0 || rung == good && finished == rung);
        assert (output_error == 0 || failed);
        // A word does not change while it waits.
        assert (!f_waits || wb_vld && wb_data == f_word);
        cover (f_begun == 3'd4 && f_asked == 4'd6);
        cover (tail_vld && f_rung == 3'd1);
        cover (wb_vld && wb_rdy && !told && f_rung == 3'd2);
        cover (wb_vld && told && f_hurt);
        cover (overrun && state == 3'd5);
    end
