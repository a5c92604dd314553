"""Checks that a checkpoint gives the same logits in transformers' own class and in model.py (float32).

usage: check_export.py CHECKPOINT FONTS
"""

import json
import os
import random
import sys

import numpy as np
import torch

import batches
import config
import export
import model as models
import train


def native_model(folder, c, tok, dtype=torch.float32):
    """transformers' model with the weights of `folder`."""
    from transformers import Ernie4_5_VLMoeForConditionalGeneration
    model = Ernie4_5_VLMoeForConditionalGeneration.from_pretrained(
        folder, config=config.native(c, tok), dtype=dtype, attn_implementation="eager")
    return model.eval()


def config_of(folder):
    """config.json -> Config."""
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        j = json.load(f)
    v = j["vision_config"]
    text, vision = j["moe_intermediate_size"]
    return config.Config(
        vocab=j["vocab_size"], hidden=j["hidden_size"], layers=j["num_hidden_layers"],
        heads=j["num_attention_heads"], kv_heads=j["num_key_value_heads"],
        head_dim=j["hidden_size"] // j["num_attention_heads"], dense=j["intermediate_size"],
        experts=j["moe_num_experts"][0], top_k=j["moe_k"], text_width=text, vision_width=vision,
        shared_width=text * j["moe_num_shared_experts"], rope_theta=j["rope_theta"],
        time_freqs=j["freq_allocation"], vit_hidden=v["hidden_size"], vit_heads=v["num_heads"],
        vit_depth=v["depth"], vit_mlp=v["hidden_size"] * v["mlp_ratio"])


def native_inputs(model, tok, ids, pos, frames, grids):
    """Arguments of transformers' forward. grids: per item (T, 2*gh, 2*gw)."""
    ids = torch.tensor([ids])
    visual = torch.isin(ids, torch.tensor(sorted(tok.vision)))
    args = dict(input_ids=ids, position_ids=torch.tensor(pos).T[:, None],
                moe_mm_token_type_ids=visual.int())
    if grids:
        patches = torch.cat([model.patches(torch.as_tensor(np.stack(f))).flatten(0, 1) for f in frames])
        if grids[0][0] > 1:  # transformers has a placeholder of its own for videos
            ids[ids == tok.patch] = tok.ids["<|VIDEO_PLACEHOLDER|>"]
            args.update(pixel_values_videos=patches, video_grid_thw=torch.tensor(grids))
        else:
            args.update(pixel_values=patches, image_grid_thw=torch.tensor(grids))
    return args


def main():
    folder, fonts = sys.argv[1:3]
    c = config_of(folder)
    maker = batches.Maker(folder, fonts)
    ours = models.Model(c).eval()
    export.load(folder, c, ours)
    theirs = native_model(folder, c, maker.tok)
    rng = random.Random(7)
    worst = 0.0
    with torch.no_grad():
        for b in [b for b, _ in batches.MAIN + batches.SIDE[:14]]:
            doc = maker.document(rng, b)
            ids = doc.prefix + doc.branches[0][0]
            pos, _ = batches.tokens.positions(ids, doc.runs)
            per = b.frames
            frames = [doc.frames[i * per:(i + 1) * per] for i in range(b.items)]
            grids = [(per, 2 * b.gh, 2 * b.gw)] * b.items
            reference = theirs(**native_inputs(ours.vision, maker.tok, ids, pos, frames, grids)).logits[0]
            t = torch.tensor([ids])
            visual = torch.isin(t[0], torch.tensor(sorted(maker.tok.vision)))
            stacked = torch.as_tensor(np.stack(doc.frames)) if doc.frames else None
            x = ours.inputs(t, stacked, (t[0] == maker.tok.patch).nonzero()[:, 0], b.items, per)
            zeros = torch.zeros_like(t)
            x = ours(x, torch.tensor([pos]), train.attention_mask(zeros, zeros),
                     visual.nonzero()[:, 0] if b.items else None, (~visual).nonzero()[:, 0])
            d = (ours.logits(x)[0] - reference).abs().max().item()
            print(f"{b.name:6} {b.items} x {b.frames} frames of {b.gh}x{b.gw}, {len(ids)} tokens: "
                  f"max difference {d:.2e}, largest logit {reference.abs().max():.2f}")
            worst = max(worst, d)
    print(f"worst {worst:.2e}")
    sys.exit(worst > 1e-3)


if __name__ == "__main__":
    main()
