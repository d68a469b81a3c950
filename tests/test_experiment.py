import dataclasses
import json

import jax
import numpy as np
import programs
import pytest

import cleannet_jax
from cleannet_jax import config, errors, experiment, methods, runs, train
from cleannet_jax.data import recovered_heads
from cleannet_jax.data.detections import submission
from cleannet_jax.models import head, untrimmednet
from cleannet_jax.report import experiment as report_lib


def run_program(name, *arguments):
    return programs.run(name.removesuffix(".py"), *arguments)


def table_of(made, method, data, folder):
    dataset = experiment.open_dataset(made, str(data))
    rows = experiment.train_and_evaluate(
        made, method, str(data), folder, dataset=dataset
    )
    return report_lib.write_table(rows, dataset, folder)


def test_a_run_from_training_to_new_detections(feature_folder, tiny_config, tmp_path):
    folder = tmp_path / "run"
    table = table_of(tiny_config, "full", feature_folder, folder)
    assert "tiny, subset 'validation': 4 videos" in table
    assert [line.split()[0] for line in table.splitlines()[1:5]] == [
        "tIoU",
        "untrimmednet",
        "plain",
        "full",
    ]
    assert "GENERATED" not in table
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "predictions",
        "results",
    }
    results = json.loads((folder / "results" / "full.json").read_text())
    assert results["generated_data"] is False
    # Again: nothing is trained, and the same comes out.
    again = table_of(tiny_config, "full", feature_folder, folder)
    assert again == table
    assert (folder / "results" / "table.txt").read_text() == f"{table}\n"
    # The same detections from the checkpoint alone.
    out, scp = tmp_path / "found.json", tmp_path / "scp"
    done = run_program(
        "localize.py", folder, "--data", feature_folder, "--out", out, "--scp", scp
    )
    assert done.returncode == 0, done.stderr
    first = submission.read_detections(folder / "predictions" / "full.json")
    second = submission.read_detections(out)
    assert first.labels == second.labels and len(first.scores) > 0
    np.testing.assert_allclose(first.segments, second.segments, rtol=1e-5)
    # In three lines of Python, from public names, wherever the folder has been moved.
    moved = folder.rename(tmp_path / "moved")
    loaded = cleannet_jax.load_run(moved)
    video_id = "video12"
    values = [np.load(feature_folder / s / f"{video_id}.npy") for s in ("rgb", "flow")]
    ways = (
        loaded.predict(np.concatenate(values, axis=1)),
        loaded.predict(dict(zip(("rgb", "flow"), values, strict=True))),
        loaded.predict(video_id, data=str(feature_folder)),
    )
    rows = json.loads(out.read_text())["results"][video_id]
    for video in ways:
        found = [[d.start, d.end] for d in video.detections]
        np.testing.assert_allclose(
            found, [row["segment"] for row in rows], rtol=1e-4, atol=1e-4
        )
        assert [d.label for d in video.detections] == [row["label"] for row in rows]
        np.testing.assert_allclose(
            video.scp, np.load(scp / f"{video_id}.npy"), rtol=1e-5, atol=1e-6
        )
        assert video.attention.sum() == pytest.approx(1, abs=1e-4)
        assert video.proposals.shape == (2 * len(video.scp), 2)
        contrast = video.evaluate(video.proposals).contrast
        assert contrast.shape == (3, len(video.proposals))
    with pytest.raises(errors.InputError, match="the columns of rgb 6, flow 4"):
        loaded.predict(values[0])
    moved.rename(folder)
    # Their scores are contrast scores of the SCP that was written.
    scored = tmp_path / "scored.json"
    done = run_program("score.py", "--scp", scp, "--proposals", out, "--out", scored)
    assert done.returncode == 0, done.stderr
    inside = 0
    for rows in json.loads(scored.read_text())["results"].values():
        for row in rows:
            if 0 < row["segment"][0]:
                inside += 1
                assert row["score"] == pytest.approx(row["input_score"], abs=1e-3)
    assert inside > 0
    # A finished run does not take another config.
    with pytest.raises(errors.InputError, match="a run with steps 5, expected 9"):
        experiment.train_and_evaluate(
            dataclasses.replace(tiny_config, steps=9),
            "full",
            str(feature_folder),
            folder,
        )
    manifest = feature_folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"width": 6', '"width": 7'))
    done = run_program("localize.py", folder, "--data", feature_folder, "--out", out)
    assert done.returncode == 2 and "wrong width" in done.stderr


def test_heads_from_elsewhere_take_the_place_of_stage_1(
    feature_folder, tiny_config, tmp_path
):
    plain = methods.apply(tiny_config, "plain")
    data = str(feature_folder)
    first = table_of(plain, "plain", data, tmp_path / "trained")
    dataset = experiment.open_dataset(plain, data)
    stage = train.Stage("head", plain, dataset.streams)
    fresh = untrimmednet.create_params(jax.random.key(0), dataset.streams, 3)
    streams = train.train_stage(stage, fresh, dataset, tmp_path / "trained")
    path = tmp_path / "heads.npz"
    found = recovered_heads.Heads(
        dataset.categories, streams, 0, 0, (0.0, 0.0), (0.0, 0.0)
    )
    recovered_heads.write(path, found)
    given = dataclasses.replace(plain, heads=str(path), head_steps=0)
    folder = tmp_path / "given"
    assert table_of(given, "plain", data, folder) == first
    params = experiment.restore(folder, runs.read_description(folder))
    fused = head.fuse_streams([streams["rgb"], streams["flow"]])
    for one, other in zip(
        jax.tree.leaves(params["head"]), jax.tree.leaves(fused), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_foreign_layout_is_told_how_to_convert_it(tiny_config, tmp_path):
    np.save(tmp_path / "video.npy", np.zeros((4, 2)))
    with pytest.raises(errors.InputError) as caught:
        experiment.open_dataset(tiny_config, str(tmp_path))
    command = f"cleannet convert {tmp_path} --to NEW --layout opentad"
    assert command in str(caught.value)


def test_a_folder_of_something_else_is_left_alone(
    feature_folder, tiny_config, tmp_path
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(errors.InputError, match="files that are not of a run"):
        experiment.train_and_evaluate(
            tiny_config, "full", str(feature_folder), tmp_path / "mine"
        )
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_only_one_program_runs_in_a_folder(feature_folder, tiny_config, tmp_path):
    dataset = experiment.open_dataset(tiny_config, str(feature_folder))
    description = runs.describe(tiny_config, dataset, "here")
    with (
        runs.open_run(tmp_path / "run", description),
        pytest.raises(errors.InputError, match="another program is running"),
        runs.open_run(tmp_path / "run", description),
    ):
        pass


def test_description_comes_back_as_it_was(feature_folder, tiny_config, tmp_path):
    dataset = experiment.open_dataset(tiny_config, str(feature_folder))
    description = runs.describe(tiny_config, dataset, "here")
    with runs.open_run(tmp_path / "run", description):
        assert runs.read_description(tmp_path / "run") == description


def test_unfinished_run_is_not_localized_with(feature_folder, tiny_config, tmp_path):
    dataset = experiment.open_dataset(tiny_config, str(feature_folder))
    description = runs.describe(tiny_config, dataset, "here")
    with runs.open_run(tmp_path / "run", description):
        pass
    with pytest.raises(errors.InputError, match="has the run finished"):
        experiment.restore(tmp_path / "run", description)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "kinetics"], "--dataset: found 'kinetics', expected one of act"),
        (["--dataset", "thumos14", "--steps", "many"], "steps: found 'many', expected"),
        (["--dataset", "thumos14", "--variant", "x"], "method: found 'x', expected"),
        (["--dataset", "thumos14", "--data", "absent"], "absent: no such folder"),
        (["--dataset", "sfinge3d"], "sfinge3d"),
    ],
)
def test_mistakes_end_with_one_line_and_2(tmp_path, arguments, message):
    done = run_program("train.py", *arguments, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_bad_data_is_one_report_that_names_each_video(
    feature_folder, tiny_config, tmp_path
):
    (feature_folder / "flow" / "video03.npy").unlink()
    values = np.load(feature_folder / "rgb" / "video05.npy")
    values[2, 1] = np.nan
    np.save(feature_folder / "rgb" / "video05.npy", values)
    with pytest.raises(errors.InputError) as caught:
        experiment.train_and_evaluate(
            tiny_config, "full", str(feature_folder), tmp_path / "run"
        )
    assert "video03" in caught.value.report and "video05" in caught.value.report
    assert str(caught.value) == (
        f"{feature_folder}: the data cannot be used: 2 errors in 2 videos, the first: "
        f"{feature_folder}/flow/video03.npy: no such file"
    )
    assert not (tmp_path / "run").exists()


def test_cause_comes_last(feature_folder, tmp_path):
    (feature_folder / "flow" / "video03.npy").unlink()
    arguments = ("--dataset", "thumos14", "--data", feature_folder)
    done = run_program("train.py", *arguments, "--out", tmp_path / "run")
    assert done.returncode == 2
    *before, last = done.stderr.strip().splitlines()
    assert f"tiny: {feature_folder}" in before
    assert last.startswith(f"error: {feature_folder}: the data cannot be used: 1 error")


def test_help_names_every_field():
    done = run_program("train.py", "--help")
    assert done.returncode == 0
    # --method names the classifier.
    for field in dataclasses.fields(config.Config):
        flag = f"--{field.name.replace('_', '-')}"
        assert field.name == "classifier" or flag in done.stdout


def test_nothing_to_evaluate_on_is_said_before_training(
    feature_folder, tiny_config, tmp_path, capsys
):
    manifest = feature_folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"validation"', '"test"'))
    run = tmp_path / "run"
    rows = experiment.train_and_evaluate(tiny_config, "plain", str(feature_folder), run)
    assert rows == [] and (run / "model.npz").exists()
    assert (
        "no mAP in the end: tiny: no video of subset 'test'" in capsys.readouterr().out
    )
