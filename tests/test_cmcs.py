import json

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.data.layouts import cmcs

D, CROPS = 4, 3


def make_values(length, *, flow, dtype=np.float32):
    """[B, T, D]: 100 * crop + 10 * snippet + column, negative for flow."""
    values = (
        100 * np.arange(CROPS)[:, np.newaxis, np.newaxis]
        + 10 * np.arange(length)[:, np.newaxis]
        + np.arange(D)
    )
    return ((-1) ** flow * values).astype(dtype)


def save_video(folder, name, length, *, backbone, flow_length=None, dtype=np.float32):
    for stream in ("rgb", "flow"):
        own = flow_length if stream == "flow" and flow_length else length
        values = make_values(own, flow=stream == "flow", dtype=dtype)
        if backbone == "unt":
            values = values.swapaxes(0, 1)[:, :, :, np.newaxis, np.newaxis]
        np.savez(folder / f"{name}-{stream}.npz", feature=values, frame_cnt=99)


def write_truth(folder, videos):
    database = {
        name: {"subset": subset, "fps": 30, "annotations": []}
        for name, subset in videos.items()
    }
    path = folder / "truth.json"
    path.write_text(json.dumps({"database": database}))
    return path


@pytest.fixture(params=["unt", "i3d"])
def backbone(request):
    return request.param


@pytest.fixture
def thumos(tmp_path, backbone):
    """Arguments that open two videos of THUMOS14."""
    videos = {"video_validation_0000051": "validation", "video_test_0000004": "test"}
    for name, length in zip(videos, (5, 6), strict=True):
        save_video(tmp_path, name, length, backbone=backbone)
    truth = write_truth(tmp_path, videos)
    return tmp_path, {
        "annotations": truth,
        "dataset": "thumos14",
        "backbone": backbone,
    }


def test_crops_are_averaged(thumos):
    folder, options = thumos
    dataset = cmcs.open_cmcs(folder, **options)
    assert dataset.ids == ("video_test_0000004", "video_validation_0000051")
    rgb, flow = dataset.read_streams("video_test_0000004")
    # The mean of crops 0, 1 and 2 is crop 1.
    np.testing.assert_array_equal(rgb, make_values(6, flow=False)[1], strict=True)
    np.testing.assert_array_equal(flow, make_values(6, flow=True)[1], strict=True)


def test_one_crop_is_chosen(thumos):
    folder, options = thumos
    rgb, _ = cmcs.open_cmcs(folder, crops="2", **options).read_streams(
        "video_test_0000004"
    )
    np.testing.assert_array_equal(rgb, make_values(6, flow=False)[2], strict=True)


def test_half_floats_are_averaged_in_single_and_stay_half(thumos):
    folder, options = thumos
    name = "video_test_0000004"
    save_video(folder, name, 6, backbone=options["backbone"], dtype=np.float16)
    rgb, _ = cmcs.open_cmcs(folder, **options).read_streams(name)
    np.testing.assert_array_equal(
        rgb, make_values(6, flow=False, dtype=np.float16)[1], strict=True
    )


def test_time_base_of_thumos14(thumos):
    folder, options = thumos
    manifest = cmcs.open_cmcs(folder, **options).manifest
    found = (manifest.stride_frames, manifest.window_frames, manifest.offset_frames)
    assert found == ((5, 5, 0) if options["backbone"] == "unt" else (4, 16, 6))
    assert manifest.fps == "annotations"
    assert cmcs.open_cmcs(folder, fps=24.0, **options).manifest.fps == 24.0


def test_activitynet_drops_the_prefix_and_is_at_25_fps(tmp_path, backbone):
    for name in ("v_a", "v_b", "v_c"):
        save_video(tmp_path, name, 5, backbone=backbone)
    truth = write_truth(tmp_path, {"a": "training", "b": "validation"})
    dataset = cmcs.open_cmcs(
        tmp_path, annotations=truth, dataset="activitynet", backbone=backbone
    )
    assert dataset.ids == ("a", "b")
    assert dataset.manifest.fps == 25
    assert dataset.manifest.stride_frames == (15 if backbone == "unt" else 16)
    assert dataset.manifest.offset_frames == 0
    assert any("'c'" in note and "left out" in note for note in dataset.notes)


def test_streams_are_cut_to_the_shorter(thumos):
    folder, options = thumos
    name = "video_test_0000004"
    save_video(folder, name, 6, backbone=options["backbone"], flow_length=4)
    dataset = cmcs.open_cmcs(folder, **options)
    rgb, flow = dataset.read_streams(name)
    assert len(rgb) == len(flow) == 4
    assert any("cut to the shorter" in note and name in note for note in dataset.notes)


@pytest.mark.parametrize("crops", ["3", "-1", "all", ""])
def test_crops_that_are_not_there_are_refused(thumos, crops):
    folder, options = thumos
    with pytest.raises(
        errors.InputError, match="rgb.npz: found 3 crops, expected 'mean'"
    ):
        cmcs.open_cmcs(folder, crops=crops, **options)


def test_the_other_backbone_is_refused(thumos):
    folder, options = thumos
    other = {"unt": "i3d", "i3d": "unt"}[options["backbone"]]
    with pytest.raises(errors.InputError, match=r"rgb.npz: found an array of shape \("):
        cmcs.open_cmcs(folder, **(options | {"backbone": other}))
    with pytest.raises(
        errors.InputError, match="found data set 'thumos14' and backbone"
    ):
        cmcs.open_cmcs(folder, **(options | {"backbone": "c3d"}))


def test_a_stream_that_is_missing_is_named(thumos):
    folder, options = thumos
    (folder / "video_test_0000004-flow.npz").unlink()
    with pytest.raises(
        errors.InputError, match="-flow.npz: no features of video .*0004"
    ):
        cmcs.open_cmcs(folder, **options)
    with pytest.raises(errors.InputError, match="found no file such as NAME-rgb.npz"):
        cmcs.open_cmcs(folder / "nothing", **options)


def test_damaged_files_are_named(thumos):
    folder, options = thumos
    path = folder / "video_test_0000004-flow.npz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        errors.InputError, match="0000004-flow.npz: not a whole .npz file"
    ):
        cmcs.open_cmcs(folder, **options)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(
        errors.InputError, match="0000004-flow.npz: not a whole .npz file"
    ):
        cmcs.open_cmcs(folder, **options)


def test_values_that_are_damaged_are_found_when_read(thumos):
    folder, options = thumos
    path = folder / "video_test_0000004-flow.npz"
    dataset = cmcs.open_cmcs(folder, **options)
    content = bytearray(path.read_bytes())
    content[250] ^= 255
    path.write_bytes(content)
    with pytest.raises(
        errors.InputError, match="0000004-flow.npz: not a whole .npz file"
    ):
        dataset.read_streams("video_test_0000004")


def test_objects_are_never_unpickled(thumos):
    folder, options = thumos
    path = folder / "video_test_0000004-flow.npz"
    shape = (2, 1, 1024, 1, 1) if options["backbone"] == "unt" else (1, 2, 1024)
    np.savez(path, feature=np.full(shape, None))
    with pytest.raises(
        errors.InputError, match="feature: .*an array of Python objects"
    ):
        cmcs.open_cmcs(folder, **options)
