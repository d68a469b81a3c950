"""What a run leaves behind and shows: metrics lines, TensorBoard events, progress."""

import contextlib
import json
import os
import pathlib
import signal
from collections.abc import Iterator
from types import FrameType

import tensorboardX
import tqdm

from cleannet_jax import errors
from cleannet_jax.data import files


class Interrupted(Exception):
    """The run was asked to stop and has saved what it needs to go on.

    Attributes:
      signal_number: of the signal that asked for it.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class MetricsLog:
    """`metrics.jsonl` and TensorBoard events of a run, continued after a stop.

    Lines of steps that a stopped run had taken but not saved are dropped when it goes
    on, since it takes these steps again.
    """

    def __init__(self, folder: str | os.PathLike, *, first_step: int) -> None:
        """Opens the log of a run in order to write from `first_step` on."""
        self._path = pathlib.Path(folder) / "metrics.jsonl"
        self._keep_before(first_step)
        self._events = tensorboardX.SummaryWriter(
            str(pathlib.Path(folder) / "tensorboard"), purge_step=first_step
        )

    def _keep_before(self, first_step: int) -> None:
        """Drops the lines of steps to come, and a line that was cut in half."""
        if not self._path.exists():
            return
        with open(self._path, encoding="utf-8") as file:
            lines = [line for line in file if line.endswith("\n")]
        with files.open_atomic(self._path) as file:
            file.writelines(
                line for line in lines if json.loads(line)["step"] < first_step
            )

    def write(self, step: int, stage: str, metrics: dict[str, float]) -> None:
        """Adds one line, {"step", "stage", metrics...}, and the same as events.

        Raises:
          InputError: the disk is full.
        """
        try:
            line = {"step": step, "stage": stage, **metrics}
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            for name, value in metrics.items():
                self._events.add_scalar(f"{stage}/{name}", value, step)
        except OSError as error:
            raise errors.InputError(f"{self._path}: {error.strerror}") from None

    def close(self) -> None:
        """Closes the events."""
        self._events.close()


def progress_bar(title: str, *, total: int, done: int = 0) -> tqdm.tqdm:
    """A progress bar with an ETA on standard error; inside of another one it is gone
    when it ends.
    """
    return tqdm.tqdm(
        total=total,
        initial=done,
        desc=title,
        dynamic_ncols=True,
        mininterval=0.5,
        leave=None,
    )


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collects requests to stop, so that a loop can end between two steps.

    Yields:
      A list, empty until SIGINT or SIGTERM comes; then the signal's number is in it.
      A second signal acts at once.
    """
    received: list[int] = []
    previous = {}

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        for name, handler in previous.items():
            signal.signal(name, handler)

    for name in (signal.SIGINT, signal.SIGTERM):
        previous[name] = signal.signal(name, note)
    try:
        yield received
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)
