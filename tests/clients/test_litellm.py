"""LiteLLM: one call for every provider, here an OpenAI-compatible one and Anthropic's."""
import json

import litellm
import pydantic
import pytest

from conftest import FAST, picture_url

SUM = [{"role": "user", "content": "What is 17 + 25?"}]
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather of a city", "parameters": {
    "type": "object", "additionalProperties": False, "required": ["days"],
    "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 9}}}}}


class Answer(pydantic.BaseModel):
    number: int = pydantic.Field(ge=0, le=99)
    sure: bool


def at(server, provider="openai"):
    base = server.v1 if provider != "anthropic" else server.url
    return {"model": f"{provider}/{server.model}", "api_base": base, "api_key": server.key, "num_retries": 0}


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_chat(demo, provider):
    answer = litellm.completion(**at(demo, provider), messages=SUM, temperature=0, extra_body=FAST)
    assert "42" in answer.choices[0].message.content and answer.usage.completion_tokens > 0


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_reasoning_is_apart(demo, provider):
    answer = litellm.completion(**at(demo, provider), messages=SUM, temperature=0)
    assert answer.choices[0].message.reasoning_content and "42" in answer.choices[0].message.content


def test_streamed(demo):
    chunks = list(litellm.completion(**at(demo), messages=SUM, temperature=0, stream=True, extra_body=FAST,
                                     stream_options={"include_usage": True}))
    whole = litellm.stream_chunk_builder(chunks)
    assert "42" in whole.choices[0].message.content and whole.usage.completion_tokens > 0


def test_a_picture(demo):
    answer = litellm.completion(**at(demo), temperature=0, extra_body=FAST, messages=[{"role": "user", "content": [
        {"type": "text", "text": "How many hearts are there?"},
        {"type": "image_url", "image_url": {"url": picture_url("hearts.png")}}]}])
    assert "heart" in answer.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", ["openai", "hosted_vllm", "anthropic"])
def test_tools(tiny, provider, stream):
    answer = litellm.completion(**at(tiny, provider), messages=SUM, tools=[TOOL], tool_choice="required", seed=1,
                                parallel_tool_calls=False, max_tokens=1500, stream=stream, drop_params=True)
    if stream:
        answer = litellm.stream_chunk_builder(list(answer))
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "weather" and 1 <= json.loads(call.function.arguments)["days"] <= 9


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_structured(tiny, provider):
    answer = litellm.completion(**at(tiny, provider), messages=SUM, response_format=Answer, max_tokens=1500, seed=1)
    assert isinstance(Answer.model_validate_json(answer.choices[0].message.content), Answer)


def test_anthropic_messages(demo):
    answer = litellm.completion(**at(demo, "anthropic"), messages=SUM, max_tokens=200)
    assert "42" in answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"


def test_text_completion(tiny):
    answer = litellm.text_completion(model="text-completion-openai/tiny", api_base=tiny.v1, api_key=tiny.key,
                                     prompt="Once", max_tokens=5)
    assert answer.choices[0].text


def test_errors_have_their_kind(tiny):
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(**{**at(tiny), "api_key": "wrong"}, messages=SUM)
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**at(tiny), messages=[{"role": "user", "content": "long " * 9000}])
