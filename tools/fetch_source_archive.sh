#!/usr/bin/env bash
# tools/fetch_source_archive.sh NAME VERSION SHA256 BACKEND FOLDER
# Fetches a Python package's source archive with pip, checks its hash and unpacks it into FOLDER. Nothing of it runs.
# BACKEND is the build backend that the archive names.
set -euo pipefail
name=$1 version=$2 sha256=$3 backend=$4 folder=$5

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# pip asks the archive's build backend for its name and version before it keeps the file. This one answers without
# building anything, so that the real one, with all it needs, is not needed.
module="$work/backend/${backend//.//}.py"
mkdir -p "$(dirname "$module")"
touch "$(dirname "$module")/__init__.py"
cat >"$module" <<PY
import pathlib


def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = pathlib.Path(folder) / "$name-$version.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: $name\nVersion: $version\n")
    return info.name


def build_wheel(*args, **kwargs):
    raise RuntimeError("only the archive is wanted")
PY
echo "$name==$version --hash=sha256:$sha256" >"$work/requirements.txt"
python3 -m venv "$work/venv"
PYTHONPATH="$work/backend" "$work/venv/bin/pip" download -q --disable-pip-version-check --no-deps --no-binary "$name" \
  --no-build-isolation -d "$work" -r "$work/requirements.txt"
mkdir -p "$folder"
tar -xzf "$work/$name-$version.tar.gz" -C "$folder" --strip-components=1
