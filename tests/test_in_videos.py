"""From a video file to what happens in it when, with a run and by words."""

import json
import shutil

import numpy as np
import programs
import pytest

pytest.importorskip("av", reason="no PyAV")
pytest.importorskip("matplotlib", reason="no matplotlib")

import videos as make

from cleannet_jax import words
from cleannet_jax.data import files

SHORT = ("--head-steps", 200, "--steps", 2, "--generator-width", 8, "--num-buckets", 1)
SHORT += ("--head-learning-rate", 0.1, "--anchor-sizes", "2,4,8", "--method", "plain")


def coloured(path, colour, start, end, seconds=10):
    """Grey, but in one colour for a part of the time; 10 frames a second."""
    images = np.full((10 * seconds, 48, 64, 3), 100, np.uint8)
    images[10 * start : 10 * end] = colour
    return make.make_video(path, images, fps=10)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Videos that turn red or blue for some seconds, and a run that knows so by tags."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "videos").mkdir()
    rows = ["id,labels"]
    rng = np.random.default_rng(0)
    for index in range(12):
        name, colour = (("red", (220, 30, 30)), ("blue", (30, 30, 220)))[index % 2]
        start = int(rng.integers(1, 6))
        coloured(folder / f"videos/v{index}.mp4", colour, start, start + 3)
        rows.append(f"v{index},{name}")
    (folder / "labels.csv").write_text("\n".join(rows))
    done = programs.run(
        *("extract", folder / "videos", "--to", folder / "features"),
        *("--labels", folder / "labels.csv", "--backbone", "blocks"),
    )
    assert done.returncode == 0, done.stderr
    done = programs.run(
        *("train", "--dataset", "thumos14", "--data", folder / "features"),
        *("--out", folder / "run", *SHORT),
    )
    assert done.returncode == 0, done.stderr
    coloured(folder / "new.mp4", (220, 30, 30), 4, 7)
    return folder


def tiou(one, other):
    both = min(one[1], other[1]) - max(one[0], other[0])
    return both / (max(one[1], other[1]) - min(one[0], other[0]))


def best(path, name):
    found = json.loads(path.read_text())["results"][name]
    return max(found, key=lambda one: one["score"])


def test_a_run_finds_what_happens_in_a_video(place):
    out = place / "found"
    truth = {
        "new": {"subset": "x", "annotations": [{"label": "red", "segment": [4, 7]}]}
    }
    (place / "truth.json").write_text(json.dumps({"database": truth}))
    command = ("localize", place / "run", place / "new.mp4", "--out", out)
    done = programs.run(*command, "--ground-truth", place / "truth.json", "--clip")
    assert done.returncode == 0, done.stderr
    first = best(out / "found.json", "new")
    assert first["label"] == "red"
    assert tiou(first["segment"], (4, 7)) > 0.7
    assert "new: " in done.stdout and "red" in done.stdout
    for name in ("found.csv", "new.srt", "new.vtt", "new.png"):
        assert (out / name).stat().st_size > 40
    assert "red" in (out / "new.srt").read_text()
    (clip,) = (out / "clips").glob("new-001-red*")
    assert clip.stat().st_size > 500
    # Nothing is extracted twice, and the same bytes come out.
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    extracted = (out / "features/rgb/new.npy").stat().st_mtime_ns
    assert (
        programs.run(*command, "--ground-truth", place / "truth.json").returncode == 0
    )
    after = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    assert before == after
    assert (out / "features/rgb/new.npy").stat().st_mtime_ns == extracted
    without = programs.run(*command)
    assert without.returncode == 0
    assert (out / "new.png").read_bytes() != before["new.png"]  # The truth was drawn.


def test_a_damaged_video_is_named_and_the_others_are_done(place):
    (place / "broken.mp4").write_bytes(b"\0" * 3000)
    done = programs.run(
        *("localize", place / "run", place / "broken.mp4", place / "new.mp4"),
        *("--out", place / "both"),
    )
    assert done.returncode == 1, done.stderr
    assert "left out: " in done.stdout and "broken.mp4" in done.stdout
    assert (place / "both/new.png").exists() and not (
        place / "both/broken.png"
    ).exists()


def test_a_folder_of_something_else_stays_as_it_is(place, tmp_path):
    (tmp_path / "new.srt").write_text("mine")
    done = programs.run("localize", place / "run", place / "new.mp4", "--out", tmp_path)
    assert done.returncode == 2 and "of something else" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["new.srt"]


def test_runs_on_other_features_say_so(place, tmp_path):
    shutil.copytree(place / "run", tmp_path / "run")
    content = files.read_checked_json(tmp_path / "run/model.json")
    del content["extraction"]
    files.write_checked_json(tmp_path / "run/model.json", content)
    done = programs.run(
        "localize", tmp_path / "run", place / "new.mp4", "--out", tmp_path / "found"
    )
    assert done.returncode == 2 and "cleannet extract" in done.stderr
    assert not (tmp_path / "found").exists()
    done = programs.run(
        "localize", tmp_path / "nowhere", place / "new.mp4", "--out", tmp_path / "found"
    )
    assert done.returncode == 2 and "nowhere: no such folder" in done.stderr


def test_a_backbone_of_your_own_may_move_and_change(place, tmp_path):
    own = tmp_path / "own.py"
    own.write_text("def mean(x): return x.reshape(len(x), -1, 3).mean(axis=1) / 255")
    done = programs.run(
        *("extract", place / "videos", "--to", tmp_path / "features"),
        *("--labels", place / "labels.csv", "--frame-size", 16),
        *("--frames-per-snippet", 1, "--backbone", f"{own}:mean"),
    )
    assert done.returncode == 0, done.stderr
    done = programs.run(
        *("train", "--dataset", "thumos14", "--data", tmp_path / "features"),
        *("--out", tmp_path / "run", *SHORT, "--head-steps", 2),
    )
    assert done.returncode == 0, done.stderr
    own = own.rename(place / "own.py")
    command = ("localize", tmp_path / "run", place / "new.mp4", "--out", tmp_path / "o")
    done = programs.run(*command)
    assert done.returncode == 2 and "no such file" in done.stderr
    own.write_text(own.read_text() + "\n# the same\n")
    done = programs.run(*command, "--backbone", f"{own}:mean")
    assert done.returncode == 0, done.stderr
    assert "has changed since" in done.stdout
    other = place / "other.py"
    other.write_text("def mean(x): return x.mean(axis=(1, 2))")
    done = programs.run(*command, "--backbone", f"{other}:mean")
    assert done.returncode == 2 and "made otherwise: backbone" in done.stderr


TOWERS = """
import numpy as np

COLOURS = {"red": (1, 0, 0), "blue": (0, 0, 1), "grey": (1, 1, 1)}

def frames(images):
    return images.reshape(len(images), -1, 3).mean(axis=1)

def text(texts):
    return np.array([COLOURS[text.split()[-1]] for text in texts], float)

frames.text = text
"""


def test_words_in_place_of_training(place, tmp_path):
    (tmp_path / "towers.py").write_text(TOWERS)
    towers = ("--backbone", f"{tmp_path / 'towers.py'}:frames", "--background", "grey")
    towers += ("--frame-size", 32, "--frames-per-snippet", 4)
    video, out = place / "new.mp4", tmp_path / "found"
    texts = ("--text", "something red", "something blue")
    done = programs.run("localize", *texts, video, *towers, "--out", out)
    assert done.returncode == 0, done.stderr
    found = best(out / "found.json", "new")
    assert found["label"] == "something red"
    assert tiou(found["segment"], (4, 7)) > 0.7
    scp = np.load(out / "scp/new.npy")
    assert scp.shape == (20, 2) and scp[9:13, 0].min() > 0.9 and scp[:6].max() < 0.1


def test_scores_of_words_by_hand():
    frames = np.array([[3.0, 0], [0, 2], [0, 5]])
    texts = np.array([[0.5, 0], [0, 7], [1, 1]])  # The last is of no category.
    found = words.snippet_scores(
        frames, texts, num_categories=2, temperature=0.5, smoothing=3
    )
    # Unit vectors, averaged over neighbours in the video, then of length 1 again.
    smooth = np.array([[0.5, 0.5], [1 / 3, 2 / 3], [0, 1]])
    smooth /= np.linalg.norm(smooth, axis=1, keepdims=True)
    logits = smooth @ (np.array([[1, 0], [0, 1], [0.5**0.5] * 2]).T) / 0.5
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted[:, :2], rtol=1e-5)


@pytest.mark.parametrize(
    "more, message",
    [
        (("--text", "a red"), "found no --backbone"),
        (("--clip",), "is for video files"),
        (("--temperature", "2"), "is for words"),
    ],
)
def test_options_of_something_else_are_named(place, tmp_path, more, message):
    done = programs.run("localize", place / "run", *more, "--out", tmp_path / "o.json")
    assert done.returncode == 2 and message in done.stderr, done.stderr


def test_towers_that_go_wrong(place, tmp_path):
    (tmp_path / "towers.py").write_text(TOWERS + "\ndef alone(x): return frames(x)")

    def line(name, *texts, more=()):
        done = programs.run(
            *("localize", place / "new.mp4", "--text", *texts, *more),
            *("--backbone", f"{tmp_path / 'towers.py'}:{name}"),
            *("--out", tmp_path / "found"),
        )
        assert done.returncode == 2, done.stdout
        return done.stderr

    assert "no attribute `text`" in line("alone", "red")
    assert "raised KeyError" in line("frames", "green")
    assert "different texts" in line("frames", "red", "red")
    cold = ("--temperature", "0", "--background", "grey")
    assert "above 0" in line("frames", "red", more=cold)
