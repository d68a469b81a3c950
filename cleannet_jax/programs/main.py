"""The command `cleannet`: the table of programs, exit codes, and how a mistake ends.

Exit codes: 0, done; 1, done, but something was found or left out that the output names;
2, not done, with the reason as the last line; 128 and a signal's number, stopped by it.
"""

import contextlib
import difflib
import importlib
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import cleannet_jax
from cleannet_jax import errors

PROGRAMS = {
    "demo": "make short videos, learn from their tags, and show what is found when",
    "extract": "compute features of video files",
    "train": "train a method on features and evaluate it beside its baselines",
    "localize": "find the actions in videos with a trained run",
    "evaluate": "mAP of detections, with intervals, comparisons and error types",
    "score": "contrast scores for proposals of any origin",
    "fuse-weight": "choose how much they count beside a detector's own scores",
    "init": "describe a folder of features: write its manifest",
    "convert": "make a feature folder from another code base's features",
    "annotate": "give actions to an annotation tool, and take them back corrected",
    "validate": "check a feature folder before it is trained on",
    "ablate": "compare methods over seeds: the paper's tables on any data",
    "table": "gather the results of several runs in one table",
    "export": "write a trained run as programs for JAX alone and other compilers",
    "report": "make pages of what was found, to open in a browser",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code.

    Args:
      arguments: without the name of the command; None for the process's own.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if name in ("--version", "version"):
        print(f"cleannet_jax {cleannet_jax.__version__}")
        return 0
    if name not in PROGRAMS:
        near = difflib.get_close_matches(name, PROGRAMS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else ", ".join(PROGRAMS)
        print(f"error: cleannet: no program {name!r}: {hint}", file=sys.stderr)
        return 2
    return run(name, arguments[1:])


def run(name: str, arguments: Sequence[str] | None = None) -> int:
    """Runs one program; returns its exit code.

    Args:
      name: a key of `PROGRAMS`.
      arguments: of the program; None for the process's own.
    """
    written = _Written()
    program = None
    try:
        with _interrupts():
            program = importlib.import_module(f"cleannet_jax.programs.{_module(name)}")
            parsed = program.parser().parse_args(arguments)
            written = _Written(parsed, *getattr(program, "FOLDERS", ()))
            return program.run(parsed)
    except errors.InputError as error:
        if error.report:
            print(error.report, file=sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        return 2
    except errors.Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signal_number
    except OSError as error:
        if isinstance(error, BrokenPipeError) and not error.filename:
            # Whoever read the output has seen enough, as `head` does.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        goes_on = getattr(program, "WHEN_STOPPED", "")
        print(f"stopped; {goes_on or written.text()}", file=sys.stderr)
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)


class _Written:
    """Which of the files and folders that a command line names were written."""

    def __init__(self, parsed: Any = None, *folders: str) -> None:
        names = (*folders, "out", "json", "csv")
        named = [getattr(parsed, name, None) for name in names]
        if hasattr(parsed, "folder"):
            named.append(os.path.join(parsed.folder, "manifest.json"))
        self._before = {path: _state(path) for path in named if path}

    def text(self) -> str:
        """What to say of them when the program was stopped."""
        now = [path for path, state in self._before.items() if _state(path) != state]
        names = [
            f"{path} (not complete: the same command writes it anew)"
            if pathlib.Path(path).is_dir() and pathlib.Path(path, _SCP_MARK).exists()
            else path
            for path in now
        ]
        return f"written: {', '.join(names)}" if names else "nothing was written"


# Is in a folder of SCPs that is being written, see `data.snippets`.
_SCP_MARK = ".scp.json"


def _state(path: str) -> tuple[int, int] | None:
    """What differs when a file was replaced, or a folder was written to."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_mtime_ns


@contextlib.contextmanager
def _interrupts() -> Iterator[None]:
    """Lets SIGINT and SIGTERM end the program in one line, also while it imports.

    Training collects them instead while it can save, see `logs.stop_requests`.

    An import cannot be relied on to pass on a KeyboardInterrupt: there are packages
    that take one for a part of theirs that is not installed. So it ends the process
    there; what is being written just then was never given its name.
    """
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    # Others are somebody else's, or ignored, as SIGINT is in the background.
    ours = [number for number in usual if signal.getsignal(number) is usual[number]]
    if threading.current_thread() is not threading.main_thread():
        ours = []
    for number in ours:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, usual[number])


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Handles SIGINT and SIGTERM."""
    if _is_importing(frame):
        os.write(2, b"stopped; no file is half written; give the same command again\n")
        os._exit(128 + number)
    raise KeyboardInterrupt(number)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a frame is one of an import, or below one."""
    while frame:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


def _module(name: str) -> str:
    """The name of a program's module, and of its file in bin/."""
    return name.replace("-", "_")


def _overview() -> str:
    """What `cleannet --help` prints."""
    width = max(map(len, PROGRAMS))
    rows = [f"  {name:<{width}}  {what}" for name, what in PROGRAMS.items()]
    return "\n".join(
        [
            "usage: cleannet PROGRAM [OPTIONS]",
            "",
            "Finds when what happens in untrimmed videos, having learned from labels of",
            "whole videos: CleanNet (ICCV 2019) in JAX.",
            "",
            *rows,
            "",
            "cleannet PROGRAM --help has the options of a program; cleannet --version.",
        ]
    )
