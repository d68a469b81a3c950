"""Reads one input after the other within limits, and tells what broke them."""

import contextlib
import os
import pathlib
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cleannet_jax import errors

from . import mutators, readers
from . import seeds as seeds_lib

# Seconds of the processor for an input, and what an input may take of memory.
SECONDS = 2.0
MULTIPLE, SPARE = 64, 96 << 20
# What no reader has a reason for; files are opened to be read.
_FORBIDDEN = (
    *("exec", "compile", "pickle.find_class", "os.system", "os.exec", "os.fork"),
    *("os.posix_spawn", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.putenv"),
    *("subprocess.Popen", "socket.connect", "socket.__new__", "shutil.rmtree"),
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_watched: list[str] = []


class TooLong(BaseException):
    """An input has taken longer than it may."""


class Report(NamedTuple):
    """What came of the inputs of a reader.

    Attributes:
      inputs: how many there were.
      refused: how many of them no function of the reader takes.
      seconds: that they took.
      slowest: seconds of the slowest.
      peak: bytes that the process grew by.
      failure: what broke a limit, and how; empty where nothing did.
      content: the input that did.
    """

    inputs: int
    refused: int
    seconds: float
    slowest: float
    peak: int
    failure: str = ""
    content: bytes = b""


def inputs(name: str, seed: int) -> Iterator[bytes]:
    """Yields inputs for a reader without end; the same for the same seed."""
    ending, _ = readers.READERS[name]
    rng, whole = random.Random(f"{name} {seed}"), seeds_lib.all_seeds()[ending]
    yield from whole
    while True:
        yield mutators.mutate(rng, ending, whole)


def run(
    name: str,
    contents: Iterable[bytes],
    folder: pathlib.Path,
    *,
    most: int | None = None,
    seconds: float | None = None,
) -> Report:
    """Returns what came of inputs, up to the first that breaks a limit.

    Args:
      name: of the reader.
      contents: the inputs.
      folder: an empty one, where each input lies while it is read.
      most: inputs to read; None for all.
      seconds: after which no other is read; None for no such end.
    """
    ending, read = readers.READERS[name]
    path = folder / f"input{ending if ending[0] == '.' else f'.{ending}'}"
    begun, count, refused, slowest = time.monotonic(), 0, 0, 0.0
    path.write_bytes(seeds_lib.all_seeds()[ending][0])
    with contextlib.suppress(errors.InputError):
        read(path)  # What is imported late is no fault of an input.
    before = _memory()
    for content in contents:
        taken = time.monotonic() - begun
        if count == most or (seconds is not None and taken > seconds):
            break
        path.unlink()  # Arrays of the input before may be views of it.
        path.write_bytes(content)
        start, so_far = time.process_time(), _memory()
        failure, is_refused = _failure(read, path)
        slowest = max(slowest, time.process_time() - start)
        count, refused = count + 1, refused + is_refused
        grown = _memory() - so_far
        if grown > MULTIPLE * len(content) + SPARE:
            failure = failure or f"memory: {grown >> 20} MiB of {len(content)} bytes"
        if os.listdir(folder) != [path.name]:
            failure = failure or f"files: {sorted(os.listdir(folder))}"
        if failure:
            taken = time.monotonic() - begun
            return Report(count, refused, taken, slowest, grown, failure, content)
    grown = _memory() - before
    return Report(count, refused, time.monotonic() - begun, slowest, grown)


def _failure(read, path: pathlib.Path) -> tuple[str, bool]:
    """What is wrong with how an input was read, if anything, and whether it was refused."""
    _watch(path)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
    except errors.InputError as error:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        try:
            readers.check(error)
        except AssertionError as wrong:
            return str(wrong), True
        return "", True
    except TooLong:
        return f"time: more than {SECONDS} s", False
    except BaseException as error:  # noqa: BLE001  Whatever it is, it is told.
        _watched.clear()
        last = "".join(traceback.format_exception(error)[-3:])
        return f"{type(error).__name__}: {str(error)[:200]}\n{last}", False
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        _watched.clear()
    return "", False


def _memory() -> int:
    """The most memory that the process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _watch(path: pathlib.Path) -> None:
    """Lets nothing be done but opening a file to read it, until the list is cleared."""
    if not hasattr(_watch, "is_on"):
        _watch.is_on = True
        sys.addaudithook(_audit)
        signal.signal(signal.SIGVTALRM, _stop)
    _watched.append(str(path))


def _stop(number: int, frame: object) -> None:
    raise TooLong


def _audit(event: str, arguments: tuple) -> None:
    if not _watched:
        return
    if event == "open":
        name, _, flags = arguments
        if str(name) != _watched[0] or flags & _WRITES:
            raise AssertionError(f"opened {name!r} with {flags:#x}")
    elif event in _FORBIDDEN:
        raise AssertionError(f"did {event} {arguments!r}")
