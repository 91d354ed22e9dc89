"""`board` below a root complex of cocotbext-pcie: its port model carries TLPs as objects, the card takes them as words of a stream (docs/endpoint.md)."""

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from cocotbext.pcie.core.port import SimPort
from cocotbext.pcie.core.tlp import Tlp

KINDS = ("ph", "pd", "nph", "npd", "cplh", "cpld")


def mind_strobes(slave):
    """The model reads every byte of a written word. Those without a strobe may be unknown, the others must not."""
    channel = slave.write_if.w_channel
    receive = channel.recv

    async def known():
        beat = await receive()
        strobe = int(beat.wstrb)
        beat.wdata = sum(int(beat.wdata[8 * n + 7 : 8 * n]) << 8 * n for n in range(len(beat.wstrb)) if strobe >> n & 1)
        return beat

    channel.recv = known


def to_words(tlp):
    """Words of a header are numbers; words of a payload have byte 0 in their low bits."""
    data, header = tlp.pack(), tlp.get_header_size()
    return [int.from_bytes(data[i : i + 4], "big" if i < header else "little") for i in range(0, len(data), 4)]


def from_words(words):
    header = 4 if words[0] >> 29 & 1 else 3
    return Tlp.unpack(b"".join(w.to_bytes(4, "big" if i < header else "little") for i, w in enumerate(words)))


class Card:
    """The card's end of the link. Credits are those of the pins, in both directions."""

    def __init__(self, dut, link):
        self.dut, self.waiting = dut, []
        self.lanes = len(dut.rx_keep)
        self.granted = {kind: int(getattr(dut, f"rxfc_{kind}").value) for kind in KINDS[:4]}
        self.port = SimPort(fc_init=[[*self.granted.values(), 0, 0]] * 8)
        self.port.parent, self.port.rx_handler = self, self.receive
        self.port.max_link_speed, self.port.max_link_width = link["link_speed"], link["link_width"]
        self.credits = self.port.fc_state[0]

    def connect(self, port):
        self.port.connect(port)

    async def start(self):
        """Link up, when the two ends have told each other their credits."""
        await self.credits.initialized.wait()
        self._limits()
        await RisingEdge(self.dut.clk)
        self.dut.link_up.value = 1
        cocotb.start_soon(self._downstream())
        cocotb.start_soon(self._upstream())

    async def receive(self, tlp):
        # Its credits come back when the card's own counts say so, not when the model would release them.
        self.waiting.append(tlp)

    def _limits(self):
        """What the root port has granted, to the card."""
        infinite = 0
        for n, kind in enumerate(KINDS):
            state, pin = getattr(self.credits, kind), getattr(self.dut, f"fc_{kind}")
            pin.value = state.tx_credit_limit & ((1 << len(pin)) - 1)
            infinite |= state.tx_is_infinite() << n
        self.dut.fc_inf.value = infinite

    def _returned(self):
        """What the card has granted since the last look, to the root port."""
        grown = False
        for kind in self.granted:
            pin = getattr(self.dut, f"rxfc_{kind}")
            more = (int(pin.value) - self.granted[kind]) & ((1 << len(pin)) - 1)
            if more:
                getattr(self.credits, kind).rx_release_fc(more)
                self.granted[kind] = int(pin.value)
                grown = True
        if grown:
            self.credits.next_fc_p_tx = self.credits.next_fc_np_tx = 0
            self.credits.start_fc_update_timer()

    async def _downstream(self):
        dut, words, first = self.dut, [], True
        while True:
            await FallingEdge(dut.clk)
            self._limits()
            self._returned()
            if not words and self.waiting:
                words, first = to_words(self.waiting.pop(0)), True
            beat = words[: self.lanes]
            dut.rx_vld.value = bool(beat)
            dut.rx_data.value = sum(w << 32 * n for n, w in enumerate(beat))
            dut.rx_keep.value = (1 << len(beat)) - 1
            dut.rx_sop.value = bool(beat) and first
            dut.rx_eop.value = bool(beat) and len(words) <= self.lanes
            await ReadOnly()
            if beat and int(dut.rx_rdy.value):
                words, first = words[self.lanes :], False

    async def _upstream(self):
        dut, words = self.dut, []
        while True:
            await FallingEdge(dut.clk)
            dut.tx_rdy.value = 1
            await ReadOnly()
            if not int(dut.tx_vld.value):
                continue
            assert bool(int(dut.tx_sop.value)) == (not words), "sop stands at the first beat of a packet and nowhere else"
            data, keep = dut.tx_data.value, int(dut.tx_keep.value)
            # What is not kept may be unknown.
            words += [int(data[32 * n + 31 : 32 * n]) for n in range(self.lanes) if keep >> n & 1]
            if int(dut.tx_eop.value):
                tlp, words = from_words(words), []
                assert tlp.check(), f"the card sent {tlp!r}"
                assert self.credits.tx_tlp_has_credit(tlp), f"no credits for {tlp!r}"
                await RisingEdge(dut.clk)
                # The card may have its next packet on the wire before the link has taken this one: it is held back.
                dut.tx_rdy.value = 0
                await self.port.send(tlp)
