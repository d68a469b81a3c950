import itertools
import json

import numpy as np
import pytest

from cleannet_jax import errors, streams
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data import pipeline

CATEGORIES = ("Boil", "Chop", "Fry")
LABELS = {
    "a": ("Chop",),
    "b": ("Boil", "Fry"),
    "c": ("Fry",),
    "d": ("Boil",),
    "e": ("Chop",),
}
LENGTHS = {"a": 3, "b": 5, "c": 2, "d": 8, "e": 4}


def read(video_id):
    """Two columns: the snippet, and the video's place in the alphabet from 1."""
    snippets = np.arange(LENGTHS[video_id], dtype=np.float32)
    letter = np.full_like(snippets, ord(video_id) - ord("a") + 1)
    return np.stack([snippets, letter], axis=1)


def make_dataset(labels=None, *, evaluated="", reader=read):
    """Five videos in memory; those in `evaluated` are not of the training subset."""
    videos = {
        video_id: dataset_lib.VideoInfo(
            id=video_id,
            subset="validation" if video_id in evaluated else "training",
            labels=names,
            length=LENGTHS[video_id],
            timebase=manifest_lib.Timebase(fps=30, stride=15, offset=0),
            duration=None,
        )
        for video_id, names in (LABELS if labels is None else labels).items()
    }
    return dataset_lib.Dataset(
        name="in memory",
        categories=CATEGORIES,
        streams=streams.Streams(("rgb", "flow"), (1, 1)),
        videos=videos,
        annotations=annotations_lib.Annotations({}, "in memory"),
        train_subset="training",
        evaluation_subset="validation",
        read=reader,
    )


def training(dataset=None, *, seed=0, **options):
    options = {"buckets": (4, 8), "max_labels": 2} | options
    return pipeline.training_pipeline(dataset or make_dataset(), seed=seed, **options)


def indices(iterator, count):
    return [int(example["index"]) for example in itertools.islice(iterator, count)]


def test_training_example_holds_one_padded_video():
    by_index = {
        int(example["index"]): example for example in itertools.islice(training(), 5)
    }
    example = by_index[1]  # video "b": five snippets, so the bucket of 8
    expected = [[0, 2], [1, 2], [2, 2], [3, 2], [4, 2], [0, 0], [0, 0], [0, 0]]
    np.testing.assert_array_equal(example["features"], expected)
    assert example["length"] == 5
    np.testing.assert_array_equal(example["labels"], [1, 0, 1])
    np.testing.assert_array_equal(example["label_indices"], [0, 2])
    np.testing.assert_array_equal(by_index[0]["label_indices"], [1, -1])
    assert {
        name: (value.dtype.name, value.shape) for name, value in example.items()
    } == {
        "features": ("float32", (8, 2)),
        "length": ("int32", ()),
        "index": ("int32", ()),
        "labels": ("float32", (3,)),
        "label_indices": ("int32", (2,)),
    }
    assert [len(by_index[row]["features"]) for row in range(5)] == [4, 8, 4, 8, 4]


def test_every_epoch_has_every_video_in_an_order_of_its_own():
    seen = indices(training(seed=3), 50)
    epochs = [tuple(seen[start : start + 5]) for start in range(0, 50, 5)]
    assert {tuple(sorted(epoch)) for epoch in epochs} == {(0, 1, 2, 3, 4)}
    assert len(set(epochs)) > 5


def test_order_is_a_function_of_the_seed():
    assert indices(training(seed=3), 50) == indices(training(seed=3), 50)
    assert indices(training(seed=3), 50) != indices(training(seed=4), 50)


def batches(count, **options):
    return list(itertools.islice(training(seed=1, **options), count))


def test_batches_are_cut_from_the_order():
    whole = indices(training(seed=1), 30)
    found = batches(10, batch_size=3)
    assert [index for batch in found for index in batch["index"]] == whole
    for batch in found:
        lengths = [LENGTHS["abcde"[index]] for index in batch["index"]]
        assert batch["features"].shape == (3, 8 if max(lengths) > 4 else 4, 2)
        np.testing.assert_array_equal(batch["length"], lengths)
        for row, index in enumerate(batch["index"]):
            own = read("abcde"[index])
            np.testing.assert_array_equal(batch["features"][row, : len(own)], own)
            np.testing.assert_array_equal(batch["features"][row, len(own) :], 0)
    assert {len(batch["features"][0]) for batch in found} == {4, 8}


def test_processes_share_the_batches_of_one():
    for whole, *parts in zip(
        batches(8, batch_size=6),
        *(
            batches(8, batch_size=6, process_index=index, process_count=3)
            for index in range(3)
        ),
        strict=True,
    ):
        for name, values in whole.items():
            joined = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(joined, values)


def test_processes_share_batches_evenly():
    with pytest.raises(ValueError, match="2 processes cannot share 3 videos"):
        training(batch_size=3, process_count=2)


def test_a_position_is_of_all_processes():
    first = training(seed=2, batch_size=4)
    for _ in range(7):
        next(first)
    state = json.loads(json.dumps(first.get_state()))
    expected = next(first)["index"].tolist()
    seen = []
    for index in range(2):
        shard = {"process_index": index, "process_count": 2}
        part = training(seed=2, batch_size=4, **shard)
        part.set_state(state)
        seen += next(part)["index"].tolist()
    assert seen == expected


@pytest.mark.parametrize(
    "shard",
    [
        {},
        {"batch_size": 2},
        {"batch_size": 4, "process_index": 1, "process_count": 2},
    ],
)
@pytest.mark.parametrize("before", [0, 7, 10])
def test_restored_state_goes_on_exactly(before, shard):
    iterator = training(seed=2, **shard)
    list(itertools.islice(iterator, before))
    state = json.loads(json.dumps(iterator.get_state()))
    expected = list(itertools.islice(iterator, 12))  # beyond the end of an epoch
    for fresh in (training(seed=2, **shard), iterator):
        fresh.set_state(state)
        for example, other in zip(expected, fresh, strict=False):
            assert example.keys() == other.keys()
            for name in example:
                np.testing.assert_array_equal(example[name], other[name])


def test_only_training_videos_with_labels_are_trained_on():
    dataset = make_dataset(LABELS | {"c": ()}, evaluated="a")
    assert dataset.train_ids == ("b", "d", "e")
    lengths = {int(e["length"]) for e in itertools.islice(training(dataset), 6)}
    assert lengths == {5, 8, 4}


def test_no_training_video_is_an_error():
    with pytest.raises(
        errors.InputError, match="in memory: no video of subset 'traini"
    ):
        training(make_dataset(evaluated="abcde"))


def test_too_many_labels_name_the_video():
    with pytest.raises(
        errors.InputError, match="'b': found 2 labels, expected at most 1"
    ):
        training(max_labels=1)


def test_unknown_label_names_the_video():
    dataset = make_dataset(LABELS | {"c": ("Wash",)})
    with pytest.raises(errors.InputError, match="video 'c': found .'Wash'., expected"):
        training(dataset)


def test_error_of_a_reader_arrives_as_it_is():
    def broken(video_id):
        raise errors.InputError(f"{video_id}: cut off")

    with pytest.raises(errors.InputError) as caught:
        next(training(make_dataset(reader=broken), seed=0))
    assert str(caught.value) in {f"{video_id}: cut off" for video_id in LABELS}


def test_evaluation_keeps_the_order_and_ends():
    iterator = pipeline.evaluation_pipeline(
        make_dataset(), ["d", "a", "b"], buckets=(4, 8)
    )
    examples = list(iterator)
    assert [int(example["index"]) for example in examples] == [0, 1, 2]
    assert [int(example["length"]) for example in examples] == [8, 3, 5]
    assert [example["features"].shape for example in examples] == [
        (8, 2),
        (4, 2),
        (8, 2),
    ]
    assert examples[0].keys() == {"features", "length", "index"}


def test_evaluation_of_no_video_is_empty():
    assert list(pipeline.evaluation_pipeline(make_dataset(), [], buckets=())) == []


def test_bucket_of_is_the_smallest_that_holds():
    assert [pipeline.bucket_of(length, (4, 8)) for length in (1, 4, 5, 8)] == [
        4,
        4,
        8,
        8,
    ]
    with pytest.raises(
        ValueError, match="9 snippets fit in no bucket, the largest is 8"
    ):
        pipeline.bucket_of(9, (4, 8))


def test_video_beyond_the_last_bucket_is_refused_at_once():
    with pytest.raises(ValueError, match="8 snippets fit in no bucket"):
        training(buckets=(4, 6))


def test_buckets_by_hand():
    # 3, 3, 9, 10, 40: {10, 40} pads 7 + 7 + 1; {9, 40} would pad 6 + 6 + 30.
    assert pipeline.buckets_for([9, 3, 40, 3, 10], count=2, multiple=1) == (10, 40)
    assert pipeline.buckets_for([9, 3, 40, 3, 10], count=1, multiple=32) == (64,)
    assert pipeline.buckets_for([5, 5], multiple=4) == (8,)
    assert pipeline.buckets_for([]) == ()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_buckets_waste_as_little_as_the_best_of_all_choices(count):
    lengths = np.random.default_rng(0).integers(1, 60, size=30)

    def padded(buckets):
        return sum(min(b for b in buckets if b >= length) for length in lengths)

    multiples = range(8, 65, 8)
    best = min(
        padded(choice)
        for choice in itertools.combinations(multiples, count)
        if choice[-1] >= lengths.max()
    )
    buckets = pipeline.buckets_for(lengths, count=count, multiple=8)
    assert len(buckets) <= count
    assert list(buckets) == sorted(set(buckets))
    assert all(bucket % 8 == 0 for bucket in buckets)
    assert padded(buckets) == best


def test_pad_adds_zeros_after_the_values():
    values = np.ones((2, 3), np.float16)
    padded = pipeline.pad(values, 4)
    np.testing.assert_array_equal(padded, [[1] * 3, [1] * 3, [0] * 3, [0] * 3])
    assert padded.dtype == np.float16
    with pytest.raises(ValueError, match="2 snippets cannot be padded to 1"):
        pipeline.pad(values, 1)


def paired(dataset=None, **options):
    options = {"seed": 0, "buckets": (4, 8), "num_videos": 5, "num_pairs": 2} | options
    return pipeline.paired_pipeline(dataset or make_dataset(), **options)


def test_pairs_share_a_category():
    for batch in itertools.islice(paired(), 50):
        assert batch["features"].shape[0] == 5
        assert batch["features"].shape[1] in (4, 8)
        labels = batch["labels"]
        for first in (0, 2):
            assert (labels[first] * labels[first + 1]).any()
            assert batch["index"][first] != batch["index"][first + 1]
        for row, index in enumerate(batch["index"]):
            video_id = "abcde"[index]
            length = LENGTHS[video_id]
            assert batch["length"][row] == length
            np.testing.assert_array_equal(
                batch["features"][row, :length], read(video_id)
            )
            np.testing.assert_array_equal(batch["features"][row, length:], 0)


def test_paired_batches_go_on_where_they_were():
    expected = [b["index"].tolist() for b in itertools.islice(paired(), 9)]
    assert len({tuple(row) for row in expected}) > 5
    first = paired()
    seen = [next(first)["index"].tolist() for _ in range(4)]
    second = paired()
    second.set_state(json.loads(json.dumps(first.get_state())))
    seen += [next(second)["index"].tolist() for _ in range(5)]
    assert seen == expected


def test_processes_share_the_pairs_of_one():
    shards = [
        paired(num_videos=6, max_snippets=3, process_index=index, process_count=2)
        for index in range(2)
    ]
    whole = paired(num_videos=6, max_snippets=3)
    for batch, *parts in itertools.islice(zip(whole, *shards, strict=True), 9):
        for name, values in batch.items():
            joined = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(joined, values)


def test_a_part_of_a_long_video_is_drawn():
    starts = set()
    for batch in itertools.islice(paired(max_snippets=3), 50):
        assert batch["length"].max() == 3
        for row, index in enumerate(batch["index"]):
            if index == 3:  # "d", of 8 snippets
                part = batch["features"][row, :3, 0]
                np.testing.assert_array_equal(part, part[0] + np.arange(3))
                starts.add(int(part[0]))
    assert starts == set(range(6))


def test_without_two_videos_of_a_category_there_are_no_pairs():
    dataset = make_dataset({"a": ("Chop",), "b": ("Fry",)})
    with pytest.raises(errors.InputError, match="no category with two training videos"):
        paired(dataset)
