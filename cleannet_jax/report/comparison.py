"""The difference of two reports for a person and for JSON, in percent."""

from typing import Any

from cleannet_jax import compare, evaluate, results
from cleannet_jax.metrics import bootstrap
from cleannet_jax.report import tables


def as_dict(comparison: compare.Comparison) -> dict[str, Any]:
    """Returns both reports and their difference as JSON can hold them, in percent."""
    return {
        "first": results.as_dict(comparison.first),
        "second": results.as_dict(comparison.second),
        "difference": {
            "unit": "percent",
            "level": evaluate.LEVEL,
            "method": bootstrap.METHOD,
            "samples": comparison.samples,
            "seed": comparison.seed,
            "tious": comparison.first.result.tious.tolist(),
            "value": (100 * comparison.difference).tolist(),
            "low": (100 * comparison.low).tolist(),
            "high": (100 * comparison.high).tolist(),
            "more_than_noise": comparison.is_real.tolist(),
        },
    }


def as_text(comparison: compare.Comparison) -> str:
    """Returns the difference as lines for a person, in percent."""
    tious = comparison.first.result.tious
    rows = [["second - first", *(f"{tiou:.2f}" for tiou in tious), "mean"]]
    for name in ("difference", "low", "high"):
        values = 100 * getattr(comparison, name)
        rows.append([name, *(f"{value:+.2f}" for value in values)])
    rows.append(
        ["", *("real" if real else "noise" for real in comparison.is_real.tolist())]
    )
    table = tables.aligned(rows, widths=(25, 8), gap=1)
    value, low, high = (
        100 * values[-1]
        for values in (comparison.difference, comparison.low, comparison.high)
    )
    verdict = "more than noise" if comparison.is_real[-1] else "not more than noise"
    conclusion = (
        f"the mean differs by {value:+.2f}, {evaluate.LEVEL:.0%} interval"
        f" [{low:+.2f}, {high:+.2f}] over {comparison.samples} halves of the"
        f" videos (seed {comparison.seed}): {verdict}"
    )
    return "\n".join([*table, conclusion])
