"""What happens in the videos of a sample, and when."""

from typing import NamedTuple

import numpy as np

from cleannet_jax.sample import spec as spec_lib


class Timeline(NamedTuple):
    """What happens in a video.

    Attributes:
      frames: length of the video.
      segments: [S, 2] float64, instances by time, disjoint, inside the video.
      categories: S tuples, the categories of each instance.
    """

    frames: int
    segments: np.ndarray
    categories: tuple[tuple[int, ...], ...]

    @property
    def length(self) -> int:
        """T, the whole snippets of the video."""
        return self.frames // spec_lib.TIMEBASE.stride


def draw_timeline(
    generator: np.random.Generator,
    spec: spec_lib.SampleSpec,
    category: int,
    *,
    duration: float,
    action_share: float,
    relative_length: float,
) -> Timeline:
    """Draws the instances of a video.

    Args:
      generator: the source of randomness.
      spec: the statistics.
      category: of the video.
      duration: of the video, in seconds.
      action_share: how much of it is action, in (0, 1].
      relative_length: of the category's instances, 1 is usual.
    """
    frames = int(duration * spec_lib.TIMEBASE.fps)
    snippets = frames / spec_lib.TIMEBASE.stride
    action = snippets * action_share
    usual = (
        spec.instance_seconds
        * relative_length
        * spec_lib.TIMEBASE.fps
        / spec_lib.TIMEBASE.stride
    )
    mean = spec.extra_instances + action / usual
    spread = generator.gamma(spec.count_shape) / spec.count_shape
    # An instance takes a snippet on average, or it could not be seen at all.
    count = min(1 + generator.poisson(mean * spread), max(1, int(action)))
    lengths = np.exp(spec.length_spread * generator.standard_normal(count))
    lengths *= action / lengths.sum()
    weights = np.ones(count + 1)
    weights[[0, -1]] = spec.end_gaps
    gaps = generator.dirichlet(weights) * (snippets - action)
    ends = np.cumsum(gaps[:-1]) + np.cumsum(lengths)
    segments = np.clip(np.stack([ends - lengths, ends], axis=1), 0, snippets)
    return Timeline(frames, segments, _instance_categories(spec, category, count))


def stratified(
    generator: np.random.Generator, quantiles: tuple[float, ...], count: int
) -> np.ndarray:
    """Draws from a distribution, [count], one from each of `count` equal parts of it.

    So that the few videos of a sample have the statistics of many.
    """
    places = (generator.permutation(count) + generator.random(count)) / count
    return np.interp(places, spec_lib.QUANTILES, quantiles)


def _instance_categories(
    spec: spec_lib.SampleSpec, category: int, count: int
) -> tuple[tuple[int, ...], ...]:
    """The categories of each of a video's instances, by time."""
    if category in spec.contained[:1]:
        return (spec.contained,) * count
    turns = (category,)
    if category in spec.companions:
        turns += tuple(other for other in spec.companions if other != category)
    return tuple((turns[index % len(turns)],) for index in range(count))
