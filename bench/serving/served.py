"""A server of one's own for the programs beside this file, and what they send to it."""
import base64
import http.client
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHAT = "/v1/chat/completions"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Client:
    """Of the server at a port."""

    def __init__(self, port):
        self.port = port

    def connect(self, address="127.0.0.1", timeout=60):
        return socket.create_connection(("127.0.0.1", self.port), timeout, (address, 0))

    def request(self, method, path, body=None, key=None, timeout=120):
        """Status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = "Bearer " + key
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def gauge(self, name):
        text = self.request("GET", "/metrics")[1].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def busy(self):
        return self.gauge("fastdeploy:num_requests_running") + self.gauge("fastdeploy:num_requests_waiting")

    def wait_until_idle(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if self.busy() == 0:
                    return True
            except OSError:
                pass
            time.sleep(0.1)
        return False


class Served(Client):
    """`ernie serve` on a port that stays the same when it is started again."""

    def __init__(self, ernie, model, *flags):
        super().__init__(free_port())
        self.command = [str(ernie), "serve", "--model", str(model), "--port", str(self.port), *flags]
        self.log = tempfile.NamedTemporaryFile(prefix="served-", suffix=".log")
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.output()}")
            try:
                if self.request("GET", "/health", timeout=5)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the server is not ready after two minutes:\n{self.output()}")

    def stop(self, number=signal.SIGTERM, seconds=60):
        """Its exit code, or None when it had to be killed."""
        self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def output(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")[-3000:]

    def rss(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def head(path, length=None, method="POST", key=None, **more):
    """A request's head as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if key:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chat(words, **fields):
    return {"messages": [{"role": "user", "content": words}], "temperature": 0, "enable_thinking": False, **fields}


def png(width, height, bits, colour, rows):
    """A picture of rows that each begin with the byte of a filter."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def bit_png(side, seed=0):
    """A picture of one bit a pixel: small as a file, large when it is decoded."""
    return png(side, side, 1, 0, (b"\0" + bytes([seed & 255]) * ((side + 7) // 8)) * side)


def data_url(picture, kind="image/png"):
    return f"data:{kind};base64," + base64.b64encode(picture).decode()


def image(picture):
    return {"type": "image_url", "image_url": {"url": data_url(picture)}}
