"""instructor: typed answers in each of its ways, upon OpenAI's client."""
import instructor
import openai
import pydantic
import pytest

from conftest import FAST, picture_url


class Answer(pydantic.BaseModel):
    """An answer."""
    number: int = pydantic.Field(ge=0, le=99)
    sure: bool


ASK = [{"role": "user", "content": "What is 17 + 25?"}]


def client(server, mode):
    return instructor.from_openai(openai.OpenAI(base_url=server.v1, api_key=server.key, max_retries=0), mode=mode)


@pytest.mark.parametrize("mode", [instructor.Mode.TOOLS, instructor.Mode.TOOLS_STRICT, instructor.Mode.JSON_SCHEMA])
def test_a_typed_answer(tiny, mode):
    answer = client(tiny, mode).chat.completions.create(model="tiny", messages=ASK, response_model=Answer, max_tokens=1500,
                                                        seed=1, max_retries=0, extra_body={"parallel_tool_calls": False})
    assert isinstance(answer, Answer)


def test_partial_answers(tiny):
    answers = list(client(tiny, instructor.Mode.JSON_SCHEMA).chat.completions.create_partial(
        model="tiny", messages=ASK, response_model=Answer, max_tokens=1500, seed=2, max_retries=0))
    assert len(answers) > 1 and answers[-1].sure in (True, False)


def test_the_raw_answer_of_a_picture(demo):
    _, raw = client(demo, instructor.Mode.JSON_SCHEMA).chat.completions.create_with_completion(
        model="demo", response_model=Answer, max_retries=0, extra_body=FAST, messages=[{"role": "user", "content": [
            {"type": "text", "text": "How many hearts are there?"},
            {"type": "image_url", "image_url": {"url": picture_url("hearts.png")}}]}])
    assert raw.usage.prompt_tokens > 60
