"""Choosing how much an evaluator's score counts beside a detector's own.

A few recipes are tried on detections of training videos, against their truth, and the
one with the best mean mAP is taken. How flat the choice is, resamples of these videos
say, the same ones for both: which other recipes differ from the best by no more than
noise (`compare.compare`).
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cleannet_jax import compare, errors, evaluate, fusion, logs, score
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data.detections import submission
from cleannet_jax.localizers import suppression as suppression_lib
from cleannet_jax.metrics import average_precision

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
SUPPRESSIONS = ("none", "soft:0.3", "hard:0.4", "hard:0.6")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Trial:
    """One recipe, tried.

    Attributes:
      recipe: how the scores were made.
      mean_ap: [K] mAP at each threshold, in [0, 1].
      interval: low and high end of the 95 % interval of its mean mAP minus the best
        one's; None for the best itself, and where nothing was resampled.
    """

    recipe: fusion.Recipe
    mean_ap: np.ndarray
    interval: tuple[float, float] | None = None

    @property
    def is_within_noise(self) -> bool:
        """Whether the best recipe is not better by more than noise."""
        return self.interval is not None and self.interval[1] >= 0


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Choice:
    """What was tried, by falling mean mAP.

    Attributes:
      trials: all recipes; the first is the choice.
      report: on the choice: ground truth, subset, protocol and thresholds.
      samples: number of resamples.
      seed: of their draw.
    """

    trials: tuple[Trial, ...]
    report: evaluate.Report
    samples: int
    seed: int


def recipes(
    *,
    weights: Sequence[float] = WEIGHTS,
    evaluators: Sequence[str] = tuple(fusion.EVALUATORS),
    suppressions: Sequence[str] = SUPPRESSIONS,
    scales: Sequence[str] = tuple(fusion.SCALES),
) -> list[fusion.Recipe]:
    """Returns every combination; of weight 0 one for each suppression.

    Without an evaluator's share the scale is that of the detector's own scores, none.
    """
    made = []
    for suppression in map(suppression_lib.parse, suppressions):
        if 0 in weights:
            made.append(fusion.Recipe(0.0, evaluators[0], suppression, "none"))
        more = itertools.product(filter(None, weights), evaluators, scales)
        made += [
            fusion.Recipe(weight, evaluator, suppression, scale)
            for weight, evaluator, scale in more
        ]
    return made


def check_subset(subset: str, evaluation_subset: str) -> None:
    """Raises where a weight would be chosen on what is evaluated later.

    Raises:
      InputError: both names are the same but for case, or the subset is called test
        or testing, whatever the other one is.
    """
    name = subset.strip().lower()
    if name in ("test", "testing", evaluation_subset.strip().lower()):
        raise errors.InputError(
            f"--subset: found {subset!r}, expected a training subset: a weight that is"
            " chosen on the videos that it is evaluated on says nothing"
        )


def read_scored(
    folder: str,
    proposals_path: str,
    annotations: annotations_lib.Annotations,
    *,
    subset: str,
    snippet_seconds: float | None = None,
    offset_seconds: float = 0.0,
    names: Mapping[int, str] | None = None,
    warn: Callable[[str], None] | None = None,
) -> tuple[average_precision.Instances, dict[str, np.ndarray]]:
    """Returns the detections in videos of a subset, and what evaluators say of them.

    Args:
      folder: of SCPs, as for `score.score_submission`.
      proposals_path: detections with the detector's own scores.
      annotations: that list the subset.
      subset: whose videos are read.
      snippet_seconds: as for `score.score_submission`.
      offset_seconds: as for `score.score_submission`.
      names: of the labels that are numbers.
      warn: is given what a reader of the scores should know, a line each.

    Returns:
      Detections [M] with their own scores, and [M] scores by the name of the evaluator.

    Raises:
      InputError: a file or a row cannot be used, or there is no detection left.
    """
    videos = {v.id for v in annotations.videos.values() if v.subset == subset}
    if not videos:
        found = sorted({str(video.subset) for video in annotations.videos.values()})
        raise errors.InputError(
            f"{annotations.path}: no subset {subset!r}; there are {', '.join(found)}"
        )
    results = score.scored_content(
        folder,
        proposals_path,
        snippet_seconds=snippet_seconds,
        offset_seconds=offset_seconds,
        names=names,
        videos=videos,
        warn=warn,
    )["results"]
    if not any(results.values()):
        raise errors.InputError(
            f"{proposals_path}: found no detection in a video of subset {subset!r}"
        )
    detections = submission.as_instances(results)
    own = fusion.own_scores(results, proposals_path)
    return detections._replace(scores=own), fusion.evaluator_scores(results)


def choose(
    detections: average_precision.Instances,
    scores: Mapping[str, np.ndarray],
    annotations: annotations_lib.Annotations,
    *,
    subset: str,
    tious: Sequence[float],
    tried: Sequence[fusion.Recipe],
    samples: int = 200,
    seed: int = 0,
    source: str = "predictions",
) -> Choice:
    """Returns the recipe with the best mean mAP, and all others.

    Of equal means the first one tried wins.

    Args:
      detections: [M] with the detector's own scores.
      scores: [M] each, by the name of the evaluator.
      annotations: the truth, matched by ActivityNet's rule.
      subset: the training videos.
      tious: [K] thresholds in (0, 1].
      tried: recipes, at least one, with weights.
      samples: resamples of the videos; 0 for none.
      seed: of their draw.
      source: what messages call the detections, usually their path.

    Raises:
      InputError: the detections cannot be evaluated on the subset.
    """
    reports = []
    with logs.progress_bar("recipes tried", total=len(tried)) as bar:
        for recipe in tried:
            found = fusion.applied(detections, scores[recipe.evaluator], recipe)
            report = evaluate.evaluate(
                found,
                annotations,
                subset=subset,
                tious=tious,
                other_subsets="leave-out",
                source=source,
            )
            reports.append(report)
            bar.update()
    means = [report.result.mean.mean() for report in reports]
    order = sorted(range(len(tried)), key=lambda index: -means[index])
    intervals = _intervals([reports[i] for i in order], samples, seed)
    trials = tuple(
        Trial(
            recipe=tried[index], mean_ap=reports[index].result.mean, interval=interval
        )
        for index, interval in zip(order, intervals, strict=True)
    )
    return Choice(trials=trials, report=reports[order[0]], samples=samples, seed=seed)


def _intervals(
    reports: Sequence[evaluate.Report], samples: int, seed: int
) -> list[tuple[float, float] | None]:
    """Of each report's mean mAP minus that of the first, which is the best."""
    found: list[tuple[float, float] | None] = [None] * len(reports)
    if not samples:
        return found
    best, *others = reports
    with logs.progress_bar("recipes resampled", total=len(others)) as bar:
        for index, report in enumerate(others, 1):
            difference = compare.compare(best, report, samples=samples, seed=seed)
            found[index] = float(difference.low[-1]), float(difference.high[-1])
            bar.update()
    return found


def as_dict(choice: Choice, *, evaluation_subset: str) -> dict[str, Any]:
    """Returns what `cleannet score --fuse` reads, and how it was chosen, in percent.

    Args:
      choice: of `choose`.
      evaluation_subset: the name of the videos that it is kept away from.
    """
    best, report = choice.trials[0], choice.report
    return {
        **fusion.as_dict(best.recipe),
        "chosen_on": {
            "proposals": report.predictions,
            "ground_truth": report.ground_truth,
            "subset": report.subset,
            "evaluation_subset": evaluation_subset,
            "videos": report.num_videos,
            "instances": report.num_instances,
            "detections": report.num_detections,
            "protocol": report.protocol,
            "tious": report.result.tious.tolist(),
            "unit": "percent",
            "mean_map": 100 * float(best.mean_ap.mean()),
        },
        "flatness": {
            "tried": len(choice.trials),
            "within_noise": (
                sum(trial.is_within_noise for trial in choice.trials)
                if choice.samples
                else None
            ),
            "samples": choice.samples,
            "seed": choice.seed,
            "level": evaluate.LEVEL,
        },
        "grid": [_as_row(trial, best) for trial in choice.trials],
    }


def _as_row(trial: Trial, best: Trial) -> dict[str, Any]:
    """A line of the grid, in percent."""
    interval = trial.interval and [100 * end for end in trial.interval]
    difference = trial.mean_ap.mean() - best.mean_ap.mean()
    return {
        **fusion.as_dict(trial.recipe),
        "map": (100 * trial.mean_ap).tolist(),
        "mean_map": 100 * float(trial.mean_ap.mean()),
        "minus_best": 100 * float(difference),
        "interval": interval,
        "within_noise": None if interval is None else trial.is_within_noise,
    }
