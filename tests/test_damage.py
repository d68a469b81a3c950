"""Damage on the disk is called damage, and changed data are named."""

import builtins
import dataclasses
import errno
import io
import json
import os
import shutil
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax import ablate, checkpoint, errors, experiment, logs, runs
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import files
from cleannet_jax.report import runs as report_runs

# Orbax and TensorStore leave unfinished business behind when they find damage.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


def flip(path, at=None):
    """Flips a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 4
    path.write_bytes(content)


def values_of(place):
    """The file that a checkpoint's values are read from.

    Orbax leaves a copy as large in `ocdbt.process_0`, which nothing reads.
    """
    return max(place.glob("*/d/*"), key=lambda path: path.stat().st_size)


@pytest.fixture
def manager(tmp_path):
    made = checkpoint.open_manager(tmp_path / "stage")
    for step in (1, 2):
        state = {"x": jnp.arange(300.0) + step, "key": jnp.zeros(2, jnp.uint32)}
        checkpoint.save(made, step, state, {"next": step})
    return made


LIKE = {"x": jnp.zeros(300), "key": jnp.zeros(2, jnp.uint32)}


def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(manager, tmp_path):
    flip(values_of(tmp_path / "stage" / "2"))
    said = []
    found = checkpoint.restore_latest(manager, LIKE, warn=said.append)
    assert found.step == 1 and found.pipeline == {"next": 1}
    np.testing.assert_array_equal(found.state["x"], np.arange(300) + 1)
    (line,) = said
    assert "2: damaged checkpoint: " in line and "going on from step 1" in line
    checkpoint.set_aside(manager, after=1)
    assert manager.latest_step() == 1 and (tmp_path / "stage/damaged-2").is_dir()
    checkpoint.save(manager, 2, found.state, {"next": 2})
    assert checkpoint.restore_latest(manager, LIKE, warn=said.append).step == 2
    assert len(said) == 1


@pytest.mark.parametrize("name", ["pipeline/metadata", "digest/metadata"])
def test_the_position_and_the_digest_are_guarded_too(manager, tmp_path, name):
    path = tmp_path / "stage" / "2" / name
    text = path.read_text()
    path.write_text(text.replace(": 2", ": 3") if "pipeline" in name else text[:-9])
    assert checkpoint.restore_latest(manager, LIKE, warn=str).step == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.EIO, "Input/output error"),
        ValueError("RESOURCE_EXHAUSTED: Failed to open [os_error_code='24']"),
        ValueError("Failed to open [OS error 13: EACCES Permission denied]"),
    ],
)
def test_what_passes_is_no_damage(manager, tmp_path, monkeypatch, error):
    def restore(*arguments, **more):
        raise RuntimeError("in a thread") from error

    monkeypatch.setattr(manager, "restore", restore)
    with pytest.raises(errors.InputError, match="stage/2: cannot be read: ") as caught:
        checkpoint.restore_latest(manager, LIKE, warn=pytest.fail)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert checkpoint.restore_latest(manager, LIKE, warn=pytest.fail).step == 2


@pytest.mark.parametrize("name", ["digest/metadata", "pipeline/metadata", "values"])
def test_a_file_that_cannot_be_opened_just_now(manager, tmp_path, monkeypatch, name):
    place = tmp_path / "stage" / "2"
    refused = values_of(place) if name == "values" else place / name
    real, opened = io.open, []

    def busy(path, *arguments, **more):
        # Once is when all of them are tried.
        opened.extend([path] if str(path) == str(refused) else [])
        if len(opened) > 1 or (name == "values" and opened):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return real(path, *arguments, **more)

    monkeypatch.setattr(builtins, "open", busy)
    monkeypatch.setattr(io, "open", busy)
    with pytest.raises(errors.InputError, match="Stale file handle"):
        checkpoint.restore_latest(manager, LIKE, warn=pytest.fail)


def test_what_was_set_aside_before_stays(manager, tmp_path):
    for step in (2, 2):
        flip(values_of(tmp_path / "stage" / "2"))
        found = checkpoint.restore_latest(manager, LIKE, warn=str)
        checkpoint.set_aside(manager, after=1)
        checkpoint.save(manager, step, found.state, {"next": 2})
    aside = [path.name for path in (tmp_path / "stage").glob("damaged-*")]
    assert sorted(aside) == ["damaged-2", "damaged-2-2"]
    assert sorted(manager.all_steps()) == [1, 2]


def test_none_is_whole(manager, tmp_path):
    for step in "12":
        flip(values_of(tmp_path / "stage" / step))
    said = []
    assert checkpoint.restore_latest(manager, LIKE, warn=said.append) is None
    assert [line.rpartition("; ")[2] for line in said] == ["beginning anew"] * 2


def test_checkpoints_of_earlier_versions_have_no_digest(manager, tmp_path):
    for step in "12":
        shutil.rmtree(tmp_path / "stage" / step / "digest")
    assert checkpoint.restore_latest(manager, LIKE, warn=pytest.fail).step == 2
    # One that cannot be read is passed over all the same; of two that cannot, nobody
    # knows whether it is the config that does not fit.
    (tmp_path / "stage/2/state/manifest.ocdbt").write_bytes(b"")
    assert checkpoint.restore_latest(manager, LIKE, warn=str).step == 1
    with pytest.raises(errors.InputError, match="not a checkpoint of this config"):
        checkpoint.restore_latest(manager, {"y": jnp.zeros(3)}, warn=str)


@pytest.fixture
def made(tiny_config):
    return dataclasses.replace(
        tiny_config, head_steps=2, steps=2, checkpoint_every=1, log_every=1
    )


def run(made, data, folder):
    return experiment.train_and_evaluate(made, "t", str(data), folder)


def promised(folder):
    names = ("model.json", "model.npz", "predictions/t.json", "results/t.json")
    return {name: (folder / name).read_bytes() for name in names}


def test_a_run_repairs_itself(made, feature_folder, tmp_path, capsys):
    folder = tmp_path / "run"
    run(made, feature_folder, folder)
    whole, metrics = promised(folder), (folder / "metrics.jsonl").read_text()
    # The last checkpoint of stage 2, every one of stage 1, the model, the metrics.
    flip(values_of(folder / "checkpoints/cleannet/2"))
    for step in "12":
        flip(values_of(folder / "checkpoints/head" / step))
    flip(folder / "model.npz", 200)
    lines = metrics.splitlines(keepends=True)
    cut = lines[0].replace("0", "1", 1), "\0" * 9 + "\n", *lines[2:]
    (folder / "metrics.jsonl").write_text("".join(cut))
    with pytest.raises(errors.InputError, match="model.npz: damaged"):
        experiment.restore(folder, runs.read_description(folder))
    (folder / "results" / "t.json").write_text("{}")
    capsys.readouterr()
    run(made, feature_folder, folder)
    assert promised(folder) == whole
    out = capsys.readouterr().out
    assert out.count("damaged checkpoint") == 3 and out.count("beginning anew") == 2
    assert (folder / "metrics.jsonl").read_text() == metrics


def test_damaged_metrics_are_said_and_dropped(tmp_path, capsys):
    log = logs.MetricsLog(tmp_path, first_step=1)
    for step in range(1, 5):
        log.write(step, "head", {"loss": 0.5 * step})
    log.close()
    path = tmp_path / "metrics.jsonl"
    first, second, third, fourth = path.read_text().splitlines(keepends=True)
    # Half a line at the end is what a kill leaves, and of a step that is taken again.
    damaged = second.replace("1.0", "3.0") + third.replace('"', "'") + fourth[:9]
    path.write_bytes(first.encode() + b"\xff\x00\n" + damaged.encode())
    logs.MetricsLog(tmp_path, first_step=4, expected={1, 2, 3}).close()
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "3 lines cannot be read and are dropped, lines of 2 steps are missing" in out
    assert path.read_text() == first
    assert [line["loss"] for line in logs.read_metrics(tmp_path, "head")] == [0.5]


def test_damaged_results_are_no_other_numbers(made, feature_folder, tmp_path):
    folder = tmp_path / "run"
    run(made, feature_folder, folder)
    path = folder / "results" / "t.json"
    path.write_text(path.read_text().replace('"num_videos": 4', '"num_videos": 5'))
    with pytest.raises(errors.InputError, match="t.json: damaged, or changed by hand"):
        report_runs.collect([folder])
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"nms_tiou": 0.', '"nms_tiou": 1.'))
    with pytest.raises(errors.InputError, match="damaged, or changed by hand"):
        runs.read_description(folder)


def change_features(data):
    path = data / "rgb" / "video03.npy"
    np.save(path, np.load(path) * np.float16(1.5))


def change_json(name, change):
    def changed(data):
        content = json.loads((data / name).read_text())
        change(content)
        (data / name).write_text(json.dumps(content))

    return changed


CHANGES = {
    "the features have changed": change_features,
    "the fps of the manifest, 30 to 25, have changed": change_json(
        "manifest.json", lambda x: x.update(fps=25, trust_timebase=True)
    ),
    "lengths or labels of the training videos have changed": change_json(
        "annotations.json",
        lambda x: x["database"]["video01"]["annotations"][0].update(label="jump"),
    ),
    "the times of videos have changed": change_json(
        "annotations.json",
        lambda x: x["database"]["video01"].update(
            duration=x["database"]["video01"]["duration"] + 0.1
        ),
    ),
}


@pytest.mark.parametrize("said", CHANGES)
def test_changed_data_are_named(made, feature_folder, tmp_path, said):
    dataset = experiment.open_dataset(made, str(feature_folder))
    description = runs.describe(made, dataset, "here")
    with runs.open_run(tmp_path / "run", description):
        pass
    CHANGES[said](feature_folder)
    dataset = experiment.open_dataset(made, str(feature_folder))
    now = runs.describe(made, dataset, "here")
    refused = pytest.raises(errors.InputError, match=said)
    with refused as caught, runs.open_run(tmp_path / "run", now):
        pass
    assert "choose another --out" in str(caught.value)
    assert "\n" not in str(caught.value)
    # A run of an earlier version has noted its labels, and nothing else.
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    del content["inputs"], content["check"]
    files.write_json(path, content)
    if "labels" not in said:
        with runs.open_run(tmp_path / "run", now):
            pass


def test_data_may_be_moved_and_what_is_evaluated_on_may_change(
    made, feature_folder, tmp_path
):
    run(made, feature_folder, tmp_path / "run")
    whole = (tmp_path / "run/model.npz").read_bytes()
    moved = shutil.copytree(feature_folder, tmp_path / "moved")
    manifest = str(feature_folder / "manifest.json")
    run(dataclasses.replace(made, manifest=manifest), moved, tmp_path / "run")
    # Another time of one evaluation video, other features of one, and none of another.
    change_json(
        "annotations.json", lambda x: x["database"]["video12"].update(duration=9.5)
    )(moved)
    for path in moved.glob("*/video11.npy"):
        path.unlink()
    values = np.load(moved / "rgb" / "video13.npy")
    np.save(moved / "rgb" / "video13.npy", values * np.float16(1.5))
    found = run(made, moved, tmp_path / "run")
    assert len(found) == 3 and (tmp_path / "run/model.npz").read_bytes() == whole
    change_features(moved)
    with pytest.raises(errors.InputError, match="a run with data .*data.,"):
        run(made, moved, tmp_path / "run")


def hostile(descr="'<f4'", shape="(1,)", name="head/a", header=""):
    text = header or f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"
    head = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()
    return {f"{name}.npy": head + bytes(4)}


@pytest.mark.parametrize(
    "members",
    [
        hostile(header="{{}: 1}"),
        hostile(shape="(10000000000000,)"),
        hostile(shape="(99999999999999999999, 16)"),
        hostile(descr="()"),
        hostile(header="-" * 6500 + "1"),
        hostile(name="a") | hostile(name="a/b"),
        hostile(name="a/b") | hostile(name="a/b/c"),
    ],
)
def test_hostile_parameters_are_refused(tmp_path, members):
    with zipfile.ZipFile(tmp_path / "model.npz", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    files.write_checked_json(tmp_path / "model.json", {})
    with pytest.raises(errors.InputError, match="model.npz: "):
        runs.read_params(tmp_path)


def test_scores_and_heads_are_part_of_what_a_run_reads(made, feature_folder, tmp_path):
    dataset = experiment.open_dataset(made, str(feature_folder))
    (tmp_path / "heads.npz").write_bytes(b"a")
    (tmp_path / "video03.npy").write_bytes(b"a")
    (tmp_path / "scp.json").write_text('{"categories": ["jump"]}')
    read = dataclasses.replace(
        made, heads=str(tmp_path / "heads.npz"), scores=str(tmp_path)
    )
    before = runs.describe(read, dataset, "here").inputs
    for name, key in (("heads.npz", "heads"), ("video03.npy", "scores")):
        (tmp_path / name).write_bytes(b"b")
        now = runs.describe(read, dataset, "here").inputs
        assert [name for name in now if now[name] != before[name]] == [key]
        before = now


def test_features_that_change_meanwhile_end_the_program(made, feature_folder):
    dataset = experiment.open_dataset(made, str(feature_folder))
    dataset.read("video03")
    change_features(feature_folder)
    with pytest.raises(errors.InputError, match="'video03': its features have changed"):
        dataset.read("video03")
    half = np.float16(0.1) * np.ones((3, 2), np.float16)
    assert dataset_lib.digest([half]) == dataset_lib.digest([half.astype(np.float32)])


def test_an_ablation_mixes_no_annotations_and_repairs_its_cells(
    made, feature_folder, tmp_path, capsys
):
    def ablated():
        return ablate.ablate(
            made,
            str(feature_folder),
            methods=("plain",),
            seeds=(0,),
            folder=tmp_path / "out",
            bins="thumos14",
        )

    ablated()
    cell = tmp_path / "out" / "cells" / "plain-seed0"
    paths = [cell / name / "plain.json" for name in ("results", "predictions")]
    stage_1 = tmp_path / "out/classifiers/untrimmednet-seed0"
    paths += [stage_1 / "model.npz", stage_1 / "scp" / "video03.npy"]
    whole = [path.read_bytes() for path in paths]
    for path in paths:
        flip(path)
    # Stage 1 is asked for again where a cell is to be made anew.
    ablated()
    assert [path.read_bytes() for path in paths] == whole
    assert capsys.readouterr().out.count("damaged") == 3
    # A kill after scp.json and before the mark of an unfinished folder is gone.
    (stage_1 / "scp" / ".scp.json").write_text("{}")
    shutil.rmtree(cell / "results")
    ablated()
    assert not (stage_1 / "scp" / ".scp.json").exists()
    # SCPs of earlier versions have no digests.
    index = json.loads((stage_1 / "scp" / "scp.json").read_text())
    del index["digests"]
    (stage_1 / "scp" / "scp.json").write_text(json.dumps(index))
    shutil.rmtree(cell / "results")
    capsys.readouterr()
    ablated()
    assert "damaged" not in capsys.readouterr().out
    shutil.rmtree(stage_1 / "scp")
    change = change_json(
        "annotations.json",
        lambda x: x["database"]["video12"]["annotations"][0].update(segment=[0, 1]),
    )
    change(feature_folder)
    with pytest.raises(errors.InputError, match="annotations to evaluate on have chan"):
        ablated()
    shutil.rmtree(cell / "results")
    ablated()
    path = feature_folder / "rgb" / "video12.npy"
    np.save(path, np.load(path) * np.float16(1.5))
    with pytest.raises(errors.InputError, match="features or times to evaluate on"):
        ablated()
    shutil.rmtree(cell / "results")
    capsys.readouterr()
    ablated()
    assert "or of other videos or features than now" in capsys.readouterr().out
