#!/usr/bin/env python3
"""Writes a folder that `ernie serve --load-choices dummy` can serve: the geometry of ERNIE-4.5-VL-28B-A3B with the
vocabulary and the picture sizes' files of the demo model, so that answers have text.

  dummy_model.py OUT [--layers 28]
"""
import argparse
import json
import pathlib
import shutil

DEMO = pathlib.Path(__file__).resolve().parents[2] / "models/demo"
GEOMETRY = {"hidden_size": 2560, "num_attention_heads": 20, "num_key_value_heads": 4, "intermediate_size": 12288,
            "moe_num_experts": [64, 64], "moe_intermediate_size": [1536, 512], "moe_k": 6, "moe_num_shared_experts": 2,
            "max_position_embeddings": 131072, "pixel_hidden_size": 1280}
TOWER = {"depth": 32, "embed_dim": 1280, "hidden_size": 1280, "num_heads": 16, "mlp_ratio": 4}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=28)
    args = parser.parse_args()
    config = json.loads((DEMO / "config.json").read_text())
    config.update(GEOMETRY, num_hidden_layers=args.layers, moe_layer_start_index=[1, 1],
                  moe_layer_end_index=[args.layers - 1] * 2)
    config["vision_config"].update(TOWER)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(config, indent=1))
    for path in DEMO.iterdir():
        if path.suffix in (".json", ".model") and path.name not in ("config.json", "model.safetensors.index.json"):
            shutil.copy(path, args.out / path.name)


if __name__ == "__main__":
    main()
