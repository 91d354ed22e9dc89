"""The emitted `board` under cocotbext-pcie's root complex: firmware, a driver's accesses, DMA both ways and MSI-X."""

import random
import struct

import cocotb
from cocotb.triggers import ClockCycles, First, Timer
from cocotbext.pcie.core import RootComplex

from bench import Bench
from endpoint import Card


@cocotb.test(timeout_time=8, timeout_unit="ms")
async def card(dut):
    """the function found and its BARs sized and placed by the model; identity by BAR0; DMA each way with MSI-X"""
    bench, rng = Bench(dut, 20), random.Random(20)
    abi, pci, dma = bench.abi, bench.abi.json["pci"], bench.abi.json["dma"]
    for pin in ("link_up", "hot_reset", "rx_vld", "rx_data", "rx_keep", "rx_sop", "rx_eop", "tx_rdy", "fc_inf", "fc_ph", "fc_pd", "fc_nph", "fc_npd", "fc_cplh", "fc_cpld", "m_axi_rid", "m_axi_rdata", "m_axi_rresp", "m_axi_rlast", "m_axi_bresp"):
        getattr(dut, pin).value = 0
    bench.storms([bench.slave])
    await bench.reset_pin()
    await ClockCycles(dut.clk, 4)
    rc = RootComplex()
    rc.log.setLevel("ERROR")
    end = Card(dut, pci["function"])
    rc.make_port().connect(end)
    await end.start()
    await rc.host_bridge.probe(timeout=20000)
    device = next(d for bus in rc.host_bridge.bus.children for d in bus.devices)
    want = pci["function"]
    assert (device.vendor_id, device.device_id) == (want["vendor_id"], want["device_id"])
    assert device.class_code == want["class_code"]
    for bar in pci["bars"].values():
        assert device.bar_size[bar["index"]] == bar["bytes"], bar
    await device.enable_device()
    await device.set_master()
    assert await device.alloc_irq_vectors(want["vectors"], want["vectors"]) == want["vectors"]
    registers, engine = (device.bar_window[pci["bars"][name]["index"]] for name in ("dma", "registers"))
    assert await engine.read_dword(abi.offset("MAGIC")) == abi.json["magic"]
    assert await engine.read_dword(abi.offset("FINGERPRINT_LO")) == int(abi.json["fingerprint"], 16) & 0xFFFFFFFF

    blocks = {b["name"]: b for b in dma["blocks"]}

    def register(block, name):
        return next(r for r in blocks[block]["registers"] if r["name"] == name)

    def at(block, name):
        return blocks[block]["base"] + register(block, name)["offset"]

    def bits(name, *fields):
        found = {f["name"]: f for f in register("H2C", name)["fields"]}
        return sum(1 << found[f]["lsb"] for f in fields)

    for name, block in blocks.items():
        assert await registers.read_dword(at(name, "IDENTIFIER")) == block["identifier"], name

    descriptor, words = dma["descriptor"], dma["descriptor"]["words"]
    size = 1500
    place, memory = rc.alloc_region(1 << 16)
    data = rng.randbytes(size)
    memory[0x1000 + 3 : 0x1000 + 3 + size] = data
    card_address = 0x2345
    done = bits("STATUS", "descriptor_stopped", "descriptor_completed")
    await registers.write_dword(at("IRQ", "CHANNEL_VECTORS"), 0x0100)
    await registers.write_dword(at("IRQ", "CHANNEL_MASK"), register("IRQ", "CHANNEL_MASK")["mask"])
    for vector, (name, source, target) in enumerate((("H2C", place + 0x1003, card_address), ("C2H", card_address, place + 0x4001))):
        values = {"control": descriptor["magic"] | descriptor["stop"] | descriptor["completed"], "length": size, "src_lo": source, "dst_lo": target}
        values |= {"src_hi": source >> 32, "dst_hi": target >> 32}
        raw = bytearray(descriptor["bytes"])
        for word, value in values.items():
            struct.pack_into("<I", raw, words[word], value & 0xFFFFFFFF)
        memory[0:len(raw)] = raw
        await registers.write_dword(at(f"{name} SGDMA", "FIRST_LO"), place & 0xFFFFFFFF)
        await registers.write_dword(at(f"{name} SGDMA", "FIRST_HI"), place >> 32)
        await registers.write_dword(at(name, "INTERRUPT_MASK"), done)
        event = device.msi_vectors[vector].event
        event.clear()
        await registers.write_dword(at(name, "CONTROL"), bits("CONTROL", "run") | done)
        await First(event.wait(), Timer(1, "ms"))
        assert event.is_set(), f"no MSI-X message of {name}"
        assert await registers.read_dword(at(name, "STATUS")) == done, f"{name} STATUS"
        assert await registers.read_dword(at(name, "COMPLETED_COUNT")) == 1
        await registers.write_dword(at(name, "CONTROL"), 0)
    assert bench.memory[card_address : card_address + size] == data, "host to card"
    assert memory[0x4001 : 0x4001 + size] == data, "card to host"
    assert memory[0x4000] == 0 and memory[0x4001 + size] == 0, "bytes beside the target"
    bench.figures["bytes"] = 2 * size
    bench.finish("card", card.__doc__ if hasattr(card, "__doc__") else "")
