# SQRL Acorn CLE-215+: the pins of the first image. Source: litex-boards, platforms/sqrl_acorn.py (serial on the P2 connector).
set_property -dict {LOC J19 IOSTANDARD DIFF_SSTL15} [get_ports clk200_p]
set_property -dict {LOC H19 IOSTANDARD DIFF_SSTL15} [get_ports clk200_n]
set_property -dict {LOC K2 IOSTANDARD LVCMOS33} [get_ports tx]
set_property -dict {LOC J2 IOSTANDARD LVCMOS33} [get_ports rx]
set_property -dict {LOC G3 IOSTANDARD LVCMOS33} [get_ports led]
