"""Fixed-shape training batches, made by worker processes from seeds."""

import dataclasses
import os
import random
import time

import numpy as np

import documents
import pictures
import tokens
import tool_documents


@dataclasses.dataclass(frozen=True)
class Bucket:
    """All rows of a batch have the same media shape, so that every tensor has a fixed shape."""
    name: str
    items: int  # media items per row
    frames: int  # frames per item (1: picture)
    gh: int  # grid in 28-pixel cells
    gw: int
    length: int  # tokens per row
    rows: int

    @property
    def visual(self):
        """Vision tokens per row, start and end markers included."""
        return self.items * (max(1, self.frames // 2) * self.gh * self.gw + 2)


def bucket(name, items, frames, gh, gw, length, tokens_per_batch):
    return Bucket(name, items, frames, gh, gw, length, max(1, tokens_per_batch // length))


MAIN_TOKENS, SIDE_TOKENS = 24576, 12288
MAIN = [(bucket("scene", 1, 1, 8, 8, 320, MAIN_TOKENS), 65), (bucket("text", 1, 1, 8, 8, 208, MAIN_TOKENS), 35)]
SIDE = [
    (bucket("other", 0, 1, 0, 0, 256, SIDE_TOKENS), 26),
    (bucket("calculator", 0, 1, 0, 0, 1024, SIDE_TOKENS), 20),
    (bucket("zoom_call", 1, 1, 12, 12, 1024, SIDE_TOKENS), 9),
    (bucket("zoom_call", 1, 1, 8, 8, 896, SIDE_TOKENS), 5),
    (bucket("zoom_result", 2, 1, 12, 12, 1024, SIDE_TOKENS), 11),
    (bucket("zoom_result", 2, 1, 8, 8, 896, SIDE_TOKENS), 6),
    (bucket("pair", 2, 1, 8, 8, 448, SIDE_TOKENS), 40),
    (bucket("clip", 1, 4, 6, 6, 288, SIDE_TOKENS), 14),
    (bucket("clip", 1, 8, 6, 6, 320, SIDE_TOKENS), 3),
    (bucket("clip", 1, 4, 8, 8, 320, SIDE_TOKENS), 3),
] + [(bucket(kind, 1, 1, gh, gw, 352, SIDE_TOKENS), share * w)
     for gh, gw, w in ((8, 12, 3), (12, 8, 1), (12, 12, 4), (7, 10, 2), (10, 7, 1), (9, 9, 2), (6, 12, 3),
                       (9, 11, 2), (7, 11, 2), (4, 16, 1), (10, 13, 1), (10, 10, 1))
     for kind, share in (("scene", 1.6), ("text", 0.9))]


class Maker:
    """Makes batches of a bucket; every batch depends on its seed alone."""

    def __init__(self, tokenizer_folder, font_folder):
        self.tok = tokens.Tokens(tokenizer_folder)
        self.fonts = pictures.Fonts(font_folder)

    def document(self, rng, b):
        size = (b.gw * 28, b.gh * 28)
        if b.name == "scene":
            material = documents.scene(rng, size)
        elif b.name == "text":
            close = rng.random() < 0.15
            material = (tool_documents.close_up if close else documents.text)(rng, self.fonts, size)
        elif b.name == "pair":
            material = documents.pair(rng, self.fonts, size)
        elif b.name == "clip":
            material = documents.clip(rng, self.fonts, size, b.frames)
        elif b.name == "calculator":
            return tool_documents.calculator_document(rng, self.tok)
        elif b.name == "zoom_call":
            return tool_documents.zoom_call_document(rng, self.tok, self.fonts, size)
        elif b.name == "zoom_result":
            return tool_documents.zoom_result_document(rng, self.tok, self.fonts, size)
        else:
            return documents.text_document(rng, self.tok)
        return documents.build(rng, self.tok, material, 3 if b.name == "text" else 6)

    def batch(self, seed, b):
        """-> dict of arrays: ids, labels [R, L]; pos [R, L, 3]; doc, branch [R, L]; frames
        uint8 [R, items*frames, H, W, 3]; flat token indices [R * n]: visual (placeholders and markers),
        patch (placeholders), text (the rest)."""
        rng = random.Random(seed)
        rows, length = b.rows, b.length
        out = {
            "ids": np.zeros((rows, length), np.int32), "labels": np.full((rows, length), -1, np.int32),
            "pos": np.zeros((rows, length, 3), np.int32), "doc": np.full((rows, length), -1, np.int16),
            "branch": np.zeros((rows, length), np.int16),
            "frames": np.zeros((rows, b.items * b.frames, b.gh * 28, b.gw * 28, 3), np.uint8),
        }
        for r in range(rows):
            used, number = 0, 0
            while number == 0 or not b.items:  # one document with media, or as many without as fit
                doc = self.document(rng, b)
                end = self._place(out, r, used, number, doc)
                if end > used:
                    used, number = end, number + 1
                elif number:
                    break
            if b.items:
                out["frames"][r] = np.stack(doc.frames)
        flat = out["ids"].reshape(-1)
        visual = np.isin(flat, list(self.tok.vision))
        out["visual"] = np.flatnonzero(visual).astype(np.int32)
        out["text"] = np.flatnonzero(~visual).astype(np.int32)
        out["patch"] = np.flatnonzero(flat == self.tok.patch).astype(np.int32)
        assert len(out["visual"]) == rows * b.visual
        return out

    def _place(self, out, r, start, number, doc):
        """Writes a document into row r; returns the end (start, if it does not fit)."""
        length = out["ids"].shape[1]
        n = len(doc.prefix)
        if start + n + len(doc.branches[0][0]) > length:
            return start
        prefix_pos, cur = tokens.positions(doc.prefix, doc.runs)
        out["ids"][r, start:start + n] = doc.prefix
        out["pos"][r, start:start + n] = prefix_pos
        out["doc"][r, start:start + n] = number
        end = start + n
        for k, (ids, first) in enumerate(doc.branches):
            m = len(ids)
            if end + m > length:
                break
            out["ids"][r, end:end + m] = ids
            out["pos"][r, end:end + m] = np.arange(cur, cur + m)[:, None]
            out["doc"][r, end:end + m] = number
            out["branch"][r, end:end + m] = k + 1
            out["labels"][r, end + first - 1:end + m - 1] = ids[first:]
            end += m
        return end


def choose(rng, table):
    return rng.choices([b for b, _ in table], [w for _, w in table])[0]


def schedule(seed, step, part, only=None):
    """Bucket and seed of a step's batch; part 0 is the main batch, part 1 the side batch.
    only: name of the one kind of bucket wanted."""
    rng = random.Random(f"{seed}/{step}/{part}")
    table = SIDE if part else MAIN
    if only:
        table = [(b, w) for b, w in MAIN + SIDE if b.name == only]
    return choose(rng, table), rng.getrandbits(48)


def worker(tokenizer_folder, font_folder, seed, steps, first, stride, folder, window, max_rows, only):
    """Writes batches first, first+stride, ... of the sequence (step, part) as .npz files into
    `folder`, staying at most `window` steps ahead of the reader (file `folder`/read)."""
    maker = Maker(tokenizer_folder, font_folder)
    read = os.path.join(folder, "read")
    for number in range(first, 2 * steps[1], stride):
        step, part = divmod(number, 2)
        if step < steps[0]:
            continue
        while step > _reader(read) + window:
            time.sleep(0.02)
        b, batch_seed = schedule(seed, step, part, only)
        b = dataclasses.replace(b, rows=min(b.rows, max_rows))
        path = os.path.join(folder, f"{step}.{part}.npz")
        np.savez(path + ".tmp.npz", **maker.batch(batch_seed, b))
        os.rename(path + ".tmp.npz", path)


def _reader(path):
    try:
        with open(path, encoding="ascii") as f:
            return int(f.read() or 0)
    except (FileNotFoundError, ValueError):
        return 0
