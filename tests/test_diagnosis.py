"""The diagnosis by hand, against a slow version in plain Python, and on real files."""

import json
import pathlib

import numpy as np
import programs
import pytest

from cleannet_jax import errors, evaluate
from cleannet_jax.data import annotation_files
from cleannet_jax.metrics import average_precision, diagnosis

ROOT = pathlib.Path(__file__).parents[1]
TRUTH = ROOT.parent / "shared" / "eval_truth" / "thumos14"
BINS = diagnosis.BINS["thumos14"]


def table(rows, labels=("run", "jump"), videos=("a", "b")):
    """Instances from rows of (video, label, start, end) and a score, if any."""
    columns = list(zip(*rows, strict=True)) or [()] * 5
    scores = np.array(columns[4], float) if len(columns) > 4 else None
    return average_precision.Instances(
        videos=tuple(videos),
        labels=tuple(labels),
        video=np.array([videos.index(name) for name in columns[0]], int),
        label=np.array([labels.index(name) for name in columns[1]], int),
        segments=np.stack([columns[2], columns[3]], axis=1).astype(float),
        scores=scores,
    )


def diagnose(detections, truths, tious=(0.5,), durations=(100.0, 100.0), bins=BINS):
    return diagnosis.diagnose(detections, truths, durations, tious=tious, bins=bins)


TRUTHS = [("a", "run", 0, 10), ("a", "jump", 50, 60), ("b", "run", 0, 20)]
# Detections of "run", best first: matched; the same instance again; tIoU 3 / 10; on an
# instance of "jump"; tIoU 3 / 10 with it; nowhere; matched.
RUNS = [
    ("a", "run", 0, 10, 0.9),
    ("a", "run", 1, 10, 0.8),
    ("a", "run", 7, 10, 0.7),
    ("a", "run", 50, 60, 0.6),
    ("a", "run", 57, 60, 0.5),
    ("a", "run", 80, 90, 0.4),
    ("b", "run", 0, 20, 0.3),
]


def test_every_type_by_hand():
    found = diagnose(table(RUNS), table(TRUTHS))
    # Two instances of "run": the best G are two detections, the best 10 G all seven.
    np.testing.assert_array_equal(found.counts[0, 0], [1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(found.counts[0, 1], [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(found.counts[0, -1], [2, 1, 1, 1, 1, 1])
    # "run" has the precisions 1 and 2 / 7, "jump" nothing: AP (1 + 2 / 7) / 2 and 0.
    np.testing.assert_allclose(found.map, [(1 + 2 / 7) / 4])
    # Without one error the second hit is the sixth: 2 / 6.
    np.testing.assert_allclose(found.impact, [[(2 / 6 - 2 / 7) / 4] * 5])


def test_the_instance_that_overlaps_most_decides_and_its_own_category_first():
    # An instance of "jump" is where that of "run" is, as Diving and CliffDiving are: it
    # is a double detection. With "jump" fitting better it has the wrong label.
    same = [("a", "run", 0, 10), ("a", "jump", 0, 10)]
    detections = table([("a", "run", 0, 10, 0.9), ("a", "run", 0, 9, 0.8)])
    found = diagnose(detections, table(same))
    np.testing.assert_array_equal(found.counts[0, -1], [1, 1, 0, 0, 0, 0])
    better = [("a", "run", 0, 10), ("a", "jump", 0, 9)]
    found = diagnose(detections, table(better))
    np.testing.assert_array_equal(found.counts[0, -1], [1, 0, 1, 0, 0, 0])


def test_only_the_best_ten_times_g_are_looked_at():
    flood = [("a", "run", 80, 90, 0.1 - k / 1e4) for k in range(100)]
    found = diagnose(table([*RUNS, *flood]), table(TRUTHS))
    assert found.counts[0, -1].sum() == 20 and found.counts[0, 0].sum() == 2


def test_thresholds_below_the_smallest_overlap():
    # tIoU 0.7 / 10 with an instance that is matched already: at 0.05 a double detection.
    detections = table([("a", "run", 0, 10, 0.9), ("a", "run", 0, 0.7, 0.8)])
    found = diagnose(detections, table(TRUTHS), tious=(0.05, 0.5))
    np.testing.assert_array_equal(found.counts[0, -1], [1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(found.counts[1, -1], [1, 0, 0, 0, 0, 1])


def test_characteristics_by_hand():
    found = diagnose(table(RUNS), table(TRUTHS), durations=(100.0, np.nan))
    length = found.characteristics["length"]
    # Two instances of 10 s, of which "jump" is missed, and one of 20 s.
    np.testing.assert_array_equal(length.count, [0, 0, 2, 0, 1])
    np.testing.assert_allclose(length.missed, [[np.nan, np.nan, 0.5, np.nan, 0]])
    # A tenth of the video; of the other video the duration is not known.
    coverage = found.characteristics["coverage"]
    np.testing.assert_array_equal(coverage.count, [0, 0, 0, 0, 2])
    assert (length.unknown, coverage.unknown) == (0, 1)
    instances = found.characteristics["instances"]
    np.testing.assert_array_equal(instances.count, [3, 0, 0, 0])
    # N is 3 instances / 2 categories. Of 20 s: one hit after five false positives,
    # what is matched to 10 s being left out: 1.5 / (1.5 + 5).
    np.testing.assert_allclose(length.map_n[0, 4], 1.5 / 6.5)


def test_without_durations_there_is_no_coverage():
    found = diagnose(table(RUNS), table(TRUTHS), durations=(np.nan, np.nan))
    assert set(found.characteristics) == {"length", "instances"}


def test_without_detections_everything_is_missed():
    none = average_precision.take(table(RUNS), np.zeros(0, int))
    found = diagnose(none, table(TRUTHS))
    assert found.counts.sum() == 0 and found.map[0] == 0
    np.testing.assert_array_equal(found.impact, np.zeros((1, 5)))
    missed = found.characteristics["length"].missed
    np.testing.assert_array_equal(missed[:, [2, 4]], [[1, 1]])


def random_tables(seed, count=60):
    rng = np.random.default_rng(seed)

    def rows(size, scored):
        start = rng.integers(0, 60, size)
        end = start + rng.integers(1, 25, size)
        names = rng.choice(["a", "b"], size), rng.choice(["run", "jump"], size)
        made = zip(*names, start, end, strict=True)
        scores = rng.permutation(size) / size
        return [
            (*map(str, row[:2]), *row[2:], *([scores[i]] if scored else []))
            for i, row in enumerate(made)
        ]

    return rows(count, True), rows(12, False)


def slow_types(detections, truths, tiou):
    """The types of the best 10 G of each category, one detection at a time."""

    def overlap(a, b):
        common = min(a[3], b[3]) - max(a[2], b[2])
        union = (a[3] - a[2]) + (b[3] - b[2]) - common
        return max(common, 0) / union if a[0] == b[0] else 0.0

    counts = dict.fromkeys(diagnosis.TYPES, 0)
    matched = {}
    for label in ("run", "jump"):
        group = sorted((d for d in detections if d[1] == label), key=lambda d: -d[4])
        limit = 10 * sum(t[1] == label for t in truths)
        for detection in group[:limit]:
            overlaps = [overlap(detection, truth) for truth in truths]
            free = [
                i
                for i, truth in enumerate(truths)
                if truth[1] == label and i not in matched and overlaps[i] >= tiou
            ]
            if free:
                matched[max(free, key=lambda i: (overlaps[i], i))] = detection
                counts["true positive"] += 1
                continue
            pairs = list(zip(overlaps, truths, strict=True))
            own = max(o for o, t in pairs if t[1] == label)
            other = max(o for o, t in pairs if t[1] != label)
            if own >= other and own >= tiou:
                counts["double detection"] += 1
            elif own >= other and own >= 0.1:
                counts["localization"] += 1
            elif other >= tiou:
                counts["wrong label"] += 1
            elif other >= 0.1:
                counts["confusion"] += 1
            else:
                counts["background"] += 1
    return list(counts.values()), matched


@pytest.mark.parametrize("seed", range(8))
def test_types_and_misses_against_plain_python(seed):
    detections, truths = random_tables(seed)
    tious = (0.3, 0.5, 0.7)
    found = diagnose(table(detections), table(truths), tious=tious)
    lengths = np.array([end - start for _, _, start, end in truths])
    for index, tiou in enumerate(tious):
        counts, matched = slow_types(detections, truths, tiou)
        np.testing.assert_array_equal(found.counts[index, -1], counts)
        missed = [i for i in range(len(truths)) if i not in matched]
        long = found.characteristics["length"]
        for place, (low, high) in enumerate(
            zip((0, *BINS.length), BINS.length, strict=False)
        ):
            inside = (lengths > low) & (lengths <= high)
            assert long.count[place] == inside.sum()
            if inside.any():
                share = np.isin(np.flatnonzero(inside), missed).mean()
                np.testing.assert_allclose(long.missed[index, place], share)


def slow_map_n(detections, truths, tiou, inside):
    """Normalised mAP of the instances inside, precision by precision."""
    expected = len(truths) / len({truth[1] for truth in truths})
    _, matched = slow_types(detections, truths, tiou)
    truth_of = {detection: index for index, detection in matched.items()}
    areas = []
    for label in ("run", "jump"):
        group = [i for i, t in enumerate(truths) if t[1] == label]
        total = sum(inside[i] for i in group)
        if not total:
            continue
        right = wrong = 0
        precisions = []
        ranked = sorted((d for d in detections if d[1] == label), key=lambda d: -d[4])
        for detection in ranked[: 10 * len(group)]:
            if detection not in truth_of:
                wrong += 1
            elif inside[truth_of[detection]]:
                right += 1
                gained = right / total * expected
                precisions.append(gained / (gained + wrong))
        areas.append(sum(max(precisions[i:]) for i in range(right)) / total)
    return np.mean(areas)


@pytest.mark.parametrize("seed", range(4))
def test_normalised_map_against_plain_python(seed):
    detections, truths = random_tables(seed)
    found = diagnose(table(detections), table(truths), tious=(0.4,))
    everything = slow_map_n(detections, truths, 0.4, [True] * len(truths))
    np.testing.assert_allclose(found.map_n[0], everything)
    lengths = np.array([end - start for _, _, start, end in truths])
    edges = (0, *BINS.length)
    for place in range(5):
        inside = (lengths > edges[place]) & (lengths <= edges[place + 1])
        if inside.any():
            expected = slow_map_n(detections, truths, 0.4, inside)
            actual = found.characteristics["length"].map_n[0, place]
            np.testing.assert_allclose(actual, expected)


@pytest.mark.skipif(not TRUTH.exists(), reason="the real files are not here")
def test_autoloc_on_thumos14():
    annotations = annotation_files.read_annotations(TRUTH / "gt.json")
    predictions = evaluate.read_predictions(TRUTH / "autoloc_predictions.json")
    report = evaluate.evaluate(
        predictions, annotations, subset="test", tious=(0.3, 0.5), bins="thumos14"
    )
    found = report.diagnosis
    # Each category has its ten times G or all of its detections.
    names = np.array(predictions.labels)[predictions.label]
    positives = zip(report.result.labels, report.result.positives, strict=True)
    wanted = sum(min(10 * count, np.sum(names == name)) for name, count in positives)
    np.testing.assert_array_equal(found.counts[:, -1].sum(axis=1), [wanted] * 2)
    np.testing.assert_array_less(-1e-12, found.impact)
    # What is beyond 10 G adds little to the mAP of the whole list.
    np.testing.assert_allclose(found.map, report.result.mean, atol=0.01)
    for value in found.characteristics.values():
        assert value.count.sum() == 3358
        missed = np.nansum(value.missed * value.count, axis=1)
        np.testing.assert_allclose(missed, 3358 - found.counts[:, -1, 0])


def save(tmp_path):
    database = {
        name: {"subset": "validation", "annotations": []} for name in ("a", "b")
    }
    for video, label, start, end in TRUTHS:
        database[video]["annotations"].append({"segment": [start, end], "label": label})
    results = {"a": [], "b": []}
    for video, label, start, end, score in RUNS:
        row = {"segment": [start, end], "label": label, "score": score}
        results[video].append(row)
    (tmp_path / "gt.json").write_text(json.dumps({"database": database}))
    (tmp_path / "found.json").write_text(json.dumps({"results": results}))


def run(tmp_path, *options):
    arguments = [tmp_path / "found.json", "--ground-truth", tmp_path / "gt.json"]
    arguments += ["--tiou", "0.5", "--diagnose", "thumos14", *options]
    return programs.run("evaluate", *arguments)


def test_command_line(tmp_path):
    save(tmp_path)
    out = tmp_path / "report.json"
    done = run(tmp_path, "--json", str(out))
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    # Of seven: two, and a gain of (2 / 6 − 2 / 7) / 4.
    assert ["true", "positive", "50.0", "28.6"] in lines
    assert ["background", "0.0", "14.3", "1.19"] in lines
    assert "coverage          not known: no video has a duration" in done.stdout
    content = json.loads(out.read_text())["diagnosis"]
    assert content["counts"][0][-1] == [2, 1, 1, 1, 1, 1]
    length = content["characteristics"]["length"]
    assert length["bins"] == ["XS", "S", "M", "L", "XL"]
    assert length["upper_edges"][-1] is None and length["missed"][0][2] == 50


def test_the_other_protocol_is_refused(tmp_path):
    save(tmp_path)
    done = run(tmp_path, "--protocol", "thumos14")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "diagnosis: found protocol 'thumos14', expected activitynet" in done.stderr
    with pytest.raises(errors.InputError, match="diagnosis: found protocol"):
        evaluate.evaluate(
            table(RUNS),
            annotation_files.read_annotations(tmp_path / "gt.json"),
            subset="validation",
            tious=(0.5,),
            protocol="thumos14",
            bins="thumos14",
        )
