"""The classifiers that an SCP can come from, each with the thresholding of its paper.

Where an SCP comes from and what is done with it are independent: any of these can be
followed by its own thresholding, by anchors, or by a trained generator.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from cleannet_jax import config as config_lib
from cleannet_jax.models import (
    cleannet,
    hide_and_seek,
    stpn,
    thresholding,
    untrimmednet,
    w_talc,
)

Params = Any
Predictions = cleannet.SnippetPredictions


class Classifier(NamedTuple):
    """How snippets are classified, from its training to the localization of its paper.

    Attributes:
      create_params: of stage 1, from a key, the streams' widths and N.
      loss: of a batch in stage 1, from parameters, batch and key; and its parts.
      finish: from the parameters of stage 1 to those that `predict` takes.
      predict: from parameters, features [T, 2D] and length to `SnippetPredictions`.
      detect: from those of an unpadded video, and a config, to `Detections`.
      takes_pairs: whether a batch is several videos, some of them pairs with a
        common category, rather than one video.
      uses_adam: whether stage 1 is optimised by Adam, as its paper does, or by SGD.
    """

    create_params: Callable[[jax.Array, tuple[int, int], int], Params]
    loss: Callable[..., tuple[jax.Array, dict[str, jax.Array]]]
    finish: Callable[[Params], Params]
    predict: Callable[[Params, jax.Array, jax.Array | int], Predictions]
    detect: Callable[[Predictions, config_lib.Config], thresholding.Detections]
    takes_pairs: bool = False
    uses_adam: bool = True


def _same(params: Params) -> Params:
    return params


_CLASSIFIERS = {
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
    ),
    "w_talc": Classifier(
        w_talc.create_params,
        w_talc.loss,
        _same,
        w_talc.predict,
        thresholding.peaks_above_midpoint,
        takes_pairs=True,
    ),
}


def classifier(config: config_lib.Config) -> Classifier:
    """The classifier that a config names."""
    return _CLASSIFIERS[config.classifier]
