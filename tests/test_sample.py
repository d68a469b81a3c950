import concurrent.futures
import dataclasses
import json
import pathlib

import numpy as np
import pytest

from cleannet_jax import errors, sample
from cleannet_jax.data import manifest

TRUTHS = pathlib.Path(__file__).parents[1] / "../shared/eval_truth"
SPECS = {spec.name: spec for spec in (sample.THUMOS14, sample.ACTIVITYNET12)}
QUARTILES = (0.25, 0.5, 0.75)


@pytest.fixture(scope="module", params=sorted(SPECS))
def dataset(request):
    return sample.sample_dataset(request.param, seed=0)


def spec_of(dataset):
    return next(spec for name, spec in SPECS.items() if name in dataset.name)


def distinct(segments):
    """The segments of a video by time, each once."""
    return np.unique(segments, axis=0)


def background_share(segments, duration):
    segments = distinct(segments)
    return 1 - np.sum(segments[:, 1] - segments[:, 0]) / duration


# What was drawn.


def test_everything_says_that_it_is_generated(dataset):
    assert dataset.generated
    names = (dataset.name, dataset.annotations.path)
    for text in (*names, *dataset.categories, *dataset.videos):
        assert "generated" in text


def test_ids_can_be_file_names_and_are_sorted(dataset):
    assert all(manifest.is_path_part(video_id) for video_id in dataset.videos)
    assert list(dataset.videos) == sorted(dataset.videos)
    assert set(dataset.videos) == set(dataset.annotations.videos)


def test_ids_do_not_depend_on_what_happens(dataset):
    other = sample.sample_dataset(spec_of(dataset).name, seed=1)
    assert list(other.videos) == list(dataset.videos)
    assert [v.length for v in other.videos.values()] != [
        v.length for v in dataset.videos.values()
    ]


def test_every_category_is_in_both_subsets(dataset):
    for ids, least in ((dataset.train_ids, 2), (dataset.evaluation_ids, 1)):
        labels = [name for video_id in ids for name in dataset.videos[video_id].labels]
        counts = [labels.count(name) for name in dataset.categories]
        assert min(counts) >= least


def test_subsets_have_their_sizes_and_names(dataset):
    spec = spec_of(dataset)
    assert len(dataset.categories) == spec.categories
    assert len(dataset.train_ids) == spec.train_videos
    assert len(dataset.evaluation_ids) == spec.evaluation_videos
    assert {video.subset for video in dataset.videos.values()} == {
        spec.train_subset,
        spec.evaluation_subset,
    }


def test_info_agrees_with_the_annotations(dataset):
    for video_id, info in dataset.videos.items():
        video = dataset.annotations.videos[video_id]
        assert info.labels == video.categories
        assert info.duration == video.duration
        # Half a second a snippet: 15 frames at 30 frames a second.
        assert info.length == int(video.duration / 0.5 + 1e-9)
        assert info.timebase == (30.0, 15, 0)


def test_instances_are_disjoint_and_inside_the_video(dataset):
    for video in dataset.annotations.videos.values():
        segments = distinct(video.segments)
        assert np.all(segments[:, 1] > segments[:, 0])
        assert np.all(segments[1:, 0] >= segments[:-1, 1] - 1e-9)
        assert segments.min() >= 0
        assert segments.max() <= video.duration + 1e-9
        assert len(video.ambiguous) == 0


def test_thumos14_has_videos_of_two_categories():
    dataset = sample.sample_dataset("thumos14", seed=0)
    first, second, third, fourth = dataset.categories[:4]
    two = []
    for video in dataset.annotations.videos.values():
        if first in video.labels:
            assert video.labels.count(first) == video.labels.count(second)
            assert len(distinct(video.segments)) == len(video.labels) / 2
        elif {third, fourth} & set(video.labels) and len(video.labels) > 1:
            assert {third, fourth} == set(video.labels)
            assert len(distinct(video.segments)) == len(video.labels)
        else:
            assert len(video.categories) == 1
        two.append(len(video.categories) == 2)
    # 27 + 33 of the 200 + 212 annotated videos of THUMOS14.
    assert np.mean(two) == pytest.approx(60 / 412, abs=0.03)


# Published statistics: CleanNet, Section 4.3. The tolerances are what differences
# between seeds and the cut ends of the distributions need.


@pytest.mark.parametrize(
    "name, instances, background",
    [("thumos14", 15.4, 0.714), ("activitynet12", 1.5, 0.346)],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_published_statistics(name, instances, background, seed):
    videos = sample.sample_dataset(name, seed=seed).annotations.videos.values()
    found = [background_share(video.segments, video.duration) for video in videos]
    assert np.mean(found) == pytest.approx(background, abs=0.02)
    counts = [len(video.labels) for video in videos]
    assert np.mean(counts) == pytest.approx(instances, rel=0.15)


@pytest.mark.parametrize(
    "name, files",
    [("thumos14", ("gt_val", "gt")), ("activitynet12", ("gt_train", "gt"))],
)
def test_distributions_are_like_the_annotated_ones(name, files):
    paths = [TRUTHS / name / f"{file}.json" for file in files]
    if not all(path.exists() for path in paths):
        pytest.skip("no ground truth of the benchmarks here")
    durations, lengths = [], []
    for path in paths:
        for video in json.loads(path.read_text())["database"].values():
            rows = [a for a in video["annotations"] if a["label"] != "Ambiguous"]
            if rows:
                durations.append(video["duration"])
                segments = np.array([row["segment"] for row in rows])
                lengths += list(np.diff(distinct(segments))[:, 0])
    videos = sample.sample_dataset(name, seed=0).annotations.videos.values()
    ours = [video.duration for video in videos]
    np.testing.assert_allclose(
        np.quantile(ours, QUARTILES), np.quantile(durations, QUARTILES), rtol=0.05
    )
    ours = [np.diff(distinct(video.segments))[:, 0] for video in videos]
    np.testing.assert_allclose(
        np.quantile(np.concatenate(ours), QUARTILES),
        np.quantile(lengths, QUARTILES),
        rtol=0.5,
    )


# Features: the contract.


def test_features_are_finite_non_negative_float32(dataset):
    assert dataset.streams.widths == (1024, 1024)
    for video_id in (dataset.train_ids[0], dataset.evaluation_ids[-1]):
        features = dataset.read(video_id)
        assert features.dtype == np.float32
        assert features.shape == (dataset.videos[video_id].length, 2048)
        assert np.all(np.isfinite(features))
        assert features.min() >= 0


def test_same_seed_gives_same_bits_in_any_order(dataset):
    again = sample.sample_dataset(spec_of(dataset).name, seed=0)
    ids = sorted(dataset.videos, key=lambda i: dataset.videos[i].length)[:6]
    expected = {video_id: dataset.read(video_id).tobytes() for video_id in ids}
    for video_id in reversed(ids):
        assert again.read(video_id).tobytes() == expected[video_id]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        read = pool.map(lambda video_id: dataset.read(video_id).tobytes(), ids * 2)
        assert list(read) == list(expected.values()) * 2
    for video_id, video in dataset.annotations.videos.items():
        other = again.annotations.videos[video_id]
        assert video.segments.tobytes() == other.segments.tobytes()
        assert (video.labels, video.duration) == (other.labels, other.duration)


def test_another_seed_gives_another_sample(dataset):
    other = sample.sample_dataset(spec_of(dataset).name, seed=1)
    video_id = dataset.train_ids[0]
    shortest = min(dataset.videos[video_id].length, other.videos[video_id].length)
    ours, theirs = (d.read(video_id)[:shortest] for d in (dataset, other))
    assert not np.allclose(ours, theirs)


def test_reading_a_video_twice_gives_separate_arrays(dataset):
    video_id = dataset.train_ids[0]
    first = dataset.read(video_id)
    expected = first.copy()
    first[:] = -1
    np.testing.assert_array_equal(dataset.read(video_id), expected)


def test_unknown_name_is_refused():
    with pytest.raises(errors.InputError) as error:
        sample.sample_dataset("thumos15", seed=0)
    assert str(error.value) == (
        "generated sample: found the name 'thumos15', expected one of activitynet12, "
        "thumos14; any other dataset needs a feature folder"
    )


# Features: what they show. Without chance they are resting + level * response.

CERTAIN = sample.Appearance(
    context=(0.0, 0.0),
    motion=0.0,
    variation=0.0,
    scene=0.0,
    noise=0.0,
    weakest=1.0,
    edge=1.0,
    boundary=2.0,
    salience=1.0,
    salience_spread=0.0,
    lookalike=0.0,
)


def levels(timeline, **changes):
    """[T, N, 2] level of each category in each stream, by least squares."""
    look = dataclasses.replace(CERTAIN, **changes)
    spec = dataclasses.replace(sample.THUMOS14, categories=4, appearance=look)
    prototypes = sample.draw_prototypes(np.random.default_rng(0), spec)
    features = sample.video_features(
        np.random.default_rng(1), prototypes, timeline, appearance=look
    )
    shown = features.reshape(timeline.length, 2, -1) - prototypes.resting
    found = [
        np.linalg.lstsq(prototypes.action[:, s].T, shown[:, s].T, rcond=None)[0].T
        for s in (0, 1)
    ]
    return np.stack(found, axis=-1)


def timeline_of(segments, categories, length=10):
    return sample.Timeline(15 * length, np.array(segments, float), categories)


def test_boundaries_are_soft():
    found = levels(timeline_of([[2, 6]], ((1,),)))
    # Centres 1.5, 2.5, ...; two snippets from nothing to all around 2 and around 6.
    expected = [0, 0.25, 0.75, 1, 1, 0.75, 0.25, 0, 0, 0]
    for stream in (0, 1):
        np.testing.assert_allclose(found[:, 1, stream], expected, atol=1e-5)
    np.testing.assert_allclose(found[:, [0, 2, 3]], 0, atol=1e-5)


def test_middle_shows_more_than_the_edges():
    found = levels(timeline_of([[1, 9]], ((1,),)), edge=0.5, boundary=0.1)[:, 1, 0]
    # 0.5 + 0.5 * 4 u (1 - u) at u = 1/16, 3/16, 5/16, 7/16.
    half = 0.5 + 2 * np.array([1 * 15, 3 * 13, 5 * 11, 7 * 9]) / 256
    np.testing.assert_allclose(found, [0, *half, *half[::-1], 0], atol=1e-5)


def test_instance_of_two_categories_shows_half_of_each():
    found = levels(timeline_of([[0, 4], [6, 10]], ((0, 1), (1,))), boundary=0.1)
    np.testing.assert_allclose(found[1:3, :2], 0.5, atol=1e-5)
    np.testing.assert_allclose(found[7:9, 0], 0, atol=1e-5)
    np.testing.assert_allclose(found[7:9, 1], 1, atol=1e-5)


def test_background_can_look_like_the_video_s_category():
    changes = {"lookalike": 0.5, "distraction_threshold": -5.0}
    found = levels(timeline_of([[0, 4]], ((1,),)), boundary=0.1, **changes)
    np.testing.assert_allclose(found[5:, 1], 0.5, atol=1e-5)
    np.testing.assert_allclose(found[5:, [0, 2, 3]], 0, atol=1e-5)


def test_streams_tell_different_categories_apart():
    generator = np.random.default_rng(0)
    action = sample.draw_prototypes(generator, sample.THUMOS14).action
    unit = action / np.linalg.norm(action, axis=-1, keepdims=True)
    rgb, flow = np.einsum("isd,jsd->sij", unit, unit)
    # 0 and 1 are alike in RGB, 1 and 2 in flow.
    assert min(rgb[0, 1], flow[1, 2]) > 0.8
    assert max(rgb[1, 2], flow[0, 1]) < 0.4


def test_background_shows_the_video_s_context(dataset):
    spec = spec_of(dataset)
    prototypes = sample.draw_prototypes(np.random.default_rng(0), spec)
    timeline = timeline_of([[0, 1]], ((3,),), length=200)
    features = sample.video_features(
        np.random.default_rng(1), prototypes, timeline, appearance=spec.appearance
    )
    background = features[5:].reshape(-1, 2, 1024).mean(axis=0) - prototypes.resting
    shown = np.einsum("nsd,sd->ns", prototypes.context, background)
    # Category 2 is similar to category 3.
    own, others = shown[3], np.delete(shown, (2, 3), axis=0)
    assert np.all(own > others.max(axis=0))


def test_movement_shows_in_flow_only():
    look = dataclasses.replace(CERTAIN, action=(0.0, 0.0), motion=1.0)
    spec = dataclasses.replace(sample.THUMOS14, appearance=look)
    prototypes = sample.draw_prototypes(np.random.default_rng(0), spec)
    timeline = timeline_of([[0, 10]], ((0,),))
    features = sample.video_features(
        np.random.default_rng(1), prototypes, timeline, appearance=look
    )
    rgb, flow = features[5].reshape(2, -1) - prototypes.resting
    np.testing.assert_array_equal(rgb, 0)
    np.testing.assert_allclose(flow, prototypes.motion, atol=1e-6)
    assert prototypes.motion.max() > 0


def test_noise_is_correlated_in_time():
    look = dataclasses.replace(CERTAIN, noise=0.2, noise_correlation=0.6, resting=1.0)
    spec = dataclasses.replace(sample.THUMOS14, appearance=look)
    prototypes = sample.draw_prototypes(np.random.default_rng(0), spec)
    timeline = timeline_of([[0, 1]], ((0,),), length=500)
    features = sample.video_features(
        np.random.default_rng(1), prototypes, timeline, appearance=look
    )
    noise = features[5:] - prototypes.resting.reshape(-1)
    noise /= prototypes.resting.reshape(-1)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(0.2, rel=0.05)
    lagged = np.mean(noise[1:] * noise[:-1]) / np.mean(noise**2)
    assert lagged == pytest.approx(0.6, abs=0.05)
