"""Save, latest, restore: checkpoints of a stage of a run, by orbax.

A checkpoint holds a train state (parameters, optimiser state, step and random key)
and the position of the input pipeline. It appears whole or not at all, and has a digest
of all of this, by which damage on the disk is known: other numbers are never restored.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import pathlib
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from cleannet_jax import errors
from cleannet_jax.data import files, folders

# What orbax calls the folder of a checkpoint that it is writing.
_UNFINISHED = ".orbax-checkpoint-tmp"
_LOUD = ("absl", "asyncio", "concurrent.futures")

# What keeps a whole file from being read; the next try may read it.
_PASSING = {
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
    errno.ESTALE,
    errno.EACCES,
    errno.EPERM,
    errno.ENOMEM,
    errno.EINTR,
    errno.ETIMEDOUT,
}
# As TensorStore spells the number of an error of the system, in several versions.
_SPELLED_NUMBER = re.compile(r"os_error_code='(\d+)'|OS error (\d+)")


class Checkpoint(NamedTuple):
    """What was restored, and the step it was saved after."""

    step: int
    state: Any
    pipeline: Any


def open_manager(folder: str | os.PathLike, *, keep: int = 2) -> ocp.CheckpointManager:
    """Returns the manager of the checkpoints in a folder, made if it is not there.

    Args:
      folder: of one stage of one run.
      keep: how many of the latest checkpoints stay.
    """
    own = jax.process_index()
    more = {}
    if jax.process_count() > 1:
        # The others are not asked: orbax would wait for them.
        alone = ocp.options.MultiprocessingOptions(
            primary_host=own, active_processes={own}, barrier_sync_key_prefix="own"
        )
        # Which it asks for then; the folder is made here.
        more = {"multiprocessing_options": alone}
        folders.make(folder)
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, enable_async_checkpointing=False, create=not more, **more
    )
    return ocp.CheckpointManager(pathlib.Path(folder).absolute(), options=options)


def save(manager: ocp.CheckpointManager, step: int, state: Any, pipeline: Any) -> None:
    """Saves a checkpoint unless there is one of that step.

    Args:
      manager: of the folder.
      step: number of batches taken.
      state: a tree of arrays.
      pipeline: the pipeline's `get_state()`, as JSON can hold it.

    Raises:
      InputError: it could not be written, for example because the disk is full; the
        checkpoints that were there still are.
    """
    if manager.latest_step() == step:
        return
    # Asked beforehand: a disk that is full half way is reported by a dozen threads.
    needed = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + 2**20
    free = shutil.disk_usage(manager.directory).free
    if free < needed:
        raise _not_written(manager, step, f"{free} bytes free, expected {needed}")
    record = {
        "structure": _structure(state),
        "content": _content(step, jax.device_get(state), pipeline),
    }
    content = ocp.args.Composite(
        state=ocp.args.StandardSave(_as_orbax_takes(state)),
        pipeline=ocp.args.JsonSave(pipeline),
        digest=ocp.args.JsonSave(files.with_digest(record)),
    )
    try:
        with _quietly():
            manager.save(step, args=content)
        for folder, _, _ in os.walk(_place(manager, step)):
            folders.sync(folder)
        folders.sync(manager.directory)
    except (OSError, ValueError) as error:
        raise _not_written(manager, step, _line(error)) from None


def _not_written(
    manager: ocp.CheckpointManager, step: int, reason: str
) -> errors.InputError:
    """The error of a checkpoint that could not be written."""
    return errors.InputError(
        f"{manager.directory}: checkpoint of step {step} could not be written: "
        f"{reason}; the last whole one is of step {manager.latest_step()}"
    )


def restore_latest(
    manager: ocp.CheckpointManager,
    like: Any,
    *,
    warn: Callable[[str], None] = print,
) -> Checkpoint | None:
    """Restores the latest whole checkpoint of a folder; None if there is none.

    Args:
      manager: of the folder.
      like: a state of the shapes and types expected.
      warn: is given a line for each damaged checkpoint, and what is done about it.

    Raises:
      InputError: a checkpoint has other shapes, which another config would make, or
        cannot be read for another reason than damage.
    """
    damaged: dict[int, _Damage] = {}
    found = None
    for step in sorted(manager.all_steps(), reverse=True):
        try:
            found = _restore(manager, step, like)
            break
        except _Damage as damage:
            damaged[step] = damage
    for step, damage in damaged.items():
        if not found and not damage.is_certain:
            raise errors.InputError(
                f"{_place(manager, step)}: not a checkpoint of this config, or damaged:"
                f" {damage}; choose another --out, or delete the folder to begin anew"
            )
        then = f"going on from step {found.step}" if found else "beginning anew"
        warn(f"warning: {_place(manager, step)}: damaged checkpoint: {damage}; {then}")
    return found


def remove_remains(folder: str | os.PathLike) -> None:
    """Removes checkpoints that a kill has left half written.

    Args:
      folder: of one stage of one run, which nobody else is in.
    """
    for place in pathlib.Path(folder).glob(f"*{_UNFINISHED}*"):
        shutil.rmtree(place)


def set_aside(manager: ocp.CheckpointManager, *, after: int) -> None:
    """Renames damaged checkpoints, so that theirs can be saved again.

    Args:
      manager: of the folder.
      after: the step that was restored, 0 for none; all later ones are damaged.
    """
    folder = pathlib.Path(manager.directory)
    for step in [step for step in manager.all_steps() if step > after]:
        place, number = folder / f"damaged-{step}", 1
        # What was set aside before stays: somebody may want it.
        while place.exists():
            number += 1
            place = folder / f"damaged-{step}-{number}"
        _place(manager, step).rename(place)
    manager.reload()


class _Damage(Exception):
    """A checkpoint is not what was saved.

    Attributes:
      is_certain: whether its digest says so; in one without a digest it may be that
        another config would fit.
    """

    def __init__(self, reason: str, *, is_certain: bool = True) -> None:
        super().__init__(reason)
        self.is_certain = is_certain


def _restore(manager: ocp.CheckpointManager, step: int, like: Any) -> Checkpoint:
    """Restores the checkpoint of one step."""
    place = _place(manager, step)
    try:
        _check_readable(place)
        record = _read_record(place)
    except OSError as error:
        raise _unreadable(place, error.strerror) from None
    if record and record["structure"] != _structure(like):
        raise errors.InputError(
            f"{place}: not a checkpoint of this config: found parameters of other names,"
            " shapes or types"
        )
    target = jax.tree.map(ocp.utils.to_shape_dtype_struct, _as_orbax_takes(like))
    content = ocp.args.Composite(
        state=ocp.args.StandardRestore(target), pipeline=ocp.args.JsonRestore()
    )
    try:
        with _quietly():
            restored = manager.restore(step, args=content)
        state, pipeline = restored["state"], restored["pipeline"]
        found = _content(step, jax.device_get(state), pipeline)
    except Exception as error:
        # What a flipped bit makes of a file can raise anything in the libraries below.
        reason = _passing(error)
        if reason:
            raise _unreadable(place, reason) from None
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise
        raise _Damage(_line(error), is_certain=record is not None) from None
    if record and found != record["content"]:
        raise _Damage("its values are not those that were saved")
    return Checkpoint(step, state, pipeline)


def _unreadable(place: pathlib.Path, reason: str) -> errors.InputError:
    """The error of a checkpoint that may be whole, and cannot be read now."""
    return errors.InputError(
        f"{place}: cannot be read: {reason}; nothing was changed, and the same command"
        " goes on once it can"
    )


def _passing(error: BaseException | None) -> str:
    """What of the system has kept a file from being read; empty if nothing has."""
    while error:
        spelled = _SPELLED_NUMBER.search(str(error))
        number = getattr(error, "errno", None)
        if spelled:
            number = int(spelled[1] or spelled[2])
        if number in _PASSING:
            return os.strerror(number)
        error = error.__cause__ or error.__context__
    return ""


_PREVIOUS: list[Callable[[Any], Any]] = []


def _drop_late(died: Any) -> None:
    """Drops what TensorStore calls back when what it was to tell has already failed.

    It stays in place, as these come at any time after a failure.
    """
    if "Event loop is closed" not in str(died.exc_value):
        _PREVIOUS[0](died)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Leaves it to the caller to report what goes wrong in the block, in one line.

    Orbax saves and restores in a dozen threads, each of which would print what it has
    died of. The first of their errors is raised all the same.
    """
    if sys.unraisablehook is not _drop_late:
        _PREVIOUS[:] = [sys.unraisablehook]
        sys.unraisablehook = _drop_late
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    hook = threading.excepthook
    threading.excepthook = lambda died: None
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        threading.excepthook = hook
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _as_orbax_takes(state: Any) -> Any:
    """A state as orbax saves it: of one of several processes it takes NumPy arrays only."""
    return state if jax.process_count() == 1 else jax.device_get(state)


def _place(manager: ocp.CheckpointManager, step: int) -> pathlib.Path:
    return pathlib.Path(manager.directory) / str(step)


def _check_readable(place: pathlib.Path) -> None:
    """Raises an InputError if a file may not be read, which is no damage."""
    for path in place.rglob("*"):
        if path.is_file():
            try:
                path.open("rb").close()
            except OSError as error:
                raise errors.InputError(f"{path}: {error.strerror}") from None


def _read_record(place: pathlib.Path) -> dict[str, str] | None:
    """The digests of a checkpoint; None in one of a version that wrote none."""
    if not (place / "digest").exists():
        return None
    try:
        record = files.read_checked_json(place / "digest" / "metadata")
        return {name: record[name] for name in ("structure", "content")}
    except (errors.InputError, KeyError, TypeError) as error:
        reason = _passing(error)
        if reason:
            raise _unreadable(place, reason) from None
        raise _Damage("its digest cannot be read") from None


def _structure(state: Any) -> str:
    """A digest of the names, shapes and types of a state's arrays."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    facts = [
        (jax.tree_util.keystr(path), leaf.shape, str(leaf.dtype))
        for path, leaf in leaves
    ]
    return _digest(json.dumps(facts).encode())


def _content(step: int, state: Any, pipeline: Any) -> str:
    """A digest of all that a checkpoint holds; the state is on the host."""
    facts = json.dumps([step, pipeline], sort_keys=True)
    arrays = map(np.ascontiguousarray, jax.tree.leaves(state))
    return _digest(facts.encode(), *(array.view(np.uint8).data for array in arrays))


def _digest(*parts: bytes | memoryview) -> str:
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(part)
    return found.hexdigest()


def _line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
