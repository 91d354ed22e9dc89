"""Random layers: weights, inputs and the command that runs them, beside what docs/formats.md says must come out."""

import struct
from dataclasses import dataclass, field

import formats
from formats import Expert, Matrix, Router, Storage


@dataclass
class Job:
    """A command in card memory, and what it must leave there."""

    descriptor: bytes
    fields: dict
    result: formats.Result
    status: str
    outputs: list = field(default_factory=list)  # address, bytes

    @property
    def tokens(self):
        return self.fields["tokens"]


def storages(abi):
    """Every storage that the configuration has."""
    modes = abi.config["modes"]
    forms = ["int8"] + ["int4"] * modes["int4"] + ["fp4"] * modes["fp4"]
    sparsities = ["dense", "2:4", "1:4"] + ["4:8", "1:8"] * modes["octets"]
    plain = [Storage(form, sparsity) for form in forms for sparsity in sparsities]
    pairs = [Storage(s.form, s.sparsity, True) for s in plain if s.form != "int8" and formats.PASSES[s.sparsity] > 1]
    return plain + pairs * modes["pairs"]


def vectors(rng, tokens, d):
    """binary32 patterns: values around one, now and then a block far below, of zeros, or with subnormals."""
    out = []
    for _ in range(tokens):
        row = []
        for start in range(0, d, formats.BLOCK):
            spread = rng.choice([1, 1, 1, 2**-6, 2**-30, 0])
            for _ in range(min(formats.BLOCK, d - start)):
                value = struct.unpack("<I", struct.pack("<f", rng.gauss(0, 1) * spread))[0]
                row.append(rng.getrandbits(23) if rng.random() < 0.01 else value)
        out.append(row)
    return out


def _size(rng, m, most):
    return m * rng.randint(1, most // m)


def _lsb(rng, acc, lsb):
    """An exponent for y with which the largest value has some 24 bits; now and then so few that it saturates."""
    bits = max((abs(a) for a in acc), default=0).bit_length()
    return max(-200, min(200, lsb + bits - rng.choice([24, 24, 28, 40])))


async def moe(driver, rng, *, most=64, storage=None, function="silu", gated=True, source="router", rules=None, flags=(), x=None, sums=None, **sizes):
    """A Mixture-of-Experts layer. What is not given is drawn: x of at most 5 tokens and `most` wide, f, experts, topk, lsb_y."""
    abi = driver.abi
    storage, rules = storage or Storage(), rules or {}
    m = formats.KEPT[storage.sparsity][1]
    x = x or vectors(rng, rng.randint(1, min(5, abi.config["tokens_max"])), _size(rng, m, most))
    tokens, d = len(x), len(x[0])
    f = sizes.get("f") or _size(rng, m, most)
    groups = rules.get("groups", 1)
    experts = 1 if source == "all" else sizes.get("experts") or groups * rng.randint(2, max(2, 6 // groups))
    kept = experts // groups * rules.get("groups_kept", groups)
    topk = 1 if source == "all" else sizes.get("topk") or rng.randint(1, min(kept, 4))

    all_experts = [Expert.random(rng, d, f, storage, gated) for _ in range(experts)]
    router = routes = None
    if source == "router":
        router = Router.random(rng, experts, d, **rules)
    elif source == "host":
        empty = (abi.constants["no_expert"], 0)
        routes = [[(e, rng.getrandbits(rng.choice([16, 20]))) for e in rng.sample(range(experts), topk)] for _ in x]
        routes = [[empty if rng.random() < 0.2 else entry for entry in token] for token in routes]
    else:
        routes = [[(0, 65536)] for _ in x]
    probe, lsb = all_experts[0].run(formats.quantise(x[0])[0], function, lambda: None)
    lsb_y = sizes["lsb_y"] if "lsb_y" in sizes else _lsb(rng, probe, lsb)
    result = formats.moe_layer(
        x, router, routes, all_experts, function, topk, lsb_y, sums=sums, no_expert=abi.constants["no_expert"]
    )

    magic = abi.layout["image_magic"]
    images = [formats.expert_image(magic, e) for e in all_experts]
    stride = -(-len(images[0]) // driver.align) * driver.align
    routing = [f"source.{source}", f"score.{rules.get('score', 'softmax')}"]
    routing += [f"routing.{name}" for name in ("renormalise", "choice_bias", "group_sum2", "bias") if rules.get(name)]
    route_bytes = abi.layout["route_bytes"] * tokens
    fields = {
        "opcode": abi.code("opcode.moe_layer"),
        "flags": abi.code(*(f"flags.{name}" for name in flags)),
        "tag": rng.getrandbits(16),
        "tokens": tokens,
        "d": d,
        "f": f,
        "experts": experts,
        "topk": topk,
        "storage": abi.storage(storage),
        "lsb_y": lsb_y,
        "x_addr": await driver.store(formats.rows_image(x, "I")),
        "y_addr": driver.allocate(len(formats.rows_image(result.y, "i"))),
        "route_addr": driver.allocate(route_bytes),
        "done_addr": driver.allocate(abi.layout["beat_bytes"]),
        "router_addr": await driver.store(formats.router_image(magic, router)) if router else 0,
        "experts_addr": await driver.store(b"".join(i.ljust(stride, b"\0") for i in images)),
        "expert_stride": stride,
        "activation": abi.code(f"function.{function}", *["activation.ungated"] * (not gated)),
        "routing": abi.code(*routing),
        "groups": rules.get("groups", 0),
        "groups_kept": rules.get("groups_kept", 0),
        "route_scale": rules.get("route_scale", abi.constants["route_scale_one"]),
        "window_words": abi.config["slot_words"],
        "jitter": rules.get("jitter", 0),
    }
    if source == "host":
        await driver.write_memory(fields["route_addr"], formats.route_image(routes))
    outputs = []
    if "no_y" not in flags:
        outputs.append((fields["y_addr"], formats.rows_image(result.y, "i")))
    if source == "router":
        outputs.append((fields["route_addr"], formats.route_image(result.routes)))
    return _job(abi, fields, result, outputs)


async def dense(driver, rng, storage, most=64):
    """A dense layer of random size."""
    abi = driver.abi
    m = formats.KEPT[storage.sparsity][1]
    tokens, d = rng.randint(1, min(5, abi.config["tokens_max"])), _size(rng, m, most)
    f = _size(rng, m, most)
    matrix = Matrix.random(rng, f, d, storage, rng.randint(-18, -14))
    if storage.paired:
        matrix.pair_rows()
    x = vectors(rng, tokens, d)
    lsb_y = _lsb(rng, *formats.experts_linear(matrix, formats.quantise(x[0])[0]))
    result = formats.dense_layer(x, matrix, lsb_y)
    y = formats.rows_image(result.y, "i")
    fields = {
        "opcode": abi.code("opcode.linear"),
        "tag": rng.getrandbits(16),
        "tokens": tokens,
        "d": d,
        "f": f,
        "experts": 1,
        "topk": 1,
        "storage": abi.storage(storage),
        "lsb_y": lsb_y,
        "x_addr": await driver.store(formats.rows_image(x, "I")),
        "y_addr": driver.allocate(len(y)),
        "done_addr": driver.allocate(abi.layout["beat_bytes"]),
        "experts_addr": await driver.store(formats.linear_image(abi.layout["image_magic"], matrix)),
        "routing": abi.code("source.all"),
        "route_scale": abi.constants["route_scale_one"],
        "window_words": abi.config["slot_words"],
    }
    return _job(abi, fields, result, [(fields["y_addr"], y)])


def _job(abi, fields, result, outputs):
    return Job(abi.descriptor(**fields), fields, result, "NonFinite" if result.non_finite else "Ok", outputs)
