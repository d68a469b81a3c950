"""The configuration of a run: one frozen dataclass, and how its fields are read.

A field has a group, under which programs list it. Methods are settings of the fields of
the group "method" (`methods.apply`).
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any

from cleannet_jax import errors


def _option(default: Any, help: str, *, unit: str = "") -> Any:
    """A field with the help text that programs show for it, and its unit."""
    return dataclasses.field(default=default, metadata={"help": help, "unit": unit})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides what a run computes. Lengths are in snippets."""

    dataset: str = _option("", "name of the dataset; the embedded sample of that name")
    manifest: str = _option("", "manifest of features without one of their own")
    feature_scales: tuple[float, ...] = _option(
        (), "multiply the features of each stream by such a number"
    )
    seed: int = _option(0, "random seed of the run")

    # Where the SCP comes from.
    classifier: str = _option("untrimmednet", "what classifies snippets, or `scores`")
    scores: str = _option("", "folder of SCPs to read for the classifier `scores`")

    # Components, Table 1 of the paper.
    train_generator: bool = _option(True, "C1: train the proposal generator")
    action_score: bool = _option(True, "C2: evaluate proposals by s_a")
    edge_scores: bool = _option(True, "C3: evaluate proposals by s_s and s_e")
    evaluator: str = _option(
        "contrast",
        "evaluate by contrast, outer_inner (AutoLoc's), oic, mean, or by a sum of them,"
        " as in contrast+oic",
    )
    smooth: bool = _option(False, "evaluate proposals on an SCP smoothed over time")
    smoothing_width: int = _option(3, "smoothed over so many, odd", unit="snippets")
    video_score_weight: float = _option(
        0.0, "add so much of the video's score to that of its detections"
    )
    ranking: str = _option(
        "", "rank what suppression has left by this evaluator; if empty by the same"
    )
    scp_thresholds: tuple[float, ...] = _option(
        (), "propose runs of the SCP above these, of its range in the video"
    )
    attention_thresholds: tuple[float, ...] = _option(
        (), "propose runs of attention above these, of its maximum in the video"
    )
    anchors_per_octave: int = _option(
        0, "anchors in so many sizes an octave between the ends of anchor_sizes"
    )
    suppression: str = _option(
        "", "soft:SIGMA, hard:TIOU or none; if empty hard at nms_tiou"
    )
    recipe: str = _option("", "a published localizer in the place of all of these")
    traps: bool = _option(
        False, "follow the recipe to the letter, with what looks like slips (docs)"
    )
    tsn_sampling: bool = _option(True, "C4: regress anchors from sampled snippets")
    joint: bool = _option(True, "C5: fine-tune the head on covered snippets")

    # The network.
    anchor_sizes: tuple[int, ...] = _option(
        (1, 2, 4, 8, 16, 32), "anchor sizes", unit="snippets"
    )
    generator_width: int = _option(128, "width of the convolutions", unit="channels")
    num_samples: int = _option(4, "K, samples an anchor under TSN sampling")

    # Stage 1: the classifier, of UntrimmedNet by SGD, each stream alone, ...
    heads: str = _option("", "heads.npz of `convert` to start from, for stage 1")
    head_steps: int = _option(500, "length of stage 1", unit="batches")
    head_learning_rate: float = _option(0.001, "learning rate of stage 1")
    head_momentum: float = _option(0.9, "momentum of stage 1")
    # ... the others by Adam.
    adam_steps: int = _option(
        500, "length of stage 1 of classifiers trained by Adam", unit="batches"
    )
    hide_and_seek_learning_rate: float = _option(1e-4, "Adam's, for hide_and_seek")
    stpn_learning_rate: float = _option(1e-4, "Adam's, for stpn")
    w_talc_learning_rate: float = _option(1e-4, "Adam's, for w_talc")
    co2_net_learning_rate: float = _option(5e-5, "Adam's, for co2_net")
    w_talc_videos: int = _option(10, "batch of w_talc and co2_net", unit="videos")
    w_talc_pairs: int = _option(3, "pairs of one category in such a batch")
    w_talc_snippets: int = _option(
        750, "most of a video in such a batch", unit="snippets"
    )

    # Stage 2: CleanNet.
    steps: int = _option(600, "length of stage 2", unit="batches")
    learning_rate: float = _option(1e-4, "learning rate of stage 2")
    momentum: float = _option(0.0, "momentum of stage 2")
    decay_steps: int = _option(200, "when the learning rate decays", unit="batches")
    decay_rate: float = _option(0.1, "factor of each decay of the learning rate")
    clip_gradient: bool = _option(False, "bound the norm of the generator's gradient")
    gradient_norm: float = _option(1.0, "the most that it is where it is bounded")
    margin: float = _option(2.0, "m of Eq. 13")
    positive_score: float = _option(0.5, "score above which a proposal counts")
    min_scp: float = _option(0.1, "anchors at snippets of lower SCP are dropped")
    min_attention: float = _option(
        1.0, "the same for attention", unit="times the uniform one"
    )

    # Localization.
    min_video_score: float = _option(0.1, "video prediction above which to localize")
    nms_tiou: float = _option(0.4, "largest tIoU of two detections of a category")
    max_detections: int = _option(100, "most detections a category and video")

    # Evaluation and running.
    protocol: str = _option("activitynet", "rule of the mAP: activitynet or thumos14")
    tious: tuple[float, ...] = _option((0.5,), "tIoU thresholds of the mAP")
    batch_size: int = _option(
        1, "batch of both stages, whose losses are averaged", unit="videos"
    )
    num_buckets: int = _option(4, "most padded lengths, each of which is compiled")
    checkpoint_every: int = _option(100, "between two checkpoints", unit="batches")
    log_every: int = _option(10, "between two lines of metrics", unit="batches")


# Under which title programs list a field: the first field of each group.
_GROUPS = {
    "dataset": "data",
    "classifier": "method",
    "anchor_sizes": "network",
    "heads": "stage 1, the classifier",
    "steps": "stage 2, the generator",
    "min_video_score": "localization",
    "protocol": "evaluation and running",
}


def groups() -> dict[str, list[dataclasses.Field]]:
    """The fields of `Config` by the title that programs list them under."""
    found: dict[str, list[dataclasses.Field]] = {}
    for field in dataclasses.fields(Config):
        title = _GROUPS.get(field.name) or next(reversed(found))
        found.setdefault(title, []).append(field)
    return found


@dataclasses.dataclass(frozen=True)
class Part:
    """Some fields of a config: all that a traced function may read.

    Static under jit, so that a change of any other field compiles nothing anew. Reading
    another field raises an AttributeError, so that none is ever read unnoticed.
    """

    fields: tuple[tuple[str, Any], ...]

    def __getattr__(self, name: str) -> Any:
        """The value of a field."""
        if name != "fields":
            for own, value in self.fields:
                if own == name:
                    return value
        raise AttributeError(f"{name} is not among the traced fields of the config")


# What functions that read a config take: all of it or a part.
Settings = Config | Part


def part(config: Settings, names: tuple[str, ...]) -> Part:
    """The part of a config that has these fields."""
    return Part(tuple((name, getattr(config, name)) for name in names))


PROTOCOLS = ("activitynet", "thumos14")


def parse_value(name: str, text: str) -> Any:
    """The value of a field from the text of a command line.

    Args:
      name: a field of `Config`.
      text: true, yes or 1, false, no or 0, in any case; a number, text, or numbers
        separated by commas.

    Raises:
      InputError: the text is not of the field's type.
    """
    expected = typing.get_type_hints(Config)[name]
    readers = {bool: _truth, int: int, float: float, str: str}
    try:
        if isinstance(expected, types.GenericAlias):
            reader = expected.__args__[0]
            return tuple(reader(part) for part in text.split(",") if text)
        return readers[expected](text)
    except ValueError:
        raise errors.InputError(
            f"{name}: found {text!r}, expected {kind_of(name)}"
        ) from None


def renamed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config by the names that they have in this version.

    Raises:
      InputError: the value of an old field is not of its type.
    """
    content = dict(content)
    if "outer_inner" in content:
        old = content.pop("outer_inner")
        try:
            is_set = _truth(as_text(old))
        except ValueError:
            raise errors.InputError(
                f"outer_inner: found {old!r}, expected true or false"
            ) from None
        content.setdefault("evaluator", "outer_inner" if is_set else "contrast")
    return content


def from_json(content: dict[str, Any], *, place: str) -> Config:
    """A config from the fields that a JSON file holds; the others have their defaults.

    Args:
      content: values by the names of fields.
      place: what messages call the file.

    Raises:
      InputError: there is no such field, or a value is not of its type.
    """
    known = [field.name for field in dataclasses.fields(Config)]
    values = {}
    for name, value in renamed(content).items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise errors.InputError(f"{place}: no field {name!r}{hint}")
        if isinstance(value, list):
            value = tuple(value)
        try:
            values[name] = parse_value(name, as_text(value))
        except errors.InputError as error:
            raise errors.InputError(f"{place}: {error}") from None
    return Config(**values)


_KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def kind_of(name: str) -> str:
    """What the values of a field are, for people."""
    expected = typing.get_type_hints(Config)[name]
    if isinstance(expected, types.GenericAlias):
        return f"{_KINDS[expected.__args__[0]]}s separated by commas"
    return _KINDS[expected]


def as_text(value: Any) -> str:
    """A value as `parse_value` reads it; empty where there is none."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


_TRUTHS = {"true": True, "yes": True, "1": True}
_TRUTHS |= {"false": False, "no": False, "0": False}


def _truth(text: str) -> bool:
    """A bool from its name, in any case."""
    if text.lower() not in _TRUTHS:
        raise ValueError(text)
    return _TRUTHS[text.lower()]


def check(config: Config) -> None:
    """Raises an InputError that names the first field that makes no sense by itself.

    `methods.check` does so and looks at the method too.
    """
    for name in ("head_steps", "adam_steps", "steps"):
        _require(config, name, lambda value: value >= 0, "0 or more")
    for name in (
        "generator_width",
        "num_samples",
        "decay_steps",
        "max_detections",
        "w_talc_videos",
        "w_talc_snippets",
        "batch_size",
        "num_buckets",
        "checkpoint_every",
        "log_every",
    ):
        _require(config, name, lambda value: value >= 1, "1 or more")
    for name in (
        "head_learning_rate",
        "hide_and_seek_learning_rate",
        "stpn_learning_rate",
        "w_talc_learning_rate",
        "co2_net_learning_rate",
        "learning_rate",
        "decay_rate",
        "gradient_norm",
    ):
        _require(config, name, lambda value: 0 < value < float("inf"), "above 0")
    for name in ("head_momentum", "momentum"):
        _require(config, name, lambda value: 0 <= value < 1, "0 or more, below 1")
    _require(
        config,
        "feature_scales",
        lambda scales: all(0 < scale < float("inf") for scale in scales),
        "numbers above 0",
    )
    for name in ("video_score_weight", "anchors_per_octave"):
        _require(config, name, lambda value: 0 <= value < float("inf"), "0 or more")
    for name in ("scp_thresholds", "attention_thresholds"):
        _require(
            config,
            name,
            lambda values: all(0 <= value < 1 for value in values),
            "0 to 1, 1 not among them",
        )
    _require(config, "nms_tiou", lambda value: 0 <= value <= 1, "0 to 1")
    _require(
        config,
        "tious",
        lambda tious: len(tious) > 0 and all(0 < tiou <= 1 for tiou in tious),
        "thresholds above 0, up to 1",
    )
    _require(
        config,
        "smoothing_width",
        lambda width: width > 0 and width % 2 == 1,
        "an odd number above 0",
    )
    _require(config, "min_video_score", lambda value: 0 < value < 1, "0 to 1")
    _require(config, "seed", lambda value: 0 <= value < 2**32, "0 to 4294967295")
    _require(
        config,
        "anchor_sizes",
        lambda sizes: len(sizes) > 0 and min(sizes) > 0,
        "sizes above 0",
    )
    _require(
        config, "protocol", lambda value: value in PROTOCOLS, " or ".join(PROTOCOLS)
    )
    pairs = f"0 to half of w_talc_videos, {config.w_talc_videos}"
    _require(
        config, "w_talc_pairs", lambda n: 0 <= n <= config.w_talc_videos / 2, pairs
    )


def _require(config: Config, name: str, holds: Any, expected: str) -> None:
    """Raises unless a field's value is as expected."""
    value = getattr(config, name)
    if not holds(value):
        raise errors.InputError(f"{name}: found {value!r}, expected {expected}")
