"""Makes the clips under tests/golden/video with FFmpeg: containers, codecs, rates, turns and shapes."""

import pathlib
import subprocess

# A moving picture with a counter, so that every frame differs from all others.
SOURCE = "testsrc2=size={size}:rate={rate}:duration={seconds}"
H264 = "-c:v libx264 -preset veryfast -crf 30 -pix_fmt yuv420p".split()

# Name: size, rate, seconds, FFmpeg's output options, and whether the clip is made from another one.
CLIPS = {
    "h264.mp4": ("128x72", 25, 3, H264),
    "h264_short.mp4": ("64x64", 10, 0.5, H264),
    "h264_one_frame.mp4": ("64x48", 25, 0.04, H264),
    "h264_long.mp4": ("48x32", 10, 120, H264 + ["-g", "100"]),
    "h264_ntsc.mp4": ("96x64", "30000/1001", 4, H264),
    "h264_60fps.mov": ("96x64", 60, 2, H264),
    "h264_1fps.mkv": ("96x64", 1, 20, H264),
    "h264_open_gop.mp4": ("96x64", 25, 6, H264 + ["-x264-params", "open-gop=1:keyint=25:bframes=3"]),
    "h264_intra_refresh.mp4": ("96x64", 25, 4, H264 + ["-x264-params", "intra-refresh=1:keyint=25"]),
    "h264_no_b.ts": ("96x64", 25, 3, H264 + ["-bf", "0"]),
    "h264_b.ts": ("96x64", 25, 3, H264 + ["-bf", "3", "-g", "20"]),
    "h264_10bit.mp4": ("96x64", 25, 1, "-c:v libx264 -preset veryfast -crf 30 -pix_fmt yuv420p10le".split()),
    "h264_422.mp4": ("96x64", 25, 1, "-c:v libx264 -preset veryfast -crf 30 -pix_fmt yuv422p".split()),
    "h264_444_odd.mp4": ("97x63", 25, 1, "-c:v libx264 -preset veryfast -crf 30 -pix_fmt yuv444p".split()),
    "h264_bt709.mp4": ("96x64", 25, 1, H264 + "-colorspace bt709 -color_primaries bt709 -color_trc bt709".split()),
    "h264_full_range.mp4": ("96x64", 25, 1, H264 + ["-vf", "scale=out_range=full", "-color_range", "pc"]),
    "h264_interlaced.ts": ("96x64", 25, 2, H264 + ["-flags", "+ildct+ilme", "-x264-params", "tff=1"]),
    "h264_pixel_aspect.mp4": ("96x64", 25, 1, H264 + ["-aspect", "16:9"]),
    "h264_edit_list.mp4": ("96x64", 25, 3, H264 + ["-ss", "0.5"]),
    "h264_fragmented.mp4": ("96x64", 25, 3, H264 + "-g 25 -movflags frag_keyframe+empty_moov".split()),
    "h264_variable_rate.mp4": ("96x64", 30, 4, H264 + ["-vf", "select='not(mod(n,3))+lt(n,30)'", "-vsync", "vfr"]),
    "h264.avi": ("96x64", 25, 2, H264 + ["-bf", "0"]),
    "hevc.mp4": ("128x72", 25, 3, "-c:v libx265 -preset ultrafast -crf 32 -pix_fmt yuv420p -tag:v hvc1".split()),
    "hevc_10bit.mkv": ("96x64", 24, 2, "-c:v libx265 -preset ultrafast -crf 32 -pix_fmt yuv420p10le".split()),
    "vp8.webm": ("96x64", 25, 3, "-c:v libvpx -b:v 60k -deadline realtime".split()),
    "vp9.webm": ("96x64", 25, 3, "-c:v libvpx-vp9 -b:v 60k -deadline realtime -cpu-used 8".split()),
    "vp9_hidden_frames.webm": ("96x64", 25, 3, "-c:v libvpx-vp9 -b:v 60k -auto-alt-ref 1 -lag-in-frames 16 -cpu-used 5".split()),
    "av1.mp4": ("96x64", 25, 2, "-c:v libsvtav1 -preset 10 -crf 45 -pix_fmt yuv420p".split()),
    "av1.mkv": ("96x64", 25, 2, "-c:v libaom-av1 -cpu-used 8 -crf 45 -pix_fmt yuv420p".split()),
    "mpeg4.avi": ("96x64", 25, 2, "-c:v mpeg4 -q:v 12 -bf 2".split()),
    "mpeg4.mp4": ("96x64", 25, 2, "-c:v mpeg4 -q:v 12".split()),
    "mpeg2.ts": ("96x64", 25, 2, "-c:v mpeg2video -q:v 12 -bf 2".split()),
    "mjpeg.avi": ("96x64", 10, 2, "-c:v mjpeg -q:v 12 -pix_fmt yuvj420p".split()),
    "mjpeg.mov": ("96x64", 10, 2, "-c:v mjpeg -q:v 12 -pix_fmt yuvj422p".split()),
    "with_sound.mp4": ("96x64", 25, 2, None),
    "animated.gif": ("96x64", 10, 2, "-c:v gif".split()),
    "animated.webp": ("96x64", 10, 2, "-c:v libwebp_anim -q:v 40 -loop 0".split()),
}
# Degrees to turn the stored frames by, counter-clockwise.
TURNED = {"turned_90.mp4": 90, "turned_180.mov": 180, "turned_270.mp4": 270}


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)], check=True)


def make_clips(folder: pathlib.Path):
    folder.mkdir(parents=True, exist_ok=True)
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1"]
    for name, (size, rate, seconds, options) in CLIPS.items():
        source = ["-f", "lavfi", "-i", SOURCE.format(size=size, rate=rate, seconds=seconds)]
        if options is None:
            source += ["-f", "lavfi", "-i", f"sine=duration={seconds}", "-shortest", "-c:a", "aac", "-b:a", "16k"]
            options = H264
        if name == "h264_edit_list.mp4":
            # Cut without a new encoding: the frames before the cut stay in the file, hidden by an edit list.
            whole = folder / "whole.mp4"
            ffmpeg(*source, *H264, "-g", "100", *exact, whole)
            ffmpeg("-ss", "0.5", "-i", whole, "-c", "copy", *exact, folder / name)
            whole.unlink()
            continue
        ffmpeg(*source, *options, *exact, folder / name)
    for name, degrees in TURNED.items():
        ffmpeg("-i", folder / "h264.mp4", "-c", "copy", "-metadata:s:v:0",
               f"rotate={degrees}", *exact, folder / name)
