#!/usr/bin/env bash
# Installs every system package the CPU build, the demo and the tests need (Debian 12), and XGrammar, which has none.
# Versions are pinned to the upstream release that docs/dependencies.md names.
set -euo pipefail

packages=(
  "g++=4:12.2.*" "cmake=3.25.*" "ninja-build=1.11.*" "make" "git" "pkg-config"
  "ccache=4.8*" "mold=1.10.*"
  "libboost1.81-dev=1.81.*" "libboost-json1.81-dev=1.81.*" "libboost-system1.81-dev=1.81.*"
  "libspdlog-dev=1:1.10.*" "libfmt-dev=9.1.*" "libcli11-dev=2.1.*" "libyaml-cpp-dev=0.7.*"
  "libsentencepiece-dev=0.1.97*"
  "libjpeg62-turbo-dev=1:2.1.*" "libpng-dev=1.6.*" "libwebp-dev=1.2.*" "libgif-dev=5.2.*"
  "libfreetype-dev=2.12.*" "fonts-roboto-unhinted"
  "libavformat-dev=7:5.1.*" "libavcodec-dev=7:5.1.*" "libswscale-dev=7:5.1.*" "libseccomp-dev=2.5.*"
  "libtiff-dev=4.5.*" "libheif-dev=1.15.*" "libavif-dev=0.11.*"
  "libcurl4-openssl-dev=7.88.*" "libidn2-dev=2.3.*" "libssl-dev=3.0.*" "libxxhash-dev=0.8.*"
  "prometheus-cpp-dev=1.0.*"
  "esbuild=0.17.*" "node-marked=4.2.*" "node-dompurify=2.4.*" "node-highlight.js=9.18.*"
  "libjs-katex=0.16.*" "fonts-katex=0.16.*"
  "libgtest-dev=1.12.*" "libgmock-dev=1.12.*" "librapidcheck-dev" "libbenchmark-dev=1.7.*"
  "python3" "python3-venv" "curl" "ca-certificates"
)
# Format and lint tools, the compiler of the fuzz targets with its runtimes, and a browser with Chinese letters for the
# tests of the pages; only .ci/run and contributors need them.
lint_packages=("clang-format-14" "clang-tidy-14" "clang-14=1:14.0.*" "libclang-rt-14-dev=1:14.0.*"
  "node-typescript=4.8.*" "chromium" "fonts-noto-cjk")
[ "${1:-}" = "--lint" ] && packages+=("${lint_packages[@]}")

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
for spec in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "${spec%%=*}" 2>/dev/null | grep -q "ok installed" || missing+=("$spec")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "install_deps: all ${#packages[@]} packages are installed"
  exec "$(dirname "$0")/install_xgrammar.sh"
fi
if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
  echo "install_deps: needs root or sudo to install: ${missing[*]}" >&2
  exit 1
fi
echo "install_deps: installing ${#missing[@]} packages with apt-get (a minute or two): ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "install_deps: done"
exec "$(dirname "$0")/install_xgrammar.sh"
