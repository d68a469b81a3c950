"""Subtitles, read back by a small reader of both formats and by PyAV."""

import html
import re

import pytest

from cleannet_jax import run
from cleannet_jax.report import plain, subtitles

FOUND = [
    run.Detection("high jump", 61.5, 63.0, 0.874),
    run.Detection("run", 2.0, 9.0004, 1.25),
    run.Detection("walk", 2.0, 5.0, 0.5),
]

HOSTILE = [
    "<b>bold</b> & <i>",
    "&lt;b&gt; R&B",
    "a --> b",
    "00:00:01,000 --> 00:00:02,000",
    "two\nlines\r\n\r\nand a gap\u2028\u2029\x85",
    "{\\an8}top\\Nof {b}",
    "\x00\x07\x1b[31mred\x7f",
    "\u202eoverride\u202c \ufeffmark",
    "\u0642\u0641\u0632 \u05e7\u05e4\u05d9\u05e6\u05d4",
    "\U0001f3c3\u200d\u2640\ufe0f \u8df3\u9ad8 e\u0301",
    "half \ud83d",
    "WEBVTT",
    "NOTE this",
    "'single' \"double\"",
    "x" * 10_000,
    "e" + "\u0301" * 10_000,
    "\n" * 10_000,
    "",
    "   ",
]

WRITERS = {"srt": subtitles.write_srt, "vtt": subtitles.write_vtt}
WRITE = pytest.mark.parametrize("kind", ["srt", "vtt"])


def read(path):
    """The cues of a file as (start, end, text), times in milliseconds."""
    content = path.read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in content.split("\n\n") if block.strip()]
    if path.suffix == ".vtt":
        assert blocks.pop(0) == ["WEBVTT"]
    cues = []
    for number, lines in enumerate(blocks, start=1):
        if path.suffix == ".srt":
            assert lines.pop(0) == str(number)
        times, text = lines
        point = "," if path.suffix == ".srt" else r"\."
        clock = rf"(\d\d+):([0-5]\d):([0-5]\d){point}(\d{{3}})"
        parts = [
            int(part) for part in re.fullmatch(f"{clock} --> {clock}", times).groups()
        ]
        start, end = (
            ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest
            for hours, minutes, seconds, rest in (parts[:4], parts[4:])
        )
        cues.append((start, end, text))
    return cues


@WRITE
def test_cues_are_in_order_of_time_and_may_overlap(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    WRITERS[kind](path, FOUND)
    assert read(path) == [
        (2000, 9000, "run  1.25"),
        (2000, 5000, "walk  .50"),
        (61500, 63000, "high jump  .87"),
    ]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_files_are_as_their_formats_say(tmp_path):
    subtitles.write_srt(tmp_path / "a.srt", FOUND[:1])
    subtitles.write_vtt(tmp_path / "a.vtt", FOUND[:1])
    assert (tmp_path / "a.srt").read_bytes() == (
        b"1\n00:01:01,500 --> 00:01:03,000\nhigh jump  .87\n"
    )
    assert (tmp_path / "a.vtt").read_bytes() == (
        b"WEBVTT\n\n00:01:01.500 --> 00:01:03.000\nhigh jump  .87\n"
    )


@WRITE
def test_nothing_found_is_a_file_without_cues(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    WRITERS[kind](path, [])
    assert read(path) == []


@WRITE
@pytest.mark.parametrize(
    ("start", "end", "times"),
    [
        (0.0, 0.0, None),
        (5.0, 4.0, None),
        (-3.0, -1.0, None),
        (-3.0, 0.0, None),
        (float("nan"), 1.0, None),
        (0.0, float("inf"), None),
        (0.0, 1e306, None),
        (-3.0, 1.0, (0, 1000)),
        (1.0, 1.0001, (1000, 1001)),
        (1.9996, 1.9997, (2000, 2001)),
        (59.9996, 61.0, (60_000, 61_000)),
        (359_999.0, 360_001.5, (359_999_000, 360_001_500)),
        (0.0, 1e7, (0, 10**10)),
    ],
)
def test_times_of_any_size(tmp_path, kind, start, end, times):
    path = tmp_path / f"a.{kind}"
    WRITERS[kind](path, [run.Detection("a", start, end, 0.5)])
    assert [cue[:2] for cue in read(path)] == ([times] if times else [])


@WRITE
def test_hostile_labels_stay_one_line_of_plain_text(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    found = [
        run.Detection(label, 2.0 * index, 2.0 * index + 1, 0.5)
        for index, label in enumerate(HOSTILE)
    ]
    WRITERS[kind](path, found)
    cues = read(path)
    assert [cue[0] for cue in cues] == [2000 * index for index in range(len(HOSTILE))]
    for _, _, text in cues:
        assert text.endswith("  .50") and len(html.unescape(text)) < 70
        assert not re.search(
            r"[<>\x00-\x1f\x7f-\x9f\u2028-\u202e\ufeff\ud800-\udfff]", text
        )
        if kind == "srt":
            assert not re.search(r"[{}\\]|&[#\w]", text)
    shown = [html.unescape(text).removesuffix("  .50") for _, _, text in cues]
    if kind == "vtt":
        assert shown[0] == HOSTILE[0] and "&lt;b&gt; R&B" in shown[1]
        assert cues[2][2].startswith("a --&gt; b")
    assert shown[4] == "two lines and a gap"
    assert shown[8:10] == HOSTILE[8:10]
    assert shown[10] == "half ?"
    assert shown[14] == "x" * 59 + "…" and shown[-3:] == ["…", "(no name)", "(no name)"]


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_players_read_the_cues(tmp_path, kind):
    av = pytest.importorskip("av", reason="needs PyAV")
    path = tmp_path / f"a.{kind}"
    labels = [label for label in HOSTILE if label.strip()]
    found = [
        run.Detection(label, 2.0 * index + 0.25, 2.0 * index + 1, 0.5)
        for index, label in enumerate(labels)
    ]
    WRITERS[kind](path, found)
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        starts = [float(packet.pts * packet.time_base) for packet in packets]
        ends = [
            float((packet.pts + packet.duration) * packet.time_base)
            for packet in packets
        ]
        lines = [
            subtitle.dialogue.decode()
            for packet in packets
            for subtitle in packet.decode()
        ]
    assert starts == [detection.start for detection in found]
    assert ends == [detection.end for detection in found]
    assert len(lines) == len(found)
    for line in lines:
        # Not one override of the format that PyAV decodes to, and no new line.
        assert not re.search(r"(?<!\\)\{|\\N", line), line
        assert line.endswith("  .50")


def test_scores_are_short():
    values = [0.004, -0.004, 0.996, -0.25, 12.0, 12345.678, float("inf"), float("nan")]
    shown = [".00", ".00", "1.00", "-.25", "12.00", "1.23e+04", "inf", "nan"]
    assert list(map(plain.score, values)) == shown
