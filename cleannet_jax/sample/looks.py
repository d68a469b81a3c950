"""How what happens in a video shows in its features."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cleannet_jax.sample import spec as spec_lib
from cleannet_jax.sample import timelines

_RGB, _FLOW = 0, 1


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


def draw_prototypes(
    generator: np.random.Generator, spec: spec_lib.SampleSpec
) -> Prototypes:
    """Draws how the channels respond to the categories of a sample."""
    look, pair = spec.appearance, (2, spec_lib.STREAM_WIDTH)
    lengths = np.exp(spec.category_spread * generator.standard_normal(spec.categories))
    return Prototypes(
        resting=look.resting * generator.standard_exponential(pair, np.float32),
        action=_category_responses(generator, spec, look.action, shifts=(0, 1)),
        context=_category_responses(generator, spec, look.context, shifts=(0, 0)),
        motion=look.motion * _responses(generator, 1, look.channels)[0],
        lengths=lengths * np.mean(1 / lengths),
    )


def video_features(
    generator: np.random.Generator,
    prototypes: Prototypes,
    timeline: timelines.Timeline,
    *,
    appearance: spec_lib.Appearance,
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


def _responses(generator: np.random.Generator, count: int, channels: int) -> np.ndarray:
    """Responses, [count, D] float32: of mean 1 in a few channels, 0 in the others."""
    responses = np.zeros((count, spec_lib.STREAM_WIDTH), np.float32)
    for response in responses:
        chosen = generator.choice(spec_lib.STREAM_WIDTH, channels, replace=False)
        response[chosen] = generator.standard_exponential(channels, np.float32)
    return responses


def _category_responses(
    generator: np.random.Generator,
    spec: spec_lib.SampleSpec,
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
    look: spec_lib.Appearance,
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
    generator: np.random.Generator,
    timeline: timelines.Timeline,
    look: spec_lib.Appearance,
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
    timeline: timelines.Timeline,
    look: spec_lib.Appearance,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """What is to be seen: streams, levels [T] and responses [D]."""
    inside, actions = _instance_levels(generator, timeline, look)
    background = 1 - inside.max(axis=0)
    courses = _course(generator, (timeline.length, 5), look.course_correlation).T
    salience = np.clip(look.salience + look.salience_spread * courses[:2], 0, 1)
    distraction = np.clip(courses[2:4] - look.distraction_threshold, 0, 1) * background
    context = np.clip(1 + look.context_spread * courses[4], 0, 1)
    context *= 1 - background * (1 - look.background_context)
    shape = (3, 2, spec_lib.STREAM_WIDTH)
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
