import json
import pathlib

import numpy as np
import programs
import pytest

from cleannet_jax import compare, evaluate, fuse_weight, fusion
from cleannet_jax.localizers import suppression as suppression_lib
from cleannet_jax.metrics import average_precision

LABELS = ("run", "jump")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """SCPs that are 1 inside of the actions, and a detector that ranks by chance."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "scp").mkdir()
    database, results = {}, {}
    for index in range(12):
        name, label = f"v{index}", LABELS[index % 2]
        truth = [[10.0, 16.0], [30.0, 45.0]]
        scp = np.full((120, 2), 0.05, np.float32)
        for start, end in truth:
            scp[int(2 * start) : int(2 * end), index % 2] = 0.9
        np.save(tmp_path / "scp" / f"{name}.npy", scp)
        entries = [{"segment": pair, "label": label} for pair in truth]
        subset = "training" if index < 8 else "held-out"
        database[name] = {"subset": subset, "duration": 60, "annotations": entries}
        other = [[start, start + 7.0] for start in rng.uniform(0, 50, 6).tolist()]
        results[name] = [
            {"segment": pair, "label": label, "score": float(rng.random())}
            for pair in truth + other
        ]
    index = {"categories": LABELS}
    (tmp_path / "scp/scp.json").write_text(json.dumps(index))
    (tmp_path / "annotations.json").write_text(json.dumps({"database": database}))
    (tmp_path / "found.json").write_text(json.dumps({"results": results}))
    return tmp_path


def choose(*more, subset="training", held_out="held-out"):
    return programs.run(
        *("fuse-weight", "--scp", "scp", "--proposals", "found.json"),
        *("--ground-truth", "annotations.json", "--subset", subset),
        *("--evaluation-subset", held_out, "--out", "weight.json"),
        *("--snippet-seconds", "0.5", "--bootstrap", "20", *more),
    )


def test_the_choice_is_written_down_and_followed(place):
    done = choose("--evaluators", "contrast", "--scales", "none")
    assert done.returncode == 0, done.stderr
    content = json.loads((place / "weight.json").read_text())
    # 6 weights with each of 4 suppressions.
    assert content["flatness"]["tried"] == len(content["grid"]) == 6 * 4
    assert content["chosen_on"]["subset"] == "training"
    assert content["chosen_on"]["evaluation_subset"] == "held-out"
    assert content["chosen_on"]["videos"] == 8
    assert content["chosen_on"]["tious"] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    means = [row["mean_map"] for row in content["grid"]]
    assert means == sorted(means, reverse=True)
    assert content["grid"][0]["weight"] == content["weight"] > 0
    assert f"chosen: {content['weight']:g} x contrast" in done.stdout
    scored = programs.run(
        *("score", "--scp", "scp", "--proposals", "found.json"),
        *("--snippet-seconds", "0.5", "--fuse", "weight.json", "--out", "new.json"),
    )
    assert scored.returncode == 0, scored.stderr
    # What is written scores on the training videos as the grid says.
    annotations = evaluate.read_annotations("annotations.json")
    report = evaluate.evaluate(
        evaluate.read_predictions("new.json"),
        annotations,
        subset="training",
        tious=content["chosen_on"]["tious"],
        other_subsets="leave-out",
    )
    assert 100 * report.result.mean.mean() == pytest.approx(means[0])


def test_each_trial_is_what_evaluate_and_compare_say(place):
    annotations = evaluate.read_annotations("annotations.json")
    detections, scores = fuse_weight.read_scored(
        "scp", "found.json", annotations, subset="training", snippet_seconds=0.5
    )
    assert set(detections.videos) == {f"v{index}" for index in range(8)}
    tried = fuse_weight.recipes(scales=("none",), suppressions=("none", "hard:0.4"))
    settings = {"subset": "training", "tious": (0.3, 0.5)}
    choice = fuse_weight.choose(
        detections, scores, annotations, tried=tried, samples=30, seed=3, **settings
    )
    assert {trial.recipe for trial in choice.trials} == set(tried)

    def report(recipe):
        other = scores["contrast"]
        if recipe.evaluator == "outer_inner":
            other = scores["outer_inner"]
        if recipe.evaluator == "sum":
            other = scores["contrast"] + scores["outer_inner"]
        fused = detections._replace(scores=detections.scores + recipe.weight * other)
        new, left = fusion.suppressed(fused, recipe.suppression)
        kept = [column[left] for column in (fused[2], fused[3], fused[4], new)]
        return evaluate.evaluate(
            fused._replace(
                video=kept[0], label=kept[1], segments=kept[2], scores=kept[3]
            ),
            annotations,
            **settings,
        )

    best = report(choice.trials[0].recipe)
    for trial in choice.trials[1:6]:
        found = report(trial.recipe)
        np.testing.assert_allclose(trial.mean_ap, found.result.mean)
        difference = compare.compare(best, found, samples=30, seed=3)
        assert trial.interval == pytest.approx(
            (difference.low[-1], difference.high[-1])
        )
        assert trial.is_within_noise == (difference.high[-1] >= 0)


@pytest.mark.parametrize(
    ("subset", "held_out"),
    [
        ("held-out", "held-out"),
        ("Held-Out", "held-out"),
        ("test", "x"),
        ("Testing", "x"),
    ],
)
def test_nothing_is_chosen_on_what_is_evaluated(place, subset, held_out):
    done = choose(subset=subset, held_out=held_out)
    assert done.returncode == 2 and not (place / "weight.json").exists()
    assert done.stderr == (
        f"error: --subset: found {subset!r}, expected a training subset: a weight that"
        " is chosen on the videos that it is evaluated on says nothing\n"
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--evaluators", "best"], "--evaluators: found 'best', expected some of con"),
        (["--scales", "log"], "--scales: found 'log', expected some of none,rank,unit"),
        (["--suppressions", "x"], "suppression: found 'x', expected none, soft:SIGMA"),
        (["--bootstrap", "-1"], "--bootstrap and --seed: expected 0 or more"),
        (["--out", "found.json"], "--out: found.json is an input of this command"),
        (["--subset", "validation"], "no subset 'validation'; there are held-out, tr"),
    ],
)
def test_mistakes_are_named(place, more, message):
    done = choose(*more)
    assert done.returncode == 2 and message in done.stderr


def test_a_subset_without_detections_is_named(place):
    content = json.loads((place / "found.json").read_text())
    for index in range(8):
        del content["results"][f"v{index}"]
    (place / "found.json").write_text(json.dumps(content))
    done = choose()
    assert done.returncode == 2
    assert "found no detection in a video of subset 'training'" in done.stderr


SMIL = pathlib.Path(__file__).parents[2] / "shared" / "data" / "thumos14_smil"


@pytest.mark.skipif(not SMIL.is_dir(), reason="no real detections")
@pytest.mark.once
def test_a_weight_from_training_videos_improves_a_published_detector():
    """docs/improve.md's first table, its chosen recipe among a few others."""
    annotations = evaluate.read_annotations(SMIL / "annotations.json")
    tious = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)

    def read(name, subset, scps):
        return fuse_weight.read_scored(
            str(SMIL / scps), str(SMIL / name), annotations, subset=subset
        )

    detections, scores = read("as_shipped_train.json", "Validation", "scp_train")
    # A published file that names a segment several times, with equal scores.
    key = np.column_stack((detections.video, detections.label, detections.segments))
    rows = np.sort(np.unique(key, axis=0, return_index=True)[1])
    tried = fuse_weight.recipes(
        weights=(0.0, 1.0, 4.0),
        evaluators=("contrast",),
        suppressions=("none", "soft:0.3"),
        scales=("unit",),
    )
    choice = fuse_weight.choose(
        average_precision.take(detections, rows),
        {name: values[rows] for name, values in scores.items()},
        annotations,
        subset="Validation",
        tious=tious,
        tried=tried,
        samples=0,
    )
    chosen = choice.trials[0].recipe
    soft = suppression_lib.Suppression("soft", 0.3)
    assert chosen == fusion.Recipe(1.0, "contrast", soft, "unit")
    detections, scores = read("proposals_test.json", "Test", "scp_test")
    shipped = evaluate.read_predictions(SMIL / "as_shipped_test.json")
    better = fusion.applied(detections, scores["contrast"], chosen)
    first, second = (
        evaluate.evaluate(found, annotations, subset="Test", tious=tious)
        for found in (shipped, better)
    )
    assert 100 * first.result.mean.mean() == pytest.approx(42.43, abs=0.01)
    assert 100 * second.result.mean.mean() == pytest.approx(44.56, abs=0.05)
    difference = compare.compare(first, second, samples=200)
    assert difference.low[-1] > 0
