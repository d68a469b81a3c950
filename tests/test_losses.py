import jax
import jax.numpy as jnp
import numpy as np

from cleannet_jax.ops import losses


def test_classification_loss_by_hand():
    # Two labels of weight 1/2: -(ln 0.5 + ln 0.25) / 2 = 1.5 ln 2.
    loss = losses.classification_loss(
        jnp.log(jnp.array([0.5, 0.25, 0.25])), jnp.array([1.0, 1.0, 0.0])
    )
    np.testing.assert_allclose(loss.sum(), 1.5 * np.log(2), rtol=1e-6)
    assert loss[2] == 0


def test_a_video_without_labels_has_no_loss():
    loss = losses.classification_loss(jnp.array([-1.0, -2.0]), jnp.zeros(2))
    np.testing.assert_array_equal(loss, 0)


def test_margin_loss_by_hand():
    scores = jnp.array([0.5, 2.0, 2.5])
    np.testing.assert_allclose(losses.margin_loss(scores, margin=2.0), [1.5, 0, 0])


def test_mean_over_a_mask():
    values = jnp.array([1.0, jnp.inf, 5.0])
    assert losses.masked_mean(values, jnp.array([True, False, True])) == 3


def test_no_positives_is_zero_with_zero_gradient():
    def loss(scores):
        margin = losses.margin_loss(scores, margin=2.0)
        return losses.masked_mean(margin, scores > 0.5)

    with jax.debug_nans(True):
        value, gradient = jax.value_and_grad(loss)(jnp.array([0.1, -1.0]))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)
