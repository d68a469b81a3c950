"""Variants of THUMOS14's ground truth: counted on the real files, and by hand."""

import json
import pathlib

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import variants
from cleannet_jax.metrics import average_precision

THUMOS = pathlib.Path(__file__).parents[2] / "shared" / "eval_truth" / "thumos14"
needs_truth = pytest.mark.skipif(not THUMOS.is_dir(), reason="no ground truth")


def annotated(*rows, path="gt.json"):
    """Annotations from (video, subset, [(label, start, end), ...])."""
    videos = {
        name: annotations_lib.Video(
            id=name,
            subset=subset,
            duration=None,
            fps=None,
            segments=np.array([row[1:] for row in segments], float).reshape(-1, 2),
            labels=tuple(row[0] for row in segments),
            ambiguous=np.zeros((0, 2)),
        )
        for name, subset, segments in rows
    }
    return annotations_lib.Annotations(videos, path)


@needs_truth
@pytest.mark.parametrize(
    ("name", "listed", "with_instances", "instances"),
    [
        # Figures of the papers: 213 listed or 212 annotated videos officially.
        ("official", 213, 212, 3358),
        ("212", 212, 212, 3358),
        ("211", 211, 211, 3329),
        ("210", 210, 210, 3311),
        ("ssn3234", 213, 210, 3234),
    ],
)
def test_counts_of_the_test_set(name, listed, with_instances, instances):
    official = annotations_lib.read_annotations(THUMOS / "gt.json")
    selected = variants.apply_variant(official, name)
    truths = annotations_lib.ground_truth(selected, subset="test")
    found = (len(truths.videos), len(np.unique(truths.video)), truths.label.size)
    assert found == (listed, with_instances, instances)
    expected = variants.VARIANTS[name].counts.get("test", (212, 3358))
    assert expected == (with_instances, instances)


@needs_truth
def test_counts_of_the_validation_set():
    official = annotations_lib.read_annotations(THUMOS / "gt_val.json")
    for name, instances in (("210", 3007), ("ssn3234", 2973)):
        selected = variants.apply_variant(official, name)
        truths = annotations_lib.ground_truth(selected, subset="validation")
        assert truths.label.size == instances
    assert variants.VARIANTS["ssn3234"].counts["validation"][1] == 2973


@needs_truth
def test_ssn_selection_is_the_one_that_autoloc_scored_against():
    official = annotations_lib.read_annotations(THUMOS / "gt.json")
    selected = variants.apply_variant(official, "ssn3234")
    dump = annotations_lib.read_annotations(THUMOS / "gt_autoloc_dump.json")
    for video in dump.videos.values():
        ours = sorted(selected.videos[video.id].labels)
        assert ours == sorted(video.labels)
    shared = json.loads((THUMOS / "expected_variants.json").read_text())
    pairs = shared["variants"]["official_ssn_filtered_activitynet_kit"]["avoid_pairs"]
    listed = {pair for pair in variants.VARIANTS["ssn3234"].pairs if "test" in pair[0]}
    assert listed == set(map(tuple, pairs))


@needs_truth
def test_cliff_diving_is_in_diving():
    official = annotations_lib.read_annotations(THUMOS / "gt.json")
    for video in official.videos.values():
        times = {
            label: {
                tuple(segment)
                for segment, name in zip(
                    video.segments.tolist(), video.labels, strict=True
                )
                if name == label
            }
            for label in ("CliffDiving", "Diving")
        }
        assert times["CliffDiving"] <= times["Diving"]


def test_segments_are_left_out_by_pair_and_by_end():
    annotations = annotated(
        ("video_test_0000367", "test", [("HighJump", 0, 1), ("LongJump", 2, 3)]),
        ("video_test_0001081", "test", [("Diving", 0, 1), ("Diving", 127.5, 130.1)]),
        ("video_test_0000270", "test", [("HammerThrow", 0, 1)]),
    )
    videos = variants.apply_variant(annotations, "ssn3234").videos
    assert videos["video_test_0000367"].labels == ("LongJump",)
    assert videos["video_test_0000367"].segments.tolist() == [[2, 3]]
    assert videos["video_test_0001081"].segments.tolist() == [[0, 1]]
    assert videos["video_test_0000270"].labels == ()
    assert "video_test_0000270" not in variants.apply_variant(annotations, "211").videos
    assert variants.apply_variant(annotations, "official") is annotations


def test_variants_are_of_thumos14():
    annotations = annotated(("v_x", "test", [("Diving", 0, 1)]), path="anet.json")
    with pytest.raises(
        errors.InputError, match=r"^anet\.json: variant '211' is one of"
    ):
        variants.apply_variant(annotations, "211")
    with pytest.raises(
        errors.InputError, match="found '209', expected one of official"
    ):
        variants.apply_variant(annotations, "209")


def detections(*rows, labels=("CliffDiving", "Diving", "HighJump")):
    videos = tuple(dict.fromkeys(row[0] for row in rows))
    return average_precision.Instances(
        videos,
        labels,
        np.array([videos.index(row[0]) for row in rows], int),
        np.array([labels.index(row[1]) for row in rows], int),
        np.array([row[2:4] for row in rows], float).reshape(-1, 2),
        np.array([row[4] for row in rows], float),
    )


def test_parents_are_added_where_they_lack():
    found = variants.with_parents(
        detections(
            ("a", "CliffDiving", 0, 1, 0.5),
            ("a", "Diving", 0, 1, 0.1),
            ("a", "CliffDiving", 2, 3, 0.7),
            ("b", "CliffDiving", 0, 1, 0.9),
            ("b", "HighJump", 0, 1, 0.2),
        )
    )
    assert found.label[5:].tolist() == [1, 1]
    assert found.video[5:].tolist() == [0, 1]
    assert found.segments[5:].tolist() == [[2, 3], [0, 1]]
    assert found.scores[5:].tolist() == [0.7, 0.9]
    assert found.label[:5].tolist() == [0, 1, 0, 0, 2]


def test_parents_of_unknown_and_of_no_detections():
    alone = detections(("a", "CliffDiving", 0, 1, 1.0), labels=("CliffDiving",))
    assert variants.with_parents(alone).labels == ("CliffDiving", "Diving")
    other = detections(("a", "HighJump", 0, 1, 1.0))
    assert variants.with_parents(other).label.tolist() == [2]
    assert variants.with_parents(detections()).label.size == 0


def test_videos_that_lack_the_parent_are_named():
    table = detections(
        ("a", "CliffDiving", 0, 1, 1.0),
        ("a", "Diving", 5, 6, 1.0),
        ("c", "CliffDiving", 0, 1, 1.0),
        ("b", "CliffDiving", 0, 1, 1.0),
        ("d", "HighJump", 0, 1, 1.0),
    )
    assert variants.videos_without_parent(table) == ["b", "c"]
    assert variants.videos_without_parent(detections()) == []
