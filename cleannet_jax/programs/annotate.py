"""Gives detections or annotations to an annotation tool, and takes them back corrected.

    cleannet annotate found.json --tool label-studio --fps 25 --to tasks.json
    cleannet annotate found.json --tool via --videos VIDEOS --to project.json
    cleannet annotate annotations.json --tool fiftyone --to labels.json
    cleannet annotate corrected.json --tool via --to annotations.json

What SOURCE is says which way it goes: detections and annotations, in any of their files,
become what the tool imports, and what it has exported becomes an annotation file.
Label Studio counts frames, so that the frame rate of every video must be known; VIA and
FiftyOne take seconds. The exit status is 0, or 2 with the reason in one line.
docs/annotators.md says what to do in each tool.
"""

import argparse
import os
import pathlib
from typing import TYPE_CHECKING

from cleannet_jax import errors
from cleannet_jax.programs import options

if TYPE_CHECKING:
    from cleannet_jax.data import annotations as annotations_lib
    from cleannet_jax.data.annotators import videos as videos_lib


def parser() -> options.Parser:
    """The options."""
    from cleannet_jax.data.annotators import tools

    made = options.Parser("annotate", __doc__, takes="SOURCE ")
    made.add_argument(
        "source",
        metavar="SOURCE",
        help="detections, annotations, or what the tool has exported",
    )
    made.add_option(
        "--tool",
        metavar="NAME",
        choices=tuple(tools.TOOLS),
        required=True,
        help="; ".join(f"{name}: {tool.title}" for name, tool in tools.TOOLS.items()),
    )
    made.add_option("--to", metavar="FILE", required=True, help="JSON to write, .json")
    made.add_option(
        "--annotations",
        metavar="FILE",
        help="annotations, or a feature folder, with the fps, subsets and durations of"
        " the videos; their segments are not read",
    )
    made.add_option(
        "--fps",
        type=float,
        metavar="N",
        kind="number",
        help="frames a second of videos that have none there",
    )
    made.add_option(
        "--videos",
        metavar="DIR",
        help="folder of the videos, files whose names are their ids, for the tool to play",
    )
    return made


def run(parsed: argparse.Namespace) -> int:
    """Writes what the tool imports, or annotations; 0."""
    from cleannet_jax.data import files
    from cleannet_jax.data.annotators import tools
    from cleannet_jax.data.annotators import videos as videos_lib

    if parsed.fps is not None and not 0 < parsed.fps < float("inf"):
        raise errors.InputError(f"--fps: found {parsed.fps}, expected a number above 0")
    if pathlib.Path(parsed.to).suffix.lower() not in (".json", ""):
        raise errors.InputError(f"--to: found {parsed.to}, expected the ending .json")
    options.check_output(
        "--to", parsed.to, parsed.source, parsed.annotations, parsed.videos
    )
    known = None if parsed.annotations is None else _known(parsed.annotations)
    if tools.is_export(parsed.source, parsed.tool):
        if parsed.videos is not None:
            raise errors.InputError(
                f"--videos: {parsed.source} was exported, expected detections or"
                " annotations with it"
            )
        found = tools.read(parsed.source, parsed.tool, known=known, fps=parsed.fps)
        files.write_json(parsed.to, videos_lib.as_content(found))
        print(_corrected(parsed.to, found))
        return 0
    places = {} if parsed.videos is None else _places(parsed.videos, parsed.tool)
    found = videos_lib.with_facts(
        _own(parsed.source), known, fps=parsed.fps, files=places
    )
    if places:
        _check_places(found, places, parsed.videos)
    content = tools.TOOLS[parsed.tool].as_content(found)
    configuration = _configuration(found) if parsed.tool == "label-studio" else ""
    files.write_json(parsed.to, content)
    print(f"{parsed.to}: {_count(found)}, for {tools.TOOLS[parsed.tool].title}")
    if configuration:
        print(f"labelling configuration of the project:\n{configuration}", end="")
    return 0


def _own(path: str) -> tuple["videos_lib.Video", ...]:
    """The videos of a file of detections or annotations."""
    from cleannet_jax.data import annotation_files
    from cleannet_jax.data.annotators import videos as videos_lib
    from cleannet_jax.data.detections import files as detections

    if _has_detections(path):
        return videos_lib.of_detections(detections.read(path), path)
    return videos_lib.of_annotations(annotation_files.read_annotations(path))


def _has_detections(path: str) -> bool:
    """Whether a file holds detections: those have scores, and annotations have none."""
    from cleannet_jax.data import files, text

    ending = pathlib.Path(path).suffix.lower()
    if os.path.isdir(path):
        return False
    if ending == ".csv":
        first = next(text.read_lines(path), None)
        return first is not None and "score" in first.text.lower()
    if ending not in (".json", ""):
        return True
    key = files.first_key(path, ("results", "database"))
    if key is not None:
        return key == "results"
    content = files.read_json(path)
    return isinstance(content, dict) and any(
        isinstance(value, list) for value in content.values()
    )


def _known(path: str) -> "annotations_lib.Annotations":
    """Annotations from a file, or from a feature folder with its own frame rates."""
    import dataclasses

    from cleannet_jax.data import annotation_files
    from cleannet_jax.data import manifest as manifest_lib

    place = pathlib.Path(path, "manifest.json")
    if not place.exists():
        return annotation_files.read_annotations(path)
    manifest = manifest_lib.read_manifest(place)
    found = annotation_files.read_for(path, manifest)
    if manifest.fps == "annotations":
        return found
    videos = {}
    for name, video in found.videos.items():
        fps = manifest_lib.timebase(manifest, video).fps
        videos[name] = dataclasses.replace(video, fps=fps)
    return dataclasses.replace(found, videos=videos)


def _places(folder: str, tool: str) -> dict[str, str]:
    """What the tool finds the videos of a folder under, by id."""
    from cleannet_jax.data.annotators import tools
    from cleannet_jax.features import extract

    under = tools.TOOLS[tool].found_under
    found = extract.find_videos([folder])
    return {name: under(path, pathlib.Path(folder)) for name, path in found.items()}


def _check_places(
    videos: tuple["videos_lib.Video", ...], places: dict[str, str], folder: str
) -> None:
    """Raises unless every video has a file."""
    lacking = [video.id for video in videos if video.id not in places]
    if lacking:
        raise errors.InputError(
            f"--videos: {folder}: found no file of {len(lacking)} of {len(videos)}"
            f" videos, such as {lacking[0]!r}, expected one whose name is the id"
        )


def _configuration(videos: tuple["videos_lib.Video", ...]) -> str:
    """Label Studio's configuration for the labels of these videos."""
    from cleannet_jax.data.annotators import label_studio

    found = {row.label for video in videos for row in video.instances}
    found |= {tag for video in videos for tag in video.tags}
    return label_studio.labelling_config(sorted(found))


def _count(videos: tuple["videos_lib.Video", ...]) -> str:
    """How many instances and videos there are."""
    count = sum(len(video.instances) for video in videos)
    return (
        f"{count} instance{'s' * (count != 1)} in {len(videos)}"
        f" video{'s' * (len(videos) != 1)}"
    )


def _corrected(path: str, videos: tuple["videos_lib.Video", ...]) -> str:
    """What was taken back."""
    rest = sum(not video.is_annotated for video in videos)
    note = f"; of {rest} nothing was submitted" if rest else ""
    return f"{path}: {_count(videos)}{note}"
