"""Small video files, made by PyAV."""

from fractions import Fraction

import numpy as np


def pictures(count, width=64, height=48):
    """A bright square that moves over a gradient, [count, height, width, 3] uint8."""
    images = np.zeros((count, height, width, 3), np.uint8)
    images[..., 1] = np.linspace(0, 120, width, dtype=np.uint8)
    images[..., 2] = np.linspace(0, 160, height, dtype=np.uint8)[:, None]
    for number, image in enumerate(images):
        left, top = number * 3 % (width - 8), number * 2 % (height - 8)
        image[top : top + 8, left : left + 8] = (250, 20, 20)
    return images


def make_video(
    path,
    images,
    *,
    fps=25,
    codec="libx264",
    times=None,
    rotation=None,
    is_mirrored=False,
    has_audio=False,
    sound_seconds=None,
    pix_fmt="yuv420p",
    options=None,
    aspect=None,
    container_options=None,
):
    """Writes images (or as many made-up ones), at some times (ticks of 1/1000 s)."""
    import av

    if isinstance(images, int):
        images = pictures(images)
    with av.open(str(path), "w", options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=Fraction(fps), options=options or {})
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=is_mirrored)
        sound = output.add_stream("aac", rate=16000) if has_audio else None
        if sound is not None:
            sound.layout = "mono"
            write_sound(output, sound, sound_seconds or len(images) / float(fps))
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = int(times[number]), Fraction(1, 1000)
            else:
                frame.pts, frame.time_base = number, 1 / Fraction(fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def make_sound(path, seconds=1.0, codec="aac", has_cover=False):
    """Writes a file of audio alone, perhaps with a picture for it."""
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=16000)
        stream.layout = "mono"
        cover = output.add_stream("mjpeg") if has_cover else None
        if cover is not None:
            cover.height, cover.width, cover.pix_fmt = 48, 64, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(pictures(1)[0], format="rgb24")
            output.mux(cover.encode(frame) + cover.encode(None))
        write_sound(output, stream, seconds, "fltp" if codec == "aac" else "s16")
    return path


def write_sound(output, stream, seconds, kind="fltp"):
    """Writes a tone to a stream of audio."""
    import av

    resampler = av.AudioResampler(
        kind, "mono", 16000, frame_size=stream.codec_context.frame_size or 1024
    )
    wave = np.sin(np.arange(int(seconds * 16000)) / 12)[None].astype(np.float32) / 4
    frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
    for part in resampler.resample(frame) + resampler.resample(None):
        output.mux(stream.encode(part))
    output.mux(stream.encode(None))
