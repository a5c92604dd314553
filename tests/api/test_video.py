"""Video files."""
import base64
import pathlib

import openai
import pytest

from conftest import Server, expect, picture

CLIPS = pathlib.Path(__file__).parents[1] / "golden/video"
SMALL = '{"video_min_pixels": 784, "video_max_pixels": 12544}'  # 96 x 64 becomes 84 x 56: 6 tokens for two frames


def clip(name="h264.mp4", media_type="video/mp4"):
    return f"data:{media_type};base64," + base64.b64encode((CLIPS / name).read_bytes()).decode()


def part(url, **choice):
    return {"type": "video_url", "video_url": {"url": url, **choice}}


@pytest.fixture(scope="module")
def client():
    server = Server("--mm-processor-kwargs", SMALL, "--limit-mm-per-prompt", '{"image": 1, "video": 3}',
                    "--allowed-local-media-path", str(CLIPS), "--max-model-len", "1024")
    yield server
    server.stop()


def ask(server, *parts):
    return server.client().chat.completions.create(
        model="m", temperature=0, max_tokens=4, extra_body={"enable_thinking": False},
        messages=[{"role": "user", "content": [*parts, {"type": "text", "text": "What happens?"}]}])


def video_tokens(server, *parts):
    return ask(server, *parts).usage.prompt_tokens_details.video_tokens


@pytest.mark.parametrize("name", ["mpeg4.mp4", "h264_60fps.mov", "vp9.webm", "hevc_10bit.mkv", "mpeg4.avi", "mpeg2.ts",
                                  "av1.mp4", "animated.gif", "animated.webp"])
def test_a_file_is_sampled_as_the_vendor_does(client, name):
    # Shorter than 8 seconds: min_frames, 16, make 8 pairs.
    assert video_tokens(client, part(clip(name))) == 8 * 6


def test_fields_of_the_request_choose_the_frames(client):
    url = clip("h264_1fps.mkv")  # 20 frames, 20 seconds
    assert video_tokens(client, part(url, fps=0.5, min_frames=1)) == 5 * 6
    assert video_tokens(client, part(url, target_frames=6)) == 3 * 6
    assert video_tokens(client, part(url, target_frames=5)) == 3 * 6  # an odd number repeats the last
    assert video_tokens(client, part(url, max_frames=4, min_frames=2)) == 2 * 6
    assert video_tokens(client, part(url, fps=4.0)) == 39 * 6  # frames come twice; the last moments round to behind the end


def hashes(server, *parts):
    return [item["hash"] for item in server.post("/v1/chat/completions/render",
                                                 {"messages": [{"role": "user", "content": [*parts]}]})[1]["media"]]


def test_frames_sample_chooses_other_frames_and_the_same_choice_repeats(client):
    url = clip("h264_long.mp4")
    leading, middle, rand, again = (hashes(client, part(url, target_frames=4, frames_sample=how))
                                    for how in ("leading", "middle", "rand", "rand"))
    assert rand == again
    assert len({str(choice) for choice in (leading, middle, rand)}) == 3


# Whether its features are found or have left the cache, and its file is decoded after all.
@pytest.mark.parametrize("kept", ["1000", "12"])
def test_a_video_that_was_seen_before_gets_the_same_answer(make_server, kept):
    def answer(server, first_word):
        said = {"type": "text", "text": first_word}
        return ask(server, said, part(clip()), part(clip("h264_long.mp4"))).choices[0].message.content

    flags = ("--mm-processor-kwargs", SMALL, "--limit-mm-per-prompt", '{"video": 2}', "--max-model-len", "1024",
             "--max-encoder-cache", kept)
    fresh = answer(make_server(*flags), "Look.")
    server = make_server(*flags)
    assert answer(server, "See.") == answer(server, "See.")
    assert answer(server, "Look.") == fresh


def test_a_file_that_was_seen_as_a_video_is_a_frame_among_frames(client):
    url = clip("animated.gif", "image/gif")
    frames = {"type": "video", "video": [url]}
    assert [video_tokens(client, sent) for sent in (part(url), frames, part(url), frames)] == [8 * 6, 6, 8 * 6, 6]


def test_files_of_other_kinds_and_places(client):
    assert video_tokens(client, part(f"file://{CLIPS}/vp8.webm")) == 8 * 6
    assert video_tokens(client, part(clip("mpeg4.mp4", "VIDEO/MP4;codecs=mp4v"))) == 8 * 6
    assert video_tokens(client, part(picture(1, 96, 64)), part(picture(2, 96, 64))) == 2 * 6  # of one frame each


@pytest.mark.parametrize("choice, field", [
    ({"fps": 2, "target_frames": 4}, "fps"), ({"fps": -1}, "fps"), ({"fps": "fast"}, "fps"),
    ({"min_frames": 9, "max_frames": 4}, "min_frames"), ({"max_frames": 0}, "max_frames"),
    ({"target_frames": 2.5}, "target_frames"), ({"frames_sample": "last"}, "frames_sample"),
])
def test_a_choice_that_cannot_be_is_named(client, choice, field):
    body = {"messages": [{"role": "user", "content": [part(clip(), **choice)]}]}
    expect(client, 400, body, param=f"messages[0].content[0].video_url.{field}")


@pytest.mark.parametrize("url, code", [
    ("data:video/mp4;base64," + base64.b64encode(b"no video at all" * 99).decode(), "unsupported_media_type"),
    ("data:video/mp4;base64,", "invalid_video"),
    ("file:///etc/passwd", "media_url_blocked"),
])
def test_what_is_no_video_is_refused(client, url, code):
    body = {"messages": [{"role": "user", "content": [part(url)]}]}
    expect(client, 400, body, param="messages[0].content[0]", code=code)


# A60
def test_a_video_that_does_not_fit_is_not_decoded(client):
    body = {"messages": [{"role": "user", "content": [part(clip("h264_long.mp4"), fps=10, max_frames=1200)]}]}
    expect(client, 400, body, code="context_length_exceeded")


def test_too_many_videos_name_both_numbers(client):
    with pytest.raises(openai.BadRequestError, match="4 videos.*at most 3"):
        ask(client, *[part(clip())] * 4)


def test_times_are_drawn_on_frames_unless_the_model_says_no(make_server):
    seen = []
    for draws in ("true", "false"):
        server = make_server("--mm-processor-kwargs", '{"draw_on_frames": %s}' % draws, "--max-model-len", "4096")
        seen.append(hashes(server, {"type": "video", "video": [picture(1, 112, 112)] * 2}))
    assert seen[0] != seen[1]


def test_a_hundred_of_everything_in_one_prompt(make_server):
    server = make_server("--mm-processor-kwargs", SMALL, "--limit-mm-per-prompt", '{"image": 100, "video": 100}',
                         "--max-model-len", "4096", "--max-num-batched-tokens", "384")
    url = clip("mpeg4.mp4")
    parts = [{"type": "image_url", "image_url": {"url": picture(seed, 56, 56)}} for seed in range(100)]
    parts += [part(url, target_frames=2 + i % 3) for i in range(100)]
    usage = ask(server, *parts).usage
    assert usage.prompt_tokens_details.image_tokens == 100 * 4
    assert usage.prompt_tokens_details.video_tokens == sum((2 + i % 3 + 1) // 2 for i in range(100)) * 6
    again = ask(server, *parts).usage
    assert again.prompt_tokens_details.cached_tokens >= again.prompt_tokens - 64


def test_a_video_file_and_a_picture_are_two_items_of_the_rendered_prompt(client):
    content = [part(clip("mpeg4.mp4")), {"type": "image_url", "image_url": {"url": picture(1, 56, 56)}}]
    shown = client.post("/v1/chat/completions/render", {"messages": [{"role": "user", "content": content}]})[1]
    assert [(item["kind"], item["tokens"]) for item in shown["media"]] == [("video", 8 * 6), ("image", 4)]
    assert shown["media"][0]["grid"]["frames"] == 16
    assert shown["prompt"].count("PLACEHOLDER") == 2


def test_a_limit_that_is_given_alone_moves_the_other(client):
    assert video_tokens(client, part(clip("h264_1fps.mkv"), max_frames=4)) == 2 * 6
