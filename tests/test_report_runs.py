"""Results of several runs in one table, from folders written by hand."""

import csv
import dataclasses
import io
import json

import pytest

from cleannet_jax import config as config_lib
from cleannet_jax import errors, methods
from cleannet_jax.report import runs

BASE = config_lib.Config(dataset="kitchen", tious=(0.3, 0.5))


def write_run(
    folder, method="full", found=None, *, is_done=True, facts=None, **changes
):
    """Writes the folder of a run; `found` has the two mAPs of each method."""
    made = dataclasses.replace(methods.apply(BASE, method), **changes)
    (folder / "results").mkdir(parents=True)
    description = {
        "config": dataclasses.asdict(made),
        "data": "/data/kitchen",
        "categories": ["Chop"],
        "stream_widths": [3, 2],
        "generated": False,
        "digest": "0",
    }
    (folder / "config.json").write_text(json.dumps(description))
    content = {
        "generated_data": False,
        "subset": "test",
        "variant": "official",
        "protocol": "activitynet",
        "tious": [0.3, 0.5],
        "num_videos": 5,
        "num_instances": 9,
    }
    for name, values in (found or {}).items():
        result = {"map": values, "mean": sum(values) / len(values)}
        path = folder / "results" / f"{name}.json"
        path.write_text(json.dumps(content | result | (facts or {})))
    if is_done:
        (folder / "results" / "table.txt").write_text("")
    return folder


def cells_of(text):
    return [line.split() for line in text.splitlines()]


def test_a_sweep_has_a_column_for_what_differs(tmp_path):
    one = write_run(tmp_path / "a", found={"plain": [20, 10], "full": [40, 20]})
    other = write_run(tmp_path / "b", found={"full": [42, 21]}, margin=3.0, seed=1)
    text = runs.as_text(runs.collect([one, other]))
    heading, *rows = text.splitlines()
    assert heading == (
        "kitchen, /data/kitchen, subset 'test': 5 videos, 9 instances; protocol"
        " activitynet; mAP in percent"
    )
    assert [row.split() for row in rows] == [
        ["run", "method", "seed", "margin", "0.30", "0.50", "mean"],
        [str(one), "full", "0", "2.0", "40.0", "20.0", "30.0"],
        [str(one), "plain", "0", "2.0", "20.0", "10.0", "15.0"],
        [str(other), "full", "1", "3.0", "42.0", "21.0", "31.5"],
    ]


def test_what_makes_a_method_is_said_by_its_name(tmp_path):
    baseline = {"plain": [20, 10]}
    first = write_run(tmp_path / "a", "full", baseline | {"full": [40, 20]})
    second = write_run(tmp_path / "b", "simple", baseline | {"simple": [30, 20]})
    heads = cells_of(runs.as_text(runs.collect([first, second])))[1]
    assert heads == ["run", "method", "seed", "0.30", "0.50", "mean"]


@pytest.mark.parametrize(
    "facts",
    [
        {"subset": "validation"},
        {"protocol": "thumos14"},
        {"tious": [0.5, 0.7]},
        {"num_instances": 8},
        {"generated_data": True},
    ],
)
def test_what_is_not_comparable_has_a_heading_of_its_own(tmp_path, facts):
    folders = [
        write_run(tmp_path / "a", found={"full": [40, 20]}),
        write_run(tmp_path / "b", found={"full": [42, 21]}, facts=facts),
    ]
    text = runs.as_text(runs.collect(folders))
    first, second = text.split("\n\n")
    assert "/a " in first and "/b " not in first
    assert "/b " in second and "/a " not in second
    assert ("GENERATED DATA" in second) is ("generated_data" in facts)


def test_cells_of_an_ablation_are_runs(tmp_path):
    folder = tmp_path / "ablation"
    for method, seed in (("full", 0), ("plain", 1)):
        cell = folder / "cells" / f"{method}-seed{seed}"
        write_run(cell, method, {method: [40, 20]}, is_done=False, seed=seed)
    found = runs.collect([folder])
    assert [(row.method, row.config.seed) for row in found.rows] == [
        ("full", 0),
        ("plain", 1),
    ]
    assert found.unfinished == ()


def test_unfinished_runs_are_named(tmp_path):
    done = write_run(tmp_path / "a", found={"full": [40, 20]})
    # Stopped between its baseline and itself, and before either.
    half = write_run(tmp_path / "b", found={"plain": [20, 10]}, is_done=False)
    none = write_run(tmp_path / "c", is_done=False)
    found = runs.collect([done, half, none])
    assert found.unfinished == (str(half), str(none))
    text = runs.as_text(found)
    assert text.endswith(f"\n\nunfinished: {half}\nunfinished: {none}\n")
    assert runs.as_text(runs.collect([none])) == f"unfinished: {none}\n"


def test_csv_has_every_fact_in_every_line(tmp_path):
    folder = write_run(tmp_path / "a", found={"full": [40, 20]})
    other = write_run(tmp_path / "b", found={"full": [1, 2]}, steps=7)
    rows = list(csv.DictReader(io.StringIO(runs.as_csv(runs.collect([folder, other])))))
    assert len(rows) == 6
    assert rows[1] == {
        "run": str(folder),
        "method": "full",
        "seed": "0",
        "steps": str(BASE.steps),
        "dataset": "kitchen",
        "data": "/data/kitchen",
        "generated": "false",
        "subset": "test",
        "variant": "official",
        "protocol": "activitynet",
        "num_videos": "5",
        "num_instances": "9",
        "tiou": "0.5",
        "map": "20.0000",
    }
    assert [row["tiou"] for row in rows[3:]] == ["0.3", "0.5", "mean"]


def test_a_folder_of_something_else_is_one_error(tmp_path):
    with pytest.raises(errors.InputError, match="no config.json in it, expected the f"):
        runs.collect([tmp_path])
    with pytest.raises(errors.InputError, match="absent: no such folder"):
        runs.collect([tmp_path / "absent"])
    folder = write_run(tmp_path / "a", found={"full": [40]})
    with pytest.raises(errors.InputError, match=r"full.json: found 1 values in map"):
        runs.collect([folder])
    (folder / "results" / "full.json").write_text("{}")
    with pytest.raises(errors.InputError, match="not the results of a run"):
        runs.collect([folder])


def test_a_folder_named_twice_is_there_once(tmp_path):
    folder = write_run(tmp_path / "a", found={"full": [40, 20]})
    assert len(runs.collect([folder, folder]).rows) == 1
