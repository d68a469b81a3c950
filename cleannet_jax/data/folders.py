"""Folders that a command writes: who is in one, whether it is new, what a kill has left.

A file that is being written has a temporary name beside its place, `.NAME.XXXXXXXX`, and
is locked for as long as its writer lives. So what a killed command has left can be told
from what another command is writing just now.
"""

import contextlib
import errno
import fcntl
import functools
import os
import pathlib
import re
import tempfile
from collections.abc import Collection, Iterator

from cleannet_jax import errors

_LOCK = ".lock"

# What `tempfile` puts at the end.
_DRAWN = re.compile(r"[a-z0-9_]{8}")

# Where no name is known endings are asked for: a person's .config.settings is not ours.
_TEMPORARY = re.compile(
    r"\..+\.(arrayrecord|csv|json|jsonl|npy|npz|shards|tex|txt)\.[a-z0-9_]+", re.DOTALL
)

# Some file systems cannot sync folders, or do so by themselves.
_CANNOT_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES)

# Some, of networks among them, have no locks, or none that work just now.
_CANNOT_LOCK = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def make(folder: str | os.PathLike) -> None:
    """Makes a folder, and those above it, that are there after a power cut too."""
    folder = pathlib.Path(folder)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync(place.parent)


def sync(folder: str | os.PathLike) -> None:
    """Waits until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(handle)


def temporary_file(path: pathlib.Path) -> tuple[int, str]:
    """Makes the file that is to become `path`, locked; its handle and its name."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        # A file system without locks: nothing tells that the writer lives.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, name
        # Somebody has taken it for a leftover before it was locked.
        os.close(handle)


def remove_remains(folder: str | os.PathLike, name: str | None = None) -> None:
    """Removes temporary files whose writers are dead.

    Args:
      folder: where they are; it need not be there.
      name: of the file that they were to become; None for any that we write, in a
        folder that is ours.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for entry in list(os.scandir(folder)):
            if _is_temporary(entry, name):
                _remove_dead(entry.path)


def is_new(folder: str | os.PathLike, own: Collection[str] = ()) -> bool:
    """Whether a folder is absent, or holds only what a kill at the start has left.

    Args:
      folder: any.
      own: names of folders in it that the command makes, which may be there and hold
        no file yet.
    """
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return True
    return all(_is_beginning(entry, own) for entry in entries)


@contextlib.contextmanager
def locked(folder: str | os.PathLike) -> Iterator[None]:
    """Keeps other commands out of a folder; it must be there.

    On a file system without locks it cannot, which a line says.

    Raises:
      InputError: one is in it.
    """
    path = pathlib.Path(folder) / _LOCK
    lock = _open_lock(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(lock)


def _open_lock(path: pathlib.Path) -> int:
    """The handle of a lock that is held."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise errors.InputError(
                f"{path.parent}: another program is running in this folder; wait for"
                " it, or choose another folder"
            ) from None
        except OSError as error:
            if error.errno not in _CANNOT_LOCK:
                os.close(lock)
                raise
            _say_no_locks(error.strerror)
        except BaseException:
            os.close(lock)
            raise
        # Whoever had it may have removed the file between these two lines.
        if os.fstat(lock).st_nlink:
            return lock
        os.close(lock)


@functools.cache
def _say_no_locks(reason: str) -> None:
    """Says it once, however many folders a command is in."""
    print(
        f"note: the file system has no locks ({reason}): nothing keeps two commands"
        " out of one folder",
        flush=True,
    )


def _is_temporary(entry: os.DirEntry, name: str | None = None) -> bool:
    """Whether an entry is a file that was being written."""
    if not entry.is_file(follow_symlinks=False):
        return False
    if name is None:
        return _TEMPORARY.fullmatch(entry.name) is not None
    start, _, end = entry.name.rpartition(".")
    return start == f".{name}" and _DRAWN.fullmatch(end) is not None


def _is_beginning(entry: os.DirEntry, own: Collection[str]) -> bool:
    """Whether a command that was killed at its start can have left an entry."""
    if entry.name in own and entry.is_dir(follow_symlinks=False):
        return all(map(_is_temporary, list(os.scandir(entry.path))))
    return entry.name == _LOCK or _is_temporary(entry)


def _remove_dead(path: str) -> None:
    """Removes a temporary file unless its writer lives."""
    # What cannot be opened or locked is left where it is.
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        finally:
            os.close(handle)
