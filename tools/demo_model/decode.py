"""Greedy decoding with model.py, many prompts at once (used to examine a checkpoint quickly)."""

import numpy as np
import torch
import torch.nn.functional as F

import tokens
from model import text_rope


class Prompt:
    """parts: the prompt as tokens.Tokens.encode takes it; items: per picture or clip a list of uint8 arrays
    [H, W, 3]."""

    def __init__(self, tok, parts, items):
        self.ids = tok.encode(*parts)
        starts = [i for i, t in enumerate(self.ids) if t == tok.patch and self.ids[i - 1] != tok.patch]
        self.pos, self.next = tokens.positions(self.ids, dict(zip(starts, map(tokens.grid_of, items))))
        self.frames = [f for item in items for f in item]
        self.items, self.per_item = len(items), len(items[0]) if items else 1
        self.shape = (self.items, self.per_item, self.frames[0].shape if items else None)


def _prefill(model, tok, prompts):
    """-> hidden state of the last tokens, caches [(k, v)], valid key mask [R, L]. Left-padded."""
    length = max(len(p.ids) for p in prompts)
    ids = torch.zeros(len(prompts), length, dtype=torch.long)
    pos = torch.zeros(len(prompts), length, 3, dtype=torch.long)
    valid = torch.zeros(len(prompts), length, dtype=torch.bool)
    for r, p in enumerate(prompts):
        ids[r, length - len(p.ids):] = torch.tensor(p.ids)
        pos[r, length - len(p.ids):] = torch.tensor(p.pos)
        valid[r, length - len(p.ids):] = True
    device = model.embed.weight.device
    ids, pos, valid = ids.to(device), pos.to(device), valid.to(device)
    flat = ids.flatten()
    visual = torch.isin(flat, torch.tensor(sorted(tok.vision), device=device))
    items, per_item = prompts[0].items, prompts[0].per_item
    frames = None
    if items:
        frames = torch.as_tensor(np.stack([f for p in prompts for f in p.frames])).to(device)
    x = model.inputs(ids, frames, (flat == tok.patch).nonzero()[:, 0], len(prompts) * items, per_item)
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    eye = torch.eye(length, dtype=torch.bool, device=device)
    mask = ((causal & valid[:, None]) | eye)[:, None]
    cos, sin = (t[:, None] for t in text_rope(model.c, pos))
    visual_at, text_at = (visual.nonzero()[:, 0], (~visual).nonzero()[:, 0]) if items else (None, None)
    caches = []
    for layer in model.layers:
        q, k, v = layer.project(x, cos, sin)
        x = layer.feed(layer.attend(x, q, k, v, mask), visual_at, text_at, None)
        caches.append((k, v))
    return model.norm(x[:, -1:]), caches, valid


@torch.no_grad()
def generate(model, tok, prompts, limit=300):
    """Greedy answers (texts, end marker left out). All prompts must have the same media shape."""
    x, caches, valid = _prefill(model, tok, prompts)
    device = x.device
    rows = len(prompts)
    nexts = torch.tensor([p.next for p in prompts], device=device)
    done = torch.zeros(rows, dtype=torch.bool, device=device)
    out = []
    for step in range(limit):
        token = model.logits(x)[:, 0].argmax(-1)
        done |= token == tok.end
        out.append(token.masked_fill(done, tok.end))
        if done.all():
            break
        pos = (nexts + step)[:, None, None].expand(rows, 1, 3)
        cos, sin = (t[:, None] for t in text_rope(model.c, pos))
        valid = F.pad(valid, (0, 1), value=True)
        mask = valid[:, None, None]
        h = model.embed(token)[:, None]
        for i, layer in enumerate(model.layers):
            q, k, v = layer.project(h, cos, sin)
            caches[i] = (torch.cat([caches[i][0], k], 2), torch.cat([caches[i][1], v], 2))
            h = layer.feed(layer.attend(h, q, *caches[i], mask), None, None, None)
        x = model.norm(h)
    answers = torch.stack(out, 1).tolist()
    return [tok.decode(a[:a.index(tok.end)] if tok.end in a else a) for a in answers]
