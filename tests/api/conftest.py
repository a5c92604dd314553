"""Starts `build/ernie serve` on a small random checkpoint, once per test session and set of flags."""
import base64
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests/golden/model/tiny-a"
ERNIE = pathlib.Path(os.environ.get("ERNIE", ROOT / "build/ernie"))


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, by servers that are started here, too


class Server:
    """A running server and the ways tests talk to it."""

    def __init__(self, *flags: str, model=MODEL, env=None, log=None):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [str(ERNIE), "serve", "--model", str(model), "--port", str(self.port),
                   "--max-model-len", "512", "--max-num-seqs", "8", "--reasoning-parser", "ernie-45-vl",
                   "--num-gpu-blocks-override", "128", "--check-invariants", *flags]
        self.log = log or tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT,
                                        env={**os.environ, **(env or {})})
        self._wait_until_ready()

    def _wait_until_ready(self):
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError("server ended at start:\n" + self.output())
            try:
                if self.get("/health")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.process.kill()
        raise RuntimeError("server not ready after 30 s:\n" + self.output())

    def output(self) -> str:
        """What the server has printed so far."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def client(self, **kwargs):
        import openai  # here, since tests/clients uses this file in environments without it
        return openai.OpenAI(base_url=self.url + "/v1", api_key=kwargs.pop("api_key", "none"), max_retries=0,
                             timeout=60, **kwargs)

    def request(self, method, path, body=None, headers=None):
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=all_headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.read(), response.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def post(self, path, body, headers=None):
        """Status and parsed JSON of a POST."""
        status, text, _ = self.request("POST", path, body, headers)
        return status, json.loads(text)

    def chat(self, **fields):
        body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8,
                "temperature": 0, **fields}
        return self.post("/v1/chat/completions", body)

    def metrics(self) -> dict:
        out = {}
        for line in self.get("/metrics")[1].decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out

    def rss_bytes(self) -> int:
        for line in open(f"/proc/{self.process.pid}/status", encoding="ascii"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        return 0

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


class PeakMemory:
    """Watches how much more memory a server takes from now on until stop(), which gives it in bytes."""

    def __init__(self, server: Server):
        self._before = self._peak = server.rss_bytes()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(server,), daemon=True)
        self._thread.start()

    def _watch(self, server):
        while not self._ended.wait(0.005):
            self._peak = max(self._peak, server.rss_bytes())

    def stop(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._peak - self._before


@pytest.fixture(scope="session")
def server():
    instance = Server("--limit-mm-per-prompt", '{"image": 4, "video": 2}')
    yield instance
    code = instance.stop()
    assert code == 0, f"the server ended with {code}:\n{instance.output()[-4000:]}"


@pytest.fixture
def make_server():
    """Starts servers with other flags; they are stopped at the end of the test."""
    running = []

    def make(*flags, **kwargs):
        running.append(Server(*flags, **kwargs))
        return running[-1]

    yield make
    for instance in running:
        instance.stop()


def expect(server, status, body, param=None, code=None, path="/v1/chat/completions"):
    """An error answer in the four-key form."""
    got, answer = server.post(path, body)
    assert got == status, answer
    assert list(answer) == ["error"] and set(answer["error"]) == {"message", "type", "param", "code"}
    if param is not None:
        assert answer["error"]["param"] == param, answer
    if code is not None:
        assert answer["error"]["code"] == code, answer
    return answer["error"]


def png(width: int, height: int, pixel) -> bytes:
    """A PNG whose pixel (x, y) is pixel(x, y) = (r, g, b)."""
    rows = b"".join(b"\0" + bytes(c for x in range(width) for c in pixel(x, y)) for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def data_url(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def picture(seed: int = 0, width: int = 84, height: int = 56) -> str:
    """A small colourful picture as a data URL; other seeds give other pictures."""
    return data_url(png(width, height, lambda x, y: ((x * 3 + seed * 40) % 256, (y * 5) % 256, (x * y + seed) % 256)))
