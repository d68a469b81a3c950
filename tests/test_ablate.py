"""Every method through the real program on a tiny folder, and the tables by hand."""

import csv
import dataclasses
import io
import json
import os
import signal

import numpy as np
import programs
import pytest

from cleannet_jax import ablate, errors, experiment, methods, runs, train


@pytest.fixture
def tiny(tiny_config):
    return dataclasses.replace(tiny_config, adam_steps=3)


def run(tiny, data, folder, methods, seeds=(0, 1)):
    return ablate.ablate(
        tiny, str(data), methods=methods, seeds=seeds, folder=folder, bins="thumos14"
    )


def test_every_method_ends_in_the_tables(tiny, feature_folder, tmp_path):
    names = methods.named(
        "untrimmednet_hard,hide_and_seek,stpn,w_talc,autoloc,full,stpn+t,w_talc+plain"
    )
    found = run(tiny, feature_folder, tmp_path / "out", names, seeds=(1,))
    assert tuple(result.method for result in found.results) == names
    assert all(result.seeds == (1,) for result in found.results)
    text = (tmp_path / "out" / "table.txt").read_text()
    assert text == ablate.as_text(found) and "GENERATED" not in text
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
    assert ablate.as_json(again) == ablate.as_json(first)
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
    assert ablate.as_json(again) == ablate.as_json(whole)
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


def table_of(generated=False):
    results = [
        ablate.Result("plain", (0, 1), np.array([[50.0, 10, 30], [54, 14, 34]])),
        ablate.Result("w_talc", (0,), np.array([[40.0, 20, 30]])),
        ablate.Result("w_talc+plain", (0,), np.array([[41.0, 21, 31]])),
        ablate.Result("untrimmednet", (0,), np.array([[9.0, 7, 8]])),
    ]
    return ablate.Ablation("thumos14", "data", generated, (0.3, 0.5), results)


def test_tables_by_hand():
    # Sample standard deviation of 50 and 54: sqrt(8).
    text = ablate.as_text(table_of())
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "plain 52.0 ± 2.8 12.0 ± 2.8 32.0 ± 2.8 2 21.6" in lines
    assert "w_talc 40.0 20.0 30.0 1 18.8" in lines
    # The matrix has what was done with both SCPs.
    assert "w_talc 31.0 30.0" in lines
    assert "untrimmednet 32.0 ± 2.8 8.0" in lines
    rows = list(csv.DictReader(io.StringIO(ablate.as_csv(table_of()))))
    assert len(rows) == 12
    assert rows[1] == {
        "method": "plain",
        "tiou": "0.5",
        "map_mean": "12.0000",
        "map_deviation": "2.8284",
        "seeds": "2",
        "paper_thumos14": "21.6",
        "generated_data": "false",
    }
    assert r"w\_talc & $40.0$ & $20.0$ & $30.0$ & 18.8 \\" in ablate.as_latex(
        table_of()
    )
    assert r"$52.0 \pm 2.8$" in ablate.as_latex(table_of())
    content = json.loads(ablate.as_json(table_of()))
    assert content["methods"]["plain"]["map"] == [[50.0, 10.0], [54.0, 14.0]]


def test_generated_data_is_said_in_every_form():
    made = table_of(generated=True)
    for form in (ablate.as_text, ablate.as_latex):
        assert "GENERATED DATA" in form(made)
    assert json.loads(ablate.as_json(made))["generated_data"] is True
    assert "true" in ablate.as_csv(made).splitlines()[1]


def test_the_papers_figures_are_those_of_its_tables():
    # Spot checks against Tables 2, 3 and 4.
    assert ablate.PAPER["thumos14"]["full"][0.7] == 7.1
    assert ablate.PAPER["thumos14"]["hide_and_seek"] == {0.3: 19.5, 0.4: 12.7, 0.5: 6.8}
    assert ablate.PAPER["activitynet12"]["autoloc"][0.95] == 3.3
    assert set(ablate.PAPER["thumos14"]) <= set(methods.METHODS)


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
