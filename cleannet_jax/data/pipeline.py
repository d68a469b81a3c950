"""From a `Dataset` to padded examples, read ahead of the training step by threads.

An example is one whole video, padded in time with zeros to the smallest bucket that
holds it, so that few shapes are compiled; the axis that was padded is B_T. Training
examples carry video-level labels and no times; evaluation examples no labels at all.
"""

from collections.abc import Callable, Sequence

import grain
import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import dataset as dataset_lib

# Videos, or two batches if these are more: 8 of 16,384 snippets and 2,048 columns are
# 1.1 GB.
_READ_AHEAD = 8


def training_pipeline(
    dataset: dataset_lib.Dataset,
    *,
    seed: int,
    buckets: Sequence[int],
    max_labels: int,
    batch_size: int = 1,
    process_index: int = 0,
    process_count: int = 1,
    more: Callable[[str, int], dict[str, np.ndarray]] | None = None,
) -> grain.DatasetIterator:
    """Returns an endless iterator over the training videos, reshuffled every epoch.

    The order is a function of `seed` alone, and batches are cut from it. Of a batch of
    B videos process p of n gets the p-th part, so that n processes share what one would
    see. `get_state` returns the position, in batches, as JSON can hold it, and
    `set_state` goes on from there, on any number of processes.

    Args:
      dataset: its `train_ids` are the videos, its `categories` axis N.
      seed: of the order, 0 or more.
      buckets: lengths to pad to, ascending; the last one holds the longest video.
      max_labels: the most labels that a video may have.
      batch_size: B; 1 for examples without an axis for it.
      process_index: p, from 0.
      process_count: n, a divisor of B.
      more: what an example has beside the features, from an id and B_T.

    Returns:
      An iterator of dicts: features (B_T, width) float32; length () int32, T; labels (N,)
      float32, 1 for each label of the video; label_indices (max_labels,) int32, the
      same as ascending indices, then -1; index () int32, into `train_ids`. With B
      above 1 an axis of B / n videos is before all of these, and B_T is that of the
      longest of the B videos.

    Raises:
      InputError: there is no video, or one has more labels than `max_labels` or a
        label outside the categories.
      ValueError: a video is longer than the last bucket, or n does not divide B.
    """
    own = _own_part(batch_size, process_index, process_count)
    ids = dataset.train_ids
    if not ids:
        raise errors.InputError(
            f"{dataset.name}: no video of subset {dataset.train_subset!r} has both "
            "features and a label, expected at least one to train on"
        )
    targets = [
        _targets(dataset.videos[video_id], dataset.categories, max_labels)
        for video_id in ids
    ]
    padded_lengths = _padded_lengths(dataset, ids, buckets)

    def load(index: int, padded_length: int) -> dict[str, np.ndarray]:
        example = _example(dataset, ids[index], padded_length, index)
        added = more(ids[index], padded_length) if more else {}
        return example | targets[index] | added

    def load_batch(batch: Sequence[int]) -> dict[str, np.ndarray]:
        longest = max(padded_lengths[index] for index in batch)
        examples = [load(index, longest) for index in batch[own]]
        if batch_size == 1:
            return examples[0]
        return {name: np.stack([e[name] for e in examples]) for name in examples[0]}

    order = grain.MapDataset.range(len(ids)).seed(seed).shuffle().repeat()
    # A batch of one is an element of the order, as positions of earlier versions are.
    batches = order.batch(batch_size, batch_fn=list) if batch_size > 1 else order
    whole = batches.map(lambda found: load_batch(found if batch_size > 1 else [found]))
    return iter(whole.to_iter_dataset(_read_ahead(batch_size // process_count)))


def _own_part(batch_size: int, process_index: int, process_count: int) -> slice:
    """The rows of a batch that process p of n reads."""
    size, rest = divmod(batch_size, process_count)
    if rest:
        raise ValueError(f"{process_count} processes cannot share {batch_size} videos")
    return slice(process_index * size, (process_index + 1) * size)


def _read_ahead(videos: int) -> grain.ReadOptions:
    """Threads, and elements of so many videos that they read ahead."""
    count = max(2, _READ_AHEAD // videos)
    return grain.ReadOptions(num_threads=min(4, count), prefetch_buffer_size=count)


def paired_pipeline(
    dataset: dataset_lib.Dataset,
    *,
    seed: int,
    buckets: Sequence[int],
    num_videos: int = 10,
    num_pairs: int = 3,
    max_snippets: int = 750,
    process_index: int = 0,
    process_count: int = 1,
) -> grain.DatasetIterator:
    """Returns an endless iterator over batches in which pairs share a category.

    Batches are drawn as W-TALC's are (Paul et al., ECCV 2018): pairs of videos of one
    category, each category as likely as any other that has two videos, then videos of
    any kind. Of a longer video a part is drawn. The batches are a function of `seed`
    alone; `get_state` and `set_state` are as for `training_pipeline`.

    Args:
      dataset: its `train_ids` are the videos, its `categories` axis N.
      seed: of the draw, 0 or more.
      buckets: lengths to pad to, ascending.
      num_videos: B.
      num_pairs: how many pairs there are among them.
      max_snippets: how many snippets of a video are taken at most.
      process_index: p, from 0.
      process_count: n, a divisor of B; process p gets the p-th part of each batch.

    Returns:
      An iterator of dicts: features (B, B_T, width) float32; length (B,) int32; labels
      (B, N) float32; index (B,) int32, into `train_ids`.

    Raises:
      InputError: no category has two videos.
      ValueError: n does not divide B.
    """
    own = _own_part(num_videos, process_index, process_count)
    ids = dataset.train_ids
    every = len(dataset.categories)
    targets = [_targets(dataset.videos[i], dataset.categories, every) for i in ids]
    labels = np.array([target["labels"] for target in targets]).reshape(-1, every)
    paired = np.flatnonzero(labels.sum(axis=0) >= 2)
    if not paired.size:
        raise errors.InputError(
            f"{dataset.name}: found no category with two training videos, expected at "
            "least one: the co-activity loss compares videos of one category"
        )

    def load(step: int) -> dict[str, np.ndarray]:
        draw = np.random.default_rng((seed, step))
        chosen = draw.choice(paired, min(num_pairs, paired.size), replace=False)
        members = [np.flatnonzero(labels[:, category]) for category in chosen]
        pairs = [draw.choice(videos, 2, replace=False) for videos in members]
        rest = draw.choice(len(ids), num_videos - 2 * len(pairs))
        index = np.concatenate([*pairs, rest])
        whole = [dataset.videos[ids[i]].length for i in index]
        # Of a longer video a part, every part as likely.
        starts = [draw.integers(max(n - max_snippets, 0) + 1) for n in whole]
        lengths = np.minimum(whole, max_snippets).astype(np.int32)
        padded_length = bucket_of(lengths.max(), buckets)
        parts = [
            dataset.read(ids[i])[start : start + max_snippets]
            for i, start in zip(index[own], starts[own], strict=True)
        ]
        return {
            "features": np.stack([pad(part, padded_length) for part in parts]),
            "length": lengths[own],
            "labels": labels[index[own]],
            "index": index[own].astype(np.int32),
        }

    order = grain.MapDataset.range(1).repeat()
    steps = order.map_with_index(lambda step, _: load(step))
    return iter(steps.to_iter_dataset(_read_ahead(1)))


def evaluation_pipeline(
    dataset: dataset_lib.Dataset, ids: Sequence[str], *, buckets: Sequence[int]
) -> grain.DatasetIterator:
    """Returns an iterator over the given videos, once, in the order given.

    Args:
      dataset: where the videos are read from.
      ids: of videos with features.
      buckets: lengths to pad to, ascending; the last one holds the longest video.

    Returns:
      An iterator of dicts: features (B_T, width) float32; length () int32, T; index ()
      int32, into `ids`.

    Raises:
      ValueError: a video is longer than the last bucket.
    """
    padded_lengths = _padded_lengths(dataset, ids, buckets)

    def load(index: int) -> dict[str, np.ndarray]:
        return _example(dataset, ids[index], padded_lengths[index], index)

    order = grain.MapDataset.range(len(ids))
    return iter(order.map(load).to_iter_dataset(_read_ahead(1)))


def buckets_for(
    lengths: Sequence[int], *, count: int = 4, multiple: int = 32
) -> tuple[int, ...]:
    """Returns the few lengths that, as buckets, pad the given lengths least.

    Lengths are rounded up to u_1 < u_2 < ..., and c_j of them are at most u_j. Where
    the k-th bucket is u_j, the least that k buckets for all lengths up to it take is

        total(k, j) = min over i < j of total(k - 1, i) + u_j * (c_j - c_i)

    Args:
      lengths: T of every video, in snippets, each at least 1; none gives no bucket.
      count: the most buckets there may be, each of which is compiled for.
      multiple: every bucket is a multiple of it.

    Returns:
      The buckets, ascending; the last one is at least the longest length.
    """
    rounded = -(-np.asarray(lengths) // multiple) * multiple
    sizes, numbers = np.unique(rounded, return_counts=True)
    sizes = np.concatenate([[0], sizes])
    below = np.concatenate([[0], np.cumsum(numbers)])
    numbers_between = below - below[:, None]  # [i, j]
    added = np.where(numbers_between > 0, sizes * numbers_between, np.inf)
    total = np.where(sizes == 0, 0.0, np.inf)
    choices = []
    for _ in range(min(count, len(sizes) - 1)):
        candidates = total[:, None] + added
        choices.append(candidates.argmin(0))
        total = candidates.min(0)
    last = len(sizes) - 1
    buckets = []
    for choice in reversed(choices):
        buckets.append(int(sizes[last]))
        last = choice[last]
    return tuple(reversed(buckets))


def bucket_of(length: int, buckets: Sequence[int]) -> int:
    """Returns the smallest bucket that holds `length` snippets.

    Raises:
      ValueError: none does.
    """
    holding = [bucket for bucket in buckets if bucket >= length]
    if not holding:
        raise ValueError(
            f"{length} snippets fit in no bucket, the largest is {max(buckets)}"
        )
    return min(holding)


def pad(values: np.ndarray, length: int) -> np.ndarray:
    """Returns values in time with zeros after them.

    Args:
      values: (T, ...).
      length: B_T, at least T, in snippets.

    Returns:
      (B_T, ...), of the same type.

    Raises:
      ValueError: there are more than `length` snippets.
    """
    if len(values) > length:
        raise ValueError(f"{len(values)} snippets cannot be padded to {length}")
    padded = np.zeros((length, *values.shape[1:]), values.dtype)
    padded[: len(values)] = values
    return padded


def _padded_lengths(
    dataset: dataset_lib.Dataset, ids: Sequence[str], buckets: Sequence[int]
) -> list[int]:
    """B_T of each video."""
    return [bucket_of(dataset.videos[video_id].length, buckets) for video_id in ids]


def _example(
    dataset: dataset_lib.Dataset, video_id: str, padded_length: int, index: int
) -> dict[str, np.ndarray]:
    """The part of an example that training and evaluation share."""
    values = dataset.read(video_id)
    return {
        "features": pad(values, padded_length),
        "length": np.asarray(len(values), np.int32),
        "index": np.asarray(index, np.int32),
    }


def _targets(
    video: dataset_lib.VideoInfo, categories: tuple[str, ...], max_labels: int
) -> dict[str, np.ndarray]:
    """The labels of a training video, as a vector and as a padded list of indices."""
    unknown = sorted(set(video.labels) - set(categories))
    if unknown:
        raise errors.InputError(
            f"video {video.id!r}: found {unknown}, expected labels among the "
            f"{len(categories)} categories"
        )
    if len(video.labels) > max_labels:
        raise errors.InputError(
            f"video {video.id!r}: found {len(video.labels)} labels, expected at most "
            f"{max_labels} (max_labels)"
        )
    indices = sorted(categories.index(label) for label in video.labels)
    labels = np.zeros(len(categories), np.float32)
    labels[indices] = 1.0
    label_indices = np.full(max_labels, -1, np.int32)
    label_indices[: len(indices)] = indices
    return {"labels": labels, "label_indices": label_indices}
