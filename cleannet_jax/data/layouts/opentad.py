"""The layout of OpenTAD and ActionFormer: one (T, 2D) .npy file a video."""

import dataclasses
import difflib
import os
import pathlib
import reprlib

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import files, text
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import layout, npy_files, stored


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
      stream_order: of the columns, which nothing in the layout says: see
        `stored.parse_order`.
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
    stored.parse_order(stream_order)
    folder, path = pathlib.Path(folder), pathlib.Path(annotations)
    annotated, rate_notes = _with_frame_rates(path)
    _check_categories(annotated, path.parent / "category_idx.txt")
    left_out = folder / "missing_files.txt"
    missing = layout.ids_in(left_out)
    listing = npy_files.listing(folder, pattern=file_pattern)
    ids, notes = layout.matched_ids(
        annotated,
        listing.keys() - missing,
        subsets=(train_subset, evaluation_subset),
        place=folder,
    )
    paths = {video_id: listing[video_id] for video_id in ids}
    found = npy_files.joint(paths, stream_order)
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
                    f"{path}: database[{text.quoted(video.id)}]: frame: found"
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
    known = dict.fromkeys(line.text for line in text.read_lines(path))
    if not known:
        raise errors.InputError(f"{path}: found no category, expected one a line")
    for video in annotations.videos.values():
        for label in video.categories:
            if label not in known:
                words = [name[:100] for name in known][:1000]
                nearest = difflib.get_close_matches(label[:100], words, 1, cutoff=0)[0]
                raise errors.InputError(
                    f"{annotations.path}: database[{text.quoted(video.id)}]: label {label!r} is"
                    f" not in {path}; the nearest is {nearest!r}"
                )
