"""THUMOS14's ground truth in the variants that published numbers were computed on.

Every variant is the official ground truth without some of its videos or segments, for
the reason that stands beside them here. Videos are named as in the official
annotations, `video_test_0000270`; categories are spelled as there. Times are seconds.

CliffDiving is a part of Diving: each of its segments is annotated as Diving once more,
with the same times. The categories are scored one by one, so that a detector which
calls a dive CliffDiving alone misses an instance of Diving.
"""

import dataclasses

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.metrics import average_precision

# Annotated with 29 HammerThrow segments, 22 of which begin after the video's end.
_OTHER_CUT = "video_test_0000270"
# Has no segment of a category, only Ambiguous ones.
_NO_ACTION = "video_test_0001292"
# Shows FrisbeeCatch by its own label, annotated with 18 CricketShot segments.
_OTHER_CONTENT = "video_test_0001496"

# Annotated with a category that is not among the labels of the video. The SSN code base
# (yjxiong/action-detection, 3d8ff83) avoids exactly these, and so did AutoLoc.
_OTHER_LABEL = frozenset(
    {
        ("video_test_0000270", "HammerThrow"),
        ("video_test_0000367", "HighJump"),
        ("video_test_0000392", "CricketShot"),
        ("video_test_0000549", "CricketShot"),
        ("video_test_0000569", "CricketShot"),
        ("video_test_0000622", "CricketBowling"),
        ("video_test_0000786", "CricketShot"),
        ("video_test_0000798", "CricketBowling"),
        ("video_test_0001164", "CleanAndJerk"),
        ("video_test_0001194", "CricketBowling"),
        ("video_test_0001313", "CricketShot"),
        ("video_test_0001358", "CricketBowling"),
        ("video_test_0001468", "CleanAndJerk"),
        ("video_test_0001496", "CricketShot"),
        ("video_validation_0000171", "CricketShot"),
        ("video_validation_0000173", "CricketShot"),
        ("video_validation_0000178", "CricketShot"),
        ("video_validation_0000183", "CricketBowling"),
        ("video_validation_0000665", "LongJump"),
        ("video_validation_0000786", "ThrowDiscus"),
        ("video_validation_0000932", "GolfSwing"),
    }
)

# Durations of the other videos with segments that begin after the end: 3, 1, 2 and 2
# of them. Annotation files need not have durations, so they stand here.
_ENDS = {
    "video_test_0000814": 181.234,
    "video_test_0001081": 117.234,
    "video_validation_0000364": 112.638,
    "video_validation_0000856": 83.145,
}

# Categories that are a part of another one.
PARENTS = {"CliffDiving": "Diving"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """What a variant leaves out of the official ground truth.

    Attributes:
      description: what that is, in words.
      videos: left out with everything that is annotated or detected in them.
      pairs: (video, category) whose segments are left out. The video stays, and what
        is detected there can only be wrong.
      ends: by video, the time in seconds after which no segment may begin.
      counts: by subset, how many videos have a segment, and how many segments there
        are, if the rest is the official ground truth.
    """

    description: str
    videos: frozenset[str] = frozenset()
    pairs: frozenset[tuple[str, str]] = frozenset()
    ends: dict[str, float] = dataclasses.field(default_factory=dict)
    counts: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


VARIANTS = {
    "official": Variant(description="everything in the file"),
    "212": Variant(
        description=f"without {_NO_ACTION}, which has no action",
        videos=frozenset({_NO_ACTION}),
        counts={"test": (212, 3358)},
    ),
    "211": Variant(
        description=f"without {_OTHER_CUT} and {_NO_ACTION}",
        videos=frozenset({_OTHER_CUT, _NO_ACTION}),
        counts={"test": (211, 3329)},
    ),
    "210": Variant(
        description=f"without {_OTHER_CUT}, {_NO_ACTION} and {_OTHER_CONTENT}",
        videos=frozenset({_OTHER_CUT, _NO_ACTION, _OTHER_CONTENT}),
        counts={"test": (210, 3311)},
    ),
    "ssn3234": Variant(
        description="without the segments whose category is not a label of their video"
        " and those that begin after its end, as in SSN and AutoLoc",
        pairs=_OTHER_LABEL,
        ends=_ENDS,
        counts={"test": (210, 3234), "validation": (200, 2973)},
    ),
}


def apply_variant(
    annotations: annotations_lib.Annotations, name: str
) -> annotations_lib.Annotations:
    """Returns the annotations as a variant has them.

    What a variant leaves out may be absent already.

    Raises:
      InputError: there is no variant of that name, or the file is not of THUMOS14.
    """
    if name not in VARIANTS:
        raise errors.InputError(
            f"variant: found {name!r}, expected one of {', '.join(VARIANTS)}"
        )
    variant = VARIANTS[name]
    if variant == VARIANTS["official"]:
        return annotations
    prefixes = ("video_test_", "video_validation_")
    if not any(video.startswith(prefixes) for video in annotations.videos):
        raise errors.InputError(
            f"{annotations.path}: variant {name!r} is one of THUMOS14's ground truth,"
            " whose videos are named as in 'video_test_0000004'; none is here"
        )
    videos = {
        video.id: _selected(video, variant)
        for video in annotations.videos.values()
        if video.id not in variant.videos
    }
    return dataclasses.replace(annotations, videos=videos)


def videos_without_parent(predictions: average_precision.Instances) -> list[str]:
    """Returns the videos with detections of a category and none of the one it is in."""
    found = _videos_of(predictions)
    lacking = set()
    for child, parent in PARENTS.items():
        lacking |= found.get(child, set()) - found.get(parent, set())
    return sorted(lacking)


def with_parents(
    predictions: average_precision.Instances,
) -> average_precision.Instances:
    """Returns the detections, and once more as Diving what is detected as CliffDiving.

    A detection is copied, with its score, unless its video has one of Diving with the
    same segment. The copies come after all other rows.
    """
    for child, parent in PARENTS.items():
        if child in predictions.labels:
            predictions = _with_parent(predictions, child, parent)
    return predictions


def _selected(video: annotations_lib.Video, variant: Variant) -> annotations_lib.Video:
    """The video with the segments that the variant keeps."""
    last = variant.ends.get(video.id, np.inf)
    rows = [
        row
        for row, label in enumerate(video.labels)
        if (video.id, label) not in variant.pairs and video.segments[row, 0] <= last
    ]
    return dataclasses.replace(
        video,
        segments=video.segments[rows],
        labels=tuple(video.labels[row] for row in rows),
    )


def _videos_of(predictions: average_precision.Instances) -> dict[str, set[str]]:
    """Names of the videos with detections of each category."""
    pairs = np.unique(np.stack([predictions.label, predictions.video]), axis=1)
    found: dict[str, set[str]] = {}
    for label, video in pairs.T.tolist():
        names = found.setdefault(predictions.labels[label], set())
        names.add(predictions.videos[video])
    return found


def _with_parent(
    predictions: average_precision.Instances, child: str, parent: str
) -> average_precision.Instances:
    """The detections with copies of one category's in another's."""
    labels = tuple(dict.fromkeys((*predictions.labels, parent)))
    is_parent = predictions.label == labels.index(parent)
    there = set(map(tuple, _keys(predictions, np.flatnonzero(is_parent))))
    rows = np.flatnonzero(predictions.label == labels.index(child))
    keys = map(tuple, _keys(predictions, rows))
    rows = rows[np.array([key not in there for key in keys], bool)]
    every = np.concatenate([np.arange(predictions.label.size), rows])
    copied = average_precision.take(predictions._replace(labels=labels), every)
    copied.label[predictions.label.size :] = labels.index(parent)
    return copied


def _keys(predictions: average_precision.Instances, rows: np.ndarray) -> list[list]:
    """Video, start and end of some detections."""
    columns = (predictions.video[rows, None], predictions.segments[rows])
    return np.concatenate(columns, axis=1).tolist()
