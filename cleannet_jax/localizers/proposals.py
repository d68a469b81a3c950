"""Where proposals come from: anchors, a trained generator, or runs above thresholds.

Times are in snippets. Where an array has T snippets the first `length` are the video's.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from cleannet_jax import config as config_lib
from cleannet_jax.models import generator as generator_lib
from cleannet_jax.ops import anchors, pooling, runs, segments

Params = Any


def of_anchors(
    params: Params | None,
    features: jax.Array,
    length: jax.Array | int,
    config: config_lib.Settings,
    *,
    key: jax.Array | None = None,
) -> jax.Array:
    """The anchors themselves, clipped to the video: [T, A, 2].

    Args:
      params: not read, nor is `key`.
      features: [T, D], of which only T is read.
      length: number of valid snippets.
      config: says which sizes there are.
    """
    del params, key
    sizes = jnp.asarray(anchor_sizes(config), jnp.float32)
    no_offsets = jnp.zeros((features.shape[0], len(sizes), 2))
    return segments.clip(anchors.decode_grid(no_offsets, sizes), length=length)


def of_generator(
    params: Params,
    features: jax.Array,
    length: jax.Array | int,
    config: config_lib.Settings,
    *,
    key: jax.Array | None = None,
) -> jax.Array:
    """The anchors as a generator regresses them, clipped to the video (R9): [T, A, 2].

    Args:
      params: of the generator.
      features: [T, D].
      length: number of valid snippets.
      config: says which anchors there are and how they are regressed.
      key: random key for training; None when localizing.
    """
    mask = pooling.valid_snippets(features.shape[0], length)
    network = generator(config)
    found = network.apply({"params": params}, features, mask, key=key)
    return segments.clip(found, length=length)


def generator(config: config_lib.Settings) -> generator_lib.ProposalGenerator:
    """The proposal generator that a config describes."""
    return generator_lib.ProposalGenerator(
        anchor_sizes=anchor_sizes(config),
        width=config.generator_width,
        num_samples=config.num_samples,
        tsn_sampling=config.tsn_sampling,
    )


def anchor_sizes(config: config_lib.Settings) -> tuple[float, ...]:
    """The sizes of anchors in snippets: those listed, or so many an octave."""
    if not config.anchors_per_octave:
        return config.anchor_sizes
    low, high = min(config.anchor_sizes), max(config.anchor_sizes)
    # Up to the largest size, whether it is one of them or not.
    count = math.ceil(math.log2(high / low) * config.anchors_per_octave - 1e-6)
    steps = range(count)
    return (*(low * 2 ** (step / config.anchors_per_octave) for step in steps), high)


def of_runs(
    scp: jax.Array, sap: jax.Array, length: jax.Array | int, config: config_lib.Settings
) -> jax.Array:
    """Runs of the SCP and of attention above thresholds, each once: [C, P, 2].

    A category's SCP is cut between its minimum and its maximum in the video, attention
    between zero and its maximum. Uniform attention has no runs. Unused places are
    empty segments.

    Args:
      scp: [T, C].
      sap: [T], weights.
      length: number of valid snippets.
      config: holds both lists of thresholds.
    """
    relative, varies = relative_attention(sap, length)
    attended = jnp.zeros((0, 2))
    if config.attention_thresholds:
        thresholds = jnp.asarray(config.attention_thresholds)
        attended = runs.above(relative, thresholds, length=length).reshape(-1, 2)
        attended = jnp.where(varies, attended, 0)
    if not config.scp_thresholds:
        shared = runs.distinct(attended)
        return jnp.broadcast_to(shared, (scp.shape[1], *shared.shape))

    def of_category(psi):
        thresholds = jnp.asarray(config.scp_thresholds)
        own = runs.above(runs.normalised(psi, length=length), thresholds, length=length)
        return runs.distinct(jnp.concatenate([attended, own.reshape(-1, 2)]))

    return jax.vmap(of_category, in_axes=1)(scp)


def relative_attention(
    sap: jax.Array, length: jax.Array | int
) -> tuple[jax.Array, jax.Array]:
    """Attention [T] over its maximum in the video, and whether it is not uniform."""
    highest = jnp.max(sap)
    # Uniform weights are 1 / length up to rounding.
    return sap / jnp.maximum(highest, 1e-30), highest * length > 1 + 1e-4
