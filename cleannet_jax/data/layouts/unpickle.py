"""Reads data out of pickles without unpickling: nothing in a file can run anything.

Python's own unpickler calls whatever a file names. This one is an interpreter of the
same operations that holds no way to do so: a name is looked up in the tables below
and never imported, no attribute is read or set, and no object of the program is
reachable from a file. It builds numbers, text, bytes, lists, tuples, dicts, sets,
slices, NumPy arrays, dtypes and scalars, and a `Stub` for everything of pandas. All
else is refused by its name. Memory is bounded by a multiple of the size of the file.

A file is mapped, and so are the contents of arrays that are stored as they are: an
array takes memory where it is touched. Python 2's strings become text, one character
a byte; those of 4 KiB or more, the contents of arrays, become views of the file.
Arrays are read-only views where they can be.
"""

import codecs
import dataclasses
import math
import mmap
import pickletools
import re
import reprlib
import struct
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cleannet_jax import errors

# Bounds on what a small file can make of itself: an operation of one byte can take
# some 200 bytes of memory.
_MAX_OPERATIONS = 20_000_000
_MAX_DIMENSIONS = 32
_MAPPED_BYTES = 4096

_KEYS = (str, bytes, int, float, type(None), np.generic)
_BUILTINS = ("__builtin__", "builtins")
_DTYPE = re.compile(r"[|<>=]?(b1|i[1248]|u[1248]|f[248]|[SU][1-9]\d{0,8}|O[48]?)")
_NAMES = {ord(operation.code): operation.name for operation in pickletools.opcodes}


@dataclasses.dataclass(eq=False, slots=True)
class Stub:
    """What stands for an object of pandas: what its pickle holds, and no behaviour.

    Attributes:
      name: of the class or the function, with its module.
      arguments: that it would have been called with.
      state: that it would have been given; None if there was none.
    """

    name: str
    arguments: tuple = dataclasses.field(repr=False)
    state: Any = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """A name of the tables below where a pickle has it; it stands for nothing."""

    module: str
    name: str

    def __str__(self) -> str:
        """The name as Python code would have it."""
        return f"{self.module}.{self.name}"


@dataclasses.dataclass(eq=False, slots=True)
class _Pending:
    """An array, or a dtype of unknown byte order, until its state comes."""

    dtype: np.dtype | None = None
    result: np.ndarray | np.dtype | None = None


def load(buffer: bytes | mmap.mmap, *, place: str, start: int = 0) -> Any:
    """Returns what the pickle at a place in a buffer holds.

    Args:
      buffer: of the pickle; it is kept as long as arrays are views of it.
      place: what messages call it, usually its path.
      start: where the pickle begins, in bytes.

    Raises:
      InputError: the pickle names anything but data, is damaged or cut short, or
        would grow beyond all proportion; the message says at which byte.
    """
    machine = _Machine(buffer, start, place)
    for _ in range(_MAX_OPERATIONS):
        machine.at = machine.position
        name = _NAMES.get(machine.take(1)[0], "")
        if name == "STOP":
            return machine.pop()
        if name in _VALUES:
            value = _VALUES[name](machine)
            machine.stack.append(value)  # A mark's end has put another stack there.
        elif name in _ACTIONS:
            _ACTIONS[name](machine)
        else:
            raise machine.error(f"refused operation {name or 'of no pickle'}")
    raise machine.error(f"refused: more than {_MAX_OPERATIONS} operations")


class _Machine:
    """A pickle being read: its stack, its memo, and how far it has got."""

    def __init__(self, buffer: bytes | mmap.mmap, start: int, place: str) -> None:
        self.buffer = buffer
        self.view = memoryview(buffer).toreadonly()
        self.position = start
        self.place = place
        self.at = start  # where the present operation begins
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under the marks
        self.memo: dict[int, Any] = {}
        self.budget = 4 * len(buffer) + 2**20

    def error(self, message: str) -> errors.InputError:
        """The error of the present operation."""
        return errors.InputError(f"{self.place}: pickle, byte {self.at}: {message}")

    def take(self, count: int) -> memoryview:
        """The next bytes."""
        start, self.position = self.position, self.position + count
        found = len(self.view) - start
        if not 0 <= count <= found:
            raise self.error(f"found {found} bytes to the end, expected {count}")
        return self.view[start : self.position]

    def unpack(self, layout: str) -> Any:
        """The next number."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        """The bytes up to the next line end, as text-mode operations have them."""
        start, end = self.position, self.buffer.find(b"\n", self.position)
        if end < 0:
            raise self.error("found no line end, expected one")
        self.position = end + 1
        return bytes(self.view[start:end])

    def pop(self) -> Any:
        """The value on top."""
        if not self.stack:
            raise self.error("found an empty stack, expected a value")
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        """The values above the last mark."""
        if not self.below:
            raise self.error("found no mark, expected one")
        values, self.stack = self.stack, self.below.pop()
        return values

    def top(self, kind: type) -> Any:
        """The value on top, which must be of a kind."""
        if not self.stack or type(self.stack[-1]) is not kind:
            found = kind_of(self.stack[-1]) if self.stack else "nothing"
            raise self.error(f"found {found}, expected a {kind.__name__}")
        return self.stack[-1]

    def spend(self, size: int) -> None:
        """Accounts for bytes that a file can ask to be copied again and again."""
        self.budget -= size
        if self.budget < 0:
            raise self.error("refused: the content is many times larger than the file")

    def raw(self, value: Any) -> bytes | memoryview:
        """The bytes of an array, which Python 2 has as a string."""
        if isinstance(value, str):
            self.spend(len(value))
            return self.parse(lambda: value.encode("latin-1"), "bytes")
        if not isinstance(value, bytes | memoryview):
            raise self.error(f"found {kind_of(value)}, expected bytes")
        return value

    def parse(self, function: Callable[[], Any], what: str) -> Any:
        """What a parser returns; its complaint is the error of the operation."""
        try:
            return function()
        except (ValueError, OverflowError):
            raise self.error(f"expected {what}, found something else") from None


def kind_of(value: Any) -> str:
    """Returns what a value is, for messages, without showing all of it."""
    if isinstance(value, Stub | Name):
        return reprlib.repr(str(value))
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return f"a {type(value).__name__}"


def _view(
    raw: bytes | memoryview, shape: tuple[int, ...], dtype: np.dtype, order: str
) -> np.ndarray:
    """The array that bytes are the content of; their number is right."""
    flat = np.frombuffer(raw, dtype) if len(raw) else np.empty(0, dtype)
    return flat.reshape(shape, order=order)


# Values: text and numbers.


def _integer_line(machine: _Machine) -> int | bool:
    line = machine.line()
    if line in (b"00", b"01"):
        return line == b"01"
    return machine.parse(lambda: int(line), "a whole number")


def _long_line(machine: _Machine) -> int:
    line = machine.line().removesuffix(b"L")
    return machine.parse(lambda: int(line), "a whole number")


def _long(machine: _Machine, layout: str) -> int:
    return int.from_bytes(
        machine.take(machine.unpack(layout)), byteorder="little", signed=True
    )


def _float_line(machine: _Machine) -> float:
    line = machine.line()
    return machine.parse(lambda: float(line), "a number")


def _bytes(machine: _Machine, layout: str) -> bytes | memoryview:
    content = machine.take(machine.unpack(layout))
    return bytes(content) if len(content) < _MAPPED_BYTES else content


def _old_string(machine: _Machine, layout: str) -> str | memoryview:
    content = _bytes(machine, layout)
    return content.decode("latin-1") if isinstance(content, bytes) else content


def _old_string_line(machine: _Machine) -> str:
    line = machine.line()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise machine.error("found text without quotes, expected them")
    with warnings.catch_warnings(action="ignore"):
        content = machine.parse(lambda: codecs.escape_decode(line[1:-1])[0], "text")
    return content.decode("latin-1")


def _text(machine: _Machine, layout: str) -> str:
    content = machine.take(machine.unpack(layout))
    return machine.parse(lambda: str(content, "utf-8", "surrogatepass"), "UTF-8 text")


def _text_line(machine: _Machine) -> str:
    line = machine.line()
    return machine.parse(lambda: line.decode("raw-unicode-escape"), "text")


# Values: containers.


def _tuple(machine: _Machine, count: int) -> tuple:
    return tuple(machine.pop() for _ in range(count))[::-1]


def _key(machine: _Machine, value: Any) -> Any:
    """A key, if hashing it takes no longer than reading it did."""
    if not isinstance(value, _KEYS):
        raise machine.error(
            f"refused {kind_of(value)} as a key, expected text or number"
        )
    return value


def _pairs(machine: _Machine, values: list[Any]) -> dict:
    if len(values) % 2:
        raise machine.error("found a key without a value, expected both")
    keys = (_key(machine, key) for key in values[::2])
    return dict(zip(keys, values[1::2], strict=True))


def _members(machine: _Machine, values: list[Any]) -> list[Any]:
    return [_key(machine, value) for value in values]


def _remembered(machine: _Machine, index: int) -> Any:
    if index not in machine.memo:
        raise machine.error(f"found no value number {index} in the memo, expected one")
    value = machine.memo[index]
    has_result = isinstance(value, _Pending) and value.result is not None
    return value.result if has_result else value


def _memo_line(machine: _Machine) -> int:
    line = machine.line()
    return machine.parse(lambda: int(line), "a number of the memo")


# Values: names and calls.


def _named(machine: _Machine, module: Any, name: Any) -> Name:
    """A name, if it is one of the tables."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise machine.error("found a name that is not text, expected text")
    is_pandas = module == "pandas" or module.startswith("pandas.")
    known = (module, name)
    if not is_pandas and known not in _CALLS and known not in _OTHER_NAMES:
        raise machine.error(
            f"refused {reprlib.repr(f'{module}.{name}')}: only numbers, text,"
            " containers, NumPy arrays and pandas frames are read"
        )
    return Name(module, name)


def _named_lines(machine: _Machine) -> Name:
    module, name = machine.line(), machine.line()
    return _named(machine, module.decode("latin-1"), name.decode("latin-1"))


def _named_stack(machine: _Machine) -> Name:
    name = machine.pop()
    return _named(machine, machine.pop(), name)


def _called(machine: _Machine, function: Any, arguments: Any) -> Any:
    """What a call of a known name with these arguments would have made."""
    if not isinstance(function, Name) or type(arguments) is not tuple:
        raise machine.error(f"refused a call of {kind_of(function)}")
    if function.module.partition(".")[0] == "pandas":
        return Stub(str(function), arguments)
    if (function.module, function.name) not in _CALLS:
        raise machine.error(f"refused a call of {function}")
    try:
        return _CALLS[function.module, function.name](machine, *arguments)
    except errors.InputError:
        raise
    except (TypeError, ValueError):
        raise machine.error(f"refused the arguments of {function}") from None


def _reduced(machine: _Machine) -> Any:
    arguments = machine.pop()
    return _called(machine, machine.pop(), arguments)


def _reduced_with_keywords(machine: _Machine) -> Any:
    if machine.pop() != {}:
        raise machine.error("refused a call with keywords")
    return _reduced(machine)


def _instance(machine: _Machine) -> Any:
    return _called(machine, _named_lines(machine), tuple(machine.pop_mark()))


def _object(machine: _Machine) -> Any:
    function, *arguments = machine.pop_mark() or [None]
    return _called(machine, function, tuple(arguments))


# Calls. Wrong arguments raise TypeError or ValueError.


def _new_array(machine: _Machine, kind: Any, shape: Any, code: Any) -> _Pending:
    del machine, shape, code
    if kind != Name("numpy", "ndarray"):
        raise TypeError
    return _Pending()


def _new_dtype(machine: _Machine, text: Any, align: Any, copy: Any) -> _Pending:
    del align, copy
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise machine.error(
            f"refused dtype {reprlib.repr(text)}: expected numbers, text or objects"
        )
    return _Pending(np.dtype(object) if "O" in text else np.dtype(text))


def _new_scalar(machine: _Machine, dtype: Any, content: Any) -> np.generic:
    return _filled(machine, (), dtype, "C", content)[()]


def _new_array_from_buffer(
    machine: _Machine, content: Any, dtype: Any, shape: Any, order: Any
) -> np.ndarray:
    if isinstance(content, list):
        raise TypeError
    return _filled(machine, shape, dtype, "F" if order == "F" else "C", content)


def _new_bytes(machine: _Machine, text: Any, encoding: Any) -> bytes | memoryview:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError
    return machine.raw(text)


def _new_slice(machine: _Machine, *ends: Any) -> slice:
    del machine
    if not all(end is None or type(end) is int for end in ends):
        raise TypeError
    return slice(*ends)


def _new_set(machine: _Machine, values: Any = ()) -> set:
    if type(values) not in (list, tuple):
        raise TypeError
    machine.spend(64 * len(values))
    return set(_members(machine, values))


def _new_frozenset(machine: _Machine, values: Any = ()) -> frozenset:
    return frozenset(_new_set(machine, values))


def _new_empty_bytes(machine: _Machine) -> bytes:
    del machine
    return b""


def _new_object(machine: _Machine, kind: Any, base: Any, state: Any) -> Any:
    if base not in [Name(module, "object") for module in _BUILTINS] or state:
        raise TypeError
    return _called(machine, kind, ())


# Actions.


def _set_mark(machine: _Machine) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _drop(machine: _Machine) -> None:
    # An operation of its own drops all values above a mark; this one drops the mark.
    if not machine.stack and machine.below:
        machine.pop_mark()
    else:
        machine.pop()


def _duplicate(machine: _Machine) -> None:
    machine.stack.append(machine.pop())
    machine.stack.append(machine.stack[-1])


def _remember(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.pop()
    machine.stack.append(machine.memo[index])


def _append(machine: _Machine) -> None:
    value = machine.pop()
    machine.top(list).append(value)


def _extend(machine: _Machine) -> None:
    values = machine.pop_mark()
    machine.top(list).extend(values)


def _set_item(machine: _Machine) -> None:
    pair = list(_tuple(machine, 2))
    machine.top(dict).update(_pairs(machine, pair))


def _set_items(machine: _Machine) -> None:
    values = machine.pop_mark()
    machine.top(dict).update(_pairs(machine, values))


def _add_items(machine: _Machine) -> None:
    values = machine.pop_mark()
    machine.top(set).update(_members(machine, values))


def _build(machine: _Machine) -> None:
    """Gives the object on top its state, if it is one that waits for it."""
    state, target = machine.pop(), machine.pop()
    if isinstance(target, Stub) and target.state is None:
        target.state = state
        machine.stack.append(target)
        return
    if not isinstance(target, _Pending) or target.result is not None:
        raise machine.error(f"refused a state for {kind_of(target)}")
    try:
        if target.dtype is None:
            target.result = _array(machine, *state)
        else:
            target.result = _ordered(target.dtype, *state[:5])
    except errors.InputError:
        raise
    except (TypeError, ValueError):
        raise machine.error("refused the state of an array or of its dtype") from None
    machine.stack.append(target.result)


def _array(
    machine: _Machine,
    version: Any,
    shape: Any,
    dtype: Any,
    is_fortran: Any,
    content: Any,
) -> np.ndarray:
    """The array that a state describes."""
    del version
    return _filled(machine, shape, dtype, "F" if is_fortran else "C", content)


def _filled(
    machine: _Machine, shape: Any, dtype: Any, order: str, content: Any
) -> np.ndarray:
    """An array with a content, which is a list where the dtype is of objects."""
    if type(shape) is not tuple or len(shape) > _MAX_DIMENSIONS:
        raise TypeError
    if not all(type(size) is int and size >= 0 for size in shape):
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
    array = _view(raw, shape, dtype, order)
    if dtype.kind == "U" and array.size:
        _check_characters(machine, array)
    return array


def _object_array(
    machine: _Machine, values: list[Any], shape: tuple[int, ...], order: str
) -> np.ndarray:
    """An array of Python objects; arrays among them stay apart."""
    machine.spend(8 * len(values))
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array.reshape(shape, order=order)


def _check_characters(machine: _Machine, array: np.ndarray) -> None:
    """Raises if text has a character that Python cannot make."""
    codes = array.reshape(-1).view(np.dtype("u4").newbyteorder(array.dtype.byteorder))
    if codes.max() > 0x10FFFF:
        raise machine.error(f"found the character {codes.max():#x}, expected Unicode")


def _ordered(
    dtype: np.dtype, version: Any, order: Any, subtype: Any, names: Any, fields: Any
) -> np.dtype:
    """A dtype in the byte order of its state."""
    del version
    if order not in ("<", ">", "|", "=") or (subtype, names, fields) != (None,) * 3:
        raise TypeError
    return dtype.newbyteorder(order)


_CALLS: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _new_dtype,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _new_array),
            ("multiarray", "scalar", _new_scalar),
            ("numeric", "_frombuffer", _new_array_from_buffer),
        )
    },
    ("_codecs", "encode"): _new_bytes,
    **{
        (builtins, name): function
        for builtins in _BUILTINS
        for name, function in (
            ("slice", _new_slice),
            ("set", _new_set),
            ("frozenset", _new_frozenset),
            ("bytes", _new_empty_bytes),
        )
    },
    ("copy_reg", "_reconstructor"): _new_object,
    ("copyreg", "_reconstructor"): _new_object,
}
_OTHER_NAMES = (("numpy", "ndarray"), *((module, "object") for module in _BUILTINS))

_VALUES: Mapping[str, Callable[[_Machine], Any]] = {
    "NONE": lambda machine: None,
    "NEWTRUE": lambda machine: True,
    "NEWFALSE": lambda machine: False,
    "INT": _integer_line,
    "BININT": lambda machine: machine.unpack("<i"),
    "BININT1": lambda machine: machine.unpack("<B"),
    "BININT2": lambda machine: machine.unpack("<H"),
    "LONG": _long_line,
    "LONG1": lambda machine: _long(machine, "<B"),
    "LONG4": lambda machine: _long(machine, "<i"),
    "FLOAT": _float_line,
    "BINFLOAT": lambda machine: machine.unpack(">d"),
    "STRING": _old_string_line,
    "BINSTRING": lambda machine: _old_string(machine, "<i"),
    "SHORT_BINSTRING": lambda machine: _old_string(machine, "<B"),
    "BINBYTES": lambda machine: _bytes(machine, "<I"),
    "SHORT_BINBYTES": lambda machine: _bytes(machine, "<B"),
    "BINBYTES8": lambda machine: _bytes(machine, "<Q"),
    "BYTEARRAY8": lambda machine: _bytes(machine, "<Q"),
    "UNICODE": _text_line,
    "BINUNICODE": lambda machine: _text(machine, "<I"),
    "SHORT_BINUNICODE": lambda machine: _text(machine, "<B"),
    "BINUNICODE8": lambda machine: _text(machine, "<Q"),
    "EMPTY_LIST": lambda machine: [],
    "EMPTY_TUPLE": lambda machine: (),
    "EMPTY_DICT": lambda machine: {},
    "EMPTY_SET": lambda machine: set(),
    "LIST": lambda machine: machine.pop_mark(),
    "TUPLE": lambda machine: tuple(machine.pop_mark()),
    "TUPLE1": lambda machine: _tuple(machine, 1),
    "TUPLE2": lambda machine: _tuple(machine, 2),
    "TUPLE3": lambda machine: _tuple(machine, 3),
    "DICT": lambda machine: _pairs(machine, machine.pop_mark()),
    "FROZENSET": lambda machine: frozenset(_members(machine, machine.pop_mark())),
    "GET": lambda machine: _remembered(machine, _memo_line(machine)),
    "BINGET": lambda machine: _remembered(machine, machine.unpack("<B")),
    "LONG_BINGET": lambda machine: _remembered(machine, machine.unpack("<I")),
    "GLOBAL": _named_lines,
    "STACK_GLOBAL": _named_stack,
    "REDUCE": _reduced,
    "NEWOBJ": _reduced,
    "NEWOBJ_EX": _reduced_with_keywords,
    "INST": _instance,
    "OBJ": _object,
}
_ACTIONS: Mapping[str, Callable[[_Machine], Any]] = {
    "PROTO": lambda machine: machine.take(1),
    "FRAME": lambda machine: machine.take(8),
    "MARK": _set_mark,
    "POP": _drop,
    "POP_MARK": lambda machine: machine.pop_mark(),
    "DUP": _duplicate,
    "PUT": lambda machine: _remember(machine, _memo_line(machine)),
    "BINPUT": lambda machine: _remember(machine, machine.unpack("<B")),
    "LONG_BINPUT": lambda machine: _remember(machine, machine.unpack("<I")),
    "MEMOIZE": lambda machine: _remember(machine, len(machine.memo)),
    "APPEND": _append,
    "APPENDS": _extend,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "ADDITEMS": _add_items,
    "BUILD": _build,
}
