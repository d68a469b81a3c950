"""Exported programs say what the run says, without this package."""

import dataclasses
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import programs
import pytest

import cleannet_jax
from cleannet_jax import config as config_lib
from cleannet_jax import errors, export, localize, methods, portable, runs, train
from cleannet_jax import experiment as experiment_lib
from cleannet_jax.data import files
from cleannet_jax.models import predictions as predictions_lib
from cleannet_jax.ops import contrast

pytest.importorskip("flatbuffers")
pytestmark = pytest.mark.once

DOCS = pathlib.Path(__file__).parents[1] / "docs"
LENGTH = 40
# Padded as `load_run` pads, so that both are the same sums.
PADDED = 128


def config_of(method, **more):
    config = config_lib.Config(
        dataset="own",
        anchor_sizes=(4.0, 8.0),
        generator_width=8,
        max_detections=20,
        min_attention=0.5,
        scores="scp" if method.startswith("scores") else "",
        **more,
    )
    return methods.apply(config, method)


def untrained(dataset, config, folder):
    """A run whose parameters are drawn: what is not trained is exported all the same."""
    streams, key = dataset.streams, jax.random.key(0)
    params = {}
    if config.classifier != methods.SCORES:
        made = train.create_classifier_params(
            key, streams, len(dataset.categories), config
        )
        params["head"] = methods.classifier(config).finish(made, streams)
    if config.train_generator:
        params["generator"] = train.create_generator_params(key, streams.width, config)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: np.asarray(leaf) + rng.normal(0, 0.3, leaf.shape).astype("f"),
        params,
    )
    # Of SCPs that are files nothing is read here.
    description = runs.describe(
        dataclasses.replace(config, scores=""), dataset, "data"
    )._replace(config=config)
    with runs.open_run(folder, description):
        runs.write_model(folder, description, dataset, params)
    return cleannet_jax.load_run(folder)


@pytest.fixture
def dataset(feature_folder):
    config = config_lib.Config(dataset="own")
    return experiment_lib.open_dataset(config, str(feature_folder))


def features_of(run):
    rng = np.random.default_rng(1)
    return rng.normal(0, 1, (LENGTH, run.streams.width)).astype(np.float32)


def padded(values, length=PADDED):
    return np.pad(values, [(0, length - len(values))] + [(0, 0)] * (values.ndim - 1))


def opened(folder, name, length=PADDED):
    """The program of a folder for a length, its parameters, and its description."""
    content = files.read_checked_json(folder / "export.json")
    program = content["programs"][name]
    (file,) = [
        one["file"] for one in program["jax"] if one["T"][0] <= length <= one["T"][1]
    ]
    loaded = jax.export.deserialize(bytearray((folder / file).read_bytes()))
    return loaded, dict(np.load(folder / "parameters.npz")), program


def check_outputs(found, program, sizes):
    assert set(found) == {value["name"] for value in program["outputs"]}
    assert sorted(found) == program["flat_outputs"]
    for value in program["outputs"]:
        shape = tuple(sizes.get(axis, axis) for axis in value["shape"])
        array = found[value["name"]]
        assert (array.shape, array.dtype) == (shape, np.dtype(value["dtype"]))


def check_same(found, segments, categories, scores):
    """Detections of a program, in snippets, are those by falling score."""
    valid = np.asarray(found["valid"])
    count = valid.sum()
    assert count == len(scores) > 0 and valid[:count].all()
    assert (np.asarray(found["categories"])[count:] == -1).all()
    np.testing.assert_array_equal(np.asarray(found["categories"])[:count], categories)
    np.testing.assert_allclose(found["segments"][:count], segments, atol=1e-5)
    np.testing.assert_allclose(found["scores"][:count], scores, atol=1e-5)


def by_score(found):
    order = np.argsort(-found.scores, kind="stable")
    return found.segments[order], found.categories[order], found.scores[order]


CALLER = """
import json, sys
sys.modules["cleannet_jax"] = None
import jax, jax.export
import numpy as np
try:
    import cleannet_jax
except ImportError:
    pass
else:
    sys.exit("cleannet_jax can be imported")
given, folder, out = dict(np.load(sys.argv[1])), sys.argv[2], sys.argv[3]

def load(name, snippets):
    program = json.load(open(f"{folder}/export.json"))["programs"][name]
    for one in program["jax"]:
        if one["T"][0] <= snippets <= one["T"][1]:
            content = open(f"{folder}/{one['file']}", "rb").read()
            return jax.export.deserialize(bytearray(content)).call

length, features = given["length"], given["features"]
parameters = dict(np.load(f"{folder}/parameters.npz"))
found = load("localizer", len(features))(parameters, features, length)
scores = load("evaluator", len(features))(found["scp"], given["proposals"], length)
np.savez(out, **found, **{f"of_{name}": value for name, value in scores.items()})
"""


def test_a_process_without_the_package(dataset, tmp_path):
    run = untrained(
        dataset, config_of("t", feature_scales=(0.5, 2.0)), tmp_path / "run"
    )
    content = export.export_run(tmp_path / "run", tmp_path / "out", lengths=[PADDED])
    assert content == files.read_json(tmp_path / "out/export.json")
    features = features_of(run)
    proposals = np.array([[2, 6.5], [6, 2], [0, 40], [-3, 90]], np.float32)
    given = {"length": np.int32(LENGTH), "features": padded(features)}
    np.savez(tmp_path / "given.npz", proposals=proposals, **given)
    (tmp_path / "caller.py").write_text(CALLER)
    names = ("caller.py", "given.npz", "out", "found.npz")
    done = subprocess.run(
        [sys.executable, "-I", *(tmp_path / name for name in names)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = dict(np.load(tmp_path / "found.npz"))
    video = run.predict(features)
    for name, own in (("scp", video.scp), ("attention", video.attention)):
        np.testing.assert_allclose(found[name][:LENGTH], own, atol=1e-5)
    np.testing.assert_allclose(found["video_scores"], video.video_scores, atol=1e-5)
    wanted = video.evaluate(proposals)
    for name in contrast.ProposalScores._fields:
        own = np.asarray(getattr(wanted, name))
        np.testing.assert_allclose(found[f"of_{name}"], own, atol=1e-5)
    timebase = content["timebase"]
    seconds = found["segments"][found["valid"]] * timebase["stride"]
    seconds = np.clip((seconds + timebase["offset"]) / timebase["fps"], 0, None)
    names = [content["categories"][index] for index in found["categories"]]
    assert len(video.detections) > 3
    for row, own in enumerate(video.detections):
        assert names[row] == own.label
        np.testing.assert_allclose(seconds[row], (own.start, own.end), atol=1e-5)
        np.testing.assert_allclose(found["scores"][row], own.score, atol=1e-5)


@pytest.mark.parametrize("method", ["w_talc+oic", "stpn+basnet_traps"])
def test_the_localizer_is_the_run_s_own(dataset, tmp_path, method):
    run = untrained(dataset, config_of(method), tmp_path / "run")
    export.export_run(tmp_path / "run", tmp_path / "out", lengths=[PADDED])
    program, parameters, described = opened(tmp_path / "out", "localizer")
    assert set(program.platforms) == {"cpu", "cuda"}
    features = padded(features_of(run))
    found = program.call(parameters, features, np.int32(LENGTH))
    check_outputs(found, described, {"T": PADDED})
    second = run.timebase.fps / run.timebase.stride
    own = localize.localize_video(
        run.params, features, LENGTH, run.streams, run.config, second=second
    )
    check_same(found, *by_score(own))


@pytest.mark.parametrize("method", ["scores+plain", "scores+t"])
def test_a_run_that_reads_its_scp_takes_one(dataset, tmp_path, method):
    run = untrained(dataset, config_of(method), tmp_path / "run")
    export.export_run(tmp_path / "run", tmp_path / "out", lengths=[PADDED])
    program, parameters, described = opened(tmp_path / "out", "localizer")
    rng = np.random.default_rng(0)
    scp = rng.random((LENGTH, 3), np.float32)
    sap = np.full(LENGTH, 1 / LENGTH, np.float32)
    video = np.array([0.5, 0.05, 0.3], np.float32)
    features = padded(features_of(run))
    given = [padded(scp), padded(sap), video, np.int32(LENGTH)]
    if run.config.train_generator:
        given = [parameters, features, *given]
    assert described["takes_parameters"] == run.config.train_generator
    found = program.call(*given)
    check_outputs(found, described, {"T": PADDED})
    predictions = predictions_lib.SnippetPredictions(scp, sap, video, scp)
    own = localize.localize_video(
        run.params, features, LENGTH, run.streams, run.config, predictions
    )
    check_same(found, *by_score(own))


def test_a_run_that_thresholds_has_its_classifier(dataset, tmp_path):
    run = untrained(dataset, config_of("untrimmednet"), tmp_path / "run")
    done = programs.run(
        "export", tmp_path / "run", "--to", tmp_path / "out", "--lengths", PADDED
    )
    assert done.returncode == 0, done.stderr
    assert "no localizer" in done.stdout and "export.json" in done.stdout
    program, parameters, described = opened(tmp_path / "out", "classifier")
    features = features_of(run)
    found = program.call(parameters, padded(features), np.int32(LENGTH))
    check_outputs(found, described, {"T": PADDED})
    own = run.predict(features).scp
    np.testing.assert_allclose(found["scp"][:LENGTH], own, atol=1e-5)


def test_the_evaluator_takes_any_number_of_proposals(dataset, tmp_path):
    untrained(dataset, config_of("scores+threshold"), tmp_path / "run")
    content = export.export_run(tmp_path / "run", tmp_path / "out", lengths=[12])
    assert list(content["programs"]) == ["evaluator"]
    program, _, described = opened(tmp_path / "out", "evaluator", 12)
    scp = np.random.default_rng(0).random((12, 3), np.float32)
    proposals = np.array([[2, 6 + row] for row in range(5)], np.float32)
    own = cleannet_jax.evaluate_proposals(scp, proposals, length=11)
    for count in (1, 5):
        found = program.call(scp, proposals[:count], np.int32(11))
        check_outputs(found, described, {"P": count})
        wanted = own.contrast[:, :count]
        np.testing.assert_allclose(found["contrast"], wanted, atol=1e-5)
    # StableHLO of fixed shapes, in its portable form.
    for one in described["stablehlo"]:
        content = (tmp_path / "out" / one["file"]).read_bytes()
        assert content.startswith(b"ML\xefR") and b"StableHLO" in content[:40]


@pytest.fixture
def small(dataset, tmp_path):
    untrained(dataset, config_of("scores+threshold"), tmp_path / "run")
    return tmp_path / "run"


def test_an_export_is_written_anew(small, tmp_path):
    out = tmp_path / "out"
    export.export_run(small, out, lengths=[8, 9])
    export.export_run(small, out, lengths=[9])
    names = sorted(path.name for path in out.iterdir())
    assert "evaluator_9.mlirbc" in names and "evaluator_8.mlirbc" not in names
    # What a kill has left: the mark, a file with its temporary name, no description.
    (out / "export.json").rename(out / ".export.json")
    (out / ".evaluator_9.jax.0abcdef_").touch()
    export.export_run(small, out, lengths=[9])
    assert sorted(path.name for path in out.iterdir()) == names


@pytest.mark.parametrize("name", ["notes.txt", "parameters.npz", "export.json"])
def test_a_folder_with_other_things_is_refused(small, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("{}")
    with pytest.raises(errors.InputError, match=f"found '{name}' in it"):
        export.export_run(small, tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "{}"
    with pytest.raises(errors.InputError, match="found a file, expected a folder"):
        export.export_run(small, tmp_path / "out" / name)
    with pytest.raises(errors.InputError, match="found 'config.json' in it"):
        export.export_run(small, small)


def test_what_cannot_be_exported(dataset, small, tmp_path, monkeypatch):
    done = programs.run("export", tmp_path / "none", "--to", tmp_path / "out")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "expected the folder of a run" in done.stderr
    description = runs.describe(config_of("plain"), dataset, "data")
    with runs.open_run(tmp_path / "begun", description):
        pass
    with pytest.raises(errors.InputError, match="has the run finished"):
        export.export_run(tmp_path / "begun", tmp_path / "out")
    with pytest.raises(errors.InputError, match="lengths: found"):
        export.export_run(small, tmp_path / "out", lengths=[0])
    timeless = cleannet_jax.load_run(small)
    timeless = dataclasses.replace(
        timeless, config=config_of("basnet_traps"), timebase=None
    )
    with pytest.raises(errors.InputError, match="counts in seconds"):
        portable.of_run(timeless)
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(errors.InputError, match="pip install"):
        export.export_run(small, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_page_s_example(dataset, tmp_path, monkeypatch):
    untrained(dataset, config_of("plain"), tmp_path / "run")
    export.export_run(tmp_path / "run", tmp_path / "exported", lengths=[PADDED])
    monkeypatch.chdir(tmp_path)
    features = np.ones((30, dataset.streams.width), np.float32)
    np.save("video.npy", features)
    text = (DOCS / "export.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(block, names)  # noqa: S102
    video = cleannet_jax.load_run("run").predict(features)
    np.testing.assert_allclose(names["found"]["scp"][:30], video.scp, atol=1e-5)
    own = video.evaluate(names["proposals"]).contrast
    np.testing.assert_allclose(names["scores"]["contrast"], own, atol=1e-5)
