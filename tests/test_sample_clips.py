"""The clips of moving shapes: what they show, and what is written of it."""

import json
import sys

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.sample import clips


def test_a_plan_is_as_described():
    for seed in range(3):
        plan = clips.plan_clips(seed)
        assert len(plan) == len({clip.id for clip in plan}) == 60
        subsets = [clip.subset for clip in plan]
        assert subsets == ["training"] * 40 + ["validation"] * 20
        for index, clip in enumerate(plan):
            assert 12 - 1 / 15 <= clip.duration <= 20
            assert 1 <= len(clip.instances) <= 3 and 1 <= len(clip.labels) <= 2
            assert clips.MOTIONS[index % 5] in clip.labels
            times = [0.0]
            for instance in clip.instances:
                assert 1.99 <= instance.end - instance.start <= 5.01
                assert instance.start - times[-1] >= 0.99
                times.append(instance.end)
            assert clip.duration - times[-1] >= 0.99
    counts = {len(clip.instances) for clip in plan}, {len(clip.labels) for clip in plan}
    assert counts == ({1, 2, 3}, {1, 2})


def test_frames_are_those_of_the_seed():
    first, again = (next(iter(clips.plan_clips(3, count=1))) for _ in range(2))
    frames = [np.stack(list(clips.draw_clip(clip))) for clip in (first, again)]
    assert frames[0].shape == (first.frames, clips.HEIGHT, clips.WIDTH, 3)
    assert frames[0].dtype == np.uint8
    np.testing.assert_array_equal(*frames)
    other = next(iter(clips.plan_clips(4, count=1)))
    assert not np.array_equal(next(clips.draw_clip(other)), frames[0][0])


def test_a_clip_does_not_depend_on_how_many_there_are():
    few, many = clips.plan_clips(0, count=3, evaluation=0), clips.plan_clips(0)
    for clip, same in zip(few, many, strict=False):
        assert clip[:4] == same[:4]
        np.testing.assert_array_equal(
            next(clips.draw_clip(clip)), next(clips.draw_clip(same))
        )


def test_more_changes_in_motions_than_around_them():
    for clip in clips.plan_clips(1, count=5):
        frames = np.stack(list(clips.draw_clip(clip))).astype(float)
        # Above the noise of each pixel.
        change = (np.abs(np.diff(frames, axis=0)) > 30).mean(axis=(1, 2, 3))
        times = (np.arange(len(change)) + 1) / clips.FPS
        inside = np.zeros(len(change), bool)
        for instance in clip.instances:
            inside |= (times > instance.start + 0.3) & (times < instance.end - 0.3)
        assert change[inside].mean() > 5 * np.median(change[~inside])


def test_files_say_what_the_clips_show(tmp_path):
    av = pytest.importorskip("av", reason="needs PyAV")
    written = clips.write_clips(tmp_path / "clips", 5, count=3, evaluation=1)
    names = {path.name for path in (tmp_path / "clips").iterdir()}
    assert names == {f"{clip.id}.mp4" for clip in written} | {
        "labels.csv",
        "truth.json",
    }
    for clip in written:
        with av.open(str(tmp_path / "clips" / f"{clip.id}.mp4")) as container:
            (stream,) = container.streams
            assert stream.average_rate == clips.FPS
            frames = [
                frame.to_ndarray(format="rgb24") for frame in container.decode(stream)
            ]
        assert len(frames) == clip.frames
        drawn = next(clips.draw_clip(clip)).astype(float)
        assert np.abs(frames[0] - drawn).mean() < 10

    # Tags of the training clips alone, and no time.
    lines = (tmp_path / "clips" / "labels.csv").read_text().splitlines()
    tagged = [clip for clip in written if clip.subset == "training"]
    expected = [f"{clip.id},{';'.join(clip.labels)}" for clip in tagged]
    assert lines == ["id,labels", *expected]

    database = json.loads((tmp_path / "clips" / "truth.json").read_text())["database"]
    assert [database[clip.id]["subset"] for clip in written] == [
        clip.subset for clip in written
    ]
    for clip in written:
        assert [
            (entry["label"], *entry["segment"])
            for entry in database[clip.id]["annotations"]
        ] == list(clip.instances)
        assert database[clip.id]["duration"] == pytest.approx(clip.duration, abs=1e-3)


def test_a_missing_decoder_is_named_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(errors.InputError, match=r"pip install 'cleannet_jax\[video\]'"):
        clips.write_clips(tmp_path / "clips", 0)
    assert not list(tmp_path.iterdir())
