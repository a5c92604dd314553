"""Draws the three pictures of `make demo` and their questions.

usage: make_demo_pictures.py OUT_FOLDER --fonts FOLDER
"""

import argparse
import json
import os
import random

import pictures
from pictures import Thing


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
    with open(os.path.join(args.out, "questions.json"), "w", encoding="utf-8") as f:
        json.dump(questions, f, indent=1, ensure_ascii=False)
        f.write("\n")


if __name__ == "__main__":
    main()
