"""A process that has imported everything forks one for each trial that ends by a signal.

It must not have computed anything yet: a fork has none of the threads of XLA.
"""

import os
import pathlib
import random
import signal
import sys
import time
import traceback
import warnings

from . import commands, points

_LIMIT = 300  # Seconds that a trial may take.


def import_all():
    """Imports what commands import, so that a fork need not."""
    import cleannet_jax.ablate
    import cleannet_jax.convert
    import cleannet_jax.experiment
    import cleannet_jax.features.backbones
    import cleannet_jax.fuse_weight
    import cleannet_jax.programs.ablate
    import cleannet_jax.programs.convert
    import cleannet_jax.programs.extract
    import cleannet_jax.programs.fuse_weight
    import cleannet_jax.programs.localize
    import cleannet_jax.programs.score
    import cleannet_jax.programs.train
    import cleannet_jax.report.ablation
    import cleannet_jax.report.experiment  # noqa: F401

    warnings.filterwarnings("ignore", message=".*os.fork.*")


def run(line, folder, *, act=None, signal_after=None):
    """Runs a command in a fork, in a folder.

    Args:
      line: its arguments.
      folder: that it is given in.
      act: what happens at its operations, see `points.Points`; None for nothing.
      signal_after: (signal, seconds) to send it.

    Returns:
      `commands.Ended`; the code is negative where a signal has ended it.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    said = folder.parent / f"{folder.name}.said"
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        _be(line, folder, said, act)
    code = _wait(child, signal_after)
    text = said.read_text(errors="replace") if said.exists() else ""
    return commands.Ended(code, "", text, 0)


def _be(line, folder, said, act):
    """Is the command."""
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        if act:
            points.Points(folder, act)
        ended = commands.run_here(line, folder)
        os.write(2, ended.err.encode())
        code = ended.code
    except BaseException:  # noqa: BLE001 - the fork must end
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _wait(child, signal_after):
    """Waits for a process, sends it a signal on the way, and returns how it ended."""
    start = time.monotonic()
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        taken = time.monotonic() - start
        if signal_after and taken >= signal_after[1]:
            os.kill(child, signal_after[0])
            signal_after = None
        if taken > _LIMIT:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -999
        time.sleep(0.002)


def moments(count, longest, seed):
    """Random moments to send signals at."""
    draw = random.Random(seed)
    return [draw.uniform(0, longest) for _ in range(count)]
