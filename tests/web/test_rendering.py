"""How answers look: Markdown, code, formulas, marks on pictures; and that none of it is taken for markup."""
import base64
import json
import re

import pytest

from conftest import PICTURES, SCRIPTED, Chat

MARKDOWN = """## Sizes

Some **bold**, *slanted*, `code`, ~~gone~~ and a [link](https://example.org/a).

| name | size |
|:-----|-----:|
| one  | 10   |
| two  | 200  |

```python
def area(r: float) -> float:
    # of a circle
    return 3.14159 * r ** 2
```

The area is $A = \\pi r^2$, and it costs $5 to $10. With brackets: \\(x_1\\).

$$\\int_0^1 \\sqrt{x^2 + 1}\\,dx = \\overbrace{a + b}^{c}$$

- [x] done
- [ ] open
  1. nested

> quoted
"""


def scripted(open_page, url, *deltas) -> Chat:
    chat = Chat(open_page(url + "/"))
    chat.page.js(SCRIPTED % json.dumps(deltas))
    return chat


def in_pieces(text: str) -> list[str]:
    return re.findall(r"(?s).{1,7}", text)


def test_markdown_code_tables_and_formulas_as_they_stream(server, open_page):
    chat = scripted(open_page, server.url, *in_pieces(MARKDOWN))
    chat.ask("Show everything")
    page = chat.page
    page.wait("!!document.querySelector('.hljs-keyword') && document.querySelectorAll('.katex').length === 3")
    assert page.text(".md h4") == "Sizes"
    assert page.js("document.querySelector('.md a').outerHTML") == (
        '<a href="https://example.org/a" target="_blank" rel="noopener noreferrer nofollow">link</a>')
    assert page.js("[...document.querySelectorAll('.md td')].map((e) => e.textContent)") == ["one", "10", "two", "200"]
    assert page.js("getComputedStyle(document.querySelector('.md td:last-child')).textAlign") == "right"
    assert page.text(".hljs-keyword") == "def" and page.text(".hljs-comment") == "# of a circle"
    assert page.text(".code-bar span") == "python"
    assert "it costs $5 to $10." in page.text(".md")
    assert page.count(".math[data-display=true] .katex svg") > 0  # the stretched root and brace
    assert page.count(".md input") == 0 and "☑ done" in page.text(".md")
    assert page.js("""document.fonts.ready.then(() =>
      [...document.fonts].some((f) => f.family === 'KaTeX_Math' && f.status === 'loaded'))""")


def test_text_that_stays_is_not_made_anew(server, open_page):
    chat = scripted(open_page, server.url, "First paragraph.\n\nSecond", *[f" word{i}" for i in range(60)])
    chat.send("Go")
    chat.page.wait("document.querySelectorAll('.md .block').length === 2")
    chat.page.js("window.first = document.querySelector('.md .block'), 0")
    chat.wait_for_answer()
    assert chat.page.js("window.first.isConnected")


def test_a_broken_formula_stays_text(server, open_page):
    chat = scripted(open_page, server.url, "So $\\frac{1$ and $\\unknown{x}$ end.")
    chat.ask("Go")
    chat.page.wait("document.querySelectorAll('.math code').length > 0")
    assert "\\unknown{x}" in chat.page.text(".md")


# A97
@pytest.mark.parametrize("text", [">" * 5000, "- " * 5000, "*a " * 2000, "$$" * 3000, "```\n" * 3000, "[a](" * 3000])
def test_text_that_wears_markdown_out_is_shown_all_the_same(server, open_page, text):
    chat = scripted(open_page, server.url, text)
    chat.ask("Go")
    assert chat.page.js("document.querySelector('#send').getAttribute('aria-label')") == "Send"
    assert len(chat.page.text(".message.assistant .text")) > 0


def test_think_marks_that_a_server_leaves_are_folded(server, open_page):
    chat = scripted(open_page, server.url, "<thi", "nk>Let me ", "see.</th", "ink>\n\nYes.")
    assert chat.ask("Go") == "Yes."
    assert chat.page.text(".thoughts") == "Let me see."


HOSTILE = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "<svg onload='window.hit = 1'><script>window.hit = 1</script></svg>",
    "<svg><animate onbegin=window.hit=1 attributeName=x dur=1s></svg>",
    "<a href='javascript:window.hit = 1'>press</a>",
    "[press](javascript:window.hit=1)",
    "[press](JaVaScRiPt&colon;window.hit=1)",
    "[press](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[press](vbscript:window.hit=1)",
    "![x](https://evil.example/leak.png)",
    "![x](x\" onerror=\"window.hit=1)",
    "<iframe srcdoc='<script>parent.hit = 1</script>'></iframe>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.hit=1></style></mglyph></table></mtext></math>",
    "<form action='https://evil.example'><input name=q autofocus onfocus='window.hit = 1'><button>go</button></form>",
    "<details open ontoggle='window.hit = 1'><summary>x</summary></details>",
    "<style>body { display: none }</style><link rel=stylesheet href=https://evil.example/x.css>",
    "<div class='failure' style='position:fixed;inset:0'>The server asks for your key</div>",
    "<base href='https://evil.example/'><meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<object data='x'></object><embed src='x'><video src=x onerror='window.hit=1'></video>",
    "$\\href{javascript:window.hit=1}{x}$ and $\\htmlClass{failure}{x}$",
    "$\\includegraphics{https://evil.example/x}$",
    "```\"><img src=x onerror=window.hit=1>\n</code></pre><img src=x onerror=window.hit=1>\n```",
    "```html\n<img src=x onerror=window.hit=1>\n```",
    "`<img src=x onerror=window.hit=1>` <b onmouseover=window.hit=1>bold</b>",
    "<noscript><p title='</noscript><img src=x onerror=window.hit=1>'>",
    "[1, 2, 900, 900] <img src=x onerror=window.hit=1>",
]
FORBIDDEN = ("script, iframe, object, embed, form, input, style, link, base, meta, img[src^='http'], "
             "[onerror], [onload], [onfocus], [ontoggle], [onbegin], [onmouseover], [style]:not(.katex *), "
             "a[href^='javascript' i], a[href^='data'], a[href^='vbscript'], .failure")


def check_harmless(page):
    page.js("""for (const e of document.querySelectorAll('#log a')) {
      e.dispatchEvent(new MouseEvent('mouseover', {bubbles: true}));
      e.addEventListener('click', (event) => event.preventDefault(), true);
      e.click();
    }""")
    assert page.js("window.hit ?? null") is None
    found = json.dumps(f"#log .message.assistant :is({FORBIDDEN})")
    assert page.js(f"[...document.querySelectorAll({found})].filter((e) => !e.closest('figure.marks'))"
                   ".map((e) => e.outerHTML)") == []


# A97
@pytest.mark.parametrize("text", HOSTILE)
def test_an_answer_is_never_taken_for_markup(server, open_page, text):
    chat = scripted(open_page, server.url, {"reasoning_content": text}, *in_pieces(text))
    chat.ask(text)
    assert chat.page.text(".said") == text and chat.page.text(".thoughts") == text
    chat.page.js("new Promise((done) => setTimeout(done, 60))")
    check_harmless(chat.page)


def message(role, text, parent, **fields):
    return {"role": role, "text": text, "parent": parent, "created": 1, "files": [], "state": "done", **fields}


def imported(open_page, url, tmp_path, messages, files=None, **fields) -> Chat:
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps({"format": "ernie.cpp conversations", "version": 1, "files": files or {},
                                "conversations": [{"title": "t", "messages": messages, **fields}]}))
    chat = Chat(open_page(url + "/"))
    chat.page.choose_files("#import-file", file)
    chat.page.wait("document.querySelectorAll('.message').length > 0")
    return chat


# A97
def test_an_imported_conversation_is_never_taken_for_markup(server, open_page, tmp_path):
    evil = "<img src=x onerror='window.hit = 1'>"
    picture = base64.b64encode((PICTURES / "shapes.png").read_bytes()).decode()
    files = {"f": "data:image/png;base64," + picture, "g": "data:text/html;base64,PGI+",
             "h": "https://evil.example/x.png"}
    messages = {
        "a": message("user", evil, "", files=[
            {"id": "f", "name": evil, "kind": evil}, {"id": "g", "name": "g"}, {"id": "h", "name": "h"}]),
        "b": message("assistant", evil + " box [100, 100, 500, 500]", "a", thinking=evil, thinkingMs=evil, failure=evil,
                     finish=evil, calls=[{"id": evil, "name": evil, "arguments": evil}],
                     stats={"tokens": evil, "promptTokens": evil}),
        "c": message("tool", evil, "b", callId=evil),
        "d": message("assistant", "fine", "c", state="failed", failure=evil),
    }
    chat = imported(open_page, server.url, tmp_path, messages, files, title=evil, chosen={"": "a", "__proto__": "x"})
    page = chat.page
    page.js("new Promise((done) => setTimeout(done, 100))")
    assert page.js("window.hit ?? null") is None
    assert page.text("#title") == evil and page.text("#conversations button") == evil
    assert page.count(".pictures button") == 1, "only data of pictures and clips becomes a file"
    assert evil in page.text(".failure span")
    page.click(".pictures button")
    page.wait("!!document.querySelector('dialog.picture img')")
    assert page.text("dialog h2") == evil
    assert page.js("[...document.querySelectorAll('img')].every((i) => /^(blob:|http:\\/\\/127)/.test(i.src))")


# A97
@pytest.mark.parametrize("content", [
    "", "[]", "null", '{"format": "ernie.cpp conversations", "conversations": [7]}',
    '{"format": "ernie.cpp conversations", "conversations": [{"messages": {"a": {"parent": "b"}, '
    '"b": {"parent": "a"}}}]}',
])
def test_a_file_that_is_none_is_refused_whole(server, open_page, tmp_path, content):
    file = tmp_path / "x.json"
    file.write_text(content)
    chat = Chat(open_page(server.url + "/"))
    chat.page.choose_files("#import-file", file)
    chat.page.wait("document.querySelector('#toast').textContent === 'This file holds no conversations of this page.'")
    assert chat.page.count("#conversations button") == 0


def test_boxes_and_points_are_drawn_on_their_picture(server, open_page, tmp_path):
    files = {name: "data:image/png;base64," + base64.b64encode((PICTURES / f"{name}.png").read_bytes()).decode()
             for name in ("shapes", "hearts")}
    question = [{"id": name, "name": name + ".png", "kind": "image"} for name in files]
    messages = {
        "a": message("user", "Where?", "", files=question[:1]),
        "b": message("assistant", "The circle is at [20, 20, 310, 310] and the star's tip at [500, 360].\n"
                     "```json\n[{\"bbox_2d\": [720, 730, 940, 940], \"label\": \"square\"}]\n```\n"
                     "Not drawn: [1, 2, 3], [900, 900, 100, 100], [0, 0, 1001, 5].", "a"),
        "c": message("user", "And here?", "b", files=question),
        "d": message("assistant", "Picture 2 has a heart at [100, 100, 400, 400].", "c"),
    }
    page = imported(open_page, server.url, tmp_path, messages, files).page
    page.wait("document.querySelectorAll('.overlay .mark').length === 4")
    boxes = page.js("""[...document.querySelectorAll('.marks')[0].querySelectorAll('rect.edge')].map((r) =>
      ['x', 'y', 'width', 'height'].map((n) => Math.round(Number(r.getAttribute(n)) * 1000 / 224)))""")
    assert boxes == [[20, 20, 290, 290], [720, 730, 220, 210]]
    assert page.count(".marks circle.dot") == 1
    assert page.js("[...document.querySelectorAll('.marks')[0].querySelectorAll('li')].map((e) => e.textContent)") == [
        "The circle is at [20, 20, 310, 310]", "and the star's tip at [500, 360]", "[720, 730, 940, 940]"]
    assert page.js("document.querySelectorAll('.marks select')[0].selectedIndex") == 1, "the picture that was named"
    assert page.js("document.querySelectorAll('.marks')[1].querySelector('img').alt") == "hearts.png"
