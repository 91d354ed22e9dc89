// SQRL Acorn CLE-215+: PLL, reset and pins around the first image. The engine's clock is 50 MHz; reset ends 128 cycles after the PLL has locked.
module top (
    input  wire clk200_p,
    input  wire clk200_n,
    input  wire rx,
    output wire tx,
    output wire led
);
    wire clk_board, feedback, clk_pll, clk, locked;
    IBUFDS input_buffer (.I(clk200_p), .IB(clk200_n), .O(clk_board));
    // 200 MHz x 5 / 20 = 50 MHz; the oscillator runs at 1000 MHz.
    PLLE2_BASE #(
        .CLKIN1_PERIOD(5.0), .DIVCLK_DIVIDE(1), .CLKFBOUT_MULT(5), .CLKOUT0_DIVIDE(20)
    ) pll (
        .CLKIN1(clk_board), .CLKFBIN(feedback), .CLKFBOUT(feedback), .CLKOUT0(clk_pll), .LOCKED(locked), .RST(1'b0), .PWRDWN(1'b0)
    );
    BUFG clock_buffer (.I(clk_pll), .O(clk));

    reg [1:0] lock = 0;
    reg [7:0] count = 0;
    reg rst = 1;
    always @(posedge clk) begin
        lock <= {lock[0], locked};
        if (!lock[1]) count <= 0;
        else if (!count[7]) count <= count + 1;
        rst <= !count[7];
    end

    wire on;
    image image (.clk(clk), .rst(rst), .rx(rx), .tx(tx), .led(on));
    assign led = !on; // lit by a low level
endmodule
