"""POST /v1/abort_requests."""
import threading
import time

import openai
import pytest

from conftest import expect


def ask(server, request_id, key="none", stream=False):
    """A long request in a thread of its own; the list gets what became of it."""
    ended = []

    def run():
        try:
            answer = server.client(api_key=key).chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Go on"}], max_tokens=3000, stream=stream,
                extra_body={"ignore_eos": True, "request_id": request_id})
            ended.append([chunk for chunk in answer] if stream else answer)
        except openai.APIError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ended


def abort(server, key="none", **body):
    status, answer = server.post("/v1/abort_requests", body, {"Authorization": "Bearer " + key})
    assert status == 200, answer
    return answer


def wait_for_requests(server, count):
    for _ in range(500):
        metrics = server.metrics()
        if metrics["fastdeploy:num_requests_running"] + metrics["fastdeploy:num_requests_waiting"] == count:
            return
        time.sleep(0.02)
    raise AssertionError(f"there are never {count} requests")


@pytest.fixture
def busy_server(make_server):
    return make_server("--max-model-len", "4096", "--max-num-seqs", "1", "--api-key", "mine", "--api-key", "yours",
                       "--max-concurrency", "3")


def test_running_and_queued_requests_end_and_free_their_place(busy_server):
    requests = [ask(busy_server, f"r{i}", "mine", stream=i == 0) for i in range(3)]  # all slots
    wait_for_requests(busy_server, 3)
    assert abort(busy_server, "mine", request_ids=["r0", "chatcmpl-r2", "other"]) == {
        "aborted": ["r0", "chatcmpl-r2"], "not_found": ["other"]}
    for thread, ended in (requests[0], requests[2]):
        thread.join(10)
        last = ended[0][-1] if isinstance(ended[0], list) else ended[0]
        assert last.choices[0].finish_reason == "abort"
    assert abort(busy_server, "mine", abort_all=True) == {"aborted": ["chatcmpl-r1"], "not_found": []}
    requests[1][0].join(10)
    wait_for_requests(busy_server, 0)
    assert abort(busy_server, "mine", request_ids=["r1"])["not_found"] == ["r1"]


def test_nobody_ends_what_another_key_asked_for(busy_server):
    thread, ended = ask(busy_server, "r", "mine")
    wait_for_requests(busy_server, 1)
    assert abort(busy_server, "yours", request_ids=["r", "chatcmpl-r"])["aborted"] == []
    assert abort(busy_server, "yours", abort_all=True) == {"aborted": [], "not_found": []}
    assert busy_server.post("/v1/abort_requests", {"abort_all": True})[0] == 401
    wait_for_requests(busy_server, 1)
    assert not ended and abort(busy_server, "mine", abort_all=True)["aborted"] == ["chatcmpl-r"]
    thread.join(10)


@pytest.mark.parametrize("body", [{}, {"abort_all": False}, {"request_ids": "", "abort_all": False},
                                  {"request_ids": ["a"] * 1025}, {"request_ids": ["a"], "abort_all": True}])
def test_ids_or_all(server, body):
    expect(server, 400, body, param="request_ids", path="/v1/abort_requests")
