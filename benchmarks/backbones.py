"""Frames a second of the image networks on a CPU, beside the same networks in PyTorch.

    python benchmarks/backbones.py --batches 8,16 --rounds 7 --threads 2

Weights are random and images are 224 × 224. PyTorch's networks are eager, in inference
mode, once a memory layout, and normalize in a step of their own, as its users run them.
Each round runs every variant once, so that whatever else the machine does is shared.
Printed are medians over rounds, and the ratio to the faster of the two layouts: over 1
where JAX is faster. Without torch there is no ratio. JAX takes the cores that it is
given: `taskset -c 0` before the command and `--threads 1` compare one core.
"""

import argparse
import functools
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from cleannet_jax.models import bn_inception, efficientnet_lite

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests"))
import networks_by_hand as by_hand

try:
    import torch
except ImportError:
    torch = None

NETWORKS = ("efficientnet_lite0", "bn_inception rgb", "bn_inception flow")


def jax_network(name: str, state: dict) -> Callable[[np.ndarray], Any]:
    """A compiled network, of images [n, h, w, channels]."""
    if name == "efficientnet_lite0":
        network: Any = efficientnet_lite.Network()
        params = efficientnet_lite.params_from(state)
    else:
        network = bn_inception.Network()
        params = bn_inception.params_from_state(state, place=name).params
    params, apply = jax.device_put(params), jax.jit(network.apply)
    return lambda images: jax.block_until_ready(apply({"params": params}, images))


def torch_network(name: str, state: dict, layout: Any) -> Callable[[np.ndarray], Any]:
    """The same network in PyTorch, its kernels and maps in a memory layout."""
    tensors = {}
    for key, values in state.items():
        tensor = torch.from_numpy(values)
        is_kernel = tensor.ndim == 4
        tensors[key] = tensor.contiguous(memory_format=layout) if is_kernel else tensor
    lite = name == "efficientnet_lite0"
    function = by_hand.lite_logits if lite else by_hand.inception_features

    class Ready(by_hand.Torch):
        """Takes tensors as they are."""

        @staticmethod
        def array(values):
            return values

    def run(images: np.ndarray) -> Any:
        maps = torch.from_numpy(images).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return function(tensors, maps.contiguous(memory_format=layout), Ready)

    return run


def variants(name: str, batch: int) -> dict[str, Callable[[], Any]]:
    """A network on a batch of images, ours first and then PyTorch's by layout."""
    channels = 10 if name.endswith("flow") else 3
    lite = name == "efficientnet_lite0"
    shapes = by_hand.lite_shapes() if lite else by_hand.inception_shapes(channels)
    state = by_hand.random_state(shapes, 0)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (batch, 224, 224, channels)).astype(np.float32)
    networks = {"JAX": jax_network(name, state)}
    if torch is not None:
        layouts = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
        for layout, value in layouts.items():
            networks[f"PyTorch {layout}"] = torch_network(name, state, value)
    return {
        variant: functools.partial(network, images)
        for variant, network in networks.items()
    }


def time_network(name: str, batch: int, rounds: int) -> str:
    """A line of medians and their ratio."""
    networks = variants(name, batch)
    seconds: dict[str, list[float]] = {variant: [] for variant in networks}
    for index in range(rounds + 1):
        for variant, function in networks.items():
            start = time.perf_counter()
            function()
            # The first round compiles.
            seconds[variant] += [time.perf_counter() - start] if index else []
    rates = {v: batch / statistics.median(times) for v, times in seconds.items()}
    line = f"{name}, batch {batch}, frames/s: "
    line += ", ".join(f"{variant} {rate:.1f}" for variant, rate in rates.items())
    ours, *others = rates.values()
    return line + (f", ratio {ours / max(others):.2f}" if others else "")


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parser = argparse.ArgumentParser("backbones", description=__doc__)
    parser.add_argument("--batches", default="8,16")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch")
    parsed = parser.parse_args(arguments)
    if torch is not None:
        torch.set_num_threads(parsed.threads)
    for name in NETWORKS:
        for batch in map(int, parsed.batches.split(",")):
            print(time_network(name, batch, parsed.rounds), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
