"""Tools: calls that a grammar guarantees, on random weights, which would never call by themselves."""
import json

import pytest

from conftest import expect, picture

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "additionalProperties": False, "required": ["city", "days"],
    "properties": {"city": {"enum": ["Bonn", "Köln"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}}}}}
NOW = {"type": "function", "function": {"name": "now", "parameters": {"maxProperties": 0}}}
FIELDS = {"tools": [WEATHER, NOW], "enable_thinking": False, "temperature": 1.2, "max_tokens": 200}
ASK = [{"role": "user", "content": "How is the weather in Bonn?"}]


def check(call):
    assert call["type"] == "function" and call["id"].startswith("chatcmpl-tool-")
    arguments = json.loads(call["function"]["arguments"])
    if call["function"]["name"] == "weather":
        assert arguments["city"] in ("Bonn", "Köln") and 1 <= arguments["days"] <= 9, arguments
    else:
        assert call["function"]["name"] == "now" and isinstance(arguments, dict)


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_required_calls_are_made(server, seed, thinking):
    status, body = server.chat(**{**FIELDS, "tool_choice": "required", "seed": seed, "max_tokens": 400,
                                  "enable_thinking": thinking, "reasoning_max_tokens": 20,
                                  "parallel_tool_calls": False})
    assert status == 200, body
    choice = body["choices"][0]
    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls" and message["content"] is None, body
    assert len(message["tool_calls"]) == 1
    check(message["tool_calls"][0])


def test_named_and_allowed_tools_are_the_only_ones(server):
    named = {"type": "function", "function": {"name": "weather"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    for choice in (named, allowed):
        status, body = server.chat(**{**FIELDS, "tool_choice": choice, "seed": 3, "parallel_tool_calls": False})
        assert status == 200, body
        calls = body["choices"][0]["message"]["tool_calls"]
        assert [call["function"]["name"] for call in calls] == ["weather"]
        check(calls[0])


def test_streamed_calls_say_the_same(server):
    client = server.client()
    stream = client.chat.completions.create(model="default", messages=ASK, stream=True, seed=5, max_tokens=200,
                                            tools=[WEATHER], tool_choice="required", parallel_tool_calls=False,
                                            extra_body={"enable_thinking": False})
    name, arguments, pieces, reason = "", "", 0, None
    for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.index == 0
            name += call.function.name or ""
            arguments += call.function.arguments or ""
            pieces += 1
        reason = chunk.choices[0].finish_reason or reason
    assert reason == "tool_calls" and pieces > 5
    check({"id": "chatcmpl-tool-", "type": "function", "function": {"name": name, "arguments": arguments}})


def test_the_official_clients_stream_helper_reads_them(server):
    client = server.client()
    with client.chat.completions.stream(model="default", messages=ASK, seed=6, max_tokens=200, tools=[WEATHER],
                                        tool_choice="required", parallel_tool_calls=False,
                                        extra_body={"enable_thinking": False}) as stream:
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert call.function.name == "weather" and json.loads(call.function.arguments)["city"] in ("Bonn", "Köln")


def test_a_conversation_with_calls_and_results_goes_on(server):
    messages = ASK + [
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn", "days": 1}'}}]},
        {"role": "tool", "tool_call_id": "a", "content": [
            {"type": "text", "text": "rain"}, {"type": "image_url", "image_url": {"url": picture()}}]}]
    status, body = server.chat(messages=messages, **{**FIELDS, "max_tokens": 5})
    assert status == 200, body
    assert body["usage"]["prompt_tokens_details"]["image_tokens"] > 0


def test_the_launch_line_of_the_thinking_model(make_server):
    server = make_server("--reasoning-parser", "ernie-45-vl-thinking", "--tool-call-parser", "ernie-45-vl-thinking")
    status, body = server.chat(**{**FIELDS, "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 400,
                                  "enable_thinking": True, "reasoning_max_tokens": 10})
    assert status == 200, body
    message = body["choices"][0]["message"]
    assert message["reasoning_content"] and message["content"] is None
    check(message["tool_calls"][0])


def test_the_older_form(server):
    status, body = server.chat(functions=[WEATHER["function"]], function_call={"name": "weather"},
                               enable_thinking=False, max_tokens=200, seed=1)
    assert status == 200, body
    choice = body["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert json.loads(choice["message"]["function_call"]["arguments"])["days"] >= 1


def test_what_cannot_be_followed_names_the_tool(server):
    bad = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {
        "type": "object", "properties": {"a": {"not": {}}}}}}
    error = expect(server, 400, {"messages": ASK, "tools": [NOW, bad]}, "tools[1].function.parameters")
    assert '"f"' in error["message"] and "/properties/a" in error["message"]
