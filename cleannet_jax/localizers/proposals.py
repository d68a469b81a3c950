"""Where proposals come from: the anchors, or a trained generator (Section 3.3.1).

Times are in snippets. Where an array has T snippets the first `length` are the video's.
"""

from typing import Any

import jax
import jax.numpy as jnp

from cleannet_jax import config as config_lib
from cleannet_jax.models import generator as generator_lib
from cleannet_jax.ops import anchors, pooling, segments

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
    sizes = jnp.asarray(config.anchor_sizes, jnp.float32)
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
        anchor_sizes=config.anchor_sizes,
        width=config.generator_width,
        num_samples=config.num_samples,
        tsn_sampling=config.tsn_sampling,
    )
