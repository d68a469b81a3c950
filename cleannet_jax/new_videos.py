"""Videos that a trained run is to localize in, whatever is known of them.

They are those that have features: in a feature folder, or an array a file. Nobody need
have looked at them, annotated all of them, or labelled them with categories that the
run knows. What cannot be used is left out and named.
"""

import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from cleannet_jax import errors, experiment, findings, logs, runs, validation
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import agreement, annotation_files
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.feature_files import found as found_lib
from cleannet_jax.data.feature_files import table
from cleannet_jax.data.layouts import feature_folder
from cleannet_jax.ops import edges

# What stands for all videos with features in place of a subset's name.
ALL = annotations_lib.EVERYTHING


def open_for(
    run: pathlib.Path,
    description: runs.Description,
    data: Sequence[str] | None,
    *,
    manifest: str | None = None,
    fps: float | None = None,
) -> dataset_lib.Dataset:
    """Returns the videos that a run is to localize in.

    Args:
      run: folder of the run.
      description: of the run.
      data: a feature folder, or files of features; None for the run's own data.
      manifest: path of the folder's description; None for its own, or else one with the
        time base of the run.
      fps: frames a second of videos without a manifest; None for that of the run.

    Raises:
      InputError: there are no such data, nothing says how long a snippet lasts, or no
        features can be used.
    """
    if data is None and description.data == experiment.SAMPLE:
        return experiment.open_dataset(description.config, None)
    paths = [pathlib.Path(path) for path in data or [description.data]]
    if data is None and not paths[0].is_dir():
        raise errors.InputError(
            f"{paths[0]}: no such folder, the one that {run} was trained on; say with"
            " --data where features are"
        )
    is_folder = len(paths) == 1 and paths[0].is_dir()
    if manifest and not is_folder:
        raise errors.InputError(
            "--manifest: describes a folder of features; found files in --data"
        )
    if not is_folder:
        timebase = _timebase(run, fps)
        streams, categories = description.streams, description.categories
        opened = open_files(paths, streams, timebase, categories=categories)
        note = f"note: {_as_of(run, timebase)}"
        opened = dataclasses.replace(opened, notes=(note, *opened.notes))
    else:
        opened = _open_folder_for(run, description, paths[0], manifest, fps)
    return dataset_lib.scaled(opened, description.config.feature_scales)


def _open_folder_for(
    run: pathlib.Path,
    description: runs.Description,
    folder: pathlib.Path,
    manifest: str | None,
    fps: float | None,
) -> dataset_lib.Dataset:
    """The videos of a folder, described by a manifest or as the run's own data are."""
    categories = description.categories
    own = folder / "manifest.json"
    named = manifest or (own if own.exists() else description.config.manifest)
    if named and fps is not None:
        raise errors.InputError(
            f"--fps: is for videos without a manifest; {named} has their frame rate"
        )
    if named:
        read = manifest_lib.read_manifest(named)
        return open_folder(folder, read, categories=categories)
    timebase = _timebase(run, fps)
    made = manifest_of_run(folder.name, description.streams, timebase)
    opened = open_folder(folder, made, categories=categories)
    note = (
        f"note: {own}: no such file: features are read as {made.file_pattern},"
        f" {_as_of(run, timebase)}"
    )
    return dataclasses.replace(opened, notes=(note, *opened.notes))


def _as_of(run: pathlib.Path, timebase: runs.Timebase) -> str:
    """What to say of a time base that is taken from a run."""
    return (
        f"{timebase.stride:g} frames a snippet at {timebase.fps:g} fps, as the data of"
        f" {run}"
    )


def _timebase(run: pathlib.Path, fps: float | None) -> runs.Timebase:
    """The time base of a run, with another frame rate where one is given."""
    model = runs.read_model(run)
    if model is None:
        raise errors.InputError(
            f"{run}: no model.json, which says how long a snippet lasts; give a feature"
            " folder with a manifest.json"
        )
    fps = model.timebase.fps if fps is None else fps
    if fps is None or not 0 < fps < math.inf:
        raise errors.InputError(
            f"--fps: found {fps}, expected the videos' frames a second: those of the"
            f" data of {run} differ in it"
        )
    return model.timebase._replace(fps=fps)


def open_folder(
    folder: str | os.PathLike,
    manifest: manifest_lib.Manifest,
    *,
    categories: tuple[str, ...],
) -> dataset_lib.Dataset:
    """Returns the videos with features of a folder, annotated or not.

    Args:
      folder: the feature folder.
      manifest: its description.
      categories: names of the N categories of the run.

    Returns:
      A `Dataset` whose `notes` name the videos that are left out. Its annotations hold
      an entry of subset "" for every video that the annotation file lacks.

    Raises:
      InputError: no features can be used.
    """
    folder = pathlib.Path(folder)
    path = folder / manifest.annotations
    known = annotations_lib.Annotations({}, str(path))
    if path.exists():
        known = annotation_files.read_annotations(path)
    stored = feature_folder.stored_ids(folder, manifest=manifest)
    videos = known.videos | {
        video_id: _unknown(video_id)
        for video_id in sorted(stored - known.videos.keys())
    }
    annotations = dataclasses.replace(known, videos=videos)
    with logs.progress_bar("validate", total=len(videos)) as bar:
        report = validation.validate(
            folder,
            manifest=manifest,
            annotations=annotations,
            window=edges.WINDOW,
            categories=categories,
            progress=lambda done, total: bar.update(done - bar.n),
        )
    unknown = {label for video in known.videos.values() for label in video.categories}
    unknown -= set(categories)
    strange = ()
    if unknown:
        strange = (f"labels that the run does not know: {agreement.listed(unknown)}",)
    left_out = {finding.video for finding in report.errors}
    usable = {name: video for name, video in videos.items() if name not in left_out}
    if "" in left_out or not usable.keys() & report.lengths.keys():
        text, cause = validation.failure(report)
        raise errors.InputError(cause, report=text)
    opened = feature_folder.open_feature_folder(
        folder,
        manifest=manifest,
        annotations=dataclasses.replace(known, videos=usable),
        categories=categories,
    )
    return dataclasses.replace(
        dataset_lib.verified(opened, report.digests),
        annotations=annotations,
        notes=strange + tuple(f"left out: {found.message}" for found in report.errors),
        warnings=tuple(validation.summary_lines(report)),
    )


def open_files(
    paths: Sequence[str | os.PathLike],
    streams: streams_lib.Streams,
    timebase: runs.Timebase,
    *,
    categories: tuple[str, ...],
) -> dataset_lib.Dataset:
    """Returns videos whose features lie in a file each, (T, D) with all streams.

    Args:
      paths: of files of any kind that features can lie in, with one array each; a
        video's id is the name of its file.
      streams: of the run.
      timebase: of the run, with a frame rate.
      categories: names of the N categories of the run.

    Raises:
      InputError: a file cannot be used, or two have one name.
    """
    by_id: dict[str, pathlib.Path] = {}
    for path in map(pathlib.Path, paths):
        if path.stem in by_id:
            raise errors.InputError(
                f"{path}: found another file of that name, {by_id[path.stem]}, expected"
                " different names, which are the videos' ids"
            )
        by_id[path.stem] = path
    lengths = {name: _length(path, streams) for name, path in by_id.items()}
    return dataset_lib.create_dataset(
        manifest_of_run("files", streams, timebase),
        annotations=annotations_lib.Annotations(
            {name: _unknown(name) for name in by_id}, "files"
        ),
        lengths=lengths,
        read_streams=functools.partial(_read, by_id, streams),
        categories=categories,
    )


def manifest_of_run(
    name: str, streams: streams_lib.Streams, timebase: runs.Timebase
) -> manifest_lib.Manifest:
    """The description of features that were made as those that a run was trained on.

    Args:
      name: what reports call them.
      streams: of the run.
      timebase: of the run, with a frame rate.
    """
    return manifest_lib.Manifest(
        name=name,
        streams=streams,
        stride_frames=timebase.stride,
        window_frames=timebase.stride,
        offset_frames=timebase.offset,
        fps=timebase.fps or "annotations",
        train_subset="",
        evaluation_subset="",
        source="as the run's",
        backbone_trained_on=(),
    )


def chosen(dataset: dataset_lib.Dataset, subset: str | None) -> dataset_lib.Dataset:
    """The dataset with the videos to localize in as its evaluation subset.

    Without a name they are those of its evaluation subset where it has any, and all
    videos with features otherwise; a note says which and what is left out.

    Args:
      dataset: any.
      subset: a name in the annotations, or "all"; None for the above.

    Raises:
      InputError: no video of that subset has features.
    """
    wanted = subset or dataset.evaluation_subset
    if subset == ALL or not wanted:
        return _all_videos(dataset)
    found = [v.id for v in dataset.videos.values() if v.subset == wanted]
    notes = dataset.notes
    if not found and subset is None:
        return _all_videos(dataset)
    if not found:
        names = sorted({video.subset for video in dataset.videos.values()} - {""})
        raise errors.InputError(
            f"--subset: found {subset!r}, expected one that videos with features are of:"
            f" {', '.join(map(repr, names)) or 'there is none'}, or {ALL!r}"
        )
    others = len(dataset.videos) - len(found)
    if subset is None and others:
        note = (
            f"{others} other videos have features and are not of subset {wanted!r}:"
            f" --subset {ALL} localizes in them too"
        )
        notes = (*notes, note)
    return dataclasses.replace(dataset, evaluation_subset=wanted, notes=notes)


def _all_videos(dataset: dataset_lib.Dataset) -> dataset_lib.Dataset:
    videos: Mapping[str, dataset_lib.VideoInfo] = {
        name: dataclasses.replace(video, subset=ALL)
        for name, video in dataset.videos.items()
    }
    return dataclasses.replace(dataset, videos=videos, evaluation_subset=ALL)


def _unknown(video_id: str) -> annotations_lib.Video:
    """What is known of a video that nobody has looked at."""
    nothing = np.zeros((0, 2))
    return annotations_lib.Video(
        id=video_id,
        subset="",
        duration=None,
        fps=None,
        segments=nothing,
        labels=(),
        ambiguous=nothing,
        annotated=False,
    )


def _length(path: pathlib.Path, streams: streams_lib.Streams) -> int:
    """T of a file with the columns of all streams."""
    if not manifest_lib.is_path_part(path.stem):
        raise errors.InputError(f"{path}: the name cannot be a video's id")
    found = _array(path, streams)
    if found.shape[1] != streams.width or not found.shape[0]:
        raise errors.InputError(
            f"{path}: found shape {found.shape}, expected (T, {streams.width}), the"
            f" columns of {streams}, and at least one snippet"
        )
    return found.shape[0]


def _array(path: pathlib.Path, streams: streams_lib.Streams) -> found_lib.Found:
    """The only array of a file, (T, columns)."""
    kind = table.kind_of(path.name)
    if kind is None:
        raise errors.InputError(
            f"{path}: found the ending {path.suffix!r}, expected a folder, or a file"
            f" that ends in {', '.join(table.KINDS)}"
        )
    return found_lib.as_features(kind.open(path, ""), width=streams.width)


def _read(
    paths: Mapping[str, pathlib.Path], streams: streams_lib.Streams, video_id: str
) -> tuple[np.ndarray, ...]:
    """An array for each stream of one video."""
    values = np.asarray(_array(paths[video_id], streams).read(), np.float32)
    found = findings.not_finite(values)
    if found:
        raise errors.InputError(f"{paths[video_id]}: {found}")
    return tuple(streams.split(values).values())
