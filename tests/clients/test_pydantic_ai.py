"""Pydantic AI: agents over OpenAI's and Anthropic's API."""
import asyncio

import pydantic
import pytest
from pydantic_ai import Agent, BinaryContent, NativeOutput, ToolOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from conftest import FAST, PICTURES

SUM = "What is 17 + 25?"
SETTINGS = {"temperature": 0, "extra_body": FAST}


class Answer(pydantic.BaseModel):
    number: int = pydantic.Field(ge=0, le=99)
    sure: bool


def model(server, provider="openai"):
    if provider == "anthropic":
        return AnthropicModel(server.model, provider=AnthropicProvider(base_url=server.url, api_key=server.key))
    return OpenAIChatModel(server.model, provider=OpenAIProvider(base_url=server.v1, api_key=server.key))


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_an_agent_answers(demo, provider):
    settings = SETTINGS if provider == "openai" else {"max_tokens": 200}
    result = Agent(model(demo, provider), instructions="Be helpful.", model_settings=settings).run_sync(SUM)
    assert "42" in result.output and result.usage.output_tokens > 0


def test_a_picture(demo):
    result = Agent(model(demo), model_settings=SETTINGS).run_sync([
        BinaryContent((PICTURES / "hearts.png").read_bytes(), media_type="image/png"), "How many hearts are there?"])
    assert "heart" in result.output


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_streamed(demo, provider):
    async def ask():
        settings = SETTINGS if provider == "openai" else {"max_tokens": 200}
        async with Agent(model(demo, provider), model_settings=settings).run_stream(SUM) as result:
            return [text async for text in result.stream_text(delta=True, debounce_by=None)]

    pieces = asyncio.run(ask())
    assert "42" in "".join(pieces) and len(pieces) > 1


# Of Anthropic's models it knows by their names which have native output, so that one of another name has none.
@pytest.mark.parametrize("provider, form", [("openai", ToolOutput), ("openai", NativeOutput), ("anthropic", ToolOutput)])
def test_typed_answers(tiny, provider, form):
    agent = Agent(model(tiny, provider), output_type=form(Answer), model_settings={"max_tokens": 1500, "seed": 1})
    assert isinstance(agent.run_sync(SUM).output, Answer)


def test_a_tool_is_called_and_answered(tiny):
    """The answer's type is a call as well, so that random weights have to call one of the two until they answer."""
    agent = Agent(model(tiny), output_type=ToolOutput(Answer), model_settings={
        "max_tokens": 1500, "temperature": 2, "extra_body": FAST, "parallel_tool_calls": False})
    called = []

    @agent.tool_plain
    def weather(days: int) -> str:
        """The weather some days from now."""
        called.append(days)
        return "rain"

    for seed in range(8):
        result = agent.run_sync(SUM, model_settings={"seed": seed})
        assert isinstance(result.output, Answer)
        if called:
            break
    assert called
