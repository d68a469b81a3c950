"""Projects of the VGG Image Annotator, version 3, whose segments are seconds.

VIA has segments of time natively: a row of `metadata` whose `z` is [start, end] in
seconds, and whose attributes are anchored at `FILE1_Z2_XY0`. CVAT has none: there an
action is a track of boxes or a tag on every frame, whose ends would be two more frame
numbers, and boxes nobody has drawn. VIA keeps five decimals of a second.

Of the attributes `category` is the label: its options are the labels, each under its own
name, which is what a segment holds both when it was chosen and when it was typed on the
timeline. The score of a detection, and id, subset, fps and duration of a video, are
attributes too, so that they come back. A project that VIA has begun itself may call its
one attribute of segments whatever it likes.

https://www.robots.ox.ac.uk/~vgg/software/via/
https://gitlab.com/vgg/via/-/blob/master/via-3.x.y/CodeDoc.md
"""

import math
import os
import pathlib
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import schema, text
from cleannet_jax.data.annotators import videos as videos_lib

_SEGMENT, _FILE = "FILE1_Z2_XY0", "FILE1_Z0_XY0"
_TEXT, _CHECKBOX, _SELECT = 1, 2, 4
_VIDEO = 4
_LOCAL, _URI_OF_FILE = 1, 3
_DELETED = 1
_LABEL, _SCORE = "category", "score"
_FACTS = ("id", "subset", "fps", "duration")
# Ids of attributes.
_LABEL_ID, _SCORE_ID = "1", "2"
_FACT_IDS = {name: str(index) for index, name in enumerate(_FACTS, start=3)}


class _Attributes(NamedTuple):
    """What the attributes of a project are for.

    Attributes:
      labels: by id those that can be the label of a segment.
      score: id of the score; empty where there is none.
      facts: names of a video's facts by id.
    """

    labels: dict[str, dict[str, Any]]
    score: str
    facts: dict[str, str]


def as_content(videos: Sequence[videos_lib.Video]) -> dict[str, Any]:
    """Returns a project with a view for each video."""
    labels = dict.fromkeys(row.label for video in videos for row in video.instances)
    rows: dict[str, dict[str, Any]] = {}
    entries: dict[str, dict[str, Any]] = {}
    for number, video in enumerate(videos, start=1):
        view = str(number)
        rows[view] = _file(video, view)
        entries |= {
            f"{view}_{index:08d}": entry
            for index, entry in enumerate(_metadata(video, view))
        }
    return {
        "project": {
            # Marks that VIA looks for in a project that is not shared.
            "pid": "__VIA_PROJECT_ID__",
            "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
            "pname": "cleannet",
            "data_format_version": "3.1.1",
            "creator": "cleannet",
            "created": 0,
            "vid_list": list(rows),
        },
        "config": {
            "file": {"loc_prefix": dict.fromkeys("1234", "")},
            "ui": {
                "file_content_align": "center",
                "file_metadata_editor_visible": True,
                "spatial_metadata_editor_visible": False,
                "temporal_segment_metadata_editor_visible": True,
                "spatial_region_label_attribute_id": "",
                "gtimeline_visible_row_count": "4",
            },
        },
        "attribute": {
            _LABEL_ID: _attribute(_LABEL, _SEGMENT, {name: name for name in labels}),
            _SCORE_ID: _attribute(_SCORE, _SEGMENT),
            **{key: _attribute(name, _FILE) for name, key in _FACT_IDS.items()},
        },
        "file": rows,
        "metadata": entries,
        "view": {view: {"fid_list": [view]} for view in rows},
    }


def found_under(path: pathlib.Path, folder: pathlib.Path) -> str:
    """Returns the URI that a page opened from disk finds a file under."""
    return path.absolute().as_uri()


def videos(
    content: Any,
    where: str,
    *,
    known: annotations_lib.Annotations | None = None,
    fps: float | None = None,
) -> tuple[videos_lib.Video, ...]:
    """Returns the videos of a project.

    Args:
      content: of the file.
      where: its path, for messages.
      known: annotations with facts that the project lacks.
      fps: frames a second of videos that have none there either.

    Raises:
      InputError: it is no such project; the message names the first place.
    """
    attributes = _attributes(_objects(content, "attribute", where), where)
    files = _objects(content, "file", where)
    names = {
        key: _name(view, files, f"{where}: view[{text.quoted(key)}]")
        for key, view in _objects(content, "view", where).items()
    }
    facts: dict[str, dict[str, str]] = {key: {} for key in names}
    instances: dict[str, list[videos_lib.Instance]] = {key: [] for key in names}
    for key, entry in _objects(content, "metadata", where).items():
        place = f"{where}: metadata[{text.quoted(key)}]"
        view = schema.text(entry, "vid", place)
        if view not in names:
            raise errors.InputError(
                f"{place}: vid: expected the key of a view, found {text.quoted(view)}"
            )
        times = schema.rows(schema.field(entry, "z", place), f"{place}.z")
        values = schema.field(entry, "av", place)
        if not isinstance(values, dict):
            raise errors.InputError(
                f"{place}: av: expected an object, found {reprlib.repr(values)}"
            )
        if type(entry.get("flg")) is int and entry["flg"] & _DELETED:
            continue
        if not times:
            facts[view] |= _own_facts(values, attributes, place)
        elif len(times) == 2 and not entry.get("xy"):
            instances[view] += _instances(times, values, attributes, place)
    made = [
        _video(names[key], facts[key], instances[key], f"{where}: view {key}")
        for key in names
    ]
    return videos_lib.with_facts(videos_lib.by_id(made, where), known, fps=fps)


def _attribute(
    name: str, anchor: str, options: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """An attribute: one of options, or free text."""
    return {
        "aname": name,
        "anchor_id": anchor,
        "type": _TEXT if options is None else _SELECT,
        "desc": "",
        "options": dict(options or {}),
        "default_option_id": "",
    }


def _file(video: videos_lib.Video, key: str) -> dict[str, Any]:
    """The file of a video; one whose place is not known is chosen in VIA."""
    return {
        "fid": key,
        "fname": pathlib.PurePosixPath(video.file).name if video.file else video.id,
        "type": _VIDEO,
        "loc": _URI_OF_FILE if video.file else _LOCAL,
        "src": video.file,
    }


def _metadata(video: videos_lib.Video, view: str) -> Iterator[dict[str, Any]]:
    """What is known of a video, and its instances."""
    known = [video.id, video.subset, video.fps, video.duration]
    facts = zip(_FACTS, known, strict=True)
    values = {_FACT_IDS[name]: _spelled(fact) for name, fact in facts if fact}
    yield {"vid": view, "flg": 0, "z": [], "xy": [], "av": values}
    for instance in video.instances:
        values = {_LABEL_ID: instance.label}
        if instance.score is not None:
            values[_SCORE_ID] = _spelled(instance.score)
        times = list(instance.segment)
        yield {"vid": view, "flg": 0, "z": times, "xy": [], "av": values}


def _spelled(value: str | float) -> str:
    """A value as the text of an attribute."""
    return value if isinstance(value, str) else repr(value)


def _objects(content: Any, key: str, where: str) -> dict[str, Any]:
    """The object under a key of a project."""
    value = schema.field(content, key, where)
    if not isinstance(value, dict):
        raise errors.InputError(
            f"{where}: {key}: expected an object, found {reprlib.repr(value)}"
        )
    return value


def _attributes(found: Mapping[str, Any], where: str) -> _Attributes:
    """What the attributes of a project are for."""
    labels, score, facts = {}, "", {}
    for key, attribute in found.items():
        place = f"{where}: attribute[{text.quoted(key)}]"
        name = schema.text(attribute, "aname", place)
        anchor = schema.text(attribute, "anchor_id", place)
        if anchor == _FILE and name in _FACTS:
            facts[key] = name
        elif anchor == _SEGMENT and name == _SCORE:
            score = key
        elif anchor == _SEGMENT:
            labels[key] = attribute
    own = {key: row for key, row in labels.items() if row["aname"] == _LABEL}
    if not own and len(labels) > 1:
        names = sorted(str(row["aname"]) for row in labels.values())
        raise errors.InputError(
            f"{where}: attribute: found the attributes {reprlib.repr(names)} of"
            f" segments, expected one, or one whose name is {_LABEL!r}"
        )
    return _Attributes(own or labels, score, facts)


def _name(view: Any, files: Mapping[str, Any], where: str) -> str:
    """The name of the one file of a view, without its ending."""
    keys = schema.rows(schema.field(view, "fid_list", where), f"{where}.fid_list")
    if len(keys) != 1 or str(keys[0]) not in files:
        raise errors.InputError(
            f"{where}: fid_list: expected the key of one file, found"
            f" {reprlib.repr(keys)}"
        )
    entry = files[str(keys[0])]
    name = schema.text(entry, "fname", f"{where}: its file")
    return os.path.splitext(name.replace("\\", "/").rpartition("/")[2])[0] or name


def _own_facts(
    values: Mapping[str, Any], attributes: _Attributes, where: str
) -> dict[str, str]:
    """What is said of a video as a whole."""
    return {
        attributes.facts[key]: schema.text(values, key, f"{where}.av")
        for key, value in values.items()
        if key in attributes.facts and value != ""
    }


def _instances(
    times: Sequence[Any],
    values: Mapping[str, Any],
    attributes: _Attributes,
    where: str,
) -> Iterator[videos_lib.Instance]:
    """The instances of a segment; one for each box that is ticked."""
    segment = schema.segment({"segment": times}, where)
    score = None
    if values.get(attributes.score, "") != "":
        spelled = schema.text(values, attributes.score, f"{where}.av")
        score = text.finite(spelled, f"{where}.av: score")
    labels = []
    for key, attribute in attributes.labels.items():
        value = values.get(key, "")
        if value != "":
            spelled = schema.text(values, key, f"{where}.av")
            labels += _labels(spelled, attribute)
    if not labels:
        raise errors.InputError(
            f"{where}: found a segment without a label, expected the name of a category"
        )
    for label in labels:
        yield videos_lib.Instance(label, segment, score)


def _labels(value: str, attribute: Mapping[str, Any]) -> list[str]:
    """The labels that a value of an attribute stands for."""
    options = attribute.get("options")
    known = options if isinstance(options, dict) else {}
    keys = value.split(",") if attribute.get("type") == _CHECKBOX else [value]
    if value in known:
        keys = [value]
    return [str(known.get(key) or key) for key in keys]


def _video(
    name: str,
    facts: Mapping[str, str],
    instances: Sequence[videos_lib.Instance],
    where: str,
) -> videos_lib.Video:
    """A video from what was found of it."""
    numbers: dict[str, float] = {}
    for key in ("fps", "duration"):
        if key in facts:
            numbers[key] = text.finite(facts[key], f"{where}: {key}")
            if not 0 < numbers[key] < math.inf:
                raise errors.InputError(
                    f"{where}: {key}: expected a number above 0, found"
                    f" {reprlib.repr(facts[key])}"
                )
    return videos_lib.Video(
        id=facts.get("id", name),
        instances=tuple(instances),
        subset=facts.get("subset", annotations_lib.EVERYTHING),
        fps=numbers.get("fps"),
        duration=numbers.get("duration"),
    )
