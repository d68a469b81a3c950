"""CO2-Net against slow float64 loops and against PyTorch: network, losses, gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax import config as config_lib
from cleannet_jax import errors, methods
from cleannet_jax import streams as streams_lib
from cleannet_jax.models import co2_net
from cleannet_jax.ops import pooling

pytestmark = pytest.mark.once

NUM = 3
STREAMS = {
    1: streams_lib.Streams(("pose",), (7,)),
    2: streams_lib.Streams(("rgb", "flow"), (6, 4)),
    3: streams_lib.Streams(("a", "b", "c"), (5, 3, 4)),
}
LENGTHS = (23, 16, 30, 5)
LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 1]], np.float32)
PADDED = 33
TERMS = ("instance", "suppressed_instance", "sparsity", "guide", "mutual")

# Compiled once for all tests of a shape.
create_params = jax.jit(co2_net.create_params, static_argnums=(1, 2))
loss_of = jax.jit(co2_net.loss, static_argnums=3)
predict = jax.jit(co2_net.predict, static_argnums=3)
gradient_of = jax.jit(jax.value_and_grad(co2_net.loss, has_aux=True), static_argnums=3)


@functools.partial(jax.jit, static_argnums=3)
def apply(params, features, mask, streams):
    return co2_net.Network(NUM, streams).apply({"params": params}, features, mask)


def make_params(streams, seed=0):
    """Parameters none of which is zero, the biases neither."""
    create = functools.partial(co2_net.create_params, streams=streams, num=NUM)
    shapes = jax.eval_shape(create, jax.random.key(0))
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: rng.normal(scale=0.3, size=leaf.shape).astype(np.float32), shapes
    )


def make_videos(streams, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, streams.width)).astype(np.float32) for n in LENGTHS]


def make_batch(videos, padded=PADDED, content=0.0):
    features = np.full((len(videos), padded, videos[0].shape[1]), content, np.float32)
    for row, video in zip(features, videos, strict=True):
        row[: len(video)] = video
    lengths = np.array([len(video) for video in videos], np.int32)
    return {"features": features, "length": lengths, "labels": LABELS}


# The published equations, snippet by snippet, in float64.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def convolution(x, layer):
    out = np.zeros((len(x), layer["bias"].shape[0]))
    for t in range(len(x)):
        out[t] = layer["bias"]
        for tap in (-1, 0, 1):
            if 0 <= t + tap < len(x):
                out[t] += x[t + tap] @ layer["kernel"][tap + 1]
    return out


def affine(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def numpy_network(params, video, streams):
    """X, a and each A_m of an unpadded video."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    edges = np.cumsum(streams.widths)[:-1]
    parts = np.split(np.asarray(video, np.float64), edges, axis=1)
    filtered, attentions = [], []
    for m, name in enumerate(streams.names):
        layers = params[f"consensus_{name}"]
        others = [part for n, part in enumerate(parts) if n != m] or [parts[m]]
        whole = leaky(affine(parts[m].mean(axis=0), layers["whole"]))
        local = leaky(convolution(np.concatenate(others, axis=1), layers["local"]))
        filtered.append(sigmoid(whole * local) * parts[m])
        hidden = leaky(convolution(filtered[m], layers["attention0"]))
        hidden = leaky(convolution(hidden, layers["attention1"]))
        attentions.append(sigmoid(affine(hidden, layers["attention2"]))[:, 0])
    hidden = leaky(affine(np.concatenate(filtered, axis=1), params["fusion"]))
    last = leaky(convolution(hidden, params["classification0"]))
    return hidden, affine(last, params["classification1"]), np.array(attentions)


def numpy_instance_loss(activations, labels):
    count = max(len(activations) // 7, 1)
    score = np.sort(activations, axis=0)[-count:].mean(axis=0)
    return -(labels / labels.sum() * np.log(softmax(score, 0))).sum()


def numpy_losses(found, labels):
    """The losses of one video by itself."""
    _, a, attentions = found
    attention = attentions.mean(axis=0)
    lowest = a.min(axis=1, keepdims=True)
    suppressed = attention[:, None] * (a - lowest) + lowest
    background = softmax(a, 1)[:, -1]
    guides = [np.abs(1 - each - background).mean() for each in (attention, *attentions)]
    pairs = [
        ((one - other) ** 2).mean()
        for m, one in enumerate(attentions)
        for n, other in enumerate(attentions)
        if m != n
    ]
    return suppressed, {
        "instance": numpy_instance_loss(a, np.append(labels, 1)),
        "suppressed_instance": numpy_instance_loss(suppressed, np.append(labels, 0)),
        "sparsity": attention.mean(),
        "guide": np.mean(guides),
        "mutual": np.mean(pairs) if pairs else 0.0,
    }


def numpy_co_activity_loss(hidden, suppressed, labels):
    def distance(u, v):
        return 1 - u @ v / np.sqrt(u @ u * (v @ v))

    by_category = []
    for j in range(NUM):
        members = np.flatnonzero(labels[:, j])
        high, low = {}, {}
        for i in members:
            weight = softmax(suppressed[i][:, j], 0)
            high[i] = weight @ hidden[i]
            low[i] = (1 - weight) @ hidden[i] / (len(weight) - 1)
        terms = []
        for m in members:
            for n in members:
                if m < n:
                    near = distance(high[m], high[n])
                    far = distance(high[m], low[n]), distance(low[m], high[n])
                    terms.append(sum(max(near - d + 0.5, 0) / 2 for d in far))
        if terms:
            by_category.append(np.mean(terms))
    return np.mean(by_category)


def numpy_loss(params, videos, streams):
    """All losses of a batch, and their weighted sum."""
    found = [numpy_network(params, video, streams) for video in videos]
    own = [numpy_losses(one, labels) for one, labels in zip(found, LABELS, strict=True)]
    terms = {name: np.mean([losses[name] for _, losses in own]) for name in TERMS}
    terms["co_activity"] = numpy_co_activity_loss(
        [hidden for hidden, _, _ in found], [each for each, _ in own], LABELS
    )
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(params)]
    terms["decay"] = sum((leaf**2).sum() for leaf in leaves) / 2
    weights = {"sparsity": 0.8, "guide": 0.8, "decay": 1e-3}
    return sum(weights.get(name, 1) * term for name, term in terms.items()), terms


@pytest.mark.parametrize("number", STREAMS)
def test_losses_against_float64(number):
    streams = STREAMS[number]
    params, videos = make_params(streams), make_videos(streams)
    expected, terms = numpy_loss(params, videos, streams)
    # Whatever the padding holds.
    batch = make_batch(videos, content=50.0)
    loss, found = loss_of(params, batch, None, streams)
    assert set(found) == set(terms)
    for name, term in terms.items():
        np.testing.assert_allclose(found[name], term, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert (terms["mutual"] == 0) == (number == 1)


@pytest.mark.parametrize("number", STREAMS)
def test_predictions_against_float64(number):
    streams = STREAMS[number]
    params, video = make_params(streams, 3), make_videos(streams)[2]
    _, a, attentions = numpy_network(params, video, streams)
    attention = attentions.mean(axis=0)[:, None]
    top = np.sort(attention * a, axis=0)[-3:].mean(axis=0)  # 30 // 10
    padded = make_batch([video] * 4, content=-9.0)["features"][0]
    found = predict(params, padded, len(video), streams)
    close = {"rtol": 1e-5, "atol": 1e-6}
    scp = attention * softmax(a, 1)[:, :-1]
    np.testing.assert_allclose(found.scp[:30], scp, **close)
    np.testing.assert_allclose(
        found.sap[:30], (attention / attention.sum())[:, 0], **close
    )
    np.testing.assert_array_equal(found.sap[30:], 0)
    np.testing.assert_allclose(found.video, softmax(top, 0)[:-1], **close)
    np.testing.assert_allclose(found.activations[:30], (attention * a)[:, :-1], **close)


def test_padding_changes_no_loss_and_no_gradient():
    streams = STREAMS[2]
    params, videos = make_params(streams), make_videos(streams)

    def gradient(padded, content):
        batch = make_batch(videos, padded, content)
        (loss, _), gradient = gradient_of(params, batch, None, streams)
        return loss, gradient

    tight, wide = gradient(max(LENGTHS), 0.0), gradient(PADDED, 7.0)
    for one, other in zip(jax.tree.leaves(tight), jax.tree.leaves(wide), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("number", [1, 2])
def test_short_videos_have_finite_gradients(number):
    streams = STREAMS[number]
    params = make_params(streams)
    features = jnp.zeros((2, 12, streams.width)).at[1].set(1.0)
    labels = jnp.array([[1.0, 0, 0], [1, 0, 0]])
    for lengths in ((1, 1), (1, 12), (6, 7)):
        batch = {"features": features, "length": jnp.array(lengths), "labels": labels}
        _, gradient = gradient_of(params, batch, jax.random.key(1), streams)
        for leaf in jax.tree.leaves(gradient):
            assert np.isfinite(leaf).all()


def test_a_stream_alone_is_its_own_other():
    # Of a stream given twice under the same weights both halves are what it is alone.
    one, two = STREAMS[1], streams_lib.Streams(("pose", "again"), (7, 7))
    params = make_params(one)
    video = make_videos(one)[0]
    mask = jnp.ones(len(video), bool)
    alone = apply(params, video, mask, one)
    twice = make_params(two)
    twice |= dict.fromkeys(
        ("consensus_pose", "consensus_again"), params["consensus_pose"]
    )
    doubled = jnp.concatenate([video, video], axis=1)
    both = apply(twice, doubled, mask, two)
    for m in range(2):
        np.testing.assert_allclose(
            both.attentions[:, m], alone.attentions[:, 0], rtol=1e-6
        )


def test_suppression_by_hand():
    # Attention ¼ moves 5 a quarter of the way up from the least, 1.
    outputs = co2_net.Outputs(
        jnp.zeros((1, 2)), jnp.array([[5.0, 1.0, 3.0]]), jnp.array([[0.5, 0.0]])
    )
    np.testing.assert_allclose(co2_net.suppressed(outputs), [[2.0, 1.0, 1.5]])
    # ¼ and ½ apart by the background's part, which is e³ / (e⁵ + e + e³).
    part = np.exp(3) / (np.exp(5) + np.exp(1) + np.exp(3))
    found = co2_net.video_losses(outputs, jnp.array([1.0, 0]), jnp.ones(1, bool))
    expected = (0.75 - part + 0.5 - part + 1 - part) / 3
    np.testing.assert_allclose(found["guide"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["sparsity"], 0.25)
    np.testing.assert_allclose(found["mutual"], 0.25)


def test_one_of_seven_snippets_counts_at_least_one():
    # Of 15 the two largest, of 6 the largest, as the published code rounds down.
    activations = jnp.zeros((15, 2)).at[:3, 0].set(jnp.array([4.0, 3.0, 2.0]))
    labels = jnp.array([1.0, 0.0])
    mask = jnp.arange(15) < 15
    loss = co2_net.instance_loss(activations, labels, mask)
    np.testing.assert_allclose(loss, np.log1p(np.exp(-3.5)), rtol=1e-5)
    loss = co2_net.instance_loss(activations, labels, jnp.arange(15) < 6)
    np.testing.assert_allclose(loss, np.log1p(np.exp(-4.0)), rtol=1e-5)
    values = jnp.array([[1.0], [5.0], [3.0]])
    of_three = pooling.top_mean(values, jnp.ones(3, bool), share=2, round_up=False)
    np.testing.assert_allclose(of_three, [5.0])
    of_three = pooling.top_mean(values, jnp.ones(3, bool), share=2)
    np.testing.assert_allclose(of_three, [4.0])


def test_streams_learn_from_each_other_as_they_are():
    # d/dA_m of (A_m − A_n)² alone, not of the term in which A_m is the target.
    attentions = jnp.array([[0.9, 0.4]])
    outputs = co2_net.Outputs(jnp.zeros((1, 2)), jnp.zeros((1, 3)), attentions)

    def mutual(attentions):
        made = outputs._replace(attentions=attentions)
        return co2_net.video_losses(made, jnp.ones(2), jnp.ones(1, bool))["mutual"]

    np.testing.assert_allclose(jax.grad(mutual)(attentions), [[0.5, -0.5]], rtol=1e-6)


def test_initial_weights_are_uniform_and_as_wide_as_published():
    streams = streams_lib.Streams(("rgb", "flow"), (64, 32))
    params = create_params(jax.random.key(0), streams, NUM)
    rgb = params["consensus_rgb"]
    assert rgb["local"]["kernel"].shape == (3, 32, 64)
    assert rgb["attention0"]["kernel"].shape == (3, 64, 32)
    assert params["classification1"]["kernel"].shape == (96, NUM + 1)
    # √(6 / inputs), of three snippets' where the published layer is 3 wide.
    bounds = {
        "local": np.sqrt(6 / 96),
        "whole": np.sqrt(6 / 192),
        "attention0": np.sqrt(6 / 192),
        "attention2": np.sqrt(6 / 32),
    }
    for name, bound in bounds.items():
        largest = np.abs(rgb[name]["kernel"]).max()
        assert 0.8 * bound < largest <= bound * (1 + 1e-6), name
        assert not rgb[name]["bias"].any()


def test_dropout_is_for_training_only():
    streams = STREAMS[2]
    params, batch = make_params(streams), make_batch(make_videos(streams))
    losses = [
        float(loss_of(params, batch, key, streams)[0])
        for key in (jax.random.key(0), jax.random.key(1), None, None)
    ]
    assert len(set(losses)) == 3 and losses[2] == losses[3]


def test_one_category_competes_with_the_background():
    config = methods.apply(config_lib.Config(), "co2_net")
    methods.check_categories(config, ("jump",))
    with pytest.raises(errors.InputError, match="categories: found one"):
        methods.check_categories(
            methods.apply(config_lib.Config(), "w_talc"), ("jump",)
        )


# The same equations in PyTorch, by its own layers and its own gradient.


def torch_network(torch, params, video, streams):
    """X [T, D], a [T, N + 1] and the A_m, each [T], of an unpadded video."""
    functional = torch.nn.functional

    def activation(x):
        return functional.leaky_relu(x, 0.2)

    def convolution(x, layer):
        kernel = layer["kernel"].permute(2, 1, 0)
        return functional.conv1d(x, kernel, layer["bias"], padding=1)

    def pointwise(x, layer):
        kernel = layer["kernel"].T[..., None]
        return functional.conv1d(x, kernel, layer["bias"])

    parts = torch.as_tensor(video).double().T[None].split(streams.widths, dim=1)
    filtered, attentions = [], []
    for m, name in enumerate(streams.names):
        layers = params[f"consensus_{name}"]
        main = parts[m]
        others = [part for n, part in enumerate(parts) if n != m] or [main]
        # The published layer is three wide, over a mean that is one wide.
        middle = layers["whole"]["kernel"]
        whole = {
            "kernel": torch.stack([torch.ones_like(middle), middle, middle * 2]),
            "bias": layers["whole"]["bias"],
        }
        channel = activation(
            convolution(functional.adaptive_avg_pool1d(main, 1), whole)
        )
        spatial = activation(convolution(torch.cat(others, dim=1), layers["local"]))
        filtered.append(torch.sigmoid(spatial * channel) * main)
        hidden = activation(convolution(filtered[m], layers["attention0"]))
        hidden = activation(convolution(hidden, layers["attention1"]))
        attentions.append(torch.sigmoid(pointwise(hidden, layers["attention2"]))[0, 0])
    hidden = activation(pointwise(torch.cat(filtered, dim=1), params["fusion"]))
    last = activation(convolution(hidden, params["classification0"]))
    return hidden[0].T, pointwise(last, params["classification1"])[0].T, attentions


def torch_loss(torch, params, videos, streams):
    functional = torch.nn.functional
    labels = torch.tensor(LABELS).double()
    found = [torch_network(torch, params, video, streams) for video in videos]
    total, suppressed = torch.zeros(()).double(), []
    for (_, a, attentions), y in zip(found, labels, strict=True):
        attention = sum(attentions) / len(attentions)
        lowest = a.min(dim=1, keepdim=True).values
        suppressed.append(attention[:, None] * (a - lowest) + lowest)
        for each, background in ((a, 1.0), (suppressed[-1], 0.0)):
            target = torch.cat([y, torch.tensor([background]).double()])
            count = max(1, len(each) // 7)
            score = each.topk(count, dim=0).values.mean(dim=0)
            total = total - (target / target.sum() * score.log_softmax(0)).sum()
        background = a.softmax(dim=1)[:, -1]
        every = [attention, *attentions]
        total = total + 0.8 * sum(one.mean() for one in every) / len(every)
        total = total + 0.8 * sum(
            (1 - one - background).abs().mean() for one in every
        ) / len(every)
        mutual = [
            functional.mse_loss(one, other.detach())
            for m, one in enumerate(attentions)
            for n, other in enumerate(attentions)
            if m != n
        ]
        if mutual:
            total = total + sum(mutual) / len(mutual)
    total = total / len(videos)

    by_category = []
    for j in range(NUM):
        high, low = {}, {}
        for i in range(len(videos)):
            weight = suppressed[i][:, j].softmax(dim=0)
            high[i] = found[i][0].T @ weight
            low[i] = found[i][0].T @ (1 - weight) / (len(weight) - 1)
        terms = []
        for m in range(len(videos)):
            for n in range(m + 1, len(videos)):
                if labels[m, j] * labels[n, j]:

                    def distance(u, v):
                        return 1 - functional.cosine_similarity(u, v, dim=0)

                    near = distance(high[m], high[n])
                    for far in (distance(high[m], low[n]), distance(high[n], low[m])):
                        terms.append(functional.relu(near - far + 0.5) / 2)
        if terms:
            by_category.append(2 * sum(terms) / len(terms))
    return total + sum(by_category) / len(by_category)


@pytest.mark.parametrize("number", STREAMS)
def test_loss_and_gradient_against_torch(number):
    torch = pytest.importorskip("torch")
    streams = STREAMS[number]
    params, videos = make_params(streams, 5), make_videos(streams, 5)
    theirs = jax.tree.map(
        lambda leaf: torch.tensor(np.asarray(leaf)).double().requires_grad_(), params
    )
    leaves = jax.tree.leaves(theirs)
    optimizer = torch.optim.SGD(leaves, lr=1.0, weight_decay=co2_net.WEIGHT_DECAY)
    before = [leaf.detach().clone() for leaf in leaves]
    expected = torch_loss(torch, theirs, videos, streams)
    expected.backward()
    optimizer.step()  # Moves by the gradient and the decay, which is not in the loss.

    batch = make_batch(videos, content=3.0)
    (loss, terms), gradient = gradient_of(params, batch, None, streams)
    loss -= co2_net.WEIGHT_DECAY * terms["decay"]
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-5)
    for mine, old, new in zip(jax.tree.leaves(gradient), before, leaves, strict=True):
        np.testing.assert_allclose(
            mine, (old - new.detach()).numpy(), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("number", STREAMS)
def test_network_against_torch(number):
    torch = pytest.importorskip("torch")
    streams = STREAMS[number]
    params, videos = make_params(streams, 7), make_videos(streams, 7)
    theirs = jax.tree.map(lambda leaf: torch.tensor(np.asarray(leaf)).double(), params)
    features = make_batch(videos)["features"]
    for video, padded in zip(videos, features, strict=True):
        hidden, a, attentions = torch_network(torch, theirs, video, streams)
        length = len(video)
        mask = pooling.valid_snippets(PADDED, length)
        found = apply(params, padded, mask, streams)
        close = {"rtol": 1e-5, "atol": 1e-5}
        np.testing.assert_allclose(found.hidden[:length], hidden, **close)
        np.testing.assert_allclose(found.activations[:length], a, **close)
        for m, attention in enumerate(attentions):
            np.testing.assert_allclose(found.attentions[:length, m], attention, **close)
