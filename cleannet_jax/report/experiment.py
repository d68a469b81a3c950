"""The table at the end of a run: mAP in percent of a method and its baselines."""

import pathlib
from collections.abc import Sequence

from cleannet_jax import experiment, results
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import files
from cleannet_jax.report import evaluation, tables


def as_text(
    rows: Sequence[experiment.Row],
    dataset: dataset_lib.Dataset,
) -> str:
    """Returns the table for a person, a row a method, and below it what to know of it.

    Args:
      rows: what `experiment.train_and_evaluate` returned.
      dataset: that it evaluated on, whose warnings come last.
    """
    report = rows[-1].report
    tious = report.result.tious
    lines = [experiment.GENERATED_NOTE] if dataset.generated else []
    lines.append(
        f"{dataset.name}, subset {report.subset!r}: {report.num_videos} videos, "
        f"{report.num_instances} instances; protocol {report.protocol}; mAP in percent"
    )
    cells = [["tIoU", *(f"{tiou:.2f}" for tiou in tious), "mean"]]
    for row in rows:
        values = 100 * row.report.result.mean
        figures = [f"{value:.1f}" for value in [*values, values.mean()]]
        cells.append([row.method, *figures])
    first = max(16, *(len(row.method) + 2 for row in rows))
    widths = (first, *[7] * len(tious), 8)
    lines += tables.aligned(cells, widths=widths)
    cautions = {row.method: results.cautions(vars(row.report)) for row in rows}
    return "\n".join([*lines, *evaluation.summary_lines(cautions), *dataset.warnings])


def write_table(
    rows: Sequence[experiment.Row],
    dataset: dataset_lib.Dataset,
    folder: pathlib.Path,
) -> str:
    """Writes the table to results/table.txt in the folder of a run; returns it."""
    table = as_text(rows, dataset)
    with files.open_atomic(folder / "results" / "table.txt") as file:
        file.write(table + "\n")
    return table
