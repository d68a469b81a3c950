"""Tensors in files of torch.save from before torch 1.6, read without torch.

Such a file is five pickles in a row, then the storages: a number that says what it is, a
version, facts of the machine, what was saved, and the keys of the storages in the order
in which they follow, each as its number of values in 8 bytes and the values. Pickles
are interpreted by `unpickle`, as those of later files are; values are mapped.
"""

import mmap
import pickletools
from typing import IO, Any, cast

from cleannet_jax import errors
from cleannet_jax.data import arrays
from cleannet_jax.data.layouts import unpickle, unpickle_machine, unpickle_torch

# The first pickle, up to its number and its end.
START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_VERSION = 1001
_COUNT_BYTES = 8


def read(buffer: mmap.mmap, *, place: str) -> tuple[Any, dict[str, tuple[int, int]]]:
    """Returns what was saved, and where each storage begins and ends, by key.

    Args:
      buffer: the file, mapped; it begins with `START`.
      place: what messages call it.

    Raises:
      ArrayError: the file is of another version or byte order, names anything but
        tensors, or is cut short.
    """
    sizes: dict[str, tuple[int, int]] = {}
    of_later_files = unpickle_torch.TORCH.persistent
    assert of_later_files is not None

    def persistent(
        machine: unpickle_machine.Machine, value: Any
    ) -> unpickle_torch.Storage:
        """A storage; the sixth part of its id said once that it is a view of another."""
        if type(value) is tuple and len(value) == 6 and value[5] is None:
            value = value[:5]
        storage: unpickle_torch.Storage = of_later_files(machine, value)
        if storage.dtype is None:
            raise machine.error("refused a storage without a type")
        sizes[storage.key] = (storage.size, storage.dtype.itemsize)
        return storage

    vocabulary = unpickle_torch.TORCH._replace(persistent=persistent)
    contents, at = [], 0
    try:
        for _ in range(5):
            contents.append(
                unpickle.load(buffer, place=place, start=at, vocabulary=vocabulary)
            )
            # The interpreter does not say where it ended; this runs nothing either.
            buffer.seek(at)
            for _ in pickletools.genops(cast(IO[bytes], buffer)):
                pass
            at = buffer.tell()
    except errors.InputError as error:
        raise arrays.ArrayError("refused pickle", str(error)) from None
    except ValueError as error:
        raise arrays.ArrayError("refused pickle", f"{place}: {error}") from None
    _, version, machine, content, keys = contents
    is_little = isinstance(machine, dict) and machine.get("little_endian") is True
    if version != _VERSION or not is_little:
        raise arrays.ArrayError(
            "old torch file",
            f"{place}: found a file of torch.save of version {version!r:.20},"
            f" {'little' if is_little else 'big'}-endian, expected {_VERSION} and"
            " little-endian",
        )
    return content, _places(buffer, keys, sizes, at, place)


def _places(
    buffer: mmap.mmap,
    keys: Any,
    sizes: dict[str, tuple[int, int]],
    at: int,
    place: str,
) -> dict[str, tuple[int, int]]:
    """Where each storage begins and ends, those that tensors lie in."""
    places: dict[str, tuple[int, int]] = {}
    for key in keys if isinstance(keys, list) else [None]:
        if not isinstance(key, str) or key not in sizes or key in places:
            raise arrays.ArrayError(
                "unreadable file",
                f"{place}: found a list of storages that its tensors do not lie in,"
                " expected theirs",
            )
        size, item = sizes[key]
        start = at + _COUNT_BYTES
        count = int.from_bytes(buffer[at:start], "little")
        at = start + size
        if count * item != size or at > len(buffer):
            raise arrays.ArrayError(
                "wrong file size",
                f"{place}: found {min(count, 2**63) * item} bytes in storage {key!r} and"
                f" {max(len(buffer) - start, 0)} to the end, expected {size}",
            )
        places[key] = (start, at)
    return places
