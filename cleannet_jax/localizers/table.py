"""Every localizer as a row: Table 2's, AutoLoc's, thresholding, and what came after.

A row is what it sets in a config, so that each part can be an option of its own: where
proposals come from, which scores judge them, what suppresses. `of` reads a config back
as the functions that it stands for. To add one is to write what its functions lack and
a row here.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from cleannet_jax import config as config_lib
from cleannet_jax.localizers import proposals, recipes, scoring


class Localizer(NamedTuple):
    """What is done with snippet predictions.

    Attributes:
      kind: "threshold", of the classifier's own paper; "recipe", a published one of
        `recipes`; "runs" above thresholds; or "grid", a proposal for every anchor.
      propose: of a grid: from the generator's parameters, features, length and config,
        and a key in training, to proposals [T, A, 2].
      scores: the proposal scores whose sum judges a proposal; Table 2 takes parts of
        Eq. 12's sum away, AutoLoc has another evaluator.
      ranking: those that rank what suppression has left; empty for the same.
      trains: whether there is a generator to train (C1).
      fine_tunes: whether the head is trained with it (C5).
    """

    kind: str
    propose: Callable[..., jax.Array] | None = None
    scores: tuple[str, ...] = ()
    ranking: tuple[str, ...] = ()
    trains: bool = False
    fine_tunes: bool = False


# Components of Table 1, as config fields.
_C = ("train_generator", "action_score", "edge_scores", "tsn_sampling", "joint")

# What else makes a localizer, as the paper has it.
_PAPER = {
    "evaluator": "contrast",
    "smooth": False,
    "clip_gradient": False,
    "video_score_weight": 0.0,
    "ranking": "",
    "scp_thresholds": (),
    "attention_thresholds": (),
    "anchors_per_octave": 0,
    "suppression": "",
    "recipe": "",
    "traps": False,
}

# What a kind of localizer does not read, so that it must be as in the paper.
_JUDGED = (
    "evaluator",
    "ranking",
    "video_score_weight",
    "scp_thresholds",
    "attention_thresholds",
    "anchors_per_octave",
    "suppression",
)
UNREAD = {
    "threshold": (*_JUDGED, "smooth"),
    "recipe": _JUDGED,
    "runs": ("anchors_per_octave",),
}


def _row(marks: str, **more: Any) -> dict[str, Any]:
    """What a row sets: C1 to C5 by their marks in Table 2, and what else it differs in."""
    marked = {name: mark == "x" for name, mark in zip(_C, marks, strict=True)}
    return marked | _PAPER | more


# What followed the paper calls thresholding: many thresholds, every run scored, Gaussian
# suppression. Fixed as here before anything was evaluated.
_RUNS = {
    "scp_thresholds": tuple(step / 40 for step in range(10)),
    "attention_thresholds": tuple(step / 90 for step in range(9, 82, 8)),
    "video_score_weight": 0.2,
    "suppression": "soft:0.3",
}

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
    "outer_inner": _row(".xx..", evaluator="outer_inner"),
    "autoloc": _row("xxx..", evaluator="outer_inner", positive_score=0.3),
    # Not of the paper: the same runs under three evaluators, ...
    "oic": _row(".xx..", **_RUNS, evaluator="oic"),
    "runs_contrast": _row(".xx..", **_RUNS),
    "runs_sum": _row(".xx..", **_RUNS, evaluator="contrast+oic"),
    # ... one good threshold, ...
    "threshold_smoothed": _row(
        ".xx..",
        smooth=True,
        scp_thresholds=(0.5,),
        evaluator="mean",
        video_score_weight=0.2,
        suppression="none",
    ),
    # ... and a denser grid without any overlap, ranked by the mean SCP.
    "gated_anchors": _row(
        ".xx..",
        smooth=True,
        anchors_per_octave=3,
        suppression="hard:0",
        ranking="mean",
        video_score_weight=0.2,
    ),
} | {name: _row(".....", recipe=name) for name in recipes.RECIPES}

# What decides how proposals are made and judged, for functions that are traced.
FIELDS = (
    *_C,
    *_PAPER,
    "smoothing_width",
    "anchor_sizes",
    "generator_width",
    "num_samples",
    "min_scp",
    "min_attention",
)

# Not the paper's: any localizer by proposals can judge them on a smoothed SCP, any that
# trains a generator can bound the norm of its gradient, and recipes can have their traps.
SMOOTHED, CLIPPED, TRAPS = "_smoothed", "_clipped", "_traps"


def _named() -> dict[str, Mapping[str, Any]]:
    """What every name sets: the rows, and the rows with what can stand behind them."""
    named = dict(ROWS)
    for name, row in ROWS.items():
        if not row["smooth"] and name != "threshold":
            named[f"{name}{SMOOTHED}"] = {**row, "smooth": True}
    for name, row in list(named.items()):
        if row["train_generator"]:
            named[f"{name}{CLIPPED}"] = {**row, "clip_gradient": True}
        if row["recipe"]:
            named[f"{name}{TRAPS}"] = {**row, "traps": True}
    return named


_NAMED = _named()


def is_known(name: str) -> bool:
    """Whether a localizer has that name, with or without what can stand behind it."""
    return name in _NAMED


def settings(name: str) -> dict[str, Any]:
    """The config fields of a localizer of that name and their values."""
    return dict(_NAMED[name])


def names(config: config_lib.Settings) -> list[str]:
    """Those that have behind them what a config has."""
    behind = ("smooth", "clip_gradient", "traps")
    return [
        name
        for name, row in _NAMED.items()
        if all(row[field] == getattr(config, field) for field in behind)
    ]


def of(config: config_lib.Settings) -> Localizer:
    """The localizer that a config describes."""
    if config.recipe:
        return Localizer("recipe")
    if not (config.action_score or config.edge_scores):
        return Localizer("threshold")
    scores = _scores(config.evaluator, config)
    ranking = _scores(config.ranking, config)
    if config.scp_thresholds or config.attention_thresholds:
        return Localizer("runs", None, scores, ranking)
    trains = config.train_generator
    propose = proposals.of_generator if trains else proposals.of_anchors
    return Localizer("grid", propose, scores, ranking, trains, config.joint)


def _scores(evaluator: str, config: config_lib.Settings) -> tuple[str, ...]:
    """The scores whose sum an evaluator is, under C2 and C3."""
    found: list[str] = []
    for name in scoring.parts(evaluator, place="evaluator") if evaluator else ():
        if name != "contrast" or (config.action_score and config.edge_scores):
            found.append(name)
        else:
            found += ["action"] if config.action_score else ["starting", "ending"]
    return tuple(found)
