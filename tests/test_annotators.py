"""Instances to annotation tools and back: every tool by its documented format."""

import json
import math
import pathlib

import numpy as np
import programs
import pytest

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import files
from cleannet_jax.data.annotators import frames, label_studio, tools
from cleannet_jax.data.annotators import videos as videos_lib

HOSTILE = [
    "a, b",
    'say "no"; <script>alert(1)</script>',
    "0",
    "שלום 🏊 \u202e",
    "line\nend",
    "x" * 10_000,
    "../../etc/passwd",
    "Ambiguous",
    "=1+1",
]


def video(*instances, **facts):
    return videos_lib.Video(
        **{"id": "v.1", "fps": 25.0, "instances": tuple(instances), **facts}
    )


def submitted(content):
    """The tasks as Label Studio has them once predictions were accepted as they are."""
    for task in content:
        for prediction in task.pop("predictions", []):
            task["annotations"] = [{"id": 1, "result": prediction["result"]}]
        task.setdefault("annotations", [{"id": 1, "result": []}])
    return content


def round_trip(name, *found, **options):
    content = json.loads(json.dumps(tools.TOOLS[name].as_content(found)))
    if name == "label-studio":
        content = submitted(content)
    return tools.TOOLS[name].videos(content, "file", **options)


def assert_alike(back, found, within=1e-9):
    assert [v.id for v in back] == [v.id for v in found]
    for one, other in zip(back, found, strict=True):
        assert [i.label for i in one.instances] == [i.label for i in other.instances]
        assert [i.score for i in one.instances] == [i.score for i in other.instances]
        pairs = zip(one.instances, other.instances, strict=True)
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours.segment, theirs.segment, 0, within)


@pytest.mark.parametrize("name", tools.TOOLS)
def test_what_goes_out_comes_back(name):
    jump = videos_lib.Instance("Jump", (1.0, 2.4), 0.125)
    dive = videos_lib.Instance("Dive", (1.0, 2.4), -3.5)  # At the same time.
    again = videos_lib.Instance("Jump", (1.2, 2.0), 1e-7)
    found = [
        video(jump, dive, again, is_annotated=False),
        video(id="nothing", is_annotated=False),
        video(jump._replace(score=None), id="b/c", subset="test", duration=12.5),
    ]
    back = round_trip(name, *found)
    assert_alike(back, found)
    if name != "fiftyone":  # It has no place for them.
        assert [v.subset for v in back] == ["all", "all", "test"]
        assert [v.duration for v in back] == [None, None, 12.5]
        assert [v.fps for v in back] == [25.0] * 3


@pytest.mark.parametrize("name", tools.TOOLS)
def test_hostile_text_is_kept(name):
    found = [
        video(*(videos_lib.Instance(label, (0.0, 1.0)) for label in HOSTILE), id=each)
        for each in HOSTILE
    ]
    assert_alike(round_trip(name, *found), found)


@pytest.mark.parametrize("name", tools.TOOLS)
@pytest.mark.parametrize("fps", [24, 25, 29.97, 30000 / 1001, 59.94, 12.5, 0.5])
def test_times_are_lossless_to_a_frame(name, fps):
    rng = np.random.default_rng(int(fps))
    times = np.sort(rng.uniform(0, 600, (40, 2))).tolist()
    times += [[0.0, 0.0], [3.0, 3.0], [3.0, 3.001], [599.999, 600.0]]
    rows = [videos_lib.Instance("a", tuple(pair)) for pair in times]
    found = [video(*rows, fps=fps)]
    within = 1 / fps if name == "label-studio" else 1e-9
    back = round_trip(name, *found)
    assert_alike(back, found, within=within + 1e-9)
    # And once they are frames, for ever.
    assert_alike(round_trip(name, *back), back)


@pytest.mark.parametrize("fps", [24, 29.97, 30000 / 1001])
def test_whole_frames_are_exact(fps):
    for first, last in [(1, 1), (1, 2), (7, 90), (100_000, 200_000)]:
        segment = frames.to_seconds(first, last, fps)
        assert frames.of_seconds(segment, fps) == (first, last)
    # By hand: frames 3 to 5 at 25 fps are seconds 0.08 to 0.2.
    assert frames.to_seconds(3, 5, 25) == (0.08, 0.2)
    assert frames.of_seconds((0.09, 0.19), 25) == (3, 5)


def test_frame_rates_come_from_the_file_then_annotations_then_the_option():
    known = annotations_lib.Annotations(
        {"a": annotations_lib.make_video("a", [], subset="test", fps=50.0)}, "known"
    )
    tasks = [
        {"data": {"video": "x/a.mp4"}, "annotations": [{"result": [region(51, 100)]}]},
        {
            "data": {"video": "a2.mp4", "fps": 10},
            "annotations": [{"result": [region(51, 100)]}],
        },
        {"data": {"video": "c.mp4"}, "annotations": [{"result": [region(51, 100)]}]},
    ]
    found = label_studio.videos(tasks, "f", known=known, fps=25.0)
    segments = {v.id: v.instances[0].segment for v in found}
    assert segments == {"a": (1.0, 2.0), "a2": (5.0, 10.0), "c": (2.0, 4.0)}
    assert found[0].subset == "test"
    with pytest.raises(errors.InputError, match=r"f: \[2\]: video 'c': .* --fps"):
        label_studio.videos(tasks, "f", known=known)
    with pytest.raises(errors.InputError, match="video 'v.1': found no frame rate"):
        label_studio.as_content([video(fps=None)])
    assert round_trip("via", video(fps=None))[0].fps is None


def region(first, last, *labels, **more):
    value = {
        "ranges": [{"start": first, "end": last}],
        "timelinelabels": list(labels or ["Moving"]),
    }
    return {"type": "timelinelabels", "value": value, **more}


def test_the_example_of_label_studios_documentation():
    example = {
        "value": {"ranges": [{"start": 3, "end": 5}], "timelinelabels": ["Moving"]}
    }
    task = {
        "id": 7,
        "file_upload": "3d3ad63e-my_clip.mp4",
        "data": {"video": "/data/upload/1/3d3ad63e-my_clip.mp4"},
        "annotations": [
            {"was_cancelled": True, "result": [region(1, 1)]},
            {"result": [example, {"type": "choices", "value": {"choices": ["x"]}}]},
        ],
        "predictions": [{"result": [region(1, 1)]}],
    }
    (found,) = label_studio.videos([task], "f", fps=25)
    assert found.id == "my_clip" and found.is_annotated
    assert found.instances == (videos_lib.Instance("Moving", (0.08, 0.2)),)
    for url in ["/data/local-files/?d=v/my%20clip.mp4", "s3://bucket/my clip.webm"]:
        task["data"] = {"video": url}
        assert label_studio.videos([task], "f", fps=25)[0].id == "my clip"
    task["annotations"] = []
    assert not label_studio.videos([task], "f", fps=25)[0].is_annotated


def test_labels_of_one_region_are_instances_of_their_own():
    task = {
        "data": {"video": "a.mp4"},
        "annotations": [{"result": [region(1, 25, "a", "b, c", score=0.5)]}],
    }
    (found,) = label_studio.videos([task], "f", fps=25)
    assert found.instances == (
        videos_lib.Instance("a", (0.0, 1.0), 0.5),
        videos_lib.Instance("b, c", (0.0, 1.0), 0.5),
    )


# As VIA's own page of its code has segments and attributes.
PROJECT = {
    "project": {"pid": "__VIA_PROJECT_ID__", "vid_list": ["1"]},
    "config": {},
    "attribute": {
        "1": {
            "aname": "TEMPORAL-SEGMENTS",
            "anchor_id": "FILE1_Z2_XY0",
            "type": 4,
            "options": {"1": "Break Egg", "default": "Default"},
        },
        "2": {"aname": "Object", "anchor_id": "FILE1_Z1_XY1", "type": 1, "options": {}},
    },
    "file": {
        "1": {"fid": "1", "fname": "Alioli.ogv", "type": 4, "loc": 2, "src": "http:"}
    },
    "metadata": {
        "1_a": {"vid": "1", "flg": 0, "z": [7.2, 11.6], "xy": [], "av": {"1": "1"}},
        "1_b": {"vid": "1", "flg": 0, "z": [3.1, 9.2], "xy": [], "av": {"1": "Typed"}},
        "1_c": {"vid": "1", "z": [8.3], "xy": [2, 10, 20, 40, 50], "av": {"2": "cat"}},
        "1_d": {"vid": "1", "flg": 1, "z": [0.0, 1.0], "xy": [], "av": {"1": "1"}},
    },
    "view": {"1": {"fid_list": ["1"]}},
}


def test_a_project_as_via_writes_it():
    (found,) = tools.TOOLS["via"].videos(PROJECT, "f")
    assert found.id == "Alioli"
    assert found.instances == (
        videos_lib.Instance("Break Egg", (7.2, 11.6)),
        videos_lib.Instance("Typed", (3.1, 9.2)),
    )
    boxes = json.loads(json.dumps(PROJECT))
    boxes["attribute"]["1"] |= {"type": 2, "options": {"0": "a", "1": "b, c"}}
    boxes["metadata"]["1_a"]["av"]["1"] = "0,1"
    (found,) = tools.TOOLS["via"].videos(boxes, "f")
    assert [row.label for row in found.instances[:2]] == ["a", "b, c"]


def test_the_example_of_fiftyones_documentation():
    content = {
        "classes": ["labelA", "labelB"],
        "labels": {
            "uuid1": [
                {"label": 1, "support": [1, 50], "confidence": 0.5},
                {"label": 0, "timestamps": [1.5, 2], "attributes": {"x": 1}},
            ],
            "uuid2": [],
            "uuid3": None,
            "/data/uuid4.mp4": [],
        },
    }
    found = tools.TOOLS["fiftyone"].videos(content, "f", fps=25.0)
    assert [v.id for v in found] == ["uuid1", "uuid2", "uuid3", "uuid4"]
    assert [v.is_annotated for v in found] == [True, True, False, True]
    assert found[0].instances == (
        videos_lib.Instance("labelB", (0.0, 2.0), 0.5),
        videos_lib.Instance("labelA", (1.5, 2.0)),
    )
    del content["classes"]
    assert (
        tools.TOOLS["fiftyone"].videos(content, "f", fps=1)[0].instances[0].label == "1"
    )


def changed(path, value):
    """The VIA project with a value in another place."""
    found = json.loads(json.dumps(PROJECT))
    entry = found
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    return found


def tasks(**more):
    return [{"data": {"video": "a.mp4", "fps": 25}, **more}]


def result(*rows):
    return tasks(annotations=[{"result": list(rows)}])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("label-studio", {}, "f: expected a list, found {}"),
        ("label-studio", [3], r"f: \[0\]: expected an object with the key 'data'"),
        ("label-studio", [{"data": {}}], "data: expected the key 'video'"),
        ("label-studio", [{"data": {"video": "/"}}], "the place of a video"),
        ("label-studio", [*tasks(), *tasks()], "f: found the video 'a' twice"),
        (
            "label-studio",
            tasks(annotations=[{"result": []}, {"result": []}]),
            r"f: \[0\].annotations: found 2 annotations of video 'a', expected one",
        ),
        ("label-studio", tasks(annotations=[{}]), "expected the key 'result'"),
        (
            "label-studio",
            result(region(9, 3)),
            r"result\[0\].value.ranges\[0\]: expected an end that is not before",
        ),
        ("label-studio", result(region("x", 3)), "start: expected the number of a fr"),
        ("label-studio", result(region(1, float("nan"))), "end: expected the number"),
        (
            "label-studio",
            result({"value": {"ranges": [], "timelinelabels": []}}),
            "found a span without a label",
        ),
        ("label-studio", result(region(1, 3, 1.5)), "label: expected a name"),
        ("label-studio", result(region(1, 3, score="x")), "score: expected a number"),
        ("label-studio", result(region(1, 10**400)), "end: expected the number"),
        ("label-studio", result(region(1, 3, score=math.inf)), "score: .* finite"),
        ("via", [], "f: expected an object with the key 'attribute'"),
        ("via", changed(["view"], []), r"f: view: expected an object, found \[\]"),
        (
            "via",
            changed(["view", "1", "fid_list"], ["1", "2"]),
            r"f: view\['1'\]: fid_list: expected the key of one file",
        ),
        ("via", changed(["metadata", "1_a", "vid"], "9"), "expected the key of a view"),
        (
            "via",
            changed(["metadata", "1_a", "z"], [2, 1]),
            r"f: metadata\['1_a'\]: segment: expected an end that is not before",
        ),
        ("via", changed(["metadata", "1_a", "av"], {}), "a segment without a label"),
        ("via", changed(["metadata", "1_a", "av"], 3), "av: expected an object"),
        (
            "via",
            changed(["attribute", "2", "anchor_id"], "FILE1_Z2_XY0"),
            "found the attributes .* of segments, expected one",
        ),
        ("fiftyone", {"labels": 3}, "f: labels: expected an object, found 3"),
        ("fiftyone", {"labels": {"a": 3}}, r"f: labels\['a'\]: expected a list"),
        (
            "fiftyone",
            {
                "labels": {
                    "a": [{"label": "x", "timestamps": [1, 2], "confidence": "x"}]
                }
            },
            r"f: labels\['a'\]\[0\].confidence: score: expected a number",
        ),
        ("fiftyone", {"labels": {"a": [{}]}}, "expected the key 'label'"),
        (
            "fiftyone",
            {"labels": {"a": [{"label": "x"}]}},
            r"f: labels\['a'\]\[0\]: expected the key 'timestamps'",
        ),
        (
            "fiftyone",
            {"labels": {"a": [{"label": "x", "support": [1, 2]}]}},
            "frame rate is not known",
        ),
        (
            "fiftyone",
            {"labels": {"a": [{"label": 2, "timestamps": [1, 2]}]}, "classes": ["x"]},
            "label: expected a place in the 1 classes, found 2",
        ),
    ],
)
def test_what_is_not_as_expected_is_named(name, content, message):
    with pytest.raises(errors.InputError, match=message) as caught:
        tools.TOOLS[name].videos(content, "f")
    assert "\n" not in str(caught.value)


ODD = [None, True, 3, -1, 1.5, "", [], {}, "x", math.nan, math.inf, 10**400, {"a": 1}]


def changed_everywhere(content):
    """The content with every value in turn replaced by every odd one."""
    yield from ODD
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        inner = value if isinstance(value, dict | list) else []
        for other in changed_everywhere(inner):
            copy = content.copy()
            copy[key] = other
            yield copy


@pytest.mark.parametrize("name", tools.TOOLS)
def test_whatever_is_changed_is_read_or_refused_in_a_line(name):
    found = [
        video(videos_lib.Instance("x", (0, 1.2), 0.5), duration=9.0),
        video(id="b", is_annotated=False),
    ]
    content = json.loads(json.dumps(tools.TOOLS[name].as_content(found)))
    if name == "fiftyone":
        content["classes"] = ["q"]
        content["labels"]["b"].append({"label": 0, "support": [1, 2]})
    for other in changed_everywhere(content):
        try:
            back = tools.TOOLS[name].videos(other, "f", fps=25.0)
        except errors.InputError as error:
            assert "\n" not in str(error)
        else:
            json.dumps(videos_lib.as_content(back), allow_nan=False)


def test_a_labelling_configuration_escapes_labels():
    import xml.etree.ElementTree as tree

    found = label_studio.labelling_config([*HOSTILE, HOSTILE[0]])
    root = tree.fromstring(found)
    labels = [row.get("value") for row in root.iter("Label")]
    assert labels == HOSTILE
    assert root.find("Video").get("frameRate") == "$fps"
    with pytest.raises(errors.InputError, match="a character that XML cannot hold"):
        label_studio.labelling_config(["a\0"])


@pytest.fixture
def found(tmp_path):
    """Detections, and annotations with the frame rate of one of the two videos."""
    rows = [
        {"label": "a, b", "segment": [0.2, 1.0], "score": 0.5},
        {"label": "c", "segment": [0.2, 1.0], "score": 0.25},
    ]
    files.write_json(tmp_path / "found.json", {"results": {"x": rows, "y": []}})
    entry = {"subset": "test", "duration": 9.0, "fps": 10.0, "annotations": []}
    files.write_json(tmp_path / "known.json", {"database": {"x": entry}})
    return tmp_path


@pytest.mark.parametrize("name", tools.TOOLS)
def test_the_command_goes_both_ways(found, name):
    known = ["--annotations", found / "known.json", "--fps", 25]
    out, back = found / "out.json", found / "back.json"
    tool = ["--tool", name]
    done = programs.run("annotate", found / "found.json", *tool, "--to", out, *known)
    assert done.returncode == 0, done.stderr
    assert f"{out}: 2 instances in 2 videos, for " in done.stdout
    assert ("<Label value='a, b'/>" in done.stdout.replace('"', "'")) == (
        name == "label-studio"
    )
    if name == "label-studio":
        files.write_json(out, submitted(files.read_json(out)))
    done = programs.run("annotate", out, *tool, "--to", back, *known)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{back}: 2 instances in 2 videos\n"
    read = annotations_lib.read_annotations(back)
    assert list(read.videos) == ["x", "y"]
    assert read.videos["x"].labels == ("a, b", "c")
    np.testing.assert_allclose(read.videos["x"].segments, [[0.2, 1.0]] * 2)
    assert read.videos["x"].subset == "test" and read.videos["x"].duration == 9.0
    assert read.videos["y"].fps == 25.0 and read.videos["y"].timed
    scores = [
        row["score"] for row in files.read_json(back)["database"]["x"]["annotations"]
    ]
    assert scores == [0.5, 0.25]
    # And annotations out again, whose videos are annotated already.
    done = programs.run("annotate", back, *tool, "--to", out)
    assert done.returncode == 0, done.stderr
    (first, *_) = tools.read(out, name, known=read)
    assert [row.label for row in first.instances] == [
        "a, b",
        "c",
    ] and first.is_annotated


def test_videos_are_found_by_their_ids(found):
    (found / "clips/deep").mkdir(parents=True)
    for name in ("x.mp4", "deep/y.webm"):
        (found / "clips" / name).touch()
    places = {}
    for name in tools.TOOLS:
        done = programs.run(
            *("annotate", found / "found.json", "--tool", name, "--fps", 25),
            *("--to", found / f"{name}.json", "--videos", found / "clips"),
        )
        assert done.returncode == 0, done.stderr
        places[name] = files.read_json(found / f"{name}.json")
        known = annotations_lib.read_annotations(found / "known.json")
        read = tools.read(found / f"{name}.json", name, known=known)
        if name != "fiftyone":
            assert [video.id for video in read] == ["x", "y"]
    assert places["label-studio"][1]["data"]["video"] == (
        "/data/local-files/?d=clips/deep/y.webm"
    )
    assert places["via"]["file"]["2"]["fname"] == "y.webm"
    assert places["via"]["file"]["2"]["src"] == (found / "clips/deep/y.webm").as_uri()
    assert list(places["fiftyone"]["labels"]) == ["x", "deep/y"]
    (found / "clips/x.mp4").unlink()
    done = programs.run(
        *("annotate", found / "found.json", "--tool", "via"),
        *("--to", found / "via.json", "--videos", found / "clips"),
    )
    assert done.returncode == 2 and "found no file of 1 of 2 videos" in done.stderr


def test_the_rates_of_a_feature_folder_count(found, feature_folder):
    manifest = files.read_json(feature_folder / "manifest.json")
    name = next(iter(files.read_json(feature_folder / "annotations.json")["database"]))
    content = {"results": {name: []}}
    files.write_json(found / "found.json", content)
    done = programs.run(
        *("annotate", found / "found.json", "--tool", "label-studio"),
        *("--to", found / "out.json", "--annotations", feature_folder),
    )
    assert done.returncode == 0, done.stderr
    (task,) = files.read_json(found / "out.json")
    assert task["data"]["fps"] > 0
    if manifest["fps"] != "annotations":
        assert task["data"]["fps"] == manifest["fps"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["found.json", "--tool", "label-studio"], "found no frame rate"),
        (["found.json", "--tool", "via", "--fps", "0"], "--fps: found 0.0"),
        (["none.json", "--tool", "via"], "none.json: No such file"),
        (["bad.json", "--tool", "via"], "bad.json: line 1, column 1: not JSON"),
        (["list.json", "--tool", "via"], "expected an object with the key 'database'"),
        (["infinite.json", "--tool", "via"], "found the score inf, expected a finite"),
        (["tasks.json", "--tool", "label-studio", "--videos", "."], "was exported"),
    ],
)
def test_mistakes_are_one_line(found, monkeypatch, arguments, message):
    monkeypatch.chdir(found)
    pathlib.Path("bad.json").write_text("what?")
    pathlib.Path("list.json").write_text("[1]")
    pathlib.Path("tasks.json").write_text("[]")
    row = {"label": "a", "segment": [0, 1], "score": float("inf")}
    pathlib.Path("infinite.json").write_text(json.dumps({"results": {"x": [row]}}))
    done = programs.run("annotate", *arguments, "--to", "out.json")
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and not pathlib.Path("out.json").exists()


def test_a_file_that_is_read_is_not_replaced(found):
    source = found / "found.json"
    done = programs.run("annotate", source, "--tool", "via", "--to", source)
    assert done.returncode == 2 and "is an input of this command" in done.stderr
    done = programs.run("annotate", source, "--tool", "via", "--to", found / "a.csv")
    assert done.returncode == 2 and "expected the ending .json" in done.stderr
