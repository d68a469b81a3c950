"""Trains CleanNet on features and evaluates it next to its baselines.

    python bin/train.py --dataset activitynet12
    python bin/train.py --dataset thumos14 --data FOLDER --seed 1

Without --data the run is on a generated sample in the dataset's image. Interrupt it
whenever you like; the same command goes on where it was.
"""

import argparse
import dataclasses
import pathlib
import runpy
import sys

from cleannet_jax import config as config_lib
from cleannet_jax import errors, experiment, logs

ROOT = pathlib.Path(__file__).resolve().parent.parent


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line; every field of the config is an option."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
    parser.add_argument(
        "--dataset", required=True, help=f"a config: {', '.join(names)}"
    )
    parser.add_argument(
        "--data", metavar="DIR", help="feature folder; the generated sample without it"
    )
    parser.add_argument(
        "--variant",
        default="full",
        help=f"row of the paper's Table 2: {', '.join(config_lib.VARIANTS)} "
        "(default: full)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of the run (default: checkpoints/DATASET-VARIANT-seedSEED)",
    )
    fields = parser.add_argument_group("fields of the config")
    for field in dataclasses.fields(config_lib.Config):
        if field.name != "dataset":
            fields.add_argument(f"--{field.name}", help=field.metadata["help"])
    return parser.parse_args(arguments)


def build_config(arguments: argparse.Namespace) -> config_lib.Config:
    """The config of the dataset and the variant, with the fields that were named."""
    path = ROOT / "configs" / f"{arguments.dataset}.py"
    known = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
    if arguments.dataset not in known:
        raise errors.InputError(
            f"--dataset: found {arguments.dataset!r}, expected one of "
            f"{', '.join(known)}"
        )
    config = runpy.run_path(str(path))["get_config"]()
    config = config_lib.variant(config, arguments.variant)
    named = {
        field.name: config_lib.parse_value(field.name, text)
        for field in dataclasses.fields(config_lib.Config)
        if field.name != "dataset" and (text := getattr(arguments, field.name))
    }
    if "heads" in named:
        # Heads that were trained elsewhere take the place of stage 1.
        named.setdefault("head_steps", 0)
    config = dataclasses.replace(config, **named)
    config_lib.check(config)
    return config


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parsed = parse_arguments(arguments)
    try:
        config = build_config(parsed)
        name = f"{parsed.dataset}-{parsed.variant}-seed{config.seed}"
        folder = pathlib.Path(parsed.out or ROOT / "checkpoints" / name)
        table = experiment.train_and_evaluate(
            config, parsed.variant, parsed.data, folder
        )
    except errors.InputError as error:
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
