"""Weakly supervised temporal action localization by contrast, in JAX.

The evaluator of CleanNet (Liu et al., ICCV 2019), importable by itself: pure functions
of arrays that need jax, numpy and chex only. Training, localization and evaluation
are in the modules of the same names.
"""

from cleannet_jax.ops.contrast import (
    Extrema,
    ProposalScores,
    contrast_score,
    edgeness,
    evaluate_proposals,
    proposal_scores,
    temporal_contrast,
    windowed_extrema,
)
from cleannet_jax.ops.nms import suppress
from cleannet_jax.ops.segments import tiou

__version__ = "0.1.0"

__all__ = [
    "Extrema",
    "ProposalScores",
    "contrast_score",
    "edgeness",
    "evaluate_proposals",
    "proposal_scores",
    "suppress",
    "temporal_contrast",
    "tiou",
    "windowed_extrema",
]
