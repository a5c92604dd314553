"""Structured output: every spelling, on random weights, whose answers would look like nothing otherwise."""
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import expect

PERSON = {"type": "object", "additionalProperties": False, "required": ["name", "age", "tags"],
          "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0,
                                                                           "maximum": 150},
                         "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 3}}}
OFF = {"enable_thinking": False, "temperature": 1.5, "max_tokens": 200}


def answers(server, count=6, **fields):
    """Texts and finish reasons of seeded answers."""
    def one(seed):
        status, body = server.chat(**{**OFF, "seed": seed, **fields})
        assert status == 200, body
        return body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"]

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(count)))


def is_person(text):
    person = json.loads(text)
    return (set(person) == {"name", "age", "tags"} and len(person["name"]) <= 8 and 0 <= person["age"] <= 150
            and set(person["tags"]) <= {"a", "b", "c"} and len(person["tags"]) <= 3)


# A70
@pytest.mark.parametrize("fields", [
    {"response_format": {"type": "json_schema", "json_schema": {"name": "p", "strict": True, "schema": PERSON}}},
    {"response_format": {"type": "json_object", "schema": PERSON}}, {"guided_json": PERSON},
    {"guided_json": json.dumps(PERSON)}, {"structured_outputs": {"json": PERSON}}, {"json_schema": PERSON}])
def test_answers_match_the_schema(server, fields):
    for text, reason in answers(server, **fields):
        assert reason == "stop" and is_person(text), text


@pytest.mark.parametrize("fields,pattern", [
    ({"guided_regex": "[a-f]{3}-[0-9]{2}"}, "[a-f]{3}-[0-9]{2}"),
    ({"structured_outputs": {"regex": "(yes|no)!"}}, "(yes|no)!"),
    ({"guided_choice": ["red", "green", "bl\u00fc"]}, "red|green|bl\u00fc"),
    ({"structured_outputs": {"choice": ["x y", "x"]}}, "x y|x"),
    ({"guided_grammar": 'root ::= "a" [0-9] root | "."'}, r"(a[0-9])*(\.|a?)"),  # which may go on until it is cut
    ({"grammar": 'root ::= ("ab" | "cd")'}, "ab|cd")])
def test_answers_match_patterns_choices_and_grammars(server, fields, pattern):
    for text, reason in answers(server, **fields):
        assert re.fullmatch(pattern, text) and (reason == "stop" or "guided_grammar" in fields), text


def test_a_json_object_is_one(server):
    for text, reason in answers(server, response_format={"type": "json_object"}, max_tokens=400):
        assert text.startswith("{") and (reason == "length" or isinstance(json.loads(text), dict))


# A70
def test_an_answer_that_is_cut_says_length(server):
    [(text, reason)] = answers(server, 1, guided_regex="[ab]{100}", max_tokens=5)
    assert reason == "length" and re.fullmatch("[ab]+", text)


def test_the_format_begins_behind_the_thought(server):
    for budget in (0, 5, 30):
        status, body = server.chat(enable_thinking=True, reasoning_max_tokens=budget, max_tokens=120, temperature=1.2,
                                   guided_choice=["red", "green"])
        assert status == 200
        message = body["choices"][0]["message"]
        assert message["content"].strip() in ("red", "green"), message


def test_streams_choices_logprobs_and_seeds(server):
    fields = {**OFF, "guided_json": PERSON, "seed": 5, "n": 3, "logprobs": True, "top_logprobs": 4}
    status, whole = server.chat(**fields)
    assert status == 200 and len(whole["choices"]) == 3
    for choice in whole["choices"]:
        assert is_person(choice["message"]["content"])
        for token in choice["logprobs"]["content"]:
            assert all(top["logprob"] > -1e30 for top in token["top_logprobs"])
            assert token["logprob"] <= 0
    first = whole["choices"][0]["logprobs"]["content"][0]
    assert all(top["token"].startswith("{") for top in first["top_logprobs"])  # nothing else may begin
    status, again = server.chat(**fields)
    assert [c["message"]["content"] for c in again["choices"]] == [c["message"]["content"] for c in whole["choices"]]

    client = server.client()
    stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello"}], temperature=1.5,
                                            max_tokens=200, seed=5, stream=True,
                                            extra_body={"enable_thinking": False, "guided_json": PERSON})
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == whole["choices"][0]["message"]["content"]


def test_penalties_and_bad_words_go_with_a_format(server):
    for text, _ in answers(server, guided_regex="[a-d]{6}", repetition_penalty=1.3, frequency_penalty=1, min_tokens=50):
        assert re.fullmatch("[a-d]{6}", text)


def test_completions_take_formats(server):
    status, body = server.post("/v1/completions", {"model": "m", "prompt": "Say", "max_tokens": 20, "temperature": 1,
                                                   "structured_outputs": {"regex": "[0-9]{4}"}})
    assert status == 200 and re.fullmatch("[0-9]{4}", body["choices"][0]["text"]), body


def test_others_are_as_without(server):
    def plain(_=None):
        return server.chat(max_tokens=40)[1]["choices"][0]["message"]

    alone = plain()
    with ThreadPoolExecutor(6) as pool:
        formatted = pool.submit(answers, server, 4, guided_json=PERSON)
        assert all(other == alone for other in pool.map(plain, range(6)))
        assert all(is_person(text) for text, _ in formatted.result())


# A69, A71
@pytest.mark.parametrize("fields,param,words", [
    ({"guided_json": {"type": "object", "properties": {"a": {"not": {"type": "string"}}}}}, "guided_json",
     ["not", "/properties/a"]),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "http://x/y"}}}},
     "response_format.json_schema.schema", ["$ref"]),
    ({"guided_json": "{"}, "guided_json", ["JSON"]),
    ({"guided_regex": "("}, "guided_regex", []),
    ({"guided_regex": r"(a)\1"}, "guided_regex", []),
    ({"structured_outputs": {"grammar": "root ::= missing"}}, "structured_outputs.grammar", ["missing"]),
    ({"guided_regex": "a{1,1000000}"}, "guided_regex", ["10000"]),
    ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_choice", ["guided_regex"]),
    ({"guided_whitespace_pattern": " "}, "guided_whitespace_pattern", [])])
def test_what_cannot_be_followed_is_refused_by_name(server, fields, param, words):
    error = expect(server, 400, {"messages": [{"role": "user", "content": "Hello"}], **fields}, param)
    assert all(word in error["message"] for word in words), error


# A33
def test_what_a_client_wrote_is_shown_on_one_line(server):
    for fields in ({"guided_json": {"properties": {"a\nb\x1b[31m": {"not": {}}}}}, {"guided_grammar": "root ::= \n\x1b[31m x"}):
        error = expect(server, 400, {"messages": [{"role": "user", "content": "Hello"}], **fields})
        assert error["message"].isprintable(), error
