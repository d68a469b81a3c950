"""Features in ArrayRecord shards: what is read is what was written, or named."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal

import numpy as np
import programs
import pytest

from cleannet_jax import convert, errors, train
from cleannet_jax.data import arrays
from cleannet_jax.data.feature_files import shards
from cleannet_jax.data.layouts import feature_folder

pytest.importorskip("array_record", reason="shards are ArrayRecord files")


@pytest.fixture
def folder(feature_folder, tmp_path):
    """The feature folder in shards of five videos, 14 in all."""
    source = feature_folder_of(feature_folder)
    convert.convert(source, tmp_path / "sharded", per_shard=5)
    return tmp_path / "sharded"


def feature_folder_of(folder):
    return feature_folder.open_folder(folder)


def contents(folder):
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def test_shards_hold_what_files_held(folder, feature_folder):
    made, source = feature_folder_of(folder), feature_folder_of(feature_folder)
    names = [
        f"features-0000{k}.{end}" for k in range(3) for end in ("arrayrecord", "json")
    ]
    assert {*names, "features.shards", "manifest.json"} <= contents(folder).keys()
    assert made.videos == source.videos
    for video_id in source.ids:
        for one, other in zip(
            made.read_streams(video_id), source.read_streams(video_id), strict=True
        ):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_training_on_shards_is_training_on_files(
    folder, feature_folder, tiny_config, tmp_path
):
    config = dataclasses.replace(tiny_config, head_steps=2, steps=1)
    params = [
        train.train(config, feature_folder_of(place), tmp_path / name)[1]
        for place, name in ((folder, "a"), (feature_folder, "b"))
    ]
    import jax

    jax.tree.map(np.testing.assert_array_equal, *params)


def test_a_conversion_that_was_stopped_goes_on(feature_folder, tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    source = feature_folder_of(feature_folder)
    convert.convert(source, whole, per_shard=4)
    real, written = shards.write_shard, []

    def kill(folder, shard, named, **more):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(shard)
        real(folder, shard, named, **more)

    monkeypatch.setattr(shards, "write_shard", kill)
    with pytest.raises(KeyboardInterrupt):
        convert.convert(source, stopped, per_shard=4)
    # A shard whose list was not written, as a kill between the two leaves it.
    (stopped / "features-00001.json").unlink()
    with pytest.raises(errors.InputError, match="videos a shard"):
        convert.convert(source, stopped, per_shard=5)
    written.clear()
    monkeypatch.setattr(shards, "write_shard", real)
    report = convert.convert(source, stopped, per_shard=4)
    assert (report.kept, report.converted) == (4, 10)
    before, after = contents(whole), contents(stopped)
    assert before.keys() == after.keys()
    for name in before.keys() - {"convert_report.json"}:
        assert before[name] == after[name], name


def test_a_video_that_cannot_be_read_is_left_out_and_tried_again(
    feature_folder, tmp_path
):
    path = feature_folder / "rgb" / "video03.npy"
    content = path.read_bytes()
    source = feature_folder_of(feature_folder)
    path.write_bytes(content[:-5])
    report = convert.convert(source, tmp_path / "out", per_shard=5)
    assert list(report.left_out) == ["video03"] and report.converted == 13
    assert "video03" not in feature_folder_of(tmp_path / "out").videos
    path.write_bytes(content)
    report = convert.convert(source, tmp_path / "out", per_shard=5)
    assert (report.left_out, report.converted, report.kept) == ({}, 5, 9)
    assert "video03" in feature_folder_of(tmp_path / "out").videos


def test_old_places_never_lead_into_new_records(feature_folder, tmp_path, monkeypatch):
    """A kill between both files of a shard that is written anew."""
    path = feature_folder / "rgb" / "video01.npy"
    content, source = path.read_bytes(), feature_folder_of(feature_folder)
    path.write_bytes(content[:-5])
    convert.convert(source, tmp_path / "out", per_shard=5)
    path.write_bytes(content)
    monkeypatch.setattr(shards.files, "write_json", lambda *more: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        convert.convert(source, tmp_path / "out", per_shard=5)
    monkeypatch.undo()
    assert not (tmp_path / "out/manifest.json").exists()
    with pytest.raises(arrays.ArrayError, match="features-00000.json: no such file"):
        shards.open_shards(tmp_path / "out/features.shards", "rgb/video02")
    convert.convert(source, tmp_path / "out", per_shard=5)
    made = feature_folder_of(tmp_path / "out")
    np.testing.assert_array_equal(made.read("video02"), source.read("video02"))


def test_a_stop_is_seen_after_a_video(feature_folder, tmp_path):
    source, done = feature_folder_of(feature_folder), []

    def stop(count, total):
        done.append(count)
        if count == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(errors.Interrupted, match="stopped after video 3 of 14"):
        convert.convert(source, tmp_path / "out", per_shard=100, progress=stop)
    assert max(done) == 3 and not list((tmp_path / "out").glob("features*"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_line(feature_folder, tmp_path, monkeypatch):
    @contextlib.contextmanager
    def full(path):
        yield "/dev/full"

    monkeypatch.setattr(shards.files, "draft_of", full)
    with pytest.raises(errors.InputError, match="/dev/full: .*No space left"):
        convert.convert(feature_folder_of(feature_folder), tmp_path / "o", per_shard=9)


def test_damage_is_named(folder):
    path = folder / "features-00000.arrayrecord"
    content = bytearray(path.read_bytes())
    place = content.index(
        np.asarray(feature_folder_of(folder).read_streams("video00")[0]).tobytes()
    )
    content[place + 9] ^= 4
    path.write_bytes(content)
    with pytest.raises(arrays.ArrayError, match="not a whole ArrayRecord file: .*hash"):
        feature_folder_of(folder).read_streams("video00")
    for junk in (b"", b"x" * 70_000, bytes(content[:1000])):
        path.write_bytes(junk)
        with pytest.raises(arrays.ArrayError, match="features-00000.arrayrecord: not"):
            feature_folder_of(folder).read_streams("video00")
    path.unlink()
    with pytest.raises(arrays.ArrayError, match="arrayrecord: no such file"):
        feature_folder_of(folder).read_streams("video00")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shards": ["../x"]}, "'shards': found something else, expected a list of"),
        ({"shards": 3}, "'shards': found something else"),
        ({"at": "/etc"}, "'at': found something else, expected a URL: gs, s3"),
        ({"at": "simplecache::https://x"}, "'at': found something else"),
        ({"at": "s3://buck*"}, "'at': found something else"),
        ({"at": "memory://bucket"}, "'at': found something else"),
        ({"shards": ["absent"] * 9}, "absent.json: no such file"),
    ],
)
def test_indices_that_cannot_be_used(folder, changes, said):
    path = folder / "features.shards"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(arrays.ArrayError, match=said):
        shards.item_names(path)


@pytest.mark.parametrize(
    "row",
    [
        [0, "float16", 3],
        [0, "object", 3, 6],
        [0, [], 3, 6],
        [-1, "float16", 3, 6],
        [True] * 4,
        3,
    ],
)
def test_rows_that_cannot_be_used(folder, row):
    path = folder / "features-00000.json"
    content = json.loads(path.read_text())
    content["arrays"]["rgb/video00"] = row
    path.write_text(json.dumps(content))
    with pytest.raises(arrays.ArrayError, match="00000.json: 'rgb/video00': found"):
        shards.item_names(folder / "features.shards")


@pytest.mark.parametrize("row", [[0, "float16", 3, 6], [999, "float16", 30, 6]])
def test_rows_that_lie(folder, row):
    path = folder / "features-00000.json"
    content = json.loads(path.read_text())
    content["arrays"]["rgb/video00"] = row
    path.write_text(json.dumps(content))
    found = shards.open_shards(folder / "features.shards", "rgb/video00")
    with pytest.raises(
        arrays.ArrayError, match=r"record of \d+ bytes|whole ArrayRecord"
    ):
        found.read()


def test_shards_on_object_storage(folder, feature_folder, monkeypatch):
    fsspec = pytest.importorskip("fsspec", reason="it fetches what is at a URL")
    storage = fsspec.filesystem("memory")
    for path in folder.glob("features-*"):
        storage.pipe(f"/bucket/{path.name}", path.read_bytes())
        path.unlink()
    path = folder / "features.shards"
    index = json.loads(path.read_text()) | {"at": "memory://bucket"}
    path.write_text(json.dumps(index))
    monkeypatch.setattr(shards, "_URL", re.compile("memory://[a-z]+"))
    made, source = feature_folder_of(folder), feature_folder_of(feature_folder)
    np.testing.assert_array_equal(made.read("video09"), source.read("video09"))


def test_the_program(feature_folder, tmp_path):
    done = programs.run(
        *("convert", feature_folder, "--to", tmp_path / "out", "--to-shards", "100"),
        *("--float16",),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/features-00000.arrayrecord").exists()
    assert not (tmp_path / "out/rgb").exists()
    done = programs.run("validate", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    done = programs.run("convert", feature_folder, "--to", "x", "--to-shards", "0")
    assert done.returncode == 2 and "--to-shards: found 0" in done.stderr
