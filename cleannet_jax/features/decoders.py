"""Processes that decode videos, beside the one that computes features of them."""

import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import forkserver, resource_tracker
from typing import Any, NamedTuple, Self

import numpy as np

from cleannet_jax import errors
from cleannet_jax.features import inputs
from cleannet_jax.features import video as video_lib

_ASKING = (signal.SIGINT, signal.SIGTERM)


class Facts(NamedTuple):
    """What is known of a video file.

    Attributes:
      size: bytes.
      changed: time of the last change, nanoseconds.
      snippets: T.
      frames: their number.
      duration: seconds.
      fps: mean frames a second.
    """

    size: int
    changed: int
    snippets: int
    frames: int
    duration: float
    fps: float


class Decoders:
    """Processes that decode, each with a thread that waits for it.

    One that a file has ended, by a fault or for lack of memory, is started again.

    Attributes:
      count: how many there are, once they are needed.
    """

    def __init__(self, workers: int | None) -> None:
        if workers is not None and workers < 1:
            raise errors.InputError(f"--workers: found {workers}, expected 1 or more")
        self.count = workers or os.cpu_count() or 1
        # A process with threads, as JAX has, cannot be forked. One that has only
        # imported what decodes can, and is.
        self._context = multiprocessing.get_context("forkserver")
        _start_server()
        self._threads = concurrent.futures.ThreadPoolExecutor(self.count)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._processes: list[Any] = []
        self._has_ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Ends the processes at once, whatever they do."""
        with self._lock:
            self._has_ended = True
            for process in self._processes:
                process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in self._processes:
            process.join()

    def submit(
        self, function: Callable[..., Any], path: pathlib.Path, *arguments: Any
    ) -> concurrent.futures.Future:
        """Begins a call for a file; what it raises is an InputError that names it."""
        return self._threads.submit(self._call, function, path, *arguments)

    def _call(
        self, function: Callable[..., Any], path: pathlib.Path, *arguments: Any
    ) -> Any:
        """What a process makes; runs in a thread."""
        for _ in range(2):  # Another one may have taken the memory.
            try:
                connection = self._connection()
                connection.send((function, path, *arguments))
                found = connection.recv()
            except (EOFError, ConnectionError):
                self._own.connection = None
                continue
            if isinstance(found, errors.InputError):
                raise found
            return found
        raise errors.InputError(
            f"{path}: the process that decodes it has died, perhaps for lack of memory"
        )

    def _connection(self) -> Any:
        """The thread's process, started where it has none."""
        if getattr(self._own, "connection", None) is None:
            here, there = self._context.Pipe()
            process = self._context.Process(target=_answer, args=(there,), daemon=True)
            with self._lock:
                if self._has_ended:
                    raise EOFError
                process.start()
                self._processes.append(process)
            # So that the end of the process is the end of what can be read.
            there.close()
            self._own.connection = here
        return self._own.connection


def _start_server() -> None:
    """Starts the process that others are forked from, unless it runs."""
    forkserver.set_forkserver_preload([__name__])
    resource_tracker.ensure_running()  # It unblocks signals when it starts.
    # The processes inherit it: signals are for the first one alone.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKING)
    # It would look for modules in the present folder first, whatever is there.
    usual = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONSAFEPATH")}
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        forkserver.ensure_running()
    finally:
        for name, value in usual.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(connection: Any) -> None:
    """Makes what is asked for, until the first process ends."""
    for number in _ASKING:
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            function, path, *arguments = connection.recv()
            try:
                answer = function(path, *arguments)
            except errors.InputError as error:
                answer = error
            except MemoryError:
                answer = errors.InputError(f"{path}: takes more memory than there is")
            except (ArithmeticError, LookupError, OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                answer = errors.InputError(f"{path}: cannot be read: {reason}")
            connection.send(answer)


@functools.lru_cache(maxsize=4)
def _opened(path: pathlib.Path, size: int, changed: int) -> video_lib.Video:
    """A video, scanned once."""
    del size, changed
    return video_lib.open_video(path)


def scan(path: pathlib.Path, grid: inputs.Grid) -> Facts:
    """Returns what is known of a file.

    Args:
      path: of the video.
      grid: of its snippets.

    Raises:
      InputError: it is no video that can be read.
    """
    now = os.stat(path)
    video = _opened(path, now.st_size, now.st_mtime_ns)
    return Facts(
        size=now.st_size,
        changed=now.st_mtime_ns,
        snippets=grid.count(video),
        frames=len(video.times),
        duration=float(video.duration),
        fps=float(video.fps),
    )


def made(
    path: pathlib.Path, facts: Facts, recipe: inputs.Inputs, first: int, last: int
) -> dict[str, np.ndarray]:
    """Returns inputs of a backbone for snippets of a file.

    Args:
      path: of the video.
      facts: as it was scanned.
      recipe: makes them.
      first: snippet.
      last: the one after the last snippet.

    Raises:
      InputError: it cannot be read, or is another file than was scanned.
    """
    found = recipe(_opened(path, facts.size, facts.changed), first, last)
    now = os.stat(path)
    if (now.st_size, now.st_mtime_ns) != (facts.size, facts.changed):
        raise errors.InputError(
            f"{path}: was changed while it was read; the same command reads it again"
        )
    return found
