"""Weights in a .caffemodel, read without Caffe: the part of protobuf that they need.

A message is fields in a row, each a key, which is 8 × its number + its wire type, and a
value: a number of variable length, 8 or 4 bytes, or bytes after their length. A network
has its layers in field 100, or in field 2 as Caffe had them before 2014; a layer has a
name and blobs; a blob has a shape and values. Numbers of fields are those of caffe.proto.
"""

import math
import mmap
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import arrays

_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
_FIXED = {_DOUBLE: 8, _FLOAT: 4}
_WIRE_NAMES = {
    _VARINT: "a number",
    _DOUBLE: "8 bytes",
    _BYTES: "bytes",
    _FLOAT: "4 bytes",
}
# Layers and blobs of a network: more are of no network, and take time.
_MAX_FIELDS = 100_000
_MAX_AXES, _MAX_SIZE = 8, 2**31 - 1


class _Layout(NamedTuple):
    """Numbers of the fields of a layer."""

    name: int
    blobs: int


_LAYOUTS = {100: _Layout(name=1, blobs=7), 2: _Layout(name=4, blobs=6)}
_DATA, _DOUBLES, _SHAPE, _DIM = 5, 8, 7, 1
_OLD_SHAPE = (1, 2, 3, 4)  # num, channels, height, width


class _Field(NamedTuple):
    """A field of a message.

    Attributes:
      number: of the field.
      wire: its wire type.
      value: of a number, or where bytes begin.
      stop: where bytes end, and the field.
    """

    number: int
    wire: int
    value: int
    stop: int


class _Reader:
    """The bytes of a file, and how many fields it may still have."""

    def __init__(self, buffer: mmap.mmap, place: str) -> None:
        self.buffer = buffer
        self.place = place
        self.left = _MAX_FIELDS

    def error(self, at: int, message: str) -> errors.InputError:
        """An error at a byte."""
        return errors.InputError(
            f"{self.place}: no whole .caffemodel: byte {at}: {message}"
        )

    def varint(self, at: int, stop: int) -> tuple[int, int]:
        """A number of variable length, and where it ends."""
        value = 0
        for index, byte in enumerate(self.buffer[at : min(at + 10, stop)]):
            value |= (byte & 127) << (7 * index)
            if byte < 128:
                return value & (2**64 - 1), at + index + 1
        raise self.error(at, "found no end of a number, expected one")

    def fields(self, at: int, stop: int) -> Iterator[_Field]:
        """The fields of the message between two places."""
        while at < stop:
            begin = at
            self.left -= 1
            if self.left < 0:
                raise self.error(at, f"found more than {_MAX_FIELDS} fields")
            key, at = self.varint(at, stop)
            number, wire = key >> 3, key & 7
            if number == 0 or wire not in _WIRE_NAMES:
                raise self.error(
                    begin, f"found field {number} of wire type {wire}, expected a field"
                )
            if wire == _VARINT:
                value, at = self.varint(at, stop)
                yield _Field(number, wire, value, at)
                continue
            size = _FIXED.get(wire)
            if size is None:
                size, at = self.varint(at, stop)
            if size > stop - at:
                raise self.error(
                    begin,
                    f"found {stop - at} bytes to the end of the message, expected {size}"
                    f" in field {number}",
                )
            yield _Field(number, wire, at, at + size)
            at += size

    def expect(self, field: _Field, *wires: int) -> None:
        """Raises unless a field is of one of the wire types."""
        if field.wire not in wires:
            expected = " or ".join(_WIRE_NAMES[wire] for wire in wires)
            raise self.error(
                field.value if field.wire != _VARINT else field.stop,
                f"found {_WIRE_NAMES[field.wire]} in field {field.number}, expected"
                f" {expected}",
            )


def read_caffemodel(path: str | os.PathLike) -> dict[str, list[np.ndarray]]:
    """Returns the blobs of each layer that has some, by its name.

    Blobs are float32, or float64 where Caffe's was; those that are stored in one piece
    are read-only views of the file.

    Raises:
      InputError: the file is absent or no whole .caffemodel, claims more than it has, has
        a blob whose shape is not that of its values, has two layers of a name with
        blobs, or has no layer with blobs.
    """
    buffer = arrays.map_file(path)
    reader = _Reader(buffer, str(path))
    layers: dict[str, list[np.ndarray]] = {}
    for field in reader.fields(0, len(buffer)):
        layout = _LAYOUTS.get(field.number)
        if layout is None:
            continue
        reader.expect(field, _BYTES)
        name, blobs = _layer(reader, field, layout)
        if blobs and name in layers:
            raise errors.InputError(
                f"{path}: found two layers {name!r:.80} with blobs, expected one"
            )
        if blobs:
            layers[name] = blobs
    if not layers:
        raise errors.InputError(
            f"{path}: found no layer with blobs, expected a .caffemodel with weights"
        )
    return layers


def _layer(
    reader: _Reader, layer: _Field, layout: _Layout
) -> tuple[str, list[np.ndarray]]:
    """The name and the blobs of a layer."""
    name, blobs = "", []
    for field in reader.fields(layer.value, layer.stop):
        if field.number not in layout:
            continue
        reader.expect(field, _BYTES)
        if field.number == layout.name:
            raw = reader.buffer[field.value : field.stop]
            try:
                name = raw.decode()
            except UnicodeDecodeError:
                raise reader.error(
                    field.value, "found a name that is no UTF-8, expected text"
                ) from None
        else:
            blobs.append(_blob(reader, field, name))
    return name, blobs


def _blob(reader: _Reader, blob: _Field, layer: str) -> np.ndarray:
    """The values of a blob in its shape."""
    shape: list[int] | None = None
    old = dict.fromkeys(_OLD_SHAPE, 1)
    is_old = False
    parts: list[np.ndarray] = []
    for field in reader.fields(blob.value, blob.stop):
        if field.number in (_DATA, _DOUBLES):
            parts.append(_numbers(reader, field))
        elif field.number == _SHAPE:
            reader.expect(field, _BYTES)
            shape = _shape(reader, field)
        elif field.number in old:
            reader.expect(field, _VARINT)
            old[field.number], is_old = field.value, True
    # Caffe writes values in one piece, others may not.
    values = (
        parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, "<f4")])
    )
    if shape is None:
        shape = list(old.values()) if is_old else [len(values)]
    count = math.prod(shape)
    if count != len(values) or max(shape, default=0) > _MAX_SIZE:
        raise reader.error(
            blob.value,
            f"layer {layer!r:.80}: found {len(values)} values, expected {count} for shape"
            f" {tuple(shape)}",
        )
    return values.reshape(shape)


def _numbers(reader: _Reader, field: _Field) -> np.ndarray:
    """The values of a field of floats: many after their length, or one."""
    wire, dtype = (_FLOAT, "<f4") if field.number == _DATA else (_DOUBLE, "<f8")
    reader.expect(field, _BYTES, wire)
    size = field.stop - field.value
    if size % _FIXED[wire]:
        raise reader.error(
            field.value,
            f"found {size} bytes of values, expected a multiple of {_FIXED[wire]}",
        )
    if not size:
        return np.empty(0, dtype)
    count = size // _FIXED[wire]
    return np.frombuffer(reader.buffer, dtype, count=count, offset=field.value)


def _shape(reader: _Reader, shape: _Field) -> list[int]:
    """The lengths of the axes, each by itself or all after their length."""
    sizes: list[int] = []
    for field in reader.fields(shape.value, shape.stop):
        if field.number != _DIM:
            continue
        reader.expect(field, _VARINT, _BYTES)
        if field.wire == _VARINT:
            sizes.append(field.value)
            continue
        at = field.value
        while at < field.stop and len(sizes) <= _MAX_AXES:
            size, at = reader.varint(at, field.stop)
            sizes.append(size)
    if len(sizes) > _MAX_AXES:
        raise reader.error(
            shape.value, f"found {len(sizes)} axes, expected at most {_MAX_AXES}"
        )
    return sizes
