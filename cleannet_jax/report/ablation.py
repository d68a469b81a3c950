"""The tables of an ablation as text, CSV, LaTeX and JSON, mAP in percent."""

import json
import pathlib
from collections.abc import Mapping

import numpy as np

from cleannet_jax import ablate, experiment
from cleannet_jax import methods as methods_lib
from cleannet_jax.data import files
from cleannet_jax.report import paper as paper_lib
from cleannet_jax.report import tables


def write_tables(ablation: ablate.Ablation, folder: pathlib.Path) -> None:
    """Writes the tables in all four forms."""
    forms = {"txt": as_text, "csv": as_csv, "tex": as_latex, "json": as_json}
    for ending, form in forms.items():
        with files.open_atomic(folder / f"table.{ending}") as file:
            file.write(form(ablation))


def as_text(ablation: ablate.Ablation) -> str:
    """The tables for a person, the paper's figures at tIoU 0.5 in the last column."""
    name, paper = _paper(ablation)
    lines = [experiment.GENERATED_NOTE] if ablation.generated else []
    lines.append(ablation.data)
    lines.append(
        "mean ± standard deviation over seeds; paper: its mAP at tIoU 0.5 on "
        f"{name}, other features"
    )
    head = [f"{tiou:.2f}" for tiou in ablation.tious] + ["mean", "seeds", "paper"]
    for title, results in _tables(ablation):
        rows = [[title, *head]]
        for result in results:
            cited = paper.get(result.method, {}).get(0.5)
            last = [str(len(result.seeds)), "" if cited is None else f"{cited:.1f}"]
            rows.append([result.method, *_figures(result), *last])
        lines += ["", *tables.aligned(rows)]
    if rows := matrix(ablation):
        lines += ["", *tables.aligned(rows)]
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
    name, paper = _paper(ablation)
    head = ("method", "tiou", "map_mean", "map_deviation", "seeds")
    rows = [[*head, f"paper_{name}", "generated_data"]]
    for result in ablation.results:
        cited = paper.get(result.method, {})
        columns = [*ablation.tious, "mean"], result.mean, result.deviation
        for tiou, mean, deviation in zip(*columns, strict=True):
            spread = "" if np.isnan(deviation) else f"{deviation:.4f}"
            row = [result.method, tiou, f"{mean:.4f}", spread, len(result.seeds)]
            rows.append([*row, cited.get(tiou, ""), str(ablation.generated).lower()])
    return tables.as_csv(rows)


def as_latex(ablation: ablate.Ablation) -> str:
    """A tabular of every table, without any package."""
    name, paper = _paper(ablation)
    notes = [experiment.GENERATED_NOTE] if ablation.generated else []
    lines = [f"% {note}" for note in [*notes, ablation.data]]
    head = [f"{tiou:g}" for tiou in ablation.tious] + ["mean", "paper, 0.5"]
    for title, results in _tables(ablation):
        rows = [["Method", *head]]
        for result in results:
            cited = paper.get(result.method, {}).get(0.5)
            figures = [f"${text}$".replace("±", r"\pm") for text in _figures(result)]
            method = result.method.replace("_", r"\_")
            rows.append([method, *figures, "" if cited is None else f"{cited:.1f}"])
        lines += [f"% {title}; paper: {name}, other features"]
        lines += [*tables.as_latex(rows), ""]
    return "\n".join(lines)


def as_json(ablation: ablate.Ablation) -> str:
    """Everything, every seed, in percent."""
    name, paper = _paper(ablation)
    content = {
        "data": ablation.data,
        "generated_data": ablation.generated,
        "unit": "percent",
        "tious": ablation.tious,
        "paper_data": name,
        "methods": {
            result.method: {
                "seeds": result.seeds,
                "map": result.map[:, :-1].tolist(),
                "mean": result.map[:, -1].tolist(),
                "paper": paper.get(result.method, {}),
            }
            for result in ablation.results
        },
    }
    return json.dumps(content, indent=1) + "\n"


def _paper(
    ablation: ablate.Ablation,
) -> tuple[str, Mapping[str, Mapping[float, float]]]:
    """The paper's data and figures to print beside ours: its own where it has them."""
    name = ablation.dataset if ablation.dataset in paper_lib.PAPER else "thumos14"
    return name, paper_lib.PAPER[name]


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
