"""Localization by thresholding: runs of snippets that are above it (NumPy).

What the methods before AutoLoc and CleanNet do with an SCP. A detector takes the
`SnippetPredictions` of a video's T snippets without padding, as NumPy arrays. Times are
in snippets.
"""

from typing import NamedTuple

import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax.models import predictions as predictions_lib
from cleannet_jax.ops import pooling

# What UntrimmedNet's detector adds of the video's score to a segment's (R16).
_VIDEO_SCORE_WEIGHT = 0.2
# What W-TALC's adds of the category's multiple-instance score.
_INSTANCE_SCORE_WEIGHT = 0.7


class Detections(NamedTuple):
    """The detections of one video."""

    segments: np.ndarray  # [M, 2]
    categories: np.ndarray  # [M] int
    scores: np.ndarray  # [M]


def chosen_categories(video: np.ndarray, *, min_score: float) -> np.ndarray:
    """Indices of the categories above a score, or of the best one (R15).

    Args:
      video: [N], the video-level prediction.
      min_score: in (0, 1).
    """
    chosen = video > min_score
    chosen[np.argmax(video)] = True
    return np.flatnonzero(chosen)


def attended_snippets(
    predictions: predictions_lib.SnippetPredictions, config: config_lib.Settings
) -> Detections:
    """UntrimmedNet's own detector, the baseline of Table 2 (R16).

    Snippets count whose attention is at least half of the video's maximum and whose
    SCP passes its threshold; a segment scores its mean SCP plus 0.2 times the video's
    prediction.
    """
    attended = predictions.sap >= 0.5 * np.max(predictions.sap)
    found = [
        _joined(
            attended & (predictions.scp[:, category] >= config.min_scp),
            category,
            predictions.scp[:, category],
            _VIDEO_SCORE_WEIGHT * predictions.video[category],
        )
        for category in chosen_categories(
            predictions.video, min_score=config.min_video_score
        )
    ]
    return _concatenated(found)


def above_midpoint(
    predictions: predictions_lib.SnippetPredictions, config: config_lib.Settings
) -> Detections:
    """Snippets whose activation is above the middle of its range in the video.

    Class activation maps are thresholded so in Hide-and-Seek, by half of their
    maximum. The middle of the range is the same where the minimum is 0, and does not
    depend on a constant that the softmax never sees. A segment scores its mean SCP.
    """
    found = [
        _joined(
            _is_above_midpoint(predictions.activations[:, category]),
            category,
            predictions.scp[:, category],
        )
        for category in chosen_categories(
            predictions.video, min_score=config.min_video_score
        )
    ]
    return _concatenated(found)


def peaks_above_midpoint(
    predictions: predictions_lib.SnippetPredictions, config: config_lib.Settings
) -> Detections:
    """W-TALC's detector: the same snippets, scored by their peak.

    A segment scores its largest activation plus 0.7 times the mean of the category's
    top T / 8.
    """
    found = []
    for category in chosen_categories(
        predictions.video, min_score=config.min_video_score
    ):
        activation = predictions.activations[:, category]
        count = -(-len(activation) // pooling.INSTANCE_SHARE)
        instance_score = np.sort(activation)[-count:].mean()
        segments = _runs(_is_above_midpoint(activation))
        starts = segments[:, 0].astype(int)
        # Of each run and what follows it, which is lower.
        peaks = np.maximum.reduceat(activation, starts)
        scores = peaks + _INSTANCE_SCORE_WEIGHT * instance_score
        found.append(Detections(segments, np.full(len(starts), category), scores))
    return _concatenated(found)


def _is_above_midpoint(activation: np.ndarray) -> np.ndarray:
    return activation >= (activation.max() + activation.min()) / 2


def _joined(
    selected: np.ndarray, category: int, psi: np.ndarray, bonus: float = 0.0
) -> Detections:
    """Runs of selected snippets as detections, each scored by its mean of ψ."""
    segments = _runs(selected)
    starts, ends = segments.astype(int).T
    integral = np.concatenate([[0.0], np.cumsum(psi, dtype=np.float64)])
    means = (integral[ends] - integral[starts]) / (ends - starts)
    return Detections(segments, np.full(len(segments), category), means + bonus)


def _runs(selected: np.ndarray) -> np.ndarray:
    """The segments [M, 2] of true snippets."""
    edges = np.diff(selected.astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return np.stack([starts, ends], axis=1).astype(np.float64)


def _concatenated(found: list[Detections]) -> Detections:
    """The detections of all categories."""
    return Detections(*(np.concatenate(column) for column in zip(*found, strict=True)))
