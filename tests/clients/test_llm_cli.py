"""The command llm, to which extra-openai-models.yaml shows the server."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

from conftest import PICTURES

LLM = pathlib.Path(sys.executable).parent / "llm"


@pytest.fixture
def llm(demo, tiny, tmp_path):
    """Runs the command and gives what it prints."""
    models = "".join(f"""
- model_id: {name}
  model_name: {server.model}
  api_base: "{server.v1}"
  api_key_name: ernie
  vision: true
  supports_tools: true
  supports_schema: true
""" for name, server in (("demo", demo), ("tiny", tiny)))
    (tmp_path / "extra-openai-models.yaml").write_text(models + "- model_id: tiny-completions\n  model_name: tiny\n"
                                                       f'  api_base: "{tiny.v1}"\n  api_key_name: ernie\n  completion: true\n')
    (tmp_path / "keys.json").write_text(json.dumps({"ernie": demo.key}))

    def run(*arguments):
        done = subprocess.run([LLM, *arguments], env={**os.environ, "LLM_USER_PATH": str(tmp_path)}, timeout=60,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_lists_the_models(llm):
    assert "demo" in llm("models", "list")


@pytest.mark.parametrize("flags", [[], ["--no-stream"]])
def test_a_prompt_and_its_conversation(llm, flags):
    assert "42" in llm("-m", "demo", "-o", "temperature", "0", *flags, "What is 17 + 25?")
    assert llm("-c", *flags, "What is 3 + 4?").strip()
    assert "17 + 25" in llm("logs")


def test_a_picture(llm):
    assert "heart" in llm("-m", "demo", "-o", "temperature", "0", "-a", PICTURES / "hearts.png",
                          "How many hearts are there?")


def test_a_schema(llm):
    answer = json.loads(llm("-m", "tiny", "--schema", "number int, sure bool", "-o", "max_tokens", "1500", "-o", "seed", "1",
                            "How much?"))
    assert isinstance(answer["number"], int) and isinstance(answer["sure"], bool)


def test_tools_are_offered(llm):
    assert llm("-m", "demo", "-T", "llm_version", "-o", "temperature", "0", "What is 17 + 25?").strip()


def test_completions(llm):
    assert llm("-m", "tiny-completions", "-o", "max_tokens", "20", "-o", "logprobs", "2", "Once").strip()
