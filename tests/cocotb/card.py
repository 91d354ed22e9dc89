"""The engine's contract as a driver sees it. Every number comes from abi.json, which is read when the test starts."""

import json
import os
import random
import struct

MASK64 = (1 << 64) - 1


class Abi:
    """abi.json of the configuration under test."""

    def __init__(self, path=None):
        path = path or os.environ["ROUNDHOUSE_ABI"]
        with open(path, encoding="utf-8") as file:
            self.json = json.load(file)
        self.config = self.json["config"]
        self.layout = self.json["layout"]
        self.status = self.json["status"]
        self.registers = {r["name"]: r for r in self.json["registers"]}
        self.fields = {f["name"]: f for f in self.json["command"]}
        self.constants = self.json["encodings"]["constants"]
        #: Of each 64-bit counter the register with its low half.
        self.counters = [
            name[:-3]
            for name, r in self.registers.items()
            if name.endswith("_LO") and r["access"] == "ro" and not name.startswith("FINGERPRINT")
        ]

    def offset(self, register):
        return self.registers[register]["offset"]

    def field(self, register, name, value):
        """The field `name` of a register's value."""
        field = next(f for f in self.registers[register]["fields"] if f["name"] == name)
        return value >> field["lsb"] & ((1 << field["width"]) - 1)

    def bit(self, register, name):
        field = next(f for f in self.registers[register]["fields"] if f["name"] == name)
        return 1 << field["lsb"]

    def code(self, *parts):
        """The sum of encodings: code("source.router", "routing.bias")."""
        groups = (part.split(".") for part in parts)
        return sum(self.json["encodings"][group][name] for group, name in groups)

    def descriptor(self, **values):
        """A command's bytes. A field that is not named is zero."""
        out = bytearray(self.layout["command_stride"])
        for name, value in values.items():
            field = self.fields[name]
            value &= (1 << 8 * field["bytes"]) - 1
            out[field["offset"] : field["offset"] + field["bytes"]] = value.to_bytes(field["bytes"], "little")
        return bytes(out)

    def completion(self, data):
        return dict(zip(self.json["completion"], struct.unpack(f"<{len(self.json['completion'])}I", data), strict=True))

    def storage(self, storage):
        """The descriptor's byte for a `formats.Storage`."""
        parts = [f"format.{storage.form}", f"sparsity.{storage.sparsity}"]
        parts += ["storage.paired"] * storage.paired + ["storage.bias"] * storage.bias
        return self.code(*parts)


class Driver:
    """Registers, the command ring and card memory, over any way to reach them.

    `read`, `write`: one register. `read_memory`, `write_memory`: bytes of card memory. All four are coroutines."""

    def __init__(self, abi, read, write, read_memory, write_memory, seed):
        self.abi = abi
        self._read, self._write = read, write
        self.read_memory, self.write_memory = read_memory, write_memory
        self.rng = random.Random(seed)
        self.align = abi.layout["align"]
        self.free = self.align * self.rng.randint(1, 64)
        self.tail = 0
        self.ring = self.ring_log2 = None

    async def read(self, name):
        return await self._read(self.abi.offset(name))

    async def write(self, name, value):
        await self._write(self.abi.offset(name), value)

    def allocate(self, size):
        """An aligned place in card memory that nothing else has, with a gap before it."""
        place = self.free + self.align * self.rng.randint(0, 3)
        self.free = -(-(place + size) // self.align) * self.align
        assert self.free <= self.abi.config["memory_bytes"], "card memory is too small for this test"
        return place

    async def store(self, data):
        place = self.allocate(len(data))
        await self.write_memory(place, data)
        return place

    async def start(self, ring_log2=2):
        """Sets the ring up, as after a reset."""
        self.ring_log2, self.tail = ring_log2, 0
        self.ring = self.ring or self.allocate(self.abi.layout["command_stride"] << ring_log2)
        await self.write("RING_BASE_LO", self.ring & 0xFFFFFFFF)
        await self.write("RING_BASE_HI", self.ring >> 32)
        await self.write("RING_LOG2", ring_log2)

    async def submit(self, descriptor):
        """Puts a command into the ring and rings the doorbell."""
        stride = self.abi.layout["command_stride"]
        await self.write_memory(self.ring + stride * (self.tail % (1 << self.ring_log2)), descriptor)
        self.tail = (self.tail + 1) & self.abi.registers["TAIL"]["mask"]
        await self.write("TAIL", self.tail)

    async def wait(self, polls=4000):
        """Until all commands are done; returns LAST_STATUS."""
        for _ in range(polls):
            if await self.read("DONE_COUNT") == self.tail:
                return await self.read("LAST_STATUS")
        raise AssertionError(f"command {self.tail} was not done after {polls} looks at DONE_COUNT")

    async def reset(self):
        await self.write("CONTROL", self.abi.bit("CONTROL", "reset"))

    async def counters(self):
        """All counters at one instant."""
        control = await self.read("CONTROL")
        await self.write("CONTROL", control | self.abi.bit("CONTROL", "freeze"))
        values = {}
        for name in self.abi.counters:
            low = await self.read(name + "_LO")
            values[name] = low | await self.read(name + "_HI") << 32
        await self.write("CONTROL", control)
        return values
