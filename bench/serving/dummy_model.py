#!/usr/bin/env python3
"""Writes a folder that `ernie serve --load-choices dummy` can serve: the geometry of ERNIE-4.5-VL-28B-A3B or
ERNIE-4.5-VL-424B-A47B with the vocabulary and the picture sizes' files of the demo model, so that answers have text.

  dummy_model.py OUT [--geometry 28b|424b] [--layers 28]
"""
import argparse
import json
import pathlib
import shutil

DEMO = pathlib.Path(__file__).resolve().parents[2] / "models/demo"
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--geometry", choices=GEOMETRIES, default="28b")
    parser.add_argument("--layers", type=int, help="default: all of the geometry's")
    args = parser.parse_args()
    config = json.loads((DEMO / "config.json").read_text())
    config.update(GEOMETRIES[args.geometry], max_position_embeddings=131072, pixel_hidden_size=1280)
    if args.layers:
        config["num_hidden_layers"] = args.layers
    config["moe_layer_start_index"] = [FIRST_MOE_LAYER[args.geometry]] * 2
    config["moe_layer_end_index"] = [config["num_hidden_layers"] - 1] * 2
    config["vision_config"].update(TOWER)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(config, indent=1))
    for path in DEMO.iterdir():
        if path.suffix in (".json", ".model") and path.name not in ("config.json", "model.safetensors.index.json"):
            shutil.copy(path, args.out / path.name)


if __name__ == "__main__":
    main()
