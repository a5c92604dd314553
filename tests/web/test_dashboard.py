"""The dashboard, from the server's own metrics."""
import pathlib
import re

from conftest import SHOTS, Chat

CHECKS = (pathlib.Path(__file__).parent / "accessibility.js").read_text(encoding="utf-8")


def tile(page, name):
    return page.js(f"""[...document.querySelectorAll('.tile')]
      .find((t) => t.querySelector('h3').textContent === '{name}')?.innerText.replace(/\\n+/g, ' | ') ?? ''""")


def test_it_shows_what_the_server_does(make_server, open_page):
    server = make_server()
    server.chat(messages=[{"role": "user", "content": "What is 17 + 25?"}], max_tokens=200)
    server.chat(max_tokens=0)
    server.get("/nowhere")
    page = open_page(server.url + "/dashboard")
    page.wait("document.querySelectorAll('#errors tbody tr').length === 2")
    assert tile(page, "Running").startswith("Running | 0 of 8")
    assert "1 ended well" in tile(page, "Requests")
    assert "half within" in tile(page, "Time to the first token")
    assert "of 512 blocks, 64 tokens each" in tile(page, "Key-value cache in use")
    errors = page.text("#errors")
    assert "There is no such route" in errors and "404" in errors and "POST /v1/chat/completions" in errors
    summary = page.text("#summary")
    for fact in ("Modeldemo", "32,768 tokens", "2,048 tokens", "Of full length at once16.0", "ernie-45-vl", "not set"):
        assert fact in summary, summary
    assert "Weights 45 MiB" in page.text("#memory")
    page.screenshot(SHOTS / "dashboard-light-desktop.png")


def test_numbers_move_while_answers_come(make_server, open_page):
    server = make_server("--max-model-len", "4096")
    page = open_page(server.url + "/dashboard")
    page.wait("document.querySelectorAll('.tile').length > 8")
    page.js("""void Promise.all([1, 2, 3].map(() => fetch('/v1/chat/completions', {method: 'POST',
      headers: {'Content-Type': 'application/json'}, body: JSON.stringify({ignore_eos: true, max_tokens: 3900,
      messages: [{role: 'user', content: 'Hello'}]})}))), 0""")
    page.wait("""[...document.querySelectorAll('.tile')].some((t) => t.querySelector('h3').textContent === 'Step' &&
              /\\d ms/.test(t.textContent))""")
    assert "3 of 8" in tile(page, "Running")
    rate = tile(page, "Tokens per second").split(" | ")[1].replace(",", "")
    assert int(rate) > 10
    page.screenshot(SHOTS / "dashboard-busy.png")


def test_it_says_that_the_server_is_gone_and_comes_back(proxy, open_page):
    page = open_page(proxy.url + "/dashboard")
    page.wait("document.querySelector('#state').textContent === 'up to date'")
    proxy.vanish()
    page.wait("document.querySelector('#state').textContent.startsWith('The server does not answer since')")
    proxy.refuses = False
    page.wait("document.querySelector('#state').textContent === 'up to date'")
    page.forget_errors()  # the browser's own, of the requests in between


def test_it_is_where_the_metrics_are(make_server, open_page):
    server = make_server("--metrics-port", "0", "--api-key", "secret")
    port = re.search(r"metrics  http://[^:]*:(\d+)", server.output())[1]
    assert server.get("/dashboard", {"Accept-Encoding": "gzip"})[0] == 404
    page = open_page(f"http://127.0.0.1:{port}/dashboard")
    page.wait("document.querySelector('#summary')?.textContent.includes('API keyset')")


def test_anybody_can_use_it(server, open_page):
    for name, options in {"light-phone": {"phone": True, "width": 390, "height": 844},
                          "dark-desktop-zh": {"dark": True, "language": "zh-CN"}}.items():
        page = open_page(server.url + "/dashboard", **options)
        page.wait("document.querySelectorAll('.tile').length > 8 && !!document.querySelector('.facts')")
        page.screenshot(SHOTS / f"dashboard-{name}.png")
        assert page.js(CHECKS) == []


def test_the_chat_leads_to_it(server, open_page):
    chat = Chat(open_page(server.url + "/"))
    chat.page.click("a[href='/dashboard']")
    chat.page.wait("document.querySelectorAll('.tile').length > 8")
