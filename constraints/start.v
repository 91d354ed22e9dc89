// Reset of an image: begins with the power, ends 128 cycles after `locked` (of the PLL, asynchronous) has come, and begins again when it goes.
module start (
    input  wire clk,
    input  wire locked,
    output reg  rst
);
    reg [1:0] lock = 0;
    reg [7:0] count = 0;
    initial rst = 1;
    always @(posedge clk) begin
        lock <= {lock[0], locked};
        if (!lock[1]) count <= 0;
        else if (!count[7]) count <= count + 1;
        rst <= !count[7];
    end
endmodule
