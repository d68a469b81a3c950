"""Exports a finished run, to be used without this package.

    cleannet export RUN --to DIR

Writes the evaluator, from snippet scores and proposals to contrast scores, and the
localizer of the run, from features to detections: for JAX on a CPU or a GPU, and as
StableHLO for other compilers. export.json says what they take and return.
"""

import argparse

from cleannet_jax.programs import options

WHEN_STOPPED = "the same command writes the folder anew"


def parser() -> options.Parser:
    """The options."""
    made = options.Parser("export", __doc__, takes="RUN ")
    made.add_argument("run", metavar="RUN", help="folder of a finished run")
    made.add_option(
        "--to", metavar="DIR", required=True, help="folder to write, a new one"
    )
    made.add_option(
        "--lengths",
        metavar="T",
        nargs="+",
        type=int,
        help="of programs of fixed shapes (default: 128 to 4096, doubling)",
        kind="snippets",
    )
    return made


def run(parsed: argparse.Namespace) -> int:
    """Exports; says what was written."""
    from cleannet_jax import export

    lengths = parsed.lengths or export.LENGTHS
    content = export.export_run(parsed.run, parsed.to, lengths=lengths)
    for name, program in content["programs"].items():
        (least, _), (_, most) = (program["jax"][place]["T"] for place in (0, -1))
        print(f"{name}: videos of up to {most} snippets, padded to {least} at least")
    if set(content["programs"]) <= {"evaluator", "classifier"}:
        print(
            "no localizer: this run thresholds its scores, which is no program of fixed"
            " shapes"
        )
    print(f"exported: {parsed.to}/{export.DESCRIPTION}")
    return 0
