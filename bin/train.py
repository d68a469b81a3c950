"""Trains CleanNet on features and evaluates it next to its baselines.

    python bin/train.py --dataset activitynet12
    python bin/train.py --dataset thumos14 --data FOLDER --seed 1

Without --data the run is on a generated sample in the dataset's image. Interrupt it
whenever you like; the same command goes on where it was.
"""

import argparse
import pathlib
import sys

from cleannet_jax import command_line, errors, experiment, logs
from cleannet_jax import config as config_lib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line; every field of the config is an option."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--variant",
        default="full",
        help=f"method: {', '.join(config_lib.METHODS)}; or a classifier and what "
        "follows it, as in w_talc+plain (default: full)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of the run (default: checkpoints/DATASET-VARIANT-seedSEED)",
    )
    command_line.add_options(parser, ROOT / "configs")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parsed = parse_arguments(arguments)
    try:
        config = command_line.read_config(parsed, ROOT / "configs", parsed.variant)
        config_lib.check(config)
        name = f"{parsed.dataset}-{parsed.variant}-seed{config.seed}"
        folder = pathlib.Path(parsed.out or ROOT / "checkpoints" / name)
        table = experiment.train_and_evaluate(
            config, parsed.variant, parsed.data, folder
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
    print(f"\n{table}\n\npredictions, results, metrics and checkpoints: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
