"""Detections in files, in the format that the ending says."""

import fractions
import json
import pickle

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.data.detections import files
from cleannet_jax.metrics import average_precision

FOUND = average_precision.Instances(
    videos=("a", "b"),
    labels=("Diving",),
    video=np.array([0, 1]),
    label=np.array([0, 0]),
    segments=np.array([[0.5, 2], [1, 3.25]]),
    scores=np.array([0.75, -1]),
)


@pytest.mark.parametrize("name", ["found.json", "found.txt", "found", "found.CSV"])
def test_what_is_written_is_read(tmp_path, name):
    files.write(tmp_path / name, FOUND, details="TSN")
    for column, again in zip(FOUND, files.read(tmp_path / name), strict=True):
        np.testing.assert_array_equal(column, again)


def test_ending_decides(tmp_path):
    for name in ("found.txt", "found.json"):
        files.write(str(tmp_path / name), FOUND, details="TSN")
    # 26 is the class id of Diving.
    lines = (tmp_path / "found.txt").read_text().splitlines()
    assert lines == ["a 0.5 2.0 26 0.75", "b 1.0 3.25 26 -1.0"]
    content = json.loads((tmp_path / "found.json").read_text())
    assert content["external_data"] == {"used": True, "details": "TSN"}
    with pytest.raises(errors.InputError, match="found.txt: label 'Chop' has no class"):
        files.write(tmp_path / "found.txt", FOUND._replace(labels=("Chop",)))


# What each says is `FOUND`.
OURS = "video,label,start,end,score\na,Diving,0.5,2,0.75\nb,Diving,1,3.25,-1\n"
ACTIONFORMER = (
    "\ufeff,label,score,t-end,t-start,video-id\r\n"
    '0,"Diving",0.75,2.0,0.5,a\r\n\r\n1,Diving,-1,3.25,1,"b"\r\n'
)


@pytest.mark.parametrize("content", [OURS, ACTIONFORMER, OURS.replace(",", " , ")])
def test_csv_in_any_order_of_columns(tmp_path, content):
    path = tmp_path / "found.csv"
    path.write_bytes(content.encode())
    for column, again in zip(FOUND, files.read(path), strict=True):
        np.testing.assert_array_equal(column, again)


def test_csv_is_written_with_every_digit(tmp_path):
    odd = FOUND._replace(
        labels=('Say "no", twice',), scores=np.array([1 / 3, np.nextafter(0.1, 1)])
    )
    files.write(tmp_path / "found.csv", odd, details="TSN")
    lines = (tmp_path / "found.csv").read_text().splitlines()
    assert lines[:2] == [
        "video,label,start,end,score",
        'a,"Say ""no"", twice",0.5,2.0,0.3333333333333333',
    ]
    for column, again in zip(odd, files.read(tmp_path / "found.csv"), strict=True):
        np.testing.assert_array_equal(column, again)
    with pytest.raises(ValueError, match="expected finite"):
        files.write(tmp_path / "x.csv", FOUND._replace(scores=np.array([1, np.nan])))
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "found no line, expected a header with video, label, start, end, score"),
        (
            "video,label,start,end\n",
            "line 1: found no column 'score' in the header 'video,label,start,end', exp",
        ),
        (
            OURS.replace("score", "score,video-id", 1),
            "line 1: found 2 columns 'video' or 'video-id' in the header",
        ),
        (OURS + "c,Diving,1\n", "line 4: found 3 cells"),
        (OURS + "c,Diving,1,two,3\n", "line 4: end: found 'two', expected a finite"),
        (OURS + "c,Diving,,2,3\n", "line 4: start: found none, expected seconds"),
        (OURS + ",Diving,1,2,3\n", "line 4: video: found none, expected a name"),
        (OURS + "c,,1,2,3\n", "line 4: label: found none, expected a name"),
        (OURS + "c,Diving,1,2,\n", "line 4: found the score '', expected a number"),
        (OURS + 'c,"Diving,1,2,3\n', "line 4: not CSV: "),
        (
            OURS + "c,Diving,2,1,3\n",
            "line 4: found the segment [2.0, 1.0], expected an end that is not before",
        ),
        (
            OURS + "c,Diving,2,1,3\n" * 5,
            "found 5 segments that end before they start: line 4: [2.0, 1.0]; line 5: ",
        ),
    ],
)
def test_mistakes_in_csv_are_named(tmp_path, content, message):
    path = tmp_path / "found.csv"
    path.write_text(content)
    with pytest.raises(errors.InputError) as caught:
        files.read(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_csv_that_is_not_text_or_absent(tmp_path):
    (tmp_path / "found.csv").write_bytes(b"video,\xff\n")
    for name, message in (("found.csv", "not UTF-8"), ("absent.csv", "no such file")):
        with pytest.raises(errors.InputError, match=message):
            files.read(tmp_path / name)


# As ActionFormer's evaluation writes it: text in a list, arrays of two kinds of floats.
PICKLED = {
    "video-id": ["a", "b"],
    "t-start": np.array([0.5, 1], np.float32),
    "t-end": np.array([2, 3.25], np.float32),
    "label": np.array([3, 3]),
    "score": np.array([0.75, -1]),
}


def write_pickle(path, content):
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


@pytest.mark.parametrize(
    "changes",
    [{}, {"score": [0.75, -1]}, {"t-end": [np.float32(2), 3.25], "label": [3, 3]}],
)
def test_results_of_actionformer(tmp_path, changes):
    path = write_pickle(tmp_path / "eval_results.pkl", PICKLED | changes)
    plain = files.read(path)
    assert plain.labels == ("3",)
    named = files.read(path, names={3: "Diving"})
    for column, again in zip(FOUND, named, strict=True):
        np.testing.assert_array_equal(column, again)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            [1],
            "found 'list', expected a dict of video-id, t-start, t-end, label, score",
        ),
        ({"video-id": []}, "found ['video-id'], expected a dict of"),
        (PICKLED | {"score": "x"}, "score: found a str, expected an array or a list"),
        (PICKLED | {"score": [1.0]}, "'score': 1}, expected columns of one length"),
        (PICKLED | {"score": [1, None]}, "score: row 1: found None, expected a number"),
        (
            PICKLED | {"score": [1, np.nan]},
            "score: row 1: found nan, expected a number",
        ),
        (
            PICKLED | {"t-end": [9, np.inf]},
            "t-end: row 1: found inf, expected a number",
        ),
        (PICKLED | {"t-end": [9, 10**400]}, "t-end: row 1: found 1000"),
        (
            PICKLED | {"label": [0.5, 1]},
            "label: row 0: found 0.5, expected a name or a",
        ),
        (
            PICKLED | {"t-end": [2, 0]},
            "row 1: found the segment [1.0, 0.0], expected an",
        ),
        ({"video-id": fractions.Fraction(1, 2)}, "refused 'fractions.Fraction'"),
    ],
)
def test_mistakes_in_results_of_actionformer_are_named(tmp_path, content, message):
    path = write_pickle(tmp_path / "found.pkl", content)
    with pytest.raises(errors.InputError) as caught:
        files.read(path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


def test_endings_that_are_none_are_refused(tmp_path):
    for function in (files.read, lambda path: files.write(path, FOUND)):
        with pytest.raises(
            errors.InputError, match="found the ending '.xyz', expected"
        ):
            function(tmp_path / "found.xyz")
    with pytest.raises(
        errors.InputError, match=r"'.pkl', expected .json, .txt, .csv or"
    ):
        files.write(tmp_path / "found.pkl", FOUND)
    with pytest.raises(
        errors.InputError, match="cleannet convert --layout autoloc-res"
    ):
        files.read(tmp_path / "found.pc")
    assert not list(tmp_path.iterdir())
