#!/usr/bin/env python3
"""Writes tests/golden/video: clips, what the vendor's own reader makes of them, and its choice of frames.

    apt-get install ffmpeg
    python3 -m venv venv && venv/bin/pip install paddlepaddle==3.3.1 paddlecodec==0.1.0 pillow numpy xxhash
    venv/bin/python tools/golden/video_golden.py tests/golden/video

expected.txt has these lines:
    video <name> <frames> <frames / seconds> <width> <height>
    frame <name> <number> <XXH3-128 of the RGB bytes>
sampling.txt has one choice of frames a line:
    <frames> <fps of the video> <fps> <min_frames> <max_frames> <target_frames> <frames_sample>: <numbers>

paddlecodec is the reader of FastDeploy 2.x. It leaves turned clips as they are stored; here they are
turned. It reads no animated WebP: there Pillow is asked. Of the clips in BY_FFMPEG its own numbers of frames
and times hold, and the program ffmpeg gives the pixels.
"""


import itertools
import pathlib
import subprocess
import sys

import numpy as np
import paddle
import xxhash
from PIL import Image, ImageSequence

from video_clips import TURNED, make_clips

with paddle.use_compat_guard(enable=True, scope={"torchcodec"}):
    from torchcodec.decoders import VideoDecoder

BY_FFMPEG = {
    "h264_b.ts": "the vendor's reader fails at the last frames",
    "h264_interlaced.ts": "the same",
    "mpeg2.ts": "the same",
    "h264_10bit.mp4": "it converts 10 bits wrongly, by up to 198 of 255",
    "hevc_10bit.mkv": "the same",
    "h264_intra_refresh.mp4": "it shows frames that are not whole yet after a seek",
    "mpeg4.avi": "the file stores no times, and it takes frames in the order of decoding",
}


def read_by_vendor(path):
    decoder = VideoDecoder(str(path), seek_mode="exact", num_ffmpeg_threads=1, dimension_order="NHWC")
    facts = decoder.metadata
    if path.name in BY_FFMPEG:
        frames = read_by_ffmpeg(path, facts.width, facts.height)
    else:
        frames = [decoder.get_frames_at(indices=[i]).data[0].numpy() for i in range(facts.num_frames)]
    turns = TURNED.get(path.name, 0) // 90
    return [np.rot90(frame, turns) for frame in frames], facts.average_fps


def read_by_ffmpeg(path, width, height):
    command = ["ffmpeg", "-v", "error", "-noautorotate", "-i", path, "-vsync", "passthrough", "-f", "rawvideo",
               "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return list(np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3))


def read_by_pillow(path):
    image = Image.open(path)
    frames, milliseconds = [], 0
    for frame in ImageSequence.Iterator(image):
        frames.append(np.asarray(frame.convert("RGB")))
        milliseconds += frame.info["duration"]
    return frames, len(frames) * 1000 / milliseconds


def read(path):
    if path.suffix == ".webp":
        return read_by_pillow(path)
    return read_by_vendor(path)


def describe(path):
    frames, fps = read(path)
    height, width, _ = frames[0].shape
    yield f"video {path.name} {len(frames)} {fps!r} {width} {height}"
    count = len(frames)
    for number in sorted({0, 1 % count, count // 3, count // 2, count - 2 if count > 1 else 0, count - 1}):
        pixels = np.ascontiguousarray(frames[number]).tobytes()
        yield f"frame {path.name} {number} {xxhash.xxh3_128_hexdigest(pixels)}"


def choose(count, video_fps, fps, least, most, target, how):
    """FastDeploy's rule (its get_frame_indices and _set_video_frame_args)."""
    duration = count / video_fps
    if target <= 0:
        wanted = int(duration * fps)
        target = least if wanted < least else most if wanted > most else 0
    if target > 0:
        edges = np.linspace(0, count, min(target, count) + 1).astype(int)
        if how == "leading":
            return edges[:-1]
        return (edges[:-1] + edges[1:] - 1) // 2
    step = 1 / fps
    shift = 0 if how == "leading" else step / 2
    numbers = np.around(np.arange(shift, duration + shift, step) * video_fps).astype(int)
    return numbers[numbers < count]


def sampling_lines():
    counts = [1, 2, 15, 16, 17, 75, 299, 1800, 9001]
    rates = [1.0, 10.0, 24.0120060030015, 25.0, 29.970029970029973, 60.0]
    rules = [(2, 16, 180, -1), (0.5, 1, 180, -1), (3, 4, 32, -1), (7.3, 1, 1000, -1), (2, 16, 180, 20), (2, 1, 5, 5)]
    for count, rate, rule, how in itertools.product(counts, rates, rules, ["leading", "middle"]):
        numbers = choose(count, rate, *rule, how)
        if len(numbers) <= 200:
            yield f"{count} {rate!r} {' '.join(map(str, rule))} {how}: {' '.join(map(str, numbers))}"


def main():
    folder = pathlib.Path(sys.argv[1])
    make_clips(folder)
    clips = sorted(path for path in folder.iterdir() if path.suffix != ".txt")
    lines = [line for path in clips for line in describe(path)]
    (folder / "expected.txt").write_text("\n".join(lines) + "\n")
    (folder / "sampling.txt").write_text("\n".join(sampling_lines()) + "\n")


if __name__ == "__main__":
    main()
