"""The chat page with real answers of the demo model, as its user sees it."""
import base64
import json
import re
import subprocess

import pytest

from conftest import DEMO, PICTURES, SCRIPTED, Chat, api, demo_server

SHAPES = "A red circle at the top left, a blue star in the centre and a green square at the bottom right."


def test_a_picture_is_counted_sent_and_described(chat):
    chat.add_picture("shapes.png")
    assert chat.page.text(".file .cost") == "64 tokens"
    assert chat.ask("What is in the picture?") == SHAPES
    stats = chat.page.text(".stats")
    assert re.fullmatch(r"\d+ tokens · \d+ tokens/s · first token [\d.]+ m?s · \d+ in the prompt", stats), stats
    assert re.fullmatch(r"Thought for [\d.]+ m?s", chat.page.text(".thinking summary"))
    assert not chat.page.js("document.querySelector('.thinking').open")
    assert chat.page.text(".thoughts").startswith("I see")
    assert re.fullmatch(r"\d+ of 2,048 tokens of context", chat.page.text(".context"))


def test_a_second_question_goes_on_about_the_picture(chat):
    chat.think(False)
    chat.add_picture("shapes.png")
    chat.ask("What is in the picture?")
    assert "blue" in chat.ask("What colour is the star?", 2).lower()
    assert chat.page.count(".thinking:not([hidden])") == 0


def test_a_clip_is_taken(chat):
    chat.think(False)
    chat.add_picture("triangle.mp4")
    assert int(chat.page.text(".file .cost").split()[0]) > 64
    assert "triangle" in chat.ask("What happens in the clip?").lower()


# Files come by drop and paste in the same way as by the file dialog.
PUT = """(async () => {
  const bytes = Uint8Array.from(atob('%s'), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], 'hearts.png', {type: 'image/png'}));
  %s
})()"""


@pytest.mark.parametrize("way", [
    "window.dispatchEvent(new DragEvent('dragenter', {dataTransfer: data}));"
    "window.shaded = !document.querySelector('#drop').hidden;"
    "window.dispatchEvent(new DragEvent('drop', {dataTransfer: data, cancelable: true}));"
    "window.shaded &&= document.querySelector('#drop').hidden;",
    "window.shaded = document.querySelector('#input').dispatchEvent("
    "new ClipboardEvent('paste', {clipboardData: data, cancelable: true, bubbles: true})) === false;",
], ids=["drop", "paste"])
def test_pictures_come_by_drop_and_paste(chat, way):
    chat.page.js(PUT % (base64.b64encode((PICTURES / "hearts.png").read_bytes()).decode(), way))
    chat.page.wait("document.querySelectorAll('.file').length === 1")
    assert chat.page.js("window.shaded")
    chat.wait_for_costs()
    assert chat.page.text(".file .name") == "hearts.png"


def test_a_picture_comes_from_the_camera(chat):
    chat.page.click("#camera")
    chat.page.wait("document.querySelector('dialog.camera video')?.videoWidth > 0")
    chat.page.click("dialog.camera .primary")
    chat.page.wait("document.querySelectorAll('.file').length === 1")
    chat.wait_for_costs()
    assert chat.page.text(".file .name") == "camera.jpg"


def test_what_the_server_cannot_take_is_said_before_it_is_sent(chat, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes((PICTURES / "shapes.png").read_bytes()[:200])
    chat.page.choose_files("#file", broken)
    chat.page.wait("document.querySelectorAll('.file.bad').length === 1")
    chat.page.forget_errors()  # the browser names the answer 400
    assert len(chat.page.text(".file .cost")) > 20
    assert chat.page.js("document.querySelector('#send').disabled")
    chat.page.click(".file .icon-button")
    chat.add_picture(*["shapes.png"] * 5)
    assert chat.page.text("#composer-error") == "This server takes 4 pictures in one conversation."
    assert chat.page.js("document.querySelector('#send').disabled")
    (tmp_path / "notes.txt").write_text("text")
    chat.page.choose_files("#file", tmp_path / "notes.txt")
    chat.page.wait("document.querySelector('#toast').textContent === 'notes.txt is neither a picture nor a clip.'")


def test_thinking_and_its_budget_are_asked_for(chat):
    chat.page.click("#settings")
    chat.page.js("document.querySelector('[name=thinkingBudget]').focus()")
    chat.page.type("3")
    chat.page.press("Escape")
    chat.add_picture("shapes.png")
    chat.ask("What is in the picture?")
    assert len(chat.page.text(".thoughts").split()) <= 3


def test_settings_go_into_requests_and_outlive_a_reload(server, open_page):
    chat = Chat(open_page(server.url + "/"))
    page = chat.page
    page.js(SCRIPTED % '["ok"]')
    page.click("#settings")
    fields = {"system": "Be short.", "temperature": "0.3", "topK": "5", "maxTokens": "77", "seed": "4", "stop": "END",
              "schema": '{"type": "object"}', "tools": '[{"type": "function", "function": {"name": "f"}}]'}
    for name, value in fields.items():
        page.js(f"document.querySelector('dialog [name={name}]').focus()")
        page.type(value)
    page.press("Escape")
    page.wait("!document.querySelector('dialog')")
    chat.ask("Hi")
    asked = page.js("window.asked")
    assert asked["messages"] == [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
    assert (asked["temperature"], asked["top_k"], asked["max_tokens"], asked["seed"]) == (0.3, 5, 77, 4)
    assert asked["stop"] == ["END"] and asked["tools"][0]["function"]["name"] == "f" and asked["enable_thinking"]
    assert asked["response_format"]["json_schema"]["schema"] == {"type": "object"}
    page.open(server.url + "/")
    chat.wait_until_ready()
    page.click("#settings")
    assert page.js("document.querySelector('[name=system]').value") == "Be short."
    page.js("document.querySelector('dialog [name=schema]').focus()")
    page.type("!")
    assert page.text("dialog .bad") == "This is no JSON."


def test_an_answer_follows_a_schema(chat):
    chat.think(False)
    chat.page.click("#settings")
    chat.page.js("document.querySelector('[name=schema]').focus()")
    chat.page.type('{"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], '
                   '"additionalProperties": false}')
    chat.page.press("Escape")
    chat.ask("Hello")
    assert list(json.loads(chat.page.text(".md pre"))) == ["ok"]


def test_tool_calls_are_shown_and_their_results_sent_back(server, open_page):
    chat = Chat(open_page(server.url + "/"))
    page = chat.page
    page.js(SCRIPTED % json.dumps([
        {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Bonn"}'}}]}]))
    chat.send("Weather?")
    chat.wait_for_answer()
    assert page.text(".call h3") == "Calls weather" and '"city": "Bonn"' in page.text(".call pre")
    page.js("document.querySelector('.call textarea').focus()")
    page.type("rain")
    page.reload()
    chat.wait_until_ready()
    page.wait("document.querySelector('.call textarea')?.value === 'rain'")
    page.js(SCRIPTED % '["It rains."]')
    page.click(".call + .row .primary")
    assert chat.wait_for_answer(2) == "It rains."
    asked = page.js("window.asked.messages")
    assert asked[1]["tool_calls"][0] == {"id": "c1", "type": "function",
                                         "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}
    assert asked[2] == {"role": "tool", "tool_call_id": "c1", "content": "rain"}


def test_an_answer_is_stopped_and_goes_on(proxy, open_page):
    chat = Chat(open_page(proxy.url + "/"))
    chat.think(False)
    chat.add_picture("shapes.png")
    proxy.hold_after = 8
    chat.send("What is in the picture?")
    chat.page.wait("/A red/.test(document.querySelector('.message.assistant')?.innerText)")
    assert chat.page.js("document.querySelector('#send').getAttribute('aria-label')") == "Stop"
    chat.page.press("Escape")
    part = chat.wait_for_answer()
    assert SHAPES.startswith(part) and len(part) < len(SHAPES)
    assert chat.page.text(".failure span") == "Stopped."
    proxy.release()
    chat.page.click(".failure button")
    chat.page.wait("!document.querySelector('.failure') && document.querySelectorAll('[aria-busy=false]').length === 1")
    assert chat.answers() == [SHAPES]


def test_a_connection_that_breaks_is_said_and_the_answer_goes_on(proxy, open_page):
    chat = Chat(open_page(proxy.url + "/"))
    chat.think(False)
    chat.add_picture("shapes.png")
    proxy.hold_after = 8
    chat.send("What is in the picture?")
    chat.page.wait("/A red/.test(document.querySelector('.message.assistant')?.innerText)")
    proxy.vanish()
    chat.page.wait("document.querySelector('.failure span')?.textContent === "
                   "'The connection broke before the answer was complete.'")
    chat.page.wait("document.querySelector('#banner').textContent === 'The server does not answer. Trying again …'")
    proxy.refuses = False
    chat.page.wait("document.querySelector('#banner').hidden")
    chat.page.forget_errors()  # the browser's own, of the connection
    chat.page.click(".failure button")
    chat.page.wait("!document.querySelector('.failure') && document.querySelectorAll('[aria-busy=false]').length === 1")
    assert chat.answers() == [SHAPES]


def test_a_connection_that_dies_without_a_word_is_found(proxy, open_page):
    chat = Chat(open_page(proxy.url + "/"))
    chat.think(False)
    proxy.hold_after = 8
    chat.add_picture("shapes.png")
    chat.send("What is in the picture?")
    chat.page.wait("/A red/.test(document.querySelector('.message.assistant')?.innerText)")
    proxy.freeze()
    chat.page.wait("document.querySelector('.failure span')?.textContent === "
                   "'The connection broke before the answer was complete.'", 25)
    chat.page.forget_errors()  # the browser's own, of the connection
    proxy.refuses = False
    chat.page.wait("document.querySelector('#banner').hidden")
    chat.page.forget_errors()


def test_a_reload_in_the_middle_of_an_answer_loses_nothing(proxy, open_page):
    chat = Chat(open_page(proxy.url + "/"))
    chat.think(False)
    chat.add_picture("shapes.png")
    proxy.hold_after = 8
    chat.send("What is in the picture?")
    chat.page.wait("/A red/.test(document.querySelector('.message.assistant')?.innerText)")
    chat.page.type("typed while waiting")
    proxy.release()
    chat.page.reload()
    chat.wait_until_ready()
    assert chat.page.js("document.querySelector('#input').value") == "typed while waiting"
    assert chat.page.text(".message.user .said") == "What is in the picture?"
    chat.page.wait("document.querySelector('.message.user img').naturalWidth > 0")
    if chat.page.count(".failure"):
        chat.page.click(".failure button")
        chat.page.wait("!document.querySelector('.failure')")
    chat.page.wait("document.querySelectorAll('[aria-busy=false]').length === 1")
    assert chat.answers() == [SHAPES]
    chat.page.forget_errors()  # the reload cut the stream


def test_nothing_typed_is_lost(server, open_page):
    chat = Chat(open_page(server.url + "/"))
    chat.add_picture("shapes.png")
    chat.page.js("document.querySelector('#input').focus()")
    chat.page.type("half a sent")
    chat.page.open(server.url + "/")
    chat.wait_until_ready()
    chat.page.wait("document.querySelector('#input').value === 'half a sent'")
    chat.page.wait("document.querySelectorAll('.file').length === 1")
    chat.wait_for_costs()
    chat.ask("ence", 1)
    assert chat.page.text(".message.user .said") == "half a sentence"
    chat.page.click(".message.user [aria-label=Edit]")
    chat.page.type(" edited")
    chat.page.reload()
    chat.wait_until_ready()
    chat.page.wait("document.querySelector('.edit textarea')?.value === 'half a sentence edited'")


def test_edits_and_other_answers_are_branches(chat):
    chat.think(False)
    chat.ask("What is 17 + 25?")
    assert "42" in chat.answers()[0]
    chat.page.click("[aria-label='Answer again']")
    chat.page.wait("document.querySelector('.message.assistant .versions')?.textContent === '2 / 2'")
    chat.wait_for_answer()
    chat.page.click(".message.user [aria-label=Edit]")
    chat.page.js("document.querySelector('.edit textarea').select()")
    chat.page.type("What is 10 + 10?")
    chat.page.click(".edit .primary")
    chat.page.wait("document.querySelector('.message.user .versions')?.textContent === '2 / 2'")
    assert "20" in chat.wait_for_answer()
    chat.page.click(".message.user [aria-label='Previous version']")
    chat.page.wait("/42/.test(document.querySelector('.message.assistant .text').innerText)")
    chat.page.click("[aria-label='Continue in a new conversation']")
    chat.page.wait("document.querySelectorAll('#conversations button').length === 2")
    chat.ask("What is 1 + 1?", 2)
    chat.page.js("document.querySelectorAll('#conversations button')[1].click()")
    chat.page.wait("document.querySelectorAll('.message.user').length === 1")


def test_conversations_are_searched_renamed_and_deleted(chat):
    chat.think(False)
    chat.ask("What is 17 + 25?")
    chat.page.click("#new")
    chat.ask("Name a colour.")
    assert chat.page.count("#conversations button") == 2
    chat.page.js("document.querySelector('#search').focus()")
    chat.page.type("17 what")
    chat.page.wait("document.querySelectorAll('#conversations button').length === 1")
    chat.page.type(" nowhere")
    chat.page.wait("document.querySelector('#conversations').textContent === 'No conversation has these words.'")
    chat.page.js("window.prompt = () => 'Renamed', window.confirm = () => true, 0")
    chat.page.click("#head-right [aria-label=Rename]")
    chat.page.wait("document.querySelector('#title').textContent === 'Renamed'")
    chat.page.click("#head-right [aria-label=Delete]")
    chat.page.wait("document.querySelectorAll('.message').length === 0")
    chat.page.js("""const search = document.querySelector('#search');
                 search.value = '', search.dispatchEvent(new Event('input'))""")
    assert chat.page.count("#conversations button") == 1


def test_two_tabs_show_the_same(server, open_page):
    one = Chat(open_page(server.url + "/"))
    one.think(False)
    one.ask("What is 17 + 25?")
    two = Chat(open_page(one.page.js("location.href"), beside=one.page))
    two.wait_for_answer()
    two.ask("What is 10 + 10?", 2)
    assert "20" in one.wait_for_answer(2)
    one.page.js("window.confirm = () => true, 0")
    one.page.click("#head-right [aria-label=Delete]")
    two.page.wait("document.querySelectorAll('.message, #conversations button').length === 0")


def test_what_is_exported_comes_back(server, open_page, tmp_path):
    chat = Chat(open_page(server.url + "/"))
    chat.think(False)
    chat.add_picture("shapes.png")
    chat.ask("What is in the picture?")
    chat.page.js("""const real = URL.createObjectURL;
      URL.createObjectURL = (blob) => {
        if (blob.type === 'application/json') window.saved = blob.text();
        return real.call(URL, blob);
      };""")
    chat.page.click("#export-all")
    chat.page.wait("!!window.saved")
    text = chat.page.js("window.saved")
    file = tmp_path / "conversations.json"
    file.write_text(text, encoding="utf-8")
    other = Chat(open_page(server.url + "/"))
    other.page.choose_files("#import-file", file)
    other.page.wait("document.querySelectorAll('#conversations button').length === 1")
    other.page.wait("document.querySelector('.message.user img')?.naturalWidth > 0")
    assert other.answers() == [SHAPES]
    file.write_text('{"format": "another"}', encoding="utf-8")
    other.page.choose_files("#import-file", file)
    other.page.wait("document.querySelector('#toast').textContent === 'This file holds no conversations of this page.'")


def test_the_key_is_asked_for(make_server, open_page):
    server = make_server("--api-key", "right")
    page = open_page(server.url + "/")
    page.wait("!!document.querySelector('dialog.key')")
    page.type("wrong")
    page.press("Enter")
    page.wait("document.querySelector('dialog.key .bad')?.textContent === 'The server does not know this key.'")
    page.press("Escape")
    assert page.count("dialog.key[open]") == 1
    page.type("right")
    page.press("Enter")
    chat = Chat(page)
    page.forget_errors()  # the browser names the answers 401
    chat.think(False)
    assert "42" in chat.ask("What is 17 + 25?")
    assert page.js("sessionStorage.getItem('ernie.key')") == "right"
    assert page.js("localStorage.getItem('ernie.key')") is None
    page.open(server.url + "/")
    chat.wait_until_ready()


def test_a_key_is_remembered_if_the_user_says_so(make_server, open_page):
    page = open_page(make_server("--api-key", "right").url + "/")
    page.wait("!!document.querySelector('dialog.key')")
    page.type("right")
    page.click("dialog.key [type=checkbox]")
    page.click("dialog.key .primary")
    Chat(page)
    assert page.js("localStorage.getItem('ernie.key')") == "right"
    page.forget_errors()  # the browser names the answer 401


def test_the_page_waits_for_a_model_that_is_loading(open_page):
    port = api.free_port()
    command = [str(api.ERNIE), "serve", "--model", str(DEMO), "--port", str(port),
               "--num-gpu-blocks-override", "512"]
    page = open_page("about:blank")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):  # from the first moment that the port is open
            page.call("Page.navigate", url=f"http://127.0.0.1:{port}/")
            if page.js("location.port") == str(port) and page.js("!!document.querySelector('#input')"):
                break
        Chat(page)
        page.forget_errors()  # the browser's own: the port was not open, the model still loading
    finally:
        process.terminate()
        process.wait(30)


def test_with_metrics_on_a_port_of_their_own_limits_show_when_they_are_passed(make_server, open_page):
    chat = Chat(open_page(make_server("--metrics-port", "0", "--limit-mm-per-prompt", '{"image": 1}').url + "/"))
    assert chat.page.js("document.querySelector('#dashboard').hidden")
    chat.think(False)
    chat.add_picture("shapes.png", "hearts.png")
    chat.send("Compare")
    chat.page.wait("/limit-mm-per-prompt/.test(document.querySelector('.failure span')?.textContent)")
    chat.page.js("new Promise((done) => setTimeout(done, 500))")  # the page looks whether the server is another now
    chat.page.forget_errors()  # the browser names the answers 404 and 400


def test_no_web_serves_no_page(make_server):
    server = make_server("--no-web")
    for path in ("/", "/dashboard", "/assets/icon.svg"):
        assert server.get(path, {"Accept-Encoding": "gzip"})[0] == 404
    assert "page " not in server.output()


def test_a_model_without_eyes_offers_no_pictures(open_page):
    text_only = demo_server("--limit-mm-per-prompt", '{"image": 0, "video": 0}')
    try:
        chat = Chat(open_page(text_only.url + "/"))
        assert chat.page.count("#attach") == 0 and chat.page.count("#camera") == 0
        chat.think(False)
        assert "42" in chat.ask("What is 17 + 25?")
    finally:
        text_only.stop()
