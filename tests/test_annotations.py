"""Annotation and prediction files: what is read, written and refused."""

import json
import pathlib
import tracemalloc

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.data import annotation_files, files
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data.detections import submission
from cleannet_jax.metrics import average_precision

SHARED = pathlib.Path(__file__).parents[2] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data")

DATABASE = {
    "b": {
        "subset": "test",
        "duration": 30.5,
        "fps": 25,
        "url": "https://example.org/b",
        "annotations": [
            {"segment": [4, 6.5], "label": "Throw", "coverage": 0.1},
            {"segment": [8, 9], "label": "Ambiguous"},
            {"segment": ["1.5", "2"], "label": "Dive"},
            {"segment": [7, 7], "label": "Throw"},
        ],
    },
    "a": {"subset": "validation", "annotations": []},
    "c": {
        "subset": "test",
        "duration": None,
        "annotations": [{"segment": [0, 3], "label": "Mooping floor"}],
    },
}
RESULTS = {
    "b": [
        {"label": "Throw", "score": 0.25, "segment": [4, 6]},
        {"label": "Dive", "score": 12, "segment": [-1, 2.5]},
    ],
    "empty": [],
    "a": [{"label": "Throw", "score": -3.5, "segment": [1, 1], "rank": 1}],
}


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def annotations(tmp_path):
    path = write(tmp_path / "gt.json", {"version": "1", "database": DATABASE})
    return annotations_lib.read_annotations(path)


def test_annotations_hold_what_the_file_says(annotations, tmp_path):
    assert annotations.path == str(tmp_path / "gt.json")
    assert list(annotations.videos) == ["b", "a", "c"]
    video = annotations.videos["b"]
    assert (video.id, video.subset, video.duration, video.fps) == (
        "b",
        "test",
        30.5,
        25,
    )
    np.testing.assert_array_equal(video.segments, [[4, 6.5], [1.5, 2], [7, 7]])
    assert video.segments.dtype == np.float64
    assert video.labels == ("Throw", "Dive", "Throw")
    assert video.categories == ("Dive", "Throw")
    np.testing.assert_array_equal(video.ambiguous, [[8, 9]])


def test_duration_and_fps_and_annotations_may_be_missing(annotations):
    video = annotations.videos["a"]
    assert (video.duration, video.fps, video.labels) == (None, None, ())
    assert video.segments.shape == video.ambiguous.shape == (0, 2)
    assert annotations.videos["c"].duration is None


def test_categories_are_sorted_and_of_the_subsets_asked_for(annotations):
    assert annotations_lib.categories(annotations, subsets=["validation"]) == ()
    everything = annotations_lib.categories(annotations, subsets=["test", "validation"])
    assert everything == ("Dive", "Mooping floor", "Throw")


def test_ground_truth_keeps_order_and_empty_videos(annotations):
    truths = annotations_lib.ground_truth(annotations, subset="test")
    assert truths.videos == ("b", "c")
    assert truths.labels == ("Dive", "Mooping floor", "Throw")
    assert truths.video.tolist() == [0, 0, 0, 1]
    assert truths.label.tolist() == [2, 0, 2, 1]
    assert truths.segments.tolist() == [[4, 6.5], [1.5, 2], [7, 7], [0, 3]]
    assert truths.scores is None
    empty = annotations_lib.ground_truth(annotations, subset="validation")
    assert (empty.videos, empty.labels) == (("a",), ())
    assert empty.segments.shape == (0, 2)


def test_ambiguous_segments_stand_apart(annotations):
    found = annotations_lib.ambiguous(annotations, subset="test")
    assert (found.videos, found.labels) == (("b", "c"), ("Ambiguous",))
    assert (found.video.tolist(), found.label.tolist()) == ([0], [0])
    assert found.segments.tolist() == [[8, 9]]


def test_unknown_subset_lists_those_found(annotations):
    with pytest.raises(
        errors.InputError,
        match=r"gt\.json: no video of subset 'val'; the subsets are 'test', 'valid",
    ):
        annotations_lib.subset_videos(annotations, "val")
    nothing = annotations_lib.Annotations({}, "empty.json")
    with pytest.raises(errors.InputError, match=r"^empty\.json: .* lists no video$"):
        annotations_lib.subset_videos(nothing, "val")


def test_predictions_hold_what_the_file_says(tmp_path):
    predictions = submission.read_detections(
        write(tmp_path / "p.json", {"results": RESULTS})
    )
    assert predictions.videos == ("b", "empty", "a")
    assert predictions.labels == ("Throw", "Dive")
    assert predictions.video.tolist() == [0, 0, 2]
    assert predictions.label.tolist() == [0, 1, 0]
    assert predictions.segments.tolist() == [[4, 6], [-1, 2.5], [1, 1]]
    assert predictions.scores.tolist() == [0.25, 12, -3.5]


def test_no_predictions_at_all(tmp_path):
    predictions = submission.read_detections(
        write(tmp_path / "p.json", {"results": {}})
    )
    assert predictions.videos == predictions.labels == ()
    assert predictions.segments.shape == (0, 2)


def test_infinite_scores_are_read(tmp_path):
    rows = [{"label": "Dive", "score": -np.inf, "segment": [0, 1]}]
    predictions = submission.read_detections(
        write(tmp_path / "p.json", {"results": {"a": rows}})
    )
    assert predictions.scores.tolist() == [-np.inf]


def test_written_predictions_read_back_and_are_a_submission(tmp_path):
    path = write(tmp_path / "p.json", {"results": RESULTS})
    predictions = submission.read_detections(path)
    for name in ("one.json", "two.json"):
        submission.write_detections(tmp_path / name, predictions, details="TSN")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    content = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    assert list(content) == ["version", "results", "external_data"]
    assert content["external_data"] == {"used": True, "details": "TSN"}
    assert list(content["results"]) == ["b", "empty", "a"]
    again = submission.read_detections(tmp_path / "one.json")
    for column, other in zip(predictions, again, strict=True):
        np.testing.assert_array_equal(column, other)


def test_writing_keeps_a_video_together_and_every_digit(tmp_path):
    predictions = average_precision.Instances(
        videos=("a", "b"),
        labels=("Dive",),
        video=np.array([1, 0, 1]),
        label=np.zeros(3, int),
        segments=np.array([[0, 1], [2, 3], [0.1, np.nextafter(0.3, 1)]]),
        scores=np.array([0.5, 0.25, 1 / 3]),
    )
    path = tmp_path / "p.json"
    submission.write_detections(path, predictions, details="")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["external_data"] == {"used": False, "details": ""}
    again = submission.read_detections(path)
    assert again.video.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(again.scores, [0.25, 0.5, 1 / 3])
    np.testing.assert_array_equal(again.segments, predictions.segments[[1, 0, 2]])


def test_unwritable_scores_leave_no_file(tmp_path):
    predictions = average_precision.Instances(
        ("a",), ("Dive",), np.zeros(1, int), np.zeros(1, int), np.zeros((1, 2)),
        np.array([np.nan]),
    )  # fmt: skip
    with pytest.raises(ValueError):
        submission.write_detections(tmp_path / "p.json", predictions, details="")
    assert not list(tmp_path.iterdir())


def video(**changes):
    return {"subset": "test", "annotations": []} | changes


def annotated(**changes):
    good = {"segment": [0, 1], "label": "Dive"}
    return video(annotations=[good, good | changes])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], ": expected an object with the key 'database', found []"),
        ({"results": {}}, ": expected the key 'database', found only ['results']"),
        ({"database": []}, ": database: expected an object from video ids, found []"),
        ({"database": {"x": []}}, "database['x']: expected an object with the key"),
        (
            {"database": {"x": {"duration": 3}, "y": video()}},
            "database['x']: expected the key 'subset', found only ['duration']; other",
        ),
        (
            {"database": {"x": {"actions": [["Dive", 1]]}}},
            "database['x'].actions[0]: expected [label, start, end], found ['Dive', 1]",
        ),
        (
            {"database": {"x": {"actions": [["Dive", 1, None]]}}},
            "database['x'].actions[0]: expected [start, end] in seconds, found [1, None]",
        ),
        (
            {"database": {"x": video(annotations={})}},
            "database['x'].annotations: expected a list, found {}",
        ),
        (
            {"database": {"x": video(subset=3)}},
            "database['x']: subset: expected a name, found 3",
        ),
        (
            {"database": {"x": video(duration=0)}},
            "database['x']: duration: expected a number above 0, found 0",
        ),
        (
            {"database": {"x": video(fps="fast")}},
            "database['x']: fps: expected a number above 0, found 'fast'",
        ),
        (
            {"database": {"x": video(annotations=["Dive"])}},
            "database['x'].annotations[0]: expected an object with the key 'label'",
        ),
        (
            {"database": {"x": annotated(label=None)}},
            "database['x'].annotations[1]: label: expected a name, found None",
        ),
        (
            {"database": {"x": annotated(segment=[1, 2, 3])}},
            "annotations[1]: segment: expected [start, end] in seconds, found [1, 2, 3]",
        ),
        (
            {"database": {"x": annotated(segment=[1, "two"])}},
            "annotations[1]: segment: expected [start, end] in seconds, found [1, 'two'",
        ),
        (
            {"database": {"x": annotated(segment=[1, float("inf")])}},
            "annotations[1]: segment: expected [start, end] in seconds, found [1, inf]",
        ),
        (
            {"database": {"x": annotated(segment=[2, True])}},
            "annotations[1]: segment: expected [start, end] in seconds, found [2, True]",
        ),
    ],
)
def test_mistakes_in_annotations_are_named(tmp_path, content, message):
    path = write(tmp_path / "gt.json", content)
    with pytest.raises(errors.InputError) as caught:
        annotations_lib.read_annotations(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def detected(**changes):
    good = {"segment": [0, 1], "label": "Dive", "score": 1}
    return {"results": {"x": [good, good | changes]}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, ": expected an object with the key 'results', found 3"),
        ({"result": {}}, ": expected the key 'results', found only ['result']"),
        ({"results": [1]}, ": results: expected an object from video ids, found [1]"),
        ({"results": {"x": {}}}, "results['x']: expected a list, found {}"),
        (
            {"results": {"x": [{"label": "Dive", "score": 1}]}},
            "results['x'][0]: expected the key 'segment', found only ['label', 'score']",
        ),
        (detected(score=float("nan")), "[1]: score: expected a number, found nan"),
        (
            detected(score="0.5"),
            "results['x'][1]: score: expected a number, found '0.5', which is text: write",
        ),
        (detected(score=None), "results['x'][1]: score: expected a number, found None"),
        (detected(score=10**400), "results['x'][1]: score: expected a number, found 1"),
        (detected(label=""), "results['x'][1]: label: expected a name, found ''"),
        (
            detected(segment=[1, 2, 3]),
            "results['x'][1]: segment: expected [start, end] in seconds, found [1, 2, 3]",
        ),
        (
            detected(segment=[float("nan"), 1]),
            "results['x'][1]: segment: expected [start, end] in seconds, found [nan, 1]",
        ),
        (
            detected(segment=[2.5, 1]),
            "results['x'][1]: found the segment [2.5, 1.0], expected an end that is not",
        ),
    ],
)
def test_mistakes_in_predictions_are_named(tmp_path, content, message):
    path = write(tmp_path / "p.json", content)
    with pytest.raises(errors.InputError) as caught:
        submission.read_detections(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_byte_order_mark_and_line_ends_change_nothing(tmp_path):
    plain = write(tmp_path / "p.json", {"results": RESULTS})
    text = json.dumps({"results": RESULTS}, indent=1).replace("\n", "\r\n")
    (tmp_path / "q.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    one, other = map(submission.read_detections, (plain, tmp_path / "q.json"))
    for column, again in zip(one, other, strict=True):
        np.testing.assert_array_equal(column, again)


def test_large_file_takes_no_more_memory_than_about_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_CHUNK", 1 << 14)
    rows = [
        {"label": f"category {row % 7}", "score": row / 7, "segment": [row / 3, row]}
        for row in range(50)
    ]
    content = {"results": {f"video{index}": rows for index in range(400)}}
    path = write(tmp_path / "p.json", content)
    tracemalloc.start()
    predictions = submission.read_detections(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert predictions.scores.size == 20_000
    # The arrays alone are 40 bytes a row, of which the file has about 90.
    assert peak < 1.5 * path.stat().st_size


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("9" * 5000, "p.json: Exceeds the limit (4300 digits) for integer string con"),
        ("[" * 200_000, "p.json: JSON that is nested too deeply"),
    ],
)
def test_numbers_and_depths_that_python_refuses(tmp_path, score, message):
    path = tmp_path / "p.json"
    path.write_text('{"results": {"a": [{"score": ' + score + "}]}}")
    with pytest.raises(errors.InputError) as caught:
        submission.read_detections(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_hostile_names_stay_on_one_line(tmp_path):
    path = write(tmp_path / "p.json", {"results": {"a\n\x1b[2J": 0}})
    with pytest.raises(errors.InputError, match=r"results\['a\\n\\x1b\[2J'\]: exp"):
        submission.read_detections(path)


def test_a_video_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{"results": {"a": [], "a": []}}', encoding="utf-8")
    with pytest.raises(errors.InputError, match="'a' stands twice"):
        submission.read_detections(path)


@needs_shared
@pytest.mark.parametrize(
    ("name", "subset", "counts"),
    [
        # Videos, instances, categories and ambiguous segments, as its README counts.
        ("eval_truth/thumos14/gt.json", "test", (213, 3358, 20, 99)),
        ("eval_truth/thumos14/gt_val.json", "validation", (200, 3007, 20, 89)),
        ("eval_truth/activitynet12/gt.json", "validation", (2383, 3582, 100, 0)),
        ("eval_truth/activitynet12/gt_train.json", "training", (4819, 7151, 100, 0)),
        ("data/sfinge3d_gestures/annotations.json", "training", (49, 182, 13, 0)),
        ("data/sfinge3d_gestures/annotations.json", "validation", (23, 96, 13, 0)),
    ],
)
def test_real_annotation_files(name, subset, counts):
    annotations = annotations_lib.read_annotations(SHARED / name)
    truths = annotations_lib.ground_truth(annotations, subset=subset)
    ambiguous = annotations_lib.ambiguous(annotations, subset=subset)
    found = (len(truths.videos), truths.label.size, len(truths.labels))
    assert (*found, ambiguous.label.size) == counts


@needs_shared
def test_real_predictions():
    predictions = submission.read_detections(
        SHARED / "eval_truth" / "thumos14" / "autoloc_predictions.json"
    )
    assert predictions.scores.shape == (20763,)
    assert len(predictions.videos) == 213


WEAK = {
    "a": {"subset": "train", "labels": ["Throw", "Dive"]},
    "b": {
        "subset": "train",
        "labels": ["Dive"],
        "annotations": [{"segment": [0, 1], "label": "Run"}],
    },
    "c": {
        "subset": "test",
        "annotations": [{"segment": [0, 1], "label": "Throw"}],
    },
}


def test_labels_need_no_segments(tmp_path):
    path = write(tmp_path / "gt.json", {"database": WEAK})
    found = annotations_lib.read_annotations(path)
    weak, both = found.videos["a"], found.videos["b"]
    assert weak.tags == ("Throw", "Dive") and weak.categories == ("Dive", "Throw")
    assert weak.labels == () and weak.segments.shape == (0, 2)
    assert both.labels == ("Run",) and both.categories == ("Dive", "Run")
    assert annotations_lib.categories(found, subsets=["train"]) == (
        "Dive",
        "Run",
        "Throw",
    )


def test_labels_without_segments_are_no_ground_truth(tmp_path):
    path = write(tmp_path / "gt.json", {"database": WEAK})
    found = annotations_lib.read_annotations(path)
    message = (
        "'train': found 1 of 2 videos without times, such as 'a'; evaluation needs"
    )
    with pytest.raises(errors.InputError, match=message):
        annotations_lib.ground_truth(found, subset="train")
    assert annotations_lib.ground_truth(found, subset="test").labels == ("Throw",)


def test_annotations_without_segments_are_labels(tmp_path):
    rows = [{"label": "Dive"}, {"label": "Dive", "segment": None}]
    rows.append({"label": "Run", "segment": []})
    content = {"a": {"subset": "train", "annotations": rows}}
    path = write(tmp_path / "gt.json", {"database": content})
    video = annotations_lib.read_annotations(path).videos["a"]
    assert video.tags == ("Dive", "Run") and not video.labels and not video.timed


def test_what_nobody_has_looked_at_is_not_empty(tmp_path):
    content = {"a": {"subset": "new"}, "b": {"subset": "test", "annotations": []}}
    path = write(tmp_path / "gt.json", {"database": content})
    videos = annotations_lib.read_annotations(path).videos
    assert not videos["a"].annotated and not videos["a"].timed
    assert videos["b"].annotated and videos["b"].timed


@pytest.mark.parametrize("labels", ["Dive", [1.5], [""], ["Ambiguous"], {}, None])
def test_labels_that_are_no_names_are_refused(tmp_path, labels):
    content = {"database": {"a": {"subset": "train", "labels": labels}}}
    path = write(tmp_path / "gt.json", content)
    with pytest.raises(errors.InputError, match=r"database\['a'\].labels"):
        annotations_lib.read_annotations(path)


def test_reversed_detections_are_listed_at_once(tmp_path):
    good, bad = ({"segment": [end, 5], "label": "Dive", "score": 1} for end in (1, 9))
    path = write(tmp_path / "p.json", {"results": {"a": [good, bad], "b": [bad] * 4}})
    with pytest.raises(errors.InputError) as caught:
        submission.read_detections(path)
    assert str(caught.value) == (
        f"{path}: found 5 segments that end before they start: results['a'][1]: [9.0,"
        " 5.0]; results['b'][0]: [9.0, 5.0]; results['b'][1]: [9.0, 5.0] and 2 more"
    )


def test_predictions_without_the_key_are_read_where_nothing_else_is_there(tmp_path):
    with_key = submission.read_detections(
        write(tmp_path / "p.json", {"results": RESULTS})
    )
    without = submission.read_detections(write(tmp_path / "q.json", RESULTS))
    for column, again in zip(with_key, without, strict=True):
        np.testing.assert_array_equal(column, again)
    assert submission.read_proposals(tmp_path / "q.json") == {"results": RESULTS}
    path = write(tmp_path / "r.json", {"version": "1", **RESULTS})
    with pytest.raises(errors.InputError, match="expected the key 'results', found"):
        submission.read_detections(path)


def test_labels_that_are_numbers_are_kept_as_digits(tmp_path):
    rows = [{"segment": [0, 1], "label": label, "score": 1} for label in (7, "7", "x")]
    predictions = submission.read_detections(
        write(tmp_path / "p.json", {"results": {"a": rows}})
    )
    assert predictions.labels == ("7", "x") and predictions.label.tolist() == [0, 0, 1]
    for label in (True, 1.5, -1):
        rows = [{"segment": [0, 1], "label": label, "score": 1}]
        path = write(tmp_path / "p.json", {"results": {"a": rows}})
        with pytest.raises(errors.InputError, match="label: expected a name, found"):
            submission.read_detections(path)


def test_reversed_segments_stop_only_their_own_subset(tmp_path):
    bad = [{"segment": [9, end], "label": "Dive"} for end in (5, 6, 7, 8)]
    good = {"segment": [0, 1], "label": "Run"}
    content = {
        "a": {"subset": "train", "annotations": [good, *bad]},
        "b": {"subset": "test", "annotations": [good]},
        "c": {"subset": "new", "annotations": [good, bad[0]]},
    }
    path = write(tmp_path / "gt.json", {"database": content})
    found = annotations_lib.read_annotations(path)
    assert annotations_lib.ground_truth(found, subset="test").labels == ("Run",)
    with pytest.raises(errors.InputError) as caught:
        annotations_lib.ground_truth(found, subset="train")
    assert str(caught.value) == (
        f"{path}: subset 'train': found 4 segments that end before they start:"
        " database['a'].annotations[1]: [9.0, 5.0]; database['a'].annotations[2]:"
        " [9.0, 6.0]; database['a'].annotations[3]: [9.0, 7.0] and 1 more"
    )
    with pytest.raises(errors.InputError, match="'new': database.*found the segment"):
        annotations_lib.ground_truth(found, subset="new")
    # Labels of whole videos are known all the same.
    assert found.videos["a"].categories == ("Dive", "Run")
    assert found.videos["a"].labels == ("Run",)
    assert len(found.faults) == 5
    fault = found.videos["c"].faults[0]
    assert (fault.label, fault.segment) == ("Dive", (9, 5))
    assert fault.place == f"{path}: database['c'].annotations[1]"


def test_videos_without_the_key_database_and_without_subsets(tmp_path):
    rows = [{"segment": [0, 3], "label": 7}]
    path = write(
        tmp_path / "gt.json", {"a": {"annotations": rows}, "b": {"duration": 5}}
    )
    videos = annotations_lib.read_annotations(path).videos
    assert [video.subset for video in videos.values()] == ["all", "all"]
    assert videos["a"].labels == ("7",) and not videos["b"].annotated


def test_actions_of_multithumos(tmp_path):
    content = {
        "v1": {
            "duration": 33.5,
            "subset": "testing",
            "actions": [[3, 1.5, 2], [0, 4, 6]],
        },
        "v2": {"duration": 10, "subset": "testing", "actions": [["Run", 2, 1]]},
        "v3": {"duration": 10, "subset": "training", "actions": []},
    }
    found = annotations_lib.read_annotations(write(tmp_path / "gt.json", content))
    video = found.videos["v1"]
    assert (video.subset, video.duration, video.labels) == ("testing", 33.5, ("3", "0"))
    np.testing.assert_array_equal(video.segments, [[1.5, 2], [4, 6]])
    assert [fault.segment for fault in found.faults] == [(2, 1)]
    assert found.videos["v3"].annotated and found.videos["v3"].timed


REFINELOC = """video-name,t-start,t-end,label,video-duration,fps,video-num-frames
b,1.5,2,Dive,30.5,25,762
a,4,6.5,Throw,20,30,600
b,8,9,Ambiguous,30.5,25,762
b,7,5,Run,30.5,25,762
"""
TABLE = """label,video,subset,start,end,duration
Dive,b,test,1.5,2,30.5
Throw,a,test,4,6.5,
Ambiguous,b,test,8,9,30.5
Run,b,test,7,5,30.5
Jump,c,train,,,
,d,train,,,
"""


@pytest.mark.parametrize("content", [REFINELOC, TABLE])
def test_annotations_as_csv(tmp_path, content):
    path = tmp_path / "gt.csv"
    path.write_text(content)
    found = annotation_files.read_annotations(path)
    ours = content == TABLE
    assert list(found.videos) == (["b", "a", "c", "d"] if ours else ["b", "a"])
    video = found.videos["b"]
    assert (video.labels, video.duration) == (("Dive",), 30.5)
    assert video.subset == ("test" if ours else "all")
    assert video.fps == (None if ours else 25)
    np.testing.assert_array_equal(video.segments, [[1.5, 2]])
    np.testing.assert_array_equal(video.ambiguous, [[8, 9]])
    (fault,) = found.faults
    assert (fault.place, fault.segment) == (f"{path}: line 5", (7, 5))
    assert video.tags == ("Run",)
    if ours:
        assert found.videos["c"].tags == ("Jump",) and not found.videos["c"].timed
        assert not found.videos["d"].categories and found.videos["d"].timed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("video,start,end\n", "line 1: found no column 'label' or 'labels' in"),
        ("video,label,start,end\n,x,1,2\n", "line 2: video: found none"),
        ("video,label,start,end\na,,1,2\n", "line 2: label: found none, expected"),
        ("video,label,start,end\na,x,1,\n", "line 2: found '', expected a finite num"),
        (TABLE + "Run,a,train,7,8,\n", "line 8: video 'a': found subset train, dur"),
        (TABLE + "Run,e,,7,8,\n", "line 8: found a row without a subset, expected one"),
        (TABLE + "Run,e,test,7,8,0\n", "video 'e': duration: found 0, expected one"),
    ],
)
def test_mistakes_in_csv_are_named(tmp_path, content, message):
    path = tmp_path / "gt.csv"
    path.write_text(content)
    with pytest.raises(errors.InputError) as caught:
        annotation_files.read_annotations(path)
    assert str(caught.value).startswith(f"{path}: {message}")
