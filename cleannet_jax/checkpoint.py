"""Save, latest, restore: checkpoints of a stage of a run, by orbax.

A checkpoint holds a train state (parameters, optimiser state, step and random key)
and the position of the input pipeline. It appears whole or not at all.
"""

import os
import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from cleannet_jax import errors


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
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, enable_async_checkpointing=False, create=True
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
    latest = manager.latest_step()
    if latest == step:
        return
    # Asked beforehand: a disk that is full half way is reported by a dozen threads.
    needed = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + 2**20
    free = shutil.disk_usage(manager.directory).free
    if free < needed:
        raise _not_written(manager, step, f"{free} bytes free, expected {needed}")
    content = ocp.args.Composite(
        state=ocp.args.StandardSave(state), pipeline=ocp.args.JsonSave(pipeline)
    )
    try:
        manager.save(step, args=content)
    except (OSError, ValueError) as error:
        raise _not_written(manager, step, str(error).splitlines()[0]) from None


def _not_written(
    manager: ocp.CheckpointManager, step: int, reason: str
) -> errors.InputError:
    """The error of a checkpoint that could not be written."""
    return errors.InputError(
        f"{manager.directory}: checkpoint of step {step} could not be written: "
        f"{reason}; the last whole one is of step {manager.latest_step()}"
    )


def restore_latest(manager: ocp.CheckpointManager, like: Any) -> Checkpoint | None:
    """Restores the latest checkpoint of a folder; None if there is none.

    Args:
      manager: of the folder.
      like: a state of the shapes and types expected.

    Raises:
      InputError: the checkpoint has other shapes, which another config would make, or
        cannot be read.
    """
    step = manager.latest_step()
    if step is None:
        return None
    target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    content = ocp.args.Composite(
        state=ocp.args.StandardRestore(target), pipeline=ocp.args.JsonRestore()
    )
    place = pathlib.Path(manager.directory) / str(step)
    try:
        restored = manager.restore(step, args=content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise errors.InputError(
            f"{place}: not a checkpoint of this config: {reason}"
        ) from None
    return Checkpoint(step, restored["state"], restored["pipeline"])
