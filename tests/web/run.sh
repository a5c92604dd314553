#!/usr/bin/env bash
# tests/web/run.sh [pytest's arguments]     drives the pages of build/ernie (or $ERNIE) in headless Chromium
#
# Screenshots are left in build/web-screenshots (or $ERNIE_WEB_SHOTS), to be looked at.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=.venv-web list=tests/web/requirements.txt
command -v "${CHROMIUM:-chromium}" >/dev/null || { echo "web: no Chromium: run tools/install_deps.sh --lint" >&2; exit 2; }
if [[ ! $venv/ready -nt $list ]]; then
  echo "web: installing into $venv: $(tr '\n' ' ' <"$list")"
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check -r "$list"
  touch "$venv/ready"
fi
exec "$venv/bin/pytest" -q tests/web "$@"
