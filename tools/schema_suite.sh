#!/usr/bin/env bash
# tools/schema_suite.sh [BUILD_DIR]
# Draws answers from the grammar of every schema of the JSON-Schema-Test-Suite and has Python's jsonschema check them. The
# suite comes in that package's source archive.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
suite=.cache/jsonschema-4.26.0
if [ ! -d "$suite/json/tests" ]; then
  echo "schema_suite: fetching the suite"
  tools/fetch_source_archive.sh jsonschema 4.26.0 0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326 \
    hatchling.build "$suite"
fi
if [ ! -f .venv-schemas/ready ]; then
  python3 -m venv .venv-schemas
  .venv-schemas/bin/pip install -q --disable-pip-version-check -r tests/grammar/requirements.txt
  touch .venv-schemas/ready
fi
cmake --build "$build" --target grammar_sampler >/dev/null
.venv-schemas/bin/python tests/grammar/schema_suite.py "$build/tests/grammar/grammar_sampler" "$suite/json/tests"
