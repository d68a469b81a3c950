import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax import errors, streams
from cleannet_jax.data import recovered_heads
from cleannet_jax.models import head


def make_outputs(width, categories, lengths, *, seed=0):
    """Heads of two streams at random, and what they make of random features."""
    generator = np.random.default_rng(seed)
    truth = {
        name: {
            "kernel": generator.normal(0, 0.5, (2, width, columns)),
            "bias": generator.normal(0, 0.5, (2, 1, columns)),
        }
        for name, columns in (("classification", categories), ("attention", 1))
    }
    outputs = []
    for length in lengths:
        features = generator.gamma(1.0, 1.0, (2, length, width)).astype(np.float32)
        values = {
            name: features.astype(np.float64) @ layer["kernel"] + layer["bias"]
            for name, layer in truth.items()
        }
        scores = np.exp(values["classification"])
        probabilities = scores / scores.sum(axis=2, keepdims=True)
        outputs.append(
            recovered_heads.Outputs(
                features, probabilities, values["attention"][:, :, 0]
            )
        )
    return truth, outputs


def test_heads_are_recovered_up_to_what_no_softmax_sees():
    truth, outputs = make_outputs(6, 4, [30, 50, 20])
    found = recovered_heads.recover(outputs, categories="abcd")
    assert (found.snippets, found.left_out) == (100, 0)
    assert max(found.class_errors + found.attention_errors) < 1e-6
    for index, stream in enumerate(("rgb", "flow")):
        params = found.params[stream]
        for name, part in (("kernel", slice(None)), ("bias", 0)):
            weights = truth["classification"][name][index][part]
            centred = weights - weights.mean(axis=-1, keepdims=True)
            np.testing.assert_allclose(
                params["classification"][name], centred, atol=1e-5
            )
            attention = truth["attention"][name][index][part]
            np.testing.assert_allclose(params["attention"][name], attention, atol=1e-5)


def test_recovered_heads_fuse_to_the_mean_of_both_streams():
    _, outputs = make_outputs(6, 4, [40])
    params = recovered_heads.recover(outputs, categories="abcd").params
    fused = head.fuse_streams([params["rgb"], params["flow"]])
    joint = np.concatenate(list(outputs[0].features), axis=1)
    logits = head.ClassificationHead(4, 2).apply({"params": fused}, jnp.asarray(joint))
    # Eqs. 4 and 5: logits are means, of which softmax sees differences.
    mean = np.log(outputs[0].probabilities).mean(axis=0)
    np.testing.assert_allclose(
        logits.scp - logits.scp[:, :1], mean - mean[:, :1], atol=1e-4
    )
    np.testing.assert_allclose(logits.sap, outputs[0].attention.mean(axis=0), atol=1e-4)


def test_probabilities_without_digits_are_left_out():
    _, outputs = make_outputs(6, 4, [30, 30])
    outputs[1].probabilities[0, :10, 2] = 0
    found = recovered_heads.recover(outputs, categories="abcd")
    assert (found.snippets, found.left_out) == (50, 10)
    assert max(found.class_errors) < 1e-6


def test_reading_stops_when_there_are_enough_snippets():
    _, outputs = make_outputs(6, 4, [30, 30, 30])
    found = recovered_heads.recover(iter(outputs), categories="abcd", max_snippets=40)
    assert found.snippets == 60


@pytest.mark.parametrize("lengths", [[], [6]])
def test_too_few_snippets_are_said_so(lengths):
    _, outputs = make_outputs(6, 4, lengths)
    with pytest.raises(errors.InputError, match=f"found {sum(lengths)} of"):
        recovered_heads.recover(outputs, categories="abcd")


def test_heads_are_written_and_read_in_another_order(tmp_path):
    _, outputs = make_outputs(6, 4, [30])
    found = recovered_heads.recover(outputs, categories="abcd")
    recovered_heads.write(tmp_path / "heads.npz", found)
    read = recovered_heads.read(
        tmp_path / "heads.npz",
        categories="dcba",
        streams=streams.Streams(("rgb", "flow"), (6, 6)),
    )
    for stream in ("rgb", "flow"):
        for name in ("kernel", "bias"):
            np.testing.assert_array_equal(
                read[stream]["classification"][name],
                found.params[stream]["classification"][name][..., ::-1],
            )
            np.testing.assert_array_equal(
                read[stream]["attention"][name], found.params[stream]["attention"][name]
            )
    path = tmp_path / "heads.npz"
    with pytest.raises(
        errors.InputError, match="found heads of 4 .*'e' is not among them"
    ):
        recovered_heads.read(
            path, categories="abce", streams=streams.Streams(("rgb", "flow"), (6, 6))
        )
    # Heads of other categories are left out.
    some = recovered_heads.read(
        path, categories="ca", streams=streams.Streams(("rgb", "flow"), (6, 6))
    )
    np.testing.assert_array_equal(
        some["rgb"]["classification"]["kernel"],
        found.params["rgb"]["classification"]["kernel"][:, [2, 0]],
    )
    with pytest.raises(errors.InputError, match=r"flow/classification/kernel: found"):
        recovered_heads.read(
            path, categories="abcd", streams=streams.Streams(("rgb", "flow"), (6, 5))
        )
    with pytest.raises(errors.InputError, match="of rgb and flow and pose, those of t"):
        recovered_heads.read(
            path,
            categories="abcd",
            streams=streams.Streams(("rgb", "flow", "pose"), (6, 6, 6)),
        )
    with pytest.raises(errors.InputError, match="nothing.npz: no such file"):
        recovered_heads.read(
            tmp_path / "nothing.npz",
            categories="a",
            streams=streams.Streams(("rgb", "flow"), (6, 6)),
        )
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(errors.InputError, match="heads.npz: not a whole .npz file"):
        recovered_heads.read(
            path, categories="abcd", streams=streams.Streams(("rgb", "flow"), (6, 6))
        )


def test_columns_that_are_never_used_get_no_weight():
    _, outputs = make_outputs(6, 4, [30])
    features = outputs[0].features.copy()
    features[:, :, 2] = 0
    found = recovered_heads.recover(
        [outputs[0]._replace(features=features)], categories="abcd"
    )
    for stream in ("rgb", "flow"):
        kernel = found.params[stream]["classification"]["kernel"]
        np.testing.assert_allclose(kernel[2], 0, atol=1e-6)
        assert np.isfinite(kernel).all()
