"""lm-eval's local-completions and local-chat-completions, on tasks made here: no data set is fetched."""
import json
import os

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

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
