"""lm-eval's local-completions and local-chat-completions, on tasks made here: no data set is fetched."""
import array
import json
import math
import os

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from conftest import ROOT, serve

SUMS = [(17, 25), (3, 4), (20, 30), (8, 9)]


@pytest.fixture
def tasks(tmp_path):
    """The names of a task that generates and of one that compares log-likelihoods."""
    rows = [{"question": f"What is {a} + {b}?", "right": str(a + b), "wrong": str(a + b + 1)} for a, b in SUMS]
    (tmp_path / "sums.json").write_text("\n".join(json.dumps(row) for row in rows))
    common = f"""
dataset_path: json
dataset_kwargs:
  data_files: {{test: {tmp_path / "sums.json"}}}
test_split: test
"""
    (tmp_path / "generate.yaml").write_text(common + """
task: sums_generated
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{right}}"
generation_kwargs: {until: ["###"], max_gen_toks: 100, temperature: 0}
filter_list:
  - {name: last, filter: [{function: regex, regex_pattern: "(\\\\d+)", group_select: -1}, {function: take_first}]}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
""")
    (tmp_path / "choose.yaml").write_text(common + """
task: sums_chosen
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: ["{{right}}", "{{wrong}}"]
doc_to_target: 0
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
""")
    return TaskManager(include_path=str(tmp_path))


GOLDEN = ROOT / "tests/golden/model"
TOLERANCE = 2e-4  # of a sum of 5 to 7 log-probabilities in float32; 5e-5 at most was seen


def golden_texts(checkpoint):
    """Of the cases without pictures: the token ids, and what transformers' float32 logits make of the last ones."""
    content = (GOLDEN / checkpoint / "arrays.bin").read_bytes()
    for case in json.loads((GOLDEN / checkpoint / "cases.json").read_text(encoding="utf-8"))["cases"]:
        if case["media"]:
            continue
        rows, width = case["logits_f32"]["shape"]
        logits = array.array("f")
        logits.frombytes(content[case["logits_f32"]["offset"]:][:4 * rows * width])
        scores = {}  # by the place of a token: its log-probability, and whether it is the likeliest
        for row, at in enumerate(case["logit_positions"][:-1]):
            values = logits[row * width:(row + 1) * width]
            most, token = max(values), case["input_ids"][at + 1]
            total = most + math.log(sum(math.exp(value - most) for value in values))
            scores[at + 1] = values[token] - total, case["argmax"][at] == token
        yield case["name"], case["input_ids"], scores


@pytest.fixture(params=["tiny-text", "tiny-moe-text", "tiny-a", "tiny-b"])
def golden(request):
    yield from serve(GOLDEN / request.param, request.param, "--dtype", "float32")


def test_log_likelihoods_are_those_of_transformers(golden, tmp_path):
    headers = {"Authorization": "Bearer " + golden.key}

    def text_of(ids):
        return golden.raw.post("/detokenize", {"tokens": ids}, headers)[1]["prompt"]

    def ids_of(text):
        return golden.raw.post("/tokenize", {"prompt": text, "add_special_tokens": False}, headers)[1]["tokens"]

    rows, expected = [], []
    for name, ids, scores in golden_texts(golden.model):
        for cut in sorted(scores):  # the first place where a text may end as its tokens do
            begin, end = text_of(ids[:cut]), text_of(ids[cut:])
            if begin[-1].isspace() or ids_of(begin) != ids[:cut] or ids_of(begin + end) != ids:
                continue
            rows.append({"name": name, "begin": begin, "end": end})
            expected.append((sum(scores[at][0] for at in range(cut, len(ids))),
                             all(scores[at][1] for at in range(cut, len(ids)))))
            break
    assert len(rows) >= 2
    (tmp_path / "rows.json").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "golden.yaml").write_text(f"""
task: golden
dataset_path: json
dataset_kwargs:
  data_files: {{test: {tmp_path / "rows.json"}}}
test_split: test
output_type: loglikelihood
target_delimiter: ""
doc_to_text: "{{{{begin}}}}"
doc_to_target: "{{{{end}}}}"
metric_list:
  - {{metric: perplexity, aggregation: perplexity, higher_is_better: false}}
""")
    _, samples = evaluate(golden, "local-completions", "golden", TaskManager(include_path=str(tmp_path)), "/completions",
                          tokenizer_backend="remote", tokenized_requests=True, auth_token=golden.key)
    assert len(samples) == len(rows)
    for sample in samples:
        (value, greedy), = sample["resps"][0]
        wanted, wanted_greedy = expected[sample["doc_id"]]
        assert abs(value - wanted) < TOLERANCE and greedy == wanted_greedy, (rows[sample["doc_id"]]["name"], value, wanted)


def evaluate(server, kind, task, tasks, route, **arguments):
    os.environ["OPENAI_API_KEY"] = server.key
    settings = {"model": server.model, "base_url": server.v1 + route, "num_concurrent": 2, "max_retries": 1,
                "tokenizer_backend": "none", "tokenized_requests": False, "max_length": 2048, **arguments}
    done = simple_evaluate(kind, model_args=settings, tasks=[task], task_manager=tasks, bootstrap_iters=0,
                           apply_chat_template=kind == "local-chat-completions", log_samples=True)
    return done["results"][task], done["samples"][task]


def test_generate_through_chat(demo, tasks):
    results, samples = evaluate(demo, "local-chat-completions", "sums_generated", tasks, "/chat/completions")
    assert len(samples) == len(SUMS) and results["exact_match,last"] == 1.0, [each["resps"] for each in samples]


def test_generate_through_completions(demo, tasks):
    _, samples = evaluate(demo, "local-completions", "sums_generated", tasks, "/completions")
    assert len(samples) == len(SUMS) and all(each["resps"][0][0] for each in samples)


def test_log_likelihoods(demo, tasks):
    results, samples = evaluate(demo, "local-completions", "sums_chosen", tasks, "/completions",
                                tokenizer_backend="remote", tokenized_requests=True, auth_token=demo.key)
    assert len(samples) == len(SUMS) and 0 <= results["acc,none"] <= 1
    assert all(value < 0 for each in samples for (value, _), in each["resps"]), samples
