#!/usr/bin/env python3
"""Writes small random ERNIE 4.5 (VL) checkpoints: every file of a real one, in any public layout.

    make_tiny_checkpoint.py --out DIR --geometry tiny-a --layout pt --dtype bf16 --seed 1

The weights come from an integer hash of (seed, tensor name, element), so the same seed gives the
same logical weights in every layout, on every machine. Needs numpy and sentencepiece only.

Layouts: `pt` (one tensor per projection, [out, in]), `hf` (transformers' in-library names, stacked
experts), `paddle` (fused projections, [in, out]). The geometries are in GEOMETRIES below.
"""

import argparse
import dataclasses
import json
import pathlib
import zlib

import numpy as np

import tiny_tokenizer

ID = tiny_tokenizer.SPECIAL_IDS
MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Shape of a model. Without experts it is dense, without `depth` it has no vision tower."""

    model_type: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    tied: bool
    experts: int = 0  # per modality
    top_k: int = 0
    expert_width: tuple = ()  # text, vision
    shared: int = 0  # shared experts
    first_moe: int = 0
    time_frequencies: int = 0  # rope frequencies turned by time; the others alternate height, width
    depth: int = 0
    embed: int = 0
    vision_heads: int = 0
    vision_intermediate: int = 0
    vocab: int = tiny_tokenizer.VOCAB_SIZE

    def is_moe(self, layer):
        return self.experts > 0 and layer >= self.first_moe


_VL = "ernie4_5_moe_vl"
GEOMETRIES = {
    "tiny-a": Geometry(_VL, 64, 3, 4, 2, 128, 160, True, 8, 3, (48, 24), 2, 1, 20, 2, 80, 1, 160),
    "tiny-b": Geometry(_VL, 96, 4, 3, 1, 64, 128, False, 12, 4, (32, 16), 0, 2, 10, 2, 80, 2, 192),
    "tiny-text": Geometry("ernie4_5", 64, 3, 4, 1, 32, 160, True),
    "tiny-moe-text": Geometry("ernie4_5_moe", 64, 3, 4, 2, 16, 160, True, 10, 3, (40,), 2, 1),
}


# ---------------------------------------------------------------------------- weights


def bell(seed, name, shape):
    """Nearly normal float32 values, mean 0 and deviation 1: the sum of eight 8-bit hash bytes."""
    count = int(np.prod(shape))
    start = np.uint64((zlib.crc32(name.encode()) << 32) ^ (seed * 0x9E3779B1))
    with np.errstate(over="ignore"):
        z = (np.arange(count, dtype=np.uint64) + start) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    total = z.view(np.uint8).reshape(count, 8).sum(axis=1, dtype=np.int64)
    return ((total - 1020) / 209.0).astype(np.float32).reshape(shape)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One tensor of the `pt` layout: base + scale * a bell-shaped value that `key` and the seed decide."""

    name: str
    shape: tuple
    key: str
    scale: float
    base: int = 0
    transposed: bool = False  # made as the turned `shape`

    def make(self, seed):
        shape = self.shape[::-1] if self.transposed else self.shape
        values = self.base + bell(seed, self.key, shape) * np.float32(self.scale)
        return values.T if self.transposed else values


def tensors_of(g):
    """All tensors under the names and shapes of the `pt` layout."""
    out = []

    def add(name, shape, scale, key=None, **more):
        out.append(Tensor(name, shape, key or name, scale, **more))

    def linear(name, rows, cols, gain=1.0, bias=False):
        add(name + ".weight", (rows, cols), gain / cols**0.5, name)
        if bias:
            add(name + ".bias", (rows,), 0.1)

    def norm(name, width, bias=False):
        add(name + ".weight", (width,), 0.1, name, base=1)
        if bias:
            add(name + ".bias", (width,), 0.05)

    def mlp(name, width):
        linear(name + ".gate_proj", width, g.hidden, 1.5)
        linear(name + ".up_proj", width, g.hidden, 1.5)
        linear(name + ".down_proj", g.hidden, width, 1.0)

    def moe(name):
        modalities = len(g.expert_width)
        for m, width in enumerate(g.expert_width):
            # Text-only checkpoints keep the router [experts, hidden], VL ones [hidden, experts].
            shape = (g.experts, g.hidden) if modalities == 1 else (g.hidden, g.experts)
            suffix = ".gate.weight" + (f"_{m}" if m else "")
            scale = 1.5 / g.hidden**0.5
            add(name + suffix, shape, scale, f"{name}.gate.{m}", transposed=modalities > 1)
            for e in range(g.experts):
                mlp(f"{name}.experts.{m * g.experts + e}", width)
        bias = name + ".moe_statics.e_score_correction_bias"
        add(bias, (modalities, g.experts), 0.03, name + ".statics")
        if g.shared:
            mlp(name + ".shared_experts", g.shared * g.expert_width[0])

    add("model.embed_tokens.weight", (g.vocab, g.hidden), 0.3, "embed")
    for n in range(g.layers):
        layer = f"model.layers.{n}"
        norm(layer + ".input_layernorm", g.hidden)
        linear(layer + ".self_attn.q_proj", g.heads * g.head_dim, g.hidden, 1.3)
        linear(layer + ".self_attn.k_proj", g.kv_heads * g.head_dim, g.hidden, 1.3)
        linear(layer + ".self_attn.v_proj", g.kv_heads * g.head_dim, g.hidden)
        linear(layer + ".self_attn.o_proj", g.hidden, g.heads * g.head_dim, 1.2)
        norm(layer + ".post_attention_layernorm", g.hidden)
        moe(layer + ".mlp") if g.is_moe(n) else mlp(layer + ".mlp", g.intermediate)
    norm("model.norm", g.hidden)
    if not g.tied:
        add("lm_head.weight", (g.vocab, g.hidden), 0.3, "lm_head")
    if not g.depth:
        return out

    # Small values in front of the first and the resampler's norms make their epsilon visible.
    linear("vision_model.patch_embed.proj", g.embed, 588, 0.05)
    for b in range(g.depth):
        block = f"vision_model.blocks.{b}"
        norm(block + ".norm1", g.embed, bias=True)
        linear(block + ".attn.qkv", 3 * g.embed, g.embed, 1.3, bias=True)
        linear(block + ".attn.proj", g.embed, g.embed, 1.2, bias=True)
        norm(block + ".norm2", g.embed, bias=True)
        linear(block + ".mlp.fc1", g.vision_intermediate, g.embed, 1.5, bias=True)
        linear(block + ".mlp.fc2", g.embed, g.vision_intermediate, bias=True)
    norm("vision_model.ln", g.embed, bias=True)
    merged = 4 * g.embed
    for part, width in (("spatial", merged), ("temporal", 2 * merged)):
        name = f"model.resampler_model.{part}_linear"
        linear(name + ".0", merged, width, 1.5, bias=True)
        linear(name + ".2", merged, merged, 0.05, bias=True)
        norm(name + ".3", merged, bias=True)
    linear("model.resampler_model.mlp", g.hidden, merged, bias=True)
    norm("model.resampler_model.after_norm", g.hidden)
    return out


def logical_weights(g, seed):
    """All tensors of the `pt` layout by name, as float32."""
    return {tensor.name: tensor.make(seed) for tensor in tensors_of(g)}


def stays_float32(name):
    return ".gate.weight" in name or "e_score_correction_bias" in name


def _fuse(tensors, parts, fused):
    """Replaces the tensors `x.part` by one `x.fused`, their rows one after the other."""
    out = {}
    for name, value in tensors.items():
        stem, dot, part = name.removesuffix(".weight").rpartition(".")
        if part == parts[0]:
            rows = [tensors[f"{stem}{dot}{p}.weight"] for p in parts]
            out[f"{stem}{dot}{fused}.weight"] = np.concatenate(rows)
        elif part not in parts:
            out[name] = value
    return out


def to_paddle(g, tensors):
    tensors = _fuse(tensors, ["q_proj", "k_proj", "v_proj"], "qkv_proj")
    tensors = _fuse(tensors, ["gate_proj", "up_proj"], "up_gate_proj")
    out = {}
    for name, value in tensors.items():
        routed = ".gate.weight" in name
        turn = value.ndim == 2 and name.endswith(".weight") and not routed
        turn = turn and "embed_tokens" not in name and "lm_head" not in name
        turn = turn or (routed and len(g.expert_width) == 1)
        name = "ernie." + name.removeprefix("model.") if name.startswith("model.") else name
        out[name] = value.T if turn else value
    return out


def to_hf(g, tensors):
    out = {}
    for name, value in tensors.items():
        name = name.replace("vision_model.", "model.vision_tower.")
        for part in ("spatial_linear", "temporal_linear"):
            for index, word in (("0", "fc1"), ("2", "fc2"), ("3", "ln")):
                name = name.replace(f"{part}.{index}.", f"{part}.{word}.")
        if g.depth:
            for word in ("embed_tokens", "layers", "norm"):
                name = name.replace(f"model.{word}.", f"model.language_model.{word}.")
        out[name] = value
    if not g.experts:
        return out
    stems = sorted({n.split(".mlp.")[0] for n in out if ".mlp.experts." in n})
    kinds = ["text_moe.", "vision_moe."] if g.depth else [""]
    for stem in stems:
        mlp = stem + ".mlp."
        bias = out.pop(mlp + "moe_statics.e_score_correction_bias")
        for m, kind in enumerate(kinds):
            router = out.pop(mlp + "gate.weight" + (f"_{m}" if m else ""))
            out[f"{mlp}{kind}gate.weight"] = router.T if g.depth else router
            out[f"{mlp}{kind}gate.moe_statics.e_score_correction_bias"] = bias[m : m + 1]
            gate_up, down = [], []
            for e in range(m * g.experts, (m + 1) * g.experts):
                part = {
                    p: out.pop(f"{mlp}experts.{e}.{p}_proj.weight") for p in ("gate", "up", "down")
                }
                gate_up.append(np.concatenate([part["gate"], part["up"]]))
                down.append(part["down"])
            out[f"{mlp}{kind}experts.gate_up_proj"] = np.stack(gate_up)
            out[f"{mlp}{kind}experts.down_proj"] = np.stack(down)
    return out


LAYOUTS = {"pt": lambda g, tensors: tensors, "paddle": to_paddle, "hf": to_hf}

# ---------------------------------------------------------------------------- safetensors


def to_bf16_bits(values):
    """bfloat16 bits (uint16), rounded to nearest even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def safetensors_head(entries):
    """The head of a file of tensors (name, type, shape, bytes) whose data lies back to back."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, kind, shape, size in entries:
        span = [offset, offset + size]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": span}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write_safetensors(path, tensors, dtype):
    """Names in order. Returns the data's bytes."""
    entries, blobs = [], []
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name], np.float32)
        kind = "F32" if dtype == "f32" or stays_float32(name) else "BF16"
        blobs.append((value if kind == "F32" else to_bf16_bits(value)).tobytes())
        entries.append((name, kind, value.shape, len(blobs[-1])))
    path.write_bytes(safetensors_head(entries) + b"".join(blobs))
    return sum(map(len, blobs))


def write_weights(folder, tensors, dtype, shards):
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, dtype)
        return
    names = sorted(tensors)
    weight_map, total = {}, 0
    for i in range(shards):
        part = names[len(names) * i // shards : len(names) * (i + 1) // shards]
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        total += write_safetensors(folder / file, {n: tensors[n] for n in part}, dtype)
        weight_map.update({n: file for n in part})
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(folder / "model.safetensors.index.json", index)


# ---------------------------------------------------------------------------- configs


def write_json(path, content):
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _decoder_keys(g):
    return {
        "vocab_size": g.vocab,
        "hidden_size": g.hidden,
        "intermediate_size": g.intermediate,
        "num_hidden_layers": g.layers,
        "num_attention_heads": g.heads,
        "num_key_value_heads": g.kv_heads,
        "head_dim": g.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "use_bias": False,
    }


def _moe_keys(g):
    widths = list(g.expert_width)
    keys = {"moe_num_experts": g.experts, "moe_k": g.top_k, "moe_use_aux_free": True}
    keys["moe_intermediate_size"] = widths if g.depth else widths[0]
    if g.shared or not g.depth:
        keys["moe_num_shared_experts"] = g.shared
    return keys


def _names(dtype):
    return {"f32": "float32", "bf16": "bfloat16"}[dtype]


def flat_config(g, dtype, paddle):
    """The original one-level config. The Paddle releases leave the token ids out."""
    classes = {
        "ernie4_5": "Ernie4_5ForCausalLM",
        "ernie4_5_moe": "Ernie4_5_MoeForCausalLM",
        _VL: "Ernie4_5_VLMoeForConditionalGeneration",
    }
    config = {
        "architectures": [classes[g.model_type]],
        "model_type": g.model_type,
        **_decoder_keys(g),
        "rope_theta": 500000,
        "tie_word_embeddings": g.tied,
        "dtype" if paddle else "torch_dtype": _names(dtype),
    }
    if g.experts:
        config |= _moe_keys(g) | {"moe_layer_interval": 1, "moe_layer_start_index": g.first_moe}
    if g.depth:
        config["moe_num_experts"] = [g.experts, g.experts]
        if g.shared:  # like the 28B release: lists, and an end past the last layer
            config["moe_layer_start_index"] = [g.first_moe, g.first_moe]
            config["moe_layer_end_index"] = [g.layers + 1, g.layers]
        config |= {
            "rope_3d": True,
            "freq_allocation": g.time_frequencies,
            "spatial_conv_size": 2,
            "temporal_conv_size": 2,
            "pixel_hidden_size": g.embed,
            "vision_config": {
                "model_type": "DFNRope_vision_transformer",
                "depth": g.depth,
                "embed_dim": g.embed,
                "hidden_size": g.embed,
                "hidden_act": "quick_gelu",
                "in_channels": 3,
                "mlp_ratio": g.vision_intermediate / g.embed,
                "num_heads": g.vision_heads,
                "patch_size": 14,
                "spatial_merge_size": 2,
            },
        }
    if not paddle:
        config |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
        config |= _media_ids("im_patch_id") if g.depth else {}
    return config


def _media_ids(image_key):
    return {
        image_key: ID["<|IMAGE_PLACEHOLDER|>"],
        "image_start_token_id": ID["<|IMAGE_START|>"],
        "image_end_token_id": ID["<|IMAGE_END|>"],
        "video_start_token_id": ID["<|VIDEO_START|>"],
        "video_end_token_id": ID["<|VIDEO_END|>"],
    }


def nested_config(g, dtype):
    """The config of transformers' in-library VL model."""
    others = g.head_dim // 2 - g.time_frequencies
    text = {
        "model_type": "ernie4_5_vl_moe_text",
        **_decoder_keys(g),
        **_moe_keys(g),
        "moe_num_shared_experts": g.shared,
        "moe_norm_min": 1e-12,
        "mlp_layer_types": ["sparse" if g.is_moe(n) else "dense" for n in range(g.layers)],
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 500000.0,
            "mrope_section": [others // 2, others // 2, g.time_frequencies],
        },
        "tie_word_embeddings": g.tied,
    }
    vision = {
        "model_type": "ernie4_5_vl_moe_vision",
        "depth": g.depth,
        "hidden_size": g.embed,
        "hidden_act": "quick_gelu",
        "num_heads": g.vision_heads,
        "in_channels": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_merge_size": 2,
        "intermediate_size": g.vision_intermediate,
        "rms_norm_eps": 1e-06,
    }
    return {
        "architectures": ["Ernie4_5_VLMoeForConditionalGeneration"],
        "model_type": "ernie4_5_vl_moe",
        "dtype": _names(dtype),
        **_media_ids("image_token_id"),
        "video_token_id": ID["<|VIDEO_PLACEHOLDER|>"],
        "tie_word_embeddings": g.tied,
        "text_config": text,
        "vision_config": vision,
    }


def preprocessor_config():
    return {
        "image_processor_type": "Ernie4_5_VLImageProcessor",
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "rescale_factor": 0.00392156862745098,
        "resample": 3,
        "patch_size": 14,
        "merge_size": 2,
        "temporal_conv_size": 2,
        "min_pixels": 3136,
        "max_pixels": 4816896,
    }


def make_checkpoint(folder, geometry, layout, dtype, seed, shards=1, chat_template=None):
    g = GEOMETRIES[geometry]
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    nested = layout == "hf" and g.depth
    config = nested_config(g, dtype) if nested else flat_config(g, dtype, layout == "paddle")
    write_json(folder / "config.json", config)
    sampling = {"do_sample": True, "temperature": 0.8, "top_p": 0.8, "repetition_penalty": 1.0}
    ids = {"bos_token_id": 1, "eos_token_id": [2, ID["<|end_of_sentence|>"]], "pad_token_id": 0}
    write_json(folder / "generation_config.json", {**ids, **sampling})
    if g.depth:
        write_json(folder / "preprocessor_config.json", preprocessor_config())
    tiny_tokenizer.write_files(folder, chat_template)
    tensors = LAYOUTS[layout](g, logical_weights(g, seed))
    write_weights(folder, tensors, dtype, shards)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", required=True, help="folder to write (made if missing)")
    parser.add_argument("--geometry", required=True, choices=sorted(GEOMETRIES))
    parser.add_argument("--layout", default="pt", choices=sorted(LAYOUTS))
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "f32"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shards", type=int, default=1, help="number of safetensors files")
    args = parser.parse_args()
    make_checkpoint(args.out, args.geometry, args.layout, args.dtype, args.seed, args.shards)
    size = sum(f.stat().st_size for f in pathlib.Path(args.out).iterdir())
    print(f"{args.out}: {args.geometry} in layout {args.layout}, {size / MIB:.2f} MiB")


if __name__ == "__main__":
    main()
