#!/usr/bin/env bash
# Fetches the header libraries that the CUDA attention kernels are compiled with: FlashInfer, and the CUTLASS
# and CCCL versions it brings, from its pinned Python package. They land in .cache/flashinfer, where CMake looks.
# Nothing of the package runs; only headers are taken out of it. One of them is mended (see mend() below).
set -euo pipefail

package="flashinfer-python==0.7.2.post1"
wheel="flashinfer_python-0.7.2.post1-py3-none-any.whl"
sha256="bfdc18b9e1e4d8d0730fe4343dc0e284cd0c160086de80f99888bc4867922d49"

root="$(cd "$(dirname "$0")/.." && pwd)"
target="$root/.cache/flashinfer"
ready="$sha256 mended 1"
if [ -f "$target/ready" ] && [ "$(cat "$target/ready")" = "$ready" ]; then
  echo "install_cuda_deps: $target is there"
  exit 0
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
echo "install_cuda_deps: fetching $package (60 MB)"
python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: -d "$work" "$package"
found="$(sha256sum "$work/$wheel" | cut -d' ' -f1)"
if [ "$found" != "$sha256" ]; then
  echo "install_cuda_deps: $wheel has SHA-256 $found, expected $sha256; it is not used" >&2
  exit 1
fi
rm -rf "$target"
mkdir -p "$target"
python3 - "$work/$wheel" "$target" <<'PY'
import pathlib
import re
import sys
import zipfile

wheel, target = sys.argv[1], pathlib.Path(sys.argv[2])
PREFIX = "flashinfer/data/"
FOLDERS = ("include/", "cutlass/include/", "cutlass/tools/util/include/", "cccl/cub/", "cccl/libcudacxx/include/",
           "cccl/thrust/")


def mend(header):
    """Every thread that stores the output arrives at a barrier and then waits at it, and so counts twice: half of the
    threads can end the wait before the others have written their rows to shared memory, and store what lay there. The
    wait alone is right."""
    arrival = rb"cutlass::arch::NamedBarrier::arrive\(\s*NUM_MMA_THREADS,\s*[\w:]+::EpilogueBarrier\);"
    mended, count = re.subn(arrival, b"// ernie.cpp: the threads arrive where they wait, below.", header)
    if count != 1:
        sys.exit(f"install_cuda_deps: {EPILOGUE} has the arrival that must go {count} times, expected 1")
    return mended


EPILOGUE = "include/flashinfer/attention/hopper/epilogue.cuh"
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        part = name.removeprefix(PREFIX)
        licence = ".dist-info/licenses/LICENSE" in name
        header = part != name and part.startswith(FOLDERS)
        if name.endswith("/") or ".." in name or not (header or licence):
            continue
        path = target / (part if header else pathlib.Path(name).name)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = archive.read(name)
        path.write_bytes(mend(data) if part == EPILOGUE else data)
PY
echo "$ready" >"$target/ready"
echo "install_cuda_deps: headers are in $target"
