// The boxes of cut.v.
module cut_dff (D, Q);
  parameter WIDTH = 1;
  input [WIDTH-1:0] D; output [WIDTH-1:0] Q;
endmodule
module cut_mem (RD_EN, RD_ADDR, RD_DATA, WR_EN, WR_ADDR, WR_DATA);
  parameter ABITS = 2; parameter WIDTH = 8; parameter RD_PORTS = 1; parameter WR_PORTS = 1;
  input [RD_PORTS-1:0] RD_EN;
  input [RD_PORTS*ABITS-1:0] RD_ADDR; output [RD_PORTS*WIDTH-1:0] RD_DATA;
  input [WR_PORTS*WIDTH-1:0] WR_EN, WR_DATA; input [WR_PORTS*ABITS-1:0] WR_ADDR;
endmodule
