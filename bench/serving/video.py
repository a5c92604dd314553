#!/usr/bin/env python3
"""Time from a video file to the frames of a prompt, beside FFmpeg alone on the same file.

  video.py path/to/ernie [--frames 64] [--seconds 60] [--json]

The clip, 1080p H.264 made by FFmpeg, is rendered to a prompt by the demo model's server and not answered; the server also
resizes the frames and draws times on them. The program ffmpeg decodes the same frames of it to RGB, and all frames to nothing.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

from served import ROOT, Served


def ffmpeg(*arguments):
    start = time.perf_counter()
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ernie")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = pathlib.Path(folder) / "clip.mp4"
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=size=1920x1080:rate=30:duration={args.seconds}", "-c:v", "libx264", "-preset",
               "veryfast", "-pix_fmt", "yuv420p", clip)
        step = 30 * args.seconds // args.frames
        body = {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {
            "url": f"file://{clip}", "target_frames": args.frames, "fps": -1}}]}]}
        served = Served(args.ernie, ROOT / "models/demo", "--allowed-local-media-path", folder, "--mm-processor-kwargs",
                        '{"draw_on_frames": true}')
        ours, picked, whole = [], [], []
        try:
            for _ in range(args.rounds):
                start = time.perf_counter()
                status, answer = served.request("POST", "/v1/chat/completions/render", body)
                ours.append(time.perf_counter() - start)
                if status != 200:
                    raise SystemExit(f"video: {answer.decode()}")
                picked.append(ffmpeg("-threads", 2, "-i", clip, "-vf", f"select=not(mod(n\\,{step}))", "-vsync", "0", "-f",
                                     "rawvideo", "-pix_fmt", "rgb24", "/dev/null"))
                whole.append(ffmpeg("-threads", 2, "-i", clip, "-f", "null", "-"))
        finally:
            served.stop()
    figures = {"prompt of the video": statistics.median(ours), "ffmpeg, the same frames to RGB": statistics.median(picked),
               "ffmpeg, all frames to nothing": statistics.median(whole)}
    figures["ratio to ffmpeg"] = figures["prompt of the video"] / figures["ffmpeg, the same frames to RGB"]
    if args.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:34} {figure:8.3f}{'' if 'ratio' in name else ' s'}")


if __name__ == "__main__":
    main()
