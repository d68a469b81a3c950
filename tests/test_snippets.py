import dataclasses
import json

import numpy as np
import pytest

from cleannet_jax import errors, experiment, localize, methods, train
from cleannet_jax.data import snippets as snippets_lib


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
