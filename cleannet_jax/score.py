"""Scores for proposals of any origin, from files to files.

Bad rows are named and refused here; inside the jitted evaluator they would score -inf
(R3).
"""

import itertools
import pathlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from cleannet_jax import errors, fusion, logs
from cleannet_jax.data import (
    annotation_files,
    arrays,
    files,
    labels,
    manifest,
    text,
    units,
)
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.data.detections import files as detections_lib
from cleannet_jax.data.detections import ssn, submission, table
from cleannet_jax.localizers import scoring
from cleannet_jax.ops import contrast, pooling, segments

# Lengths that arrays are padded to are powers of two from it on, so that videos share
# programs.
_LEAST = 256

# Probabilities that were stored as half floats may sum to a little more than 1.
_ROUNDING = 1e-3


class Judge(NamedTuple):
    """How proposals are judged.

    Attributes:
      evaluator: as for `scoring.parts`.
      smoothing_width: the SCP is smoothed over so many snippets first, odd.
      video_score_weight: so much of the video's score is added.
    """

    evaluator: str = "contrast"
    smoothing_width: int = 1
    video_score_weight: float = 0.0

    @property
    def parts(self) -> tuple[str, ...]:
        """The scores whose sum the evaluator is."""
        return scoring.parts(self.evaluator, place="evaluator")


def score_arrays(
    scp_path: str,
    proposals_path: str,
    out: str,
    *,
    unbounded: bool = False,
    judge: Judge | None = None,
) -> int:
    """Scores the proposals of one video, in snippets.

    Args:
      scp_path: .npy of (T, N) probabilities.
      proposals_path: .npz whose array `proposals` is (P, 2) or (N, P, 2).
      out: .npz with `proposals` and the five scores, each (N, P) float32, and those
        of the judge's evaluator that are none of them.
      unbounded: whether the SCP may hold other numbers than probabilities.
      judge: how proposals are judged; None for by the contrast, on the SCP as it is.

    Returns:
      The number of proposals, counted once a category where each has its own.

    Raises:
      InputError: a file or a row cannot be used.
    """
    scp = _read_scp(scp_path, unbounded=unbounded)
    proposals = _read_proposals(proposals_path, num_categories=scp.shape[1])
    late = int((proposals[..., 0] >= len(scp)).sum())
    if late > proposals[..., 0].size / 2:
        raise errors.InputError(
            f"{proposals_path}: proposals: found {late} of {proposals[..., 0].size} that"
            f" begin after the end of the SCP, expected ends in its {len(scp)} snippets:"
            " are these seconds or frames?"
        )
    scores = jax.device_get(_padded_scores(scp, proposals, judge or Judge()))
    usable = np.all([np.isfinite(part) for part in scores.values()], axis=0)
    if not usable.all():
        category, row = np.argwhere(~usable)[0].tolist()
        index = [row] if proposals.ndim == 2 else [category, row]
        raise errors.InputError(
            f"{proposals_path}: proposals{index}: found"
            f" {proposals[tuple(index)].tolist()}, so short, or so far from the"
            f" {len(scp)} snippets of the SCP, that its scores are no numbers; expected"
            " snippets within the video"
        )
    with files.open_atomic(out, "wb") as file:
        np.savez(file, proposals=proposals, **scores)
    return proposals.size // 2


def score_submission(
    folder: str,
    proposals_path: str,
    out: str,
    *,
    snippet_seconds: float | None,
    offset_seconds: float = 0.0,
    annotations: str | None = None,
    recipe: fusion.Recipe | None = None,
    judge: Judge | None = None,
    names: Mapping[int, str] | None = None,
    unbounded: bool = False,
    warn: Callable[[str], None] | None = None,
) -> int:
    """Scores the detections of a file, in seconds.

    A proposal without a label gets the category that its score is highest for.

    Args:
      folder: ID.npy of (T, N) probabilities for every video with proposals, and
        scp.json, {"categories": [N names], "timebase": {ID: {"fps", "stride",
        "offset"}}}.
      proposals_path: detections in any of the formats of `detections.files`, in JSON
        without scores too; or .txt, a proposal list of SSN, whose labels are not used:
        they come from the ground truth.
      out: the same with five scores at every row, "score" being as the recipe says,
        where it is JSON or CSV; .txt, THUMOS14's text, has a place for that one alone.
      snippet_seconds: from one snippet to the next; None to read it for every video
        from scp.json in the folder.
      offset_seconds: where snippet 0 starts.
      annotations: path of an annotation file, for the durations that a proposal list
        of SSN lacks.
      recipe: how the new score is made; None for that of the judge alone.
      judge: how proposals are judged, by the recipe's evaluator whatever its own.
      names: of the labels that are numbers.
      unbounded: whether SCPs may hold other numbers than probabilities.
      warn: is given what a reader of the scores should know, a line each.

    Returns:
      The number of proposals that are written.

    Raises:
      InputError: a file or a row cannot be used.
    """
    detections_lib.check_ending(out)
    recipe = recipe or fusion.Recipe()
    content = scored_content(
        folder,
        proposals_path,
        snippet_seconds=snippet_seconds,
        offset_seconds=offset_seconds,
        annotations=annotations,
        judge=(judge or Judge())._replace(evaluator=recipe.evaluator),
        names=names,
        unbounded=unbounded,
        warn=warn,
    )
    fusion.follow(content["results"], recipe, proposals_path)
    _write_content(out, content)
    return sum(map(len, content["results"].values()))


def scored_content(
    folder: str,
    proposals_path: str,
    *,
    snippet_seconds: float | None,
    offset_seconds: float = 0.0,
    annotations: str | None = None,
    judge: Judge | None = None,
    names: Mapping[int, str] | None = None,
    unbounded: bool = False,
    videos: Collection[str] | None = None,
    warn: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Returns a submission whose rows have the five scores and the evaluator's.

    Args:
      folder: as for `score_submission`, and so are the others.
      proposals_path: detections.
      snippet_seconds: of all videos.
      offset_seconds: of all videos.
      annotations: for a proposal list of SSN.
      judge: how proposals are judged; None for by the contrast.
      names: of the labels that are numbers.
      unbounded: whether SCPs may hold other numbers than probabilities.
      videos: those that are wanted; others are left out. None for all.
      warn: is given what a reader of the scores should know, a line each.

    Raises:
      InputError: a file or a row cannot be used.
    """
    place = pathlib.Path(folder)
    categories, timebase_of = snippets_lib.read_timebases(
        place / "scp.json", snippet_seconds, offset_seconds
    )
    warn = warn or (lambda line: None)
    content = _read_content(proposals_path, categories, annotations, names or {}, warn)
    results = content["results"]
    if videos is not None:
        results = {name: results[name] for name in results if name in videos}
        content["results"] = results
    seconds, ends = [], []
    total = sum(map(len, results.values()))
    with logs.progress_bar("proposals scored", total=total) as bar:
        for video, rows in results.items():
            if not rows:
                continue
            name = snippets_lib.file_name(video)
            scp = _read_scp(place / name, columns=len(categories), unbounded=unbounded)
            where = f"{proposals_path}: results[{text.quoted(video)}]"
            timebase = timebase_of(video)
            own = snippets_lib.read_video_scores(place, name, scp)
            _score_rows(rows, scp, categories, timebase, judge or Judge(), own, where)
            end = (len(scp) * timebase.stride + timebase.offset) / timebase.fps
            seconds += [row["segment"] for row in rows]
            ends += [end] * len(rows)
            bar.update(len(rows))
    _check_times(proposals_path, seconds, ends, warn)
    return content


def _read_content(
    path: str,
    categories: list[str],
    annotations: str | None,
    names: Mapping[int, str],
    warn: Callable[[str], None],
) -> dict[str, Any]:
    """Proposals of any format as a submission, labels that are numbers with names."""
    ending = pathlib.Path(path).suffix.lower()
    if ending == ".txt" and _is_ssn(path):
        return _ssn_submission(path, categories, annotations, warn)
    if ending not in (".json", ""):
        found = detections_lib.read(path, names=names or None)
        if not np.isfinite(found.scores).all():
            raise errors.InputError(f"{path}: score: expected finite numbers")
        return submission.as_content(found)
    content = submission.read_proposals(path)
    for rows in content["results"].values():
        for row in rows:
            row["label"] = labels.named(row["label"], names)
    return content


def _is_ssn(path: str) -> bool:
    """Whether text is a proposal list of SSN, whose blocks start with #."""
    return any(
        line.text.startswith("#") for line in itertools.islice(text.read_lines(path), 1)
    )


def _write_content(path: str, content: dict[str, Any]) -> None:
    """Writes a submission with scores in the format that the ending says."""
    ending = pathlib.Path(path).suffix.lower()
    if ending == ".csv":
        table.write_scored(path, content["results"])
    elif ending == ".txt":
        detections_lib.write(path, submission.as_instances(content["results"]))
    else:
        files.write_json(path, content)


def _check_times(
    path: str,
    seconds: list[list[float]],
    ends: list[float],
    warn: Callable[[str], None],
) -> None:
    """Raises where the proposals cannot be in seconds, warns where they may not be.

    Args:
      path: of the proposals.
      seconds: (start, end) of each.
      ends: where the SCP of the video of each ends.
      warn: is given a line.
    """
    segments, known = np.array(seconds, float).reshape(-1, 2), np.array(ends)
    line = units.late(segments, known, what="proposals")
    if line:
        raise errors.InputError(f"{path}: {line}")
    count = int((segments[:, 0] >= known).sum())
    if count:
        warn(
            "proposals that begin after the end of their video, whose scores mean"
            f" nothing: {count} of {len(known)}"
        )
    line = units.early(segments, known, what="proposals")
    if line:
        warn(line)


def _read_scp(
    path: str | pathlib.Path, *, columns: int | None = None, unbounded: bool
) -> np.ndarray:
    """An SCP whose values are probabilities, unless others are meant."""
    scp = snippets_lib.read_scp(path, num_categories=columns)
    low, high = float(scp.min()), float(scp.max())
    if not unbounded and (low < -_ROUNDING or high > 1 + _ROUNDING):
        raise errors.InputError(
            f"{path}: found values from {low:.3g} to {high:.3g}, expected probabilities"
            " in [0, 1]: are these logits? Apply a sigmoid or softmax first;"
            " --unbounded-scp scores them as they are"
        )
    return scp


def _ssn_submission(
    path: str,
    categories: list[str],
    annotations: str | None,
    warn: Callable[[str], None],
) -> dict[str, Any]:
    """A proposal list of SSN as a submission without labels and scores."""
    if annotations is None:
        raise errors.InputError(
            f"{path}: a proposal list of SSN has no durations; --annotations names a"
            " file that has them"
        )
    videos = annotation_files.read_annotations(annotations).videos
    lists = ssn.read_proposals(
        path,
        durations={video.id: video.duration for video in videos.values()},
        categories=sorted(categories),
        warn=warn,
    )
    results = {
        proposals.video: [{"segment": pair} for pair in proposals.segments.tolist()]
        for proposals in lists
    }
    external_data = {"used": False, "details": ""}
    return {
        "version": "VERSION 1.3",
        "results": results,
        "external_data": external_data,
    }


def _padded_scores(
    scp: np.ndarray, proposals: np.ndarray, judge: Judge
) -> dict[str, jax.Array]:
    """Scores (N, P) by name, computed on arrays whose lengths few programs serve."""
    snippets, count = len(scp), proposals.shape[-2]
    time, more = (_padded(size) - size for size in (snippets, count))
    around = [(0, 0)] * (proposals.ndim - 2)
    padded = np.pad(scp, [(0, time), (0, 0)])
    if judge.smoothing_width > 1:
        padded = _smoothed(padded, width=judge.smoothing_width, length=snippets)
    scores = contrast.evaluate_some(
        padded,
        np.pad(_single(proposals), [*around, (0, more), (0, 0)]),
        dict.fromkeys((*contrast.ProposalScores._fields, *judge.parts)),
        length=snippets,
    )
    return {name: score[:, :count] for name, score in scores.items()}


_smoothed = jax.jit(pooling.smoothed, static_argnames="width")


def _single(values: np.ndarray) -> np.ndarray:
    """The values as float32; those that are beyond it become infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _padded(size: int) -> int:
    """The length that an array of this length is padded to."""
    return max(_LEAST, 1 << (size - 1).bit_length())


def _read_proposals(path: str, *, num_categories: int) -> np.ndarray:
    """The array `proposals` of an .npz, every row usable."""
    proposals = arrays.read_members(path, "proposals")["proposals"]
    single = proposals.ndim == 2 and proposals.shape[1] == 2
    several = proposals.ndim == 3 and proposals.shape[::2] == (num_categories, 2)
    if not (single or several) or proposals.dtype.kind not in "fiu":
        raise errors.InputError(
            f"{path}: proposals: found {proposals.shape} of {proposals.dtype}, expected "
            f"(P, 2) or ({num_categories}, P, 2) numbers"
        )
    usable = np.isfinite(proposals).all(-1) & (proposals[..., 1] > proposals[..., 0])
    wrong = np.argwhere(~usable)
    if len(wrong):
        row = tuple(int(index) for index in wrong[0])
        raise errors.InputError(
            f"{path}: proposals{list(row)}: found {proposals[row].tolist()}, expected "
            "a finite start and a later, finite end"
        )
    return proposals


def _advice(label: str) -> str:
    """How a label that is a number gets a name, as the end of a sentence."""
    if labels.is_number(label):
        return "; --labels FILE names those that are numbers"
    return ""


def _score_rows(
    rows: list[dict[str, Any]],
    scp: np.ndarray,
    categories: list[str],
    timebase: manifest.Timebase,
    judge: Judge,
    video: np.ndarray,
    place: str,
) -> None:
    """Adds the scores to the rows of one video, whose own scores are `video` [N]."""
    seconds = np.array([row["segment"] for row in rows], np.float64)
    proposals = segments.seconds_to_snippets(seconds, **timebase._asdict())
    empty = np.flatnonzero(~(proposals[:, 1] > proposals[:, 0]))
    if len(empty):
        raise errors.InputError(
            f"{place}[{empty[0]}]: found segment {seconds[empty[0]].tolist()}, expected "
            "an end after the start"
        )
    for row, proposal in enumerate(rows):
        if proposal.get("label", categories[0]) not in categories:
            raise errors.InputError(
                f"{place}[{row}]: label {proposal['label']!r} is none of the "
                f"{len(categories)} categories of the SCP{_advice(proposal['label'])}"
            )
    parts = judge.parts
    bonus = judge.video_score_weight * video
    scores = jax.device_get(_padded_scores(scp, proposals, judge))
    usable = [np.isfinite(part).all(axis=0) for part in scores.values()]
    is_finite = np.all(usable, axis=0)
    if not is_finite.all():
        row = int(np.flatnonzero(~is_finite)[0])
        raise errors.InputError(
            f"{place}[{row}]: found segment {seconds[row].tolist()}, so far from the"
            f" {len(scp)} snippets of the SCP that its scores are no numbers; expected"
            " seconds within the video"
        )
    decisive = sum(scores[part] for part in parts) + bonus[:, None]
    for row, proposal in enumerate(rows):
        best = categories[int(decisive[:, row].argmax())]
        category = categories.index(proposal.setdefault("label", best))
        if "score" in proposal:
            proposal["input_score"] = proposal["score"]
        for name, values in scores.items():
            proposal[name] = float(values[category, row])
        proposal["score"] = sum(proposal[part] for part in parts)
        proposal["score"] += float(bonus[category])
