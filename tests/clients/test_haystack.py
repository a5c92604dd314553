"""Haystack's OpenAIChatGenerator, alone and in a pipeline."""
import pydantic
from haystack import Pipeline
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage, ImageContent
from haystack.tools import Tool
from haystack.utils import Secret

from conftest import FAST, picture_base64

SUM = "What is 17 + 25?"
WEATHER = Tool(name="weather", description="The weather", function=lambda days: f"rain in {days} days", parameters={
    "type": "object", "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["days"]})


class Answer(pydantic.BaseModel):
    number: int
    sure: bool


def generator(server, streaming_callback=None, **settings):
    return OpenAIChatGenerator(api_key=Secret.from_token(server.key), api_base_url=server.v1, model=server.model,
                               streaming_callback=streaming_callback, max_retries=0, generation_kwargs=settings)


def test_chat(demo):
    reply = generator(demo, temperature=0, extra_body=FAST).run([ChatMessage.from_user(SUM)])["replies"][0]
    assert "42" in reply.text and reply.meta["finish_reason"] == "stop" and reply.meta["usage"]["completion_tokens"] > 0


def test_streamed(demo):
    chunks = []
    reply = generator(demo, chunks.append, temperature=0, extra_body=FAST).run([ChatMessage.from_user(SUM)])["replies"][0]
    assert "42" in reply.text and len(chunks) > 2


def test_in_a_pipeline(demo):
    pipeline = Pipeline()
    pipeline.add_component("prompt", ChatPromptBuilder(template=[ChatMessage.from_user("What is {{a}} + {{b}}?")]))
    pipeline.add_component("llm", generator(demo, temperature=0, extra_body=FAST))
    pipeline.connect("prompt.prompt", "llm.messages")
    assert "42" in pipeline.run({"prompt": {"a": 17, "b": 25}})["llm"]["replies"][0].text


def test_a_picture(demo):
    message = ChatMessage.from_user(content_parts=["How many hearts are there?", ImageContent(
        base64_image=picture_base64("hearts.png"), mime_type="image/png")])
    assert "heart" in generator(demo, temperature=0, extra_body=FAST).run([message])["replies"][0].text


def test_tools(tiny):
    ask = [ChatMessage.from_user("How is the weather?")]
    settings = {"tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 1500, "seed": 1}
    for callback in (None, lambda chunk: None):
        reply = generator(tiny, callback, **settings).run(ask, tools=[WEATHER])["replies"][0]
        assert reply.tool_call.tool_name == "weather" and 1 <= reply.tool_call.arguments["days"] <= 9
    result = ChatMessage.from_tool(WEATHER.invoke(**reply.tool_call.arguments), origin=reply.tool_call)
    again = generator(tiny, max_tokens=5).run([*ask, reply, result], tools=[WEATHER])["replies"][0]
    assert again.meta["usage"]["completion_tokens"] == 5


def test_an_agent_calls_a_tool(tiny):
    """Until it has called the tool once."""
    settings = {"tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 1500, "seed": 1}
    agent = Agent(chat_generator=generator(tiny, **settings), tools=[WEATHER], exit_conditions=["weather"])
    messages = agent.run([ChatMessage.from_user("How is the weather?")])["messages"]
    assert "rain" in messages[-1].tool_call_results[0].result


def test_structured(tiny):
    for seed in range(3):
        reply = generator(tiny, response_format=Answer, max_tokens=1500, seed=seed).run([ChatMessage.from_user(SUM)])
        Answer.model_validate_json(reply["replies"][0].text)
