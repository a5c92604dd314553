"""guidellm: a short benchmark of chat and of completions, its prompts from a file."""
import json
import pathlib
import subprocess
import sys

import pytest

GUIDELLM = pathlib.Path(sys.executable).parent / "guidellm"


@pytest.mark.parametrize("route, streams", [("/v1/chat/completions", True), ("/v1/completions", False)])
def test_a_short_benchmark(tiny, tmp_path, route, streams):
    (tmp_path / "prompts.jsonl").write_text("\n".join(json.dumps({"prompt": f"Say {i}."}) for i in range(8)))
    report = tmp_path / "report.json"
    backend = {"kind": "openai_http", "target": tiny.url, "api_key": tiny.key, "model": tiny.model,
               "request_format": route, "stream": streams, "extras": {"body": {"max_tokens": 12, "ignore_eos": True}}}
    done = subprocess.run(
        [GUIDELLM, "run", "--backend", json.dumps(backend), "--profile", "kind=concurrent,streams=2",
         "--constraint", "kind=max_requests,count=8", "--data", f"kind=json_file,path={tmp_path / 'prompts.jsonl'}",
         "--output", f"kind=json,path={report}", "--disable-console"],
        timeout=180, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-2000:]
    benchmark = json.loads(report.read_text())["benchmarks"][0]
    totals = benchmark["metrics"]["request_totals"]
    assert totals["successful"] == 8 and totals["errored"] == 0, totals
    assert benchmark["metrics"]["output_token_count"]["successful"]["mean"] == 12
