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

BLOCK = 8  # longer ones leave fewer exact digits, shorter ones need more sums
GROUP = 16


class Integral(NamedTuple):
    """Prefix sums of a signal, by block of `BLOCK` snippets.

    The first block begins with a snippet before the video; at least one comes after
    it. They stand for everything outside, and their signal is zero.
    """

    coarse: jax.Array  # [blocks, ...] sum before the block, in part, exact
    remainder: jax.Array  # [blocks, ...] the other part, small
    within: jax.Array  # [blocks, BLOCK, ...] sum from block's start to snippet's end
    signal: jax.Array  # [blocks, BLOCK, ...]


class Region(NamedTuple):
    """A part of every proposal, in proposal lengths from its start, and its weight."""

    weight: float
    start: float
    end: float


class Bounds(NamedTuple):
    """Where K regions of proposals start and end in the tables of an `Integral`."""

    row: jax.Array  # [K, 2, P] int32, counts snippets from the first block's first
    fraction: jax.Array  # [K, 2, P] in [0, 1], of that snippet


def integrate(signal: jax.Array) -> Integral:
    """Prefix sums of a signal.

    Args:
      signal: [T, ...] float32 or float64, of any finite range.

    Returns:
      An `Integral`, linear in the signal.
    """
    chex.assert_type(signal, float)
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
    large = 2 * len(totals) * jnp.max(jnp.abs(totals), axis=0)
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
    integrals: Sequence[Integral],
    start: jax.Array,
    length: jax.Array,
    valid: jax.Array,
) -> jax.Array:
    """The weighted sum of the means of signals, each over one region of a proposal.

    Σ_k weight_k / (b_k − a_k) ∫ signal_k over [a_k, b_k], where a_k and b_k are
    start + length · (the region's start and end). The derivatives are exact where no
    bound lies on the border of a snippet.

    Args:
      regions: K regions.
      integrals: K integrals of signals [T, ...].
      start: [P] finite, in snippets.
      length: [P] positive and finite, in snippets.
      valid: [P] bool; the others get -inf.

    Returns:
      [P, ...] in the unit of the signals.
    """
    bounds = _bounds(regions, integrals, start, length)

    def lookup(integrals, bounds, length, valid):
        means = _means(regions, integrals, bounds, length)
        return jnp.where(_rows(valid, means), means, -jnp.inf)

    return apart(lookup)(integrals, bounds, length, valid)


@functools.partial(weighted_means.defjvp, symbolic_zeros=True)
def _weighted_means_jvp(regions, primals, tangents):
    """Slopes in start and length: look-ups of the signals at the bounds."""
    integrals, start, length, valid = primals
    d_integrals, d_start, d_length, _ = tangents
    means = weighted_means(regions, integrals, start, length, valid)
    bounds = _bounds(regions, integrals, start, length)
    tangent = jnp.zeros_like(means)
    if not isinstance(d_start, SymbolicZero):
        moved = _tangent(functools.partial(_start_slope, regions))
        tangent += moved(d_start, integrals, bounds, length)
    if not isinstance(d_length, SymbolicZero):
        moved = _tangent(functools.partial(_length_slope, regions))
        tangent += moved(d_length, integrals, bounds, length)
    if not all(isinstance(leaf, SymbolicZero) for leaf in jax.tree.leaves(d_integrals)):
        d_integrals = jax.tree.map(_instantiated, d_integrals)
        means_of_tangents = _means(regions, d_integrals, bounds, length)
        tangent += jnp.where(_rows(valid, means), means_of_tangents, 0)
    return means, tangent


def _tangent(slope):
    """Rows of a tangent [P] times a slope [P, ...]; its transpose keeps no slope."""

    def product(tangent, *operands):
        rows = slope(*operands)
        return _rows(tangent, rows) * rows

    return jax.checkpoint(apart(product), prevent_cse=False)


def _instantiated(tangent):
    if isinstance(tangent, SymbolicZero):
        return jnp.zeros(tangent.shape, tangent.dtype)
    return tangent


def _bounds(regions, integrals, start, length) -> Bounds:
    """The times start + length · (region's start and end), in rows and fractions."""
    offsets = jnp.array([(region.start, region.end) for region in regions], start.dtype)
    distance = offsets[:, :, None] * length  # [K, 2, P]
    # Whole snippets and fractions are apart before the two are added up.
    whole, step = jnp.floor(start), jnp.floor(distance)
    fraction = (start - whole) + (distance - step)
    carry = jnp.floor(fraction)
    last = integrals[0].within.shape[0] * BLOCK - 1
    row = jnp.clip(whole + step + carry + 1, 0, last).astype(jnp.int32)
    return Bounds(row, fraction - carry)


def _means(regions, integrals, bounds, length) -> jax.Array:
    """Weighted means of signals [T, ...] over the regions: [P, ...]."""
    total = sum(
        _density(region) * _between(integral, row, fraction)
        for region, integral, row, fraction in zip(
            regions, integrals, *bounds, strict=True
        )
    )
    return total / _rows(length, total)


def _between(integral: Integral, row: jax.Array, fraction: jax.Array) -> jax.Array:
    """The integral between two bounds, row and fraction [2, P]: [P, ...]."""

    def fine(row, fraction):
        signal = _snippets(integral.signal, row)
        ahead = _rows(1 - fraction, signal) * signal
        remainder = _blocks(integral.remainder, row)
        return remainder + (_snippets(integral.within, row) - ahead)

    coarse = _blocks(integral.coarse, row[1]) - _blocks(integral.coarse, row[0])
    return coarse + (fine(row[1], fraction[1]) - fine(row[0], fraction[0]))


def _start_slope(regions, integrals, bounds, length) -> jax.Array:
    """The derivative of the weighted means as proposals shift: [P, ...]."""
    slope = sum(
        _density(region) * (_snippets(signal, row[1]) - _snippets(signal, row[0]))
        for region, (_, _, _, signal), row in zip(
            regions, integrals, bounds.row, strict=True
        )
    )
    return slope / _rows(length, slope)


def _length_slope(regions, integrals, bounds, length) -> jax.Array:
    """The derivative of the weighted means as proposals grow at their ends: [P, ...]."""
    slope = sum(
        _density(region) * place * _snippets(integral.signal, row)
        for region, integral, rows in zip(regions, integrals, bounds.row, strict=True)
        for place, row in zip((-region.start, region.end), rows, strict=True)
        if place
    )
    slope -= _means(regions, integrals, bounds, length)
    return slope / _rows(length, slope)


def _density(region: Region) -> float:
    return region.weight / (region.end - region.start)


def _snippets(table: jax.Array, rows: jax.Array) -> jax.Array:
    """[blocks, BLOCK, ...] at snippets [P]: [P, ...]."""
    table = table.reshape(-1, *table.shape[2:])
    return table.at[rows].get(mode="promise_in_bounds")


def _blocks(table: jax.Array, rows: jax.Array) -> jax.Array:
    """[blocks, ...] at snippets [P]: [P, ...]."""
    return table.at[jax.lax.div(rows, jnp.int32(BLOCK))].get(mode="promise_in_bounds")


def _rows(values: jax.Array, like: jax.Array) -> jax.Array:
    """[P] values with axes of one element for the trailing axes of `like`."""
    return jnp.expand_dims(values, tuple(range(1, like.ndim)))


def apart(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """The same function, as a computation that XLA does not merge with its users.

    On a CPU, look-ups are fast as long as they run row by row. Merged into a
    transposition that reads the result they would run column by column, and merged
    with the making of the tables they would make them anew for every proposal; either
    is tens of times slower. A branch always taken costs nothing and keeps them apart.
    """

    def call(*operands: Any) -> jax.Array:
        result = jax.eval_shape(function, *operands)
        return jax.lax.cond(
            jax.lax.optimization_barrier(True),
            function,
            lambda *_: jnp.zeros(result.shape, result.dtype),
            *operands,
        )

    return call
