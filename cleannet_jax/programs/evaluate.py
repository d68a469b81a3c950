"""Evaluates detections against ground truth: mAP under the rule of either benchmark.

    cleannet evaluate predictions.json --ground-truth activity_net.v1-2.json \\
        --subset validation --tiou 0.5:0.05:0.95
    cleannet evaluate detections.txt --ground-truth thumos14.json --subset test \\
        --protocol thumos14 --variant 210 --tiou 0.1:0.1:0.7 --per-category
    cleannet evaluate mine.json theirs.json --ground-truth thumos14.json
    cleannet evaluate a0.json a1.json a2.json --against b0.json b1.json b2.json \\
        --ground-truth thumos14.json

Detections are an ActivityNet submission, THUMOS14's text (.txt), a table (.csv), or
ActionFormer's eval_results.pkl (.pkl); the ground truth is ActivityNet's JSON, a table
(.csv), or a folder of THUMOS14's text files. Labels that are numbers need --labels. Of two
files of detections it is also said whether they differ by more than noise, and with
--against, of two methods with several seeds each, whether their means do. The exit
status is 0, or 2 with the reason in one line where an input cannot be used.
docs/evaluation.md says what each option means.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from cleannet_jax import errors
from cleannet_jax.programs import options

# What reports hold near their start and annotations nowhere, see `check_output`.
_MARKS = {
    ".json": '"num_annotated"|"tious"|"first": ',
    ".csv": "^predictions,category,instances",
}

# Resamples for two files, where --bootstrap says nothing.
_SAMPLES = 1000


def parser() -> options.Parser:
    """The options."""
    from cleannet_jax import evaluate
    from cleannet_jax.data import variants

    made = options.Parser("evaluate", __doc__, takes="PREDICTIONS [PREDICTIONS] ")
    made.add_argument(
        "predictions",
        metavar="PREDICTIONS",
        nargs="+",
        help="one or two files, or more before --against, a seed each",
    )
    made.add_option(
        "--against",
        metavar="PREDICTIONS",
        nargs="+",
        default=[],
        help="files of another method, a seed each: by how much its mean differs; paired"
        " by their order where there are as many",
    )
    made.add_option("--ground-truth", metavar="FILE", required=True, help="annotations")
    made.add_option(
        "--subset",
        metavar="NAME",
        help="the videos to evaluate (default: the one annotated subset that"
        " PREDICTIONS has videos of)",
    )
    made.add_option(
        "--protocol",
        choices=evaluate.PROTOCOLS,
        default="activitynet",
        help=f"{_choices(evaluate.PROTOCOLS)}; activitynet for THUMOS14 too, as in the"
        " paper",
    )
    descriptions = {
        name: variant.description for name, variant in variants.VARIANTS.items()
    }
    made.add_option(
        "--variant",
        choices=variants.VARIANTS,
        default="official",
        help=f"of THUMOS14's ground truth. {_choices(descriptions)}",
    )
    made.add_option(
        "--missing",
        choices=evaluate.MISSING,
        default="count-as-empty",
        help="what becomes of annotated videos that PREDICTIONS has no entry for."
        f" {_choices(evaluate.MISSING)}",
    )
    made.add_option(
        "--other-subsets",
        choices=evaluate.OTHER_SUBSETS,
        default="count",
        help="what becomes of detections in videos that --ground-truth lists in another"
        f" subset. {_choices(evaluate.OTHER_SUBSETS)}",
    )
    options.add_labels(made)
    made.add_switch(
        "--ignore-unknown-labels",
        help="leave out detections whose label --ground-truth uses nowhere",
    )
    made.add_option(
        "--tiou",
        metavar="LIST",
        default="0.1:0.1:0.9",
        help="thresholds, as 0.3,0.5,0.7 or first:step:last; ActivityNet's own are"
        " 0.5:0.05:0.95",
    )
    made.add_switch(
        "--add-parents",
        help="take every detection of CliffDiving for one of Diving too, which"
        " contains it",
    )
    made.add_switch("--per-category", help="print the AP of each category too")
    made.add_switch("--recall", help="class-agnostic average recall (AR@AN) too")
    made.add_option(
        "--diagnose",
        choices=evaluate.BINS,
        help="types of errors, and detection by length, coverage and number of"
        " instances, in DETAD's bins for either benchmark",
    )
    made.add_option(
        "--bootstrap",
        metavar="N",
        type=int,
        help="95% confidence intervals from N resamples of the videos (default: 0,"
        f" or {_SAMPLES} to compare)",
    )
    made.add_option("--seed", type=int, default=0, help="of the resamples", metavar="N")
    made.add_option("--json", metavar="OUT", help="write the report to a file too")
    made.add_option(
        "--csv", metavar="OUT", help="write the table by category to a file too"
    )
    return made


def _choices(meanings: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {meaning}" for name, meaning in meanings.items())


def run(parsed: argparse.Namespace) -> int:
    """Evaluates and prints."""
    from cleannet_jax.data import files
    from cleannet_jax.report import evaluation

    if len(parsed.predictions) > 2 and not parsed.against:
        raise errors.InputError(
            f"expected one or two PREDICTIONS, found {len(parsed.predictions)};"
            " the seeds of another method go after --against"
        )
    if (parsed.bootstrap or 0) < 0 or parsed.seed < 0:
        raise errors.InputError("--bootstrap and --seed: expected 0 or more")
    inputs = (*parsed.predictions, *parsed.against, parsed.ground_truth, parsed.labels)
    for flag, path in (("--json", parsed.json), ("--csv", parsed.csv)):
        options.check_output(flag, path, *inputs, mark=_MARKS)
    reports = _reports(parsed)
    text, content = _result(parsed, reports)
    print(text)
    if parsed.json:
        files.write_json(parsed.json, content)
    if parsed.csv:
        with files.open_atomic(parsed.csv) as file:
            file.write(evaluation.as_csv(reports))
    return 0


def _result(
    parsed: argparse.Namespace, reports: list[Any]
) -> tuple[str, dict[str, Any]]:
    """What to print, and the same for a JSON file."""
    from cleannet_jax import compare, results
    from cleannet_jax.report import comparison, evaluation

    texts = [
        evaluation.as_text(report, per_category=parsed.per_category)
        for report in reports
    ]
    if parsed.against:
        count = len(parsed.predictions)
        found = compare.compare_seeds(
            reports[:count],
            reports[count:],
            samples=parsed.bootstrap or _SAMPLES,
            seed=parsed.seed,
        )
        texts.append(comparison.seeds_as_text(found))
        return "\n\n".join(texts), comparison.seeds_as_dict(found)
    if len(reports) == 1:
        return texts[0], results.as_dict(reports[0])
    difference = compare.compare(
        *reports, samples=parsed.bootstrap or _SAMPLES, seed=parsed.seed
    )
    texts.append(comparison.as_text(difference))
    return "\n\n".join(texts), comparison.as_dict(difference)


def _reports(parsed: argparse.Namespace) -> list[Any]:
    """A report on each of the files that were named."""
    from cleannet_jax import evaluate, thresholds
    from cleannet_jax.data import variants

    tious = thresholds.parse_tious(parsed.tiou)
    names = evaluate.read_names(parsed.labels) if parsed.labels else None
    annotations = evaluate.read_annotations(parsed.ground_truth, names=names)
    reports = []
    for source in (*parsed.predictions, *parsed.against):
        predictions = evaluate.read_predictions(source, names=names)
        if parsed.add_parents:
            predictions = variants.with_parents(predictions)
        subset = parsed.subset or evaluate.find_subset(
            predictions, annotations, source=source
        )
        report = evaluate.evaluate(
            predictions,
            annotations,
            subset=subset,
            tious=tious,
            protocol=parsed.protocol,
            variant=parsed.variant,
            missing=parsed.missing,
            other_subsets=parsed.other_subsets,
            ignore_unknown_labels=parsed.ignore_unknown_labels,
            recall=parsed.recall,
            samples=parsed.bootstrap or 0,
            seed=parsed.seed,
            bins=parsed.diagnose,
            source=source,
        )
        reports.append(report)
    return reports
