"""A manifest for a folder of features: what its files say, and what they cannot say.

Names, places and widths of streams follow from the files where these leave no choice.
How long a snippet lasts, and which columns are of which stream, does not follow from
anything: it is asked for, all at once, and never guessed.
"""

import collections
import contextlib
import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import agreement, annotation_files, arrays
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.feature_files import table
from cleannet_jax.data.layouts import feature_folder

# Folders below that hold other things.
_DEPTH = 3
# How many videos are looked at.
_EXAMPLES = 20
# A stream a file, or a file with an item a video: there are few of them.
_MOST_STREAMS = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers:
    """What a person says of features; None where the files are to say it.

    Attributes:
      name: what reports call them.
      streams: in the order of the columns, as NAME or NAME:WIDTH.
      file_pattern: as in the manifest.
      array: as in the manifest.
      stride_frames: frames from one snippet to the next.
      window_frames: frames that a snippet is computed from.
      offset_frames: the frame at which snippet 0 begins.
      fps: frames a second of every video.
      annotations: path in the folder.
      train_subset: to train on.
      evaluation_subset: to evaluate on.
      source: where they come from.
      backbone_trained_on: the data that the network which made them has seen.
    """

    name: str | None = None
    streams: Sequence[str] | None = None
    file_pattern: str | None = None
    array: str | None = None
    stride_frames: float | None = None
    window_frames: float | None = None
    offset_frames: float | None = None
    fps: float | None = None
    annotations: str | None = None
    train_subset: str | None = None
    evaluation_subset: str | None = None
    source: str | None = None
    backbone_trained_on: Sequence[str] | None = None


class Draft(NamedTuple):
    """What is known of a folder.

    Attributes:
      content: keys and values of its manifest.
      questions: what is not known, an option and what is asked for, a line each.
      notes: what was found, a line each.
    """

    content: dict[str, Any]
    questions: list[str]
    notes: list[str]


class _Files(NamedTuple):
    """Where features are: the pattern, the array in a file, and streams by name."""

    pattern: str
    array: str
    streams: tuple[str, ...]  # empty for a joint array


def write(folder: str | os.PathLike, answers: Answers) -> list[str]:
    """Writes the manifest of a folder; returns notes on what was found.

    Raises:
      InputError: there is one already, there are no features, or something is not known;
        the `report` says what then.
    """
    folder = pathlib.Path(folder)
    path = folder / "manifest.json"
    if path.exists():
        raise errors.InputError(f"{path}: is there already")
    draft = create(folder, answers)
    if draft.questions:
        report = [*draft.notes, "say these too, which no file can tell:"]
        report += [f"  {question}" for question in draft.questions]
        flags = " ".join(question.split()[0] for question in draft.questions)
        raise errors.InputError(
            f"{folder}: not known: {flags}", report="\n".join(report)
        )
    manifest_lib.write_content(path, draft.content)
    return draft.notes


def create(folder: str | os.PathLike, answers: Answers) -> Draft:
    """Returns what files and answers say of a folder.

    Raises:
      InputError: there are no features, or an answer does not fit the files.
    """
    folder = pathlib.Path(folder)
    content: dict[str, Any] = {"version": manifest_lib.VERSION}
    content["name"] = answers.name or folder.resolve().name
    files = _files(folder, answers)
    questions, notes = [], []
    example = _example(folder, files)
    streams, question = _streams(folder, files, example, answers)
    questions += question
    content["streams"] = streams
    content |= {"file_pattern": files.pattern}
    if files.array:
        content["array"] = files.array
    places = f"{files.pattern}, array {files.array!r}" if files.array else files.pattern
    ids = _ids(folder, files)
    notes.append(f"{folder}: features of {len(ids)} videos in {places}")
    found, more = _annotations(folder, ids, answers)
    notes += more
    _describe_time(content, questions, folder, files, ids, found, answers)
    _describe_subsets(content, questions, found, answers)
    if found:
        content["annotations"] = os.path.relpath(found.path, folder)
    content["source"] = answers.source or "not said"
    content["backbone_trained_on"] = list(answers.backbone_trained_on or ())
    return Draft(content, questions, notes)


def _files(folder: pathlib.Path, answers: Answers) -> _Files:
    """Where the features are."""
    if answers.file_pattern:
        names = [text.partition(":")[0] for text in answers.streams or ()]
        is_joint = "{stream}" not in answers.file_pattern + (answers.array or "")
        streams = () if is_joint else tuple(names)
        return _Files(answers.file_pattern, answers.array or "", streams)
    by_ending: dict[str, list[pathlib.PurePath]] = collections.defaultdict(list)
    for path in _walk(folder):
        if table.kind_of(path.name):
            by_ending[path.suffix].append(path)
    # A table of labels or annotations is no table of features.
    by_ending[".csv"] = [p for p in by_ending[".csv"] if not _is_table(folder / p)]
    ending, paths = max(by_ending.items(), key=lambda item: len(item[1]))
    if not paths:
        raise errors.InputError(
            f"{folder}: found no features, expected files that end in"
            f" {', '.join(table.KINDS)}"
        )
    kind = table.KINDS[ending]
    if kind.item_names and len(paths) <= _MOST_STREAMS:
        return _item_files(folder, paths)
    found = _by_folder(folder, paths, ending) or _by_name(paths, ending)
    if found is None:
        parents = {path.parent for path in paths}
        if len(parents) > 1:
            raise errors.InputError(
                f"{folder}: found {ending} files in"
                f" {agreement.listed([str(parent) for parent in parents])} that are not"
                " of the same videos, expected a folder a stream, or all in one folder;"
                " say which with --file-pattern"
            )
        found = _Files(_join(paths[0].parent, "{id}" + ending), "", ())
    if not kind.has_names or found.streams or answers.array:
        return found._replace(array=answers.array or "")
    names = _array_names(folder / paths[0])
    return found._replace(array="{stream}", streams=names) if names else found


def _walk(folder: pathlib.Path) -> Iterator[pathlib.PurePath]:
    """Files below a folder, relative to it, hidden ones left out."""
    if not folder.is_dir():
        raise errors.InputError(f"{folder}: no such folder")
    for parent, names, files in os.walk(folder):
        depth = len(pathlib.PurePath(parent).relative_to(folder).parts)
        names[:] = sorted(n for n in names if not n.startswith(".") and depth < _DEPTH)
        for name in sorted(files):
            if not name.startswith("."):
                yield pathlib.PurePath(parent, name).relative_to(folder)


def _by_folder(
    folder: pathlib.Path, paths: Sequence[pathlib.PurePath], ending: str
) -> _Files | None:
    """A folder a stream: the parents differ in one part and hold files of one name."""
    by_parent: dict[pathlib.PurePath, set[str]] = collections.defaultdict(set)
    for path in paths:
        by_parent[path.parent].add(path.stem)
    parents = list(by_parent)
    if not 1 < len(parents) <= _MOST_STREAMS:
        return None
    common = set.intersection(*by_parent.values())
    if 2 * len(common) < max(map(len, by_parent.values())):
        return None
    columns = list(zip(*(parent.parts for parent in parents), strict=False))
    differing = [at for at, parts in enumerate(columns) if len(set(parts)) > 1]
    if len({len(parent.parts) for parent in parents}) > 1 or len(differing) != 1:
        return None
    parts = list(parents[0].parts)
    parts[differing[0]] = "{stream}"
    names = tuple(parent.parts[differing[0]] for parent in parents)
    return _Files(_join(pathlib.PurePath(*parts), "{id}" + ending), "", names)


def _by_name(paths: Sequence[pathlib.PurePath], ending: str) -> _Files | None:
    """A stream a file in one folder: names end in one of a few words for every id."""
    if len({path.parent for path in paths}) > 1:
        return None
    for mark in "-_.":
        ends: dict[str, set[str]] = collections.defaultdict(set)
        for path in paths:
            start, _, end = path.stem.rpartition(mark)
            ends[end].add(start)
        known = list(ends)
        if (
            1 < len(known) <= _MOST_STREAMS
            and not any(name.isdigit() for name in known)
            and all(own == ends[known[0]] and "" not in own for own in ends.values())
        ):
            name = f"{{id}}{mark}{{stream}}{ending}"
            return _Files(_join(paths[0].parent, name), "", tuple(known))
    return None


def _item_files(folder: pathlib.Path, paths: Sequence[pathlib.PurePath]) -> _Files:
    """Files that hold an item a video: one for all streams, or one a stream."""
    names = [table.KINDS[p.suffix].item_names(folder / p) for p in paths]
    if len(paths) > 1:
        stems = {path.stem for path in paths}
        if max(map(len, names)) <= _MOST_STREAMS and len(stems) > 1:
            raise errors.InputError(
                f"{folder}: found {len(paths)} files with {len(names[0])} arrays in the"
                " first: are the files videos or streams? Say with --file-pattern"
                " {id}.h5 or {stream}.h5 and --array"
            )
        ending = paths[0].suffix
        if len(stems) == len(paths):
            name = _join(paths[0].parent, "{stream}" + ending)
            return _Files(name, "{id}", tuple(path.stem for path in paths))
        found = _by_folder(folder, paths, ending)
        if found is None:
            raise errors.InputError(
                f"{folder}: found {agreement.listed([str(path) for path in paths])},"
                " expected a file a stream; say with --file-pattern and --array"
            )
        place = found.pattern.replace("{id}", paths[0].stem)
        return _Files(place, "{id}", found.streams)
    streams = {tuple(name.split("/"))[-1] for name in names[0] if "/" in name}
    if streams and len(streams) <= _MOST_STREAMS:
        return _Files(str(paths[0]), "{id}/{stream}", tuple(sorted(streams)))
    return _Files(str(paths[0]), "{id}", ())


def _array_names(path: pathlib.Path) -> tuple[str, ...]:
    """The names of the arrays of a file that holds several; () for one alone."""
    if path.suffix in (".h5", ".hdf5"):
        known = table.KINDS[path.suffix].item_names(path)
    elif path.suffix == ".npz":
        # A number beside the features, such as a frame rate, is no stream.
        known = [
            name
            for name in arrays.member_names(path)
            if len(arrays.read_member_header(path, name).shape) > 1
        ]
    else:
        return ()
    return tuple(sorted(known)) if len(known) > 1 else ()


def _join(parent: pathlib.PurePath, name: str) -> str:
    return (parent / name).as_posix()


def _provisional(files: _Files, widths: Sequence[int] = ()) -> manifest_lib.Manifest:
    """A manifest that finds the files, before the rest of it is known."""
    names = files.streams or ("features",)
    return manifest_lib.Manifest(
        name="draft",
        streams=streams_lib.Streams(names, tuple(widths) or (1,) * len(names)),
        stride_frames=1,
        window_frames=1,
        offset_frames=0,
        fps=1,
        train_subset="",
        evaluation_subset="",
        source="",
        backbone_trained_on=(),
        file_pattern=files.pattern,
        array=files.array,
    )


def _ids(folder: pathlib.Path, files: _Files) -> frozenset[str]:
    found = feature_folder.stored_ids(folder, manifest=_provisional(files))
    if files.pattern != "{id}.csv":
        return found
    return frozenset(name for name in found if not _is_table(folder / f"{name}.csv"))


def _example(folder: pathlib.Path, files: _Files) -> dict[str, int]:
    """The widths of the streams of one video, by name; of "features" if joint."""
    ids = sorted(_ids(folder, files))
    if not ids:
        raise errors.InputError(
            f"{folder}: found no file of {files.pattern!r}, expected features"
        )
    problems = []
    for video_id in ids[:_EXAMPLES]:
        try:
            names = files.streams or ("features",)
            return {name: _width(folder, files, name, video_id) for name in names}
        except errors.InputError as error:
            problems.append(error)
    raise problems[0]


def _width(folder: pathlib.Path, files: _Files, stream: str, video_id: str) -> int:
    """The columns of an array of a video."""
    path, array = (
        text.replace("{stream}", stream).replace("{id}", video_id)
        for text in (files.pattern, files.array)
    )
    found = table.kind_of(path).open(folder / path, array)
    sizes = [size for size in found.shape if size > 1 or len(found.shape) <= 2]
    if len(found.shape) < 2 or not sizes:
        raise errors.InputError(
            f"{found.place}: found shape {found.shape}, expected (snippets, width)"
        )
    return sizes[-1]


def _streams(
    folder: pathlib.Path, files: _Files, example: dict[str, int], answers: Answers
) -> tuple[list[dict[str, Any]], list[str]]:
    """The streams in order, and what to ask where that is not known."""
    if answers.streams:
        return _named_streams(folder, files, example, answers.streams), []
    if not files.streams:
        width = example["features"]
        return [], [
            (
                f"--streams NAME:WIDTH,...  the streams in the order of the {width} columns:"
                f" one as in rgb:{width}, or several whose widths add up"
            )
        ]
    names = sorted(files.streams)
    if {name.casefold() for name in names} == {"rgb", "flow"}:
        names.sort(key=lambda name: name.casefold() != "rgb")
    elif len(names) > 1:
        return [], [
            (
                f"--streams {','.join(names)}  or another order of these, RGB (appearance)"
                " before flow (motion)"
            )
        ]
    return [{"name": name, "width": example[name]} for name in names], []


def _named_streams(
    folder: pathlib.Path, files: _Files, example: dict[str, int], given: Sequence[str]
) -> list[dict[str, Any]]:
    """The streams that a person names."""
    pairs = [text.partition(":")[::2] for text in given]
    for name, text in pairs:
        if not name or (text and not text.isdigit()):
            raise errors.InputError(
                f"--streams: found {name}:{text}, expected NAME or NAME:WIDTH"
            )
    names = [name for name, _ in pairs]
    if files.streams:
        if set(names) != set(files.streams):
            raise errors.InputError(
                f"--streams: found {', '.join(names)}, expected those of"
                f" {folder / files.pattern}: {', '.join(sorted(files.streams))}"
            )
        return [{"name": name, "width": example[name]} for name in names]
    width = example["features"]
    widths = [int(text) if text else width for _, text in pairs]
    if sum(widths) != width:
        raise errors.InputError(
            f"--streams: found widths {widths}, expected {width} together, the columns"
            f" of {folder / files.pattern}"
        )
    return [
        {"name": name, "width": own} for name, own in zip(names, widths, strict=True)
    ]


def _is_table(path: pathlib.Path) -> bool:
    """Whether a CSV file is one of labels or annotations."""
    try:
        annotation_files.read_annotations(path)
    except errors.InputError:
        return False
    return True


def _annotations(
    folder: pathlib.Path, ids: frozenset[str], answers: Answers
) -> tuple[annotations_lib.Annotations | None, list[str]]:
    """The annotations, and what to say of them."""
    if answers.annotations:
        path = folder / answers.annotations
        return annotation_files.read_annotations(path), []
    found = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.csv")]):
        try:
            read = annotation_files.read_annotations(path)
        except errors.InputError:
            continue
        if read.videos:
            found.append(read)
    ours = [read for read in found if not ids.isdisjoint(read.videos)]
    if len(ours) == 1:
        own = len(ids & ours[0].videos.keys())
        return ours[0], [f"{ours[0].path}: annotations of {own} of these videos"]
    if ours:
        names = ", ".join(pathlib.Path(read.path).name for read in ours)
        raise errors.InputError(
            f"{folder}: found annotations in {names}; say which with --annotations"
        )
    if found:
        raise errors.InputError(
            f"{found[0].path}: annotates none of the videos with features: its ids are"
            f" {agreement.listed(found[0].videos)}, those of files"
            f" {agreement.listed(ids)}"
        )
    note = f"{folder}: no annotations: a trained run can localize there, none can train"
    return None, [note]


def _describe_time(
    content: dict[str, Any],
    questions: list[str],
    folder: pathlib.Path,
    files: _Files,
    ids: frozenset[str],
    found: annotations_lib.Annotations | None,
    answers: Answers,
) -> None:
    """Puts in how long snippets last, or asks for it."""
    videos = [found.videos[name] for name in ids & found.videos.keys()] if found else []
    hint = _seconds(folder, files, content["streams"], videos)
    for key, what in (
        ("stride_frames", f"frames from one snippet to the next{hint}"),
        ("window_frames", "frames that a snippet is computed from"),
    ):
        value = getattr(answers, key)
        if value is None:
            questions.append(f"--{key.replace('_', '-')} N  {what}")
        content[key] = value
    stride, window, offset = (
        answers.stride_frames,
        answers.window_frames,
        answers.offset_frames,
    )
    if offset is None and stride == window:
        offset = 0
    if offset is None and stride is not None and window is not None:
        questions.append(
            f"--offset-frames N  where snippet 0 begins: {(window - stride) / 2:g} where"
            " windows begin at frame 0, 0 where they are centred on their snippet"
        )
    content["offset_frames"] = offset
    if answers.fps is None and videos and all(video.fps for video in videos):
        content["fps"] = "annotations"
    else:
        content["fps"] = answers.fps
        if answers.fps is None:
            questions.append("--fps N  frames a second that those are counted at")


def _seconds(
    folder: pathlib.Path,
    files: _Files,
    streams: Sequence[dict[str, Any]],
    videos: Sequence[annotations_lib.Video],
) -> str:
    """How long a snippet lasts by the durations of a few videos, as a hint."""
    if not streams:
        return ""
    names = tuple(stream["name"] for stream in streams)
    widths = tuple(stream["width"] for stream in streams)
    made = _provisional(files)
    manifest = dataclasses.replace(made, streams=streams_lib.Streams(names, widths))
    lasting = []
    for video in videos[:_EXAMPLES]:
        # What is wrong with a video is for `validate` to say.
        with contextlib.suppress(errors.InputError):
            length = feature_folder.feature_length(folder, video.id, manifest=manifest)
            lasting += [video.duration / length] if video.duration else []
    if not lasting or not math.isfinite(np.std(lasting)):
        return ""
    return f"; by the durations snippets last about {np.median(lasting):.3g} s"


def _describe_subsets(
    content: dict[str, Any],
    questions: list[str],
    found: annotations_lib.Annotations | None,
    answers: Answers,
) -> None:
    """Puts in which videos to train and to evaluate on, or asks for it."""
    videos = found.videos.values() if found else ()
    names = sorted({video.subset for video in videos} - {annotations_lib.EVERYTHING})
    usual = {"train_subset": "training", "evaluation_subset": "validation"}
    for key, name in usual.items():
        content[key] = getattr(answers, key) or name
        if names and getattr(answers, key) is None:
            questions.append(
                f"--{key.replace('_', '-')} NAME  one of {', '.join(map(repr, names))}"
            )
