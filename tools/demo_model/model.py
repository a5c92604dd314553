"""ERNIE-4.5-VL in the form that trains fast: fixed shapes, all experts as one wide MLP whose unused
parts are masked. The same function as transformers' `ernie4_5_vl_moe` (check_export.py compares them)
with the positions of the original (a video advances by max(t, h, w))."""

import torch
import torch.nn.functional as F
from torch import nn

import preprocess


def linear(out_features, in_features, bias=False, gain=1.0):
    m = nn.Linear(in_features, out_features, bias=bias)
    nn.init.normal_(m.weight, std=0.02 * gain)
    if bias:
        nn.init.zeros_(m.bias)
    return m


def rms(x, weight, eps):
    y = x.float()
    y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps)
    return y.to(x.dtype) * weight.to(x.dtype)


def swiglu(gate, up):
    return F.silu(gate) * up


def gated_swiglu(gate, up, w):
    """gate, up [tokens, experts*width], w [tokens, experts]."""
    h = (F.silu(gate) * up).unflatten(-1, (w.shape[-1], -1))
    return (h * w[..., None].to(h.dtype)).flatten(-2)


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def rotate_half(x, cos, sin):
    a, b = x.float().chunk(2, -1)
    return (x.float() * cos + torch.cat([-b, a], -1) * sin).to(x.dtype)


def rotate_pairs(x, cos, sin):
    """x [R, heads, L, d], cos and sin [R, 1, L, d/2]."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2).to(x.dtype)


class RMSNorm(nn.Module):
    def __init__(self, n, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))
        self.eps = eps

    def forward(self, x):
        return rms(x, self.weight, self.eps)


def vision_rope(gh, gw, dim, device):
    """cos, sin [4*gh*gw, dim] in 2x2-window order; half-rotate form."""
    h = torch.arange(2 * gh, device=device)[:, None].expand(-1, 2 * gw)
    w = torch.arange(2 * gw, device=device)[None].expand(2 * gh, -1)
    order = [t.reshape(gh, 2, gw, 2).permute(0, 2, 1, 3).reshape(-1) for t in (h, w)]
    inv = 10000.0 ** (-torch.arange(0, dim // 2, 2, device=device).float() / (dim // 2))
    angle = torch.cat([o[:, None].float() * inv for o in order], -1)
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


class VisionBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        n = c.vit_hidden
        self.heads = c.vit_heads
        self.norm1, self.norm2 = nn.LayerNorm(n, 1e-6), nn.LayerNorm(n, 1e-6)
        self.qkv, self.proj = linear(3 * n, n, True), linear(n, n, True, 0.5)
        self.fc1, self.fc2 = linear(c.vit_mlp, n, True), linear(n, c.vit_mlp, True, 0.5)

    def forward(self, x, cos, sin):  # x [frames, patches, n]
        f, p, n = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(f, p, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = rotate_half(q, cos, sin), rotate_half(k, cos, sin)
        a = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(a.transpose(1, 2).reshape(f, p, n))
        return x + self.fc2(quick_gelu(self.fc1(self.norm2(x))))


class ResamplerMlp(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.fc1, self.fc2 = linear(n_out, n_in, True), linear(n_out, n_out, True)
        self.ln = nn.LayerNorm(n_out, 1e-6)

    def forward(self, x):
        return self.ln(self.fc2(F.gelu(self.fc1(x))))


class Vision(nn.Module):
    """Frames -> visual tokens (tower and resampler)."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        n = c.vit_hidden
        self.patch_embed = linear(n, 588)
        self.blocks = nn.ModuleList(VisionBlock(c) for _ in range(c.vit_depth))
        self.ln = nn.LayerNorm(n, 1e-6)
        self.spatial, self.temporal = ResamplerMlp(4 * n, 4 * n), ResamplerMlp(8 * n, 4 * n)
        self.mlp = linear(c.hidden, 4 * n, True)
        self.after_norm = RMSNorm(c.hidden)
        self.register_buffer("mean", torch.tensor(preprocess.MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(preprocess.STD), persistent=False)

    def patches(self, frames):  # uint8 [f, H, W, 3] -> [f, patches, 588], window order
        f, height, width, _ = frames.shape
        x = (frames.float() * (1 / 255) - self.mean) / self.std
        x = x.view(f, height // 28, 2, 14, width // 28, 2, 14, 3)
        return x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(f, -1, 588)

    def forward(self, frames, items, per_item):
        """frames uint8 [items*per_item, H, W, 3] -> [items, tokens, hidden]."""
        x = self.patch_embed(self.patches(frames))
        cos, sin = vision_rope(frames.shape[1] // 28, frames.shape[2] // 28,
                               self.c.vit_hidden // self.c.vit_heads, frames.device)
        for block in self.blocks:
            x = block(x, cos, sin)
        x = self.spatial(self.ln(x).view(items * per_item, -1, 4 * self.c.vit_hidden))
        x = x.view(items, per_item, -1, 4 * self.c.vit_hidden)
        first, second = (x, x) if per_item == 1 else (x[:, 0::2], x[:, 1::2])
        x = self.temporal(torch.cat([first, second], -1))
        return self.after_norm(self.mlp(x)).view(items, -1, self.c.hidden)


def text_rope(c, pos):
    """cos, sin [..., 64] for positions [..., 3] = (t, h, w)."""
    half = c.head_dim // 2
    i = torch.arange(half, device=pos.device)
    inv = c.rope_theta ** (-2.0 * i.float() / c.head_dim)
    axis = torch.where(i >= half - c.time_freqs, 0, 1 + i % 2)
    angle = pos.float()[..., axis] * inv
    return angle.cos(), angle.sin()


class Mlp(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.gate, self.up, self.down = linear(width, hidden), linear(width, hidden), linear(hidden, width, gain=0.5)

    def forward(self, x):
        return self.down(swiglu(self.gate(x), self.up(x)))


class Experts(nn.Module):
    """Experts of one modality: rows e*width..(e+1)*width of `wide` belong to expert e."""

    def __init__(self, c, width):
        super().__init__()
        self.k = c.top_k
        self.router = nn.Parameter(torch.randn(c.experts, c.hidden) * 0.02)
        self.wide = Mlp(c.hidden, c.experts * width)
        self.register_buffer("bias", torch.zeros(c.experts))
        self.register_buffer("load", torch.zeros(c.experts), persistent=False)

    def forward(self, x, counted=None):
        """x [tokens, hidden]; counted [tokens, 1]: which tokens count for the balance of the load."""
        with torch.autocast(x.device.type, enabled=False):
            p = F.softmax(x.float() @ self.router.float().T, -1)
        chosen = torch.topk(p.detach() + self.bias, self.k, -1).indices
        mask = torch.zeros_like(p).scatter_(-1, chosen, 1.0)
        if self.training:
            self.load += (mask if counted is None else mask * counted).sum(0)
        w = p * mask
        w = w / w.sum(-1, keepdim=True).clamp_min(1e-12)
        return self.wide.down(gated_swiglu(self.wide.gate(x), self.wide.up(x), w))


class Layer(nn.Module):
    def __init__(self, c, moe):
        super().__init__()
        self.c, self.moe = c, moe
        self.input_norm, self.post_norm = RMSNorm(c.hidden), RMSNorm(c.hidden)
        self.q = linear(c.heads * c.head_dim, c.hidden)
        self.k, self.v = linear(c.kv_heads * c.head_dim, c.hidden), linear(c.kv_heads * c.head_dim, c.hidden)
        self.o = linear(c.hidden, c.heads * c.head_dim, gain=0.5)
        if moe:
            self.text, self.vision = Experts(c, c.text_width), Experts(c, c.vision_width)
            self.shared = Mlp(c.hidden, c.shared_width)
        else:
            self.mlp = Mlp(c.hidden, c.dense)

    def project(self, x, cos, sin):
        r, n, _ = x.shape
        x = self.input_norm(x)
        q, k, v = (m(x).view(r, n, -1, self.c.head_dim).transpose(1, 2) for m in (self.q, self.k, self.v))
        return rotate_pairs(q, cos, sin), rotate_pairs(k, cos, sin), v

    def attend(self, x, q, k, v, mask):
        group = self.c.heads // self.c.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return x + self.o(a.transpose(1, 2).flatten(-2))

    def feed(self, x, visual, text, counted):
        """visual, text: indices into the flattened tokens, or visual None for text only."""
        h = self.post_norm(x)
        if not self.moe:
            return x + self.mlp(h)
        flat = h.flatten(0, 1)
        if visual is None:
            y = self.text(flat, counted)
        else:
            a = self.text(flat.index_select(0, text), counted)
            b = self.vision(flat.index_select(0, visual))
            y = torch.empty_like(flat, dtype=a.dtype).index_copy(0, text, a).index_copy(0, visual, b)
        return x + (y + self.shared(flat)).view_as(x)

    def forward(self, x, cos, sin, mask, visual, text, counted):
        q, k, v = self.project(x, cos, sin)
        return self.feed(self.attend(x, q, k, v, mask), visual, text, counted)


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.vision = Vision(c)
        self.embed = nn.Embedding(c.vocab, c.hidden)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.layers = nn.ModuleList(Layer(c, i > 0) for i in range(c.layers))
        self.norm = RMSNorm(c.hidden)

    def inputs(self, ids, frames, patch, items, per_item):
        """Embeddings of ids [R, L] with the visual tokens at the flat indices `patch`."""
        x = self.embed(ids)
        if items == 0:
            return x
        features = self.vision(frames, items, per_item).flatten(0, 1)
        return x.flatten(0, 1).index_copy(0, patch, features.to(x.dtype)).view_as(x)

    def forward(self, x, pos, mask, visual, text, counted=None):
        """x [R, L, hidden], pos [R, L, 3], mask [R, 1, L, L] bool, visual and text flat indices
        (visual None: text only), counted [len(text), 1]. -> [R, L, hidden]"""
        cos, sin = (t[:, None] for t in text_rope(self.c, pos))
        for layer in self.layers:
            x = layer(x, cos, sin, mask, visual, text, counted)
        return self.norm(x)

    def logits(self, x):
        return F.linear(x, self.embed.weight.to(x.dtype))

