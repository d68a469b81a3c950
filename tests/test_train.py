import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cleannet_jax import checkpoint, config, errors, experiment, methods, train
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import pipeline
from cleannet_jax.models import head, untrimmednet

NAMES = [name for name in methods.TABLE_2 if name not in ("untrimmednet", "plain")]

STREAMS = streams_lib.Streams(("rgb", "flow"), (1, 1))


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def assert_same(first, second):
    for one, other in zip(leaves(first), leaves(second), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def dataset(feature_folder, tiny_config):
    return experiment.open_dataset(tiny_config, str(feature_folder))


def batch_of(dataset, length=64):
    ids = dataset.train_ids
    batches = pipeline.training_pipeline(
        dataset, seed=0, buckets=(length,), max_labels=2
    )
    assert len(ids) == 10
    return next(batches)


def cleannet_state(tiny_config, dataset):
    """Stage 2 from heads that are not zero."""
    stage = train.Stage("cleannet", tiny_config, dataset.streams)
    params = untrimmednet.create_params(jax.random.key(0), dataset.streams, 3)
    keys = jax.random.split(jax.random.key(1), 2)
    fused = head.fuse_streams(
        [
            jax.tree.map(lambda x, k=key: x + jax.random.normal(k, x.shape), params[s])
            for s, key in zip(dataset.streams.names, keys, strict=True)
        ]
    )
    generator = train.create_generator_params(jax.random.key(2), 10, tiny_config)
    params = {"head": fused, "generator": generator}
    return stage, train.create_train_state(stage, params)


@pytest.mark.parametrize("name", NAMES)
def test_every_trained_variant_takes_a_step(name, tiny_config, dataset):
    made = methods.apply(tiny_config, name)
    stage, state = cleannet_state(made, dataset)
    before = jax.tree.map(np.array, state.params)
    state, metrics = train.train_step(state, batch_of(dataset), stage)
    assert state.step == 1
    assert np.isfinite(metrics["loss"]) and metrics["positives"] > 0
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, state.params)
    # The evaluator is the teacher: without C5 the head stays as it is (R13).
    assert any(jax.tree.leaves(moved["head"])) == made.joint
    assert any(jax.tree.leaves(moved["generator"]))


def test_regression_does_not_reach_the_head(tiny_config, dataset):
    made = methods.apply(tiny_config, "t")
    stage, state = cleannet_state(made, dataset)
    batch = batch_of(dataset)
    gradient = jax.grad(
        lambda params: train.cleannet_loss(stage, params, batch, jax.random.key(0))[0]
    )(state.params)
    for leaf in jax.tree.leaves(gradient["head"]):
        np.testing.assert_array_equal(leaf, 0)


def test_padding_changes_no_loss(tiny_config, dataset):
    # TSN sampling draws a time for every snippet, padding included: without it.
    made = methods.apply(tiny_config, "j")
    stage, state = cleannet_state(made, dataset)
    losses = [
        train.cleannet_loss(
            stage, state.params, batch_of(dataset, length), jax.random.key(0)
        )[1]
        for length in (64, 128)
    ]
    for name, value in losses[0].items():
        np.testing.assert_allclose(value, losses[1][name], rtol=1e-4, err_msg=name)


def test_head_loss_by_hand(tiny_config, dataset):
    # Heads of zero predict every category alike: ln 3 for each stream.
    params = untrimmednet.create_params(jax.random.key(0), dataset.streams, 3)
    loss, _ = untrimmednet.soft_loss(params, batch_of(dataset), None, dataset.streams)
    np.testing.assert_allclose(loss, 2 * np.log(3), rtol=1e-5)


def test_learning_rate_falls_in_steps():
    # The paper: 1e-4, divided by 10 after every 200 batches.
    made = config.Config(learning_rate=1e-4, decay_steps=200, decay_rate=0.1)
    optimizer = train.optimizer(train.Stage("cleannet", made, STREAMS))
    state = optimizer.init(jnp.zeros(1))
    steps = []
    for _ in range(401):
        update, state = optimizer.update(jnp.ones(1), state)
        steps.append(-float(update[0]))
    np.testing.assert_allclose(
        [steps[0], steps[199], steps[200], steps[400]], [1e-4, 1e-4, 1e-5, 1e-6]
    )


def test_a_bounded_gradient_is_of_the_generator_alone():
    made = methods.apply(config.Config(learning_rate=1.0, gradient_norm=2.0), "full")
    gradient = {"generator": jnp.array([3.0, 4.0]), "head": jnp.array([30.0])}
    small = {"generator": jnp.array([0.3, 0.4]), "head": jnp.array([30.0])}

    def step(config, gradient):
        optimizer = train.optimizer(train.Stage("cleannet", config, STREAMS))
        return optimizer.update(gradient, optimizer.init(gradient))[0]

    assert_same(step(made, gradient), jax.tree.map(jnp.negative, gradient))
    bounded = methods.apply(made, "full_clipped")
    found = step(bounded, gradient)
    np.testing.assert_allclose(found["generator"], [-1.2, -1.6], rtol=1e-6)
    np.testing.assert_array_equal(found["head"], [-30.0])
    # One that is small enough stays as it is.
    assert_same(step(bounded, small), step(made, small))


@pytest.mark.parametrize("name", ["t", "full"])
def test_a_bound_that_is_never_reached_changes_nothing(name, tiny_config, dataset):
    trained = []
    for own, norm in ((name, 1.0), (f"{name}_clipped", 1e9)):
        made = methods.apply(tiny_config, own)
        made = dataclasses.replace(made, gradient_norm=norm)
        stage, state = cleannet_state(made, dataset)
        for _ in range(3):
            state, metrics = train.train_step(state, batch_of(dataset), stage)
            assert metrics["gradient_norm"] > 0
        trained.append(state.params)
    assert_same(*trained)


def test_one_video_moves_proposals_by_no_more_than_the_bound(tiny_config, dataset):
    made = methods.apply(tiny_config, "t_clipped")
    made = dataclasses.replace(made, gradient_norm=1e-3, learning_rate=1.0)
    stage, state = cleannet_state(made, dataset)
    before = jax.tree.map(np.array, state.params["generator"])
    state, metrics = train.train_step(state, batch_of(dataset), stage)
    assert metrics["gradient_norm"] > 1e-3
    moved = jax.tree.map(lambda a, b: a - b, before, state.params["generator"])
    norm = np.sqrt(sum(np.sum(leaf**2) for leaf in leaves(moved)))
    np.testing.assert_allclose(norm, 1e-3, rtol=1e-3)


def test_the_loop_copies_nothing_unasked(tiny_config, dataset, tmp_path, monkeypatch):
    # Of a device that is not the host every such copy would wait for it. On a CPU JAX
    # only notices those to the device.
    short = dataclasses.replace(tiny_config, steps=4, log_every=2)
    stage, state = cleannet_state(short, dataset)
    taken, step = [], train.train_step
    with contextlib.ExitStack() as stack:

        def guarded(*arguments):
            if not taken:
                stack.enter_context(jax.transfer_guard("disallow"))
            taken.append(arguments)
            return step(*arguments)

        monkeypatch.setattr(train, "train_step", guarded)
        train.train_stage(stage, state.params, dataset, tmp_path)
    assert len(taken) == 4


def test_stopping_anywhere_gives_the_same_parameters(tiny_config, dataset, tmp_path):
    whole = train.train(tiny_config, dataset, tmp_path / "whole")
    real_step = train.train_step
    taken = 0

    def stop_after_three(state, batch, stage):
        nonlocal taken
        taken += 1
        if taken % 3 == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return real_step(state, batch, stage)

    for _ in range(10):
        try:
            train.train_step = stop_after_three
            parts = train.train(tiny_config, dataset, tmp_path / "parts")
            break
        except errors.Interrupted as stop:
            assert stop.signal_number == signal.SIGTERM
        finally:
            train.train_step = real_step
    assert taken == tiny_config.head_steps + tiny_config.steps
    assert_same(whole, parts)
    lines = [
        (tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "parts")
    ]
    assert lines[0] == lines[1]


COMMAND = """
import pathlib
from cleannet_jax import config, experiment
made = config.Config(**{fields!r})
experiment.train_and_evaluate(made, "full", {data!r}, pathlib.Path({folder!r}))
"""


def test_killed_run_goes_on_to_the_same_parameters(
    tiny_config, feature_folder, tmp_path
):
    made = dataclasses.replace(tiny_config, steps=60, checkpoint_every=5)
    # The three processes compile the same programs. Before 0.10 what came out of the
    # cache could be wrong.
    cache = {}
    if jax.__version_info__ >= (0, 10):
        cache = {
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }

    def start(folder):
        code = COMMAND.format(
            fields=dataclasses.asdict(made),
            data=str(feature_folder),
            folder=str(folder),
        )
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stderr=subprocess.DEVNULL,
            env=os.environ | cache,
        )

    killed = tmp_path / "killed"
    process = start(killed)
    metrics = killed / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.exists() and '"step": 21,' in metrics.read_text():
            process.kill()
            break
        time.sleep(0.01)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert start(killed).wait() == 0
    assert start(tmp_path / "whole").wait() == 0
    for name in ("config.json", "results/full.json", "predictions/full.json"):
        first, second = (
            (folder / name).read_text() for folder in (killed, tmp_path / "whole")
        )
        assert first.replace(str(killed), "") == second.replace(
            str(tmp_path / "whole"), ""
        )
    assert metrics.read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()


def test_loss_that_is_not_finite_stops_the_run(tiny_config, dataset, tmp_path):
    made = dataclasses.replace(tiny_config, head_learning_rate=1e38)
    with pytest.raises(errors.InputError, match=r"stage head: .* between steps \d"):
        train.train(made, dataset, tmp_path)


@pytest.mark.parametrize("noticed", ["before", "while writing"])
def test_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch, noticed):
    manager = checkpoint.open_manager(tmp_path / "c")
    state = {"x": jnp.arange(3.0)}
    checkpoint.save(manager, 1, state, {"next": 1})

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        if noticed == "before":
            usage = shutil.disk_usage(tmp_path)._replace(free=100)
            patched.setattr(shutil, "disk_usage", lambda path: usage)
        else:
            patched.setattr(manager, "save", full)
        with pytest.raises(errors.InputError, match="could not be written") as caught:
            checkpoint.save(manager, 2, state, {"next": 2})
    reason = "100 bytes free" if noticed == "before" else "No space left"
    assert reason in str(caught.value)
    assert "the last whole one is of step 1" in str(caught.value)
    restored = checkpoint.restore_latest(manager, state)
    assert restored.step == 1 and restored.pipeline == {"next": 1}
    np.testing.assert_array_equal(restored.state["x"], [0, 1, 2])


def test_checkpoint_of_another_config_is_refused(tmp_path):
    manager = checkpoint.open_manager(tmp_path / "c")
    checkpoint.save(manager, 1, {"x": jnp.zeros(3)}, {})
    for other in ({"x": jnp.zeros(4)}, {"y": jnp.zeros(3)}):
        with pytest.raises(errors.InputError, match="not a checkpoint of this config"):
            checkpoint.restore_latest(manager, other)


def test_training_reads_labels_only(tiny_config, feature_folder, tmp_path):
    def trained(name):
        data = experiment.open_dataset(tiny_config, str(feature_folder))
        return train.train(tiny_config, data, tmp_path / name)

    strong = trained("strong")
    path = feature_folder / "annotations.json"
    content = json.loads(path.read_text())
    for video in content["database"].values():
        if video["subset"] == "training":
            names = sorted({entry["label"] for entry in video["annotations"]})
            video["annotations"] = [
                {"segment": [0, video["duration"]], "label": name} for name in names
            ]
    path.write_text(json.dumps(content))
    assert_same(strong, trained("weak"))


def test_no_key_is_used_twice(tiny_config):
    # One split: with keys made by adding to seeds, the first steps would draw what the
    # parameters were made from, and stage 2 of seed 0 what stage 1 of another seed did.
    used = []
    for seed in (0, 500):
        keys = train.create_keys(seed)
        used += [keys.classifier, keys.generator]
        for key in (keys.head, keys.cleannet):
            used += [jax.random.fold_in(key, step) for step in range(3)]
    data = {tuple(jax.random.key_data(key).tolist()) for key in used}
    assert len(data) == len(used)


def test_what_a_trace_never_reads_compiles_nothing_anew(
    tiny_config, feature_folder, dataset, tmp_path
):
    made = methods.apply(tiny_config, "full")
    train.train(made, dataset, tmp_path / "first")
    before = train._train_step._cache_size()
    other = dataclasses.replace(
        made, seed=9, tious=(0.1,), log_every=1, checkpoint_every=3, steps=4
    )
    train.train(other, dataset, tmp_path / "second")
    assert train._train_step._cache_size() == before
    # What it reads does.
    another = dataclasses.replace(made, margin=1.5)
    train.train(another, dataset, tmp_path / "third")
    assert train._train_step._cache_size() > before


def test_a_field_that_is_not_traced_cannot_be_read(tiny_config):
    stage = train.Stage("cleannet", tiny_config, STREAMS).traced
    assert stage.config.margin == tiny_config.margin
    with pytest.raises(AttributeError, match="seed is not among the traced fields"):
        _ = stage.config.seed
