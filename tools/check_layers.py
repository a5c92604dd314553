#!/usr/bin/env python3
"""Checks the house rules that a compiler does not: which layer may include which, and how long files are.

Prints one line for each breach and exits 1 if there is any.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Each layer with the layers it may include directly. Anything not listed is upward or sideways.
ALLOWED = {
    "kernels": set(),  # the folder kernels/ beside src/: it builds alone, without anything of src/
    "base": set(),
    "tensor": {"base"},
    "ops": {"tensor", "base"},
    "comm": {"tensor", "base"},
    "comm/cuda": {"kernels", "comm", "tensor", "base"},
    "backend": {"ops", "comm", "tensor", "base"},  # the factory that backend/cuda and backend/no_cuda share
    "backend/cpu": {"ops", "tensor", "base"},
    "backend/cuda_sizing": {"kernels", "ops", "tensor", "base"},  # in every build: kernels' headers without CUDA
    "backend/cuda": {"kernels", "backend/cuda_sizing", "backend", "ops", "comm", "comm/cuda", "tensor", "base"},
    "backend/no_cuda": {"backend", "ops", "comm", "tensor", "base"},
    "media": {"base"},
    "text": {"base"},
    "grammar": {"text", "base"},
    "obs": {"base"},
    "sched": {"base"},
    "model": {"ops", "comm", "text", "media", "tensor", "base"},
    "engine": {"sched", "grammar", "model", "comm", "ops", "tensor", "base"},
    "serve": {"engine", "grammar", "sched", "model", "text", "media", "obs", "tensor", "base"},
    "http": {"serve", "engine", "obs", "base"},
}
# Tests may also use a backend to run what they test on, and text helpers to check what they get.
TEST_EXTRA = {"backend/cpu", "text"}

MAX_LINES = {".cpp": 600, ".h": 600, ".py": 600, ".ts": 600, ".css": 600, ".cu": 900, ".cuh": 900}
INCLUDE = re.compile(r'^\s*#include\s+"([^"]+)"')
OPTIONAL_PARTS = re.compile(r"^\s*#\s*if.*\b(ERNIE_|USE_|WITH_|ENABLE_)")


def layer_of(path: str):
    """The layer a path below src/ belongs to, or None."""
    for layer in sorted(ALLOWED, key=len, reverse=True):
        if path.startswith(layer + "/"):
            return layer
    return None


def check_includes(path: pathlib.Path):
    shown = path.relative_to(ROOT).as_posix()
    layer = layer_of(shown.removeprefix("src/"))
    if layer is None:
        yield f"{shown}: no layer of this name in tools/check_layers.py"
        return
    allowed = ALLOWED[layer] | {layer}
    if path.name.endswith("_test.cpp"):
        allowed |= TEST_EXTRA
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if OPTIONAL_PARTS.match(line):
            yield f"{shown}:{number}: optional parts are folders chosen by CMake, not #if"
        match = INCLUDE.match(line)
        if not match:
            continue
        target = layer_of(match.group(1))
        if target is not None and target not in allowed:
            yield f"{shown}:{number}: {layer} may not include {target} ({match.group(1)})"


def tracked_files():
    out = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / line for line in out.splitlines()]


def main() -> int:
    problems = []
    for path in tracked_files():
        if not path.exists():
            continue
        is_video = path.suffix == ".ts" and path.parts[len(ROOT.parts)] != "web"
        limit = MAX_LINES.get(path.suffix)
        if limit and not is_video:
            lines = len(path.read_text(errors="replace").splitlines())
            if lines > limit:
                problems.append(f"{path.relative_to(ROOT)}: {lines} lines, at most {limit}: it is two things")
        if path.suffix in (".cpp", ".h", ".cu", ".cuh") and path.parts[len(ROOT.parts)] in ("src", "kernels"):
            problems.extend(check_includes(path))
    for problem in problems:
        print(problem)
    print(f"check_layers: {len(problems)} problem(s)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
