"""Folders with .npy files for each video, in the layouts of several code bases.

Every `open_*` checks the headers of all files; values are read only through the
`read` of the `Source` it returns. Arrays are mapped, never unpickled. What a layout
fixes stands here, such as the order of the streams; what it leaves open is an option
without a default. Snippets tile the video unless a function says otherwise.
"""

import dataclasses
import difflib
import functools
import os
import pathlib
import reprlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import arrays, files, sources, text
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import layout

# I3D as these code bases use it: 16 frames a snippet.
_I3D_FRAMES = 16
_I3D_FPS = 25.0
_STPN_FPS = 10.0

_Pair = tuple[pathlib.Path, pathlib.Path]  # The files of RGB and of flow.


def open_basnet(
    folder: str | os.PathLike, *, rescaled_to: int | None = None
) -> sources.Source:
    """Opens the layout of BaSNet, CoLA and WTAL-Uncertainty-Modeling.

    `gt.json`, `split_{train|test}.txt` and `features/{train|test}/{rgb|flow}/ID.npy`,
    I3D at 25 fps. Streams of different lengths are cut to the shorter one, as those
    code bases do, and a note says where.

    Args:
      folder: holds `gt.json` and `features`.
      rescaled_to: snippets that every video was rescaled to, whatever its duration
        (CoLA's ActivityNet has 50); None for features that were not. `gt.json` must
        then have durations, which that of THUMOS14 has not.

    Raises:
      InputError: a file is missing or cannot be used; the message names it.
    """
    folder = pathlib.Path(folder)
    annotations = annotations_lib.read_annotations(folder / "gt.json")
    features = folder / "features"
    pairs, notes = layout.matched_files(
        annotations,
        [
            (subset, _pairs(features / subset / "rgb", features / subset / "flow"))
            for subset in ("train", "test")
        ],
        place=features,
    )
    lengths, width = _pair_shapes(pairs)
    shortest = {video_id: min(both) for video_id, both in lengths.items()}
    splits = [("train", "split_train.txt"), ("test", "split_test.txt")]
    return sources.Source(
        manifest=manifest_lib.Manifest(
            name="BaSNet",
            streams=layout.streams(width),
            train_subset="train",
            evaluation_subset="test",
            source="I3D features in the layout of BaSNet and CoLA",
            backbone_trained_on=("Kinetics",),
            **_i3d_time(annotations, shortest, rescaled_to),
        ),
        annotations=annotations,
        ids=tuple(pairs),
        read=functools.partial(_read_pair, pairs),
        notes=(
            *notes,
            *_split_notes(folder, annotations, splits),
            *_clipped_notes(lengths),
            *_duration_notes(annotations, pairs.keys()),
        ),
    )


def open_acmnet(
    folder: str | os.PathLike,
    *,
    stream_order: str,
    train_subset: str = "validation",
    evaluation_subset: str = "test",
    rescaled_to: int | None = None,
) -> sources.Source:
    """Opens the layout of ACM-Net: `gt.json` and `{train|test}/ID.npy`, (T, 2D).

    I3D at 25 fps unless `rescaled_to` is given.

    Args:
      folder: holds `gt.json`, `train` and `test`.
      stream_order: "rgb,flow" or "flow,rgb", which nothing in the layout says.
      train_subset: what `gt.json` calls the videos of `train`; the default is that of
        THUMOS14.
      evaluation_subset: what it calls those of `test`.
      rescaled_to: snippets that every video was rescaled to, whatever its duration
        (ActivityNet's have 75); None for features that were not.

    Raises:
      InputError: a file is missing or cannot be used; the message names it.
    """
    layout.check_order(stream_order)
    folder = pathlib.Path(folder)
    annotations = annotations_lib.read_annotations(folder / "gt.json")
    parts = [
        (train_subset, _listing(folder / "train")),
        (evaluation_subset, _listing(folder / "test")),
    ]
    paths, notes = layout.matched_files(annotations, parts, place=folder)
    lengths, width = _joint_shapes(paths)
    splits = [(train_subset, "split_train.txt"), (evaluation_subset, "split_test.txt")]
    return sources.Source(
        manifest=manifest_lib.Manifest(
            name="ACM-Net",
            streams=layout.streams(width),
            train_subset=train_subset,
            evaluation_subset=evaluation_subset,
            source=f"I3D features in the layout of ACM-Net, {stream_order} as declared",
            backbone_trained_on=("Kinetics",),
            **_i3d_time(annotations, lengths, rescaled_to),
        ),
        annotations=annotations,
        ids=tuple(paths),
        read=functools.partial(_read_joint, paths, stream_order=stream_order),
        notes=(
            *notes,
            *_split_notes(folder, annotations, splits),
            *_duration_notes(annotations, paths.keys()),
        ),
    )


def open_opentad(
    folder: str | os.PathLike,
    *,
    annotations: str | os.PathLike,
    stream_order: str,
    train_subset: str = "training",
    evaluation_subset: str = "validation",
    stride_frames: float = 4,
    window_frames: float = 16,
    fps: float | None = None,
    file_pattern: str = "{id}.npy",
) -> sources.Source:
    """Opens the layout of OpenTAD and ActionFormer: one (T, 2D) .npy file a video.

    A frame rate is the `fps` of the video or, as in OpenTAD, its `frame` / `duration`.
    Where `category_idx.txt` lies beside the annotations, it lists the only labels that
    may occur; where `missing_files.txt` lies in the folder, its videos are left out.

    Windows overlap, and both code bases place a snippet at the middle of its window.
    Snippet t is the `stride_frames` around there: it begins at frame
    t * stride_frames + (window_frames - stride_frames) / 2.

    Args:
      folder: holds the .npy files.
      annotations: path of the annotation file.
      stream_order: "rgb,flow" or "flow,rgb", which nothing in the layout says.
      train_subset: the subset to train on. What OpenTAD calls "training" of THUMOS14
        is "validation" in ActionFormer's file.
      evaluation_subset: the subset to evaluate on; "test" in ActionFormer's file.
      stride_frames: from one snippet to the next; the default is THUMOS14's I3D.
      window_frames: that a snippet was computed from; the default is THUMOS14's I3D.
      fps: frames a second that both counts refer to; None for each video's own.
      file_pattern: name of a video's file, with {id} in it.

    Raises:
      InputError: a file is missing or cannot be used, or a frame rate is not known;
        the message names the place.
    """
    layout.check_order(stream_order)
    folder, path = pathlib.Path(folder), pathlib.Path(annotations)
    annotated, rate_notes = _with_frame_rates(path)
    _check_categories(annotated, path.parent / "category_idx.txt")
    left_out = folder / "missing_files.txt"
    missing = _ids_in(left_out)
    listing = _listing(folder, pattern=file_pattern)
    ids, notes = layout.matched_ids(
        annotated,
        listing.keys() - missing,
        subsets=(train_subset, evaluation_subset),
        place=folder,
    )
    paths = {video_id: listing[video_id] for video_id in ids}
    _, width = _joint_shapes(paths)
    return sources.Source(
        manifest=manifest_lib.Manifest(
            name="OpenTAD",
            streams=layout.streams(width),
            stride_frames=stride_frames,
            window_frames=window_frames,
            offset_frames=(window_frames - stride_frames) / 2,
            fps=layout.frame_rate(annotated, ids, fps=fps),
            train_subset=train_subset,
            evaluation_subset=evaluation_subset,
            source=f"features in the layout of OpenTAD, {stream_order} as declared",
            backbone_trained_on=(),
        ),
        annotations=annotated,
        ids=ids,
        read=functools.partial(_read_joint, paths, stream_order=stream_order),
        notes=(
            *notes,
            *layout.note(listing.keys() & missing, f"left out, as {left_out} says"),
            *(rate_notes if fps is None else ()),
        ),
    )


def open_stpn(
    folder: str | os.PathLike,
    *,
    annotations: str | os.PathLike,
    train_list: str | os.PathLike,
    evaluation_list: str | os.PathLike,
    train_subset: str = "validation",
    evaluation_subset: str = "test",
) -> sources.Source:
    """Opens the layout of STPN: files numbered by the lines of a list of videos.

    `{train|test}_data/{rgb|flow}_features/1.npy` and so on, I3D at 10 fps.

    Args:
      folder: holds `train_data` and `test_data`.
      annotations: path of an annotation file, or of a folder of THUMOS14's own.
      train_list: path of the text file whose n-th id is that of `train_data`'s n.npy.
      evaluation_list: the same for `test_data`.
      train_subset: what the annotations call the videos of `train_data`.
      evaluation_subset: what they call those of `test_data`.

    Raises:
      InputError: a file is missing or cannot be used, or has a number that the list
        does not go to; the message names it.
    """
    folder = pathlib.Path(folder)
    annotated = layout.read_annotations(annotations)
    parts = [
        (train_subset, _numbered_pairs(folder / "train_data", train_list)),
        (evaluation_subset, _numbered_pairs(folder / "test_data", evaluation_list)),
    ]
    pairs, notes = layout.matched_files(annotated, parts, place=folder)
    lengths, width = _pair_shapes(pairs)
    for video_id, (rgb, flow) in lengths.items():
        if rgb != flow:
            raise errors.InputError(
                f"{pairs[video_id][1]}: found {flow} snippets, expected {rgb} as in"
                f" {pairs[video_id][0]}"
            )
    return sources.Source(
        manifest=manifest_lib.Manifest(
            name="STPN",
            streams=layout.streams(width),
            stride_frames=_I3D_FRAMES,
            window_frames=_I3D_FRAMES,
            offset_frames=0,
            fps=_STPN_FPS,
            train_subset=train_subset,
            evaluation_subset=evaluation_subset,
            source="I3D features in the layout of STPN",
            backbone_trained_on=("Kinetics",),
        ),
        annotations=annotated,
        ids=tuple(pairs),
        read=functools.partial(_read_pair, pairs),
        notes=(*notes, *_duration_notes(annotated, pairs.keys())),
    )


def _listing(
    folder: pathlib.Path, *, pattern: str = "{id}.npy"
) -> dict[str, pathlib.Path]:
    """The files of a folder whose names follow the pattern, by id."""
    prefix, found, suffix = pattern.partition("{id}")
    if not found or not suffix.endswith(".npy"):
        raise errors.InputError(
            f"file pattern: found {pattern!r}, expected a name with {{id}} in it and"
            " .npy last"
        )
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise errors.InputError(f"{folder}: {error.strerror}") from None
    return {
        name[len(prefix) : len(name) - len(suffix)]: folder / name
        for name in names
        if name.startswith(prefix)
        and name.endswith(suffix)
        and len(name) > len(prefix) + len(suffix)
    }


def _pairs(rgb: pathlib.Path, flow: pathlib.Path) -> dict[str, _Pair]:
    """The files of both streams by id, none of which may lack a stream."""
    first, second = _listing(rgb), _listing(flow)
    for video_id in sorted(first.keys() ^ second.keys()):
        there = first.get(video_id) or second[video_id]
        absent = (flow if video_id in first else rgb) / there.name
        raise errors.InputError(f"{absent}: no such file, but {there} is there")
    return {video_id: (first[video_id], second[video_id]) for video_id in first}


def _numbered_pairs(
    folder: pathlib.Path, list_path: str | os.PathLike
) -> dict[str, _Pair]:
    """The files of both streams by id, where a file's name is its number in a list."""
    names = [line.text for line in text.read_lines(list_path)]
    numbers = {str(number): name for number, name in enumerate(names, start=1)}
    pairs = _pairs(folder / "rgb_features", folder / "flow_features")
    for number, (rgb, _) in pairs.items():
        if number not in numbers:
            raise errors.InputError(
                f"{rgb}: found {number!r}, expected a number from 1 to {len(names)}, a"
                f" line of {list_path}"
            )
    return {numbers[number]: pair for number, pair in pairs.items()}


def _array(path: pathlib.Path) -> np.ndarray:
    """The mapped array of a file, once it is one of features."""
    array = arrays.map_array(path)
    layout.check_shape(array, path)
    return array


def _joint_shapes(paths: Mapping[str, pathlib.Path]) -> tuple[dict[str, int], int]:
    """T by id, and the width D of one stream."""
    shapes = {video_id: _array(path).shape for video_id, path in paths.items()}
    widths = {str(paths[video_id]): width for video_id, (_, width) in shapes.items()}
    lengths = {video_id: length for video_id, (length, _) in shapes.items()}
    return lengths, layout.common_width(widths, joint=True)


def _pair_shapes(
    pairs: Mapping[str, _Pair],
) -> tuple[dict[str, tuple[int, int]], int]:
    """T of RGB and of flow by id, and the width D of one stream."""
    shapes = {path: _array(path).shape for pair in pairs.values() for path in pair}
    widths = {str(path): width for path, (_, width) in shapes.items()}
    lengths = {
        video_id: (shapes[rgb][0], shapes[flow][0])
        for video_id, (rgb, flow) in pairs.items()
    }
    return lengths, layout.common_width(widths, joint=False)


def _read_pair(
    pairs: Mapping[str, _Pair], video_id: str
) -> tuple[np.ndarray, np.ndarray]:
    """RGB and flow of one video, both cut to the shorter."""
    rgb, flow = (_array(path) for path in pairs[video_id])
    length = min(len(rgb), len(flow))
    return np.array(rgb[:length]), np.array(flow[:length])


def _read_joint(
    paths: Mapping[str, pathlib.Path], video_id: str, *, stream_order: str
) -> tuple[np.ndarray, np.ndarray]:
    """RGB and flow of one video from its joint file."""
    return layout.split_streams(_array(paths[video_id]), order=stream_order)


def _i3d_time(
    annotations: annotations_lib.Annotations,
    lengths: Mapping[str, int],
    rescaled_to: int | None,
) -> dict[str, Any]:
    """The manifest's four fields about time."""
    if rescaled_to is None:
        frames, fps = _I3D_FRAMES, _I3D_FPS
    else:
        for video_id, length in lengths.items():
            if length != rescaled_to:
                raise errors.InputError(
                    f"video {video_id!r}: found {length} snippets, expected the"
                    f" {rescaled_to} that every video was rescaled to"
                )
        frames = 1
        fps = layout.rescaled_rate(annotations, lengths.keys(), length=rescaled_to)
    return {
        "stride_frames": frames,
        "window_frames": frames,
        "offset_frames": 0,
        "fps": fps,
    }


def _split_notes(
    folder: pathlib.Path,
    annotations: annotations_lib.Annotations,
    splits: Sequence[tuple[str, str]],
) -> list[str]:
    """Notes on ids that only a split list has, or only the annotations of its subset."""
    notes = []
    for subset, name in splits:
        if not (folder / name).exists():
            continue
        listed = _ids_in(folder / name)
        videos = annotations_lib.subset_videos(annotations, subset)
        annotated = {video.id for video in videos}
        lacking = f"not annotated as subset {subset!r}"
        notes += layout.note(listed - annotated, f"in {folder / name}, {lacking}")
        lacking = f"not in {folder / name}, which changes nothing here"
        notes += layout.note(annotated - listed, f"of subset {subset!r}, {lacking}")
    return notes


def _clipped_notes(lengths: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    """A note on the videos whose streams are cut to the shorter one."""
    unequal = {name: both for name, both in lengths.items() if both[0] != both[1]}
    most = max((abs(rgb - flow) for rgb, flow in unequal.values()), default=0)
    return layout.note(
        unequal, f"streams of different lengths, cut to the shorter by up to {most}"
    )


def _duration_notes(
    annotations: annotations_lib.Annotations, ids: Collection[str]
) -> tuple[str, ...]:
    """A note on the videos whose length nothing can be compared with."""
    unknown = [name for name in ids if annotations.videos[name].duration is None]
    return layout.note(unknown, "no duration to check the number of snippets against")


def _ids_in(path: pathlib.Path) -> set[str]:
    """The ids that a file lists, one a line; none if there is no such file."""
    return {line.text for line in text.read_lines(path)} if path.exists() else set()


def _with_frame_rates(
    path: pathlib.Path,
) -> tuple[annotations_lib.Annotations, tuple[str, ...]]:
    """Annotations whose videos have the frame rate that frames and duration imply."""
    annotations = annotations_lib.read_annotations(path)
    database = files.read_json(path)["database"]
    rates = {}
    for video in annotations.videos.values():
        frames = database[video.id].get("frame")
        if video.fps is None and video.duration is not None and frames is not None:
            if type(frames) not in (int, float) or not 0 < frames < 1e9:
                raise errors.InputError(
                    f"{path}: database[{video.id!r}]: frame: found"
                    f" {reprlib.repr(frames)}, expected a number of frames"
                )
            rates[video.id] = frames / video.duration
    videos = {
        name: dataclasses.replace(video, fps=rates.get(name, video.fps))
        for name, video in annotations.videos.items()
    }
    notes = layout.note(rates, "frame rate computed as frame / duration")
    return annotations_lib.Annotations(videos, annotations.path), notes


def _check_categories(
    annotations: annotations_lib.Annotations, path: pathlib.Path
) -> None:
    """Raises if there is a list of categories and a label that is not on it."""
    if not path.exists():
        return
    known = [line.text for line in text.read_lines(path)]
    if not known:
        raise errors.InputError(f"{path}: found no category, expected one a line")
    for video in annotations.videos.values():
        for label in video.labels:
            if label not in known:
                nearest = difflib.get_close_matches(label, known, n=1, cutoff=0)[0]
                raise errors.InputError(
                    f"{annotations.path}: database[{video.id!r}]: label {label!r} is"
                    f" not in {path}; the nearest is {nearest!r}"
                )
