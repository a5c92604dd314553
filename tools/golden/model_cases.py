"""Conversations and pictures of the golden model tests. Pictures come from an integer formula."""

import numpy as np

import reference_model as reference

SMALL = (4 * 784, 16 * 784)  # pixel limits that keep video frames small


def picture(width, height, number):
    """uint8 [height, width, 3]; channel c of pixel (x, y) of picture k is
    ((3 + k)·x + (5 + 2k)·y + 71·c + ⌊x·y / 7⌋ + 37·k) mod 256."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    k = number
    return ((3 + k) * x + (5 + 2 * k) * y + 71 * c + x * y // 7 + 37 * k).astype(np.uint8)


def image(width, height, number):
    return {
        "kind": "image",
        "frames": [[width, height, number]],
        "limits": list(reference.IMAGE_LIMITS),
    }


def video(width, height, numbers, limits):
    return {
        "kind": "video",
        "frames": [[width, height, k] for k in numbers],
        "limits": list(limits),
    }


def _ask(*parts):
    """A user turn; a string is text, "image" and "video" stand for the next item of `media`."""
    content = []
    for part in parts:
        media = part in ("image", "video")
        content.append({"type": part} if media else {"type": "text", "text": part})
    return {"role": "user", "content": content}


def _case(name, messages, media=(), enable_thinking=None):
    return {
        "name": name,
        "messages": messages,
        "media": list(media),
        "enable_thinking": enable_thinking,
    }


def vl_cases():
    system = {"role": "system", "content": "You answer in one short sentence."}
    return [
        _case("text", [{"role": "user", "content": "What is 25 + 17? 今天天气很好。"}]),
        _case(
            "text_not_thinking",
            [system, {"role": "user", "content": "Which dog is red?\nThe one on the left."}],
            enable_thinking=False,
        ),
        _case("image", [_ask("image", "What is shown in this picture?")], [image(90, 61, 0)]),
        _case(
            "image_after_text",
            [_ask("Describe it: ", "image")],
            [image(112, 84, 1)],
            enable_thinking=False,
        ),
        _case(
            "two_images",
            [_ask("Compare ", "image", " and ", "image", ". Which is larger?")],
            [image(64, 100, 2), image(150, 70, 3)],
            enable_thinking=True,
        ),
        _case("wide", [_ask("image", "Read the text.")], [image(300, 30, 4)]),
        _case("tall", [_ask("image", "Read the text.")], [image(30, 300, 5)]),
        _case("odd_sizes", [_ask("image", "image", "?")], [image(111, 517, 6), image(517, 111, 7)]),
        _case(
            "tiny_images", [_ask("image", "image", "How many?")], [image(5, 7, 8), image(1, 1, 9)]
        ),
        _case("beyond_ratio", [_ask("image", "What is it?")], [image(700, 3, 10)]),
        _case(
            "video",
            [_ask("video", "What happens in the video?")],
            [video(96, 64, range(11, 15), SMALL)],
        ),
        _case(
            "video_default_limits",
            [_ask("video", "What happens in the video? Think about it.")],
            [video(96, 64, range(15, 19), reference.VIDEO_LIMITS)],
            enable_thinking=False,
        ),
        _case(
            "video_longer_than_wide",
            [_ask("video", "视频中发生了什么？")],
            [video(56, 56, range(19, 27), SMALL)],
        ),
        _case(
            "video_odd_count",
            [_ask("video", "How many animals?")],
            [video(70, 60, range(27, 30), SMALL)],
        ),
        _case(
            "images_and_video",
            [_ask("image", "video", "Is the boat the same as in ", "image", "?")],
            [image(60, 60, 30), video(84, 56, range(31, 37), SMALL), image(100, 50, 37)],
        ),
        _case(
            "multi_turn",
            [
                system,
                _ask("image", "What is it?"),
                {"role": "assistant", "reasoning_content": "I see a boat.", "content": "A boat."},
                _ask("And here? ", "image"),
                {"role": "assistant", "content": "A house near the water."},
                _ask("Which of the two is older?"),
            ],
            [image(80, 56, 38), image(56, 112, 39)],
            enable_thinking=True,
        ),
        _case(
            "multi_turn_not_thinking",
            [
                {"role": "user", "content": "你好，你是谁？"},
                {"role": "assistant", "content": "我是一个用来测试的小模型。"},
                _ask("image", "图片里有什么？"),
            ],
            [image(140, 56, 40)],
            enable_thinking=False,
        ),
    ]


def text_cases():
    return [
        _case("text", [{"role": "user", "content": "What is 25 + 17? 今天天气很好。"}]),
        _case(
            "multi_turn",
            [
                {"role": "system", "content": "You answer in one short sentence."},
                {"role": "user", "content": "Hello, who are you?"},
                {"role": "assistant", "content": "I am a small model made for tests."},
                {"role": "user", "content": "It costs 3.50 on Monday.\n你想吃什么？"},
            ],
        ),
        _case(
            "long",
            [{"role": "user", "content": " ".join(f"There are {i} red boats." for i in range(40))}],
        ),
    ]
