"""What calls in a pickle make: NumPy's arrays, dtypes and scalars, bytes and slices.

`RELEASES` is all that a pickle of a release can name, and what its calls make. Wrong
arguments raise TypeError or ValueError.
Arrays are read-only views of the file where they can be.
"""

import dataclasses
import math
import re
import reprlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import arrays
from cleannet_jax.data.layouts import unpickle_machine

_MAX_DIMENSIONS, _MAX_SIZE = 32, 2**63
_DTYPE = re.compile(r"[|<>=]?(b1|i[1248]|u[1248]|f[248]|[SU][1-9]\d{0,5}|O[48]?)")


@dataclasses.dataclass(eq=False, slots=True)
class Pending:
    """An array, or a dtype of unknown byte order, until its state comes."""

    dtype: np.dtype | None = None
    result: np.ndarray | np.dtype | None = None


def build(machine: unpickle_machine.Machine) -> None:
    """Gives the object under the top its state, if it is one that waits for it."""
    state, target = machine.pop(), machine.pop()
    if isinstance(target, unpickle_machine.Stub) and target.state is None:
        target.state = state
        machine.stack.append(target)
        return
    # What torch hangs on the dict of a network's weights: versions of its layers.
    if type(target) is dict and type(state) is dict and list(state) == ["_metadata"]:
        machine.stack.append(target)
        return
    if not isinstance(target, Pending) or target.result is not None:
        raise machine.error(f"refused a state for {unpickle_machine.kind_of(target)}")
    try:
        if target.dtype is None:
            _, shape, dtype, is_fortran, content = state
            order = "F" if is_fortran else "C"
            target.result = _filled(machine, shape, dtype, order, content)
        elif type(state) is tuple:
            target.result = _ordered(target.dtype, *state[1:5])
        else:
            raise TypeError
    except errors.InputError:
        raise
    except (TypeError, ValueError):
        raise machine.error("refused the state of an array or of its dtype") from None
    machine.spend(sys.getsizeof(target.result))
    machine.stack.append(target.result)


def _new_array(
    machine: unpickle_machine.Machine, kind: Any, shape: Any, code: Any
) -> Pending:
    del machine, shape, code
    if kind != unpickle_machine.Name("numpy", "ndarray"):
        raise TypeError
    return Pending()


def _new_dtype(
    machine: unpickle_machine.Machine, text: Any, align: Any, copy: Any
) -> Pending:
    del align, copy
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise machine.error(
            f"refused dtype {reprlib.repr(text)}: expected numbers, text or objects"
        )
    return Pending(np.dtype(object) if "O" in text else np.dtype(text))


def _new_scalar(
    machine: unpickle_machine.Machine, dtype: Any, content: Any
) -> np.generic:
    return _filled(machine, (), dtype, "C", content)[()]


def _new_bytes(
    machine: unpickle_machine.Machine, text: Any, encoding: Any
) -> bytes | memoryview:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError
    return machine.raw(text)


def _new_slice(machine: unpickle_machine.Machine, *ends: Any) -> slice:
    del machine
    if not all(end is None or type(end) is int for end in ends):
        raise TypeError
    return slice(*ends)


def _filled(
    machine: unpickle_machine.Machine, shape: Any, dtype: Any, order: str, content: Any
) -> np.ndarray:
    """An array with a content, which is a list where the dtype is of objects."""
    if type(shape) is not tuple or len(shape) > _MAX_DIMENSIONS:
        raise TypeError
    if not all(type(size) is int and 0 <= size < _MAX_SIZE for size in shape):
        raise TypeError
    if not isinstance(dtype, np.dtype):
        raise TypeError
    is_object = dtype == object
    raw = content if is_object else machine.raw(content)
    expected = math.prod(shape) * (1 if is_object else dtype.itemsize)
    if isinstance(raw, list) != is_object or len(raw) != expected:
        unit = "objects" if is_object else "bytes"
        raise machine.error(
            f"found {len(raw)} {unit}, expected {expected} for an array of shape"
            f" {shape} of {dtype}"
        )
    if is_object:
        return _object_array(machine, raw, shape, order)
    flat = np.frombuffer(raw, dtype) if len(raw) else np.empty(0, dtype)
    arrays.check_characters(flat, machine.place)
    return flat.reshape(shape, order=order)


def _object_array(
    machine: unpickle_machine.Machine,
    values: list[Any],
    shape: tuple[int, ...],
    order: str,
) -> np.ndarray:
    """An array of Python objects; arrays among them stay apart."""
    machine.spend(8 * len(values))
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array.reshape(shape, order=order)


def _ordered(
    dtype: np.dtype, order: Any, subtype: Any, names: Any, fields: Any
) -> np.dtype:
    """A dtype in the byte order of its state."""
    if order not in ("<", ">", "|", "=") or (subtype, names, fields) != (None,) * 3:
        raise TypeError
    return dtype.newbyteorder(order)


_BUILTINS = ("__builtin__", "builtins")
CALLS: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _new_dtype,
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _new_array), ("scalar", _new_scalar))
    },
    ("_codecs", "encode"): _new_bytes,
    **{
        (builtins, name): function
        for builtins in _BUILTINS
        for name, function in (("slice", _new_slice), ("bytes", lambda machine: b""))
    },
}
RELEASES = unpickle_machine.Vocabulary(
    calls=CALLS,
    others=(("numpy", "ndarray"),),
    stubs="pandas",
    refusal="refused '{}': only numbers, text, containers, NumPy arrays and pandas"
    " frames are read",
)
