"""Checks a feature folder before it is trained on, and estimates what that will take.

    cleannet validate FOLDER
    cleannet validate FOLDER --manifest manifest.json --json report.json

Looks for missing streams, other lengths and widths, NaN, durations and frame rates that
do not fit, labels and segments that are odd, subsets and categories with nothing in
them, and features of a backbone that has seen the evaluation videos. The exit status is
0 where training can go on, warnings or not; 1 where errors were found; and 2, with the
reason in one line, where there is nothing to check or the report cannot be written.
"""

import argparse
import pathlib

from cleannet_jax import errors
from cleannet_jax.programs import options


def parser() -> options.Parser:
    """The options."""
    made = options.Parser("validate", __doc__, takes="DIR ")
    made.add_argument("data", metavar="DIR", help="feature folder")
    made.add_option(
        "--manifest",
        metavar="FILE",
        help="its description (default: DIR/manifest.json)",
    )
    made.add_option(
        "--dataset",
        metavar="NAME",
        help="the config whose training is estimated, as for `cleannet train`; left"
        " out, a config of defaults",
    )
    made.add_switch(
        "--headers-only", help="do not read values, so that NaN is not found"
    )
    made.add_option(
        "--limit",
        metavar="N",
        type=int,
        default=20,
        help="print so many findings of a kind; --json has all",
    )
    made.add_option("--json", metavar="OUT", help="write the report to a file too")
    return made


def run(parsed: argparse.Namespace) -> int:
    """Checks and prints; 1 where there are errors."""
    from cleannet_jax import config as config_lib
    from cleannet_jax import cost, experiment, logs, validation
    from cleannet_jax.data import annotation_files, files
    from cleannet_jax.ops import edges
    from cleannet_jax.report import validation as report_lib

    parsed.config = None
    config = config_lib.Config()
    if parsed.dataset:
        config = options.named_config(parsed)
    mark = {".json": '"values_read"'}
    options.check_output("--json", parsed.json, parsed.data, parsed.manifest, mark=mark)
    folder = pathlib.Path(parsed.data)
    manifest = experiment.read_manifest(folder, parsed.manifest)
    annotations = annotation_files.read_for(folder, manifest)
    with logs.progress_bar("validate", total=len(annotations.videos)) as bar:
        report = validation.validate(
            folder,
            manifest=manifest,
            annotations=annotations,
            window=edges.WINDOW,
            read_values=not parsed.headers_only,
            progress=lambda done, total: bar.update(done - bar.n),
        )
    taken = cost.training_cost(
        report, manifest=manifest, annotations=annotations, config=config
    )
    rate = cost.multiplication_rate()
    print(validation.report_text(report, limit=parsed.limit))
    print(f"\n{report_lib.categories_text(report)}\n")
    print(report_lib.cost_text(taken, rate=rate))
    if parsed.json:
        content = report_lib.report_dict(report)
        content |= {"cost": report_lib.cost_dict(taken, rate=rate)}
        try:
            files.write_json(parsed.json, content)
        except OSError as error:
            raise errors.InputError(f"{parsed.json}: {error.strerror}") from None
    return 1 if report.errors else 0
