"""The world around `engine` or `board`: clock, buses of cocotbext-axi that hold back at random, card memory, and the figures of a test."""

import json
import logging
import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiMaster, AxiSlave, MemoryRegion

from card import Abi, Driver

PERIOD = 8  # ns


def weather(rng, share):
    """A pause generator: in runs of up to 8 cycles, a share of them paused."""
    while True:
        pause = rng.random() < share
        for _ in range(rng.randint(1, 8)):
            yield pause


class Bench:
    """What both testbenches have. `figures` are what a test has compared; `finish` writes them down."""

    def __init__(self, dut, seed):
        self.dut, self.abi, self.rng = dut, Abi(), random.Random(seed)
        self.began = get_sim_time("ns")
        self.figures = {"commands": 0, "tokens": 0, "bytes": 0}
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        cocotb.start_soon(Clock(dut.clk, PERIOD, "ns").start())
        dut.rst.value = 1
        # Beyond its end card memory answers with an error.
        self.region = MemoryRegion(self.abi.config["memory_bytes"])
        self.memory = self.region.mem
        self.slave = AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, target=self.region)
        # cocotbext-axi leaves the payload of an idle channel unknown. bready depends on bid, and the model cannot read an unknown ready.
        dut.m_axi_bid.value = 0

    def storms(self, buses):
        """Seeded back-pressure on every channel of these bus models."""
        for bus in buses:
            for side, channels in ((bus.write_if, ("aw", "w", "b")), (bus.read_if, ("ar", "r"))):
                for channel in channels:
                    rng = random.Random(self.rng.getrandbits(64))
                    share = rng.choice([0.0, 0.2, 0.5])
                    getattr(side, f"{channel}_channel").set_pause_generator(weather(rng, share))

    async def reset_pin(self):
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 4)
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)

    async def run(self, driver, job):
        """Runs a command; compares status, completion record, results and all the rest of card memory. Returns its cycles."""
        self.before = bytes(self.memory[:])
        await driver.submit(job.descriptor)
        assert await driver.wait() == self.abi.status[job.status], f"LAST_STATUS is not {job.status}: {job.fields}"
        return self.check(driver, job)

    def check(self, driver, job):
        place, size = job.fields["done_addr"], self.abi.layout["beat_bytes"]
        record = self.abi.completion(bytes(self.memory[place : place + size]))
        cycles = record.pop("cycles")
        want = {"sequence": driver.tail, "status": self.abi.status[job.status], "tag": job.fields["tag"]}
        assert record == want, f"completion record {record}, expected {want}"
        assert cycles > 0
        expected = bytearray(self.before)
        expected[place : place + size] = self.memory[place : place + size]
        slot = driver.ring + self.abi.layout["command_stride"] * ((driver.tail - 1) % (1 << driver.ring_log2))
        expected[slot : slot + len(job.descriptor)] = job.descriptor
        for address, data in job.outputs:
            found = bytes(self.memory[address : address + len(data)])
            where = next((i for i, (a, b) in enumerate(zip(found, data)) if a != b), None)
            assert where is None, (
                f"byte {where} at {address + where:#x} is {found[where]:#04x}, expected {data[where]:#04x}\n"
                f"{job.fields}\nfound    {found.hex()}\nexpected {data.hex()}"
            )
            expected[address : address + len(data)] = data
        assert self.memory[:] == expected, "the command wrote where it must not"
        self.figures["commands"] += 1
        self.figures["tokens"] += job.tokens if job.outputs else 0
        self.figures["bytes"] += size + sum(len(data) for _, data in job.outputs)
        return cycles

    def finish(self, test, what):
        """One line of figures, for the runner."""
        self.figures["cycles"] = round(get_sim_time("ns") - self.began) // PERIOD
        with open(os.environ["ROUNDHOUSE_FIGURES"], "a", encoding="utf-8") as file:
            file.write(json.dumps({"test": test, "what": what, **self.figures}) + "\n")


class EngineBench(Bench):
    """`engine` with a driver whose registers go over s_axil and whose bytes go over s_axi."""

    @classmethod
    async def begin(cls, dut, seed):
        bench = cls(dut, seed)
        bench.csr = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        bench.host = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
        bench.storms([bench.csr, bench.host, bench.slave])
        await bench.reset_pin()

        async def read(offset):
            return await bench.csr.read_dword(offset)

        async def read_memory(address, size):
            return (await bench.host.read(address, size)).data

        bench.driver = Driver(bench.abi, read, bench.csr.write_dword, read_memory, bench.host.write, seed)
        await bench.driver.start()
        return bench
