"""Where a run's folder is, where the command line does not say."""

import argparse
import pathlib
import re

from cleannet_jax import config as config_lib
from cleannet_jax import experiment, runs
from cleannet_jax.data import dataset as dataset_lib


def run_folder(
    parsed: argparse.Namespace,
    config: config_lib.Config,
    dataset: dataset_lib.Dataset,
    what: str,
) -> pathlib.Path:
    """--out, or a folder in ./checkpoints named for the data and for what is run.

    Args:
      parsed: has `out` and `data`.
      config: of the run.
      dataset: that it is on; its name is that of the data.
      what: the end of the folder's name.
    """
    if parsed.out:
        return pathlib.Path(parsed.out)
    base = pathlib.Path("checkpoints")
    earlier = base / f"{config.dataset}-{what}"
    if parsed.data is None or _is_of(earlier, experiment.place_of(parsed.data)):
        return earlier
    # Names of data are people's: only what cannot lead anywhere else is kept.
    name = re.sub(r"[^\w.-]+", "_", dataset.name, flags=re.ASCII).strip("._-")
    return base / f"{name[:80] or config.dataset}-{what}"


def _is_of(folder: pathlib.Path, data: str) -> bool:
    """Whether a run on these data is in a folder, as earlier versions named it."""
    found = folder if (folder / "config.json").exists() else None
    if found is None:
        found = next(folder.glob("c*/*/config.json"), folder / "none").parent
    return (found / "config.json").exists() and runs.read_description(
        found
    ).data == data
