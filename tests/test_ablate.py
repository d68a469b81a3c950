"""Every method through the real program on a tiny folder, and the tables by hand."""

import dataclasses
import functools
import json
import os
import signal

import numpy as np
import programs
import pytest

from cleannet_jax import ablate, errors, experiment, methods, runs, train
from cleannet_jax.report import ablation


@pytest.fixture
def tiny(tiny_config):
    return dataclasses.replace(tiny_config, adam_steps=3)


def run(tiny, data, folder, methods, seeds=(0, 1)):
    return ablate.ablate(
        tiny,
        str(data),
        methods=methods,
        seeds=seeds,
        folder=folder,
        bins="thumos14",
        on_cell=functools.partial(ablation.write_tables, folder=folder),
    )


@pytest.mark.once
def test_every_method_ends_in_the_tables(tiny, feature_folder, tmp_path):
    names = methods.named(
        "untrimmednet_hard,hide_and_seek,stpn,w_talc,autoloc,full,stpn+t,w_talc+plain"
    )
    found = run(tiny, feature_folder, tmp_path / "out", names, seeds=(1,))
    assert tuple(result.method for result in found.results) == names
    assert all(result.seeds == (1,) for result in found.results)
    text = (tmp_path / "out" / "table.txt").read_text()
    assert text == ablation.as_text(found) and "GENERATED" not in text
    for method in names:
        assert method in text
    # A cell is a run: its model localizes in new videos.
    for method in ("stpn+t", "w_talc+plain", "hide_and_seek"):
        cell = tmp_path / "out" / "cells" / f"{method}-seed1"
        out = tmp_path / "found.json"
        done = programs.run("localize", cell, "--data", feature_folder, "--out", out)
        assert done.returncode == 0, done.stderr
        before = json.loads((cell / "predictions" / f"{method}.json").read_text())
        after = json.loads(out.read_text())
        for video, rows in before["results"].items():
            segments = [row["segment"] for row in rows]
            again = [row["segment"] for row in after["results"][video]]
            np.testing.assert_allclose(segments, again, rtol=1e-4)


def test_a_finished_cell_is_never_run_again(
    tiny, feature_folder, tmp_path, monkeypatch
):
    folder = tmp_path / "out"
    first = run(tiny, feature_folder, folder, ("plain", "t"), seeds=(0,))
    trained = []
    original = train.train_stage

    def count(stage, *arguments):
        trained.append((stage.name, stage.config.seed))
        return original(stage, *arguments)

    monkeypatch.setattr(train, "train_stage", count)
    again = run(tiny, feature_folder, folder, ("plain", "t"), seeds=(0,))
    assert trained == []
    assert ablation.as_json(again) == ablation.as_json(first)
    # More seeds and methods: stage 1 once a seed.
    run(tiny, feature_folder, folder, ("plain", "t", "simple"), seeds=(0, 1))
    assert trained == [
        ("cleannet", 0),
        ("head", 1),
        ("cleannet", 1),
        ("cleannet", 1),
    ]


def test_an_interrupted_ablation_goes_on(tiny, feature_folder, tmp_path, monkeypatch):
    names = ("plain", "t", "full")
    whole = run(tiny, feature_folder, tmp_path / "whole", names)
    original, calls = train.train_step, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 16:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(train, "train_step", interrupted)
    with pytest.raises(errors.Interrupted, match="the same command goes on from there"):
        run(tiny, feature_folder, tmp_path / "stopped", names)
    again = run(tiny, feature_folder, tmp_path / "stopped", names)
    assert ablation.as_json(again) == ablation.as_json(whole)
    # No step twice: 6 of the head and 5 of each of two generators, for two seeds.
    assert len(calls) == 2 * (6 + 5 + 5)


def test_a_cell_equals_the_run_of_bin_train(tiny, feature_folder, tmp_path):
    found = run(tiny, feature_folder, tmp_path / "out", ("full", "t"), seeds=(0,))
    for result in found.results:
        own = methods.apply(tiny, result.method)
        folder = tmp_path / result.method
        experiment.train_and_evaluate(own, result.method, str(feature_folder), folder)
        report = json.loads((folder / "results" / f"{result.method}.json").read_text())
        np.testing.assert_allclose(
            result.map[0], [*report["map"], report["mean"]], atol=1e-9
        )


def test_another_config_does_not_go_on_in_the_folder(tiny, feature_folder, tmp_path):
    run(tiny, feature_folder, tmp_path / "out", ("plain",), seeds=(0,))
    other = dataclasses.replace(tiny, head_steps=7)
    with pytest.raises(errors.InputError, match="a run with head_steps 6, expected 7"):
        run(other, feature_folder, tmp_path / "out", ("plain",), seeds=(0,))


def test_a_method_changes_what_it_names_and_no_other_method(tiny):
    assert ablate.config_of(tiny, "autoloc", 3).positive_score == 0.3
    assert ablate.config_of(tiny, "simple", 3).positive_score == tiny.positive_score
    given = dataclasses.replace(tiny, scores="somewhere", heads="heads.npz")
    assert ablate.config_of(given, "scores+t", 0).scores == "somewhere"
    assert ablate.config_of(given, "plain", 0).scores == ""
    assert ablate.config_of(given, "plain", 0).heads == "heads.npz"
    assert ablate.config_of(given, "w_talc", 0).heads == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "plain,magic"], "method: found 'magic', expected one of"),
        (["--methods", "w_talc+full"], "joint: found true with the classifier"),
        (["--methods", "scores+plain"], "scores: found ''"),
        (["--data", "absent"], "absent: no such folder"),
    ],
)
def test_mistakes_end_with_one_line_and_2(tmp_path, arguments, message):
    out = ["--out", tmp_path / "out"]
    done = programs.run("ablate", "--dataset", "thumos14", *arguments, *out)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_classifier_shares_the_folder_of_its_seed(tiny, feature_folder, tmp_path):
    run(tiny, feature_folder, tmp_path / "out", ("w_talc", "w_talc+plain"), seeds=(0,))
    place = tmp_path / "out" / "classifiers"
    assert [path.name for path in place.iterdir()] == ["w_talc-seed0"]
    description = runs.read_description(place / "w_talc-seed0")
    assert description.config.classifier == "w_talc"
    assert (place / "w_talc-seed0" / "scp" / "scp.json").exists()


def test_pairs_are_compared(tiny, feature_folder, tmp_path):
    folder, names = tmp_path / "out", ("plain", "w_talc")
    run(tiny, feature_folder, folder, names)
    dataset = experiment.open_dataset(tiny, str(feature_folder))
    pairs = ablate.parse_pairs("plain:w_talc, w_talc:plain", names)
    found = ablate.compare(tiny, dataset, pairs, (0, 1), folder)
    ablation.write_comparisons(pairs, found, folder, generated=False)
    content = json.loads((folder / "comparisons.json").read_text())
    maps = {
        name: [
            json.loads(
                (folder / f"cells/{name}-seed{seed}/results/{name}.json").read_text()
            )["mean"]
            for seed in (0, 1)
        ]
        for name in names
    }
    expected = np.mean(maps["plain"]) - np.mean(maps["w_talc"])
    one, other = content["pairs"]
    assert tuple(one["pair"]) == pairs[0] == names
    np.testing.assert_allclose(one["value"][-1], expected)
    np.testing.assert_allclose(other["low"], np.negative(one["high"]), atol=1e-9)
    # 5 % over two pairs.
    assert one["level"] == pytest.approx(0.975) and one["seeds"] == [2, 2]
    text = (folder / "comparisons.txt").read_text()
    assert "plain - w_talc" in text and "97.5% intervals" in text


def test_no_pairs_unless_named():
    assert ablate.parse_pairs("", ("full", "plain")) == []
    for text in ("full", "full:full", "full:plian"):
        with pytest.raises(errors.InputError, match=f"--compare: found '{text}'"):
            ablate.parse_pairs(text, ("full", "plain"))
