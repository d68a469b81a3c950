import jax
import jax.numpy as jnp
import numpy as np

from cleannet_jax.ops import pooling


def test_attention_is_a_softmax_over_masked_in_snippets():
    logits = jnp.array([0.0, np.log(3.0), 7.0])
    log_sap = pooling.log_attention(logits, jnp.array([True, True, False]))
    np.testing.assert_allclose(np.exp(log_sap), [0.25, 0.75, 0], rtol=1e-6)


def test_video_prediction_by_hand():
    # 0.25 * (0.9, 0.1) + 0.75 * (0.5, 0.5) = (0.6, 0.4).
    log_sap = jnp.log(jnp.array([0.25, 0.75]))
    log_scp = jnp.log(jnp.array([[0.9, 0.1], [0.5, 0.5]]))
    found = pooling.log_video_prediction(log_sap, log_scp)
    np.testing.assert_allclose(np.exp(found), [0.6, 0.4], rtol=1e-6)


def test_vanishing_probabilities_have_a_finite_loss_and_gradient():
    def loss(logits):
        log_sap = pooling.log_attention(logits[:, 0], jnp.ones(2, bool))
        return -pooling.log_video_prediction(log_sap, jax.nn.log_softmax(logits))[1]

    logits = jnp.array([[200.0, 0.0], [0.0, -200.0]])
    with jax.debug_nans(True):
        value, gradient = jax.value_and_grad(loss)(logits)
    # Both snippets put exp(-200) on category 1.
    np.testing.assert_allclose(value, 200, rtol=1e-6)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0.1


def test_no_snippet_at_all_is_finite():
    def prediction(logits):
        log_sap = pooling.log_attention(logits, jnp.zeros(3, bool))
        log_scp = jnp.log(jnp.full((3, 2), 0.5))
        return pooling.log_video_prediction(log_sap, log_scp).sum()

    with jax.debug_nans(True):
        value, gradient = jax.value_and_grad(prediction)(jnp.zeros(3))
    np.testing.assert_allclose(value, 2 * np.log(0.5), rtol=1e-6)
    np.testing.assert_array_equal(gradient, 0)


def test_padding_changes_nothing():
    rng = np.random.default_rng(0)
    logits, scp = rng.normal(size=6), rng.normal(size=(6, 3))
    log_scp = jax.nn.log_softmax(jnp.asarray(scp))

    def prediction(length):
        mask = pooling.valid_snippets(length, 6)
        more = length - 6
        log_sap = pooling.log_attention(jnp.pad(jnp.asarray(logits), (0, more)), mask)
        return pooling.log_video_prediction(
            log_sap, jnp.pad(log_scp, [(0, more), (0, 0)])
        )

    np.testing.assert_allclose(prediction(6), prediction(10), rtol=1e-6)


def test_smoothing_by_hand():
    # Five snippets of a video of four: windows lose what is outside of it.
    values = jnp.array([[3.0, 0.0], [0, 0], [6, 1], [0, 0], [100, 100]])
    found = pooling.smoothed(values, width=3, length=4)
    expected = [[1.5, 0], [3, 1 / 3], [2, 1 / 3], [3, 0.5], [0, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    same = pooling.smoothed(values, width=1, length=5)
    np.testing.assert_array_equal(same, values)
