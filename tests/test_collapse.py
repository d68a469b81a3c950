"""A run that has learned nothing says so, in its results and in every table."""

import dataclasses
import json

import programs
import pytest

from cleannet_jax import ablate, collapse, errors, experiment
from cleannet_jax import config as config_lib
from cleannet_jax.data import files
from cleannet_jax.report import ablation as report_lib
from cleannet_jax.report import experiment as table_lib


def test_no_positives(feature_folder, tiny_config, tmp_path, capsys):
    # No score is above 5, so that no proposal ever takes part.
    config = dataclasses.replace(tiny_config, positive_score=5.0, log_every=1)
    data = str(feature_folder)
    dataset = experiment.open_dataset(config, data)
    rows = experiment.train_and_evaluate(config, "full", data, tmp_path / "run")
    said = "no proposal took part in training: batches 1 to 5 of 5 of stage 2"
    # At once, ...
    assert f"{said.replace('to 5', 'to 3')}; no score" in capsys.readouterr().out
    # ... in the results, of the method alone, ...
    results = tmp_path / "run" / "results"
    warnings = json.loads((results / "full.json").read_text())["warnings"]
    assert [line.startswith(said) for line in warnings] == [True]
    assert json.loads((results / "plain.json").read_text())["warnings"] == []
    # ... and in every table.
    assert said in table_lib.as_text(rows, dataset)
    assert said in programs.run("table", tmp_path / "run").stdout
    found = ablate.ablate(
        config,
        data,
        methods=("plain", "full"),
        seeds=(0,),
        folder=tmp_path / "ablation",
        bins="thumos14",
    )
    text = report_lib.as_text(found)
    assert "\nfull* " in text and "\nplain " in text
    assert "* full has collapsed with seeds 0" in text and said in text
    methods = json.loads(report_lib.as_json(found))["methods"]
    assert methods["full"]["collapsed"] == [0] and not methods["plain"]["collapsed"]


def test_a_zero_now_and_then_is_no_collapse(tmp_path):
    made = config_lib.Config(steps=100, log_every=10)

    def cautions(positives):
        lines = [
            json.dumps({"step": 500 + 10 * at, "stage": "cleannet", "positives": value})
            for at, value in enumerate(positives, 1)
        ]
        (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, ""]))
        return collapse.cautions(made, tmp_path)

    assert cautions([9, 9, 9, 9, 0, 9, 9, 0, 0, 9]) == []
    (line,) = cautions([9, 9, 0, 0, 0, 9, 9, 9, 9, 9])
    assert "batches 21 to 50 of 100 of stage 2, of which every 10th was looked" in line


def test_one_category_cannot_be_learned(feature_folder, tiny_config, tmp_path):
    path = feature_folder / "annotations.json"
    content = json.loads(path.read_text())
    for video in content["database"].values():
        for entry in video["annotations"]:
            entry["label"] = "jump"
    files.write_json(path, content)
    data = str(feature_folder)
    with pytest.raises(errors.InputError, match="found one, 'jump', .* train stpn"):
        experiment.train_and_evaluate(tiny_config, "full", data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
