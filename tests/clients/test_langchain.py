"""LangChain's ChatOpenAI."""
import langchain_core.messages as messages
import openai
import pydantic
import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI

from conftest import FAST, picture_base64, picture_url

SUM = "What is 17 + 25?"


class Answer(pydantic.BaseModel):
    """An answer."""
    number: int
    sure: bool


@tool
def weather(days: int, rain: bool) -> str:
    """The weather some days from now."""
    return f"{days} {rain}"


def model(server, **kwargs):
    return ChatOpenAI(model=server.model, base_url=server.v1, api_key=server.key, max_retries=0, **kwargs)


def test_invoke(demo):
    answer = model(demo, temperature=0, extra_body=FAST).invoke([("system", "Be helpful."), ("human", SUM)])
    assert "42" in answer.content and answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["finish_reason"] == "stop"


def test_stream(demo):
    chunks = list(model(demo, temperature=0, extra_body=FAST, stream_usage=True).stream(SUM))
    whole = sum(chunks[1:], chunks[0])
    assert "42" in whole.content and whole.usage_metadata["output_tokens"] > 0 and len(chunks) > 2


def test_batch(demo):
    answers = model(demo, temperature=0, extra_body=FAST).batch(["What is 3 + 4?", SUM])
    assert "7" in answers[0].content and "42" in answers[1].content


@pytest.mark.parametrize("part", [
    {"type": "image_url", "image_url": {"url": picture_url("hearts.png")}},
    {"type": "image", "base64": picture_base64("hearts.png"), "mime_type": "image/png"}])
def test_a_picture(demo, part):
    answer = model(demo, temperature=0, extra_body=FAST).invoke([messages.HumanMessage([
        {"type": "text", "text": "How many hearts are there?"}, part])])
    assert "heart" in answer.content


@pytest.mark.parametrize("choice", ["any", "required", "weather"])
def test_bind_tools(tiny, choice):
    bound = model(tiny, max_tokens=1500, seed=1).bind_tools([weather], tool_choice=choice, parallel_tool_calls=False)
    asked = [messages.HumanMessage("How is the weather?")]
    answer = bound.invoke(asked)
    call = answer.tool_calls[0]
    assert call["name"] == "weather" and isinstance(call["args"]["days"], int) and not answer.invalid_tool_calls
    # The result goes back with the call.
    again = model(tiny, max_tokens=5).bind_tools([weather]).invoke([*asked, answer, weather.invoke(call)])
    assert again.usage_metadata["input_tokens"] > answer.usage_metadata["input_tokens"]


def test_tools_streamed(tiny):
    bound = model(tiny, max_tokens=1500, seed=2).bind_tools([weather], tool_choice="any", strict=True,
                                                           parallel_tool_calls=False)
    chunks = list(bound.stream("How is the weather?"))
    assert sum(chunks[1:], chunks[0]).tool_calls[0]["args"]["rain"] in (True, False)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_with_structured_output(tiny, method):
    structured = model(tiny, max_tokens=1500, seed=3).with_structured_output(Answer, method=method, include_raw=True)
    answer = structured.invoke("How much is it? Answer in JSON.")
    assert isinstance(answer["parsed"], Answer), answer


def test_json_mode(demo):
    """Without a schema; the demo model knows no JSON, so that its object may be cut."""
    bound = model(demo, max_tokens=100, temperature=0, extra_body=FAST).bind(response_format={"type": "json_object"})
    try:
        assert bound.invoke("How much is it? Answer in JSON.").content.lstrip().startswith("{")
    except openai.LengthFinishReasonError as cut:
        assert cut.completion.choices[0].message.content.lstrip().startswith("{")


def test_a_context_too_short_has_its_own_error(tiny):
    with pytest.raises(ContextOverflowError):
        model(tiny).invoke("long " * 9000)


def test_completions(tiny):
    assert OpenAI(model=tiny.model, base_url=tiny.v1, api_key=tiny.key, max_tokens=5).invoke("Once")


def test_logprobs(tiny):
    answer = model(tiny, max_tokens=3).invoke("Hi", logprobs=True, top_logprobs=2)
    assert len(answer.response_metadata["logprobs"]["content"]) == 3
