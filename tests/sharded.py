"""Run by test_sharding on four virtual devices: prints what did not come out the same."""

import json
import os

# Nearly all of the time goes into compiling, and little of it matters here.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
)

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cleannet_jax import (
    edgeness,
    evaluate_proposals,
    proposal_scores,
    suppress,
    windowed_extrema,
)
from cleannet_jax.ops import nms

NONE, X = PartitionSpec(), PartitionSpec("x")
SECOND = PartitionSpec(None, "x")

rng = np.random.default_rng(0)
start = rng.uniform(0, 30, 24)
PROPOSALS = jnp.asarray(np.stack([start, start + rng.uniform(1, 9, 24)], 1), "float32")
OWN = jnp.stack([PROPOSALS + 0.1 * category for category in range(8)])
SCP = jnp.asarray(rng.random((40, 8)), jnp.float32)
BATCH = jnp.stack([SCP * (1 - 0.1 * video) for video in range(4)])
SCORES = jnp.asarray(rng.random((8, 24)), jnp.float32)
LENGTHS = jnp.asarray([40, 33, 20, 7], jnp.int32)


def with_length(scp, proposals, length):
    return evaluate_proposals(scp, proposals, length=length)


def edges(scp, length):
    return edgeness(scp, length=length)


def kept(segments, scores):
    def one(row):
        return suppress(segments, row, max_tiou=0.4, max_outputs=5)

    return jax.vmap(one)(scores)


def softened(segments, scores):
    def one(row):
        return nms.soften(segments, row, sigma=0.3)

    return jax.vmap(one)(scores)


# Function, arguments, how they are sharded, how results are.
CASES = {
    "proposals": (evaluate_proposals, (SCP, PROPOSALS), (NONE, X), SECOND),
    "categories": (evaluate_proposals, (SCP, PROPOSALS), (SECOND, NONE), X),
    "own proposals": (evaluate_proposals, (SCP, OWN), (SECOND, X), X),
    "batch": (
        jax.vmap(evaluate_proposals, (0, None)),
        (BATCH, PROPOSALS),
        (X, NONE),
        X,
    ),
    "one category": (proposal_scores, (SCP[:, 0], PROPOSALS), (NONE, X), X),
    "suppression": (kept, (PROPOSALS, SCORES), (NONE, X), X),
    "soft suppression": (softened, (PROPOSALS, SCORES), (NONE, X), X),
    "categories of extrema": (windowed_extrema, (SCP,), (SECOND,), SECOND),
}
# What needs the other devices' part, so that only a compiler can share it out.
TOGETHER = {
    "snippets": (edges, (SCP[:, 0], LENGTHS[1]), (X, NONE)),
    "both": (evaluate_proposals, (SCP, PROPOSALS), (SECOND, X)),
    "categories, own": (evaluate_proposals, (SCP, OWN), (SECOND, NONE)),
    "lengths": (
        jax.vmap(with_length, (0, None, 0)),
        (BATCH, PROPOSALS, LENGTHS),
        (X, NONE, X),
    ),
    "proposals of suppression": (kept, (PROPOSALS, SCORES), (X, NONE)),
}


def total(function):
    def loss(*arguments):
        scores = function(*arguments)
        return jnp.sum(1.3 * scores.contrast + scores.starting)

    return loss


def by_shard_map(function, arguments, specs, result):
    mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
    shared = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=result)
    return jax.jit(shared)(*arguments)


def gradient_by_shard_map(function, arguments, specs, result):
    mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
    shared = jax.shard_map(
        lambda *own: jax.lax.psum(total(function)(*own), "x"),
        mesh=mesh,
        in_specs=specs,
        out_specs=NONE,
    )
    return jax.jit(jax.grad(shared, (0, 1)))(*arguments)


def by_mesh(kind):
    def run(function, arguments, specs, result=None):
        mesh = jax.make_mesh((4,), ("x",), axis_types=(kind,))
        with jax.set_mesh(mesh):
            placed = [
                jax.device_put(argument, NamedSharding(mesh, spec))
                for argument, spec in zip(arguments, specs, strict=True)
            ]
            return jax.jit(function)(*placed)

    return run


def gradient_by_mesh(kind):
    def run(function, arguments, specs, result):
        gradient = jax.grad(total(function), (0, 1))
        return by_mesh(kind)(gradient, arguments, specs, result)

    return run


# Compiling for four devices takes most of the time: of gradients what differs.
GRADIENTS = {
    ("shard_map", "proposals"),
    ("shard_map", "categories"),
    ("explicit", "proposals"),
    ("explicit", "categories"),
    ("explicit", "batch"),
}

WAYS = {
    "shard_map": (by_shard_map, gradient_by_shard_map),
    "auto": (by_mesh(AxisType.Auto), gradient_by_mesh(AxisType.Auto)),
    "explicit": (by_mesh(AxisType.Explicit), gradient_by_mesh(AxisType.Explicit)),
}


def difference(found, expected):
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def main():
    found = {}
    for name, (function, *rest) in CASES.items():
        expected = jax.jit(function)(*rest[0])
        for way, (value, gradient) in WAYS.items():
            found[f"{way}, {name}"] = difference(value(function, *rest), expected)
            if (way, name) in GRADIENTS:
                wanted = jax.jit(jax.grad(total(function), (0, 1)))(*rest[0])
                own = difference(gradient(function, *rest), wanted)
                found[f"{way}, {name}, gradient"] = own
    for name, (function, arguments, specs) in TOGETHER.items():
        shared = by_mesh(AxisType.Explicit)(function, arguments, specs)
        found[f"explicit, {name}"] = difference(shared, jax.jit(function)(*arguments))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
