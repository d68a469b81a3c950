import dataclasses
import functools
import inspect
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import test_autoloc

from cleannet_jax import convert, errors, streams
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import faults, recovered_heads
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data.layouts import autoloc_rows, feature_folder, table
from cleannet_jax.programs import convert as convert_program
from cleannet_jax.programs import main as programs

RGB, FLOW = 3, 2
LENGTHS = {"a": 4, "b": 5, "c": 6}


def make_video(name, **changes):
    content = {
        "id": name,
        "subset": "training" if name == "a" else "validation",
        "duration": 10.0,
        "fps": 29.97,
        "segments": np.array([[0.5, 1.0], [2.0, 2.5]]),
        "labels": ("jump", "run"),
        "ambiguous": np.array([[4.0, 5.0]]),
    }
    return annotations_lib.Video(**(content | changes))


def values(name, width):
    length = LENGTHS[name]
    return np.arange(length * width, dtype=np.float32).reshape(length, width)


def read(name):
    return values(name, RGB), -values(name, FLOW)


def make_dataset(**changes):
    videos = {name: make_video(name) for name in LENGTHS}
    videos["d"] = make_video("d", duration=None, fps=None, segments=np.zeros((0, 2)))
    videos["d"] = dataclasses.replace(videos["d"], labels=(), tags=("fall", "run"))
    content = {
        "manifest": manifest_lib.Manifest(
            name="other layout",
            streams=streams.Streams(("rgb", "flow"), (RGB, FLOW)),
            stride_frames=15,
            window_frames=15,
            offset_frames=0,
            fps="annotations",
            train_subset="training",
            evaluation_subset="validation",
            source="a test",
            backbone_trained_on=("Kinetics",),
        ),
        "annotations": annotations_lib.Annotations(videos, "a test"),
        "lengths": LENGTHS,
        "read_streams": read,
        "notes": ("flow was first",),
    }
    content |= changes
    return dataset_lib.create_dataset(content.pop("manifest"), **content)


def opened(folder):
    manifest = manifest_lib.read_manifest(folder / "manifest.json")
    truth = annotations_lib.read_annotations(folder / manifest.annotations)
    return feature_folder.open_feature_folder(
        folder, manifest=manifest, annotations=truth
    )


def test_the_folder_is_a_feature_folder(tmp_path):
    calls = []
    report = convert.convert(
        make_dataset(), tmp_path / "new", progress=lambda *count: calls.append(count)
    )
    assert (report.converted, report.kept, report.annotated) == (3, 0, 4)
    assert calls == [(1, 3), (2, 3), (3, 3)]
    dataset = opened(tmp_path / "new")
    assert list(dataset.videos) == ["a", "b", "c"]
    for name in LENGTHS:
        np.testing.assert_array_equal(
            dataset.read(name), np.concatenate(read(name), axis=1)
        )
    assert dataset.videos["a"].timebase.fps == 29.97


def test_annotations_are_read_back_as_they_were(tmp_path):
    convert.convert(make_dataset(), tmp_path)
    found = annotations_lib.read_annotations(tmp_path / "annotations.json").videos
    wanted = make_dataset().annotations.videos
    assert list(found) == list(wanted)
    for name, video in wanted.items():
        for field in dataclasses.fields(video):
            np.testing.assert_array_equal(
                getattr(found[name], field.name), getattr(video, field.name)
            )


def test_what_ends_before_it_starts_is_not_lost(tmp_path):
    videos = dict(make_dataset().annotations.videos)
    fault = faults.Fault("a test", "fall", (9.0, 5.0))
    tags = (*videos["a"].tags, "fall")
    videos["a"] = dataclasses.replace(videos["a"], faults=(fault,), tags=tags)
    truth = annotations_lib.Annotations(videos, "a test")
    convert.convert(make_dataset(annotations=truth), tmp_path)
    found = annotations_lib.read_annotations(tmp_path / "annotations.json")
    assert [again[1:] for again in found.faults] == [fault[1:]]
    assert found.videos["a"].labels == videos["a"].labels


def test_a_folder_of_ours_is_copied_under_the_usual_names(tmp_path):
    convert.convert(make_dataset(), tmp_path / "one")
    (tmp_path / "one/rgb").rename(tmp_path / "one/x-rgb")
    (tmp_path / "one/flow").rename(tmp_path / "one/x-flow")
    manifest = make_dataset().manifest
    manifest = dataclasses.replace(manifest, file_pattern="x-{stream}/{id}.npy")
    manifest_lib.write_manifest(tmp_path / "one/manifest.json", manifest)
    assert table.detect(tmp_path / "one") == "feature-folder"
    dataset = table.open_layout("feature-folder", tmp_path / "one", options={})
    report = convert.convert(dataset, tmp_path / "two", float16=True)
    assert (report.converted, report.left_out) == (3, {})
    for name in LENGTHS:
        np.testing.assert_array_equal(
            opened(tmp_path / "two").read(name), np.concatenate(read(name), axis=1)
        )


def test_what_is_made_in_memory_is_not_copied(tmp_path):
    dataset = dataclasses.replace(make_dataset(), manifest=None, read_streams=None)
    with pytest.raises(errors.InputError, match="other layout: made in memory"):
        convert.convert(dataset, tmp_path)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_values_stay_of_their_type(tmp_path, dtype):
    source = make_dataset(
        read_streams=lambda name: [a.astype(dtype) for a in read(name)]
    )
    convert.convert(source, tmp_path)
    assert np.load(tmp_path / "rgb/a.npy").dtype == np.dtype(dtype)


def test_half_floats_where_asked_for(tmp_path):
    convert.convert(make_dataset(), tmp_path, float16=True)
    found = np.load(tmp_path / "flow/b.npy")
    np.testing.assert_array_equal(found, -values("b", FLOW).astype("f2"), strict=True)


def test_values_too_large_for_half_floats_are_left_out(tmp_path):
    def large(name):
        rgb, flow = read(name)
        return rgb * (70000 if name == "b" else 1), flow

    report = convert.convert(make_dataset(read_streams=large), tmp_path, float16=True)
    assert list(report.left_out) == ["b"]
    assert "expected none above 65504" in report.left_out["b"]


def test_the_same_command_goes_on(tmp_path):
    convert.convert(make_dataset(), tmp_path)
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*.npy")}
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "rgb/a.npy").unlink()
    path = tmp_path / "flow/b.npy"
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "rgb/.c.npy.x1y2").write_bytes(b"half of a file")
    asked = []

    def recorded(name):
        asked.append(name)
        return read(name)

    report = convert.convert(make_dataset(read_streams=recorded), tmp_path)
    assert asked == ["a", "b"]
    assert (report.converted, report.kept) == (2, 1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.npy")} == whole
    assert not (tmp_path / "rgb/.c.npy.x1y2").exists()
    assert (tmp_path / "manifest.json").exists()


def test_a_video_that_cannot_be_read_is_left_out_and_named(tmp_path):
    def damaged(name):
        if name == "b":
            raise errors.InputError("some.tsv: row 2: cut")
        return read(name)

    report = convert.convert(make_dataset(read_streams=damaged), tmp_path)
    assert dict(report.left_out) == {"b": "video 'b': some.tsv: row 2: cut"}
    content = json.loads((tmp_path / "convert_report.json").read_text())
    assert content["left_out"] == dict(report.left_out)
    assert content["notes"] == ["flow was first"]
    text = convert.report_text(report)
    assert "note: flow was first" in text and "some.tsv: row 2: cut" in text
    assert list(opened(tmp_path).videos) == ["a", "c"]
    again = convert.convert(make_dataset(), tmp_path)
    assert (again.converted, again.kept, again.left_out) == (1, 2, {})


def test_nothing_converted_is_an_error(tmp_path):
    def damaged(name):
        raise errors.InputError(f"{name}.npy: cut")

    with pytest.raises(errors.InputError, match="no video was converted: .*a.npy: cut"):
        convert.convert(make_dataset(read_streams=damaged), tmp_path)
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    "arrays",
    [
        (np.zeros((2, RGB)), np.zeros((3, FLOW))),
        (np.zeros((2, RGB + 1)), np.zeros((2, FLOW))),
        (np.zeros((0, RGB)), np.zeros((0, FLOW))),
    ],
)
def test_arrays_that_do_not_fit_are_left_out(tmp_path, arrays):
    def odd(name):
        return arrays if name == "a" else read(name)

    report = convert.convert(make_dataset(read_streams=odd), tmp_path)
    assert "found shape" in report.left_out["a"]
    assert not list(tmp_path.rglob("a.npy"))


def test_a_folder_with_anything_else_is_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(
        errors.InputError, match="found files that no conversion has made"
    ):
        convert.convert(make_dataset(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(
        errors.InputError, match=r"thesis.txt: found a file, expected a"
    ):
        convert.convert(make_dataset(), tmp_path / "thesis.txt")


@pytest.mark.parametrize("text", ['{"manifest": null}', "[1]", '"x"', "{}"])
def test_a_damaged_start_file_is_named(tmp_path, text):
    convert.convert(make_dataset(), tmp_path)
    (tmp_path / ".convert.json").write_text(text)
    with pytest.raises(errors.InputError, match=r"\.convert\.json is damaged\)"):
        convert.convert(make_dataset(), tmp_path)


def test_a_folder_with_another_conversion_is_not_touched(tmp_path):
    convert.convert(make_dataset(), tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    other = dataclasses.replace(make_dataset().manifest, fps=25.0)
    truth = annotations_lib.Annotations({"a": make_video("a")}, "a test")
    for source, options, reason in (
        (make_dataset(manifest=other), {}, "fps"),
        (make_dataset(), {"float16": True}, "float16"),
        (make_dataset(annotations=truth, lengths={"a": 4}), {}, "annotations digest"),
    ):
        with pytest.raises(
            errors.InputError, match=rf"another conversion.*\({reason}\)"
        ):
            convert.convert(source, tmp_path, **options)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_disk_that_is_full_is_said_so(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", str(tmp_path / "rgb/a.npy"))

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(errors.InputError, match="rgb/a.npy: No space left on device"):
        convert.convert(make_dataset(), tmp_path)
    assert not list((tmp_path / "rgb").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_ends_after_a_video(tmp_path, number):
    def stopping(name):
        signal.raise_signal(number)
        return read(name)

    with pytest.raises(
        errors.Interrupted, match="stopped after video 1 of 3"
    ) as caught:
        convert.convert(make_dataset(read_streams=stopping), tmp_path)
    assert caught.value.signal_number == number
    assert sorted(path.name for path in tmp_path.rglob("*.npy")) == ["a.npy", "a.npy"]
    assert convert.convert(make_dataset(), tmp_path).kept == 1


KILLED = """
import sys, time
import test_convert
from cleannet_jax import convert

def slow(name):
    if name == "c":
        print("ready", flush=True)
        time.sleep(60)
    return test_convert.read(name)

convert.convert(test_convert.make_dataset(read_streams=slow), sys.argv[1])
"""


def test_a_conversion_that_was_killed_goes_on(tmp_path):
    here = pathlib.Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here}:{here.parent}"}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env=environment,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.kill()
    assert not (tmp_path / "manifest.json").exists()
    report = convert.convert(make_dataset(), tmp_path)
    assert (report.converted, report.kept) == (1, 2)
    assert len(opened(tmp_path).videos) == 3


# Layouts.

SEEN = {
    "feature-folder": ["manifest.json", "rgb/a.npy"],
    "autoloc": ["att_unfused/val.all.tsv"],
    "wtalc": ["A-I3D-JOINTFeatures.npy", "A-Annotations/videoname.npy"],
    "cmcs": ["a-rgb.npz", "a-flow.npz"],
    "gtad": ["rgb_val.h5", "flow_val.h5", "rgb_test.h5", "flow_test.h5"],
    "refineloc": ["thumos.h5"],
    "basnet": ["gt.json", "features/train/rgb/a.npy", "features/train/flow/a.npy"],
    "acmnet": ["gt.json", "train/a.npy", "test/b.npy"],
    "stpn": [f"{part}_data/rgb_features/1.npy" for part in ("train", "test")],
    "opentad": ["a.npy", "b.npy"],
}


@pytest.mark.parametrize("layout", table.LAYOUTS)
def test_a_layout_is_detected_by_its_files(tmp_path, layout):
    for name in SEEN[layout]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert table.detect(tmp_path) == layout


def test_other_folders_are_of_no_layout(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        errors.InputError, match=r"found 'notes.txt', expected a known"
    ) as e:
        table.detect(tmp_path)
    assert all(f"{name}: " in str(e.value) for name in table.LAYOUTS)
    with pytest.raises(errors.InputError, match="no such folder"):
        table.detect(tmp_path / "nothing")


def test_options_are_those_of_the_layout(tmp_path):
    with pytest.raises(errors.InputError, match="--layout: found 'x', expected one of"):
        table.open_layout("x", tmp_path, options={})
    with pytest.raises(
        errors.InputError, match="--fps: layout 'wtalc' has no such option, only --feat"
    ):
        table.open_layout("wtalc", tmp_path, options={"fps": 30.0})
    with pytest.raises(
        errors.InputError,
        match="--stream-order: expected this option, which .*'opentad'",
    ):
        table.open_layout("opentad", tmp_path, options={"annotations": "x"})


def test_every_option_of_a_layout_is_one_of_the_program():
    for layout in table.LAYOUTS.values():
        for name in list(inspect.signature(layout.open).parameters)[1:]:
            assert name in convert_program._OPTIONS, (layout, name)


# The program.


def write_release(folder):
    folder.mkdir()
    rows = [test_autoloc.simple_row(51, "1;3"), test_autoloc.simple_row(52, "2")]
    test_autoloc.write_tsv(folder / "att_unfused/val.all.tsv", rows, lineidx=False)
    test_autoloc.write_tsv(
        folder / "att_unfused/test.all.tsv",
        [test_autoloc.simple_row(4, "6")],
        lineidx=True,
    )
    for stage, prefix, own in (
        ("val", "video_validation_", [51, 52]),
        ("test", "video_test_", [4]),
    ):
        test_autoloc.write_pickle(
            folder / f"{stage}_meta_det_only.pc", test_autoloc.meta(own, prefix)
        )
    return folder


@pytest.fixture
def main():
    return functools.partial(programs.run, "convert")


def test_program_converts_and_goes_on(tmp_path, capsys, main):
    source = write_release(tmp_path / "TH14")
    arguments = [str(source), "--to", str(tmp_path / "new")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "layout autoloc, found {stage}.all.tsv" in out
    assert "3 videos (3 converted now, 0 before); 3 are annotated" in out
    assert "no heads.npz: heads: found 9 of 9 snippets" in out
    assert list(opened(tmp_path / "new").train_ids) == [
        "video_validation_0000051",
        "video_validation_0000052",
    ]
    assert main([*arguments, "--layout", "autoloc"]) == 0
    assert "(0 converted now, 3 before)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("order", "expected"),
    [("rgb,flow", "rgb 6, flow 6"), ("rgb:8,flow:4", "rgb 8, flow 4")],
)
def test_program_says_where_columns_are_cut(tmp_path, capsys, main, order, expected):
    (tmp_path / "joint").mkdir()
    database = {}
    for name, subset in (("a", "training"), ("b", "validation")):
        np.save(tmp_path / f"joint/{name}.npy", np.ones((20, 12), np.float32))
        database[name] = {"subset": subset, "duration": 3, "annotations": []}
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"database": database}))
    arguments = [str(tmp_path / "joint"), "--to", str(tmp_path / "new")]
    arguments += ["--layout", "opentad", "--annotations", str(truth), "--fps", "30"]
    assert main([*arguments, "--stream-order", order]) == 0
    assert f"  streams: {expected}\n" in capsys.readouterr().out


def test_program_leaves_out_what_is_damaged(tmp_path, capsys, main):
    source = write_release(tmp_path / "TH14")
    path = source / "att_unfused/val.all.tsv"
    path.write_bytes(path.read_bytes()[:-5000])
    assert (
        main([str(source), "--to", str(tmp_path / "new"), "--dataset", "thumos14"]) == 1
    )
    out = capsys.readouterr().out
    assert (
        "left out: 1" in out and "val.all.tsv: row 2 (video 52): found 3 columns" in out
    )


def test_program_recovers_heads(tmp_path, capsys, main, monkeypatch):
    width = 16  # Of 1024, which would take ten seconds.
    monkeypatch.setattr(autoloc_rows, "WIDTH", width)
    source = write_release(tmp_path / "TH14")
    generator = np.random.default_rng(0)
    kernel = generator.normal(0, 0.3, (2, width, test_autoloc.N))
    for stage, number, length in (("val", 51, 50), ("test", 4, 10)):
        shape = (length, 2, width)
        features = generator.normal(size=shape).astype(np.float32)
        scores = np.exp(np.einsum("tsd,sdn->tsn", features, kernel))
        probabilities = scores / scores.sum(axis=2, keepdims=True)
        row = test_autoloc.make_row(
            number, "1", features, probabilities, features[:, :, :1]
        )
        path = source / f"att_unfused/{stage}.all.tsv"
        test_autoloc.write_tsv(path, [row], lineidx=True)
    assert main([str(source), "--to", str(tmp_path / "new")]) == 0
    assert "heads from 60 snippets (0 left out)" in capsys.readouterr().out
    params = recovered_heads.read(
        tmp_path / "new/heads.npz",
        categories=test_autoloc.CATEGORIES,
        streams=streams.Streams(("rgb", "flow"), (width, width)),
    )
    # Flow stands first in a row. Attention was the first column of the features.
    for stream, index in (("rgb", 1), ("flow", 0)):
        wanted = kernel[index] - kernel[index].mean(axis=1, keepdims=True)
        layers = params[stream]
        np.testing.assert_allclose(
            layers["classification"]["kernel"], wanted, atol=1e-4
        )
        np.testing.assert_allclose(
            layers["attention"]["kernel"][:, 0], np.eye(width)[0], atol=1e-4
        )


def test_program_converts_results(tmp_path, capsys, main):
    database = {
        "video_test_0000004": {"subset": "test", "duration": 8, "annotations": []}
    }
    (tmp_path / "gt.json").write_text(json.dumps({"database": database}))
    test_autoloc.results(tmp_path / "results.pc", [(7, "0000004", 0.25, 0.5, 1.5)])
    arguments = [str(tmp_path / "results.pc"), "--to", str(tmp_path / "found.json")]
    arguments += ["--layout", "autoloc-results", "--dataset", "thumos14"]
    assert main(arguments) == 2
    assert "needs --dataset and --annotations" in capsys.readouterr().err
    arguments += ["--annotations", str(tmp_path / "gt.json")]
    assert main(arguments) == 0
    content = json.loads((tmp_path / "found.json").read_text())
    assert content["results"] == {
        "video_test_0000004": [{"label": "Diving", "score": 1.5, "segment": [2.0, 4.0]}]
    }
    assert main(arguments) == 2
    assert "found.json: is there already" in capsys.readouterr().err
    (tmp_path / "map").write_text("testdamaged\t0000007\ntest\tother\t0000009\n")
    arguments[2] = str(tmp_path / "found.csv")
    capsys.readouterr()
    assert main([*arguments, "--id-map", str(tmp_path / "map")]) == 1
    out = capsys.readouterr().out
    assert "warning: " in out and "map: line 1: found 2 columns" in out
    assert (tmp_path / "found.csv").read_text().splitlines() == [
        "video,label,start,end,score",
        "video_test_0000004,Diving,2.0,4.0,1.5",
    ]
    arguments[2] = str(tmp_path / "found.xyz")
    assert main(arguments) == 2
    assert "found the ending '.xyz', expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "error: nothing: no such folder"),
        (["nothing", "--layout", "autoloc"], "error: nothing: found no file such as"),
        (["nothing", "--layout", "x"], "error: --layout: found 'x', expected one of"),
        (["nothing", "--layout", "gtad"], "error: --annotations: expected this option"),
    ],
)
def test_program_says_what_is_wrong_in_one_line(
    tmp_path, capsys, main, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--to", "new"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message) and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
