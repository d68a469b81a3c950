"""Scores proposals of any origin by the contrast in snippet-level predictions.

One video, proposals in snippets, (P, 2) or (N, P, 2):

    cleannet score --scp video.npy --proposals proposals.npz --out scored.npz

Many videos, proposals in seconds as ActivityNet JSON, THUMOS14's text (.txt), a table
(.csv) or ActionFormer's eval_results.pkl (.pkl); SCP_FOLDER holds ID.npy (T, N)
for every video and scp.json, {"categories": [N names]} (`cleannet localize --scp` writes
it, with the time base of every video):

    cleannet score --scp SCP_FOLDER --proposals proposals.json \\
        --snippet-seconds 0.5 --out scored.json

The output is the input with five scores at every proposal: action (s_a), starting
(s_s), ending (s_e), contrast (s) and outer_inner, AutoLoc's; in JSON and CSV, "score"
becomes the one that --evaluator names and the score that was there stays as "input_score".

    cleannet score --scp SCP_FOLDER --proposals found.json --out better.json \\
        --fuse 1 --suppress soft:0.3

adds the evaluator's score to the detector's own; docs/improve.md says what to expect.
"""

import argparse
from typing import TYPE_CHECKING

from cleannet_jax import errors
from cleannet_jax.programs import options

if TYPE_CHECKING:
    from cleannet_jax import fusion, score


def parser() -> options.Parser:
    """The options."""
    from cleannet_jax import fusion

    made = options.Parser("score", __doc__)
    made.add_option(
        "--scp",
        required=True,
        metavar="PATH",
        help="(T, N) .npy file, probabilities in [0, 1], or a folder of them",
    )
    made.add_option(
        "--proposals",
        required=True,
        metavar="FILE",
        help=".npz with the array `proposals` in snippets, or detections in seconds:"
        " ActivityNet JSON, .csv, .pkl of ActionFormer, .txt of THUMOS14, or .txt, a"
        " proposal list of SSN (structured segment networks)",
    )
    made.add_option(
        "--out",
        required=True,
        metavar="FILE",
        help=".npz for an .npz; else JSON, or .csv or .txt where it ends so",
    )
    made.add_option(
        "--evaluator",
        metavar="NAME",
        help="what becomes the score of a proposal: contrast, outer_inner, sum (of"
        " both), oic (outer_inner whose flanks end with the video), mean (of the SCP"
        " inside), or several with + between them (default: contrast)",
    )
    made.add_option(
        "--smoothing-width",
        type=int,
        default=1,
        metavar="W",
        help="score on the SCP's mean over so many snippets, odd",
    )
    made.add_option(
        "--video-score-weight",
        type=float,
        default=0.0,
        metavar="G",
        help="add G x the video's score to the evaluator's: video/ID.npy of the folder,"
        " or the mean of the highest eighth of the SCP",
    )
    made.add_option(
        "--fuse",
        metavar="W",
        help="new score = the detector's own + W x the evaluator's: a number of at"
        " least 0, or a file of cleannet fuse-weight, which says --evaluator, --scale"
        " and --suppress too",
    )
    meanings = "; ".join(f"{name}: {what}" for name, what in fusion.SCALES.items())
    made.add_option(
        "--scale",
        choices=fusion.SCALES,
        help=f"with --fuse, both scores. {meanings} (default: none)",
    )
    made.add_option(
        "--suppress",
        metavar="HOW",
        help="what overlaps a better detection of its video and category. soft:SIGMA:"
        " its score times exp(-tIoU^2 / SIGMA); hard:TIOU: gone, above that tIoU; none"
        " (default: none)",
    )
    made.add_option(
        "--annotations",
        metavar="FILE",
        help="annotation file with the durations that a proposal list of SSN lacks",
    )
    options.add_labels(made)
    made.add_switch(
        "--unbounded-scp", help="score SCPs that are no probabilities, such as logits"
    )
    options.add_times(made)
    options.add_cache(made)
    return made


def run(parsed: argparse.Namespace) -> int:
    """Scores and writes; says how many."""
    from cleannet_jax import score
    from cleannet_jax.data import labels
    from cleannet_jax.localizers import scoring
    from cleannet_jax.programs import compilation

    compilation.cache(parsed.compilation_cache)
    options.check_times(parsed)
    read = parsed.proposals, parsed.scp, parsed.fuse, parsed.annotations, parsed.labels
    options.check_output("--out", parsed.out, *read, mark=options.DETECTIONS)
    recipe, judge = _recipe(parsed), _judge(parsed)
    scoring.parts(recipe.evaluator, place="evaluator")
    if parsed.proposals.endswith(".npz"):
        if judge.video_score_weight:
            raise errors.InputError(
                "--video-score-weight: expected a file of detections with it, found"
                f" {parsed.proposals}, which knows of no video"
            )
        if recipe.weight is not None or recipe.suppression.kind != "none":
            raise errors.InputError(
                f"{parsed.proposals}: an .npz has no scores and categories; --fuse and"
                " --suppress are for files of detections"
            )
        count = score.score_arrays(
            parsed.scp,
            parsed.proposals,
            parsed.out,
            unbounded=parsed.unbounded_scp,
            judge=judge._replace(evaluator=recipe.evaluator),
        )
    else:
        count = score.score_submission(
            parsed.scp,
            parsed.proposals,
            parsed.out,
            snippet_seconds=parsed.snippet_seconds,
            offset_seconds=parsed.offset_seconds,
            annotations=parsed.annotations,
            recipe=recipe,
            judge=judge,
            names=labels.read_names(parsed.labels) if parsed.labels else None,
            unbounded=parsed.unbounded_scp,
            warn=lambda line: print(f"warning: {line}"),
        )
    print(f"{count} proposals scored: {parsed.out}")
    return 0


def _recipe(parsed: argparse.Namespace) -> "fusion.Recipe":
    """How the new score is made, by the options or the file that --fuse names."""
    from cleannet_jax import fusion
    from cleannet_jax.data import files
    from cleannet_jax.localizers import suppression as suppression_lib

    own = ("evaluator", "scale", "suppress")
    if parsed.fuse is not None and not _is_number(parsed.fuse):
        if parsed.smoothing_width != 1 or parsed.video_score_weight:
            raise errors.InputError(
                f"--fuse: found {parsed.fuse} with --smoothing-width or"
                " --video-score-weight, expected neither: its weight was chosen for the"
                " evaluator's score without them"
            )
        for name in own:
            if getattr(parsed, name) is not None:
                raise errors.InputError(
                    f"--{name}: expected it or a file for --fuse, which says it too,"
                    " found both"
                )
        return fusion.from_dict(files.read_json(parsed.fuse), parsed.fuse)
    if parsed.scale is not None and parsed.fuse is None:
        raise errors.InputError("--scale: expected --fuse too, whose scores it is of")
    weight = None if parsed.fuse is None else fusion.parse_weight(parsed.fuse, "--fuse")
    return fusion.Recipe(
        weight=weight,
        evaluator="contrast" if parsed.evaluator is None else parsed.evaluator,
        suppression=suppression_lib.parse(parsed.suppress or "none"),
        scale=parsed.scale or "none",
    )


def _judge(parsed: argparse.Namespace) -> "score.Judge":
    """How proposals are judged, but for the evaluator."""
    from cleannet_jax import fusion, score

    width, weight = parsed.smoothing_width, parsed.video_score_weight
    if width < 1 or width % 2 == 0:
        raise errors.InputError(
            f"--smoothing-width: found {width}, expected an odd number above 0"
        )
    weight = fusion.parse_weight(weight, "--video-score-weight")
    return score.Judge(smoothing_width=width, video_score_weight=weight)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
