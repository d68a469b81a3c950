"""What a run leaves behind and shows: metrics lines, TensorBoard events, progress."""

import contextlib
import json
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Self

import tensorboardX
import tqdm

from cleannet_jax import errors
from cleannet_jax.data import files


def read_metrics(folder: str | os.PathLike, stage: str) -> Iterator[dict[str, Any]]:
    """Yields the lines of a stage in the metrics.jsonl of a run; none without a file."""
    path = pathlib.Path(folder) / "metrics.jsonl"
    if not path.exists():
        return
    with open(path, encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            if line["stage"] == stage:
                yield line


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


def progress_bar(title: str, *, total: int, done: int = 0) -> Any:
    """A progress bar with an ETA on standard error.

    Inside of another one it is gone when it ends. Where standard error is no terminal
    it is a line for every tenth instead.
    """
    if not sys.stderr.isatty():
        return _Lines(title, total, done)
    return tqdm.tqdm(
        total=total,
        initial=done,
        desc=title,
        dynamic_ncols=True,
        mininterval=0.5,
        leave=None,
    )


class _Lines:
    """The part of tqdm's interface that is used here, as plain lines."""

    def __init__(self, title: str, total: int, done: int) -> None:
        self.n = done
        self._title, self._total, self._first = title, total, done
        self._start = time.monotonic()
        self._tenth = self._passed()
        self._more = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def set_postfix(self, **values: str) -> None:
        """Takes what is to be shown beside the numbers."""
        self._more = "".join(f", {name} {value}" for name, value in values.items())

    def set_postfix_str(self, text: str) -> None:
        """Takes what is to be shown beside the numbers."""
        self._more = f", {text}"

    def update(self, count: int = 1) -> None:
        """Adds to what is done; prints a line when a tenth is full.

        What takes less than a second is not worth one.
        """
        self.n += count
        taken = time.monotonic() - self._start
        if self._passed() == self._tenth or taken < 1:
            return
        self._tenth = self._passed()
        left = (self._total - self.n) * taken / max(self.n - self._first, 1)
        print(
            f"{self._title}: {self.n} of {self._total}, {_clock(taken)} taken,"
            f" {_clock(left)} left{self._more}",
            file=sys.stderr,
            flush=True,
        )

    def _passed(self) -> int:
        """How many tenths are full."""
        return 10 * self.n // max(self._total, 1)


def _clock(seconds: float) -> str:
    """A duration as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


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
