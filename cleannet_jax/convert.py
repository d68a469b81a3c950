"""Copies a data set in any layout to a feature folder of ours, once.

The folder gets `STREAM/ID.npy` for each stream, or shards of many videos, then `annotations.json`, and last
`manifest.json`: a folder with a manifest is complete. Each file appears whole or not at
all, so that a conversion that was stopped, in whatever way, goes on where it was.
`convert_report.json` says what was done and what was left out.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors, logs
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import arrays, files, folders
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.feature_files import shards as shard_files
from cleannet_jax.data.layouts import feature_folder

REPORT = "convert_report.json"

_START = ".convert.json"
_PATTERN = "{stream}/{id}.npy"
_SHARDS = f"features{shard_files.ENDING}"
_ANNOTATIONS = "annotations.json"


@dataclasses.dataclass(frozen=True)
class Report:
    """What a conversion has done.

    Attributes:
      name: of the features, from the manifest.
      folder: where they are now.
      annotated: number of annotated videos.
      converted: number of videos that were written now.
      kept: number of those that were there already.
      left_out: why a video could not be converted, by id.
      notes: what a person should know, a line each.
    """

    name: str
    folder: str
    annotated: int
    converted: int
    kept: int
    left_out: Mapping[str, str]
    notes: tuple[str, ...]


def convert(
    dataset: dataset_lib.Dataset,
    folder: str | os.PathLike,
    *,
    float16: bool = False,
    per_shard: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Writes a data set as a feature folder of ours, or goes on with what was stopped.

    Videos that are whole in the folder are kept. A video that cannot be read is left
    out and reported, and the others are converted.

    Args:
      dataset: what to copy, in any layout that has a manifest.
      folder: is made if it is not there.
      float16: whether to store half floats; otherwise values stay of the type that
        they are stored in.
      per_shard: how many videos go into a file, of floats, see `feature_files.shards`;
        None for a file a video and stream.
      progress: called with the number of videos done and of all videos.

    Raises:
      InputError: the folder holds anything else than this conversion, a file cannot be
        written, or no video can be converted.
      errors.Interrupted: SIGINT or SIGTERM came; what is written stays.
    """
    if dataset.manifest is None or dataset.read_streams is None:
        raise errors.InputError(
            f"{dataset.name}: made in memory, expected a data set in files"
        )
    if per_shard is not None and per_shard < 1:
        raise errors.InputError(
            f"--to-shards: found {per_shard}, expected videos a file, at least 1"
        )
    # One of our own folders may have had other names.
    manifest = dataclasses.replace(
        dataset.manifest,
        file_pattern=_SHARDS if per_shard else _PATTERN,
        array="{stream}/{id}" if per_shard else "",
        columns=(),
        trim_snippets=0,
        annotations=_ANNOTATIONS,
    )
    dataset = dataclasses.replace(dataset, manifest=manifest)
    folder = pathlib.Path(folder)
    try:
        how = _How(float16, per_shard)
        identity = _identity(dataset, how)
        _check_folder(folder, dataset, identity)
        folders.make(folder)
        with folders.locked(folder):
            _start(folder, dataset, identity)
            return _convert(dataset, folder, how, progress)
    except OSError as error:
        place = error.filename or folder
        raise errors.InputError(f"{place}: {error.strerror}") from error


class _How(NamedTuple):
    """How features are stored, as for `convert`."""

    float16: bool
    per_shard: int | None


def _convert(
    dataset: dataset_lib.Dataset,
    folder: pathlib.Path,
    how: _How,
    progress: Callable[[int, int], None] | None,
) -> Report:
    """Converts into a folder that nobody else is in."""
    streams = dataset.manifest.streams.names
    write = _write_shards if how.per_shard else _write_videos
    converted, left_out = write(dataset, folder, how, progress)
    report = Report(
        name=dataset.manifest.name,
        folder=str(folder),
        annotated=len(dataset.annotations.videos),
        converted=converted,
        kept=len(dataset.ids) - converted - len(left_out),
        left_out=left_out,
        notes=dataset.notes,
    )
    # The manifest says that all is there: what it speaks of is on the disk before it.
    for part in (".",) if how.per_shard else streams:
        folders.sync(folder / part)
    files.write_json(folder / REPORT, _as_file(report))
    if len(left_out) == len(dataset.ids):
        reason = next(iter(left_out.values()), "the data set has none")
        raise errors.InputError(f"{folder}: no video was converted: {reason}")
    files.write_json(
        folder / _ANNOTATIONS, annotations_lib.as_content(dataset.annotations)
    )
    manifest_lib.write_manifest(folder / "manifest.json", dataset.manifest)
    return report


def _as_file(report: Report) -> dict[str, Any]:
    """A report without what depends on how often the conversion was stopped."""
    content = dataclasses.asdict(report)
    content["converted"] += content.pop("kept")
    return content


def report_text(report: Report, *, limit: int = 20) -> str:
    """Returns a report for people.

    Args:
      report: what `convert` returned.
      limit: videos left out that are written out; the rest are counted.
    """
    lines = [f"{report.name}: {report.folder}"]
    lines.append(
        f"  {report.converted + report.kept} videos ({report.converted} converted now,"
        f" {report.kept} before); {report.annotated} are annotated"
    )
    lines += [f"  note: {note}" for note in report.notes]
    if report.left_out:
        lines.append(f"  left out: {len(report.left_out)}")
        lines += [f"    {reason}" for reason in list(report.left_out.values())[:limit]]
    if len(report.left_out) > limit:
        lines.append(f"    and {len(report.left_out) - limit} more, see {REPORT}")
    return "\n".join(lines)


def _check_folder(
    folder: pathlib.Path, dataset: dataset_lib.Dataset, identity: dict[str, Any]
) -> None:
    """Raises unless a folder is new, or of the same conversion."""
    if folder.exists() and not folder.is_dir():
        raise errors.InputError(f"{folder}: found a file, expected a folder")
    path = folder / _START
    if path.exists():
        found = files.read_json(path)
        if found != identity:
            raise errors.InputError(
                f"{folder}: holds another conversion, or one with other options"
                f" ({_difference(found, identity)}); choose another folder"
            )
    elif not folders.is_new(folder, _parts(dataset.manifest)):
        raise errors.InputError(
            f"{folder}: found files that no conversion has made, expected a new or an"
            " empty folder"
        )


def _start(
    folder: pathlib.Path, dataset: dataset_lib.Dataset, identity: dict[str, Any]
) -> None:
    """Marks a folder as that of this conversion, and makes what is in it."""
    # Again: another program may have been in it in the meantime.
    _check_folder(folder, dataset, identity)
    folders.remove_remains(folder)
    if not (folder / _START).exists():
        files.write_json(folder / _START, identity)
    for part in _parts(dataset.manifest):
        folders.make(folder / part)
        folders.remove_remains(folder / part)


def _parts(manifest: manifest_lib.Manifest) -> tuple[str, ...]:
    """The folders below that features are written into."""
    return manifest.streams.names if manifest.file_pattern == _PATTERN else ()


def _identity(dataset: dataset_lib.Dataset, how: _How) -> dict[str, Any]:
    """What tells a conversion from another one, as JSON holds it."""
    manifest = manifest_lib.manifest_content(dataset.manifest)
    text = json.dumps(annotations_lib.as_content(dataset.annotations))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    identity = {
        "manifest": manifest,
        "float16": how.float16,
        "annotations digest": digest,
    }
    if how.per_shard:
        identity["videos a shard"] = how.per_shard
    return json.loads(json.dumps(identity, default=dict))


def _difference(found: Any, wanted: dict[str, Any]) -> str:
    """The first thing that differs between two identities."""
    before = found if isinstance(found, dict) else {}
    manifest = before.get("manifest")
    if not isinstance(manifest, dict):
        return f"its start file {_START} is damaged"
    before, now = {**manifest, **before}, {**wanted["manifest"], **wanted}
    names = (key for key in now if key != "manifest" and before.get(key) != now[key])
    return next(names, "its start file was changed")


def _write_videos(
    dataset: dataset_lib.Dataset,
    folder: pathlib.Path,
    how: _How,
    progress: Callable[[int, int], None] | None,
) -> tuple[int, dict[str, str]]:
    """Writes the videos that are not there; their number, and why others are not."""
    converted, left_out = 0, {}
    with logs.stop_requests() as stop:
        for done, video_id in enumerate(dataset.ids, start=1):
            if not _is_whole(folder, video_id, dataset.manifest):
                try:
                    _write_video(dataset, folder, video_id, how.float16)
                    converted += 1
                except errors.InputError as error:
                    left_out[video_id] = f"video {video_id!r}: {error}"
            _after(done, len(dataset.ids), progress, stop)
    return converted, left_out


def _write_shards(
    dataset: dataset_lib.Dataset,
    folder: pathlib.Path,
    how: _How,
    progress: Callable[[int, int], None] | None,
) -> tuple[int, dict[str, str]]:
    """As `_write_videos`, many videos a file: a shard that lacks one is written anew."""
    converted, left_out, shards = 0, {}, []
    total = len(dataset.ids)
    with logs.stop_requests() as stop:
        after = functools.partial(_after, total=total, progress=progress, stop=stop)
        for first in range(0, total, how.per_shard):
            ids = dataset.ids[first : first + how.per_shard]
            shards.append(f"features-{len(shards):05}")
            if not _has_all(folder / f"{shards[-1]}.json", ids):
                # Until it is whole again the folder is not complete.
                (folder / "manifest.json").unlink(missing_ok=True)
                why: dict[str, str] = {}
                named = _arrays(
                    dataset, ids, how.float16, why, lambda k, n=first: after(n + k)
                )
                shard_files.write_shard(
                    folder, shards[-1], named, more={"ids": ids, "left_out": why}
                )
                converted += len(ids) - len(why)
                left_out |= why
            after(first + len(ids))
    shard_files.write_index(folder / _SHARDS, shards)
    return converted, left_out


def _has_all(path: pathlib.Path, ids: Sequence[str]) -> bool:
    """Whether a shard was written, with all of these videos."""
    try:
        found = files.read_json(path)
    except errors.InputError:
        return False
    is_ours = isinstance(found, dict) and path.with_suffix(".arrayrecord").exists()
    return is_ours and found.get("ids") == list(ids) and found.get("left_out") == {}


def _arrays(
    dataset: dataset_lib.Dataset,
    ids: Sequence[str],
    float16: bool,
    left_out: dict[str, str],
    after: Callable[[int], None],
) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of videos by name; why others have none goes into `left_out`."""
    for done, video_id in enumerate(ids):
        after(done)
        try:
            stored = [
                (f"{name}/{video_id}", _as_floats(_stored_type(values, float16)))
                for name, values in _checked(dataset, video_id)
            ]
        except errors.InputError as error:
            left_out[video_id] = f"video {video_id!r}: {error}"
            continue
        yield from stored


def _as_floats(values: np.ndarray) -> np.ndarray:
    """Values as floats of this machine's order; integers become float32."""
    return values.astype(
        values.dtype.newbyteorder("=") if values.dtype.kind == "f" else np.float32
    )


def _after(
    done: int,
    total: int,
    progress: Callable[[int, int], None] | None,
    stop: Sequence[int],
) -> None:
    """Says how far it is, and stops where that is asked for."""
    if progress:
        progress(done, total)
    if stop:
        raise errors.Interrupted(
            stop[0],
            f"stopped after video {done} of {total}; the same command goes on from"
            " there",
        )


def _is_whole(
    folder: pathlib.Path, video_id: str, manifest: manifest_lib.Manifest
) -> bool:
    """Whether all streams of a video are there, by their headers."""
    try:
        feature_folder.feature_length(folder, video_id, manifest=manifest)
    except arrays.ArrayError:
        return False
    return True


def _write_video(
    dataset: dataset_lib.Dataset, folder: pathlib.Path, video_id: str, float16: bool
) -> None:
    """Writes all streams of a video."""
    for name, array in _checked(dataset, video_id):
        path = manifest_lib.feature_path(
            dataset.manifest, stream=name, video_id=video_id
        )
        array = _stored_type(array, float16)
        with files.open_atomic(folder / path, "wb", is_bulk=True) as file:
            np.lib.format.write_array(file, array, allow_pickle=False)


def _checked(
    dataset: dataset_lib.Dataset, video_id: str
) -> list[tuple[str, np.ndarray]]:
    """The streams of a video by name, once they are as the manifest says."""
    streams = dataset.read_streams(video_id)
    names, widths = dataset.manifest.streams.names, dataset.manifest.streams.widths
    for name, width, array in zip(names, widths, streams, strict=True):
        if array.shape != (len(streams[0]), width) or not len(array):
            raise errors.InputError(
                f"stream {name!r}: found shape {array.shape}, expected"
                f" ({len(streams[0])}, {width}) and no 0 in it"
            )
    return list(zip(names, streams, strict=True))


def _stored_type(array: np.ndarray, float16: bool) -> np.ndarray:
    """An array in the type that it is to be stored in."""
    if not float16:
        return np.asarray(array)
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.array_equal(np.isfinite(half), np.isfinite(array)):
        raise errors.InputError(
            f"found values up to {np.nanmax(np.abs(array)):g}, expected none above"
            f" {np.finfo(np.float16).max:g}, the largest that float16 holds"
        )
    return half
