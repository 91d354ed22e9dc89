// Radiona ULX4M-LD: PLL and pins around the first image. The engine's clock is 50 MHz.
module top (
    input  wire clk_board,
    input  wire rx,
    output wire tx,
    output wire led
);
    wire clk, locked;
    // 25 MHz x 2 / 1 = 50 MHz; the oscillator runs at 600 MHz.
    EHXPLLL #(
        .PLLRST_ENA("DISABLED"), .INTFB_WAKE("DISABLED"), .STDBY_ENABLE("DISABLED"), .DPHASE_SOURCE("DISABLED"),
        .OUTDIVIDER_MUXA("DIVA"), .OUTDIVIDER_MUXB("DIVB"), .OUTDIVIDER_MUXC("DIVC"), .OUTDIVIDER_MUXD("DIVD"),
        .CLKI_DIV(1), .CLKFB_DIV(2), .FEEDBK_PATH("CLKOP"),
        .CLKOP_ENABLE("ENABLED"), .CLKOP_DIV(12), .CLKOP_CPHASE(5), .CLKOP_FPHASE(0)
    ) pll (
        .CLKI(clk_board), .CLKFB(clk), .CLKOP(clk), .LOCK(locked), .RST(1'b0), .STDBY(1'b0), .ENCLKOP(1'b0),
        .PHASESEL0(1'b0), .PHASESEL1(1'b0), .PHASEDIR(1'b1), .PHASESTEP(1'b1), .PHASELOADREG(1'b1), .PLLWAKESYNC(1'b0)
    );

    wire rst;
    start start (.clk(clk), .locked(locked), .rst(rst));

    wire on;
    image image (.clk(clk), .rst(rst), .rx(rx), .tx(tx), .led(on));
    assign led = on;
endmodule
