"""Reading and writing files: JSON and arrays in, whole files or nothing out."""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from cleannet_jax import errors


@contextlib.contextmanager
def open_atomic(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """Opens a file that appears under `path` whole, or not at all.

    Args:
      path: where the file is to be; its folder must exist.
      mode: "w" for text (UTF-8, "\\n" line ends) or "wb" for bytes.

    Yields:
      A writable file. It replaces `path` when the block ends, and is removed when
      the block raises, which includes a full disk.
    """
    path = pathlib.Path(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a result is as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, atomically; NaN and infinities are refused."""
    with open_atomic(path) as file:
        json.dump(value, file, indent=1, allow_nan=False)
        file.write("\n")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refusing a key that stands twice: one value would be lost."""
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise errors.InputError(f"key {twice!r} stands twice in one object")
    return result


def read_json(path: str | os.PathLike) -> Any:
    """Returns the content of a JSON file (UTF-8, with or without a byte order mark).

    Raises:
      InputError: the file is absent, is not UTF-8 or not JSON, or has a key twice.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file, object_pairs_hook=_unique_pairs)
    except FileNotFoundError:
        raise errors.InputError(f"{path}: no such file") from None
    except OSError as error:
        raise errors.InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise errors.InputError(f"{path}: not UTF-8 text: {error}") from None
    except json.JSONDecodeError as error:
        raise errors.InputError(
            f"{path}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
        ) from None
    except errors.InputError as error:
        raise errors.InputError(f"{path}: {error}") from None
