"""The commands in docs/ and the Python in them do what the pages say.

A page's `sh` blocks are run from top to bottom in one folder, which holds what the page
says that it is run on.
"""

import doctest
import json
import pathlib
import re
import shlex
import sys
import types

import numpy as np
import programs
import pytest
import videos as make

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


def database(folder, name="annotations.json"):
    return json.loads((folder / name).read_text())["database"]


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


def test_annotators(place, feature_folder):
    (feature_folder / "annotations.json").rename("annotations.json")
    found = {
        name: [{**row, "score": 0.5} for row in video["annotations"]]
        for name, video in database(place).items()
        if video["subset"] == "validation"
    }
    files.write_json(place / "found.json", {"results": found})
    clips = place / "clips"
    clips.mkdir()
    for name in found:
        (clips / f"{name}.mp4").touch()
    # A person accepts all in each tool.
    saved = {"tasks": "label_studio", "project": "via", "labels": "fiftyone"}
    for command in commands("annotators.md"):
        out = run(command).stdout
        made = command.rpartition(" ")[2].removesuffix(".json")
        if made in saved:
            content = files.read_json(place / f"{made}.json")
            for task in content if made == "tasks" else []:
                (prediction,) = task.pop("predictions", [{"result": []}])
                task["annotations"] = [{"result": prediction["result"]}]
            files.write_json(place / f"from_{saved[made]}.json", content)
        if made == "tasks":
            assert "<TimelineLabels" in out
    count = sum(map(len, found.values()))
    for name in ("corrected", "corrected_in_via", "corrected_in_fiftyone"):
        back = database(place, f"{name}.json")
        assert back.keys() == found.keys()
        assert sum(len(video["annotations"]) for video in back.values()) == count


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


@pytest.fixture
def tagged_videos(place):
    """What docs/your_videos.md says that it is run on: a dozen clips, two of them checked."""
    pytest.importorskip("av", reason="no PyAV")
    pytest.importorskip("matplotlib", reason="no matplotlib")
    from cleannet_jax.sample import clips

    made = clips.write_clips(place / "videos", 3, count=13, evaluation=3)
    (place / "videos/labels.csv").rename("labels.csv")
    (place / f"videos/{made[-1].id}.mp4").rename("new.mp4")
    rows = ["id,label,start,end,subset"]
    for clip in made[:-1]:
        is_tagged = clip.subset == clips.TRAIN_SUBSET
        told = (
            [(label, "", "") for label in clip.labels] if is_tagged else clip.instances
        )
        rows += [f"{clip.id},{','.join(map(str, r))},{clip.subset}" for r in told]
    (place / "checked.csv").write_text("\n".join([*rows, ""]))
    return place


def test_your_videos(tagged_videos):
    said = []
    for page in ("your_videos.md", "video.md"):
        for command in commands(page):
            if command.startswith("cleannet extract"):
                command += " --backbone blocks"  # Quick, and needs no weights.
            said.append(run(command).stdout)
    assert "about " in said[0] and "not evaluated: " in said[2]
    assert "untrimmednet" in said[5] and "noise" in said[6]
    for name in ("found.csv", "new.srt", "new.png", "clips"):
        assert (tagged_videos / "found" / name).exists()


class Prism:
    """Stands for a model of VideoPrism: its tokens are pixels."""

    def apply(self, state, clips, *, train):
        assert clips.ndim == 5 and not train
        return state * clips.reshape(1, -1, 3), {}


class Tower:
    """Stands for a tower of CLIP: an embedding is a mean colour."""

    def __call__(self, *, values):
        return types.SimpleNamespace(image_embeds=values, text_embeds=values)

    @classmethod
    def from_pretrained(cls, name):
        return cls()

    def eval(self):
        return self


class Processor(Tower):
    """Stands for its processor."""

    def __call__(self, *, images=(), text=(), return_tensors, padding=False):
        colours = {"red": (1, 0, 0), "blue": (0, 0, 1), "particular": (1, 1, 1)}
        values = [image.reshape(-1, 3).mean(axis=0) for image in images]
        values += [colours[line.split()[-1]] for line in text]
        return {"values": np.array(values, float)}


@pytest.fixture
def packages(monkeypatch):
    """Stand-ins for the packages that docs/video.md shows how to use."""
    models = types.ModuleType("models")
    models.get_model = lambda name: Prism()
    models.load_pretrained_weights = lambda name: 1.0
    prism = types.ModuleType("videoprism")
    prism.models = models
    clip = types.ModuleType("transformers")
    clip.CLIPVisionModelWithProjection = Tower
    clip.CLIPTextModelWithProjection = Tower
    clip.CLIPProcessor = Processor
    torch = types.ModuleType("torch")
    torch.inference_mode = lambda: lambda function: function
    torch.Tensor = type("Tensor", (), {})
    for name, made in (("videoprism", prism), ("transformers", clip), ("torch", torch)):
        monkeypatch.setitem(sys.modules, name, made)


def test_networks_of_your_own(place, packages):
    pytest.importorskip("av", reason="no PyAV")
    pytest.importorskip("matplotlib", reason="no matplotlib")
    for block in blocks("video.md", "python"):
        (name,) = re.findall(r"^# (\w+\.py), for --backbone \1:", block)
        (place / name).write_text(block)
    images = np.full((40, 48, 64, 3), 100, np.uint8)
    images[10:20] = (250, 20, 20)
    make.make_video(place / "new.mp4", images, fps=10)
    small = "--frames-per-snippet 4 --frame-size 32"
    run(f"cleannet extract new.mp4 --to prism --backbone prism.py:clip {small}")
    found = np.load(place / "prism/clip/new.npy")
    assert found.shape == (8, 3) and found.max() <= 1 and found[3, 0] > 0.8
    words = '--text "all red" "all blue" --backbone pairs.py:frames'
    run(f"cleannet localize new.mp4 {words} --out by_words")
    scp = np.load(place / "by_words/scp/new.npy")
    assert scp[3, 0] > 0.9 and scp[[0, 7], 0].max() < 0.1
