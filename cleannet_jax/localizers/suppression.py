"""What becomes of detections that overlap better ones of their video and category."""

import functools
import math
from typing import NamedTuple

import jax

from cleannet_jax import config as config_lib
from cleannet_jax import errors
from cleannet_jax.ops import nms


class Suppression(NamedTuple):
    """What becomes of detections that overlap better ones.

    Attributes:
      kind: "none"; "hard", removed; or "soft", their scores lowered.
      value: the largest tIoU that hard suppression leaves, in [0, 1]; or the σ of soft
        suppression, positive.
    """

    kind: str
    value: float = 0.0

    def __str__(self) -> str:
        return self.kind if self.kind == "none" else f"{self.kind}:{self.value:g}"


NONE = Suppression("none")


def parse(text: str) -> Suppression:
    """Returns the suppression that a command line names.

    Args:
      text: none, soft:SIGMA or hard:TIOU.

    Raises:
      InputError: it is none of these, or the number is out of range.
    """
    kind, colon, number = text.partition(":")
    try:
        value = float(number) if colon else 0.0
    except ValueError:
        value = math.nan
    usable = {
        "none": not colon,
        "soft": bool(colon) and 0 < value < math.inf,
        "hard": bool(colon) and 0 <= value <= 1,
    }
    if not usable.get(kind, False):
        raise errors.InputError(
            f"suppression: found {text!r}, expected none, soft:SIGMA with a positive"
            " number (soft:0.3), or hard:TIOU with one in [0, 1] (hard:0.4)"
        )
    return Suppression(kind, value)


def of(config: config_lib.Settings) -> Suppression:
    """The suppression of a config."""
    if config.suppression:
        return parse(config.suppression)
    return Suppression("hard", config.nms_tiou)


def suppress(
    segments: jax.Array, scores: jax.Array, how: Suppression, *, max_outputs: int
) -> nms.Kept:
    """The best of each category that suppression leaves, [C, max_outputs].

    Args:
      segments: [P, 2], or [C, P, 2] where each category has its own.
      scores: [C, P]; those with -inf take no part.
      how: it is done.
      max_outputs: the most that is left of a category.
    """
    if how.kind == "soft":
        one = functools.partial(nms.suppress_softly, sigma=how.value)
    else:
        tiou = how.value if how.kind == "hard" else 1.0
        one = functools.partial(nms.suppress, max_tiou=tiou)
    one = functools.partial(one, max_outputs=max_outputs)
    # One after the other: most categories have nothing to suppress, and together all
    # of them would wait for the slowest, and lose the branches that spare work.
    if segments.ndim == 3:
        return jax.lax.map(lambda pair: one(*pair), (segments, scores))
    return jax.lax.map(functools.partial(one, segments), scores)
