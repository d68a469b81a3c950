"""Short videos of moving shapes: categories are motions, and looks say nothing.

A clip shows one shape on a drifting texture. It rests, drifts slowly or is away, and now
and then moves for some seconds in one of five ways, `MOTIONS`. Shape, colours, size, place
and speed are drawn independently of the motion. All is drawn from a seed: the frames
of a clip are the same bits for a seed; their encoding is up to the encoder.
"""

import io
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import files

MOTIONS = ("bounce", "circle", "grow", "slide", "spin")
TRAIN_SUBSET, EVALUATION_SUBSET = "training", "validation"

FPS = 15
WIDTH, HEIGHT = 160, 120

# Tells the random streams of clips from those of the other samples.
_KEY = 60
_DURATIONS = (12.0, 20.0)  # seconds
_INSTANCES = (2.0, 5.0)  # seconds
_MOST_ACTION = 0.6  # of a clip
_SHORTEST_GAP = 1.0  # seconds
_TWO_CATEGORIES = 0.3  # of clips
_AWAY = 0.3  # of gaps
_RAMP = 0.2  # seconds that a motion takes to begin and to end
_FADE = 0.3  # seconds that a shape takes to appear and to go

# Outline of a shape by the angle θ: its distance from the middle, in radii.
_OUTLINES = {
    "triangle": lambda theta: _polygon(theta, 3),
    "square": lambda theta: _polygon(theta, 4),
    "ellipse": lambda theta: 0.6 / np.hypot(0.6 * np.cos(theta), np.sin(theta)),
    "flower": lambda theta: 0.75 + 0.25 * np.cos(5 * theta),
}


class Instance(NamedTuple):
    """A motion, in seconds."""

    label: str
    start: float
    end: float


class Clip(NamedTuple):
    """A clip before it is drawn.

    Attributes:
      id: name of its file, without the ending.
      subset: "training" or "validation".
      frames: how many.
      instances: by time, none overlapping.
      seed: of its looks.
    """

    id: str
    subset: str
    frames: int
    instances: tuple[Instance, ...]
    seed: np.random.SeedSequence

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.frames / FPS

    @property
    def labels(self) -> tuple[str, ...]:
        """The motions that it shows, sorted."""
        return tuple(sorted({instance.label for instance in self.instances}))


def plan_clips(seed: int, *, count: int = 60, evaluation: int = 20) -> list[Clip]:
    """Returns what each clip is to show; the motions take turns.

    Args:
      seed: 0 or more; another one gives other clips.
      count: of clips.
      evaluation: how many of them, the last ones, are to evaluate on.
    """
    clips = []
    for index in range(count):
        timeline, looks = np.random.SeedSequence(seed, spawn_key=(_KEY, index)).spawn(2)
        is_training = index < count - evaluation
        clips.append(
            Clip(
                f"clip_{index:03d}",
                TRAIN_SUBSET if is_training else EVALUATION_SUBSET,
                *_timeline(_generator(timeline), MOTIONS[index % len(MOTIONS)]),
                looks,
            )
        )
    return clips


def _generator(seed: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _timeline(
    generator: np.random.Generator, first: str
) -> tuple[int, tuple[Instance, ...]]:
    """Number of frames, and instances of which at least one is of the first category."""
    frames = int(FPS * generator.uniform(*_DURATIONS))
    duration = frames / FPS
    lengths = generator.uniform(*_INSTANCES, generator.integers(1, 4)).tolist()
    while sum(lengths) > _MOST_ACTION * duration:
        lengths.pop()
    labels = [first] * len(lengths)
    if len(lengths) > 1 and generator.random() < _TWO_CATEGORIES:
        other = str(generator.choice([name for name in MOTIONS if name != first]))
        labels[int(generator.integers(len(labels)))] = other
    shares = generator.dirichlet(np.full(len(lengths) + 1, 2.0))
    free = duration - sum(lengths) - _SHORTEST_GAP * len(shares)
    time, instances = 0.0, []
    for label, length, share in zip(labels, lengths, shares[:-1], strict=True):
        start = time + _SHORTEST_GAP + free * float(share)
        time = start + length
        instances.append(Instance(label, round(start, 3), round(time, 3)))
    return frames, tuple(instances)


class _Course(NamedTuple):
    """Where and how the shape is, in each of F frames, [F], or in one."""

    x: np.ndarray  # pixels
    y: np.ndarray  # pixels
    size: np.ndarray  # pixels
    angle: np.ndarray  # radians
    opacity: np.ndarray  # in [0, 1]


def _course(generator: np.random.Generator, clip: Clip) -> _Course:
    """The shape's course: a rest that drifts, plus the motions."""
    times = np.arange(clip.frames) / FPS
    drift = [
        generator.uniform(2, 8)
        * np.sin(2 * np.pi * (generator.uniform(0.03, 0.08) * times + phase))
        for phase in generator.random(2)
    ]
    x = WIDTH * generator.uniform(0.3, 0.7) + drift[0]
    y = HEIGHT * generator.uniform(0.36, 0.64) + drift[1]
    size = np.full(clip.frames, HEIGHT * generator.uniform(0.13, 0.2))
    angle = np.full(clip.frames, generator.uniform(0, 2 * np.pi))
    for instance in clip.instances:
        since = np.clip(times, instance.start, instance.end) - instance.start
        left = instance.end - instance.start - since
        strength = np.clip(np.minimum(since, left) / _RAMP, 0, 1)
        turns = generator.uniform(1.2, 1.8) * since * generator.choice([-1, 1])
        wave = strength * np.sin(2 * np.pi * turns)
        reach = HEIGHT * generator.uniform(0.1, 0.16)
        if instance.label in ("slide", "circle"):
            x = x + reach * wave
        if instance.label == "circle":
            y = y + reach * strength * np.cos(2 * np.pi * turns)
        if instance.label == "bounce":
            y = y + reach * wave
        if instance.label == "grow":
            size = size * (1 + 0.4 * wave)
        if instance.label == "spin":
            angle = angle + 2 * np.pi * turns
    return _Course(x, y, size, angle, _opacity(generator, clip, times))


def _opacity(
    generator: np.random.Generator, clip: Clip, times: np.ndarray
) -> np.ndarray:
    """How visible the shape is: away in the middle of some gaps."""
    opacity = np.ones(clip.frames)
    starts = [0.0, *(instance.end for instance in clip.instances)]
    ends = [*(instance.start for instance in clip.instances), clip.duration]
    for start, end in zip(starts, ends, strict=True):
        if end - start > 4 * _FADE and generator.random() < _AWAY:
            inside = np.minimum(times - start, end - times) - _FADE
            opacity *= 1 - np.clip(inside / _FADE, 0, 1)
    return opacity


def draw_clip(clip: Clip) -> Iterator[np.ndarray]:
    """Yields the frames of a clip, each [HEIGHT, WIDTH, 3] uint8."""
    generator = _generator(clip.seed)
    course = _course(generator, clip)
    outline = _OUTLINES[str(generator.choice(sorted(_OUTLINES)))]
    light, dark = generator.uniform(0.65, 1, 3), generator.uniform(0, 0.3, 3)
    texture = _texture(generator)
    noise = generator.normal(0, 3, (2 * HEIGHT, 2 * WIDTH, 3)).round().astype(np.int16)
    # The texture is as much larger than a frame as it drifts.
    ends = generator.integers(0, [[_MARGIN], [_MARGIN]], (2, 2))
    places = np.linspace(ends[:, 0], ends[:, 1], clip.frames).round().astype(int)
    offsets = generator.integers(0, [HEIGHT, WIDTH], (clip.frames, 2))
    for index in range(clip.frames):
        (top, left), (row, column) = places[index], offsets[index]
        frame = texture[top : top + HEIGHT, left : left + WIDTH].copy()
        state = _Course(*(values[index] for values in course))
        _draw_shape(frame, state, outline, 255 * light, 255 * dark)
        frame += noise[row : row + HEIGHT, column : column + WIDTH]
        yield frame.clip(0, 255).astype(np.uint8)


_MARGIN = 60  # pixels


def _texture(generator: np.random.Generator) -> np.ndarray:
    """A smooth random background, larger than a frame by the margin, int16."""
    height, width = HEIGHT + _MARGIN, WIDTH + _MARGIN
    coarse = generator.uniform(0.3, 0.65, 3) + generator.normal(0, 0.07, (7, 9, 3))
    rows = np.linspace(0, len(coarse) - 1, height)
    columns = np.linspace(0, coarse.shape[1] - 1, width)
    by_row = _interpolated(coarse, rows)
    whole = _interpolated(by_row.swapaxes(0, 1), columns).swapaxes(0, 1)
    return (255 * whole).round().astype(np.int16)


def _interpolated(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values along the first axis at fractional places."""
    below = np.minimum(places.astype(int), len(values) - 2)
    share = (places - below)[:, None, None]
    share = share * share * (3 - 2 * share)  # Without creases.
    return values[below] * (1 - share) + values[below + 1] * share


def _draw_shape(frame, state: _Course, outline: Any, light, dark) -> None:
    """Draws a shape of two tones into a frame, whose turning shows in any outline."""
    reach = int(np.ceil(state.size)) + 1
    top, left = max(int(state.y) - reach, 0), max(int(state.x) - reach, 0)
    patch = frame[top : int(state.y) + reach + 1, left : int(state.x) + reach + 1]
    y = np.arange(top, top + patch.shape[0], dtype=np.float32)[:, None] - state.y
    x = np.arange(left, left + patch.shape[1], dtype=np.float32) - state.x
    theta = np.arctan2(y, x) - state.angle
    inside = np.clip(state.size * outline(theta) - np.hypot(x, y) + 0.5, 0, 1)
    along = x * np.cos(state.angle) + y * np.sin(state.angle)
    tone = np.clip(along + 0.5, 0, 1)[..., None]
    colour = light * tone + dark * (1 - tone)
    share = (state.opacity * inside)[..., None]
    patch[...] = (patch * (1 - share) + colour * share).round()


def _polygon(theta: np.ndarray, corners: int) -> np.ndarray:
    """The outline of a regular polygon."""
    step = np.pi / corners
    return np.cos(step) / np.cos(np.mod(theta, 2 * step) - step)


def write_clips(
    folder: str | os.PathLike, seed: int, *, count: int = 60, evaluation: int = 20
) -> list[Clip]:
    """Writes clips as mp4 files, the tags of those to train on, and all times.

    `labels.csv` has the tags of the training clips, without times; `truth.json`, in
    ActivityNet's schema, the times of all clips, to evaluate with.

    Args:
      folder: where to; made if it is not there.
      seed: 0 or more; another one gives other clips.
      count: of clips.
      evaluation: how many of them, the last ones, are to evaluate on.

    Returns:
      What was written, a clip a file `ID.mp4`.

    Raises:
      InputError: PyAV is missing.
    """
    folder = pathlib.Path(folder)
    clips = plan_clips(seed, count=count, evaluation=evaluation)
    _av()
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        with files.open_atomic(folder / f"{clip.id}.mp4", "wb") as file:
            file.write(_encoded(draw_clip(clip)))
    rows = [
        f"{clip.id},{';'.join(clip.labels)}\n"
        for clip in clips
        if clip.subset == TRAIN_SUBSET
    ]
    with files.open_atomic(folder / "labels.csv") as file:
        file.writelines(["id,labels\n", *rows])
    files.write_json(folder / "truth.json", {"database": _database(clips)})
    return clips


def _database(clips: list[Clip]) -> dict[str, Any]:
    """ActivityNet's annotations of the clips."""
    return {
        clip.id: {
            "subset": clip.subset,
            "duration": round(clip.duration, 3),
            "annotations": [
                {"label": instance.label, "segment": [instance.start, instance.end]}
                for instance in clip.instances
            ],
        }
        for clip in clips
    }


def _av() -> Any:
    """PyAV, which an extra brings."""
    try:
        import av
    except ImportError:
        raise errors.InputError(
            "writing videos: found no PyAV, expected it: pip install"
            " 'cleannet_jax[video]'"
        ) from None
    return av


def _encoded(frames: Iterator[np.ndarray]) -> bytes:
    """The frames as the content of an mp4 file."""
    av = _av()
    has_x264 = "libx264" in av.codecs_available
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("libx264" if has_x264 else "mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.thread_count = 1  # Of which the content of the file would depend.
        if has_x264:
            stream.options = {"preset": "ultrafast", "crf": "23"}
        else:
            stream.bit_rate = 1_000_000
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return content.getvalue()
