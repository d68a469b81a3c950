"""Folders with .npy files for each video, in the layouts of several code bases.

Every `open_*` checks the headers of all files; values are read only through the
`read` of the `Dataset` it returns. Arrays are mapped, never unpickled. What a layout
fixes stands here, such as the order of the streams; what it leaves open is an option
without a default. Snippets tile the video unless a function says otherwise.
"""

import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cleannet_jax import errors
from cleannet_jax.data import annotation_files, text
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import layout, npy_files, stored

# I3D as these code bases use it: 16 frames a snippet.
_I3D_FRAMES = 16
_I3D_FPS = 25.0
_STPN_FPS = 10.0


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
                npy_files.pairs(
                    rgb=features / subset / "rgb", flow=features / subset / "flow"
                ),
            )
            for subset in ("train", "test")
        ],
        place=features,
    )
    found = npy_files.separate(pairs)
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
      stream_order: of the columns, which nothing in the layout says: see
        `stored.parse_order`.
      train_subset: what `gt.json` calls the videos of `train`; the default is that of
        THUMOS14.
      evaluation_subset: what it calls those of `test`.
      rescaled_to: snippets that every video was rescaled to, whatever its duration
        (ActivityNet's have 75); None for features that were not.

    Raises:
      InputError: a file is missing or cannot be used; the message names it.
    """
    stored.parse_order(stream_order)
    folder = pathlib.Path(folder)
    annotations = annotations_lib.read_annotations(folder / "gt.json")
    parts = [
        (train_subset, npy_files.listing(folder / "train")),
        (evaluation_subset, npy_files.listing(folder / "test")),
    ]
    paths, notes = layout.matched_files(annotations, parts, place=folder)
    found = npy_files.joint(paths, stream_order)
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
    found = npy_files.separate(pairs)
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


def _numbered_pairs(
    folder: pathlib.Path, list_path: str | os.PathLike
) -> dict[str, npy_files.Streams]:
    """The files of each stream by id, where a file's name is its number in a list."""
    names = [line.text for line in text.read_lines(list_path)]
    numbers = {str(number): name for number, name in enumerate(names, start=1)}
    pairs = npy_files.pairs(rgb=folder / "rgb_features", flow=folder / "flow_features")
    for number, streams in pairs.items():
        if number not in numbers:
            raise errors.InputError(
                f"{streams['rgb']}: found {number!r}, expected a number from 1 to"
                f" {len(names)}, a line of {list_path}"
            )
    return {numbers[number]: pair for number, pair in pairs.items()}


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
        listed = layout.ids_in(folder / name)
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
