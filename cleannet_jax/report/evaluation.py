"""A report of an evaluation as lines for a person, rates in percent."""

from collections.abc import Mapping, Sequence

import numpy as np

from cleannet_jax import evaluate, results
from cleannet_jax.data import agreement, variants
from cleannet_jax.metrics import diagnosis as diagnosis_lib
from cleannet_jax.report import tables

# Of the tables of a diagnosis, so that they stand below each other.
_DIAGNOSIS_WIDTHS = (18, 8)


def as_text(report: evaluate.Report, *, per_category: bool = False) -> str:
    """Returns the report as lines for a person, rates in percent.

    Args:
      report: what `evaluate.evaluate` returned.
      per_category: whether each category has its own line in the table.
    """
    names = [report.ground_truth, report.predictions]
    ground_truth, predictions = map(agreement.printable, names)
    lines = [
        f"protocol      {report.protocol}: {evaluate.PROTOCOLS[report.protocol]}",
        f"ground truth  {ground_truth}, {_counts(report)}",
        f"predictions   {predictions}, {_coverage(report)}",
        *_left_out(report),
        *(f"warning       {warning}" for warning in report.warnings),
        "",
        *_table(report, per_category=per_category),
        *(
            f"mAP, mean over tIoU {name:<10}{mean:7.2f}"
            for name, mean in results.averages(report.result)
        ),
    ]
    if report.confidence:
        lines.append(
            f"{evaluate.LEVEL:.0%} intervals from {report.confidence.samples} halves of the"
            f" annotated videos, seed {report.confidence.seed}"
        )
    if report.recall:
        recall = results.recall_dict(report.recall)
        points = "  ".join(
            f"{name} {value:.2f}" for name, value in recall["ar"].items()
        )
        lines.append(f"recall of any category, tIoU 0.5:0.95: {points}")
        lines.append(f"area under AR@AN, 1 to 100 proposals: {recall['auc']:.2f}")
    if report.diagnosis:
        lines += ["", *_diagnosis_lines(report.diagnosis)]
    return "\n".join(lines)


def as_csv(reports: Sequence[evaluate.Report]) -> str:
    """Returns the tables by category as CSV, rates in percent with every digit.

    A row has the predictions, the category and its instances, then the AP at each
    threshold and their mean, which are empty without instances; the last row of a
    report is its mAP.

    Args:
      reports: at least one, with the same thresholds.
    """
    heads = [f"tIoU {tiou:.4g}" for tiou in reports[0].result.tious]
    rows = [["predictions", "category", "instances", *heads, "mean"]]
    for report in reports:
        result = report.result
        names = [*result.labels, "mAP"]
        counts = [*result.positives.tolist(), int(result.positives.sum())]
        columns = [*result.ap.T, result.mean]
        for name, count, values in zip(names, counts, columns, strict=True):
            rates = (100 * evaluate.with_mean(values)).tolist()
            cells = ["" if np.isnan(rate) else repr(rate) for rate in rates]
            rows.append([report.predictions, name, str(count), *cells])
    return tables.as_csv(rows)


def summary_lines(cautions: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns the warnings of several evaluations, one line a kind with its first.

    Args:
      cautions: by the name of what was evaluated, `results.cautions`.
    """
    kinds: dict[str, list[tuple[str, str]]] = {}
    for name, lines in cautions.items():
        for line in lines:
            kinds.setdefault(line.partition(":")[0], []).append((name, line))
    summary = []
    for found in kinds.values():
        name, line = found[0]
        where = f" ({name}; {len(found)} of {len(cautions)} evaluations have such)"
        summary.append(f"warning: {line}{where if len(cautions) > 1 else ''}")
    return summary


def _diagnosis_lines(found: diagnosis_lib.Diagnosis) -> list[str]:
    """The diagnosis as lines, in percent, means over the thresholds."""
    shares = found.counts / np.maximum(found.counts.sum(axis=2, keepdims=True), 1)
    columns = [100 * shares[:, 0].mean(axis=0), 100 * shares[:, -1].mean(axis=0)]
    impact = np.append(np.nan, 100 * found.impact.mean(axis=0))
    rows = [["", "G", "10 G", "gain"]]
    for name, few, many, gain in zip(
        diagnosis_lib.TYPES, *columns, impact, strict=True
    ):
        cell = "" if np.isnan(gain) else f"{gain:.2f}"
        rows.append([name, f"{few:.1f}", f"{many:.1f}", cell])
    lines = [
        "errors by type, mean over tIoU, of each category's best G and 10 G:",
        "share of detections, and what mAP gains without them",
        *tables.aligned(rows, widths=_DIAGNOSIS_WIDTHS),
    ]
    whole = 100 * found.map_n.mean()
    lines += ["", f"by instance, mean over tIoU; normalised mAP of all {whole:.2f}"]
    for name, value in found.characteristics.items():
        sizes = diagnosis_lib.SIZES[: len(value.edges)]
        rows = [
            [name, *sizes],
            ["  up to", *(f"{edge:g}" for edge in value.edges)],
            ["  instances", *map(str, value.count)],
            ["  missed", *map(_rate, value.missed.mean(axis=0))],
            ["  normalised mAP", *map(_rate, value.map_n.mean(axis=0))],
        ]
        lines += tables.aligned(rows, widths=_DIAGNOSIS_WIDTHS)
        if value.unknown:
            lines.append(f"  not known of {value.unknown} instances")
    if "coverage" not in found.characteristics:
        lines.append("coverage          not known: no video has a duration")
    return lines


def _rate(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def _counts(report: evaluate.Report) -> str:
    """What there was to find."""
    variant = variants.VARIANTS[report.variant].description
    named = report.variant == "official"
    return (
        f"subset {report.subset!r}{'' if named else f', variant {report.variant}'}:"
        f" {report.num_videos} videos, {report.num_annotated}"
        f" of them annotated, with {report.num_instances} instances of"
        f" {np.count_nonzero(report.result.positives)} categories and"
        f" {report.num_ambiguous} ambiguous segments"
        f"{'' if named else f'; {variant}'}"
    )


def _coverage(report: evaluate.Report) -> str:
    """How much of it the predictions look at."""
    return (
        f"{report.num_detections} detections: {report.num_covered} of"
        f" {report.num_annotated} annotated videos have detections,"
        f" {len(report.uncovered)} have none"
    )


def _left_out(report: evaluate.Report) -> list[str]:
    """The videos that the predictions say nothing of, a line for each reason."""
    lines = []
    if report.uncovered:
        lines.append(f"nothing in    {agreement.listed(report.uncovered)}")
    if report.unnamed:
        lines.append(
            f"no entry for  {agreement.listed(report.unnamed)}; {report.missing}:"
            f" {evaluate.MISSING[report.missing]}"
        )
    return lines


def _table(report: evaluate.Report, *, per_category: bool) -> list[str]:
    """The lines of the table: thresholds across, categories down, then the mAP."""
    result = report.result
    heads = [f"{tiou:.2f}" for tiou in result.tious] + ["mean"]
    rows = [["AP (%) at tIoU", "instances", *heads]]
    if per_category:
        columns = zip(result.labels, result.positives, result.ap.T, strict=True)
        rows += [
            [
                agreement.printable(label),
                str(count),
                *_percents(evaluate.with_mean(ap)),
            ]
            for label, count, ap in columns
        ]
    means = _percents(evaluate.with_mean(result.mean))
    rows.append(["mAP", str(result.positives.sum()), *means])
    if report.confidence:
        rows.append(["  from", "", *_percents(report.confidence.low)])
        rows.append(["  to", "", *_percents(report.confidence.high)])
    return tables.aligned(rows, widths=(0, 8))


def _percents(values: np.ndarray) -> list[str]:
    """Rates as cells of a table; a dash for NaN."""
    return ["-" if np.isnan(value) else f"{100 * value:.2f}" for value in values]
