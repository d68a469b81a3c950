"""A report of an evaluation as plain facts: what results/NAME.json of a run holds.

Rates are in percent, and what is not known is None.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from cleannet_jax import collapse, evaluate
from cleannet_jax.data import agreement, units
from cleannet_jax.metrics import average_precision, average_recall, bootstrap
from cleannet_jax.metrics import diagnosis as diagnosis_lib

# The ranges that papers average over: first, last, how many.
_RANGES = (
    (0.1, 0.5, 5),
    (0.1, 0.7, 7),
    (0.1, 0.9, 9),
    (0.3, 0.7, 5),
    (0.5, 0.95, 10),
)


# How a caution begins that says that a method has learned nothing.
_COLLAPSES = (collapse.NO_POSITIVES, evaluate.NO_DETECTION, units.WHOLE_VIDEOS)

# The average numbers of proposals that papers report the recall at.
_NUMBERS = (1, 5, 10, 50, 100)


def as_dict(report: evaluate.Report) -> dict[str, Any]:
    """Returns the report as JSON can hold it, rates in percent.

    The average precision of a category without ground truth is None.
    """
    result = report.result
    columns = zip(result.labels, result.positives.tolist(), result.ap.T, strict=True)
    whole = ("result", "ranking", "recall", "confidence", "diagnosis")
    facts = {
        field.name: getattr(report, field.name)
        for field in dataclasses.fields(report)
        if field.name not in whole
    }
    return facts | {
        "unnamed": list(report.unnamed),
        "uncovered": list(report.uncovered),
        "warnings": list(report.warnings),
        "unit": "percent",
        "tious": result.tious.tolist(),
        "map": (100 * result.mean).tolist(),
        "mean": float(100 * result.mean.mean()),
        "averages": dict(averages(result)),
        "categories": {
            label: {"instances": count, "ap": (100 * ap).tolist() if count else None}
            for label, count, ap in columns
        },
        "confidence": _confidence_dict(report.confidence),
        "recall": recall_dict(report.recall),
        "diagnosis": _diagnosis_dict(report.diagnosis),
    }


def _percent(values: np.ndarray) -> Any:
    """Rates as nested lists of percent, None for NaN."""
    if np.ndim(values):
        return [_percent(value) for value in values]
    return None if np.isnan(values) else float(100 * values)


def _diagnosis_dict(found: diagnosis_lib.Diagnosis | None) -> dict[str, Any] | None:
    """The diagnosis as JSON can hold it, rates in percent, an upper edge None for ∞."""
    if found is None:
        return None
    characteristics = {
        name: {
            "bins": list(diagnosis_lib.SIZES[: len(value.edges)]),
            "upper_edges": [None if np.isinf(edge) else edge for edge in value.edges],
            "instances": value.count.tolist(),
            "unknown": value.unknown,
            "missed": _percent(value.missed),
            "normalised_map": _percent(value.map_n),
        }
        for name, value in found.characteristics.items()
    }
    return {
        "tious": found.tious.tolist(),
        "types": list(diagnosis_lib.TYPES),
        "counts": found.counts.tolist(),
        "map_of_best_10g": _percent(found.map),
        "impact": _percent(found.impact),
        "normalised_map": _percent(found.map_n),
        "characteristics": characteristics,
    }


def _confidence_dict(confidence: evaluate.Confidence | None) -> dict[str, Any] | None:
    """The intervals in percent; the last of each list is that of the mean."""
    if confidence is None:
        return None
    return {
        "level": evaluate.LEVEL,
        "method": bootstrap.METHOD,
        "samples": confidence.samples,
        "seed": confidence.seed,
        "low": (100 * confidence.low).tolist(),
        "high": (100 * confidence.high).tolist(),
    }


def recall_dict(recall: average_recall.AverageRecall | None) -> dict[str, Any] | None:
    """Returns the average recall in percent: at the usual numbers, its area and its curve."""
    if recall is None:
        return None
    mean = (100 * recall.mean).tolist()
    return {
        "tious": recall.tious.tolist(),
        "ar": {f"AR@{number}": mean[number - 1] for number in _NUMBERS},
        "auc": 100 * recall.auc,
        "numbers": recall.numbers.tolist(),
        "curve": mean,
    }


def averages(result: average_precision.AveragePrecision) -> list[tuple[str, float]]:
    """Returns means of the mAP in percent over those usual ranges that were evaluated."""
    tious = result.tious.round(6).tolist()
    averages = []
    for first, last, count in _RANGES:
        wanted = np.linspace(first, last, count).round(6).tolist()
        if set(wanted) <= set(tious):
            places = [tious.index(tiou) for tiou in wanted]
            mean = float(100 * result.mean[places].mean())
            averages.append((f"{first}:{last}", mean))
    return averages


def is_collapse(caution: str) -> bool:
    """Whether a line of `cautions` says that the method has collapsed."""
    return caution.startswith(_COLLAPSES)


def cautions(facts: Mapping[str, Any]) -> list[str]:
    """Returns what whoever reads a mean of this evaluation should know, a line each.

    Args:
      facts: of a report: what `as_dict` returned, or the attributes of the report.
    """
    lines = list(facts.get("warnings", ()))
    uncovered = facts.get("uncovered", ())
    if uncovered:
        lines.append(
            f"annotated videos without a detection: {len(uncovered)} of"
            f" {facts['num_annotated']}, {agreement.listed(uncovered)}"
        )
    return lines
