import json
import pathlib
import re

import numpy as np
import pytest

from cleannet_jax import errors, streams
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import arrays
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import feature_folder

GESTURES = pathlib.Path(__file__).parents[1] / "../shared/data/sfinge3d_gestures"


def make_manifest(**changes):
    """A manifest of streams 3 and 2 columns wide; a snippet is 15 of 30 frames."""
    content = {
        "name": "kitchen",
        "streams": streams.Streams(("rgb", "flow"), (3, 2)),
        "stride_frames": 15,
        "window_frames": 15,
        "offset_frames": 0,
        "fps": 30,
        "train_subset": "training",
        "evaluation_subset": "validation",
        "source": "written by the test",
        "backbone_trained_on": (),
    }
    return manifest_lib.Manifest(**(content | changes))


def make_annotations(folder, labels, subset="training"):
    """An annotation file with one segment per label of each video."""
    database = {
        video_id: {
            "subset": subset,
            "duration": 2.0,
            "annotations": [{"segment": [0.5, 1.0], "label": name} for name in names],
        }
        for video_id, names in labels.items()
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps({"database": database}))
    return annotations_lib.read_annotations(path)


def save_features(folder, video_id, *, rgb, flow):
    """Writes the two streams of one video; None leaves a stream out."""
    for stream, values in (("rgb", rgb), ("flow", flow)):
        (folder / stream).mkdir(exist_ok=True)
        if values is not None:
            np.save(folder / stream / f"{video_id}.npy", values)


def save_video(folder, video_id, length):
    rgb, flow = np.zeros((length, 3), np.float16), np.zeros((length, 2), np.float16)
    save_features(folder, video_id, rgb=rgb, flow=flow)


def read(folder):
    """F of video a."""
    dataset = feature_folder.open_feature_folder(
        folder,
        manifest=make_manifest(),
        annotations=make_annotations(folder, {"a": ["Boil"]}),
    )
    return dataset.read("a")


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_features_are_rgb_then_flow_in_float32(tmp_path, dtype, order):
    rgb = np.array([[1, 2, 3], [4, 5, 6]], dtype, order=order)
    flow = np.array([[-1, -2], [-3, -4]], dtype, order=order)
    save_features(tmp_path, "a", rgb=rgb, flow=flow)
    values = read(tmp_path)
    np.testing.assert_array_equal(values, [[1, 2, 3, -1, -2], [4, 5, 6, -3, -4]])
    assert values.dtype == np.float32


def test_values_beyond_float32_become_infinite(tmp_path):
    save_features(tmp_path, "a", rgb=np.full((1, 3), 1e300), flow=np.zeros((1, 2)))
    values = read(tmp_path)
    assert np.isinf(values[0, :3]).all()


def test_feature_length_reads_headers_only(tmp_path):
    save_video(tmp_path, "a", 20)
    before = (tmp_path / "rgb/a.npy").read_bytes()
    header = len(before) - 20 * 3 * 2
    # A sparse file: right in size, without the data.
    with open(tmp_path / "rgb/a.npy", "wb") as file:
        file.write(before[:header])
        file.truncate(len(before))
    assert feature_folder.feature_length(tmp_path, "a", manifest=make_manifest()) == 20


@pytest.mark.parametrize(
    ("rgb", "flow", "kind", "message"),
    [
        (np.zeros((4, 3)), None, "stream missing", "flow/a.npy: no such file"),
        (
            np.zeros((4, 3)),
            np.zeros((5, 2)),
            "streams of different lengths",
            "video 'a': found snippets {'rgb': 4, 'flow': 5}, expected the same number",
        ),
        (
            np.zeros((4, 6)),
            np.zeros((4, 2)),
            "wrong width",
            "6 columns, expected the 3 that the manifest declares for stream 'rgb'",
        ),
        (
            np.zeros((3, 5)),
            np.zeros((5, 2)),
            "wrong width",
            "stream 'rgb'; are rows and columns swapped?",
        ),
        (
            np.zeros((0, 3)),
            np.zeros((0, 2)),
            "empty video",
            "video 'a': found 0 snippets, expected at least 1",
        ),
        (
            np.zeros((4, 3), bool),
            np.zeros((4, 2)),
            "wrong type",
            "a.npy: found values of type bool, expected numbers: float16, float32, fl",
        ),
        (
            np.zeros((2, 4, 3)),
            np.zeros((4, 2)),
            "wrong shape",
            "rgb/a.npy: found shape (2, 4, 3), expected (snippets, 3); an axis of crops",
        ),
        (
            np.array([[None] * 3]),
            np.zeros((1, 2)),
            "object array",
            "an array of Python objects, which only unpickling could read",
        ),
    ],
)
def test_unusable_array_is_named(tmp_path, rgb, flow, kind, message):
    save_features(tmp_path, "a", rgb=rgb, flow=flow)
    with pytest.raises(arrays.ArrayError, match=re.escape(message)) as caught:
        feature_folder.read_streams(tmp_path, "a", manifest=make_manifest())
    assert caught.value.kind == kind


@pytest.mark.parametrize("change", [-1, +2])
def test_wrong_file_size_is_named_with_both_sizes(tmp_path, change):
    save_video(tmp_path, "a", 4)
    path = tmp_path / "flow/a.npy"
    whole = path.read_bytes()
    path.write_bytes((whole + b"\0\0")[: len(whole) + change])
    # 128 bytes of header, then 4 snippets of 2 columns of 2 bytes.
    message = (
        f"{path}: found {144 + change} bytes, expected 144 for shape (4, 2) of flo"
    )
    with pytest.raises(arrays.ArrayError, match=re.escape(message)) as caught:
        feature_folder.read_streams(tmp_path, "a", manifest=make_manifest())
    assert caught.value.kind == "wrong file size"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x03\x00" + bytes(122),
        b"\x93NUMPY\x01\x00\x06\x00(((((\n",
        b"version https://git-lfs.github.com/spec/v1",
    ],
)
def test_what_is_no_npy_file_is_named(tmp_path, content):
    save_video(tmp_path, "a", 4)
    (tmp_path / "rgb/a.npy").write_bytes(content)
    message = (
        f"rgb/a.npy: no whole .npy header of version 1 or 2 .* {len(content)} byte"
    )
    with pytest.raises(arrays.ArrayError, match=message) as caught:
        feature_folder.read_streams(tmp_path, "a", manifest=make_manifest())
    assert caught.value.kind == "unreadable file"


def test_negative_shape_is_refused(tmp_path):
    save_video(tmp_path, "a", 4)
    path = tmp_path / "rgb/a.npy"
    # Both axes negated, so that the number of values is the same.
    content = path.read_bytes().replace(b"(4, 3), }  ", b"(-4, -3), }")
    assert b"(-4, -3)" in content
    path.write_bytes(content)
    with pytest.raises(arrays.ArrayError, match="found shape .-4, -3."):
        feature_folder.feature_length(tmp_path, "a", manifest=make_manifest())


def test_open_lists_videos_from_headers(tmp_path):
    annotations = make_annotations(
        tmp_path,
        {"b": ["Chop", "Boil", "Chop"], "a": ["Boil"], "c": [], "gone": ["Cut"]},
    )
    for video_id, length in (("a", 4), ("b", 5), ("c", 6)):
        save_video(tmp_path, video_id, length)
    dataset = feature_folder.open_feature_folder(
        tmp_path, manifest=make_manifest(), annotations=annotations
    )
    assert list(dataset.videos) == ["a", "b", "c"]
    assert dataset.videos["b"] == dataset_lib.VideoInfo(
        id="b",
        subset="training",
        labels=("Boil", "Chop"),
        length=5,
        timebase=manifest_lib.Timebase(fps=30, stride=15, offset=0),
        duration=2.0,
    )
    assert dataset.categories == ("Boil", "Chop", "Cut")
    assert dataset.train_ids == ("a", "b")  # "c" has no label, "gone" no features
    assert dataset.evaluation_ids == ()
    assert dataset.streams.width == 5
    assert dataset.read("b").shape == (5, 5)


def test_open_takes_the_categories_of_a_trained_model(tmp_path):
    annotations = make_annotations(tmp_path, {"a": ["Boil"]}, subset="validation")
    save_video(tmp_path, "a", 4)
    dataset = feature_folder.open_feature_folder(
        tmp_path,
        manifest=make_manifest(),
        annotations=annotations,
        categories=("Chop", "Boil"),
    )
    assert dataset.categories == ("Chop", "Boil")
    assert dataset.evaluation_ids == ("a",)
    assert dataset.train_ids == ()


def test_open_knows_labels_but_no_times(tmp_path):
    save_video(tmp_path, "a", 4)
    annotations = make_annotations(tmp_path, {"a": ["Chop", "Boil", "Chop"]})
    weak = make_annotations(tmp_path, {"a": ["Boil", "Chop"]})
    strong_videos, weak_videos = (
        feature_folder.open_feature_folder(
            tmp_path, manifest=make_manifest(), annotations=read
        ).videos
        for read in (annotations, weak)
    )
    assert strong_videos == weak_videos


def test_open_stops_at_broken_features(tmp_path):
    annotations = make_annotations(tmp_path, {"a": ["Boil"], "b": ["Boil"]})
    save_video(tmp_path, "a", 4)
    save_features(tmp_path, "b", rgb=np.zeros((4, 3)), flow=None)
    with pytest.raises(errors.InputError, match="flow/b.npy: no such file"):
        feature_folder.open_feature_folder(
            tmp_path, manifest=make_manifest(), annotations=annotations
        )


def test_open_refuses_hostile_ids(tmp_path):
    annotations = make_annotations(tmp_path, {"../../etc/passwd": ["Boil"]})
    with pytest.raises(errors.InputError, match="'../../etc/passwd': the id cannot be"):
        feature_folder.open_feature_folder(
            tmp_path, manifest=make_manifest(), annotations=annotations
        )


def test_folder_without_features_says_what_was_expected(tmp_path):
    annotations = make_annotations(tmp_path, {"b": ["Boil"], "a": ["Boil"]})
    with pytest.raises(arrays.ArrayError) as caught:
        feature_folder.open_feature_folder(
            tmp_path, manifest=make_manifest(), annotations=annotations
        )
    assert str(caught.value) == (
        f"{tmp_path}: found no features there, only 'annotations.json'; expected 2 "
        f"files for each of the 2 videos of {tmp_path}/annotations.json, such as "
        f"{tmp_path}/rgb/a.npy and {tmp_path}/flow/a.npy (file_pattern "
        "'{stream}/{id}.npy')"
    )


def test_other_spelling_of_the_ids_is_shown(tmp_path):
    annotations = make_annotations(tmp_path, {"a": ["Boil"]})
    save_video(tmp_path, "v_a", 4)
    message = r"found features of other ids only \(1\), such as 'v_a'; expected 2 files"
    with pytest.raises(arrays.ArrayError, match=message):
        feature_folder.open_feature_folder(
            tmp_path, manifest=make_manifest(), annotations=annotations
        )


def test_absent_folder_says_what_was_expected(tmp_path):
    annotations = make_annotations(tmp_path, {"a": ["Boil"]})
    message = f"{tmp_path}/none: No such file or directory; expected 2 files for each"
    with pytest.raises(arrays.ArrayError, match=message):
        feature_folder.open_feature_folder(
            tmp_path / "none", manifest=make_manifest(), annotations=annotations
        )


def test_stored_ids_inverts_the_pattern(tmp_path):
    manifest = make_manifest(file_pattern="[x]/{id}/{stream}-{id}.npy")
    names = [
        "[x]/a/rgb-a.npy",
        "[x]/.b/flow-.b.npy",
        "[x]/c/rgb-d.npy",
        "x/e/rgb-e.npy",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert feature_folder.stored_ids(tmp_path, manifest=manifest) == {"a", ".b"}
    assert feature_folder.stored_ids(tmp_path / "none", manifest=manifest) == set()


def open_gestures(name):
    manifest = make_manifest(
        streams=streams.Streams(("rgb", "flow"), (256, 256)),
        file_pattern="features/{stream}/{id}.npy",
        stride_frames=2,
        window_frames=2,
        fps="annotations",
    )
    annotations = annotations_lib.read_annotations(GESTURES / name)
    return feature_folder.open_feature_folder(
        GESTURES, manifest=manifest, annotations=annotations
    )


@pytest.mark.skipif(not GESTURES.is_dir(), reason="the gesture features are not here")
def test_recorded_features_are_read():
    dataset = open_gestures("annotations.json")
    # The counts and ranges that the folder's own description gives.
    assert len(dataset.categories) == 13
    lengths = [dataset.videos[video_id].length for video_id in dataset.train_ids]
    assert (len(lengths), min(lengths), max(lengths)) == (49, 58, 344)
    lengths = [dataset.videos[video_id].length for video_id in dataset.evaluation_ids]
    assert (len(lengths), min(lengths), max(lengths)) == (23, 91, 267)
    first = dataset.train_ids[0]
    values = dataset.read(first)
    assert values.shape == (dataset.videos[first].length, 512)
    flow = np.load(GESTURES / f"features/flow/{first}.npy", allow_pickle=False)
    np.testing.assert_array_equal(values[:, 256:], flow.astype(np.float32))


@pytest.mark.skipif(not GESTURES.is_dir(), reason="the gesture features are not here")
def test_recorded_features_are_the_same_without_times():
    strong = open_gestures("annotations.json")
    weak = open_gestures("annotations_weak.json")
    assert strong.videos == weak.videos
    assert strong.categories == weak.categories
    assert strong.train_ids == weak.train_ids
