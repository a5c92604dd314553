"""The page itself: how it is served, how fast it is there, and that anybody can use it."""
import json
import pathlib
import re

import pytest

from conftest import SCRIPTED, SHOTS, Chat
from test_rendering import MARKDOWN

CHECKS = (pathlib.Path(__file__).parent / "accessibility.js").read_text(encoding="utf-8")
LOOKS = {
    "light-desktop": {},
    "dark-desktop": {"dark": True},
    "light-phone": {"phone": True, "width": 390, "height": 844},
    "dark-phone-zh": {"phone": True, "width": 390, "height": 844, "dark": True, "language": "zh-CN"},
    "light-desktop-zh": {"language": "zh-CN"},
}


# A98
def test_headers(server):
    status, body, headers = server.get("/", {"Accept-Encoding": "br, gzip;q=0.8"})
    assert status == 200 and headers["Content-Encoding"] == "gzip" and headers["Vary"] == "Accept-Encoding"
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-cache" and headers["Content-Type"] == "text/html; charset=utf-8"
    again = server.get("/", {"Accept-Encoding": "gzip", "If-None-Match": headers["ETag"]})
    assert again[0] == 304 and again[1] == b"" and again[2]["ETag"] == headers["ETag"]
    assert again[2]["Content-Length"] is None
    for encoding in ({}, {"Accept-Encoding": "gzip;q=0, br"}):
        status, text, _ = server.get("/", encoding)
        assert status == 406 and b"Accept-Encoding: gzip" in text
    assert server.request("POST", "/", {})[0] == 405
    assert server.get("/assets/none.js")[0] == 404


# A98
def test_it_is_small_and_at_once_there_and_asks_nobody_else(server, open_page):
    chat = Chat(open_page(server.url + "/"))
    page = chat.page
    paint = page.js("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    before = page.js("performance.getEntriesByType('resource').map((r) => r.name)")
    assert not any("math" in name or "code" in name for name in before)
    page.js(SCRIPTED % json.dumps([MARKDOWN]))
    chat.ask("Show everything")
    page.wait("!!document.querySelector('.hljs-keyword') && document.querySelectorAll('.katex').length === 3")
    everything = page.js("""(async () => {
      const own = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
      return own.map((r) => [r.name, r.transferSize]);
    })()""")
    assert all(name.startswith(server.url) for name, _ in everything)
    total = sum(size for _, size in everything)
    print(f"first paint {paint:.0f} ms, {total / 1000:.0f} kB in {len(everything)} requests")
    assert total <= 600_000
    assert paint <= 3000, "ten times what an idle machine may take"


@pytest.mark.parametrize("look", LOOKS)
def test_anybody_can_use_it(server, open_page, look):
    chat = Chat(open_page(server.url + "/", **LOOKS[look]))
    page = chat.page

    def check(state):
        page.screenshot(SHOTS / f"chat-{look}-{state}.png")
        assert page.js(CHECKS) == [], state

    check("empty")
    chat.add_picture("shapes.png")
    check("composing")
    chat.ask("图里有什么？" if "zh" in look else "What is in the picture?")
    page.js("document.querySelector('.thinking').open = true")
    check("answer")
    page.js(SCRIPTED % json.dumps([MARKDOWN, "\nA box: [25, 25, 310, 310], a point [500, 500].\n"]))
    chat.ask("Show everything", 2)
    page.wait("!!document.querySelector('.hljs-keyword') && document.querySelectorAll('.katex').length === 3")
    page.wait("document.querySelectorAll('.overlay .mark').length === 2")
    check("rendering")
    assert page.js("document.querySelector('#to-end').hidden"), "the end stays in view while pictures come"
    page.js("document.querySelector('#scroll').scrollTop -= 420")
    page.js("new Promise((done) => setTimeout(done, 100))")
    check("rendering-above")
    if "phone" in look:
        page.click("#menu")
        check("menu")
        page.press("Escape")
        page.wait("document.activeElement.id === 'menu'")
    page.click("#settings")
    page.wait("!!document.querySelector('dialog[open]')")
    check("settings")
    page.press("Escape")
    page.js(SCRIPTED % '[{"content": null}]')
    page.js("window.fetch = () => Promise.reject(new TypeError('no network')), 0")
    chat.send("Hello")
    page.wait("!!document.querySelector('.failure')")
    check("failure")


WRONG = {
    "name": "button", "image-alt": "img style.padding=30px", "tabindex": "p tabIndex=3", "listitem": "li",
    "color-contrast": "p style.color=#999", "region-name": "nav", "duplicate-id": "p id=log", "heading-order": "h4",
    "target-size": "button style.cssText=width:9px;padding:0", "page-has-heading-one": "h1",
    "reflow": "p style.minWidth=3000px",
}


def test_the_checks_find_what_is_wrong(chat):
    for rule, element in WRONG.items():
        tag, *change = element.split(" ")
        assignment = re.sub("=(.*)", r" = '\1'", "e." + change[0]) if change else "0"
        text = "" if rule == "name" else "text"
        chat.page.js(f"""(() => {{
          const e = document.createElement('{tag}');
          e.textContent = '{text}', {assignment};
          document.querySelector('#head').append(e);
        }})()""")
        assert rule in {breach.split(":")[0] for breach in chat.page.js(CHECKS)}, rule
        chat.page.js("document.querySelector('#head').lastChild.remove()")


def test_language_and_colours_can_be_chosen(chat):
    page = chat.page
    page.click("#settings")
    page.js("""const s = [...document.querySelectorAll('dialog select')];
      s[0].value = 'dark', s[0].dispatchEvent(new Event('change'));
      s[1].value = 'zh', s[1].dispatchEvent(new Event('change'));""")
    page.wait("document.querySelector('dialog h2').textContent === '设置'")
    assert page.js("document.documentElement.lang") == "zh-CN" and page.text("#new") == "新对话"
    assert page.js("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 23)"
    page.reload()
    chat.wait_until_ready()
    assert page.js("document.documentElement.dataset.theme") == "dark" and page.text("#new") == "新对话"


def focused(page) -> str:
    return page.js("""(() => { const e = document.activeElement;
      return e.getAttribute('aria-label') ?? (e.textContent.trim() || e.id); })()""")


def tab_to(page, name: str, back=False):
    seen = []
    for _ in range(60):
        seen.append(focused(page))
        if seen[-1] == name:
            return
        page.press("Tab", shift=back)
    raise AssertionError(f"Tab never comes to {name}: {seen}")


def test_a_whole_conversation_with_a_picture_by_keyboard(server, open_page):
    chat = Chat(open_page(server.url + "/"))
    page = chat.page
    assert focused(page) == "Message", "the message box has the focus from the start"
    page.call("Page.setInterceptFileChooserDialog", enabled=True)
    tab_to(page, "Add pictures or clips")
    page.press("Enter")
    page.js("new Promise((done) => setTimeout(done, 100))")
    chooser = [e for e in page._c.events if e["method"] == "Page.fileChooserOpened"]
    assert chooser, "Enter opens the file dialog"
    chat.add_picture("shapes.png")
    tab_to(page, "Thinking")
    page.press("Space")
    assert page.js("document.querySelector('.toggle').getAttribute('aria-pressed')") == "false"
    page.press("Tab", shift=True)
    tab_to(page, "Message", back=True)
    page.type("What is in")
    page.press("Enter", shift=True)
    page.press("/")
    assert page.js("document.querySelector('#input').value").startswith("What is in"), "Shift+Enter sends nothing"
    page.js("document.querySelector('#input').value = ''")
    page.type("What is in the picture?")
    page.press("Enter")
    assert "red circle" in chat.wait_for_answer()
    assert page.text("#announcer").startswith("Answer complete. A red circle")
    assert focused(page) == "Message"
    tab_to(page, "Answer again", back=True)
    page.press("Enter")
    page.wait("document.querySelector('.message.assistant .versions')?.textContent === '2 / 2'")
    chat.wait_for_answer()
    tab_to(page, "Previous version", back=False)
    page.press("Enter")
    page.wait("document.querySelector('.message.assistant .versions').textContent === '1 / 2'")
    assert focused(page) == "Next version", "the focus stays where it was, or near"
    tab_to(page, "Show shapes.png large", back=True)
    page.press("Enter")
    page.wait("!!document.querySelector('dialog.picture[open]')")
    page.press("Escape")
    page.wait("!document.querySelector('dialog')")
    assert focused(page) == "Show shapes.png large", "the focus comes back"
    page.press("/")
    assert focused(page) == "Message"
    page.type("What colour is the star?")
    page.press("Enter")
    assert "blue" in chat.wait_for_answer(2).lower()
