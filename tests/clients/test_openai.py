"""OpenAI's own client: what its README shows first."""
import asyncio
import enum
import json

import openai
import pydantic
import pytest

from conftest import FAST, picture_url


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Shape(pydantic.BaseModel):
    colour: Colour
    corners: int = pydantic.Field(ge=0, le=9)
    nested: list[Colour] = pydantic.Field(max_length=2)


class Weather(pydantic.BaseModel):
    """The weather of a city."""
    city: Colour
    days: int = pydantic.Field(ge=1, le=9)


ASK = [{"role": "user", "content": "How is the weather?"}]


@pytest.fixture(scope="session")
def client(tiny):
    return openai.OpenAI(base_url=tiny.v1, api_key=tiny.key, max_retries=0, timeout=60)


@pytest.fixture(scope="session")
def demo_client(demo):
    return openai.OpenAI(base_url=demo.v1, api_key=demo.key, max_retries=0, timeout=60)


def test_models(client):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another")


def test_a_wrong_key(tiny):
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=tiny.v1, api_key="wrong", max_retries=0).models.list()


def test_chat(demo_client):
    answer = demo_client.chat.completions.create(model="demo", temperature=0, extra_body=FAST, messages=[
        {"role": "developer", "content": "You are helpful."}, {"role": "user", "content": "What is 17 + 25?"}])
    assert "42" in answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_chat_streamed(demo_client):
    stream = demo_client.chat.completions.create(
        model="demo", temperature=0, stream=True, stream_options={"include_usage": True}, extra_body=FAST,
        messages=[{"role": "user", "content": "What is 17 + 25?"}])
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "42" in text and chunks[-1].usage.completion_tokens > 0 and not chunks[-1].choices


def test_a_picture(demo_client):
    answer = demo_client.chat.completions.create(model="demo", temperature=0, extra_body=FAST, messages=[
        {"role": "user", "content": [
            {"type": "text", "text": "How many hearts are there?"},
            {"type": "image_url", "image_url": {"url": picture_url("hearts.png"), "detail": "high"}}]}])
    assert "heart" in answer.choices[0].message.content


def test_the_event_helper(demo_client):
    kinds = set()
    with demo_client.chat.completions.stream(model="demo", messages=[{"role": "user", "content": "What is 17 + 25?"}],
                                             temperature=0, logprobs=True, top_logprobs=2, extra_body=FAST) as stream:
        for event in stream:
            kinds.add(event.type)
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done", "logprobs.content.delta", "logprobs.content.done"} <= kinds
    assert "42" in final.choices[0].message.content
    assert all(len(token.top_logprobs) == 2 for token in final.choices[0].logprobs.content)


def test_parse(client):
    answer = client.chat.completions.parse(model="tiny", messages=ASK, response_format=Shape, max_tokens=1500, seed=1)
    shape = answer.choices[0].message.parsed
    assert isinstance(shape, Shape), answer


def test_parse_cut_short(client):
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model="tiny", messages=ASK, response_format=Shape, max_tokens=3, extra_body=FAST)


def test_parse_streamed(client):
    with client.chat.completions.stream(model="tiny", messages=ASK, response_format=Shape, max_tokens=1500,
                                        seed=2) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Shape), final


def test_tools_parsed_and_answered(client):
    tools = [openai.pydantic_function_tool(Weather)]
    answer = client.chat.completions.parse(model="tiny", messages=ASK, tools=tools, tool_choice="required",
                                           parallel_tool_calls=False, max_tokens=1500, seed=3)
    message = answer.choices[0].message
    call = message.tool_calls[0]
    assert isinstance(call.function.parsed_arguments, Weather)
    # The message goes back as it came, with the result after it.
    again = client.chat.completions.create(model="tiny", tools=tools, max_tokens=5, messages=[
        *ASK, message, {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"rain": True})}])
    assert again.usage.prompt_tokens > answer.usage.prompt_tokens


def test_tools_streamed(client):
    named = {"type": "function", "function": {"name": "Weather"}}
    arguments = []
    with client.chat.completions.stream(model="tiny", messages=ASK, tools=[openai.pydantic_function_tool(Weather)],
                                        tool_choice=named, max_tokens=1500, seed=4,
                                        parallel_tool_calls=False) as stream:
        for event in stream:
            if event.type == "tool_calls.function.arguments.done":
                arguments.append(event.parsed_arguments)
    assert arguments and all(isinstance(each, Weather) for each in arguments)


def test_completions(client):
    answer = client.completions.create(model="tiny", prompt=["Once", "Twice"], max_tokens=6, logprobs=1, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len(answer.choices[0].logprobs.tokens) == 6
    pieces = client.completions.create(model="tiny", prompt="Once", max_tokens=6, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces)


def test_what_the_model_cannot_do_is_said(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="tiny", input="Hello")
    assert refused.value.code == "unsupported_by_model"


def test_a_bad_value_names_its_field(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="tiny", messages=ASK, temperature=3)
    assert refused.value.param == "temperature"


def test_many_at_once(tiny):
    async def ask():
        async with openai.AsyncOpenAI(base_url=tiny.v1, api_key=tiny.key, max_retries=0, timeout=60) as client:
            return await asyncio.gather(*(client.chat.completions.create(
                model="tiny", messages=ASK, max_tokens=10, temperature=0) for _ in range(12)))

    answers = asyncio.run(ask())
    assert all(answer.choices[0].finish_reason for answer in answers)


def test_the_body_as_it_came(client):
    raw = client.chat.completions.with_raw_response.create(model="tiny", messages=ASK, max_tokens=3)
    assert raw.request_id and raw.parse().usage.completion_tokens == 3


def test_log_probabilities_of_a_response(tiny):
    client = openai.OpenAI(base_url=tiny.v1, api_key=tiny.key)
    ask = {"model": tiny.model, "input": "Hello", "max_output_tokens": 8, "temperature": 0, "reasoning": {"effort": "none"},
           "include": ["message.output_text.logprobs"], "top_logprobs": 2}
    part = client.responses.create(**ask).output[0].content[0]
    assert "".join(entry.token for entry in part.logprobs if not entry.token.startswith("bytes:")) in part.text
    assert all(len(entry.top_logprobs) == 2 and entry.logprob <= 0 for entry in part.logprobs)
    streamed = [entry for event in client.responses.create(**ask, stream=True) if event.type == "response.output_text.delta"
                for entry in event.logprobs]
    assert [entry.token for entry in streamed] == [entry.token for entry in part.logprobs] and streamed
