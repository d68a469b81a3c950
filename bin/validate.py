"""Checks a feature folder before it is trained on, and estimates what that will take.

    python bin/validate.py FOLDER
    python bin/validate.py FOLDER --manifest manifest.json --json report.json

Looks for missing streams, other lengths and widths, NaN, durations and frame rates that do
not fit, labels and segments that are odd, subsets and categories with nothing in them,
and features of a backbone that has seen the evaluation videos. The exit status is 0
where training can go on, warnings or not; 1 where errors were found; and 2, with the
reason in one line, where there is nothing to check or the report cannot be written.
"""

import argparse
import pathlib
import sys
from typing import Any

from cleannet_jax import config as config_lib
from cleannet_jax import cost, errors, logs, validation
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import files
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.ops import contrast
from cleannet_jax.report import validation as report_lib


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", metavar="DIR", help="feature folder")
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        help="its description (default: DIR/manifest.json)",
    )
    parser.add_argument(
        "--headers-only",
        action="store_true",
        help="do not read the values, so that NaN is not found",
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=int,
        default=20,
        help="print so many findings of a kind (default: 20); --json has all",
    )
    parser.add_argument("--json", metavar="OUT", help="write the report to a file too")
    return parser.parse_args(arguments)


def read_manifest(folder: pathlib.Path, path: str | None) -> manifest_lib.Manifest:
    """The manifest of the folder; its absence comes with what to do about it."""
    if path is None and not (folder / "manifest.json").exists():
        raise errors.InputError(
            f"{folder / 'manifest.json'}: no such file; write one as in the README, name"
            " it with --manifest, or convert another layout with bin/convert.py"
        )
    return manifest_lib.read_manifest(path or folder / "manifest.json")


def build_report(
    parsed: argparse.Namespace,
) -> tuple[validation.Report, str, dict[str, Any]]:
    """The report, what to print of it, and the same for a JSON file."""
    folder = pathlib.Path(parsed.data)
    manifest = read_manifest(folder, parsed.manifest)
    annotations = annotations_lib.read_annotations(folder / manifest.annotations)
    with logs.progress_bar("validate", total=len(annotations.videos)) as bar:
        report = validation.validate(
            folder,
            manifest=manifest,
            annotations=annotations,
            window=contrast.WINDOW,
            read_values=not parsed.headers_only,
            progress=lambda done, total: bar.update(done - bar.n),
        )
    taken = cost.training_cost(
        report,
        manifest=manifest,
        annotations=annotations,
        config=config_lib.Config(),
    )
    rate = cost.multiplication_rate()
    texts = [
        validation.report_text(report, limit=parsed.limit),
        report_lib.categories_text(report),
        report_lib.cost_text(taken, rate=rate),
    ]
    content = report_lib.report_dict(report)
    return (
        report,
        "\n\n".join(texts),
        content | {"cost": report_lib.cost_dict(taken, rate=rate)},
    )


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parsed = parse_arguments(arguments)
    try:
        report, text, content = build_report(parsed)
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
    return 1 if report.errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
