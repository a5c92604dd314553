"""Clients that leave, full queues, deadlines and shutdown."""
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time

import openai
import pytest

LONG = {"max_tokens": 400, "ignore_eos": True, "enable_thinking": False}


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def running(server):
    return server.metrics()["fastdeploy:num_requests_running"]


def waiting(server):
    return server.metrics()["fastdeploy:num_requests_waiting"]


def stream(server, max_tokens=400, **extra):
    return server.client().chat.completions.create(
        model="m", messages=[{"role": "user", "content": "Go on"}], stream=True, max_tokens=max_tokens,
        extra_body={"ignore_eos": True, "enable_thinking": False, **extra})


def send(server, headers=None, **fields):
    """Sends a chat request and returns the connection; closing it is leaving."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items()).encode()
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}], **LONG, **fields}).encode()
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                   b"Content-Type: application/json\r\n%bContent-Length: %d\r\n\r\n" % (lines, len(body)) + body)
    return client


def one_at_a_time(make_server, *flags, choices=8):
    """A server that computes one sequence at a time, and a connection that keeps it busy for many seconds."""
    server = make_server("--max-model-len", "4096", "--max-num-seqs", "1", *flags)
    busy = send(server, max_tokens=4000, n=choices)
    assert wait_for(lambda: running(server) == 1 and waiting(server) == choices - 1)
    return server, busy


def is_free(server):
    return wait_for(lambda: running(server) == 0 and waiting(server) == 0, 5)


# A87
def test_client_that_leaves_frees_its_row(server):
    answer = stream(server)
    next(iter(answer))
    answer.close()
    assert wait_for(lambda: running(server) == 0, 2)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_shuts_down_its_sending_side_gets_its_answer(server, streamed):
    client = send(server, temperature=0, stream=streamed)
    client.shutdown(socket.SHUT_WR)
    response = http.client.HTTPResponse(client)
    response.begin()
    text = response.read().decode()
    assert response.status == 200
    if streamed:
        events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
        got = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
        assert text.endswith("data: [DONE]\n\n")
    else:
        got = json.loads(text)["choices"][0]["message"]["content"]
    assert got == server.chat(**LONG)[1]["choices"][0]["message"]["content"]


# A86
def test_deadline_ends_a_running_request(server):
    status, body = server.chat(**{**LONG, "max_tokens": 480, "timeout_ms": 1})
    assert status == 408 and body["error"]["type"] == "timeout_error"
    assert wait_for(lambda: running(server) == 0, 2)


# A85
def test_too_many_at_once_get_429(make_server):
    small = make_server("--max-concurrency", "2", "--max-model-len", "4096")
    clients = [send(small, max_tokens=4000, n=4) for _ in range(2)]
    assert wait_for(lambda: running(small) == 8)
    with pytest.raises(openai.RateLimitError) as error:
        stream(small)
    assert int(error.value.response.headers["retry-after"]) >= 1
    for client in clients:
        client.close()
    assert is_free(small)
    assert small.chat()[0] == 200


# A85
def test_full_queue_gets_429(make_server):
    server, busy = one_at_a_time(make_server, "--scheduler-max-size", "8")
    with pytest.raises(openai.RateLimitError) as error:
        stream(server, n=2)
    assert int(error.value.response.headers["retry-after"]) >= 1
    assert error.value.type == "rate_limit_error"
    busy.close()
    assert is_free(server)


# A86
def test_waiting_too_long_is_a_timeout(make_server):
    server, busy = one_at_a_time(make_server, "--max-waiting-time", "0.3", choices=1)
    begin = time.monotonic()
    status, body = server.chat()
    assert status == 408 and body["error"]["type"] == "timeout_error"
    assert time.monotonic() - begin < 5
    busy.close()


# A86
def test_deadline_ends_a_request_in_the_queue(make_server):
    server, busy = one_at_a_time(make_server)
    status, body = server.chat(timeout_ms=300)
    assert status == 408 and body["error"]["type"] == "timeout_error"
    assert wait_for(lambda: waiting(server) <= 7, 2)
    busy.close()


# A87
def test_client_that_leaves_the_queue_is_forgotten(make_server):
    server, busy = one_at_a_time(make_server)
    client = send(server)
    assert wait_for(lambda: waiting(server) == 8)
    client.close()
    assert wait_for(lambda: waiting(server) == 7, 2)
    busy.close()
    assert is_free(server)


# A87
def test_client_that_leaves_during_prefill_frees_everything(make_server):
    server = make_server("--max-model-len", "4096", "--max-num-batched-tokens", "64")
    for seconds in (0, 0.02, 0.05, 0.1):
        client = send(server, messages=[{"role": "user", "content": "# " * 1500}], max_tokens=1000)
        time.sleep(seconds)
        client.close()
        assert is_free(server)
    assert server.chat()[0] == 200


# A88
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_streams_and_refuses_new_ones(make_server, number):
    server = make_server()
    answer = iter(stream(server))
    next(answer)
    server.process.send_signal(number)

    def is_leaving():
        try:
            return server.get("/health")[0] == 503
        except OSError:
            return True  # the stream was over already
    assert wait_for(is_leaving)
    chunks = list(answer)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert server.process.wait(20) == 0


# A88
def test_when_the_grace_is_over_each_client_is_told(make_server):
    server = make_server("--timeout-graceful-shutdown", "1", "--max-num-seqs", "1", "--max-model-len", "4096")
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4000, "ignore_eos": True, "n": 32}
    answers = {}

    def ask(stream):
        answers[stream] = server.request("POST", "/v1/chat/completions", {**body, "stream": stream})

    threads = [threading.Thread(target=ask, args=(stream,)) for stream in (True, False)]
    for i, thread in enumerate(threads, 1):
        thread.start()
        assert wait_for(lambda: running(server) + waiting(server) == 32 * i)
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(20)
    status, text, _ = answers[False]
    assert status == 503 and json.loads(text)["error"]["type"]
    status, text, _ = answers[True]
    events = [line for line in text.decode().split("\n") if line]
    assert status == 200 and "error" in json.loads(events[-2].removeprefix("data: "))
    assert events[-1] == "data: [DONE]"
    assert server.process.wait(10) == 0


# A88
def test_second_sigterm_ends_at_once(make_server):
    server, busy = one_at_a_time(make_server)
    server.process.send_signal(signal.SIGTERM)
    assert wait_for(lambda: server.get("/health")[0] == 503)  # the stream may go on
    with pytest.raises(openai.APIStatusError) as error:
        stream(server)
    assert error.value.status_code == 503
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(3) == 128 + signal.SIGTERM
    busy.close()


def test_many_clients_at_once_get_their_own_answers(server):
    alone = {i: server.chat(messages=[{"role": "user", "content": f"Question {i}"}], max_tokens=16)[1] for i in range(8)}
    together = {}

    def run(i):
        together[i] = server.chat(messages=[{"role": "user", "content": f"Question {i}"}], max_tokens=16)[1]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i in range(8):
        assert together[i]["choices"][0]["message"] == alone[i]["choices"][0]["message"]


def test_port_in_use_is_one_line_and_code_2(server):
    from conftest import ERNIE, MODEL
    run = subprocess.run([str(ERNIE), "serve", "--model", str(MODEL), "--port", str(server.port)],
                         capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2 and str(server.port) in run.stderr + run.stdout


# A92
@pytest.mark.parametrize("closed", [False, True])
def test_a_log_that_nobody_reads_holds_up_nobody(make_server, closed):
    reader, writer = os.pipe()
    server = make_server(log=os.fdopen(writer, "wb"))
    server.log.close()
    if closed:
        os.close(reader)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    for _ in range(5_000):  # the pipe holds some five hundred lines, the queue some two thousand
        connection.request("GET", "/v1/models")
        assert connection.getresponse().read()
    assert server.chat()[0] == 200
    assert server.metrics()["log_lines_dropped_total"] > 1_000
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 5
    if not closed:
        os.close(reader)


KEY = {"Authorization": "Bearer the-key"}
ANNOUNCED = (b"%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             b"Authorization: Bearer %s\r\nContent-Length: 67108864\r\n\r\n")


# A13
@pytest.mark.parametrize("count, sent", [(200, b"GET /hea"), (200, ANNOUNCED % (b"GET /health", b"none") + b"x" * 10_000),
                                         (100, ANNOUNCED % (b"POST /v1/chat/completions", b"the-key"))])
def test_strangers_keep_nobody_out(make_server, count, sent):
    server = make_server("--api-key", "the-key", "--max-connections", "64", "--max-concurrency", "16")
    strangers = []
    for _ in range(count):
        stranger = socket.create_connection(("127.0.0.1", server.port))
        stranger.sendall(sent)
        strangers.append(stranger)
        if len(strangers) % 20 == 0:
            begin = time.monotonic()
            assert server.get("/health")[0] == 200 and server.get("/metrics")[0] == 200
            assert time.monotonic() - begin < 1
            assert server.post("/v1/completions", {"prompt": "Hi", "max_tokens": 1}, KEY)[0] == 200
    for stranger in strangers:
        stranger.close()
