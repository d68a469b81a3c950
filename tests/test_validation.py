import json
import pathlib

import numpy as np
import pytest

from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data import validation

GESTURES = pathlib.Path(__file__).parents[1] / "../shared/data/sfinge3d_gestures"


def make_manifest(**changes):
    """A manifest of streams 3 and 2 columns wide; a snippet is half a second."""
    content = {
        "name": "kitchen",
        "streams": (manifest_lib.Stream("rgb", 3), manifest_lib.Stream("flow", 2)),
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
        names = (labels or {}).get(video_id, ["Chop"])
        database[video_id] = {
            "subset": (subsets or {}).get(video_id, "training"),
            "duration": (durations or {}).get(video_id, (length or 10) / 2),
            "annotations": [{"segment": [0, 1], "label": name} for name in names],
        }
        if length is not None:
            save_stream(folder, "rgb", video_id, np.zeros((length, 3)))
            save_stream(folder, "flow", video_id, np.zeros((length, 2)))
    (folder / "annotations.json").write_text(json.dumps({"database": database}))


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
    # The second flow column stands after three of RGB.
    assert finding.message == (
        "video 'a': 2 values are NaN or infinite, the first at snippet 5, column 4 of 5"
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
    assert kinds(report.warnings) == [("label without category", "b")]
    report = validate(tmp_path, categories=("Chop",))
    assert kinds(report.errors) == [("label without category", "a")]
    assert report.errors[0].message == (
        "video 'a' (training): found ['Boil'], expected labels among the 1 categories"
    )


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
    assert "two files for each of the 2 videos" in by_kind["no features at all"]


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
    content = json.loads(json.dumps(validation.report_dict(report)))
    assert len(content["warnings"]["no features"]) == 22
    assert content["errors"]["stream missing"] == [
        {"video": "v00", "message": f"{tmp_path}/flow/v00.npy: no such file"}
    ]
    assert content["subsets"][1]["longest"] == 8


def test_progress_counts_the_videos(tmp_path):
    make_folder(tmp_path, {"a": 8, "b": None})
    calls = []
    validate(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]


@pytest.mark.skipif(not GESTURES.is_dir(), reason="the gesture features are not here")
@pytest.mark.parametrize("name", ["annotations.json", "annotations_weak.json"])
def test_recorded_features_are_sound(name):
    manifest = make_manifest(
        streams=(manifest_lib.Stream("rgb", 256), manifest_lib.Stream("flow", 256)),
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
        streams=(manifest_lib.Stream("rgb", 256), manifest_lib.Stream("flow", 256)),
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
    assert {finding.kind for finding in report.warnings} == {"length against duration"}
