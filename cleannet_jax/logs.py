"""What a run leaves behind and shows: metrics lines, TensorBoard events, progress."""

import contextlib
import json
import os
import pathlib
import signal
import sys
import time
import zlib
from collections.abc import Collection, Iterator, Mapping
from types import FrameType
from typing import Any, Self

import tensorboardX
import tqdm

from cleannet_jax import distributed, errors
from cleannet_jax.data import files

# The key of a digest of a line, so that a flipped bit in it is no other number.
_CHECK = "check"


def read_metrics(folder: str | os.PathLike, stage: str) -> Iterator[dict[str, Any]]:
    """Yields the lines of a stage in the metrics.jsonl of a run; none without a file.

    Lines that are damaged are left out.
    """
    path = pathlib.Path(folder) / "metrics.jsonl"
    if not path.exists():
        return
    for text in _lines(path):
        line = _parsed(text)
        if line and line["stage"] == stage:
            yield line


def _lines(path: pathlib.Path) -> Iterator[str]:
    """The lines of a file, whatever is in it."""
    with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
        yield from file


def _parsed(text: str) -> dict[str, Any] | None:
    """A line of metrics; None if it is damaged, or cut in half."""
    try:
        line = json.loads(text)
        found = line.pop(_CHECK, None)
        step, stage = line["step"], line["stage"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    numbers = [line[name] for name in line if name not in ("step", "stage")]
    is_usable = (
        text.endswith("\n")
        and type(step) is int
        and type(stage) is str
        and all(type(value) in (int, float) for value in numbers)
        # Lines of earlier versions have no digest.
        and found in (None, _digest(line))
    )
    return line if is_usable else None


def check_metrics(
    folder: str | os.PathLike, stage: str, expected: Collection[int]
) -> None:
    """Says in a line what is missing of the metrics of a stage that has ended.

    Args:
      folder: of the run.
      stage: its name.
      expected: the steps that there should be a line of.
    """
    found = {line["step"] for line in read_metrics(folder, stage)}
    path = pathlib.Path(folder) / "metrics.jsonl"
    _say(path, 0, len(set(expected) - found))


def _say(path: pathlib.Path, damaged: int, lost: int) -> None:
    """Says what is wrong with a file of metrics, if anything is."""
    dropped = f"{damaged} lines cannot be read and are dropped, " if damaged else ""
    if damaged or lost:
        print(
            f"warning: {path}: damaged: {dropped}lines of {lost} steps are missing; the"
            " run goes on, its model does not depend on them",
            flush=True,
        )


def _digest(line: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(line).encode()):08x}"


class MetricsLog:
    """`metrics.jsonl` and TensorBoard events of a run, continued after a stop.

    Lines of steps that a stopped run had taken but not saved are dropped when it goes
    on, since it takes these steps again; so are lines that are damaged.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        first_step: int,
        stage: str = "",
        expected: Collection[int] = (),
    ) -> None:
        """Opens the log of a run in order to write from `first_step` on.

        Args:
          folder: of the run.
          first_step: that is to be written.
          stage: that is to be written. Later lines of another one stay, where an
            earlier stage had to be begun anew; empty for none.
          expected: steps before it that there should be a line of; where there is none
            a line says so.
        """
        self._path = pathlib.Path(folder) / "metrics.jsonl"
        self._is_sorted = True
        self._keep_before(first_step, stage, expected)
        self._events = tensorboardX.SummaryWriter(
            str(pathlib.Path(folder) / "tensorboard"), purge_step=first_step
        )

    def _keep_before(
        self, first_step: int, stage: str, expected: Collection[int]
    ) -> None:
        """Drops the lines of steps to come, and those that cannot be read."""
        kept: dict[int, str] = {}
        damaged = 0
        for text in _lines(self._path) if self._path.exists() else ():
            line = _parsed(text)
            # The last line may be cut in half by a kill, which is nothing to tell of.
            damaged += line is None and text.endswith("\n")
            if line and line["step"] < first_step:
                kept[line["step"]] = text
            elif line and stage and line["stage"] != stage:
                kept[line["step"]] = text
                self._is_sorted = False
        _say(self._path, damaged, len(set(expected) - kept.keys()))
        if self._path.exists():
            with files.open_atomic(self._path) as file:
                file.writelines(kept.values())

    def write(self, step: int, stage: str, metrics: dict[str, float]) -> None:
        """Adds one line, {"step", "stage", metrics...}, and the same as events.

        Raises:
          InputError: the disk is full.
        """
        try:
            line = {"step": step, "stage": stage, **metrics}
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line | {_CHECK: _digest(line)}) + "\n")
            for name, value in metrics.items():
                self._events.add_scalar(f"{stage}/{name}", value, step)
        except OSError as error:
            raise errors.InputError(f"{self._path}: {error.strerror}") from None

    def sync(self) -> None:
        """Waits until the lines are on the disk."""
        if self._path.exists():
            with open(self._path, "rb") as file:
                os.fsync(file.fileno())

    def close(self) -> None:
        """Puts the lines in order and closes the events."""
        if not self._is_sorted:
            lines = list(_lines(self._path))
            lines.sort(key=lambda text: (_parsed(text) or {"step": 0})["step"])
            with files.open_atomic(self._path) as file:
                file.writelines(lines)
        self._events.close()


def progress_bar(title: str, *, total: int, done: int = 0) -> Any:
    """A progress bar with an ETA on standard error.

    Inside of another one it is gone when it ends. Where standard error is no terminal
    it is a line for every tenth instead. Of several processes process 0 alone shows one.
    """
    if not distributed.is_first():
        return tqdm.tqdm(total=total, initial=done, disable=True)
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
