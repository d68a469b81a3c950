"""AutoLoc's release: UntrimmedNet features in TSV files, with pickles beside them.

`autoloc_rows` reads the TSV files of a stage ("train", "val", "test"). Snippets are 15
frames at the video's own rate and tile it; the number of snippets does not follow from
the duration. `autoloc_truth` reads the pickles beside them, `autoloc_release` knows the
two data sets and the ids.
"""

import functools
import os
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import agreement, annotation_files, recovered_heads
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import autoloc_release as release_lib
from cleannet_jax.data.layouts import autoloc_rows, layout
from cleannet_jax.data.layouts import autoloc_truth as truth_lib
from cleannet_jax.metrics import average_precision

_FRAMES = 15


def open_autoloc(
    folder: str | os.PathLike,
    *,
    dataset: str | None = None,
    annotations: str | os.PathLike | None = None,
    fps: float | None = None,
) -> dataset_lib.Dataset:
    """Opens a folder of the release, such as its `data/TH14`.

    Args:
      folder: holds the TSV files, and the pickles and `org2idx.map` as far as needed.
      dataset: "thumos14" or "activitynet12"; None where the names of the files tell:
        only one of them has a `test`, only the other a `train`.
      annotations: path of an annotation file, or of a folder of THUMOS14's own, which
        goes before the pickled ground truth. ActivityNet's own file must be named,
        since the names of its categories are in none of the others.
      fps: frames a second of every video; None for the rates in the meta pickles, or
        else in the annotations.

    Raises:
      InputError: a file is missing or cannot be used; the message names it.
    """
    opened = release_lib.open_rows(folder, dataset)
    meta = truth_lib.read_meta(opened)
    if annotations is None:
        truth, notes = truth_lib.own_annotations(opened, meta)
    else:
        truth, notes = annotation_files.read_annotations(annotations), ()
    truth = truth_lib.with_meta(truth, meta)
    categories = release_lib.categories(opened.release, truth)
    train, evaluation = (
        _subset(opened, stage, truth) for stage in opened.release.stages
    )
    ids, matching = layout.matched_ids(
        truth, opened.rows, subsets=(train, evaluation), place=folder
    )
    return dataset_lib.create_dataset(
        manifest_lib.Manifest(
            name=f"AutoLoc {opened.name}",
            streams=layout.streams(autoloc_rows.WIDTH),
            stride_frames=_FRAMES,
            window_frames=_FRAMES,
            offset_frames=0,
            fps=layout.frame_rate(truth, ids, fps=fps),
            train_subset=train,
            evaluation_subset=evaluation,
            source="UntrimmedNet features released by AutoLoc",
            backbone_trained_on=_seen(opened, train, evaluation),
        ),
        annotations=truth,
        lengths={name: autoloc_rows.count_snippets(opened.rows[name]) for name in ids},
        read_streams=functools.partial(_read_streams, opened.rows, len(categories)),
        notes=(
            *(*opened.notes, *notes, *matching),
            *_label_notes(opened, truth, categories, ids),
        ),
    )


def open_outputs(
    folder: str | os.PathLike,
    *,
    ids: Collection[str],
    dataset: str | None = None,
    annotations: str | os.PathLike | None = None,
) -> tuple[tuple[str, ...], Iterator[recovered_heads.Outputs]]:
    """Returns the names of the N categories, and what UntrimmedNet made of videos.

    Args:
      folder: as in `open_autoloc`.
      ids: of the videos; each is read when it is asked for.
      dataset: as in `open_autoloc`.
      annotations: as in `open_autoloc`.

    Raises:
      InputError: as `open_autoloc` does; a row that cannot be used raises it when it
        is asked for.
    """
    opened = release_lib.open_rows(folder, dataset)
    truth = annotation_files.read_annotations(annotations) if annotations else None
    categories = release_lib.categories(opened.release, truth)
    return categories, (
        autoloc_rows.read_row(opened.rows[name], num_categories=len(categories))
        for name in ids
    )


def read_results(
    path: str | os.PathLike,
    *,
    dataset: str,
    annotations: str | os.PathLike,
    id_map: str | os.PathLike | None = None,
    warn: Callable[[str], None] = lambda line: None,
) -> average_precision.Instances:
    """Returns the detections of a results pickle, [M], in the order of the file.

    Lines of the map that are damaged are left out, and with them the detections in
    videos that it then does not name, or names otherwise than the annotations do.

    Args:
      path: the pickle, one frame a category.
      dataset: "thumos14" or "activitynet12".
      annotations: path of an annotation file with the duration of each video.
      id_map: path of `org2idx.map`; None where numbers alone make the ids.
      warn: is given what was left out, a line each.

    Raises:
      InputError: the file is no such pickle, or a video or its duration is unknown;
        the message names the frame and the row.
    """
    release = release_lib.find_release(dataset)
    truth = annotation_files.read_annotations(annotations)
    ids = release_lib.Ids({}, {}, ())
    if id_map:
        ids = release_lib.read_ids(pathlib.Path(id_map))
    categories = release_lib.categories(release, truth)
    frames = truth_lib.read_frames(
        path, categories, ("video-id", "t-start", "t-end", "score")
    )
    names: dict[str, int] = {}
    left_out: dict[int, int] = {}
    video, label, segments, scores = [], [], [], []
    for frame, row, place in frames:
        number = truth_lib.video_number(row[0], place)
        name = release_lib.make_id(number, release.stages[1], ids.names)
        if id_map and name not in truth.videos:
            left_out[number] = left_out.get(number, 0) + 1
            continue
        video.append(names.setdefault(name, len(names)))
        label.append(frame)
        duration = _duration(truth, name, place, has_map=bool(id_map))
        segments.append(truth_lib.segment(row[1:3], duration, place))
        scores.append(truth_lib.finite(row[3], place))
    for line in (*ids.damaged, *_left_out(left_out, ids, id_map, truth.path)):
        warn(line)
    if left_out and not names:
        raise errors.InputError(
            f"{path}: none of its {len(left_out)} videos is by {id_map} one of"
            f" {truth.path}"
        )
    return average_precision.Instances(
        videos=tuple(names),
        labels=categories,
        video=np.array(video, int),
        label=np.array(label, int),
        segments=np.array(segments, float).reshape(-1, 2),
        scores=np.array(scores, float),
    )


def _left_out(
    counts: Mapping[int, int],
    ids: release_lib.Ids,
    id_map: str | os.PathLike | None,
    truth: str,
) -> Iterator[str]:
    """What is said of videos whose detections are left out, a line each."""
    for number, count in counts.items():
        where = f"found no line of number {number}"
        if number in ids.names:
            where = f"found {ids.names[number]!r}, expected a video of {truth}"
        place = ids.places.get(number, f"{id_map}")
        yield f"{place}: {where}; {count} detections are left out"


def _read_streams(
    rows: Mapping[str, autoloc_rows.Place], num_categories: int, video_id: str
) -> tuple[np.ndarray, np.ndarray]:
    """RGB and flow features of one video."""
    row = autoloc_rows.read_row(rows[video_id], num_categories=num_categories)
    return row.features[0], row.features[1]


def _subset(
    opened: release_lib.Opened,
    stage: release_lib.Stage,
    truth: annotations_lib.Annotations,
) -> str:
    """What the annotations call the videos of a stage."""
    found = {
        truth.videos[video_id].subset
        for video_id, own in opened.stages.items()
        if own == stage and video_id in truth.videos
    }
    if len(found) > 1:
        raise errors.InputError(
            f"{truth.path}: found videos of {stage.name} files in subsets"
            f" {agreement.listed(found)}, expected one"
        )
    return found.pop() if found else stage.subset


def _seen(opened: release_lib.Opened, train: str, evaluation: str) -> tuple[str, ...]:
    """What the backbone was trained on, with subsets as the annotations name them."""
    names = {
        stage.subset: own
        for stage, own in zip(opened.release.stages, (train, evaluation), strict=True)
    }
    seen = tuple(names.get(name, name) for name in opened.release.seen)
    is_clean = opened.name == "thumos14" or all(
        "onlytrain" in place.path.parent.name for place in opened.rows.values()
    )
    # UntrimmedNet's other weights for ActivityNet were trained on both subsets.
    return seen if is_clean else (*seen, evaluation)


def _label_notes(
    opened: release_lib.Opened,
    truth: annotations_lib.Annotations,
    categories: Sequence[str],
    ids: Sequence[str],
) -> tuple[str, ...]:
    """Notes on videos whose row has other labels than their segments."""
    different = []
    for video_id in ids:
        numbers = opened.rows[video_id].labels
        if max(numbers, default=0) >= len(categories):
            raise errors.InputError(
                f"{opened.rows[video_id]}: labels: found {max(numbers) + 1}, expected 1"
                f" to {len(categories)}"
            )
        names = {categories[number] for number in numbers}
        if names and names != set(truth.videos[video_id].categories):
            different.append(video_id)
    return layout.note(different, "labels of the rows differ from the annotations'")


def _duration(
    truth: annotations_lib.Annotations, name: str, place: str, *, has_map: bool
) -> float:
    """Seconds of an annotated video."""
    video = truth.videos.get(name)
    if video is None or video.duration is None:
        lacking = "is not" if video is None else "has no duration"
        hint = "; --id-map org2idx.map says which id a number stands for"
        raise errors.InputError(
            f"{place}: video {name!r} {lacking} in {truth.path}"
            f"{'' if has_map or video else hint}"
        )
    return video.duration
