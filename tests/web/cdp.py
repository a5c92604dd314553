"""Headless Chromium, driven over its DevTools protocol."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request

import websocket

CHROMIUM = os.environ.get("CHROMIUM", "chromium")
WAIT = 20  # seconds

KEYS = {  # name: (code, virtual key, text)
    "Enter": ("Enter", 13, "\r"), "Tab": ("Tab", 9, ""), "Escape": ("Escape", 27, ""), "Space": ("Space", 32, " "),
    "ArrowDown": ("ArrowDown", 40, ""), "ArrowUp": ("ArrowUp", 38, ""), "/": ("Slash", 191, "/"),
}


class Browser:
    """One Chromium with a profile of its own, which is thrown away."""

    def __init__(self):
        self._profile = tempfile.mkdtemp(prefix="ernie-web-")
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
                 "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
                 "--force-color-profile=srgb", "--font-render-hinting=none", "--use-fake-device-for-media-stream",
                 "--use-fake-ui-for-media-stream", "--remote-allow-origins=*", "--remote-debugging-port=0",
                 f"--user-data-dir={self._profile}"]
        self._process = subprocess.Popen([CHROMIUM, *flags, "about:blank"], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        port_file = pathlib.Path(self._profile, "DevToolsActivePort")
        for _ in range(WAIT * 20):
            if port_file.exists() and len(port_file.read_text().splitlines()) == 2:
                break
            if self._process.poll() is not None:
                raise RuntimeError("Chromium ended at start")
            time.sleep(0.05)
        self._port = int(port_file.read_text().splitlines()[0])
        path = port_file.read_text().splitlines()[1]
        self._connection = Connection(f"ws://127.0.0.1:{self._port}{path}")

    def page(self, beside: "Page | None" = None, **options) -> "Page":
        """A page in a context of its own, where nothing is that others kept, or in that of another page."""
        context = beside.context if beside else self._connection.call("Target.createBrowserContext")["browserContextId"]
        target = self._connection.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        page = Page(Connection(f"ws://127.0.0.1:{self._port}/devtools/page/{target}"), **options)
        page.context = context
        return page

    def close(self):
        self._process.terminate()
        self._process.wait(WAIT)
        shutil.rmtree(self._profile, ignore_errors=True)


class Connection:
    def __init__(self, url: str):
        self._socket = websocket.create_connection(url, timeout=WAIT, max_size=None)
        self._last = 0
        self.events = []

    def call(self, method: str, **params):
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._last:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            if "method" in message:
                self.events.append(message)


class Page:
    def __init__(self, connection: Connection, width=1280, height=850, dark=False, phone=False, language="en"):
        self._c = connection
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self._c.call(domain + ".enable")
        self._c.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                     deviceScaleFactor=2 if phone else 1, mobile=phone)
        if phone:
            self._c.call("Emulation.setTouchEmulationEnabled", enabled=True)
        self._c.call("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                               {"name": "prefers-reduced-motion", "value": "reduce"}])
        agent = self._c.call("Runtime.evaluate", expression="navigator.userAgent")["result"]["value"]
        self._c.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)

    def call(self, method, **params):
        return self._c.call(method, **params)

    def open(self, url: str):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def reload(self):
        self.js("window.old = true")
        self.call("Page.reload")
        self.wait("!window.old && document.readyState === 'complete'")

    def js(self, expression: str):
        """The value of an expression, awaited if it is a promise."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def wait(self, condition: str, seconds: float = WAIT):
        """Until an expression is true; returns its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.js(condition)
            if value:
                return value
            time.sleep(0.03)
        raise AssertionError(f"never true: {condition}\nthe page says: {self.js('document.body.innerText')[:1500]}")

    def text(self, selector: str) -> str:
        return self.js(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''")

    def count(self, selector: str) -> int:
        return self.js(f"document.querySelectorAll({json.dumps(selector)}).length")

    def click(self, selector: str):
        """With the mouse, in the middle of what is seen of the element."""
        self.wait(f"!!document.querySelector({json.dumps(selector)})")
        x, y = self.js(f"""(() => {{
          const e = document.querySelector({json.dumps(selector)});
          e.scrollIntoView({{block: 'nearest'}});
          const r = e.getBoundingClientRect();
          return [r.x + r.width / 2, r.y + r.height / 2];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str):
        self.call("Input.insertText", text=text)

    def press(self, key: str, shift=False):
        code, number, text = KEYS[key]
        common = {"key": " " if key == "Space" else key, "code": code, "windowsVirtualKeyCode": number,
                  "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text and not shift else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def choose_files(self, selector: str, *paths):
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(p) for p in paths])

    def screenshot(self, path: pathlib.Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def errors(self) -> list[str]:
        """What the console, uncaught exceptions and the Content-Security-Policy had to say so far."""
        self.call("Runtime.evaluate", expression="0")  # takes in what has come
        out = []
        for event in self._c.events:
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                out.append(details.get("exception", {}).get("description", details["text"]))
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                out.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                out.append(params["entry"]["text"] + " " + params["entry"].get("url", ""))
        return out

    def forget_errors(self):
        self.call("Runtime.evaluate", expression="0")
        self._c.events.clear()

    def close(self):
        self.call("Page.close")
