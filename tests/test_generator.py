import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cleannet_jax.models import generator
from cleannet_jax.ops import anchors

SIZES = (1, 4, 16)


def make(tsn_sampling, *, random=True, snippets=9):
    """A generator whose last layer is not zero, and features for it."""
    network = generator.ProposalGenerator(
        anchor_sizes=SIZES, width=5, num_samples=3, tsn_sampling=tsn_sampling
    )
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.normal(size=(snippets, 4)), jnp.float32)
    params = network.init(jax.random.key(0), features, jnp.ones(snippets, bool))
    if random:
        params = jax.tree.map(
            lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) / 2, jnp.float32),
            params,
        )
    return network, params, features


@pytest.mark.parametrize("tsn_sampling", [True, False])
def test_untrained_generator_proposes_its_anchors(tsn_sampling):
    network, params, features = make(tsn_sampling, random=False)
    found = network.apply(params, features, jnp.ones(9, bool))
    expected = anchors.decode_grid(jnp.zeros((9, 3, 2)), jnp.array(SIZES, float))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("tsn_sampling", [True, False])
def test_padding_changes_nothing(tsn_sampling):
    network, params, features = make(tsn_sampling)
    alone = network.apply(params, features, jnp.ones(9, bool))
    # What stands in the padding must not matter.
    padded = jnp.pad(features, [(0, 6), (0, 0)], constant_values=7.0)
    found = network.apply(params, padded, jnp.arange(15) < 9)
    np.testing.assert_allclose(found[:9], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("snippets", [1, 2, 9])
def test_convolution_is_that_of_flax(snippets):
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(snippets, 4)), jnp.float32)
    weights = jnp.asarray(rng.normal(size=(snippets, 5)), jnp.float32)
    mask = jnp.arange(snippets) < max(snippets - 2, 1)
    ours = generator.TemporalConvolution(5)
    flax = nn.Conv(5, kernel_size=(3,))
    params = ours.init(jax.random.key(3), inputs, mask)
    # So that seeds and files of parameters mean what they did.
    expected = flax.init(jax.random.key(3), inputs)
    jax.tree.map(np.testing.assert_array_equal, params, expected)

    def total(apply):
        weighed = jnp.where(mask[:, None], weights, 0)
        return jax.jit(
            jax.value_and_grad(lambda *given: jnp.sum(weighed * apply(*given)), (0, 1))
        )

    found = total(lambda params, x: ours.apply(params, x, mask))
    expected = total(lambda params, x: flax.apply(params, x * mask[:, None]))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        found(params, inputs),
        expected(params, inputs),
    )


def convolved(params, features):
    """The hidden layer in NumPy: three convolutions of width 3 with zero padding."""
    hidden = np.asarray(features, np.float64)
    for layer in range(3):
        weights = params["params"][f"conv{layer}"]
        padded = np.pad(hidden, [(1, 1), (0, 0)])
        hidden = np.stack(
            [
                np.einsum("kc,kco->o", padded[t : t + 3], weights["kernel"])
                for t in range(len(hidden))
            ]
        )
        hidden = hidden + np.asarray(weights["bias"])
        hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
    return hidden


def test_sampling_then_convolving_equals_the_slow_order():
    network, params, features = make(True)
    hidden = convolved(params, features)
    found = network.apply(params, features, jnp.ones(9, bool))
    for snippet in (0, 4, 8):
        for index, size in enumerate(SIZES):
            samples = np.zeros((3, 5))
            for k in range(3):
                time = snippet + 0.5 - size / 2 + (k + 0.5) * size / 3
                if 0 <= time < 9:
                    samples[k] = hidden[int(np.floor(time))]
            kernel = np.asarray(params["params"]["regression_kernel"])
            offset = np.einsum("kc,kcr->r", samples, kernel)
            offset = offset + np.asarray(params["params"]["regression_bias"])
            centre = snippet + 0.5 + size * offset[0]
            width = size * np.exp(np.clip(offset[1], -4, 4))
            np.testing.assert_allclose(
                found[snippet, index],
                [centre - width / 2, centre + width / 2],
                rtol=1e-4,
                atol=1e-4,
            )


def test_training_samples_differ_with_the_key():
    network, params, features = make(True)
    mask = jnp.ones(9, bool)
    first, again, other = (
        network.apply(params, features, mask, key=jax.random.key(seed))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
