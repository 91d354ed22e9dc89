"""The emitted `board` below cocotbext-pcie's root complex: its enumeration, a driver's accesses, DMA with MSI-X, errors, and a reset."""

import logging
import random
import struct

import cocotb
from cocotb.triggers import ClockCycles, First, Timer
from cocotbext.pcie.core import RootComplex
from cocotbext.pcie.core.caps import PciCapId
from cocotbext.pcie.core.tlp import CplStatus, Tlp, TlpType
from cocotbext.pcie.core.utils import PcieId

import layers
from bench import Bench
from card import Driver
from endpoint import KINDS, Card, mind_strobes

LINK = ("link_up", "hot_reset", "rx_vld", "rx_data", "rx_keep", "rx_sop", "rx_eop", "tx_rdy", "fc_inf", *(f"fc_{kind}" for kind in KINDS))
#: Registers of the PCI Express capability and their bits (PCI Express Base 5.0, 7.5.3.4 and 7.5.3.5).
DEVICE_CONTROL, DEVICE_STATUS = 0x8, 0xA
FUNCTION_LEVEL_RESET = 1 << 15
CORRECTABLE, NON_FATAL, UNSUPPORTED = 1 << 0, 1 << 1, 1 << 3
DIRECTIONS = ("H2C", "C2H")
#: MSI-X vectors of the two channels and of the engine.
VECTORS = {"H2C": 0, "C2H": 1, "engine": 2}


class BoardBench(Bench):
    """The function as the model's enumeration has found it. `host` is memory of the root complex, from bus address `place`."""

    @classmethod
    async def begin(cls, dut, seed):
        bench = cls(dut, seed)
        for pin in (*LINK, "m_axi_rid", "m_axi_rdata", "m_axi_rresp", "m_axi_rlast", "m_axi_bresp"):
            getattr(dut, pin).value = 0
        mind_strobes(bench.slave)
        bench.storms([bench.slave])
        await bench.reset_pin()
        await ClockCycles(dut.clk, 4)
        bench.pci, bench.dma = bench.abi.json["pci"], bench.abi.json["dma"]
        bench.blocks = {block["name"]: block for block in bench.dma["blocks"]}
        logging.getLogger("cocotb.pcie").setLevel(logging.ERROR)
        bench.root = RootComplex()
        bench.card = Card(dut, bench.pci["function"])
        bench.root.make_port().connect(bench.card)
        await bench.card.start()
        # Not host_bridge.probe(): only this gives the bridges bases to allocate from.
        await bench.root.enumerate(timeout=20000)
        (bus,) = bench.root.host_bridge.bus.children
        (bench.device,) = bus.devices
        bench.place, bench.host = bench.root.alloc_region(1 << 16)
        await bench.device.enable_device()
        await bench.device.set_master()
        await bench.interrupts()
        return bench

    def bar(self, name):
        return self.device.bar_window[self.pci["bars"][name]["index"]]

    async def interrupts(self):
        """Every vector of the table, and who sends which."""
        vectors = self.pci["function"]["vectors"]
        assert await self.device.alloc_irq_vectors(vectors, vectors) == vectors
        await self.set("IRQ", "CHANNEL_VECTORS", VECTORS["C2H"] << 8 | VECTORS["H2C"])
        await self.set("IRQ", "CHANNEL_MASK", self.register("IRQ", "CHANNEL_MASK")["mask"])
        await self.set("IRQ", "USER_VECTORS", VECTORS["engine"])
        await self.set("IRQ", "USER_MASK", self.register("IRQ", "USER_MASK")["mask"])

    def register(self, block, name):
        return next(r for r in self.blocks[block]["registers"] if r["name"] == name)

    def bits(self, name, *fields):
        found = {f["name"]: f for f in self.register("H2C", name)["fields"]}
        return sum(1 << found[field]["lsb"] for field in fields)

    async def get(self, block, name):
        return await self.bar("dma").read_dword(self.blocks[block]["base"] + self.register(block, name)["offset"])

    async def set(self, block, name, value):
        await self.bar("dma").write_dword(self.blocks[block]["base"] + self.register(block, name)["offset"], value)

    async def message(self, sender):
        event = self.device.msi_vectors[VECTORS[sender]].event
        await First(event.wait(), Timer(1, "ms"))
        assert event.is_set(), f"no MSI-X message of {sender}"
        event.clear()

    async def identity(self):
        assert await self.bar("registers").read_dword(self.abi.offset("MAGIC")) == self.abi.json["magic"]
        for half, shift in (("LO", 0), ("HI", 32)):
            want = int(self.abi.json["fingerprint"], 16) >> shift & 0xFFFFFFFF
            assert await self.bar("registers").read_dword(self.abi.offset(f"FINGERPRINT_{half}")) == want

    async def move(self, channel, moves):
        """One list of descriptors: source, target and length of each. They stand at the start of `host`."""
        form = self.dma["descriptor"]
        for n, (source, target, length) in enumerate(moves):
            last = n == len(moves) - 1
            control = form["magic"] | ((form["stop"] | form["completed"]) if last else 0)
            following = 0 if last else self.place + form["bytes"] * (n + 1)
            values = {"control": control, "length": length}
            for name, value in (("src", source), ("dst", target), ("next", following)):
                values |= {f"{name}_lo": value & 0xFFFFFFFF, f"{name}_hi": value >> 32}
            assert values.keys() == form["words"].keys()
            for word, value in values.items():
                struct.pack_into("<I", self.host, form["bytes"] * n + form["words"][word], value)
        done = self.bits("STATUS", "descriptor_stopped", "descriptor_completed")
        await self.set(f"{channel} SGDMA", "FIRST_LO", self.place & 0xFFFFFFFF)
        await self.set(f"{channel} SGDMA", "FIRST_HI", self.place >> 32)
        await self.set(channel, "INTERRUPT_MASK", done)
        await self.set(channel, "CONTROL", self.bits("CONTROL", "run") | done)
        await self.message(channel)
        assert await self.get(channel, "STATUS") == done, f"{channel} STATUS"
        assert await self.get(channel, "COMPLETED_COUNT") == len(moves)
        await self.set(channel, "CONTROL", 0)

    async def compare_moves(self, channel, moves):
        """As `move`, and afterwards both memories are what plain copies make of them. Places count from the start of each memory."""
        host, card = bytearray(self.host[:]), bytearray(self.memory[:])
        source_at, target_at = (self.place, 0) if channel == "H2C" else (0, self.place)
        await self.move(channel, [(source + source_at, target + target_at, length) for source, target, length in moves])
        # The list itself is a part of host memory.
        size = self.dma["descriptor"]["bytes"] * len(moves)
        host[:size] = self.host[:size]
        of, to = (host, card) if channel == "H2C" else (card, host)
        for source, target, length in moves:
            to[target : target + length] = of[source : source + length]
            self.figures["bytes"] += length
        assert self.host[:] == host, f"{channel}: host memory"
        assert self.memory[:] == card, f"{channel}: card memory"

    def fill(self, rng):
        """Random bytes in host memory and in as much of card memory."""
        size = len(self.host)
        self.host[:], self.memory[:size] = rng.randbytes(size), rng.randbytes(size)


def test(seed):
    """A test with the card found and its interrupts set up; its figures are written down when it has passed."""

    def wrap(body):
        async def run(dut):
            bench = await BoardBench.begin(dut, seed)
            await body(bench, random.Random(seed))
            bench.finish(body.__name__, body.__doc__)

        run.__name__ = run.__qualname__ = body.__name__
        run.__doc__ = body.__doc__
        return cocotb.test(timeout_time=8, timeout_unit="ms")(run)

    return wrap


@test(20)
async def card(bench, rng):
    """found, sized and placed by the model's enumeration; identity by BAR 0; 1500 bytes each way by DMA, with MSI-X"""
    want, device = bench.pci["function"], bench.device
    for name in ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_id", "class_code"):
        assert getattr(device, name) == want[name], name
    for bar in bench.pci["bars"].values():
        assert device.bar_size[bar["index"]] == bar["bytes"], bar
    await bench.identity()
    for name, block in bench.blocks.items():
        assert await bench.get(name, "IDENTIFIER") == block["identifier"], name
    for channel, move in (("H2C", (0x1003, 0x2345, 1500)), ("C2H", (0x2345, 0x4001, 1500))):
        bench.fill(rng)
        await bench.compare_moves(channel, [move])


@test(21)
async def moves(bench, rng):
    """lists of DMA descriptors, of any length and at any byte, in both directions"""
    for split in (False, True, False, True):
        # At every 64 bytes, or as few completions as may be.
        bench.root.split_on_all_rcb = split
        for channel in DIRECTIONS:
            bench.fill(rng)
            # Places apart from each other and from the list: 1 KiB for each.
            slots = iter(rng.sample(range(1, 64), 12))
            places = [(1024 * next(slots) + rng.randrange(512), 1024 * next(slots) + rng.randrange(512)) for _ in range(rng.randint(1, 6))]
            await bench.compare_moves(channel, [(*place, rng.choice([1, 3, rng.randint(1, 512), rng.randint(1, 512)])) for place in places])


@test(22)
async def layer(bench, rng):
    """a layer: weights and command through the window, doorbell by BAR 0, the engine's MSI-X message"""
    window, registers = bench.bar("window"), bench.bar("registers")
    driver = Driver(bench.abi, registers.read_dword, registers.write_dword, window.read, window.write, 22)
    await driver.start()
    await driver.write("CONTROL", bench.abi.bit("CONTROL", "irq_enable"))
    job = await layers.moe(driver, rng, most=16, flags=("irq",))
    # Writes are posted: a read waits until those to the window have arrived.
    await bench.identity()
    await bench.run(driver, job)
    await bench.message("engine")
    for address, data in job.outputs:
        assert await window.read(address, len(data)) == data


@test(23)
async def errors(bench, rng):
    """requests that no BAR claims, and a function that is not there: UR, and a write is dropped; Device Status says which error it was"""
    device, root = bench.device, bench.root
    bars = [(device.bar_addr[bar["index"]], bar["bytes"]) for bar in bench.pci["bars"].values()]
    bridge = device.bus.bridge
    free = rng.choice([a for a in range(bridge.mem_base, bridge.mem_limit, 4) if not any(base <= a < base + size for base, size in bars)])

    async def status():
        found = await device.capability_read_word(PciCapId.EXP, DEVICE_STATUS) & 0xF
        await device.capability_write_word(PciCapId.EXP, DEVICE_STATUS, found)
        return found

    await status()
    for kind in (TlpType.MEM_READ, TlpType.CFG_READ_1):
        request = Tlp()
        request.fmt_type, request.requester_id = kind, PcieId(0, 0, 0)
        if kind == TlpType.CFG_READ_1:
            request.completer_id = PcieId(device.bus_num, device.device_num, 1)
        request.set_addr_be(free if kind == TlpType.MEM_READ else 0, 4)
        answers = await root.perform_nonposted_operation(request, 20000)
        assert [answer.status for answer in answers] == [CplStatus.UR], f"{kind}: {answers}"
        assert await status() == CORRECTABLE | UNSUPPORTED, f"{kind}: an advisory error"
    before = bytes(bench.memory[:])
    await root.mem_write_dword(free, rng.getrandbits(32))
    await bench.identity()
    assert await status() == NON_FATAL | UNSUPPORTED
    assert bench.memory[:] == before


@test(24)
async def reset(bench, rng):
    """a function-level reset: BARs, bus master and MSI-X are gone, card memory is not; set up again, the DMA works"""
    device = bench.device
    bench.fill(rng)
    before = bytes(bench.memory[:])
    control = await device.capability_read_word(PciCapId.EXP, DEVICE_CONTROL)
    await device.capability_write_word(PciCapId.EXP, DEVICE_CONTROL, control | FUNCTION_LEVEL_RESET)
    assert await device.config_read_word(0x04) == 0, "Command"
    assert not await device.capability_read_word(PciCapId.MSIX, 2) >> 15, "MSI-X is on"
    for index, address in enumerate(device.bar_addr):
        if address is not None:
            assert await device.config_read_dword(0x10 + 4 * index) & ~0xF == 0, f"BAR {index}"
    assert bench.memory[:] == before
    for index, raw in enumerate(device.bar_raw):
        await device.config_write_dword(0x10 + 4 * index, raw)
    await device.enable_resources(0)
    await device.set_master()
    device.msix_enabled = False
    await bench.interrupts()
    await bench.identity()
    for channel, move in (("H2C", (0x1003, 0x2345, 300)), ("C2H", (0x2345, 0x4001, 300))):
        await bench.compare_moves(channel, [move])
