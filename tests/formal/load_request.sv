// Prefetch limit, asking: at most 224 beats of a prefetch are asked for and have not arrived; each piece has at most 32.
//
//: file units/loader
//: module load_request
//: depth 6
//: reach 46
//: path rst == !f_begun && !go && !flush && !job_vld && !snooped && !rt_done && !jobs_done && !pause && issued && !free_vld && !pf_complete && !shape_active
//: path !shape_changed && experts_addr == 0 && next_addr == 0 && stride == 0 && guesses == 1 && pf_vld && pf_expert == 0 && source == 2
//: path window == 12 && first_kind == 1 && ask_words == 3 && ask_beats == 51 && ask_groups == 2 && tag_wanted == 0 && f_begin == 192 && !f_arrives
//: mutant pace == 2'd0 && pf_credit => pace == 2'd0
//: mutant piece_beats <= 6'h20 => piece_beats <= 6'h21
//: mutant piece_granted <= 6'd0 => piece_granted <= piece_granted
//
// `load_receive` keeps what is assumed of `pf_credit`. The count begins anywhere up to 192 (it is 0), so that few steps reach its end.

    (* anyseq *) reg f_arrives;
    reg f_begun = 0;
    always @(posedge clk) f_begun <= 1;
    (* anyconst *) reg [8:0] f_begin;
    // As the receive side counts: a piece two cycles after it was shown.
    reg [8:0] f_came = 0, f_shown = 0;
    wire [8:0] f_counted = f_begin + f_came;
    wire [8:0] f_all = f_counted + f_shown + {3'd0, piece};
    always @(posedge clk) begin
        f_shown <= {3'd0, piece};
        f_came <= f_came + f_shown - {8'd0, f_arrives};
        if (rst) begin
            f_shown <= 0;
            f_came <= 0;
        end
    end
    always @* begin
        assume (f_begin <= 9'd192);
        assume (pf_credit == (f_counted <= 9'd192));
        assume (!f_arrives || f_counted != 0);
    end
    always @* if (!rst) begin
        assert (piece <= 6'd32 && piece_beats <= 6'd32);
        assert (f_counted <= 9'd224 && f_shown <= 9'd32 && f_all <= 9'd224);
        // Only a piece is a grant that counts, and only so many beats.
        assert (piece == 0 || grant_vld && grant_beats == {10'd0, piece});
        cover (piece == 6'd32 && f_all == 9'd224);
    end
