#!/usr/bin/env python3
"""web/build.py ESBUILD DIR

Bundles the pages into DIR/files, compressed, and writes DIR/web_files.cpp, the table that makes them part of the
program.
"""
import gzip
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys

WEB = pathlib.Path(__file__).resolve().parent
KATEX = pathlib.Path("/usr/share/javascript/katex")
# Where Debian has what the pages import.
ALIASES = {"marked": "/usr/share/nodejs/marked/lib/marked.esm.js",
           "dompurify": "/usr/share/nodejs/dompurify/dist/purify.es.js",
           "katex": str(KATEX / "katex.mjs")}
PAGES = {"/": "chat.html", "/dashboard": "dashboard.html"}
SCRIPTS = ["boot.ts", "chat.ts", "dashboard.ts"]
STYLES = ["chat.css", "dashboard.css"]

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
COMPRESSED_ALREADY = {".woff2"}


def katex_style(folder: pathlib.Path) -> pathlib.Path:
    """KaTeX's style with its fonts in the one format that all browsers know."""
    style = (KATEX / "katex.css").read_text(encoding="utf-8")
    style = re.sub(r'src:[^;]*?url\("?(fonts/[\w-]+\.woff2)"?\)[^;]*;',
                   lambda m: f'src: url("{KATEX / m[1]}") format("woff2"); font-display: block;', style)
    path = folder / "katex.css"
    path.write_text(style, encoding="utf-8")
    return path


def bundle(esbuild: str, folder: pathlib.Path) -> dict:
    """Runs esbuild; returns the path of what became of each source, by the source's name."""
    sources = [str(WEB / "src" / name) for name in SCRIPTS + STYLES] + [str(katex_style(folder))]
    icon = str(WEB / "src" / "icon.svg")
    shutil.rmtree(folder / "assets", ignore_errors=True)
    subprocess.run(
        [esbuild, *sources, icon, "--bundle", "--splitting", "--format=esm", "--minify", "--target=es2022",
         "--charset=utf8", "--log-level=warning", "--legal-comments=eof", f"--outdir={folder / 'assets'}",
         "--entry-names=[name]-[hash]", "--chunk-names=[name]-[hash]", "--asset-names=[name]-[hash]",
         "--loader:.woff2=file", "--loader:.svg=copy", f"--metafile={folder / 'meta.json'}",
         *(f"--alias:{name}={path}" for name, path in ALIASES.items())],
        check=True, cwd=folder)
    outputs = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["outputs"]
    # A file that is only copied is no entry point.
    return {pathlib.Path(entry.get("entryPoint") or next(iter(entry["inputs"]), "")).name: "/" + path
            for path, entry in outputs.items()}


def page(name: str, names: dict) -> bytes:
    text = (WEB / "pages" / name).read_text(encoding="utf-8")
    return re.sub(r"\{\{([\w.]+)\}\}", lambda m: names[m[1]], text).encode()


def entry(path: str, content: bytes, suffix: str, files: pathlib.Path, number: int) -> tuple[str, str]:
    """What the assembler and the table say of one file."""
    compressed = suffix not in COMPRESSED_ALREADY
    if compressed:
        content = gzip.compress(content, 9, mtime=0)
    file = files / f"{number}{suffix}"
    file.write_bytes(content)
    etag = hashlib.sha256(content).hexdigest()[:20]
    label = f"ernie_web_{number}"
    assembly = f'{label}: .incbin \\"{file}\\"\\n{label}_end:\\n'
    row = (f'    {{"{path}", "{TYPES[suffix]}", "\\"{etag}\\"", {str(compressed).lower()}, '
           f'{str(path.startswith("/assets/")).lower()}, bytes({label}, {label}_end)}},')
    return assembly, row


def main(esbuild: str, folder: pathlib.Path):
    names = bundle(esbuild, folder)
    files = folder / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir()
    contents = [(path, page(name, names), ".html") for path, name in PAGES.items()]
    contents += [(f"/assets/{p.name}", p.read_bytes(), p.suffix) for p in sorted((folder / "assets").iterdir())]
    entries = [entry(path, content, suffix, files, number)
               for number, (path, content, suffix) in enumerate(contents)]
    assembly = "".join(f'"{a}"\n' for a, _ in entries)
    declarations = "\n".join(f"extern const char ernie_web_{n}[];\nextern const char ernie_web_{n}_end[];"
                             for n in range(len(entries)))
    rows = "\n".join(row for _, row in entries)
    (folder / "web_files.cpp").write_text(f"""// Made by web/build.py.
#include "web_files.h"

asm(".pushsection .rodata\\n"
{assembly}".popsection\\n");
extern "C" {{
{declarations}
}}

namespace ernie {{
namespace {{

std::string_view bytes(const char* begin, const char* end) {{
  return {{begin, static_cast<size_t>(end - begin)}};
}}

const http::PageFile kFiles[] = {{
{rows}
}};

}}  // namespace

std::span<const http::PageFile> web_files() {{ return kFiles; }}

}}  // namespace ernie
""", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
