"""The engine's arithmetic and its layout of card memory, in plain integers.

Written from docs/formats.md, section by section, and from nothing else: it shares no line with the model in Rust (`hdl/golden`) and no number
with the RTL. Every value is an exact Python integer, so nothing can overflow unnoticed.
"""

import math
import struct
from dataclasses import dataclass, field

BLOCK = 32
LANES = 8
MULTIPLIERS = 8
F32_BIAS = 1 << 24  # one in Q.24


def rne(value, shift):
    """value / 2^shift, rounded to the nearest integer, ties to even."""
    if shift <= 0:
        return value << -shift
    quotient, half = value >> shift, 1 << (shift - 1)
    rest = value - (quotient << shift)
    return quotient + (rest > half or (rest == half and quotient & 1))


def limit(value, bound, count=None):
    """value within -bound..bound; `count` learns of it when that changes the value."""
    if -bound <= value <= bound:
        return value
    if count:
        count()
    return bound if value > 0 else -bound


# ---- Section 1: input vectors ----------------------------------------------------------------------------------------------------------


@dataclass
class Block:
    """32 activations of one token, by all the names that section 1 has for them."""

    exponent: int
    q15: list

    @property
    def q8(self):
        return [limit(rne(q, 7), 127) for q in self.q15]

    @property
    def hi(self):
        return [(q + 128) >> 8 for q in self.q15]

    @property
    def lo(self):
        return [q - 256 * hi for q, hi in zip(self.q15, self.hi)]


#: The bias block's 32 ones: q8 = 64, hi = 32, lo = 0 at the exponent of one.
ONES = Block(127, [32 * 256] * BLOCK)


def quantise(bits):
    """One token's binary32 patterns to its blocks; also whether it holds an infinity or a NaN."""
    blocks, non_finite = [], False
    for start in range(0, len(bits), BLOCK):
        parts = []
        for word in bits[start : start + BLOCK]:
            sign, b, c = word >> 31, word >> 23 & 255, word & 0x7FFFFF
            non_finite |= b == 255
            counts = 0 < b < 255
            parts.append((-1 if sign else 1, b, (1 << 23) + c) if counts else (1, 0, 0))
        top = max(b for _, b, _ in parts)
        q15 = [sign * rne(m, 10 + top - b) for sign, b, m in parts]
        blocks.append(Block(top, q15 + [0] * (BLOCK - len(q15))))
    return blocks, non_finite


# ---- Section 2: weights ----------------------------------------------------------------------------------------------------------------

FP4 = [0, 1, 2, 3, 4, 6, 8, 12]
BITS = {"int8": 8, "int4": 4, "fp4": 4}
KEPT = {"dense": (1, 1), "4:8": (4, 8), "2:4": (2, 4), "1:4": (1, 4), "1:8": (1, 8)}
PASSES = {"dense": 4, "2:4": 2, "1:4": 1, "4:8": 2, "1:8": 1}


def weight(code, form):
    """The integer q that a stored code means."""
    if form == "fp4":
        return -FP4[code & 7] if code & 8 else FP4[code & 7]
    bits = BITS[form]
    return code - (1 << bits) if code >> (bits - 1) else code


def scale(pattern):
    """Mantissa and exponent of a binary16 pattern; 31 is a plain exponent."""
    e5, c = pattern >> 10 & 31, pattern & 1023
    m, e = (c, 1) if e5 == 0 else (1024 + c, e5)
    return (-m if pattern >> 15 else m), e


@dataclass(frozen=True)
class Storage:
    form: str = "int8"
    sparsity: str = "dense"
    paired: bool = False
    bias: bool = False

    @property
    def rows(self):
        """Rows of a lane."""
        return 2 if self.paired else 1


@dataclass
class Matrix:
    """Codes, positions and scales as stored, by row and block, the bias block last.

    `codes[row][block]` are the kept values in order of their inputs, `places[row][block]` each one's place within its M inputs."""

    inputs: int
    storage: Storage
    w_exp: int
    codes: list = field(default_factory=list)
    places: list = field(default_factory=list)
    scales: list = field(default_factory=list)

    @classmethod
    def random(cls, rng, rows, inputs, storage, w_exp):
        """Random weights of any value that the storage has."""
        matrix = cls(inputs, storage, w_exp)
        n, m = KEPT[storage.sparsity]
        blocks = -(-inputs // BLOCK)
        for _ in range(rows):
            codes, places, scales = [], [], []
            for block in range(blocks + storage.bias):
                # The bias block is full; of the last block only the groups that have inputs.
                used = BLOCK if block == blocks else min(BLOCK, inputs - block * BLOCK)
                code = [rng.getrandbits(BITS[storage.form]) for _ in range(used // m * n)]
                codes.append(code + [0] * (BLOCK // m * n - len(code)))
                places.append([p for _ in range(BLOCK // m) for p in sorted(rng.sample(range(m), n))])
                # A block of zeros now and then: the engine may skip it.
                zero = rng.random() < 0.05
                scales.append(0 if zero else rng.getrandbits(1) << 15 | rng.randint(18, 30) << 10 | rng.getrandbits(10))
            matrix.codes.append(codes)
            matrix.places.append(places)
            matrix.scales.append(scales)
        return matrix

    def pair_rows(self):
        """One matrix, paired: the two rows of a lane have the same positions."""
        for row in range(len(self.places)):
            if row % (2 * LANES) >= LANES:
                self.places[row] = self.places[row - LANES]

    @property
    def rows(self):
        return len(self.codes)

    @property
    def structural(self):
        """Weights that are present, without filling and bias."""
        n, m = KEPT[self.storage.sparsity]
        return self.rows * self.inputs * n // m

    def dot(self, row, block, x):
        """The exact integer S of section 3."""
        n, m = KEPT[self.storage.sparsity]
        places = self.places[row][block]
        return sum(
            weight(code, self.storage.form) * x[k // n * m + places[k]] for k, code in enumerate(self.codes[row][block])
        )


# ---- Section 3: linear -----------------------------------------------------------------------------------------------------------------


def top_exponent(blocks):
    return max(b.exponent for b in blocks)


def with_bias(blocks, storage):
    return blocks + [ONES] if storage.bias else blocks


def linear(matrix, blocks, vectors):
    """acc of every row. `vectors` are the blocks' integers (`q8`, or a limb of the router), `blocks` have the exponents."""
    top = top_exponent(blocks)
    out = []
    for row in range(matrix.rows):
        acc = 0
        for n, (block, x) in enumerate(zip(blocks, vectors, strict=True)):
            m, e = scale(matrix.scales[row][n])
            distance = max(0, 30 - e + top - block.exponent)
            acc += rne(matrix.dot(row, n, x) * m, distance + 4)
        assert abs(acc) < 1 << 35, "docs/formats.md, section 3: 36 bits"
        out.append(acc)
    return out


def experts_linear(matrix, blocks):
    """acc of every row and the exponent of its LSB, int8 activations."""
    blocks = with_bias(blocks, matrix.storage)
    return linear(matrix, blocks, [b.q8 for b in blocks]), top_exponent(blocks) - 129 + matrix.w_exp


# ---- Section 4: router -----------------------------------------------------------------------------------------------------------------

LARGEST = (1 << 35) - 1


def fix(value, exponent, count=None):
    """value * 2^exponent as Q12.24."""
    return limit(rne(value, -(exponent + 24)), LARGEST, count)


EXP = [round(2**24 * 2 ** (-i / 256)) for i in range(257)]
SIGMOID = [round(2**24 / (1 + math.exp(-i / 128))) for i in range(2049)]


def exp(t):
    short = min(rne(t, 4), (1 << 26) - 1)
    u = rne(short * 94548, 16)
    n, i, r = u >> 20, u >> 12 & 255, u & 4095
    return rne(EXP[i] - (((EXP[i] - EXP[i + 1]) * r + 2048) >> 12), n)


def sigmoid(logit):
    a = abs(logit)
    i, r = a >> 17, a & ((1 << 17) - 1)
    g = SIGMOID[i] + (((SIGMOID[i + 1] - SIGMOID[i]) * r + (1 << 16)) >> 17) if i < 2048 else SIGMOID[2048]
    return g if logit >= 0 else (1 << 24) - g


def reciprocal(total):
    """n and R of section 4: total * 2^n in 2^24..2^25, R = floor(2^52 / (total * 2^n))."""
    n = 25 - total.bit_length()
    return n, (1 << (52 - n)) // total


def normal(value, total):
    if total == 0:
        return 0
    n, r = reciprocal(total)
    return min(65536, rne(value * r, 36 - n))


@dataclass
class Router:
    hi: Matrix  # E rows
    lo: Matrix
    biases: list  # choice biases, or empty
    score: str = "softmax"
    renormalise: bool = False
    group_sum2: bool = False
    groups: int = 1
    groups_kept: int = 1
    route_scale: int = 4096
    jitter: int = 0

    @classmethod
    def random(cls, rng, experts, inputs, bias=False, choice_bias=False, **rules):
        storage = Storage(bias=bias)
        hi = Matrix.random(rng, experts, inputs, storage, rng.randint(-24, -20))
        lo = Matrix(inputs, storage, hi.w_exp, [], hi.places, hi.scales)
        for row in hi.codes:
            low_row = []
            for block in range(len(row)):
                used = BLOCK if block * BLOCK >= inputs else min(BLOCK, inputs - block * BLOCK)
                q15 = [rng.randint(-16384, 16384) for _ in range(used)] + [0] * (BLOCK - used)
                # No writer makes lo = -128: it takes the next larger value.
                q15 = [q + ((q + 128) % 256 == 0) for q in q15]
                limbs = Block(0, q15)
                row[block] = [q & 255 for q in limbs.hi]
                low_row.append([q & 255 for q in limbs.lo])
            lo.codes.append(low_row)
        biases = [rng.randint(-(1 << 23), 1 << 23) for _ in range(experts)] if choice_bias else []
        return cls(hi, lo, biases, **rules)

    def logits(self, blocks):
        """Q12.24."""
        blocks = with_bias(blocks, self.hi.storage)
        his, los = [b.hi for b in blocks], [b.lo for b in blocks]
        hh, hl = linear(self.hi, blocks, his), linear(self.hi, blocks, los)
        lh, ll = linear(self.lo, blocks, his), linear(self.lo, blocks, los)
        exponent = top_exponent(blocks) - 136 + self.hi.w_exp
        return [fix((a << 16) + ((b + c) << 8) + d, exponent) for a, b, c, d in zip(hh, hl, lh, ll)]

    def choose(self, blocks, k):
        """k pairs of expert and weight (Q4.16), by falling key."""
        logits = self.logits(blocks)
        experts = range(len(logits))
        if self.score == "sparsemixer":
            chosen, weights = self._sparsemixer(logits)
        else:
            top = max(logits)
            if self.score == "softmax":
                values = [exp(top - l) for l in logits]
                keys = logits
                if self.biases or self.groups > 1:
                    n, r = reciprocal(sum(values))
                    keys = [rne(p * r, 28 - n) for p in values]
            elif self.score == "sigmoid":
                keys = values = [sigmoid(l) for l in logits]
            else:
                keys = logits
            if self.biases:
                keys = [key + b for key, b in zip(keys, self.biases)]
            kept = self._groups(keys)
            chosen = sorted((e for e in experts if e in kept), key=lambda e: (-keys[e], e))[:k]
            if self.score == "identity":
                top = max(logits[e] for e in chosen)
                values = [exp(max(top - l, 0)) for l in logits]
            total = sum(values[e] for e in chosen)
            if self.score == "softmax" and not self.renormalise:
                total = sum(values)
            if self.score == "sigmoid" and not self.renormalise:
                weights = [rne(values[e], 8) for e in chosen]
            else:
                weights = [normal(values[e], total) for e in chosen]
        return [(e, min(rne(w * self.route_scale, 12), (1 << 20) - 1)) for e, w in zip(chosen, weights)]

    def _groups(self, keys):
        """The experts that may be chosen."""
        if self.groups <= 1:
            return set(range(len(keys)))
        size = len(keys) // self.groups
        members = [range(g * size, (g + 1) * size) for g in range(self.groups)]
        best = 2 if self.group_sum2 else 1
        scores = [sum(sorted((keys[e] for e in m), reverse=True)[:best]) for m in members]
        kept = sorted(range(self.groups), key=lambda g: (-scores[g], g))[: self.groups_kept]
        return {e for g in kept for e in members[g]}

    def _sparsemixer(self, logits):
        chosen, weights, left = [], [], list(range(len(logits)))
        for _ in range(2):
            first = max(left, key=lambda e: (logits[e], -e))
            top = logits[first]
            near = [e for e in left if (top - logits[e]) << 16 <= self.jitter * max(abs(logits[e]), top)]
            weights.append(normal(1 << 24, sum(exp(top - logits[e]) for e in near)))
            chosen.append(first)
            left.remove(first)
        return chosen, weights


# ---- Section 5: hidden vector ----------------------------------------------------------------------------------------------------------

CURVES = {
    "silu": lambda a: a / (1 + math.exp(a)),
    "gelu": lambda a: a / 2 * math.erfc(a / math.sqrt(2)),
    "gelu_tanh": lambda a: a / 2 * (1 - math.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))),
    "clamped": lambda a: a / (1 + math.exp(1.702 * a)),
}
DELTAS = {name: [round(2**24 * f(i / 64)) for i in range(1025)] for name, f in CURVES.items()}


def smooth(g, table):
    a = abs(g)
    i, r = a >> 18, a & ((1 << 18) - 1)
    delta = 0 if i >= 1024 else table[i] + (((table[i + 1] - table[i]) * r + (1 << 17)) >> 18)
    return max(g, 0) - delta


def short(value):
    """A sign, 17 bits of magnitude and the bits that were rounded away."""
    magnitude = abs(value)
    s = max(0, magnitude.bit_length() - 17)
    rounded = rne(magnitude, s)
    if rounded == 1 << 17:
        rounded, s = 1 << 16, s + 1
    return (-rounded if value < 0 else rounded), s


def binary32(value, exponent):
    """The pattern of value * 2^exponent, rounded to 24 bits of mantissa."""
    if value == 0:
        return 0
    magnitude = abs(value)
    s = magnitude.bit_length() - 24
    mantissa = rne(magnitude, s)
    if mantissa == 1 << 24:
        mantissa, s = 1 << 23, s + 1
    biased = s + exponent + 150
    assert 0 < biased < 255
    return (value < 0) << 31 | biased << 23 | mantissa & 0x7FFFFF


def activate(function, g, u):
    """The pattern of one hidden element; `u` is None for an un-gated expert."""
    one = 1 << 24
    if function == "clamped":
        a, b = smooth(min(g, 7 * one), DELTAS[function]), limit(u, 7 * one) + one
    elif function in DELTAS:
        a, b = smooth(g, DELTAS[function]), one if u is None else u
    else:
        a = max(g, 0)
        b = a if function == "relu2" else one if u is None else u
    (a, s), (b, t) = short(a), short(b)
    return binary32(a * b, s + t - 48)


@dataclass
class Expert:
    gate: Matrix  # of an un-gated expert its first matrix
    up: Matrix | None
    down: Matrix

    @classmethod
    def random(cls, rng, d, f, storage, gated):
        def matrix(rows, inputs):
            # So that hidden values are around one.
            return Matrix.random(rng, rows, inputs, storage, rng.randint(-18, -14) + 8 - BITS[storage.form])

        gate, up, down = matrix(f, d), matrix(f, d) if gated else None, matrix(d, f)
        if storage.paired:
            down.pair_rows()
            if gated:
                up.places = gate.places
            else:
                gate.pair_rows()
        return cls(gate, up, down)

    @property
    def matrices(self):
        return [m for m in (self.gate, self.up, self.down) if m is not None]

    def run(self, blocks, function, count):
        """acc of every output and the exponent of its LSB."""
        fixed = []
        for matrix in (self.gate, self.up):
            if matrix is None:
                fixed.append([None] * self.gate.rows)
            else:
                acc, lsb = experts_linear(matrix, blocks)
                fixed.append([fix(a, lsb, count) for a in acc])
        hidden = [activate(function, g, u) for g, u in zip(*fixed)]
        return experts_linear(self.down, quantise(hidden)[0])


# ---- Section 6: combine ----------------------------------------------------------------------------------------------------------------


def weigh(acc, w, lsb, lsb_y, count):
    """One expert's part of Y."""
    return limit(rne(acc * w, -(lsb - 16 - (lsb_y - 8))), (1 << 43) - 1, count)


def finish(total, count):
    """Y to int32."""
    y = rne(total, 8)
    if not -(1 << 31) <= y < 1 << 31:
        count()
        y = (1 << 31) - 1 if y > 0 else -(1 << 31)
    return y


# ---- Section 7: layout of card memory --------------------------------------------------------------------------------------------------


def record(lane_rows, storage, blocks):
    """The group record of 8 lanes, each a list of one or two (matrix, row) or None for filling."""
    n, m = KEPT[storage.sparsity]
    passes, bits = PASSES[storage.sparsity], BITS[storage.form]
    out = bytearray()
    for block in range(blocks):
        for second in range(storage.rows):
            for lane in lane_rows:
                source = lane[second]
                out += struct.pack("<H", 0 if source is None else source[0].scales[source[1]][block])

    def kept(j, p):
        """Index of the value that multiplier j takes in pass p, among the block's kept ones; None if it takes none."""
        if storage.sparsity == "dense":
            return 4 * j + p
        if storage.sparsity == "2:4":
            return 2 * j + p
        if storage.sparsity == "1:4":
            return j
        if storage.sparsity == "4:8":
            return 4 * (j >> 1) + 2 * p + (j & 1)
        return j >> 1 if j % 2 == 0 else None

    taken = [[k for j in range(MULTIPLIERS) if (k := kept(j, p)) is not None] for p in range(passes)]

    def words(width, per_pass):
        """Words of `width` bytes a lane, filled from bit 0 by what each pass has of each lane."""
        size = len(per_pass[0][0]) * per_pass[0][0][0][1] if per_pass else 0
        per_word = 8 * width // size
        data = bytearray()
        for start in range(0, len(per_pass), per_word):
            for lane in range(LANES):
                word = shift = 0
                for entries in per_pass[start : start + per_word]:
                    for value, entry_bits in entries[lane]:
                        word |= value << shift
                        shift += entry_bits
                data += word.to_bytes(width, "little")
        return data

    every = [(block, p) for block in range(blocks) for p in range(passes)]
    if storage.sparsity != "dense":
        place_bits = 2 if m == 4 else 4

        def places(lane, block, p):
            source = lane[0] or lane[-1]
            return [(source[0].places[source[1]][block][k] if source else 0, place_bits) for k in taken[p]]

        out += words(4, [[places(lane, block, p) for lane in lane_rows] for block, p in every])

    def values(lane, block, p):
        return [(source[0].codes[source[1]][block][k] if source else 0, bits) for source in lane for k in taken[p]]

    out += words(8, [[values(lane, block, p) for lane in lane_rows] for block, p in every])
    return bytes(out)


def section(matrices):
    """All group records of one matrix, or of gate and up side by side."""
    first = matrices[0]
    storage, rows, gated = first.storage, first.rows, len(matrices) == 2
    blocks = -(-first.inputs // BLOCK) + storage.bias
    per_group = LANES * storage.rows // len(matrices)

    def place(group, lane, second):
        if gated and storage.paired:
            matrix, row = matrices[second], 8 * group + lane
        elif gated:
            matrix, row = matrices[lane & 1], 4 * group + (lane >> 1)
        else:
            matrix, row = first, per_group * group + 8 * second + lane
        return (matrix, row) if row < rows else None

    out = b""
    for group in range(-(-rows // per_group)):
        lanes = [[place(group, lane, second) for second in range(storage.rows)] for lane in range(LANES)]
        out += record(lanes, storage, blocks)
    return out


def header(magic, a, b=0, c=0):
    return struct.pack("<hhhH8x", a, b, c, magic)


def expert_image(magic, expert):
    head = header(magic, expert.gate.w_exp, expert.up.w_exp if expert.up else 0, expert.down.w_exp)
    return head + section(expert.matrices[:-1]) + section([expert.down])


def router_image(magic, router):
    both = Matrix(router.hi.inputs, router.hi.storage, router.hi.w_exp)
    both.codes = router.hi.codes + router.lo.codes
    both.places = router.hi.places + router.lo.places
    both.scales = router.hi.scales + router.lo.scales
    biases = b"".join(struct.pack("<i", b) for b in router.biases)
    return header(magic, both.w_exp) + section([both]) + biases + bytes(-len(biases) % 16)


def linear_image(magic, matrix):
    return header(magic, matrix.w_exp) + section([matrix])


def rows_image(rows, form):
    """x or y: rows of whole beats."""
    out = b""
    for row in rows:
        data = struct.pack(f"<{len(row)}{form}", *row)
        out += data + bytes(-len(data) % 16)
    return out


def route_image(chosen):
    return b"".join(b"".join(struct.pack("<II", *entry) for entry in token).ljust(64, b"\0") for token in chosen)


# ---- A layer ---------------------------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    y: list
    routes: list
    macs: int
    saturations: int
    uses: int
    non_finite: bool
    sums: list


def moe_layer(x, router, routes, experts, function, topk, lsb_y, sums=None, no_expert=None):
    """x: per token its binary32 patterns. `routes` are the host's, or None for the router's; `sums` go on from the command before."""
    saturations = macs = 0

    def count():
        nonlocal saturations
        saturations += 1

    chosen, used, non_finite, totals, y = [], set(), False, [], []
    for token, bits in enumerate(x):
        blocks, bad = quantise(bits)
        non_finite |= bad
        if routes is None:
            entries = router.choose(blocks, topk)
            macs += 2 * 2 * router.hi.structural
        else:
            entries = [(e, min(w, (1 << 20) - 1)) for e, w in routes[token] if e != no_expert]
        chosen.append(entries)
        total = list(sums[token]) if sums else [0] * len(bits)
        for e, w in entries:
            used.add(e)
            acc, lsb = experts[e].run(blocks, function, count)
            macs += sum(m.structural for m in experts[e].matrices)
            total = [t + weigh(a, w, lsb, lsb_y, count) for t, a in zip(total, acc, strict=True)]
        totals.append(total)
        y.append([finish(t, count) for t in total])
    return Result(y, chosen, macs, saturations, len(used), non_finite, totals)


def dense_layer(x, matrix, lsb_y):
    """One matrix over all tokens."""
    saturations = 0

    def count():
        nonlocal saturations
        saturations += 1

    non_finite, totals, y = False, [], []
    for bits in x:
        blocks, bad = quantise(bits)
        non_finite |= bad
        acc, lsb = experts_linear(matrix, blocks)
        totals.append([weigh(a, 65536, lsb, lsb_y, count) for a in acc])
        y.append([finish(t, count) for t in totals[-1]])
    return Result(y, [], matrix.structural * len(x), saturations, 0, non_finite, totals)
