"""Training: state, losses, the jitted step, and the loop in the order things happen.

A run trains in two stages (R8). Stage "head" trains the classifier; of UntrimmedNet
that is a head on each stream, and Eqs. 4 and 5 fuse them. Stage "cleannet" trains the
generator under the evaluator, and with C5 the fused head with it. Times are in
snippets.

A batch of n videos has the mean of n losses of one video each, whose random keys depend
on the step and on the place in the batch alone. The videos are shared out among the
devices of all processes, and XLA's collectives average the gradients, so that a run
does not depend on the number of devices beyond rounding.

What is compiled depends on the fields in `_TRACED` and on shapes, so that runs that
differ in anything else, such as the seed, share their programs.
"""

import functools
import math
import pathlib
from typing import Any, NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cleannet_jax import checkpoint, collapse, distributed, errors, logs, methods
from cleannet_jax import config as config_lib
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import pipeline, recovered_heads
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.localizers import proposals as proposals_lib
from cleannet_jax.localizers import scoring, table
from cleannet_jax.models import head, untrimmednet
from cleannet_jax.ops import losses, pooling, segments

Params = Any
Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]

# The axis of the mesh of devices that the videos of a batch are shared out over.
_VIDEOS = "videos"

# What each stage's step reads of a config.
_TRACED = {
    "head": (
        "classifier",
        "head_learning_rate",
        "head_momentum",
        "hide_and_seek_learning_rate",
        "stpn_learning_rate",
        "w_talc_learning_rate",
        "co2_net_learning_rate",
    ),
    "cleannet": (
        "classifier",
        *table.FIELDS,
        "learning_rate",
        "momentum",
        "decay_steps",
        "decay_rate",
        "gradient_norm",
        "margin",
        "positive_score",
    ),
}


class Keys(NamedTuple):
    """The random keys of a run, one for each use of randomness."""

    classifier: jax.Array  # initial parameters of the classifier
    generator: jax.Array  # initial parameters of the generator
    head: jax.Array  # steps of stage 1
    cleannet: jax.Array  # steps of stage 2


def create_keys(seed: int) -> Keys:
    """The random keys of a run with this seed."""
    return Keys(*jax.random.split(jax.random.key(seed), len(Keys._fields)))


class TrainState(NamedTuple):
    """What a step takes and returns; its buffers are donated."""

    step: jax.Array  # number of batches taken
    params: Params
    opt_state: optax.OptState
    key: jax.Array  # [2] uint32, the key of the stage


class Stage(NamedTuple):
    """One of the two stages of a run; hashable, so that it can be static under jit."""

    name: str
    config: config_lib.Settings
    streams: streams_lib.Streams

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
        if config.classifier == methods.SCORES:
            return 0
        adam = methods.classifier(config).uses_adam
        return config.adam_steps if adam else config.head_steps

    @property
    def takes_pairs(self) -> bool:
        """Whether the loss is of a batch of videos, not the mean over them."""
        return self.name == "head" and methods.classifier(self.config).takes_pairs

    @property
    def batch_size(self) -> int:
        """Videos in a batch."""
        config = self.config
        return config.w_talc_videos if self.takes_pairs else config.batch_size

    @property
    def traced(self) -> "Stage":
        """The stage with that part of its config that a step reads."""
        return self._replace(config=config_lib.part(self.config, _TRACED[self.name]))


def optimizer(stage: Stage) -> optax.GradientTransformation:
    """SGD; in stage 2 the learning rate falls by `decay_rate` every `decay_steps`.

    Classifiers whose papers train them by Adam are trained by Adam. To bound the norm
    of the generator's gradient is not in the paper: a video with few positives can
    otherwise move the proposals of all videos out of them, for good.
    """
    config = stage.config
    if stage.name == "head":
        if methods.classifier(config).uses_adam:
            return optax.adam(getattr(config, f"{config.classifier}_learning_rate"))
        return optax.sgd(config.head_learning_rate, momentum=config.head_momentum)
    rate = optax.exponential_decay(
        config.learning_rate, config.decay_steps, config.decay_rate, staircase=True
    )
    sgd = optax.sgd(rate, momentum=config.momentum)
    if not config.clip_gradient:
        return sgd
    # The head's, under C5, is of another loss.
    clip = optax.masked(
        optax.clip_by_global_norm(config.gradient_norm),
        lambda tree: {name: name == "generator" for name in tree},
    )
    return optax.chain(clip, sgd)


def create_classifier_params(
    key: jax.Array,
    streams: streams_lib.Streams,
    num_categories: int,
    config: config_lib.Config,
) -> Params:
    """Parameters of an untrained classifier, those of stage 1."""
    create = methods.classifier(config).create_params
    return jax.jit(create, static_argnums=(1, 2))(key, streams, num_categories)


def create_generator_params(
    key: jax.Array, width: int, config: config_lib.Config
) -> Params:
    """Parameters of an untrained generator for features of `width` columns."""
    shortest = jnp.zeros((1, width)), jnp.ones((1,), bool)
    return jax.jit(proposals_lib.generator(config).init)(key, *shortest)["params"]


def create_train_state(stage: Stage, params: Params) -> TrainState:
    """The state before the first step of a stage."""
    key = getattr(create_keys(stage.config.seed), stage.name)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        # Copied, because the step donates its state and the caller keeps `params`.
        params=jax.tree.map(jnp.array, params),
        opt_state=optimizer(stage).init(params),
        key=jax.random.key_data(key),
    )


def cleannet_loss(
    stage: Stage, params: Params, batch: Batch, key: jax.Array
) -> tuple[jax.Array, Metrics]:
    """L_reg of one video (Eq. 13), and with C5 its L_cls on covered snippets.

    The evaluator is the teacher: neither SCP nor SAP gets a gradient from L_reg (R13).
    A batch may bring both with it, as they do not change without C5.
    """
    config, length = stage.config, batch["length"]
    localizer = table.of(config)
    scp, sap = _teacher(stage, params, batch)
    proposals = localizer.propose(
        params["generator"], batch["features"], length, config, key=key
    )
    # Only the video's own categories; unused places of the list read category 0.
    labelled = batch["label_indices"] >= 0
    scp = scp[:, jnp.maximum(batch["label_indices"], 0)]  # [T, L]
    scp = scoring.conditioned(scp, length, config)
    flat = proposals.reshape(-1, 2)
    scores = scoring.score(localizer.scores, scp, flat, length)  # [L, P]
    kept = jax.vmap(
        lambda psi: scoring.anchors_of_interest(psi, sap, length, config),
        in_axes=1,
    )(scp)
    kept = jnp.repeat(kept & labelled[:, None], proposals.shape[1], axis=1)
    positive = kept & (scores > config.positive_score)
    margin = losses.margin_loss(scores, margin=config.margin)
    regression = losses.masked_mean(margin, positive)
    metrics = {"regression": regression, "positives": jnp.sum(positive)}
    if not localizer.fine_tunes:
        return regression, metrics
    mask = pooling.valid_snippets(len(batch["features"]), length)
    covered = mask & segments.covered_snippets(
        jax.lax.stop_gradient(flat), jnp.any(positive, axis=0), num_snippets=len(mask)
    )
    relevant = jnp.where(jnp.any(covered), covered, mask)  # R14
    network = head.ClassificationHead(len(batch["labels"]), len(stage.streams))
    logits = network.apply({"params": params["head"]}, batch["features"])
    metrics["classification"] = untrimmednet.classification_loss(
        logits, batch["labels"], relevant
    )
    return regression + metrics["classification"], metrics


def _teacher(stage: Stage, params: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """SCP [T, N] and SAP [T] that the evaluator judges proposals by."""
    if "scp" in batch:
        return batch["scp"], batch["sap"]
    predict = methods.classifier(stage.config).predict
    found = predict(params["head"], batch["features"], batch["length"], stage.streams)
    return jax.lax.stop_gradient((found.scp, found.sap))


def train_step(
    state: TrainState, batch: Batch, stage: Stage
) -> tuple[TrainState, Metrics]:
    """Takes one step of the stage's optimiser on one batch, compiled.

    Args:
      state: donated.
      batch: an example of `pipeline.training_pipeline`, one padded video or several;
        or of `pipeline.paired_pipeline` where the classifier takes pairs. Shared out
        over a mesh of devices, or not.
      stage: which loss, optimiser and hyperparameters.

    Returns:
      The next state, and the scalar metrics of this step, "loss" and its parts: of
      several videos the means.
    """
    sharding = getattr(batch["features"], "sharding", None)
    if not isinstance(sharding, NamedSharding):
        return _train_step(state, batch, stage.traced, None)
    mesh = sharding.mesh
    # Set, because in old versions of JAX what is made on the way is of no mesh otherwise.
    is_set = jax.set_mesh(mesh) if hasattr(jax, "set_mesh") else None
    with is_set or jax.sharding.use_mesh(mesh):
        return _train_step(state, batch, stage.traced, mesh)


@functools.partial(jax.jit, static_argnames=("stage", "mesh"), donate_argnames="state")
def _train_step(state, batch, stage, mesh) -> tuple[TrainState, Metrics]:
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    loss_of = functools.partial(_batch_loss, stage, batch=batch, key=key)
    (loss, metrics), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    gradient = _on_all(gradient, mesh)
    if stage.name == "cleannet":
        metrics["gradient_norm"] = _norm(gradient["generator"])
    updates, opt_state = optimizer(stage).update(gradient, state.opt_state)
    params = optax.apply_updates(state.params, updates)
    found = (
        TrainState(state.step + 1, params, opt_state, state.key),
        {
            "loss": loss,
            **metrics,
        },
    )
    return _on_all(found, mesh)


def _batch_loss(
    stage: Stage, params: Params, batch: Batch, key: jax.Array
) -> tuple[jax.Array, Metrics]:
    """The loss of a batch and its parts: of several videos the means."""

    def loss(batch: Batch, key: jax.Array) -> tuple[jax.Array, Metrics]:
        if stage.name == "cleannet":
            return cleannet_loss(stage, params, batch, key)
        own = methods.classifier(stage.config).loss
        return own(params, batch=batch, key=key, streams=stage.streams)

    if stage.takes_pairs or batch["features"].ndim == 2:
        return loss(batch, key)
    places = jnp.arange(len(batch["features"]))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, places)
    return jax.tree.map(jnp.mean, jax.vmap(loss)(batch, keys))


def _on_all(tree: Any, mesh: Mesh | None) -> Any:
    """The arrays of a tree, whole on each device of a mesh if there is one."""
    if mesh is None:
        return tree
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.lax.with_sharding_constraint(tree, whole)


def _norm(tree: Params) -> jax.Array:
    """The ℓ2 norm of all numbers of a tree, a scalar."""
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


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
      run: folder of the run, which process 0 alone writes to.
      saved: SCPs and SAPs that stage 2 reads instead of computing them.

    Returns:
      The trained parameters, on one device of this process.

    Raises:
      InputError: a loss is not finite, or a checkpoint cannot be read or written.
      Interrupted: SIGINT or SIGTERM came, to this process or to another one of the run;
        everything is saved.
    """
    mesh = mesh_of(stage)
    splits = mesh is not None and stage.batch_size % distributed.count() == 0
    # Resuming, in this order:
    # 1. The state and the pipeline position of the latest whole checkpoint, if there is
    #    one. Damaged ones are set aside: their steps are taken, and saved, again.
    # 2. The metrics up to there; later lines are written again.
    manager = None
    if distributed.is_first():
        place = run / "checkpoints" / stage.name
        checkpoint.remove_remains(place)
        manager = checkpoint.open_manager(place)
    batches = _batches(stage, dataset, saved, splits)
    state = create_train_state(stage, params)
    done, state = _restore(manager, state, batches)
    state = placed(state, mesh, PartitionSpec())
    if manager and done < (manager.latest_step() or 0):
        checkpoint.set_aside(manager, after=done)
    expected = {
        stage.first_step + step
        for step in range(1, done + 1)
        if _is_logged(stage, step)
    }
    if done == stage.steps:
        if manager:
            logs.check_metrics(run, stage.name, expected)
            checkpoint.save(manager, done, _own(state), batches.get_state())
            manager.close()
        return _own(state.params)
    log = None
    if manager:
        first_step = stage.first_step + done + 1
        log = logs.MetricsLog(
            run, first_step=first_step, stage=stage.name, expected=expected
        )
    bar = logs.progress_bar(f"stage {stage.name}", total=stage.steps, done=done)
    with logs.stop_requests() as stop, bar:
        checked = last_positive = done
        told = False
        for step in range(done + 1, stage.steps + 1):
            batch = placed(
                next(batches), mesh, PartitionSpec(_VIDEOS if splits else None)
            )
            state, metrics = train_step(state, batch, stage)
            bar.update()
            due = _is_saved(stage, step)
            logged = _is_logged(stage, step)
            stopping = _stop_signal(stop, logged)
            if logged or stopping:
                values = {k: float(v) for k, v in jax.device_get(metrics).items()}
                _check_finite(values, f"{run}: stage {stage.name}", checked, step)
                checked = step
            # A stop leaves no line of its own: the log does not show where it was.
            if logged:
                bar.set_postfix(loss=f"{values['loss']:.3f}")
                if log:
                    log.write(stage.first_step + step, stage.name, values)
                if values.get("positives") != 0:
                    last_positive, told = step, False
                elif not told and collapse.is_long(step - last_positive, stage.config):
                    said = collapse.text(last_positive, step, stage.config)
                    print(f"{run}: {said}", flush=True)
                    told = True
            if due or stopping:
                # On the disk first: a checkpoint speaks of the lines until then.
                if manager and log:
                    log.sync()
                    checkpoint.save(manager, step, _own(state), batches.get_state())
                # Not in the next collective, which would not wait for a slow disk.
                distributed.wait()
            if stopping:
                break
    if manager and log:
        log.close()
        manager.close()
    if stopping:
        distributed.leave_together()
        raise errors.Interrupted(
            stopping,
            f"stopped after step {step} of {stage.steps} of stage {stage.name}; the "
            "same command goes on from there",
        )
    return _own(state.params)


def check_devices(config: config_lib.Config) -> None:
    """Raises an InputError if the processes of this run cannot share its batches."""
    number = distributed.count()
    if config.batch_size % number:
        raise errors.InputError(
            f"batch_size: found {config.batch_size} videos with {number} processes,"
            f" expected a multiple of {number}, so that each has as many"
        )


def mesh_of(stage: Stage) -> Mesh | None:
    """Returns the devices that share the batches of a stage; None for one by itself.

    Of each process as many as divide its part of a batch. A batch of pairs that the
    processes cannot share is computed whole by each of them.
    """
    number = distributed.count()
    by_process: dict[int, list[jax.Device]] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device)
    part = stage.batch_size // number if stage.batch_size % number == 0 else 1
    own = math.gcd(part, *map(len, by_process.values()))
    if number * own == 1:
        return None
    chosen = [device for p in sorted(by_process) for device in by_process[p][:own]]
    return Mesh(np.array(chosen), (_VIDEOS,))


def placed(tree: Any, mesh: Mesh | None, spec: PartitionSpec) -> Any:
    """A tree on the devices of a mesh, or on one device where there is none.

    Args:
      tree: arrays; of what is shared out, the part of this process.
      mesh: as of `mesh_of`.
      spec: how the first axis is shared out; scalars never are.
    """
    if mesh is None:
        return jax.device_put(tree)
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(
            NamedSharding(mesh, spec if np.ndim(leaf) else PartitionSpec()),
            np.asarray(leaf),
        ),
        tree,
    )


def _own(tree: Any) -> Any:
    """Arrays that every device has whole, as arrays of one device of this process."""
    return jax.tree.map(
        lambda leaf: (
            leaf.addressable_data(0)
            if isinstance(leaf.sharding, NamedSharding)
            else leaf
        ),
        tree,
    )


def _restore(
    manager: Any, state: TrainState, batches: grain.DatasetIterator
) -> tuple[int, TrainState]:
    """The step of the latest checkpoint, 0 for none, and the state to go on from.

    Process 0 reads it, and sends it to the others.
    """
    found = checkpoint.restore_latest(manager, state) if manager else None
    if found:
        state = found.state
    step, position = distributed.told(
        lambda: (found.step, found.pipeline) if found else (0, None)
    )
    if step:
        batches.set_state(position)
    leaves, structure = jax.tree.flatten(state)
    values = distributed.told_arrays([np.asarray(leaf) for leaf in leaves])
    return step, jax.device_put(jax.tree.unflatten(structure, values))


def _stop_signal(stop: list[int], logged: bool) -> int:
    """The signal that asks for a stop, 0 for none.

    Several processes agree on it, where they wait for the numbers of a step anyway.
    """
    own = stop[0] if stop else 0
    if distributed.count() == 1:
        return own
    return distributed.highest(own) if logged else 0


def _is_saved(stage: Stage, step: int) -> bool:
    """Whether a checkpoint is due after a step."""
    return step == stage.steps or step % stage.config.checkpoint_every == 0


def _is_logged(stage: Stage, step: int) -> bool:
    """Whether a step has a line in metrics.jsonl."""
    return _is_saved(stage, step) or step % stage.config.log_every == 0


def _batches(
    stage: Stage,
    dataset: dataset_lib.Dataset,
    saved: snippets_lib.SavedPredictions | None,
    splits: bool,
) -> grain.DatasetIterator:
    """The pipeline of training examples, padded to a few lengths; of this process."""
    config = stage.config
    videos = [dataset.videos[video_id] for video_id in dataset.train_ids]
    buckets = pipeline.buckets_for(
        [video.length for video in videos], count=config.num_buckets
    )
    part = {}
    if splits:
        number = distributed.count()
        part = {"process_index": distributed.index(), "process_count": number}
    if stage.takes_pairs:
        return pipeline.paired_pipeline(
            dataset,
            seed=config.seed,
            buckets=buckets,
            num_videos=config.w_talc_videos,
            num_pairs=config.w_talc_pairs,
            max_snippets=config.w_talc_snippets,
            **part,
        )
    return pipeline.training_pipeline(
        dataset,
        seed=config.seed,
        buckets=buckets,
        max_labels=max((len(video.labels) for video in videos), default=1),
        batch_size=config.batch_size,
        **part,
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
    streams, classifier = dataset.streams, methods.classifier(config)
    if config.heads:
        params = recovered_heads.read(
            config.heads, categories=dataset.categories, streams=streams
        )
    else:
        key = create_keys(config.seed).classifier
        number = len(dataset.categories)
        params = create_classifier_params(key, streams, number, config)
    trained = train_stage(Stage("head", config, streams), params, dataset, run)
    return classifier.finish(trained, streams)


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
    streams = dataset.streams
    key = create_keys(config.seed).generator
    generator = create_generator_params(key, streams.width, config)
    params = classified | {"generator": generator}
    stage = Stage("cleannet", config, streams)
    return train_stage(stage, params, dataset, run, saved)
