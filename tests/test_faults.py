"""One planted fault a row of docs/faults.md: the line that names it, and who prints it.

The page's lines are those that programs print, with ... for what differs between folders.
"""

import json
import pathlib
import re
import shlex
import shutil
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import programs
import pytest

PAGE = pathlib.Path(__file__).parents[1] / "docs/faults.md"
# Length does not matter here.
SHORT = "--method untrimmednet --head-steps 2"


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def declare(**values):
    """Declares other values in the manifest."""
    return lambda folder: edit(folder / "manifest.json", lambda c: c.update(values))


def label_as(names):
    """Gives the annotations of some videos, or of all, another label."""

    def plant(folder):
        def change(content):
            for name, label in names.items():
                videos = content["database"]
                for entry in [videos[name]] if name in videos else videos.values():
                    for annotation in entry["annotations"]:
                        annotation["label"] = label

        edit(folder / "annotations.json", change)

    return plant


def multiply_times(factor):
    """Puts the times of annotations in another unit."""

    def plant(folder):
        def change(content):
            for entry in content["database"].values():
                for annotation in entry["annotations"]:
                    times = [factor * time for time in annotation["segment"]]
                    annotation["segment"] = times

        edit(folder / "annotations.json", change)

    return plant


def change_features(function):
    """Changes the features of every stream and video."""

    def plant(folder):
        for path in folder.glob("*/*.npy"):
            np.save(path, function(np.load(path).astype(np.float32)))

    return plant


def swap_folders(folder):
    """Puts the files of each stream in the folder of the other."""
    for source, target in (("rgb", "x"), ("flow", "rgb"), ("x", "flow")):
        (folder / source).rename(folder / target)


def swap_streams(folder):
    """Declares the streams the other way around."""
    edit(folder / "manifest.json", lambda content: content["streams"].reverse())


def write_detections(path, factor):
    """Right detections in another unit."""
    database = json.loads((path.parent / "annotations.json").read_text())["database"]
    found = {
        name: [
            {
                "label": row["label"],
                "segment": [factor * time for time in row["segment"]],
                "score": 0.5,
            }
            for row in entry["annotations"]
        ]
        for name, entry in database.items()
        if entry["subset"] == "validation"
    }
    path.write_text(json.dumps({"results": found}))


class Fault(NamedTuple):
    """A row of the page.

    Attributes:
      row: what the page calls it.
      plant: puts it into a sound folder.
      program: that names it.
      status: that this program ends with.
    """

    row: str
    plant: Callable[[pathlib.Path], None]
    program: str
    status: int


FAULTS = [
    Fault("fps", declare(fps=25), "validate", 1),
    Fault("stride", declare(stride_frames=30), "validate", 1),
    Fault("window", declare(window_frames=1500), "validate", 0),
    Fault("window in seconds", declare(window_frames=0.5), "validate", 0),
    Fault("training subset", declare(train_subset="train"), "validate", 1),
    Fault("evaluation subset", declare(evaluation_subset="test"), "validate", 0),
    Fault("labels", label_as({"video03": "Jump"}), "validate", 0),
    Fault("labels not learned", label_as({"video11": "hop"}), "validate", 0),
    Fault("order of streams", swap_streams, "validate", 2),
    Fault("files of another stream", swap_folders, "validate", 1),
    Fault("unit of annotations", multiply_times(30), "validate", 0),
    Fault("ratios as annotations", multiply_times(1 / 30), "validate", 0),
    Fault("unit of detections", lambda folder: None, "evaluate", 0),
    Fault("scale", change_features(lambda values: 100 * values), "validate", 0),
    Fault("dead features", change_features(np.zeros_like), "validate", 1),
    Fault("one category", label_as({"all": "jump"}), "train", 2),
]


def rows():
    """The rows of the page's table: fault, what is wrong, program, line."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ")
    ]
    head, _, *found = cells
    assert head == ["fault", "what is wrong", "named by", "line"]
    return {row[0]: row for row in found}


def pattern(line):
    """What a quoted line must match; ... stands for what differs between folders."""
    parts = line.strip("`").split("...")
    return re.compile(".*".join(map(re.escape, parts)))


def run(program, folder):
    if program == "validate":
        return programs.run("validate", folder)
    if program == "train":
        options = ["--data", folder, "--out", folder / "run", *shlex.split(SHORT)]
        return programs.run("train", "--dataset", "thumos14", *options)
    write_detections(folder / "found.json", 30)
    truth = ["--ground-truth", folder / "annotations.json"]
    return programs.run("evaluate", folder / "found.json", *truth)


def matching(done, row):
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if pattern(row[3]).search(line)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.row)
def test_the_program_prints_the_line_of_the_page(feature_folder, fault):
    fault.plant(feature_folder)
    done = run(fault.program, feature_folder)
    row = rows()[fault.row]
    assert done.returncode == fault.status
    assert f"`{fault.program}`" in row[2]
    assert matching(done, row), done.stdout + done.stderr
    if fault.program == "validate" and fault.status:
        trained = run("train", feature_folder)
        assert trained.returncode == 2 and matching(trained, row), trained.stderr
        assert "`train` (error)" in row[2]


def test_every_row_of_the_page_is_planted():
    named = [fault.row for fault in FAULTS]
    assert named + ["streams of another run"] == list(rows())


def test_a_sound_folder_prints_none_of_them(feature_folder):
    validated = run("validate", feature_folder)
    assert validated.returncode == 0 and "warnings: 0" in validated.stdout
    trained = run("train", feature_folder)
    assert trained.returncode == 0
    write_detections(feature_folder / "found.json", 1)
    evaluated = programs.run(
        "evaluate",
        feature_folder / "found.json",
        "--ground-truth",
        feature_folder / "annotations.json",
    )
    assert evaluated.returncode == 0
    localized = localize(feature_folder, feature_folder)
    assert localized.returncode == 0
    for row in rows().values():
        for done in (validated, trained, evaluated, localized):
            assert matching(done, row) == []


def localize(run_folder, data):
    return programs.run(
        "localize", run_folder / "run", "--data", data, "--out", data / "found.json"
    )


def test_streams_of_another_run(feature_folder, tmp_path):
    # Two streams of one width, so that only their names tell them apart.
    for path in (feature_folder / "rgb").glob("*.npy"):
        shutil.copy(path, feature_folder / "flow" / path.name)
    for name, streams in (("near", ("early", "late")), ("far", ("late", "early"))):
        shutil.copytree(feature_folder, tmp_path / name)
        for old, new in zip(("rgb", "flow"), streams, strict=True):
            (tmp_path / name / old).rename(tmp_path / name / new)
        pairs = [{"name": stream, "width": 6} for stream in streams]
        declare(streams=pairs)(tmp_path / name)
    assert run("train", tmp_path / "near").returncode == 0
    done = localize(tmp_path / "near", tmp_path / "far")
    assert done.returncode == 2
    row = rows()["streams of another run"]
    assert "`localize`" in row[2] and matching(done, row), done.stderr
    # Other names are no other order; a line says what is taken for what.
    pairs = [{"name": name, "width": 6} for name in ("one", "two")]
    for old, new in (("late", "one"), ("early", "two")):
        (tmp_path / "far" / old).rename(tmp_path / "far" / new)
    declare(streams=pairs)(tmp_path / "far")
    done = localize(tmp_path / "near", tmp_path / "far")
    assert done.returncode == 0
    assert "note: streams one, two are taken for early, late" in done.stdout


def test_training_shows_what_validate_does(feature_folder):
    # Of a warning, the line stands before the training and again below the table.
    declare(window_frames=1500)(feature_folder)
    change_features(lambda values: 100 * values)(feature_folder)
    done = run("train", feature_folder)
    assert done.returncode == 0
    assert len(matching(done, rows()["scale"])) == 2
    assert len(matching(done, rows()["window"])) == 1
