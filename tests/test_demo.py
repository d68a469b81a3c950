"""`cleannet demo` from beginning to end, again, and in the folder of something else."""

import json

import programs
import pytest

pytest.importorskip("av", reason="no PyAV")
pytest.importorskip("matplotlib", reason="no matplotlib")

from cleannet_jax import in_videos
from cleannet_jax.programs import demo
from cleannet_jax.run import Detection

# Neither length nor what is trained matters here.
SHORT = " --method plain --head-steps 2 --anchor-sizes 4,8 --num-buckets 1"


def states(folder):
    return {
        path: path.stat().st_mtime_ns
        for place in ("videos", "features/rgb", "run/checkpoints")
        for path in (folder / place).rglob("*")
        if path.is_file()
    }


def test_a_demo_runs_through_and_a_second_start_does_nothing_new(tmp_path, monkeypatch):
    given = demo._given
    monkeypatch.setattr(
        demo, "_given", lambda line: given(line + SHORT * line.startswith("train"))
    )
    out = tmp_path / "a demo"
    command = ("demo", "--out", out, "--clips", 15)
    done = programs.run(*command)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    programs_given = [
        line.split()[2] for line in lines if line.startswith("$ cleannet ")
    ]
    assert programs_given == ["extract", "train", "localize"]
    assert "made-up" in lines[0] and "made up" in lines[-2]
    (picture,) = (out / "found").glob("*.png")
    assert f"Open {picture}:" in done.stdout and picture.stat().st_size > 20_000
    # Training is told no time.
    labels = json.loads((out / "labels.json").read_text())["database"]
    told = [video for video in labels.values() if video["subset"] == "training"]
    assert len(told) == 10 and all(set(v) == {"subset", "labels"} for v in told)
    before = states(out)
    again = programs.run(*command)
    assert again.returncode == 0, again.stderr
    assert "(0 now, 15 before)" in again.stdout
    assert states(out) == before
    other = programs.run(*command, "--seed", 1)
    assert other.returncode == 2 and "choose another --out" in other.stderr


def test_a_demo_whose_clips_were_not_all_drawn_goes_on(tmp_path):
    made = {"clips": 15, "seed": 0}
    demo._begin(tmp_path / "demo", made)
    (tmp_path / "demo/videos").mkdir()
    (tmp_path / "demo/videos/clip_000.mp4").write_bytes(b"")
    demo._begin(tmp_path / "demo", made)
    truth = demo._make_clips(tmp_path / "demo", 15, 0)
    assert len(truth) == 15
    assert (tmp_path / "demo/videos/clip_000.mp4").stat().st_size > 1000


@pytest.mark.parametrize(
    "more, message",
    [
        ((), "found files of something else"),
        (("--clips", 3), "expected 15 to 1000"),
        (("--seed", -1), "expected 0 or more"),
    ],
)
def test_what_a_demo_refuses(tmp_path, more, message):
    (tmp_path / "letters.txt").write_text("")
    done = programs.run("demo", "--out", tmp_path, *more)
    assert done.returncode == 2 and message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


@pytest.mark.parametrize(
    "scores, drawn", [([0.8, 0.4, 0.39, -1.0], 2), ([-0.1, -0.2], 1), ([], 0)]
)
def test_pictures_leave_out_what_is_below_half_of_the_best(scores, drawn):
    detections = [Detection("spin", 0.0, 1.0, score) for score in scores]
    assert in_videos._worth_showing(detections) == detections[:drawn]
