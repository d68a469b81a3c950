"""Every classifier: its losses by hand and against PyTorch, and what it predicts."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax import config as config_lib
from cleannet_jax import errors, methods
from cleannet_jax import streams as streams_lib
from cleannet_jax.models import hide_and_seek, stpn, untrimmednet, w_talc
from cleannet_jax.ops import pooling

pytestmark = pytest.mark.once

WIDTHS, NUM = (6, 4), 3
STREAMS = streams_lib.Streams(("rgb", "flow"), WIDTHS)


def config_of(name):
    return methods.apply(config_lib.Config(), name)


def perturbed(params, seed=0):
    """Parameters none of which is zero."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    moved = [
        leaf + 0.3 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(tree, moved)


def example(length=20, padded=20, seed=0, labels=(1, 0, 0)):
    features = np.random.default_rng(seed).normal(size=(length, sum(WIDTHS)))
    return {
        "features": jnp.pad(
            jnp.asarray(features, jnp.float32), [(0, padded - length), (0, 0)]
        ),
        "length": jnp.int32(length),
        "labels": jnp.array(labels, jnp.float32),
    }


def batch_for(classifier, padded=24):
    one = example(20, padded, 0)
    if not classifier.takes_pairs:
        return one
    more = [one, example(17, padded, 1), example(9, padded, 2, (0, 1, 1))]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *more)


@pytest.mark.parametrize("name", methods.CLASSIFIERS)
def test_padding_and_its_content_change_nothing(name):
    classifier = methods.classifier(config_of(name))
    params = perturbed(classifier.create_params(jax.random.key(0), STREAMS, NUM))
    key = jax.random.key(1)
    # Dropout draws a number for every snippet, padding included.
    if not classifier.takes_pairs:
        losses = [
            classifier.loss(params, batch_for(classifier, padded), key, STREAMS)[0]
            for padded in (24, 40)
        ]
        np.testing.assert_allclose(*losses, rtol=1e-5)
    finished = classifier.finish(params, STREAMS)
    short, long = (
        classifier.predict(finished, example(20, padded)["features"], 20, STREAMS)
        for padded in (20, 40)
    )
    np.testing.assert_allclose(short.video, long.video, rtol=1e-5)
    for one, other in zip(short, long, strict=True):
        if one.shape[0] == 20:
            np.testing.assert_allclose(one, other[:20], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(jnp.sum(long.sap), 1, rtol=1e-5)
    np.testing.assert_array_equal(long.sap[20:], 0)
    assert short.scp.min() >= 0 and short.scp.max() <= 1


@pytest.mark.parametrize("name", methods.CLASSIFIERS)
def test_gradients_are_finite_from_the_start(name):
    classifier = methods.classifier(config_of(name))
    params = classifier.create_params(jax.random.key(0), STREAMS, NUM)
    with jax.debug_nans(True):
        gradient = jax.jit(
            jax.grad(
                lambda p: classifier.loss(
                    p, batch_for(classifier), jax.random.key(0), STREAMS
                )[0]
            )
        )(params)
    assert any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


# Multiple-instance pooling.


def test_top_mean_by_hand():
    # Of 9 snippets the largest ⌈9 / 8⌉ = 2 count; what is masked out does not.
    values = jnp.array([[1.0, 9], [2, 8], [3, 7], [4, 6], [5, 5], [6, 4], [7, 3]] * 2)
    mask = jnp.arange(14) < 9
    np.testing.assert_allclose(pooling.top_mean(values, mask), [6.5, 9.0])
    np.testing.assert_allclose(pooling.top_mean(values, mask & False), [0, 0])


def test_uniform_attention():
    mask = jnp.array([True, True, False, True])
    third = 1 / 3
    np.testing.assert_allclose(
        pooling.uniform_attention(mask), [third, third, 0, third], rtol=1e-6
    )


# UntrimmedNet, hard selection.


def test_hard_selection_by_hand():
    # Features are the logits: eight snippets, so that the largest of each category
    # counts: 2 and 1 and 0 of the RGB stream; the flow stream has zeros, ln 3.
    features = jnp.zeros((8, 5)).at[3, 0].set(2.0).at[5, 1].set(1.0)
    eye, none = jnp.eye(3), jnp.zeros(3)
    attention = {"kernel": jnp.zeros((3, 1)), "bias": jnp.zeros(1)}
    flow = {"kernel": jnp.zeros((2, 1)), "bias": jnp.zeros(1)}
    params = {
        "rgb": {
            "classification": {"kernel": eye, "bias": none},
            "attention": attention,
        },
        "flow": {
            "classification": {"kernel": jnp.zeros((2, 3)), "bias": none},
            "attention": flow,
        },
    }
    batch = {"features": features, "length": 8, "labels": jnp.array([0.0, 1, 1])}
    both = streams_lib.Streams(("rgb", "flow"), (3, 2))
    _, terms = untrimmednet.hard_loss(params, batch, None, both)
    total = np.log(np.exp(2) + np.exp(1) + 1)
    np.testing.assert_allclose(terms["rgb"], total - 0.5, rtol=1e-6)
    np.testing.assert_allclose(terms["flow"], np.log(3), rtol=1e-6)
    # Of both streams: logits of the fused head are halves.
    found = untrimmednet.predict_hard(
        untrimmednet.fuse(params, both), features, 8, both
    )
    expected = np.exp([1, 0.5, 0]) / np.exp([1, 0.5, 0]).sum()
    np.testing.assert_allclose(found.video, expected, rtol=1e-6)
    np.testing.assert_allclose(found.sap, np.full(8, 1 / 8), rtol=1e-6)


@pytest.mark.parametrize("widths", [(10,), (5, 3, 2)])
@pytest.mark.parametrize("name", methods.CLASSIFIERS)
def test_any_number_of_streams(name, widths):
    names = tuple("abc"[: len(widths)])
    streams = streams_lib.Streams(names, widths)
    classifier = methods.classifier(config_of(name))
    params = perturbed(classifier.create_params(jax.random.key(0), streams, NUM))
    batch = batch_for(classifier)
    loss, parts = classifier.loss(params, batch, jax.random.key(1), streams)
    assert np.isfinite([float(loss), *map(float, parts.values())]).all()
    found = classifier.predict(
        classifier.finish(params, streams), example()["features"], 20, streams
    )
    assert found.scp.shape == (20, NUM) and np.isfinite(found.scp).all()
    np.testing.assert_allclose(jnp.sum(found.sap), 1, rtol=1e-5)


def test_logits_are_the_mean_over_the_streams_that_there_are():
    rng = np.random.default_rng(0)
    streams = streams_lib.Streams(("a", "b", "c"), (5, 3, 2))
    params = perturbed(untrimmednet.create_params(jax.random.key(0), streams, NUM))
    features = rng.normal(size=(20, 10)).astype(np.float32)
    logits = np.mean(
        [
            part @ params[name]["classification"]["kernel"]
            + params[name]["classification"]["bias"]
            for name, part in streams.split(features).items()
        ],
        axis=0,
    )
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    head = untrimmednet.fuse(params, streams)
    found = untrimmednet.predict_soft(head, features, 20, streams)
    np.testing.assert_allclose(found.scp, expected, rtol=1e-5)


# Hide-and-Seek.


def test_parts_are_hidden_whole_and_half_of_them():
    # 40 snippets are 20 parts of two.
    keys = jax.random.split(jax.random.key(0), 400)
    seen = jax.vmap(lambda key: hide_and_seek.seen_snippets(key, 50, 40))(keys)
    assert not seen[:, 40:].any()
    parts = seen[:, :40].reshape(-1, 20, 2)
    np.testing.assert_array_equal(parts[..., 0], parts[..., 1])
    np.testing.assert_allclose(parts.mean(), 0.5, atol=0.02)


@pytest.mark.parametrize("length", [1, 3, 19, 21, 50])
def test_something_is_always_seen(length):
    keys = jax.random.split(jax.random.key(1), 200)
    seen = jax.vmap(lambda key: hide_and_seek.seen_snippets(key, 50, length))(keys)
    assert seen.any(axis=1).all() and not seen[:, length:].any()
    if length > 1:
        assert (seen.sum(axis=1) < length).any()


def test_a_hidden_peak_does_not_count():
    params = perturbed(hide_and_seek.create_params(jax.random.key(0), STREAMS, NUM))
    batch = example(20)
    key = jax.random.key(3)
    seen = np.asarray(hide_and_seek.seen_snippets(key, 20, 20))
    loss, _ = hide_and_seek.loss(params, batch, key, STREAMS)
    layers = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    hidden = np.asarray(batch["features"], np.float64)[seen]
    for name in ("first", "second"):
        hidden = hidden @ layers[name]["kernel"] + layers[name]["bias"]
        hidden = np.maximum(hidden, 0)
    last = layers["classification"]
    logits = hidden.max(axis=0) @ last["kernel"] + last["bias"]
    expected = np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[0]
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-4)


# STPN.


def numpy_stpn(params, features, labels):
    """The paper's loss with both sums divided by T, in float64."""
    total = 0.0
    columns = np.split(np.asarray(features, np.float64), [WIDTHS[0]], axis=1)
    for stream, x in zip(("rgb", "flow"), columns, strict=True):
        layers = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params[stream])

        def affine(values, name, layers=layers):
            return values @ layers[name]["kernel"] + layers[name]["bias"]

        hidden = np.maximum(affine(x, "attention_hidden"), 0)
        weights = 1 / (1 + np.exp(-affine(hidden, "attention")[:, 0]))
        pooled = weights @ x / len(x)
        probability = 1 / (1 + np.exp(-affine(pooled, "classification")))
        terms = labels * np.log(probability) + (1 - labels) * np.log(1 - probability)
        total += -terms.mean() + stpn.SPARSITY * weights.mean()
    return total


def test_stpn_loss_against_float64():
    params = perturbed(stpn.create_params(jax.random.key(0), STREAMS, NUM))
    batch = example(20, 28, labels=(1, 0, 1))
    expected = numpy_stpn(params, batch["features"][:20], np.array([1.0, 0, 1]))
    np.testing.assert_allclose(
        stpn.loss(params, batch, None, STREAMS)[0], expected, rtol=1e-5
    )


def test_stpn_weighs_its_map_by_attention():
    # Attention ½ everywhere and no activation: λ σ(0) = ¼.
    params = jax.tree.map(
        jnp.zeros_like, stpn.create_params(jax.random.key(0), STREAMS, NUM)
    )
    found = stpn.predict(params, jnp.ones((5, 10)), 4, STREAMS)
    np.testing.assert_allclose(found.scp, np.full((5, 3), 0.25))
    np.testing.assert_allclose(found.sap, [0.25] * 4 + [0])
    np.testing.assert_allclose(found.video, [0.5] * 3)


# W-TALC.


def test_co_activity_loss_by_hand():
    # Two videos of category 0, two snippets each. Activations so far apart that the
    # softmax is 1 and 0: h is the first snippet's vector and l the second's.
    activations = jnp.zeros((2, 2, 1)).at[:, 0].set(100.0)
    masks = jnp.ones((2, 2), bool)
    labels = jnp.ones((2, 1))
    first = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    # The same high features, opposite lows: d(h, h) = 0, d(h, l) = 1; both hinges are
    # max(0, 0 − 1 + ½) = 0.
    same = w_talc.co_activity_loss(
        jnp.stack([first, first]), activations, labels, masks
    )
    np.testing.assert_allclose(same, 0, atol=1e-6)
    # Highs of the one are lows of the other: d(h, h) = 1 and d(h, l) = 0, so 1 + ½.
    swapped = jnp.stack([first, first[::-1]])
    other = w_talc.co_activity_loss(swapped, activations, labels, masks)
    np.testing.assert_allclose(other, 1.5, rtol=1e-5)
    # A video has no pair with itself.
    alone = w_talc.co_activity_loss(
        swapped, activations, jnp.array([[1.0], [0.0]]), masks
    )
    assert alone == 0


@pytest.mark.parametrize("labels_of_each", [1, 6], ids=["few pairs", "many pairs"])
def test_co_activity_loss_of_many_categories_against_numpy(labels_of_each):
    # Of more categories than videos those with a pair are taken apart, if they are few.
    rng = np.random.default_rng(labels_of_each)
    videos, snippets, width, categories = 4, 9, 5, 12
    hidden = rng.normal(size=(videos, snippets, width))
    activations = rng.normal(size=(videos, snippets, categories))
    labels = np.zeros((videos, categories))
    labels[:, :labels_of_each] = 1
    labels[0, -1] = 1
    lengths = [9, 4, 7, 9]
    masks = np.arange(snippets) < np.array(lengths)[:, None]

    def distance(a, b):
        return 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    def regions(video, category):
        x, a = hidden[video, : lengths[video]], activations[video, : lengths[video]]
        weights = np.exp(a[:, category]) / np.exp(a[:, category]).sum()
        return weights @ x, (1 - weights) @ x / (lengths[video] - 1)

    means = []
    for category in range(labels_of_each):
        pairs = []
        for m, n in itertools.combinations(range(videos), 2):
            (high_m, low_m), (high_n, low_n) = (
                regions(m, category),
                regions(n, category),
            )
            same = distance(high_m, high_n) + 0.5
            pairs.append(max(0, same - distance(high_m, low_n)) / 2)
            pairs[-1] += max(0, same - distance(low_m, high_n)) / 2
        means.append(np.mean(pairs))
    arrays = (jnp.asarray(x, jnp.float32) for x in (hidden, activations, labels))
    found = w_talc.co_activity_loss(*arrays, jnp.asarray(masks))
    np.testing.assert_allclose(found, np.mean(means), rtol=1e-5)


def test_instance_loss_by_hand():
    # Of eight snippets the largest counts, also with two labels.
    activations = jnp.zeros((8, 3)).at[2, 0].set(1.0).at[6, 1].set(3.0)
    loss = w_talc.instance_loss(activations, jnp.array([1.0, 1, 0]), jnp.ones(8, bool))
    total = np.log(np.exp(1) + np.exp(3) + 1)
    np.testing.assert_allclose(loss, total - (1 + 3) / 2, rtol=1e-6)


def random_activities(seed=0, lengths=(12, 9, 16, 5)):
    rng = np.random.default_rng(seed)
    size, longest = len(lengths), max(lengths)
    hidden = rng.random((size, longest, 7)).astype(np.float32)
    activations = rng.normal(size=(size, longest, NUM)).astype(np.float32)
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 1]], np.float32)
    masks = np.arange(longest) < np.array(lengths)[:, None]
    return hidden, activations, labels, masks


def test_w_talc_losses_against_torch():
    torch = pytest.importorskip("torch")
    hidden, activations, labels, masks = random_activities()
    x, a, y = map(torch.tensor, (hidden, activations, labels))
    lengths = masks.sum(axis=1)

    instance = torch.zeros(())
    for i, length in enumerate(lengths):
        k = -(-int(length) // 8)
        score = a[i, :length].topk(k, dim=0).values.mean(dim=0)
        log_p = torch.log_softmax(score, dim=0)
        instance = instance - (y[i] / y[i].sum() * log_p).sum()
    found = jnp.mean(jax.vmap(w_talc.instance_loss)(activations, labels, masks))
    np.testing.assert_allclose(found, instance / len(lengths), rtol=1e-5)

    def distance(u, v):
        return 1 - torch.nn.functional.cosine_similarity(u, v, dim=0)

    by_category = []
    for j in range(NUM):
        members = [i for i in range(len(lengths)) if labels[i, j]]
        high, low = {}, {}
        for i in members:
            weight = torch.softmax(a[i, : lengths[i], j], dim=0)
            high[i] = x[i, : lengths[i]].T @ weight
            low[i] = x[i, : lengths[i]].T @ (1 - weight) / (int(lengths[i]) - 1)
        pairs = [(m, n) for m in members for n in members if m < n]
        terms = []
        for m, n in pairs:
            near = distance(high[m], high[n])
            for far in (distance(high[m], low[n]), distance(low[m], high[n])):
                terms.append(torch.relu(near - far + 0.5) / 2)
        if pairs:
            by_category.append(sum(terms) / len(pairs))
    expected = sum(by_category) / len(by_category)
    found = w_talc.co_activity_loss(hidden, activations, labels, masks)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_stpn_loss_against_torch():
    torch = pytest.importorskip("torch")
    params = perturbed(stpn.create_params(jax.random.key(0), STREAMS, NUM), seed=4)
    batch = example(20, labels=(0, 1, 1))
    total = torch.zeros(())
    columns = torch.tensor(np.asarray(batch["features"])).split(WIDTHS, dim=1)
    for stream, x in zip(("rgb", "flow"), columns, strict=True):
        layers = jax.tree.map(
            lambda leaf: torch.tensor(np.asarray(leaf)), params[stream]
        )

        def affine(values, name, layers=layers):
            return values @ layers[name]["kernel"] + layers[name]["bias"]

        hidden = torch.relu(affine(x, "attention_hidden"))
        weights = torch.sigmoid(affine(hidden, "attention"))
        logits = affine((weights * x).mean(dim=0), "classification")
        total = total + torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.tensor([0.0, 1, 1])
        )
        total = total + stpn.SPARSITY * weights.mean()
    np.testing.assert_allclose(
        stpn.loss(params, batch, None, STREAMS)[0], total, rtol=1e-5
    )


def test_dropout_is_for_training_only():
    params = perturbed(w_talc.create_params(jax.random.key(0), STREAMS, NUM))
    batch = batch_for(methods.classifier(config_of("w_talc")))
    first, second = (
        w_talc.loss(params, batch, jax.random.key(k), STREAMS)[0] for k in (0, 1)
    )
    assert first != second
    one, other = (
        w_talc.predict(params, batch["features"][0], 20, STREAMS) for _ in range(2)
    )
    np.testing.assert_array_equal(one.scp, other.scp)


# Names of methods.


def test_every_method_has_a_classifier_and_a_localizer():
    assert methods.parts("full") == ("untrimmednet", "full")
    assert methods.parts("w_talc") == ("w_talc", "threshold")
    assert methods.parts("w_talc+plain") == ("w_talc", "plain")
    assert methods.parts("scores") == ("scores", "threshold")
    simple, autoloc = config_of("simple"), config_of("autoloc")
    differing = {
        field.name
        for field in dataclasses.fields(simple)
        if getattr(simple, field.name) != getattr(autoloc, field.name)
    }
    assert differing == {"evaluator", "positive_score"}


def test_any_way_to_localize_by_proposals_can_be_smoothed():
    assert methods.parts("w_talc+t_smoothed") == ("w_talc", "t_smoothed")
    smooth, paper = config_of("plain_smoothed"), config_of("plain")
    assert smooth.smooth and dataclasses.replace(smooth, smooth=False) == paper
    for name in ("untrimmednet_smoothed", "full_smooth", "gated_anchors_smoothed"):
        with pytest.raises(errors.InputError, match="method: found"):
            config_of(name)


def test_any_generator_can_have_its_gradient_bounded():
    assert methods.parts("w_talc+t_clipped") == ("w_talc", "t_clipped")
    for paper in ("t", "full", "autoloc", "full_smoothed", "w_talc+t"):
        before, made = config_of(paper), config_of(f"{paper}_clipped")
        assert made.clip_gradient and not before.clip_gradient
        assert dataclasses.replace(made, clip_gradient=False) == before
        for own in (before, made):
            methods.check(own)
        assert methods.name_of(made) == f"{paper}_clipped"
        assert methods.name_of(before) == paper
    for name in ("plain_clipped", "threshold_clipped", "w_talc_clipped", "clipped"):
        with pytest.raises(errors.InputError, match="method: found"):
            config_of(name)
    plain = dataclasses.replace(config_of("plain"), clip_gradient=True)
    assert methods.name_of(plain) == "custom"
    with pytest.raises(errors.InputError, match="clip_gradient: found true"):
        methods.check(plain)
