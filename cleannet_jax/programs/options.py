"""Command lines: options of every program, and a config from a file and its fields.

An option can be written --head-steps or --head_steps. A switch is --joint, --no-joint,
or --joint with true, yes, 1, false, no or 0 in any case.
"""

import argparse
import contextlib
import dataclasses
import difflib
import importlib.resources
import math
import os
import pathlib
import re
import runpy
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from cleannet_jax import config as config_lib
from cleannet_jax import errors

_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False}
_TRUTHS |= {"0": False}

# How much of a file is read in order to know what it is.
_START = 1 << 16


def _is_submission(path: pathlib.Path) -> bool:
    """Whether a file holds detections as JSON, and no annotations."""
    from cleannet_jax.data import files

    try:
        return files.first_key(path, ("results", "database")) == "results"
    except errors.InputError:
        return False


# How files of detections are known, for `check_output`: the key of a submission, the
# heads of a table, a line of THUMOS14's text as it is written here, or none where
# nothing was detected. Annotations have no scores.
_FLOAT = r"-?\d+(?:\.\d+(?:e[-+]\d+)?|e[-+]\d+)"
DETECTIONS = types.MappingProxyType(
    {
        ".json": _is_submission,
        "": _is_submission,
        ".csv": r"\A[^\n]*\bscore\b",
        ".txt": rf"\A(?:\Z|\S+ {_FLOAT} {_FLOAT} \d+ {_FLOAT}\n)",
    }
)


class Parser(argparse.ArgumentParser):
    """A parser of one program's options, which says what a misspelt one is near to."""

    def __init__(
        self, name: str, description: str, *, takes: str = "", mixed: bool = False
    ) -> None:
        """Makes a parser without options.

        Args:
          name: of the program.
          description: for its help.
          takes: what it takes beside options, for the help.
          mixed: whether several of these may stand between options.
        """
        super().__init__(
            prog=f"cleannet {name}",
            usage=f"cleannet {name} {takes}[OPTIONS]",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._switches: set[str] = set()
        self._mixed = mixed

    def add_option(
        self, flag: str, *, help: str, group: Any = None, kind: str = "", **more: Any
    ) -> None:
        """Adds an option whose help ends with what it takes and its default.

        Args:
          flag: as in --head-steps.
          help: what it is.
          group: of the help; None for the program's own options.
          kind: what a value is, with its unit.
          more: as for `add_argument`.
        """
        default = more.get("default")
        shown = config_lib.as_text(default) if default is not None else ""
        parts = [kind, f"default: {shown}" if shown else ""]
        extra = "; ".join(part for part in parts if part)
        text = f"{help} ({extra})" if extra else help
        (group or self).add_argument(flag, help=text.replace("%", "%%"), **more)

    def add_switch(
        self, flag: str, *, help: str, group: Any = None, default: bool | None = False
    ) -> None:
        """Adds --flag and --no-flag; None where leaving both out means neither."""
        name = flag.removeprefix("--")
        place = (group or self).add_mutually_exclusive_group()
        shown = "" if default is None else f" (default: {config_lib.as_text(default)})"
        place.add_argument(
            flag, action="store_true", default=default, help=help + shown
        )
        place.add_argument(
            f"--no-{name}",
            action="store_false",
            default=default,
            dest=name.replace("-", "_"),
            help=argparse.SUPPRESS,
        )
        self._switches.add(flag)

    def add_old_spelling(self, flag: str, dest: str) -> None:
        """Adds a spelling of earlier versions, which goes on working unseen."""
        self.add_argument(
            flag, dest=dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )

    def parse_args(self, arguments: Sequence[str] | None = None) -> Any:  # type: ignore[override]
        """The values of the options; ends the program where there is a mistake."""
        given = list(sys.argv[1:] if arguments is None else arguments)
        given = self._normalised(given)
        if self._mixed and not {"-h", "--help"}.intersection(given):
            self._mixed = False  # It calls this function again.
            try:
                return super().parse_intermixed_args(given)
            finally:
                self._mixed = True
        return super().parse_args(given)

    def _normalised(self, arguments: list[str]) -> list[str]:
        """Dashes in names of options, and switches without a value."""
        found: list[str] = []
        waiting = list(reversed(arguments))
        while waiting:
            argument = waiting.pop()
            if not argument.startswith("--") or argument == "--":
                found.append(argument)
                continue
            name, equals, value = argument.partition("=")
            name = name.replace("_", "-")
            if name in self._switches:
                if not equals and waiting and waiting[-1].lower() in _TRUTHS:
                    equals, value = "=", waiting.pop()
                if equals:
                    if value.lower() not in _TRUTHS:
                        self.error(f"{name}: found {value!r}, expected true or false")
                    name = name if _TRUTHS[value.lower()] else f"--no-{name[2:]}"
                found.append(name)
            else:
                found.append(name + equals + value)
        return found

    def error(self, message: str) -> NoReturn:
        """Ends the program with the mistake in one line, and what may be meant."""
        unknown = re.search(r"unrecognized arguments: .*?(--[\w-]+)", message)
        if unknown:
            near = difflib.get_close_matches(
                unknown[1], self._option_string_actions, n=1, cutoff=0.6
            )
            message = f"no option {unknown[1]}"
            if near:
                message += f": did you mean {near[0]}?"
        self.exit(2, f"error: {message} ({self.prog} --help lists the options)\n")


def add_config(parser: Parser) -> None:
    """Adds --dataset, --config, --data and an option for every field of the config."""
    known = ", ".join(dataset_names())
    parser.add_option("--dataset", help=f"a config: {known}", metavar="NAME")
    parser.add_option(
        "--config",
        metavar="FILE",
        help="a config in a file instead: .py with get_config(), .json, or a run's"
        " config.json",
    )
    parser.add_option(
        "--data",
        metavar="DIR",
        help="feature folder; without it the run is on a generated sample",
    )
    add_cache(parser)
    for title, fields in config_lib.groups().items():
        group = parser.add_argument_group(f"config: {title}")
        for field in fields:
            if field.name not in ("dataset", "classifier"):
                _add_field(parser, group, field)


def _add_field(parser: Parser, group: Any, field: dataclasses.Field) -> None:
    """Adds the option of one field; left out, it is as the config has it."""
    flag = f"--{field.name.replace('_', '-')}"
    text, unit = field.metadata["help"], field.metadata["unit"]
    default = config_lib.as_text(field.default)
    if isinstance(field.default, bool):
        parser.add_switch(flag, help=f"{text} ({default})", group=group, default=None)
        return
    kind = config_lib.kind_of(field.name) + (f", {unit}" if unit else "")
    extra = f"{kind}; {default}" if default else kind
    parser.add_option(flag, help=f"{text} ({extra})", group=group, metavar="VALUE")


def check_output(
    flag: str,
    path: str | None,
    *inputs: str | os.PathLike | None,
    mark: Mapping[str, str | Callable[[pathlib.Path], bool]] = types.MappingProxyType(
        {}
    ),
) -> None:
    """Raises an InputError if a file to write is one that is read, however it is named.

    In a folder that is read, and where links in it lead, a file that is there may be
    replaced only if this command can have written it: anything else there may be
    annotations or a manifest. A folder cannot be replaced.

    Args:
      flag: of the file to write.
      path: of the file; None where none is.
      inputs: files and folders that are read; None for those that are not.
      mark: by its ending, in lower case, what the start of a file that this command
        writes holds, a regular expression, or what says whether it can be one.
    """
    if not path:
        return
    place = _resolved(path)
    if place.is_dir():
        raise errors.InputError(
            f"{flag}: found the folder {path}, expected the name of a file"
        )
    for given in filter(None, inputs):
        other = _resolved(given)
        if place == other or _is_one_file(place, other):
            raise errors.InputError(f"{flag}: {path} is an input of this command")
        if place.exists() and other.is_dir() and _is_reached(place, other):
            wanted = mark.get(place.suffix.lower())
            if wanted is None or not _is_like(place, wanted):
                raise errors.InputError(
                    f"{flag}: {path} is there, in a folder that is an input of this"
                    " command, and is nothing that it writes; choose another name"
                )


def _resolved(path: str | os.PathLike) -> pathlib.Path:
    """A path without links; in a config there may be one that no file can have."""
    try:
        return pathlib.Path(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise errors.InputError(
            f"{os.fspath(path)!r}: no usable path: {reason}"
        ) from None


def _is_reached(path: pathlib.Path, folder: pathlib.Path) -> bool:
    """Whether a file is in a folder, or is where a link directly in it leads."""
    if folder in path.parents:
        return True
    with os.scandir(folder) as entries:
        links = [pathlib.Path(item.path) for item in entries if item.is_symlink()]
    return any(
        _is_one_file(place, link) for link in links for place in (path, *path.parents)
    )


def _is_one_file(path: pathlib.Path, other: pathlib.Path) -> bool:
    """Whether two names are of one file, as hard links are."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def _is_like(path: pathlib.Path, wanted: str | Callable[[pathlib.Path], bool]) -> bool:
    """Whether a file is as a value of `check_output`'s `mark` says."""
    if callable(wanted):
        return wanted(path)
    try:
        with open(path, "rb") as file:
            start = file.read(_START).decode("latin-1")
    except OSError:
        return False
    return re.search(wanted, start) is not None


def add_labels(parser: Parser) -> None:
    """Adds --labels."""
    parser.add_option(
        "--labels",
        metavar="FILE",
        help="names for labels that are numbers: one a line, counted from 0, or with"
        " their number in front",
    )


def add_times(parser: Parser) -> None:
    """Adds --snippet-seconds and --offset-seconds, of the snippets of SCPs."""
    parser.add_option(
        "--snippet-seconds",
        type=float,
        metavar="S",
        kind="seconds",
        help="from one snippet to the next: 15 frames at 30 fps are 0.5; left out, it is"
        " as scp.json says",
    )
    parser.add_option(
        "--offset-seconds",
        type=float,
        default=0.0,
        metavar="S",
        kind="seconds",
        help="time at which snippet 0 starts",
    )


def check_times(parsed: argparse.Namespace) -> None:
    """Raises an InputError unless --snippet-seconds and --offset-seconds are times."""
    for option, lowest in (("snippet_seconds", 0), ("offset_seconds", -math.inf)):
        value = getattr(parsed, option)
        if value is not None and not lowest < value < math.inf:
            flag = f"--{option.replace('_', '-')}"
            raise errors.InputError(f"{flag}: found {value}, expected seconds")


def add_cache(parser: Parser) -> None:
    """Adds --compilation-cache."""
    parser.add_option(
        "--compilation-cache",
        metavar="DIR",
        help="folder of compiled programs, used again by later runs; `none` for none"
        " (default: as JAX_COMPILATION_CACHE_DIR says, or cleannet_jax in the user's"
        " cache folder)",
    )


def add_distributed(parser: Parser) -> None:
    """Adds the options of a program that several processes can run together."""
    group = parser.add_argument_group("several processes (docs/scale.md)")
    parser.add_switch(
        "--distributed",
        help="one of several, as Slurm, Open MPI or Kubernetes says",
        group=group,
        default=None,
    )
    parser.add_option(
        "--coordinator",
        metavar="HOST:PORT",
        help="where process 0 is, for the others to find it",
        group=group,
    )
    parser.add_option(
        "--num-processes",
        metavar="N",
        type=int,
        help="how many there are",
        group=group,
    )
    parser.add_option(
        "--process-id",
        metavar="I",
        type=int,
        help="which one this is, 0 to N - 1; process 0 writes and prints",
        group=group,
    )


def distributed(parsed: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    """Makes this process the one that the options of `add_distributed` say.

    Nothing may have been computed with JAX before.
    """
    from cleannet_jax import distributed as distributed_lib
    from cleannet_jax.programs import compilation

    # JAX asks for it once, and several processes compile to find each other.
    compilation.cache(parsed.compilation_cache)
    return distributed_lib.started(
        detect=bool(parsed.distributed),
        coordinator=parsed.coordinator,
        num_processes=parsed.num_processes,
        process_id=parsed.process_id,
    )


def dataset_names() -> list[str]:
    """The configs that there are."""
    folder = importlib.resources.files("cleannet_jax.configs")
    names = (pathlib.PurePath(path.name) for path in folder.iterdir())
    return sorted(n.stem for n in names if n.suffix == ".py" and n.stem != "__init__")


_MAY_BE_EMPTY = ("text", "numbers separated by commas")


def read_config(
    parsed: argparse.Namespace, method: str | None = None
) -> config_lib.Config:
    """The config that a command line names, with the fields that it sets.

    Args:
      parsed: arguments with the options of `add_config`.
      method: as for `methods.apply`; None for the config as it is.

    Raises:
      InputError: there is no such config or method, or a field is not of its type.
    """
    config = named_config(parsed)
    if method is not None:
        from cleannet_jax import methods

        config = methods.apply(config, method)
    named = {}
    for field in dataclasses.fields(config_lib.Config):
        value = getattr(parsed, field.name, None)
        if field.name == "dataset" or value is None:
            continue
        if value == "" and config_lib.kind_of(field.name) not in _MAY_BE_EMPTY:
            continue
        is_text = isinstance(value, str)
        named[field.name] = (
            config_lib.parse_value(field.name, value) if is_text else value
        )
    if "heads" in named:
        # Heads that were trained elsewhere take the place of stage 1.
        named.setdefault("head_steps", 0)
    config = dataclasses.replace(config, **named)
    own = pathlib.Path(parsed.data, "manifest.json") if parsed.data else None
    if own and own.exists() and config.manifest and "manifest" not in named:
        print(f"note: {own} describes the features, not {config.manifest}")
        config = dataclasses.replace(config, manifest="")
    return config


def named_config(parsed: argparse.Namespace) -> config_lib.Config:
    """The config of --dataset or of --config."""
    names = dataset_names()
    if parsed.dataset is not None and parsed.dataset not in names:
        near = difflib.get_close_matches(parsed.dataset, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise errors.InputError(
            f"--dataset: found {parsed.dataset!r}, expected one of "
            f"{', '.join(names)}{hint}"
        )
    if parsed.config is not None and parsed.dataset is not None:
        raise errors.InputError("--config: expected it or --dataset, found both")
    if parsed.config is not None:
        return _config_from_file(pathlib.Path(parsed.config))
    if parsed.dataset is None:
        raise errors.InputError(
            f"--dataset: found none, expected one of {', '.join(names)}, or --config"
        )
    folder = importlib.resources.files("cleannet_jax.configs")
    with importlib.resources.as_file(folder / f"{parsed.dataset}.py") as path:
        return runpy.run_path(str(path))["get_config"]()


def _config_from_file(path: pathlib.Path) -> config_lib.Config:
    """The config of a Python or a JSON file."""
    if not path.is_file():
        raise errors.InputError(f"--config: {path}: no such file")
    if path.suffix == ".py":
        found = runpy.run_path(str(path)).get("get_config")
        config = found() if callable(found) else None
        if not isinstance(config, config_lib.Config):
            raise errors.InputError(
                f"--config: {path}: expected a function get_config that returns a Config"
            )
        return config
    from cleannet_jax.data import files

    # No digest is compared: a copy of a run's with another seed is a config too.
    content = files.read_json(path)
    if isinstance(content, dict) and isinstance(content.get("config"), dict):
        content = content["config"]
    if not isinstance(content, dict):
        raise errors.InputError(f"--config: {path}: expected an object of fields")
    return config_lib.from_json(content, place=f"--config: {path}")
