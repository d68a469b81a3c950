"""Every localizer as a row: the variants of Table 2, AutoLoc, and thresholding.

A row is what it sets in a config, so that each part can be an option of its own; `of`
reads a config back as the functions that it stands for. To add one is to write what
its functions lack and a row here.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from cleannet_jax import config as config_lib
from cleannet_jax.localizers import proposals


class Localizer(NamedTuple):
    """What is done with snippet predictions.

    Attributes:
      propose: from the generator's parameters, features, length and config, and a key in
        training, to proposals [T, A, 2]; None where snippets are thresholded.
      scores: the proposal scores whose sum judges a proposal; Table 2 takes parts of
        Eq. 12's sum away, AutoLoc has another evaluator.
      trains: whether there is a generator to train (C1).
      fine_tunes: whether the head is trained with it (C5).
    """

    propose: Callable[..., jax.Array] | None
    scores: tuple[str, ...]
    trains: bool
    fine_tunes: bool


# Components of Table 1, as config fields.
_C = ("train_generator", "action_score", "edge_scores", "tsn_sampling", "joint")


def _row(marks: str, **more: Any) -> dict[str, Any]:
    """What a row sets: C1 to C5 by their marks in Table 2, and what else it differs in."""
    marked = {name: mark == "x" for name, mark in zip(_C, marks, strict=True)}
    return marked | {"outer_inner": False} | more


ROWS: Mapping[str, Mapping[str, Any]] = {
    # Of the classifier's own paper; with UntrimmedNet it is a row of Table 2 (R16).
    "threshold": _row("....."),
    # Table 2: C1 train the generator, C2 s_a, C3 s_s and s_e, C4 TSN sampling, C5 joint.
    "plain": _row(".xx.."),
    "actioness_only": _row("xx.x."),
    "edgeness_only": _row("x.xx."),
    "simple": _row("xxx.."),
    "t": _row("xxxx."),
    "j": _row("xxx.x"),
    "full": _row("xxxxx"),
    # AutoLoc (Shou et al., ECCV 2018) differs from "simple" in the evaluator and its
    # threshold; "outer_inner" is to it as "plain" is to "simple".
    "outer_inner": _row(".xx..", outer_inner=True),
    "autoloc": _row("xxx..", outer_inner=True, positive_score=0.3),
}

# Any localizer by proposals can judge them on a smoothed SCP: not the paper's.
SMOOTHED = "_smoothed"
# Any that trains a generator can bound the norm of its gradient: not the paper's.
CLIPPED = "_clipped"


def is_known(name: str) -> bool:
    """Whether a localizer has that name, with or without what can stand behind it."""
    smoothed = name.removesuffix(CLIPPED)
    row = ROWS.get(smoothed.removesuffix(SMOOTHED))
    if row is None or smoothed == f"threshold{SMOOTHED}":
        return False
    return row["train_generator"] or not name.endswith(CLIPPED)


def settings(name: str) -> dict[str, Any]:
    """The config fields of a localizer of that name and their values."""
    smoothed = name.removesuffix(CLIPPED)
    return {
        **ROWS[smoothed.removesuffix(SMOOTHED)],
        "smooth": smoothed.endswith(SMOOTHED),
        "clip_gradient": name.endswith(CLIPPED),
    }


def of(config: config_lib.Settings) -> Localizer:
    """The localizer that a config describes."""
    if not (config.action_score or config.edge_scores):
        return Localizer(None, (), trains=False, fine_tunes=False)
    if config.outer_inner:
        scores = ("outer_inner",)
    elif config.action_score and config.edge_scores:
        scores = ("contrast",)
    else:
        scores = ("action",) if config.action_score else ("starting", "ending")
    trains = config.train_generator
    propose = proposals.of_generator if trains else proposals.of_anchors
    return Localizer(propose, scores, trains, fine_tunes=config.joint)
