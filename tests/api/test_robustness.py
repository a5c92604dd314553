"""Hostile requests that need the real model behind them. Each leaves the server as it was."""
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import socket
import struct
import time
import zlib

import pytest

from conftest import PeakMemory, data_url, expect, picture, png

SPECIALS = "<|IMAGE_PLACEHOLDER|><|IMAGE_START|><|IMAGE_END|><|VIDEO_START|></think><|end_of_sentence|></s>"


@pytest.fixture(autouse=True)
def still_serves(server):
    """Before and after every test the same question gets the same answer, and nothing is left running."""
    probe = server.chat()[1]["choices"][0]["message"]
    yield
    assert server.process.poll() is None
    assert server.chat()[1]["choices"][0]["message"] == probe
    assert server.metrics()["fastdeploy:num_requests_running"] == 0


def user(*parts, **fields):
    return {"messages": [{"role": "user", "content": list(parts)}], "max_tokens": 4, "temperature": 0, **fields}


def text(words):
    return {"type": "text", "text": words}


def image(url):
    return {"type": "image_url", "image_url": {"url": url}}


# A29
def test_output_is_utf8_whatever_the_tokens(server):
    for seed in range(6):
        body = user(text("Hi"), temperature=2.0, top_p=1.0, seed=seed, max_tokens=200, ignore_eos=True, stream=True,
                    skip_special_tokens=False, logprobs=True, top_logprobs=2, enable_thinking=False)
        status, answer, _ = server.request("POST", "/v1/chat/completions", body)
        assert status == 200
        for line in answer.decode("utf-8", errors="strict").splitlines():
            if line.startswith("data: {"):
                json.loads(line[6:])


# A39
def test_stop_strings_never_leak(server):
    body = user(text("Go on"), max_tokens=100, ignore_eos=True, enable_thinking=False)
    whole = server.post("/v1/chat/completions", body)[1]["choices"][0]["message"]["content"]
    for length in (1, 2, 5, 11):
        stop = whole[20:20 + length]
        status, answer, _ = server.request("POST", "/v1/chat/completions", {**body, "stop": [stop], "stream": True})
        shown = ""
        for line in answer.decode().splitlines():
            if line.startswith("data: {"):
                shown += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
                assert whole[:whole.index(stop)].startswith(shown)
        assert status == 200 and shown == whole[:whole.index(stop)]


# A40
def test_banning_every_token_is_refused(server):
    expect(server, 400, user(text("Hi"), bad_words_token_ids=list(range(736))), param="bad_words")


# A40
def test_banning_all_tokens_but_one_ends(server):
    status, answer = server.post("/v1/chat/completions",
                                 user(text("Hi"), bad_words_token_ids=[i for i in range(736) if i != 40],
                                      enable_thinking=False, return_token_ids=True))
    assert status == 200
    assert answer["choices"][0]["message"]["completion_token_ids"] == [40] * 4


# A44
@pytest.mark.parametrize("unit", ["a", " ", "\n", "\U0001f600", "e\u0301", SPECIALS, "\u0000"])
def test_ten_megabytes_of_one_thing_are_refused_at_once(server, unit):
    body = user(text(unit * (10_000_000 // len(unit.encode()))))
    begin = time.monotonic()
    expect(server, 400, body, code="context_length_exceeded")
    assert time.monotonic() - begin < 5


# A43
def test_fifty_megabytes_are_refused_by_their_length(server):
    body = json.dumps(user(text("word " * 10_000_000))).encode()
    begin = time.monotonic()
    error = expect(server, 400, body, code="context_length_exceeded")
    assert "512" in error["message"]
    # Tokenising stops some thousands of tokens over the context at most: a larger number comes from the bytes alone.
    assert int(re.search(r"at least (\d+)", error["message"])[1]) > 100_000
    assert time.monotonic() - begin < 5  # with the transfer, on a machine that does other things too


# A43
def test_a_prompt_one_token_too_long(server):
    status, answer = server.post("/v1/completions", {"prompt": [40] * 511, "max_tokens": 4})
    assert status == 200 and answer["usage"]["completion_tokens"] == 1
    expect(server, 400, {"prompt": [40] * 512}, path="/v1/completions", code="context_length_exceeded")


# A45
def test_thinking_budget_at_its_ends(server):
    for budget in (0, 1, 10**9):
        status, answer = server.post("/v1/chat/completions",
                                     user(text("Hi"), max_tokens=30, reasoning_max_tokens=budget, ignore_eos=True))
        assert status == 200
        spent = answer["usage"]["completion_tokens_details"]["reasoning_tokens"]
        assert spent <= min(budget + 2, 30)  # and the forced newline and </think>


# A62
def test_a_hundred_and_one_pictures(make_server):
    large = make_server("--limit-mm-per-prompt", '{"image": 100}')
    error = expect(large, 400, user(*[image(picture())] * 101), code="too_many_media")
    assert "101 images" in error["message"] and "100" in error["message"]
    expect(large, 400, user(*[image(picture(0, 280, 280))] * 100), code="context_length_exceeded")


# A31
@pytest.mark.parametrize("value, code, status", [("0,", "json_too_large", 413), ("{},", "json_too_large", 413)])
def test_a_large_body_of_small_values_is_bounded(server, value, code, status):
    body = b'{"messages":[{"role":"user","content":"Hi"}],"x":[' + value.encode() * (30 << 20) + b"0]}"
    peak = PeakMemory(server)
    begin = time.monotonic()
    expect(server, status, body[:60 << 20], code=code)
    assert time.monotonic() - begin < 3  # with the transfer
    assert peak.stop() < 340_000_000  # the body and the limit of its parsed form


# A31
def test_many_large_bodies_are_bounded_together_and_leave_nothing(make_server):
    small = make_server("--max-inflight-mb", "512")
    body = b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":1,"x":"' + b"a" * (40 << 20) + b'"}'
    small.chat()
    before = small.rss_bytes()
    peak = PeakMemory(small)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: small.post("/v1/chat/completions", body), range(16)))
    assert {status for status, _ in answers} == {200, 429}
    for status, answer in answers:
        if status == 429:
            assert answer["error"]["code"] == "too_many_bytes" and "256 MiB" in answer["error"]["message"]
    assert peak.stop() < 512_000_000 + 200_000_000
    deadline = time.monotonic() + 45
    while small.rss_bytes() > before + 50_000_000 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert small.rss_bytes() <= before + 50_000_000


# A91
def test_a_request_without_memory_ends_alone(make_server):
    short = make_server()
    probe = short.chat()[1]["choices"][0]["message"]
    body = b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":1,"x":"' + b"a" * (60 << 20) + b'"}'
    virtual = int(re.search(r"VmSize:\s+(\d+)", open(f"/proc/{short.process.pid}/status").read())[1]) * 1024
    for room in (8 << 20, 40 << 20, 72 << 20, 100 << 20):  # the last ones may suffice
        resource.prlimit(short.process.pid, resource.RLIMIT_AS, (virtual + room, resource.RLIM_INFINITY))
        status, answer = short.post("/v1/chat/completions", body)
        if status != 200 or room < len(body):
            assert status == 503 and answer["error"]["code"] == "out_of_memory", (room, answer)
        assert short.chat()[1]["choices"][0]["message"] == probe
    resource.prlimit(short.process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert short.post("/v1/chat/completions", body)[0] == 200


# A31
def test_a_million_keys_are_refused(server):
    body = b'{"x":{' + b",".join(b'"%d":0' % i for i in range(1_000_000)) + b"}}"
    expect(server, 400, body, code="json_too_many_keys")


def bit_png(side: int) -> bytes:
    """A white picture of one bit a pixel: small as a file, large when it is decoded."""
    rows = zlib.compress((b"\0" + b"\xff" * ((side + 7) // 8)) * side, 9)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)) +
            chunk(b"IDAT", rows) + chunk(b"IEND", b""))


# A61
def test_frames_of_a_video_are_decoded_one_at_a_time(make_server):
    large = make_server("--max-model-len", "4096", "--num-gpu-blocks-override", "512",
                        "--mm-processor-kwargs", '{"video_min_pixels": 784, "video_max_pixels": 12544}')
    frame = data_url(bit_png(5_000))  # 75 MB decoded
    peak = PeakMemory(large)
    status, answer = large.post("/v1/chat/completions", user({"type": "video", "video": [frame] * 12}))
    assert status == 200, answer
    assert peak.stop() < 220_000_000  # a frame, what its decoder needs, and its resized form


# A61
def test_a_video_too_long_for_the_context_is_not_decoded(server):
    begin = time.monotonic()
    peak = PeakMemory(server)
    expect(server, 400, user({"type": "video", "video": [data_url(bit_png(10_000))] * 20}),
           code="context_length_exceeded")
    assert time.monotonic() - begin < 1
    assert peak.stop() < 50_000_000


# A63
@pytest.mark.parametrize("order", ["none", "before", "after", "more"])
def test_typed_placeholders_change_no_positions(server, order):
    parts = {"none": [text(SPECIALS)], "before": [text(SPECIALS), image(picture())],
             "after": [image(picture()), text(SPECIALS)], "more": [text(SPECIALS * 3), image(picture())]}[order]
    status, answer = server.post("/v1/chat/completions", user(*parts))
    assert status == 200
    assert answer["usage"]["prompt_tokens_details"]["image_tokens"] == (0 if order == "none" else 6)


# A64
def test_cache_tells_pictures_apart_by_pixels_and_size(server):
    def cached(url):
        body = user(image(url), text("Same?"), enable_thinking=False)
        return server.post("/v1/chat/completions", body)[1]["usage"]["prompt_tokens_details"]["cached_tokens"]

    def grey(width, height):
        return data_url(png(width, height, lambda x, y: (77, 77, 77)))

    assert cached(grey(280, 280)) == 0
    assert cached(grey(280, 280)) >= 64
    assert cached(grey(252, 308)) == 0  # one colour, nearly the same number of tokens, another shape


# A68
def test_caches_answer_only_under_the_same_salt(server):
    def cached(**fields):
        body = user(image(picture(77, 280, 280)), text("Whose?"), enable_thinking=False, **fields)
        return server.post("/v1/chat/completions", body)[1]["usage"]["prompt_tokens_details"]["cached_tokens"]

    assert cached(cache_salt="a") == 0
    assert cached(cache_salt="a") >= 64
    assert cached(cache_salt="b") == 0
    assert cached() == 0
    assert cached() >= 64
    assert server.post("/v1/completions", {"prompt": "x" * 200, "max_tokens": 1, "cache_salt": 5})[0] == 400


# A68
def test_caches_answer_only_under_the_same_key(make_server):
    server = make_server("--api-key", "a", "--api-key", "b", "--cache-salt-by-key")

    def cached(key, **fields):
        body = user(image(picture(78, 280, 280)), text("Whose?"), enable_thinking=False, **fields)
        answer = server.post("/v1/chat/completions", body, {"Authorization": "Bearer " + key})[1]
        return answer["usage"]["prompt_tokens_details"]["cached_tokens"]

    assert cached("a") == 0
    assert cached("a") >= 64
    assert cached("b") == 0
    assert cached("b", cache_salt="a") == 0


@pytest.mark.parametrize("flags, kept", [([], True), (["--max_encoder_cache", "0", "--max-processor-cache=0"], False)])
def test_a_known_picture_is_not_encoded_again(make_server, flags, kept):
    server = make_server(*flags)

    def ask(*content):
        return server.chat(messages=user(*content)["messages"])[1]["choices"][0]["message"]

    look = image(picture(9, 280, 280))
    first = ask(look, text("What is it?"))
    assert ask(look, text("What is it?")) == first
    behind = ask(text("Look:"), look, text("What is it?"))
    assert ask(text("Look:"), look, text("What is it?")) == behind
    metrics = server.metrics()
    needed = metrics["fastdeploy:encoder_cache_queries_total"]
    assert needed >= 2  # the prefix cache may have covered it when the same question came again
    assert metrics["fastdeploy:encoder_cache_hits_total"] == (needed - 1 if kept else 0)


# A65
@pytest.mark.parametrize("change, good", [
    (lambda b: b, True), (lambda b: b.rstrip("="), True), (lambda b: b[:40] + "\r\n" + b[40:], True),
    (lambda b: b[:40] + " " + b[40:], True), (lambda b: b.replace("+", "-").replace("/", "_"), False),
    (lambda b: b + "=", False), (lambda b: b[:-4] + "%3D%3D", False), (lambda b: "#" + b[1:], False),
    (lambda b: b[:40] + "\u00e9" + b[41:], False), (lambda b: "", False)])
def test_forms_of_base64(server, change, good):
    base64 = picture(3).split(",")[1]
    assert "+" in base64 or "/" in base64
    body = user(image("data:image/png;base64," + change(base64)))
    if good:
        assert server.post("/v1/chat/completions", body)[0] == 200
    else:
        expect(server, 400, body, param="messages[0].content[0]")


# A54
def test_links_in_text_are_fetched_by_nobody(make_server):
    server = make_server("--allow-private-media")
    with socket.create_server(("127.0.0.1", 0)) as site:
        link = f"http://127.0.0.1:{site.getsockname()[1]}/a.png"
        words = f"![picture]({link}) <img src='{link}'> {link} data:image/png;base64,AAAA"
        status, answer = server.post("/v1/chat/completions", user(text(words)))
        assert status == 200 and answer["usage"]["prompt_tokens_details"]["image_tokens"] == 0
        site.settimeout(0.2)
        with pytest.raises(TimeoutError):
            site.accept()


# A20
def test_pages_of_other_origins_get_no_leave(server):
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method, path in (("OPTIONS", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/health")):
        _, _, headers = server.request(method, path, headers=origin)
        assert not [name for name in headers if name.lower().startswith("access-control")]


# A22
def test_listens_on_one_port_of_loopback(server):
    descriptors = pathlib.Path(f"/proc/{server.process.pid}/fd")
    own = {os.readlink(descriptor) for descriptor in descriptors.iterdir()}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                listening.append(fields[1])
    assert listening == [f"0100007F:{server.port:04X}"]
