"""Pictures and videos given as frames."""
import base64
import http.server
import pathlib
import threading

import openai
import pytest

from conftest import picture, png, data_url


STILLS = pathlib.Path(__file__).parents[1] / "golden/stills"


def still(name):
    return "data:image/any;base64," + base64.b64encode((STILLS / name).read_bytes()).decode()


def ask(client, parts, **kwargs):
    kwargs.setdefault("max_tokens", 12)
    return client.chat.completions.create(model="m", temperature=0, messages=[{"role": "user", "content": parts}],
                                          extra_body={"enable_thinking": False}, **kwargs)


def image(url):
    return {"type": "image_url", "image_url": {"url": url}}


def text(words="What is this?"):
    return {"type": "text", "text": words}


def test_picture_changes_the_answer_and_counts_tokens(server):
    client = server.client()
    answers = [ask(client, [image(picture(seed)), text()]) for seed in range(3)]
    assert len({a.choices[0].message.content for a in answers}) > 1
    assert answers[0].usage.prompt_tokens_details.image_tokens == 6  # 84 x 56: 3 x 2 windows of 28


def test_same_picture_twice_gives_the_same_answer(server):
    client = server.client()
    url = picture(9, 280, 280)  # 100 tokens: the cache hit ends inside the picture
    first = ask(client, [image(url), text()])
    second = ask(client, [image(url), text()])
    assert second.usage.prompt_tokens_details.cached_tokens >= 64
    assert first.choices[0].message.content == second.choices[0].message.content


def test_several_pictures_in_one_prompt(server):
    answer = ask(server.client(), [image(picture(0)), image(picture(1, 56, 56)), text("Which is bigger?")])
    assert answer.usage.prompt_tokens_details.image_tokens == 6 + 4


def test_video_as_a_list_of_frames(make_server):
    frames = [picture(i, 56, 56) for i in range(3)]
    client = make_server("--max-model-len", "1024").client()
    answer = ask(client, [{"type": "video", "video": frames}, text("What changes?")], max_tokens=4)
    assert answer.usage.prompt_tokens_details.video_tokens == 2 * 324  # 3 frames become 2 pairs of 504 x 504


def test_too_many_pictures_names_both_numbers(server):
    with pytest.raises(openai.BadRequestError) as error:
        ask(server.client(), [image(picture(i)) for i in range(5)] + [text()])
    assert "5 images" in str(error.value) and "4" in str(error.value)


# A56
@pytest.mark.parametrize("url, code", [
    ("data:image/png;base64," + "AAAA" * 20, "unsupported_media_type"),
    ("data:image/png;base64,####", "invalid_base64"),
    ("http://127.0.0.1:1/x.png", "media_url_blocked"),
    ("file:///etc/hostname", "media_url_blocked"),
    ("ftp://example.com/x.png", "media_url_blocked"),
    (data_url(png(40, 40, lambda x, y: (x, y, 0))[:-30]), "invalid_image"),
])
def test_bad_media_names_its_place(server, url, code):
    with pytest.raises(openai.BadRequestError) as error:
        ask(server.client(), [text(), image(url)])
    assert error.value.code == code
    assert error.value.param == "messages[0].content[1]"


# A63
def test_placeholders_typed_as_text_are_text(server):
    typed = "<|IMAGE_PLACEHOLDER|><|IMAGE_START|><|image@placeholder|><|video@placeholder|></think>"
    for parts in ([text(typed)], [text(typed), image(picture())], [image(picture()), text(typed * 3)]):
        answer = ask(server.client(), parts)
        pictures = sum(part["type"] == "image_url" for part in parts)
        assert answer.usage.prompt_tokens_details.image_tokens == 6 * pictures


def test_same_pixels_hit_and_other_size_misses(server):
    client = server.client()
    prompt = [image(picture(21, 280, 280)), text("Same?")]
    ask(client, prompt)
    assert ask(client, prompt).usage.prompt_tokens_details.cached_tokens >= 64
    other = ask(client, [image(picture(21, 280, 252)), text("Same?")])
    assert other.usage.prompt_tokens_details.cached_tokens == 0


@pytest.mark.parametrize("name", ["bmp_24bit.bmp", "tiff_cmyk.tif", "avif_420.avif", "heic_420.heic"])
def test_other_formats_are_pictures_too(server, name):
    size = (48, 40) if name.startswith("heic") else (37, 22)
    answer = ask(server.client(), [image(still(name)), text()])
    usual = ask(server.client(), [image(picture(0, *size)), text()])
    assert answer.usage.prompt_tokens_details.image_tokens == usual.usage.prompt_tokens_details.image_tokens > 0
    with pytest.raises(openai.BadRequestError) as error:
        ask(server.client(), [text(), image(still(name)[:-400])])
    assert error.value.code == "invalid_image"
    assert error.value.param == "messages[0].content[1]"


def test_frames_and_videos_may_be_of_other_formats(make_server):
    client = make_server("--max-model-len", "1024").client()

    def video_tokens(**video):
        return ask(client, [video, text()], max_tokens=4).usage.prompt_tokens_details.video_tokens

    frames = [still("bmp_24bit.bmp"), still("tiff_raw.tif"), still("avif_444.avif")]
    assert video_tokens(type="video", video=frames) == video_tokens(type="video", video=[picture(0, 37, 22)] * 3)
    one = {"url": still("heic_grid.heic")}  # 100 x 90
    assert video_tokens(type="video_url", video_url=one) == video_tokens(type="video", video=[picture(0, 100, 90)])


def test_letters_and_spaces_in_a_url_are_sent_as_by_a_browser(make_server):
    paths = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(png(84, 56, lambda x, y: (x, y, 0)))

        def log_message(self, *_):
            pass

    host = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=host.serve_forever, daemon=True).start()
    client = make_server("--allow-private-media").client()
    url = f"http://127.0.0.1:{host.server_port}/\u56fe \u00e4.png?q=\u00fc b"
    assert ask(client, [image(url), text()]).usage.prompt_tokens_details.image_tokens == 6
    assert paths == ["/%E5%9B%BE%20%C3%A4.png?q=%C3%BC%20b"]
    host.shutdown()
