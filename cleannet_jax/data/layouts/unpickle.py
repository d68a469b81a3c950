"""Reads data out of pickles without unpickling: nothing in a file can run anything.

Python's own unpickler calls whatever a file names. This one is an interpreter of the
same operations that holds no way to do so: a name is looked up in a `Vocabulary`
and never imported, no attribute is read or set, and no object of the program is
reachable from a file. It builds numbers, text, bytes, lists, tuples, dicts, and what
the vocabulary has: NumPy's arrays, dtypes and scalars, slices, and a `Stub` for
everything of pandas; or the tensors of torch. All else is refused by its name. Memory
is bounded by a multiple of the size of the file.

Only what the releases need is there: binary pickles, which NumPy's object arrays of
Python 2 and 3 are (protocols 2 to 4), AutoLoc's frames and meta data (2) and what
torch saves (2). Python's text pickles, sets and objects of other classes are in none
of them.

A file is mapped, and so are the contents of arrays that are stored as they are: an
array takes memory where it is touched. Python 2's strings become text, one character
a byte; those of 4 KiB or more, the contents of arrays, become views of the file.
Arrays are read-only views where they can be.
"""

import mmap
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data.layouts import unpickle_calls as calls
from cleannet_jax.data.layouts import unpickle_machine

# A bound on what a small file can make of itself: an operation of one byte can take
# some 200 bytes of memory.
_MAX_OPERATIONS = 20_000_000
_MAPPED_BYTES = 4096
_SHOWN = 100

_KEYS = (str, bytes, int, float, type(None), np.generic)
_NAMES = {ord(operation.code): operation.name for operation in pickletools.opcodes}


def load(
    buffer: bytes | mmap.mmap,
    *,
    place: str,
    start: int = 0,
    vocabulary: unpickle_machine.Vocabulary = calls.RELEASES,
) -> Any:
    """Returns what the pickle at a place in a buffer holds.

    Args:
      buffer: of the pickle; it is kept as long as arrays are views of it.
      place: what messages call it, usually its path.
      start: where the pickle begins, in bytes.
      vocabulary: all that it may name.

    Raises:
      InputError: the pickle names anything but data, is damaged or cut short, or
        would grow beyond all proportion; the message says at which byte.
    """
    machine = unpickle_machine.Machine(buffer, start, place, vocabulary)
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


def _long(machine: unpickle_machine.Machine) -> int:
    content = machine.take(machine.unpack("<B"))
    return int.from_bytes(content, byteorder="little", signed=True)


def _bytes(machine: unpickle_machine.Machine, layout: str) -> bytes | memoryview:
    content = machine.take(machine.unpack(layout))
    return bytes(content) if len(content) < _MAPPED_BYTES else content


def _old_string(machine: unpickle_machine.Machine, layout: str) -> str | memoryview:
    content = _bytes(machine, layout)
    return content.decode("latin-1") if isinstance(content, bytes) else content


def _text(machine: unpickle_machine.Machine, layout: str) -> str:
    content = machine.take(machine.unpack(layout))
    return machine.parse(lambda: str(content, "utf-8", "surrogatepass"), "UTF-8 text")


def _tuple(machine: unpickle_machine.Machine, count: int) -> tuple:
    return tuple(machine.pop() for _ in range(count))[::-1]


def _key(machine: unpickle_machine.Machine, value: Any) -> Any:
    """A key, if hashing it takes no longer than reading it did."""
    if not isinstance(value, _KEYS):
        raise machine.error(
            f"refused {unpickle_machine.kind_of(value)} as a key, expected text or number"
        )
    return value


def _pairs(machine: unpickle_machine.Machine, values: list[Any]) -> dict:
    if len(values) % 2:
        raise machine.error("found a key without a value, expected both")
    keys = (_key(machine, key) for key in values[::2])
    return dict(zip(keys, values[1::2], strict=True))


def _remembered(machine: unpickle_machine.Machine, index: int) -> Any:
    if index not in machine.memo:
        raise machine.error(f"found no value number {index} in the memo, expected one")
    value = machine.memo[index]
    has_result = isinstance(value, calls.Pending) and value.result is not None
    return value.result if has_result else value


def _named(
    machine: unpickle_machine.Machine, module: Any, name: Any
) -> unpickle_machine.Name:
    """A name, if it is one of the vocabulary."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise machine.error("found a name that is not text, expected text")
    words = machine.vocabulary
    known = (module, name) in words.calls or (module, name) in words.others
    if not known and not words.has_stub(module):
        shown = repr(f"{module}.{name}"[:_SHOWN])[1:-1]
        raise machine.error(words.refusal.format(shown))
    return unpickle_machine.Name(module, name)


def _named_lines(machine: unpickle_machine.Machine) -> unpickle_machine.Name:
    module, name = machine.line(), machine.line()
    return _named(machine, module.decode("latin-1"), name.decode("latin-1"))


def _named_stack(machine: unpickle_machine.Machine) -> unpickle_machine.Name:
    name = machine.pop()
    return _named(machine, machine.pop(), name)


def _called(machine: unpickle_machine.Machine, function: Any, arguments: Any) -> Any:
    """What a call of a known name with these arguments would have made."""
    if not isinstance(function, unpickle_machine.Name) or type(arguments) is not tuple:
        raise machine.error(f"refused a call of {unpickle_machine.kind_of(function)}")
    words = machine.vocabulary
    if words.has_stub(function.module):
        return unpickle_machine.Stub(str(function), arguments)
    if (function.module, function.name) not in words.calls:
        raise machine.error(f"refused a call of {function}")
    try:
        return words.calls[function.module, function.name](machine, *arguments)
    except errors.InputError:
        raise
    except (TypeError, ValueError):
        raise machine.error(f"refused the arguments of {function}") from None


def _reduced(machine: unpickle_machine.Machine) -> Any:
    arguments = machine.pop()
    return _called(machine, machine.pop(), arguments)


def _persistent(machine: unpickle_machine.Machine) -> Any:
    """What a persistent id stands for."""
    if machine.vocabulary.persistent is None:
        raise machine.error("refused operation BINPERSID")
    return machine.vocabulary.persistent(machine, machine.pop())


def _set_mark(machine: unpickle_machine.Machine) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _remember(machine: unpickle_machine.Machine, index: int) -> None:
    machine.memo[index] = machine.pop()
    machine.stack.append(machine.memo[index])


def _append(machine: unpickle_machine.Machine) -> None:
    value = machine.pop()
    machine.top(list).append(value)


def _extend(machine: unpickle_machine.Machine) -> None:
    values = machine.pop_mark()
    machine.top(list).extend(values)


def _set_item(machine: unpickle_machine.Machine) -> None:
    pair = list(_tuple(machine, 2))
    machine.top(dict).update(_pairs(machine, pair))


def _set_items(machine: unpickle_machine.Machine) -> None:
    values = machine.pop_mark()
    machine.top(dict).update(_pairs(machine, values))


_VALUES: Mapping[str, Callable[[unpickle_machine.Machine], Any]] = {
    "NONE": lambda machine: None,
    "NEWTRUE": lambda machine: True,
    "NEWFALSE": lambda machine: False,
    "BININT": lambda machine: machine.unpack("<i"),
    "BININT1": lambda machine: machine.unpack("<B"),
    "BININT2": lambda machine: machine.unpack("<H"),
    "LONG1": _long,
    "BINFLOAT": lambda machine: machine.unpack(">d"),
    "BINSTRING": lambda machine: _old_string(machine, "<i"),
    "SHORT_BINSTRING": lambda machine: _old_string(machine, "<B"),
    "BINBYTES": lambda machine: _bytes(machine, "<I"),
    "SHORT_BINBYTES": lambda machine: _bytes(machine, "<B"),
    "BINUNICODE": lambda machine: _text(machine, "<I"),
    "SHORT_BINUNICODE": lambda machine: _text(machine, "<B"),
    "EMPTY_LIST": lambda machine: [],
    "EMPTY_TUPLE": lambda machine: (),
    "EMPTY_DICT": lambda machine: {},
    "TUPLE": lambda machine: tuple(machine.pop_mark()),
    "TUPLE1": lambda machine: _tuple(machine, 1),
    "TUPLE2": lambda machine: _tuple(machine, 2),
    "TUPLE3": lambda machine: _tuple(machine, 3),
    "BINGET": lambda machine: _remembered(machine, machine.unpack("<B")),
    "LONG_BINGET": lambda machine: _remembered(machine, machine.unpack("<I")),
    "GLOBAL": _named_lines,
    "STACK_GLOBAL": _named_stack,
    "REDUCE": _reduced,
    "NEWOBJ": _reduced,
    "BINPERSID": _persistent,
}


_ACTIONS: Mapping[str, Callable[[unpickle_machine.Machine], Any]] = {
    "PROTO": lambda machine: machine.take(1),
    "FRAME": lambda machine: machine.take(8),
    "MARK": _set_mark,
    "BINPUT": lambda machine: _remember(machine, machine.unpack("<B")),
    "LONG_BINPUT": lambda machine: _remember(machine, machine.unpack("<I")),
    "MEMOIZE": lambda machine: _remember(machine, len(machine.memo)),
    "APPEND": _append,
    "APPENDS": _extend,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "BUILD": calls.build,
}
