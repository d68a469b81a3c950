"""Runs the campaign and prints its figures; fails where anything came out otherwise."""

import argparse
import importlib.util
import pathlib
import sys
import time

from . import campaign, commands, flips, server


def main():
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    made.add_argument("--full", action="store_true", help="all operations")
    made.add_argument("--sample", type=int, default=10, help="one of so many otherwise")
    made.add_argument("--only", metavar="NAMES", help="of commands, or flips")
    made.add_argument("--seed", type=int, default=0, help="of the random moments")
    made.add_argument("--flips", type=int, help="bits to flip (1000, or 100)")
    parsed = made.parse_args()
    every, kills = (1, 25) if parsed.full else (parsed.sample, 1)
    is_only_flips = parsed.only == "flips"
    names = tuple(parsed.only.split(",")) if parsed.only else tuple(commands.COMMANDS)
    if is_only_flips:
        names = ()
    if not importlib.util.find_spec("av"):
        print("no PyAV: commands that read videos are left out")
        names = tuple(name for name in names if name not in commands.OF_VIDEOS)
    server.import_all()
    with campaign.temporary() as place:
        data = flips.feature_folder(pathlib.Path(place, "made"))
        found = campaign.Campaign(pathlib.Path(place, "work"), data, names)
        # Forks first: after this process has computed something none can.
        for name in names:
            _said(f"{name}: signals at random moments")
            found.signals(name, kills, kinds=("SIGKILL",), seed=parsed.seed)
            if parsed.full:
                others = ("SIGTERM", "SIGINT")
                found.signals(name, 2, kinds=others, seed=parsed.seed + 1)
            found.real_kills(name, range(3, 60, 8 * min(every, 4)))
        found.go_on()
        for name in names:
            _said(f"{name}: every operation")
            count = found.every_point(name, every=every)
            _said(
                f"{name}: {count} operations; a full disk, a read-only one, two at once"
            )
            found.full_disk(name, range(1, count + 1, every * _FULL.get(name, 4)))
            found.readonly(name)
            found.two_at_once(name)
        if is_only_flips or not parsed.only:
            _said("flipped bits")
            number = parsed.flips or (1000 if parsed.full else 100)
            flips.run(found, number, seed=parsed.seed)
        campaign.print_table(found)
    return 1 if found.failures else 0


# A full disk at one operation of so many: with checkpoints a run takes seconds.
_FULL = {"train": 10, "ablate": 20, "score": 1, "fuse-weight": 1}
_START = time.monotonic()


def _said(text):
    print(f"{time.monotonic() - _START:6.0f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
