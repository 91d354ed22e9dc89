#!/usr/bin/env python3
"""Makes the demo model, from nothing: text, tokenizer, training on one CPU core, export, figures.

    python3 models/train/train.py --minutes 100 --out models/demo

`--minutes` sets the schedule by the clock: the learning rate reaches zero when the time is over,
however fast the machine is. `--steps` does the same by count and repeats exactly on the same kind
of machine. `--resume` continues from the last checkpoint in the work folder, `--eval-only` only
measures an exported model.
"""

import argparse
import ctypes
import json
import math
import pathlib
import time

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import text
from model import Mixtral, Muon, config

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
VOCAB = 2048
BATCH_TOKENS = 4096
MUON_LR, ADAM_LR = 0.02, 0.004
SHORT, LONG = 256, 512  # tokens in a window: the first 60 % of the run, and the rest


def keep_freed_memory():
    """Asks glibc to keep freed blocks: giving large ones back to the kernel after every operation
    costs a fifth of the time."""
    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
    libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def make_tokenizer(train_text: str) -> Tokenizer:
    """Byte-level BPE. <s> = 0, </s> = 1, <pad> = 2; encoding puts <s> before the text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([train_text], trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=[BOS, EOS, PAD], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, 0)])
    return tokenizer


def encode(tokenizer: Tokenizer, string: str) -> torch.Tensor:
    return torch.tensor(tokenizer.encode(string, add_special_tokens=False).ids)


def windows(ids: torch.Tensor, starts, context: int):
    """Inputs and targets: every window is <s> and `context` tokens, each predicted once."""
    target = torch.stack([ids[s : s + context] for s in starts])
    return torch.cat([torch.zeros(len(target), 1, dtype=ids.dtype), target[:, :-1]], 1), target


def batches(ids: torch.Tensor, generator: torch.Generator):
    """For ever: epochs of windows at a random offset, in random order. `send` sets the context."""
    context = yield
    while True:
        offset = torch.randint(0, context, (), generator=generator).item()
        starts = torch.arange(offset, len(ids) - context, context)
        starts = starts[torch.randperm(len(starts), generator=generator)]
        rows = BATCH_TOKENS // context
        for i in range(0, len(starts) - rows + 1, rows):
            asked = yield windows(ids, starts[i : i + rows].tolist(), context)
            if asked != context:
                context = asked
                break


@torch.no_grad()
def evaluate(model: Mixtral, ids: torch.Tensor, n_bytes: int, context=LONG, dtype=torch.float32):
    """Bits per byte, and per layer the entropy of the experts' shares over its maximum.

    The text is cut into consecutive windows of `context` tokens (the last one shorter); each is run
    on its own, after <s>; so every token of the text is predicted exactly once, from <s> and the
    tokens before it in its window. Bits per byte = sum of -log2 p(token) / bytes of the text.
    """
    model.eval()
    nats, share, seen = 0.0, 0.0, 0
    for start in range(0, len(ids), context):
        n = min(context, len(ids) - start)
        inputs, targets = windows(ids, [start], n)
        loss, _, s = model(inputs, targets, dtype)
        nats, share, seen = nats + loss.item() * n, share + s * n, seen + n
    model.train()
    share = share / seen
    entropy = -(share * share.clamp_min(1e-9).log()).sum(-1) / math.log(share.shape[-1])
    return nats / math.log(2) / n_bytes, entropy.tolist(), share.tolist()


def rate(progress: float) -> float:
    """Share of the peak learning rate: 2 % warm-up, level to 30 %, then straight to zero."""
    return min(progress / 0.02 + 0.01, 1.0, max(0.0, (1.0 - progress) / 0.7))


def train(args, model, ids, validation, validation_bytes):
    inner = {n: p for n, p in model.named_parameters()
             if p.ndim > 1 and n != "embed" and not n.endswith("gate")}
    others = [p for n, p in model.named_parameters() if n not in inner]
    muon = Muon(inner.items())
    adam = torch.optim.AdamW(others, lr=ADAM_LR, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0)
    step, spent, curve = 0, 0.0, []
    checkpoint = args.work / "checkpoint.pt"
    if args.resume:
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        adam.load_state_dict(state["adam"])
        muon.buffers = state["muon"]
        step, spent, curve = state["step"], state["spent"], state["curve"]
    source = batches(ids, torch.Generator().manual_seed(args.seed + step))
    next(source)
    began, cpu_began = time.monotonic() - spent, time.process_time()
    smooth, last_saved = None, time.monotonic()
    while True:
        spent = time.monotonic() - began
        progress = step / args.steps if args.steps else spent / (60 * args.minutes)
        if progress >= 1:
            break
        inputs, targets = source.send(SHORT if progress < 0.6 else LONG)
        loss, balance, _ = model(inputs, targets, drop=args.dropout)
        (loss + model.c["router_aux_loss_coef"] * balance).backward()
        muon.step(MUON_LR * rate(progress))
        adam.param_groups[0]["lr"] = ADAM_LR * rate(progress)
        adam.step()
        model.zero_grad(set_to_none=True)
        smooth = loss.item() if smooth is None else 0.98 * smooth + 0.02 * loss.item()
        step += 1
        if step % args.every == 0:
            bits, entropy, _ = evaluate(model, validation, validation_bytes, dtype=torch.bfloat16)
            curve.append({"step": step, "tokens": step * BATCH_TOKENS, "minutes": spent / 60,
                          "train_nats": smooth, "validation_bits_per_byte": bits})
            print(f"step {step} {spent / 60:.1f} min, {time.process_time() - cpu_began:.0f} s CPU: "
                  f"train {smooth:.3f} nats/token, validation {bits:.4f} bits/byte, "
                  f"least entropy {min(entropy):.4f}, balance {balance:.4f}", flush=True)
        if time.monotonic() - last_saved > 600:
            torch.save({"model": model.state_dict(), "adam": adam.state_dict(), "step": step,
                        "muon": muon.buffers, "spent": spent, "curve": curve}, checkpoint)
            last_saved = time.monotonic()
    return {"steps": step, "tokens": step * BATCH_TOKENS, "minutes": spent / 60,
            "cpu_minutes": (time.process_time() - cpu_began) / 60, "curve": curve}


def export(out: pathlib.Path, model: Mixtral, tokenizer: Tokenizer):
    """Writes a directory that `transformers` and the host read."""
    out.mkdir(parents=True, exist_ok=True)
    tensors = {n: t.detach().bfloat16().contiguous().clone() for n, t in model.tensors().items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)  # save_file makes it private
    tokenizer.save(str(out / "tokenizer.json"))
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    documents = {
        "config.json": model.c,
        "generation_config.json": {**ids, "do_sample": True, "temperature": 0.7, "top_k": 40,
                                   "top_p": 0.95, "transformers_version": "5.23.0"},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS,
            "pad_token": PAD, "model_max_length": model.c["max_position_embeddings"],
            "clean_up_tokenization_spaces": False},
    }
    for name, document in documents.items():
        (out / name).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def load(directory: pathlib.Path) -> tuple[Mixtral, Tokenizer]:
    """The exported model, in f32."""
    model = Mixtral(json.loads((directory / "config.json").read_text()))
    stored = load_file(directory / "model.safetensors")
    with torch.no_grad():
        for name, tensor in model.tensors().items():
            tensor.copy_(stored[name])
    return model, Tokenizer.from_file(str(directory / "tokenizer.json"))


@torch.no_grad()
def sample(model: Mixtral, tokenizer: Tokenizer, prompt: str, n: int, seed: int) -> str:
    """Text at temperature 0.7, top-k 40."""
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    ids = tokenizer.encode(prompt).ids
    for _ in range(n):
        logits = model.logits(torch.tensor([ids[-model.c["max_position_embeddings"] :]]))[0][0, -1]
        value, index = (logits / 0.7).topk(40)
        ids.append(index[torch.multinomial(value.softmax(-1), 1, generator=generator)].item())
    return tokenizer.decode(ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("models/demo"))
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("target/demo-train"))
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--every", type=int, default=100, help="steps between validations")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--eval-only", action="store_true")
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    report = {}
    if not args.eval_only:
        works = text.corpus(args.work)
        for name, parts in works.items():
            print(name, {p: sum(len(c.encode()) for c in chunks) for p, chunks in parts.items()})
        train_text, validation_text = text.joined(works, "train"), text.joined(works, "validation")
        tokenizer = make_tokenizer(train_text)
        ids, validation = encode(tokenizer, train_text), encode(tokenizer, validation_text)
        model = Mixtral(config(VOCAB))
        print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(ids)} tokens, "
              f"{len(train_text.encode()) / len(ids):.3f} bytes per token", flush=True)
        report |= train(args, model, ids, validation, len(validation_text.encode()))
        export(args.out, model, tokenizer)
        (args.out.parent / "heldout.txt").write_text(text.joined(works, "heldout"))
        model, tokenizer = load(args.out)
        for name, parts in works.items():
            part = "\n\n".join(parts["heldout"])
            report[f"bits_per_byte_{name}"] = evaluate(model, encode(tokenizer, part),
                                                       len(part.encode()))[0]
    model, tokenizer = load(args.out)
    held_out = (args.out.parent / "heldout.txt").read_text()
    bits, entropy, share = evaluate(model, encode(tokenizer, held_out), len(held_out.encode()))
    report |= {"heldout_bytes": len(held_out.encode()), "bits_per_byte": bits,
               "parameters": sum(p.numel() for p in model.parameters()),
               "router_entropy": entropy, "expert_share": share}
    report["samples"] = [sample(model, tokenizer, p, 120, args.seed) for p in (
        "In the beginning God created the heaven and the earth. And",
        "Blessed is the man", "hacker, n.\n\n", "PATIENCE, n.")]
    if not args.eval_only:
        (args.work / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({k: v for k, v in report.items() if k != "curve"}, indent=1))


if __name__ == "__main__":
    main()
