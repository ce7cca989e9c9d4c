"""Holds an adapter that Cooperator trained against Hugging Face peft: the same base, the same text, the same logits.

Usage: check_adapter.py BASE ADAPTER LOGITS.safetensors

BASE and ADAPTER are what `kubectl coop pull NAME ADAPTER --base` fetched (BASE is ADAPTER/base); LOGITS is what the example
`logits` of cooperator-models made of them. Prints both differences; ends with 1 where one is over the bound.
"""

import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

BOUND = 1e-3  # nats, of any logit of any position


def logits(model, tokens):
    with torch.no_grad():
        return model(tokens.unsqueeze(0)).logits[0].float()


def report(name, found, expected):
    difference = (found - expected).abs().max().item()
    verdict = "ok" if difference <= BOUND else "TOO LARGE"
    print(f"{name}: {tuple(expected.shape)} logits, largest difference {difference:.2e} (bound {BOUND:.0e}): {verdict}")
    return difference <= BOUND


def main(base, adapter, file):
    ours = load_file(file)
    tokens = ours["tokens"].long()
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager").eval()
    plain = report("base", ours["base"], logits(model, tokens))
    adapted = PeftModel.from_pretrained(model, adapter).eval()
    both = report("adapted", ours["logits"], logits(adapted, tokens))
    moved = (ours["logits"] - ours["base"]).abs().max().item()
    print(f"the adapter moves a logit by up to {moved:.2f}")
    if moved < 0.1:
        sys.exit("the adapter does next to nothing: this compares nothing")
    sys.exit(0 if plain and both else 1)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
