"""Broken model folders: exit code 2 and one line that names the file and the key."""
import json
import math
import os
import pathlib
import signal
import subprocess
import time

import pytest

from conftest import ERNIE, MODEL


def start(folder, *flags):
    return subprocess.run([str(ERNIE), "serve", "--model", str(folder), "--port", "0", "--num-gpu-blocks-override", "16",
                           "--max-model-len", "128", *flags],
                          capture_output=True, text=True, errors="replace", timeout=60, check=False)


def expect_refusal(folder, *words):
    run = start(folder)
    output = run.stdout + run.stderr
    assert run.returncode == 2, output
    assert any(all(word in line for word in words) for line in output.splitlines()), output
    assert "terminate called" not in output


@pytest.fixture
def broken(tmp_path):
    """A copy of the model in links; returns a function that writes one file anew (None: without it)."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in MODEL.iterdir():
        (folder / file.name).symlink_to(file)

    def write(name, content):
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_text(content)
        return folder

    return write


# A78
@pytest.mark.parametrize("kind", ["pipe", "device", "circle", "folder", "huge"])
@pytest.mark.parametrize("name", ["config.json", "added_tokens.json", "generation_config.json", "tokenizer_config.json",
                                  "model.safetensors.index.json", "tokenizer.model", "model.safetensors"])
def test_what_is_no_file_is_refused_by_name(broken, name, kind):
    path = broken(name, None) / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        path.touch()
        os.truncate(path, 30 << 30)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else name)
    expect_refusal(path.parent, name)


def changed(key, value):
    config = json.loads((MODEL / "config.json").read_text())
    at = config
    *path, last = key.split(".")
    for step in path:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return json.dumps(config, indent=1)


# A78
@pytest.mark.parametrize("key, value", [
    ("hidden_size", None), ("hidden_size", "64"), ("hidden_size", 0), ("hidden_size", 2**63), ("hidden_size", 1e300),
    ("num_attention_heads", 3), ("num_key_value_heads", 3), ("num_hidden_layers", 0), ("num_hidden_layers", 10**9),
    ("head_dim", 127), ("rms_norm_eps", "small"), ("rope_theta", math.nan), ("rope_theta", math.inf),
    ("vocab_size", -1), ("vocab_size", 690), ("moe_k", 9), ("moe_num_experts", ["8", 8]), ("model_type", "llama"),
    ("vision_config.depth", 0), ("vision_config.num_heads", 3), ("vision_config.embed_dim", [80]),
    ("im_patch_id", 736)])
def test_config_with_a_wrong_key(broken, key, value):
    expect_refusal(broken("config.json", changed(key, value)), "config.json", key.split(".")[-1])


# A78
@pytest.mark.parametrize("content", [None, "", "[]", "{", "null", "{}", "\x00", "{" * 10_000])
def test_config_that_is_none(broken, content):
    expect_refusal(broken("config.json", content), "config.json")


# A78
@pytest.mark.parametrize("content, key", [
    ("{", "JSON"), ('{"temperature": "hot"}', "temperature"), ('{"eos_token_id": 1000000}', "eos_token_id")])
def test_generation_config(broken, content, key):
    expect_refusal(broken("generation_config.json", content), "generation_config.json", key)


def test_no_such_folder(tmp_path):
    expect_refusal(tmp_path / "nothing", "nothing")


# A83
def test_damaged_pack(tmp_path):
    folder = tmp_path / "pack"
    command = [str(ERNIE), "pack", "--model", str(MODEL), "--quantization", "wint4", "--output", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    file = folder / "rank-0-of-1.safetensors"
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    expect_refusal(folder, file.name, "checksum")
    file.write_bytes(content[:-1])
    expect_refusal(folder, file.name, f"expected {len(content)} bytes")
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2 and "--output" in run.stderr, run.stderr


# A82
def test_interrupted_pack_leaves_nothing(tmp_path):
    folder = tmp_path / "pack"
    command = [str(ERNIE), "pack", "--model", str(MODEL), "--quantization", "wint4", "--output", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        partial = tmp_path / "pack.partial"
        while run.poll() is None and not partial.exists():
            time.sleep(0.001)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert not partial.exists()
    assert (run.returncode, folder.exists()) in [(2, False), (0, True)], errors  # 0: complete before the signal
    assert run.returncode == 0 or "interrupted" in errors, errors


NUMBERS = {
    "--max-concurrency": 2**31 - 1, "--max-requests-per-client": 2**31 - 1, "--max-sequences-per-client": 2**31 - 1,
    "--max-tokens-per-client": 2**31 - 1, "--max-connections": 2**31 - 1, "--max-request-mb": 1024, "--max-inflight-mb": 2**20,
    "--max-grammar-mb": 2**20, "--timeout-graceful-shutdown": 2**31 - 1, "--max-num-seqs": 256, "--cpu-threads": 1024, "--block-size": 1024,
    "--max-encoder-cache": 2**31 - 1, "--scheduler-max-size": 2**31 - 1, "--max-logprobs": 2**31 - 1,
    "--seed": 2**64 - 1, "--max-waiting-time": 1e9, "--max-processor-cache": 1024, "--max-model-len": 2**31 - 1,
    "--max-num-batched-tokens": 2**31 - 1, "--tensor-parallel-size": 2**31 - 1, "--num-gpu-blocks-override": 2**31 - 1,
    "--gpu-memory-utilization": 1e-300, "--port": 2**31 - 1, "--metrics-port": 2**31 - 1,
}
REFUSED = {"--max-model-len", "--max-num-batched-tokens", "--tensor-parallel-size", "--num-gpu-blocks-override",
           "--max-encoder-cache", "--port", "--metrics-port"}


@pytest.mark.parametrize("flag", NUMBERS)
def test_the_largest_number_of_a_flag_serves_or_is_refused(make_server, flag):
    """What the flags' own check lets through must be right for all that comes after it."""
    argument = f"{flag}={NUMBERS[flag]}"
    if flag in REFUSED:
        run = start(MODEL, argument)
        assert run.returncode == 2, run.stderr
        assert flag in run.stderr.splitlines()[-1] and "terminate called" not in run.stderr
        return
    server = make_server(argument)
    assert server.chat()[0] == 200
    assert server.stop() == 0


@pytest.mark.parametrize("flag", NUMBERS)
def test_a_number_over_the_range_of_a_flag_is_refused(flag):
    for number in ("99999999999999999999999", "-99999999999999999999999"):
        run = start(MODEL, f"{flag}={number}")
        assert run.returncode == 2 and flag in run.stderr.splitlines()[-1], run.stderr


@pytest.mark.parametrize("redirection, status", [
    ("2>&-", 2), ("2>/dev/full", 2), (">&- 2>&-", 2), ("<&-", 2)])
def test_a_closed_or_full_error_stream_is_no_crash(redirection, status):
    assert subprocess.run(f"{ERNIE} serve --model nope {redirection}", shell=True, timeout=20).returncode == status


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_an_output_that_is_lost_is_no_success(redirection):
    run = subprocess.run(f"{ERNIE} plan --model ERNIE-4.5-0.3B {redirection}", shell=True, timeout=20,
                         stderr=subprocess.PIPE, text=True)
    assert run.returncode == 1 and "cannot write the output" in run.stderr


def test_no_file_takes_the_place_of_a_closed_stream():
    run = subprocess.Popen(f"exec {ERNIE} serve --model {MODEL} --port 0 --num-gpu-blocks-override 16 "
                           "--max-model-len 128 <&- >&- 2>&-", shell=True)
    try:
        threads = pathlib.Path(f"/proc/{run.pid}/task")
        for _ in range(200):
            if any((t / "comm").read_text() == "ernie-engine\n" for t in threads.iterdir()):
                break
            assert run.poll() is None
            time.sleep(0.05)
        assert {os.readlink(f"/proc/{run.pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
    finally:
        run.kill()
        run.wait()
