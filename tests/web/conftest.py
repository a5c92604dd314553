"""The pages in headless Chromium, against the demo model."""
import importlib.util
import os
import pathlib
import socket
import threading

import pytest

import cdp

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "models/demo"
PICTURES = DEMO / "pictures"
SHOTS = pathlib.Path(os.environ.get("ERNIE_WEB_SHOTS", ROOT / "build/web-screenshots"))


def _api_tests():
    spec = importlib.util.spec_from_file_location("api_conftest", ROOT / "tests/api/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


api = _api_tests()


def demo_server(*flags: str):
    return api.Server("--max-model-len", "2048", "--num-gpu-blocks-override", "512",
                      "--limit-mm-per-prompt", '{"image": 4, "video": 1}',
                      "--mm-processor-kwargs", (DEMO / "mm_processor_kwargs.json").read_text(encoding="utf-8"), *flags,
                      model=DEMO)


@pytest.fixture(scope="session")
def server():
    instance = demo_server()
    yield instance
    assert instance.stop() == 0, instance.output()[-4000:]


@pytest.fixture
def make_server():
    running = []

    def make(*flags):
        running.append(demo_server(*flags))
        return running[-1]

    yield make
    for instance in running:
        instance.stop()


@pytest.fixture(scope="session")
def browser():
    instance = cdp.Browser()
    yield instance
    instance.close()


@pytest.fixture
def open_page(browser):
    """Opens pages; at the end, none of them may have complained."""
    pages = []

    def make(url: str, **options) -> cdp.Page:
        page = browser.page(**options)
        pages.append(page)
        page.open(url)
        return page

    yield make
    try:
        complaints = [error for page in pages for error in page.errors()]
    finally:
        for page in pages:
            page.close()
    assert complaints == []


class Chat:
    """The chat page as its user sees it."""

    def __init__(self, page: cdp.Page):
        self.page = page
        self.wait_until_ready()

    def wait_until_ready(self):
        self.page.wait("/demo/.test(document.querySelector('#input')?.placeholder)")
        self.page.wait("document.querySelector('#banner').hidden")

    def add_picture(self, *names: str):
        before = self.page.count(".file")
        self.page.choose_files("#file", *(PICTURES / name for name in names))
        self.page.wait(f"document.querySelectorAll('.file').length === {before + len(names)}")
        self.wait_for_costs()

    def wait_for_costs(self):
        self.page.wait("[...document.querySelectorAll('.file .cost')].every((e) => /\\d/.test(e.textContent))")

    def think(self, wanted: bool):
        if (self.page.js("document.querySelector('.toggle').getAttribute('aria-pressed')") == "true") != wanted:
            self.page.click(".toggle")

    def send(self, text: str):
        self.page.js("document.querySelector('#input').focus()")
        self.page.type(text)
        self.page.press("Enter")

    def answers(self) -> list[str]:
        return self.page.js("[...document.querySelectorAll('.message.assistant .text')].map((e) => e.innerText)")

    def wait_for_answer(self, number=1) -> str:
        self.page.wait(f"document.querySelectorAll('.message.assistant[aria-busy=false]').length === {number}")
        return self.answers()[-1].strip()

    def ask(self, text: str, number=1) -> str:
        self.send(text)
        return self.wait_for_answer(number)


@pytest.fixture
def chat(server, open_page):
    return Chat(open_page(server.url + "/"))


class Proxy:
    """Between the page and the server: holds back streams of events, or cuts them."""

    def __init__(self, port: int):
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.hold_after = None  # events of a stream; None: all pass
        self.cut = False  # what is held is cut off
        self.refuses = False  # new connections
        self._open = []
        self._held = ()
        self._go_on = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def release(self, cut=False):
        self.cut = cut
        self.hold_after = None
        self._go_on.set()

    def vanish(self):
        """Every connection is cut, and none can be made."""
        self.refuses = True
        self.release(cut=True)
        for end in self._open:
            self._shut(end)

    def freeze(self):
        """No byte comes any more of what is held, which stays open, and nothing else is to be had."""
        self.refuses = True
        for end in self._open:
            if end not in self._held:
                self._shut(end)

    def close(self):
        self.release()
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuses:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._upstream))
            self._open += [client, server]
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
            threading.Thread(target=self._pump_events, args=(server, client), daemon=True).start()

    @staticmethod
    def _shut(end):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _pump(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        self._shut(source)
        self._shut(target)

    def _pump_events(self, server, client):
        window, streams, events = b"", False, 0
        try:
            while data := server.recv(64):
                window = (window + data)[-200:]
                streams = streams or b"text/event-stream" in window
                events += data.count(b"data: ") if streams else 0
                if self.hold_after is not None and events > self.hold_after:
                    self._held = (server, client)
                    self._go_on.clear()
                    self._go_on.wait(30)
                    if self.cut:
                        break
                client.sendall(data)
        except OSError:
            pass
        self._shut(server)
        self._shut(client)


@pytest.fixture
def proxy(server):
    instance = Proxy(server.port)
    yield instance
    instance.close()


# Answers in the place of the server's, for what the demo model cannot say: a list of texts or of deltas of the chunks.
SCRIPTED = """
window.realFetch ??= window.fetch;
window.fetch = (url, options) => {
  if (url !== "/v1/chat/completions") return window.realFetch(url, options);
  const deltas = %s;
  const chunk = (delta, finish_reason = null) =>
    "data: " + JSON.stringify({choices: [{index: 0, delta, finish_reason}],
      usage: {prompt_tokens: 5, completion_tokens: 9}}) + "\\n\\n";
  window.asked = JSON.parse(options.body);
  const body = new ReadableStream({async start(out) {
    for (const delta of deltas) {
      out.enqueue(new TextEncoder().encode(chunk(typeof delta === "string" ? {content: delta} : delta)));
      await new Promise((done) => setTimeout(done, 5));
    }
    out.enqueue(new TextEncoder().encode(chunk({}, "stop") + "data: [DONE]\\n\\n"));
    out.close();
  }});
  return Promise.resolve(new Response(body));
};
"""
