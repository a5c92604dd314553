#!/usr/bin/env python3
"""Makes tests/golden/model: small checkpoints and what transformers computes with them.

    python3 -m venv venv
    venv/bin/pip install torch transformers==5.23.* numpy 'pillow<13' sentencepiece safetensors
    venv/bin/python tools/golden/model_golden.py tests/golden/model

Every number is computed twice, by transformers in float32 and by reference_model.py in float64; the
maker stops if they differ by more than 1e-4. tests/golden/model/README.md describes the files.
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
import sentencepiece
import torch
import transformers
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import make_tiny_checkpoint as tiny  # noqa: E402
import model_cases  # noqa: E402
import model_prompt as prompt  # noqa: E402
import reference_model as reference  # noqa: E402

CHECKPOINTS = {  # name: layout, shards, seed, chat template
    "tiny-a": ("pt", 1, 11, None),
    "tiny-b": ("hf", 1, 22, prompt.VL_JINJA),
    "tiny-text": ("pt", 1, 33, None),
    "tiny-moe-text": ("pt", 3, 44, None),
}
ID = tiny.ID
IMAGE_ID, VIDEO_ID = ID["<|IMAGE_PLACEHOLDER|>"], ID["<|VIDEO_PLACEHOLDER|>"]
MARKERS = [ID[f"<|{kind}_{end}|>"] for kind in ("IMAGE", "VIDEO") for end in ("START", "END")]
LAST, NEW = 8, 16  # stored prompt positions and greedy tokens
AGREEMENT = 1e-4


class Arrays:
    """arrays.bin: little-endian arrays one behind the other, found by the byte offset."""

    def __init__(self):
        self.blobs, self.size = [], 0

    def add(self, values, dtype="f32"):
        values = np.ascontiguousarray(values, np.float32)
        blob = (tiny.to_bf16_bits(values) if dtype == "bf16" else values).tobytes()
        entry = {"offset": self.size, "shape": list(values.shape), "dtype": dtype}
        self.blobs.append(blob)
        self.size += len(blob)
        return entry


def fnv1a64(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def rounded_weights(geometry, seed):
    """The logical weights after rounding to bfloat16, as the committed files hold them."""
    out = {}
    for name, value in tiny.logical_weights(geometry, seed).items():
        value = np.ascontiguousarray(value)
        if not tiny.stays_float32(name):
            value = (tiny.to_bf16_bits(value).astype(np.uint32) << 16).view(np.float32)
        out[name] = value
    return out


def load_transformers(geometry, seed, dtype):
    """The transformers model, loaded from the `pt` layout and compared with the `hf` layout."""
    g = tiny.GEOMETRIES[geometry]
    with tempfile.TemporaryDirectory() as folder:
        tiny.make_checkpoint(folder, geometry, "pt", "bf16", seed)
        if g.depth:
            tiny.write_json(pathlib.Path(folder) / "config.json", tiny.nested_config(g, "bf16"))
            kind = transformers.Ernie4_5_VLMoeForConditionalGeneration
        else:
            kind = transformers.AutoModelForCausalLM
        model, info = kind.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager", output_loading_info=True
        )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[problem], (problem, info[problem])
    state = model.state_dict()
    expected = tiny.to_hf(g, rounded_weights(g, seed))
    assert set(state) - set(expected) <= {"lm_head.weight"}, set(state) ^ set(expected)
    for name, value in expected.items():
        assert np.array_equal(state[name].float().numpy(), value), name
        if dtype is torch.bfloat16 and tiny.stays_float32(name):
            assert state[name].dtype is torch.float32, name
    return model.eval()


def prepare_media(item):
    """Fills in sizes and hashes of one picture or video; returns its patches."""
    frames = [model_cases.picture(*frame) for frame in item["frames"]]
    if item["kind"] == "video" and len(frames) % 2:
        frames.append(frames[-1])
    height, width = reference.smart_resize(*frames[0].shape[:2], item["limits"])
    resize = Image.Resampling.BICUBIC
    frames = [np.asarray(Image.fromarray(f).resize((width, height), resize)) for f in frames]
    patches, grid = reference.patchify(np.stack(frames))
    item["resized"] = [height, width]
    item["grid"] = list(grid)
    item["tokens"] = int(np.prod(reference.merged_grid(grid)))
    item["rgb_fnv1a64"] = [fnv1a64(f.tobytes()) for f in frames]
    if item["kind"] == "image":
        check_image_processor(item, patches)
    return patches


def check_image_processor(item, patches):
    """transformers' own processor gives the same patches (it rejects ratios above 200)."""
    width, height, _ = item["frames"][0]
    if max(width, height) > 200 * min(width, height):
        return
    from transformers.models.ernie4_5_vl_moe import image_processing_pil_ernie4_5_vl_moe as module

    processor = module.Ernie4_5_VLMoeImageProcessorPil()
    picture = Image.fromarray(model_cases.picture(*item["frames"][0]))
    theirs = processor(images=[picture], return_tensors="np")
    assert theirs["image_grid_thw"].tolist() == [item["grid"]]
    assert np.abs(theirs["pixel_values"] - patches).max() < 2e-6


def transformers_inputs(ids, is_vision, media, patches):
    """Keyword arguments of the VL model, whose videos have a placeholder of their own."""
    kinds = np.zeros(len(ids), np.int64)
    run = iter(np.flatnonzero(ids == IMAGE_ID))
    for item in media:
        for _ in range(item["tokens"]):
            kinds[next(run)] = 1 if item["kind"] == "image" else 2
    routed = np.where(is_vision & (kinds == 0), np.where(np.isin(ids, MARKERS[:2]), 1, 2), kinds)
    out = {
        "input_ids": torch.tensor(np.where(kinds == 2, VIDEO_ID, ids))[None],
        "mm_token_type_ids": torch.tensor(kinds)[None],
        "moe_mm_token_type_ids": torch.tensor(routed)[None],
    }
    for kind, pixels, grid in (
        ("image", "pixel_values", "image_grid_thw"),
        ("video", "pixel_values_videos", "video_grid_thw"),
    ):
        mine = [i for i, item in enumerate(media) if item["kind"] == kind]
        if mine:
            out[pixels] = torch.tensor(np.concatenate([patches[i] for i in mine]))
            out[grid] = torch.tensor([media[i]["grid"] for i in mine])
    return out


def check_positions(model, inputs, position, media):
    """transformers' positions, which are too small behind a video longer than it is wide."""
    grids = {k: v for k, v in inputs.items() if k.endswith("grid_thw")}
    theirs, _ = model.model.get_rope_index(
        inputs["input_ids"], mm_token_type_ids=inputs["mm_token_type_ids"], **grids
    )
    long_video = any(
        reference.merged_grid(i["grid"])[0] > max(reference.merged_grid(i["grid"])[1:])
        for i in media
    )
    assert np.array_equal(theirs[:, 0].numpy(), position) != long_video


@torch.no_grad()
def run_transformers(model, inputs, position):
    more = {} if position is None else {"position_ids": torch.tensor(position)[:, None]}
    return model(**inputs, **more, use_cache=False).logits[0].float().numpy()


class Routing:
    """What a model's routers choose, and how to make another model choose the same.

    Gives the router's probabilities in one run, router by router, and counts other choices.
    """

    def __init__(self, model, forced=None):
        routers = [m for m in model.modules() if type(m).__name__.endswith("TopKRouter")]
        self.calls, self.forced, self.flips = [[] for _ in routers], forced, 0
        self.hooks = [
            m.register_forward_hook(lambda *call, i=i: self.note(i, *call))
            for i, m in enumerate(routers)
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()

    def note(self, i, router, _inputs, output):
        logits, weights, chosen = output
        shares = torch.softmax(logits, 1)
        if self.forced:
            theirs = self.forced.calls[i][len(self.calls[i])][1]
            self.flips += int((theirs.sort(1).values != chosen.sort(1).values).any(1).sum())
            chosen = theirs
            mine = shares.gather(1, chosen)
            mine = mine / mine.sum(1, keepdim=True).clamp(min=router.norm_min)
            weights = mine.to(weights.dtype)
        self.calls[i].append((shares, chosen))
        return logits, weights, chosen

    def probabilities(self):
        rows = [shares.flatten() for calls in self.calls for shares, _ in calls]
        return torch.cat(rows).numpy() if rows else np.zeros(0, np.float32)


def rms(values, axis=None):
    return np.sqrt(np.mean(np.square(values, dtype=np.float64), axis))


class Maker:
    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.layout, self.shards, self.seed, self.template = CHECKPOINTS[name]
        self.g = tiny.GEOMETRIES[name]
        self.arrays = Arrays()
        self.worst = 0.0

    def run(self):
        tiny.make_checkpoint(
            self.folder, self.name, self.layout, "bf16", self.seed, self.shards, self.template
        )
        self.tokenizer = sentencepiece.SentencePieceProcessor(
            model_file=str(self.folder / "tokenizer.model")
        )
        self.model = load_transformers(self.name, self.seed, torch.float32)
        self.model_bf16 = load_transformers(self.name, self.seed, torch.bfloat16)
        self.reference = reference.Model(self.g, rounded_weights(self.g, self.seed))
        cases = model_cases.vl_cases() if self.g.depth else model_cases.text_cases()
        cases = [self.make_case(case) for case in cases]
        versions = {m.__name__: m.__version__ for m in (torch, transformers, np, sentencepiece)}
        content = {
            "checkpoint": self.name,
            "made_with": {**versions, "pillow": Image.__version__},
            "reference_difference": self.worst,
            "cases": cases,
        }
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        text = text.replace('{"name":', '\n{"name":')
        (self.folder / "cases.json").write_text(text + "\n", encoding="utf-8")
        (self.folder / "arrays.bin").write_bytes(b"".join(self.arrays.blobs))

    def make_case(self, case):
        media = case["media"]
        patches = [prepare_media(item) for item in media]
        if self.g.depth:
            case["prompt"] = prompt.vl_prompt(case["messages"], case["enable_thinking"])
        else:
            case["prompt"] = prompt.text_prompt(case["messages"])
        ids = prompt.encode(self.tokenizer, ID, case["prompt"])
        ids = prompt.expand(ids, IMAGE_ID, [item["tokens"] for item in media])
        n = len(ids)
        features = self.make_features(media, patches)
        greedy, logits, logits_bf16 = [], None, None
        for step in range(NEW + 1):
            run, position, is_vision, inputs = self.inputs(ids, greedy, media, patches)
            logits = run_transformers(self.model, inputs, position if self.g.depth else None)
            if step < NEW:
                greedy.append(int(logits[-1].argmax()))
        at = position if self.g.depth else None
        logits_bf16 = run_transformers(self.model_bf16, inputs, at)
        with Routing(self.model) as exact:
            run_transformers(self.model, inputs, at)
        with Routing(self.model_bf16, exact) as routed:
            routed_error = run_transformers(self.model_bf16, inputs, at) - logits
        routed_error = routed_error[n - LAST : n - 1 + NEW]
        router_error = routed.probabilities() - exact.probabilities()
        own = self.reference.logits(run, position, is_vision, features, IMAGE_ID)
        difference = float(np.abs(own - logits).max())
        self.worst = max(self.worst, difference)
        assert difference < AGREEMENT, (self.name, case["name"], difference)

        steps = slice(n - 1, n - 1 + NEW)
        top = np.sort(logits[steps], -1)
        noise = np.abs(logits_bf16 - logits).max(-1)
        case["input_ids"] = ids
        case["position_ids"] = position[:, :n].tolist()
        case["next_position"] = int(position[0, n])
        case["is_vision"] = is_vision[:n].astype(int).tolist()
        case["argmax"] = logits[:n].argmax(-1).tolist()
        case["logit_positions"] = list(range(n - LAST, n))
        case["logits_f32"] = self.arrays.add(logits[n - LAST : n])
        case["logits_bf16"] = self.arrays.add(logits_bf16[n - LAST : n], "bf16")
        case["bf16_noise"] = float(noise[n - LAST : n].max())
        case["greedy"] = {
            "ids": greedy,
            "margin": (top[:, -1] - top[:, -2]).tolist(),
            "bf16_argmax": logits_bf16[steps].argmax(-1).tolist(),
            "bf16_noise": noise[steps].tolist(),
        }
        case["routed_bf16"] = {
            "rms": rms(routed_error, -1).tolist(),
            "max": np.abs(routed_error).max(-1).tolist(),
            "router_rms": float(rms(router_error)) if len(router_error) else 0.0,
            "other_choices": routed.flips,
        }
        spread = logits[n - LAST : n].std()
        print(
            f"{self.name:14}{case['name']:26}{n:5} tokens, spread {spread:.2f}, reference differs"
            f" by {difference:.1e}, bf16 noise {case['bf16_noise']:.3f}"
            f" ({np.abs(routed_error).max():.3f} routed), {routed.flips} other choices,"
            f" {len(set(greedy))} distinct of {NEW}",
            flush=True,
        )
        return case

    def inputs(self, prompt_ids, generated, media, patches):
        assert not {IMAGE_ID, VIDEO_ID} & set(generated), "no picture for it: take another seed"
        ids = np.array(prompt_ids + generated)
        position, _ = reference.positions(ids == IMAGE_ID, [item["grid"] for item in media])
        is_vision = np.isin(ids, [IMAGE_ID, *MARKERS])
        is_vision[len(prompt_ids) :] = False  # a generated token is text, whatever its id
        if not self.g.depth:
            return ids, position, is_vision, {"input_ids": torch.tensor(ids)[None]}
        inputs = transformers_inputs(ids, is_vision, media, patches)
        if media:
            check_positions(self.model, inputs, position, media)
        return ids, position, is_vision, inputs

    def make_features(self, media, patches):
        """Resampler rows of all items; for small items transformers' values are stored."""
        rows = []
        for item, pixels in zip(media, patches):
            item["first_last_patch"] = self.arrays.add(pixels[[0, -1]])
            tower = self.reference.vision_tower(pixels, item["grid"])
            rows.append(self.reference.resampler(tower, item["grid"]))
            with torch.no_grad():
                grid = torch.tensor([item["grid"]])
                core = self.model.model
                theirs = core.vision_tower(torch.tensor(pixels), grid).last_hidden_state
                output = core.resampler_model(theirs, grid).numpy()
            assert np.abs(theirs.numpy() - tower).max() < AGREEMENT
            assert np.abs(output - rows[-1]).max() < AGREEMENT
            if item["tokens"] <= 12:
                item["tower"] = self.arrays.add(theirs.numpy())
                item["resampler"] = self.arrays.add(output)
        return np.concatenate(rows) if rows else None


def resize_table():
    """500 sizes, among them the smallest, the widest and those that halve to a tie."""
    random = np.random.default_rng(7)
    sizes = [(1, 1), (14, 14), (42, 70), (28, 5600), (28, 5601), (3, 700), (5000, 20), (2160, 3840)]
    while len(sizes) < 500:
        h, w = (int(2 ** random.uniform(0, 13.3)) for _ in range(2))
        if random.random() < 0.2:
            h, w = h // 14 * 14 + 14, w // 14 * 14 + 14
        sizes.append((h, w))
    rows = []
    for h, w in sizes:
        limits = (reference.IMAGE_LIMITS, reference.VIDEO_LIMITS)
        rows.append([h, w, *(reference.smart_resize(h, w, limit) for limit in limits)])
    return {
        "columns": ["height", "width", "image [height, width] or null", "video frame, the same"],
        "image_limits": reference.IMAGE_LIMITS,
        "video_limits": reference.VIDEO_LIMITS,
        "rows": rows,
    }


def main():
    out = pathlib.Path(sys.argv[1])
    names = sys.argv[2:] or list(CHECKPOINTS)
    torch.set_num_threads(2)
    text = json.dumps(resize_table(), separators=(",", ":")).replace("],[", "],\n[")
    (out / "smart_resize.json").write_text(text + "\n")
    for name in names:
        maker = Maker(name, out / name)
        maker.run()
        size = sum(f.stat().st_size for f in maker.folder.iterdir())
        print(f"{name}: {size / tiny.MIB:.2f} MiB, reference differs by {maker.worst:.1e}")


if __name__ == "__main__":
    main()
