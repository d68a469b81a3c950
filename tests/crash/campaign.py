"""Stops commands, runs them again, and says what came out otherwise than it should.

After a kill at an operation the disk has what it has at that moment: so one run, with a
copy of its folder at each operation, stands for a kill at each of them, and the command
is run again in each copy (those that are the same once). Kills at random moments are
real ones. A full disk and a read-only folder are errors that operations raise.
"""

import collections
import contextlib
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import videos

from . import commands, points, server

_SIGNALS = {
    "SIGKILL": signal.SIGKILL,
    "SIGTERM": signal.SIGTERM,
    "SIGINT": signal.SIGINT,
}


class Campaign:
    """Trials of the commands in a folder.

    Attributes:
      folder: of all trials; `inputs` is in it.
      wanted: digests of promised files, by command and path.
      failures: what came out otherwise, a line each.
      counts: of trials, by command and kind.
      took: seconds that a whole run of each command takes in a fork.
    """

    def __init__(self, folder, data, names=tuple(commands.COMMANDS)):
        """Makes the inputs, and what is expected, by commands in forks.

        Args:
          folder: for everything; must be empty.
          data: a small feature folder.
          names: of the commands.
        """
        self.folder, self.inputs = pathlib.Path(folder), pathlib.Path(folder, "in")
        self.failures, self.counts = [], collections.Counter()
        self.took, self.wanted, self._waiting = {}, {}, []
        shutil.copytree(data, self.inputs / "data")
        if set(names) & set(commands.OF_VIDEOS):
            (self.inputs / "videos").mkdir()
            for name, frames in (("a", 25), ("b", 40)):
                videos.make_video(self.inputs / f"videos/{name}.mp4", frames)
        if set(names) - {"convert", "ablate", *commands.OF_VIDEOS} or not names:
            self._whole("train")
            shutil.copytree(self.folder / "whole/train/out", self.inputs / "run")
        if set(names) & {"score", "fuse-weight"}:
            self._whole("localize")
            shutil.copytree(self.folder / "whole/localize/scp", self.inputs / "scp")
            shutil.copy(self.folder / "whole/localize/found.json", self.inputs)
        for name in names:
            if name not in self.wanted:
                self._whole(name)

    def line(self, name):
        """The arguments of a command."""
        return commands.line_of(name, self.inputs)

    def _whole(self, name):
        """Runs a command in a fork to its end; what it promises is what is expected."""
        place = self.folder / "whole" / name
        start = time.monotonic()
        ended = server.run(self.line(name), place)
        if ended.code:
            raise RuntimeError(f"{name}: ended with {ended.code}: {ended.err}")
        self.took[name] = time.monotonic() - start
        self.wanted[name] = commands.promised(place)

    def signals(self, name, number, kinds=tuple(_SIGNALS), seed=0):
        """Sends signals at random moments; `go_on` looks at what they leave."""
        draw = random.Random(f"{seed} {name}")
        for index in range(number):
            kind = kinds[index % len(kinds)]
            place = self.folder / "signals" / name / f"{seed}-{index}"
            moment = draw.uniform(0, self.took[name])
            ended = server.run(
                self.line(name), place, signal_after=(_SIGNALS[kind], moment)
            )
            stopped = ended.code in (0, -_SIGNALS[kind], 128 + _SIGNALS[kind])
            what = f"{kind} after {moment:.2f} s"
            if not stopped or "Traceback" in ended.err:
                self._fail(name, what, ended)
            self._waiting.append((name, kind, what, place))

    def real_kills(self, name, at):
        """Kills at operations by their number, by SIGKILL; `go_on` looks at the rest."""
        for number in at:
            place = self.folder / "kills" / name / str(number)
            act = points.signal_at(number, signal.SIGKILL)
            server.run(self.line(name), place, act=act)
            what = f"SIGKILL at operation {number}"
            self._waiting.append((name, "SIGKILL at an operation", what, place))

    def go_on(self):
        """Gives the commands again that signals have stopped, in this process."""
        for name, kind, what, place in self._waiting:
            self._again(name, kind, what, place)
        self._waiting = []

    def every_point(self, name, every=1):
        """Takes a copy at each operation and goes on in it; in this process."""
        place, copies = self.folder / "points" / name, []
        states = {}

        def copy(found, kind, path):
            state = _state(place)
            if state not in states:
                states[state] = self.folder / "copies" / name / str(found.count)
                shutil.copytree(place, states[state], copy_function=_copy)
            copies.append((found.count, f"{found.seen[-1]}", states[state]))

        place.mkdir(parents=True)
        counted = points.Points(place, copy)
        ended = commands.run_here(self.line(name), place)
        counted.stop()
        self._check(name, "a whole run", place, ended)
        done = {}
        for number, what, at in copies[::every]:
            if at not in done:
                before = len(self.failures)
                self._again(name, "states", f"at operation {number}, {what}", at)
                done[at] = len(self.failures) == before
            self.counts[name, "operations"] += 1
            self.counts[name, "operations passed"] += done[at]
        return counted.count

    def full_disk(self, name, at):
        """Lets the disk be full from operations on, one line each; then goes on."""
        for number in at:
            place = self.folder / "full" / name / str(number)
            self._fault(name, "full disk", place, points.full_from(number), number)
            self._again(name, "full disk, then room", f"from operation {number}", place)

    def readonly(self, name):
        """Lets nothing be written; the command ends with a line and writes nothing."""
        place = self.folder / "readonly" / name
        self._fault(name, "read-only", place, points.readonly, 1)
        if any(place.iterdir()):
            self.failures.append(f"{name}: read-only: something was written")

    def two_at_once(self, name):
        """Starts another one while one is running: refused in a line, or the same."""
        place = self.folder / "two" / name
        ended, other = [], threading.Event()

        def start(found, kind, path):
            if found.count == 8 and not other.is_set():
                other.set()
                found.stop()
                ended.append(commands.run_here(self.line(name), place))

        place.mkdir(parents=True)
        counted = points.Points(place, start)
        first = commands.run_here(self.line(name), place)
        counted.stop()
        self.counts[name, "two at once"] += 1
        self._check(name, "two at once", place, first)
        for second in ended:
            if second.code not in (0, 2) or "Traceback" in second.err:
                self._fail(name, "two at once, the second", second)

    def _fault(self, name, kind, place, act, number):
        """Runs a command that operations fail in; it must end in one line."""
        place.mkdir(parents=True)
        counted = points.Points(place, act)
        before = threading.active_count()
        ended = commands.run_here(self.line(name), place)
        counted.stop()
        # A process that ends takes its threads along; here those of orbax write on.
        deadline = time.monotonic() + 10
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.05)
        self.counts[name, kind] += 1
        errors = [x for x in ended.err.splitlines() if x.startswith("error: ")]
        if ended.code == 0 and commands.promised(place) == self.wanted[name]:
            return
        if ended.code != 2 or len(errors) != 1 or "Traceback" in ended.err:
            self._fail(name, f"{kind} from operation {number}", ended)

    def _again(self, name, kind, what, place):
        """Gives a stopped command again."""
        ended = commands.run_here(self.line(name), place)
        self.counts[name, kind] += 1
        self._check(name, what, place, ended)

    def _check(self, name, what, place, ended):
        """Notes a failure unless a command has done what it promises."""
        if ended.code:
            self._fail(name, what, ended)
            return
        found, wanted = commands.promised(place), self.wanted[name]
        for path in sorted(found.keys() | wanted.keys()):
            if found.get(path) != wanted.get(path):
                self.failures.append(f"{name}: {what}: {path}: other bytes")
        left = commands.leftovers(place)
        if left:
            self.failures.append(f"{name}: {what}: left behind: {left[0]}")

    def _fail(self, name, what, ended):
        last = (ended.err.strip().splitlines() or [""])[-1]
        self.failures.append(f"{name}: {what}: ended with {ended.code}: {last}")


def _state(folder):
    """What tells the content of a folder from another one, names of drafts aside."""
    found = []
    for path in sorted(pathlib.Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if "tensorboard" in name:
            continue
        if path.name.startswith(".") and path.suffix and len(path.suffix) == 9:
            name = name[:-9]
        with contextlib.suppress(FileNotFoundError):
            found.append((name, path.read_bytes() if path.is_file() else b"/"))
    return hash(tuple(found))


def _copy(source, target):
    """Copies a file, unless a thread of TensorStore has removed it just now."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(source, target)


def print_table(campaign):
    """Prints how many trials there were, and what failed."""
    for (name, kind), count in sorted(campaign.counts.items()):
        print(f"{name:12} {kind:28} {count}")
    print(f"failures: {len(campaign.failures)}")
    for line in campaign.failures[:40]:
        print(f"  {line[:300]}")


def temporary():
    """A folder for a campaign."""
    return tempfile.TemporaryDirectory(prefix="cleannet_crash")
