"""A detector's own scores and those of an evaluator, made one; and what suppresses.

    new score = own score + weight × evaluator's score

Both are first brought to one scale where that is asked for. Then suppression acts among
the detections of one video and category. Nothing here is learned: docs/improve.md says
how to choose.
"""

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from cleannet_jax import errors, logs
from cleannet_jax.data.detections import submission
from cleannet_jax.localizers import scoring
from cleannet_jax.localizers import suppression as suppression_lib
from cleannet_jax.metrics import average_precision
from cleannet_jax.ops import nms

# Evaluators that are tried, and the scores whose sum each is.
EVALUATORS = {
    "contrast": ("contrast",),
    "outer_inner": ("outer_inner",),
    "sum": ("contrast", "outer_inner"),
}

# What becomes of both scores before they are added.
SCALES = {
    "none": "as they are",
    "rank": "each by its rank in the file, in (0, 1], ties by their mean",
    "unit": "each divided by its standard deviation over the file",
}

# Groups are padded to powers of two of at least _LEAST rows, and so many groups go
# through one program together that they have about _TOGETHER rows: few programs.
_LEAST = 16
_TOGETHER = 1 << 13


class Recipe(NamedTuple):
    """How a score is made.

    Attributes:
      weight: of the evaluator's score beside the own one, 0 or more; None where it
        takes the place of the own one.
      evaluator: as for `scoring.parts`.
      suppression: of what overlaps.
      scale: a key of `SCALES`.
    """

    weight: float | None = None
    evaluator: str = "contrast"
    suppression: suppression_lib.Suppression = suppression_lib.NONE
    scale: str = "none"


def parse_weight(value: Any, place: str) -> float:
    """Returns a weight.

    Raises:
      InputError: it is no number, negative or not finite.
    """
    try:
        weight = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise errors.InputError(
            f"{place}: found {value!r}, expected a number of at least 0"
        )
    return weight


def from_dict(content: Any, place: str) -> Recipe:
    """Returns the recipe in a file that `cleannet fuse-weight` wrote.

    Args:
      content: of the file.
      place: what messages call it, usually its path.

    Raises:
      InputError: a value is absent or is not one.
    """
    names = ("weight", "evaluator", "suppression", "scale")
    if not isinstance(content, Mapping) or not set(names) <= content.keys():
        raise errors.InputError(
            f"{place}: expected an object with {', '.join(names)}, as cleannet"
            " fuse-weight writes it"
        )
    if content["scale"] not in list(SCALES):
        raise errors.InputError(
            f"{place}: scale: found {content['scale']!r}, expected one of"
            f" {', '.join(SCALES)}"
        )
    scoring.parts(str(content["evaluator"]), place=f"{place}: evaluator")
    return Recipe(
        weight=parse_weight(content["weight"], f"{place}: weight"),
        evaluator=content["evaluator"],
        suppression=suppression_lib.parse(str(content["suppression"])),
        scale=content["scale"],
    )


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """Returns a recipe as JSON can hold it."""
    return recipe._asdict() | {"suppression": str(recipe.suppression)}


def scaled(scores: np.ndarray, scale: str) -> np.ndarray:
    """Scores on another scale, [M] float64, in the same order from low to high.

    Args:
      scores: [M] of all the detections of a file.
      scale: a key of `SCALES`. Ranks count from 1 for the lowest and are divided by M;
        scores that are all equal have no deviation and stay as they are.
    """
    scores = np.asarray(scores, np.float64)
    if scale == "unit":
        deviation = scores.std() if scores.size else 0.0
        return scores / deviation if deviation > 0 else scores
    if scale == "rank":
        _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        return (last - (counts - 1) / 2)[inverse] / max(scores.size, 1)
    return scores


def fused(
    own: np.ndarray, evaluator: np.ndarray, *, weight: float, scale: str = "none"
) -> np.ndarray:
    """own + weight × evaluator, [M] float64, both on the named scale.

    Args:
      own: [M] the detector's scores.
      evaluator: [M] an evaluator's.
      weight: 0 or more.
      scale: a key of `SCALES`, of all M.
    """
    return scaled(own, scale) + weight * scaled(evaluator, scale)


def applied(
    detections: average_precision.Instances,
    evaluator: np.ndarray,
    recipe: Recipe,
    *,
    advance: Callable[[int], Any] = lambda count: None,
) -> average_precision.Instances:
    """Returns the detections with the scores of a recipe, without what it removes.

    Args:
      detections: [M] with the detector's own scores.
      evaluator: [M] scores of the recipe's evaluator.
      recipe: with a weight, or None for the evaluator's scores alone.
      advance: as for `suppressed`.
    """
    scores = np.asarray(evaluator, np.float64)
    if recipe.weight is not None:
        scores = fused(
            detections.scores, scores, weight=recipe.weight, scale=recipe.scale
        )
    detections = detections._replace(scores=scores)
    scores, left = suppressed(detections, recipe.suppression, advance=advance)
    rows = np.flatnonzero(left)
    return average_precision.take(detections._replace(scores=scores), rows)


def suppressed(
    detections: average_precision.Instances,
    suppression: suppression_lib.Suppression,
    *,
    advance: Callable[[int], Any] = lambda count: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Suppresses among the detections of each video and category.

    Args:
      detections: [M] with finite scores.
      suppression: what is done.
      advance: is told how many more detections are done.

    Returns:
      The scores [M] float64 after it, and [M] bool, which ones are left.
    """
    scores = np.array(detections.scores, np.float64)
    left = np.ones(len(scores), bool)
    if suppression.kind == "none":
        return scores, left
    for rows in _batches(detections):
        used = rows >= 0
        segments = np.where(used[..., None], detections.segments[rows], 0)
        own = np.where(used, scores[rows], -np.inf).astype(np.float32)
        function = _softened if suppression.kind == "soft" else _survivors
        found = np.asarray(function(segments.astype(np.float32), own, suppression[1]))
        if suppression.kind == "soft":
            scores[rows[used]] = found[used]
        else:
            left[rows[used]] = found[used]
        advance(int(used.sum()))
    return scores, left


def follow(
    results: dict[str, list[dict[str, Any]]], recipe: Recipe, source: str
) -> None:
    """Fuses the scores of rows that `score.scored_content` returned, and suppresses.

    Args:
      results: by video; hard suppression takes rows out.
      recipe: whose evaluator is the one that the rows were scored with.
      source: what messages call the rows, usually their path.

    Raises:
      InputError: a row has no score of its own to add to.
    """
    if recipe.weight is None and recipe.suppression.kind == "none":
        return
    detections = submission.as_instances(results)
    if recipe.weight is not None:
        scores = fused(
            own_scores(results, source),
            detections.scores,
            weight=recipe.weight,
            scale=recipe.scale,
        )
        detections = detections._replace(scores=scores)
    total = len(detections.scores)
    with logs.progress_bar("proposals suppressed", total=total) as bar:
        scores, left = suppressed(detections, recipe.suppression, advance=bar.update)
    first = 0
    for name, rows in results.items():
        own = slice(first, first + len(rows))
        first += len(rows)
        for row, value in zip(rows, scores[own].tolist(), strict=True):
            row["score"] = value
        results[name] = list(itertools.compress(rows, left[own]))


def own_scores(results: Mapping[str, list[dict[str, Any]]], source: str) -> np.ndarray:
    """The scores [M] that the rows of a file came with.

    Raises:
      InputError: a row came without.
    """
    for video, rows in results.items():
        for index, row in enumerate(rows):
            if "input_score" not in row:
                raise errors.InputError(
                    f"{source}: results[{video!r}][{index}]: found no score, expected"
                    " the detector's own, to which the evaluator's is added"
                )
    return np.array(
        [row["input_score"] for rows in results.values() for row in rows], np.float64
    )


def evaluator_scores(
    results: Mapping[str, list[dict[str, Any]]],
) -> dict[str, np.ndarray]:
    """The scores [M] of scored rows by each of `EVALUATORS`."""
    rows = [row for own in results.values() for row in own]
    return {
        name: np.array([sum(row[part] for part in parts) for row in rows], np.float64)
        for name, parts in EVALUATORS.items()
    }


@jax.jit
def _softened(segments, scores, sigma):
    return jax.vmap(functools.partial(nms.soften, sigma=sigma))(segments, scores)


@jax.jit
def _survivors(segments, scores, max_tiou):
    return jax.vmap(functools.partial(nms.survivors, max_tiou=max_tiou))(
        segments, scores
    )


def _batches(detections: average_precision.Instances) -> list[np.ndarray]:
    """Rows [B, P] of the groups of one size; -1 is padding."""
    key = detections.video * max(len(detections.labels), 1) + detections.label
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    by_size: dict[int, list[np.ndarray]] = {}
    for rows in np.split(order, starts[1:]) if len(order) else []:
        size = max(_LEAST, 1 << (len(rows) - 1).bit_length())
        by_size.setdefault(size, []).append(rows)
    batches = []
    for size, groups in by_size.items():
        together = max(1, _TOGETHER // size)
        for first in range(0, len(groups), together):
            batch = np.full((together, size), -1)
            for place, rows in enumerate(groups[first : first + together]):
                batch[place, : len(rows)] = rows
            batches.append(batch)
    return batches
