"""The manifest of a feature folder: what the features are and what time they cover.

A feature file is a bare array. Which columns are RGB, how many frames a snippet
spans, which frame rate those frames are counted at: nothing in the array says so, and
each is a silent error when guessed. `manifest.json` declares them. It may lie in the
feature folder or elsewhere, so that a read-only folder can be described too; every
path in it is relative to the feature folder.
"""

import dataclasses
import difflib
import pathlib
import reprlib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from cleannet_jax import errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import files, manifest_values
from cleannet_jax.data.feature_files import table

VERSION = manifest_values.VERSION
is_path_part = manifest_values.is_path_part


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of `manifest.json`; the JSON keys are the field names.

    Attributes:
      name: what reports call this set of features.
      streams: one or more; their order is that of the columns of features. Names are
        free, and part of paths. Where two are called rgb and flow, rgb is first. In
        JSON a list of {"name", "width"}.
      stride_frames: frames from one snippet to the next.
      window_frames: frames that one snippet's feature was computed from.
      offset_frames: the frame at which snippet 0 begins: 0 where snippets tile the
        video, (window - stride) / 2 where longer windows start at frame 0.
      fps: frames a second that the three counts above refer to: one number, one per
        video id, or "annotations" for each video's own `fps` key.
      trust_timebase: whether the four above are right even where another time base would
        fit the annotated durations better, which is an error otherwise.
      train_subset: the subset, as the annotations spell it, to train on.
      evaluation_subset: the subset to localize in and to score.
      source: where the features come from, for people.
      backbone_trained_on: the data that the feature extractor was trained on: data
        set names, and subset names of this set.
      file_pattern: path of one stream of one video, with {stream} and {id} in it; its
        ending says what kind of file. Without {stream} here and in `array` all streams
        lie side by side in the columns of one array. HDF5 may have {id} in `array`
        alone, and every video in one file.
      array: name of the array in its file, for kinds whose arrays have names; {id} and
        {stream} as above, / between the groups of HDF5. Empty for the only array.
      columns: names of the streams in the order of the columns of a joint array; empty
        where it is that of `streams`. In JSON the order of "streams", which may have
        flow before rgb in a joint array only.
      trim_snippets: how many snippets one stream of a video may have more than another;
        all are cut to the shortest.
      annotations: path of the annotation file.
      generated: whether the features are made up rather than recorded.
      notes: anything else, for people.
      extraction: how `cleannet extract` made the features, so that those of another
        video can be made alike; empty where they come from elsewhere.
      version: version of this file format.
      path: the file this was read from; None where it was made in a program.
    """

    name: str
    streams: streams_lib.Streams
    stride_frames: float
    window_frames: float
    offset_frames: float
    fps: float | Mapping[str, float] | Literal["annotations"]
    train_subset: str
    evaluation_subset: str
    source: str
    backbone_trained_on: tuple[str, ...]
    file_pattern: str = "{stream}/{id}.npy"
    array: str = ""
    columns: tuple[str, ...] = ()
    trim_snippets: int = 0
    trust_timebase: bool = False
    annotations: str = "annotations.json"
    generated: bool = False
    notes: str = ""
    extraction: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    version: int = VERSION
    path: pathlib.Path | None = dataclasses.field(default=None, compare=False)

    @property
    def is_joint(self) -> bool:
        """Whether one array holds all streams, in its columns."""
        return "{stream}" not in self.file_pattern + self.array

    @property
    def stored_streams(self) -> streams_lib.Streams:
        """The streams in the order of the columns of a joint array."""
        widths = dict(zip(self.streams.names, self.streams.widths, strict=True))
        names = self.columns or self.streams.names
        return streams_lib.Streams(names, tuple(widths[name] for name in names))


class Timebase(NamedTuple):
    """What turns snippets of one video into seconds.

    seconds = (snippet * stride + offset) / fps

    Attributes:
      fps: frames a second.
      stride: frames from one snippet to the next.
      offset: the frame at which snippet 0 begins.
    """

    fps: float
    stride: float
    offset: float


def timebase(manifest: Manifest, video: annotations_lib.Video) -> Timebase:
    """Returns the time base of one video.

    seconds = (snippet * stride_frames + offset_frames) / fps

    Args:
      manifest: declares the three counts of frames, and where the frame rate stands.
      video: the annotated video; its `fps` is used where the manifest says so.

    Raises:
      InputError: neither the manifest nor the annotations give this video's rate.
    """
    if manifest.fps == "annotations":
        fps, lacking = video.fps, "the annotations have no fps"
    elif isinstance(manifest.fps, Mapping):
        fps, lacking = manifest.fps.get(video.id), "no frame rate"
    else:
        fps, lacking = manifest.fps, ""
    if fps is None:
        raise errors.InputError(
            f"{manifest.path or 'manifest'}: fps: {lacking} for video {video.id!r}"
        )
    return Timebase(
        fps=fps, stride=manifest.stride_frames, offset=manifest.offset_frames
    )


def feature_path(manifest: Manifest, *, stream: str, video_id: str) -> str:
    """Returns the path of one stream of one video, relative to the feature folder.

    Raises:
      InputError: the id cannot be part of a file name. Ids come from annotation files
        and must not reach outside the folder.
    """
    return _filled(manifest.file_pattern, stream, video_id)


def array_name(manifest: Manifest, *, stream: str, video_id: str) -> str:
    """Returns the name of the array of one stream of one video in its file.

    Returns:
      The name; empty for the only array of the file.

    Raises:
      InputError: as `feature_path` does.
    """
    return _filled(manifest.array, stream, video_id)


def _filled(pattern: str, stream: str, video_id: str) -> str:
    """A pattern with the names of a stream and of a video, neither of them a pattern."""
    if not is_path_part(video_id):
        raise errors.InputError(
            f"video {reprlib.repr(video_id)}: the id cannot be part of a file name: "
            "expected printable text without slashes, at most 200 bytes"
        )
    values = {"stream": stream, "id": video_id}
    return manifest_values.FIELD.sub(lambda match: values[match[1]], pattern)


def read_manifest(path: str | pathlib.Path) -> Manifest:
    """Returns the content of a manifest file.

    Raises:
      InputError: the file is absent or not JSON, a key is unknown or missing, or a
        value is not of the kind expected; the message names the key and both.
    """
    return _parse(files.read_json(path), pathlib.Path(path))


def write_manifest(path: str | pathlib.Path, manifest: Manifest) -> None:
    """Writes a manifest file that `read_manifest` accepts.

    Raises:
      InputError: as `read_manifest` does; nothing is written then.
    """
    write_content(path, manifest_content(manifest))


def write_content(path: str | pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a manifest file with these keys and values, as JSON has them.

    Raises:
      InputError: as `read_manifest` does; nothing is written then.
    """
    _parse(content, pathlib.Path(path))
    files.write_json(path, content)


def manifest_content(manifest: Manifest) -> dict[str, Any]:
    """Returns a manifest as its JSON file holds it."""
    content = dataclasses.asdict(manifest)
    del content["path"], content["columns"]
    # What says no more than its absence is left out, as in manifests before it was.
    for key in ("array", "trim_snippets", "extraction"):
        if not content[key]:
            del content[key]
    streams = manifest.stored_streams
    return content | {
        "streams": [
            {"name": name, "width": width}
            for name, width in zip(streams.names, streams.widths, strict=True)
        ],
        "backbone_trained_on": list(manifest.backbone_trained_on),
    }


def _parse(content: Any, path: pathlib.Path) -> Manifest:
    """A manifest from what its JSON file holds."""
    if not isinstance(content, dict):
        raise manifest_values.wrong(path, content, "one JSON object")
    for key in content:
        if key not in manifest_values.READERS:
            near = difflib.get_close_matches(
                key[:100], manifest_values.READERS, n=1, cutoff=0.5
            )
            known = (
                f"did you mean {near[0]!r}?"
                if near
                else ", ".join(manifest_values.READERS)
            )
            raise errors.InputError(f"{path}: unknown key {reprlib.repr(key)}: {known}")
    for key in manifest_values.REQUIRED:
        if key not in content:
            raise errors.InputError(f"{path}: key {key!r} is missing")
    values = {
        key: manifest_values.READERS[key](value, f"{path}: {key}")
        for key, value in content.items()
    }
    manifest = Manifest(**values, path=path)
    _check_files(manifest, path)
    return _rgb_first(manifest, path)


def _check_files(manifest: Manifest, path: pathlib.Path) -> None:
    """Raises unless the patterns lead to an array for each video."""
    kind = table.kind_of(manifest.file_pattern)
    if manifest.array and not kind.has_names:
        named = " ".join(key for key, kind in table.KINDS.items() if kind.has_names)
        raise errors.InputError(
            f"{path}: array: found {manifest.array!r}, but arrays have no names in"
            f" {manifest.file_pattern!r}; expected a file_pattern that ends in one of"
            f" {named}, or no array"
        )
    if "{id}" in manifest.file_pattern:
        return
    if kind.item_names is None:
        raise manifest_values.wrong(
            f"{path}: file_pattern", manifest.file_pattern, "{id} in it"
        )
    if "{id}" not in manifest.array:
        raise errors.InputError(
            f"{path}: file_pattern: found {manifest.file_pattern!r} without {{id}},"
            f" expected it there or in the key 'array', which is {manifest.array!r}"
        )


def _rgb_first(manifest: Manifest, path: pathlib.Path) -> Manifest:
    """A manifest whose streams have rgb before flow; a joint array may have not."""
    names, streams = manifest.streams.names, manifest.streams.rgb_first
    if streams == manifest.streams:
        return manifest
    if not manifest.is_joint:
        raise manifest_values.wrong(
            f"{path}: streams", list(names), "RGB first, then flow"
        )
    return dataclasses.replace(manifest, streams=streams, columns=names)
