"""Servers that the clients talk to, and what their tests share.

Clients find the server in the way that their documentation names first: an address, a key and a model's name.
"""
import base64
import importlib.util
import os
import pathlib
import types

# Read by clients when they are imported: nothing but the server under test is to be talked to.
os.environ.update({
    "ANONYMIZED_TELEMETRY": "false", "DO_NOT_TRACK": "1", "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1",
    "LANGCHAIN_TRACING_V2": "false", "LANGSMITH_TRACING": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False", "OTEL_SDK_DISABLED": "true", "TRANSFORMERS_OFFLINE": "1"})
for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"):
    os.environ.pop(name, None)

import pytest  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY = "a-key-of-the-tests"
PICTURES = ROOT / "models/demo/pictures"
# No thinking: with random weights it would end only where its budget does.
FAST = {"enable_thinking": False}


def _api_tests():
    spec = importlib.util.spec_from_file_location("api_conftest", ROOT / "tests/api/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


api = _api_tests()


def serve(model: pathlib.Path, name: str, *flags: str):
    server = api.Server("--api-key", KEY, "--served-model-name", name, "--max-model-len", "4096",
                        "--num-gpu-blocks-override", "512", "--limit-mm-per-prompt", '{"image": 4}', *flags, model=model)
    yield types.SimpleNamespace(model=name, key=KEY, url=server.url, v1=server.url + "/v1", raw=server)
    code = server.stop()
    assert code == 0, f"the server ended with {code}:\n{server.output()[-4000:]}"


@pytest.fixture(scope="session")
def tiny():
    """Random weights: fast, and what they say is definite only where a grammar makes it so."""
    yield from serve(api.MODEL, "tiny")


@pytest.fixture(scope="session")
def demo():
    """The demo model, which knows shapes, colours and sums."""
    processor = (ROOT / "models/demo/mm_processor_kwargs.json").read_text(encoding="utf-8")
    yield from serve(ROOT / "models/demo", "demo", "--mm-processor-kwargs", processor)


def picture_base64(name: str) -> str:
    return base64.b64encode((PICTURES / name).read_bytes()).decode()


def picture_url(name: str) -> str:
    return "data:image/png;base64," + picture_base64(name)
