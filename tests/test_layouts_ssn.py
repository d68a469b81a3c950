"""Proposal lists of SSN: what is read, in seconds, and what is refused."""

import json
import pathlib

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.data.detections import ssn

CATEGORIES = ("Diving", "Jump", "Run")
DURATIONS = {"a": 10.0, "b": 8.0, "c": None}

# Two instances and three proposals, then none of either, in fractions of the video.
NORMALISED = """# 1
a
1
1
2
2 0.1000 0.3000
3 0.5 0.9
3
2 0.8 1.0 0.1 0.25
0 0.0000 0.0000 0.6 0.7
3 0.3 0.9 0.5 1.0000
# 2
b
1
1
0
0
"""

# The same proposals of a video of 400 frames, under the path of its frames.
FRAMES = """# 1
/data/frames/a
400
1
2
2 40 120
3 200 360
3
2 0.8 1.0 40 100
0 0.0000 0.0000 240 280
3 0.3 0.9 200 400
# 2
/data/frames/b/
300
1
0

0
"""


def read(tmp_path, content, **options):
    path = tmp_path / "list.txt"
    path.write_bytes(content.encode())
    options = {"durations": DURATIONS, "categories": CATEGORIES} | options
    return list(ssn.read_proposals(path, **options))


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("content", [NORMALISED, FRAMES, "\ufeff" + NORMALISED])
def test_proposals_are_in_seconds(tmp_path, content, ends):
    first, second = read(tmp_path, content.replace("\n", ends))
    assert (first.video, second.video) == ("a", "b")
    assert first.labels == ("Jump", None, "Run")
    np.testing.assert_allclose(first.segments, [[1, 2.5], [6, 7], [5, 10]], atol=1e-12)
    assert second.labels == () and second.segments.shape == (0, 2)


def test_videos_come_one_at_a_time(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(NORMALISED + "# 3\nc\nnot a number\n")
    proposals = ssn.read_proposals(path, durations=DURATIONS, categories=CATEGORIES)
    assert next(proposals).video == "a"
    assert next(proposals).video == "b"
    with pytest.raises(errors.InputError, match="line 18"):
        next(proposals)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# 1\n", "", "line 1: found 'a', expected a block that starts with #"),
        ("3 0.3 0.9 0.5 1.0000\n", "", "line 8: found 2 lines to the end of the block"),
        ("3 0.3", "3 0.3 0.9 0.5 1\n3 0.3", "line 12: found '3 0.3 .* the end of the"),
        (
            "3 0.5 0.9\n",
            "",
            r"line 7: found 1 columns, .3., expected 3: class start end",
        ),
        ("0.6 0.7", "0.6", "line 10: found 4 columns, .* expected 5: class best_tiou"),
        ("0.6 0.7", "0.6 nan", "line 10: found 'nan', expected a finite number"),
        ("0.6 0.7", "0.6 0.5", r"line 10: found the segment \[0.6, 0.5\]"),
        ("0.6 0.7", "6 7", r"line 10: .* of length 1, expected one inside the video"),
        ("0.6 0.7", "-0.1 0.7", "line 10: .* expected one inside the video"),
        ("0 0.0000", "4 0.0000", "line 10: found class 4, expected 0 to 3"),
        ("0 0.0000", "Run 0.0000", "line 10: found 'Run', expected a whole number"),
        ("a\n1\n1\n", "a\n1\nx\n", "line 4: found 'x', expected a finite number"),
        ("a\n1\n1\n", "a\n1\n0\n", "line 1: found length 0"),
        ("1\n1\n2\n", "1\n1\n2.5\n", "line 5: found '2.5', expected a whole number"),
        ("\nb\n", "\na\n", "line 12: video 'a' has a block above already"),
        ("\nb\n", "\nc\n", "line 12: found no duration of video 'c'"),
        ("\nb\n", "\nv_b\n", "line 12: found no duration of video 'v_b'"),
        ("1\n1\n0\n0\n", "1\n1\n0\n", "line 12: found a block of 4 lines, expected"),
    ],
)
def test_a_bad_block_is_named(tmp_path, old, new, message):
    assert old in NORMALISED
    with pytest.raises(errors.InputError, match=f"list.txt: {message}") as error:
        read(tmp_path, NORMALISED.replace(old, new, 1))
    assert "\n" not in str(error.value)


def test_an_empty_list_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="found no block"):
        read(tmp_path, "\n")
    with pytest.raises(errors.InputError, match="no such file"):
        list(ssn.read_proposals(tmp_path / "x", durations={}, categories=()))


def block(video, first, second, rows):
    lines = ["# 1", video, first, second, 0, len(rows)]
    return "".join(f"{line}\n" for line in [*lines, *(f"0 0 0 {row}" for row in rows)])


# 3000 frames at 30 a second are the 100 s of the video; 1500 frames are 50 s.
RATES = block("x", 3000, 30, ["1500 2340", "600 2900", "0 300"])
SECONDS = {"x": 100.0, "y": 80.0}


def test_frames_and_frames_a_second(tmp_path):
    lines = []
    options = {"durations": SECONDS, "warn": lines.append}
    (found,) = read(tmp_path, RATES, **options)
    expected = [[50, 78], [20, 2900 / 30], [0, 10]]
    np.testing.assert_allclose(found.segments, expected, atol=1e-9)
    (line,) = lines
    assert "'x', 3000 and 30, are frames and fps" in line and "100 s" in line
    # A block that says nothing by itself is read as the others are.
    more = block("y", 2400, 30, [])
    _, found = read(tmp_path, RATES + more, **options)
    assert found.segments.shape == (0, 2)
    # Durations that were rounded, or counted without the last frame, still fit.
    (found,) = read(tmp_path, RATES, durations={"x": 99.0})
    np.testing.assert_allclose(found.segments[0], [49.5, 77.22], atol=1e-9)


def test_factors_of_a_length_are_no_frames(tmp_path):
    lines = []
    # 100 s at 30 frames a second, and a length of 50 units of two frames.
    for first, second, scale in ((100, 30, 30), (1500, 2, 30), (0.5, 2, 0.01)):
        rows = [f"{50 * scale} {78 * scale}", f"0 {10 * scale}"]
        (found,) = read(
            tmp_path,
            block("x", first, second, rows),
            durations=SECONDS,
            warn=lines.append,
        )
        np.testing.assert_allclose(found.segments, [[50, 78], [0, 10]], atol=1e-9)
    assert lines == []


def test_numbers_that_mean_nothing_certain_are_refused(tmp_path):
    # Another duration than 3000 / 30 s, and yet all rows in the first 1/30.
    rows = [f"{start} {start + 280}" for start in range(0, 2700, 270)]
    content = block("x", 3000, 30, rows)
    with pytest.raises(errors.InputError, match="all rows within the first 1/30"):
        read(tmp_path, content, durations={"x": 50.0})
    # A row or two may lie there.
    (found,) = read(tmp_path, block("x", 3000, 30, rows[:2]), durations={"x": 50.0})
    assert found.segments[0][1] == pytest.approx(50 * 280 / 90000)
    # Seconds or ratios after frames and fps.
    for row in ("50 78", "0.5 0.78"):
        with pytest.raises(errors.InputError, match="no time that cannot be seconds"):
            read(tmp_path, block("x", 3000, 30, [row]), durations=SECONDS)


SMIL = pathlib.Path(__file__).parents[2] / "shared/data/thumos14_smil"


@pytest.mark.skipif(not SMIL.is_dir(), reason="no real proposals")
@pytest.mark.parametrize(
    ("numbers", "scale", "is_said"),
    [
        # Of a video of d seconds: the two numbers, and what a second is in its rows.
        (lambda d: (1, 1), lambda d: 1 / d, False),
        (lambda d: (round(30 * d), 1), lambda d: 30, False),
        (lambda d: (d, 30), lambda d: 30, False),
        (lambda d: (round(30 * d), 30), lambda d: 30, True),
        (lambda d: (int(25 * d), 25), lambda d: 25, True),
    ],
)
def test_lists_of_real_proposals(tmp_path, numbers, scale, is_said):
    database = json.loads((SMIL / "annotations.json").read_text())["database"]
    results = json.loads((SMIL / "proposals_test.json").read_text())["results"]
    known = {name: database[name]["duration"] for name in list(results)[:30]}
    segments = {
        name: [row["segment"] for row in results[name] if row["segment"][1] <= length]
        for name, length in known.items()
    }
    content = ""
    for name, length in known.items():
        times = np.array(segments[name]).reshape(-1, 2) * scale(length)
        rows = [f"{start:.4f} {end:.4f}" for start, end in times.tolist()]
        content += block(name, *numbers(length), rows)
    lines = []
    found = read(tmp_path, content, durations=known, warn=lines.append)
    assert len(lines) == is_said
    for proposals in found:
        np.testing.assert_allclose(
            proposals.segments,
            np.array(segments[proposals.video]).reshape(-1, 2),
            atol=0.002 * known[proposals.video],
        )
