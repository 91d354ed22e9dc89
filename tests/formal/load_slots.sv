// Slot ownership, allotment: a slot is given to an image only while nobody has it, and goes from prefetch to demand only as what was prefetched.
//
//: file units/loader
//: module load_request
//: slow
//: depth 6
//: reach 38
//: path rst == !f_begun && !flush && !job_vld && !snooped && !rt_done && !jobs_done && !pause && issued && !pf_complete && !shape_active
//: path !shape_changed && experts_addr == 0 && next_addr == 0 && router_addr == 0 && stride == 0 && guesses == 1 && pf_expert == 0 && source == 0 && !choice_bias
//: path f_words == {16'd12, 16'd9, 16'd9, 16'd9, 16'd9} && f_other == f_words && first_kind == 1 && ask_beats == 51 && ask_groups == 3 && tag_wanted == 0
//: mutant free <= (free & ~allotted) | freed => free <= free | freed
//: mutant assign dropped = dropping & tag & ~adopted => assign dropped = dropping & ~adopted
//: mutant slot <= router_pick => slot <= 3'd4
//
// One slot stands for all: which one is free. The array hands back what it was given and nothing else (`load_visits`, `walker`); a group
// fits an empty slot, which the host's commands are checked for before they begin.

    (* anyconst *) reg [2:0] f_slot;
    reg f_begun = 0;
    // Nobody has it; a prefetch has; demand has, until the array hands it back.
    reg [1:0] f_owner = 0;
    // Words of a group of each kind, and those of a slot: they stand while demand is at work.
    reg [79:0] f_words;
    (* anyseq *) reg [79:0] f_other;
    wire f_allotted = takes_slot && slot_taken == f_slot;
    wire f_adopted = adopts && adopts_slot == f_slot;
    wire f_dropped = f_slot < 4 && dropped[f_slot[1:0]];
    wire f_freed = free_vld && free_slot == f_slot;
    always @(posedge clk) begin
        if (f_allotted) f_owner <= slot_guessed ? 2'd1 : 2'd2;
        if (f_adopted) f_owner <= 2'd2;
        if (f_dropped || f_freed) f_owner <= 2'd0;
        if (!busy) f_words <= f_other;
        if (rst) begin
            f_begun <= 1;
            f_owner <= 2'd0;
        end
    end
    wire [6:0] f_at = {at_idle, at_multiply, at_base, at_wait, at_offset, at_add, at_ready};
    wire [8:0] f_en = {en_idle, en_look, en_take, en_start, en_load, en_sum, en_fit, en_place, en_piece};
    always @* begin
        assume (f_slot < 3'd6);
        assume (!f_freed || f_owner == 2'd2);
        assume (window == f_words[79:64] && ask_words == f_words[ask_kind * 16 +: 16]);
        assume (ask_words <= window && {1'b0, ask_words} <= router_words);
        if (f_begun && !rst) begin
            assert (({en_tail, f_en} & ({en_tail, f_en} - 10'd1)) == 0 && {en_tail, f_en} != 0);
            assert (free[f_slot] == (f_owner == 2'd0));
            assert (f_slot >= 4 || tag[f_slot[1:0]] == (f_owner == 2'd1));
            // The claim.
            assert (!f_allotted || f_owner == 2'd0 && !f_adopted && !f_dropped && !f_freed);
            assert (!f_adopted || f_owner == 2'd1 && !f_freed);
            assert (!f_dropped || f_owner == 2'd1);
            cover (f_owner == 2'd2 && f_freed);
            cover (f_owner == 2'd1 && f_slot == 3'd3);
        end
    end
