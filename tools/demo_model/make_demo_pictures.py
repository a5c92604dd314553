"""Draws the three pictures of `make demo`, makes its clip with FFmpeg, and writes their questions.

usage: make_demo_pictures.py OUT_FOLDER --fonts FOLDER
"""

import argparse
import base64
import gzip
import json
import os
import pathlib
import random
import subprocess
import tempfile

import pictures
from pictures import Thing


EXAM = pathlib.Path(__file__).resolve().parents[1] / "exam/subset.jsonl.gz"


def save_clip(path, name):
    """A question's clip of the exam as a video file; gives the question's words."""
    with gzip.open(EXAM, "rt", encoding="utf-8") as lines:
        content = next(q["content"] for q in map(json.loads, lines) if q["id"] == name)
    video, text = (next(part for part in content if part["type"] == kind) for kind in ("video_url", "text"))
    with tempfile.TemporaryDirectory() as folder:
        frames = video["video_url"]["url"].split("base64,")[1].split(",")
        for i, frame in enumerate(frames):
            (pathlib.Path(folder) / f"{i:03}.jpg").write_bytes(base64.b64decode(frame))
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-framerate", "2", "-i", f"{folder}/%03d.jpg", "-c:v", "libx264", "-crf",
                        "12", "-pix_fmt", "yuv420p", path], check=True)
    return text["text"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--fonts", default="/usr/share/fonts/truetype")
    args = parser.parse_args()
    fonts = pictures.Fonts(args.fonts)
    os.makedirs(args.out, exist_ok=True)
    rng = random.Random("demo pictures")
    white = (255, 255, 255)
    shapes = pictures.draw_scene(rng, [Thing("circle", "red", 0, 0.42), Thing("star", "blue", 4, 0.4),
                                       Thing("square", "green", 8, 0.36)], (224, 224), white)
    code, _ = pictures.draw_lines(rng, fonts, ["K7Q2"], (224, 224), 52, 60)
    crowd = pictures.draw_scene(rng, [Thing("heart", "pink", 1, 0.4), Thing("heart", "purple", 3, 0.4),
                                      Thing("triangle", "orange", 5, 0.42), Thing("ring", "black", 7, 0.4)],
                                (336, 224), (255, 250, 235))
    questions = []
    for name, image, question in (("shapes.png", shapes, "Describe the picture."),
                                  ("code.png", code, "What does it say?"),
                                  ("hearts.png", crowd, "图中有多少个心形？")):
        image.save(os.path.join(args.out, name), optimize=True)
        questions.append({"picture": name, "question": question})
    questions.append({"picture": "triangle.mp4",
                      "question": save_clip(os.path.join(args.out, "triangle.mp4"), "clip-3")})
    with open(os.path.join(args.out, "questions.json"), "w", encoding="utf-8") as f:
        json.dump(questions, f, indent=1, ensure_ascii=False)
        f.write("\n")


if __name__ == "__main__":
    main()
