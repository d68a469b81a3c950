"""Means of snippet signals over parts of proposals, exact at real-valued bounds (R2).

A signal is constant on each snippet and zero outside the video. It has time as its
first axis; categories, if any, ride along as a trailing axis, so that one look-up
fetches the categories of a snippet as one row. Times are in snippets.

An integral over [a, b] is a difference of two prefix sums. In float32 a prefix sum
over thousands of snippets has lost the digits that the difference needs, and so has
a time near 16,000. Both are therefore kept in two parts. A prefix sum is a coarse
part that changes every `BLOCK` snippets and whose differences are exact, plus a rest
no larger than one block's sum. A time is a whole snippet plus a fraction.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from cleannet_jax.ops import sharding

BLOCK = 8  # longer ones leave fewer exact digits, shorter ones need more sums
GROUP = 16


class Integral(NamedTuple):
    """Prefix sums of K signals, by block of `BLOCK` snippets.

    The first block begins with a snippet before the video; at least one comes after
    it. They stand for everything outside, and their signals are zero.
    """

    coarse: jax.Array  # [blocks, K, ...] sum before the block, in part, exact
    remainder: jax.Array  # [blocks, K, ...] the other part, small
    within: jax.Array  # [blocks, BLOCK, K, ...] from block's start to snippet's end
    signal: jax.Array  # [blocks, BLOCK, K, ...]


class Region(NamedTuple):
    """A part of every proposal, in proposal lengths from its start."""

    weight: float
    signal: int  # which one of those of an `Integral`
    start: float
    end: float


class Bounds(NamedTuple):
    """Where R regions of proposals start and end in the tables of an `Integral`."""

    row: jax.Array  # [R, 2, P] int32, counts snippets from the first block's first
    fraction: jax.Array  # [R, 2, P] in [0, 1], of that snippet


def integrate(signals: Sequence[jax.Array]) -> Integral:
    """Prefix sums of signals.

    Args:
      signals: K of [T, ...] float32 or float64, of any finite range.

    Returns:
      An `Integral`, linear in the signals.
    """
    chex.assert_type(signals, float)
    chex.assert_equal_shape(signals)
    signal = jnp.stack(signals, axis=1)
    snippets, *trailing = signal.shape
    blocks = (snippets + 1) // BLOCK + 1
    after = blocks * BLOCK - snippets - 1
    padded = jnp.pad(signal, [(1, after)] + [(0, 0)] * len(trailing))
    padded = padded.reshape(blocks, BLOCK, *trailing)
    within = jnp.cumsum(padded, axis=1)
    return Integral(*_sums_before(within[:, -1]), within, padded)


def _sums_before(totals: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sums of the block totals before each block, as an exact and a small part."""
    # Adding and subtracting a large number rounds to a multiple of its last bit. This
    # one exceeds every sum of totals, so sums of such multiples are exact.
    large = 2 * totals.shape[0] * jnp.max(jnp.abs(totals), axis=0)
    large = jax.lax.stop_gradient(large)
    multiples = (totals + large) - large
    remainders = totals - multiples
    return _cumsum(multiples) - multiples, _cumsum(remainders) - remainders


def _cumsum(values: jax.Array) -> jax.Array:
    """Sums along the first axis, in groups: XLA:CPU is slow beyond 16 at a time."""
    count, *trailing = values.shape
    if count <= GROUP:
        return jnp.cumsum(values, axis=0)
    groups = -(-count // GROUP)
    padding = [(0, groups * GROUP - count)] + [(0, 0)] * len(trailing)
    grouped = jnp.pad(values, padding).reshape(groups, GROUP, *trailing)
    within = jnp.cumsum(grouped, axis=1)
    before = _cumsum(within[:, -1]) - within[:, -1]
    return (before[:, None] + within).reshape(-1, *trailing)[:count]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def weighted_means(
    regions: Sequence[Region],
    integral: Integral,
    start: jax.Array,
    length: jax.Array,
    valid: jax.Array,
    scale: jax.Array | float = 1.0,
) -> jax.Array:
    """The weighted sum of the means of signals, each over one region of a proposal.

    scale · Σ_r weight_r / (b_r − a_r) ∫ signal_r over [a_r, b_r], where a_r and b_r are
    start + length · (the region's start and end). The derivatives are exact where no
    bound lies on the border of a snippet.

    Args:
      regions: R of them.
      integral: of signals [T, ...].
      start: [P] finite, in snippets.
      length: [P] positive and finite, in snippets.
      valid: [P] bool; the others get -inf.
      scale: of the results, whose derivative in it is taken for zero. To multiply them
        afterwards is one more pass over all of them.

    Returns:
      [P, ...] in the unit of the signals.
    """

    def lookup(integral, start, length, valid, scale):
        bounds = _bounds(regions, integral, start, length)
        means = _means(regions, integral, bounds, length) * scale
        return jnp.where(_rows(valid, means), means, -jnp.inf)

    scale = jnp.asarray(scale, integral.signal.dtype)
    return apart(lookup)(integral, start, length, valid, scale)


@functools.partial(weighted_means.defjvp, symbolic_zeros=True)
def _weighted_means_jvp(regions, primals, tangents):
    """Slopes in start and end: look-ups of the signals at the bounds."""
    integral, start, length, valid, scale = primals
    d_integral, d_start, d_length, *_ = tangents
    value = weighted_means(regions, integral, start, length, valid, scale)
    means = jnp.where(_rows(valid, value), value, 0)
    bounds = _bounds(regions, integral, start, length)
    tangent = jnp.zeros_like(value)
    if not _all_zero((d_start, d_length)):
        d_start, d_length = _instantiated((d_start, d_length))
        # One after the other, each from the one before, so that no more of them are
        # in memory at a time than need be.
        end_slope = apart(functools.partial(_end_slope, regions))
        end_slope = end_slope(integral, bounds, length, means, scale)
        start_slope = apart(functools.partial(_start_slope, regions))
        start_slope = start_slope(integral, bounds, length, end_slope, scale)
        tangent += _rows(d_start, value) * start_slope
        tangent += _rows(d_start + d_length, value) * end_slope
    if not _all_zero(d_integral):
        d_means = _means(regions, _instantiated(d_integral), bounds, length) * scale
        tangent += jnp.where(_rows(valid, value), d_means, 0)
    return value, tangent


def _all_zero(tangents) -> bool:
    return all(isinstance(leaf, SymbolicZero) for leaf in jax.tree.leaves(tangents))


def _instantiated(tangents):
    """The tangents with arrays for symbolic zeros."""

    def array(leaf):
        zero = isinstance(leaf, SymbolicZero)
        return jnp.zeros(leaf.shape, leaf.dtype) if zero else leaf

    return jax.tree.map(array, tangents)


def _bounds(regions, integral, start, length) -> Bounds:
    """The times start + length · (region's start and end), in rows and fractions."""
    offsets = jnp.array([(region.start, region.end) for region in regions], start.dtype)
    distance = offsets[:, :, None] * length  # [R, 2, P]
    # Whole snippets and fractions are apart before the two are added up.
    whole, step = jnp.floor(start), jnp.floor(distance)
    fraction = (start - whole) + (distance - step)
    carry = jnp.floor(fraction)
    last = integral.within.shape[0] * BLOCK - 1
    row = jnp.clip(whole + step + carry + 1, 0, last).astype(jnp.int32)
    return Bounds(row, fraction - carry)


def _means(regions, integral, bounds, length) -> jax.Array:
    """Weighted means of signals [T, ...] over the regions: [P, ...]."""
    total = sum(
        _density(region) * _between(integral, region.signal, row, fraction)
        for region, row, fraction in zip(regions, *bounds, strict=True)
    )
    return total / _rows(length, total)


def _between(integral, signal, row, fraction) -> jax.Array:
    """The integral of one signal between bounds, [2, P] of rows and fractions."""

    def fine(row, fraction):
        ahead = _snippets(integral.signal, signal, row)
        ahead *= _rows(1 - fraction, ahead)
        remainder = _blocks(integral.remainder, signal, row)
        return remainder + (_snippets(integral.within, signal, row) - ahead)

    coarse = _blocks(integral.coarse, signal, row[1])
    coarse -= _blocks(integral.coarse, signal, row[0])
    return coarse + (fine(row[1], fraction[1]) - fine(row[0], fraction[0]))


def _end_slope(regions, integral, bounds, length, means, scale) -> jax.Array:
    """The derivative of the weighted means as proposals grow at their ends: [P, ...]."""
    slope = sum(
        _density(region) * place * _snippets(integral.signal, region.signal, row)
        for region, rows in zip(regions, bounds.row, strict=True)
        for place, row in zip((-region.start, region.end), rows, strict=True)
        if place
    )
    return (slope * scale - means) / _rows(length, slope)


def _start_slope(regions, integral, bounds, length, end_slope, scale) -> jax.Array:
    """The derivative as proposals shift, less that as their ends do: [P, ...]."""
    slope = sum(
        sign * _density(region) * _snippets(integral.signal, region.signal, row)
        for region, rows in zip(regions, bounds.row, strict=True)
        for sign, row in zip((-1, 1), rows, strict=True)
    )
    return slope * scale / _rows(length, slope) - end_slope


def _density(region: Region) -> float:
    return region.weight / (region.end - region.start)


def _snippets(table: jax.Array, signal: int, rows: jax.Array) -> jax.Array:
    """[blocks, BLOCK, K, ...] of one signal at snippets [P]: [P, ...]."""
    table = table[:, :, signal].reshape(-1, *table.shape[3:])
    return table.at[rows].get(mode="promise_in_bounds")


def _blocks(table: jax.Array, signal: int, rows: jax.Array) -> jax.Array:
    """[blocks, K, ...] of one signal at snippets [P]: [P, ...]."""
    blocks = jax.lax.div(rows, jnp.int32(BLOCK))
    return table[:, signal].at[blocks].get(mode="promise_in_bounds")


def _rows(values: jax.Array, like: jax.Array) -> jax.Array:
    """[P] values with axes of one element for the trailing axes of `like`."""
    return jnp.expand_dims(values, tuple(range(1, like.ndim)))


def apart(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """The same function, as a computation that XLA does not merge with its users.

    On a CPU, look-ups are fast as long as they run row by row. Merged into a
    transposition that reads the result they would run column by column, and merged
    with the making of the tables they would make them anew for every proposal; either
    is tens of times slower. A branch always taken keeps them apart. It costs a CPU
    nothing, and an accelerator one short wait for the predicate.
    """

    def call(*operands: Any) -> jax.Array:
        result = jax.eval_shape(function, *operands)

        def never(*operands: Any) -> jax.Array:
            zeros = jnp.zeros(result.shape, result.dtype)
            return sharding.varying_like(zeros, operands)

        always = jax.lax.optimization_barrier(True)
        return jax.lax.cond(always, function, never, *operands)

    return call
