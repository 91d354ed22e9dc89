// Prefetch limit, counting: what is asked for and has not arrived is counted exactly, and credit is given while that is at most 192 beats.
//
//: file units/loader
//: module load_receive
//: depth 4
//: reach 30
//: mutant change_by = take_prefetch ? more_less => change_by = take_prefetch ? more
//: mutant pf_credit = none || !under_way[7] => pf_credit = none || !under_way[8]
//: mutant more <= {3'd0, piece} => more <= {4'd0, piece[4:0]}
//
// `load_request` keeps what is assumed of `piece`.

    reg [8:0] f_counted = 0, f_shown = 0;
    wire [8:0] f_all = f_counted + f_shown + {3'd0, piece};
    always @(posedge clk) begin
        f_shown <= {3'd0, piece};
        f_counted <= f_counted + f_shown - {8'd0, pf_beat};
        if (rst) begin
            f_shown <= 0;
            f_counted <= 0;
        end
    end
    always @* begin
        assume (piece <= 6'd32);
        if (!rst) assume (f_all <= 9'd224);
    end
    always @* if (!rst) begin
        assert (f_counted <= 9'd224 && f_shown <= 9'd32);
        assert (under_way == f_counted - 9'd1);
        assert (more == f_shown && more_less == f_shown - 9'd1 && more_vld == (f_shown != 0));
        assert (pf_credit == (f_counted <= 9'd192));
        assert (!pf_beat || f_counted != 0);
        assert (pf_some == (f_counted != 0 || f_shown != 0));
        cover (!pf_credit);
        cover (pf_beat && f_counted == 9'd1);
        cover (f_counted == 9'd224);
    end
