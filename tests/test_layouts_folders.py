"""Layouts of .npy files: miniatures of each, what is read and what is refused."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from cleannet_jax import errors, streams
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.detections import thumos
from cleannet_jax.data.layouts import feature_folder, folders
from cleannet_jax.data.layouts import opentad as opentad_lib

D = 3


def stream(length, value):
    """(T, D) of distinct values: the stream's own and the snippet's number."""
    return (
        value + np.arange(length, dtype=np.float32)[:, None] + np.zeros(D, np.float32)
    )


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def entry(subset, *rows, **more):
    return {
        "subset": subset,
        "annotations": [{"segment": row[:2], "label": row[2]} for row in rows],
    } | more


def check(dataset, name, length, *, rgb, flow):
    """The streams of a video hold its constants, RGB first, and own their memory."""
    found = dataset.read_streams(name)
    for array, value in zip(found, (rgb, flow), strict=True):
        np.testing.assert_array_equal(array, stream(length, value))
        assert type(array) is np.ndarray and array.flags.owndata
    joint = dataset.read(name)
    np.testing.assert_array_equal(joint, np.concatenate(found, axis=1))
    assert joint.dtype == np.float32 and len(joint) == dataset.videos[name].length


def check_manifest(dataset, tmp_path):
    """The manifest survives its file, and every video has a time base."""
    manifest_lib.write_manifest(tmp_path / "written.json", dataset.manifest)
    assert manifest_lib.read_manifest(tmp_path / "written.json") == dataset.manifest
    for name in dataset.ids:
        manifest_lib.timebase(dataset.manifest, dataset.annotations.videos[name])


def seconds(dataset, name, snippet):
    """The time at which a snippet begins."""
    video = dataset.annotations.videos[name]
    base = manifest_lib.timebase(dataset.manifest, video)
    return (snippet * base.stride + base.offset) / base.fps


@pytest.fixture
def basnet(tmp_path):
    """Two training videos and one for testing; the release has segments as strings."""
    folder = tmp_path / "THUMOS14"
    database = {
        "video_validation_0000051": entry("train", ["18.6", "24.8", "Diving"]),
        "video_validation_0000052": entry("train", ["1", "2.5", "LongJump"]),
        "video_test_0000004": entry("test", ["0.2", "1.1", "Diving"]),
    }
    write_json(folder / "gt.json", {"database": database})
    for number, (name, video) in enumerate(database.items()):
        place = folder / "features" / video["subset"]
        save(place / "rgb" / f"{name}.npy", stream(4 + number, 100))
        save(place / "flow" / f"{name}.npy", stream(4 + number, 200))
    (folder / "split_train.txt").write_text(
        "video_validation_0000051\nvideo_validation_0000052\n"
    )
    (folder / "split_test.txt").write_text("video_test_0000004\r\n")
    return folder


def test_basnet(basnet, tmp_path):
    dataset = folders.open_basnet(basnet)
    assert dataset.ids == (
        "video_test_0000004",
        "video_validation_0000051",
        "video_validation_0000052",
    )
    assert dataset.manifest.streams == streams.Streams(("rgb", "flow"), (D, D))
    check(dataset, "video_validation_0000051", 4, rgb=100, flow=200)
    check(dataset, "video_test_0000004", 6, rgb=100, flow=200)
    check_manifest(dataset, tmp_path)
    # 16 frames at 25 fps: snippet 25 begins after 16 seconds.
    assert seconds(dataset, "video_test_0000004", 25) == 16.0
    video = dataset.annotations.videos["video_validation_0000051"]
    assert video.duration is None
    np.testing.assert_array_equal(video.segments, [[18.6, 24.8]])
    (note,) = dataset.notes
    assert note.startswith("no duration to check the number of snippets against: 3")


def test_basnet_cuts_to_the_shorter_stream_and_says_so(basnet):
    path = basnet / "features" / "test" / "flow" / "video_test_0000004.npy"
    save(path, stream(4, 200))
    dataset = folders.open_basnet(basnet)
    check(dataset, "video_test_0000004", 4, rgb=100, flow=200)
    assert (
        "streams of different lengths, cut to the shorter by up to 2: 1 videos,"
        " 'video_test_0000004'"
    ) in dataset.notes


def test_basnet_notes_ids_on_one_side(basnet):
    for name in ("rgb", "flow"):
        place = basnet / "features" / "train" / name
        save(place / "stranger.npy", stream(4, 0))
        (place / "video_validation_0000052.npy").unlink()
    (basnet / "split_test.txt").write_text("video_test_0000006\n")
    dataset = folders.open_basnet(basnet)
    assert dataset.ids == ("video_test_0000004", "video_validation_0000051")
    text = "\n".join(dataset.notes)
    assert "but without features: 1 videos, 'video_validation_0000052'" in text
    assert "features, but not in subsets 'train' and 'test'" in text
    assert "left out: 1 videos, 'stranger'" in text
    assert "split_test.txt, not annotated as subset 'test': 1 videos" in text
    assert "split_test.txt, which changes nothing here: 1 videos" in text


def test_basnet_with_rescaled_features(tmp_path):
    database = {
        "v_a": entry("train", ["1", "2", "Jump"], duration=25.0),
        "v_b": entry("test", ["1", "2", "Jump"], duration=100.0),
    }
    write_json(tmp_path / "gt.json", {"database": database})
    for name, video in database.items():
        for number, kind in enumerate(("rgb", "flow")):
            place = tmp_path / "features" / video["subset"] / kind
            save(place / f"{name}.npy", stream(50, number))
    dataset = folders.open_basnet(tmp_path, rescaled_to=50)
    check_manifest(dataset, tmp_path)
    # 50 snippets cover the video, so that number 50 would begin at its end.
    assert seconds(dataset, "v_a", 50) == 25.0
    assert seconds(dataset, "v_b", 50) == 100.0
    with pytest.raises(errors.InputError, match="found 50 snippets, expected the 75"):
        folders.open_basnet(tmp_path, rescaled_to=75)


def test_rescaled_features_need_durations(basnet):
    for path in basnet.rglob("*.npy"):
        save(path, stream(50, 0))
    with pytest.raises(errors.InputError, match="has no duration, which says how long"):
        folders.open_basnet(basnet, rescaled_to=50)


def test_basnet_with_a_missing_stream(basnet):
    path = basnet / "features" / "test" / "flow" / "video_test_0000004.npy"
    path.unlink()
    with pytest.raises(
        errors.InputError, match="test/flow: no features of video .*0004"
    ):
        folders.open_basnet(basnet)


def test_basnet_with_a_missing_folder(basnet):
    (basnet / "features").rename(basnet / "other")
    with pytest.raises(errors.InputError, match="features/train/rgb: No such file"):
        folders.open_basnet(basnet)


def test_basnet_with_features_in_the_wrong_subset(basnet):
    for name in ("rgb", "flow"):
        path = basnet / "features" / "test" / name / "video_test_0000004.npy"
        path.rename(basnet / "features" / "train" / name / "video_test_0000004.npy")
    message = "video 'video_test_0000004' lie with those of subset 'train', but .* says"
    with pytest.raises(errors.InputError, match=f"{message} 'test'"):
        folders.open_basnet(basnet)


def test_basnet_with_other_ids(basnet):
    database = {"a": entry("train"), "b": entry("test")}
    write_json(basnet / "gt.json", {"database": database})
    message = (
        r"none of the 3 videos with features \('video_test_0000004', .* \('a', 'b'\)"
    )
    with pytest.raises(errors.InputError, match=message):
        folders.open_basnet(basnet)


def test_basnet_with_other_subsets(basnet):
    database = {"video_test_0000004": entry("test")}
    write_json(basnet / "gt.json", {"database": database})
    with pytest.raises(errors.InputError, match="no video of subset 'train'"):
        folders.open_basnet(basnet)


def test_basnet_with_a_segment_that_is_no_number(basnet):
    database = {"video_test_0000004": entry("test", ["0.2", "1,1", "Diving"])}
    write_json(basnet / "gt.json", {"database": database})
    message = r"database\['video_test_0000004'\].annotations\[0\]: segment: expected"
    with pytest.raises(errors.InputError, match=message):
        folders.open_basnet(basnet)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-5])


def objects(path):
    np.save(path, np.array([[1, "a"]], object), allow_pickle=True)


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", b"")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncated, "bytes, expected .* for shape"),
        (objects, "an array of Python objects"),
        (archive, "no whole .npy header"),
        (lambda path: path.write_bytes(b""), "no whole .npy header"),
        (
            lambda path: path.write_bytes(pickle.dumps([1.0] * 9)),
            "no whole .npy header",
        ),
        (lambda path: np.save(path, np.zeros((4, D), int)), "values of type int64"),
        (lambda path: np.save(path, np.zeros((4, D, 1))), r"found shape \(4, 3, 1\)"),
        (lambda path: np.save(path, np.zeros((0, D))), "found shape"),
        (lambda path: np.save(path, np.zeros((4, 4))), "columns, expected [34] as in"),
    ],
)
def test_an_unusable_file_is_named(basnet, spoil, message):
    spoil(basnet / "features" / "test" / "rgb" / "video_test_0000004.npy")
    with pytest.raises(errors.InputError, match=f"npy: .*{message}") as error:
        folders.open_basnet(basnet)
    assert "\n" not in str(error.value)


@pytest.fixture
def acmnet(tmp_path):
    folder = tmp_path / "acm"
    more = {"duration": 10.0, "frames": 250}
    database = {
        "video_validation_0000051": entry("validation", [1.0, 2.0, "Diving"], **more),
        "video_test_0000004": entry("test", [1.0, 2.0, "Diving"], **more),
    }
    write_json(folder / "gt.json", {"database": database})
    for name, place in zip(database, ("train", "test"), strict=True):
        joint = np.concatenate([stream(5, 100), stream(5, 200)], axis=1)
        save(folder / place / f"{name}.npy", joint)
    return folder


@pytest.mark.parametrize(
    ("order", "rgb", "flow"), [("rgb,flow", 100, 200), ("flow,rgb", 200, 100)]
)
def test_acmnet(acmnet, tmp_path, order, rgb, flow):
    dataset = folders.open_acmnet(acmnet, stream_order=order)
    assert dataset.ids == ("video_test_0000004", "video_validation_0000051")
    check(dataset, "video_test_0000004", 5, rgb=rgb, flow=flow)
    check_manifest(dataset, tmp_path)
    assert seconds(dataset, "video_test_0000004", 25) == 16.0
    assert dataset.manifest.train_subset == "validation"
    assert dataset.manifest.evaluation_subset == "test"
    assert dataset.notes == ()


def test_acmnet_with_rescaled_features(acmnet):
    dataset = folders.open_acmnet(acmnet, stream_order="rgb,flow", rescaled_to=5)
    assert seconds(dataset, "video_test_0000004", 5) == 10.0


@pytest.mark.parametrize(
    ("order", "names", "widths", "values"),
    [
        ("clip", ("clip",), (6,), (100,)),
        ("rgb:6", ("rgb",), (6,), (100,)),
        ("rgb:2,flow:4", ("rgb", "flow"), (2, 4), (100, 100)),
        ("flow:4,rgb:2", ("rgb", "flow"), (2, 4), (200, 100)),
        ("flow:3,pose:1,rgb:2", ("rgb", "pose", "flow"), (2, 1, 3), (200, 200, 100)),
    ],
)
def test_any_streams_in_a_joint_file(acmnet, tmp_path, order, names, widths, values):
    dataset = folders.open_acmnet(acmnet, stream_order=order)
    assert (dataset.streams.names, dataset.streams.widths) == (names, widths)
    found = dataset.read_streams("video_test_0000004")
    assert [part.shape for part in found] == [(5, width) for width in widths]
    # Columns 0 to 2 are 100 and more, columns 3 to 5 are 200 and more.
    assert [part[0, 0] // 100 * 100 for part in found] == list(values)
    check_manifest(dataset, tmp_path)


@pytest.mark.parametrize(
    "order", ["", "rgb,pose", "rgb,flow,pose", "rgb:3,flow", "rgb:0", "a:3,A:3", "../a"]
)
def test_a_stream_order_that_is_none_is_refused(acmnet, order):
    message = f"found '{order}', expected 'rgb,flow' or 'flow,rgb' for two halves, a n"
    with pytest.raises(errors.InputError, match=message):
        folders.open_acmnet(acmnet, stream_order=order)


def test_declared_widths_must_add_up(acmnet):
    message = "npy: found 6 columns, expected 7: 4 of 'rgb' and 3 of 'flow'"
    with pytest.raises(errors.InputError, match=message):
        folders.open_acmnet(acmnet, stream_order="rgb:4,flow:3")


def test_a_joint_file_must_halve(acmnet):
    for path in acmnet.rglob("*.npy"):
        save(path, np.zeros((5, 7)))
    with pytest.raises(errors.InputError, match="found 7 columns, expected an even"):
        folders.open_acmnet(acmnet, stream_order="rgb,flow")


@pytest.fixture
def opentad(tmp_path):
    """Validation video 51 of THUMOS14 has 1269 snippets; this one has eight."""
    folder, path = tmp_path / "i3d", tmp_path / "annotations" / "thumos_14_anno.json"
    database = {
        "video_validation_0000051": entry(
            "training",
            [1.0, 2.0, "Diving"],
            [2.0, 3.0, "Ambiguous"],
            duration=10.0,
            frame=299.7,
        ),
        "video_test_0000004": entry(
            "validation", [1.0, 2.0, "LongJump"], duration=8.0, frame=200
        ),
        "video_test_0000006": entry("validation", duration=8.0, frame=200),
    }
    write_json(path, {"database": database})
    (path.parent / "category_idx.txt").write_text("LongJump\r\nDiving\r\n")
    for name in database:
        joint = np.concatenate([stream(8, 100), stream(8, 200)], axis=1)
        save(folder / f"{name}.npy", joint)
    (folder / "missing_files.txt").write_text("video_test_0000006\n")
    return folder, path


def open_opentad(opentad, **options):
    folder, path = opentad
    options = {"stream_order": "rgb,flow"} | options
    return opentad_lib.open_opentad(folder, annotations=path, **options)


def test_opentad(opentad, tmp_path):
    dataset = open_opentad(opentad)
    assert dataset.ids == ("video_test_0000004", "video_validation_0000051")
    check(dataset, "video_test_0000004", 8, rgb=100, flow=200)
    check_manifest(dataset, tmp_path)
    rates = {name: video.fps for name, video in dataset.annotations.videos.items()}
    assert rates["video_test_0000004"] == 25.0
    assert rates["video_validation_0000051"] == pytest.approx(29.97)
    # The middle of snippet t is that of its window, frame 4 t + 8.
    middle = seconds(dataset, "video_test_0000004", 3 + 0.5)
    assert middle == pytest.approx((4 * 3 + 8) / 25)
    text = "\n".join(dataset.notes)
    assert "but without features: 1 videos, 'video_test_0000006'" in text
    assert "missing_files.txt says: 1 videos, 'video_test_0000006'" in text
    assert "frame rate computed as frame / duration: 3 videos" in text


def test_actionformers_own_file(opentad):
    path = opentad[1]
    content = json.loads(path.read_text())
    names = {"training": "validation", "validation": "test"}
    for video in content["database"].values():
        video["subset"], video["fps"] = names[video["subset"]], 30.0
    write_json(path, content)
    with pytest.raises(errors.InputError, match="no video of subset 'training'"):
        open_opentad(opentad)
    dataset = open_opentad(opentad, train_subset="validation", evaluation_subset="test")
    assert seconds(dataset, "video_test_0000004", 0) == pytest.approx(6 / 30)
    assert not any("frame rate computed" in note for note in dataset.notes)


def test_opentad_with_one_rate_a_prefix_and_another_stride(opentad):
    folder, _ = opentad
    for path in folder.glob("*.npy"):
        path.rename(folder / f"v_{path.stem}-i3d.npy")
    dataset = open_opentad(
        opentad,
        fps=25.0,
        stride_frames=16,
        window_frames=16,
        file_pattern="v_{id}-i3d.npy",
    )
    assert dataset.ids == ("video_test_0000004", "video_validation_0000051")
    assert seconds(dataset, "video_validation_0000051", 25) == 16.0
    assert not any("frame rate" in note for note in dataset.notes)


def without(path, key):
    content = json.loads(path.read_text())
    for video in content["database"].values():
        del video[key]
    write_json(path, content)


def test_opentad_without_frame_rates(opentad):
    without(opentad[1], "frame")
    with pytest.raises(errors.InputError, match="'video_test_0000004' has no fps; exp"):
        open_opentad(opentad)
    with pytest.raises(errors.InputError, match="fps: found 0, expected a number abov"):
        open_opentad(opentad, fps=0)


def test_opentad_with_a_frame_count_that_is_none(opentad):
    content = json.loads(opentad[1].read_text())
    content["database"]["video_test_0000004"]["frame"] = "200"
    write_json(opentad[1], content)
    with pytest.raises(errors.InputError, match=r"0004'\]: frame: found '200', expect"):
        open_opentad(opentad)


def test_opentad_with_an_unknown_label(opentad):
    (opentad[1].parent / "category_idx.txt").write_text("LongJumps\nDiving\n")
    message = (
        "label 'LongJump' is not in .*category_idx.txt; the nearest is 'LongJumps'"
    )
    with pytest.raises(errors.InputError, match=message):
        open_opentad(opentad)
    (opentad[1].parent / "category_idx.txt").write_text("\n")
    with pytest.raises(errors.InputError, match="found no category, expected one a"):
        open_opentad(opentad)


@pytest.mark.parametrize("pattern", ["{id}", "features.npy", "{id}.pt"])
def test_a_file_pattern_must_name_npy_files(opentad, pattern):
    with pytest.raises(errors.InputError, match="file pattern: found"):
        open_opentad(opentad, file_pattern=pattern)


@pytest.fixture
def stpn(tmp_path):
    """Numbered files; annotations as THUMOS14 has them."""
    names = {"train": "video_validation_0000051", "test": "video_test_0000004"}
    for place, name in names.items():
        suffix = {"train": "val", "test": "test"}[place]
        (tmp_path / "annotations").mkdir(exist_ok=True)
        for label in thumos.CLASSES.values():
            text = f"{name}  1.0 2.5\n" if label == "Diving" else ""
            path = tmp_path / "annotations" / f"{label}_{suffix}.txt"
            path.write_text(text)
        (tmp_path / f"{place}.txt").write_text(f"another_video\n{name}\n")
        for value, kind in ((100, "rgb"), (200, "flow")):
            folder = tmp_path / f"{place}_data" / f"{kind}_features"
            save(folder / "2.npy", stream(5, value))
    return tmp_path


def open_stpn(folder):
    return folders.open_stpn(
        folder,
        annotations=folder / "annotations",
        train_list=folder / "train.txt",
        evaluation_list=folder / "test.txt",
    )


def test_stpn(stpn):
    dataset = open_stpn(stpn)
    assert dataset.ids == ("video_test_0000004", "video_validation_0000051")
    check(dataset, "video_test_0000004", 5, rgb=100, flow=200)
    check_manifest(dataset, stpn)
    # 16 frames at 10 fps.
    assert seconds(dataset, "video_test_0000004", 1) == 1.6


def test_stpn_with_a_number_beyond_the_list(stpn):
    for kind in ("rgb", "flow"):
        save(stpn / "test_data" / f"{kind}_features" / "3.npy", stream(5, 0))
    message = "3.npy: found '3', expected a number from 1 to 2, a line of .*test.txt"
    with pytest.raises(errors.InputError, match=message):
        open_stpn(stpn)


def test_stpn_with_streams_of_different_lengths(stpn):
    save(stpn / "test_data" / "flow_features" / "2.npy", stream(4, 0))
    with pytest.raises(
        errors.InputError, match="streams of different lengths.* expected equal"
    ):
        open_stpn(stpn)


def test_ids_cannot_lead_out_of_a_folder(opentad):
    folder, path = opentad
    content = json.loads(path.read_text())
    content["database"]["..\\x"] = content["database"].pop("video_test_0000004")
    write_json(path, content)
    (folder / "video_test_0000004.npy").rename(folder / "..\\x.npy")
    with pytest.raises(errors.InputError, match="cannot be part of a file name"):
        open_opentad(opentad)


def test_what_was_read_can_be_written_in_our_layout(basnet, tmp_path):
    dataset = folders.open_basnet(basnet)
    for name in dataset.ids:
        for kind, values in zip(
            ("rgb", "flow"), dataset.read_streams(name), strict=True
        ):
            save(tmp_path / "ours" / kind / f"{name}.npy", values)
    dataset = feature_folder.open_feature_folder(
        tmp_path / "ours", manifest=dataset.manifest, annotations=dataset.annotations
    )
    assert dataset.train_ids == ("video_validation_0000051", "video_validation_0000052")
    joint = dataset.read("video_test_0000004")
    np.testing.assert_array_equal(joint[0], [100] * D + [200] * D)
    assert isinstance(dataset.annotations, annotations_lib.Annotations)
