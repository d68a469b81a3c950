"""The tables of an ablation, worked out by hand."""

import csv
import io
import json

import numpy as np

from cleannet_jax import ablate, methods
from cleannet_jax.report import ablation, paper


def table_of(generated=False, dataset="thumos14"):
    results = [
        ablate.Result("plain", (0, 1), np.array([[50.0, 10, 30], [54, 14, 34]])),
        ablate.Result("w_talc", (0,), np.array([[40.0, 20, 30]])),
        ablate.Result("w_talc+plain", (0,), np.array([[41.0, 21, 31]])),
        ablate.Result("untrimmednet", (0,), np.array([[9.0, 7, 8]])),
    ]
    return ablate.Ablation(dataset, "data", generated, (0.3, 0.5), results)


def test_tables_by_hand():
    # Sample standard deviation of 50 and 54: sqrt(8).
    text = ablation.as_text(table_of())
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "plain 52.0 ± 2.8 12.0 ± 2.8 32.0 ± 2.8 2 21.6" in lines
    assert "w_talc 40.0 20.0 30.0 1 18.8" in lines
    # The matrix has what was done with both SCPs.
    assert "w_talc 31.0 30.0" in lines
    assert "untrimmednet 32.0 ± 2.8 8.0" in lines
    rows = list(csv.DictReader(io.StringIO(ablation.as_csv(table_of()))))
    assert len(rows) == 12
    assert rows[1] == {
        "method": "plain",
        "tiou": "0.5",
        "map_mean": "12.0000",
        "map_deviation": "2.8284",
        "seeds": "2",
        "collapsed": "0",
        "paper_thumos14": "21.6",
        "generated_data": "false",
    }
    assert r"w\_talc & $40.0$ & $20.0$ & $30.0$ & 18.8 \\" in ablation.as_latex(
        table_of()
    )
    assert r"$52.0 \pm 2.8$" in ablation.as_latex(table_of())
    content = json.loads(ablation.as_json(table_of()))
    assert content["methods"]["plain"]["map"] == [[50.0, 10.0], [54.0, 14.0]]


def test_the_paper_stands_beside_its_own_data_alone():
    other = table_of(dataset="sfinge3d")
    for form in (
        ablation.as_text,
        ablation.as_csv,
        ablation.as_latex,
        ablation.as_json,
    ):
        assert "paper" in form(table_of())
        assert "paper" not in form(other)
    lines = [" ".join(line.split()) for line in ablation.as_text(other).splitlines()]
    assert "w_talc 40.0 20.0 30.0 1" in lines
    assert r"w\_talc & $40.0$ & $20.0$ & $30.0$ \\" in ablation.as_latex(other)
    # Of its own data, the methods that it does not have are empty.
    methods_of = json.loads(ablation.as_json(table_of()))["methods"]
    assert methods_of["w_talc+plain"]["paper"] == {}


def test_warnings_are_below_the_tables():
    found = table_of()._replace(
        cautions={"plain, seed 0": ["there is no detection"], "plain, seed 1": []}
    )
    text = ablation.as_text(found, warnings=["warning: no features: 1 video, 'a'"])
    assert text.splitlines()[-4:] == [
        "",
        "* plain has collapsed with seeds 0",
        "warning: there is no detection (plain, seed 0; 1 of 2 evaluations have such)",
        "warning: no features: 1 video, 'a'",
    ]


def test_generated_data_is_said_in_every_form():
    made = table_of(generated=True)
    for form in (ablation.as_text, ablation.as_latex):
        assert "GENERATED DATA" in form(made)
    assert json.loads(ablation.as_json(made))["generated_data"] is True
    assert "true" in ablation.as_csv(made).splitlines()[1]


def test_the_papers_figures_are_those_of_its_tables():
    # Spot checks against Tables 2, 3 and 4.
    assert paper.PAPER["thumos14"]["full"][0.7] == 7.1
    assert paper.PAPER["thumos14"]["hide_and_seek"] == {0.3: 19.5, 0.4: 12.7, 0.5: 6.8}
    assert paper.PAPER["activitynet12"]["autoloc"][0.95] == 3.3
    assert set(paper.PAPER["thumos14"]) <= set(methods.METHODS)
