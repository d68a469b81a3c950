"""What the public functions of arrays say of an argument that does not fit.

One sentence: the argument, what was expected, what was found, and the way out.
"""

import operator
from types import EllipsisType
from typing import Any

import jax
import jax.numpy as jnp

# One entry an axis: its size, or the letter that stands for any size. An ellipsis in
# front stands for any number of axes.
Shape = tuple[int | str | EllipsisType, ...]


def floats(name: str, value: Any, *shapes: Shape, way_out: str = "") -> jax.Array:
    """The argument as an array of floating-point numbers.

    Args:
      name: of the argument.
      value: a NumPy or JAX array.
      shapes: those that fit.
      way_out: said where none fits, after a semicolon.

    Raises:
      TypeError: if it is no array, or not of floating-point numbers.
      ValueError: if its shape does not fit.
    """
    array = numbers(name, value, *shapes, way_out=way_out)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"{name}: expected floating-point numbers, found {array.dtype}; "
            f"{name}.astype(jnp.float32) makes them"
        )
    return array


def numbers(name: str, value: Any, *shapes: Shape, way_out: str = "") -> jax.Array:
    """The argument as an array of any type; otherwise like `floats`."""
    if not hasattr(value, "dtype"):
        raise TypeError(
            f"{name}: expected an array, found a {type(value).__name__}; "
            f"jnp.asarray({name}, jnp.float32) makes one"
        )
    array = jnp.asarray(value)
    if not any(_fits(array.shape, shape) for shape in shapes):
        expected = " or ".join(map(_text, shapes))
        found = _text(array.shape)
        raise ValueError(
            f"{name}: expected {expected}, found {found}" + (way_out and "; " + way_out)
        )
    return array


def whole(name: str, value: Any, *, least: int = 1) -> int:
    """The argument as an int that a trace does not change.

    Raises:
      TypeError: if it is no int, or one that is traced.
      ValueError: if it is less than `least`.
    """
    if isinstance(value, jax.core.Tracer):
        raise TypeError(
            f"{name}: expected an int, found a traced value; under jit it must be "
            f"static (static_argnames={name!r})"
        )
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an int, found {value!r}") from None
    if number < least:
        raise ValueError(f"{name}: expected at least {least}, found {number}")
    return number


def one_category(scp: Any) -> jax.Array:
    """The SCP [T] of one category; raises as `floats` does."""
    way_out = "for all categories use evaluate_proposals or jax.vmap"
    return floats("scp", scp, ("T",), way_out=way_out)


def window(value: Any) -> int:
    """The number of snippets to pool over, odd; raises as `whole` does."""
    number = whole("window", value)
    if number % 2 == 0:
        raise ValueError(
            f"window: expected an odd number of snippets, found {number}; the snippet"
            " itself is in the middle"
        )
    return number


def length(value: Any) -> jax.Array | None:
    """The number of valid snippets, int32, or None.

    Raises:
      TypeError: if it is no integer.
      ValueError: if there are several.
    """
    if value is None:
        return None
    array = jnp.asarray(value)
    if array.shape != ():
        raise ValueError(
            f"length: expected one number, found shape {array.shape}; for a batch of"
            " videos use jax.vmap"
        )
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"length: expected an integer, found {array.dtype}")
    return array.astype(jnp.int32)


def _fits(shape: tuple[int, ...], expected: Shape) -> bool:
    if expected[:1] == (...,):
        expected = expected[1:]
        shape = shape[max(len(shape) - len(expected), 0) :]
    if len(shape) != len(expected):
        return False
    pairs = zip(shape, expected, strict=True)
    return all(isinstance(wanted, str) or wanted == size for size, wanted in pairs)


def _text(shape: Shape) -> str:
    words = ["..." if size is ... else str(size) for size in shape]
    return "(" + ", ".join(words) + ("," if len(words) == 1 else "") + ")"
