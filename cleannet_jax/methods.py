"""The names of methods: a classifier, where an SCP comes from, and a localizer.

Both are independent: any classifier can be followed by the thresholding of its own
paper, by anchors, or by a trained generator. To add a rival is to write its module in
`models/` and a row here.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from cleannet_jax import config as config_lib
from cleannet_jax import errors, streams
from cleannet_jax.localizers import (
    recipes,
    scoring,
    suppression,
    table,
    thresholding,
)
from cleannet_jax.models import (
    co2_net,
    hide_and_seek,
    predictions,
    stpn,
    untrimmednet,
    w_talc,
)

Params = Any
Predictions = predictions.SnippetPredictions


class Classifier(NamedTuple):
    """How snippets are classified, from its training to the localization of its paper.

    Attributes:
      create_params: of stage 1, from a key, the streams and N.
      loss: of a batch in stage 1, from parameters, batch, key and streams; and its parts.
      finish: from the parameters of stage 1, and the streams, to those of `predict`.
      predict: from parameters, features [T, D], length and streams to
        `SnippetPredictions`.
      detect: from those of an unpadded video, and a config, to `Detections`.
      takes_pairs: whether a batch is several videos, some of them pairs with a
        common category, rather than one video.
      uses_adam: whether stage 1 is optimised by Adam, as its paper does, or by SGD.
      is_distribution: whether video-level predictions sum to 1.
      weighs: whether its SCP is one that attention has weighed already.
      localizer: that of its own paper.
    """

    create_params: Callable[[jax.Array, streams.Streams, int], Params]
    loss: Callable[..., tuple[jax.Array, dict[str, jax.Array]]]
    finish: Callable[[Params, streams.Streams], Params]
    predict: Callable[..., Predictions]
    detect: Callable[[Predictions, config_lib.Settings], thresholding.Detections]
    takes_pairs: bool = False
    uses_adam: bool = True
    is_distribution: bool = True
    weighs: bool = False
    localizer: str = "threshold"


def _same(params: Params, streams: streams.Streams) -> Params:
    """The parameters, of a classifier that is trained as it is used."""
    del streams
    return params


CLASSIFIERS: Mapping[str, Classifier] = {
    "untrimmednet": Classifier(
        untrimmednet.create_params,
        untrimmednet.soft_loss,
        untrimmednet.fuse,
        untrimmednet.predict_soft,
        thresholding.attended_snippets,
        uses_adam=False,
    ),
    "untrimmednet_hard": Classifier(
        untrimmednet.create_params,
        untrimmednet.hard_loss,
        untrimmednet.fuse,
        untrimmednet.predict_hard,
        thresholding.attended_snippets,
        uses_adam=False,
    ),
    "hide_and_seek": Classifier(
        hide_and_seek.create_params,
        hide_and_seek.loss,
        _same,
        hide_and_seek.predict,
        thresholding.above_midpoint,
    ),
    "stpn": Classifier(
        stpn.create_params,
        stpn.loss,
        _same,
        stpn.predict,
        thresholding.above_midpoint,
        is_distribution=False,
        weighs=True,
    ),
    "w_talc": Classifier(
        w_talc.create_params,
        w_talc.loss,
        _same,
        w_talc.predict,
        thresholding.peaks_above_midpoint,
        takes_pairs=True,
    ),
    "co2_net": Classifier(
        co2_net.create_params,
        co2_net.loss,
        _same,
        co2_net.predict,
        thresholding.above_midpoint,
        takes_pairs=True,
        # Categories compete with the background too, which has no column.
        is_distribution=False,
        weighs=True,
        localizer="co2_net",
    ),
}
# In the place of a classifier: a folder of SCPs that any model has made.
SCORES = "scores"
_DEFAULT = "untrimmednet"

LOCALIZERS = tuple(table.ROWS)
# Every method that has a name of its own.
METHODS = tuple(
    dict.fromkeys((*CLASSIFIERS, *(name for name in LOCALIZERS if name != "threshold")))
)

# The methods of the paper's tables, and the matrix of what can be combined.
TABLE_2 = (
    "untrimmednet",
    "plain",
    "actioness_only",
    "edgeness_only",
    "simple",
    "t",
    "j",
    "full",
)
TABLE_3 = (
    "untrimmednet",
    "untrimmednet_hard",
    "hide_and_seek",
    "stpn",
    "w_talc",
    "autoloc",
    "simple",
    "full",
)
GROUPS = {
    "table2": TABLE_2,
    "table3": TABLE_3,
    "tables": tuple(dict.fromkeys(TABLE_2 + TABLE_3)),
    "recipes": tuple(
        f"{_DEFAULT}+{name}" if name in CLASSIFIERS else name
        for name in (*recipes.RECIPES, "oic", "threshold_smoothed", "gated_anchors")
    ),
    "matrix": tuple(
        f"{classifier}+{localizer}"
        for classifier in CLASSIFIERS
        for localizer in ("threshold", "outer_inner", "plain", "autoloc", "t")
    ),
}


def parts(method: str) -> tuple[str, str]:
    """The classifier and the localizer of a method.

    Args:
      method: of `METHODS`, or a classifier and a localizer with a plus between them. A
        classifier alone is followed by the localizer of its own paper, a localizer alone
        has the SCP of UntrimmedNet; "co2_net" alone is the classifier. A localizer by
        proposals can end in "_smoothed", and one that trains a generator in "_clipped".

    Raises:
      InputError: there is no such method.
    """
    first, plus, second = method.partition("+")
    own = CLASSIFIERS[first].localizer if first in CLASSIFIERS else "threshold"
    classifier, localizer = first, second if plus else own
    if not plus and first not in (*CLASSIFIERS, SCORES):
        classifier, localizer = _DEFAULT, first
    if classifier not in (*CLASSIFIERS, SCORES) or not table.is_known(localizer):
        raise errors.InputError(
            f"method: found {method!r}, expected one of {', '.join(METHODS)}, or a "
            f"classifier and one of {', '.join(LOCALIZERS)} with + between them, as in "
            "w_talc+plain; for SCPs from files the classifier is `scores`; on a "
            f"smoothed SCP as in plain{table.SMOOTHED}, with bounded gradients as in "
            f"t{table.CLIPPED}"
        )
    return classifier, localizer


def named(text: str) -> tuple[str, ...]:
    """The methods that a command line names, each once.

    Args:
      text: names of methods or of `GROUPS` with commas between them.

    Raises:
      InputError: one is neither.
    """
    methods: list[str] = []
    for name in text.split(","):
        if name not in GROUPS:
            parts(name)
        methods += GROUPS.get(name, [name])
    return tuple(dict.fromkeys(methods))


def apply(config: config_lib.Config, method: str) -> config_lib.Config:
    """The config of a method: a row of Table 2 or 3, or a combination (see `parts`).

    Raises:
      InputError: there is no method of that name.
    """
    classifier, localizer = parts(method)
    return dataclasses.replace(
        config, classifier=classifier, **table.settings(localizer)
    )


def name_of(config: config_lib.Config) -> str:
    """The name of the method that a config describes; "custom" if none has it."""
    choices = [config.classifier]  # Followed by the localizer of its paper.
    for name in table.names(config):
        alone = config.classifier == _DEFAULT and name not in CLASSIFIERS
        choices.append(name if alone else f"{config.classifier}+{name}")
    return next((n for n in choices if apply(config, n) == config), "custom")


def baselines(method: str, own: str | None = None) -> list[str]:
    """What a method is compared with: its classifier's own, and anchors on that SCP.

    Args:
      method: as for `parts`; or "custom", which no name describes.
      own: its classifier; None to tell it from the name, of "custom" there is none.
    """
    if own is None and method == "custom":
        return []
    own = own or parts(method)[0]
    names = [own, "plain" if own == _DEFAULT else f"{own}+plain"]
    return [name for name in names if name != method]


def classifier(config: config_lib.Settings) -> Classifier:
    """The classifier that a config names."""
    return CLASSIFIERS[config.classifier]


def most_categories(config: config_lib.Settings, num_categories: int) -> int:
    """How many categories of a video can be above `min_video_score` at most (R15)."""
    row = CLASSIFIERS.get(config.classifier)
    if row is None or not row.is_distribution:
        return num_categories
    least = config.min_video_score
    if config.recipe:
        least = recipes.RECIPES[config.recipe].min_video_score
    return min(num_categories, max(1, int(1 / least)))


def is_weighed(config: config_lib.Settings) -> bool:
    """Whether attention has weighed the SCP of a config's classifier already."""
    row = CLASSIFIERS.get(config.classifier)
    return row is not None and row.weighs


def detect_by_threshold(
    found: Predictions, config: config_lib.Settings
) -> thresholding.Detections:
    """What the classifier's own paper does, or for SCPs from files what most do.

    Args:
      found: of a video's T snippets without padding, NumPy.
      config: names the classifier and holds thresholds.
    """
    row = CLASSIFIERS.get(config.classifier)
    return (row.detect if row else thresholding.above_midpoint)(found, config)


def check(config: config_lib.Config) -> None:
    """Raises an InputError that names the first field that makes no sense."""
    config_lib.check(config)
    known = (*CLASSIFIERS, SCORES)
    if config.classifier not in known:
        raise errors.InputError(
            f"classifier: found {config.classifier!r}, expected {', '.join(known)}"
        )
    if (config.classifier == SCORES) != bool(config.scores):
        raise errors.InputError(
            f"scores: found {config.scores!r} with the classifier "
            f"{config.classifier!r}, expected a folder with the classifier {SCORES!r} "
            "and none with any other"
        )
    if config.heads and not config.classifier.startswith(_DEFAULT):
        raise errors.InputError(
            f"heads: found {config.heads!r}, expected none with the classifier "
            f"{config.classifier!r}: they are heads of UntrimmedNet"
        )
    scores = config.action_score or config.edge_scores
    _check_localizer(config)
    if config.train_generator and not scores:
        raise errors.InputError(
            "train_generator: found true, expected action_score or edge_scores with "
            "it: without a score there is nothing to train on"
        )
    if config.clip_gradient and not config.train_generator:
        raise errors.InputError(
            "clip_gradient: found true, expected train_generator with it: only a "
            "generator's gradient is bounded"
        )
    if config.joint and not config.train_generator:
        raise errors.InputError(
            "joint: found true, expected train_generator with it: the head is "
            "fine-tuned on what the generator's proposals cover"
        )
    if config.joint and config.classifier != _DEFAULT:
        raise errors.InputError(
            f"joint: found true with the classifier {config.classifier!r}, expected "
            f"{_DEFAULT}, whose loss the paper fine-tunes"
        )


def _check_localizer(config: config_lib.Config) -> None:
    """Raises an InputError if the parts of a localizer are none or do not go together."""
    scoring.parts(config.evaluator, place="evaluator")
    if config.ranking:
        scoring.parts(config.ranking, place="ranking")
    if config.recipe and config.recipe not in recipes.RECIPES:
        raise errors.InputError(
            f"recipe: found {config.recipe!r}, expected one of"
            f" {', '.join(recipes.RECIPES)}, or none"
        )
    is_soft = suppression.of(config).kind == "soft"
    if config.ranking and is_soft:
        raise errors.InputError(
            f"ranking: found {config.ranking!r} with soft suppression, expected another"
            " one with it: ranks would take the place of the scores that it lowers"
        )
    kind, paper = table.of(config).kind, table.settings("plain")
    names = table.UNREAD.get(kind, ())
    if not config.recipe:
        names = (*names, "traps")
    for name in names:
        if getattr(config, name) != paper[name]:
            what = f"the recipe {config.recipe!r}" if config.recipe else f"a {kind}"
            raise errors.InputError(
                f"{name}: found {getattr(config, name)!r} with {what}, which does not"
                f" read it, expected {paper[name]!r}"
            )
    if config.train_generator and kind in ("runs", "recipe"):
        raise errors.InputError(
            "train_generator: found true with thresholds or a recipe, expected one of"
            " them: proposals are the generator's, or runs of snippets"
        )


def check_categories(config: config_lib.Config, categories: Sequence[str]) -> None:
    """Raises an InputError if a classifier cannot learn from so few categories."""
    row = CLASSIFIERS.get(config.classifier)
    if row and row.is_distribution and len(categories) == 1 and not config.heads:
        raise errors.InputError(
            f"categories: found one, {categories[0]!r}, expected two or more: those of"
            f" {config.classifier} compete, so that it has nothing to learn; add videos of"
            " others, or train stpn"
        )
