"""The generated sample: a made-up dataset in the image of THUMOS14 or ActivityNet v1.2.

Everything is drawn from a seed, nothing is stored and nothing was recorded: names, ids
and `Dataset.generated` say so. A video is a `Timeline` of instances; its features F,
[T, 2D] float32, RGB columns first, are made from it whenever they are read. A seed
gives the same bits in any order of reading and on any thread; NumPy does not promise
them across its versions. Times are in snippets until they become annotations.

**Statistics** are those of the benchmarks' own annotations ("annotated" below) and of
the paper's Section 4.3. Reached, over the seeds 0 to 7, annotated in brackets:

    thumos14       70.5 % background (70.8, the paper 71.4); 15.3 instances (15.4) and
                   207 s (213) a video; median instance 3.3 s (3.1) and gap 2.9 s
                   (2.9); 14 % of videos with two labels (15)
    activitynet12  35.4 % background (35.9, the paper 34.6); 1.48 instances (1.49) and
                   116 s (116) a video; median instance 32 s (28), but gap 3.4 s (8.4)

**Strengths** (`Appearance`, the same for both) are set so that thresholding scores what
it scores on the real data: UntrimmedNet's rows of Tables 3 and 4. No other method was
looked at. The head was that of stage 1 (R7, R8): from zero, 500 videos one at a time,
SGD at 0.001 with momentum 0.9, features as they are; the detector was R16 with an SCP
threshold of 0.1; ActivityNet's protocol. mAP in percent, mean over the seeds 0 to 3:

    thumos14       tIoU 0.3 to 0.7: 32.7, 23.2, 15.4, 9.2, 4.8
                            target: 29.8, 22.8, 15.4, 8.3, 4.2
    activitynet12  tIoU 0.5: 7.1, mean of 0.5 to 0.95: 2.8; targets 7.4 and 3.6

Single seeds range from 12.0 to 19.0 and from 5.2 to 9.1 at 0.5. `salience` and
`weakest` move the level of the curve, `edge` and `boundary` its end. The best category
of a video is one of its own in 100 % and 83 % of the evaluation videos, for THUMOS14
more often than in reality. A learning rate of 0.003 is too high for activitynet12, 0.01
for both: attention settles on background.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.ops import segments as segments_lib

# Width of BN-Inception's global pool, once a stream, and the paper's snippet (Section
# 3.1); 30 is the frame rate of 382 of the 413 videos of THUMOS14.
STREAM_WIDTH = 1024
STREAMS = streams_lib.Streams(("rgb", "flow"), (STREAM_WIDTH, STREAM_WIDTH))
TIMEBASE = manifest_lib.Timebase(fps=30.0, stride=15, offset=0)

_RGB, _FLOW = 0, 1
# What a random stream is for, so that no two uses share one.
_PROTOTYPES, _TIMELINES, _FEATURES = 0, 1, 2
# Where the distributions below are given: minimum, these quantiles, maximum.
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Appearance:
    """How strongly things show in the features: what the calibration has set.

    A level is how much of a thing a snippet shows, in [0, 1]; a response is what a
    thing adds to the channels at level 1. Spreads are relative standard deviations.
    """

    # Channels, of the D of a stream, that respond to any one thing.
    channels: int = 48
    # Mean response of those channels, RGB then flow: RGB shows the place better, flow
    # the action.
    action: tuple[float, float] = (1.2, 1.6)
    context: tuple[float, float] = (1.0, 0.7)
    # Movement of any kind, which only flow shows.
    motion: float = 0.8
    # Share of a category's response that it has in common with a similar category,
    # another one in each stream, so that neither stream alone tells all apart.
    shared: float = 0.8
    # Spread of a response from video to video.
    variation: float = 1.5
    # Mean of a channel that responds to nothing, its spread from video to video, its
    # noise from snippet to snippet, and the correlation of that with the one before.
    resting: float = 0.2
    scene: float = 1.5
    noise: float = 0.6
    noise_correlation: float = 0.6

    # Level of an action: of the weakest instance (the strongest has 1), and at the
    # ends of an instance relative to its middle; how many snippets a boundary takes.
    weakest: float = 0.85
    edge: float = 0.85
    boundary: float = 1.5
    # Mean and spread of the level's course inside an instance, cut to [0, 1]: below 1
    # a part of the action does not look like it.
    salience: float = 1.7
    salience_spread: float = 0.6
    # Correlation of every such course with itself one snippet before.
    course_correlation: float = 0.8
    # Background: the level of the category's context; what its course must exceed to
    # look like action, how much like it, and how much it moves.
    background_context: float = 0.7
    context_spread: float = 0.5
    distraction_threshold: float = 0.5
    lookalike: float = 0.5
    background_motion: float = 0.7


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleSpec:
    """What a sample imitates. Distributions are given at _QUANTILES.

    Attributes:
      name: of the dataset.
      key: tells the random streams of the samples apart.
      categories: N.
      train_subset: name of the subset to train on.
      evaluation_subset: name of the subset to evaluate on.
      train_videos: how many of the former, at least N.
      evaluation_videos: how many of the latter, at least N.
      durations: quantiles of a video's duration in seconds.
      action_shares: quantiles of the share of a video that is action.
      extra_instances: mean number of a video's instances beyond the first, ...
      instance_seconds: ... plus one more for so many seconds of action.
      count_shape: of the gamma distribution that a video's mean number varies by.
      category_spread: of the logarithm of a category's usual instance length.
      length_spread: of the logarithm of instance lengths within a video.
      end_gaps: how much longer the first and the last gap are.
      contained: two categories, every instance of the first of which is also one of
        the second; or none.
      companions: two categories that take turns in the videos of either; or none.
      appearance: of the features.
    """

    name: str
    key: int
    categories: int
    train_subset: str
    evaluation_subset: str
    train_videos: int
    evaluation_videos: int
    durations: tuple[float, ...]
    action_shares: tuple[float, ...]
    extra_instances: float
    instance_seconds: float
    count_shape: float
    category_spread: float
    length_spread: float
    end_gaps: float
    contained: tuple[int, ...]
    companions: tuple[int, ...]
    appearance: Appearance = Appearance()


THUMOS14 = SampleSpec(
    name="thumos14",
    key=14,
    categories=20,  # Section 4.1
    train_subset="validation",
    evaluation_subset="test",
    train_videos=80,  # of 200: a run on the sample is to take minutes
    evaluation_videos=60,  # of 213
    # Annotated, but for the ends (9, 704 and 1673 s), which would take long to run.
    durations=(20, 31, 89, 155, 229, 430, 650, 900),
    # Annotated, but for the ends (0.003 and 0.996).
    action_shares=(0.01, 0.05, 0.146, 0.235, 0.399, 0.571, 0.736, 0.95),
    extra_instances=0.0,
    instance_seconds=4.6,  # gives the 15.4 instances a video of Section 4.3
    count_shape=6.0,  # gives quartiles 3, 8, 17; annotated: 3, 8, 20
    category_spread=0.4,  # annotated: 0.6, of which the videos make a part
    length_spread=0.41,  # annotated: 0.40 and 0.41
    end_gaps=1.5,  # gives a mean first gap of 23 s; annotated: 24 s
    contained=(0, 1),  # as CliffDiving in Diving
    companions=(2, 3),  # as CricketBowling and CricketShot
)

ACTIVITYNET12 = SampleSpec(
    name="activitynet12",
    key=12,
    categories=100,  # Section 4.1
    train_subset="training",
    evaluation_subset="validation",
    train_videos=300,  # of 4819
    evaluation_videos=150,  # of 2383
    # Annotated, but for the shortest (2.3 s, too little for the contrast's window).
    durations=(5, 16, 60, 111, 171, 211, 224, 239),
    # Annotated in the validation subset, but for the smallest (0).
    action_shares=(0.01, 0.133, 0.444, 0.718, 0.891, 0.972, 0.998, 1.0),
    extra_instances=0.49,  # gives the 1.5 instances a video of Section 4.3
    instance_seconds=float("inf"),
    count_shape=0.3,  # gives 76 % of videos with one instance; annotated: 76 %
    category_spread=0.0,
    length_spread=0.6,  # annotated: 0.61 and 0.67
    end_gaps=1.0,  # gives a mean first gap of 18 s; annotated: 17 and 19 s
    contained=(),  # 10 of 7202 videos have two labels
    companions=(),
)

_SPECS = {spec.name: spec for spec in (ACTIVITYNET12, THUMOS14)}


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
        return self.frames // TIMEBASE.stride


class Prototypes(NamedTuple):
    """How the channels respond in this sample, the same in all of its videos.

    Attributes:
      resting: [2, D] mean of the channels where nothing is to be seen.
      action: [N, 2, D] response to each category's action.
      context: [N, 2, D] response to the place where it happens.
      motion: [D] response of flow to movement.
      lengths: [N] usual instance length, relative to the harmonic mean of all.
    """

    resting: np.ndarray
    action: np.ndarray
    context: np.ndarray
    motion: np.ndarray
    lengths: np.ndarray


class _Entry(NamedTuple):
    """A video of the sample, and the number that keys its random streams."""

    video_id: str
    subset: str
    number: int
    timeline: Timeline


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
    prototypes = draw_prototypes(_generator(spec, seed, _PROTOTYPES), spec)
    entries = {entry.video_id: entry for entry in _entries(spec, prototypes, seed)}
    names = tuple(f"generated {index:03d}" for index in range(spec.categories))
    videos = {entry.video_id: _video(entry, names) for entry in entries.values()}

    def read(video_id: str) -> np.ndarray:
        entry = entries[video_id]
        generator = _generator(spec, seed, _FEATURES, entry.number)
        return video_features(
            generator, prototypes, entry.timeline, appearance=spec.appearance
        )

    title = f"generated sample in the image of {spec.name}"
    return dataset_lib.Dataset(
        name=title,
        categories=names,
        streams=STREAMS,
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


def draw_prototypes(generator: np.random.Generator, spec: SampleSpec) -> Prototypes:
    """Draws how the channels respond to the categories of a sample."""
    look, pair = spec.appearance, (2, STREAM_WIDTH)
    lengths = np.exp(spec.category_spread * generator.standard_normal(spec.categories))
    return Prototypes(
        resting=look.resting * generator.standard_exponential(pair, np.float32),
        action=_category_responses(generator, spec, look.action, shifts=(0, 1)),
        context=_category_responses(generator, spec, look.context, shifts=(0, 0)),
        motion=look.motion * _responses(generator, 1, look.channels)[0],
        lengths=lengths * np.mean(1 / lengths),
    )


def draw_timeline(
    generator: np.random.Generator,
    spec: SampleSpec,
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
    frames = int(duration * TIMEBASE.fps)
    snippets = frames / TIMEBASE.stride
    action = snippets * action_share
    usual = spec.instance_seconds * relative_length * TIMEBASE.fps / TIMEBASE.stride
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


def video_features(
    generator: np.random.Generator,
    prototypes: Prototypes,
    timeline: Timeline,
    *,
    appearance: Appearance,
) -> np.ndarray:
    """Draws the features of a video.

    F = max(scene + noise + sum over things of level * response, 0)

    Args:
      generator: the source of randomness.
      prototypes: how the channels respond.
      timeline: what they respond to.
      appearance: how strongly.

    Returns:
      [T, 2D] float32, finite and at least 0.
    """
    features = _surroundings(generator, prototypes, timeline.length, appearance)
    for stream, level, response in _things(generator, prototypes, timeline, appearance):
        channels = np.flatnonzero(response)
        shown = level[:, None].astype(np.float32) * response[channels]
        features[:, stream, channels] += shown
    # Channels are pooled after a ReLU.
    return np.maximum(features, 0, out=features).reshape(timeline.length, -1)


def _generator(spec: SampleSpec, seed: int, *key: int) -> np.random.Generator:
    """The random stream of one use."""
    sequence = np.random.SeedSequence(seed, spawn_key=(spec.key, *key))
    return np.random.Generator(np.random.PCG64(sequence))


def _stratified(
    generator: np.random.Generator, quantiles: tuple[float, ...], count: int
) -> np.ndarray:
    """Draws from a distribution, [count], one from each of `count` equal parts of it.

    So that the few videos of a sample have the statistics of many.
    """
    places = (generator.permutation(count) + generator.random(count)) / count
    return np.interp(places, _QUANTILES, quantiles)


def _entries(spec: SampleSpec, prototypes: Prototypes, seed: int) -> Iterator[_Entry]:
    """The videos of both subsets, the categories of each in turn."""
    first = 0
    for subset, count in (
        (spec.train_subset, spec.train_videos),
        (spec.evaluation_subset, spec.evaluation_videos),
    ):
        generator = _generator(spec, seed, _TIMELINES, first)
        durations = _stratified(generator, spec.durations, count)
        shares = _stratified(generator, spec.action_shares, count)
        for index in range(count):
            category = index % spec.categories
            timeline = draw_timeline(
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
    seconds = segments_lib.snippets_to_seconds(timeline.segments, **TIMEBASE._asdict())
    return annotations_lib.Video(
        id=entry.video_id,
        subset=entry.subset,
        duration=timeline.frames / TIMEBASE.fps,
        fps=TIMEBASE.fps,
        segments=np.repeat(seconds, counts, axis=0),
        labels=tuple(names[index] for group in timeline.categories for index in group),
        ambiguous=np.zeros((0, 2)),
    )


def _info(video: annotations_lib.Video, timeline: Timeline) -> dataset_lib.VideoInfo:
    """What is known of a video before its features are read."""
    return dataset_lib.VideoInfo(
        id=video.id,
        subset=video.subset,
        labels=video.categories,
        length=timeline.length,
        timebase=TIMEBASE,
        duration=video.duration,
    )


def _instance_categories(
    spec: SampleSpec, category: int, count: int
) -> tuple[tuple[int, ...], ...]:
    """The categories of each of a video's instances, by time."""
    if category in spec.contained[:1]:
        return (spec.contained,) * count
    turns = (category,)
    if category in spec.companions:
        turns += tuple(other for other in spec.companions if other != category)
    return tuple((turns[index % len(turns)],) for index in range(count))


def _responses(generator: np.random.Generator, count: int, channels: int) -> np.ndarray:
    """Responses, [count, D] float32: of mean 1 in a few channels, 0 in the others."""
    responses = np.zeros((count, STREAM_WIDTH), np.float32)
    for response in responses:
        chosen = generator.choice(STREAM_WIDTH, channels, replace=False)
        response[chosen] = generator.standard_exponential(channels, np.float32)
    return responses


def _category_responses(
    generator: np.random.Generator,
    spec: SampleSpec,
    strengths: tuple[float, float],
    *,
    shifts: tuple[int, int],
) -> np.ndarray:
    """Responses to each category, in part shared with another one, [N, 2, D] float32.

    Categories 2k and 2k + 1 are similar in a stream; a shift of 1 makes it 2k - 1
    and 2k.
    """
    look, streams = spec.appearance, []
    groups = (spec.categories + 1) // 2
    for strength, shift in zip(strengths, shifts, strict=True):
        own = _responses(generator, spec.categories, look.channels)
        common = _responses(generator, groups, look.channels)
        group = (np.arange(spec.categories) + shift) // 2 % groups
        mixed = (1 - look.shared) * own + look.shared * common[group]
        streams.append(strength * mixed)
    return np.stack(streams, axis=1)


def _course(
    generator: np.random.Generator, shape: tuple[int, int], correlation: float
) -> np.ndarray:
    """Series of mean 0 and variance 1, correlated along the first axis, float32.

    Sums of uniform numbers: three times as fast as normal ones, which matters because
    nearly all the time of `video_features` is spent here.
    """
    course = generator.random(shape, np.float32)
    course -= np.float32(0.5)
    course *= np.float32(np.sqrt(12))
    course[1:] *= np.float32(np.sqrt(1 - correlation**2))
    for previous, current in itertools.pairwise(course):
        current += np.float32(correlation) * previous
    return course


def _surroundings(
    generator: np.random.Generator,
    prototypes: Prototypes,
    length: int,
    look: Appearance,
) -> np.ndarray:
    """What the channels show of nothing in particular, [T, 2, D]: scene and noise."""
    shape = prototypes.resting.shape
    scene = 1 + look.scene * generator.standard_normal(shape, np.float32)
    noise = _course(generator, (length, scene.size), look.noise_correlation)
    features = noise.reshape(length, *shape)
    features *= look.noise * prototypes.resting
    features += prototypes.resting * np.maximum(scene, 0)
    return features


def _instance_levels(
    generator: np.random.Generator, timeline: Timeline, look: Appearance
) -> tuple[np.ndarray, np.ndarray]:
    """How far each snippet is inside each instance, and its action's level, [S, T]."""
    times = np.arange(timeline.length) + 0.5
    starts, ends = timeline.segments[:, :1], timeline.segments[:, 1:]
    ramps = np.minimum(look.boundary, ends - starts)
    inside = np.clip((times - starts) / ramps + 0.5, 0, 1)
    inside *= np.clip((ends - times) / ramps + 0.5, 0, 1)
    place = np.clip((times - starts) / (ends - starts), 0, 1)
    profile = look.edge + (1 - look.edge) * 4 * place * (1 - place)
    strengths = generator.uniform(look.weakest, 1, (len(starts), 1))
    return inside, inside * profile * strengths


def _things(
    generator: np.random.Generator,
    prototypes: Prototypes,
    timeline: Timeline,
    look: Appearance,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """What is to be seen: streams, levels [T] and responses [D]."""
    inside, actions = _instance_levels(generator, timeline, look)
    background = 1 - inside.max(axis=0)
    courses = _course(generator, (timeline.length, 5), look.course_correlation).T
    salience = np.clip(look.salience + look.salience_spread * courses[:2], 0, 1)
    distraction = np.clip(courses[2:4] - look.distraction_threshold, 0, 1) * background
    context = np.clip(1 + look.context_spread * courses[4], 0, 1)
    context *= 1 - background * (1 - look.background_context)
    shape = (3, 2, STREAM_WIDTH)
    variation = 1 + look.variation * generator.standard_normal(shape, np.float32)
    variation = np.maximum(variation, 0)
    present = sorted({index for group in timeline.categories for index in group})
    for category in present:
        # Instances of two categories at once look half like each.
        share = [(category in group) / len(group) for group in timeline.categories]
        own = np.max(np.array(share)[:, None] * actions, axis=0)
        for stream in (_RGB, _FLOW):
            level = own * salience[stream]
            level += look.lookalike / len(present) * distraction[stream]
            yield (
                stream,
                level,
                variation[0, stream] * prototypes.action[category, stream],
            )
            yield (
                stream,
                context / len(present),
                variation[1, stream] * prototypes.context[category, stream],
            )
    motion = (1 - background) * salience[_FLOW]
    motion += look.background_motion * distraction[_FLOW]
    yield _FLOW, motion, variation[2, _FLOW] * prototypes.motion
