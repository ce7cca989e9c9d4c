"""Makes the numeric fixtures of cooperator-models: what transformers and PEFT compute for tiny random models.

Usage: make_fixtures.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 61
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RATES = [0.01, 0.02, 0.015]
WEIGHT_DECAY = 0.1
CLIP_NORM = 0.5

# name of the case -> (settings of the model, target modules)
CASES = {
    "tied": ({"tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}, TARGETS),
    "untied_llama3": (
        {
            "tie_word_embeddings": False,
            "head_dim": 12,  # not hidden_size / heads
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
        ["q_proj", "v_proj", "down_proj"],
    ),
}


def base_model(settings):
    """A random model whose activations are of order one."""
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=VOCABULARY,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=2,
        attn_implementation="eager",
        **settings,
    )
    model = LlamaForCausalLM(config).to(torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    return model


def step(model, optimizer, tokens, labels, rate):
    """One AdamW step; the loss before it and the norm of its gradient before clipping."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss = model(input_ids=tokens, labels=labels).loss
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], CLIP_NORM)
    optimizer.step()
    return loss.item(), norm.item()


def make(folder, settings, targets):
    """Writes one case."""
    torch.manual_seed(7)
    folder.mkdir(parents=True, exist_ok=True)
    model = base_model(settings)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)

    tokens = torch.randint(0, VOCABULARY, (2, 19))
    labels = tokens.clone()
    labels[0, :5] = -100  # a prompt that is not trained on
    expected = {}
    with torch.no_grad():
        base = model(input_ids=tokens, labels=labels)
    expected["logits.base"] = base.logits

    lora = LoraConfig(r=4, lora_alpha=6, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")
    model = get_peft_model(model, lora)
    with torch.no_grad():  # PEFT starts B at zero, which would hide the gradient of A
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)

    output = model(input_ids=tokens, labels=labels)
    expected["logits.adapted"] = output.logits.detach()
    output.loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            expected["gradient." + name.replace(".default", "")] = parameter.grad.clone()

    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATES[0], weight_decay=WEIGHT_DECAY, foreach=False)
    steps = [step(model, optimizer, tokens, labels, rate) for rate in RATES]
    for name, value in get_peft_model_state_dict(model).items():
        expected["trained." + name] = value.detach()

    save_file({name: value.contiguous() for name, value in expected.items()}, folder / "expected.safetensors")
    summary = {
        "tokens": tokens.tolist(),
        "labels": labels.tolist(),
        "lossBase": base.loss.item(),
        "lossAdapted": output.loss.item(),
        "rates": RATES,
        "weightDecay": WEIGHT_DECAY,
        "clipNorm": CLIP_NORM,
        "losses": [loss for loss, _ in steps],
        "norms": [norm for _, norm in steps],
    }
    (folder / "expected.json").write_text(json.dumps(summary) + "\n")


def main():
    root = Path(sys.argv[1])
    torch.set_num_threads(1)
    for name, (settings, targets) in CASES.items():
        make(root / name, settings, targets)
        print(name, sum(file.stat().st_size for file in (root / name).iterdir()), "bytes")


if __name__ == "__main__":
    main()
