"""Tries the grammars of JSON Schemas on the JSON-Schema-Test-Suite.

For each schema of the suite that is accepted, answers drawn at random must be valid, and no instance that the suite
calls invalid may be an answer. For each refused one the reason is printed.

Usage: schema_suite.py SAMPLER SUITE_FOLDER   (tools/schema_suite.sh runs it)
"""
import collections
import json
import pathlib
import subprocess
import sys

import jsonschema

SAMPLES = 20
DRAFTS = {
    "draft4": jsonschema.Draft4Validator,
    "draft6": jsonschema.Draft6Validator,
    "draft7": jsonschema.Draft7Validator,
    "draft2019-09": jsonschema.Draft201909Validator,
    "draft2020-12": jsonschema.Draft202012Validator,
}


def groups(suite):
    """Draft, file, description, schema and tests of each group."""
    for draft in DRAFTS:
        for path in sorted((suite / draft).rglob("*.json")):
            if (draft, path.name) == ("draft7", "content.json"):
                continue  # contentEncoding may be an assertion there; it is an annotation since
            for group in json.loads(path.read_text()):
                yield draft, path.relative_to(suite), group["description"], group["schema"], group["tests"]


def spellings(value):
    """The texts that a value may have, as far as they differ in what a grammar sees."""
    return {json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, separators=(",", ":"))}


def wrong_answers(draft, schema, tests, reply):
    """Answers that the grammar allows and the schema does not."""
    kind = DRAFTS[draft]
    validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
    for text in reply["samples"]:
        try:
            error = jsonschema.exceptions.best_match(validator.iter_errors(json.loads(text)))
        except json.JSONDecodeError as invalid:
            error = invalid
        if error is not None:
            yield f"{text!r}: {str(error).splitlines()[0]}"
    for text, allowed in zip(tests, reply["allowed"]):
        if allowed:
            yield f"{text!r}: invalid, says the suite"


def main(sampler, suite):
    entries = list(groups(pathlib.Path(suite)))
    requests = []
    for _, _, _, schema, tests in entries:
        texts = sorted({text for test in tests if not test["valid"] for text in spellings(test["data"])})
        requests.append({"kind": "json_schema", "text": json.dumps(schema), "samples": SAMPLES, "texts": texts})
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    output = subprocess.run([sampler], input=lines, capture_output=True, text=True, check=True).stdout
    replies = output.rstrip("\n").split("\n")  # other line ends stand in answers
    assert len(replies) == len(requests), f"{len(replies)} answers to {len(requests)} schemas"

    reasons = collections.Counter()
    accepted = failures = drawn = cut = 0
    for (draft, path, description, schema, _), request, line in zip(entries, requests, replies):
        reply = json.loads(line)
        if "error" in reply:
            reasons[reply["error"]] += 1
            print(f"refused {path}: {description}: {reply['error']}")
            continue
        problems = [reply["failed"]] if "failed" in reply else list(
            wrong_answers(draft, schema, request["texts"], reply))
        accepted += 1
        drawn += len(reply.get("samples", []))
        cut += reply.get("cut", 0)
        for problem in problems:
            failures += 1
            print(f"WRONG {path}: {description}: {json.dumps(schema)}: {problem}")
    print(f"{accepted} schemas accepted, {len(entries) - accepted} refused for {len(reasons)} reasons; {drawn} answers "
          f"drawn, {cut} cut, {failures} wrong")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
