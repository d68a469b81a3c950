"""Has stage 2 of a run stopped learning? A collapse must not look like a result.

A batch in which no proposal scores above the threshold has no loss and no gradient, so
that a generator which has lost all of them hardly ever finds one again.
"""

import os

from cleannet_jax import config as config_lib
from cleannet_jax import logs

# How a caution begins that says so.
NO_POSITIVES = "no proposal took part in training"


# Batches without a proposal, one after the other of those looked at, that are no chance.
_FEWEST = 3


def is_long(batches: int, config: config_lib.Config) -> bool:
    """Whether so many batches of stage 2 in a row without a proposal are too many.

    Every `log_every`-th batch is looked at.
    """
    return batches >= max(config.steps / 10, _FEWEST * config.log_every)


def text(first: int, last: int, config: config_lib.Config) -> str:
    """What to say of the batches after `first` up to `last` of stage 2."""
    every = config.log_every
    looked = f", of which every {every}th was looked at" if every > 1 else ""
    return (
        f"{NO_POSITIVES}: batches {first + 1} to {last} of {config.steps} of stage 2"
        f"{looked}; no score was above positive_score, {config.positive_score:g}"
    )


def cautions(config: config_lib.Config, run: str | os.PathLike) -> list[str]:
    """Returns what a reader of a run's numbers should know of its training, a line each.

    Args:
      config: of the run.
      run: its folder, whose metrics are read.
    """
    lines = list(logs.read_metrics(run, "cleannet"))
    if not config.train_generator or not lines:
        return []
    offset = lines[-1]["step"] - config.steps
    longest = first = last = 0
    for line in lines:
        step = line["step"] - offset
        if line["positives"] != 0:
            first = step
        elif step - first > longest:
            longest, last = step - first, step
    if not is_long(longest, config):
        return []
    return [text(last - longest, last, config)]
