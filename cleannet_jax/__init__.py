"""Weakly supervised temporal action localization by contrast, in JAX.

The evaluator of CleanNet (Liu et al., ICCV 2019) and trained runs of it. A name is
loaded when it is first used: the evaluator, pure functions of arrays, needs jax, numpy
and chex only; `load_run` the packages that training needs.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from cleannet_jax.ops.contrast import (
        ProposalScores,
        contrast_score,
        evaluate_proposals,
        proposal_scores,
    )
    from cleannet_jax.ops.edges import (
        Extrema,
        edgeness,
        temporal_contrast,
        windowed_extrema,
    )
    from cleannet_jax.ops.nms import suppress
    from cleannet_jax.ops.segments import tiou
    from cleannet_jax.run import load_run

__version__ = "0.2.0"

__all__ = [
    "Extrema",
    "ProposalScores",
    "contrast_score",
    "edgeness",
    "evaluate_proposals",
    "load_run",
    "proposal_scores",
    "suppress",
    "temporal_contrast",
    "tiou",
    "windowed_extrema",
]

_EDGES = ("Extrema", "edgeness", "temporal_contrast", "windowed_extrema")
_HOMES = dict.fromkeys(__all__, "cleannet_jax.ops.contrast") | {
    **dict.fromkeys(_EDGES, "cleannet_jax.ops.edges"),
    "load_run": "cleannet_jax.run",
    "suppress": "cleannet_jax.ops.nms",
    "tiou": "cleannet_jax.ops.segments",
}


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]


if not typing.TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> typing.Any:
        """A public name, from the module that it lives in."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
