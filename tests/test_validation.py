"""What is found to be wrong with feature folders, and the program that prints it."""

import dataclasses
import json
import pathlib
import re
import shutil

import numpy as np
import programs
import pytest

from cleannet_jax import findings, streams, validation
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.report import validation as report_lib

ROOT = pathlib.Path(__file__).parents[1]
GESTURES = ROOT / "../shared/data/sfinge3d_gestures"


def make_manifest(**changes):
    """A manifest of streams 3 and 2 columns wide; a snippet is half a second."""
    content = {
        "name": "kitchen",
        "streams": streams.Streams(("rgb", "flow"), (3, 2)),
        "stride_frames": 15,
        "window_frames": 15,
        "offset_frames": 0,
        "fps": 30,
        "train_subset": "training",
        "evaluation_subset": "validation",
        "source": "written by the test",
        "backbone_trained_on": (),
    }
    return manifest_lib.Manifest(**(content | changes))


def make_folder(folder, lengths, *, durations=None, labels=None, subsets=None):
    """Writes annotations and features; a length of None writes annotations only."""
    database = {}
    for video_id, length in lengths.items():
        names = (labels or {}).get(video_id, ["Chop", "Slice"])
        database[video_id] = {
            "subset": (subsets or {}).get(video_id, "training"),
            "duration": (durations or {}).get(video_id, (length or 10) / 2),
            "annotations": [{"segment": [0, 1], "label": name} for name in names],
        }
        if length is not None:
            rng = np.random.default_rng(len(database))
            save_stream(folder, "rgb", video_id, rng.normal(size=(length, 3)))
            save_stream(folder, "flow", video_id, rng.normal(size=(length, 2)))
    (folder / "annotations.json").write_text(json.dumps({"database": database}))


def test_labels_without_segments_are_enough_to_train_on(tmp_path):
    make_folder(tmp_path, {"a": 10, "b": 10}, subsets={"b": "validation"})
    path = tmp_path / "annotations.json"
    content = json.loads(path.read_text())
    content["database"]["a"] |= {"annotations": [], "labels": ["Chop", "Slice"]}
    path.write_text(json.dumps(content))
    report = validate(tmp_path)
    assert report.errors == () and report.warnings == ()
    assert [count.train_videos for count in report.categories] == [1, 1]
    content["database"]["b"] = content["database"]["a"] | {"subset": "validation"}
    path.write_text(json.dumps(content))
    kinds = [finding.kind for finding in validate(tmp_path).warnings]
    assert kinds == ["no times to evaluate on"]


def save_stream(folder, stream, video_id, values):
    (folder / stream).mkdir(exist_ok=True)
    np.save(folder / stream / f"{video_id}.npy", values)


def validate(folder, *, manifest=None, **options):
    return validation.validate(
        folder,
        manifest=manifest or make_manifest(),
        annotations=annotations_lib.read_annotations(folder / "annotations.json"),
        window=7,
        **options,
    )


def run(*arguments):
    """Runs the program as a user does."""
    return programs.run("validate", *arguments)


def kinds(findings):
    """(kind, video) of each finding, sorted."""
    return sorted((finding.kind, finding.video) for finding in findings)


def test_sound_folder_has_no_findings(tmp_path):
    subsets = {"b": "validation"}
    make_folder(tmp_path, {"a": 8, "b": 10, "c": 20}, subsets=subsets)
    report = validate(tmp_path)
    assert report.findings == ()
    assert report.subsets == (
        validation.SubsetCount("training", 2, 2, 28, 20),
        validation.SubsetCount("validation", 1, 1, 10, 10),
    )


def test_every_broken_file_is_an_error_of_its_kind(tmp_path):
    ids = ["one_stream", "lengths", "width", "nan", "inf", "empty", "cut", "object"]
    make_folder(tmp_path, dict.fromkeys(["fine", *ids], 8))
    (tmp_path / "flow/one_stream.npy").unlink()
    save_stream(tmp_path, "flow", "lengths", np.zeros((9, 2)))
    save_stream(tmp_path, "rgb", "width", np.zeros((8, 4)))
    save_stream(tmp_path, "rgb", "nan", np.diag([np.nan] * 8)[:, :3])
    save_stream(tmp_path, "flow", "inf", np.full((8, 2), np.inf))
    save_stream(tmp_path, "rgb", "empty", np.zeros((0, 3)))
    save_stream(tmp_path, "flow", "empty", np.zeros((0, 2)))
    content = (tmp_path / "rgb/cut.npy").read_bytes()
    (tmp_path / "rgb/cut.npy").write_bytes(content[:-1])
    save_stream(tmp_path, "rgb", "object", np.array([[None] * 3] * 8))
    report = validate(tmp_path)
    assert kinds(report.errors) == [
        ("empty video", "empty"),
        ("object array", "object"),
        ("stream missing", "one_stream"),
        ("streams of different lengths", "lengths"),
        ("values not finite", "inf"),
        ("values not finite", "nan"),
        ("wrong file size", "cut"),
        ("wrong width", "width"),
    ]


def test_first_value_that_is_not_finite_is_placed(tmp_path):
    make_folder(tmp_path, {"a": 8})
    flow = np.zeros((8, 2))
    flow[5, 1] = flow[6, 0] = np.nan
    save_stream(tmp_path, "flow", "a", flow)
    (finding,) = validate(tmp_path).errors
    assert finding.message == (
        "video 'a': stream 'flow': 2 values are NaN or infinite, the first at snippet 5,"
        " column 1 of 2"
    )
    assert validate(tmp_path, read_values=False).errors == ()


def test_ids_on_one_side_only_are_warnings(tmp_path):
    make_folder(
        tmp_path,
        {"a": 8, "lost": None, "asked": None, "other": None},
        subsets={"asked": "validation", "other": "testing"},
    )
    save_stream(tmp_path, "flow", "stray", np.zeros((8, 2)))
    report = validate(tmp_path)
    assert report.errors == ()
    assert kinds(report.warnings) == [
        ("no features", "asked"),
        ("no features", "lost"),
        ("not annotated", "stray"),
    ]
    assert report.subsets[0][:3] == ("training", 2, 1)


@pytest.mark.parametrize(
    ("window", "offset", "duration", "is_found"),
    [
        # 10 snippets of half a second: 5 s, half a second more or less is one snippet.
        (15, 0, 5.54, False),
        (15, 0, 5.56, True),
        (15, 0, 4.46, False),
        (15, 0, 4.44, True),
        # All of it begins a second later.
        (15, 30, 6.54, False),
        (15, 30, 5.40, True),
        # A window of 2 s fits no more than 2 s before the end.
        (60, 0, 7.04, False),
        (60, 0, 7.06, True),
    ],
)
def test_length_is_compared_with_duration(tmp_path, window, offset, duration, is_found):
    subsets = {"b": "validation"}
    make_folder(tmp_path, {"a": 8, "b": 10}, durations={"b": duration}, subsets=subsets)
    manifest = make_manifest(window_frames=window, offset_frames=offset)
    report = validate(tmp_path, manifest=manifest)
    found = [finding for finding in report.warnings if finding.video == "b"]
    assert bool(found) is is_found
    if found and offset == 0:
        assert found[0].message == (
            "video 'b': 10 snippets of 15 frames at 30 fps end at 5.00 s, the "
            f"annotated duration is {duration:.2f} s"
        )


def test_short_and_unlabelled_videos_are_warnings(tmp_path):
    make_folder(tmp_path, {"a": 7, "short": 6, "bare": 8}, labels={"bare": []})
    report = validate(tmp_path)
    assert report.errors == ()
    assert kinds(report.warnings) == [
        ("no labels", "bare"),
        ("nothing to evaluate on", ""),
        ("shorter than the pooling window", "short"),
    ]


def test_missing_duration_and_rate_are_named(tmp_path):
    make_folder(tmp_path, {"a": 8, "b": 8})
    content = json.loads((tmp_path / "annotations.json").read_text())
    del content["database"]["a"]["duration"]
    content["database"]["a"]["fps"] = 30
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    report = validate(tmp_path, manifest=make_manifest(fps="annotations"))
    assert kinds(report.errors) == [("no frame rate", "b")]
    assert ("no duration", "a") in kinds(report.warnings)


def test_labels_outside_the_categories(tmp_path):
    make_folder(
        tmp_path,
        {"a": 8, "b": 8},
        labels={"a": ["Chop", "Boil"], "b": ["Chop", "Fry"]},
        subsets={"b": "validation"},
    )
    # By default the categories are those of the training subset.
    report = validate(tmp_path)
    assert report.errors == ()
    # What only one side has is said once more, of the set.
    assert kinds(report.warnings) == [
        ("category without instance", ""),
        ("category without training video", ""),
        ("label without category", "b"),
    ]
    # A trained model localizes in them all the same.
    assert validate(tmp_path, categories=("Chop",)).errors == ()


def test_categories_are_counted(tmp_path):
    make_folder(
        tmp_path,
        {"a": 8, "b": 8, "c": None, "d": 8},
        labels={
            "a": ["Chop", "Boil", "Chop"],
            "b": ["Chop"],
            "c": ["Chop"],
            "d": ["Chop", "Chop"],
        },
        subsets={"d": "validation"},
    )
    report = validate(tmp_path)
    # Counts training videos with features, evaluation videos, their instances.
    assert report.categories == (
        validation.CategoryCount("Boil", 1, 0, 0),
        validation.CategoryCount("Chop", 2, 1, 2),
    )
    assert report.lengths == {"a": 8, "b": 8, "d": 8}
    lines = report_lib.categories_text(report).splitlines()
    assert [line.split()[1:] for line in lines[1:]] == [list("100"), list("212")]


def test_names_that_differ_in_spelling_alone(tmp_path):
    labels = {"a": ["High Jump"], "b": ["HighJump", "Run"]}
    make_folder(tmp_path, {"a": 8, "b": 8}, labels=labels)
    found = [f for f in validate(tmp_path).warnings if "alike" in f.kind]
    assert [finding.message for finding in found] == [
        "categories ['High Jump', 'HighJump']: the same name in several spellings?"
    ]


def test_segments_that_cannot_be_found_are_named(tmp_path):
    make_folder(tmp_path, {"a": 8, "b": 8}, subsets={"b": "validation"})
    content = json.loads((tmp_path / "annotations.json").read_text())
    times = [[0, 1], [0, 1], [2, 2], [3.5, 9], [4, 5]]
    content["database"]["b"]["annotations"] = [
        {"segment": segment, "label": "Chop"} for segment in times
    ]
    content["database"]["a"]["annotations"] += content["database"]["b"]["annotations"]
    content["database"]["b"]["annotations"].append(
        {"segment": [1, 2], "label": "Slice"}
    )
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    report = validate(tmp_path)
    assert report.errors == ()
    # The times of training videos are not read.
    place = "video 'b': 1 of 6 segments, the first 'Chop' at "
    assert [finding.message for finding in report.warnings] == [
        f"{place}[4.0, 5.0]: begins after the video's end at 4.00 s",
        f"{place}[2.0, 2.0]: has no length",
        f"{place}[0.0, 1.0]: is annotated more than once",
    ]


def test_segments_that_end_before_they_start_are_all_named(tmp_path):
    subsets = {"b": "validation", "c": "elsewhere"}
    make_folder(tmp_path, dict.fromkeys("abc", 8), subsets=subsets)
    path = tmp_path / "annotations.json"
    content = json.loads(path.read_text())
    for name, times in {"a": [[2, 1]], "b": [[3, 2], [1, 0]], "c": [[4, 3]]}.items():
        content["database"][name]["annotations"] += [
            {"segment": segment, "label": "Chop"} for segment in times
        ]
    path.write_text(json.dumps(content))
    report = validate(tmp_path)
    assert report.errors == ()
    unread, wrong = "times of its subset are not read", "its subset cannot be evaluated"
    for finding, row, times, end in zip(
        report.warnings,
        ("['a'].annotations[2]", *("['b'].annotations[2]", "['b'].annotations[3]"))
        + ("['c'].annotations[2]",),
        ([2.0, 1.0], [3.0, 2.0], [1.0, 0.0], [4.0, 3.0]),
        (unread, wrong, wrong, unread),
        strict=True,
    ):
        assert f"database{row}: found the segment {times}" in finding.message
        assert end in finding.message


def timed_folder(folder, factor, segments):
    """An evaluation video of 4 s with segments in another unit than seconds."""
    make_folder(folder, {"a": 8, "b": 8}, subsets={"b": "validation"})
    content = json.loads((folder / "annotations.json").read_text())
    content["database"]["b"]["annotations"] = [
        {"segment": [factor * time for time in segment], "label": label}
        for segment in segments
        for label in ("Chop", "Slice")
    ]
    (folder / "annotations.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("factor", "word"),
    [(1, ""), (30, "frames (fps 30)"), (1000, "milliseconds"), (0.25, "ratios")],
)
def test_unit_of_segments(tmp_path, factor, word):
    timed_folder(tmp_path, factor, [(0.5, 1.5), (2, 3), (1, 4)])
    found = [
        f.message for f in validate(tmp_path).warnings if f.kind.startswith("another")
    ]
    assert len(found) == bool(word) and all(f"are these {word}" in m for m in found)


def test_a_few_segments_may_lie_in_the_first_second(tmp_path):
    timed_folder(tmp_path, 0.25, [(0.5, 1.5), (2, 3)])
    assert validate(tmp_path).findings == ()
    timed_folder(tmp_path, 0.25, [(0, 1.5), (0, 3), (0, 4)])
    assert validate(tmp_path).findings == ()


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (1, ""),
        (120, ""),
        # 120 frames, and a twentieth of a second for rounding.
        (122, "found 122, more frames than 2 of 2 videos have, 122 in the median"),
        (0.5, "found 0.5, expected frames, 1 or more: are these seconds?"),
    ],
)
def test_window_of_another_order(tmp_path, window, expected):
    make_folder(tmp_path, {"a": 8, "b": 8}, subsets={"b": "validation"})
    report = validate(tmp_path, manifest=make_manifest(window_frames=window))
    found = [finding.message for finding in report.findings]
    assert found == [f"manifest: window_frames: {expected}"] * bool(expected)


def told(report):
    """The warnings of a folder that only training videos are in."""
    return [f for f in report.warnings if f.kind != "nothing to evaluate on"]


def test_features_that_never_change(tmp_path):
    make_folder(tmp_path, {"a": 8, "b": 8})
    save_stream(tmp_path, "rgb", "a", np.zeros((8, 3)))
    save_stream(tmp_path, "flow", "b", np.full((8, 2), 0.5))
    found = [f.message for f in told(validate(tmp_path))]
    assert found == [
        "video 'a': stream 'rgb' is zero",
        "video 'b': stream 'flow' is the same in all snippets",
    ]
    save_stream(tmp_path, "flow", "a", np.ones((8, 2)))
    save_stream(tmp_path, "rgb", "b", np.ones((8, 3)))
    (finding,) = validate(tmp_path).errors
    assert finding.kind == "dead features"


def test_same_features_in_several_videos(tmp_path):
    make_folder(tmp_path, {"a": 8, "b": 8, "c": 8})
    for stream in ("rgb", "flow"):
        shutil.copy(tmp_path / stream / "a.npy", tmp_path / stream / "b.npy")
    report = validate(tmp_path)
    assert report.errors == ()
    assert [f.message for f in told(report)] == [
        "videos 'a', 'b': the same values in 2"
    ]
    for stream in ("rgb", "flow"):
        shutil.copy(tmp_path / stream / "a.npy", tmp_path / stream / "c.npy")
    (finding,) = validate(tmp_path).errors
    assert "all training videos have the same features" in finding.message


@pytest.mark.parametrize("factor", [100, 0.01])
def test_scale_of_features(tmp_path, factor):
    make_folder(tmp_path, {"a": 80, "b": 80})
    for name in "ab":
        values = np.load(tmp_path / "rgb" / f"{name}.npy")
        save_stream(tmp_path, "rgb", name, factor * values)
    (finding,) = told(validate(tmp_path))
    assert finding.kind == "scale of features"
    scales = re.search("--feature-scales ([0-9.e,+-]+) ", finding.message)[1]
    assert float(scales.split(",")[0]) == pytest.approx(1 / factor, rel=0.1)
    assert float(scales.split(",")[1]) == pytest.approx(1, rel=0.1)
    scaled = validate(tmp_path, scales=tuple(map(float, scales.split(","))))
    assert told(scaled) == []


def test_one_category_is_named(tmp_path):
    make_folder(tmp_path, {"a": 8, "b": 8}, labels={"a": ["Chop"], "b": ["Chop"]})
    (finding,) = told(validate(tmp_path))
    assert finding.kind == "one category" and "train stpn" in finding.message


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("v_a", "without the prefix 'v_', 1 of them would be"),
        ("A", "in other letters, capital or small, 1 of them would be"),
    ],
)
def test_ids_spelled_in_two_ways(tmp_path, name, hint):
    make_folder(tmp_path, {"a": 8, "b": 8, "c": 8})
    for stream in ("rgb", "flow"):
        (tmp_path / stream / "a.npy").rename(tmp_path / stream / f"{name}.npy")
    found = [f for f in validate(tmp_path).warnings if "two ways" in f.kind]
    assert len(found) == 1 and hint in found[0].message


def test_one_subset_for_both_is_a_warning(tmp_path):
    make_folder(tmp_path, {"a": 8})
    manifest = make_manifest(evaluation_subset="training")
    assert kinds(validate(tmp_path, manifest=manifest).findings) == [
        ("trained on what is evaluated", "")
    ]


@pytest.mark.parametrize(
    ("durations", "is_found"),
    [
        # Snippets of half a second: 20 and 30 s at the declared rate.
        ({"a": 16, "b": 24}, True),  # both 1.25 times too long
        ({"a": 16, "b": 30}, False),  # one of two
        ({"a": 20.2, "b": 30.2}, False),  # within 1 %
    ],
)
def test_time_base_that_would_fit(tmp_path, durations, is_found):
    subsets = {"b": "validation"}
    make_folder(tmp_path, {"a": 40, "b": 60}, durations=durations, subsets=subsets)
    found = [f for f in validate(tmp_path).errors if f.video == ""]
    assert bool(found) is is_found
    if is_found:
        assert "2 of 2 videos end at about 1.250 of their duration" in found[0].message
    # Somebody may know better.
    trusted = make_manifest(trust_timebase=True)
    assert validate(tmp_path, manifest=trusted).errors == ()


def test_hostile_names_do_not_reach_the_terminal(tmp_path):
    label = "Chop\x1b[2J"
    make_folder(tmp_path, {"a": 8, "b\u202e": None}, labels={"a": [label]})
    report = validate(tmp_path, manifest=make_manifest(name="kit\x1bchen"))
    text = validation.report_text(report) + report_lib.categories_text(report)
    assert all(line.isprintable() for line in text.split("\n"))


def test_backbone_that_saw_the_evaluation_subset_is_a_warning(tmp_path):
    make_folder(tmp_path, {"a": 8, "b": 8}, subsets={"b": "validation"})
    manifest = make_manifest(backbone_trained_on=("Kinetics-400", "Validation"))
    (finding,) = validate(tmp_path, manifest=manifest).findings
    assert finding.kind == "backbone has seen the evaluation subset"
    assert not finding.is_error


def test_hostile_id_is_an_error_and_opens_nothing(tmp_path):
    (tmp_path / "set").mkdir()
    make_folder(tmp_path / "set", {"a": 8})
    content = json.loads((tmp_path / "set/annotations.json").read_text())
    content["database"]["../../x"] = content["database"]["a"]
    (tmp_path / "set/annotations.json").write_text(json.dumps(content))
    assert kinds(validate(tmp_path / "set").errors) == [("unusable id", "../../x")]


def test_folder_without_features_is_one_error_with_paths(tmp_path):
    make_folder(tmp_path, {"a": None, "b": None})
    report = validate(tmp_path)
    by_kind = {finding.kind: finding.message for finding in report.errors}
    assert set(by_kind) == {"no features at all", "nothing to train on"}
    assert f"such as {tmp_path}/rgb/a.npy and" in by_kind["no features at all"]
    assert "2 files for each of the 2 videos" in by_kind["no features at all"]


def test_wrong_subset_name_lists_those_found(tmp_path):
    make_folder(tmp_path, {"a": 8})
    report = validate(tmp_path, manifest=make_manifest(train_subset="train"))
    (finding,) = report.errors
    assert finding.message == (
        f"{tmp_path}/annotations.json: subset 'train' has 0 videos with labels, none "
        "with usable features; subsets found: ['training']"
    )


def test_text_is_bounded_and_the_dict_is_whole(tmp_path):
    ids = [f"v{number:02}" for number in range(23)]
    make_folder(tmp_path, {"a": 8} | dict.fromkeys(ids), subsets={"a": "validation"})
    save_stream(tmp_path, "rgb", "v00", np.zeros((8, 3)))
    report = validate(tmp_path, read_values=False)
    untrained, missing = report.errors[::-1]
    subset_line = "  {}: {} of {} annotated videos with usable features; "
    assert validation.report_text(report, limit=3).splitlines() == [
        f"kitchen: {tmp_path}",
        subset_line.format("training", 0, 23) + "0 snippets, 0 in the longest",
        subset_line.format("validation", 1, 1) + "8 snippets, 8 in the longest",
        "  headers only: values were not checked for NaN",
        "errors: 2",
        "  nothing to train on: 1",
        f"    {untrained.message}",
        "  stream missing: 1",
        f"    {missing.message}",
        "warnings: 22",
        "  no features: 22",
        *(f"    {finding.message}" for finding in report.warnings[:3]),
        "    and 19 more",
    ]
    assert report.warnings[0].message == (
        "video 'v01' (training): annotated, but without features: not trained on, and "
        "without detections when scored"
    )
    content = json.loads(json.dumps(report_lib.report_dict(report)))
    assert len(content["warnings"]["no features"]) == 22
    assert content["errors"]["stream missing"] == [
        {"video": "v00", "message": f"{tmp_path}/flow/v00.npy: no such file"}
    ]
    assert content["subsets"][1]["longest"] == 8


def test_summary_has_what_matters_for_the_numbers(tmp_path):
    ids = ("a", "b", "c", "d")
    durations = {"c": 40.0}
    make_folder(tmp_path, dict.fromkeys(ids) | {"c": 4, "d": 40}, durations=durations)
    report = validate(tmp_path)
    assert validation.summary_lines(report) == [
        "warning: length against duration: 1 video, 'c': 4 snippets of 15 frames at 30"
        + " fps end at 2.00 s, the annotated duration is 40.00 s",
        "warning: no features: 2 videos, the first 'a' (training): annotated, but"
        + " without features: not trained on, and without detections when scored",
    ]
    # That c is shorter than the pooling window is a warning, too.
    assert len({finding.kind for finding in report.warnings}) > 2


def test_failure_has_its_cause_in_one_line(tmp_path):
    make_folder(tmp_path, {"a": 8, "b": 8, "c": 8})
    for stream, name in (("rgb", "a"), ("flow", "c")):
        (tmp_path / stream / f"{name}.npy").unlink()
    report = validate(tmp_path)
    text, cause = validation.failure(report)
    assert text == validation.report_text(report)
    assert cause == (
        f"{tmp_path}: the data cannot be used: 2 errors in 2 videos, the first: "
        f"{tmp_path}/rgb/a.npy: no such file"
    )
    # An error of the set is in no video.
    report = dataclasses.replace(
        report, findings=(findings.Finding(True, "k", "", "m"),)
    )
    assert validation.failure(report)[1].endswith("used: 1 error, the first: m")


def test_progress_counts_the_videos(tmp_path):
    make_folder(tmp_path, {"a": 8, "b": None})
    calls = []
    validate(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]


@pytest.mark.skipif(not GESTURES.is_dir(), reason="the gesture features are not here")
@pytest.mark.parametrize("name", ["annotations.json", "annotations_weak.json"])
def test_recorded_features_are_sound(name):
    manifest = make_manifest(
        streams=streams.Streams(("rgb", "flow"), (256, 256)),
        file_pattern="features/{stream}/{id}.npy",
        stride_frames=2,
        window_frames=2,
        fps=20,
    )
    report = validation.validate(
        GESTURES,
        manifest=manifest,
        annotations=annotations_lib.read_annotations(GESTURES / name),
        window=7,
    )
    assert report.findings == ()
    assert [count.usable for count in report.subsets] == [49, 23]


@pytest.mark.skipif(not GESTURES.is_dir(), reason="the gesture features are not here")
def test_wrong_frame_rate_is_found_in_every_recorded_video():
    manifest = make_manifest(
        streams=streams.Streams(("rgb", "flow"), (256, 256)),
        file_pattern="features/{stream}/{id}.npy",
        stride_frames=2,
        window_frames=2,
        fps=25,
    )
    report = validation.validate(
        GESTURES,
        manifest=manifest,
        annotations=annotations_lib.read_annotations(GESTURES / "annotations.json"),
        window=7,
        read_values=False,
    )
    assert len(report.warnings) == 72
    (fit,) = report.errors
    assert {finding.kind for finding in report.warnings} == {"length against duration"}
    assert fit.kind == "another time base would fit"
    # Recorded at 20 frames a second: 0.8 times 25.
    assert "72 of 72 videos end at about 0.798 of their duration" in fit.message


def test_program_reports_and_tells_errors_by_its_status(feature_folder, tmp_path):
    out = tmp_path / "report.json"
    done = run(feature_folder, "--json", out)
    assert done.returncode == 0
    assert "training: 10 of 10 annotated videos with usable features" in done.stdout
    assert "to train on 10 videos with the default options, about" in done.stdout
    content = json.loads(out.read_text())
    assert content["cost"]["videos"] == 10
    assert [row["category"] for row in content["categories"]] == [
        "jump",
        "run",
        "throw",
    ]
    values = np.full((20, 4), np.nan, np.float16)
    length = len(np.load(feature_folder / "rgb/video00.npy"))
    np.save(feature_folder / "flow/video00.npy", np.resize(values, (length, 4)))
    done = run(feature_folder)
    assert done.returncode == 1
    assert "values not finite: 1" in done.stdout
    assert run(feature_folder, "--headers-only").returncode == 0


def test_program_says_in_one_line_what_cannot_be_checked(feature_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ((tmp_path / "empty",), "empty: no manifest.json in it; `cleannet init "),
        ((feature_folder, "--manifest", tmp_path / "x.json"), "x.json: no such file"),
        (
            (feature_folder, "--json", tmp_path / "no/x.json"),
            "No such file or directory",
        ),
    ):
        done = run(*arguments)
        assert done.returncode == 2
        assert message in done.stderr.splitlines()[-1]
