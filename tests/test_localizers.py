"""The localizers that are no recipe and not the paper's, against slow readings."""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
import recipes_by_hand

from cleannet_jax import config as config_lib
from cleannet_jax import localize, methods, runs
from cleannet_jax import streams as streams_lib
from cleannet_jax.localizers import proposals, table
from cleannet_jax.models import predictions as predictions_lib
from cleannet_jax.ops import contrast
from cleannet_jax.programs import options

pytestmark = pytest.mark.once

STREAMS = streams_lib.Streams(("rgb",), (2,))
LENGTH, PADDED = 37, 48


def a_video(seed, *, attention=True):
    rng = np.random.default_rng(seed)
    scp = rng.dirichlet(np.ones(3), LENGTH).astype(np.float32)
    sap = rng.random(LENGTH) if attention else np.ones(LENGTH)
    video = np.array([0.6, 0.3, 0.05], np.float32)
    sap = (sap / sap.sum()).astype(np.float32)
    return predictions_lib.SnippetPredictions(scp, sap, video, scp)


def detections_of(method, video, **changes):
    made = methods.apply(config_lib.Config(anchor_sizes=(2, 4, 9)), method)
    made = dataclasses.replace(made, max_detections=400, **changes)
    methods.check(made)
    features = np.zeros((PADDED, 2), np.float32)
    found = localize.localize_video({}, features, LENGTH, STREAMS, made, video)
    return ordered(found.categories, found.segments, found.scores)


def ordered(categories, segments, scores):
    rows = np.column_stack([categories, segments, scores]).astype(float)
    return rows[np.lexsort((*np.round(rows[:, 1:3] * 120).T, rows[:, 0]))]


def mean(psi, start, end):
    """The mean of a sequence, zero outside the video, over real-valued bounds."""
    if end <= start:
        return 0.0
    places = np.arange(len(psi))
    shares = np.minimum(places + 1, end) - np.maximum(places, start)
    return float((psi * np.clip(shares, 0, 1)).sum() / (end - start))


def slow_scores(name, psi, proposals):
    if name == "contrast":  # It has slow versions of its own.
        pairs = jnp.array(proposals, jnp.float32)
        return np.array(contrast.contrast_score(jnp.asarray(psi, jnp.float32), pairs))
    return np.array([slow_score(name, psi, *one) for one in proposals])


def slow_score(name, psi, start, end):
    if name == "mean":
        return mean(psi, start, end)
    before = min((end - start) / 4, start)
    after = min((end - start) / 4, len(psi) - end)
    around = mean(psi, start - before, start) * before
    around += mean(psi, end, end + after) * after
    return mean(psi, start, end) - (around / (before + after) if before + after else 0)


def softened(segments, scores, *, sigma):
    """Gaussian soft suppression of positive scores; others stay as they are."""
    scores, left = scores.copy(), list(range(len(scores)))
    while left:
        best = max(left, key=lambda row: scores[row])
        left.remove(best)
        for row in left:
            tiou = recipes_by_hand.overlap(segments[best], segments[row], 0.0)
            scores[row] *= np.exp(-(tiou**2) / sigma) if scores[row] > 0 else 1
    return scores


def smoothed(psi, width):
    half = width // 2
    return np.array(
        [psi[max(0, t - half) : t + half + 1].mean() for t in range(len(psi))]
    )


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize(
    "method, names",
    [
        ("oic", ["oic"]),
        ("runs_contrast", ["contrast"]),
        ("runs_sum", ["contrast", "oic"]),
    ],
)
def test_runs_at_many_thresholds(method, names, attention):
    video = a_video(0, attention=attention)
    expected = []
    for category in (0, 1):
        psi = video.scp[:, category].astype(float)
        masks = [
            recipes_by_hand.normalized(psi) > threshold
            for threshold in np.arange(0, 0.25, 0.025)
        ]
        if attention:
            relative = video.sap / video.sap.max()
            masks += [relative > threshold for threshold in np.linspace(0.1, 0.9, 10)]
        runs = {tuple(run) for mask in masks for run in recipes_by_hand.runs(mask)}
        segments = np.array(sorted(runs), float)
        scores = 0.2 * video.video[category] + sum(
            slow_scores(name, psi, segments) for name in names
        )
        scores = softened(segments, scores, sigma=0.3)
        expected.append(
            np.column_stack([np.full(len(scores), category), segments, scores])
        )
    expected = np.concatenate(expected)
    found = detections_of(method, video)
    expected = ordered(expected[:, 0], expected[:, 1:3], expected[:, 3])
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_one_threshold_of_the_smoothed_scp():
    video = a_video(1)
    expected = []
    for category in (0, 1):
        psi = smoothed(video.scp[:, category].astype(float), 5)
        for run in recipes_by_hand.runs(recipes_by_hand.normalized(psi) > 0.5):
            score = psi[slice(*run)].mean() + 0.2 * video.video[category]
            expected.append([category, *run, score])
    found = detections_of("threshold_smoothed", video, smoothing_width=5)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_a_dense_grid_without_overlap_ranked_by_the_mean():
    video = a_video(2)
    sizes = [*(2 * 2 ** (step / 3) for step in range(7)), 9]
    assert np.allclose(
        proposals.anchor_sizes(
            methods.apply(config_lib.Config(anchor_sizes=(2, 4, 9)), "gated_anchors")
        ),
        sizes,
    )
    expected = []
    for category in (0, 1):
        psi = smoothed(video.scp[:, category].astype(float), 3)
        anchors = [
            (max(0.0, t + 0.5 - size / 2), min(LENGTH, t + 0.5 + size / 2))
            for t in range(LENGTH)
            if psi[t] >= 0.1 and video.sap[t] * LENGTH >= 1
            for size in sizes
        ]
        scores = slow_scores("contrast", psi, anchors)
        kept = []
        for row in np.argsort(-scores, kind="stable"):
            start, end = anchors[row]
            if all(end <= anchors[k][0] or start >= anchors[k][1] for k in kept):
                kept.append(row)
        for row in kept:
            score = mean(psi, *anchors[row]) + 0.2 * video.video[category]
            expected.append([category, *anchors[row], score])
    expected = np.array(expected)
    found = detections_of("gated_anchors", video)
    expected = ordered(expected[:, 0], expected[:, 1:3], expected[:, 3])
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("method", [name for name in table.ROWS if name != "threshold"])
def test_every_localizer_has_a_name_and_its_parts(method):
    if method in methods.CLASSIFIERS:
        method = f"untrimmednet+{method}"
    made = methods.apply(config_lib.Config(), method)
    methods.check(made)
    assert methods.name_of(made) == method
    kind = table.of(made).kind
    assert kind == ("recipe" if made.recipe else kind) != "threshold"


def test_old_configs_are_read():
    old = {"outer_inner": True, "classifier": "w_talc"}
    assert config_lib.from_json(old, place="x").evaluator == "outer_inner"
    old["outer_inner"] = "false"
    assert config_lib.from_json(old, place="x").evaluator == "contrast"
    old["outer_inner"] = 3
    with pytest.raises(methods.errors.InputError, match="outer_inner: found 3"):
        config_lib.from_json(old, place="x")
    both = {"outer_inner": False, "evaluator": "oic"}
    assert config_lib.from_json(both, place="x").evaluator == "oic"
    run = {
        "config": {"outer_inner": True, "action_score": True, "edge_scores": True},
        "data": "",
        "categories": ["a"],
        "stream_widths": [2],
        "stream_names": ["rgb"],
        "generated": True,
        "digest": "",
    }
    found = runs._parse(run, pathlib.Path("config.json"))
    assert found.config.evaluator == "outer_inner"


def test_recipes_have_one_source_and_names_for_their_traps():
    parts = [methods.parts(name) for name in methods.GROUPS["recipes"]]
    assert {classifier for classifier, _ in parts} == {"untrimmednet"}
    assert {localizer for _, localizer in parts} > set(table.recipes.RECIPES)
    made = methods.apply(config_lib.Config(), "basnet_traps")
    assert made.traps and methods.name_of(made) == "basnet_traps"
    assert methods.parts("w_talc+co2_net_traps") == ("w_talc", "co2_net_traps")


def test_what_no_name_describes_has_baselines():
    assert methods.baselines("custom", "w_talc") == ["w_talc", "w_talc+plain"]
    assert methods.baselines("custom") == []


def test_options_on_top_of_a_name():
    parser = options.Parser("x", "")
    options.add_config(parser)
    given = ["--dataset", "thumos14", "--scp-thresholds", "", "--suppression", ""]
    made = options.read_config(parser.parse_args(given), "oic")
    assert made.scp_thresholds == () and made.suppression == ""
    assert made.attention_thresholds and table.of(made).kind == "runs"
    given = ["--dataset", "thumos14", "--evaluator", "sum", "--suppression", "hard:0.2"]
    made = options.read_config(parser.parse_args(given), "plain")
    methods.check(made)
    assert table.of(made).scores == ("contrast", "outer_inner")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"evaluator": "contrats"}, "evaluator: found 'contrats', expected contrast"),
        ({"evaluator": ""}, "evaluator: found ''"),
        ({"evaluator": "oic+oic"}, "several, each once"),
        ({"ranking": "x"}, "ranking: found 'x'"),
        ({"recipe": "cora"}, "recipe: found 'cora', expected one of basnet"),
        ({"suppression": "soft:-1"}, "suppression: found 'soft:-1'"),
        ({"scp_thresholds": (0.5, 1.5)}, "scp_thresholds: found (0.5, 1.5)"),
        ({"attention_thresholds": (-0.5,)}, "attention_thresholds"),
        ({"anchors_per_octave": -1}, "anchors_per_octave"),
        ({"video_score_weight": -0.1}, "video_score_weight"),
        ({"ranking": "mean", "suppression": "soft:0.3"}, "with soft suppression"),
        ({"traps": True}, "traps: found True with a grid, which does not read it"),
        ({"scp_thresholds": (0.5,), "anchors_per_octave": 3}, "with a runs, which"),
        ({"recipe": "cola", "evaluator": "oic"}, "evaluator: found 'oic' with the rec"),
        (
            {"action_score": False, "edge_scores": False, "suppression": "none"},
            "suppression: found 'none' with a threshold, which does not read it",
        ),
        ({"scp_thresholds": (0.5,), "train_generator": True}, "or runs of snippets"),
    ],
)
def test_parts_that_do_not_fit(change, message):
    made = methods.apply(config_lib.Config(), "plain")
    with pytest.raises(methods.errors.InputError) as caught:
        methods.check(dataclasses.replace(made, **change))
    assert message in str(caught.value)
