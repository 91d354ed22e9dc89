"""LitePCIe's endpoint and DMA as a `board` for our link: python3 litepcie_board.py WIDTH FILE.

The DMA engines are LitePCIe's own, without their descriptor tables: counters in front of them offer the next 4 KiB descriptor in every
cycle, so no descriptor is fetched or waited for. What is written to host memory comes from a counter, what is read is taken at once: there
is no card memory. Both favour LitePCIe. Its hard block's part (configuration space, credits) is played by the bench.

Registers in BAR 0: 0 starts (bit 0 reads host memory, bit 1 writes it, bits 31..8 count descriptors), 4 and 8 are the pages where reading
and writing begin, 12 has the largest payload (15..0) and the largest read request (31..16) in bytes, as a host negotiates them.
"""

import sys

from migen import ClockDomain, If, Module, Signal
from litex.gen.fhdl import verilog
from litex.soc.interconnect import stream
from litepcie.common import get_bar_mask, phy_layout
from litepcie.core import LitePCIeEndpoint
from litepcie.frontend.dma import LitePCIeDMAReader, LitePCIeDMAWriter

PAGE = 4096
REQUESTER = 0x0100
PENDING = 8  # what LitePCIe's own benches and board files ask for


class Phy(Module):
    def __init__(self, width):
        self.data_width = width
        self.bar0_mask = get_bar_mask(PAGE)
        self.id = Signal(16, reset=REQUESTER)
        self.max_request_size = Signal(16, reset=512)
        self.max_payload_size = Signal(16, reset=128)
        self.sink = stream.Endpoint(phy_layout(width))
        self.source = stream.Endpoint(phy_layout(width))


class Peer(Module):
    def __init__(self, width):
        self.clock_domains.sys = ClockDomain()
        self.submodules.phy = phy = Phy(width)
        # Payload bytes lie as in an UltraScale's stream and ours: the first in the low bits.
        self.submodules.endpoint = endpoint = LitePCIeEndpoint(
            phy, max_pending_requests=PENDING, address_width=64, endianness="little"
        )
        self.submodules.reader = reader = LitePCIeDMAReader(
            endpoint, endpoint.crossbar.get_master_port(read_only=True), with_table=False, address_width=64
        )
        self.submodules.writer = writer = LitePCIeDMAWriter(
            endpoint, endpoint.crossbar.get_master_port(write_only=True), with_table=False, address_width=64
        )
        register = endpoint.crossbar.get_slave_port(lambda address: address[4:12] == 0)
        written = Signal()
        which = Signal(2)
        value = Signal(32)
        start = Signal()
        self.comb += [register.sink.ready.eq(1), start.eq(written & (which == 0))]
        self.sync += [
            written.eq(register.sink.valid & register.sink.we),
            which.eq(register.sink.adr[2:4]),
            value.eq(register.sink.dat[:32]),
            If(written & (which == 3), phy.max_payload_size.eq(value[:16]), phy.max_request_size.eq(value[16:])),
        ]
        for bit, dma in ((0, reader), (1, writer)):
            page = Signal(32)
            self.sync += If(written & (which == bit + 1), page.eq(value))
            left = Signal(24)
            address = Signal(64)
            self.comb += [
                dma.desc_sink.valid.eq(left != 0),
                dma.desc_sink.address.eq(address),
                dma.desc_sink.length.eq(PAGE),
                dma.desc_sink.last_disable.eq(1),
            ]
            self.sync += If(start & value[bit], left.eq(value[8:]), address.eq(page << 12)).Elif(
                dma.desc_sink.valid & dma.desc_sink.ready, left.eq(left - 1), address.eq(address + PAGE)
            )
        self.comb += [reader.source.ready.eq(1), writer.sink.valid.eq(1)]
        count = Signal(32)
        self.sync += If(writer.sink.ready, count.eq(count + 1))
        self.comb += writer.sink.data.eq(count)


# The ports that the simulated link drives (docs/endpoint.md); what LitePCIe has no part in is tied off.
BOARD = """
module board (
    input wire clk, rst, link_up, hot_reset, rx_vld, rx_sop, rx_eop, tx_rdy, usr_irq,
    input wire [{bits}:0] rx_data, input wire [{words}:0] rx_keep,
    output wire rx_rdy, tx_vld, tx_eop, output reg tx_sop,
    output wire [{bits}:0] tx_data, output wire [{words}:0] tx_keep,
    input wire [7:0] fc_ph, fc_nph, fc_cplh, input wire [11:0] fc_pd, fc_npd, fc_cpld, input wire [5:0] fc_inf,
    output wire [7:0] rxfc_ph, rxfc_nph, output wire [11:0] rxfc_pd, rxfc_npd,
    output wire [5:0] m_axi_awid, m_axi_arid, output wire [39:0] m_axi_awaddr, m_axi_araddr,
    output wire [7:0] m_axi_awlen, m_axi_arlen, output wire [2:0] m_axi_awsize, m_axi_arsize,
    output wire [1:0] m_axi_awburst, m_axi_arburst, output wire m_axi_awvalid, m_axi_arvalid, m_axi_wlast, m_axi_wvalid,
    output wire m_axi_bready, m_axi_rready, output wire [127:0] m_axi_wdata, output wire [15:0] m_axi_wstrb,
    input wire m_axi_awready, m_axi_arready, m_axi_wready, m_axi_bvalid, m_axi_rvalid, m_axi_rlast,
    input wire [5:0] m_axi_bid, m_axi_rid, input wire [1:0] m_axi_bresp, m_axi_rresp, input wire [127:0] m_axi_rdata
);
    wire [{bytes}:0] be;
    genvar n;
    generate
        for (n = 0; n <= {words}; n = n + 1) begin : word
            assign tx_keep[n] = be[4 * n];
        end
    endgenerate
    always @(posedge clk)
        if (rst) tx_sop <= 1;
        else if (tx_vld & tx_rdy) tx_sop <= tx_eop;
    reg rx_first;
    always @(posedge clk)
        if (rst) rx_first <= 1;
        else if (rx_vld & rx_rdy) rx_first <= rx_eop;
    wire [{bytes}:0] rx_be;
    generate
        for (n = 0; n <= {words}; n = n + 1) begin : enables
            assign rx_be[4 * n +: 4] = {{4{{rx_keep[n]}}}};
        end
    endgenerate
    litepcie peer (
        .sys_clk(clk), .sys_rst(rst),
        .source_valid(rx_vld), .source_ready(rx_rdy), .source_first(rx_first), .source_last(rx_eop),
        .source_payload_dat(rx_data), .source_payload_be(rx_be),
        .sink_valid(tx_vld), .sink_ready(tx_rdy), .sink_last(tx_eop), .sink_payload_dat(tx_data), .sink_payload_be(be)
    );
    assign {{rxfc_ph, rxfc_nph, rxfc_pd, rxfc_npd}} = 0;
    assign {{m_axi_awid, m_axi_arid, m_axi_awaddr, m_axi_araddr, m_axi_awlen, m_axi_arlen, m_axi_awsize, m_axi_arsize}} = 0;
    assign {{m_axi_awburst, m_axi_arburst, m_axi_awvalid, m_axi_arvalid, m_axi_wlast, m_axi_wvalid, m_axi_bready, m_axi_rready}} = 0;
    assign {{m_axi_wdata, m_axi_wstrb}} = 0;
endmodule
"""


def main():
    width, file = int(sys.argv[1]), sys.argv[2]
    peer = Peer(width)
    sink, source = peer.phy.sink, peer.phy.source
    ports = {peer.sys.clk, peer.sys.rst}
    ports |= {sink.valid, sink.ready, sink.last, sink.dat, sink.be}
    ports |= {source.valid, source.ready, source.first, source.last, source.dat, source.be}
    text = str(verilog.convert(peer, ios=ports, name="litepcie"))
    with open(file, "w") as out:
        out.write(text + BOARD.format(bits=width - 1, words=width // 32 - 1, bytes=width // 8 - 1))


main()
