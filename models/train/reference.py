#!/usr/bin/env python3
"""Writes what `transformers` computes for the demo model, to check the host against it.

    python3 models/train/reference.py --model models/demo --text models/heldout.txt

`ref.safetensors` in the model's folder then holds, for <s> and the first tokens of the text:
input_ids i32 [T], logits f32 [T, V], per layer LL = 00, 01, ... router.LL.indices i32 [T, 2] and
router.LL.weights f32 [T, 2] by weight descending, and greedy i32 [N], the tokens that follow.
The weights are the stored bf16 ones; the arithmetic is f32, eager attention, no cache.
"""

import argparse
import pathlib

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import train


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("models/demo"))
    parser.add_argument("--text", type=pathlib.Path, default=pathlib.Path("models/heldout.txt"))
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--greedy", type=int, default=32)
    args = parser.parse_args()
    torch.set_num_threads(1)

    model, loading = AutoModelForCausalLM.from_pretrained(
        args.model, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    strays = {k: v for k, v in loading.items() if v}
    assert not strays, f"weights that do not fit the architecture: {strays}"
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    ids = tokenizer(args.text.read_text()[: 16 * args.tokens], return_tensors="pt").input_ids
    ids = ids[:, : args.tokens]
    assert ids[0, 0] == tokenizer.bos_token_id, "the tokenizer did not put <s> first"

    k = model.config.num_experts_per_tok
    with torch.no_grad():
        out = model(ids, output_router_logits=True, use_cache=False)
        tensors = {"input_ids": ids[0].int(), "logits": out.logits[0]}
        for layer, logits in enumerate(out.router_logits):
            weight, index = logits.float().softmax(-1).topk(k, -1)
            tensors[f"router.{layer:02}.indices"] = index.int()
            tensors[f"router.{layer:02}.weights"] = weight / weight.sum(-1, keepdim=True)
        whole = ids
        for _ in range(args.greedy):
            following = model(whole, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
            whole = torch.cat([whole, following], 1)
        tensors["greedy"] = whole[0, ids.shape[1] :].int()
        # The training code must agree, or its figures would be those of another model.
        ours = train.load(args.model)[0].eval().logits(ids)[0]
    difference = (ours - out.logits).abs().max() / out.logits.abs().max()
    assert difference < 1e-5, f"model.py and transformers differ by {difference:.2e}"
    save_file({n: t.contiguous() for n, t in tensors.items()}, args.model / "ref.safetensors")
    (args.model / "ref.safetensors").chmod(0o644)
    print(f"model.py and transformers differ by at most {difference:.2e} of the greatest logit\n"
          f"greedy: {tokenizer.decode(tensors['greedy'])!r}")


if __name__ == "__main__":
    main()
