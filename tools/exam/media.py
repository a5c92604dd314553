"""Pictures and clips as data URLs."""

import base64
import io

SIZES = [(224, 224)] * 6 + [(336, 224), (224, 336), (336, 336), (252, 252), (280, 196), (320, 240), (300, 200)]


def image_url(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return {"type": "image_url", "image_url": {
        "url": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()}}


def video_url(frames):
    """Frames of a clip as JPEG files in one data URL."""
    parts = []
    for frame in frames:
        buffer = io.BytesIO()
        frame.save(buffer, "JPEG", quality=92)
        parts.append(base64.b64encode(buffer.getvalue()).decode())
    return {"type": "video_url", "video_url": {"url": "data:video/jpeg;base64," + ",".join(parts)}}
