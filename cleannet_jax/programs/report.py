"""Makes pages of what was found, to open in a browser: how well it went, and why.

    cleannet report checkpoints/thumos14-full-seed0 --out pages
    cleannet report RUN OTHER --out pages
    cleannet report ABLATION --out pages
    cleannet report RUN OTHER --figure table --out table.pdf
    cleannet report RUN --figure video_test_0000004 --out video.pdf
    cleannet report found.json --ground-truth activity_net.v1-3.json --out pages

Open pages/index.html: it needs no server and no network. The pages of a run show its SCP
and attention where the features that it was trained on are at hand. docs/report.md says
what is on them.
"""

import argparse
import dataclasses
import pathlib
from typing import Any

from cleannet_jax import errors
from cleannet_jax.programs import options

FOLDERS = ("out",)

_FIGURES = ("table", "errors", "curves")
# Before an id that is one of these words.
_VIDEO = "video:"
# Of a picture of a video.
_FRAMES, _FRAME_HEIGHT = 5, 240


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
        metavar="WHAT",
        help="a figure for print, as wide as a column, in place of pages: table, errors,"
        " curves, or the id of a video, or video:ID where the id is such a word; with"
        " --videos the video's has frames",
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
    from cleannet_jax.report import drawing

    compilation.cache(parsed.compilation_cache)
    options.check_times(parsed)
    if parsed.figure is not None:
        options.check_output("--out", parsed.out, *parsed.inputs, parsed.ground_truth)
        drawing.checked_ending(parsed.out)
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
        # Of the figures the table alone has them.
        intervals=parsed.intervals and parsed.figure in (None, "table"),
    )
    if parsed.figure is not None:
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
        if parsed.snippet_seconds is not None or parsed.offset_seconds:
            raise errors.InputError(
                "--snippet-seconds, --offset-seconds: are of the snippets of --scp, which"
                " is not given"
            )
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
    from cleannet_jax.report import figures

    entries = [entry for entry in material.entries if entry.report is not None]
    note = "generated data" if any(entry.generated for entry in entries) else ""
    if parsed.figure == "curves":
        figures.draw_curves(parsed.out, _lines(material.entries), note=note)
    elif not entries:
        gaps = [gap for entry in material.entries for gap in entry.gaps]
        raise errors.InputError(
            f"--figure: found nothing that is evaluated: {(gaps or material.notes)[0]}"
        )
    elif parsed.figure == "table":
        results = [figures.of_report(entry.name, entry.report) for entry in entries]
        figures.draw_table(parsed.out, results, note=note)
    elif parsed.figure != "errors":
        _draw_video(parsed, material, note)
    else:
        report = entries[0].report
        rule = "" if report.protocol == "activitynet" else "matched as ActivityNet does"
        notes = "; ".join(filter(None, (note, rule)))
        figures.draw_errors(parsed.out, report.diagnosis, note=notes)
    print(parsed.out)
    return 0


def _lines(entries: Any) -> dict[str, list[dict[str, Any]]]:
    """The numbers of each training, as `figures.draw_curves` takes them."""
    return {
        entry.name: [
            {"stage": curve.stage, "step": step, curve.name: value}
            for curve in entry.curves
            for step, value in zip(
                curve.steps.tolist(), curve.values.tolist(), strict=True
            )
        ]
        for entry in entries
        if entry.curves
    }


def _draw_video(parsed: argparse.Namespace, material: Any, note: str) -> None:
    """Draws the picture of a video, with frames where its file is at hand."""
    from cleannet_jax.features import extract
    from cleannet_jax.features import video as video_lib
    from cleannet_jax.pages import printed
    from cleannet_jax.report import picture

    name, layout = parsed.figure, picture.COLUMN
    if name not in material.videos:
        name = name.removeprefix(_VIDEO)
    printed.check_video(material, name, others=_FIGURES)
    drawn, gaps = printed.picture_of(material, name, most=layout.shown)
    played = extract.find_videos([parsed.videos]) if parsed.videos else {}
    frames = []
    if name in played:
        frames = picture.read_frames(
            video_lib.open_video(played[name]),
            duration=drawn.duration,
            count=_FRAMES,
            height=_FRAME_HEIGHT,
        )
    elif parsed.videos:
        gaps.append(f"{parsed.videos}: no frames are shown: no file of this video")
    notes = "; ".join(filter(None, (note, drawn.note)))
    drawn = dataclasses.replace(drawn, frames=frames, note=notes)
    picture.draw(parsed.out, drawn, layout=layout)
    for gap in (*material.notes, *gaps):
        print(f"note: {gap}")
