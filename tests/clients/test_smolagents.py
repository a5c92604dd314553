"""smolagents: its model class, and an agent that calls tools."""
import PIL.Image
import smolagents

from conftest import FAST, PICTURES

ASK = [{"role": "user", "content": [{"type": "text", "text": "What is 17 + 25?"}]}]


@smolagents.tool
def weather(days: int) -> str:
    """The weather.

    Args:
        days: how many days from now
    """
    return f"rain in {days} days"


def model(server, **settings):
    return smolagents.OpenAIModel(model_id=server.model, api_base=server.v1, api_key=server.key,
                                  client_kwargs={"max_retries": 0}, **settings)


def test_chat(demo):
    answer = model(demo, temperature=0, extra_body=FAST)(ASK)
    assert "42" in answer.content and answer.token_usage.output_tokens > 0


def test_streamed(demo):
    deltas = list(model(demo, temperature=0, extra_body=FAST).generate_stream(ASK))
    assert "42" in smolagents.models.agglomerate_stream_deltas(deltas).content


def test_a_picture(demo):
    answer = model(demo, temperature=0, extra_body=FAST)([{"role": "user", "content": [
        {"type": "image", "image": PIL.Image.open(PICTURES / "hearts.png")},
        {"type": "text", "text": "How many hearts are there?"}]}])
    assert "heart" in answer.content


def test_tools(tiny):
    answer = model(tiny, max_tokens=1500, seed=1, parallel_tool_calls=False)(ASK, tools_to_call_from=[weather])
    assert answer.tool_calls[0].function.name == "weather"


def test_an_agent_runs_its_steps(tiny):
    agent = smolagents.ToolCallingAgent(tools=[weather], verbosity_level=0, max_steps=2, model=model(
        tiny, max_tokens=1000, seed=2, extra_body=FAST, parallel_tool_calls=False, frequency_penalty=1))
    agent.run("How is the weather?")
    called = [call.name for step in agent.memory.steps for call in getattr(step, "tool_calls", None) or []]
    assert called and set(called) <= {"weather", "final_answer"}
