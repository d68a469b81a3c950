import pickle

import numpy as np
import pytest
import python2

from cleannet_jax import errors
from cleannet_jax.data.layouts import wtalc

NAMES = ["video_validation_0000051", "video_validation_0000052", "video_test_0000004"]
D = 3


def save(path, values):
    """Python objects as NumPy saved them under Python 2; anything else as it is."""
    if isinstance(values, list):
        python2.save_array(path, python2.object_array(values))
    else:
        np.save(path, values)


COLUMNS = {
    "videoname": np.array([name.encode() for name in NAMES]),
    "subset": np.array([b"validation", b"validation", b"test"]),
    "duration": np.array([[4.0], [6.0], [8.0]]),
    "segments": [[[0.5, 1.0], [2.0, 3.0]], [[1.0, 2.5]], []],
    "labels": [["Diving", "CliffDiving"], ["Diving"], []],
    "labels_all": [["CliffDiving", "Diving"], ["Diving", "Billiards"], []],
    "extracted_fps": np.array([10, 10, 10]),
}


def make_features(lengths=(4, 5, 6)):
    """Joint features, 100 * video + 10 * snippet + column."""
    return [
        (100 * video + 10 * np.arange(length)[:, np.newaxis] + np.arange(2 * D)).astype(
            np.float32
        )
        for video, length in enumerate(lengths)
    ]


def make_release(folder, *, name="Thumos14reduced", backbone="I3D", **changes):
    """A release; a keyword puts another column in place, None leaves it out."""
    (folder / f"{name}-Annotations").mkdir(exist_ok=True)
    features = changes.pop("features", make_features())
    save(folder / f"{name}-{backbone}-JOINTFeatures.npy", features)
    for column, values in (COLUMNS | changes).items():
        if values is not None:
            save(folder / f"{name}-Annotations/{column}.npy", values)
    return folder


def test_features_are_rgb_then_flow(tmp_path):
    dataset = wtalc.open_wtalc(make_release(tmp_path))
    assert dataset.ids == tuple(sorted(NAMES))
    rgb, flow = dataset.read_streams("video_validation_0000052")
    expected = make_features()[1]
    np.testing.assert_array_equal(rgb, expected[:, :D], strict=True)
    np.testing.assert_array_equal(flow, expected[:, D:], strict=True)


@pytest.mark.parametrize(
    ("backbone", "fps", "stride", "seconds"),
    [("I3D", 25, 16, 0.64), ("UNT", 10, 4, 0.4)],
)
def test_time_base_is_that_of_the_backbone(tmp_path, backbone, fps, stride, seconds):
    manifest = wtalc.open_wtalc(make_release(tmp_path, backbone=backbone)).manifest
    assert (manifest.fps, manifest.stride_frames, manifest.offset_frames) == (
        fps,
        stride,
        0,
    )
    assert manifest.stride_frames / manifest.fps == seconds
    assert (manifest.train_subset, manifest.evaluation_subset) == ("validation", "test")


def test_annotations_are_by_segment(tmp_path):
    dataset = wtalc.open_wtalc(make_release(tmp_path))
    video = dataset.annotations.videos["video_validation_0000051"]
    assert (video.subset, video.duration) == ("validation", 4.0)
    assert video.labels == ("Diving", "CliffDiving")
    np.testing.assert_array_equal(video.segments, [[0.5, 1], [2, 3]])
    assert dataset.annotations.videos["video_test_0000004"].segments.shape == (0, 2)


def test_labels_that_differ_are_reported(tmp_path):
    (note,) = wtalc.open_wtalc(make_release(tmp_path)).notes
    assert "labels_all differs" in note and "1 videos" in note
    assert "video_validation_0000052" in note


def test_labels_all_stand_for_whole_training_videos_only(tmp_path):
    folder = make_release(
        tmp_path,
        segments=[[[0.5, 1.0]], [[1.0, 2.5]], [[3.0, 4.0]]],
        labels=[["Diving"], ["Diving"], ["Diving"]],
        labels_all=[["Diving"], ["Diving", "Billiards"], ["Billiards"]],
    )
    dataset = wtalc.open_wtalc(folder, labels="labels_all")
    trained = dataset.annotations.videos["video_validation_0000052"]
    assert trained.tags == ("Diving", "Billiards") and not trained.labels
    assert trained.segments.shape == (0, 2)
    assert dataset.videos[trained.id].labels == ("Billiards", "Diving")
    evaluated = dataset.annotations.videos["video_test_0000004"]
    assert evaluated.labels == ("Diving",)
    np.testing.assert_array_equal(evaluated.segments, [[3, 4]])


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_ambiguous_segments_are_read(tmp_path, line_end):
    folder = make_release(tmp_path)
    lines = ["video_test_0000004  1.5 2.0", "video_test_0000004  3 4", "other  1 2", ""]
    path = folder / "Thumos14reduced-Annotations/Ambiguous_test.txt"
    path.write_bytes(line_end.join(lines).encode())
    videos = wtalc.open_wtalc(folder).annotations.videos
    np.testing.assert_array_equal(
        videos["video_test_0000004"].ambiguous, [[1.5, 2], [3, 4]]
    )
    assert videos["video_validation_0000051"].ambiguous.shape == (0, 2)


def test_arrays_of_one_length_need_no_objects(tmp_path):
    features = np.stack(make_features((4, 4, 4)))
    dataset = wtalc.open_wtalc(
        make_release(
            tmp_path,
            features=features,
            segments=np.array([[[0, 1]], [[1, 2]], [[2, 3]]]),
            labels=np.array([["a"], ["b"], ["a"]]),
            labels_all=np.array([["a"], ["b"], ["a"]]),
        )
    )
    np.testing.assert_array_equal(
        dataset.read_streams("video_test_0000004")[1], features[2][:, D:]
    )
    assert dataset.annotations.videos["video_test_0000004"].labels == ("a",)
    assert dataset.notes == ()


@pytest.mark.parametrize("protocol", [2, 4])
def test_objects_that_python_3_has_saved_are_read(tmp_path, protocol):
    features = make_features((4, 5, 60_000))
    folder = make_release(tmp_path, features=features)
    path = folder / "Thumos14reduced-UNT-JOINTFeatures.npy"
    with open(path, "wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": (3,)}
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(python2.object_array(features), file, protocol=protocol)
    dataset = wtalc.open_wtalc(folder, features=path.name)
    assert dataset.manifest.fps == 10
    for name, values in zip(NAMES, features, strict=True):
        np.testing.assert_array_equal(dataset.read_streams(name)[0], values[:, :D])
    # Only protocols of Python 3 have bytes, which need not be copied.
    noted = [note for note in dataset.notes if "is in memory: 0.0 GiB" in note]
    assert bool(noted) == (protocol == 2)


def test_the_file_is_named_where_there_are_two(tmp_path):
    make_release(tmp_path, backbone="UNT")
    folder = make_release(tmp_path, backbone="I3D")
    with pytest.raises(errors.InputError, match="found the features .*I3D.*UNT"):
        wtalc.open_wtalc(folder)
    with pytest.raises(errors.InputError, match="expected other.npy"):
        wtalc.open_wtalc(folder, features="other.npy")
    with pytest.raises(
        errors.InputError, match="found the features none, expected one"
    ):
        wtalc.open_wtalc(folder / "nothing")


def test_ids_may_be_those_of_urls(tmp_path):
    folder = make_release(
        tmp_path,
        name="ActivityNet1.2",
        videoname=np.array([b"video_1", b"video_2", b"video_3"]),
        url=np.array([f"https://www.youtube.com/watch?v=--1DO2V4K7{n}" for n in "456"]),
        subset=np.array([b"training", b"training", b"validation"]),
    )
    assert wtalc.open_wtalc(folder).ids == ("video_1", "video_2", "video_3")
    dataset = wtalc.open_wtalc(folder, ids="url")
    assert dataset.ids == tuple(f"--1DO2V4K7{n}" for n in "456")
    assert dataset.manifest.train_subset == "training"
    assert dataset.manifest.evaluation_subset == "validation"


WRONG = {
    "path": (
        {"videoname": np.array([b"../a", b"b", b"c"])},
        r"entry 0: found '\.\./a'",
    ),
    "twice": (
        {"videoname": np.array([b"a", b"b", b"a"])},
        "entry 2: found 'a', expected",
    ),
    "short": (
        {"subset": np.array([b"test"])},
        "subset.npy: found 1 entries, expected 3",
    ),
    "subset": (
        {"subset": np.array([b"train", b"test", b"test"])},
        "subset.npy: found 'test', 'train', expected 'validation' and 'test' or",
    ),
    "labels": (
        {"labels": [["Diving"], ["Diving"], []]},
        r"entry 0 \(video_validation_0000051\): found 1 labels, expected 2",
    ),
    "no text": (
        {"labels": [["Diving", 3], ["Diving"], []]},
        r"entry 0 .*: labels\[1\]: found 3, expected text",
    ),
    "three": (
        {"segments": [[[0, 1, 2], [0, 1]], [[0, 1]], []]},
        r"segments\[0\]: found \[0, 1, 2\], expected a start and an end",
    ),
    "reversed": (
        {"segments": [[[0, 1], [2, 1]], [[0, 1]], []]},
        r"segments\[1\]: found \[2, 1\]",
    ),
    "nan": (
        {"duration": np.array([[1], [np.nan], [2]])},
        "entry 1 .*: duration: found",
    ),
    "no list": ({"segments": [3, [[0, 1]], []]}, "segments: found 3, expected a list"),
    "fewer": ({"features": make_features((3, 4))}, "found 2 videos, expected 3"),
    "widths": (
        {"features": [*make_features((3, 4)), np.zeros((2, 8))]},
        "'video_test_0000004': found 8 columns, expected 6",
    ),
    "odd": ({"features": [np.zeros((2, 3))] * 3}, "found 3 columns, expected an even"),
    "integers": (
        {"features": [np.zeros((2, 6), int)] * 3},
        "found values of type int64",
    ),
    "no arrays": ({"features": ["a", "b", "c"]}, "found a str, expected an array"),
    "flat": ({"features": [np.zeros(6)] * 3}, r"found shape \(6,\), expected"),
    "absent": ({"labels": None}, "labels.npy: no such file"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_files_that_are_wrong_are_refused(tmp_path, changes, message):
    with pytest.raises(errors.InputError, match=message):
        wtalc.open_wtalc(make_release(tmp_path, **changes))


def test_features_that_are_cut_are_refused(tmp_path):
    folder = make_release(tmp_path, features=make_features((400, 500, 600)))
    path = folder / "Thumos14reduced-I3D-JOINTFeatures.npy"
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(
        errors.InputError, match="JOINTFeatures.npy: pickle, byte .*found"
    ):
        wtalc.open_wtalc(folder)


def test_options_that_are_wrong_are_refused(tmp_path):
    folder = make_release(tmp_path)
    with pytest.raises(errors.InputError, match="found 'all', expected 'segments' or"):
        wtalc.open_wtalc(folder, labels="all")
    with pytest.raises(errors.InputError, match="found 'id', expected 'videoname' or"):
        wtalc.open_wtalc(folder, ids="id")
    (folder / "Thumos14reduced-Annotations/duration.npy").unlink()
    assert wtalc.open_wtalc(folder).annotations.videos[NAMES[0]].duration is None
