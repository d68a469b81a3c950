import csv
import json
import math
import pathlib

import numpy as np
import programs
import pytest

from cleannet_jax import errors, fusion, score
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.localizers import suppression as suppression_lib
from cleannet_jax.ops import contrast


@pytest.fixture
def scp(tmp_path):
    values = np.random.default_rng(0).random((300, 3)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    return values


def save_proposals(tmp_path, proposals):
    path = tmp_path / "proposals.npz"
    np.savez(path, proposals=proposals)
    return str(path)


@pytest.mark.parametrize("each_category", [False, True])
def test_arrays_come_back_with_their_scores(tmp_path, scp, each_category):
    rng = np.random.default_rng(1)
    starts = rng.uniform(0, 250, (3, 7) if each_category else 7)
    proposals = np.stack([starts, starts + 20], axis=-1)
    path, out = save_proposals(tmp_path, proposals), tmp_path / "out.npz"
    count = score.score_arrays(str(tmp_path / "a.npy"), path, str(out))
    assert count == starts.size
    found = np.load(out)
    np.testing.assert_array_equal(found["proposals"], proposals)
    for category in range(3):
        own = proposals[category] if each_category else proposals
        expected = contrast.proposal_scores(
            scp[:, category], own.astype(np.float32)
        )._asdict()
        for name, values in expected.items():
            np.testing.assert_allclose(found[name][category], values, atol=2e-5)


def submission(tmp_path, rows):
    path = tmp_path / "in.json"
    path.write_text(json.dumps({"results": {"a": rows, "none": []}, "version": "x"}))
    return str(path)


def index(tmp_path, **more):
    content = {"categories": ["run", "jump", "throw"], **more}
    (tmp_path / "scp.json").write_text(json.dumps(content))


ROW = {"segment": [10.0, 20.0], "label": "jump", "score": 0.5, "extra": "kept"}


@pytest.mark.parametrize("declared", [False, True])
def test_submission_comes_back_with_its_scores(tmp_path, scp, declared):
    # Snippets of half a second: [20, 40) snippets of category 1.
    timebase = {"a": {"fps": 30, "stride": 15, "offset": 0}}
    index(tmp_path, **({"timebase": timebase} if declared else {}))
    out = tmp_path / "out.json"
    count = score.score_submission(
        str(tmp_path),
        submission(tmp_path, [ROW]),
        str(out),
        snippet_seconds=None if declared else 0.5,
    )
    assert count == 1
    content = json.loads(out.read_text())
    assert content["version"] == "x" and content["results"]["none"] == []
    (row,) = content["results"]["a"]
    expected = contrast.proposal_scores(scp[:, 1], np.array([20.0, 40.0]))
    for name, value in expected._asdict().items():
        assert row[name] == pytest.approx(float(value), abs=2e-5)
    assert row["score"] == row["contrast"]
    assert (row["input_score"], row["extra"]) == (0.5, "kept")


@pytest.mark.parametrize(
    ("proposals", "message"),
    [
        (
            [[1.0, 2.0], [5.0, 3.0]],
            r"proposals[1]: found [5.0, 3.0], expected a finite",
        ),
        ([[1.0, np.nan]], "proposals[0]: found [1.0, nan]"),
        ([[1.0, 2.0, 3.0]], "found (1, 3) of float64, expected (P, 2) or (3, P, 2)"),
        (np.array([["a", "b"]]), "expected (P, 2)"),
        (np.array([[None, 1]]), "an array of Python objects"),
    ],
)
def test_bad_proposals_are_named(tmp_path, scp, proposals, message):
    path = save_proposals(tmp_path, proposals)
    with pytest.raises(errors.InputError) as caught:
        score.score_arrays(str(tmp_path / "a.npy"), path, str(tmp_path / "out.npz"))
    assert str(caught.value).startswith(path) and message in str(caught.value)
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(3), "found shape (3,), expected (T, N)"),
        (np.zeros((0, 3)), "found no snippet"),
        (np.zeros((3, 0)), "found no category"),
        (np.array([[0.5, np.nan]]), "snippet 0, category 1: found nan"),
        (np.array([[{}]]), "an array of Python objects"),
    ],
)
def test_bad_scp_is_named(tmp_path, values, message):
    np.save(tmp_path / "bad.npy", values)
    with pytest.raises(errors.InputError) as caught:
        snippets_lib.read_scp(tmp_path / "bad.npy")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"label": "jupm"}, "label 'jupm' is none of the 3 categories"),
        ({"segment": [5.0, 5.0]}, "found segment [5.0, 5.0], expected an end after"),
        ({"segment": [9.0, 5.0]}, "expected an end that is not before the start"),
        ({"segment": [1, 2, 3]}, "segment: expected [start, end]"),
    ],
)
def test_bad_rows_are_named(tmp_path, scp, row, message):
    index(tmp_path)
    path = submission(tmp_path, [ROW, ROW | row])
    with pytest.raises(errors.InputError) as caught:
        score.score_submission(
            str(tmp_path), path, str(tmp_path / "out.json"), snippet_seconds=0.5
        )
    assert message in str(caught.value) and "['a'][1]" in str(caught.value)


# SSN's list: one video of one second a unit, no ground truth, and two proposals, in
# fractions of its 150 s, each with a label that must not be used.
SSN_LIST = """# 1
a
1
1
0
2
2 0.8 1.0 0.1 0.25
0 0.0 0.0 0.6 0.7
"""


def test_a_proposal_list_gets_the_category_of_its_best_contrast(tmp_path, scp):
    index(tmp_path)
    (tmp_path / "list.txt").write_text(SSN_LIST)
    video = {"subset": "test", "duration": 150.0, "annotations": []}
    annotations = tmp_path / "annotations.json"
    annotations.write_text(json.dumps({"database": {"a": video}}))
    out = tmp_path / "out.json"
    arguments = (str(tmp_path), str(tmp_path / "list.txt"), str(out))
    with pytest.raises(errors.InputError, match="--annotations names a file"):
        score.score_submission(*arguments, snippet_seconds=0.5)
    count = score.score_submission(
        *arguments, snippet_seconds=0.5, annotations=str(annotations)
    )
    assert count == 2
    rows = json.loads(out.read_text())["results"]["a"]
    for row, segment in zip(rows, ([15.0, 37.5], [90.0, 105.0]), strict=True):
        assert row["segment"] == pytest.approx(segment)
        proposal = np.array(segment) / 0.5
        scores = [
            float(contrast.contrast_score(scp[:, category], proposal))
            for category in range(3)
        ]
        assert row["label"] == ["run", "jump", "throw"][int(np.argmax(scores))]
        assert row["contrast"] == pytest.approx(max(scores), abs=2e-5)


def test_a_proposal_list_with_frames_and_fps(tmp_path):
    scp = np.full((200, 2), 0.05, np.float32)
    scp[100:160, 0] = 0.95
    np.save(tmp_path / "clip_a.npy", scp)
    (tmp_path / "scp.json").write_text('{"categories": ["jump", "run"]}')
    (tmp_path / "list.txt").write_text(
        "# 0\nclip_a\n3000\n30\n1\n1 1500 2400\n3\n1 0.9000 0.9500 1500 2340\n"
        "1 0.3000 0.3000 600 2900\n0 0.0000 0.0000 0 300\n"
    )
    video = {"subset": "test", "duration": 100, "annotations": []}
    annotations = tmp_path / "annotations.json"
    annotations.write_text(json.dumps({"database": {"clip_a": video}}))
    arguments = ["--scp", tmp_path, "--proposals", tmp_path / "list.txt"]
    arguments += ["--annotations", annotations, "--snippet-seconds", "0.5"]
    done = programs.run("score", *arguments, "--out", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("warning: ")
    assert "3000 and 30, are frames and fps" in done.stdout.splitlines()[0]
    rows = json.loads((tmp_path / "out.json").read_text())["results"]["clip_a"]
    # Found with the segments of the same proposals in seconds.
    expected = [([50, 78], 0.791), ([20, 96.67], 0.670), ([0, 10], 0.025)]
    for row, (segment, value) in zip(rows, expected, strict=True):
        assert row["segment"] == pytest.approx(segment, abs=0.005)
        assert row["contrast"] == pytest.approx(value, abs=6e-4)


def test_program_ends_with_one_line_and_2(tmp_path, scp):
    def run(*arguments):
        return programs.run("score", *arguments)

    path = save_proposals(tmp_path, [[2.0, 9.0]])
    arguments = ["--scp", str(tmp_path / "a.npy"), "--proposals", path]
    done = run(*arguments, "--out", str(tmp_path / "out.npz"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 proposals scored")
    wrong = run(*arguments[:-1], "absent.npz", "--out", str(tmp_path / "x.npz"))
    assert (wrong.returncode, wrong.stderr) == (2, "error: absent.npz: no such file\n")


def test_an_input_is_never_the_output(tmp_path, scp):
    path = save_proposals(tmp_path, [[2.0, 9.0]])
    before = pathlib.Path(path).read_bytes()
    arguments = ["--scp", tmp_path / "a.npy", "--proposals", path, "--out", path]
    done = programs.run("score", *arguments)
    assert done.returncode == 2 and "is an input of this command" in done.stderr
    # However it is named.
    arguments[-1] = tmp_path / ".." / tmp_path.name / pathlib.Path(path).name
    done = programs.run("score", *arguments)
    assert done.returncode == 2 and "is an input of this command" in done.stderr
    assert pathlib.Path(path).read_bytes() == before


def test_a_score_that_is_not_finite_is_named(tmp_path, scp):
    index(tmp_path)
    path = submission(tmp_path, [ROW | {"score": float("inf")}])
    with pytest.raises(errors.InputError, match="score: expected a finite number"):
        score.score_submission(
            str(tmp_path), path, str(tmp_path / "out.json"), snippet_seconds=0.5
        )


@pytest.mark.parametrize("evaluator", fusion.EVALUATORS)
def test_the_evaluator_decides_about_the_score(tmp_path, scp, evaluator):
    index(tmp_path)
    out = tmp_path / "out.json"
    arguments = ["--scp", tmp_path, "--proposals", submission(tmp_path, [ROW])]
    arguments += ["--snippet-seconds", "0.5", "--evaluator", evaluator, "--out", out]
    assert programs.run("score", *arguments).returncode == 0
    (found,) = json.loads(out.read_text())["results"]["a"]
    scores = contrast.proposal_scores(scp[:, 1], np.array([20.0, 40.0]))
    expected = {"contrast": scores.contrast, "outer_inner": scores.outer_inner}
    expected["sum"] = scores.contrast + scores.outer_inner
    assert found["score"] == pytest.approx(float(expected[evaluator]), abs=2e-5)
    assert found.get(evaluator, found["score"]) == found["score"]


def test_parts_of_a_judge_by_hand(tmp_path, scp):
    # The mean and the outer-inner contrast inside the video, of the smoothed SCP, and
    # half of the video's score, which is the mean of the highest eighth.
    more = ("--evaluator", "mean+oic", "--smoothing-width", "3")
    more += ("--video-score-weight", "0.5")
    done = run_seconds(tmp_path, submission(tmp_path, [ROW]), "out.json", *more)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / "out.json").read_text())["results"]["a"]
    psi = scp[:, 1].astype(float)
    psi = np.array([psi[max(0, t - 1) : t + 2].mean() for t in range(len(psi))])
    inside = psi[20:40].mean()
    around = np.concatenate([psi[15:20], psi[40:45]]).mean()
    highest = np.sort(scp[:, 1])[-math.ceil(len(psi) / 8) :].mean()
    assert found["mean"] == pytest.approx(inside, abs=1e-5)
    assert found["oic"] == pytest.approx(inside - around, abs=1e-5)
    expected = 2 * inside - around + 0.5 * highest
    assert found["score"] == pytest.approx(expected, abs=2e-5)


def run_seconds(tmp_path, proposals, out="out.json", *more):
    """Runs the program on a folder of SCPs of snippets of half a second."""
    index(tmp_path)
    arguments = ["--scp", tmp_path, "--proposals", proposals, "--out", tmp_path / out]
    return programs.run("score", *arguments, "--snippet-seconds", "0.5", *more)


def expected_row(scp, segment=(20.0, 40.0), category=1):
    scores = contrast.proposal_scores(scp[:, category], np.array(segment))
    return {name: float(value) for name, value in scores._asdict().items()}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.csv", "video,label,start,end,score\na,jump,10,20,0.5\n"),
        ("in.csv", "t-start,t-end,video-id,score,label\r\n10,20,a,0.5,1\r\n"),
        ("in.txt", "a 10 20 1 0.5\n"),
        ("in.json", '{"a": [{"segment": [10, 20], "label": 1, "score": 0.5}]}'),
    ],
)
def test_proposals_come_in_any_format_of_detections(tmp_path, scp, name, content):
    (tmp_path / name).write_text(content)
    (tmp_path / "names.txt").write_text("run\njump\nthrow\n")
    labels = ("--labels", tmp_path / "names.txt")
    done = run_seconds(tmp_path, tmp_path / name, "out.json", *labels)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "out.json").read_text())["results"]["a"]
    assert (row["label"], row["segment"], row["input_score"]) == ("jump", [10, 20], 0.5)
    for key, value in expected_row(scp).items():
        assert row[key] == pytest.approx(value, abs=2e-5)


def test_scores_are_written_as_csv_and_text(tmp_path, scp):
    rows = [ROW, {"segment": [30.0, 40.5], "label": "throw"}]
    path = submission(tmp_path, rows)
    assert run_seconds(tmp_path, path, "out.csv").returncode == 0
    with open(tmp_path / "out.csv", newline="") as file:
        first, second = csv.DictReader(file)
    names = [
        *["video", "label", "start", "end", "score", "extra", "input_score"],
        *expected_row(scp),
    ]
    assert sorted(first) == sorted(names)
    assert (first["video"], first["label"], first["end"]) == ("a", "jump", "20.0")
    assert (first["input_score"], second["input_score"]) == ("0.5", "")
    value = expected_row(scp, (60.0, 81.0), 2)["contrast"]
    assert float(second["score"]) == pytest.approx(value, abs=2e-5)
    (tmp_path / "scp.json").unlink()
    index(tmp_path)
    done = run_seconds(tmp_path, path, "out.xyz")
    assert done.returncode == 2 and "found the ending '.xyz'" in done.stderr
    # Of THUMOS14's categories only.
    assert run_seconds(tmp_path, path, "out.txt").stderr.endswith(
        "label 'jump' has no class id\n"
    )


def test_frames_and_milliseconds_are_refused(tmp_path, scp):
    # The video has 150 s.
    path = submission(tmp_path, [ROW | {"segment": [1500, 2400]}])
    done = run_seconds(tmp_path, path)
    assert done.returncode == 2 and not (tmp_path / "out.json").exists()
    assert done.stderr == (
        f"error: {path}: proposals that begin after the end of their video: all 1; are"
        " these frames (fps 30)? Divide them by the frame rate\n"
    )
    path = submission(tmp_path, [ROW | {"segment": [10000, 20000]}])
    assert "are these milliseconds?" in run_seconds(tmp_path, path).stderr


def test_other_odd_times_warn(tmp_path, scp):
    rows = [ROW, ROW, ROW | {"segment": [150, 160]}]
    done = run_seconds(tmp_path, submission(tmp_path, rows))
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == (
        "warning: proposals that begin after the end of their video, whose scores mean"
        " nothing: 1 of 3"
    )
    done = run_seconds(tmp_path, submission(tmp_path, [ROW | {"segment": [0.2, 0.9]}]))
    assert "are these ratios of the duration? Multiply them by it" in done.stdout
    done = run_seconds(tmp_path, submission(tmp_path, [ROW]))
    assert done.stdout.startswith("1 proposals scored")


def test_seconds_are_no_snippets(tmp_path, scp):
    path = save_proposals(tmp_path, [[10.0, 20.0], [310.0, 900.0], [3000.0, 3100.0]])
    with pytest.raises(
        errors.InputError, match="found 2 of 3 that begin after the end"
    ):
        score.score_arrays(str(tmp_path / "a.npy"), path, str(tmp_path / "out.npz"))


@pytest.mark.parametrize("each_category", [False, True])
@pytest.mark.parametrize("wrong", [[1e300, 2e300], [20.0, 20.0 + 1e-12]])
def test_arrays_whose_scores_are_no_numbers_are_named(
    tmp_path, scp, wrong, each_category
):
    proposals = np.array([[10.0, 20.0], [20.0, 40.0], wrong])
    place = [2]
    if each_category:
        proposals, place = np.stack([proposals] * 3), [0, 2]
    path, out = save_proposals(tmp_path, proposals), tmp_path / "out.npz"
    done = programs.run(
        "score", "--scp", tmp_path / "a.npy", "--proposals", path, "--out", out
    )
    assert done.returncode == 2 and not out.exists()
    assert done.stderr.startswith(f"error: {path}: proposals{place}: found {wrong}, so")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("is_folder", [False, True])
def test_logits_are_refused_unless_they_are_meant(tmp_path, scp, is_folder):
    logits = (20 * scp - 5).clip(-5, 8.9)
    np.save(tmp_path / "a.npy", logits)
    if is_folder:
        path, out = submission(tmp_path, [ROW]), "out.json"
        common = ["--scp", tmp_path, "--snippet-seconds", "0.5"]
        index(tmp_path)
    else:
        path, out = save_proposals(tmp_path, [[20.0, 40.0]]), "out.npz"
        common = ["--scp", tmp_path / "a.npy"]
    common += ["--proposals", path, "--out", tmp_path / out]
    done = programs.run("score", *common)
    assert done.returncode == 2 and not (tmp_path / out).exists()
    assert done.stderr == (
        f"error: {tmp_path / 'a.npy'}: found values from -5 to 8.9, expected"
        " probabilities in [0, 1]: are these logits? Apply a sigmoid or softmax first;"
        " --unbounded-scp scores them as they are\n"
    )
    assert programs.run("score", *common, "--unbounded-scp").returncode == 0
    if is_folder:
        (row,) = json.loads((tmp_path / out).read_text())["results"]["a"]
        value = expected_row(logits)["contrast"]
        assert row["contrast"] == pytest.approx(value, abs=1e-4)


def test_labels_that_are_numbers_ask_for_names(tmp_path, scp):
    path = submission(tmp_path, [ROW | {"label": 1}])
    done = run_seconds(tmp_path, path)
    assert done.stderr.endswith(
        "label '1' is none of the 3 categories of the SCP; --labels FILE names those"
        " that are numbers\n"
    )


FUSED = [
    ROW,
    ROW | {"segment": [10.0, 21.0], "score": 0.4},
    ROW | {"segment": [10.0, 20.0], "label": "throw", "score": 0.3},
    ROW | {"segment": [40.0, 60.0], "score": -2.0},
]


def fused_by_hand(scp, weight):
    return [
        row["score"]
        + weight
        * expected_row(
            scp,
            (2 * row["segment"][0], 2 * row["segment"][1]),
            ["run", "jump", "throw"].index(row["label"]),
        )["contrast"]
        for row in FUSED
    ]


@pytest.mark.parametrize("ending", ["json", "csv"])
@pytest.mark.parametrize("suppress", ["none", "soft:0.3", "hard:0.4"])
def test_scores_are_fused_then_suppressed(tmp_path, scp, ending, suppress):
    path = submission(tmp_path, FUSED)
    out = f"out.{ending}"
    more = ("--fuse", "2", "--suppress", suppress)
    done = run_seconds(tmp_path, path, out, *more)
    assert done.returncode == 0, done.stderr
    expected = fused_by_hand(scp, 2)
    _, second = sorted((0, 1), key=lambda row: -expected[row])
    # The two overlap by 10 of 11 seconds, and nothing else of their category does.
    if suppress == "soft:0.3":
        expected[second] *= np.exp(-((10 / 11) ** 2) / 0.3)
    left = [row for row in range(4) if suppress != "hard:0.4" or row != second]
    if ending == "json":
        rows = json.loads((tmp_path / out).read_text())["results"]["a"]
    else:
        with open(tmp_path / out, newline="") as file:
            rows = list(csv.DictReader(file))
    assert done.stdout.startswith(f"{len(left)} proposals")
    found = [float(row["score"]) for row in rows]
    np.testing.assert_allclose(found, [expected[row] for row in left], atol=1e-4)
    own = [float(row["input_score"]) for row in rows]
    assert own == [FUSED[row]["score"] for row in left]


def test_a_file_says_how_scores_are_fused(tmp_path, scp):
    path = submission(tmp_path, FUSED)
    recipe = fusion.Recipe(0.5, "sum", suppression_lib.Suppression("soft", 0.2), "rank")
    (tmp_path / "weight.json").write_text(json.dumps(fusion.as_dict(recipe)))
    by_file = ("--fuse", tmp_path / "weight.json")
    assert run_seconds(tmp_path, path, "a.json", *by_file).returncode == 0
    by_hand = ("--fuse", "0.5", "--evaluator", "sum", "--scale", "rank")
    by_hand += ("--suppress", "soft:0.2")
    assert run_seconds(tmp_path, path, "b.json", *by_hand).returncode == 0
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()
    done = run_seconds(tmp_path, path, "c.json", *by_file, "--scale", "unit")
    assert done.returncode == 2 and "--scale: expected it or a file" in done.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--fuse", "-1"], "--fuse: found '-1', expected a number of at least 0"),
        (["--fuse", "nan"], "--fuse: found 'nan', expected a number of at least 0"),
        (["--fuse", "absent.json"], "absent.json: no such file"),
        (["--evaluator", "means"], "evaluator: found 'means', expected contrast"),
        (["--smoothing-width", "2"], "--smoothing-width: found 2, expected an odd"),
        (["--video-score-weight", "-1"], "--video-score-weight: found -1.0"),
        (["--scale", "unit"], "--scale: expected --fuse too"),
        (["--suppress", "soft"], "suppression: found 'soft', expected none, soft:SIG"),
        (["--suppress", "soft:0"], "suppression: found 'soft:0'"),
        (["--suppress", "hard:1.5"], "suppression: found 'hard:1.5'"),
    ],
)
def test_bad_recipes_are_named(tmp_path, scp, more, message):
    done = run_seconds(tmp_path, submission(tmp_path, [ROW]), "out.json", *more)
    assert done.returncode == 2 and message in done.stderr
    assert not (tmp_path / "out.json").exists()


def test_there_must_be_a_score_to_add_to(tmp_path, scp):
    rows = [ROW, {"segment": [30.0, 40.5], "label": "throw"}]
    path = submission(tmp_path, rows)
    done = run_seconds(tmp_path, path, "out.json", "--fuse", "1")
    assert done.stderr == (
        f"error: {path}: results['a'][1]: found no score, expected the detector's own,"
        " to which the evaluator's is added\n"
    )
    # The evaluator's own can be suppressed all the same.
    done = run_seconds(tmp_path, path, "out.json", "--suppress", "hard:0.4")
    assert done.stdout.startswith("2 proposals")


SMIL = pathlib.Path(__file__).parents[2] / "shared" / "data" / "thumos14_smil"


@pytest.mark.skipif(not SMIL.is_dir(), reason="no real SCPs")
def test_real_proposals_are_scored_without_a_warning(tmp_path):
    warnings = []
    content = json.loads((SMIL / "proposals_test.json").read_text())
    first = dict(list(content["results"].items())[:5])
    (tmp_path / "in.json").write_text(json.dumps({"results": first}))
    count = score.score_submission(
        str(SMIL / "scp_test"),
        str(tmp_path / "in.json"),
        str(tmp_path / "out.csv"),
        snippet_seconds=None,
        warn=warnings.append,
    )
    with open(tmp_path / "out.csv", newline="") as file:
        assert sum(1 for _ in csv.reader(file)) == 1 + count
    assert warnings == []


@pytest.mark.parametrize("segment", [[0, 1e308], [1e8, 1e8 + 1], [-1e30, -1e29]])
def test_segments_whose_scores_are_no_numbers_are_named(tmp_path, scp, segment):
    index(tmp_path)
    path = submission(tmp_path, [ROW, ROW, ROW, ROW | {"segment": segment}])
    try:
        score.score_submission(
            str(tmp_path), path, str(tmp_path / "out.json"), snippet_seconds=1.0
        )
    except errors.InputError as error:
        assert "results['a'][3]: found segment" in str(error)
    else:
        json.loads((tmp_path / "out.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "base", [[], "x", 1, {"a": []}, {"a": {"fps": 0, "stride": 1, "offset": 0}}]
)
def test_a_timebase_that_is_none_is_named(tmp_path, scp, base):
    index(tmp_path, timebase=base)
    path = submission(tmp_path, [ROW])
    with pytest.raises(errors.InputError, match="timebase of 'a': found"):
        score.score_submission(
            str(tmp_path), path, str(tmp_path / "o.json"), snippet_seconds=None
        )


def test_values_that_could_not_be_written_are_named_first(tmp_path, scp):
    index(tmp_path)
    path = submission(tmp_path, [ROW | {"extra": float("nan")}])
    with pytest.raises(errors.InputError, match="'extra': found nan, expected a fin"):
        score.score_submission(
            str(tmp_path), path, str(tmp_path / "o.json"), snippet_seconds=1.0
        )
