"""The table at the end of a run, worked out by hand."""

import types

import numpy as np

from cleannet_jax import experiment
from cleannet_jax.metrics import average_precision
from cleannet_jax.report import experiment as report_lib

MADE = types.SimpleNamespace(name="kitchen", generated=True, warnings=())
RECORDED = types.SimpleNamespace(name="kitchen", generated=False, warnings=())


def row(method, *rates, **facts):
    """A row of a report on one category."""
    result = average_precision.AveragePrecision(
        ("Chop",), np.array([0.3, 0.5]), np.array(rates)[:, None], np.array([4])
    )
    facts = {"warnings": (), "uncovered": (), "num_annotated": 4} | facts
    report = types.SimpleNamespace(
        subset="test",
        num_videos=5,
        num_instances=4,
        protocol="activitynet",
        result=result,
        **facts,
    )
    return experiment.Row(method, report)


ROWS = [row("plain", 0.25, 0.125), row("untrimmednet_hard+t", 1.0, 0.5)]


def test_table_by_hand():
    data, *table = report_lib.as_text(ROWS, RECORDED).splitlines()
    assert data.startswith("kitchen, subset 'test': 5 videos, 4 instances; protocol ac")
    assert table == [
        "tIoU                    0.30   0.50    mean",
        "plain                   25.0   12.5    18.8",
        "untrimmednet_hard+t    100.0   50.0    75.0",
    ]


def test_generated_data_is_said_first():
    assert report_lib.as_text(ROWS, MADE).startswith("GENERATED DATA: ")


def test_warnings_are_below_the_table_one_line_a_kind():
    stray = "detections in videos that the subset does not list: {}, in 'x'"
    rows = [
        row("plain", 0.25, 0.125, warnings=(stray.format(1),)),
        row("full", 0.5, 0.5, warnings=(stray.format(2),), uncovered=("a", "b")),
    ]
    text = report_lib.as_text(
        rows,
        types.SimpleNamespace(
            **vars(RECORDED) | {"warnings": ("warning: no features: 1 video",)}
        ),
    )
    assert text.splitlines()[-3:] == [
        f"warning: {stray.format(1)} (plain; 2 of 2 evaluations have such)",
        "warning: annotated videos without a detection: 2 of 4, 'a', 'b'"
        + " (full; 1 of 2 evaluations have such)",
        "warning: no features: 1 video",
    ]
    assert "evaluations" not in report_lib.as_text(rows[:1], RECORDED)
