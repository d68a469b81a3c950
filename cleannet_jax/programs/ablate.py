"""Compares methods over several seeds: the paper's Tables 2 and 3 on any data.

    cleannet ablate --dataset thumos14
    cleannet ablate --dataset thumos14 --data FOLDER --seeds 5
    cleannet ablate --dataset thumos14 --methods plain,w_talc,w_talc+plain

Methods are named as for `cleannet train --method`, or by groups: table2, table3, tables
(both) and matrix (every classifier with every way to localize). docs/methods.md has a
paragraph on each. Interrupt it whenever you like; the same command goes on where it was,
and a finished method is never run again, also when others are asked for.
"""

import argparse
import functools
import pathlib

from cleannet_jax.programs import options

WHEN_STOPPED = "the same command goes on from there"


def parser() -> options.Parser:
    """The options."""
    from cleannet_jax import evaluate

    made = options.Parser("ablate", __doc__)
    made.add_option(
        "--methods",
        default="tables",
        metavar="LIST",
        help="methods and groups, with commas between them",
    )
    made.add_option(
        "--seeds", type=int, default=5, metavar="N", help="seeds 0 to N - 1 are run"
    )
    made.add_option(
        "--compare",
        default="",
        metavar="PAIRS",
        help="as full:plain,t:simple: by how much the first's mean over seeds is above"
        " the second's, with 95% intervals for all pairs together (Bonferroni)",
    )
    made.add_option(
        "--diagnose",
        choices=evaluate.BINS,
        default="thumos14",
        help="bins of the error diagnosis",
    )
    made.add_option(
        "--out",
        metavar="DIR",
        help="folder of the ablation (default: ./checkpoints/NAME-ablation, NAME being"
        " that of the data)",
    )
    options.add_distributed(made)
    options.add_config(made)
    return made


def run(parsed: argparse.Namespace) -> int:
    """Runs what is not done yet; prints the tables."""
    with options.distributed(parsed):
        return _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    """Does so in one process, or in each of several."""
    from cleannet_jax import ablate, distributed, errors, experiment, methods, train
    from cleannet_jax.programs import places
    from cleannet_jax.report import ablation

    if parsed.seeds < 1:
        raise errors.InputError(f"--seeds: expected 1 or more, found {parsed.seeds}")
    if parsed.seed:
        raise errors.InputError("--seed: the seeds are 0 to N - 1, and --seeds is N")
    names = methods.named(parsed.methods)
    pairs = ablate.parse_pairs(parsed.compare, names)
    config = options.read_config(parsed)
    ablate.check(config, names)
    train.check_devices(config)
    dataset = experiment.open_dataset(config, parsed.data)
    place = distributed.told(
        lambda: str(places.run_folder(parsed, config, dataset, "ablation"))
    )
    folder = pathlib.Path(place)
    found = ablate.ablate(
        config,
        parsed.data,
        methods=names,
        seeds=range(parsed.seeds),
        folder=folder,
        bins=parsed.diagnose,
        dataset=dataset,
        on_cell=functools.partial(
            ablation.write_tables, folder=folder, warnings=dataset.warnings
        ),
    )
    if not distributed.is_first():
        return 0
    text = ablation.as_text(found, warnings=dataset.warnings)
    if pairs:
        compared = ablate.compare(config, dataset, pairs, range(parsed.seeds), folder)
        forms = {"generated": dataset.generated}
        ablation.write_comparisons(pairs, compared, folder, **forms)
        text += "\n" + ablation.comparisons_as_text(pairs, compared, **forms)
    print(f"\n{text}\ntables, predictions and models: {folder}")
    return 0
