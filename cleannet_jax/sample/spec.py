"""What the samples imitate, and how strongly things show: all of their numbers."""

import dataclasses

from cleannet_jax import streams as streams_lib
from cleannet_jax.data import manifest as manifest_lib

# Width of BN-Inception's global pool, once a stream, and the paper's snippet (Section
# 3.1); 30 is the frame rate of 382 of the 413 videos of THUMOS14.
STREAM_WIDTH = 1024
STREAMS = streams_lib.Streams(("rgb", "flow"), (STREAM_WIDTH, STREAM_WIDTH))
TIMEBASE = manifest_lib.Timebase(fps=30.0, stride=15, offset=0)

# Where the distributions below are given: minimum, these quantiles, maximum.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0)


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
    """What a sample imitates. Distributions are given at QUANTILES.

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
