"""Frames a second from a video file to features, and where they go; peak memory.

    python benchmarks/extraction.py --rounds 3
    python benchmarks/extraction.py --video clip.mp4 --minutes 10,180

Without --video ten seconds of a moving square are made. Decoding, scaling and flow are
measured in one process of one thread, as each process that decodes does them. Networks
are those of `benchmarks/backbones.py`, beside PyTorch where it is installed. Then
`cleannet extract` is run as a person would, start and compiling apart: of the difference
between a video and one four times as long. Memory is that of `cleannet extract` with the
backbone `blocks` on videos that are one encoded file again and again: it must not grow
with their length.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import av
import backbones
import numpy as np

from cleannet_jax.features import flow, inputs
from cleannet_jax.features import video as video_lib

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests"))
import videos

_PAIRS = 8


def median_seconds(function: Callable[[], Any], rounds: int) -> float:
    """Median seconds of a call; one before them does not count."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def decode(path: pathlib.Path) -> int:
    """Decodes all frames by PyAV in one thread, and does nothing with them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        return sum(1 for _ in container.decode(stream))


def time_stages(path: pathlib.Path, rounds: int) -> None:
    """Prints frames a second of decoding, scaling and flow."""
    video = video_lib.open_video(path)
    count = len(video.times)
    print(f"{path.name}: {count} frames of {video.width}x{video.height}")
    alone = count / median_seconds(lambda: decode(path), rounds)
    print(f"decode: {alone:.0f} frames/s")
    # Not all at once, which would take gigabytes of a long video.
    chosen = np.arange(min(count, 250))
    for name, size in (
        ("224x224 of 256", video_lib.Size(shorter=inputs.SHORTER, crop=(224, 224))),
        ("340x256", video_lib.Size(exact=inputs.TSN_SIZE)),
        ("96x72", video_lib.Size(exact=inputs.BLOCKS_SIZE)),
    ):
        seconds = median_seconds(
            lambda size=size: video_lib.frames(video, chosen, size), rounds
        )
        rate = len(chosen) / seconds
        print(f"decode and scale to {name}: {rate:.0f} frames/s, {rate / alone:.2f}")
    found = video_lib.frames(
        video, chosen[: _PAIRS + 1], video_lib.Size(exact=inputs.TSN_SIZE)
    )
    for method in ("dis", "tvl1"):
        seconds = median_seconds(
            lambda method=method: flow.flow_stack(found, method), min(rounds, 2)
        )
        rate = (len(found) - 1) / seconds
        print(f"flow by {method}: {rate:.1f} pairs/s, {rate / alone:.4f} of decoding")


def repeated(source: pathlib.Path, path: pathlib.Path, count: int) -> pathlib.Path:
    """Writes a video file again and again into one, without encoding."""
    with av.open(str(path), "w") as output:
        target, offset, end = None, 0, 0
        for _ in range(count):
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                if target is None:
                    target = output.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.pts is None or packet.dts is None:
                        continue
                    packet.pts += offset
                    packet.dts += offset
                    end = max(end, packet.pts + packet.duration)
                    packet.stream = target
                    output.mux(packet)
                offset = end
    return path


def extract(path: pathlib.Path, to: pathlib.Path, *more: str) -> tuple[float, list]:
    """Runs `cleannet extract`; seconds, and peak bytes of each of its processes."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "cleannet_jax", "extract", path, "--to", to, *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    peaks: dict[int, int] = {}
    while process.poll() is None:
        for one in _descendants(process.pid):
            peaks[one] = max(_peak(one), peaks.get(one, 0))
        time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode())
    first = peaks.pop(process.pid, 0)
    return time.perf_counter() - start, [first, *sorted(peaks.values(), reverse=True)]


def _descendants(number: int) -> list[int]:
    """Processes that one has started, and it."""
    found = [number]
    for path in pathlib.Path(f"/proc/{number}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:
            continue
        for child in children:
            found += _descendants(int(child))
    return found


def _peak(number: int) -> int:
    """Most bytes that a process has had in memory."""
    try:
        text = pathlib.Path(f"/proc/{number}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in text.splitlines() if line.startswith("VmHWM")]
    return 1024 * int(lines[0].split()[1]) if lines else 0


def time_extract(source: pathlib.Path, place: pathlib.Path) -> None:
    """Prints snippets a second of the whole command, start and compiling apart."""
    names = ("blocks", "efficientnet_lite0")
    paths = [repeated(source, place / f"r{n}.mp4", n) for n in (2, 8)]
    lengths = [video_lib.open_video(path).duration for path in paths]
    for name in names:
        more = ("--backbone", name)
        try:
            extract(paths[0], place / f"{name}0", *more)  # Compiles.
            runs = [extract(p, place / f"{name}-{p.stem}", *more)[0] for p in paths]
        except RuntimeError as error:
            print(f"extract, {name}: {str(error).strip().splitlines()[-1]}")
            continue
        seconds, length = runs[1] - runs[0], lengths[1] - lengths[0]
        print(
            f"extract, {name}: {2 * length / seconds:.1f} snippets/s,"
            f" {length / seconds:.1f} times as fast as the video is shown;"
            f" {runs[0] - seconds * lengths[0] / length:.1f} s to start and to end"
        )


def measure_memory(place: pathlib.Path, minutes: list[float]) -> None:
    """Prints the peaks of processes for videos of some lengths."""
    source = videos.make_video(place / "tiny.mp4", videos.pictures(1500))
    for number in minutes:
        path = repeated(source, place / f"m{number:g}.mp4", max(round(number), 1))
        more = ("--backbone", "blocks", "--workers", "2")
        seconds, peaks = extract(path, place / f"m{number:g}", *more)
        first, *others = (peak / 2**20 for peak in peaks)
        print(
            f"{number:g} minutes: {seconds:.1f} s, peak MiB: {first:.0f} of the first"
            f" process, {', '.join(f'{one:.0f}' for one in others)} of the others"
        )


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parser = argparse.ArgumentParser("extraction", description=__doc__)
    parser.add_argument("--video", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", default="10,60,180")
    parsed = parser.parse_args(arguments)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        source = parsed.video
        if source is None:
            images = videos.pictures(250, 640, 360)
            source = videos.make_video(place / "made.mp4", images)
        time_stages(source, parsed.rounds)
        for network in backbones.NETWORKS:
            print(backbones.time_network(network, 8, parsed.rounds), flush=True)
        time_extract(source, place)
        measure_memory(place, [float(text) for text in parsed.minutes.split(",")])
    print(f"load {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
