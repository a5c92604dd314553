"""Tokens without generation: /tokenize and /detokenize."""
import pytest

from conftest import expect, picture

TEXT = "Hello <think> world 图\n"
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


def with_picture(seed=0, width=84, height=56):
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": picture(seed, width, height)}},
                                         {"type": "text", "text": "What is this?"}]}]


def test_text_goes_there_and_back(server):
    status, answer = server.post("/tokenize", {"prompt": TEXT, "return_token_strs": True})
    assert status == 200 and answer["count"] == len(answer["tokens"]) == len(answer["token_strs"])
    assert answer["max_model_len"] == 512
    assert server.post("/detokenize", {"tokens": answer["tokens"]}) == (200, {"prompt": TEXT})
    asked = server.post("/v1/completions", {"prompt": TEXT, "max_tokens": 1, "return_token_ids": True})[1]
    assert asked["choices"][0]["prompt_token_ids"] == answer["tokens"]


@pytest.mark.parametrize("messages, fields", [
    (CHAT, {}), (CHAT, {"enable_thinking": False}), (CHAT, {"chat_template_kwargs": {"enable_thinking": False}}),
    (with_picture(), {})])
def test_messages_have_the_tokens_of_their_prompt(server, messages, fields):
    status, answer = server.post("/tokenize", {"messages": messages, **fields})
    asked = server.chat(messages=messages, max_tokens=1, return_token_ids=True, **fields)[1]
    assert status == 200 and answer["token_strs"] is None
    assert answer["tokens"] == asked["choices"][0]["message"]["prompt_token_ids"]
    assert answer["count"] == asked["usage"]["prompt_tokens"]


def test_the_prompt_of_an_answer_may_be_left_out(server):
    whole = server.post("/tokenize", {"messages": CHAT})[1]["tokens"]
    without = server.post("/tokenize", {"messages": CHAT, "add_generation_prompt": False})[1]["tokens"]
    assert len(without) < len(whole) and whole[:len(without)] == without


@pytest.mark.parametrize("body, param", [
    ({}, "prompt"), ({"prompt": 3}, "prompt"), ({"prompt": "a", "messages": CHAT}, "prompt"),
    ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
    ({"prompt": "a", "add_special_tokens": True}, "add_special_tokens"),
    ({"prompt": "word " * 60_000}, "prompt"), ({"messages": with_picture() * 5}, "messages")])
def test_what_cannot_be_tokenised_is_a_400(server, body, param):
    expect(server, 400, body, param=param, path="/tokenize")


@pytest.mark.parametrize("tokens", [[0, -1], [0, 10**6], [0, 2**63], [0, "a"], [0, None], [0, 1.5]])
def test_ids_of_no_token_are_named_with_the_range(server, tokens):
    error = expect(server, 400, {"tokens": tokens}, param="tokens", path="/detokenize")
    assert "tokens[1]" in error["message"] and "from 0 to 735" in error["message"]


def test_tokens_need_the_key(make_server):
    locked = make_server("--api-key", "secret")
    for path, body in [("/tokenize", {"prompt": "a"}), ("/detokenize", {"tokens": [1]})]:
        assert locked.post(path, body)[0] == 401
        assert locked.post(path, body, {"Authorization": "Bearer secret"})[0] == 200
