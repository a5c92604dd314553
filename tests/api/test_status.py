"""What an operator may ask of a running server: its configuration and how busy it is."""
import json
import re
import threading
import time
import urllib.request

from conftest import MODEL


def config_of(server):
    status, text, _ = server.get("/config-info")
    assert status == 200
    return json.loads(text)


def test_config_info_has_the_values_in_force(make_server):
    info = config_of(make_server("--max_num_seqs", "4", "--no-enable-prefix-caching", "--served-model-name", "tiny",
                                 "--limit-mm-per-prompt", '{"image": 3}', "--enable-mm"))
    flags = info["flags"]
    assert (flags["max-model-len"], flags["max-num-seqs"], flags["max-num-batched-tokens"]) == (512, 4, 2048)
    assert flags["enable-prefix-caching"] is False and flags["enable-chunked-prefill"] is True
    assert flags["limit-mm-per-prompt"] == {"image": 3, "video": 1} and flags["served-model-name"] == "tiny"
    assert flags["gpu-memory-utilization"] == 0.9 and flags["quantization"] is None and "enable-mm" not in flags
    assert info["model"]["num_layers"] == 3 and info["model"]["moe"]["text"]["num_experts"] == 8
    assert info["memory"]["num_blocks"] == 128
    assert info["memory"]["kv_bytes"] == 128 * info["memory"]["block_bytes"]


# A18
def test_config_info_shows_no_key_and_no_path(make_server, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("filekey\n")
    server = make_server("--api-key", "flagkey", "--api-key-file", str(keys), "--allowed-local-media-path", str(tmp_path),
                         env={"FD_API_KEY": "environmentkey"})
    info = config_of(server)
    shown = json.dumps(info)
    for secret in ("flagkey", "filekey", "environmentkey", str(tmp_path), str(MODEL), str(MODEL.parent)):
        assert secret not in shown
    for flag in ("api-key", "api-key-file", "allowed-local-media-path"):
        assert info["flags"][flag] == "set"
    assert info["flags"]["chat-template"] == "not set"


def test_a_key_of_the_environment_counts_as_set(make_server):
    assert config_of(make_server())["flags"]["api-key"] == "not set"
    assert config_of(make_server(env={"FD_API_KEY": "k"}))["flags"]["api-key"] == "set"


def test_they_are_where_the_metrics_are(make_server):
    server = make_server("--metrics-port", "0", "--api-key", "secret")
    port = re.search(r"metrics  http://[^:]*:(\d+)", server.output())[1]
    for path in ("/config-info", "/load", "/errors"):
        assert server.get(path)[0] == 404
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            assert json.loads(answer.read())


# A18
def test_errors_tell_what_failed_and_no_text_of_a_client(make_server):
    server = make_server()
    assert server.chat(max_tokens="secret words")[0] == 400
    server.get("/v1/secret")
    server.chat()
    text = server.get("/errors")[1].decode()
    errors = json.loads(text)["errors"]
    assert [(e["method"], e["path"], e["status"]) for e in errors] == [
        ("GET", "OTHER", 404), ("POST", "/v1/chat/completions", 400)]
    assert errors[0]["reason"] == "not_found" and abs(errors[0]["time"] - time.time()) < 60
    assert "secret" not in text


def test_load_tells_what_runs(make_server):
    server = make_server("--max-num-seqs", "1", "--max-model-len", "4096")
    load = lambda: json.loads(server.get("/load")[1])
    idle = load()
    assert (idle["running"], idle["waiting"], idle["max_running"], idle["kv_usage"]) == (0, 0, 1, 0)
    ask = lambda: server.chat(max_tokens=3000, ignore_eos=True)
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    busy = load()
    while busy["running"] + busy["waiting"] < 3:
        time.sleep(0.01)
        busy = load()
    assert busy["running"] == 1 and busy["waiting"] == 2 and busy["kv_usage"] > 0
    assert busy["totals"]["steps"] > 0 and busy["totals"]["generated_tokens"] > 0
    assert busy["kv_blocks"]["available"] < busy["kv_blocks"]["total"] == 128
    server.stop()
    for thread in threads:
        thread.join()
