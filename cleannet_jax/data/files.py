"""Reading and writing files: JSON and arrays in, whole files or nothing out."""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import pathlib
import re
import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import IO, Any

from cleannet_jax import errors
from cleannet_jax.data import folders, text

# The key of a digest of all other keys.
_CHECK = "check"
# Keys of paths that say where a folder was: runs elsewhere have the same digests.
_PLACES = ("predictions",)

_CHUNK = 1 << 22  # Characters read at a time: bounds the memory, not the result.
_SPACE = re.compile(r"[ \t\n\r]*")
_DEEPEST = 100  # Levels: what is read may be written again, which takes recursion.
_SPELLED_HALF = re.compile(r"\\u[dD][89a-fA-F]")


@contextlib.contextmanager
def open_atomic(
    path: str | os.PathLike, mode: str = "w", *, is_bulk: bool = False
) -> Iterator[IO]:
    """Opens a file that appears under `path` whole, or not at all.

    Whole after a power cut too: its bytes are on the disk before its name is. The name
    is on the disk when the block has ended, unless the file is one of thousands: for
    each of these a sync of the folder would cost as much again as that of the file, so
    that `folders.sync` follows once, before the file that says that all are there.

    A link stays, and the file that it leads to is replaced. What is no regular file, such
    as a pipe or a device, is written into.

    Args:
      path: where the file is to be; its folder must exist.
      mode: "w" for text (UTF-8, "\\n" line ends) or "wb" for bytes.
      is_bulk: whether it is one of many, whose folder the caller syncs, and clears of
        what a killed command has left.

    Yields:
      A writable file. It replaces `path` when the block ends, and is removed when
      the block raises, which includes a full disk.

    Raises:
      OSError: it cannot be written; its `filename` is `path`.
      InputError: some text cannot be written as UTF-8.
    """
    place = pathlib.Path(os.path.realpath(path) if os.path.islink(path) else path)
    how = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with _named(path, place):
        if place.exists() and not place.is_file():
            with open(place, mode, **how) as file:
                yield file
        else:
            with _draft(place, mode, how, is_bulk=is_bulk) as (file, _):
                yield file


@contextlib.contextmanager
def draft_of(path: str | os.PathLike) -> Iterator[str]:
    """Yields where to write a file that takes the place of `path`, as `open_atomic` does.

    For libraries that open files themselves: they write into the one that is there.

    Args:
      path: one of many, whose folder the caller syncs, see `open_atomic`.

    Raises:
      OSError: as there.
    """
    place = pathlib.Path(path)
    with _named(path, place), _draft(place, "wb", {}, is_bulk=True) as (_, name):
        yield name


@contextlib.contextmanager
def _named(path: str | os.PathLike, place: pathlib.Path) -> Iterator[None]:
    """Names the file that cannot be written, which a full disk or its draft do not."""
    try:
        yield
    except OSError as error:
        name = os.path.basename(os.fsdecode(error.filename or ""))
        if name and not name.startswith(f".{place.name}."):
            raise
        # NumPy says that an array does not fit in words alone.
        number, reason = error.errno or errno.EIO, error.strerror or str(error)
        raise OSError(number, reason, os.fspath(path)) from error
    except UnicodeEncodeError as error:
        raise errors.InputError(
            f"{path}: cannot be written: found half of a surrogate pair in"
            f" {text.quoted(error.object[max(error.start - 30, 0) : error.end + 30])},"
            " expected whole characters; correct the name in the input that has it"
        ) from None


@contextlib.contextmanager
def _draft(
    path: pathlib.Path, mode: str, how: dict[str, str], *, is_bulk: bool
) -> Iterator[tuple[IO, str]]:
    """A file, and its name, that takes the place of `path`, see `open_atomic`."""
    if not is_bulk:
        folders.remove_remains(path.parent, path.name)
    handle, name = folders.temporary_file(path)
    try:
        with os.fdopen(handle, mode, **how) as file:
            yield file, name
            file.flush()
            os.fsync(file.fileno())
            # mkstemp makes files private; a result is as readable as any other file.
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
            # Still open, and so still locked: no leftover until it has its name.
            os.replace(name, path)
        if not is_bulk:
            folders.sync(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, atomically; NaN and infinities are refused."""
    with open_atomic(path) as file:
        json.dump(value, file, indent=1, allow_nan=False)
        file.write("\n")


def write_checked_json(path: str | os.PathLike, value: Mapping[str, Any]) -> None:
    """Writes an object as `write_json` does, with a digest of it among its keys."""
    write_json(path, with_digest(value))


def with_digest(value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an object as `read_checked_json` reads it from a file."""
    return {**value, _CHECK: _digest(value)}


def read_checked_json(path: str | os.PathLike) -> Any:
    """Returns what `write_checked_json` has written, without the digest.

    JSON that has none is returned as it is: earlier versions wrote none.

    Raises:
      InputError: as `read_json` does, or the content is not what was written.
    """
    value = read_json(path)
    if isinstance(value, dict) and _CHECK in value:
        found = value.pop(_CHECK)
        if found != _digest(value):
            raise errors.InputError(
                f"{path}: damaged, or changed by hand: found the {_CHECK!r}"
                f" {reprlib.repr(found)}, expected that of its content; bring back the"
                f" file as it was, or take out the line {_CHECK!r} if the change is meant"
            )
    return value


def _digest(value: Mapping[str, Any]) -> str:
    """A digest of an object that only its content decides, not its layout."""
    # Through JSON once, so that tuples and lists, and keys of any type, are the same.
    content = json.loads(json.dumps(value))
    content = {key: content[key] for key in content if key not in _PLACES}
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_json(path: str | os.PathLike) -> Any:
    """Returns the content of a JSON file (UTF-8, with or without a byte order mark).

    Raises:
      InputError: the file is absent, is not UTF-8 or not JSON, is nested deeply, has a
        key twice or text that cannot be written.
    """
    with _open_json(path) as window:
        window.read_all()
        value = window.value()
        window.end()
        return value


def first_key(path: str | os.PathLike, keys: Collection[str]) -> str | None:
    """Returns which of some keys is the first at the top level of a JSON file.

    What follows it is not looked at.

    Returns:
      None where there is none, or no object.

    Raises:
      InputError: as `read_json` does.
    """
    with _open_json(path) as window:
        if window.peek() == "{":
            for name in window.names():
                if name in keys:
                    return name
                window.value()
    return None


def iterate_json(
    path: str | os.PathLike,
    key: str,
    *,
    is_member: Callable[[Any], bool] = lambda value: False,
) -> Iterator[tuple[str, Any]]:
    """Yields the members of the object under one key of a JSON file's top level.

    One member is decoded at a time and the file is read in pieces, so that a file of
    gigabytes takes the memory of its largest member. The other keys are checked and
    dropped.

    Args:
      path: of the file (UTF-8, with or without a byte order mark).
      key: whose object is wanted.
      is_member: whether a value can be a member of that object. Where the key is absent
        and all values of the top level can, the top level itself is the object.

    Yields:
      Name and value of each member, in the order of the file.

    Raises:
      InputError: as `read_json` does, or there is no object under the key; possibly
        only after members in front of the mistake were yielded.
    """
    with _open_json(path) as window:
        if window.peek() != "{":
            raise errors.InputError(
                f"expected an object with the key {key!r}, found {window.shortened()}"
            )
        names, is_object = [], True
        for name in window.names():
            names.append(name)
            if name != key:
                is_object = is_member(window.value()) and is_object
            elif window.peek() != "{":
                raise errors.InputError(
                    f"{key}: expected an object from video ids, found"
                    f" {window.shortened()}"
                )
            else:
                yield from ((member, window.value()) for member in window.names())
        window.end()
        if key in names:
            return
        if not names or not is_object:
            raise errors.InputError(
                f"expected the key {key!r}, found only {reprlib.repr(names)}"
            )
    with _open_json(path) as window:
        yield from ((member, window.value()) for member in window.names())


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refusing a key that stands twice: one value would be lost."""
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _twice(name)
            seen.add(name)
    return result


def _checked(value: Any, *, has_halves: bool) -> Any:
    """The value, once it is not nested deeply and all text in it can be written.

    Args:
      value: as it was decoded.
      has_halves: whether halves of surrogate pairs are spelled somewhere, and refused.
    """
    level = [value]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for item in level:
            if has_halves and type(item) is str:
                text.check_writable(item)
            inner += (
                part
                for part in _parts(item)
                if type(part) in (dict, list) or (has_halves and type(part) is str)
            )
        if not inner:
            return value
        level = inner
    raise errors.InputError(f"JSON that is nested too deeply, beyond {_DEEPEST} levels")


def _parts(value: Any) -> Iterable[Any]:
    """What is in a list, or in an object with its names."""
    if type(value) is dict:
        return itertools.chain(value, value.values())
    return value if type(value) is list else ()


def _twice(name: str) -> errors.InputError:
    return errors.InputError(f"key {reprlib.repr(name)} stands twice in one object")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_pairs)


class _Window:
    """The part of a JSON text that is being decoded; it slides over the file."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._line, self._column = 1, 1  # Of the first character of the window.
        self._has_ended = False
        self._is_whole = False  # One value, of which parts are written again.

    def read_all(self) -> None:
        """Widens the window to the whole file, for one value that fills it."""
        self._text, self._has_ended = self._file.read(), True
        self._is_whole = True

    def peek(self) -> str:
        """The next character that is not white space; empty at the end of the file."""
        self._at = _SPACE.match(self._text, self._at).end()
        while self._at == len(self._text) and not self._has_ended:
            self._slide()
            self._at = _SPACE.match(self._text).end()
        return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """The next value, decoded."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._has_ended:
                    raise self._error(error.msg, error.pos) from None
            else:
                # A number may go on behind the window, and 25e- is no number yet.
                if end + len("e-") < len(self._text) or self._has_ended:
                    has_halves = self._is_whole and bool(
                        _SPELLED_HALF.search(self._text, self._at, end)
                    )
                    self._at = end
                    return _checked(value, has_halves=has_halves)
            self._slide()

    def shortened(self) -> str:
        """The next value for a message."""
        return reprlib.repr(self.value())

    def names(self) -> Iterator[str]:
        """The names in the next object; whoever iterates takes the value of each."""
        names = set()
        self._take("{")
        if self.peek() == "}":
            self._take("}")
            return
        while True:
            if self.peek() != '"':
                raise self._error("Expecting a name in double quotes", self._at)
            name = self.value()
            if name in names:
                raise _twice(name)
            names.add(name)
            self._take(":")
            yield name
            if self._take(",}") == "}":
                return

    def end(self) -> None:
        """Raises unless nothing follows."""
        if self.peek():
            raise self._error("Extra data", self._at)

    def _take(self, expected: str) -> str:
        """The next character, which must be one of those expected."""
        found = self.peek()
        if not found or found not in expected:
            raise self._error(f"Expecting {' or '.join(expected)}", self._at)
        self._at += 1
        return found

    def _slide(self) -> None:
        """Forgets what is decoded, and at least doubles what is not."""
        self._line, self._column = self._place(self._at)
        rest = self._text[self._at :]
        count = max(_CHUNK, len(rest))
        more = self._file.read(count)
        self._has_ended = len(more) < count
        self._text, self._at = rest + more, 0

    def _place(self, at: int) -> tuple[int, int]:
        """Line and column of a position in the window."""
        lines = self._text.count("\n", 0, at)
        if not lines:
            return self._line, self._column + at
        return self._line + lines, at - self._text.rindex("\n", 0, at)

    def _error(self, message: str, at: int) -> errors.InputError:
        line, column = self._place(at)
        return errors.InputError(f"line {line}, column {column}: not JSON: {message}")


@contextlib.contextmanager
def _open_json(path: str | os.PathLike) -> Iterator[_Window]:
    """A window on a JSON file, whose mistakes become one line that names the file."""
    with text.opened(path) as file:
        try:
            yield _Window(file)
        except RecursionError:
            raise errors.InputError(f"{path}: JSON that is nested too deeply") from None
        except UnicodeDecodeError:
            raise
        except errors.InputError as error:
            raise errors.InputError(f"{path}: {error}") from None
        except ValueError as error:
            # Python refuses to convert whole numbers of thousands of digits.
            problem = str(error).partition(";")[0]
            raise errors.InputError(f"{path}: {problem}") from None
