#!/usr/bin/env python3
"""Writes a folder that `ernie serve --load-choices dummy` can serve: the geometry of ERNIE-4.5-VL-28B-A3B or
ERNIE-4.5-VL-424B-A47B with the vocabulary of the demo model, so that answers have text, and the vendor's picture sizes.
With --vocab there are invented words, too, so that every id has a text; one in a hundred ends with a quotation mark, as many as have one
in a real vocabulary (0.3 to 1.1 %). With --weights a bfloat16 checkpoint of random numbers, too (28b: 57 GB; needs numpy and sentencepiece).

  dummy_model.py OUT [--geometry 28b|424b] [--layers 28] [--vocab 103424] [--weights]
"""
import argparse
import json
import pathlib
import random
import shutil
import string
import struct
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "models/demo"
GEOMETRIES = {
    "28b": {"hidden_size": 2560, "num_attention_heads": 20, "num_key_value_heads": 4, "intermediate_size": 12288,
            "moe_num_experts": [64, 64], "moe_intermediate_size": [1536, 512], "moe_k": 6, "moe_num_shared_experts": 2,
            "num_hidden_layers": 28},
    "424b": {"hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": 8, "intermediate_size": 28672,
             "moe_num_experts": [64, 64], "moe_intermediate_size": [3584, 1536], "moe_k": 8,
             "moe_num_shared_experts": 0, "num_hidden_layers": 54},
}
FIRST_MOE_LAYER = {"28b": 1, "424b": 3}
TOWER = {"depth": 32, "embed_dim": 1280, "hidden_size": 1280, "num_heads": 16, "mlp_ratio": 4}
PIXELS = {"min_pixels": 56 * 56, "max_pixels": 28 * 28 * 6177, "video_min_pixels": 299 * 28 * 28, "video_max_pixels": 1196 * 28 * 28}
OWN_FILES = ("config.json", "model.safetensors.index.json", "preprocessor_config.json", "mm_processor_kwargs.json")
SHARD_BYTES = 4 << 30


def append_words(tokenizer, count):
    """Appends invented pieces to a SentencePiece model: to a protobuf message, a repeated field may be appended as it is."""
    words = random.Random(5)
    endings, weights = ["", "\"", *".,:)}]"], [76, 1, *[3.8] * 6]
    seen = set()
    with open(tokenizer, "ab") as out:
        while len(seen) < count:
            chinese = words.random() < 0.3
            letters = [chr(words.randrange(0x4E00, 0x9E00)) if chinese else words.choice(string.ascii_lowercase)
                       for _ in range(words.randint(3, 4) if chinese else words.randint(5, 11))]
            word = words.choice(["", "\u2581"]) + "".join(letters) + words.choices(endings, weights)[0]
            if word in seen:
                continue
            seen.add(word)
            text = word.encode()
            piece = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", -1e4 - len(seen))
            out.write(b"\x0a" + bytes([len(piece)]) + piece)


def shards_of(sizes):
    """Lists of names, each of at least SHARD_BYTES but the last."""
    shards, filled = [[]], 0
    for name, size in sizes.items():
        if filled >= SHARD_BYTES:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def write_weights(out, config):
    sys.path.insert(0, str(ROOT / "tools"))
    import numpy as np

    import make_tiny_checkpoint as tiny

    heads = config["num_attention_heads"]
    geometry = tiny.Geometry(
        config["model_type"], config["hidden_size"], config["num_hidden_layers"], heads, config["num_key_value_heads"],
        config.get("head_dim", config["hidden_size"] // heads), config["intermediate_size"],
        config["tie_word_embeddings"], config["moe_num_experts"][0], config["moe_k"],
        tuple(config["moe_intermediate_size"]), config["moe_num_shared_experts"], config["moe_layer_start_index"][0],
        config["freq_allocation"], TOWER["depth"], TOWER["embed_dim"], TOWER["num_heads"],
        TOWER["embed_dim"] * TOWER["mlp_ratio"], config["vocab_size"])
    tensors = {tensor.name: tensor for tensor in tiny.tensors_of(geometry)}
    pool = {"BF16": tiny.to_bf16_bits(tiny.bell(1, "pool", (1 << 25,)) * np.float32(0.02)),
            "F32": tiny.bell(1, "pool", (1 << 23,)) * np.float32(0.02)}
    kind = {name: "F32" if tiny.stays_float32(name) else "BF16" for name in tensors}
    size = {name: int(np.prod(t.shape)) * pool[kind[name]].itemsize for name, t in tensors.items()}
    shards = shards_of(size)
    weight_map = {}
    for i, names in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        weight_map.update({name: file for name in names})
        with open(out / file, "wb") as shard:
            shard.write(tiny.safetensors_head((name, kind[name], tensors[name].shape, size[name]) for name in names))
            for name in names:
                values, left, at = pool[kind[name]], size[name], zlib.crc32(name.encode()) % (1 << 20)
                while left > 0:
                    piece = memoryview(values[at:]).cast("B")[:left]
                    shard.write(piece)
                    left -= len(piece)
                    at = 0
        print(f"{file}: {sum(size[name] for name in names) / 1e9:.1f} GB", flush=True)
    index = {"metadata": {"total_size": sum(size.values())}, "weight_map": weight_map}
    (out / "model.safetensors.index.json").write_text(json.dumps(index))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--geometry", choices=GEOMETRIES, default="28b")
    parser.add_argument("--layers", type=int, help="default: all of the geometry's")
    parser.add_argument("--vocab", type=int, help="rows of the embedding, at least the demo model's (default)")
    parser.add_argument("--weights", action="store_true", help="write random weights, too")
    args = parser.parse_args()
    config = json.loads((DEMO / "config.json").read_text())
    config.update(GEOMETRIES[args.geometry], max_position_embeddings=131072, pixel_hidden_size=1280)
    if args.layers:
        config["num_hidden_layers"] = args.layers
    added = json.loads((DEMO / "added_tokens.json").read_text())
    words = (args.vocab or config["vocab_size"]) - config["vocab_size"]
    first_added = min(added.values())  # invented words come before what is added to the tokenizer's model
    config.update({key: value + words for key, value in config.items() if key.endswith("_id") and value >= first_added})
    config["vocab_size"] += words
    config["moe_layer_start_index"] = [FIRST_MOE_LAYER[args.geometry]] * 2
    config["moe_layer_end_index"] = [config["num_hidden_layers"] - 1] * 2
    config["vision_config"].update(TOWER)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(config, indent=1))
    for path in DEMO.iterdir():
        if path.suffix in (".json", ".model") and path.name not in OWN_FILES:
            shutil.copy(path, args.out / path.name)
    pictures = json.loads((DEMO / "preprocessor_config.json").read_text())
    (args.out / "preprocessor_config.json").write_text(json.dumps(pictures | PIXELS, indent=1))
    (args.out / "added_tokens.json").write_text(json.dumps({token: id + words for token, id in added.items()}))
    append_words(args.out / "tokenizer.model", words)
    if args.weights:
        write_weights(args.out, config)


if __name__ == "__main__":
    main()
