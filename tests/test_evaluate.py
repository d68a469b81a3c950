"""Evaluation reports, and the program that prints them."""

import csv
import dataclasses
import json
import pathlib

import numpy as np
import programs
import pytest

from cleannet_jax import errors, evaluate
from cleannet_jax import results as results_lib
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import units
from cleannet_jax.data.detections import submission
from cleannet_jax.metrics import average_precision
from cleannet_jax.report import evaluation

ROOT = pathlib.Path(__file__).parents[1]
TRUTH = ROOT.parent / "shared" / "eval_truth"

DIVE = {"segment": [0, 10], "label": "Dive"}
THROW = {"segment": [20, 30], "label": "Throw"}
DATABASE = {
    "a": {"subset": "test", "annotations": [DIVE, THROW]},
    "b": {
        "subset": "test",
        "annotations": [DIVE, {"segment": [50, 60], "label": "Ambiguous"}],
    },
    "c": {"subset": "test", "annotations": []},
    "d": {"subset": "train", "annotations": [{"segment": [0, 1], "label": "Jump"}]},
    "e": {"subset": "blind", "annotations": []},
}
# Overlaps by tIoU 0.6 the Dive of a, and an ambiguous segment of b.
RESULTS = {
    "b": [{"segment": [52, 54], "label": "Dive", "score": 0.9}],
    "a": [
        {"segment": [0, 6], "label": "Dive", "score": 0.8},
        {"segment": [20, 30], "label": "Throw", "score": 0.7},
    ],
}


def row(**changes):
    return {"segment": [0, 10], "label": "Dive", "score": 0.5} | changes


@pytest.fixture
def write(tmp_path):
    """Writes JSON into the test's folder and returns the path."""

    def write_json(name, content):
        path = tmp_path / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write_json


@pytest.fixture
def report(write):
    """Evaluates results against `DATABASE`."""
    annotations = annotations_lib.read_annotations(
        write("gt.json", {"database": DATABASE})
    )

    def evaluate_results(results, *, subset="test", tious=(0.5, 0.7), **options):
        predictions = submission.read_detections(write("p.json", {"results": results}))
        return evaluate.evaluate(
            predictions, annotations, subset=subset, tious=tious, **options
        )

    return evaluate_results


@pytest.fixture
def found_subset(write):
    """Finds the subset of results."""

    def find(results, database=DATABASE):
        annotations = write("gt.json", {"database": database})
        predictions = write("p.json", {"results": results})
        return evaluate.find_subset(
            submission.read_detections(predictions),
            annotations_lib.read_annotations(annotations),
            source="p.json",
        )

    return find


def test_report_says_what_was_evaluated(report):
    found = report(RESULTS)
    assert (found.protocol, found.subset) == ("activitynet", "test")
    assert (found.num_videos, found.num_annotated, found.num_covered) == (3, 2, 2)
    assert (found.num_instances, found.num_ambiguous) == (3, 1)
    assert (found.num_detections, found.warnings) == (3, ())
    # Dive: wrong, then right at 0.5 only, of 2. Throw: right.
    assert found.result.labels == ("Dive", "Throw")
    np.testing.assert_allclose(found.result.ap, [[1 / 4, 1], [0, 1]], atol=1e-15)


def test_protocols_differ(report):
    found = report(RESULTS, protocol="thumos14")
    # The wrong Dive lies in ambiguous footage.
    np.testing.assert_allclose(found.result.ap, [[1 / 2, 1], [0, 1]], atol=1e-15)
    with pytest.raises(ValueError, match="expected a protocol of .* found 'coco'"):
        report(RESULTS, protocol="coco")


def test_videos_without_detections_are_counted_and_missed(report):
    found = report({"a": [row()], "b": []})
    assert (found.num_annotated, found.num_covered) == (2, 1)
    assert found.result.ap[0].tolist() == [1 / 2, 0]
    assert "1 of 2 annotated videos have detections, 1 have none" in (
        evaluation.as_text(found)
    )


def test_missing_videos_by_policy(report):
    # b has an instance of Dive and no entry; a has an empty one.
    results = {"a": []}
    found = report(results)
    assert (found.missing, found.unnamed, found.uncovered) == (
        "count-as-empty",
        ("b",),
        ("a", "b"),
    )
    assert found.num_instances == 3
    found = report(results, missing="skip")
    assert (found.num_videos, found.num_annotated, found.num_instances) == (2, 1, 2)
    assert (found.unnamed, found.uncovered, found.num_ambiguous) == (("b",), ("a",), 0)
    lines = evaluation.as_text(found).splitlines()
    assert lines[3:5] == [
        "nothing in    'a'",
        "no entry for  'b'; skip: they are left out of the ground truth",
    ]
    assert results_lib.as_dict(found)["unnamed"] == ["b"]
    assert report(RESULTS, missing="fail").unnamed == ()


def test_missing_videos_that_must_not_be(report):
    with pytest.raises(errors.InputError) as caught:
        report({"a": []}, missing="fail", source="p.json")
    assert str(caught.value).startswith(
        "p.json: has no entry for 1 of the 2 annotated videos in subset 'test' of "
    )
    assert str(caught.value).endswith("gt.json: 'b'")
    for results in ({}, {"c": [row()]}):
        with pytest.raises(errors.InputError, match="no entry for any annotated video"):
            report(results, missing="skip")
    with pytest.raises(ValueError, match="expected a policy for missing .* 'drop'"):
        report(RESULTS, missing="drop")


def test_confidence_intervals_are_asked_for(report):
    assert report(RESULTS).confidence is None
    found = report(RESULTS, samples=200, seed=3)
    again = report(RESULTS, samples=200, seed=3)
    np.testing.assert_array_equal(found.confidence.low, again.confidence.low)
    # Of two videos one says next to nothing: t with one degree of freedom is 12.7.
    mean = found.result.mean
    assert (found.confidence.low[:2] <= mean).all()
    assert (mean <= found.confidence.high[:2]).all()
    assert (found.confidence.low[0], found.confidence.high[0]) == (0, 1)
    lines = [line.split() for line in evaluation.as_text(found).splitlines()]
    assert ["to", "100.00", "100.00", "100.00"] in lines
    content = results_lib.as_dict(found)["confidence"]
    assert (content["level"], content["samples"], content["seed"]) == (0.95, 200, 3)
    assert len(content["high"]) == 3
    assert content["method"] == "half-samples of the videos, Student's t"


def test_recall_is_asked_for(report):
    assert report(RESULTS).recall is None
    found = report(RESULTS, recall=True)
    content = json.loads(json.dumps(results_lib.as_dict(found)))["recall"]
    # Of three instances: Throw at every threshold, the Dive of a at 0.5, 0.55 and 0.6.
    assert content["ar"]["AR@100"] == pytest.approx(100 * (1 + 3 / 10) / 3)
    assert "AR@100 43.33" in evaluation.as_text(found)


def test_variant_is_named_and_checked(write):
    names = ["video_test_0000270", "video_test_0000004"]
    database = {name: {"subset": "test", "annotations": [DIVE]} for name in names}
    results = {name: [row()] for name in names}
    found = evaluate.evaluate(
        submission.read_detections(write("p.json", {"results": results})),
        annotations_lib.read_annotations(write("gt.json", {"database": database})),
        subset="test",
        tious=(0.5,),
        variant="211",
    )
    assert (found.num_videos, found.num_detections, found.variant) == (1, 1, "211")
    (warning,) = found.warnings
    assert warning == (
        "variant 211 has 211 annotated videos and 3329 instances of the official"
        " annotations; here are 1 and 1"
    )
    assert "'test', variant 211: 1 videos" in evaluation.as_text(found)


def test_cliff_diving_without_diving_warns(write):
    both = [DIVE | {"label": name} for name in ("CliffDiving", "Diving")]
    database = {"a": {"subset": "test", "annotations": both}}
    results = {"a": [row(label="CliffDiving")]}
    found = evaluate.evaluate(
        submission.read_detections(write("p.json", {"results": results})),
        annotations_lib.read_annotations(write("gt.json", {"database": database})),
        subset="test",
        tious=(0.5,),
    )
    (warning,) = found.warnings
    assert warning.startswith(
        "videos with detections of CliffDiving and none of Diving"
    )
    assert warning.endswith("missed: 1, 'a'")


def test_no_detections_score_zero_with_a_warning(report):
    found = report({})
    assert found.result.mean.tolist() == [0, 0]
    assert found.warnings == ("there is no detection",)


def test_strays_are_false_positives_with_a_warning(report):
    found = report(
        {"a": [row()], "v_b": [row(score=0.9)], "x": [], "d": [row(score=0)]}
    )
    assert found.result.ap[0, 0] == 1 / 4
    elsewhere, unknown = found.warnings
    assert elsewhere == (
        "detections in videos of other subsets, counted as false positives: 1, in 'd';"
        " --other-subsets leave-out leaves them out"
    )
    assert unknown == (
        "detections in videos that the annotations do not list, counted as false"
        " positives: 1, in 'v_b'; without the prefix 'v_', 1 of them would be"
    )


def test_category_without_instances_warns(report):
    found = report({"a": [row(), row(label="Jump", score=0.9)]})
    assert found.result.labels == ("Dive", "Jump", "Throw")
    np.testing.assert_array_equal(found.result.ap[0], [1 / 2, np.nan, 0])
    (warning,) = found.warnings
    assert warning == (
        "detections of categories without an instance in the subset, which change"
        " nothing: 1, of 'Jump'"
    )
    assert results_lib.as_dict(found)["categories"]["Jump"] == {
        "instances": 0,
        "ap": None,
    }


@pytest.mark.parametrize(
    ("names", "ending"),
    [
        (["v_a", "v_b"], "; without the prefix 'v_', 2 of them would be"),
        (["a.mp4", "x.mp4"], "; without the file ending, 1 of them would be"),
        (["x", "y", "z", "u", "w"], "('a', 'b', 'c' and 2 more)"),
    ],
)
def test_unknown_videos_are_an_error(report, names, ending):
    with pytest.raises(errors.InputError) as caught:
        report({name: [row()] for name in names}, source="p.json")
    message = str(caught.value)
    assert message.startswith("p.json: none of its video ids ('")
    assert message.endswith(ending)


def test_prefix_missing_in_the_predictions(write):
    annotations = annotations_lib.read_annotations(
        write("gt.json", {"database": {"v_a": DATABASE["a"]}})
    )
    predictions = submission.read_detections(
        write("p.json", {"results": {"a": [row()]}})
    )
    with pytest.raises(errors.InputError, match="with the prefix 'v_', 1 of"):
        evaluate.evaluate(predictions, annotations, subset="test", tious=(0.5,))


def test_videos_of_another_subset_are_an_error(report):
    with pytest.raises(
        errors.InputError, match=r"none of its video ids \('d'\) is in subset 'test'"
    ):
        report({"d": [row()]})


def test_unknown_labels_are_listed_with_the_nearest(report):
    rows = [row(), row(label="throw"), row(label="Dvie")]
    with pytest.raises(errors.InputError) as caught:
        report({"b": [row()], "a": rows}, source="p.json")
    assert str(caught.value).startswith("p.json: found labels that are no category of ")
    assert str(caught.value).endswith(
        ": 'Dvie' (the nearest is 'Dive'), 'throw' (the nearest is 'Throw');"
        " --ignore-unknown-labels leaves their detections out"
    )


def test_numbers_as_labels_have_no_nearest(report):
    rows = [row(label=str(number)) for number in range(8)]
    with pytest.raises(errors.InputError) as caught:
        report({"a": rows})
    assert str(caught.value).endswith(
        ": '0', '1', '2', '3', '4' and 3 more; --labels FILE names those that are"
        " numbers, --ignore-unknown-labels leaves their detections out"
    )


def test_unknown_labels_can_be_left_out(report):
    rows = [row(), row(label="5", score=0.9), row(label="Fly")]
    found = report({"a": rows}, ignore_unknown_labels=True)
    same = report({"a": [row()]})
    np.testing.assert_array_equal(found.result.ap, same.result.ap)
    assert found.num_detections == 1
    (warning,) = found.warnings
    assert warning == (
        "detections left out, whose label is no category of the annotations: 2, of"
        " '5', 'Fly'"
    )
    assert report({"a": [row()]}, ignore_unknown_labels=True).warnings == ()


def test_other_subsets_count_or_are_left_out(write):
    long = {"segment": [10, 20], "label": "x"}
    database = {
        "t1": {"subset": "training", "annotations": [long]},
        "v1": {"subset": "validation", "annotations": [long]},
    }
    results = {"t1": [long | {"score": 0.9}], "v1": [long | {"score": 0.8}]}
    arguments = (
        *(write("p.json", {"results": results}), "--ground-truth"),
        *(write("gt.json", {"database": database}), "--subset", "validation"),
        *("--tiou", "0.5"),
    )
    # One false positive before the one hit.
    counted = run(*arguments)
    assert counted.stdout.splitlines()[-1].split() == ["mAP", "1", "50.00", "50.00"]
    assert (
        "detections in videos of other subsets, counted as false positives: 1, in 't1';"
        " --other-subsets leave-out leaves them out"
    ) in counted.stdout
    left_out = run(*arguments, "--other-subsets", "leave-out")
    assert left_out.stdout.splitlines()[-1].split() == ["mAP", "1", "100.00", "100.00"]
    assert (
        "detections left out, in videos of other subsets: 1, in 't1'"
    ) in left_out.stdout


def test_subset_without_instances_is_an_error(report):
    with pytest.raises(errors.InputError, match="subset 'blind' has no annotated inst"):
        report({"e": [row()]}, subset="blind")
    with pytest.raises(errors.InputError, match="no video of subset 'val'"):
        report(RESULTS, subset="val")


def test_subset_is_found_where_there_is_one(found_subset):
    assert found_subset(RESULTS) == "test"
    assert found_subset({"d": [], "e": [], "unknown": []}) == "train"
    only_test = {name: DATABASE[name] for name in "abc"}
    assert found_subset({}, only_test) == "test"


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({}, "those with instances are 'test', 'train'"),
        ({"a": [], "d": []}, "p.json has videos of 'test', 'train'"),
        ({"e": []}, "p.json has videos of none"),
        ({"v_a": []}, "none of its video ids"),
    ],
)
def test_subset_that_is_not_clear_lists_the_choices(found_subset, results, message):
    with pytest.raises(errors.InputError, match=message):
        found_subset(results)


def test_activitynet_thresholds_are_the_ones_of_its_kit():
    # numpy.linspace(0.5, 0.95, 10), whose ninth is not 0.9.
    assert evaluate.ACTIVITYNET_TIOUS[8] == 0.8999999999999999
    assert evaluate.ACTIVITYNET_TIOUS[-1] == 0.95


def test_dict_is_in_percent_and_json(report):
    content = results_lib.as_dict(report(RESULTS, tious=evaluate.THUMOS14_TIOUS))
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    # Dive has 25 % up to 0.6, the tIoU of its detection, and Throw 100 % throughout.
    expected = [62.5] * 6 + [50] * 3
    np.testing.assert_allclose(content["map"], expected, atol=1e-12)
    assert content["unit"] == "percent"
    assert content["mean"] == pytest.approx(np.mean(expected))
    assert content["categories"]["Throw"]["instances"] == 1
    np.testing.assert_allclose(content["categories"]["Throw"]["ap"], [100] * 9)
    averages = content["averages"]
    assert list(averages) == ["0.1:0.5", "0.1:0.7", "0.1:0.9", "0.3:0.7"]
    assert averages["0.1:0.7"] == pytest.approx((6 * 62.5 + 50) / 7)


def test_averages_need_all_of_their_thresholds(report):
    assert results_lib.as_dict(report(RESULTS, tious=(0.1, 0.2, 0.3)))["averages"] == {}
    anet = results_lib.as_dict(report(RESULTS, tious=evaluate.ACTIVITYNET_TIOUS))
    assert list(anet["averages"]) == ["0.5:0.95"]


def test_text_has_protocol_counts_and_percentages(report):
    found = report({**RESULTS, "x": [row(label="Jump")]}, source="p.json")
    lines = evaluation.as_text(found, per_category=True).splitlines()
    assert lines[0].startswith("protocol      activitynet: ")
    assert lines[1].endswith(
        "gt.json, subset 'test': 3 videos, 2 of them annotated, with 3 instances of 2"
        " categories and 1 ambiguous segments"
    )
    assert lines[2].startswith("predictions   p.json, 4 detections: 2 of 2 annotated")
    assert lines[2].endswith("have detections, 0 have none")
    assert [line.split()[0] for line in lines[3:5]] == ["warning"] * 2
    assert [line.split() for line in lines[6:]] == [
        ["AP", "(%)", "at", "tIoU", "instances", "0.50", "0.70", "mean"],
        ["Dive", "2", "25.00", "0.00", "12.50"],
        ["Jump", "0", "-", "-", "-"],
        ["Throw", "1", "100.00", "100.00", "100.00"],
        ["mAP", "3", "62.50", "50.00", "56.25"],
    ]
    assert len(evaluation.as_text(found).splitlines()) == len(lines) - 3


@pytest.mark.parametrize("label", ["Dive\x1b[2J", "Dive\u202e", "Dive\r", "\ud800"])
def test_names_cannot_drive_the_terminal(write, label):
    rows = {"a": [row(label=label)], f"b{label}": [row(label=label)]}
    database = {
        name: {"subset": "test", "annotations": [row(label=label)]}
        for name in ("a", f"c{label}")
    }
    found = evaluate.evaluate(
        submission.read_detections(write("p.json", {"results": rows})),
        annotations_lib.read_annotations(write("gt.json", {"database": database})),
        subset="test",
        tious=(0.5,),
    )
    lines = evaluation.as_text(found, per_category=True).split("\n")
    assert all(line.isprintable() for line in lines)


def test_endless_label_is_shortened(report):
    with pytest.raises(errors.InputError) as caught:
        report({"a": [row(label="x" * 1_000_000)]})
    assert len(str(caught.value)) < 500


def run(*arguments):
    """Runs the program as a user does."""
    return programs.run("evaluate", *arguments)


def test_program_prints_and_writes_the_report(write, tmp_path):
    predictions = write("p.json", {"results": RESULTS})
    truths = write("gt.json", {"database": DATABASE})
    done = run(
        predictions,
        *("--ground-truth", truths, "--protocol", "thumos14", "--tiou", "0.5,0.7"),
        *("--per-category", "--json", tmp_path / "out.json"),
    )
    assert done.returncode == 0, done.stderr
    assert "protocol      thumos14: " in done.stdout
    assert done.stdout.splitlines()[-1].split() == [
        "mAP",
        "3",
        "75.00",
        "50.00",
        "62.50",
    ]
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert content["map"] == [75, 50]
    assert (content["predictions"], content["subset"]) == (str(predictions), "test")


def test_program_writes_the_table_by_category(write, tmp_path):
    found = [row(), row(label="Jump", score=0.1)]
    paths = [
        write(name, {"results": results})
        for name, results in (("p.json", RESULTS), ("q.json", {"a": found}))
    ]
    truths = write("gt.json", {"database": DATABASE})
    arguments = ("--ground-truth", truths, "--tiou", "0.5,0.7", "--bootstrap", "10")
    done = run(*paths, *arguments, "--csv", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out.csv", newline="") as file:
        head, *rows = csv.reader(file)
    names = ["predictions", "category", "instances"]
    assert head == [*names, "tIoU 0.5", "tIoU 0.7", "mean"]
    first, second = map(str, paths)
    # As worked out above; in the second one Dive is found in one video of two.
    assert rows == [
        [first, "Dive", "2", "25.0", "0.0", "12.5"],
        [first, "Throw", "1", "100.0", "100.0", "100.0"],
        [first, "mAP", "3", "62.5", "50.0", "56.25"],
        [second, "Dive", "2", "50.0", "50.0", "50.0"],
        [second, "Jump", "0", "", "", ""],
        [second, "Throw", "1", "0.0", "0.0", "0.0"],
        [second, "mAP", "3", "25.0", "25.0", "25.0"],
    ]
    for option in ("--csv", "--json"):
        wrong = run(paths[0], *arguments, option, truths)
        assert wrong.returncode == 2 and "is an input of this command" in wrong.stderr
    wrong = run(paths[0], *arguments, "--csv", tmp_path / "no/such.csv")
    assert (
        wrong.stderr
        == f"error: {tmp_path / 'no/such.csv'}: No such file or directory\n"
    )


def test_program_names_a_label_that_no_table_can_hold(write, tmp_path):
    truth = {"subset": "test", "annotations": [row(label="\ud800")]}
    paths = [
        write("p.json", {"results": {"a": [row(label="\ud800")]}}),
        write("gt.json", {"database": {"a": truth}}),
    ]
    out = tmp_path / "out.csv"
    done = run(paths[0], "--ground-truth", paths[1], "--csv", out, "--tiou", "0.5")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {out}: cannot be written: found half of a")
    assert not out.exists()


def test_program_reads_numbers_as_labels_with_names(write, tmp_path):
    (tmp_path / "names.txt").write_text("Dive\nThrow\n")
    (tmp_path / "p.csv").write_text(
        "video-id,t-start,t-end,label,score\na,0,10,0,0.5\na,20,30,1,0.5\n"
    )
    named = write("gt.json", {"database": {"a": DATABASE["a"]}})
    # As MultiTHUMOS has it, without the key and without subsets.
    numbered = write("m.json", {"a": {"actions": [[0, 0, 10], [1, 20, 30]]}})
    arguments = (tmp_path / "p.csv", "--tiou", "0.5", "--per-category")
    without = run(*arguments, "--ground-truth", named)
    assert without.returncode == 2
    assert "--labels FILE names those that are numbers" in without.stderr
    both = run(*arguments, "--ground-truth", numbered)
    assert both.stdout.splitlines()[-1].split() == ["mAP", "2", "100.00", "100.00"]
    assert "m.json, subset 'all': 1 videos" in both.stdout
    for truths in (named, numbered):
        labels = ("--labels", tmp_path / "names.txt")
        done = run(*arguments, "--ground-truth", truths, *labels)
        assert done.returncode == 0, done.stderr
        rows = [line.split() for line in done.stdout.splitlines()[-3:]]
        assert rows[0] == ["Dive", "1", "100.00", "100.00"]
        assert rows[2] == ["mAP", "2", "100.00", "100.00"]


def test_program_evaluates_beside_reversed_rows_of_another_subset(write):
    bad = {"segment": [9, 5], "label": "Jump"}
    database = {
        "a": DATABASE["a"],
        "d": {"subset": "train", "annotations": [bad, bad]},
    }
    truths = write("gt.json", {"database": database})
    predictions = write("p.json", {"results": {"a": RESULTS["a"]}})
    done = run(predictions, "--ground-truth", truths, "--tiou", "0.5")
    assert done.stdout.splitlines()[-1].split() == ["mAP", "2", "100.00", "100.00"]
    done = run(predictions, "--ground-truth", truths, "--subset", "train")
    assert done.returncode == 2
    assert "subset 'train': found 2 segments that end before they st" in done.stderr


def test_program_compares_two_files(write, tmp_path):
    worse = {"a": [row(segment=[0, 6], score=0.8)]}
    done = run(
        *(write("p.json", {"results": RESULTS}), write("q.json", {"results": worse})),
        *("--ground-truth", write("gt.json", {"database": DATABASE})),
        *("--tiou", "0.5", "--bootstrap", "100", "--seed", "1"),
        *("--json", tmp_path / "out.json"),
    )
    assert done.returncode == 0, done.stderr
    # First: Dive 1/4, Throw 1. Second: Dive 1/2, Throw 0.
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["difference", "-37.50", "-37.50"] in rows
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert list(content) == ["first", "second", "difference"]
    assert content["difference"]["value"] == [-37.5, -37.5]
    assert content["difference"]["samples"] == 100
    assert content["first"]["confidence"]["samples"] == 100


def test_program_compares_seeds(write, tmp_path):
    worse = {"a": [row(segment=[0, 6], score=0.8)]}
    contents = [RESULTS, RESULTS, worse, worse]
    paths = [
        write(f"p{index}.json", {"results": content})
        for index, content in enumerate(contents)
    ]
    done = run(
        *(*paths[:2], "--against", *paths[2:], "--tiou", "0.5"),
        *("--ground-truth", write("gt.json", {"database": DATABASE})),
        *("--json", tmp_path / "out.json"),
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith(
        "the means of 2 and 2 seeds, paired, differ by -37.50, 95% in"
    )
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert content["difference"]["value"] == [-37.5, -37.5]
    assert content["difference"]["seeds_paired"]
    assert [report["predictions"] for report in content["second"]] == [
        str(path) for path in paths[2:]
    ]
    done = run(*paths, "--ground-truth", tmp_path / "gt.json")
    assert "expected one or two PREDICTIONS, found 4" in done.stderr


def test_program_reads_text_and_writes_parents(write, tmp_path):
    both = [DIVE | {"label": name} for name in ("CliffDiving", "Diving")]
    database = {"video_test_0000004": {"subset": "test", "annotations": both}}
    # Class 22 is CliffDiving.
    (tmp_path / "p.txt").write_text("video_test_0000004 0.0 10.0 22 0.5\n")
    truths = write("gt.json", {"database": database})
    arguments = (tmp_path / "p.txt", "--ground-truth", truths, "--tiou", "0.5")
    for extra, mean in (((), "50.00"), (("--add-parents",), "100.00")):
        done = run(*arguments, *extra)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].split()[-1] == mean


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--missing", "fail"], "p.json: has no entry for 1 of the 2 annotated videos"),
        (
            ["--variant", "210"],
            "gt.json: variant '210' is one of THUMOS14's ground tru",
        ),
        (["--tiou", "2"], "error: tIoU thresholds: expected numbers in (0, 1]"),
        (["--subset", "val"], "gt.json: no video of subset 'val'; the subsets are"),
        (["--json", "no/such/folder/x.json"], "x.json: No such file or directory"),
    ],
)
def test_program_says_what_is_wrong_in_one_line(write, arguments, message):
    predictions = write("p.json", {"results": {"a": RESULTS["a"]}})
    truths = write("gt.json", {"database": DATABASE})
    done = run(predictions, "--ground-truth", truths, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr


# What is right in seconds.
SECONDS = {
    "v1": [
        {"segment": [10, 20], "label": "jump", "score": 0.9},
        {"segment": [30, 40], "label": "run", "score": 0.8},
    ]
}
TIMED = {
    "v1": {"subset": "test", "duration": 60, "annotations": SECONDS["v1"]},
    "v2": {"subset": "test", "duration": 60, "annotations": []},
}


def warnings_of(write, results, database=TIMED):
    return evaluate.evaluate(
        submission.read_detections(write("p.json", {"results": results})),
        annotations_lib.read_annotations(write("gt.json", {"database": database})),
        subset="test",
        tious=(0.5,),
    ).warnings


def times(factor):
    rows = SECONDS["v1"]
    return {
        "v1": [row | {"segment": [factor * t for t in row["segment"]]} for row in rows]
    }


EARLY = (
    "detections within the first second of their video: all 2; are these ratios of the"
    " duration? Multiply them by it"
)
LATE = "detections that begin after the end of their video: all 2; are these "


@pytest.mark.parametrize(
    ("factor", "warnings"),
    [
        (1, ()),
        (30, (f"{LATE}frames (fps 30)? Divide them by the frame rate",)),
        (1000, (f"{LATE}milliseconds? Divide them by 1000",)),
        (1 / 60, (EARLY,)),
    ],
)
@pytest.mark.parametrize("known", ["duration", "last annotation"])
def test_times_in_another_unit_warn(write, factor, warnings, known):
    database = TIMED
    if known != "duration":
        database = {n: v | {"duration": None} for n, v in TIMED.items()}
    assert warnings_of(write, times(factor), database) == warnings


def test_frame_rate_is_that_of_the_annotations(write):
    database = {name: video | {"fps": 24} for name, video in TIMED.items()}
    (warning,) = warnings_of(write, times(24), database)
    assert warning == f"{LATE}frames (fps 24)? Divide them by the frame rate"
    (warning,) = warnings_of(write, times(1e6), TIMED)
    assert warning == (
        "detections that begin after the end of their video: all 2; they end at 5.83e+05"
        " times its length; expected seconds"
    )


def test_ground_truth_in_another_unit_warns(write):
    def multiplied(video):
        rows = video["annotations"]
        return video | {
            "annotations": [
                entry | {"segment": [1000 * time for time in entry["segment"]]}
                for entry in rows
            ]
        }

    database = {name: multiplied(video) for name, video in TIMED.items()}
    (warning,) = warnings_of(write, times(1), database)
    assert warning == (
        "instances that begin after the end of their video: all 2; are these"
        " milliseconds? Divide them by 1000"
    )


def test_detections_after_the_last_annotation_are_usual(write):
    database = {n: v | {"duration": None} for n, v in TIMED.items()}
    assert (
        warnings_of(write, {"v1": [row(label="run", segment=[41, 50])]}, database) == ()
    )


def test_odd_tables_are_of_no_unit(write):
    truths = annotations_lib.read_annotations(write("gt.json", {"database": TIMED}))
    instances = annotations_lib.ground_truth(truths, subset="test")
    for segments in (np.full((2, 2), np.nan), np.array([[0, np.inf], [1, 2]])):
        odd = instances._replace(segments=segments)
        assert units.warnings(odd, instances, truths.videos) == []
    none = average_precision.without_videos(instances, ["v1"])
    assert units.warnings(none, instances, truths.videos) == []


def test_detections_as_long_as_their_video_warn(write):
    whole = [row(label="jump", segment=[0, 59.5]), *times(1)["v1"]]
    assert warnings_of(write, {"v1": whole}) == ()
    (warning,) = warnings_of(write, {"v1": [whole[0]] * 3 + whole[1:]})
    assert warning == (
        "detections that are as long as their video: 3 of 5, where 0 of 2 instances are"
    )
    # So are the instances of some benchmarks.
    long = [{"segment": [0, 60], "label": "jump"}]
    database = {"v1": TIMED["v1"] | {"annotations": long}}
    assert warnings_of(write, {"v1": [whole[0]]}, database) == ()


REAL = {
    "thumos14/autoloc_predictions.json": ("thumos14/gt.json", "test"),
    "../data/thumos14_smil/as_shipped_test.json": (
        "../data/thumos14_smil/annotations.json",
        "Test",
    ),
    "../data/thumos14_smil/as_shipped_train.json": (
        "../data/thumos14_smil/annotations.json",
        "Validation",
    ),
}


@pytest.mark.skipif(not TRUTH.is_dir(), reason="no real annotations")
@pytest.mark.parametrize(
    ("name", "subset"),
    [
        ("activitynet12/gt.json", "validation"),
        ("activitynet12/gt_train.json", "training"),
        ("thumos14/gt.json", "test"),
        ("../data/sfinge3d_gestures/annotations.json", "validation"),
    ],
)
def test_real_instances_look_like_seconds(name, subset):
    annotations = annotations_lib.read_annotations(TRUTH / name)
    truths = annotations_lib.ground_truth(annotations, subset=subset)
    assert units.warnings(truths, truths, annotations.videos) == []
    videos = {
        name: dataclasses.replace(video, duration=None)
        for name, video in annotations.videos.items()
    }
    assert units.warnings(truths, truths, videos) == []


@pytest.mark.skipif(not TRUTH.is_dir(), reason="no real detections")
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("known", ["duration", "last annotation"])
@pytest.mark.parametrize(
    ("factor", "word"), [(1, ""), (30, "frames"), (1000, "milliseconds"), (0, "ratios")]
)
def test_units_of_real_detections(name, known, factor, word):
    truths, subset = REAL[name]
    annotations = annotations_lib.read_annotations(TRUTH / truths)
    predictions = submission.read_detections(TRUTH / name)
    videos = annotations.videos
    durations = [videos[n].duration or videos[n].segments.max() for n in videos]
    durations = dict(zip(videos, durations, strict=True))
    if known != "duration":
        videos = {n: dataclasses.replace(v, duration=None) for n, v in videos.items()}
    ratios = [1 / durations.get(name, np.inf) for name in predictions.videos]
    scale = np.array(ratios)[predictions.video, None] if factor == 0 else factor
    segments = (predictions.segments * scale).clip(0, 1 if factor == 0 else None)
    lines = units.warnings(
        predictions._replace(segments=segments),
        annotations_lib.ground_truth(annotations, subset=subset),
        videos,
    )
    assert len(lines) == bool(word), lines
    assert not word or word in lines[0]


def test_program_helps():
    done = run("--help")
    assert done.returncode == 0
    assert "cleannet evaluate predictions.json --ground-truth" in done.stdout
    for arguments in ((), ("a", "b", "c", "--ground-truth", "d")):
        assert run(*arguments).returncode == 2


@pytest.mark.skipif(not TRUTH.is_dir(), reason="no answers of the kits")
def test_published_table_of_autoloc(tmp_path):
    # AutoLoc (ECCV 2018), its mAP on THUMOS14 at tIoU 0.1 to 0.9, as published.
    published = [0.467, 0.417, 0.358, 0.290, 0.212, 0.134, 0.058, 0.016, 0.002]
    found = evaluate.evaluate(
        submission.read_detections(TRUTH / "thumos14/autoloc_predictions.json"),
        annotations_lib.read_annotations(TRUTH / "thumos14/gt_autoloc_dump.json"),
        subset="test",
        tious=evaluate.THUMOS14_TIOUS,
    )
    np.testing.assert_array_equal(found.result.mean.round(3), published)
    assert (found.num_videos, found.num_instances) == (210, 3234)


@pytest.mark.skipif(not TRUTH.is_dir(), reason="no answers of the kits")
@pytest.mark.parametrize(
    ("variant", "protocol", "name"),
    [
        ("210", "thumos14", "official_minus_three_videos"),
        ("210", "activitynet", "official_activitynet_kit_minus_three_videos"),
        ("ssn3234", "activitynet", "official_ssn_filtered_activitynet_kit"),
        ("official", "activitynet", "official_activitynet_kit"),
    ],
)
def test_kits_on_variants(variant, protocol, name):
    content = json.loads((TRUTH / "thumos14/expected_variants.json").read_text())
    found = evaluate.evaluate(
        submission.read_detections(TRUTH / "thumos14/autoloc_predictions.json"),
        annotations_lib.read_annotations(TRUTH / "thumos14/gt.json"),
        subset="test",
        tious=evaluate.THUMOS14_TIOUS,
        protocol=protocol,
        variant=variant,
    )
    expected = content["variants"][name]
    assert found.num_instances == expected["num_gt"]
    assert found.num_detections == expected.get("num_predictions", 20763)
    np.testing.assert_allclose(
        found.result.mean, list(expected["mAP"].values()), rtol=0, atol=1e-9
    )
