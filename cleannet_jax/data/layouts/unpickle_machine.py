"""A pickle being read: bytes, stack and memo, and what its content may cost."""

import dataclasses
import mmap
import reprlib
import struct
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors

# What the content of a file may take of memory: so many times its size, and this.
_MULTIPLE, _SPARE = 24, 8 << 20
_MARK_BYTES, _OTHER_BYTES = 64, 200
_NOTHING = object()


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


class Vocabulary(NamedTuple):
    """All that a pickle may name; everything else is refused.

    Attributes:
      calls: what stands for the functions and classes that it may call, by module and
        name; each takes the machine, then the arguments.
      others: names that are known, and called by nothing.
      stubs: the package whose objects become stubs; empty for none.
      refusal: of any other name, which replaces its {}.
      persistent: what a persistent id, which names something outside of the pickle,
        stands for; None where there is none.
    """

    calls: Mapping[tuple[str, str], Callable[..., Any]]
    others: Collection[tuple[str, str]]
    stubs: str
    refusal: str
    persistent: Callable[["Machine", Any], Any] | None = None

    def has_stub(self, module: str) -> bool:
        """Whether objects of a module become stubs."""
        return bool(self.stubs) and module.partition(".")[0] == self.stubs


class Machine:
    """A pickle being read: its stack, its memo, and how far it has got."""

    def __init__(
        self,
        buffer: bytes | mmap.mmap,
        start: int,
        place: str,
        vocabulary: Vocabulary,
    ) -> None:
        self.buffer = buffer
        self.vocabulary = vocabulary
        self.view = memoryview(buffer).toreadonly()
        self.position = start
        self.place = place
        self.at = start  # where the present operation begins
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under the marks
        # Numbers follow each other, from 0 or from 1; any others cost more.
        self.memo: list[Any] = [_NOTHING]
        self.others: dict[int, Any] = {}
        self.budget = _MULTIPLE * len(buffer) + _SPARE

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

    def line(self) -> str:
        """The text up to the next line end."""
        start, end = self.position, self.buffer.find(b"\n", self.position)
        if end < 0:
            raise self.error("found no line end, expected one")
        self.position = end + 1
        return str(self.view[start:end], "latin-1")

    def pop(self) -> Any:
        """The value on top."""
        if not self.stack:
            raise self.error("found an empty stack, expected a value")
        return self.stack.pop()

    def push_mark(self) -> None:
        """Begins a stack of its own."""
        self.spend(_MARK_BYTES)
        self.below.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        """The values above the last mark."""
        if not self.below:
            raise self.error("found no mark, expected one")
        self.spend(-_MARK_BYTES)
        values, self.stack = self.stack, self.below.pop()
        return values

    def remember(self, index: int | None) -> None:
        """Puts the value on top in the memo; under the next number for None."""
        value = self.pop()
        self.stack.append(value)
        if index is None:
            index = len(self.memo) if self.memo[0] is not _NOTHING else 0
        if index < len(self.memo):
            self.memo[index] = value
        elif index == len(self.memo):
            self.spend(8)
            self.memo.append(value)
        else:
            self.spend(_OTHER_BYTES)
            self.others[index] = value

    def recall(self, index: int) -> Any:
        """The value of a number in the memo."""
        value = self.others.get(index, _NOTHING)
        value = self.memo[index] if index < len(self.memo) else value
        if value is _NOTHING:
            raise self.error(f"found no value number {index} in the memo, expected one")
        return value

    def top(self, kind: type) -> Any:
        """The value on top, which must be of a kind."""
        if not self.stack or type(self.stack[-1]) is not kind:
            found = kind_of(self.stack[-1]) if self.stack else "nothing"
            raise self.error(f"found {found}, expected a {kind.__name__}")
        return self.stack[-1]

    def spend(self, size: int) -> None:
        """Pays for bytes of memory; what is given back is below 0."""
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


class _Repr(reprlib.Repr):
    """Shows a little of a value: arrays of objects can hold others without end."""

    def repr_ndarray(self, array: np.ndarray, level: int) -> str:
        """An array by its shape."""
        return kind_of(array)


def shown(value: Any) -> str:
    """Returns a value from a pickle for a message, shortened."""
    return _Repr().repr(value)
