"""Tokens without generation: /tokenize and /detokenize."""
import json

import pytest

from conftest import MODEL, expect, picture

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


def render(server, messages, **fields):
    status, shown = server.post("/v1/chat/completions/render", {"messages": messages, **fields})
    assert status == 200, shown
    return shown


def test_a_rendered_chat_is_the_prompt_of_the_answer(server):
    shown = render(server, CHAT, max_tokens=7)
    asked = server.chat(messages=CHAT, max_tokens=1, return_token_ids=True)[1]
    message = asked["choices"][0]["message"]
    assert shown["token_ids"] == message["prompt_token_ids"] and shown["prompt"] == message["prompt_tokens"]
    assert shown["prompt_tokens"] == asked["usage"]["prompt_tokens"] and shown["media"] == []
    assert shown["max_tokens"] == 7 and render(server, CHAT)["max_tokens"] == 512 - shown["prompt_tokens"]


def test_rendering_generates_nothing(server):
    before = server.metrics()
    render(server, CHAT)
    assert server.metrics()["fastdeploy:requests_number_total"] == before["fastdeploy:requests_number_total"]


def test_pictures_are_told_by_place_cost_and_content(server):
    parts = with_picture(0)[0]["content"][:1] * 2 + with_picture(1, 56, 56)[0]["content"]
    shown = render(server, [{"role": "user", "content": parts}])
    first, again, other = shown["media"]
    assert (first["kind"], first["tokens"], first["grid"]) == ("image", 6, {"frames": 1, "height": 4, "width": 6})
    assert (other["tokens"], other["grid"]) == (4, {"frames": 1, "height": 4, "width": 4})
    assert first["hash"] == again["hash"] != other["hash"] and len(bytes.fromhex(first["hash"])) == 32
    assert shown["prompt"].count("<|IMAGE_PLACEHOLDER|>") == 3
    placeholder = shown["token_ids"][first["begin"]]
    for item in shown["media"]:
        end = item["begin"] + item["tokens"]
        assert shown["token_ids"][item["begin"]:end] == [placeholder] * item["tokens"]
        assert placeholder not in (shown["token_ids"][item["begin"] - 1], shown["token_ids"][end])
    salted = render(server, [{"role": "user", "content": parts}], cache_salt="mine")
    assert salted["media"][0]["hash"] != first["hash"] and salted["token_ids"] == shown["token_ids"]


def test_a_video_is_one_item(make_server):
    server = make_server("--max-model-len", "1024")
    frames = [picture(i, 56, 56) for i in range(3)]
    item, = render(server, [{"role": "user", "content": [{"type": "video", "video": frames}]}])["media"]
    assert (item["kind"], item["tokens"]) == ("video", 2 * 324)
    assert item["grid"] == {"frames": 4, "height": 36, "width": 36}


def test_the_chat_template_is_the_checkpoints(make_server):
    server = make_server(model=MODEL.parent / "tiny-b")
    info = json.loads(server.get("/tokenizer_info")[1])
    own = json.loads((MODEL.parent / "tiny-b/tokenizer_config.json").read_text(encoding="utf-8"))
    assert info["chat_template"] == own["chat_template"]


def test_rendered_completions(server):
    status, shown = server.post("/v1/completions/render", {"prompt": [TEXT, "Hello"], "n": 3, "max_tokens": 5})
    tokens = [server.post("/tokenize", {"prompt": text})[1]["tokens"] for text in (TEXT, "Hello")]
    assert status == 200 and [item["token_ids"] for item in shown["data"]] == tokens
    assert [item["prompt"] for item in shown["data"]] == [TEXT, "Hello"]
    assert shown["prompt_tokens"] == sum(map(len, tokens))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions/render"])
@pytest.mark.parametrize("fields, param", [
    ({"temperature": 9}, "temperature"), ({"messages": []}, "messages"), ({"min_tokens": 600}, "min_tokens"),
    ({"messages": with_picture() * 5}, "messages"), ({"guided_json": {"type": "x"}}, "guided_json")])
def test_what_is_not_run_is_not_rendered(server, path, fields, param):
    expect(server, 400, {"messages": CHAT, **fields}, param=param, path=path)
