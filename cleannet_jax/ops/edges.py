"""Temporal contrast and edgeness: how steep an SCP is, and where it rises or falls.

Sequences are the snippet-level classification predictions (SCP) of one category, [T],
any finite values, usually probabilities. Snippet t covers [t, t + 1) (R1). The video is
the first `length` snippets (all of them where it is None); what follows is padding, is
never looked at, and changes no result (R4).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from cleannet_jax.ops import arguments, sharding

Result = TypeVar("Result")

WINDOW = 7


class Extrema(NamedTuple):
    """Maximum and minimum of the window around each snippet, and where they are.

    >>> extrema = windowed_extrema(jnp.array([0.0, 0.5, 1.0]), window=3)
    >>> extrema.maximum.tolist(), extrema.argmin.tolist()
    ([0.5, 1.0, 1.0], [0, 0, 1])
    """

    maximum: jax.Array  # [T]
    argmax: jax.Array  # [T] int32, absolute
    minimum: jax.Array  # [T]
    argmin: jax.Array  # [T] int32, absolute


def windowed_extrema(
    scp: ArrayLike, *, window: int = WINDOW, length: ArrayLike | None = None
) -> Extrema:
    """Extrema of the part of each snippet's window that is in the video.

    Ties go to the earliest snippet (R5).

    >>> scp = jnp.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    >>> windowed_extrema(scp, window=3).argmax.tolist()
    [0, 2, 2, 2, 3, 4]

    Args:
      scp: [T], or [T, N] of N categories.
      window: odd number of snippets.
      length: number of valid snippets, an integer.

    Returns:
      `Extrema`, each of the shape of `scp`.

    Raises:
      TypeError: if an argument is not an array of floating-point numbers, or not a
        whole number where one is needed.
      ValueError: if a shape does not fit, or the window is not odd and positive.
    """
    scp = arguments.floats("scp", scp, ("T",), ("T", "N"))
    return _along_time(_windowed_extrema, scp, window, length)


def temporal_contrast(
    scp: ArrayLike, *, window: int = WINDOW, length: ArrayLike | None = None
) -> jax.Array:
    """The steepness of a sequence around each snippet.

    c = (ψ_max − ψ_min) / |idx_max − idx_min| over each snippet's window, and 0 where
    the indices coincide (Eq. 6, R6).

    >>> scp = jnp.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    >>> temporal_contrast(scp, window=3).tolist()
    [0.0, 0.5, 1.0, 0.5, 1.0, 0.0]

    Args:
      scp: [T] of one category.
      window: odd number of snippets.
      length: number of valid snippets, an integer.

    Returns:
      [T], not negative, and zero from `length` on.

    Raises:
      TypeError, ValueError: as `windowed_extrema`.
    """
    return _along_time(_temporal_contrast, arguments.one_category(scp), window, length)


def edgeness(
    scp: ArrayLike, *, window: int = WINDOW, length: ArrayLike | None = None
) -> jax.Array:
    """The temporal contrast, positive on a rising and negative on a falling edge.

    e = m ⊙ c; m = +1 where idx_min ≤ t < idx_max, −1 where idx_max ≤ t < idx_min,
    and 0 elsewhere (Eq. 7).

    >>> scp = jnp.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    >>> edgeness(scp, window=3).tolist()
    [0.0, 0.5, 0.0, -0.5, 0.0, 0.0]

    Of many categories at once:

    >>> both = jnp.stack([scp, 1 - scp], axis=1)
    >>> jax.vmap(edgeness, in_axes=1, out_axes=1)(both).shape
    (6, 2)

    Args:
      scp: [T] of one category.
      window: odd number of snippets.
      length: number of valid snippets, an integer.

    Returns:
      [T], zero from `length` on.

    Raises:
      TypeError, ValueError: as `windowed_extrema`.
    """
    return _along_time(of_signal, arguments.one_category(scp), window, length)


def signal(scp: jax.Array, length: jax.Array | None) -> jax.Array:
    """The signal ψ, in at least float32 and zero in the padding."""
    psi = scp.astype(jnp.promote_types(scp.dtype, jnp.float32))
    return _within(psi, length)


def of_signal(scp, length, *, window) -> jax.Array:
    """Eq. 7 times Eq. 6, the shape of the SCP."""
    contrast, mask = _contrast_and_mask(signal(scp, length), length, window)
    # No product: a contrast may exceed the largest float.
    return jnp.where(mask > 0, contrast, jnp.where(mask < 0, -contrast, 0))


def _along_time(
    function: Callable[..., Result], scp: jax.Array, window: int, length: Any
) -> Result:
    """function(scp, length, window=window), shared out over devices as the SCP is."""
    function = functools.partial(function, window=arguments.window(window))
    axes = sharding.explicit_axes(scp)
    return sharding.automatically(function, (scp, arguments.length(length)), axes)


def _windowed_extrema(scp, length, *, window) -> Extrema:
    last = scp.shape[0] - 1 if length is None else jnp.maximum(length - 1, 0)
    # No video is longer than the array: a wider window sees nothing more.
    half = min(window // 2, max(scp.shape[0] - 1, 0))
    if half > _FEW:
        return _doubled_extrema(scp, last, half)
    snippets = jnp.arange(scp.shape[0], dtype=jnp.int32)
    extrema = None
    # Outside the video the window sees its first or last snippet again: never a new
    # extremum, and a tie goes to the same index.
    for offset in range(-half, half + 1):
        seen = _seen(scp, jnp.clip(snippets + offset, 0, last))
        extrema = _joined(extrema, seen) if extrema else seen
    return extrema


# Up to so many snippets on each side windows are searched one snippet after the other.
_FEW = 8


def _doubled_extrema(scp, last, half) -> Extrema:
    """Extrema of wide windows, in time that grows with the logarithm of their width.

    Those of 2, 4, 8, ... snippets in a row, each from two of half as many; a window is
    two of the last ones, which may share snippets.
    """
    # Places before and after the video see its first and last snippet again.
    places = jnp.arange(-half, scp.shape[0] + half, dtype=jnp.int32)
    extrema, width = _seen(scp, jnp.clip(places, 0, last)), 1
    while 2 * width <= 2 * half + 1:
        later = jax.tree.map(
            lambda x, width=width: jnp.roll(x, -width, axis=0), extrema
        )
        extrema, width = _joined(extrema, later), 2 * width
    rest = 2 * half + 1 - width
    first, second = (
        jax.tree.map(lambda x, start=start: x[start : start + scp.shape[0]], extrema)
        for start in (0, rest)
    )
    return _joined(first, second)


def _seen(scp, index) -> Extrema:
    """The extrema of windows of one snippet each, at these indices."""
    value = scp.at[index].get(mode="promise_in_bounds")
    index = jnp.broadcast_to(index.reshape(-1, *[1] * (scp.ndim - 1)), value.shape)
    return Extrema(value, index, value, index)


def _joined(first: Extrema, later: Extrema) -> Extrema:
    """The extrema of two windows together; ties go to the first."""
    higher, lower = later.maximum > first.maximum, later.minimum < first.minimum
    return Extrema(
        jnp.where(higher, later.maximum, first.maximum),
        jnp.where(higher, later.argmax, first.argmax),
        jnp.where(lower, later.minimum, first.minimum),
        jnp.where(lower, later.argmin, first.argmin),
    )


def _within(signal: jax.Array, length: jax.Array | None) -> jax.Array:
    """The signal, zero in the padding."""
    if length is None:
        return signal
    snippets = jnp.arange(signal.shape[0]).reshape(-1, *[1] * (signal.ndim - 1))
    return jnp.where(snippets < length, signal, 0)


def _contrast_and_mask(psi, length, window) -> tuple[jax.Array, jax.Array]:
    """Eqs. 6 and 7: temporal contrast and sign mask, the shape of ψ."""
    extrema = _windowed_extrema(psi, length, window=window)
    snippets = jnp.arange(psi.shape[0], dtype=jnp.int32)
    snippets = snippets.reshape(-1, *[1] * (psi.ndim - 1))
    gap = jnp.maximum(jnp.abs(extrema.argmax - extrema.argmin), 1)
    # Halves, whose difference is finite.
    gap = gap.astype(psi.dtype) / 2
    contrast = (extrema.maximum / 2 - extrema.minimum / 2) / gap
    rising = (extrema.argmin <= snippets) & (snippets < extrema.argmax)
    falling = (extrema.argmax <= snippets) & (snippets < extrema.argmin)
    mask = rising.astype(jnp.int8) - falling.astype(jnp.int8)
    return _within(contrast, length), mask


def _temporal_contrast(scp, length, *, window) -> jax.Array:
    """Eq. 6, the shape of the SCP."""
    return _contrast_and_mask(signal(scp, length), length, window)[0]
