"""Layouts of HDF5 files: miniatures of each, what is read and what is refused."""

import json
import sys

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import hdf5

h5py = pytest.importorskip("h5py")

D = 3
HEADER = "video-name,t-start,t-end,label,video-duration,fps,video-num-frames\n"
TRAIN_ROWS = (
    "video_validation_0000051,49.2,53.5,7,169.79,30.0,5090\n"
    "video_validation_0000051,116.7,122.5,7,169.79,30.0,5090\n"
)
EVALUATION_ROWS = (
    '"video_test_0000004",0.2,1.1,5,33.8,25.0,845\n'
    "video_test_0000004,1.0,1.5,6,33.8,25.0,845\n"
)


def stream(length, value):
    """(T, D) of distinct values: the stream's own and the snippet's number."""
    return (
        value + np.arange(length, dtype=np.float32)[:, None] + np.zeros(D, np.float32)
    )


def write(path, datasets):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values


def seconds(dataset, name, snippet):
    """The time at which a snippet begins."""
    video = dataset.annotations.videos[name]
    base = manifest_lib.timebase(dataset.manifest, video)
    return (snippet * base.stride + base.offset) / base.fps


@pytest.fixture
def refineloc(tmp_path):
    """The first half of the columns is 100 and so on, the second 200 and so on."""
    joint = np.concatenate([stream(5, 100), stream(5, 200)], axis=1)
    write(tmp_path / "train.h5", {"video_validation_0000051": joint})
    write(tmp_path / "test.hdf5", {"video_test_0000004": joint})
    (tmp_path / "train.csv").write_text(HEADER + TRAIN_ROWS)
    (tmp_path / "test.csv").write_text(HEADER + EVALUATION_ROWS)
    return tmp_path


def open_refineloc(folder, **options):
    options = {"repack_of": "autoloc"} | options
    return hdf5.open_refineloc(
        folder,
        train_csv=folder / "train.csv",
        evaluation_csv=folder / "test.csv",
        **options,
    )


@pytest.mark.parametrize(
    ("repack", "rgb", "flow", "tenth"),
    [
        # AutoLoc's have flow first and 15 frames of the native rate, here 25.
        ("autoloc", 200, 100, 10 * 15 / 25),
        # W-TALC's have RGB first, and frame rates that are not the videos'.
        ("wtalc-i3d", 100, 200, 10 * 16 / 25),
        ("wtalc-unt", 100, 200, 10 * 4 / 10),
    ],
)
def test_refineloc(refineloc, repack, rgb, flow, tenth):
    dataset = open_refineloc(refineloc, repack_of=repack)
    assert dataset.ids == ("video_test_0000004", "video_validation_0000051")
    found = dataset.read_streams("video_test_0000004")
    np.testing.assert_array_equal(found[0], stream(5, rgb))
    np.testing.assert_array_equal(found[1], stream(5, flow))
    assert seconds(dataset, "video_test_0000004", 10) == pytest.approx(tenth)
    assert dataset.manifest.streams.widths == (D, D)
    manifest_lib.write_manifest(refineloc / "manifest.json", dataset.manifest)
    assert manifest_lib.read_manifest(refineloc / "manifest.json") == dataset.manifest
    assert dataset.notes == ()


def test_refineloc_annotations(refineloc):
    annotations = open_refineloc(refineloc).annotations
    video = annotations.videos["video_test_0000004"]
    assert (video.subset, video.duration, video.fps) == ("evaluation", 33.8, 25.0)
    assert video.labels == ("5", "6")
    np.testing.assert_array_equal(video.segments, [[0.2, 1.1], [1, 1.5]])
    assert annotations.videos["video_validation_0000051"].subset == "training"
    names = [f"Sport {number}" for number in range(8)]
    named = open_refineloc(refineloc, categories=names).annotations
    assert named.videos["video_test_0000004"].labels == ("Sport 5", "Sport 6")


def test_refineloc_must_be_told_what_the_features_are(refineloc):
    message = "found 'unt', expected one of autoloc, wtalc-i3d, wtalc-unt"
    with pytest.raises(errors.InputError, match=message):
        open_refineloc(refineloc, repack_of="unt")


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_a_csv_of_any_system_is_read(refineloc, ends):
    content = "\ufeff" + (HEADER + EVALUATION_ROWS).replace("\n", ends)
    (refineloc / "test.csv").write_bytes(content.encode())
    assert len(open_refineloc(refineloc).annotations.videos) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "fps,",
            "rate,",
            "line 1: found the header 'video-name,.*', expected video-nam",
        ),
        (HEADER, "", "line 1: found the header"),
        (",0.2,", ",zero,", "line 2: found 'zero', expected a finite number"),
        (",1.0,1.5", ",1.6,1.5", r"line 3: found the segment \[1.6, 1.5\]"),
        (",1.0,1.5", ",1.0", "line 3: found 'video_test_.*', expected video-name,t-st"),
        ("1.5,6,33.8", "1.5,6,33.9", r"line 3: video 'video_test_0000004': found dura"),
        ("1.1,5,33.8,25.0", "1.1,5,33.8,0", "line 2: found 33.8,0,845, expected a dur"),
        ("1.1,5", "1.1,Diving", "line 2: found 'Diving', expected a whole number"),
        ("1.1,5", "1.1,8", "line 2: found label 8, expected 0 to 7"),
        (
            "video_test_0000004",
            "video_validation_0000051",
            "the ground truth of subset",
        ),
    ],
)
def test_a_bad_row_is_named(refineloc, old, new, message):
    content = HEADER + EVALUATION_ROWS
    assert old in content
    (refineloc / "test.csv").write_text(content.replace(old, new))
    names = [f"Sport {number}" for number in range(8)]
    with pytest.raises(errors.InputError, match=f"test.csv: .*{message}") as error:
        open_refineloc(refineloc, categories=names)
    assert "\n" not in str(error.value)


def test_ids_on_one_side_are_noted(refineloc):
    joint = np.zeros((4, 2 * D), np.float32)
    write(refineloc / "more.h5", {"stranger": joint})
    row = "video_test_0000006,0.2,1.1,5,33.8,25.0,845\n"
    (refineloc / "test.csv").write_text(HEADER + EVALUATION_ROWS + row)
    dataset = open_refineloc(refineloc)
    assert dataset.ids == ("video_test_0000004", "video_validation_0000051")
    first, second = dataset.notes
    assert first.endswith("but without features: 1 videos, 'video_test_0000006'")
    assert second.endswith("left out: 1 videos, 'stranger'")


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replaced(values):
    def spoil(path):
        write(path, {"video_test_0000004": values})

    return spoil


def with_group(path):
    with h5py.File(path, "w") as file:
        file.create_group("video_test_0000004")


def with_link(path):
    with h5py.File(path, "w") as file:
        link = h5py.ExternalLink("train.h5", "video_validation_0000051")
        file["video_test_0000004"] = link


def with_outside_values(path):
    (path.parent / "raw").write_bytes(bytes(4 * 5 * 2 * D))
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "video_test_0000004",
            (5, 2 * D),
            np.float32,
            external=[(str(path.parent / "raw"), 0, h5py.h5f.UNLIMITED)],
        )


def twice(path):
    joint = np.zeros((4, 2 * D), np.float32)
    write(path, {"video_validation_0000051": joint})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut_in_half, "not a whole HDF5 file: .*truncated"),
        (lambda path: path.write_text("hello"), "not a whole HDF5 file"),
        (lambda path: path.write_bytes(b""), "not a whole HDF5 file"),
        (replaced(np.zeros((4, 2, D), "f4")), r"0004': found shape \(4, 2, 3\)"),
        (replaced(np.zeros((0, 2 * D), "f4")), r"0004': found shape \(0, 6\)"),
        (replaced(np.zeros((4, 2 * D), "i4")), "0004': found values of type int32"),
        (replaced(np.float32(1)), r"0004': found shape \(\)"),
        (replaced("text"), "0004': found values of type object"),
        (replaced(np.zeros((4, 8), "f4")), "found . columns, expected . as in"),
        (with_group, "0004': found a group, expected a dataset"),
        (with_link, "0004': found a link, expected a dataset"),
        (with_outside_values, "0004': found a dataset whose values lie in other files"),
        (twice, "0051': is there again as .*test.hdf5"),
    ],
)
def test_an_unusable_file_is_named(refineloc, spoil, message):
    spoil(refineloc / "test.hdf5")
    with pytest.raises(errors.InputError, match=message) as error:
        open_refineloc(refineloc)
    assert "\n" not in str(error.value)
    assert str(refineloc) in str(error.value)


def test_a_width_that_cannot_be_halved_is_refused(refineloc):
    write(refineloc / "train.h5", {"video_validation_0000051": np.zeros((4, 7))})
    write(refineloc / "test.hdf5", {"video_test_0000004": np.zeros((4, 7))})
    with pytest.raises(errors.InputError, match="found 7 columns, expected an even"):
        open_refineloc(refineloc)


def test_a_folder_without_hdf5_is_refused(refineloc):
    (refineloc / "train.h5").unlink()
    (refineloc / "test.hdf5").unlink()
    with pytest.raises(errors.InputError, match="found no .h5 or .hdf5 file"):
        open_refineloc(refineloc)


def test_without_h5py_the_message_says_what_to_install(refineloc, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(errors.InputError, match=r"pip install 'cleannet_jax\[hdf5\]'"):
        open_refineloc(refineloc)


def test_a_file_damaged_after_opening_is_named(refineloc):
    dataset = open_refineloc(refineloc)
    cut_in_half(refineloc / "test.hdf5")
    with pytest.raises(errors.InputError, match="test.hdf5: not a whole HDF5 file"):
        dataset.read_streams("video_test_0000004")


@pytest.fixture
def gtad(tmp_path):
    """A row a frame; flow has one fewer, as between frames it must."""
    videos = {"val": "video_validation_0000051", "test": "video_test_0000004"}
    database = {}
    for suffix, name in videos.items():
        length = 60 if suffix == "val" else 61
        write(tmp_path / f"rgb_{suffix}.h5", {name: stream(length, 100)})
        write(tmp_path / f"flow_{suffix}.h5", {name: stream(60, 200)})
        database[name] = {
            "subset": {"val": "validation", "test": "test"}[suffix],
            "fps": 30.0,
            "annotations": [{"segment": [0.5, 1], "label": "Diving"}],
        }
    (tmp_path / "gt.json").write_text(json.dumps({"database": database}))
    return tmp_path


def test_gtad(gtad):
    dataset = hdf5.open_gtad(gtad, annotations=gtad / "gt.json")
    assert dataset.ids == ("video_test_0000004", "video_validation_0000051")
    rgb, flow = dataset.read_streams("video_test_0000004")
    np.testing.assert_array_equal(rgb, stream(60, 100))
    np.testing.assert_array_equal(flow, stream(60, 200))
    assert seconds(dataset, "video_test_0000004", 45) == 1.5
    (note,) = dataset.notes
    assert note.startswith(
        "streams of different lengths, cut to the shorter by up to 1: 1"
    )
    halved = hdf5.open_gtad(gtad, annotations=gtad / "gt.json", fps=15)
    assert seconds(halved, "video_test_0000004", 45) == 3.0


def test_gtad_needs_a_frame_rate(gtad):
    content = json.loads((gtad / "gt.json").read_text())
    del content["database"]["video_test_0000004"]["fps"]
    (gtad / "gt.json").write_text(json.dumps(content))
    with pytest.raises(errors.InputError, match="'video_test_0000004' has no fps; exp"):
        hdf5.open_gtad(gtad, annotations=gtad / "gt.json")


def test_gtad_with_a_missing_stream(gtad):
    write(gtad / "flow_test.h5", {"video_test_0000006": stream(60, 0)})
    message = (
        "flow_test.h5: no features of video 'video_test_0000004', but .*h5 has some"
    )
    with pytest.raises(errors.InputError, match=message):
        hdf5.open_gtad(gtad, annotations=gtad / "gt.json")
    (gtad / "flow_test.h5").unlink()
    with pytest.raises(errors.InputError, match="flow_test.h5: no such file"):
        hdf5.open_gtad(gtad, annotations=gtad / "gt.json")


def test_gtad_with_the_wrong_subset(gtad):
    (gtad / "rgb_test.h5").replace(gtad / "rgb_val.h5")
    (gtad / "flow_test.h5").replace(gtad / "flow_val.h5")
    write(gtad / "rgb_test.h5", {"other": stream(9, 0)})
    write(gtad / "flow_test.h5", {"other": stream(9, 0)})
    with pytest.raises(
        errors.InputError, match="lie with those of subset 'validation'"
    ):
        hdf5.open_gtad(gtad, annotations=gtad / "gt.json")
