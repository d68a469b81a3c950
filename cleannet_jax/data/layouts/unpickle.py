"""Reads data out of pickles without unpickling: nothing in a file can run anything.

Python's own unpickler calls whatever a file names. This one is an interpreter of the
same operations that holds no way to do so: a name is looked up in a `Vocabulary`
and never imported, no attribute is read or set, and no object of the program is
reachable from a file. It builds numbers, text, bytes, lists, tuples, dicts, and what
the vocabulary has: NumPy's arrays, dtypes and scalars, slices, and a `Stub` for
everything of pandas; or the tensors of torch. All else is refused by its name.

Everything is paid for: each value with the memory that it takes, out of a budget that is
a small multiple of the size of the file. Keys hash evenly, so that time grows with the
number of operations alone.

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
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data.layouts import unpickle_calls as calls
from cleannet_jax.data.layouts import unpickle_machine

_Machine = unpickle_machine.Machine
# A bound on time where a file is large.
_MAX_OPERATIONS = 20_000_000
_MAPPED_BYTES = 4096
_SHOWN = 100

_KEYS = (str, bytes, float, type(None), np.generic)
_NAMES = {ord(operation.code): operation.name for operation in pickletools.opcodes}
# Their values are there already.
_FREE = ("NONE", "NEWTRUE", "NEWFALSE", "BININT1", "BINGET", "LONG_BINGET")


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
    machine = _Machine(buffer, start, place, vocabulary)
    for _ in range(_MAX_OPERATIONS):
        machine.at = machine.position
        name = _NAMES.get(machine.take(1)[0], "")
        if name == "STOP":
            return machine.pop()
        if name in _VALUES:
            value = _VALUES[name](machine)
            machine.stack.append(value)  # A mark's end has put another stack there.
            machine.spend(8 if name in _FREE else 8 + sys.getsizeof(value))
        elif name in _ACTIONS:
            _ACTIONS[name](machine)
        else:
            raise machine.error(f"refused operation {name or 'of no pickle'}")
    raise machine.error(f"refused: more than {_MAX_OPERATIONS} operations")


def _long(machine: _Machine) -> int:
    content = machine.take(machine.unpack("<B"))
    return int.from_bytes(content, byteorder="little", signed=True)


def _bytes(machine: _Machine, layout: str) -> bytes | memoryview:
    content = machine.take(machine.unpack(layout))
    return bytes(content) if len(content) < _MAPPED_BYTES else content


def _old_string(machine: _Machine, layout: str) -> str | memoryview:
    content = _bytes(machine, layout)
    return content.decode("latin-1") if isinstance(content, bytes) else content


def _text(machine: _Machine, layout: str) -> str:
    content = machine.take(machine.unpack(layout))
    return machine.parse(lambda: str(content, "utf-8"), "UTF-8 text")


def _tuple(machine: _Machine, count: int) -> tuple:
    return tuple(machine.pop() for _ in range(count))[::-1]


def _key(machine: _Machine, value: Any) -> Any:
    """A key, if hashing it takes no longer than reading it did.

    Whole numbers of any size can all have one hash; few of 64 bits have.
    """
    is_short = isinstance(value, int) and value.bit_length() < 64
    if not isinstance(value, _KEYS) and not is_short:
        raise machine.error(
            f"refused {unpickle_machine.kind_of(value)} as a key, expected text or number"
        )
    return value


def _grow(machine: _Machine, kind: type, values: list[Any]) -> None:
    """Puts values in the list on top, or keys and values in the dict."""
    target = machine.top(kind)
    before = sys.getsizeof(target)
    if kind is list:
        target.extend(values)
    elif len(values) % 2:
        raise machine.error("found a key without a value, expected both")
    else:
        keys = (_key(machine, key) for key in values[::2])
        target.update(zip(keys, values[1::2], strict=True))
    machine.spend(sys.getsizeof(target) - before)


def _remembered(machine: _Machine, index: int) -> Any:
    value = machine.recall(index)
    has_result = isinstance(value, calls.Pending) and value.result is not None
    return value.result if has_result else value


def _named(machine: _Machine, module: Any, name: Any) -> unpickle_machine.Name:
    """A name, if it is one of the vocabulary."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise machine.error("found a name that is not text, expected text")
    words = machine.vocabulary
    known = (module, name) in words.calls or (module, name) in words.others
    if not known and not words.has_stub(module):
        shown = repr(f"{module}.{name}"[:_SHOWN])[1:-1]
        raise machine.error(words.refusal.format(shown))
    return unpickle_machine.Name(module, name)


def _called(machine: _Machine) -> Any:
    """What a call of a known name with these arguments would have made."""
    function, arguments = _tuple(machine, 2)
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
    except (KeyError, TypeError, ValueError):
        raise machine.error(f"refused the arguments of {function}") from None


def _persistent(machine: _Machine) -> Any:
    """What a persistent id stands for."""
    if machine.vocabulary.persistent is None:
        raise machine.error("refused operation BINPERSID")
    return machine.vocabulary.persistent(machine, machine.pop())


_VALUES: Mapping[str, Callable[[_Machine], Any]] = {
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
    "GLOBAL": lambda machine: _named(machine, machine.line(), machine.line()),
    "STACK_GLOBAL": lambda machine: _named(machine, *_tuple(machine, 2)),
    "REDUCE": _called,
    "NEWOBJ": _called,
    "BINPERSID": _persistent,
}
_ACTIONS: Mapping[str, Callable[[_Machine], Any]] = {
    "PROTO": lambda machine: machine.take(1),
    "FRAME": lambda machine: machine.take(8),
    "MARK": lambda machine: machine.push_mark(),
    "BINPUT": lambda machine: machine.remember(machine.unpack("<B")),
    "LONG_BINPUT": lambda machine: machine.remember(machine.unpack("<I")),
    "MEMOIZE": lambda machine: machine.remember(None),
    "APPEND": lambda machine: _grow(machine, list, [machine.pop()]),
    "APPENDS": lambda machine: _grow(machine, list, machine.pop_mark()),
    "SETITEM": lambda machine: _grow(machine, dict, list(_tuple(machine, 2))),
    "SETITEMS": lambda machine: _grow(machine, dict, machine.pop_mark()),
    "BUILD": calls.build,
}
