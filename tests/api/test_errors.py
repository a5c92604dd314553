"""Bad input: each answer is OpenAI's four-key error with the right status, and the server goes on."""
import json
import pathlib
import resource

import openai
import pytest

from conftest import MODEL, expect

USER = [{"role": "user", "content": "Hi"}]


@pytest.fixture(autouse=True)
def still_serves(server):
    """Before and after every bad request the same question gets the same answer."""
    probe = server.chat()[1]["choices"][0]["message"]
    yield
    assert server.chat()[1]["choices"][0]["message"] == probe


def test_client_raises_its_own_types(server):
    with pytest.raises(openai.BadRequestError) as error:
        server.client().chat.completions.create(model="m", messages=USER, temperature=-1)
    assert error.value.param == "temperature"


# A25, A26, A27
@pytest.mark.parametrize("body", [b"", b"{", b"[1,2]", b"null", b"3", b'"x"', b"{'a':1}", b'{"a":1,}', b"\xff\xfe",
                                  b'{"messages": "\xc3\x28"}', b'{"a":"\\ud800"}', b"\xef\xbb\xbf{}",
                                  b"[" * 100_000, b'{"a":' * 100_000])
def test_not_json_objects(server, body):
    expect(server, 400, body)


BAD_FIELDS = [
    ("n", 0), ("n", -1), ("n", 2**31), ("n", 10**9), ("n", 129), ("n", "2"), ("n", 1.5), ("n", True),
    ("max_tokens", 0), ("max_tokens", -1), ("max_tokens", 10.5), ("max_tokens", 2**63), ("max_tokens", "5"),
    ("temperature", -0.1), ("temperature", 2.1), ("temperature", "1"), ("temperature", True), ("temperature", 1e309),
    ("top_p", -0.1), ("top_p", 1.1), ("min_p", -1), ("min_p", 2), ("top_k", -2), ("top_k", 2**31),
    ("repetition_penalty", 0), ("frequency_penalty", 3), ("presence_penalty", -3),
    ("seed", -2**63), ("seed", 2**64), ("seed", -1),
    ("stop", ["x"] * 17), ("stop", "x" * 2**20), ("stop", ""), ("stop", [""]), ("stop", [3]), ("stop", 3),
    ("stop_token_ids", [-1]), ("stop_token_ids", ["a"]), ("stop_token_ids", [10**6]),
    ("logit_bias", {"-1": 1}), ("logit_bias", {"736": 1}), ("logit_bias", {str(2**40): 1}), ("logit_bias", {"a": 1}),
    ("logit_bias", {"1": 1e30}), ("logit_bias", {"1": None}), ("logit_bias", {str(i): 0 for i in range(1_500)}),
    ("bad_words", [""]), ("bad_words", ["x"] * 100_000), ("bad_words", ["several words " * 20]),
    ("bad_words_token_ids", [736]), ("timeout_ms", 0), ("timeout_ms", 10**12), ("reasoning_max_tokens", -1),
    ("enable_thinking", "yes"), ("chat_template_kwargs", {"messages": []}), ("request_id", "a\nb"),
    ("stream_options", {"include_usage": True}), ("max_streaming_response_tokens", 0), ("min_tokens", 600),
]


# A30
@pytest.mark.parametrize("field, value", BAD_FIELDS)
def test_field_out_of_range(server, field, value):
    body = json.dumps({"messages": USER, "max_tokens": 4, field: value}).replace("Infinity", "1e309")
    error = expect(server, 400, body.encode())
    assert error["param"] and error["param"].startswith(field)
    assert error["type"] == "invalid_request_error"


# A30
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have(server, value):
    body = json.dumps({"messages": USER, "temperature": "@"}).replace('"@"', value)
    expect(server, 400, body.encode(), code="json_invalid")


# A37
@pytest.mark.parametrize("extra", [{"top_logprobs": 21, "logprobs": True}, {"top_logprobs": 2**31, "logprobs": True},
                                   {"top_logprobs": 3}])
def test_logprobs_limits(server, extra):
    expect(server, 400, {"messages": USER, **extra}, param="top_logprobs")


# A47
@pytest.mark.parametrize("field, value", [
    ("chat_template", "x"), ("logits_processors_args", {"thinking_budget": 3})])
def test_known_but_unsupported_fields_are_refused(server, field, value):
    expect(server, 400, {"messages": USER, field: value}, param=field, code="unsupported_parameter")


# A47
def test_unknown_fields_are_accepted(server):
    assert server.chat(a_field_of_tomorrow=1)[0] == 200


@pytest.mark.parametrize("messages, param", [
    (None, "messages"), ([], "messages"), ("hi", "messages"), ([3], "messages[0]"), ([{}], "messages[0].role"),
    ([{"role": "user"}], "messages[0].content"), ([{"role": "king", "content": "x"}], "messages[0].role"),
    ([{"role": "user", "content": 3}], "messages[0].content"),
    ([{"role": "user", "content": [{"type": "smell"}]}], "messages[0].content[0].type"),
    ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0].image_url"),
])
def test_bad_messages(server, messages, param):
    expect(server, 400, {"messages": messages}, param=param)


# A42
@pytest.mark.parametrize("prompt", ["", [], [[]], [-1], [10**6], ["a", 3], [[1], "a"], ["x"] * 1_000_00, 5, None])
def test_bad_prompts(server, prompt):
    expect(server, 400, {"prompt": prompt}, param="prompt", path="/v1/completions")


# A43
def test_prompt_longer_than_the_context(server):
    for words in (600, 60_000):
        error = expect(server, 400, {"messages": [{"role": "user", "content": "word " * words}]},
                       code="context_length_exceeded")
        assert "512" in error["message"]


# A46
def test_limits_at_maximum_together_are_refused_by_predicted_size(make_server):
    large = make_server("--max-model-len", "4096")
    status, body = large.chat(n=128, logprobs=True, top_logprobs=20, max_tokens=4000)
    assert status == 400 and body["error"]["code"] == "output_too_large"


# A28
def test_duplicate_keys_last_wins(server):
    status, body = server.post("/v1/chat/completions",
                               b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":-5,"max_tokens":3,'
                               b'"ignore_eos":true}')
    assert status == 200 and body["usage"]["completion_tokens"] == 3


def test_wrong_model_name(make_server):
    named = make_server("--served-model-name", "ernie")
    assert named.chat(model="ernie")[0] == 200
    status, body = named.chat(model="other")
    assert status == 404 and body["error"]["param"] == "model"


def test_embeddings_are_refused_with_the_reason(server):
    with pytest.raises(openai.BadRequestError) as error:
        server.client().embeddings.create(model="m", input="Hello")
    assert error.value.code == "unsupported_by_model" and "embeddings" in str(error.value)
    for path in ("/v1/reward", "/pooling", "/score"):
        expect(server, 400, {"input": "Hello"}, code="unsupported_by_model", path=path)


def test_a_model_is_found_by_its_name(make_server):
    named = make_server("--served-model-name", "baidu/ERNIE-4.5-VL")
    assert named.client().models.retrieve("baidu/ERNIE-4.5-VL").id == "baidu/ERNIE-4.5-VL"
    for path in ("/v1/models/baidu/ERNIE-4.5-VL", "/v1/models/baidu%2FERNIE-4.5-VL"):
        status, answer, _ = named.get(path)
        assert status == 200 and json.loads(answer)["id"] == "baidu/ERNIE-4.5-VL"
    with pytest.raises(openai.NotFoundError) as error:
        named.client().models.retrieve("other")
    assert error.value.param == "model"
    assert named.request("HEAD", "/v1/models/other")[0] == 404
    assert named.request("DELETE", "/v1/models/other")[2]["Allow"] == "GET, HEAD, OPTIONS"


def test_the_path_of_the_model_is_told_to_nobody(server):
    status, answer = server.chat(model=str(MODEL))
    assert status == 200 and answer["model"] == MODEL.name
    answers = [json.dumps(answer), server.get("/v1/models")[1].decode(), server.get("/metrics")[1].decode(),
               json.dumps(server.chat(model=str(MODEL), n=0)[1])]
    for shown in answers:
        assert str(MODEL) not in shown
    assert json.loads(answers[1])["data"][0]["id"] == MODEL.name


# A96
def test_keys_of_a_file_are_in_no_list_of_processes_and_no_core_dump(make_server, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("\n first \r\nsecond\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))  # as where dumps are wanted
    try:
        locked = make_server("--api-key-file", str(keys))
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    for key in ("first", "second"):
        assert locked.client(api_key=key).models.list().data
    with pytest.raises(openai.AuthenticationError):
        locked.client(api_key="third").models.list()
    process = pathlib.Path(f"/proc/{locked.process.pid}")
    assert "first" not in (process / "cmdline").read_text()
    limit = next(l for l in (process / "limits").read_text().splitlines() if l.startswith("Max core file size"))
    assert limit.split()[4] == ("0" if hard == 0 else "1")


# A17
def test_api_key(make_server):
    locked = make_server("--api-key", "secret")
    with pytest.raises(openai.AuthenticationError):
        locked.client(api_key="wrong").models.list()
    assert locked.client(api_key="secret").models.list().data
    assert locked.get("/health")[0] == 200
