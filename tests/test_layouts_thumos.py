"""THUMOS14's text files: annotations, class list and detections, read and refused."""

import json
import pathlib

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data.detections import submission, thumos
from cleannet_jax.metrics import average_precision

TRUTH = pathlib.Path(__file__).parents[2] / "shared" / "eval_truth" / "thumos14"
needs_truth = pytest.mark.skipif(not TRUTH.is_dir(), reason="no shared data")


def write_annotations(folder, suffix, rows):
    """One file a category, most of them empty; rows are label -> text."""
    folder.mkdir(parents=True, exist_ok=True)
    for label in (*thumos.CLASSES.values(), "Ambiguous"):
        content = rows.get(label, "").encode()
        (folder / f"{label}_{suffix}.txt").write_bytes(content)


def write_as_the_kit(folder, suffix, path):
    """The official text of an annotation file: the entries are in the kit's order."""
    rows = {}
    for name, video in json.loads(path.read_text())["database"].items():
        for entry in video["annotations"]:
            start, end = entry["segment"]
            rows.setdefault(entry["label"], []).append(f"{name}  {start} {end}\n")
    write_annotations(folder, suffix, {name: "".join(rows[name]) for name in rows})


@pytest.fixture
def folder(tmp_path):
    write_annotations(
        tmp_path / "annotation" / "test",
        "test",
        {
            "Diving": "video_test_0000009  4.5 6.0\nvideo_test_0000004  1 2.5\n",
            # A byte order mark, the line ends of Windows and a blank last line.
            "CliffDiving": "\ufeffvideo_test_0000009  4.5 6.0\r\n\r\n",
            "Ambiguous": "video_test_0000009  7.0 9.0\r\nvideo_test_0001292  0.0 1.4",
        },
    )
    write_annotations(
        tmp_path / "annotation" / "validation",
        "val",
        {"Shotput": "video_validation_0000051  0.0 0.0\n"},
    )
    return tmp_path / "annotation"


def test_annotations_of_both_subsets(folder):
    annotations = thumos.read_annotations(folder)
    assert annotations.path == str(folder)
    assert list(annotations.videos) == [
        "video_test_0000004",
        "video_test_0000009",
        "video_test_0001292",
        "video_validation_0000051",
    ]
    video = annotations.videos["video_test_0000009"]
    assert (video.subset, video.duration, video.fps) == ("test", None, None)
    assert video.labels == ("CliffDiving", "Diving")
    np.testing.assert_array_equal(video.segments, [[4.5, 6], [4.5, 6]])
    np.testing.assert_array_equal(video.ambiguous, [[7, 9]])
    unlabelled = annotations.videos["video_test_0001292"]
    assert unlabelled.labels == () and unlabelled.segments.shape == (0, 2)
    assert annotations.videos["video_validation_0000051"].subset == "validation"


def test_reversed_segments_stop_their_subset(folder):
    path = folder / "test" / "LongJump_test.txt"
    path.write_text("video_test_0000004  1.0 2.0\nvideo_test_0000004  3.0 2.5\n")
    found = thumos.read_annotations(folder)
    (fault,) = found.faults
    assert (fault.place, fault.segment) == (f"{path}: line 2", (3, 2.5))
    with pytest.raises(errors.InputError, match="LongJump_test.txt: line 2: found the"):
        annotations_lib.ground_truth(found, subset="test")
    annotations_lib.ground_truth(found, subset="validation")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("video_test_0000004  1.0", "line 2: found 2 columns"),
        ("video_test_0000004  1.0 2.0 3.0", "expected 3: video start end"),
        ("video_test_0000004  1.0 2,5", "line 2: found '2,5', expected a finite"),
        ("video_test_0000004  nan 2.5", "line 2: found 'nan', expected a finite"),
        ("video_validation_0000051  1.0 2.5", "line 1: video .* expected one subset"),
    ],
)
def test_a_bad_annotation_is_named(folder, line, message):
    path = folder / "test" / "LongJump_test.txt"
    path.write_text(f"video_test_0000004  1.0 2.0\n{line}\n")
    with pytest.raises(errors.InputError, match=message) as error:
        thumos.read_annotations(folder)
    assert "\n" not in str(error.value)


def test_text_that_is_not_utf8_is_refused(folder):
    (folder / "test" / "LongJump_test.txt").write_bytes(b"video\xff 1 2\n")
    with pytest.raises(errors.InputError, match="LongJump_test.txt: not UTF-8"):
        thumos.read_annotations(folder)


def test_a_missing_category_is_refused(folder):
    (folder / "test" / "PoleVault_test.txt").unlink()
    with pytest.raises(errors.InputError, match="no file PoleVault_test.txt, expected"):
        thumos.read_annotations(folder)


def test_an_unknown_category_is_refused(folder):
    (folder / "test" / "Juggling_test.txt").write_text("")
    with pytest.raises(errors.InputError, match="'Juggling' is no category"):
        thumos.read_annotations(folder)


def test_the_same_file_twice_is_refused(folder):
    (folder / "Diving_test.txt").write_text("")
    with pytest.raises(errors.InputError, match="Diving_test.txt: is there again as"):
        thumos.read_annotations(folder)


def test_a_folder_without_annotations_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="found no file such as Diving_val.txt"):
        thumos.read_annotations(tmp_path / "nowhere")


def test_class_list(tmp_path):
    path = tmp_path / "detclasslist.txt"
    path.write_text("7 BaseballPitch\r\n9 BasketballDunk\r\n")
    assert thumos.read_class_list(path) == {7: "BaseballPitch", 9: "BasketballDunk"}
    for line, message in (
        ("9 Billiards", "line 3: found '9 Billiards', expected an id and a name that"),
        ("12 BaseballPitch", "stand in no line above"),
        ("x Billiards", "line 3: found 'x', expected a whole number"),
        ("12", "line 3: found 1 columns, '12', expected 2: class_id name"),
    ):
        path.write_text(f"7 BaseballPitch\n9 BasketballDunk\n{line}\n")
        with pytest.raises(errors.InputError, match=message):
            thumos.read_class_list(path)


def test_the_classes_are_alphabetical_and_twenty():
    names = list(thumos.CLASSES.values())
    assert len(names) == 20 and names == sorted(names)
    assert list(thumos.CLASSES) == sorted(thumos.CLASSES)


def test_detections_are_read(tmp_path):
    path = tmp_path / "found.txt"
    path.write_text("\ufeffb 1.5 2 26 0.25\r\na.mp4 0 0.5 7 -3\r\nb 0 1 7 inf\r\n\r\n")
    detections = thumos.read_detections(path)
    assert detections.videos == ("b", "a")
    assert detections.labels == ("Diving", "BaseballPitch")
    np.testing.assert_array_equal(detections.video, [0, 1, 0])
    np.testing.assert_array_equal(detections.label, [0, 1, 1])
    np.testing.assert_array_equal(detections.segments, [[1.5, 2], [0, 0.5], [0, 1]])
    np.testing.assert_array_equal(detections.scores, [0.25, -3, np.inf])


def test_an_empty_file_has_no_detections(tmp_path):
    (tmp_path / "found.txt").write_text("")
    detections = thumos.read_detections(tmp_path / "found.txt")
    assert detections.segments.shape == (0, 2) and detections.videos == ()


def test_class_ids_without_a_name_keep_their_digits(tmp_path):
    path = tmp_path / "found.txt"
    path.write_text("a 1 2 7 0.5\na 1 2 8 0.5\n")
    assert thumos.read_detections(path).labels == ("BaseballPitch", "8")
    assert thumos.read_detections(path, classes={8: "x"}).labels == ("7", "x")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a 1 2 7", "found 4 columns, 'a 1 2 7', expected 5: video start end class_id"),
        ("a 1 2 Diving 0.5", "found 'Diving', expected a whole number"),
        ("a 1 2 7 nan", "found the score 'nan', expected a number"),
        ("a 1 2 7 high", "found the score 'high', expected a number"),
        ("a 1 inf 7 0.5", "found 'inf', expected a finite number"),
        ("a 2 1 7 0.5", "found the segment .* expected an end that is not before"),
    ],
)
def test_a_bad_detection_is_named(tmp_path, line, message):
    path = tmp_path / "found.txt"
    path.write_text(f"a 1 2 7 0.5\n{line}\n")
    with pytest.raises(errors.InputError, match=f"found.txt: line 2: {message}"):
        thumos.read_detections(path)


def test_written_detections_come_back(tmp_path):
    written = average_precision.Instances(
        videos=("b", "a"),
        labels=("LongJump", "Diving"),
        video=np.array([0, 1, 0]),
        label=np.array([1, 0, 0]),
        segments=np.array([[0.1, 1 / 3], [2, 2e9], [-1, 1e-17]]),
        scores=np.array([0.1 + 0.2, 1e300, -7.0]),
    )
    thumos.write_detections(tmp_path / "found.txt", written)
    lines = (tmp_path / "found.txt").read_text().splitlines()
    assert lines[0] == "b 0.1 0.3333333333333333 26 0.30000000000000004"
    read = thumos.read_detections(tmp_path / "found.txt")
    assert read.videos == ("b", "a") and read.labels == ("Diving", "LongJump")
    np.testing.assert_array_equal(read.segments, written.segments)
    np.testing.assert_array_equal(read.scores, written.scores)


def test_what_the_kit_cannot_hold_is_not_written(tmp_path):
    good = average_precision.Instances(
        videos=("a",),
        labels=("Diving",),
        video=np.array([0]),
        label=np.array([0]),
        segments=np.array([[0.0, 1.0]]),
        scores=np.array([1.0]),
    )
    path = tmp_path / "found.txt"
    with pytest.raises(errors.InputError, match="label 'Juggling' has no class id"):
        thumos.write_detections(path, good._replace(labels=("Juggling",)))
    with pytest.raises(errors.InputError, match="video 'a 0': expected a name without"):
        thumos.write_detections(path, good._replace(videos=("a 0",)))
    with pytest.raises(ValueError, match="finite scores"):
        thumos.write_detections(path, good._replace(scores=np.array([np.nan])))
    assert not list(tmp_path.iterdir())


@needs_truth
def test_the_official_annotations_are_read_as_the_kit_has_them(tmp_path):
    write_as_the_kit(tmp_path / "test", "test", TRUTH / "gt.json")
    write_as_the_kit(tmp_path / "val", "val", TRUTH / "gt_val.json")
    found = thumos.read_annotations(tmp_path)
    expected = annotations_lib.read_annotations(TRUTH / "gt.json").videos
    expected |= annotations_lib.read_annotations(TRUTH / "gt_val.json").videos
    # Counts as published: 3358 and 3007 instances of 213 and 200 videos.
    assert len(found.videos) == 413
    assert sum(len(video.labels) for video in found.videos.values()) == 3358 + 3007
    for name, video in found.videos.items():
        assert video.subset == expected[name].subset
        assert video.labels == expected[name].labels
        np.testing.assert_array_equal(video.segments, expected[name].segments)
        np.testing.assert_array_equal(video.ambiguous, expected[name].ambiguous)


@needs_truth
def test_the_kits_value_from_text_files_alone(tmp_path):
    write_as_the_kit(tmp_path / "test", "test", TRUTH / "gt.json")
    annotations = thumos.read_annotations(tmp_path)
    predictions = submission.read_detections(TRUTH / "autoloc_predictions.json")
    thumos.write_detections(tmp_path / "found.txt", predictions)
    result = average_precision.thumos14(
        thumos.read_detections(tmp_path / "found.txt"),
        annotations_lib.ground_truth(annotations, subset="test"),
        tious=(0.5,),
        ambiguous=annotations_lib.ambiguous(annotations, subset="test"),
    )
    expected = json.loads((TRUTH / "expected.json").read_text())
    np.testing.assert_allclose(result.mean[0], expected["mAP"]["0.5"], atol=1e-9)
