"""Log-probabilities of the prompt's tokens: `echo` with `logprobs`, as evaluation harnesses ask, and `prompt_logprobs`."""
import json
import math

import pytest

from conftest import Server, picture

TEXT = "Once upon a time there was a picture of a red house."


def complete(server, **fields):
    status, body, _ = server.request("POST", "/v1/completions", {"prompt": TEXT, "temperature": 0, **fields})
    assert status == 200, body
    return json.loads(body)


def stream(server, path, **fields):
    status, body, _ = server.request("POST", path, {"temperature": 0, "stream": True, **fields})
    assert status == 200, body
    events = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]


@pytest.fixture(scope="module")
def ids(server):
    """Of TEXT."""
    return complete(server, max_tokens=1, return_token_ids=True)["choices"][0]["prompt_token_ids"]


def test_an_echo_scores_what_was_generated_the_same(server, ids):
    """Also behind a prompt that the cache knows, and with the sampling options of another answer."""
    told = complete(server, max_tokens=10, logprobs=3, return_token_ids=True, ignore_eos=True)["choices"][0]
    answer = told["completion_token_ids"]
    scored = complete(server, prompt=ids + answer, echo=True, logprobs=3, max_tokens=0, temperature=1.5, top_k=3,
                      repetition_penalty=2, logit_bias={"7": 50})
    choice = scored["choices"][0]
    assert choice["finish_reason"] == "length"
    assert scored["usage"]["completion_tokens"] == 0
    assert scored["usage"]["prompt_tokens"] == len(ids) + 10
    assert choice["text"] == TEXT + told["text"]
    logprobs = choice["logprobs"]
    assert len(logprobs["tokens"]) == len(logprobs["top_logprobs"]) == len(logprobs["text_offset"]) == len(ids) + 10
    assert logprobs["token_logprobs"][0] is None and logprobs["top_logprobs"][0] is None
    assert all(value <= 0 for value in logprobs["token_logprobs"][1:])
    for key in "tokens", "token_logprobs", "top_logprobs":
        assert logprobs[key][len(ids):] == told["logprobs"][key]
    assert "".join(logprobs["tokens"][:len(ids)]) == TEXT
    assert logprobs["text_offset"][:3] == [0, len(logprobs["tokens"][0]), len("".join(logprobs["tokens"][:2]))]
    assert logprobs["text_offset"][len(ids)] == len(TEXT)


def test_a_harness_sums_the_log_likelihoods_of_continuations(server, ids):
    """lm-eval's local-completions: batches of token ids, one token generated and left out."""
    prompts = [ids, ids[:5], ids[3:9]]
    answer = complete(server, prompt=prompts, echo=True, logprobs=1, max_tokens=1)
    for choice, prompt in zip(answer["choices"], prompts):
        alone = complete(server, prompt=prompt, echo=True, logprobs=1, max_tokens=1)["choices"][0]
        assert choice["logprobs"] == alone["logprobs"]
        values = choice["logprobs"]["token_logprobs"]
        assert len(values) == len(prompt) + 1
        for value, top in zip(values[1:-1], choice["logprobs"]["top_logprobs"][1:-1]):
            assert value in top.values() and 1 <= len(top) <= 2 and max(top.values()) >= value


def test_prompt_logprobs_of_completions_are_by_token_id(server, ids):
    answer = complete(server, prompt_logprobs=2, max_tokens=2, n=2, echo=True, logprobs=0)
    for choice in answer["choices"]:
        entries = choice["prompt_logprobs"]
        assert entries[0] is None and len(entries) == len(ids)
        for token, entry, value in zip(ids[1:], entries[1:], choice["logprobs"]["token_logprobs"][1:]):
            own = entry[str(token)]
            assert set(own) == {"logprob", "rank", "decoded_token"} and own["logprob"] == value
            ranks = sorted(e["rank"] for e in entry.values())
            assert ranks == ([1, 2] if own["rank"] <= 2 else [1, 2, own["rank"]])
    assert all(len(top) == 1 for top in answer["choices"][0]["logprobs"]["top_logprobs"][1:])
    assert "prompt_logprobs" not in complete(server, max_tokens=1)["choices"][0]


def test_prompt_logprobs_of_a_chat_are_the_answers_and_pictures_have_none(server):
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": picture()}}]
    fields = {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 4,
              "prompt_logprobs": 1, "return_token_ids": True, "enable_thinking": False}
    status, body = server.chat(**fields)
    assert status == 200, body
    ids = body["choices"][0]["message"]["prompt_token_ids"]
    entries = body["prompt_logprobs"]
    assert len(entries) == len(ids)
    nulls = [i for i, entry in enumerate(entries) if entry is None]
    placeholder = ids[nulls[-1]]
    assert nulls == [0] + [i for i, token in enumerate(ids) if token == placeholder] and len(nulls) > 4
    assert all(str(token) in entry for token, entry in zip(ids, entries) if entry)
    again = server.chat(**fields)[1]
    assert again["prompt_logprobs"] == entries
    assert again["choices"][0]["message"]["content"] == body["choices"][0]["message"]["content"]
    plain = server.chat(**{**fields, "prompt_logprobs": None})[1]
    assert plain["choices"][0]["message"]["content"] == body["choices"][0]["message"]["content"]


def test_streams_have_the_prompt_in_their_first_chunk(server, ids):
    fields = {"prompt": TEXT, "echo": True, "logprobs": 1, "prompt_logprobs": 0, "max_tokens": 5}
    whole = complete(server, **fields)["choices"][0]
    first, *rest = stream(server, "/v1/completions", **fields)
    assert first["choices"][0]["text"] == TEXT
    assert first["choices"][0]["prompt_logprobs"] == whole["prompt_logprobs"]
    for key in "tokens", "token_logprobs", "top_logprobs", "text_offset":
        parts = [chunk["choices"][0]["logprobs"][key] for chunk in [first, *rest]]
        assert len(parts[0]) == len(ids)
        assert sum(parts, []) == whole["logprobs"][key]
    nothing = stream(server, "/v1/completions", **{**fields, "max_tokens": 0})
    assert nothing[0]["choices"][0]["logprobs"] == first["choices"][0]["logprobs"]
    assert "".join(chunk["choices"][0]["text"] for chunk in nothing) == TEXT
    assert nothing[-1]["choices"][0]["finish_reason"] == "length"

    chat = {"messages": [{"role": "user", "content": TEXT}], "prompt_logprobs": 0, "max_tokens": 3, "n": 2}
    whole = server.chat(**chat)[1]
    chunks = stream(server, "/v1/chat/completions", **chat)
    shown = [chunk["prompt_logprobs"] for chunk in chunks if "prompt_logprobs" in chunk]
    assert shown == [whole["prompt_logprobs"]]


def test_an_echo_without_tokens_is_the_prompt(server):
    answer = complete(server, prompt=["A house", "A tree"], echo=True, max_tokens=0, n=2)
    assert [choice["text"] for choice in answer["choices"]] == ["A house", "A house", "A tree", "A tree"]
    assert all(choice["logprobs"] is None and choice["finish_reason"] == "length" for choice in answer["choices"])
    one = complete(server, prompt="a", echo=True, logprobs=1, max_tokens=0)["choices"][0]["logprobs"]
    assert one["token_logprobs"] == [None] and one["text_offset"] == [0]


def test_the_same_in_parts_and_with_two_ranks(server):
    fields = {"echo": True, "logprobs": 2, "max_tokens": 4}
    expected = complete(server, **fields)["choices"]
    for flags in (["--max-num-seqs", "1"], ["--tensor-parallel-size", "2"], ["--max-num-seqs", "64"]):
        other = Server(*flags)
        try:
            assert complete(other, **fields)["choices"] == expected, flags
        finally:
            other.stop()


@pytest.mark.parametrize("path, fields, param", [
    ("/v1/completions", {"max_tokens": 0}, "max_tokens"),
    ("/v1/completions", {"max_tokens": 0, "prompt_logprobs": 1}, "max_tokens"),
    ("/v1/completions", {"prompt_logprobs": 21}, "prompt_logprobs"),
    ("/v1/completions", {"prompt_logprobs": -1}, "prompt_logprobs"),
    ("/v1/completions", {"prompt_logprobs": True}, "prompt_logprobs"),
    ("/v1/chat/completions", {"prompt_logprobs": 21}, "prompt_logprobs"),
    ("/v1/chat/completions", {"max_tokens": 0}, "max_tokens")])
def test_what_cannot_be_scored_is_refused(server, path, fields, param):
    prompt = {"prompt": TEXT} if path == "/v1/completions" else {"messages": [{"role": "user", "content": TEXT}]}
    status, body, _ = server.request("POST", path, {**prompt, **fields})
    assert status == 400 and json.loads(body)["error"]["param"] == param


def test_probabilities_add_up(server):
    """All 20 alternatives and the token itself are of one distribution."""
    entries = complete(server, prompt_logprobs=20, max_tokens=1)["choices"][0]["prompt_logprobs"][1:]
    for entry in entries:
        values = sorted((e["rank"], e["logprob"]) for e in entry.values())
        assert [v for _, v in values] == sorted((v for _, v in values), reverse=True)
        assert sum(math.exp(v) for _, v in values) <= 1.0001
