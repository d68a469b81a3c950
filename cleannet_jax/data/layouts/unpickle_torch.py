"""What the pickle in a file of torch.save may name: tensors, and no more.

A tensor is where its values lie in a storage, which is bytes beside the pickle. What a
pickle claims of it is compared with the size that it claims for the storage; whoever
reads the storage compares that with the bytes there are.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cleannet_jax.data.layouts import unpickle_calls, unpickle_machine

_MAX_DIMENSIONS, _MAX_SIZE = 32, 2**59
# Of little-endian storages. NumPy has no bfloat16; it is two bytes of no type here.
_TYPES: Mapping[str, str] = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "V2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "i1",
    "uint64": "<u8",
    "uint32": "<u4",
    "uint16": "<u2",
    "uint8": "u1",
    "bool": "?",
}
_STORAGES: Mapping[str, str] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_UNTYPED = ("torch.storage", "UntypedStorage")


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
    """The bytes that the values of tensors lie in.

    Attributes:
      key: what it is called in the file.
      dtype: of its values; None where the tensors say.
      size: in bytes.
    """

    key: str
    dtype: np.dtype | None
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """Where the values of a tensor lie; all within its storage.

    Attributes:
      storage: which they lie in.
      dtype: of the values; two bytes of no type for bfloat16.
      start: bytes of the storage in front of the first value.
      shape: of the tensor.
      strides: bytes from one value to the next along each axis.
    """

    storage: Storage
    dtype: np.dtype
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _persistent(machine: unpickle_machine.Machine, value: Any) -> Storage:
    """The storage that a persistent id stands for, wherever it was once."""
    if type(value) is not tuple or len(value) != 5 or value[0] != "storage":
        raise machine.error("found an id of something else, expected a storage")
    _, kind, key, _, count = value
    if not isinstance(kind, unpickle_machine.Name) or not isinstance(key, str):
        raise machine.error("refused the id of a storage")
    if type(count) is not int or count < 0:
        raise machine.error("refused the size of a storage")
    if (kind.module, kind.name) == _UNTYPED:
        return Storage(key, None, count)
    if kind.name not in _STORAGES:
        raise machine.error(f"refused a storage of {kind}")
    dtype = np.dtype(_TYPES[_STORAGES[kind.name]])
    return Storage(key, dtype, count * dtype.itemsize)


def _tensor(
    machine: unpickle_machine.Machine,
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    *others: Any,
) -> Tensor:
    """A tensor of the type of its storage; whether it has a gradient is dropped."""
    del others
    if not isinstance(storage, Storage) or storage.dtype is None:
        raise TypeError
    return _checked(machine, storage, storage.dtype, offset, shape, strides)


def _typed_tensor(
    machine: unpickle_machine.Machine,
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    needs_gradient: Any,
    hooks: Any,
    dtype: Any,
    *others: Any,
) -> Tensor:
    """A tensor of a type of its own, in a storage of none."""
    del needs_gradient, hooks, others
    if not isinstance(storage, Storage) or not isinstance(dtype, unpickle_machine.Name):
        raise TypeError
    own = np.dtype(_TYPES[dtype.name])
    return _checked(machine, storage, own, offset, shape, strides)


def _checked(
    machine: unpickle_machine.Machine,
    storage: Storage,
    dtype: np.dtype,
    offset: Any,
    shape: Any,
    strides: Any,
) -> Tensor:
    """A tensor whose values all lie in its storage, each value once."""
    if type(shape) is not tuple or type(strides) is not tuple:
        raise TypeError
    numbers = (offset, *shape, *strides)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise TypeError
    if len(shape) != len(strides) or len(shape) > _MAX_DIMENSIONS:
        raise TypeError
    count = math.prod(shape)
    steps = zip(shape, strides, strict=True)
    last = offset + sum((size - 1) * stride for size, stride in steps)
    available = storage.size // dtype.itemsize
    # An expanded tensor has more values than are stored: they would fill the memory.
    if count and max(count, last + 1) > available:
        raise machine.error(
            f"found a storage of {available} values, too few for a tensor of shape"
            f" {shape} and strides {strides} from value {offset}"
        )
    # NumPy multiplies what is not 0, also for arrays without values.
    if max(math.prod(filter(None, shape)), *numbers) >= _MAX_SIZE:
        raise TypeError
    return Tensor(
        storage,
        dtype,
        start=offset * dtype.itemsize if count else 0,
        shape=shape,
        strides=tuple(stride * dtype.itemsize for stride in strides),
    )


def _parameter(machine: unpickle_machine.Machine, data: Any, *others: Any) -> Tensor:
    """The tensor of a parameter."""
    del machine, others
    if not isinstance(data, Tensor):
        raise TypeError
    return data


_CALLS: Mapping[tuple[str, str], Callable[..., Any]] = {
    **unpickle_calls.CALLS,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("collections", "OrderedDict"): lambda machine: {},
}
TORCH = unpickle_machine.Vocabulary(
    calls=_CALLS,
    others=frozenset(
        [
            *unpickle_calls.RELEASES.others,
            _UNTYPED,
            *(("torch", name) for name in (*_STORAGES, *_TYPES)),
        ]
    ),
    stubs="",
    refusal="wants to call {}; only tensors and NumPy arrays are read",
    persistent=_persistent,
)
