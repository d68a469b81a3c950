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
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from cleannet_jax import errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import files

VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of `manifest.json`; the JSON keys are the field names.

    Attributes:
      name: what reports call this set of features.
      streams: exactly two, **the RGB (appearance) stream first, then the flow (motion)
        stream**. Their names, which are free, are part of paths; their order is the
        order of the columns. In JSON a list of {"name", "width"}.
      stride_frames: frames from one snippet to the next.
      window_frames: frames that one snippet's feature was computed from.
      offset_frames: the frame at which snippet 0 begins: 0 where snippets tile the
        video, (window - stride) / 2 where longer windows start at frame 0.
      fps: frames a second that the three counts above refer to: one number, one per
        video id, or "annotations" for each video's own `fps` key.
      train_subset: the subset, as the annotations spell it, to train on.
      evaluation_subset: the subset to localize in and to score.
      source: where the features come from, for people.
      backbone_trained_on: the data that the feature extractor was trained on: data
        set names, and subset names of this set.
      file_pattern: path of one stream of one video, with {stream} and {id} in it.
      annotations: path of the annotation file.
      generated: whether the features are made up rather than recorded.
      notes: anything else, for people.
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
    annotations: str = "annotations.json"
    generated: bool = False
    notes: str = ""
    version: int = VERSION
    path: pathlib.Path | None = dataclasses.field(default=None, compare=False)


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
    if not is_path_part(video_id):
        raise errors.InputError(
            f"video {reprlib.repr(video_id)}: the id cannot be part of a file name: "
            "expected printable text without slashes, at most 200 bytes"
        )
    return manifest.file_pattern.replace("{stream}", stream).replace("{id}", video_id)


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
    content = manifest_content(manifest)
    _parse(content, pathlib.Path(path))
    files.write_json(path, content)


def manifest_content(manifest: Manifest) -> dict[str, Any]:
    """Returns a manifest as its JSON file holds it."""
    content = dataclasses.asdict(manifest)
    del content["path"]
    names, widths = manifest.streams.names, manifest.streams.widths
    return content | {
        "streams": [
            {"name": name, "width": width}
            for name, width in zip(names, widths, strict=True)
        ],
        "backbone_trained_on": list(manifest.backbone_trained_on),
    }


def _parse(content: Any, path: pathlib.Path) -> Manifest:
    """A manifest from what its JSON file holds."""
    if not isinstance(content, dict):
        raise _wrong(path, content, "one JSON object")
    for key in content:
        if key not in _READERS:
            near = difflib.get_close_matches(key, _READERS, n=1, cutoff=0.5)
            known = f"did you mean {near[0]!r}?" if near else ", ".join(_READERS)
            raise errors.InputError(f"{path}: unknown key {reprlib.repr(key)}: {known}")
    for key in _REQUIRED:
        if key not in content:
            raise errors.InputError(f"{path}: key {key!r} is missing")
    values = {
        key: _READERS[key](value, f"{path}: {key}") for key, value in content.items()
    }
    return Manifest(**values, path=path)


def is_path_part(text: str) -> bool:
    """Whether `text` can stand in a path without leading anywhere else."""
    return (
        text not in ("", ".", "..")
        and text.isprintable()
        and "/" not in text
        and "\\" not in text
        and len(text.encode()) <= 200
    )


def _wrong(place: str | pathlib.Path, found: Any, expected: str) -> errors.InputError:
    """The error of a value that is not what its place asks for."""
    return errors.InputError(
        f"{place}: found {reprlib.repr(found)}, expected {expected}"
    )


def _number(value: Any, place: str) -> float:
    """`value` if it is a number; the bounds also refuse NaN and infinities."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -1e9 < value < 1e9:
        raise _wrong(place, value, "a number")
    return value


def _positive(value: Any, place: str) -> float:
    if _number(value, place) <= 0:
        raise _wrong(place, value, "a number above 0")
    return value


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(place, value, "text that is not empty")
    return value


def _notes(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise _wrong(place, value, "text")
    return value


def _texts(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong(place, value, "a list of texts")
    return tuple(_text(item, f"{place}[{row}]") for row, item in enumerate(value))


def _flag(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(place, value, "true or false")
    return value


def _version(value: Any, place: str) -> int:
    if type(value) is not int or value != VERSION:
        raise _wrong(place, value, str(VERSION))
    return value


def _fps(value: Any, place: str) -> float | dict[str, float] | str:
    if value == "annotations":
        return value
    if isinstance(value, dict):
        return {
            key: _positive(rate, f"{place}[{key!r}]") for key, rate in value.items()
        }
    if isinstance(value, int | float):
        return _positive(value, place)
    raise _wrong(place, value, 'a number, an object {id: number} or "annotations"')


def _relative_path(value: Any, place: str) -> str:
    parts = _text(value, place).split("/")
    if not all(is_path_part(part) for part in parts):
        raise _wrong(place, value, "a relative path with / between parts and no '..'")
    return value


def _file_pattern(value: Any, place: str) -> str:
    rest = _relative_path(value, place).replace("{stream}", "").replace("{id}", "")
    has_both = "{stream}" in value and "{id}" in value
    if not has_both or "{" in rest or "}" in rest or not value.endswith(".npy"):
        raise _wrong(place, value, "{stream} and {id}, no other braces, and .npy last")
    return value


def _stream(value: Any, place: str) -> tuple[str, int]:
    if not isinstance(value, dict) or set(value) != {"name", "width"}:
        raise _wrong(place, value, 'an object {"name": text, "width": number}')
    name, width = _text(value["name"], f"{place}.name"), value["width"]
    if not is_path_part(name):
        raise _wrong(f"{place}.name", name, "text that can be part of a file name")
    if type(width) is not int or not 0 < width <= 1_000_000:
        raise _wrong(f"{place}.width", width, "a whole number above 0")
    return name, width


def _streams(value: Any, place: str) -> streams_lib.Streams:
    if not isinstance(value, list) or len(value) != 2:
        raise _wrong(place, value, "a list of two streams, RGB first, then flow")
    pairs = [_stream(item, f"{place}[{row}]") for row, item in enumerate(value)]
    names, widths = zip(*pairs, strict=True)
    if names[0] == names[1]:
        raise _wrong(place, list(names), "two different names")
    if names[0].casefold() == "flow" or names[1].casefold() == "rgb":
        raise _wrong(place, list(names), "RGB first, then flow")
    return streams_lib.Streams(names, widths)


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "version": _version,
    "name": _text,
    "streams": _streams,
    "file_pattern": _file_pattern,
    "annotations": _relative_path,
    "stride_frames": _positive,
    "window_frames": _positive,
    "offset_frames": _number,
    "fps": _fps,
    "train_subset": _text,
    "evaluation_subset": _text,
    "source": _text,
    "backbone_trained_on": _texts,
    "generated": _flag,
    "notes": _notes,
}
_OPTIONAL = ("file_pattern", "annotations", "generated", "notes")
_REQUIRED = tuple(key for key in _READERS if key not in _OPTIONAL)
