"""A validation report and the cost of training, for people and as JSON can hold them.

The lines of a report's findings are `validation.report_text`: the error that stops a
program carries them.
"""

from collections.abc import Iterable
from typing import Any

from cleannet_jax import cost as cost_lib
from cleannet_jax import findings as findings_lib
from cleannet_jax import validation
from cleannet_jax.data import agreement
from cleannet_jax.report import tables


def categories_text(report: validation.Report) -> str:
    """Returns the table of categories for people."""
    names = [agreement.printable(count.category) for count in report.categories]
    rows = [["category", "train videos", "eval. videos", "eval. instances"]]
    for name, count in zip(names, report.categories, strict=True):
        rows.append([name, *map(str, count[1:])])
    return "\n".join(tables.aligned(rows, widths=(0, 17)))


def report_dict(report: validation.Report) -> dict[str, Any]:
    """Returns a report as JSON can hold it, with every finding, by kind."""
    return {
        "name": report.name,
        "folder": report.folder,
        "values_read": report.values_read,
        "subsets": [count._asdict() for count in report.subsets],
        "categories": [count._asdict() for count in report.categories],
        "errors": _kinds_dict(report.errors),
        "warnings": _kinds_dict(report.warnings),
    }


def _kinds_dict(
    findings: Iterable[findings_lib.Finding],
) -> dict[str, list[dict[str, str]]]:
    return {
        kind: [{"video": item.video, "message": item.message} for item in group]
        for kind, group in validation.by_kind(findings)
    }


def cost_text(cost: cost_lib.Cost, *, rate: float) -> str:
    """Returns the estimate for people.

    Args:
      cost: what `cost.training_cost` returned.
      rate: operations a second, such as `cost.multiplication_rate`.
    """
    buckets = ", ".join(map(str, cost.buckets)) or "no"
    memory = (
        f"{_gigabytes(cost.memory_bytes)} of memory beside the program, for buckets of "
        f"{buckets} snippets, of which {cost.padding:.0%} is padding"
    )
    arithmetic = (
        f"{cost.operations / rate:.0f} s of arithmetic at the {rate / 1e9:.0f} GFLOP/s "
        "of a matrix product on this CPU; compiling, reading and saving come on top"
    )
    return "\n  ".join(
        [
            f"to train on {cost.videos} videos with the default options, about",
            f"{_gigabytes(cost.stored_bytes)} of features on disk",
            memory,
            arithmetic,
        ]
    )


def cost_dict(cost: cost_lib.Cost, *, rate: float) -> dict[str, Any]:
    """Returns the estimate as JSON can hold it."""
    seconds = cost.operations / rate
    return cost._asdict() | {"buckets": list(cost.buckets), "seconds": seconds}


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
