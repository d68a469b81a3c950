"""What a run does as functions of arrays alone, with what they take and return.

The evaluator, from an SCP and proposals to scores; and the localizer, from features to
detections, or from an SCP where the run reads its SCPs from files. Of a run that
thresholds, which is no function of fixed shapes, it is the classifier alone.

Parameters are arguments rather than constants: all programs share one copy, on the disk
and on the device, and the programs stay as small as their code.

Times are in snippets. T is the number of snippets with padding, N of categories, P of
proposals, D of feature columns, and K of places for detections.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cleannet_jax import config as config_lib
from cleannet_jax import errors, methods
from cleannet_jax import run as run_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.localizers import detection, recipes, table
from cleannet_jax.models import predictions as predictions_lib
from cleannet_jax.ops import contrast


class Value(NamedTuple):
    """An argument or a result of a program.

    Attributes:
      name: of it.
      shape: a number or a letter for each axis.
      dtype: of its numbers.
      text: what it is, with its unit.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    text: str


class Program(NamedTuple):
    """A function of arrays.

    Attributes:
      name: "evaluator", "localizer" or "classifier".
      function: from its arguments, in order, to a dict of arrays.
      inputs: what it takes, after the parameters where there are any.
      outputs: what it returns.
      parameters: shapes of the parameters, by name; None for a program without.
      samples: a snippet, where recipes interpolate.
    """

    name: str
    function: Callable[..., dict[str, jax.Array]]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    parameters: dict[str, jax.ShapeDtypeStruct] | None = None
    samples: int = 1


def of_run(run: run_lib.Run) -> list[Program]:
    """The programs of a run.

    Raises:
      InputError: its recipe counts in seconds, and the run does not know how many
        snippets a second has.
    """
    found = [evaluator(len(run.categories))]
    thresholds = table.of(run.config).kind == "threshold"
    if not thresholds:
        found.append(localizer(run))
    elif run.config.classifier != methods.SCORES:
        found.append(classifier(run))
    return found


_LENGTH = Value(
    "length", (), "int32", "number of snippets of the video; padding follows"
)


def evaluator(num_categories: int) -> Program:
    """`ops.contrast.evaluate_proposals` as a program."""

    def function(scp, proposals, length):
        return contrast.evaluate_proposals(scp, proposals, length=length)._asdict()

    texts = {
        "action": "Eq. 9",
        "starting": "Eq. 10",
        "ending": "Eq. 11",
        "contrast": "Eq. 12, the score of a proposal",
        "outer_inner": "AutoLoc's",
    }
    return Program(
        "evaluator",
        function,
        (
            _scp(num_categories),
            Value("proposals", ("P", 2), "float32", "start and end in snippets"),
            _LENGTH,
        ),
        tuple(
            Value(
                name,
                (num_categories, "P"),
                "float32",
                f"{texts[name]}; -inf where end <= start",
            )
            for name in contrast.ProposalScores._fields
        ),
    )


def _scp(num_categories: int) -> Value:
    shape = ("T", num_categories)
    return Value("scp", shape, "float32", "snippet-level classification prediction")


def _predictions(num_categories: int) -> tuple[Value, ...]:
    """What a classifier says, as arguments or results."""
    return (
        _scp(num_categories),
        Value("attention", ("T",), "float32", "weights of snippets, sum 1"),
        Value("video_scores", (num_categories,), "float32", "video-level prediction"),
    )


def _features(run: run_lib.Run) -> Value:
    what = f"columns of {run.streams}, as on the disk, zeros from length on"
    return Value("features", ("T", run.streams.width), "float32", what)


def classifier(run: run_lib.Run) -> Program:
    """The classifier of a run as a program."""
    unflattened = functools.partial(_unflattened, run.params)

    def function(parameters, features, length):
        return _as_dict(_classified(run, unflattened(parameters), features, length))

    return Program(
        "classifier",
        function,
        (_features(run), _LENGTH),
        _predictions(len(run.categories)),
        _shapes(run.params),
    )


def localizer(run: run_lib.Run) -> Program:
    """The localizer of a run as a program: from features, or from an SCP."""
    config, num_categories = run.config, len(run.categories)
    unflattened = functools.partial(_unflattened, run.params)
    detect = functools.partial(
        _detected,
        config=config,
        most=methods.most_categories(config, num_categories),
        second=_second(run),
    )
    samples = recipes.RECIPES[config.recipe].scale if config.recipe else 1
    made = functools.partial(Program, "localizer", samples=samples)
    own, detections = _predictions(num_categories), _detections(config, num_categories)
    if config.classifier != methods.SCORES:

        def of_features(parameters, features, length):
            params = unflattened(parameters)
            found = _classified(run, params, features, length)
            scaled = _scaled(run, features)
            generator = params.get("generator")
            return _as_dict(found) | detect(generator, scaled, found, length)

        inputs: tuple[Value, ...] = (_features(run), _LENGTH)
        return made(of_features, inputs, detections + own, _shapes(run.params))
    if config.train_generator:

        def of_both(parameters, features, scp, attention, video_scores, length):
            found = _given(scp, attention, video_scores)
            generator = unflattened(parameters)["generator"]
            return detect(generator, _scaled(run, features), found, length)

        inputs = (_features(run), *own, _LENGTH)
        return made(of_both, inputs, detections, _shapes(run.params))

    def of_scp(scp, attention, video_scores, length):
        # Of the features anchors read the length alone.
        return detect(None, scp, _given(scp, attention, video_scores), length)

    return made(of_scp, (*own, _LENGTH), detections)


def _detections(config: config_lib.Config, num_categories: int) -> tuple[Value, ...]:
    """The results of a localizer."""
    most = methods.most_categories(config, num_categories)
    places = most * config.max_detections
    return (
        Value("segments", (places, 2), "float32", "start and end in snippets"),
        Value("scores", (places,), "float32", "falling; -inf in unused places"),
        Value("categories", (places,), "int32", "indices; -1 in unused places"),
        Value("valid", (places,), "bool", "false in unused places, which come last"),
    )


def _second(run: run_lib.Run) -> float:
    """A second in snippets, which the traps of some recipes read."""
    config, timebase = run.config, run.timebase
    if timebase and timebase.fps:
        return timebase.fps / timebase.stride
    if config.traps and recipes.RECIPES[config.recipe].in_seconds:
        raise errors.InputError(
            f"{run.folder}: fps: found none that all training videos have, expected one:"
            f" with traps the recipe {config.recipe!r} counts in seconds"
        )
    return recipes.SECOND


def _scaled(run: run_lib.Run, features: jax.Array) -> jax.Array:
    """Features [T, D] as training has seen them."""
    scales = run.config.feature_scales
    if not scales:
        return features
    return features * dataset_lib.factors_of(run.streams, scales)


def _classified(
    run: run_lib.Run, params: Any, features: jax.Array, length: jax.Array
) -> predictions_lib.SnippetPredictions:
    """What the classifier of a run says of features [T, D]."""
    predict = methods.classifier(run.config).predict
    return predict(params["head"], _scaled(run, features), length, run.streams)


def _given(
    scp: jax.Array, attention: jax.Array, video_scores: jax.Array
) -> predictions_lib.SnippetPredictions:
    """Predictions of which localizers read no activations."""
    return predictions_lib.SnippetPredictions(scp, attention, video_scores, scp)


def _as_dict(found: predictions_lib.SnippetPredictions) -> dict[str, jax.Array]:
    return {
        "scp": found.scp,
        "attention": found.sap,
        "video_scores": found.video,
    }


def _detected(
    generator: Any,
    features: jax.Array,
    found: predictions_lib.SnippetPredictions,
    length: jax.Array,
    *,
    config: config_lib.Config,
    most: int,
    second: float,
) -> dict[str, jax.Array]:
    """The detections of all categories, by falling score."""
    categories, kept = detection.detect(
        generator,
        features,
        found,
        length,
        config,
        most=most,
        second=second,
        weighed=methods.is_weighed(config),
    )
    scores = kept.scores.reshape(-1)
    order = jnp.argsort(scores, descending=True, stable=True)
    scores = scores[order]
    valid = scores > -jnp.inf
    category = jnp.repeat(categories, kept.scores.shape[1])[order]
    return {
        "segments": kept.segments.reshape(-1, 2)[order],
        "scores": scores,
        "categories": jnp.where(valid, category, -1).astype(jnp.int32),
        "valid": valid,
    }


def named_parameters(params: Any) -> list[tuple[str, Any]]:
    """The arrays of a tree of dicts with their paths, as model.npz names them."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return [("/".join(key.key for key in path), leaf) for path, leaf in leaves]


def _shapes(params: Any) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a tree's arrays, by their paths."""
    return {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for name, leaf in named_parameters(params)
    }


def _unflattened(like: Any, parameters: dict[str, jax.Array]) -> Any:
    """Named parameters as the tree that they were."""
    leaves = [parameters[name] for name, _ in named_parameters(like)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
