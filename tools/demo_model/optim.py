"""Muon (orthogonalised momentum) for the matrices, AdamW for everything else."""

import torch

MUON_MOMENTUM = 0.95


def _parts(name, p, model):
    """The matrices of a parameter as a view [count, rows, cols]: q, k, v and each expert apart."""
    if ".wide." in name:
        e = model.c.experts
        return p.unflatten(1, (e, -1)).transpose(0, 1) if ".down." in name else p.unflatten(0, (e, -1))
    if name.endswith("qkv.weight"):
        return p.unflatten(0, (3, -1))
    return p[None]


def orthogonalise(g, steps=5):
    """Newton-Schulz iteration on [n, rows, cols], rows <= cols (Jordan et al., Muon, 2024)."""
    x = g.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


class Optimizer:
    def __init__(self, model, weight_decay):
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        for _, p in trained:
            p.grad = torch.zeros_like(p)  # gradients keep their place, as CUDA graphs need
        self.decay = weight_decay
        self.groups = {}
        adam = []
        for name, p in trained:
            if p.ndim == 2 and "embed.weight" not in name and "router" not in name:
                view = _parts(name, p, model)
                flip = view.shape[1] > view.shape[2]
                shape = tuple(sorted(view.shape[1:]))
                self.groups.setdefault(shape, []).append((name, p, flip))
            else:
                adam.append(p)
        self.model = model
        self.adam = torch.optim.AdamW(adam, lr=0.0, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0,
                                      fused=adam[0].is_cuda)
        self.momentum = {}

    def _stack(self, entries, grad):
        out = []
        for name, p, flip in entries:
            view = _parts(name, p.grad if grad else p, self.model)
            out.append(view.mT if flip else view)
        return out

    @torch.no_grad()
    def step(self, lr, adam_lr):
        torch.nn.utils.clip_grad_norm_(self.adam.param_groups[0]["params"], 1.0)
        for group in self.adam.param_groups:
            group["lr"] = adam_lr
        self.adam.step()
        for shape, entries in self.groups.items():
            g = torch.cat(self._stack(entries, True))
            if shape not in self.momentum:
                self.momentum[shape] = torch.zeros_like(g)
            m = self.momentum[shape]
            m.lerp_(g, 1 - MUON_MOMENTUM)
            update = orthogonalise(g.lerp_(m, MUON_MOMENTUM)) * (0.2 * shape[1] ** 0.5)
            weights = self._stack(entries, False)
            torch._foreach_mul_(weights, 1 - lr * self.decay)
            torch._foreach_add_(weights, list(update.float().split([w.shape[0] for w in weights])), alpha=-lr)
        self.model.zero_grad(set_to_none=False)

    def state(self):
        return {"momentum": self.momentum, "adam": self.adam.state_dict()}

    def load(self, state):
        self.momentum = state["momentum"]
        self.adam.load_state_dict(state["adam"])
