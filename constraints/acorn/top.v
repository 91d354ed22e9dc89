// SQRL Acorn CLE-215+: PLL and pins around the first image. The engine's clock is 50 MHz.
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

    wire rst;
    start start (.clk(clk), .locked(locked), .rst(rst));

    wire on;
    image image (.clk(clk), .rst(rst), .rx(rx), .tx(tx), .led(on));
    assign led = !on; // lit by a low level
endmodule
