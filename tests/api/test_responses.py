"""The Responses API with the official client, on random weights."""
import json
from typing import Literal

import openai
import pytest
from pydantic import BaseModel

from conftest import picture

WEATHER = {"type": "function", "name": "weather", "strict": True, "parameters": {
    "type": "object", "additionalProperties": False, "required": ["city"], "properties": {"city": {"enum": ["Bonn", "Köln"]}}}}
QUIET = {"model": "default", "reasoning": {"effort": "none"}}


class Colour(BaseModel):
    colour: Literal["red", "blue"]
    bright: bool


def test_text_and_usage(server):
    answer = server.client().responses.create(**QUIET, input="Hello", max_output_tokens=8)
    assert answer.id.startswith("resp_") and answer.output[0].type == "message"
    assert answer.usage.output_tokens == 8 and answer.usage.total_tokens == answer.usage.input_tokens + 8
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"


def test_thinking_is_an_item(server):
    answer = server.client().responses.create(model="default", input="Hello", max_output_tokens=10)
    assert answer.output[0].type == "reasoning" and answer.output[0].content[0].text
    assert answer.usage.output_tokens_details.reasoning_tokens > 0


def test_a_stream_says_the_same(server):
    client = server.client()
    ask = {**QUIET, "input": [{"role": "user", "content": [
        {"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": picture()}]}],
        "max_output_tokens": 12, "temperature": 0}
    whole = client.responses.create(**ask)
    events = list(client.responses.create(**ask, stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert events[-1].type == "response.incomplete"
    assert "".join(deltas) == whole.output_text == events[-1].response.output_text


def test_calls_and_their_results(server):
    client = server.client()
    answer = client.responses.create(**QUIET, input="Weather?", tools=[WEATHER], tool_choice="required",
                                     parallel_tool_calls=False, max_output_tokens=200)
    call = answer.output[0]
    assert call.type == "function_call" and json.loads(call.arguments)["city"] in ("Bonn", "Köln")
    history = [{"role": "user", "content": "Weather?"}, call.model_dump(),
               {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    assert client.responses.create(**QUIET, input=history, tools=[WEATHER], max_output_tokens=5).output is not None


def test_the_official_clients_stream_helper_parses(server):
    with server.client().responses.stream(**QUIET, input="A colour", text_format=Colour, max_output_tokens=200) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Colour)


@pytest.mark.parametrize("seed", range(3))
def test_parsed_output(server, seed):
    answer = server.client().responses.parse(**QUIET, input=f"A colour, number {seed}", text_format=Colour, max_output_tokens=400)
    assert isinstance(answer.output_parsed, Colour)


def test_state_is_refused_by_name(server):
    with pytest.raises(openai.BadRequestError) as error:
        server.client().responses.create(**QUIET, input="x", previous_response_id="resp_1")
    assert error.value.param == "previous_response_id" and "whole conversation" in error.value.message
