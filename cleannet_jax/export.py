"""A finished run as programs that need JAX alone, or a compiler of StableHLO.

| file | what |
| --- | --- |
| export.json | what the programs take and return, in which units, and the files of each |
| parameters.npz | the trained parameters, the first argument of the localizer |
| PROGRAM_LENGTHS.jax | for `jax.export.deserialize`, on a CPU or a GPU |
| PROGRAM_LENGTH.mlirbc | portable StableHLO of fixed shapes, for other compilers |

The programs are those of `portable`; T, P and the other letters are as there.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export as jax_export

from cleannet_jax import config as config_lib
from cleannet_jax import errors, portable, runs
from cleannet_jax import run as run_lib
from cleannet_jax.data import files, folders, text
from cleannet_jax.ops import edges, integral

VERSION = 1
DESCRIPTION = "export.json"
PARAMETERS = "parameters.npz"
PLATFORMS = ("cpu", "cuda")

# Fixed lengths: a video is padded to less than twice its own, or to the shortest.
LENGTHS = (128, 256, 512, 1024, 2048, 4096)

# Up to so many snippets the evaluator's sums are exact to 1e-5.
_LONGEST = 16384

# Is in a folder that is being written, before export.json is.
_MARK = ".export.json"
# What this module writes, whole or as a killed command has left it.
_OWN = re.compile(
    r"\.lock|\.{0,2}export\.json(\.[a-z0-9_]{8})?"
    r"|\.?(parameters\.npz|(evaluator|localizer|classifier)_\d+(_\d+)?\.(jax|mlirbc))"
    r"(\.[a-z0-9_]{8})?"
)


class Span(NamedTuple):
    """A program for videos of some lengths, in snippets with padding."""

    least: int
    most: int
    exported: jax_export.Exported


def export_run(
    folder: str | os.PathLike,
    to: str | os.PathLike,
    *,
    lengths: Sequence[int] = LENGTHS,
) -> dict[str, Any]:
    """Exports the evaluator and the localizer of a finished run.

    Args:
      folder: of the run.
      to: folder to write: a new one, or one that holds an earlier export.
      lengths: T of the programs of fixed shapes, in snippets.

    Returns:
      What export.json says.

    Raises:
      InputError: the run has not finished, the folder holds other things, or a package
        that JAX needs for it is not installed.
    """
    _check_serialises()
    lengths = sorted(set(lengths))
    if not lengths or lengths[0] < 1:
        raise errors.InputError(
            f"lengths: found {list(lengths)}, expected numbers of snippets from 1 on"
        )
    run = run_lib.load_run(folder)
    parameters = {
        name: np.asarray(leaf) for name, leaf in portable.named_parameters(run.params)
    }
    made = portable.of_run(run)
    place = pathlib.Path(to)
    _check_folder(place)
    try:
        folders.make(place)
        with folders.locked(place):
            _check_folder(place)
            return _write(place, run, parameters, made, lengths)
    except OSError as error:
        raise errors.InputError(
            f"{error.filename or place}: {error.strerror}"
        ) from error


def _check_serialises() -> None:
    """Raises unless JAX can serialise what it exports."""
    try:
        import flatbuffers  # noqa: F401
    except ImportError:
        raise errors.InputError(
            "flatbuffers: found none, expected it, JAX serialises programs with it: pip"
            " install 'cleannet_jax[export]'"
        ) from None


def _check_folder(place: pathlib.Path) -> None:
    """Raises if a folder holds what no export writes."""
    try:
        found = sorted(entry.name for entry in os.scandir(place))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise errors.InputError(f"{place}: found a file, expected a folder") from None
    others = [name for name in found if not _OWN.fullmatch(name)]
    if not others and found and not folders.is_new(place):
        others = [] if _is_export(place) else found
    if others:
        raise errors.InputError(
            f"{place}: found {text.quoted(others[0])} in it, expected a new folder or one"
            " that holds an export alone; choose another --to"
        )


def _is_export(place: pathlib.Path) -> bool:
    """Whether a folder holds an export, or the part of one that a kill has left."""
    if (place / _MARK).exists():
        return True
    try:
        content = files.read_checked_json(place / DESCRIPTION)
    except errors.InputError:
        return False
    return isinstance(content, dict) and {"programs", "parameters"} <= set(content)


def _write(
    place: pathlib.Path,
    run: run_lib.Run,
    parameters: dict[str, np.ndarray],
    made: Sequence[portable.Program],
    lengths: Sequence[int],
) -> dict[str, Any]:
    """Writes all files, export.json last; what it says."""
    described, contents = {}, {}
    for program in made:
        spans = exported(program, run.config, lengths)
        artifacts = []
        for span in spans:
            ends = sorted({span.least, span.most})
            name = f"{program.name}_{'_'.join(map(str, ends))}.jax"
            contents[name] = bytes(span.exported.serialize())
            artifacts.append({"file": name, "T": [span.least, span.most]})
        plain = []
        for length in lengths:
            name = f"{program.name}_{length}.mlirbc"
            fixed = _export(program, {"T": length, "P": length}, ("cpu",))
            contents[name] = fixed.mlir_module_serialized
            plain.append({"file": name, "T": length})
        described[program.name] = _described(program) | {
            "jax": artifacts,
            "calling_convention_version": spans[0].exported.calling_convention_version,
            "stablehlo": plain,
        }
    # An earlier export stays until there is all of this one.
    files.write_json(place / _MARK, {"version": VERSION})
    for entry in list(os.scandir(place)):
        if entry.name not in (".lock", _MARK):
            os.unlink(entry.path)
    by_name: dict[str, Any] = parameters
    with files.open_atomic(place / PARAMETERS, "wb") as file:
        np.savez(file, **by_name)
    for name, program_bytes in contents.items():
        with files.open_atomic(place / name, "wb") as file:
            file.write(program_bytes)
    content = _content(run, described)
    files.write_checked_json(place / DESCRIPTION, content)
    os.unlink(place / _MARK)
    return files.read_json(place / DESCRIPTION)


def _content(run: run_lib.Run, described: dict[str, Any]) -> dict[str, Any]:
    """What export.json says."""
    timebase = run.timebase._asdict() if run.timebase else None
    seconds = None
    if run.timebase and run.timebase.fps:
        seconds = run.timebase.stride / run.timebase.fps
    return {
        "version": VERSION,
        "run": run.folder.name,
        "programs": described,
        "parameters": PARAMETERS,
        "platforms": list(PLATFORMS),
        "categories": list(run.categories),
        "streams": dict(zip(run.streams.names, run.streams.widths, strict=True)),
        "window": edges.WINDOW,
        "timebase": timebase,
        "seconds_per_snippet": seconds,
        "seconds": "(snippets * stride + offset) / fps, then clipped to the video",
        "config": dataclasses.asdict(run.config),
        "environment": runs.environment(),
    }


def _described(program: portable.Program) -> dict[str, Any]:
    """The arguments and results of a program as JSON holds them."""
    return {
        "takes_parameters": program.parameters is not None,
        "inputs": [value._asdict() for value in program.inputs],
        "outputs": [value._asdict() for value in program.outputs],
        # In StableHLO dicts are gone: what is by name stands in the order of names.
        "flat_inputs": [
            *sorted(program.parameters or ()),
            *(value.name for value in program.inputs),
        ],
        "flat_outputs": sorted(value.name for value in program.outputs),
    }


def exported(
    program: portable.Program, config: config_lib.Config, lengths: Sequence[int]
) -> list[Span]:
    """A program for all lengths of videos, for every platform.

    Symbolic in T where it can be traced so, one program for each span of T in which sums
    are grouped alike; otherwise of fixed lengths.

    Args:
      program: to export.
      config: of the run.
      lengths: the fixed ones.
    """
    # Shorter than a window is a case of its own.
    shortest = max(edges.WINDOW, config.smoothing_width)
    try:
        return [
            Span(least, most, _export(program, _symbols(least, most), PLATFORMS))
            for least, most in _spans(shortest, program.samples)
        ]
    except _not_symbolic():
        return [
            Span(length, length, _export(program, _symbols(length), PLATFORMS))
            for length in lengths
        ]


def _not_symbolic() -> tuple[type[Exception], ...]:
    """What tracing raises where it asks for the value of a symbolic dimension."""
    place: Any = jax.errors
    if not hasattr(place, "InconclusiveDimensionOperation"):
        place = jax.core  # Before JAX 0.10.
    return TypeError, place.InconclusiveDimensionOperation


def _spans(shortest: int, samples: int) -> Iterator[tuple[int, int]]:
    """Least and most T of programs in which `integral` groups its sums alike.

    Args:
      shortest: T that is no case of its own.
      samples: that are summed for each snippet.
    """
    least, most, group = shortest, 0, integral.GROUP
    while most < max(_LONGEST, shortest):
        most = (integral.BLOCK * group - 2) // samples
        if most >= least:
            yield least, most
            least = most + 1
        group *= integral.GROUP


def _symbols(least: int, most: int | None = None) -> dict[str, Any]:
    """Sizes for T, fixed or between two numbers, and any number of proposals P."""
    if most is None:
        return {"T": least, "P": jax_export.symbolic_shape("P")[0]}
    scope = jax_export.SymbolicScope((f"T >= {least}", f"T <= {most}"))
    return dict(zip("TP", jax_export.symbolic_shape("T, P", scope=scope), strict=True))


def _export(
    program: portable.Program, sizes: dict[str, Any], platforms: Sequence[str]
) -> jax_export.Exported:
    """A program for these sizes of its axes."""
    arguments: list[Any] = [
        jax.ShapeDtypeStruct(
            tuple(sizes[axis] if isinstance(axis, str) else axis for axis in one.shape),
            np.dtype(one.dtype),
        )
        for one in program.inputs
    ]
    if program.parameters is not None:
        arguments.insert(0, program.parameters)
    function = jax.jit(program.function, keep_unused=True)
    return jax_export.export(function, platforms=list(platforms))(*arguments)
