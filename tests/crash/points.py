"""Counts the file operations of a process, and stops or fails it at one of them."""

import builtins
import contextlib
import errno
import io
import os
import sys
import threading

# Names of audit events of Python, and how many of their arguments are paths. Those of
# `os` come from pathlib, shutil and tempfile too.
_EVENTS = {
    "os.rename": 2,
    "os.remove": 1,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.truncate": 1,
}
# What needs room on a disk.
_TAKES_ROOM = ("open", "write", "os.mkdir", "fsync")


class Points:
    """The operations below a folder, in the order in which they come.

    Something happens before an operation; of a write, half of it has taken place.
    """

    _current = None

    def __init__(self, root, act=lambda points, kind, path: None):
        """Takes the place of those that are counted now.

        Args:
          root: the folder.
          act: is called at each operation that is counted.
        """
        self.count = 0
        self.seen = []
        self._root, self._act = os.path.realpath(root), act
        self._lock = threading.RLock()
        if Points._current is None:
            sys.addaudithook(_audit)
            _patch()
        Points._current = self

    def stop(self):
        """Ends counting."""
        Points._current = _Nothing()

    def hit(self, kind, path):
        """Counts an operation, before it takes place."""
        path = os.path.realpath(path)
        # Events for TensorBoard are written by a thread whenever it likes.
        if not self.holds(path) or "tensorboard" in path:
            return
        with self._lock:
            self.count += 1
            self.seen.append((kind, os.path.relpath(path, self._root)))
            self._act(self, kind, path)

    def holds(self, path):
        """Whether a path is below the folder."""
        return path == self._root or path.startswith(self._root + os.sep)


class _Nothing:
    """Counts nothing."""

    def hit(self, kind, path):
        pass

    def holds(self, path):
        return False


def signal_at(at, number):
    """What sends a signal to this process at one operation, from 1."""

    def act(points, kind, path):
        if points.count == at:
            os.kill(os.getpid(), number)

    return act


def full_from(at):
    """What lets a disk be full from one operation on."""

    def act(points, kind, path):
        if points.count >= at and kind in _TAKES_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    return act


def readonly(points, kind, path):
    """What lets nothing be written."""
    if kind != "fsync":
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


def _audit(event, arguments):
    if event == "open":
        path, _, flags = arguments
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
        if isinstance(path, (str, bytes)) and flags and flags & writes:
            Points._current.hit("open", os.fsdecode(path))
    elif event in _EVENTS:
        paths = [os.fsdecode(x) for x in arguments[: _EVENTS[event]]]
        # shutil.rmtree names what is in a folder by the folder's handle.
        handle = arguments[-1] if isinstance(arguments[-1], int) else -1
        if handle >= 0 and event in ("os.remove", "os.rmdir"):
            with contextlib.suppress(OSError):
                paths[0] = os.path.join(_path_of(handle), paths[0])
        Points._current.hit(event, paths[-1])


def _patch():
    real_open, real_fsync = io.open, os.fsync

    def opened(file, mode="r", *arguments, **more):
        made = real_open(file, mode, *arguments, **more)
        if not set(mode) & set("wax+"):
            return made
        path = _path_of(made.fileno())
        return _File(made, path) if Points._current.holds(path) else made

    def synced(handle):
        number = handle if isinstance(handle, int) else handle.fileno()
        Points._current.hit("fsync", _path_of(number))
        return real_fsync(handle)

    builtins.open = io.open = opened
    os.fsync = synced


class _File:
    """A file whose first write, second, fourth, eighth and so on are operations."""

    def __init__(self, file, path):
        self._file, self._path = file, path
        self._writes = 0

    def write(self, data):
        self._writes += 1
        done = 0
        if self._writes & (self._writes - 1) == 0:
            done = len(data) // 2
            self._file.write(data[:done])
            self._file.flush()
            Points._current.hit("write", self._path)
        self._file.write(data[done:])
        return len(data)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *exception):
        return self._file.__exit__(*exception)

    def __iter__(self):
        return iter(self._file)


def _path_of(handle):
    return os.readlink(f"/proc/self/fd/{handle}")
