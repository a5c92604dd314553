"""`ernie bench serve` against the real server and against one whose timing is known."""
import http.client
import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from conftest import ERNIE

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "bench/serving"))
from paced_server import PacedServer  # noqa: E402


def command(url, *flags):
    return [str(ERNIE), "bench", "serve", "--url", url, *map(str, flags)]


def bench(url, tmp_path, *flags, code=0):
    """The JSON report of one run."""
    file = tmp_path / "bench.json"
    run = subprocess.run(command(url, "--json", file, *flags), capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == code, run.stdout + run.stderr
    return json.loads(file.read_text()), run.stdout


def check_latencies(report):
    for name in ("ttft", "tpot", "itl", "e2el"):
        p50, p90, p99 = (report[f"p{p}_{name}_ms"] for p in (50, 90, 99))
        assert 0 <= p50 <= p90 <= p99, (name, report)
    assert report["mean_ttft_ms"] <= report["mean_e2el_ms"]
    assert report["p99_e2el_ms"] <= report["duration"] * 1000


def test_counts_and_times_add_up(server, tmp_path):
    before = server.metrics()
    report, table = bench(server.url, tmp_path, "--num-prompts", 12, "--max-concurrency", 4, "--random-input-len", 40,
                          "--random-output-len", 24, "--ignore-eos", "--token-ids", "300-600")
    assert (report["completed"], report["failed"], report["cut_off"]) == (12, 0, 0)
    assert report["total_input_tokens"] == 12 * 40
    assert report["total_output_tokens"] == 12 * 24
    assert report["max_concurrent_requests"] == 4
    assert report["output_throughput"] == pytest.approx(12 * 24 / report["duration"])
    assert report["total_token_throughput"] == pytest.approx(12 * 64 / report["duration"])
    check_latencies(report)
    # All answers are equally long, so the means hold what each answer holds.
    assert report["mean_e2el_ms"] == pytest.approx(report["mean_ttft_ms"] + 23 * report["mean_tpot_ms"])
    # Each of the four places was taken for the whole run at most.
    assert 12 * report["mean_e2el_ms"] <= 4 * 1000 * report["duration"] * 1.001
    after = server.metrics()
    generated = "fastdeploy:generation_tokens_total"
    assert after[generated] - before[generated] == 13 * 24  # with the one that is tried first
    assert "TTFT" in table and "p99" in table


def simple_client(server, words, max_tokens):
    """Seconds to the first piece of one answer and to its last event, read line by line."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": words}], "max_tokens": max_tokens, "stream": True,
                       "temperature": 0, "ignore_eos": True})
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    begin, first, last = time.monotonic(), None, None
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    for line in connection.getresponse():
        if line.startswith(b'data: {'):
            delta = json.loads(line[6:])["choices"][0]["delta"]
            last = time.monotonic() - begin
            if first is None and (delta.get("content") or delta.get("reasoning_content")):
                first = last
    connection.close()
    return first, last


def test_agrees_with_a_simple_client(server, tmp_path):
    report, _ = bench(server.url, tmp_path, "--num-prompts", 8, "--max-concurrency", 1, "--random-input-len", 16,
                      "--random-output-len", 32, "--ignore-eos", "--endpoint", "chat", "--percentiles", "0,50,90,99")
    check_latencies(report)
    assert report["total_output_tokens"] == 8 * 32
    assert 8 * report["mean_e2el_ms"] <= 1000 * report["duration"] * 1.001
    answers = [simple_client(server, " ".join(["time"] * 15 + [str(i)]), 32) for i in range(8)]
    # The best of each, within factors that a wrong unit or clock misses and a busy machine does not.
    for name, theirs in zip(("ttft", "e2el"), (min(column) * 1000 for column in zip(*answers))):
        assert theirs / 10 < report[f"p0_{name}_ms"] < theirs * 10


def test_pictures(server, tmp_path):
    report, _ = bench(server.url, tmp_path, "--num-prompts", 3, "--max-concurrency", 3, "--endpoint", "chat", "--images", 2,
                      "--image-size", "84x56", "--random-input-len", 4, "--random-output-len", 4, "--ignore-eos")
    assert report["completed"] == 3
    assert report["total_input_tokens"] > 3 * 2 * (3 * 2)  # two pictures of 3 x 2 tokens, and text


def timed_server(refuse=lambda i: False):
    """The first token after 100 ms, the others 50 ms apart."""
    return PacedServer(lambda i: (0.1, 0.05), refuse).start()


def test_times_of_a_server_whose_times_are_known(tmp_path):
    server = timed_server()
    report, _ = bench(server.url, tmp_path, "--num-prompts", 6, "--max-concurrency", 3, "--random-input-len", 5,
                      "--random-output-len", 4)
    assert report["model"] == "paced" and report["completed"] == 6
    assert (report["total_input_tokens"], report["total_output_tokens"]) == (30, 24)
    assert report["mean_ttft_ms"] >= 99
    assert report["mean_tpot_ms"] >= 49
    assert report["mean_itl_ms"] >= 49
    assert report["mean_e2el_ms"] >= 249
    assert report["duration"] >= 0.499  # two rounds of three


def test_failures_are_counted_by_reason(tmp_path):
    report, table = bench(timed_server(refuse=lambda i: i % 3 == 1).url, tmp_path, "--num-prompts", 9, "--max-concurrency", 1,
                          "--random-output-len", 4)
    assert (report["completed"], report["failed"]) == (6, 3)
    assert report["failures"] == {"status 429: come back later": 3}
    assert "3 x status 429: come back later" in table


def test_request_rate_sends_at_random_times(tmp_path):
    server = timed_server()
    bench(server.url, tmp_path, "--num-prompts", 20, "--request-rate", 40, "--seed", 5, "--random-output-len", 4)
    times = [when for when, _ in server.asked[1:]]  # the first tries the server
    gaps = sorted(b - a for a, b in zip(times, times[1:]))
    assert times[-1] - times[0] > 0.1 and gaps[-1] > 2 * gaps[0]


def test_ctrl_c_prints_what_was_measured(tmp_path):
    server = timed_server()
    file = tmp_path / "bench.json"
    run = subprocess.Popen(command(server.url, "--json", file, "--num-prompts", 1000, "--max-concurrency", 2,
                                   "--random-output-len", 4),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(server.asked) < 6:
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    out, errors = run.communicate(timeout=30)
    assert run.returncode == 130, errors
    report = json.loads(file.read_text())
    assert 1 <= report["completed"] < 1000 and report["cut_off"] <= 2
    assert "TTFT" in out


def test_no_server_is_one_line_and_code_2(tmp_path):
    run = subprocess.run(command("http://127.0.0.1:9", "--max-concurrency", 1), capture_output=True, text=True, timeout=60,
                         check=False)
    assert run.returncode == 2 and "http://127.0.0.1:9" in run.stderr and run.stderr.count("\n") == 1


def test_first_failure_is_said_before_the_load(server):
    run = subprocess.run(command(server.url, "--max-concurrency", 1, "--random-input-len", 4000, "--token-ids", "300-600"),
                         capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2 and "status 400" in run.stderr


def test_engine_bench_measures_a_tiny_model(tmp_path):
    from conftest import MODEL
    file = tmp_path / "engine.json"
    run = subprocess.run([str(ERNIE), "bench", "engine", "--model", str(MODEL), "--device", "cpu", "--batch", "1,4", "--input-len",
                          "16", "--output-len", "16", "--prefill", "64", "--image", "84x56", "--repeats", "1", "--json",
                          str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    report = json.loads(file.read_text())
    assert [figure["batch"] for figure in report["decode"]] == [1, 4]
    for figure in (*report["decode"], *report["prefill"], report["image"]["cold"], report["image"]["repeated"]):
        assert figure["ms"] > 0 and figure["floor_ms"] > 0
    assert report["image"]["tokens"] == 6
    assert "decode, batch 4" in run.stdout


def test_engine_bench_runs_one_share_of_a_cut_model(tmp_path):
    from conftest import MODEL
    whole, share = tmp_path / "whole.json", tmp_path / "share.json"
    for file, flags in ((whole, []), (share, ["--shard", "2"])):
        run = subprocess.run([str(ERNIE), "bench", "engine", "--model", str(MODEL / "config.json"), "--layers", "2", "--device",
                              "cpu", "--batch", "2", "--output-len", "8", "--input-len", "8", "--prefill", "none", "--repeats",
                              "1", "--json", str(file), *flags], capture_output=True, text=True, timeout=120, check=False)
        assert run.returncode == 0, run.stderr
    a, b = json.loads(whole.read_text()), json.loads(share.read_text())
    assert a["layers"] == b["layers"] == 2
    assert 0.5 * a["weight_bytes"] < b["weight_bytes"] < 0.9 * a["weight_bytes"]
    assert b["kv_bytes"] == a["kv_bytes"] / 2
