"""The official client against the server: chat, streaming, sampling options, usage."""
import pytest

from conftest import data_url, png


def say(client, text="Tell me a story.", **kwargs):
    kwargs.setdefault("temperature", 0)
    kwargs.setdefault("max_tokens", 24)
    return client.chat.completions.create(model="any", messages=[{"role": "user", "content": text}], **kwargs)


def test_answer_has_the_fields_of_openai(server):
    answer = say(server.client())
    choice = answer.choices[0]
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert 1 <= answer.usage.completion_tokens <= 24


def test_stream_equals_whole_answer(server):
    whole = say(server.client(), max_tokens=40)
    chunks = list(say(server.client(), max_tokens=40, stream=True, stream_options={"include_usage": True}))
    content = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    reasoning = "".join(getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in chunks if c.choices)
    assert content == (whole.choices[0].message.content or "")
    assert reasoning == whole.choices[0].message.reasoning_content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_continuous_usage_counts_up(server):
    stream = say(server.client(), stream=True, max_tokens=6,
                 stream_options={"include_usage": True, "continuous_usage_stats": True})
    counts = [c.usage.completion_tokens for c in stream]
    assert counts == sorted(counts) and counts[-1] >= 1


def test_thinking_off_gives_content_and_on_gives_reasoning(server):
    off = say(server.client(), extra_body={"enable_thinking": False})
    assert off.choices[0].message.reasoning_content == "" and off.choices[0].message.content
    for where in ({"enable_thinking": True}, {"chat_template_kwargs": {"enable_thinking": True}},
                  {"metadata": {"enable_thinking": True}}, {}):
        on = say(server.client(), extra_body={**where, "reasoning_max_tokens": 24})
        assert on.choices[0].message.reasoning_content, where


@pytest.mark.parametrize("where", [{"enable_thinking": False}, {"chat_template_kwargs": {"enable_thinking": False}},
                                   {"metadata": {"enable_thinking": False}}])
def test_thinking_can_be_switched_off_in_three_places(server, where):
    assert say(server.client(), extra_body=where).choices[0].message.reasoning_content == ""


def test_reasoning_budget_forces_the_end_of_thinking(server):
    answer = say(server.client(), max_tokens=20, extra_body={"enable_thinking": True, "reasoning_max_tokens": 5})
    assert answer.usage.completion_tokens_details.reasoning_tokens <= 7  # 5, a newline and </think>
    assert answer.choices[0].message.content
    assert "</think>" not in answer.choices[0].message.content


def test_seed_makes_sampling_repeatable(server):
    def draw(seed):
        return say(server.client(), temperature=1.0, seed=seed,
                   extra_body={"enable_thinking": False}).choices[0].message.content
    assert draw(7) == draw(7)
    assert len({draw(seed) for seed in range(4)}) > 1


def test_n_choices_have_their_own_index_and_text(server):
    answer = say(server.client(), n=3, temperature=1.0, seed=1, extra_body={"enable_thinking": False})
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert len({c.message.content for c in answer.choices}) > 1


def test_logprobs_for_every_token_with_reasoning(server):
    # The budget is never used up: a forced token need not be the best one.
    answer = say(server.client(), max_tokens=12, logprobs=True, top_logprobs=3,
                 extra_body={"enable_thinking": True, "reasoning_max_tokens": 12})
    entries = answer.choices[0].logprobs.content
    assert len(entries) == answer.usage.completion_tokens
    for entry in entries:
        assert len(entry.top_logprobs) == 3
        assert entry.logprob == pytest.approx(entry.top_logprobs[0].logprob)  # greedy takes the best
        assert entry.top_logprobs[0].logprob >= entry.top_logprobs[1].logprob
        assert entry.token.encode() == bytes(entry.bytes) or entry.token.startswith("bytes:")


def test_stop_string_ends_the_text_before_it(server):
    whole = say(server.client(), max_tokens=40, extra_body={"enable_thinking": False}).choices[0].message.content
    stop = whole[5:8]
    cut = say(server.client(), max_tokens=40, stop=[stop], extra_body={"enable_thinking": False}).choices[0]
    assert cut.finish_reason == "stop"
    assert cut.message.content == whole[:whole.index(stop)]


def test_max_tokens_is_kept(server):
    answer = say(server.client(), max_tokens=3, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 3 and answer.choices[0].finish_reason == "length"


def test_return_token_ids(server):
    status, body = server.chat(return_token_ids=True, max_tokens=5)
    message = body["choices"][0]["message"]
    assert status == 200
    assert len(message["prompt_token_ids"]) == body["usage"]["prompt_tokens"]
    assert len(message["completion_token_ids"]) == body["usage"]["completion_tokens"]


def test_same_prompt_twice_hits_the_prefix_cache(server):
    text = "a long prompt that fills blocks of the cache " * 12
    first = say(server.client(), text, max_tokens=4)
    second = say(server.client(), text, max_tokens=4)
    assert second.usage.prompt_tokens_details.cached_tokens >= 64
    assert second.choices[0].message.reasoning_content == first.choices[0].message.reasoning_content


def test_completions_take_text_ids_and_lists(server):
    client = server.client()
    whole = client.completions.create(model="m", prompt="Once upon a time", max_tokens=8, temperature=0)
    assert whole.choices[0].text and whole.object == "text_completion"
    many = client.completions.create(model="m", prompt=["Once upon a time", "Two"], max_tokens=8, temperature=0, n=2)
    assert [c.index for c in many.choices] == [0, 1, 2, 3]
    assert many.choices[0].text == whole.choices[0].text
    status, body = server.post("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 8, "temperature": 0,
                                                   "return_token_ids": True})
    ids = body["choices"][0]["prompt_token_ids"]
    by_ids = client.completions.create(model="m", prompt=ids, max_tokens=8, temperature=0)
    assert status == 200 and by_ids.choices[0].text == whole.choices[0].text
    echo = client.completions.create(model="m", prompt="Once upon a time", max_tokens=8, temperature=0, echo=True)
    assert echo.choices[0].text == "Once upon a time" + whole.choices[0].text
    streamed = client.completions.create(model="m", prompt="Once upon a time", max_tokens=8, temperature=0, stream=True)
    assert "".join(c.choices[0].text for c in streamed) == whole.choices[0].text


def test_models_and_health_and_metrics(server):
    models = server.client().models.list().data
    assert len(models) == 1 and models[0].max_model_len == 512
    assert server.get("/health")[0] == 200
    before = server.metrics()["fastdeploy:generation_tokens_total"]
    say(server.client(), max_tokens=4, extra_body={"ignore_eos": True})
    assert server.metrics()["fastdeploy:generation_tokens_total"] == before + 4


def test_quantised_cache_serves_pictures_and_prefixes(make_server):
    server = make_server("--kv-cache-dtype", "int8")
    assert "blocks in int8" in server.output()
    assert any('cache_dtype="int8"' in name for name in server.metrics())
    picture = data_url(png(64, 64, lambda x, y: (x * 4, y * 4, 0)))
    content = [{"type": "text", "text": "What is this? " * 12},
               {"type": "image_url", "image_url": {"url": picture}}]
    answers = [server.chat(messages=[{"role": "user", "content": content}]) for _ in range(2)]
    assert [status for status, _ in answers] == [200, 200]
    assert answers[0][1]["choices"] == answers[1][1]["choices"]
    assert answers[1][1]["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


def test_text_only_service_takes_marks_of_pictures_as_text(make_server):
    server = make_server("--limit-mm-per-prompt", '{"image": 0, "video": 0}')
    status, answer = server.post("/v1/completions", {
        "model": "m", "prompt": "<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|> hello", "max_tokens": 4})
    assert status == 200 and answer["usage"]["completion_tokens"] > 0, answer
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    status, answer = server.chat(messages=[{"role": "user", "content": [picture]}])
    assert status == 400 and answer["error"]["param"] == "messages", answer


def test_bad_words_of_several_tokens_never_come(server):
    def complete(prompt, **fields):
        status, body = server.post("/v1/completions", {"prompt": prompt, "max_tokens": 40, "temperature": 0, "logprobs": 0,
                                                       "ignore_eos": True, "return_token_ids": True, **fields})
        assert status == 200, body
        return body["choices"][0]

    tried = 0
    for prompt in "Once upon a time", "A red house", "What is it?", "The end":
        free = complete(prompt)
        ids, tokens = free["completion_token_ids"], free["logprobs"]["tokens"]
        for i in range(len(ids) - 1):
            word = tokens[i] + tokens[i + 1]
            first = next(k for k in range(i + 1) if ids[k:k + 2] == ids[i:i + 2])
            # A word is text without special tokens, and may be cut into other tokens when it is written alone.
            if "<" in word or first < i or complete(word, max_tokens=1)["prompt_token_ids"] != ids[i:i + 2]:
                continue
            tried += 1
            kept = complete(prompt, bad_words=[word])["completion_token_ids"]
            assert kept[:i + 1] == ids[:i + 1] and kept[i + 1] != ids[i + 1]
            assert all(kept[k:k + 2] != ids[i:i + 2] for k in range(len(kept)))
    assert tried > 3
    assert complete("The end", bad_words=["no such words here"])["completion_token_ids"] == ids
