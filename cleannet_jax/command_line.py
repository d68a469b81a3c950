"""A config from a command line: a file of `configs/`, and its fields as options."""

import argparse
import dataclasses
import pathlib
import runpy

from cleannet_jax import config as config_lib
from cleannet_jax import errors


def add_options(parser: argparse.ArgumentParser, folder: pathlib.Path) -> None:
    """Adds --dataset, --data and an option for every field of the config.

    Args:
      parser: gets the options.
      folder: holds the files of configs.
    """
    parser.add_argument(
        "--dataset", required=True, help=f"a config: {', '.join(_names(folder))}"
    )
    parser.add_argument(
        "--data", metavar="DIR", help="feature folder; the generated sample without it"
    )
    fields = parser.add_argument_group("fields of the config")
    for field in dataclasses.fields(config_lib.Config):
        if field.name not in ("dataset", "classifier"):
            fields.add_argument(f"--{field.name}", help=field.metadata["help"])


def read_config(
    parsed: argparse.Namespace, folder: pathlib.Path, method: str | None = None
) -> config_lib.Config:
    """The config of a dataset and a method, with the fields that were named.

    Args:
      parsed: arguments with the options of `add_options`.
      folder: holds the files of configs.
      method: as for `config.variant`; None for the dataset's config as it is.

    Raises:
      InputError: there is no such config or method, or a field is not of its type.
    """
    if parsed.dataset not in _names(folder):
        raise errors.InputError(
            f"--dataset: found {parsed.dataset!r}, expected one of "
            f"{', '.join(_names(folder))}"
        )
    path = folder / f"{parsed.dataset}.py"
    config = runpy.run_path(str(path))["get_config"]()
    if method is not None:
        config = config_lib.variant(config, method)
    named = {
        field.name: config_lib.parse_value(field.name, text)
        for field in dataclasses.fields(config_lib.Config)
        if field.name != "dataset" and (text := getattr(parsed, field.name, None))
    }
    if "heads" in named:
        # Heads that were trained elsewhere take the place of stage 1.
        named.setdefault("head_steps", 0)
    return dataclasses.replace(config, **named)


def _names(folder: pathlib.Path) -> list[str]:
    """The configs that there are."""
    return sorted(path.stem for path in folder.glob("*.py"))
