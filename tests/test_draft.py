"""What `cleannet init` finds in a folder, and what it asks for."""

import json

import numpy as np
import programs
import pytest

from cleannet_jax.data import files
from cleannet_jax.data import manifest as manifest_lib

IDS = [f"v{index}" for index in range(8)]
TIME = ["--stride-frames", "16", "--window-frames", "16", "--fps", "25"]


def save(path, width, *, names=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.ones((10, width), np.float32)
    if path.suffix == ".npz":
        np.savez(path, **{name: values for name in names or ["features"]})
    elif path.suffix == ".csv":
        np.savetxt(path, values, delimiter=",")
    else:
        np.save(path, values)


def init(folder, *options):
    done = programs.run("init", folder, *options)
    path = folder / "manifest.json"
    return done, (json.loads(path.read_text()) if path.exists() else None)


def table(folder):
    rows = [f"{name},{'abc'[at % 3]}" for at, name in enumerate(IDS)]
    (folder / "labels.csv").write_text("\n".join(["id,labels", *rows, ""]))


@pytest.mark.parametrize(
    ("paths", "pattern", "names"),
    [
        (["rgb/{}.npy", "flow/{}.npy"], "{stream}/{id}.npy", ["rgb", "flow"]),
        (["a/flow/{}.npz", "a/RGB/{}.npz"], "a/{stream}/{id}.npz", ["RGB", "flow"]),
        (["{}-flow.npy", "{}-rgb.npy"], "{id}-{stream}.npy", ["rgb", "flow"]),
        (["clip/{}.npy"], "clip/{id}.npy", None),
        (["{}.csv"], "{id}.csv", None),
    ],
)
def test_what_files_say(tmp_path, paths, pattern, names):
    for path in paths:
        for name in IDS:
            save(tmp_path / path.format(name), 12)
    table(tmp_path)
    # Without the answers there are only questions, and nothing is written.
    done, content = init(tmp_path)
    assert done.returncode == 2 and content is None
    asked = ["--stride-frames", "--window-frames", "--fps"]
    asked = asked if names else ["--streams", *asked]
    assert done.stderr.splitlines()[-1] == (
        f"error: {tmp_path}: not known: {' '.join(asked)}"
    )
    streams = [] if names else ["--streams", "clip"]
    done, content = init(tmp_path, *TIME, *streams)
    assert done.returncode == 0, done.stderr
    assert content["file_pattern"] == pattern
    assert [stream["name"] for stream in content["streams"]] == names or ["clip"]
    assert {stream["width"] for stream in content["streams"]} == {12}
    assert content["annotations"] == "labels.csv" and content["offset_frames"] == 0
    manifest_lib.read_manifest(tmp_path / "manifest.json")
    done, _ = init(tmp_path, *TIME)
    assert done.returncode == 2 and "is there already" in done.stderr


def test_numbers_beside_features_are_no_streams(tmp_path):
    for name in IDS:
        values = np.ones((10, 4), np.float32)
        np.savez(tmp_path / f"{name}.npz", features=values, fps=25.0)
    done, _ = init(tmp_path, *TIME, "--streams", "clip")
    # Several arrays, so that the one that is meant must be named.
    assert done.returncode == 2 and "'array'" in done.stderr
    done, content = init(tmp_path, *TIME, "--streams", "clip", "--array", "features")
    assert done.returncode == 0 and content["array"] == "features"


def test_streams_of_other_lengths_are_for_validate_to_say(tmp_path):
    for name in IDS:
        save(tmp_path / "rgb" / f"{name}.npy", 4)
        path = tmp_path / "flow" / f"{name}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.ones((11, 4), np.float32))
    videos = {name: {"duration": 5.0, "labels": ["a"]} for name in IDS}
    files.write_json(tmp_path / "gt.json", {"database": videos})
    assert init(tmp_path, *TIME)[0].returncode == 0


def test_hdf5_by_folder_and_files_that_could_be_either(tmp_path):
    h5py = pytest.importorskip("h5py")
    for stream in ("rgb", "flow"):
        (tmp_path / "a" / stream).mkdir(parents=True)
        with h5py.File(tmp_path / "a" / stream / "features.h5", "w") as file:
            for name in IDS:
                file[name] = np.ones((10, 6), np.float32)
    done, content = init(tmp_path / "a", *TIME)
    assert done.returncode == 0, done.stderr
    assert content["file_pattern"] == "{stream}/features.h5"
    (tmp_path / "b").mkdir()
    for name in IDS[:3]:
        with h5py.File(tmp_path / "b" / f"{name}.h5", "w") as file:
            file["rgb"] = file["flow"] = np.ones((10, 6), np.float32)
    done, _ = init(tmp_path / "b", *TIME)
    assert "are the files videos or streams? Say with --file-pattern" in done.stderr
    way = ["--file-pattern", "{id}.h5", "--array", "{stream}", "--streams", "rgb,flow"]
    done, content = init(tmp_path / "b", *TIME, *way)
    assert done.returncode == 0, done.stderr


def test_columns_of_a_joint_array_are_asked_for(tmp_path):
    for name in IDS:
        save(tmp_path / f"{name}.npy", 12)
    done, _ = init(tmp_path, *TIME)
    assert "the streams in the order of the 12 columns" in done.stderr
    done, _ = init(tmp_path, *TIME, "--streams", "rgb:8,flow:5")
    assert "found widths [8, 5], expected 12 together" in done.stderr
    done, content = init(tmp_path, *TIME, "--streams", "rgb:8,flow:4")
    assert [stream["width"] for stream in content["streams"]] == [8, 4]
    assert "no annotations" in done.stdout


def test_arrays_of_a_file_are_streams(tmp_path):
    for name in IDS:
        save(tmp_path / f"{name}.npz", 4, names=["audio", "video"])
    done, _ = init(tmp_path, *TIME)
    assert "--streams audio,video  or another order" in done.stderr
    done, content = init(tmp_path, *TIME, "--streams", "video,audio")
    assert done.returncode == 0, done.stderr
    assert content["array"] == "{stream}"
    assert [stream["name"] for stream in content["streams"]] == ["video", "audio"]


@pytest.mark.parametrize(
    ("names", "pattern", "array"),
    [
        (["rgb.h5", "flow.h5"], "{stream}.h5", "{id}"),
        (["all.hdf5"], "all.hdf5", "{id}"),
        (["groups.h5"], "groups.h5", "{id}/{stream}"),
    ],
)
def test_data_sets_of_hdf5(tmp_path, names, pattern, array):
    h5py = pytest.importorskip("h5py")
    for path in names:
        with h5py.File(tmp_path / path, "w") as file:
            for name in IDS:
                streams = ["/rgb", "/flow"] if path == "groups.h5" else [""]
                for stream in streams:
                    file[name + stream] = np.ones((10, 6), np.float32)
    more = ["--streams", "rgb"] if path == "all.hdf5" else []
    done, content = init(tmp_path, *TIME, *more)
    assert done.returncode == 0, done.stderr
    assert (content["file_pattern"], content["array"]) == (pattern, array)


def test_annotations_say_more(tmp_path):
    for name in IDS:
        save(tmp_path / "rgb" / f"{name}.npy", 4)
        save(tmp_path / "flow" / f"{name}.npy", 4)
    videos = {
        name: {
            "subset": "test" if name == "v7" else "train",
            "duration": 5.0,
            "fps": 30,
            "annotations": [{"segment": [1, 2], "label": "a"}],
        }
        for name in IDS
    }
    files.write_json(tmp_path / "gt.json", {"database": videos})
    done, _ = init(tmp_path)
    asked = done.stderr.splitlines()[-1].split()
    # Every video has its own frame rate.
    assert "--fps" not in asked
    assert "by the durations snippets last about 0.5 s" in done.stderr
    assert "--train-subset NAME  one of 'test', 'train'" in done.stderr
    subsets = ["--train-subset", "train", "--evaluation-subset", "test"]
    done, content = init(
        tmp_path, "--stride-frames", "15", "--window-frames", "16", *subsets
    )
    assert "0.5 where windows begin at frame 0" in done.stderr
    done, content = init(tmp_path, *TIME[:4], *subsets)
    assert content["fps"] == "annotations" and content["train_subset"] == "train"
    (tmp_path / "manifest.json").unlink()
    files.write_json(tmp_path / "gt.json", {"database": {"w1": videos["v1"]}})
    done, _ = init(tmp_path, *TIME)
    assert "annotates none of the videos with features: its ids are 'w1'" in done.stderr


def test_what_is_no_folder_of_features(tmp_path):
    done, _ = init(tmp_path)
    assert done.returncode == 2 and "found no features, expected files" in done.stderr
    done, _ = init(tmp_path / "absent")
    assert done.returncode == 2 and "no such folder" in done.stderr
    for split, ids in (("train", IDS[:5]), ("test", IDS[5:])):
        for name in ids:
            save(tmp_path / split / f"{name}.npy", 4)
    done, _ = init(tmp_path)
    assert "'test', 'train' that are not of the same videos" in done.stderr
