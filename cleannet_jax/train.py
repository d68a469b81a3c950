"""Training: state, losses, the jitted step, and the loop in the order things happen.

A run trains in two stages (R8). Stage "head" trains a single-stream head on each
stream and fuses them by Eqs. 4 and 5; stage "cleannet" trains the generator under the
evaluator, and with C5 the fused head with it. Times are in snippets.
"""

import functools
import math
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from cleannet_jax import checkpoint, errors, logs
from cleannet_jax import config as config_lib
from cleannet_jax.data import features as features_lib
from cleannet_jax.data import heads, pipeline
from cleannet_jax.models import cleannet, head
from cleannet_jax.ops import losses, pooling, segments

Params = Any
Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
Loss = Callable[[Params, Batch, jax.Array], tuple[jax.Array, Metrics]]


class TrainState(NamedTuple):
    """What a step takes and returns; its buffers are donated."""

    step: jax.Array  # number of batches taken
    params: Params
    opt_state: optax.OptState
    key: jax.Array  # [2] uint32, the key of the stage


class Stage(NamedTuple):
    """One of the two stages of a run; hashable, so that it can be static under jit."""

    name: str
    config: config_lib.Config
    stream_widths: tuple[int, int]

    @property
    def steps(self) -> int:
        """Batches to take."""
        return self.config.head_steps if self.name == "head" else self.config.steps

    @property
    def first_step(self) -> int:
        """Batches of the stages before it, for steps that count through the run."""
        return 0 if self.name == "head" else self.config.head_steps


def optimizer(stage: Stage) -> optax.GradientTransformation:
    """SGD; in stage 2 the learning rate falls by `decay_rate` every `decay_steps`."""
    config = stage.config
    if stage.name == "head":
        return optax.sgd(config.head_learning_rate, momentum=config.head_momentum)
    rate = optax.exponential_decay(
        config.learning_rate, config.decay_steps, config.decay_rate, staircase=True
    )
    return optax.sgd(rate, momentum=config.momentum)


def create_head_params(key: jax.Array, widths: tuple[int, int], num: int) -> Params:
    """Parameters of the two single-stream heads, {"rgb", "flow"}."""
    network = head.StreamHead(num)
    keys = jax.random.split(key)
    return {
        stream: network.init(stream_key, jnp.zeros((1, width)))["params"]
        for stream, stream_key, width in zip(head.STREAMS, keys, widths, strict=True)
    }


def create_generator_params(
    key: jax.Array, width: int, config: config_lib.Config
) -> Params:
    """Parameters of an untrained generator for features of `width` columns."""
    shortest = jnp.zeros((1, width)), jnp.ones((1,), bool)
    return cleannet.generator(config).init(key, *shortest)["params"]


def create_train_state(stage: Stage, params: Params) -> TrainState:
    """The state before the first step of a stage."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        # Copied, because the step donates its state and the caller keeps `params`.
        params=jax.tree.map(jnp.array, params),
        opt_state=optimizer(stage).init(params),
        key=jax.random.key_data(jax.random.key(stage.config.seed + stage.first_step)),
    )


def classification_loss(
    logits: head.HeadLogits, labels: jax.Array, mask: jax.Array
) -> jax.Array:
    """L_cls of one video over the snippets of a mask (R7), a scalar."""
    log_sap = pooling.log_attention(logits.sap, mask)
    prediction = pooling.log_video_prediction(log_sap, jax.nn.log_softmax(logits.scp))
    return jnp.sum(losses.classification_loss(prediction, labels))


def head_loss(stage: Stage, params: Params, batch: Batch) -> tuple[jax.Array, Metrics]:
    """The loss of both single-stream heads, each trained alone (R8)."""
    mask = pooling.valid_snippets(len(batch["features"]), batch["length"])
    streams = jnp.split(batch["features"], stage.stream_widths[:1], axis=1)
    network = head.StreamHead(len(batch["labels"]))
    terms = {
        stream: classification_loss(
            network.apply({"params": params[stream]}, features), batch["labels"], mask
        )
        for stream, features in zip(head.STREAMS, streams, strict=True)
    }
    return sum(terms.values()), terms


def cleannet_loss(
    stage: Stage, params: Params, batch: Batch, key: jax.Array
) -> tuple[jax.Array, Metrics]:
    """L_reg of one video (Eq. 13), and with C5 its L_cls on covered snippets.

    The evaluator is the teacher: neither SCP nor SAP gets a gradient from L_reg (R13).
    """
    config, length = stage.config, batch["length"]
    network = head.ClassificationHead(len(batch["labels"]))
    logits = network.apply({"params": params["head"]}, batch["features"])
    teacher = jax.lax.stop_gradient(cleannet.predict(logits, length))
    proposals = cleannet.generate_proposals(
        params["generator"], batch["features"], length, config, key=key
    )
    # Only the video's own categories; unused places of the list read category 0.
    labelled = batch["label_indices"] >= 0
    scp = teacher.scp[:, jnp.maximum(batch["label_indices"], 0)]  # [T, L]
    flat = proposals.reshape(-1, 2)
    scores = cleannet.evaluate(scp, flat, length, config)  # [L, P]
    kept = jax.vmap(
        lambda psi: cleannet.anchors_of_interest(psi, teacher.sap, length, config),
        in_axes=1,
    )(scp)
    kept = jnp.repeat(kept & labelled[:, None], proposals.shape[1], axis=1)
    positive = kept & (scores > config.positive_score)
    margin = losses.margin_loss(scores, margin=config.margin)
    regression = losses.masked_mean(margin, positive)
    metrics = {"regression": regression, "positives": jnp.sum(positive)}
    if not config.joint:
        return regression, metrics
    mask = pooling.valid_snippets(len(batch["features"]), length)
    covered = mask & segments.covered_snippets(
        jax.lax.stop_gradient(flat), jnp.any(positive, axis=0), num_snippets=len(mask)
    )
    relevant = jnp.where(jnp.any(covered), covered, mask)  # R14
    metrics["classification"] = classification_loss(logits, batch["labels"], relevant)
    return regression + metrics["classification"], metrics


@functools.partial(jax.jit, static_argnames="stage", donate_argnames="state")
def train_step(
    state: TrainState, batch: Batch, stage: Stage
) -> tuple[TrainState, Metrics]:
    """Takes one step of SGD on one padded video.

    Args:
      state: donated.
      batch: an example of `pipeline.training_pipeline`.
      stage: which loss, optimiser and hyperparameters.

    Returns:
      The next state, and the scalar metrics of this step: "loss" and its parts.
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    if stage.name == "head":
        loss_of = functools.partial(head_loss, stage, batch=batch)
    else:
        loss_of = functools.partial(cleannet_loss, stage, batch=batch, key=key)
    (loss, metrics), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimizer(stage).update(gradient, state.opt_state)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, opt_state, state.key), {
        "loss": loss,
        **metrics,
    }


def train_stage(
    stage: Stage, params: Params, dataset: features_lib.Dataset, run: pathlib.Path
) -> Params:
    """Trains one stage to its end, from where an earlier run of it has stopped.

    Args:
      stage: what to train and how.
      params: the parameters to start from.
      dataset: its training videos are used.
      run: folder of the run.

    Returns:
      The trained parameters.

    Raises:
      InputError: a loss is not finite, or a checkpoint cannot be read or written.
      Interrupted: SIGINT or SIGTERM came; everything is saved.
    """
    # Resuming, in this order:
    # 1. The state and the pipeline position of the latest checkpoint, if there is one.
    # 2. The metrics up to there; later lines are written again.
    manager = checkpoint.open_manager(run / "checkpoints" / stage.name)
    batches = _batches(stage.config, dataset)
    state = create_train_state(stage, params)
    restored = checkpoint.restore_latest(manager, state)
    if restored:
        state = jax.device_put(restored.state)
        batches.set_state(restored.pipeline)
    done = restored.step if restored else 0
    if done == stage.steps:
        checkpoint.save(manager, done, state, batches.get_state())
        manager.close()
        return state.params
    log = logs.MetricsLog(run, first_step=stage.first_step + done + 1)
    bar = logs.progress_bar(f"stage {stage.name}", total=stage.steps, done=done)
    with logs.stop_requests() as stop, bar:
        checked = done
        for step in range(done + 1, stage.steps + 1):
            state, metrics = train_step(state, next(batches), stage)
            bar.update()
            stopping = bool(stop)
            due = step == stage.steps or step % stage.config.checkpoint_every == 0
            logged = due or step % stage.config.log_every == 0
            if logged or stopping:
                values = {name: float(value) for name, value in metrics.items()}
                _check_finite(values, f"{run}: stage {stage.name}", checked, step)
                checked = step
            # A stop leaves no line of its own: the log does not show where it was.
            if logged:
                bar.set_postfix(loss=f"{values['loss']:.3f}")
                log.write(stage.first_step + step, stage.name, values)
            if due or stopping:
                checkpoint.save(manager, step, state, batches.get_state())
            if stopping:
                break
    log.close()
    manager.close()
    if stopping:
        raise logs.Interrupted(
            stop[0],
            f"stopped after step {step} of {stage.steps} of stage {stage.name}; the "
            "same command goes on from there",
        )
    return state.params


def _batches(config: config_lib.Config, dataset: features_lib.Dataset) -> Any:
    """The pipeline of training examples, padded to a few lengths."""
    videos = [dataset.videos[video_id] for video_id in dataset.train_ids]
    return pipeline.training_pipeline(
        dataset,
        seed=config.seed,
        buckets=pipeline.buckets_for(
            [video.length for video in videos], count=config.num_buckets
        ),
        max_labels=max((len(video.labels) for video in videos), default=1),
    )


def _check_finite(
    values: dict[str, float], place: str, checked: int, step: int
) -> None:
    """Raises if a metric is NaN or infinite."""
    wrong = [name for name, value in values.items() if not math.isfinite(value)]
    if wrong:
        raise errors.InputError(
            f"{place}: {wrong[0]} is {values[wrong[0]]} between steps {checked} and "
            f"{step}; the last checkpoint is from before. A lower learning rate helps."
        )


def train(
    config: config_lib.Config, dataset: features_lib.Dataset, run: pathlib.Path
) -> tuple[Params, Params]:
    """Trains both stages of a run.

    Args:
      config: of the variant; stage 2 is left out where it trains nothing (no C1).
      dataset: to train on.
      run: folder of the run.

    Returns:
      Parameters after stage 1, {"head"}, and after stage 2, {"head", "generator"}.
    """
    keys = jax.random.split(jax.random.key(config.seed))
    widths = dataset.stream_widths
    if config.heads:
        head_params = heads.read(
            config.heads, categories=dataset.categories, stream_widths=widths
        )
    else:
        head_params = create_head_params(keys[0], widths, len(dataset.categories))
    stage = Stage("head", config, widths)
    streams = train_stage(stage, head_params, dataset, run)
    fused = {"head": head.fuse_streams(streams["rgb"], streams["flow"])}
    if not config.train_generator:
        return fused, fused
    generator = create_generator_params(keys[1], sum(widths), config)
    stage = Stage("cleannet", config, widths)
    trained = train_stage(stage, fused | {"generator": generator}, dataset, run)
    return fused, trained
