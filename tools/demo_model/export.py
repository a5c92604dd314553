"""Model <-> checkpoint files in the original "-PT" layout."""

import glob
import json
import os

import safetensors.torch
import torch

import config
import tokens

SHARD_BYTES = 15_000_000
RESAMPLER = {"fc1": "0", "fc2": "2", "ln": "3"}


def names(c):
    """(our parameter name, checkpoint name) of every tensor that is stored as it is."""
    out = [("embed.weight", "model.embed_tokens.weight"), ("norm.weight", "model.norm.weight"),
           ("vision.patch_embed.weight", "vision_model.patch_embed.proj.weight")]
    for part in ("weight", "bias"):
        out.append((f"vision.ln.{part}", f"vision_model.ln.{part}"))
        out.append((f"vision.mlp.{part}", f"model.resampler_model.mlp.{part}"))
        for ours, theirs in (("spatial", "spatial_linear"), ("temporal", "temporal_linear")):
            for layer, index in RESAMPLER.items():
                out.append((f"vision.{ours}.{layer}.{part}", f"model.resampler_model.{theirs}.{index}.{part}"))
        for b in range(c.vit_depth):
            for ours, theirs in (("norm1", "norm1"), ("norm2", "norm2"), ("qkv", "attn.qkv"), ("proj", "attn.proj"),
                                 ("fc1", "mlp.fc1"), ("fc2", "mlp.fc2")):
                out.append((f"vision.blocks.{b}.{ours}.{part}", f"vision_model.blocks.{b}.{theirs}.{part}"))
    out.append(("vision.after_norm.weight", "model.resampler_model.after_norm.weight"))
    for n in range(c.layers):
        ours, theirs = f"layers.{n}", f"model.layers.{n}"
        out.append((f"{ours}.input_norm.weight", f"{theirs}.input_layernorm.weight"))
        out.append((f"{ours}.post_norm.weight", f"{theirs}.post_attention_layernorm.weight"))
        out += [(f"{ours}.{m}.weight", f"{theirs}.self_attn.{m}_proj.weight") for m in "qkvo"]
        inner = ("mlp", "mlp") if n == 0 else ("shared", "mlp.shared_experts")
        out += [(f"{ours}.{inner[0]}.{m}.weight", f"{theirs}.{inner[1]}.{m}_proj.weight")
                for m in ("gate", "up", "down")]
    return out


def to_tensors(c, model):
    """-> {checkpoint name: tensor}; bf16 but for the routers and their biases."""
    state = model.state_dict()
    out = {theirs: state[ours].to(torch.bfloat16) for ours, theirs in names(c)}
    for n in range(1, c.layers):
        base = f"model.layers.{n}.mlp"
        for offset, (kind, suffix) in enumerate((("text", ""), ("vision", "_1"))):
            source = f"layers.{n}.{kind}"
            out[f"{base}.gate.weight{suffix}"] = state[f"{source}.router"].float().T.contiguous()
            for m in ("gate", "up", "down"):
                wide = state[f"{source}.wide.{m}.weight"].to(torch.bfloat16)
                for e, w in enumerate(wide.chunk(c.experts, 1 if m == "down" else 0)):
                    out[f"{base}.experts.{e + offset * c.experts}.{m}_proj.weight"] = w.contiguous()
        out[f"{base}.moe_statics.e_score_correction_bias"] = torch.stack(
            [state[f"layers.{n}.{kind}.bias"].float() for kind in ("text", "vision")])
    return {k: v.detach().cpu().contiguous() for k, v in out.items()}


def save(folder, c, model, tokenizer_folder):
    """Writes shards, index and config files (the tokenizer files must be there already)."""
    shards, size = [{}], 0
    tensors = to_tensors(c, model)
    for name, t in sorted(tensors.items()):
        n = t.numel() * t.element_size()
        if size + n > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = t
        size += n
    for old in glob.glob(os.path.join(folder, "model-*.safetensors")):
        os.remove(old)
    where, total = {}, 0
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        safetensors.torch.save_file(shard, os.path.join(folder, file), metadata={"format": "pt"})
        os.chmod(os.path.join(folder, file), 0o644)
        where.update({name: file for name in shard})
        total += sum(t.numel() * t.element_size() for t in shard.values())
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="ascii") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": where}, f, indent=0)
        f.write("\n")
    config.write_files(folder, c, tokens.Tokens(tokenizer_folder))


def load(folder, c, model):
    """Reads a checkpoint folder into the model."""
    tensors = {}
    for path in sorted(glob.glob(os.path.join(folder, "model-*.safetensors"))):
        tensors.update(safetensors.torch.load_file(path))
    state = {ours: tensors[theirs] for ours, theirs in names(c)}
    for n in range(1, c.layers):
        base = f"model.layers.{n}.mlp"
        bias = tensors[f"{base}.moe_statics.e_score_correction_bias"]
        for offset, (kind, suffix) in enumerate((("text", ""), ("vision", "_1"))):
            target = f"layers.{n}.{kind}"
            state[f"{target}.router"] = tensors[f"{base}.gate.weight{suffix}"].T
            state[f"{target}.bias"] = bias[offset]
            for m in ("gate", "up", "down"):
                parts = [tensors[f"{base}.experts.{e + offset * c.experts}.{m}_proj.weight"]
                         for e in range(c.experts)]
                state[f"{target}.wide.{m}.weight"] = torch.cat(parts, 1 if m == "down" else 0)
    model.load_state_dict(state)
