import jax
import jax.numpy as jnp
import numpy as np

from cleannet_jax.models import head


def stream_params(seed, width, categories):
    """Parameters of one stream's head, none of them zero."""
    rng = np.random.default_rng(seed)
    return {
        name: {
            "kernel": jnp.asarray(rng.normal(size=(width, outputs)), jnp.float32),
            "bias": jnp.asarray(rng.normal(size=outputs), jnp.float32),
        }
        for name, outputs in (("classification", categories), ("attention", 1))
    }


def test_fused_head_is_the_mean_of_both_streams():
    rng = np.random.default_rng(0)
    rgb = jnp.asarray(rng.normal(size=(5, 4)), jnp.float32)
    flow = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    params = [stream_params(1, 4, 2), stream_params(2, 3, 2)]
    single = [
        head.StreamHead(2).apply({"params": own}, features)
        for own, features in zip(params, (rgb, flow), strict=True)
    ]
    fused = head.ClassificationHead(2, 2).apply(
        {"params": head.fuse_streams(params)}, jnp.concatenate([rgb, flow], axis=1)
    )
    for name in ("scp", "sap"):
        mean = (getattr(single[0], name) + getattr(single[1], name)) / 2
        np.testing.assert_allclose(getattr(fused, name), mean, rtol=1e-5, atol=1e-5)


def test_fused_kernel_is_block_diagonal():
    fused = head.fuse_streams([stream_params(1, 2, 1), stream_params(2, 3, 1)])
    kernel = fused["classification"]["kernel"]
    assert kernel.shape == (5, 2)
    np.testing.assert_array_equal(kernel[:2, 1], 0)
    np.testing.assert_array_equal(kernel[2:, 0], 0)


def test_fused_parameters_are_those_of_a_head():
    fused = head.fuse_streams([stream_params(1, 2, 3), stream_params(2, 4, 3)])
    fresh = head.ClassificationHead(3, 2).init(jax.random.key(0), jnp.zeros((1, 6)))
    shapes = jax.tree.map(jnp.shape, fused)
    assert shapes == jax.tree.map(jnp.shape, dict(fresh["params"]))


def test_three_streams_are_meaned_too():
    rng = np.random.default_rng(0)
    widths = (4, 3, 2)
    parts = [jnp.asarray(rng.normal(size=(5, w)), jnp.float32) for w in widths]
    params = [stream_params(seed, w, 2) for seed, w in enumerate(widths)]
    single = [
        head.StreamHead(2).apply({"params": own}, features)
        for own, features in zip(params, parts, strict=True)
    ]
    fused = head.ClassificationHead(2, 3).apply(
        {"params": head.fuse_streams(params)}, jnp.concatenate(parts, axis=1)
    )
    for name in ("scp", "sap"):
        mean = sum(np.asarray(getattr(one, name), np.float64) for one in single) / 3
        np.testing.assert_allclose(getattr(fused, name), mean, rtol=1e-5, atol=1e-5)
