"""Makes pages of what was found, to open in a browser: how well it went, and why.

    cleannet report checkpoints/thumos14-full-seed0 --out pages
    cleannet report RUN OTHER --out pages
    cleannet report ABLATION --out pages
    cleannet report RUN OTHER --figure table --out table.pdf
    cleannet report found.json --ground-truth activity_net.v1-3.json --out pages

Open pages/index.html: it needs no server and no network. The pages of a run show its SCP
and attention where the features that it was trained on are at hand. docs/report.md says
what is on them.
"""

import argparse
import pathlib
from typing import Any

from cleannet_jax import errors
from cleannet_jax.programs import options

FOLDERS = ("out",)


def parser() -> options.Parser:
    """The options."""
    from cleannet_jax import evaluate
    from cleannet_jax.data import variants

    made = options.Parser("report", __doc__, takes="RUN... ")
    made.add_argument(
        "inputs",
        metavar="RUN",
        nargs="+",
        help="folders of runs, one of an ablation, or files of detections",
    )
    made.add_option(
        "--out",
        metavar="DIR",
        required=True,
        help="folder of the pages, made anew; with --figure a .pdf, .svg or .png",
    )
    made.add_option(
        "--figure",
        choices=("table", "errors", "curves"),
        help="a figure for print, as wide as a column, in place of pages",
    )
    made.add_option(
        "--ground-truth",
        metavar="FILE",
        help="annotations: of files of detections, or of runs whose own were moved",
    )
    made.add_option(
        "--data", metavar="DIR", help="feature folder of the runs, where it was moved"
    )
    made.add_option(
        "--videos",
        metavar="DIR",
        help="folder of the video files, which pages then play",
    )
    files = made.add_argument_group("of files of detections")
    made.add_option(
        "--subset",
        metavar="NAME",
        group=files,
        help="the videos to evaluate (default: the one annotated subset that they have"
        " videos of)",
    )
    made.add_option(
        "--protocol",
        choices=evaluate.PROTOCOLS,
        default="activitynet",
        group=files,
        help="rule of the mAP, as for `cleannet evaluate`",
    )
    made.add_option(
        "--variant",
        choices=variants.VARIANTS,
        default="official",
        group=files,
        help="of THUMOS14's ground truth, as for `cleannet evaluate`",
    )
    made.add_option(
        "--tiou",
        metavar="LIST",
        default="0.1:0.1:0.9",
        group=files,
        help="thresholds, as 0.3,0.5,0.7 or first:step:last",
    )
    made.add_switch(
        "--ignore-unknown-labels",
        group=files,
        help="leave detections out of the numbers whose label the annotations use"
        " nowhere; pages show them as false",
    )
    made.add_option(
        "--scp",
        metavar="DIR",
        group=files,
        help="folder of SCPs that are shown beside them: ID.npy (T, N) and scp.json, as"
        " for `cleannet score`",
    )
    options.add_labels(made)
    options.add_times(made)
    made.add_switch("--intervals", help="compute confidence intervals", default=True)
    options.add_cache(made)
    return made


def run(parsed: argparse.Namespace) -> int:
    """Gathers and writes; prints where."""
    from cleannet_jax import evaluate, logs, thresholds
    from cleannet_jax.features import extract
    from cleannet_jax.pages import gather, site
    from cleannet_jax.programs import compilation

    compilation.cache(parsed.compilation_cache)
    options.check_times(parsed)
    if parsed.figure:
        options.check_output("--out", parsed.out, *parsed.inputs, parsed.ground_truth)
    else:
        site.check_packages()
        site.check_folder(parsed.out)
    rules = gather.Rules(
        tious=tuple(thresholds.parse_tious(parsed.tiou)),
        protocol=parsed.protocol,
        subset=parsed.subset,
        variant=parsed.variant,
        ignore_unknown_labels=parsed.ignore_unknown_labels,
    )
    material = gather.gather(
        parsed.inputs,
        rules=rules,
        ground_truth=parsed.ground_truth,
        data=parsed.data,
        names=evaluate.read_names(parsed.labels) if parsed.labels else None,
        scores=_scores(parsed),
        intervals=parsed.intervals,
    )
    if parsed.figure:
        return _draw(parsed, material)
    played = extract.find_videos([parsed.videos]) if parsed.videos else {}
    if played and not played.keys() & material.videos.keys():
        raise errors.InputError(
            f"--videos: {parsed.videos}: found none of the videos by their names, such as"
            f" {next(iter(material.videos), '')!r}"
        )
    with logs.progress_bar("pages", total=len(material.videos)) as bar:
        site.write(
            material,
            parsed.out,
            files_by_id=played,
            progress=lambda done, total: bar.update(done - bar.n),
        )
    gaps = [gap for entry in material.entries for gap in entry.gaps]
    for line in (*material.notes, *gaps):
        print(f"note: {line}")
    print(f"{len(material.videos)} videos: open {parsed.out}/index.html")
    return 0


def _scores(parsed: argparse.Namespace) -> Any:
    """The SCPs that stand beside files of detections, if a folder of them is named."""
    from cleannet_jax.data import snippets
    from cleannet_jax.pages import signals

    if not parsed.scp:
        return None
    if all(pathlib.Path(place).is_dir() for place in parsed.inputs):
        raise errors.InputError(
            "--scp: found runs alone, which have SCPs of their own; expected files of"
            " detections with it"
        )
    folder = snippets.open_scores(
        parsed.scp,
        snippet_seconds=parsed.snippet_seconds,
        offset_seconds=parsed.offset_seconds,
    )
    return signals.Scores(folder)


def _draw(parsed: argparse.Namespace, material: Any) -> int:
    """Draws a figure of what was gathered."""
    from cleannet_jax import logs
    from cleannet_jax.report import figures

    entries = [entry for entry in material.entries if entry.report is not None]
    note = "generated data" if any(entry.generated for entry in entries) else ""
    if parsed.figure == "curves":
        lines = {
            entry.name: [
                line
                for stage in ("head", "cleannet")
                for line in logs.read_metrics(entry.path, stage)
            ]
            for entry in material.entries
            if pathlib.Path(entry.path).is_dir()
        }
        figures.draw_curves(parsed.out, lines, note=note)
    elif not entries:
        gaps = [gap for entry in material.entries for gap in entry.gaps]
        raise errors.InputError(
            f"--figure: found nothing that is evaluated: {(gaps or material.notes)[0]}"
        )
    elif parsed.figure == "table":
        results = [figures.of_report(entry.name, entry.report) for entry in entries]
        figures.draw_table(parsed.out, results, note=note)
    elif entries[0].report.diagnosis is None:
        raise errors.InputError("--figure errors: the protocol has no error types")
    else:
        figures.draw_errors(parsed.out, entries[0].report.diagnosis, note=note)
    print(parsed.out)
    return 0
