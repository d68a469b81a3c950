"""Fuzzes for as long as one likes: python -m tests.fuzz [--reader NAME] [--seconds S]."""

import argparse
import os
import pathlib
import random
import sys
import tempfile
import traceback

from . import harness, readers


def main(arguments: list[str] | None = None) -> int:
    """Fuzzes the readers one after the other; 1 if an input broke a limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--reader", choices=readers.READERS, action="append")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--inputs", type=int, help="of each reader")
    parser.add_argument("--seconds", type=float, help="of each reader")
    parser.add_argument("--keep", default=".", help="folder for inputs that fail")
    options = parser.parse_args(arguments)
    if options.inputs is None and options.seconds is None:
        options.seconds = 60.0
    names = options.reader or list(readers.READERS)
    return max(_run(name, options) for name in names)


def _run(name: str, options: argparse.Namespace) -> int:
    """Fuzzes one reader in a process of its own, which a library may kill."""
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        child = os.fork()
        if not child:
            code = 2
            try:
                code = _child(name, options, pathlib.Path(folder))
            except BaseException:  # noqa: BLE001  The process ends here.
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            (path,) = pathlib.Path(folder).iterdir()
            kept = _keep(name, options, path.read_bytes())
            print(f"{name}: killed by signal {os.WTERMSIG(status)}: {kept}", flush=True)
        return int(status != 0)


def _child(name: str, options: argparse.Namespace, folder: pathlib.Path) -> int:
    """Fuzzes one reader and prints what came of it."""
    report = harness.run(
        name,
        harness.inputs(name, options.seed),
        folder,
        most=options.inputs,
        seconds=options.seconds,
    )
    print(
        f"{name}: seed {options.seed}, {report.inputs} inputs, {report.refused} refused by all,"
        f" {report.seconds:.0f} s, slowest {report.slowest:.2f} s,"
        f" {report.peak / 2**20:.0f} MiB",
        flush=True,
    )
    if report.failure:
        kept = _keep(name, options, report.content)
        print(f"{name}: {report.failure}\n{name}: the input is {kept}", flush=True)
    return int(bool(report.failure))


def _keep(name: str, options: argparse.Namespace, content: bytes) -> pathlib.Path:
    """Writes an input that failed."""
    path = pathlib.Path(options.keep, f"fuzz-{name}-{options.seed}.bin")
    path.write_bytes(content)
    return path


if __name__ == "__main__":
    sys.exit(main())
