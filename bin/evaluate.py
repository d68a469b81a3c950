"""Evaluates detections against ground truth: mAP under the rule of either benchmark.

    python bin/evaluate.py predictions.json --ground-truth activity_net.v1-2.json \\
        --subset validation --tiou 0.5:0.05:0.95
    python bin/evaluate.py detections.txt --ground-truth thumos14.json --subset test \\
        --protocol thumos14 --variant 210 --tiou 0.1:0.1:0.7 --per-category
    python bin/evaluate.py mine.json theirs.json --ground-truth thumos14.json

Detections follow ActivityNet's JSON schema, or are THUMOS14's text where the file ends in
.txt; the ground truth follows ActivityNet's, or is a folder of THUMOS14's text files. Of
two files of detections it is also said whether they differ by more than noise. The exit
status is 0, or 2 with the reason in one line where an input cannot be used.
docs/evaluation.md says what each option means.
"""

import argparse
import sys
from typing import Any

from cleannet_jax import compare, errors, evaluate
from cleannet_jax.data import annotation_files, files, variants

# Resamples for two files, where --bootstrap says nothing.
_SAMPLES = 1000


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "predictions", metavar="PREDICTIONS", nargs="+", help="one or two files"
    )
    parser.add_argument(
        "--ground-truth", metavar="FILE", required=True, help="annotations"
    )
    parser.add_argument(
        "--subset",
        metavar="NAME",
        help="the videos to evaluate (default: the one annotated subset that"
        " PREDICTIONS has videos of)",
    )
    parser.add_argument(
        "--protocol",
        choices=evaluate.PROTOCOLS,
        default="activitynet",
        help=f"{_choices(evaluate.PROTOCOLS)} (default: activitynet, for THUMOS14 too,"
        " as in the paper)",
    )
    descriptions = {
        name: variant.description for name, variant in variants.VARIANTS.items()
    }
    parser.add_argument(
        "--variant",
        choices=variants.VARIANTS,
        default="official",
        help=f"of THUMOS14's ground truth. {_choices(descriptions)} (default: official)",
    )
    parser.add_argument(
        "--missing",
        choices=evaluate.MISSING,
        default="count-as-empty",
        help="what becomes of annotated videos that PREDICTIONS has no entry for."
        f" {_choices(evaluate.MISSING)} (default: count-as-empty)",
    )
    parser.add_argument(
        "--tiou",
        metavar="LIST",
        default="0.1:0.1:0.9",
        help="thresholds, as 0.3,0.5,0.7 or first:step:last; ActivityNet's own are"
        " 0.5:0.05:0.95 (default: 0.1:0.1:0.9)",
    )
    parser.add_argument(
        "--add-parents",
        action="store_true",
        help="take every detection of CliffDiving for one of Diving too, which"
        " contains it",
    )
    parser.add_argument(
        "--per-category", action="store_true", help="print the AP of each category too"
    )
    parser.add_argument(
        "--recall",
        action="store_true",
        help="class-agnostic average recall (AR@AN) too",
    )
    parser.add_argument(
        "--diagnose",
        choices=evaluate.BINS,
        help="types of errors, and detection by length, coverage and number of"
        " instances, in DETAD's bins for either benchmark",
    )
    parser.add_argument(
        "--bootstrap",
        metavar="N",
        type=int,
        help="95%% confidence intervals from N resamples of the videos (default: 0,"
        f" or {_SAMPLES} to compare two files)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the resamples")
    parser.add_argument("--json", metavar="OUT", help="write the report to a file too")
    parsed = parser.parse_args(arguments)
    if len(parsed.predictions) > 2:
        parser.error(
            f"expected one or two PREDICTIONS, found {len(parsed.predictions)}"
        )
    if (parsed.bootstrap or 0) < 0 or parsed.seed < 0:
        parser.error("--bootstrap and --seed: expected 0 or more")
    return parsed


def _choices(meanings: dict[str, str]) -> str:
    return "; ".join(f"{name}: {meaning}" for name, meaning in meanings.items())


def build_reports(parsed: argparse.Namespace) -> list[evaluate.Report]:
    """A report on each of the files that were named."""
    tious = evaluate.parse_tious(parsed.tiou)
    annotations = annotation_files.read_annotations(parsed.ground_truth)
    reports = []
    for source in parsed.predictions:
        predictions = evaluate.read_predictions(source)
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
            recall=parsed.recall,
            samples=parsed.bootstrap or 0,
            seed=parsed.seed,
            bins=parsed.diagnose,
            source=source,
        )
        reports.append(report)
    return reports


def build_result(parsed: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """What to print, and the same for a JSON file."""
    reports = build_reports(parsed)
    texts = [
        evaluate.as_text(report, per_category=parsed.per_category) for report in reports
    ]
    if len(reports) == 1:
        return texts[0], evaluate.as_dict(reports[0])
    comparison = compare.compare(
        *reports, samples=parsed.bootstrap or _SAMPLES, seed=parsed.seed
    )
    texts.append(compare.as_text(comparison))
    return "\n\n".join(texts), compare.as_dict(comparison)


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parsed = parse_arguments(arguments)
    try:
        if parsed.json in (*parsed.predictions, parsed.ground_truth):
            raise errors.InputError(
                f"--json: {parsed.json} is an input of this command"
            )
        text, content = build_result(parsed)
    except errors.InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text)
    if parsed.json:
        try:
            files.write_json(parsed.json, content)
        except OSError as error:
            print(f"error: {parsed.json}: {error.strerror}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
