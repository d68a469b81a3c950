"""The data sets of the samples: videos, their annotations and their features."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.ops import segments as segments_lib
from cleannet_jax.sample import looks, timelines
from cleannet_jax.sample import spec as spec_lib

# What a random stream is for, so that no two uses share one.
_PROTOTYPES, _TIMELINES, _FEATURES = 0, 1, 2

_SPECS = {spec.name: spec for spec in (spec_lib.ACTIVITYNET12, spec_lib.THUMOS14)}


class _Entry(NamedTuple):
    """A video of the sample, and the number that keys its random streams."""

    video_id: str
    subset: str
    number: int
    timeline: timelines.Timeline


def sample_dataset(name: str, *, seed: int) -> dataset_lib.Dataset:
    """Returns a generated dataset; the features of a video are made when it is read.

    Args:
      name: "thumos14" or "activitynet12".
      seed: 0 or more; another seed gives other categories and other videos.

    Raises:
      InputError: there is no sample of that name.
    """
    if name not in _SPECS:
        raise errors.InputError(
            f"generated sample: found the name {name!r}, expected one of"
            f" {', '.join(sorted(_SPECS))}; any other dataset needs a feature folder"
        )
    spec = _SPECS[name]
    prototypes = looks.draw_prototypes(_generator(spec, seed, _PROTOTYPES), spec)
    entries = {entry.video_id: entry for entry in _entries(spec, prototypes, seed)}
    names = tuple(f"generated {index:03d}" for index in range(spec.categories))
    videos = {entry.video_id: _video(entry, names) for entry in entries.values()}

    def read(video_id: str) -> np.ndarray:
        entry = entries[video_id]
        generator = _generator(spec, seed, _FEATURES, entry.number)
        return looks.video_features(
            generator, prototypes, entry.timeline, appearance=spec.appearance
        )

    title = f"generated sample in the image of {spec.name}"
    return dataset_lib.Dataset(
        name=title,
        categories=names,
        streams=spec_lib.STREAMS,
        videos={
            video_id: _info(videos[video_id], entry.timeline)
            for video_id, entry in sorted(entries.items())
        },
        annotations=annotations_lib.Annotations(videos, title),
        train_subset=spec.train_subset,
        evaluation_subset=spec.evaluation_subset,
        read=read,
        generated=True,
    )


def _generator(spec: spec_lib.SampleSpec, seed: int, *key: int) -> np.random.Generator:
    """The random stream of one use."""
    sequence = np.random.SeedSequence(seed, spawn_key=(spec.key, *key))
    return np.random.Generator(np.random.PCG64(sequence))


def _entries(
    spec: spec_lib.SampleSpec, prototypes: looks.Prototypes, seed: int
) -> Iterator[_Entry]:
    """The videos of both subsets, the categories of each in turn."""
    first = 0
    for subset, count in (
        (spec.train_subset, spec.train_videos),
        (spec.evaluation_subset, spec.evaluation_videos),
    ):
        generator = _generator(spec, seed, _TIMELINES, first)
        durations = timelines.stratified(generator, spec.durations, count)
        shares = timelines.stratified(generator, spec.action_shares, count)
        for index in range(count):
            category = index % spec.categories
            timeline = timelines.draw_timeline(
                generator,
                spec,
                category,
                duration=durations[index],
                action_share=shares[index],
                relative_length=prototypes.lengths[category],
            )
            video_id = f"generated_{spec.name}_{subset}_{index:04d}"
            yield _Entry(video_id, subset, first + index, timeline)
        first += count


def _video(entry: _Entry, names: tuple[str, ...]) -> annotations_lib.Video:
    """The annotation of a video, one segment for each category of an instance."""
    timeline = entry.timeline
    counts = [len(categories) for categories in timeline.categories]
    seconds = segments_lib.snippets_to_seconds(
        timeline.segments, **spec_lib.TIMEBASE._asdict()
    )
    return annotations_lib.Video(
        id=entry.video_id,
        subset=entry.subset,
        duration=timeline.frames / spec_lib.TIMEBASE.fps,
        fps=spec_lib.TIMEBASE.fps,
        segments=np.repeat(seconds, counts, axis=0),
        labels=tuple(names[index] for group in timeline.categories for index in group),
        ambiguous=np.zeros((0, 2)),
    )


def _info(
    video: annotations_lib.Video, timeline: timelines.Timeline
) -> dataset_lib.VideoInfo:
    """What is known of a video before its features are read."""
    return dataset_lib.VideoInfo(
        id=video.id,
        subset=video.subset,
        labels=video.categories,
        length=timeline.length,
        timebase=spec_lib.TIMEBASE,
        duration=video.duration,
    )
