import json
import re

import numpy as np
import pytest

from cleannet_jax import errors, streams
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib

CONTENT = {
    "version": 1,
    "name": "kitchen",
    "streams": [{"name": "rgb", "width": 3}, {"name": "flow", "width": 2}],
    "stride_frames": 15,
    "window_frames": 15,
    "offset_frames": 0,
    "fps": 30,
    "train_subset": "training",
    "evaluation_subset": "validation",
    "source": "written by the test",
    "backbone_trained_on": ["Kinetics-400"],
}


RGB, FLOW = CONTENT["streams"]


def write(folder, **changes):
    """Writes the content above with some keys changed, or left out where None."""
    content = {key: value for key, value in (CONTENT | changes).items()}
    content = {key: value for key, value in content.items() if value is not None}
    path = folder / "manifest.json"
    path.write_text(json.dumps(content))
    return path


def video(video_id="v1", *, fps=None):
    return annotations_lib.Video(
        id=video_id,
        subset="training",
        duration=10.0,
        fps=fps,
        segments=np.zeros((0, 2)),
        labels=(),
        ambiguous=np.zeros((0, 2)),
    )


def test_reads_every_key(tmp_path):
    path = write(
        tmp_path,
        file_pattern="{id}/{stream}.npz",
        array="features",
        trim_snippets=1,
        annotations="truth/gt.json",
        generated=True,
        notes="two cameras",
    )
    manifest = manifest_lib.read_manifest(path)
    assert manifest == manifest_lib.Manifest(
        name="kitchen",
        streams=streams.Streams(("rgb", "flow"), (3, 2)),
        stride_frames=15,
        window_frames=15,
        offset_frames=0,
        fps=30,
        train_subset="training",
        evaluation_subset="validation",
        source="written by the test",
        backbone_trained_on=("Kinetics-400",),
        file_pattern="{id}/{stream}.npz",
        array="features",
        trim_snippets=1,
        annotations="truth/gt.json",
        generated=True,
        notes="two cameras",
    )
    assert manifest.path == path


def test_optional_keys_have_defaults(tmp_path):
    manifest = manifest_lib.read_manifest(write(tmp_path))
    assert manifest.file_pattern == "{stream}/{id}.npy"
    assert manifest.array == ""
    assert manifest.trim_snippets == 0
    assert manifest.annotations == "annotations.json"
    assert manifest.generated is False
    assert manifest.notes == ""


@pytest.mark.parametrize("fps", [29.97, {"v1": 25, "v2": 29.97}, "annotations"])
def test_written_manifest_is_read_back(tmp_path, fps):
    manifest = manifest_lib.read_manifest(write(tmp_path, fps=fps, offset_frames=-2.5))
    manifest_lib.write_manifest(tmp_path / "copy.json", manifest)
    assert manifest_lib.read_manifest(tmp_path / "copy.json") == manifest


def test_keys_that_say_nothing_are_not_written(tmp_path):
    manifest = manifest_lib.read_manifest(write(tmp_path))
    content = manifest_lib.manifest_content(manifest)
    assert not {"array", "columns", "trim_snippets", "path"} & content.keys()


POSE = {"name": "pose", "width": 7}


@pytest.mark.parametrize(
    "streams",
    [
        [RGB],
        [POSE],
        [FLOW],
        [RGB, POSE],
        [POSE, RGB],
        [FLOW, POSE],
        [POSE, RGB | {"name": "RGB"}, FLOW | {"name": "Flow"}],
        [RGB, FLOW, POSE, POSE | {"name": "audio"}],
    ],
)
def test_any_number_of_streams(tmp_path, streams):
    manifest = manifest_lib.read_manifest(write(tmp_path, streams=streams))
    assert manifest.streams.names == tuple(stream["name"] for stream in streams)
    assert manifest.streams.widths == tuple(stream["width"] for stream in streams)
    assert manifest.stored_streams == manifest.streams
    assert manifest_lib.manifest_content(manifest)["streams"] == streams


def test_a_joint_array_may_have_flow_first(tmp_path):
    declared = [FLOW, POSE, RGB]
    manifest = manifest_lib.read_manifest(
        write(tmp_path, file_pattern="{id}.npy", streams=declared)
    )
    assert manifest.is_joint
    assert manifest.streams == streams.Streams(("rgb", "pose", "flow"), (3, 7, 2))
    assert manifest.stored_streams == streams.Streams(
        ("flow", "pose", "rgb"), (2, 7, 3)
    )
    manifest_lib.write_manifest(tmp_path / "copy.json", manifest)
    assert manifest_lib.read_manifest(tmp_path / "copy.json") == manifest
    assert manifest_lib.manifest_content(manifest)["streams"] == declared


@pytest.mark.parametrize(
    ("file_pattern", "array", "is_joint"),
    [
        ("{stream}/{id}.npy", None, False),
        ("{id}_{stream}.npz", None, False),
        ("{id}.npz", "{stream}", False),
        ("{id}.pt", "features", True),
        ("{id}.pth", None, True),
        ("{id}.csv", None, True),
        ("{stream}.h5", "{id}", False),
        ("all.hdf5", "{id}/{stream}", False),
        ("all.h5", "videos/{id}/features", True),
        ("{id}.h5", None, True),
    ],
)
def test_forms_of_files(tmp_path, file_pattern, array, is_joint):
    manifest = manifest_lib.read_manifest(
        write(tmp_path, file_pattern=file_pattern, array=array)
    )
    assert (manifest.file_pattern, manifest.array) == (file_pattern, array or "")
    assert manifest.is_joint == is_joint
    manifest_lib.write_manifest(tmp_path / "copy.json", manifest)
    assert manifest_lib.read_manifest(tmp_path / "copy.json") == manifest


def test_unreadable_manifest_is_not_written(tmp_path):
    manifest = manifest_lib.Manifest(
        name="kitchen",
        streams=streams.Streams(("rgb", "flow"), (3, 2)),
        stride_frames=15,
        window_frames=15,
        offset_frames=0,
        fps=float("nan"),
        train_subset="training",
        evaluation_subset="validation",
        source="written by the test",
        backbone_trained_on=(),
    )
    with pytest.raises(errors.InputError, match="fps: found nan, expected a number"):
        manifest_lib.write_manifest(tmp_path / "manifest.json", manifest)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", 2, "version: found 2, expected 1"),
        ("version", True, "version: found True, expected 1"),
        ("name", "  ", "name: found '  ', expected text that is not empty"),
        ("name", 7, "name: found 7, expected text that is not empty"),
        ("stride_frames", 0, "stride_frames: found 0, expected a number above 0"),
        ("stride_frames", True, "stride_frames: found True, expected a number"),
        ("stride_frames", "15", "stride_frames: found '15', expected a number"),
        ("window_frames", -1, "window_frames: found -1, expected a number above 0"),
        ("offset_frames", float("inf"), "offset_frames: found inf, expected a number"),
        ("offset_frames", 10**400, "offset_frames: found 1000"),
        ("fps", 0, "fps: found 0, expected a number above 0"),
        (
            "fps",
            "native",
            "fps: found 'native', expected a number, an object {id: numb",
        ),
        ("fps", [30], "fps: found [30], expected a number, an object {id: number}"),
        ("fps", {"v1": 25, "v2": -25}, "fps['v2']: found -25, expected a number above"),
        ("source", "", "source: found '', expected text that is not empty"),
        ("backbone_trained_on", "UCF101", "found 'UCF101', expected a list of texts"),
        ("backbone_trained_on", ["a", 3], "backbone_trained_on[1]: found 3, expected"),
        ("generated", 1, "generated: found 1, expected true or false"),
        ("notes", ["x"], "notes: found ['x'], expected text"),
        ("annotations", "/etc/passwd", "annotations: found '/etc/passwd', expected a "),
        ("annotations", "../gt.json", "expected a relative path with / between parts"),
        ("file_pattern", "../{stream}/{id}.npy", "and no '..'"),
        ("file_pattern", "{stream}.npy", "found '{stream}.npy', expected {id} in it"),
        ("file_pattern", "all.npz", "found 'all.npz', expected {id} in it"),
        ("file_pattern", "{stream}.h5", "without {id}, expected it there or in the ke"),
        ("file_pattern", "{stream}/{id.x}.npy", "file_pattern: found"),
        ("file_pattern", "{stream}/{id}{0}.npy", "file_pattern: found"),
        (
            "file_pattern",
            "{id}.mat",
            "one of .npy .npz .pt .pth .csv .h5 .hdf5 .shards last",
        ),
        (
            "file_pattern",
            "{id}",
            "one of .npy .npz .pt .pth .csv .h5 .hdf5 .shards last",
        ),
        (
            "array",
            "{id}",
            "array: found '{id}', but arrays have no names in '{stream}/",
        ),
        ("array", "", "array: found '', expected text that is not empty"),
        ("array", "../{id}", "array: found '../{id}', expected a relative path"),
        ("array", "{name}", "array: found '{name}', expected {stream} and {id}, no ot"),
        ("trim_snippets", -1, "found -1, expected a whole number of snippets, 0 or"),
        ("trim_snippets", True, "found True, expected a whole number of snippets"),
        ("streams", [], 'found [], expected a list of {"name", "width"}, one for'),
        ("streams", RGB, 'expected a list of {"name", "width"}, one for each stream'),
        ("streams", ["rgb", FLOW], "streams[0]: found 'rgb', expected an object"),
        (
            "streams",
            [FLOW, RGB],
            "found ['flow', 'rgb'], expected RGB first, then flow",
        ),
        (
            "streams",
            [FLOW, {"name": "pose", "width": 1}, RGB | {"name": "RGB"}],
            "found ['flow', 'pose', 'RGB'], expected RGB first, then flow",
        ),
        ("streams", [RGB, RGB], "found ['rgb', 'rgb'], expected different names"),
        (
            "streams",
            [RGB, RGB | {"name": "RGB"}],
            "found ['rgb', 'RGB'], expected different names",
        ),
        (
            "streams",
            [RGB, FLOW | {"width": 0}],
            "streams[1].width: found 0, expected a",
        ),
        (
            "streams",
            [RGB, FLOW | {"width": 2.0}],
            "streams[1].width: found 2.0, expect",
        ),
        (
            "streams",
            [RGB | {"name": "../rgb"}, FLOW],
            "streams[0].name: found '../rgb'",
        ),
    ],
)
def test_wrong_value_is_named(tmp_path, key, value, message):
    path = write(tmp_path, **{key: value})
    with pytest.raises(errors.InputError, match=re.escape(message)) as caught:
        manifest_lib.read_manifest(path)
    assert str(caught.value).startswith(f"{path}: {key}")
    assert len(str(caught.value)) < len(str(path)) + 200


def test_unknown_key_is_answered_with_the_nearest(tmp_path):
    path = write(tmp_path, stride_frame=15)
    with pytest.raises(errors.InputError) as caught:
        manifest_lib.read_manifest(path)
    assert str(caught.value) == (
        f"{path}: unknown key 'stride_frame': did you mean 'stride_frames'?"
    )


def test_unknown_key_near_none_is_answered_with_all(tmp_path):
    with pytest.raises(errors.InputError, match="'xyz': version, name, streams"):
        manifest_lib.read_manifest(write(tmp_path, xyz=1))


@pytest.mark.parametrize("key", list(CONTENT))
def test_missing_key_is_named(tmp_path, key):
    with pytest.raises(errors.InputError, match=f"key '{key}' is missing"):
        manifest_lib.read_manifest(write(tmp_path, **{key: None}))


def test_manifest_must_be_an_object(tmp_path):
    (tmp_path / "manifest.json").write_text("[1]")
    with pytest.raises(errors.InputError, match="found .1., expected one JSON object"):
        manifest_lib.read_manifest(tmp_path / "manifest.json")


def test_timebase_takes_the_rate_from_where_the_manifest_says(tmp_path):
    one = manifest_lib.read_manifest(write(tmp_path, fps=30, offset_frames=6))
    assert manifest_lib.timebase(one, video(fps=99.0)) == (30, 15, 6)
    each = manifest_lib.read_manifest(write(tmp_path, fps={"v1": 25}))
    assert manifest_lib.timebase(each, video(fps=99.0)) == (25, 15, 0)
    theirs = manifest_lib.read_manifest(write(tmp_path, fps="annotations"))
    assert manifest_lib.timebase(theirs, video(fps=29.97)) == (29.97, 15, 0)


@pytest.mark.parametrize("fps", [{"v2": 25}, "annotations"])
def test_timebase_without_a_rate_names_the_video(tmp_path, fps):
    manifest = manifest_lib.read_manifest(write(tmp_path, fps=fps))
    with pytest.raises(errors.InputError, match="manifest.json: fps: .*video 'v1'"):
        manifest_lib.timebase(manifest, video("v1"))


def test_feature_path_fills_the_pattern(tmp_path):
    manifest = manifest_lib.read_manifest(
        write(tmp_path, file_pattern="f/{id}/{stream}-{id}.npy")
    )
    path = manifest_lib.feature_path(manifest, stream="rgb", video_id="v_-a 1")
    assert path == "f/v_-a 1/rgb-v_-a 1.npy"
    # An id is text, not a pattern.
    path = manifest_lib.feature_path(manifest, stream="rgb", video_id="{stream}")
    assert path == "f/{stream}/rgb-{stream}.npy"


def test_array_name_fills_the_pattern(tmp_path):
    manifest = manifest_lib.read_manifest(
        write(tmp_path, file_pattern="all.h5", array="x/{id}/{stream}")
    )
    name = manifest_lib.array_name(manifest, stream="rgb", video_id="{stream}")
    assert name == "x/{stream}/rgb"
    # A stream is text as well.
    name = manifest_lib.array_name(manifest, stream="{id}", video_id="v")
    assert name == "x/v/{id}"
    with pytest.raises(errors.InputError, match="cannot be part of a file name"):
        manifest_lib.array_name(manifest, stream="rgb", video_id="../v")


@pytest.mark.parametrize(
    "video_id",
    ["", ".", "..", "../x", "a/b", "/etc", "a\\b", "a\0", "a\n", "\x1b[2J", "\ud800"]
    + ["x" * 201],
)
def test_feature_path_refuses_hostile_ids(tmp_path, video_id):
    manifest = manifest_lib.read_manifest(write(tmp_path))
    with pytest.raises(errors.InputError, match="cannot be part of a file name") as e:
        manifest_lib.feature_path(manifest, stream="rgb", video_id=video_id)
    assert str(e.value).isprintable()
    assert len(str(e.value)) < 200
