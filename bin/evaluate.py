"""Evaluates detections against ground truth: mAP under the rule of either benchmark.

    python bin/evaluate.py predictions.json --ground-truth activity_net.v1-2.json \\
        --subset validation --tiou 0.5:0.05:0.95
    python bin/evaluate.py predictions.json --ground-truth thumos14.json \\
        --subset test --protocol thumos14 --tiou 0.1:0.1:0.7 --per-category

Both files follow ActivityNet's JSON schema. The exit status is 0, or 2 with the reason
in one line where an input cannot be used.
"""

import argparse
import sys

from cleannet_jax import errors, evaluate
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import files


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "predictions", metavar="PREDICTIONS", help="detections, a submission file"
    )
    parser.add_argument(
        "--ground-truth", metavar="FILE", required=True, help="annotation file"
    )
    parser.add_argument(
        "--subset",
        metavar="NAME",
        help="the videos to evaluate (default: the one annotated subset that"
        " PREDICTIONS has videos of)",
    )
    rules = "; ".join(f"{name}: {rule}" for name, rule in evaluate.PROTOCOLS.items())
    parser.add_argument(
        "--protocol",
        choices=evaluate.PROTOCOLS,
        default="activitynet",
        help=f"{rules} (default: activitynet, for THUMOS14 too, as in the paper)",
    )
    parser.add_argument(
        "--tiou",
        metavar="LIST",
        default="0.1:0.1:0.9",
        help="thresholds, as 0.3,0.5,0.7 or first:step:last; ActivityNet's own are"
        " 0.5:0.05:0.95 (default: 0.1:0.1:0.9)",
    )
    parser.add_argument(
        "--per-category", action="store_true", help="print the AP of each category too"
    )
    parser.add_argument("--json", metavar="OUT", help="write the report to a file too")
    return parser.parse_args(arguments)


def build_report(parsed: argparse.Namespace) -> evaluate.Report:
    """The report on the files that were named."""
    tious = evaluate.parse_tious(parsed.tiou)
    source = parsed.predictions
    annotations = annotations_lib.read_annotations(parsed.ground_truth)
    predictions = annotations_lib.read_predictions(source)
    return evaluate.evaluate(
        predictions,
        annotations,
        subset=parsed.subset
        or evaluate.find_subset(predictions, annotations, source=source),
        tious=tious,
        protocol=parsed.protocol,
        source=source,
    )


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parsed = parse_arguments(arguments)
    try:
        report = build_report(parsed)
    except errors.InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(evaluate.as_text(report, per_category=parsed.per_category))
    if parsed.json:
        try:
            files.write_json(parsed.json, evaluate.as_dict(report))
        except OSError as error:
            print(f"error: {parsed.json}: {error.strerror}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
