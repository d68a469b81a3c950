"""The tables of an ablation as text, CSV, LaTeX and JSON, mAP in percent.

The paper's figures stand beside ours where the data are the paper's, and nowhere else.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from cleannet_jax import ablate, compare, experiment
from cleannet_jax import methods as methods_lib
from cleannet_jax.data import files
from cleannet_jax.report import comparison, evaluation, paper, tables


def write_tables(
    ablation: ablate.Ablation, folder: pathlib.Path, *, warnings: Sequence[str] = ()
) -> None:
    """Writes the tables in all four forms, the text with the warnings."""
    forms = {
        "txt": as_text(ablation, warnings=warnings),
        "csv": as_csv(ablation),
        "tex": as_latex(ablation),
        "json": as_json(ablation),
    }
    for ending, text in forms.items():
        with files.open_atomic(folder / f"table.{ending}") as file:
            file.write(text)


def as_text(ablation: ablate.Ablation, *, warnings: Sequence[str] = ()) -> str:
    """The tables for a person, the paper's figures at tIoU 0.5 in the last column.

    Args:
      ablation: what `ablate.ablate` returned.
      warnings: lines to repeat below the tables, such as
        `report.validation.summary_lines`; those of the evaluations are before them.
    """
    cited = _cited(ablation)
    lines = [experiment.GENERATED_NOTE] if ablation.generated else []
    lines.append(ablation.data)
    where = f"; paper: its mAP at tIoU 0.5 on {ablation.dataset}, other features"
    lines.append(f"mean ± standard deviation over seeds{where if cited else ''}")
    head = [f"{tiou:.2f}" for tiou in ablation.tious] + ["mean", "seeds"]
    for title, results in _tables(ablation):
        rows = [[title, *head, *(["paper"] if cited else [])]]
        for result in results:
            seeds = str(len(result.seeds))
            last = [_at_half(cited, result)] if cited else []
            method = result.method + ("*" if ablation.collapsed(result.method) else "")
            rows.append([method, *_figures(result), seeds, *last])
        lines += ["", *tables.aligned(rows)]
    if rows := matrix(ablation):
        lines += ["", *tables.aligned(rows)]
    collapsed = [
        f"* {result.method} has collapsed with seeds {', '.join(map(str, seeds))}"
        for result in ablation.results
        if (seeds := ablation.collapsed(result.method))
    ]
    if notes := [*collapsed, *evaluation.summary_lines(ablation.cautions), *warnings]:
        lines += ["", *notes]
    return "\n".join(lines) + "\n"


def matrix(ablation: ablate.Ablation) -> list[list[str]]:
    """Rows of where an SCP comes from against what is done with it, mean over tIoU.

    There are none unless two classifiers and two localizers have something in common.
    """
    found = {methods_lib.parts(result.method): result for result in ablation.results}
    classifiers = list(dict.fromkeys(classifier for classifier, _ in found))
    localizers = list(dict.fromkeys(localizer for _, localizer in found))
    localizers = [name for name in localizers if sum(c == name for _, c in found) > 1]
    if len(classifiers) < 2 or len(localizers) < 2:
        return []
    rows = [["SCP of, then (mean over tIoU)", *localizers]]
    for classifier in classifiers:
        cells = [found.get((classifier, localizer)) for localizer in localizers]
        rows.append(
            [classifier, *(_figures(cell)[-1] if cell else "" for cell in cells)]
        )
    return rows


def as_csv(ablation: ablate.Ablation) -> str:
    """One line a method and tIoU, and one for the mean over tIoU."""
    cited = _cited(ablation)
    head = ["method", "tiou", "map_mean", "map_deviation", "seeds", "collapsed"]
    head += [f"paper_{ablation.dataset}"] if cited else []
    rows = [[*head, "generated_data"]]
    for result in ablation.results:
        columns = [*ablation.tious, "mean"], result.mean, result.deviation
        for tiou, mean, deviation in zip(*columns, strict=True):
            spread = "" if np.isnan(deviation) else f"{deviation:.4f}"
            row = [result.method, tiou, f"{mean:.4f}", spread, len(result.seeds)]
            row.append(len(ablation.collapsed(result.method)))
            row += [cited.get(result.method, {}).get(tiou, "")] if cited else []
            rows.append([*row, str(ablation.generated).lower()])
    return tables.as_csv(rows)


def as_latex(ablation: ablate.Ablation) -> str:
    """A tabular of every table, without any package."""
    cited = _cited(ablation)
    notes = [experiment.GENERATED_NOTE] if ablation.generated else []
    lines = [f"% {note}" for note in [*notes, ablation.data]]
    head = [f"{tiou:g}" for tiou in ablation.tious] + ["mean"]
    for title, results in _tables(ablation):
        rows = [["Method", *head, *(["paper, 0.5"] if cited else [])]]
        for result in results:
            figures = [f"${text}$".replace("±", r"\pm") for text in _figures(result)]
            method = result.method.replace("_", r"\_")
            last = [_at_half(cited, result)] if cited else []
            rows.append([method, *figures, *last])
        where = f"; paper: {ablation.dataset}, other features" if cited else ""
        lines += [f"% {title}{where}", *tables.as_latex(rows), ""]
    return "\n".join(lines)


def as_json(ablation: ablate.Ablation) -> str:
    """Everything, every seed, in percent."""
    cited = _cited(ablation)
    content = {
        "data": ablation.data,
        "generated_data": ablation.generated,
        "unit": "percent",
        "tious": ablation.tious,
        **({"paper_data": ablation.dataset} if cited else {}),
        "methods": {
            result.method: {
                "seeds": result.seeds,
                "collapsed": ablation.collapsed(result.method),
                "map": result.map[:, :-1].tolist(),
                "mean": result.map[:, -1].tolist(),
                **({"paper": cited.get(result.method, {})} if cited else {}),
            }
            for result in ablation.results
        },
    }
    return json.dumps(content, indent=1) + "\n"


def comparisons_as_text(
    pairs: Sequence[tuple[str, str]],
    comparisons: Sequence[compare.SeedComparison],
    *,
    generated: bool,
) -> str:
    """The differences of the pairs' means over seeds and tIoU, in points of mAP.

    Args:
      pairs: names of methods.
      comparisons: what `ablate.compare` returned for them.
      generated: whether the data are.
    """
    rows = [["mean over tIoU", "difference", "from", "to", ""]]
    for (method, other), found in zip(pairs, comparisons, strict=True):
        ends = (found.difference, found.low, found.high)
        values = [f"{100 * value[-1]:+.2f}" for value in ends]
        verdict = "real" if found.is_real[-1] else "noise"
        rows.append([f"{method} - {other}", *values, verdict])
    level = 100 * comparisons[0].level
    seeds = len(comparisons[0].first)
    lines = [experiment.GENERATED_NOTE] if generated else []
    lines += tables.aligned(rows)
    lines.append(
        f"paired over videos and {seeds} seeds; {level:.4g}% intervals, which is 95%"
        f" for all {len(pairs)} together (Bonferroni)"
    )
    if seeds == 1:
        lines.append("with one seed the noise of training is not in the intervals")
    return "\n".join(lines) + "\n"


def write_comparisons(
    pairs: Sequence[tuple[str, str]],
    comparisons: Sequence[compare.SeedComparison],
    folder: pathlib.Path,
    *,
    generated: bool,
) -> None:
    """Writes comparisons.txt, and comparisons.json with every threshold, in percent."""
    with files.open_atomic(folder / "comparisons.txt") as file:
        file.write(comparisons_as_text(pairs, comparisons, generated=generated))
    content = {
        "generated_data": generated,
        "correction": "Bonferroni",
        "pairs": [
            {"pair": [method, other]} | comparison.seeds_difference(found)
            for (method, other), found in zip(pairs, comparisons, strict=True)
        ],
    }
    files.write_json(folder / "comparisons.json", content)


def _cited(ablation: ablate.Ablation) -> Mapping[str, Mapping[float, float]]:
    """The paper's figures on these data by method; empty where it has none."""
    return paper.PAPER.get(ablation.dataset, {})


def _at_half(cited: Mapping[str, Mapping[float, float]], result: ablate.Result) -> str:
    """The paper's figure of a method at tIoU 0.5; empty where it has none."""
    figure = cited.get(result.method, {}).get(0.5)
    return "" if figure is None else f"{figure:.1f}"


def _tables(ablation: ablate.Ablation) -> list[tuple[str, list[ablate.Result]]]:
    """Titles and rows of the tables that have at least two rows."""
    by_method = {result.method: result for result in ablation.results}
    named = {*methods_lib.TABLE_2, *methods_lib.TABLE_3}
    parts = [
        ("Variants (Table 2)", methods_lib.TABLE_2),
        ("Weakly supervised methods (Table 3)", methods_lib.TABLE_3),
        ("Other methods", [method for method in by_method if method not in named]),
    ]
    if len(by_method) < 2:
        return [("Results", ablation.results)]
    found = [
        (title, [by_method[method] for method in methods if method in by_method])
        for title, methods in parts
    ]
    return [(title, rows) for title, rows in found if rows]


def _figures(result: ablate.Result) -> list[str]:
    """Mean ± standard deviation at each tIoU and of the mean."""
    if len(result.seeds) < 2:
        return [f"{mean:.1f}" for mean in result.mean]
    return [
        f"{mean:.1f} ± {deviation:.1f}"
        for mean, deviation in zip(result.mean, result.deviation, strict=True)
    ]
