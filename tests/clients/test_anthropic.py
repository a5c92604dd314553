"""Anthropic's own client, over /v1/messages."""
from typing import Literal

import anthropic
import pydantic
import pytest

from conftest import picture_base64

TOOL = {"name": "weather", "description": "The weather of a city", "input_schema": {
    "type": "object", "additionalProperties": False, "required": ["city", "days"],
    "properties": {"city": {"enum": ["Bonn", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}}}}
ASK = [{"role": "user", "content": "How is the weather in Bonn?"}]
SUM = [{"role": "user", "content": "What is 17 + 25?"}]


class Place(pydantic.BaseModel):
    north: bool
    colour: Literal["red", "green"]


@pytest.fixture(scope="session")
def client(tiny):
    return anthropic.Anthropic(base_url=tiny.url, api_key=tiny.key, max_retries=0, timeout=60)


@pytest.fixture(scope="session")
def demo_client(demo):
    return anthropic.Anthropic(base_url=demo.url, api_key=demo.key, max_retries=0, timeout=60)


def check(call):
    assert call.type == "tool_use" and call.id and call.name == "weather"
    assert call.input["city"] in ("Bonn", "Rome") and 1 <= call.input["days"] <= 9


def test_message(demo_client):
    message = demo_client.messages.create(model="demo", max_tokens=200, messages=SUM,
                                          system=[{"type": "text", "text": "You are helpful.",
                                                   "cache_control": {"type": "ephemeral"}}])
    assert [block.type for block in message.content] == ["text"] and "42" in message.content[0].text
    assert message.stop_reason == "end_turn" and message.usage.output_tokens > 0


def test_the_stream_helper(demo_client):
    with demo_client.messages.stream(model="demo", max_tokens=200, messages=SUM) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert "42" in text and final.content[0].text == text
    assert final.stop_reason == "end_turn" and final.usage.input_tokens > 0 and final.usage.output_tokens > 0


def test_thinking(demo_client):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    message = demo_client.messages.create(model="demo", max_tokens=2000, messages=SUM, thinking=thinking)
    assert [block.type for block in message.content] == ["thinking", "text"]
    kinds = []
    with demo_client.messages.stream(model="demo", max_tokens=2000, messages=SUM, thinking=thinking) as stream:
        for event in stream:
            kinds.append(event.type)
        streamed = stream.get_final_message()
    assert {"thinking", "text", "content_block_stop", "message_stop"} <= set(kinds)
    # Thinking goes back with the answer.
    again = demo_client.messages.create(model="demo", max_tokens=2000, thinking=thinking, messages=[
        *SUM, {"role": "assistant", "content": streamed.content}, {"role": "user", "content": "What is 3 + 4?"}])
    assert again.usage.input_tokens > streamed.usage.input_tokens
    adaptive = demo_client.messages.create(model="demo", max_tokens=200, messages=SUM, thinking={"type": "adaptive"})
    assert adaptive.content


def test_a_picture(demo_client):
    source = {"type": "base64", "media_type": "image/png", "data": picture_base64("hearts.png")}
    message = demo_client.messages.create(model="demo", max_tokens=200, messages=[
        {"role": "user", "content": [{"type": "image", "source": source},
                                     {"type": "text", "text": "How many hearts are there?"}]}])
    assert "heart" in message.content[0].text


def test_tools_and_their_results(client):
    message = client.messages.create(model="tiny", max_tokens=300, messages=ASK, tools=[TOOL],
                                     tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert message.stop_reason == "tool_use"
    check(message.content[0])
    again = client.messages.create(model="tiny", max_tokens=5, tools=[TOOL], messages=[
        *ASK, {"role": "assistant", "content": message.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": message.content[0].id,
                                      "content": [{"type": "text", "text": "rain"}]}]}])
    assert again.usage.input_tokens + again.usage.cache_read_input_tokens > message.usage.input_tokens


def test_tools_streamed(client):
    with client.messages.stream(model="tiny", max_tokens=300, messages=ASK, tools=[TOOL],
                                tool_choice={"type": "tool", "name": "weather"}) as stream:
        pieces = [event for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert len(pieces) > 3 and final.stop_reason in ("tool_use", "max_tokens")
    check(final.content[0])


def test_the_tool_runner(client):
    """It calls the tool, sends the result and asks again, here once. It asks the server to hold the conversation, and
    holds it itself when the server says that it does not."""
    called = []

    @anthropic.beta_tool
    def weather(tomorrow: bool, rain: bool) -> str:
        """The weather.

        Args:
            tomorrow: whether tomorrow's
            rain: whether to say rain
        """
        called.append((tomorrow, rain))
        return "rain" if rain else "sun"

    runner = client.beta.messages.tool_runner(
        model="tiny", max_tokens=200, tools=[weather], messages=ASK, max_iterations=2,
        tool_choice={"type": "any", "disable_parallel_tool_use": True})
    messages = list(runner)
    assert len(messages) == 2 and called


def test_parse(client):
    message = client.messages.parse(model="tiny", max_tokens=300, messages=ASK, output_format=Place)
    assert isinstance(message.parsed_output, Place)


def test_count_tokens(client):
    count = client.messages.count_tokens(model="tiny", messages=ASK, tools=[TOOL], system="Be brief.")
    message = client.messages.create(model="tiny", max_tokens=3, messages=ASK, tools=[TOOL], system="Be brief.")
    assert count.input_tokens == message.usage.input_tokens + message.usage.cache_read_input_tokens


def test_models(client):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"


def test_errors(client, tiny):
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=tiny.url, api_key="wrong", max_retries=0).messages.create(
            model="tiny", max_tokens=3, messages=ASK)
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="claude", max_tokens=3, messages=ASK)
    assert missing.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError) as bad:
        client.messages.create(model="tiny", max_tokens=3, messages=[])
    assert bad.value.body["error"]["type"] == "invalid_request_error"


def test_a_token_instead_of_a_key(tiny):
    client = anthropic.Anthropic(base_url=tiny.url, auth_token=tiny.key, max_retries=0)
    assert client.messages.create(model="tiny", max_tokens=3, messages=ASK).stop_reason == "max_tokens"
