"""Anthropic's Messages API, on random weights."""
import json

from conftest import picture

TOOL = {"name": "weather", "input_schema": {"type": "object", "additionalProperties": False, "required": ["city"],
                                            "properties": {"city": {"enum": ["Bonn", "Köln"]}}}}


def ask(server, status=200, **fields):
    body = {"max_tokens": 12, "messages": [{"role": "user", "content": "Hello"}], **fields}
    got, answer, _ = server.request("POST", "/v1/messages", body)
    assert got == status, answer
    return json.loads(answer)


def test_text_thinking_and_usage(server):
    answer = ask(server)
    assert answer["type"] == "message" and [block["type"] for block in answer["content"]] == ["text"]
    assert answer["stop_reason"] == "max_tokens" and answer["usage"]["output_tokens"] == 12
    thought = ask(server, thinking={"type": "enabled", "budget_tokens": 4}, max_tokens=30)
    assert thought["content"][0]["type"] == "thinking" and thought["content"][0]["thinking"]


def test_calls_results_and_pictures(server):
    answer = ask(server, tools=[TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True}, max_tokens=200)
    call = answer["content"][-1]
    assert answer["stop_reason"] == "tool_use" and call["input"]["city"] in ("Bonn", "Köln")
    data = picture().split(",", 1)[1]
    history = [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": answer["content"]},
               {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": [
                   {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}]}]}]
    assert ask(server, messages=history, tools=[TOOL])["usage"]["input_tokens"] > 20


def test_a_stream_says_the_same(server):
    whole = ask(server, temperature=0)
    _, body, headers = server.request("POST", "/v1/messages", {"max_tokens": 12, "temperature": 0, "stream": True,
                                                    "messages": [{"role": "user", "content": "Hello"}]})
    assert headers["Content-Type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]
    assert events[0]["type"] == "message_start" and events[-1]["type"] == "message_stop"
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert text == whole["content"][0]["text"]


def test_counts_what_is_used(server):
    fields = {"messages": [{"role": "user", "content": "Hello there"}], "system": "Be brief."}
    _, count, _ = server.request("POST", "/v1/messages/count_tokens", fields)
    usage = ask(server, **fields)["usage"]
    assert json.loads(count)["input_tokens"] == usage["input_tokens"] + usage["cache_read_input_tokens"]


def test_keys_and_errors_have_its_form(make_server):
    server = make_server("--api-key", "k")
    body = {"max_tokens": 3, "messages": [{"role": "user", "content": "Hello"}]}
    status, answer, _ = server.request("POST", "/v1/messages", body)
    assert status == 401 and json.loads(answer)["type"] == "error"
    assert json.loads(answer)["error"]["type"] == "authentication_error"
    assert server.request("POST", "/v1/messages", body, {"x-api-key": "k"})[0] == 200
    status, answer, _ = server.request("POST", "/v1/messages", {"messages": []}, {"x-api-key": "k"})
    assert status == 400 and json.loads(answer)["error"]["type"] == "invalid_request_error"
