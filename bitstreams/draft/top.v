module top (input wire clk_board, input wire rx, output wire tx, output wire led);
    wire clk, locked;
    (* FREQUENCY_PIN_CLKI="100", FREQUENCY_PIN_CLKOP="50" *)
    EHXPLLL #(
        .PLLRST_ENA("DISABLED"), .INTFB_WAKE("DISABLED"), .STDBY_ENABLE("DISABLED"), .DPHASE_SOURCE("DISABLED"),
        .OUTDIVIDER_MUXA("DIVA"), .OUTDIVIDER_MUXB("DIVB"), .OUTDIVIDER_MUXC("DIVC"), .OUTDIVIDER_MUXD("DIVD"),
        .CLKI_DIV(2), .CLKOP_ENABLE("ENABLED"), .CLKOP_DIV(12), .CLKOP_CPHASE(5), .CLKOP_FPHASE(0),
        .FEEDBK_PATH("CLKOP"), .CLKFB_DIV(1)
    ) pll (
        .RST(1'b0), .STDBY(1'b0), .CLKI(clk_board), .CLKOP(clk), .CLKFB(clk), .CLKINTFB(), .LOCK(locked),
        .PHASESEL0(1'b0), .PHASESEL1(1'b0), .PHASEDIR(1'b1), .PHASESTEP(1'b1), .PHASELOADREG(1'b1), .PLLWAKESYNC(1'b0), .ENCLKOP(1'b0)
    );
    reg [1:0] lock = 0;
    reg [7:0] wait_rst = 0;
    reg rst = 1;
    always @(posedge clk) begin
        lock <= {lock[0], locked};
        if (!lock[1]) wait_rst <= 0; else if (!wait_rst[7]) wait_rst <= wait_rst + 1;
        rst <= !wait_rst[7];
    end
    wire on;
    image image (.clk(clk), .rst(rst), .rx(rx), .tx(tx), .led(on));
    assign led = !on;
endmodule
