"""Runs a program in this process: a subprocess would import everything again."""

import contextlib
import io
from typing import NamedTuple

from cleannet_jax.programs import main


class Done(NamedTuple):
    """What is left of a program, as `subprocess` has it."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments):
    """Runs `cleannet` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    return Done(code, out.getvalue(), err.getvalue())
