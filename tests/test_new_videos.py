"""Localizing in videos that nobody has annotated, in part annotated, or in odd files."""

import json
import shutil
import types

import numpy as np
import programs
import pytest

import cleannet_jax
from cleannet_jax import errors, experiment
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import files


@pytest.fixture
def trained(feature_folder, tmp_path):
    """A short run on the feature folder."""
    small = "--head-steps 2 --steps 2 --generator-width 8 --anchor-sizes 4,8"
    small += " --num-buckets 1"
    options = ["--dataset", "thumos14", "--data", feature_folder, *small.split()]
    done = programs.run("train", *options, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    return tmp_path / "run"


def localize(trained, *options):
    out = trained.parent / "found.json"
    done = programs.run("localize", trained, "--out", out, *options)
    results = json.loads(out.read_text())["results"] if done.returncode == 0 else {}
    return done, results


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    files.write_json(path, content)


def test_new_videos(trained, feature_folder, tmp_path):
    evaluated = {f"video{index}" for index in range(10, 14)}
    everything = {f"video{index:02d}" for index in range(14)}

    # Without --data they are those that the run was trained on.
    done, known = localize(trained)
    assert done.returncode == 0 and set(known) == evaluated
    assert "10 other videos have features" in done.stdout
    done, found = localize(trained, "--subset", "all")
    assert set(found) == everything
    assert {name: found[name] for name in evaluated} == known

    # Annotated in part, with a label and a subset that the run does not know.
    partial = tmp_path / "partial"
    shutil.copytree(feature_folder, partial)

    def forget(content):
        database = content["database"]
        del database["video00"], database["video10"]
        database["video11"]["annotations"] = [{"segment": [0, 1], "label": "fly"}]

    edit(partial / "annotations.json", forget)
    done, found = localize(trained, "--data", partial)
    assert set(found) == evaluated - {"video10"}
    assert "labels that the run does not know: 'fly'" in done.stdout
    # Subsets that nobody names are no subset: all are all.
    named = (partial / "annotations.json").read_text()

    def unname(content):
        for video in content["database"].values():
            del video["subset"]

    edit(partial / "annotations.json", unname)
    done, found = localize(trained, "--data", partial, "--subset", "all")
    assert set(found) == everything
    (partial / "annotations.json").write_text(named)
    (partial / "manifest.json").rename(tmp_path / "kept.json")
    done, found = localize(trained, "--data", partial)
    assert set(found) == everything
    (tmp_path / "kept.json").rename(partial / "manifest.json")
    done, found = localize(trained, "--data", partial, "--fps", "25")
    assert done.returncode == 2 and "--fps: is for videos without" in done.stderr
    edit(partial / "manifest.json", lambda m: m.update(evaluation_subset="other"))
    done, found = localize(trained, "--data", partial)
    assert set(found) == everything
    done, found = localize(trained, "--data", partial, "--subset", "nothing")
    assert done.returncode == 2 and "'training', 'validation', or 'all'" in done.stderr

    # Not annotated at all; one video is damaged and left out.
    (partial / "annotations.json").unlink()
    np.save(partial / "rgb" / "video03.npy", np.full((30, 6), np.nan, np.float32))
    done, found = localize(trained, "--data", partial)
    assert set(found) == everything - {"video03"}
    assert "left out: video 'video03'" in done.stdout
    for name in evaluated:
        assert found[name] == known[name]

    # Without a manifest: the time base of the run, which is said.
    (partial / "manifest.json").unlink()
    done, found = localize(trained, "--data", partial)
    assert "15 frames a snippet at 30 fps, as the data of" in done.stdout
    assert found["video12"] == known["video12"]
    done, _ = localize(trained, "--data", partial, "--fps", "0")
    assert done.returncode == 2 and "--fps: found 0.0, expected" in done.stderr
    done, slow = localize(trained, "--data", partial, "--fps", "15")
    first, other = found["video12"][0], slow["video12"][0]
    np.testing.assert_allclose(other["segment"], 2 * np.array(first["segment"]))

    # Arrays in files.
    joint = []
    for name in ("video12", "video13"):
        streams = [np.load(feature_folder / s / f"{name}.npy") for s in ("rgb", "flow")]
        joint.append(tmp_path / f"{name}.npy")
        np.save(joint[-1], np.concatenate(streams, axis=1))
    done, found = localize(trained, "--data", *joint)
    assert "15 frames a snippet at 30 fps, as the data of" in done.stdout
    assert found == {name: known[name] for name in ("video12", "video13")}
    text = tmp_path / "video13.csv"
    np.savetxt(text, np.load(joint[1]).astype(np.float32), delimiter=",")
    done, found = localize(trained, "--data", joint[0], text)
    assert found == {name: known[name] for name in ("video12", "video13")}
    done, _ = localize(trained, "--data", tmp_path / "video.mp4")
    assert "found the ending '.mp4', expected a folder, or a file" in done.stderr
    done, _ = localize(trained, "--data", feature_folder / "rgb" / "video12.npy")
    assert done.returncode == 2
    assert "expected (T, 10), the columns of rgb 6, flow 4" in done.stderr
    done, _ = localize(trained, "--data", joint[0], partial / ".." / "video12.npy")
    assert done.returncode == 2 and "another file of that name" in done.stderr

    # What cannot be written is said before the work.
    for out in ("found.txt", "found.xyz", "absent/found.json"):
        done = programs.run("localize", trained, "--out", tmp_path / out)
        assert done.returncode == 2 and "localize:" not in done.stderr
        assert done.stderr.startswith("error: ") and out in done.stderr

    # In Python, by id, annotated or not.
    video = cleannet_jax.load_run(trained).predict("video12", data=str(feature_folder))
    np.testing.assert_allclose(
        [[d.start, d.end] for d in video.detections],
        [row["segment"] for row in known["video12"]],
        rtol=1e-4,
    )

    # The run's own data are gone.
    feature_folder.rename(tmp_path / "elsewhere")
    done, _ = localize(trained)
    assert done.returncode == 2 and "say with --data where features are" in done.stderr


@pytest.mark.parametrize(
    ("names", "widths", "found"),
    [
        (("rgb", "flow"), (4, 4), ""),
        (("RGB", "Flow"), (4, 4), ""),
        (("flow", "rgb"), (4, 4), "expected rgb, flow in that order"),
        (("audio", "rgb"), (4, 4), "expected rgb, flow in that order"),
        (("rgb", "flow"), (6, 2), r"expected the \(4, 4\) that"),
        (("rgb",), (8,), r"expected the \(4, 4\) that"),
    ],
)
def test_streams_are_those_of_the_run(names, widths, found):
    expected = streams_lib.Streams(("rgb", "flow"), (4, 4))
    dataset = types.SimpleNamespace(
        name="new", streams=streams_lib.Streams(names, widths)
    )
    if found:
        with pytest.raises(errors.InputError, match=found):
            experiment.check_streams(dataset, expected, "run")
    else:
        assert experiment.check_streams(dataset, expected, "run") == ()


def test_streams_of_other_names_are_said():
    expected = streams_lib.Streams(("rgb", "flow"), (4, 4))
    dataset = types.SimpleNamespace(
        name="new", streams=streams_lib.Streams(("still", "motion"), (4, 4))
    )
    assert experiment.check_streams(dataset, expected, "run") == (
        "note: streams still, motion are taken for rgb, flow, which run was trained on",
    )
