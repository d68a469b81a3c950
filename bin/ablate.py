"""Compares methods over several seeds: the paper's Tables 2 and 3 on any data.

    python bin/ablate.py --dataset thumos14
    python bin/ablate.py --dataset thumos14 --data FOLDER --seeds 5
    python bin/ablate.py --dataset thumos14 --methods plain,w_talc,w_talc+plain

Methods are named as for bin/train.py --variant, or by groups: table2, table3, tables
(both) and matrix (every classifier with every way to localize). docs/methods.md has a
paragraph on each. Interrupt it whenever you like; the same command goes on where it was, and a
finished method is never run again, also when others are asked for.
"""

import argparse
import functools
import pathlib
import sys

from cleannet_jax import ablate, command_line, errors, evaluate, logs
from cleannet_jax.report import ablation

ROOT = pathlib.Path(__file__).resolve().parent.parent


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--methods",
        default="tables",
        metavar="LIST",
        help="methods and groups, with commas between them (default: tables)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=5,
        metavar="N",
        help="seeds 0 to N - 1 are run (default: 5)",
    )
    parser.add_argument(
        "--diagnose",
        choices=evaluate.BINS,
        default="thumos14",
        help="bins of the error diagnosis (default: thumos14)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of the ablation (default: checkpoints/DATASET-ablation)",
    )
    command_line.add_options(parser, ROOT / "configs")
    parsed = parser.parse_args(arguments)
    if parsed.seeds < 1:
        parser.error(f"--seeds: expected 1 or more, found {parsed.seeds}")
    if parsed.seed:
        parser.error("--seed: the seeds are 0 to N - 1, and --seeds is N")
    return parsed


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parsed = parse_arguments(arguments)
    folder = pathlib.Path(parsed.out or ROOT / f"checkpoints/{parsed.dataset}-ablation")
    try:
        methods = ablate.parse_methods(parsed.methods)
        config = command_line.read_config(parsed, ROOT / "configs")
        found = ablate.ablate(
            config,
            parsed.data,
            methods=methods,
            seeds=range(parsed.seeds),
            folder=folder,
            bins=parsed.diagnose,
            on_cell=functools.partial(ablation.write_tables, folder=folder),
        )
    except errors.InputError as error:
        if error.report:
            print(error.report, file=sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        return 2
    except logs.Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signal_number
    except KeyboardInterrupt:
        print("stopped; the same command goes on from there", file=sys.stderr)
        return 130
    print(f"\n{ablation.as_text(found)}\ntables, predictions and models: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
