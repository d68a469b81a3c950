"""Trains CleanNet on features and evaluates it next to its baselines.

    cleannet train --dataset activitynet12
    cleannet train --dataset thumos14 --data FOLDER --seed 1

Without --data the run is on a generated sample in the dataset's image. Interrupt it
whenever you like; the same command goes on where it was. Every field of the config is
an option; what is in parentheses after it is its kind, its unit and its value where
the data set's config has none.
"""

import argparse

from cleannet_jax.programs import options

WHEN_STOPPED = "the same command goes on from there"


def parser() -> options.Parser:
    """The options."""
    made = options.Parser("train", __doc__)
    made.add_option(
        "--method",
        metavar="NAME",
        help="what to train: full, or any row of Tables 2 and 3 (see docs/methods.md),"
        " or a classifier and what follows it, as in w_talc+plain (default: full; with"
        " --config FILE.json the method of that config)",
    )
    made.add_old_spelling("--variant", "method")
    made.add_option(
        "--out",
        metavar="DIR",
        help="folder of the run (default: ./checkpoints/NAME-METHOD-seedSEED, NAME"
        " being that of the data)",
    )
    options.add_distributed(made)
    options.add_config(made)
    return made


def run(parsed: argparse.Namespace) -> int:
    """Trains and evaluates; prints the table."""
    with options.distributed(parsed):
        return _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    """Does so in one process, or in each of several."""
    from cleannet_jax import distributed, experiment, methods, train
    from cleannet_jax.programs import places
    from cleannet_jax.report import experiment as report_lib

    as_it_is = parsed.config is not None and parsed.config.endswith(".json")
    method = parsed.method or (None if as_it_is else "full")
    config = options.read_config(parsed, method)
    methods.check(config)
    train.check_devices(config)
    method = method or methods.name_of(config)
    dataset = experiment.open_dataset(config, parsed.data)
    folder = places.run_folder(parsed, config, dataset, f"{method}-seed{config.seed}")
    rows = experiment.train_and_evaluate(
        config, method, parsed.data, folder, dataset=dataset
    )
    if not distributed.is_first():
        return 0
    if rows:
        print(f"\n{report_lib.write_table(rows, dataset, folder)}")
    else:
        print(f"\nnot evaluated: {experiment.why_not_evaluated(dataset)}")
    print(f"\npredictions, results, metrics and checkpoints: {folder}")
    return 0
