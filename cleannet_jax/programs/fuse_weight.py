"""Chooses how much a contrast score counts beside a detector's own, on training videos.

    cleannet fuse-weight --scp SCP_FOLDER --proposals train.json \\
        --ground-truth annotations.json --subset training \\
        --evaluation-subset test --out weight.json
    cleannet score --scp SCP_FOLDER --proposals test.json --fuse weight.json \\
        --out better.json

Tries weights 0, .25, .5, 1, 2 and 4 with every evaluator, scale and suppression of
`cleannet score` that the options name, takes the one with the best mean mAP, and writes
down all of them, and which are no worse by more than noise. The subset must not be the
one that results are reported on.
"""

import argparse

from cleannet_jax import errors
from cleannet_jax.programs import options

# How many recipes are printed.
_SHOWN = 10


def parser() -> options.Parser:
    """The options."""
    from cleannet_jax import fuse_weight, fusion

    made = options.Parser("fuse-weight", __doc__)
    made.add_option(
        "--scp",
        required=True,
        metavar="FOLDER",
        help="ID.npy (T, N) for every video with proposals, and scp.json",
    )
    made.add_option(
        "--proposals",
        required=True,
        metavar="FILE",
        help="a detector's detections in training videos, with its scores; those in"
        " videos of other subsets are left out",
    )
    made.add_option("--ground-truth", required=True, metavar="FILE", help="annotations")
    made.add_option(
        "--subset", required=True, metavar="NAME", help="the training videos"
    )
    made.add_option(
        "--evaluation-subset",
        required=True,
        metavar="NAME",
        help="what results will be reported on. It must not be --subset, and no subset"
        " called test or testing is chosen on",
    )
    made.add_option("--out", required=True, metavar="FILE", help="JSON")
    made.add_option(
        "--tiou",
        metavar="LIST",
        default="0.1:0.1:0.7",
        help="thresholds whose mean mAP is compared, as in cleannet evaluate",
    )
    made.add_option(
        "--evaluators",
        metavar="LIST",
        default=",".join(fusion.EVALUATORS),
        help="that are tried",
    )
    made.add_option(
        "--scales", metavar="LIST", default=",".join(fusion.SCALES), help="tried"
    )
    made.add_option(
        "--suppressions",
        metavar="LIST",
        default=",".join(fuse_weight.SUPPRESSIONS),
        help="that are tried",
    )
    made.add_option(
        "--bootstrap",
        metavar="N",
        type=int,
        default=200,
        help="resamples of the videos, for what is noise",
    )
    made.add_option("--seed", type=int, default=0, help="of the resamples", metavar="N")
    options.add_labels(made)
    options.add_times(made)
    options.add_cache(made)
    return made


def run(parsed: argparse.Namespace) -> int:
    """Chooses, prints the best recipes and writes all."""
    from cleannet_jax import evaluate, fuse_weight, thresholds
    from cleannet_jax.data import files
    from cleannet_jax.programs import compilation
    from cleannet_jax.report import fusion as report

    fuse_weight.check_subset(parsed.subset, parsed.evaluation_subset)
    if parsed.bootstrap < 0 or parsed.seed < 0:
        raise errors.InputError("--bootstrap and --seed: expected 0 or more")
    options.check_times(parsed)
    read = parsed.proposals, parsed.scp, parsed.ground_truth, parsed.labels
    mark = {".json": '"chosen_on"'}
    options.check_output("--out", parsed.out, *read, mark=mark)
    tious = thresholds.parse_tious(parsed.tiou)
    tried = fuse_weight.recipes(
        evaluators=_names(parsed.evaluators, "evaluators"),
        scales=_names(parsed.scales, "scales"),
        suppressions=parsed.suppressions.split(","),
    )
    compilation.cache(parsed.compilation_cache)
    names = evaluate.read_names(parsed.labels) if parsed.labels else None
    annotations = evaluate.read_annotations(parsed.ground_truth, names=names)
    detections, scores = fuse_weight.read_scored(
        parsed.scp,
        parsed.proposals,
        annotations,
        subset=parsed.subset,
        snippet_seconds=parsed.snippet_seconds,
        offset_seconds=parsed.offset_seconds,
        names=names,
        warn=lambda line: print(f"warning: {line}"),
    )
    choice = fuse_weight.choose(
        detections,
        scores,
        annotations,
        subset=parsed.subset,
        tious=tious,
        tried=tried,
        samples=parsed.bootstrap,
        seed=parsed.seed,
        source=parsed.proposals,
    )
    content = fuse_weight.as_dict(choice, evaluation_subset=parsed.evaluation_subset)
    files.write_json(parsed.out, content)
    print(report.as_text(choice, shown=_SHOWN))
    print(f"written: {parsed.out}, for cleannet score --fuse")
    return 0


def _names(text: str, option: str) -> list[str]:
    """The names in a list, each of which is one."""
    from cleannet_jax import fusion

    known = {"evaluators": fusion.EVALUATORS, "scales": fusion.SCALES}[option]
    names = text.split(",")
    for name in names:
        if name not in known:
            raise errors.InputError(
                f"--{option}: found {name!r}, expected some of {','.join(known)}"
            )
    return names
