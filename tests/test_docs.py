"""The commands in docs/ and the Python in them do what the pages say.

A page's `sh` blocks are run from top to bottom in one folder, which holds what the page
says that it is run on.
"""

import doctest
import json
import pathlib
import re
import shlex

import numpy as np
import programs
import pytest

from cleannet_jax.data import files

DOCS = pathlib.Path(__file__).parents[1] / "docs"
# Length does not matter here.
SHORT = "--head-steps 2 --steps 2 --adam-steps 2 --generator-width 8 --anchor-sizes 4,8"
SHORT += " --num-buckets 1"


def blocks(page, language):
    text = (DOCS / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(page):
    for block in blocks(page, "sh"):
        yield from block.replace("\\\n", " ").splitlines()


def run(command):
    program, *arguments = shlex.split(command)[1:]
    if program in ("train", "ablate"):
        arguments += shlex.split(SHORT)
    done = programs.run(program, *arguments)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done


def database(folder):
    return json.loads((folder / "annotations.json").read_text())["database"]


def write_database(path, videos):
    files.write_json(path, {"database": videos})


@pytest.fixture
def place(feature_folder, tmp_path, monkeypatch):
    """The folder that a page's commands are run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_features(place, feature_folder):
    feature_folder.rename("myfeatures")
    for command in commands("features.md"):
        run(command)
    assert (place / "runs/full/results").is_dir()


def test_detections(place, feature_folder):
    run(f"cleannet train --dataset thumos14 --data {feature_folder} --out run")
    run(f"cleannet localize run --data {feature_folder} --out found.json --scp scp")
    (feature_folder / "annotations.json").rename("annotations.json")
    found = json.loads((place / "found.json").read_text())
    for detections in found["results"].values():
        detections[:] = detections[::2]
    files.write_json(place / "other.json", found)
    np.save("video.npy", np.full((20, 3), 0.5, np.float32))
    np.savez("proposals.npz", proposals=np.array([[2.0, 6.0]]))
    for command in commands("detections.md"):
        run(command)


def test_labels(place, feature_folder):
    clips = place / "clips"
    clips.mkdir()
    rows = ["id,labels"]
    for name, video in database(feature_folder).items():
        values = np.load(feature_folder / "rgb" / f"{name}.npy")
        np.savez(clips / f"{name}.npz", features=values)
        labels = {entry["label"] for entry in video["annotations"]}
        rows.append(f"{name},{';'.join(sorted(labels))}")
    (clips / "labels.csv").write_text("\n".join([*rows, ""]))
    feature_folder.rename("tagged")
    videos = database(place / "tagged")
    write_database(place / "few_with_times.json", videos)
    for video in videos.values():
        labels = [entry["label"] for entry in video.pop("annotations")]
        if video["subset"] == "training":
            video["labels"] = labels
    write_database(place / "tagged/annotations.json", videos)
    said = {command: run(command) for command in commands("labels.md")}
    ended = said["cleannet train --dataset thumos14 --data tagged --out run"]
    assert "not evaluated: " in ended.stdout and "without times" in ended.stdout
    assert (place / "found.csv").read_text().startswith("video,label,start,end,score\n")


def test_new_videos(place, feature_folder):
    run(f"cleannet train --dataset thumos14 --data {feature_folder} --out run")
    feature_folder.rename("later")
    videos = database(place / "later")
    for video in videos.values():
        video["subset"] = "new"
        del video["annotations"]
    write_database(place / "later/annotations.json", videos)
    streams = [np.load(place / "later" / s / "video03.npy") for s in ("rgb", "flow")]
    np.save("one.npy", np.concatenate(streams, axis=1))
    for command in commands("new_videos.md"):
        run(command)
    names = {
        "features": np.zeros((40, 10), np.float32),
        "proposals": np.array([[2.0, 6.0]]),
    }
    (block,) = blocks("new_videos.md", "python")
    exec(block, names)  # noqa: S102
    assert names["video"].scp.shape == (40, 3)


def test_the_readme_opens_with_what_the_evaluator_prints():
    text = (DOCS.parent / "README.md").read_text()
    (block,) = re.findall(r"```python\n(>>> .*?)```", text, re.DOTALL)
    *setup, last = doctest.DocTestParser().get_examples(block)
    names = {}
    for step in setup:
        exec(step.source, names)  # noqa: S102
    found = eval(last.source, names)
    shown = re.findall(r"\d\.\d+", last.want)
    np.testing.assert_allclose(found, np.array(shown, float), atol=1e-5)


def test_improve(place):
    """Actions of which the SCP knows, and a detector that ranks by chance."""
    rng = np.random.default_rng(0)
    (place / "scp").mkdir()
    videos, found = {}, {"training": {}, "test": {}}
    for index in range(8):
        name, label = f"v{index}", ("run", "jump")[index % 2]
        scp = np.full((60, 2), 0.1, np.float32)
        scp[20:32, index % 2] = 0.9
        np.save(place / f"scp/{name}.npy", scp)
        subset = "training" if index < 4 else "test"
        action = {"segment": [10.0, 16.0], "label": label}
        videos[name] = {"subset": subset, "duration": 30, "annotations": [action]}
        found[subset][name] = [
            {"segment": [start, start + 6.0], "label": label, "score": rng.random()}
            for start in (1.0, 9.0, 10.5, 22.0)
        ]
    timebase = {name: {"fps": 30, "stride": 15, "offset": 0} for name in videos}
    index = {"categories": ["run", "jump"], "timebase": timebase}
    files.write_json(place / "scp/scp.json", index)
    write_database(place / "annotations.json", videos)
    files.write_json(place / "train.json", {"results": found["training"]})
    files.write_json(place / "found.json", {"results": found["test"]})
    said = [run(command) for command in commands("improve.md")]
    assert "chosen: " in said[0].stdout
    first, second = re.findall(r"^mAP  .* (\S+)$", said[2].stdout, re.MULTILINE)
    assert float(second) > float(first)
    assert (place / "hard.csv").is_file()
