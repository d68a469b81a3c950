"""The difference of two reports for a person and for JSON, in percent."""

from typing import Any

import numpy as np

from cleannet_jax import compare, evaluate, results
from cleannet_jax.metrics import bootstrap
from cleannet_jax.report import tables


def as_dict(comparison: compare.Comparison) -> dict[str, Any]:
    """Returns both reports and their difference as JSON can hold them, in percent."""
    return {
        "first": results.as_dict(comparison.first),
        "second": results.as_dict(comparison.second),
        "difference": _facts(comparison, comparison.first.result.tious, evaluate.LEVEL),
    }


def seeds_as_dict(comparison: compare.SeedComparison) -> dict[str, Any]:
    """Returns all reports and the difference of their means, in percent, for JSON."""
    return {
        "first": [results.as_dict(report) for report in comparison.first],
        "second": [results.as_dict(report) for report in comparison.second],
        "difference": seeds_difference(comparison),
    }


def seeds_difference(comparison: compare.SeedComparison) -> dict[str, Any]:
    """Returns the difference of the means over seeds, in percent, for JSON."""
    tious = comparison.first[0].result.tious
    return _facts(comparison, tious, comparison.level) | {
        "method": f"{bootstrap.METHOD}; variance over seeds added",
        "seeds": [len(comparison.first), len(comparison.second)],
        "seeds_paired": comparison.is_paired,
    }


def _facts(
    comparison: compare.Comparison | compare.SeedComparison,
    tious: np.ndarray,
    level: float,
) -> dict[str, Any]:
    """The difference and its interval in percent."""
    return {
        "unit": "percent",
        "level": level,
        "method": bootstrap.METHOD,
        "samples": comparison.samples,
        "seed": comparison.seed,
        "tious": tious.tolist(),
        "value": (100 * comparison.difference).tolist(),
        "low": (100 * comparison.low).tolist(),
        "high": (100 * comparison.high).tolist(),
        "more_than_noise": comparison.is_real.tolist(),
    }


def as_text(comparison: compare.Comparison) -> str:
    """Returns the difference as lines for a person, in percent."""
    tious = comparison.first.result.tious
    conclusion = (
        f"the mean differs by {_interval(comparison, evaluate.LEVEL)} over"
        f" {comparison.samples} halves of the videos (seed {comparison.seed}):"
        f" {_verdict(comparison)}"
    )
    return "\n".join([*_table(comparison, tious), conclusion])


def seeds_as_text(comparison: compare.SeedComparison) -> str:
    """Returns the difference of the means over seeds as lines, in percent."""
    tious = comparison.first[0].result.tious
    conclusion = (
        f"the means of {len(comparison.first)} and {len(comparison.second)} seeds"
        f"{', paired,' if comparison.is_paired else ''} differ by"
        f" {_interval(comparison, comparison.level)} over {comparison.samples} halves"
        f" of the videos (seed {comparison.seed}) and over the seeds:"
        f" {_verdict(comparison)}"
    )
    return "\n".join([*_table(comparison, tious), conclusion])


def _table(
    comparison: compare.Comparison | compare.SeedComparison, tious: np.ndarray
) -> list[str]:
    """The difference at each threshold, and of the mean."""
    rows = [["second - first", *(f"{tiou:.2f}" for tiou in tious), "mean"]]
    for name in ("difference", "low", "high"):
        values = 100 * getattr(comparison, name)
        rows.append([name, *(f"{value:+.2f}" for value in values)])
    rows.append(
        ["", *("real" if real else "noise" for real in comparison.is_real.tolist())]
    )
    return tables.aligned(rows, widths=(25, 8), gap=1)


def _interval(
    comparison: compare.Comparison | compare.SeedComparison, level: float
) -> str:
    """The difference of the mean over thresholds with its interval."""
    value, low, high = (
        100 * values[-1]
        for values in (comparison.difference, comparison.low, comparison.high)
    )
    return f"{value:+.2f}, {100 * level:.4g}% interval [{low:+.2f}, {high:+.2f}]"


def _verdict(comparison: compare.Comparison | compare.SeedComparison) -> str:
    return "more than noise" if comparison.is_real[-1] else "not more than noise"
