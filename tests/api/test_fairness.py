"""One client that asks for much, and another one that asks for little."""
import multiprocessing
import re
import socket
import time

import pytest

from test_lifecycle import is_free, send, waiting, wait_for

GREEDY = {"Authorization": "Bearer greedy"}
MODEST = {"Authorization": "Bearer modest"}
QUESTION = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0}


# A85
@pytest.mark.parametrize("requests, choices", [(8, 128), (64, 1)])
def test_a_client_that_asks_for_much_starves_nobody(make_server, requests, choices):
    server = make_server("--api-key", "greedy", "--api-key", "modest", "--max-model-len", "4096")
    alone = server.post("/v1/chat/completions", QUESTION, MODEST)[1]["choices"][0]["message"]
    clients = [send(server, headers=GREEDY, n=choices, stream=choices == 1, max_tokens=600) for _ in range(requests)]
    assert wait_for(lambda: waiting(server) >= requests * choices - 64)
    for _ in range(3):
        before = waiting(server)
        status, answer = server.post("/v1/chat/completions", QUESTION, MODEST)
        assert status == 200 and answer["choices"][0]["message"] == alone
        assert before - waiting(server) <= 16  # it waited for places to come free, not for the others to end
    for client in clients:
        client.close()
    assert is_free(server)


def test_limits_of_one_client(make_server):
    server = make_server("--api-key", "greedy", "--api-key", "modest", "--max-model-len", "4096",
                         "--max-requests-per-client", "2", "--max-sequences-per-client", "8",
                         "--max-tokens-per-client", "20000")
    held = send(server, headers=GREEDY, n=5, max_tokens=3000)
    assert wait_for(lambda: server.metrics()["fastdeploy:num_requests_running"] == 5)
    for fields, code, number in [({"n": 4}, "too_many_sequences", "8"),
                                 ({"n": 3, "max_tokens": 4000}, "too_many_tokens", "20000")]:
        status, answer = server.post("/v1/chat/completions", {**QUESTION, **fields}, GREEDY)
        assert status == 429 and answer["error"]["code"] == code and number in answer["error"]["message"]
        assert server.post("/v1/chat/completions", {**QUESTION, **fields}, MODEST)[0] == 200
    assert server.post("/v1/chat/completions", {**QUESTION, "n": 9}, MODEST)[0] == 400
    second = send(server, headers=GREEDY, n=1, max_tokens=3000)
    assert wait_for(lambda: server.metrics()["fastdeploy:num_requests_running"] == 6)
    status, answer = server.post("/v1/chat/completions", QUESTION, GREEDY)
    assert status == 429 and answer["error"]["code"] == "too_many_requests"
    held.close()
    second.close()
    assert is_free(server)
    assert server.post("/v1/chat/completions", QUESTION, GREEDY)[0] == 200
    assert "greedy" not in server.output() and "modest" not in server.output()


# A13
def test_bodies_that_are_held_back_keep_nobody_out(make_server):
    """All but the last byte of bodies that fill the memory of all requests."""
    server = make_server("--max-request-mb", "4", "--max-inflight-mb", "32")
    size = 4 << 20
    strangers = []
    for _ in range(16):
        strangers.append(socket.create_connection(("127.0.0.1", server.port)))
        strangers[-1].sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                              b"Content-Length: %d\r\n\r\n" % size + b" " * (size - 1))
    assert server.post("/v1/chat/completions", QUESTION)[0] == 200  # at once, as its body comes in one piece
    large = {**QUESTION, "x": "a" * (3 << 20)}
    status = 429
    begin = time.monotonic()
    while status == 429 and time.monotonic() - begin < 8:  # until the others count as slow
        time.sleep(0.5)
        status = server.post("/v1/chat/completions", large)[0]
    assert status == 200
    for stranger in strangers:
        stranger.close()


def hold(port, stop, sent):
    """Opens one connection after the other, sends something on each and leaves it open."""
    held = []
    while not stop.is_set():
        try:
            held.append(socket.create_connection(("127.0.0.1", port)))
            held[-1].sendall(sent)
        except OSError:
            pass
        if len(held) > 4096:
            held.pop(0).close()


def repeat(port, stop, sent):
    """Sends without an end on some connections, and reads what comes."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(32)]
    for client in clients:
        client.setblocking(False)
    rest = [b""] * len(clients)
    while not stop.is_set():
        for i, client in enumerate(clients):
            try:
                rest[i] = rest[i] or sent * (65536 // len(sent))
                rest[i] = rest[i][client.send(rest[i]):]
                client.recv(1 << 20)
            except BlockingIOError:
                pass


def seconds_to_answer(port, path):
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path)
        assert client.recv(64).startswith(b"HTTP/1.1 200")
    return time.monotonic() - begin


# A13, A16
@pytest.mark.parametrize("flood, sent", [
    (hold, b""), (hold, b"GET /hea"),
    (hold, b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
           b"Content-Length: 9000000\r\n\r\n" + b" " * 20_000),
    (repeat, b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")])
def test_health_and_metrics_answer_during_a_flood(make_server, flood, sent):
    server = make_server("--metrics-port", "0")
    metrics_port = int(re.search(r"metrics  http://[^:]*:(\d+)", server.output())[1])
    stop = multiprocessing.Event()
    process = multiprocessing.Process(target=flood, args=(server.port, stop, sent), daemon=True)
    process.start()
    try:
        time.sleep(1)
        for port, path in [(server.port, b"/health"), (metrics_port, b"/health"), (metrics_port, b"/metrics")]:
            taken = sorted(seconds_to_answer(port, path) for _ in range(40))
            assert taken[20] < 0.1, (port, path, taken)
    finally:
        stop.set()
        process.join()
