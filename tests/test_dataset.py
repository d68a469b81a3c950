"""Data sets in any layout are used as they lie there."""

import numpy as np
import pytest

from cleannet_jax import errors, streams
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import layout, stored


def make_manifest(widths):
    return manifest_lib.Manifest(
        name="a test",
        streams=widths,
        stride_frames=16,
        window_frames=16,
        offset_frames=0,
        fps=25,
        train_subset="train",
        evaluation_subset="test",
        source="a test",
        backbone_trained_on=(),
    )


def make_annotations(subsets):
    videos = {
        name: annotations_lib.Video(
            id=name,
            subset=subset,
            duration=4.0,
            fps=None,
            segments=np.array([[1.0, 2.0]]),
            labels=(f"sport {name}",),
            ambiguous=np.zeros((0, 2)),
        )
        for name, subset in subsets.items()
    }
    return annotations_lib.Annotations(videos, "a test")


@pytest.mark.parametrize("names", [("all",), ("rgb", "flow"), ("rgb", "flow", "pose")])
def test_any_number_of_streams_is_read_side_by_side(names):
    widths = streams.Streams(names, tuple(range(2, 2 + len(names))))

    def read_streams(video_id):
        assert video_id == "b"
        return tuple(np.full((3, width), width, ">f8") for width in widths.widths)

    dataset = dataset_lib.create_dataset(
        make_manifest(widths),
        annotations=make_annotations({"b": "train", "a": "test", "c": "test"}),
        lengths={"b": 3, "a": 5},
        read_streams=read_streams,
    )
    features = dataset.read("b")
    assert features.dtype == np.float32 and features.shape == (3, widths.width)
    np.testing.assert_array_equal(features[0], np.repeat(widths.widths, widths.widths))
    assert dataset.ids == ("a", "b") and dataset.categories == ("sport b",)
    assert dataset.train_ids == ("b",) and dataset.evaluation_ids == ("a",)
    assert dataset.videos["a"] == dataset_lib.VideoInfo(
        id="a",
        subset="test",
        labels=("sport a",),
        length=5,
        timebase=manifest_lib.Timebase(fps=25, stride=16, offset=0),
        duration=4.0,
    )
    assert dataset.streams.widths == widths.widths


def in_memory(place, array):
    return stored.Stored(place, array.shape, lambda: array)


@pytest.mark.parametrize(("order", "first"), [("rgb,flow", 0), ("flow,rgb", 2)])
def test_a_joint_array_is_split_as_declared(order, first):
    array = np.arange(12.0).reshape(3, 4)
    found = stored.joint({"a": in_memory("a", array)}, order=order)
    assert found.streams == layout.streams(2) and found.lengths == {"a": 3}
    rgb, flow = found.read("a")
    np.testing.assert_array_equal(rgb, array[:, first : first + 2])
    np.testing.assert_array_equal(flow, array[:, 2 - first : 4 - first])
    rgb[:] = 0
    assert array[-1, first] != 0


def test_separate_arrays_are_cut_to_the_shortest():
    arrays = {
        name: {
            "rgb": in_memory("a", np.ones((rgb, 3))),
            "flow": in_memory("b", np.ones((flow, 2))),
        }
        for name, rgb, flow in (("a", 4, 6), ("b", 5, 5))
    }
    found = stored.separate(arrays)
    assert found.streams == streams.Streams(("rgb", "flow"), (3, 2))
    assert found.lengths == {"a": 4, "b": 5}
    assert [values.shape for values in found.read("a")] == [(4, 3), (4, 2)]
    (note,) = found.notes
    assert note.endswith("cut to the shorter by up to 2: 1 videos, 'a'")


def test_a_stream_that_is_missing_is_named():
    found = {"rgb": {"a": 1, "b": 2}, "flow": {"a": 3}}
    with pytest.raises(errors.InputError, match="^y: no features of video 'b', but x"):
        stored.paired(found, places={"rgb": "x", "flow": "y"})
    del found["rgb"]["b"]
    assert stored.paired(found, places={}) == {"a": {"rgb": 1, "flow": 3}}
