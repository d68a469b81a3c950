"""The same features in files of every form: the same arrays, the same training."""

import dataclasses
import json
import pathlib
import re

import jax
import numpy as np
import pytest
import torch_by_hand as by_hand

from cleannet_jax import convert, experiment, findings, train, validation
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import arrays
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import feature_folder as layout

STREAMS = ("rgb", "flow")


def save_npy(path, values):
    np.save(path, values)


def save_npz(path, values):
    np.savez_compressed(path, features=values)


def save_pt(path, values):
    by_hand.save_array(path, values.astype(np.float32))


def save_csv(path, values):
    np.savetxt(path, values.astype(np.float32), delimiter=",", fmt="%.9g")


def save_h5(path, values):
    import h5py

    with h5py.File(path, "w") as file:
        file["features"] = values


def by_stream(pattern, save):
    """A file a video and stream."""

    def write(folder, videos):
        for video, streams in videos.items():
            for stream, values in streams.items():
                name = pattern.format(id=video, stream=stream)
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                save(folder / name, values)

    return {"file_pattern": pattern}, write


def joint(pattern, save, *, order=STREAMS):
    """A file a video, with the streams side by side."""

    def write(folder, videos):
        for video, streams in videos.items():
            values = np.concatenate([streams[name] for name in order], axis=1)
            save(folder / pattern.format(id=video), values)

    widths = {"rgb": 6, "flow": 4}
    declared = [{"name": name, "width": widths[name]} for name in order]
    return {"file_pattern": pattern, "streams": declared}, write


def write_npz_of_streams(folder, videos):
    for video, streams in videos.items():
        np.savez(folder / f"{video}.npz", **streams)


def write_pt_of_streams(folder, videos):
    for video, streams in videos.items():
        streams = {name: values.astype("f4") for name, values in streams.items()}
        by_hand.save_arrays(folder / f"{video}.pth", **streams)


def write_h5_of_streams(folder, videos):
    import h5py

    for stream in STREAMS:
        with h5py.File(folder / f"{stream}.h5", "w") as file:
            for video, streams in videos.items():
                file.create_dataset(video, data=streams[stream], compression="gzip")


def write_one_h5(folder, videos):
    import h5py

    with h5py.File(folder / "all.hdf5", "w") as file:
        for video, streams in videos.items():
            for stream, values in streams.items():
                file[f"videos/{video}/{stream}"] = values
        file["made"] = "by hand"


def write_one_joint_h5(folder, videos):
    import h5py

    with h5py.File(folder / "features.h5", "w") as file:
        for video, streams in videos.items():
            file[video] = np.concatenate(list(streams.values()), axis=1)


FORMS = {
    "npy": by_stream("{stream}/{id}.npy", save_npy),
    "npy in one folder": by_stream("{id}_{stream}.npy", save_npy),
    "npy in a folder a video": by_stream("{id}/{stream}.npy", save_npy),
    "npy joint": joint("{id}.npy", save_npy),
    "npy joint, flow first": joint("{id}.npy", save_npy, order=("flow", "rgb")),
    "npz": by_stream("{stream}/{id}.npz", save_npz),
    "npz joint": joint("{id}.npz", save_npz),
    "npz of streams": (
        {"file_pattern": "{id}.npz", "array": "{stream}"},
        write_npz_of_streams,
    ),
    "pt": by_stream("{stream}/{id}.pt", save_pt),
    "pt joint": joint("{id}.pt", save_pt),
    "pth of streams": (
        {"file_pattern": "{id}.pth", "array": "{stream}"},
        write_pt_of_streams,
    ),
    "csv": by_stream("{id}.{stream}.csv", save_csv),
    "csv joint": joint("{id}.csv", save_csv),
    "h5 a video": joint("{id}.h5", save_h5),
    "h5 a stream": (
        {"file_pattern": "{stream}.h5", "array": "{id}"},
        write_h5_of_streams,
    ),
    "one h5": (
        {"file_pattern": "all.hdf5", "array": "videos/{id}/{stream}"},
        write_one_h5,
    ),
    "one joint h5": (
        {"file_pattern": "features.h5", "array": "{id}"},
        write_one_joint_h5,
    ),
}


def rewrite(folder, target, form):
    """Writes the features of a folder of ours in a form; returns the new folder."""
    if "h5" in form:
        pytest.importorskip("h5py")
    target.mkdir()
    videos = {
        path.stem: {name: np.load(folder / name / path.name) for name in STREAMS}
        for path in sorted((folder / "rgb").iterdir())
    }
    changes, write = FORMS[form]
    write(target, videos)
    content = json.loads((folder / "manifest.json").read_text()) | changes
    (target / "manifest.json").write_text(json.dumps(content))
    (target / "annotations.json").write_bytes(
        (folder / "annotations.json").read_bytes()
    )
    return target


@pytest.fixture(params=FORMS)
def form(request, feature_folder, tmp_path):
    """A folder in each of the forms."""
    return rewrite(feature_folder, tmp_path / "form", request.param)


def test_every_form_gives_the_same_arrays(form, feature_folder):
    expected, found = (layout.open_folder(path) for path in (feature_folder, form))
    assert found.videos == expected.videos and len(found.videos) == 14
    assert found.streams == expected.streams
    for video in expected.ids:
        np.testing.assert_array_equal(
            found.read(video), expected.read(video), strict=True
        )
    manifest = found.manifest
    assert layout.stored_ids(form, manifest=manifest) == set(expected.ids)
    assert layout.has_features(form, "video03", manifest=manifest)
    assert not layout.has_features(form, "video99", manifest=manifest)


def train_in(folder, config, out):
    config = dataclasses.replace(config, head_steps=3, steps=3)
    dataset = experiment.open_dataset(config, str(folder))
    return train.train(config, dataset, out)


@pytest.fixture(scope="module")
def trained():
    """What training on the folder as it was has given, by nothing: there is one."""
    return {}


def test_every_form_trains_to_the_same_parameters(
    form, feature_folder, tiny_config, tmp_path, trained
):
    if not trained:
        trained[""] = train_in(feature_folder, tiny_config, tmp_path / "one")
    found = train_in(form, tiny_config, tmp_path / "two")
    pairs = zip(jax.tree.leaves(trained[""]), jax.tree.leaves(found), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["one h5", "npy joint, flow first", "csv"])
def test_any_form_is_converted(name, feature_folder, tmp_path):
    folder = rewrite(feature_folder, tmp_path / "form", name)
    report = convert.convert(layout.open_folder(folder), tmp_path / "new")
    assert (report.converted, report.left_out) == (14, {})
    for stream in STREAMS:
        for path in (feature_folder / stream).iterdir():
            np.testing.assert_array_equal(
                np.load(tmp_path / "new" / stream / path.name), np.load(path)
            )


def test_what_the_page_on_features_shows_is_accepted(tmp_path, feature_folder):
    page = (pathlib.Path(__file__).parents[1] / "docs/features.md").read_text()
    shown = re.findall(r'`("file_pattern": [^`]*)`', page)
    assert len(shown) == 12
    content = json.loads((feature_folder / "manifest.json").read_text())
    for keys in shown:
        changed = content | json.loads(f"{{{keys}}}")
        (tmp_path / "manifest.json").write_text(json.dumps(changed))
        manifest_lib.read_manifest(tmp_path / "manifest.json")


def declare(folder, **changes):
    """Changes the manifest of a folder, and opens it."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(content))
    return layout.open_folder(folder)


@pytest.mark.parametrize("names", [("clip",), ("rgb", "flow", "pose")])
def test_one_stream_and_three_are_trained_on(
    names, feature_folder, tiny_config, tmp_path
):
    if len(names) == 1:
        (feature_folder / "rgb").rename(feature_folder / "clip")
    else:
        (feature_folder / "pose").mkdir()
        for path in (feature_folder / "rgb").iterdir():
            np.save(feature_folder / "pose" / path.name, np.load(path)[:, :2] * 0.5)
    widths = {"clip": 6, "rgb": 6, "flow": 4, "pose": 2}
    streams = [{"name": name, "width": widths[name]} for name in names]
    dataset = declare(feature_folder, streams=streams)
    assert dataset.streams.names == names
    params = train_in(feature_folder, tiny_config, tmp_path / "run")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_declared_widths_add_up_to_the_columns(feature_folder, tmp_path):
    folder = rewrite(feature_folder, tmp_path / "form", "npy joint")
    streams = [{"name": "rgb", "width": 5}, {"name": "flow", "width": 4}]
    message = (
        "video00.npy: found 10 columns, expected the 9 that the manifest declares, 5 of"
        " 'rgb' and 4 of 'flow'"
    )
    with pytest.raises(arrays.ArrayError, match=message) as caught:
        declare(folder, streams=streams)
    assert caught.value.kind == "wrong width"


def cut_flow(folder, count):
    path = folder / "flow/video00.npy"
    np.save(path, np.load(path)[:-count])


def test_streams_are_cut_to_the_shortest_where_the_manifest_says(feature_folder):
    before = layout.open_folder(feature_folder).read("video00")
    cut_flow(feature_folder, 1)
    length = len(before)
    message = (
        f"video 'video00': found snippets {{'rgb': {length}, 'flow': {length - 1}}},"
        ' expected the same number; the manifest\'s key "trim_snippets" says how many'
    )
    with pytest.raises(arrays.ArrayError, match=re.escape(message)) as caught:
        layout.open_folder(feature_folder)
    assert caught.value.kind == "streams of different lengths"
    dataset = declare(feature_folder, trim_snippets=1)
    assert dataset.videos["video00"].length == length - 1
    np.testing.assert_array_equal(dataset.read("video00"), before[:-1])
    cut_flow(feature_folder, 1)
    message = "expected at most 1 more than in the shortest; the manifest's key"
    with pytest.raises(arrays.ArrayError, match=message):
        layout.open_folder(feature_folder)


BROKEN = {
    "{stream}/{id}.npy": ".npy header",
    "{stream}/{id}.npz": "not a whole .npz file",
    "{stream}/{id}.pt": "not a whole file of torch.save",
    "{stream}/{id}.csv": "line 3: found 1 columns, expected 6",
    "{stream}/{id}.h5": "not a whole HDF5 file",
}


def report_of(folder):
    manifest = manifest_lib.read_manifest(folder / "manifest.json")
    annotations = annotations_lib.read_annotations(folder / manifest.annotations)
    return validation.validate(
        folder, manifest=manifest, annotations=annotations, window=1
    )


@pytest.mark.parametrize("pattern", BROKEN)
def test_a_truncated_file_is_a_finding_of_its_video(pattern, feature_folder, tmp_path):
    ending = pattern.rpartition(".")[2]
    if ending == "h5":
        pytest.importorskip("h5py")
    saves = {"npy": save_npy, "npz": save_npz, "pt": save_pt, "csv": save_csv}
    form = by_stream(pattern, saves.get(ending, save_h5))
    FORMS["broken"] = form
    try:
        folder = rewrite(feature_folder, tmp_path / "form", "broken")
    finally:
        del FORMS["broken"]
    path = folder / f"rgb/video03.{ending}"
    whole = path.read_bytes()
    if ending == "csv":
        # In the middle of the third row.
        whole = b"\n".join([*whole.split(b"\n")[:2], b"1.0"])
    path.write_bytes(whole if ending == "csv" else whole[: len(whole) // 8])
    (error,) = report_of(folder).errors
    assert isinstance(error, findings.Finding)
    assert error.video == "video03" and BROKEN[pattern] in error.message
    assert str(path) in error.message


def test_nan_in_text_is_a_finding(feature_folder, tmp_path):
    folder = rewrite(feature_folder, tmp_path / "form", "csv joint")
    path = folder / "video03.csv"
    rows = path.read_text().splitlines()
    rows[4] = "nan," + rows[4].partition(",")[2]
    path.write_text("\n".join(rows))
    (error,) = report_of(folder).errors
    assert "1 values are NaN or infinite, the first at snippet 4, col" in error.message


def test_arrays_of_other_names_are_shown(feature_folder, tmp_path):
    folder = rewrite(feature_folder, tmp_path / "form", "one h5")
    message = (
        r"found in all.hdf5 only the arrays 'made', 'videos', 'videos/video00', .* and"
        r" \d+ more; expected 2 arrays for each of the 14 videos of .*, such as .*"
        r"all.hdf5: 'clips/video00/rgb' and .* \(file_pattern 'all.hdf5', array 'clips/"
    )
    with pytest.raises(arrays.ArrayError, match=message):
        declare(folder, array="clips/{id}/{stream}")
    with pytest.raises(arrays.ArrayError, match="'videos/video00': found a group with"):
        declare(folder, array="videos/{id}", streams=[{"name": "rgb", "width": 6}])
    with pytest.raises(
        arrays.ArrayError, match="of other ids only .2., such as 'made'"
    ):
        declare(folder, file_pattern="all.hdf5", array="{id}")


def test_several_arrays_need_the_key(feature_folder, tmp_path):
    folder = rewrite(feature_folder, tmp_path / "form", "npz of streams")
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["array"]
    path.write_text(json.dumps(content))
    message = "video00.npz: found the arrays 'flow', 'rgb', expected one array, or the"
    with pytest.raises(arrays.ArrayError, match=message):
        layout.open_folder(folder)


def test_a_file_of_all_videos_that_is_damaged_has_no_ids(feature_folder, tmp_path):
    folder = rewrite(feature_folder, tmp_path / "form", "one joint h5")
    (folder / "features.h5").write_bytes(b"nothing")
    manifest = manifest_lib.read_manifest(folder / "manifest.json")
    assert layout.stored_ids(folder, manifest=manifest) == set()
    report = report_of(folder)
    assert "not a whole HDF5 file" in report.errors[0].message
