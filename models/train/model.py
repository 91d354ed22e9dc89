"""The Mixtral architecture in plain torch, arranged for training on one CPU core, and Muon.

Weights are kept in f32; matrix products run in bf16, everything else (norms, router, residual
stream, loss) in f32. Tokens are sorted by expert, so that each expert is three dense products.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


def config(vocab: int) -> dict:
    """The demo model's config.json, with the keys that transformers writes."""
    return {
        "architectures": ["MixtralForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "dtype": "bfloat16",
        "eos_token_id": 1,
        "head_dim": 32,
        "hidden_act": "silu",
        "hidden_size": 192,
        "initializer_range": 0.02,
        "intermediate_size": 256,
        "max_position_embeddings": 512,
        "model_type": "mixtral",
        "num_attention_heads": 6,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 5,
        "num_key_value_heads": 2,
        "num_local_experts": 8,
        "output_router_logits": False,
        "pad_token_id": 2,
        "rms_norm_eps": 1e-05,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "rope_theta": 10000.0,
        "router_aux_loss_coef": 0.05,
        "router_jitter_noise": 0.0,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "transformers_version": "5.23.0",
        "use_cache": True,
        "vocab_size": vocab,
    }


class Norm(nn.Module):
    """RMS norm in f32."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def linear(x, weight):
    """x W^T in x's type (bf16 in training, f32 in evaluation); the weight stays f32."""
    return F.linear(x, weight.to(x.dtype))


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions (halves rotated, as transformers)."""

    def __init__(self, c: dict):
        super().__init__()
        d, self.h = c["hidden_size"], c["head_dim"]
        self.heads, self.kv = c["num_attention_heads"], c["num_key_value_heads"]
        self.q_proj = nn.Parameter(torch.empty(self.heads * self.h, d))
        self.k_proj = nn.Parameter(torch.empty(self.kv * self.h, d))
        self.v_proj = nn.Parameter(torch.empty(self.kv * self.h, d))
        self.o_proj = nn.Parameter(torch.empty(d, self.heads * self.h))

    def forward(self, x, cos, sin, mask):
        b, t, _ = x.shape
        qkv = linear(x, torch.cat([self.q_proj, self.k_proj, self.v_proj]))
        qkv = qkv.view(b, t, self.heads + 2 * self.kv, self.h).transpose(1, 2)
        qk, v = qkv.split([self.heads + self.kv, self.kv], 1)
        lo, hi = qk.chunk(2, -1)
        qk = torch.cat([lo * cos - hi * sin, hi * cos + lo * sin], -1)
        q, k = qk.split([self.heads, self.kv], 1)
        # The query heads that share a key head are further rows of one product. Three times as
        # fast on a CPU, forward and backward, as torch's fused attention at these sizes.
        group = self.heads // self.kv
        q = q.reshape(b * self.kv, group * t, self.h)
        k, v = k.reshape(b * self.kv, t, self.h), v.reshape(b * self.kv, t, self.h)
        scores = torch.baddbmm(mask.repeat(group, 1)[None], q, k.mT, alpha=self.h**-0.5)
        y = torch.bmm(scores.softmax(-1), v).view(b, self.heads, t, self.h)
        return linear(y.transpose(1, 2).reshape(b, t, -1), self.o_proj)


class Spread(torch.autograd.Function):
    """Rows of x [N, d] copied to the k experts that each token chose: [k N, d], sorted by expert.
    `token` and `place` are inverse to one another, so the backward pass gathers, never scatters."""

    @staticmethod
    def forward(ctx, x, token, place):
        ctx.save_for_backward(place)
        return x.index_select(0, token)

    @staticmethod
    def backward(ctx, grad):
        (place,) = ctx.saved_tensors
        rows = grad.index_select(0, place.view(-1))
        return rows.view(*place.shape, -1).sum(1), None, None


class Collect(torch.autograd.Function):
    """The inverse: rows sorted by expert, back to [N, k, d]."""

    @staticmethod
    def forward(ctx, y, order, place):
        ctx.save_for_backward(order)
        return y.index_select(0, place.view(-1)).view(*place.shape, -1)

    @staticmethod
    def backward(ctx, grad):
        (order,) = ctx.saved_tensors
        return grad.reshape(-1, grad.shape[-1]).index_select(0, order), None, None


class Experts(torch.autograd.Function):
    """SwiGLU of each expert on its rows: w2 (silu(w1 x) * w3 x). w13: [E, 2 f, d], w2: [E, d, f]."""

    @staticmethod
    def forward(ctx, x, w13, w2, counts):
        w13, w2 = w13.to(x.dtype), w2.to(x.dtype)
        both = torch.empty(x.shape[0], w13.shape[1], dtype=x.dtype)
        y = torch.empty_like(x)
        for e, (rows, out) in enumerate(zip(x.split(counts), both.split(counts))):
            torch.mm(rows, w13[e].t(), out=out)
        gate, up = both.chunk(2, -1)
        hidden = F.silu(gate).mul_(up)
        for e, (h, out) in enumerate(zip(hidden.split(counts), y.split(counts))):
            torch.mm(h, w2[e].t(), out=out)
        ctx.save_for_backward(x, w13, w2, both, hidden)
        ctx.counts = counts
        return y

    @staticmethod
    def backward(ctx, grad):
        x, w13, w2, both, hidden = ctx.saved_tensors
        counts = ctx.counts
        d_hidden, dx = torch.empty_like(hidden), torch.empty_like(x)
        dw13, dw2 = torch.empty_like(w13), torch.empty_like(w2)
        grad = grad.contiguous()
        for e, (g, h, out) in enumerate(zip(grad.split(counts), hidden.split(counts),
                                            d_hidden.split(counts))):
            torch.mm(g, w2[e], out=out)
            torch.mm(g.t(), h, out=dw2[e])
        gate, up = both.chunk(2, -1)
        d_both = torch.cat([torch.ops.aten.silu_backward(d_hidden * up, gate),
                            d_hidden * F.silu(gate)], -1)
        for e, (db, rows, out) in enumerate(zip(d_both.split(counts), x.split(counts),
                                                dx.split(counts))):
            torch.mm(db, w13[e], out=out)
            torch.mm(db.t(), rows, out=dw13[e])
        return dx, dw13.float(), dw2.float(), None


class Moe(nn.Module):
    """Top-k of E experts, chosen by softmax of the router, the k weights normalised to sum 1."""

    def __init__(self, c: dict):
        super().__init__()
        d, f, self.e = c["hidden_size"], c["intermediate_size"], c["num_local_experts"]
        self.k = c["num_experts_per_tok"]
        self.gate = nn.Parameter(torch.empty(self.e, d))
        self.w13 = nn.Parameter(torch.empty(self.e, 2 * f, d))
        self.w2 = nn.Parameter(torch.empty(self.e, d, f))

    def forward(self, x, dtype):
        """x [N, d] f32 -> y [N, d] f32, the balance loss, the experts' shares."""
        probability = F.linear(x, self.gate).softmax(-1)
        weight, chosen = probability.topk(self.k, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        order = chosen.view(-1).argsort(stable=True)
        place = torch.empty_like(order)
        place[order] = torch.arange(order.numel())
        place = place.view(-1, self.k)
        counts = torch.bincount(chosen.view(-1), minlength=self.e)
        rows = Spread.apply(x.to(dtype), order // self.k, place)
        y = Collect.apply(Experts.apply(rows, self.w13, self.w2, counts.tolist()), order, place)
        share = counts.float() / counts.sum()
        # Switch Transformers, equation 4: 1 when both the choices and the probabilities are even.
        balance = self.e * (share * probability.mean(0)).sum()
        return (weight.unsqueeze(-1) * y.float()).sum(1), balance, share


def dropout(x, p: float):
    """Zeroes each element with probability p, to the nearest 1/256: one random byte decides, which
    takes a third of the time of torch's own."""
    cut = round(256 * p)
    if cut == 0:
        return x
    words = torch.randint(-(2**63), 2**63 - 1, (-(-x.numel() // 8),))
    keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= cut
    return x * keep.to(x.dtype).mul_(256 / (256 - cut))


class Layer(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.input_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = Attention(c)
        self.post_attention_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.moe = Moe(c)

    def forward(self, x, cos, sin, mask, dtype, drop):
        y = self.self_attn(self.input_layernorm(x).to(dtype), cos, sin, mask).float()
        x = x + dropout(y, drop)
        flat = self.post_attention_layernorm(x).flatten(0, 1)
        y, balance, share = self.moe(flat, dtype)
        return x + dropout(y.view_as(x), drop), balance, share


class Mixtral(nn.Module):
    """`forward` gives the mean cross-entropy in nats, the balance loss, and the experts' shares."""

    def __init__(self, c: dict):
        super().__init__()
        self.c = c
        self.embed = nn.Parameter(torch.empty(c["vocab_size"], c["hidden_size"]))
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])
        for name, p in self.named_parameters():
            if p.ndim > 1:
                std = 0.6 / math.sqrt(p.shape[-1])
                if name.endswith(("o_proj", "w2")):
                    std /= math.sqrt(2 * c["num_hidden_layers"])
                nn.init.normal_(p, std=0.04 if name == "embed" else std)
        h = c["head_dim"]
        frequency = c["rope_theta"] ** (-torch.arange(0, h, 2).float() / h)
        angle = torch.outer(torch.arange(c["max_position_embeddings"]).float(), frequency)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def logits(self, ids, dtype=torch.float32, drop=0.0):
        x = F.embedding(ids, self.embed)
        cos, sin = (a[: ids.shape[1]].to(dtype) for a in (self.cos, self.sin))
        t = ids.shape[1]
        mask = torch.full((t, t), -torch.inf, dtype=dtype).triu(1)
        balances, shares = [], []
        for layer in self.layers:
            x, balance, share = layer(x, cos, sin, mask, dtype, drop)
            balances.append(balance)
            shares.append(share)
        x = linear(self.norm(x).to(dtype), self.embed)
        return x, torch.stack(balances).mean(), torch.stack(shares)

    def forward(self, ids, targets, dtype=torch.bfloat16, drop=0.0):
        logits, balance, shares = self.logits(ids, dtype, drop)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        return loss, balance, shares

    def tensors(self) -> dict[str, torch.Tensor]:
        """The weights under the names that Mixtral checkpoints use on the model hubs."""
        out = {"model.embed_tokens.weight": self.embed, "model.norm.weight": self.norm.weight}
        for i, layer in enumerate(self.layers):
            at = f"model.layers.{i}."
            for norm in ("input_layernorm", "post_attention_layernorm"):
                out[f"{at}{norm}.weight"] = getattr(layer, norm).weight
            for proj in ("q_proj", "k_proj", "v_proj", "o_proj"):
                out[f"{at}self_attn.{proj}.weight"] = getattr(layer.self_attn, proj)
            out[f"{at}block_sparse_moe.gate.weight"] = layer.moe.gate
            for e in range(layer.moe.e):
                w1, w3 = layer.moe.w13[e].chunk(2)
                for name, w in (("w1", w1), ("w2", layer.moe.w2[e]), ("w3", w3)):
                    out[f"{at}block_sparse_moe.experts.{e}.{name}.weight"] = w
        return out


def orthogonal(g: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The nearest (semi-)orthogonal matrix to each of a batch, roughly, by Newton-Schulz in bf16
    (Keller Jordan's Muon, with its quintic coefficients)."""
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.mT if tall else x


class Muon:
    """Momentum, orthogonalised: for every matrix inside the network. Others get AdamW."""

    def __init__(self, named, momentum=0.95, decay=0.1):
        self.params, self.shapes = [], []
        for name, p in named:
            # w1 and w3 are stored as one matrix but are two.
            rows = p.shape[-2] // 2 if name.endswith("w13") else p.shape[-2]
            self.params.append(p)
            self.shapes.append((-1, rows, p.shape[-1]))
        self.momentum, self.decay = momentum, decay
        self.buffers = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, lr: float):
        for p, m, shape in zip(self.params, self.buffers, self.shapes):
            m.lerp_(p.grad, 1 - self.momentum)
            update = orthogonal(p.grad.lerp(m, self.momentum).view(shape))
            scale = max(1.0, update.shape[-2] / update.shape[-1]) ** 0.5
            p.mul_(1 - lr * self.decay).add_(update.float().view_as(p), alpha=-lr * scale)
