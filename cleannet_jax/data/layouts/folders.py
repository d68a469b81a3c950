"""Folders with .npy files for each video, in the layouts of several code bases.

Every `open_*` checks the headers of all files; values are read only through the
`read` of the `Dataset` it returns. Arrays are mapped, never unpickled. What a layout
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

from cleannet_jax import errors
from cleannet_jax.data import annotation_files, arrays, files, text
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import layout, stored

# I3D as these code bases use it: 16 frames a snippet.
_I3D_FRAMES = 16
_I3D_FPS = 25.0
_STPN_FPS = 10.0

_Streams = dict[str, pathlib.Path]  # The file of each stream.


def open_basnet(
    folder: str | os.PathLike, *, rescaled_to: int | None = None
) -> dataset_lib.Dataset:
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
            (
                subset,
                _pairs(rgb=features / subset / "rgb", flow=features / subset / "flow"),
            )
            for subset in ("train", "test")
        ],
        place=features,
    )
    found = _separate(pairs)
    splits = [("train", "split_train.txt"), ("test", "split_test.txt")]
    return dataset_lib.create_dataset(
        manifest_lib.Manifest(
            name="BaSNet",
            streams=found.streams,
            train_subset="train",
            evaluation_subset="test",
            source="I3D features in the layout of BaSNet and CoLA",
            backbone_trained_on=("Kinetics",),
            **_i3d_time(annotations, found.lengths, rescaled_to),
        ),
        annotations=annotations,
        lengths=found.lengths,
        read_streams=found.read,
        notes=(
            *notes,
            *_split_notes(folder, annotations, splits),
            *found.notes,
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
) -> dataset_lib.Dataset:
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
    stored.check_order(stream_order)
    folder = pathlib.Path(folder)
    annotations = annotations_lib.read_annotations(folder / "gt.json")
    parts = [
        (train_subset, _listing(folder / "train")),
        (evaluation_subset, _listing(folder / "test")),
    ]
    paths, notes = layout.matched_files(annotations, parts, place=folder)
    found = _joint(paths, stream_order)
    splits = [(train_subset, "split_train.txt"), (evaluation_subset, "split_test.txt")]
    return dataset_lib.create_dataset(
        manifest_lib.Manifest(
            name="ACM-Net",
            streams=found.streams,
            train_subset=train_subset,
            evaluation_subset=evaluation_subset,
            source=f"I3D features in the layout of ACM-Net, {stream_order} as declared",
            backbone_trained_on=("Kinetics",),
            **_i3d_time(annotations, found.lengths, rescaled_to),
        ),
        annotations=annotations,
        lengths=found.lengths,
        read_streams=found.read,
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
) -> dataset_lib.Dataset:
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
    stored.check_order(stream_order)
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
    found = _joint(paths, stream_order)
    return dataset_lib.create_dataset(
        manifest_lib.Manifest(
            name="OpenTAD",
            streams=found.streams,
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
        lengths=found.lengths,
        read_streams=found.read,
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
) -> dataset_lib.Dataset:
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
    annotated = annotation_files.read_annotations(annotations)
    parts = [
        (train_subset, _numbered_pairs(folder / "train_data", train_list)),
        (evaluation_subset, _numbered_pairs(folder / "test_data", evaluation_list)),
    ]
    pairs, notes = layout.matched_files(annotated, parts, place=folder)
    found = _separate(pairs)
    if found.notes:
        raise errors.InputError(f"{folder}: {found.notes[0]}, expected equal lengths")
    return dataset_lib.create_dataset(
        manifest_lib.Manifest(
            name="STPN",
            streams=found.streams,
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
        lengths=found.lengths,
        read_streams=found.read,
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


def _pairs(**places: pathlib.Path) -> dict[str, _Streams]:
    """The files of each stream by id, none of which may lack a stream."""
    found = {name: _listing(place) for name, place in places.items()}
    return stored.paired(found, places=places)


def _numbered_pairs(
    folder: pathlib.Path, list_path: str | os.PathLike
) -> dict[str, _Streams]:
    """The files of each stream by id, where a file's name is its number in a list."""
    names = [line.text for line in text.read_lines(list_path)]
    numbers = {str(number): name for number, name in enumerate(names, start=1)}
    pairs = _pairs(rgb=folder / "rgb_features", flow=folder / "flow_features")
    for number, streams in pairs.items():
        if number not in numbers:
            raise errors.InputError(
                f"{streams['rgb']}: found {number!r}, expected a number from 1 to {len(names)}, a"
                f" line of {list_path}"
            )
    return {numbers[number]: pair for number, pair in pairs.items()}


def _stored(path: pathlib.Path) -> stored.Stored:
    """The array of a file, once it is one of features."""
    shape = layout.check_shape(arrays.read_header(path), path)
    return stored.Stored(str(path), shape, functools.partial(arrays.map_array, path))


def _joint(paths: Mapping[str, pathlib.Path], stream_order: str) -> stored.Features:
    """The features of files with all streams."""
    found = {video_id: _stored(path) for video_id, path in paths.items()}
    return stored.joint(found, order=stream_order)


def _separate(pairs: Mapping[str, _Streams]) -> stored.Features:
    """The features of files with one stream each."""
    return stored.separate(
        {
            video_id: {name: _stored(path) for name, path in streams.items()}
            for video_id, streams in pairs.items()
        }
    )


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
        for label in video.categories:
            if label not in known:
                nearest = difflib.get_close_matches(label, known, n=1, cutoff=0)[0]
                raise errors.InputError(
                    f"{annotations.path}: database[{video.id!r}]: label {label!r} is"
                    f" not in {path}; the nearest is {nearest!r}"
                )
