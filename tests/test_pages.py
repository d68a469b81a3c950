"""Pages of what was found: what they gather, why it is low, and what they write."""

import dataclasses
import json
import re

import numpy as np
import programs
import pytest

import cleannet_jax
from cleannet_jax import config, errors, evaluate, experiment, methods
from cleannet_jax.data.detections import submission
from cleannet_jax.pages import gather, signals, site, why
from cleannet_jax.report import experiment as report_lib

jinja2 = pytest.importorskip("jinja2", reason="pages need jinja2")
pytest.importorskip("plotly", reason="pages need plotly")

HOSTILE = (
    "</script><script>alert(1)</script>",
    "quotes \" ' ` & \u2028 \u202e mirrored",
    "\u05e9\u05dc\u05d5\u05dd \U0001f938",
    "x" * 10_000,
)
TIOUS = (0.3, 0.5)


def write_files(folder, videos, found, name="found"):
    """Annotations and detections: by id of (label, start, end) and with a score."""
    database = {
        video: {
            "subset": "test",
            "duration": 20.0,
            "annotations": [
                {"label": label, "segment": [start, end]} for label, start, end in rows
            ],
        }
        for video, rows in videos.items()
    }
    truth, path = folder / "truth.json", folder / f"{name}.json"
    truth.write_text(json.dumps({"database": database}))
    results = {
        video: [
            {"label": label, "segment": [start, end], "score": score}
            for label, start, end, score in rows
        ]
        for video, rows in found.items()
    }
    path.write_text(json.dumps({"version": "1", "results": results}))
    return path, truth


def gathered(path, truth, **more):
    rules = gather.Rules(tious=TIOUS)
    return gather.gather([path], rules=rules, ground_truth=truth, **more)


def data_of(path):
    text = path.read_text(encoding="ascii")
    assert text.startswith("window.report=") and "<" not in text
    return json.loads(text.removeprefix("window.report=").removesuffix(";\n"))


@pytest.fixture
def two_videos(tmp_path):
    """In one all is right, in the other an instance is missed and two are false."""
    videos = {
        "good": [("run", 2.0, 6.0)],
        "bad": [("run", 2.0, 6.0), ("jump", 10.0, 14.0)],
        "empty": [],
    }
    found = {
        "good": [("run", 2.0, 6.0, 0.9)],
        "bad": [("run", 2.0, 4.5, 0.8), ("jump", 1.0, 2.0, 0.7), ("run", 15, 16, 0.1)],
    }
    return write_files(tmp_path, videos, found)


def test_what_is_in_a_video_is_what_evaluation_says(two_videos):
    material = gathered(*two_videos)
    (entry,) = material.entries
    again = evaluate.evaluate(
        evaluate.read_predictions(two_videos[0]),
        evaluate.read_annotations(two_videos[1]),
        subset="test",
        tious=TIOUS,
    )
    np.testing.assert_array_equal(entry.report.result.ap, again.result.ap)
    assert list(material.videos) == ["good", "bad", "empty"]
    good, bad, empty = (entry.in_videos[name] for name in material.videos)
    assert (good.ap, good.missed, good.false) == (1.0, 0, 0)
    # Run is found in both at 0.625, jump nowhere: (1 + 0) / 2. G of jump is 1, of run 2.
    assert (bad.ap, bad.missed, bad.false) == (0.5, 1, 1)
    assert bad.matched.tolist() == [0, -1]
    assert (empty.ap, empty.missed, empty.false) == (None, 0, 0)
    assert set(entry.by_category) == {"jump", "run"}
    low, high = (
        getattr(entry.by_category["run"], name)[-1] for name in ("low", "high")
    )
    assert low <= entry.report.result.ap[:, 1].mean() <= high


def test_each_instance_has_its_fate(two_videos):
    material = gathered(*two_videos)
    (entry,) = material.entries
    own = entry.in_videos["bad"]
    rows = [("run", 2.0, 4.5, 0.8), ("jump", 1.0, 2.0, 0.7), ("run", 15.0, 16.0, 0.1)]
    first, second = why.fates(material.videos["bad"], own, rows, None, entry)
    assert first.startswith("found with tIoU 0.62, by the detection of rank 1")
    assert second == "missed: no detection of its category overlaps it"


def test_reasons_name_the_videos_that_show_them(tmp_path):
    videos = {f"v{index}": [("run", 0.0, 10.0)] for index in range(4)}
    found = {f"v{index}": [("run", 0.0, 4.0, 0.5)] for index in range(3)}
    found["v0"].append(("run", 0.0, 2.0, 0.9))
    material = gathered(*write_files(tmp_path, videos, found), intervals=False)
    reasons = {reason.kind: reason for reason in why.reasons(material.entries[0])}
    assert reasons["coverage"].text.startswith("1 of 4 annotated videos have no")
    assert reasons["coverage"].videos == ("v3",)
    assert "type localization" in reasons["errors"].text
    assert set(reasons["errors"].videos) == {"v0", "v1", "v2"}
    # At tIoU 0.3 three of four are found, after the one that is false: 3/4 of 3/4.
    assert "falls from 56.2 at tIoU 0.3 to 0.0 at 0.5" in reasons["ends"].text
    assert "4 of 4 instances are missed at tIoU 0.5" in reasons["missed"].text


def test_a_perfect_result_has_no_reason(tmp_path):
    videos = {"a": [("run", 0.0, 10.0)], "b": [("jump", 0.0, 10.0)]}
    found = {"a": [("run", 0.0, 10.0, 1)], "b": [("jump", 0.0, 10.0, 1)]}
    material = gathered(*write_files(tmp_path, videos, found))
    assert why.reasons(material.entries[0]) == []


def test_the_parts_of_a_score_add_up():
    """By hand: a step at 4 with window 7, a proposal from 4 to 8 of 12 snippets."""
    scp = np.zeros((12, 1), np.float32)
    scp[4:8] = 1.0
    (parts,), _ = _parts_of(scp, [[4.0, 8.0], [8.0, 4.0]])
    assert parts.action[0] == pytest.approx(1.0)
    assert parts.start_before[0] == pytest.approx(0.0, abs=1e-6)
    assert parts.starting[0] == pytest.approx(
        parts.start_edge[0] - parts.start_before[0]
    )
    assert parts.ending[0] == pytest.approx(-(parts.end_edge[0] + parts.end_after[0]))
    total = parts.action[0] + (parts.starting[0] + parts.ending[0]) / 2
    assert parts.contrast[0] == pytest.approx(total, abs=1e-6)
    assert parts.contrast[1] == -np.inf
    # Flanks of a quarter, each of another height.
    psi = np.array([0, 0.1, 0, 0.3, 0.9, 1, 0.8, 0.7, 0.2, 0, 0.1, 0], np.float32)
    (parts,), _ = _parts_of(psi[:, None], [[4.0, 8.0]])
    edges = np.asarray(cleannet_jax.edgeness(psi))
    assert parts.action[0] == pytest.approx(psi[5:7].mean())
    assert parts.start_before[0] == pytest.approx(psi[3], abs=1e-6)
    assert parts.end_after[0] == pytest.approx(psi[8], abs=1e-6)
    assert parts.start_edge[0] == pytest.approx(edges[3:5].mean(), abs=1e-6)
    assert parts.end_edge[0] == pytest.approx(edges[7:9].mean(), abs=1e-6)


def _parts_of(scp, segments):
    best, parts = signals._scored(
        scp, np.array(segments), np.zeros((0, 2)), len(scp), config.Config()
    )
    return parts, best


def test_scripts_hold_any_text_and_no_numbers_that_are_none():
    text = site.script({"a": [np.nan, 1.0, 0.123456], "b": HOSTILE, "c": np.arange(2)})
    assert text.isascii() and "<" not in text
    found = json.loads(text[len("window.report=") : -2])
    assert found["a"] == [None, 1, 0.1235] and found["c"] == [0, 1]
    assert found["b"] == list(HOSTILE)


def test_hostile_names_stay_text(tmp_path):
    videos = {
        name: [(HOSTILE[0], 1.0, 2.0), (HOSTILE[1], 3.0, 4.0)] for name in HOSTILE
    }
    found = {name: [(HOSTILE[0], 1.0, 2.0, 0.5)] for name in HOSTILE}
    material = gathered(*write_files(tmp_path, videos, found), intervals=False)
    out = tmp_path / "pages"
    site.write(material, out)
    names = sorted(path.name for path in (out / "videos").iterdir())
    assert names == sorted(
        f"{n:05}.{end}" for n in range(1, 5) for end in ("html", "js")
    )
    for path in out.rglob("*.html"):
        text = path.read_text()
        scripts = re.findall(r"<script[^>]*>", text)
        assert all(re.search(r' src="[\w./]+" defer', script) for script in scripts)
        assert "alert(1)" not in text or "&lt;script&gt;alert(1)" in text
        assert not re.search(r"\son\w+=", text) and "\u202e" not in text
        assert "Content-Security-Policy" in text and len(text) < 100_000
        assert "http:" not in text and "https:" not in text
    for path in [*out.glob("*.js"), *(out / "videos").glob("*.js")]:
        data_of(path)


@pytest.fixture
def run(feature_folder, tiny_config, tmp_path):
    """A finished run of a generator."""
    folder = tmp_path / "run"
    train(feature_folder, tiny_config, "full", folder)
    return folder


def train(data, made, method, folder, *, is_named=True):
    """Trains and evaluates; the config is that of the method unless it is its own."""
    made = methods.apply(made, method) if is_named else made
    dataset = experiment.open_dataset(made, str(data))
    rows = experiment.train_and_evaluate(
        made, method, str(data), folder, dataset=dataset
    )
    report_lib.write_table(rows, dataset, folder)


def test_pages_of_a_run(run, feature_folder, tmp_path):
    out = tmp_path / "pages"
    done = programs.run("report", run, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"4 videos: open {out}/index.html" in done.stdout
    results = json.loads((run / "results" / "full.json").read_text())
    charts = data_of(out / "index.js")["entries"][0]
    np.testing.assert_allclose(charts["map"]["value"], results["map"], atol=1e-3)
    names = {(curve["stage"], curve["name"]) for curve in charts["curves"]}
    assert {("head", "loss"), ("cleannet", "loss")} <= names
    page = data_of(out / "videos" / "00001.js")
    own = page["entries"][0]
    first = submission.read_detections(run / "predictions" / "full.json")
    rows = np.flatnonzero(first.video == first.videos.index("video10"))
    assert sorted(own["score"]) == pytest.approx(sorted(first.scores[rows]), abs=1e-4)
    found = own["signals"]
    assert len(found["scp"][0]) == len(found["attention"]) == found["length"]
    assert float(found["step"]) == 0.5
    assert page["duration"] == found["length"] / 2
    # What is explained adds up to the score that the run gave, here Eq. 12.
    assert found["evaluator"] == "contrast"
    for parts, score in zip(own["parts"], own["score"], strict=True):
        assert parts[-1] == pytest.approx(score, abs=2e-3)
    # Figures in place of pages.
    for figure in ("table", "errors", "curves", "video10"):
        path = tmp_path / f"{figure}.svg"
        done = programs.run("report", run, "--figure", figure, "--out", path)
        assert done.returncode == 0, done.stderr
        assert path.read_text().startswith("<?xml")
    wrong = programs.run(
        "report", run, "--figure", "table", "--out", tmp_path / "a.gif"
    )
    assert wrong.returncode == 2 and ".gif" in wrong.stderr
    # Again in the same folder, and never in another that is there.
    assert programs.run("report", run, "--out", out).returncode == 0
    refused = programs.run("report", run, "--out", feature_folder)
    assert refused.returncode == 2
    assert "found something else there, expected a new folder" in refused.stderr


def test_a_run_without_its_data_has_bars_alone(run, feature_folder, tmp_path):
    moved = feature_folder.rename(tmp_path / "elsewhere")
    out = tmp_path / "pages"
    done = programs.run("report", run, "--out", out)
    assert done.returncode == 0 and "no annotations to measure against" in done.stdout
    assert "which is no folder here" in done.stdout
    done = programs.run(
        "report", run, "--out", out, "--ground-truth", moved / "annotations.json"
    )
    assert done.returncode == 0, done.stderr
    page = data_of(out / "videos" / "00001.js")
    assert page["entries"][0]["signals"] is None
    assert "name where it is now with --data" in page["entries"][0]["gap"]
    done = programs.run("report", run, "--out", out, "--data", moved)
    assert done.returncode == 0, done.stderr
    assert data_of(out / "videos" / "00001.js")["entries"][0]["signals"]


def test_runs_side_by_side_and_those_on_other_data(run, tmp_path, two_videos):
    other = tmp_path / "other.json"
    content = json.loads((run / "predictions" / "full.json").read_text())
    for rows in content["results"].values():
        rows[:] = rows[:1]
    other.write_text(json.dumps(content))
    truth = tmp_path / "data" / "annotations.json"
    out = tmp_path / "pages"
    rules = ("--ground-truth", truth, "--tiou", "0.3,0.5")
    done = programs.run("report", run, other, *rules, "--out", out)
    assert done.returncode == 0, done.stderr
    index = data_of(out / "compare.js")
    assert [entry["name"] for entry in index["entries"]] == ["run", "other.json"]
    text = (out / "compare.html").read_text()
    assert re.search(r"other.json - run: [+-]\d+\.\d\d points of mean mAP, 95%", text)
    page = data_of(out / "videos" / "00001.js")
    assert len(page["entries"]) == 2 and page["entries"][1]["signals"] is None
    # Other thresholds are other numbers: said, and not mixed.
    done = programs.run("report", run, other, *rules[:2], "--out", out)
    assert "other.json is not shown beside run: other tIoU thresholds" in done.stdout
    assert not (out / "compare.html").exists()


def test_an_unfinished_run_shows_its_curves(run, tmp_path):
    for part in ("predictions", "results"):
        for path in (run / part).iterdir():
            path.unlink()
    for name in ("model.json", "model.npz"):
        (run / name).unlink()
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 99, "stage": "cleannet", "loss": NaN}\n')
    out = tmp_path / "pages"
    done = programs.run("report", run, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "it has not finished; the command that started it goes on" in done.stdout
    curves = data_of(out / "index.js")["entries"][0]["curves"]
    assert any(curve["values"][-1] is None for curve in curves)
    text = (out / "index.html").read_text()
    assert "has not finished" in text and "is not a finite number from step 99" in text
    assert list((out / "videos").iterdir()) == []


def test_pages_of_an_ablation(run, tmp_path):
    folder = tmp_path / "ablation"
    (folder / "cells").mkdir(parents=True)
    run.rename(folder / "cells" / "full-seed0")
    row = {"seeds": [0], "collapsed": [], "map": [[50.0, 30.0]], "mean": [40.0]}
    table = {"data": "tiny", "generated_data": False, "tious": [0.3, 0.5]}
    table["methods"] = {"full": row}
    (folder / "table.json").write_text(json.dumps(table))
    material = gather.gather([folder], intervals=False)
    assert material.title == "ablation" and material.entries[0].name == "full-seed0"
    out = tmp_path / "pages"
    site.write(material, out)
    text = (out / "index.html").read_text()
    assert "Videos are those of full-seed0" in text and '<h2 id="ablation">' in text
    assert data_of(out / "index.js")["ablation"][0]["mean"] == [40]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing",), "nothing: no such file or folder"),
        (("found.json",), "a file of detections: expected --ground-truth"),
        (("data",), "data: no config.json in it, expected the folder of a run"),
        (
            ("data", "--scp", "x"),
            "--scp: found runs alone, which have SCPs of their own",
        ),
        (("found.json", "--scp", "x"), "x/scp.json: no such file"),
        (("found.json", "--snippet-seconds", "1"), "of --scp, which is not given"),
    ],
)
def test_bad_input_is_one_line(two_videos, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    done = programs.run("report", *arguments, "--out", tmp_path / "pages")
    assert done.returncode == 2
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "pages").exists()


def test_one_category_and_five_hundred(tmp_path):
    one = {"a": [("run", 1.0, 2.0)]}
    material = gathered(
        *write_files(tmp_path, one, {"a": [("run", 1.0, 2.0, 0.5)]}), intervals=False
    )
    site.write(material, tmp_path / "one")
    labels = [f"category {index}" for index in range(500)]
    many = {"a": [(label, 1.0, 2.0) for label in labels]}
    found = {"a": [(label, 1.0, 2.0, 0.5) for label in labels]}
    material = gathered(*write_files(tmp_path, many, found), intervals=False)
    site.write(material, tmp_path / "many")
    page = data_of(tmp_path / "many" / "videos" / "00001.js")
    assert len(page["categories"]) == 500


def test_types_of_errors_are_by_activitynets_matching(tmp_path):
    videos = {"a": [("run", 0.0, 10.0)], "b": [("run", 0.0, 10.0)]}
    found = {"a": [("run", 0.0, 10.0, 0.5)], "b": [("run", 0.0, 4.0, 0.9)]}
    path, truth = write_files(tmp_path, videos, found)
    entries = [
        gather.gather(
            [path],
            rules=gather.Rules(tious=TIOUS, protocol=protocol),
            ground_truth=truth,
            intervals=False,
        )
        for protocol in ("thumos14", "activitynet")
    ]
    reports = [material.entries[0].report for material in entries]
    assert [report.protocol for report in reports] == ["thumos14", "activitynet"]
    np.testing.assert_array_equal(
        reports[0].diagnosis.impact, reports[1].diagnosis.impact
    )
    assert entries[0].entries[0].in_videos["b"].missed == 1
    reasons = {
        reason.kind: reason.text for reason in why.reasons(entries[0].entries[0])
    }
    assert "the mean mAP by ActivityNet's matching would be" in reasons["errors"]
    site.write(entries[0], tmp_path / "pages")
    content = data_of(tmp_path / "pages" / "index.js")
    assert content["entries"][0]["errors"]["other_protocol"] is True


@pytest.fixture
def scores(tmp_path):
    """SCPs of one of the two videos, two snippets a second."""
    folder = tmp_path / "scp"
    folder.mkdir()
    scp = np.full((40, 2), 0.1, np.float32)
    scp[4:12, 1] = 0.9
    scp[20:28, 0] = 0.25
    np.save(folder / "bad.npy", scp)
    base = {"fps": 30, "stride": 15, "offset": 0}
    index = {"categories": ["jump", "run"], "timebase": {"bad": base}}
    (folder / "scp.json").write_text(json.dumps(index))
    return folder


def test_scores_beside_detections_of_a_file(two_videos, scores, tmp_path):
    path, truth = two_videos
    out = tmp_path / "pages"
    arguments = "report", path, "--ground-truth", truth, "--out", out, "--scp", scores
    done = programs.run(*arguments, "--no-intervals")
    assert done.returncode == 0, done.stderr
    one, two = (
        data_of(out / "videos" / f"0000{number}.js")["entries"][0] for number in (1, 2)
    )
    assert one["signals"] is None and "none in the folder of SCPs" in one["gap"]
    found, scp = two["signals"], np.load(scores / "bad.npy")
    assert (float(found["step"]), found["length"], found["own"]) == (0.5, 40, None)
    assert found["min_scp"] is None and found["attention"] is None
    # Categories as the page has them: run is annotated first.
    np.testing.assert_allclose(found["scp"], scp.T[::-1], atol=1e-4)
    edges = [cleannet_jax.edgeness(psi) for psi in scp.T[::-1]]
    np.testing.assert_allclose(found["edgeness"], edges, atol=1e-4)
    # Its own segment is 4 to 12 snippets: the deflated one holds .9 alone.
    assert two["truth_parts"][0][0] == pytest.approx(0.9)
    assert two["fates"][1].endswith("overlaps it; its SCP is 0.25 at most")
    # The time base may be said for all.
    (scores / "scp.json").write_text('{"categories": ["jump", "run"]}')
    done = programs.run(*arguments, "--no-intervals", "--snippet-seconds", "0.25")
    assert done.returncode == 0, done.stderr
    found = data_of(out / "videos" / "00002.js")["entries"][0]["signals"]
    assert float(found["step"]) == 0.25
    done = programs.run(*arguments, "--no-intervals")
    gap = data_of(out / "videos" / "00002.js")["entries"][0]["gap"]
    assert "scp.json: timebase of 'bad': found None" in gap


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"categories": ("walk",)}, "the run does not know the category"),
        (
            {"is_chosen": np.array([False])},
            "the video's score of it is 0.040, and below 0.1 a category is not looked for",
        ),
        ({"times": np.arange(9.0) + 50}, "no snippet of the features is in it"),
        ({"likely": None}, "its SCP is 0.3 at most"),
        ({}, "though snippets in it pass both thresholds"),
        (
            {"likely": np.zeros((8, 1), bool)},
            "its SCP is 0.3 at most, and below 0.4 nothing is proposed",
        ),
        (
            {"likely": np.zeros((8, 1), bool), "scp": np.full((8, 1), 0.7)},
            "attention is 0.50 times the uniform one at most, and below 0.8 nothing is",
        ),
    ],
)
def test_why_an_instance_was_missed(two_videos, changes, said):
    scp = np.array([0, 0, 0.2, 0.3, 0.2, 0, 0.9, 0])[:, None]
    found = signals.Signals(
        categories=("run",),
        times=np.arange(9.0),
        scp=scp,
        edgeness=scp,
        attention=np.array([1, 1, 0.2, 0.5, 0.2, 1, 1, 1]),
        video_scores=np.array([0.04]),
        likely=scp > 0.25,
        is_chosen=np.array([True]),
        proposals=(),
        proposal_scores=(),
        parts=(),
    )
    found = dataclasses.replace(found, **changes)
    settings = config.Config(min_scp=0.4, min_attention=0.8, min_video_score=0.1)
    entry = dataclasses.replace(
        gathered(*two_videos, intervals=False).entries[0], config=settings
    )
    line = why._why_missed("run", (2.0, 5.0), [], found, entry)
    assert line.startswith("missed: of its category nothing is found in this video")
    assert said in line


def test_a_missing_package_is_said(two_videos, tmp_path, monkeypatch):
    monkeypatch.setattr(site, "_NEEDED", {"no_such_package": ""})
    material = gathered(*two_videos, intervals=False)
    with pytest.raises(
        errors.InputError, match=r"pip install 'cleannet_jax\[report\]'"
    ):
        site.write(material, tmp_path / "pages")


def test_material_is_frozen(two_videos):
    with pytest.raises(dataclasses.FrozenInstanceError):
        gathered(*two_videos, intervals=False).title = "other"
