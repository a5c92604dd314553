"""LlamaIndex's OpenAILike."""
import asyncio

import pydantic
import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

from conftest import FAST, PICTURES

SUM = "What is 17 + 25?"


class Answer(pydantic.BaseModel):
    """An answer."""
    number: int
    sure: bool


def weather(days: int) -> str:
    """The weather some days from now."""
    return f"rain in {days} days"


def model(server, **kwargs):
    extra = kwargs.pop("additional_kwargs", {"extra_body": FAST})
    return OpenAILike(model=server.model, api_base=server.v1, api_key=server.key, is_chat_model=kwargs.pop("chat", True),
                      is_function_calling_model=True, context_window=4096, max_retries=0, additional_kwargs=extra, **kwargs)


def test_chat(demo):
    answer = model(demo, temperature=0).chat([ChatMessage(role="system", content="Be helpful."), ChatMessage(content=SUM)])
    assert "42" in answer.message.content


def test_complete_goes_through_chat(demo):
    assert "42" in model(demo, temperature=0).complete(SUM).text


def test_streamed(demo):
    pieces = [each.delta for each in model(demo, temperature=0).stream_chat([ChatMessage(content=SUM)])]
    assert "42" in "".join(pieces) and len(pieces) > 2


def test_many_at_once(demo):
    async def ask():
        return await asyncio.gather(*(model(demo, temperature=0).acomplete(SUM) for _ in range(4)))

    assert all("42" in answer.text for answer in asyncio.run(ask()))


def test_a_picture(demo):
    answer = model(demo, temperature=0).chat([ChatMessage(role="user", blocks=[
        ImageBlock(path=PICTURES / "hearts.png"), TextBlock(text="How many hearts are there?")])])
    assert "heart" in answer.message.content


@pytest.mark.parametrize("stream", [False, True])
def test_tools(tiny, stream):
    llm = model(tiny, max_tokens=1500, additional_kwargs={"seed": 1})
    tools = [FunctionTool.from_defaults(weather)]
    settings = {"user_msg": "How is the weather?", "tool_required": True, "allow_parallel_tool_calls": False}
    answer = list(llm.stream_chat_with_tools(tools, **settings))[-1] if stream else llm.chat_with_tools(tools, **settings)
    calls = llm.get_tool_calls_from_response(answer)
    assert calls[0].tool_name == "weather" and isinstance(calls[0].tool_kwargs["days"], int)


@pytest.mark.parametrize("native", [False, True])
def test_structured(tiny, native):
    llm = model(tiny, max_tokens=1500, additional_kwargs={"seed": 2}, should_use_structured_outputs=native)
    answer = llm.as_structured_llm(Answer).chat([ChatMessage(content=SUM)])
    assert isinstance(answer.raw, Answer)


def test_completions(tiny):
    assert model(tiny, chat=False, max_tokens=5).complete("Once").text
