"""Training: state, losses, the jitted step, and the loop in the order things happen.

A run trains in two stages (R8). Stage "head" trains the classifier; of UntrimmedNet
that is a head on each stream, and Eqs. 4 and 5 fuse them. Stage "cleannet" trains the
generator under the evaluator, and with C5 the fused head with it. Times are in
snippets.
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
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import pipeline, recovered_heads
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.models import classifiers, cleannet, head, untrimmednet
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
        return self._head_steps if self.name == "head" else self.config.steps

    @property
    def first_step(self) -> int:
        """Batches of the stages before it, for steps that count through the run."""
        return 0 if self.name == "head" else self._head_steps

    @property
    def _head_steps(self) -> int:
        """Batches of stage 1."""
        config = self.config
        if config.classifier == config_lib.SCORES:
            return 0
        adam = classifiers.classifier(config).uses_adam
        return config.adam_steps if adam else config.head_steps


def optimizer(stage: Stage) -> optax.GradientTransformation:
    """SGD; in stage 2 the learning rate falls by `decay_rate` every `decay_steps`.

    Classifiers whose papers train them by Adam are trained by Adam.
    """
    config = stage.config
    if stage.name == "head":
        if classifiers.classifier(config).uses_adam:
            return optax.adam(getattr(config, f"{config.classifier}_learning_rate"))
        return optax.sgd(config.head_learning_rate, momentum=config.head_momentum)
    rate = optax.exponential_decay(
        config.learning_rate, config.decay_steps, config.decay_rate, staircase=True
    )
    return optax.sgd(rate, momentum=config.momentum)


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


def cleannet_loss(
    stage: Stage, params: Params, batch: Batch, key: jax.Array
) -> tuple[jax.Array, Metrics]:
    """L_reg of one video (Eq. 13), and with C5 its L_cls on covered snippets.

    The evaluator is the teacher: neither SCP nor SAP gets a gradient from L_reg (R13).
    A batch may bring both with it, as they do not change without C5.
    """
    config, length = stage.config, batch["length"]
    scp, sap = _teacher(config, params, batch)
    proposals = cleannet.generate_proposals(
        params["generator"], batch["features"], length, config, key=key
    )
    # Only the video's own categories; unused places of the list read category 0.
    labelled = batch["label_indices"] >= 0
    scp = scp[:, jnp.maximum(batch["label_indices"], 0)]  # [T, L]
    scp = cleannet.conditioned(scp, length, config)
    flat = proposals.reshape(-1, 2)
    scores = cleannet.evaluate(scp, flat, length, config)  # [L, P]
    kept = jax.vmap(
        lambda psi: cleannet.anchors_of_interest(psi, sap, length, config),
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
    network = head.ClassificationHead(len(batch["labels"]))
    logits = network.apply({"params": params["head"]}, batch["features"])
    metrics["classification"] = untrimmednet.classification_loss(
        logits, batch["labels"], relevant
    )
    return regression + metrics["classification"], metrics


def _teacher(
    config: config_lib.Config, params: Params, batch: Batch
) -> tuple[jax.Array, jax.Array]:
    """SCP [T, N] and SAP [T] that the evaluator judges proposals by."""
    if "scp" in batch:
        return batch["scp"], batch["sap"]
    predict = classifiers.classifier(config).predict
    found = predict(params["head"], batch["features"], batch["length"])
    return jax.lax.stop_gradient((found.scp, found.sap))


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
        head_loss = classifiers.classifier(stage.config).loss
        loss_of = functools.partial(head_loss, batch=batch, key=key)
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
    stage: Stage,
    params: Params,
    dataset: dataset_lib.Dataset,
    run: pathlib.Path,
    saved: snippets_lib.SavedPredictions | None = None,
) -> Params:
    """Trains one stage to its end, from where an earlier run of it has stopped.

    Args:
      stage: what to train and how.
      params: the parameters to start from.
      dataset: its training videos are used.
      run: folder of the run.
      saved: SCPs and SAPs that stage 2 reads instead of computing them.

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
    batches = _batches(stage, dataset, saved)
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


def _batches(
    stage: Stage,
    dataset: dataset_lib.Dataset,
    saved: snippets_lib.SavedPredictions | None,
) -> Any:
    """The pipeline of training examples, padded to a few lengths."""
    config = stage.config
    videos = [dataset.videos[video_id] for video_id in dataset.train_ids]
    buckets = pipeline.buckets_for(
        [video.length for video in videos], count=config.num_buckets
    )
    if stage.name == "head" and classifiers.classifier(config).takes_pairs:
        return pipeline.paired_pipeline(dataset, seed=config.seed, buckets=buckets)
    return pipeline.training_pipeline(
        dataset,
        seed=config.seed,
        buckets=buckets,
        max_labels=max((len(video.labels) for video in videos), default=1),
        more=saved.training_arrays if saved and stage.name == "cleannet" else None,
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
    config: config_lib.Config, dataset: dataset_lib.Dataset, run: pathlib.Path
) -> tuple[Params, Params]:
    """Trains both stages of a run.

    Args:
      config: of the variant; stage 2 is left out where it trains nothing (no C1).
      dataset: to train on.
      run: folder of the run.

    Returns:
      Parameters after stage 1, {"head"}, and after stage 2, {"head", "generator"}.
      There is no "head" where SCPs are read from files.
    """
    saved = snippets_lib.open_for(config, dataset)
    classified = {} if saved else {"head": train_classifier(config, dataset, run)}
    return classified, train_generator(config, dataset, run, classified, saved)


def train_classifier(
    config: config_lib.Config, dataset: dataset_lib.Dataset, run: pathlib.Path
) -> Params:
    """Trains stage 1 of a run.

    Returns:
      What the classifier's `predict` takes.
    """
    keys = jax.random.split(jax.random.key(config.seed))
    widths, classifier = dataset.stream_widths, classifiers.classifier(config)
    if config.heads:
        params = recovered_heads.read(
            config.heads, categories=dataset.categories, stream_widths=widths
        )
    else:
        params = classifier.create_params(keys[0], widths, len(dataset.categories))
    stage = Stage("head", config, widths)
    return classifier.finish(train_stage(stage, params, dataset, run))


def train_generator(
    config: config_lib.Config,
    dataset: dataset_lib.Dataset,
    run: pathlib.Path,
    classified: Params,
    saved: snippets_lib.SavedPredictions | None = None,
) -> Params:
    """Trains stage 2 of a run, if its config has it.

    Args:
      config: of the variant.
      dataset: to train on.
      run: folder of the run.
      classified: the parameters after stage 1, {"head"}, or {} with `saved`.
      saved: SCPs and SAPs of the training videos, unless they are to be computed.

    Returns:
      The parameters after stage 2, those of stage 1 among them.
    """
    if not config.train_generator:
        return classified
    keys = jax.random.split(jax.random.key(config.seed))
    widths = dataset.stream_widths
    generator = create_generator_params(keys[1], sum(widths), config)
    params = classified | {"generator": generator}
    return train_stage(Stage("cleannet", config, widths), params, dataset, run, saved)
