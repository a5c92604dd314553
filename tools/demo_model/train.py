"""Trains the demo model on one GPU (or, with --tiny, a minute model on the CPU as a check).

usage: train.py --out FOLDER --fonts FOLDER (--steps N | --seconds S) [--resume STATE.pt | --init CHECKPOINT]
FOLDER must hold the tokenizer files (make_tokenizer.py). Writes FOLDER/model-*.safetensors at the end
and every --save-seconds, and --state FILE with everything needed to continue.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import queue
import shutil
import tempfile
import threading
import time

import numpy as np
import torch
import torch.nn.functional as F

import batches
import config
import export
import model as models
import optim

TINY = config.Config(hidden=256, layers=2, heads=2, dense=256, text_width=32, vision_width=32, shared_width=32,
                     vit_hidden=80, vit_heads=1, vit_depth=1, vit_mlp=320)


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True)
    p.add_argument("--fonts", required=True)
    length = p.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="length of the whole schedule")
    length.add_argument("--seconds", type=float, help="length of the whole schedule as time since the start")
    p.add_argument("--stop", type=int, help="stop before this step (default: at the schedule's end)")
    p.add_argument("--lr", type=float, default=2e-3, help="Muon learning rate (RMS of an update / 0.2)")
    p.add_argument("--adam-lr", type=float, default=1e-3)
    p.add_argument("--weight-decay", type=float, default=0.05)
    p.add_argument("--warmup", type=int, default=150)
    p.add_argument("--hold", type=float, default=0.35, help="fraction of the schedule at the full rate")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    p.add_argument("--log-every", type=int, default=100)
    p.add_argument("--save-seconds", type=float, default=float("inf"))
    p.add_argument("--state", help="file for the training state")
    p.add_argument("--resume", help="training state to continue from")
    p.add_argument("--init", help="checkpoint folder to start from (weights only)")
    p.add_argument("--rows", type=int, default=1 << 30, help="at most so many rows per batch")
    p.add_argument("--kind", help="train on one kind of batch only, such as scene or calculator")
    p.add_argument("--only", default="", help="train only the parameters whose name contains this")
    p.add_argument("--tiny", action="store_true", help="a minute model")
    return p.parse_args()


def roomy_folder():
    """Memory for the batches under way, some 30 MB a step; None: the usual folder, on a disk."""
    memory = "/dev/shm"
    return memory if os.path.isdir(memory) and shutil.disk_usage(memory).free > 3e9 else None


class Feed:
    """Batches in step order from the workers' files, loaded ahead by a thread."""

    def __init__(self, args, first, stop, device):
        self.folder = tempfile.mkdtemp(prefix="demo_model_", dir=roomy_folder())
        self.device, self.first, self.stop = device, first, stop
        context = multiprocessing.get_context("spawn")
        self.workers = [context.Process(
            target=batches.worker, daemon=True,
            args=(args.out, args.fonts, args.seed, (first, stop), i, args.workers, self.folder, 24,
                  args.rows, args.kind))
            for i in range(args.workers)]
        self._mark(first)
        for w in self.workers:
            w.start()
        self.queue = queue.Queue(maxsize=4)
        self.waited = 0.0
        threading.Thread(target=self._load, daemon=True).start()

    def _mark(self, step):
        path = os.path.join(self.folder, "read")
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(str(step))
        os.rename(path + ".new", path)

    def _load(self):
        for step in range(self.first, self.stop):
            parts = []
            for part in (0, 1):
                path = os.path.join(self.folder, f"{step}.{part}.npz")
                while not os.path.exists(path):
                    if any(w.exitcode not in (None, 0) for w in self.workers):
                        self.queue.put(RuntimeError("a data worker died"))
                        return
                    time.sleep(0.005)
                with np.load(path) as z:
                    arrays = {k: torch.from_numpy(z[k]) for k in z.files}
                os.remove(path)
                if self.device.type == "cuda":
                    arrays = {k: v.pin_memory() for k, v in arrays.items()}
                parts.append(arrays)
            self._mark(step)
            self.queue.put(parts)

    def get(self):
        start = time.time()
        parts = self.queue.get()
        if isinstance(parts, Exception):
            raise parts
        self.waited += time.time() - start
        return parts

    def close(self):
        for w in self.workers:
            w.terminate()
        shutil.rmtree(self.folder, ignore_errors=True)


def attention_mask(doc, branch):
    """[R, 1, L, L]: causal, within a document, and not from branch to branch."""
    n = doc.shape[1]
    causal = torch.ones(n, n, dtype=torch.bool, device=doc.device).tril()
    same = doc[:, :, None] == doc[:, None]
    open_ = (branch[:, None] == 0) | (branch[:, None] == branch[:, :, None])
    return (causal & same & open_)[:, None]


def forward(model, b, bucket):
    """-> (sum of the token losses, right tokens)."""
    ids = b["ids"].long()
    counted = (b["doc"].flatten() >= 0).float()[:, None]
    mask = attention_mask(b["doc"], b["branch"])
    if bucket.items:
        text = b["text"].long()
        x = model.inputs(ids, b["frames"].flatten(0, 1), b["patch"].long(), bucket.rows * bucket.items,
                         bucket.frames)
        x = model(x, b["pos"], mask, b["visual"].long(), text, counted.index_select(0, text))
    else:
        x = model.inputs(ids, None, None, 0, 0)
        x = model(x, b["pos"], mask, None, None, counted)
    labels = b["labels"].long()
    logits = F.linear(x, model.embed.weight.to(x.dtype)).float()
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-1, reduction="sum")
    return loss, (logits.argmax(-1) == labels).sum()


class Step:
    """Forward and backward of one bucket; on a GPU recorded once as a CUDA graph and replayed."""

    pool = None

    def __init__(self, model, bucket, sample, device):
        self.model, self.bucket, self.cuda = model, bucket, device.type == "cuda"
        self.inputs = {k: v.to(device, copy=True) for k, v in sample.items()}
        self.scale = torch.ones((), device=device)
        if not self.cuda:
            return
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._run()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=Step.pool, capture_error_mode="thread_local"):
            self.out = self._run()
        Step.pool = Step.pool or self.graph.pool()

    def _run(self):
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self.cuda, cache_enabled=False):
            loss, right = forward(self.model, self.inputs, self.bucket)
        (loss * self.scale).backward()
        return loss.detach(), right

    def __call__(self, arrays, tokens):
        """Adds the gradient of the summed loss / tokens; -> (summed loss, right tokens)."""
        for k, v in arrays.items():
            self.inputs[k].copy_(v, non_blocking=True)
        self.scale.fill_(1.0 / tokens)
        if self.cuda:
            self.graph.replay()
            return [t.clone() for t in self.out]
        return self._run()


def balance(model, rate):
    """Moves the correction biases towards an even load (auxiliary-loss-free balancing)."""
    with torch.no_grad():
        for layer in model.layers:
            if layer.moe:
                for experts in (layer.text, layer.vision):
                    experts.bias += rate * torch.sign(experts.load.mean() - experts.load)
                    experts.load.zero_()


def rate_at(step, done, args):
    """Share of the full learning rate; done: share of the schedule."""
    fall = 1.0 if done < args.hold else max(0.0, (1 - done) / (1 - args.hold))
    return min(fall, (step + 1) / args.warmup)


def clear(model):
    """Forgets gradients and expert loads left by recording a step."""
    for p in model.parameters():
        if p.grad is not None:
            p.grad.zero_()
    for layer in model.layers:
        if layer.moe:
            layer.text.load.zero_()
            layer.vision.load.zero_()


def save_all(args, c, model, optimizer, step):
    export.save(args.out, c, model, args.out)
    if args.state:
        torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state(),
                    "config": dataclasses.asdict(c)}, args.state + ".new")
        os.replace(args.state + ".new", args.state)


def main():
    args = parse()
    started = time.time()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(args.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    c = TINY if args.tiny else config.DEMO
    model = models.Model(c).to(device)
    for name, p in model.named_parameters():
        p.requires_grad_(args.only in name)
    optimizer = optim.Optimizer(model, args.weight_decay)
    first = 0
    if args.resume:
        state = torch.load(args.resume, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load(state["optimizer"])
        first = state["step"]
    elif args.init:
        export.load(args.init, c, model)
    stop = args.stop or args.steps or 1 << 30
    feed = Feed(args, first, stop, device)
    model.train()
    totals, steps, log_time, log_step, saved, ran = {}, {}, time.time(), first, started, first
    for step in range(first, stop):
        done = (time.time() - started) / args.seconds if args.seconds else step / args.steps
        if done >= 1:
            break
        rate = rate_at(step, done, args)
        parts = feed.get()
        buckets = [dataclasses.replace(b, rows=len(arrays["ids"])) for b, arrays in zip(
            (batches.schedule(args.seed, step, part, args.kind)[0] for part in (0, 1)), parts)]
        new = [(b, arrays) for b, arrays in zip(buckets, parts) if b not in steps]
        for b, arrays in new:
            steps[b] = Step(model, b, arrays, device)
        if new:
            clear(model)
        counts = [int((arrays["labels"] >= 0).sum()) for arrays in parts]
        sums = [steps[b](arrays, sum(counts)) for b, arrays in zip(buckets, parts)]
        optimizer.step(args.lr * rate, args.adam_lr * rate)
        balance(model, 1e-3 * rate)
        for bucket, n, (loss, right) in zip(buckets, counts, sums):
            old = totals.get(bucket.name, (0, 0, 0))
            totals[bucket.name] = (old[0] + loss, old[1] + n, old[2] + right)
        if (step + 1) % args.log_every == 0 or step == first:
            parts_text = " ".join(f"{k} {float(l / n):.4f}/{float(r / n):.3f}"
                                  for k, (l, n, r) in sorted(totals.items()))
            now = time.time()
            print(f"step {step + 1} rate {rate:.2f} | {parts_text} | "
                  f"{1000 * (now - log_time) / max(1, step + 1 - log_step):.0f} ms/step, data wait "
                  f"{feed.waited:.1f} s, {now - started:.0f} s", flush=True)
            totals, log_time, log_step, feed.waited = {}, now, step + 1, 0.0
        ran = step + 1
        if time.time() - saved > args.save_seconds:
            save_all(args, c, model, optimizer, ran)
            saved = time.time()
    feed.close()
    save_all(args, c, model, optimizer, ran)
    print(json.dumps({"steps": ran, "seconds": round(time.time() - started, 1)}), flush=True)


if __name__ == "__main__":
    main()
