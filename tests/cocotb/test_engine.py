"""The emitted `engine`, driven from abi.json, against the model in formats.py. All 15 channels hold back at random, by each test's seed."""

import random
from dataclasses import replace

import cocotb
from cocotb.triggers import ClockCycles

import layers
from bench import EngineBench
from formats import Storage

COUNTED = ("COMPUTING", "MEMORY", "HOST", "SLOT", "DRAIN", "IDLE")


def test(seed):
    """A test with a bench and a source of random numbers; its figures are written down when it has passed."""

    def wrap(body):
        async def run(dut):
            bench = await EngineBench.begin(dut, seed)
            await body(bench, bench.driver, random.Random(seed))
            bench.finish(body.__name__, body.__doc__)

        run.__name__ = run.__qualname__ = body.__name__
        run.__doc__ = body.__doc__
        return cocotb.test(timeout_time=4, timeout_unit="ms")(run)

    return wrap


@test(1)
async def registers(bench, driver, rng):
    """identity, capacities, every register that can be written, offsets that no register has"""
    abi = bench.abi
    config = abi.config
    assert await driver.read("MAGIC") == abi.json["magic"]
    assert await driver.read("ABI_VERSION") == abi.json["abi_version"]
    fingerprint = int(abi.json["fingerprint"], 16)
    assert await driver.read("FINGERPRINT_LO") == fingerprint & 0xFFFFFFFF
    assert await driver.read("FINGERPRINT_HI") == fingerprint >> 32
    for register in ("SHAPE", "LIMITS", "WIDTHS", "MODES"):
        value = await driver.read(register)
        for field in abi.registers[register]["fields"]:
            name = field["name"]
            want = config["modes"][name] if name in config["modes"] else config[{"layers": "layers_max"}.get(name, name)]
            assert abi.field(register, name, value) == want, f"{register}.{name}"
    # TAIL is the doorbell and CONTROL's reset forgets all: they have tests of their own.
    for name, register in abi.registers.items():
        if register["access"] == "ro" or name == "TAIL":
            continue
        mask = register["mask"] & ~(abi.bit("CONTROL", "reset") if name == "CONTROL" else 0)
        before = await driver.read(name)
        if register["access"] == "rw" and not name.startswith("PREDICT"):
            assert before == register["reset"] or name.startswith("RING"), name
            for value in (mask, rng.getrandbits(32) & mask):
                await driver.write(name, value | ~mask & ~abi.bit("CONTROL", "reset") & 0xFFFFFFFF)
                assert await driver.read(name) == value, name
            await driver.write(name, before)
    size = 1 << abi.json["ports"]["s_axil"]["addr_bits"]
    known = {r["offset"] for r in abi.registers.values()}
    for offset in rng.sample([o for o in range(0, size, 4) if o not in known], 8):
        await bench.csr.write_dword(offset, rng.getrandbits(32))
        assert await bench.csr.read_dword(offset) == 0, f"offset {offset:#x}"
    # Bytes of card memory through the engine, at any address and of any length.
    for _ in range(8):
        data = rng.randbytes(rng.randint(1, 300))
        place = rng.randrange(config["memory_bytes"] - len(data))
        await driver.write_memory(place, data)
        assert await driver.read_memory(place, len(data)) == data
        assert bench.memory[place : place + len(data)] == data
        bench.figures["bytes"] += 2 * len(data)


@test(2)
async def gated_int8(bench, driver, rng):
    """gated experts, int8 dense, softmax router; counters; the interrupt"""
    for flags in ((), ("irq",), ()):
        before = await driver.counters()
        job = await layers.moe(driver, rng, flags=flags)
        await driver.write("CONTROL", bench.abi.bit("CONTROL", "irq_enable"))
        await bench.run(driver, job)
        pending = bench.abi.bit("IRQ_PENDING", "done") if flags else 0
        assert await driver.read("IRQ_PENDING") == pending
        assert int(bench.dut.irq.value) == bool(flags)
        await driver.write("IRQ_PENDING", pending)
        assert await driver.read("IRQ_PENDING") == 0
        after = await driver.counters()
        grown = {name: after[name] - before[name] for name in after}
        assert sum(after[name] for name in COUNTED) == after["CYCLES"]
        assert grown["MACS"] == job.result.macs
        assert grown["SATURATIONS"] == job.result.saturations
        assert grown["EXPERT_USES"] == job.result.uses
        written = bench.abi.layout["beat_bytes"] + sum(len(data) for _, data in job.outputs)
        assert grown["WRITTEN_BYTES"] == written


@test(3)
async def storages(bench, driver, rng):
    """every storage that the configuration has, with and without bias blocks"""
    for storage in layers.storages(bench.abi):
        storage = replace(storage, bias=rng.random() < 0.5)
        await bench.run(driver, await layers.moe(driver, rng, storage=storage, most=48))


@test(4)
async def activations(bench, driver, rng):
    """every activation, gated and un-gated experts"""
    for function in bench.abi.json["encodings"]["function"]:
        for gated in (True, False):
            if function == ("relu2" if gated else "clamped"):
                continue
            await bench.run(driver, await layers.moe(driver, rng, function=function, gated=gated, most=40))


RULES = [
    {"score": "softmax", "renormalise": True},
    {"score": "softmax", "choice_bias": True},
    {"score": "softmax", "groups": 2, "groups_kept": 1, "bias": True},
    {"score": "sigmoid", "choice_bias": True, "renormalise": True, "route_scale": 10240},
    {"score": "sigmoid", "groups": 4, "groups_kept": 2, "group_sum2": True},
    {"score": "identity", "choice_bias": True},
    {"score": "identity", "bias": True},
    {"score": "sparsemixer", "jitter": 1311},
]


@test(5)
async def routers(bench, driver, rng):
    """every score, with choice biases, groups, renormalisation, scale and bias"""
    for rules in RULES:
        topk = {"topk": 2} if rules["score"] == "sparsemixer" else {}
        await bench.run(driver, await layers.moe(driver, rng, rules=rules, most=40, **topk))


@test(6)
async def sources(bench, driver, rng):
    """routes written by the host, one expert for all, sums kept over two commands"""
    await bench.run(driver, await layers.moe(driver, rng, source="host", most=40))
    await bench.run(driver, await layers.moe(driver, rng, source="all", most=40))
    first = await layers.moe(driver, rng, source="host", most=40, flags=("no_y",))
    x = layers.vectors(rng, first.tokens, first.fields["d"])
    more = {"x": x, "lsb_y": first.fields["lsb_y"], "sums": first.result.sums, "flags": ("keep_sums",)}
    second = await layers.moe(driver, rng, source="all", most=40, **more)
    await bench.run(driver, first)
    await bench.run(driver, second)


@test(7)
async def dense_layers(bench, driver, rng):
    """plain dense layers"""
    for storage in (Storage(), Storage("int4", "2:4", bias=True), Storage("fp4", "dense", paired=True)):
        await bench.run(driver, await layers.dense(driver, rng, storage, most=96))


@test(8)
async def widest(bench, driver, rng):
    """one token of the largest d and f"""
    x = layers.vectors(rng, 1, bench.abi.config["d_max"])
    storage = Storage("int4", "2:4", paired=True)
    await bench.run(driver, await layers.moe(driver, rng, storage=storage, x=x, f=bench.abi.config["f_max"], experts=2, topk=1))


@test(9)
async def refused(bench, driver, rng):
    """bad commands end with their status, those that never begin with their record alone; the next one works"""
    abi = bench.abi
    good = await layers.moe(driver, rng, most=40)
    beyond = abi.config["memory_bytes"]
    damaged = await driver.store(bytes(64 * 64))
    bad = [
        ("BadOpcode", {"opcode": 0xEE}),
        ("BadOpcode", {"flags": 0x80}),
        ("BadMode", {"storage": 0xFF}),
        ("BadSize", {"tokens": 0}),
        ("BadSize", {"tokens": abi.config["tokens_max"] + 1}),
        ("BadSize", {"d": abi.config["d_max"] + 1}),
        ("BadSize", {"topk": good.fields["experts"] + 1}),
        ("BadAlign", {"x_addr": good.fields["x_addr"] + 4}),
        ("BadWindow", {"window_words": abi.config["slot_words"] + 1}),
        ("ReadError", {"x_addr": beyond}),
        ("BadImage", {"experts_addr": damaged}),
    ]
    for status, fields in bad:
        fields = {**good.fields, **fields}
        job = layers.Job(abi.descriptor(**fields), fields, good.result, status)
        if status in ("ReadError", "BadImage"):
            # What such a command has written besides its record has no meaning.
            await driver.submit(job.descriptor)
            assert await driver.wait() == abi.status[status], status
            bench.figures["commands"] += 1
        else:
            await bench.run(driver, job)
        await bench.run(driver, good)
    # The outputs of a command whose answers cannot be written.
    fields = {**good.fields, "y_addr": beyond}
    await driver.submit(abi.descriptor(**fields))
    assert await driver.wait() == abi.status["WriteError"]
    bench.figures["commands"] += 1
    await bench.run(driver, good)
    # Inputs that are no numbers: that is told, and the rest is computed.
    x = layers.vectors(rng, 2, 40)
    x[0][3], x[1][7] = 0x7F800000, 0xFFC00001
    await bench.run(driver, await layers.moe(driver, rng, x=x, most=40))


@test(10)
async def resets(bench, driver, rng):
    """CONTROL.reset and the pin, each in the middle of a command; the next one works"""
    job = await layers.moe(driver, rng, most=64)
    cycles = await bench.run(driver, job)
    for by_pin in (False, True) * 3:
        await driver.submit(job.descriptor)
        await ClockCycles(bench.dut.clk, rng.randrange(cycles // 2))
        assert await driver.read("DONE_COUNT") == driver.tail - 1, "the reset comes too late to be in the middle"
        if by_pin:
            await bench.reset_pin()
        else:
            await driver.reset()
            while bench.abi.field("STATE", "busy", await driver.read("STATE")):
                pass
        assert await driver.read("DONE_COUNT") == 0
        await driver.start()
        await bench.run(driver, job)


@test(11)
async def prefetch(bench, driver, rng):
    """guesses, good and bad, by the descriptor's hints: bytes are prefetched, and no bit of a result changes"""
    jobs = [await layers.moe(driver, rng, most=40, experts=4, topk=2) for _ in range(2)]
    guesses = rng.sample(range(4), 2)
    jobs = [
        replace(job, fields=fields, descriptor=bench.abi.descriptor(**fields))
        for job, other in zip(jobs, reversed(jobs))
        for fields in [
            {
                **job.fields,
                "predict": bench.abi.code("predict.hints"),
                "guesses": min(len(guesses), bench.abi.config["slots"]),
                "hints": int.from_bytes(bytes(guesses), "little"),
                "next_addr": other.fields["experts_addr"],
            }
        ]
    ]
    for job in jobs + jobs:
        await bench.run(driver, job)
    assert (await driver.counters())["PREFETCH_BYTES"] > 0
