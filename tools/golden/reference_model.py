"""The ERNIE 4.5 (VL) model in plain NumPy, float64: the shortest full text of its arithmetic.

It reads the tensors of the `pt` layout (see tools/make_tiny_checkpoint.py) and shares no code with
transformers or PaddleFormers; the golden maker demands that it agrees with transformers. Nothing is
cached and nothing is fast. Shapes: [n] tokens, [s] patches; a grid is (frames, patch rows, patch
columns) before any merging.
"""

import math

import numpy as np

ROPE_THETA = 500000.0
RMS_EPS = 1e-5
LAYER_NORM_EPS = 1e-6
VISION_ROPE_THETA = 10000.0
PATCH, FACTOR = 14, 28
IMAGE_LIMITS = (4 * 784, 6177 * 784)  # pixels after resizing, of a chat's images
VIDEO_LIMITS = (299 * 784, 1196 * 784)  # and of a frame of its videos
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)

_erf = np.vectorize(math.erf, otypes=[np.float64])

# ---------------------------------------------------------------------------- pixels


def smart_resize(height, width, limits):
    """Size (multiples of 28) to resize to, or None if no size within `limits` keeps the shape."""
    least, most = limits
    if max(height, width) > 200 * min(height, width):
        short = max(FACTOR, round(min(height, width) / FACTOR) * FACTOR)
        long = math.floor(short * 200 / FACTOR) * FACTOR
        height, width = (long, short) if height > width else (short, long)
    h = max(FACTOR, round(height / FACTOR) * FACTOR)
    w = max(FACTOR, round(width / FACTOR) * FACTOR)
    if h * w > most:
        beta = math.sqrt(height * width / most)
        h = math.floor(height / beta / FACTOR) * FACTOR
        w = math.floor(width / beta / FACTOR) * FACTOR
    elif h * w < least:
        beta = math.sqrt(least / (height * width))
        h = math.ceil(height * beta / FACTOR) * FACTOR
        w = math.ceil(width * beta / FACTOR) * FACTOR
    return (h, w) if least <= h * w <= most else None


def patchify(frames):
    """uint8 RGB frames [t, h, w, 3] -> normalised patches [s, 588], 2x2 windows together."""
    t, h, w, _ = frames.shape
    values = (frames.astype(np.float32) * np.float32(1 / 255) - MEAN) / STD
    values = values.transpose(0, 3, 1, 2)
    values = values.reshape(t, 3, h // FACTOR, 2, PATCH, w // FACTOR, 2, PATCH)
    values = values.transpose(0, 2, 5, 3, 6, 1, 4, 7)
    return values.reshape(-1, 3 * PATCH * PATCH), (t, h // PATCH, w // PATCH)


# ---------------------------------------------------------------------------- positions


def merged_grid(grid):
    """Tokens of an item along (time, height, width): frames pair up, patches merge 2x2."""
    t, h, w = grid
    return (1 if t == 1 else t // 2), h // 2, w // 2


def positions(is_placeholder, grids):
    """[3, n] positions (time, height, width) and the position of the next token.

    After an item the count goes on behind the largest of its coordinates, time included.
    """
    out, current, i, items = [], 0, 0, iter(grids)
    while i < len(is_placeholder):
        if not is_placeholder[i]:
            out.append((current,) * 3)
            current, i = current + 1, i + 1
            continue
        size = merged_grid(next(items))
        out += [tuple(current + c for c in cell) for cell in np.ndindex(*size)]
        current, i = current + max(size), i + math.prod(size)
    return np.array(out, np.int64).T, current


# ---------------------------------------------------------------------------- parts


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rms_norm(x, weight):
    return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + RMS_EPS) * weight


class Model:
    """A geometry (tools/make_tiny_checkpoint.py) and its tensors in the `pt` layout."""

    def __init__(self, geometry, tensors):
        self.g = geometry
        self.w = {name: value.astype(np.float64) for name, value in tensors.items()}

    def linear(self, x, name):
        y = x @ self.w[name + ".weight"].T
        return y + self.w[name + ".bias"] if name + ".bias" in self.w else y

    def layer_norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt(np.mean(x * x, -1, keepdims=True) + LAYER_NORM_EPS)
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def gated_mlp(self, x, name):
        gate = self.linear(x, name + ".gate_proj")
        return self.linear(
            gate * sigmoid(gate) * self.linear(x, name + ".up_proj"), name + ".down_proj"
        )

    # ------------------------------------------------------------------------ vision

    def vision_rope(self, grid):
        """Angles [patches of a frame, head_dim / 2]: row then column of the patch."""
        _, h, w = grid
        quarter = self.g.embed // self.g.vision_heads // 4
        frequency = VISION_ROPE_THETA ** (-np.arange(quarter) / quarter)
        cells = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij"), -1)
        cells = cells.reshape(h // 2, 2, w // 2, 2, 2).transpose(0, 2, 1, 3, 4).reshape(-1, 2)
        return np.concatenate([cells[:, :1] * frequency, cells[:, 1:] * frequency], -1)

    def vision_tower(self, patches, grid):
        """Patches of one item [s, 588] -> [s, embed]; patches see those of their own frame only."""
        g = self.g
        d = g.embed // g.vision_heads
        angle = self.vision_rope(grid)[:, None]

        def turn(x):  # element e pairs with e + d/2
            a, b = x[..., : d // 2], x[..., d // 2 :]
            cos, sin = np.cos(angle), np.sin(angle)
            return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

        frames = []
        for x in np.split(
            self.linear(patches.astype(np.float64), "vision_model.patch_embed.proj"), grid[0]
        ):
            for b in range(g.depth):
                name = f"vision_model.blocks.{b}"
                qkv = self.linear(self.layer_norm(x, name + ".norm1"), name + ".attn.qkv")
                q, k, v = qkv.reshape(len(x), 3, g.vision_heads, d).transpose(1, 0, 2, 3)
                score = np.einsum("ihd,jhd->hij", turn(q), turn(k)) / math.sqrt(d)
                mixed = np.einsum("hij,jhd->ihd", softmax(score), v).reshape(len(x), -1)
                x = x + self.linear(mixed, name + ".attn.proj")
                y = self.linear(self.layer_norm(x, name + ".norm2"), name + ".mlp.fc1")
                x = x + self.linear(y * sigmoid(1.702 * y), name + ".mlp.fc2")
            frames.append(self.layer_norm(x, "vision_model.ln"))
        return np.concatenate(frames)

    def resampler(self, features, grid):
        """[s, embed] -> one row of `hidden` per placeholder token."""
        name = "model.resampler_model."

        def stage(x, part):
            x = self.linear(gelu(self.linear(x, name + part + ".0")), name + part + ".2")
            return self.layer_norm(x, name + part + ".3")

        x = stage(features.reshape(len(features) // 4, -1), "spatial_linear")
        x = x.reshape(grid[0], -1, x.shape[-1])
        first, second = (x, x) if grid[0] == 1 else (x[0::2], x[1::2])
        x = stage(np.concatenate([first, second], -1), "temporal_linear")
        x = self.linear(x.reshape(-1, x.shape[-1]), name + "mlp")
        return rms_norm(x, self.w[name + "after_norm.weight"])

    # ------------------------------------------------------------------------ decoder

    def rope_angles(self, position):
        """[n, head_dim / 2]. Pair i turns by height (even) or width (odd), the slowest by time."""
        pairs = self.g.head_dim // 2
        frequency = ROPE_THETA ** (-np.arange(pairs) / pairs)
        axis = np.where(np.arange(pairs) % 2 == 0, 1, 2)
        axis[pairs - self.g.time_frequencies :] = 0
        return position[axis].T * frequency

    def attention(self, x, name, angle):
        g, n = self.g, len(x)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]

        def turn(y):  # elements 2i and 2i + 1 are a pair
            a, b = y[..., 0::2], y[..., 1::2]
            return np.stack([a * cos - b * sin, b * cos + a * sin], -1).reshape(y.shape)

        q = turn(self.linear(x, name + ".q_proj").reshape(n, g.heads, g.head_dim))
        k = turn(self.linear(x, name + ".k_proj").reshape(n, g.kv_heads, g.head_dim))
        v = self.linear(x, name + ".v_proj").reshape(n, g.kv_heads, g.head_dim)
        hidden_future = np.triu(np.full((n, n), -np.inf), 1)
        heads = []
        for h in range(g.heads):
            shared = h * g.kv_heads // g.heads
            score = q[:, h] @ k[:, shared].T / math.sqrt(g.head_dim) + hidden_future
            heads.append(softmax(score) @ v[:, shared])
        return self.linear(np.concatenate(heads, -1), name + ".o_proj")

    def moe(self, x, name, is_vision):
        g = self.g
        out = np.zeros_like(x)
        bias = self.w[name + ".moe_statics.e_score_correction_bias"]
        for i, row in enumerate(x):
            m = int(is_vision[i])
            router = self.w[name + ".gate.weight" + ("_1" if m else "")]
            p = softmax(row @ router if len(g.expert_width) == 2 else router @ row)
            chosen = np.argsort(-(p + bias[m]), kind="stable")[: g.top_k]
            total = max(p[chosen].sum(), 1e-12)
            for e in chosen:
                expert = f"{name}.experts.{m * g.experts + e}"
                out[i] += p[e] / total * self.gated_mlp(row, expert)
        return out + self.gated_mlp(x, name + ".shared_experts") if g.shared else out

    def logits(self, ids, position, is_vision=None, features=None, image_id=None):
        """[n, vocab]. `features` [placeholders, hidden] replace the embeddings of `image_id`."""
        ids = np.asarray(ids)
        is_vision = np.zeros(len(ids), bool) if is_vision is None else is_vision
        x = self.w["model.embed_tokens.weight"][ids]
        if features is not None:
            x[ids == image_id] = features
        angle = self.rope_angles(np.asarray(position))
        for n in range(self.g.layers):
            name = f"model.layers.{n}"
            y = rms_norm(x, self.w[name + ".input_layernorm.weight"])
            x = x + self.attention(y, name + ".self_attn", angle)
            y = rms_norm(x, self.w[name + ".post_attention_layernorm.weight"])
            moe = self.g.is_moe(n)
            x = x + (
                self.moe(y, name + ".mlp", is_vision) if moe else self.gated_mlp(y, name + ".mlp")
            )
        x = rms_norm(x, self.w["model.norm.weight"])
        head = "model.embed_tokens.weight" if self.g.tied else "lm_head.weight"
        return x @ self.w[head].T
