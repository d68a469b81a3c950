import dataclasses
import json

import numpy as np
import pytest

from cleannet_jax import errors, experiment, localize, methods, train
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.models import predictions


@pytest.fixture
def dataset(feature_folder, tiny_config):
    return experiment.open_dataset(tiny_config, str(feature_folder))


@pytest.fixture
def folder(dataset, tmp_path):
    """SCPs with the categories in another order, and one more."""
    place, rng = tmp_path / "scp", np.random.default_rng(0)
    place.mkdir()
    for video in dataset.videos.values():
        scp = rng.random((video.length, 4)).astype(np.float32)
        np.save(place / f"{video.id}.npy", scp)
    names = ["other", *reversed(dataset.categories)]
    (place / "scp.json").write_text(json.dumps({"categories": names}))
    return place


def test_columns_follow_the_names_and_what_is_absent_is_made_up_for(folder, dataset):
    saved = snippets_lib.open_folder(folder, dataset)
    video = next(iter(dataset.videos.values()))
    found = saved.read(video.id)
    scp = np.load(folder / f"{video.id}.npy")[:, [3, 2, 1]]
    np.testing.assert_array_equal(found.scp, scp)
    np.testing.assert_allclose(found.sap, np.full(video.length, 1 / video.length))
    count = -(-video.length // 8)
    expected = [sorted(column)[-count:] for column in scp.T]
    np.testing.assert_allclose(found.video, np.mean(expected, axis=1), rtol=1e-6)


def test_attention_and_video_prediction_are_read(folder, dataset):
    video = next(iter(dataset.videos.values()))
    for name, size in (("attention", video.length), ("video", 4)):
        (folder / name).mkdir()
        np.save(folder / name / f"{video.id}.npy", np.arange(size) / 100)
    found = snippets_lib.open_folder(folder, dataset).read(video.id)
    np.testing.assert_allclose(found.sap, np.arange(video.length) / 100, rtol=1e-6)
    np.testing.assert_allclose(found.video, [0.03, 0.02, 0.01], rtol=1e-6)
    np.save(folder / "attention" / f"{video.id}.npy", np.zeros(3))
    with pytest.raises(errors.InputError, match=r"found shape \(3,\), expected"):
        snippets_lib.open_folder(folder, dataset).read(video.id)


def test_what_does_not_fit_is_named(folder, dataset):
    video = next(iter(dataset.videos.values()))
    np.save(folder / f"{video.id}.npy", np.zeros((3, 4), np.float32))
    with pytest.raises(errors.InputError, match="found 3 snippets, expected the"):
        snippets_lib.open_folder(folder, dataset).read(video.id)
    (folder / "scp.json").write_text(json.dumps({"categories": ["other"]}))
    with pytest.raises(errors.InputError, match="none named 'jump', expected all 3"):
        snippets_lib.open_folder(folder, dataset)


@pytest.mark.parametrize("name", ["scores", "scores+plain", "scores+t"])
def test_a_run_on_scores_from_files(
    folder, tmp_path, feature_folder, tiny_config, name
):
    made = methods.apply(tiny_config, name)
    made = dataclasses.replace(made, scores=str(folder))
    methods.check(made)
    run = tmp_path / "run"
    rows = experiment.train_and_evaluate(made, name, str(feature_folder), run)
    assert rows[-1].method == name
    results = json.loads((run / "results" / f"{name}.json").read_text())
    assert results["num_detections"] > 0


def test_saved_predictions_localize_like_those_computed(
    tmp_path, feature_folder, tiny_config, dataset
):
    plain = methods.apply(tiny_config, "plain")
    params = {"head": train.train_classifier(plain, dataset, tmp_path / "run")}
    ids = dataset.evaluation_ids
    localize.write_scp(params, dataset, ids, plain, tmp_path / "out")
    saved = snippets_lib.open_folder(tmp_path / "out", dataset)
    models = [localize.Model(plain, params), localize.Model(plain, {}, saved)]
    first, second = localize.localize(models, dataset, ids)
    np.testing.assert_array_equal(first.segments, second.segments)
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-6)


def write(folder, dataset, ids, fill):
    with snippets_lib.rewritten(folder, dataset, ids) as save:
        for name in ids:
            length = dataset.videos[name].length
            scp = np.full((length, 3), fill)
            save(name, predictions.SnippetPredictions(scp, scp[:, 0], scp[0], scp))


def videos(folder):
    return {path.stem for path in folder.rglob("*.npy")}


def test_a_folder_written_anew_is_of_one_model(dataset, tmp_path):
    folder, ids = tmp_path / "out", list(dataset.videos)
    write(folder, dataset, ids[:3], 0.1)
    np.save(folder / "mine.npy", np.zeros(3))
    # Stopped in between: what was there is still known as ours.
    with pytest.raises(KeyError), snippets_lib.rewritten(folder, dataset, ids[:1]):
        raise KeyError
    write(folder, dataset, ids[1:2], 0.2)
    assert videos(folder) == {ids[1], "mine"} and not (folder / ".scp.json").exists()
    assert [*json.loads((folder / "scp.json").read_text())["digests"]] == ids[1:2]


def test_a_name_that_leads_elsewhere_removes_nothing(dataset, tmp_path):
    folder, ids = tmp_path / "out", list(dataset.videos)
    np.save(tmp_path / "mine.npy", np.zeros(3))
    folder.mkdir()
    names = {"../mine": 1, f"{tmp_path}/mine": 1, "a" * 300: 1, "\0": 1}
    index = {"categories": ["a"], "timebase": names}
    (folder / "scp.json").write_text(json.dumps(index))
    (folder / ".scp.json").write_text('{"ids": [["a"], 3, "../mine"]}')
    write(folder, dataset, ids[:1], 0.1)
    assert (tmp_path / "mine.npy").exists() and videos(folder) == {ids[0]}


def test_what_was_written_is_known(dataset, tmp_path):
    folder, ids = tmp_path / "out", list(dataset.videos)[:2]
    write(folder, dataset, ids, 0.1)
    assert snippets_lib.is_as_written(folder, dataset, ids)
    # Videos that came later, and features that are others now.
    assert not snippets_lib.is_as_written(folder, dataset, list(dataset.videos))
    digests = dataset.digests | {ids[0]: b"other"}
    other = dataclasses.replace(dataset, digests=digests)
    assert not snippets_lib.is_as_written(folder, other, ids)
    np.save(folder / "video" / f"{ids[1]}.npy", np.zeros(3, np.float32))
    assert not snippets_lib.is_as_written(folder, dataset, ids)


def test_no_categories_are_refused(tmp_path):
    (tmp_path / "scp.json").write_text('{"categories": []}')
    with pytest.raises(errors.InputError, match="names, at least 1"):
        snippets_lib.read_index(tmp_path / "scp.json")
