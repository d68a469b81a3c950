"""Features in files of torch.save, read without torch and without running anything.

Since torch 1.6 such a file is a zip archive: a pickle that says what there is, and
beside it a member of bytes for each storage. The pickle is interpreted by `unpickle`,
which refuses all but tensors by name; the bytes are mapped. Checksums are not compared,
since torch can leave them out.
"""

import functools
import mmap
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import arrays
from cleannet_jax.data.feature_files import found as found_lib
from cleannet_jax.data.feature_files import old_torch_files
from cleannet_jax.data.layouts import unpickle, unpickle_machine, unpickle_torch

# The number that files before torch 1.6 begin with, as their pickle has it.
_OLD_START = old_torch_files.START[2:]
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


class _Archive(NamedTuple):
    """A file of torch.save.

    Attributes:
      place: what messages call it.
      buffer: its bytes, mapped.
      members: where each member begins and ends in these, by name without the folder.
    """

    place: str
    buffer: mmap.mmap
    members: Mapping[str, tuple[int, int]]


def open_torch(path: str | os.PathLike, name: str) -> found_lib.Found:
    """Returns a tensor of a .pt file, from its pickle; reading maps its values.

    The file holds one tensor or array, or a flat dict of them by text; anything else
    in the dict is left out.

    Args:
      path: of the file.
      name: the tensor's key in the dict; empty for the only one.

    Raises:
      ArrayError: the file is absent, is no whole file of torch 1.6 or later, names
        anything but tensors, claims more than it has, has no such tensor or, where none
        is named, several.
    """
    tensor, place = _tensor(_archive(path), path, name)
    read = functools.partial(_read, path, name)
    return found_lib.Found(place, tensor.shape, tensor.dtype, read)


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns all tensors of a file of torch.save, such as a network's weights, by name.

    They lie in a flat dict, or in one under the key "state_dict"; what is no tensor is
    left out. Files from before torch 1.6 are read too. Arrays are read-only views of the
    file; bfloat16 becomes float32.

    Raises:
      ArrayError: the file is absent, is no whole file of torch.save, names anything but
        tensors, claims more than it has, or has no dict of tensors.
    """
    buffer = arrays.map_file(path)
    if buffer[: len(old_torch_files.START)] == old_torch_files.START:
        content, storages = old_torch_files.read(buffer, place=str(path))
        members = {f"data/{key}": ends for key, ends in storages.items()}
        archive = _Archive(str(path), buffer, members)
    else:
        archive = _archive(path)
        content = _content(archive)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    read = {}
    for name, tensor in _tensors(content, path).items():
        values = _values(archive, tensor, f"{path}: {name!r}")
        if values.dtype == np.dtype("V2"):
            halves = np.ascontiguousarray(values).view("<u2").astype("<u4")
            values = (halves << 16).view("<f4").reshape(values.shape)
        read[name] = values
    return read


def _read(path: str | os.PathLike, name: str) -> np.ndarray:
    """The values of a tensor, a read-only view of the file."""
    archive = _archive(path)
    return _values(archive, *_tensor(archive, path, name))


def _values(
    archive: _Archive, tensor: unpickle_torch.Tensor | np.ndarray, place: str
) -> np.ndarray:
    """The values of a tensor, a read-only view of the file."""
    if isinstance(tensor, np.ndarray):
        return tensor
    start, _ = _storage(archive, tensor, place)
    if 0 in tensor.shape:
        return np.empty(tensor.shape, tensor.dtype)
    return np.ndarray(
        tensor.shape,
        tensor.dtype,
        archive.buffer,
        offset=start + tensor.start,
        strides=tensor.strides,
    )


def _tensor(
    archive: _Archive, path: str | os.PathLike, name: str
) -> tuple[unpickle_torch.Tensor | np.ndarray, str]:
    """The tensor that is meant, once its bytes are there, and what messages call it."""
    content = _content(archive)
    if isinstance(content, unpickle_torch.Tensor | np.ndarray):
        if name:
            raise arrays.ArrayError(
                "array missing",
                f"{path}: found a single tensor without a name, expected {name!r} in a"
                " dict; leave out the manifest's key 'array'",
            )
        tensor, place = content, str(path)
    else:
        tensors = _tensors(content, path)
        name = found_lib.choose(tensors.keys(), name, path=path)
        tensor, place = tensors[name], f"{path}: {name!r}"
    if isinstance(tensor, unpickle_torch.Tensor):
        _storage(archive, tensor, place)
    return tensor, place


def _tensors(content: Any, path: str | os.PathLike) -> dict[str, Any]:
    """The tensors and arrays of a dict."""
    if not isinstance(content, dict):
        raise arrays.ArrayError(
            "array missing",
            f"{path}: found {unpickle_machine.kind_of(content)}, expected a tensor or a"
            " flat dict of tensors",
        )
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str)
        and isinstance(value, unpickle_torch.Tensor | np.ndarray)
    }
    nested = [name for name, value in content.items() if isinstance(value, dict)]
    if nested and not tensors:
        raise arrays.ArrayError(
            "array missing",
            f"{path}: found a dict under {nested[0]!r}, expected a tensor or a flat dict"
            " of tensors",
        )
    return tensors


def _content(archive: _Archive) -> Any:
    """What the pickle of an archive holds."""
    place = archive.place
    if "data.pkl" not in archive.members:
        raise arrays.ArrayError(
            "unreadable file",
            f"{place}: found a zip archive without data.pkl, expected a file of"
            " torch.save",
        )
    if "byteorder" in archive.members:
        start, stop = archive.members["byteorder"]
        order = archive.buffer[start:stop]
        if order != b"little":
            raise arrays.ArrayError(
                "wrong type",
                f"{place}: found storages of byte order {order[:20]!r}, expected"
                " b'little'",
            )
    start, stop = archive.members["data.pkl"]
    try:
        return unpickle.load(
            archive.buffer[start:stop], place=place, vocabulary=unpickle_torch.TORCH
        )
    except errors.InputError as error:
        raise arrays.ArrayError("refused pickle", str(error)) from None


def _storage(
    archive: _Archive, tensor: unpickle_torch.Tensor, place: str
) -> tuple[int, int]:
    """Where the storage of a tensor begins and ends, once it is as long as claimed."""
    storage = tensor.storage
    start, stop = archive.members.get(f"data/{storage.key}", (0, 0))
    if stop - start < storage.size:
        raise arrays.ArrayError(
            "wrong file size",
            f"{place}: found {stop - start} bytes in storage {storage.key!r}, expected"
            f" {storage.size}",
        )
    return start, stop


def _archive(path: str | os.PathLike) -> _Archive:
    """A file of torch.save, none of whose members is read."""
    buffer = arrays.map_file(path)
    if _OLD_START in buffer[:64]:
        raise arrays.ArrayError(
            "old torch file",
            f"{path}: found a file of torch before 1.6, expected a later one: load and"
            " save it again, torch.save(torch.load(PATH), PATH)",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
        members = {
            name: _place(buffer, info)
            for info in infos
            if (name := re.sub(r"^[^/]*/", "", info.filename, count=1))
        }
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise arrays.ArrayError(
            "unreadable file", f"{path}: not a whole file of torch.save: {error}"
        ) from None
    return _Archive(str(path), buffer, members)


def _place(buffer: mmap.mmap, info: zipfile.ZipInfo) -> tuple[int, int]:
    """Where the bytes of a member begin and end in its archive."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise ValueError(f"{info.filename!r} is compressed")
    header = buffer[info.header_offset : info.header_offset + _LOCAL_HEADER.size]
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
        raise ValueError(f"{info.filename!r} is not where the archive says")
    *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    start = info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    stop = start + info.file_size
    if stop > len(buffer):
        raise ValueError(f"{info.filename!r} goes beyond the end")
    return start, stop
