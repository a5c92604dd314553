#!/usr/bin/env bash
# tests/clients/run.sh [SET...]     drives build/ernie (or $ERNIE) with public clients
#
# Sets: official (OpenAI's and Anthropic's own), openai-2 (clients upon OpenAI's version 2), frameworks, lm-eval, guidellm.
# Without names: all but guidellm, which takes 6 GB of disk. Each has an environment of its own, .venv-clients-SET, that is
# made when it is missing or older than its list of requirements.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/clients

files() {
  case $1 in
    official) echo openai anthropic ;;
    openai-2) echo instructor llama_index ;;
    frameworks) echo litellm langchain pydantic_ai haystack smolagents llm_cli ;;
    lm-eval) echo lm_eval ;;
    guidellm) echo guidellm ;;
    *) echo "run.sh: no set is called $1; see the top of $here/run.sh" >&2; exit 2 ;;
  esac
}

requirements() { if [[ $1 == official ]]; then echo $here/requirements.txt; else echo "$here/requirements-$1.txt"; fi; }

sets=("$@")
((${#sets[@]})) || sets=(official openai-2 frameworks lm-eval)
failed=()
for set in "${sets[@]}"; do
  tests=()
  for name in $(files "$set"); do tests+=("$here/test_$name.py"); done
  ((${#tests[@]})) || exit 2
  venv=.venv-clients-$set list=$(requirements "$set")
  if [[ ! $venv/ready -nt $list ]]; then
    echo "clients: installing into $venv: $(grep -v '^#' "$list" | tr '\n' ' ')"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$list"
    touch "$venv/ready"
  fi
  echo "clients: $set"
  "$venv/bin/pytest" -q "${tests[@]}" || failed+=("$set")
done
((${#failed[@]} == 0)) || { echo "clients: failed: ${failed[*]}" >&2; exit 1; }
