// For `make mutate`: registers and memories become boxes, whose inputs are then outputs of the module and whose outputs are inputs.
module \$dff (CLK, D, Q);
  parameter WIDTH = 1; parameter CLK_POLARITY = 1;
  input CLK; input [WIDTH-1:0] D; output [WIDTH-1:0] Q;
  cut_dff #(.WIDTH(WIDTH)) _TECHMAP_REPLACE_ (.D(D), .Q(Q));
endmodule
module \$mem_v2 (RD_CLK, RD_EN, RD_ARST, RD_SRST, RD_ADDR, RD_DATA, WR_CLK, WR_EN, WR_ADDR, WR_DATA);
  parameter MEMID = ""; parameter SIZE = 4; parameter OFFSET = 0; parameter ABITS = 2; parameter WIDTH = 8;
  parameter INIT = 0; parameter RD_PORTS = 1; parameter RD_CLK_ENABLE = 0; parameter RD_CLK_POLARITY = 0;
  parameter RD_TRANSPARENCY_MASK = 0; parameter RD_COLLISION_X_MASK = 0; parameter RD_WIDE_CONTINUATION = 0;
  parameter RD_CE_OVER_SRST = 0; parameter RD_ARST_VALUE = 0; parameter RD_SRST_VALUE = 0; parameter RD_INIT_VALUE = 0;
  parameter WR_PORTS = 1; parameter WR_CLK_ENABLE = 0; parameter WR_CLK_POLARITY = 0; parameter WR_PRIORITY_MASK = 0; parameter WR_WIDE_CONTINUATION = 0;
  input [RD_PORTS-1:0] RD_CLK, RD_EN, RD_ARST, RD_SRST;
  input [RD_PORTS*ABITS-1:0] RD_ADDR; output [RD_PORTS*WIDTH-1:0] RD_DATA;
  input [WR_PORTS-1:0] WR_CLK; input [WR_PORTS*WIDTH-1:0] WR_EN, WR_DATA; input [WR_PORTS*ABITS-1:0] WR_ADDR;
  cut_mem #(.ABITS(ABITS), .WIDTH(WIDTH), .RD_PORTS(RD_PORTS), .WR_PORTS(WR_PORTS)) _TECHMAP_REPLACE_ (.RD_EN(RD_EN), .RD_ADDR(RD_ADDR), .RD_DATA(RD_DATA), .WR_EN(WR_EN), .WR_ADDR(WR_ADDR), .WR_DATA(WR_DATA));
endmodule
