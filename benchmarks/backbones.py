"""Frames a second of the image networks on a CPU, beside the same networks in PyTorch.

    python benchmarks/backbones.py --batches 8,16 --rounds 7

Weights are random and images are 224 × 224. Each round runs every variant once, so that
whatever else the machine does is shared; medians over rounds are printed, and the ratio
to the faster of PyTorch's two memory layouts in the same rounds, over 1 where JAX is
faster. Without torch there is no ratio.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from cleannet_jax.models import bn_inception, efficientnet_lite

try:
    import torch
except ImportError:
    torch = None

NETWORKS = ("efficientnet_lite0", "bn_inception rgb", "bn_inception flow")


def jax_network(name: str) -> tuple[Callable[[np.ndarray], Any], dict, int]:
    """A compiled network of images to features, its parameters and channels."""
    if name == "efficientnet_lite0":
        params, channels = efficientnet_lite.random_params(0), 3
        apply = jax.jit(
            lambda images: efficientnet_lite.Network()
            .apply({"params": params}, images)
            .features
        )
    else:
        channels = 10 if name.endswith("flow") else 3
        params = bn_inception.random_params(channels, 0)
        apply = jax.jit(
            lambda images: bn_inception.Network().apply({"params": params}, images)
        )
    return lambda images: apply(images).block_until_ready(), params, channels
