"""The configuration of a run: one frozen dataclass, and the paper's variants of it."""

import dataclasses
import types
import typing
from typing import Any

from cleannet_jax import errors


def _option(default: Any, help: str) -> Any:
    """A field with the help text that programs show for it."""
    return dataclasses.field(default=default, metadata={"help": help})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides what a run computes. Lengths are in snippets."""

    dataset: str = _option("", "name of the dataset; the embedded sample of that name")
    manifest: str = _option("", "manifest file; DIR/manifest.json where empty")
    seed: int = _option(0, "random seed of the run")

    # Where the SCP comes from.
    classifier: str = _option("untrimmednet", "what classifies snippets, or `scores`")
    scores: str = _option("", "folder of SCPs to read for the classifier `scores`")

    # Components, Table 1 of the paper.
    train_generator: bool = _option(True, "C1: train the proposal generator")
    action_score: bool = _option(True, "C2: evaluate proposals by s_a")
    edge_scores: bool = _option(True, "C3: evaluate proposals by s_s and s_e")
    outer_inner: bool = _option(False, "evaluate proposals as AutoLoc does instead")
    smooth: bool = _option(False, "evaluate proposals on an SCP smoothed over time")
    smoothing_width: int = _option(3, "over how many snippets, an odd number")
    tsn_sampling: bool = _option(True, "C4: regress anchors from sampled snippets")
    joint: bool = _option(True, "C5: fine-tune the head on covered snippets")

    # The network.
    anchor_sizes: tuple[int, ...] = _option((1, 2, 4, 8, 16, 32), "anchor sizes")
    generator_width: int = _option(128, "channels of the generator's convolutions")
    num_samples: int = _option(4, "K, samples an anchor under TSN sampling")

    # Stage 1: the classifier, of UntrimmedNet by SGD, each stream alone, ...
    heads: str = _option("", "heads.npz of bin/convert.py to start from, for stage 1")
    head_steps: int = _option(500, "batches (videos) of stage 1")
    head_learning_rate: float = _option(0.001, "learning rate of stage 1")
    head_momentum: float = _option(0.9, "momentum of stage 1")
    # ... the others by Adam.
    adam_steps: int = _option(500, "the same for hide_and_seek, stpn and w_talc")
    hide_and_seek_learning_rate: float = _option(1e-4, "Adam's learning rate")
    stpn_learning_rate: float = _option(1e-4, "Adam's learning rate")
    w_talc_learning_rate: float = _option(1e-4, "Adam's learning rate")

    # Stage 2: CleanNet.
    steps: int = _option(600, "batches (videos) of stage 2")
    learning_rate: float = _option(1e-4, "learning rate of stage 2")
    momentum: float = _option(0.0, "momentum of stage 2")
    decay_steps: int = _option(200, "batches after which the learning rate decays")
    decay_rate: float = _option(0.1, "factor of each decay of the learning rate")
    margin: float = _option(2.0, "m of Eq. 13")
    positive_score: float = _option(0.5, "contrast score above which a proposal counts")
    min_scp: float = _option(0.1, "anchors at snippets of lower SCP are dropped")
    min_attention: float = _option(1.0, "the same for attention; 1 is the uniform one")

    # Localization.
    min_video_score: float = _option(0.1, "video prediction above which to localize")
    nms_tiou: float = _option(0.4, "largest overlap of two detections of a category")
    max_detections: int = _option(100, "most detections a category and video")

    # Evaluation and running.
    tious: tuple[float, ...] = _option((0.5,), "tIoU thresholds of the mAP")
    num_buckets: int = _option(4, "most padded lengths, each of which is compiled")
    checkpoint_every: int = _option(100, "batches between two checkpoints")
    log_every: int = _option(10, "batches between two lines of metrics")


CLASSIFIERS = ("untrimmednet", "untrimmednet_hard", "hide_and_seek", "stpn", "w_talc")
# In the place of a classifier: a folder of SCPs that any model has made.
SCORES = "scores"

# The rows of Table 2 as settings of C1 to C5.
_COMPONENTS = (
    "train_generator",
    "action_score",
    "edge_scores",
    "tsn_sampling",
    "joint",
)
_TABLE_2 = {
    "untrimmednet": (False, False, False, False, False),
    "plain": (False, True, True, False, False),
    "actioness_only": (True, True, False, True, False),
    "edgeness_only": (True, False, True, True, False),
    "simple": (True, True, True, False, False),
    "t": (True, True, True, True, False),
    "j": (True, True, True, False, True),
    "full": (True, True, True, True, True),
}
VARIANTS = tuple(_TABLE_2)

# What can be done with any SCP: the rows of Table 2 by name, the thresholding of the
# classifier's own paper, and AutoLoc (Shou et al., ECCV 2018), which differs from
# "simple" in the evaluator and its threshold. "outer_inner" is to it as "plain" is.
_LOCALIZERS = {
    "threshold": dict(zip(_COMPONENTS, _TABLE_2["untrimmednet"], strict=True)),
    **{
        name: dict(zip(_COMPONENTS, components, strict=True))
        for name, components in _TABLE_2.items()
        if name != "untrimmednet"
    },
}
_LOCALIZERS["outer_inner"] = _LOCALIZERS["plain"] | {"outer_inner": True}
_LOCALIZERS["autoloc"] = _LOCALIZERS["simple"] | {
    "outer_inner": True,
    "positive_score": 0.3,
}
LOCALIZERS = tuple(_LOCALIZERS)
# Any localizer by proposals can evaluate them on a smoothed SCP: not the paper's.
_SMOOTHED = "_smoothed"
# Every method that has a name of its own.
METHODS = (*CLASSIFIERS, *(name for name in LOCALIZERS if name != "threshold"))


def parts(method: str) -> tuple[str, str]:
    """The classifier and the localizer of a method.

    Args:
      method: of `METHODS`, or a classifier and a localizer with a plus between them. A
        classifier alone is followed by "threshold", a localizer alone has the SCP of
        UntrimmedNet. A localizer by proposals can end in "_smoothed".

    Raises:
      InputError: there is no such method.
    """
    first, plus, second = method.partition("+")
    classifier, localizer = first, second if plus else "threshold"
    if not plus and first not in (*CLASSIFIERS, SCORES):
        classifier, localizer = CLASSIFIERS[0], first
    known = localizer.removesuffix(_SMOOTHED)
    is_known = known in _LOCALIZERS and localizer != f"threshold{_SMOOTHED}"
    if classifier not in (*CLASSIFIERS, SCORES) or not is_known:
        raise errors.InputError(
            f"variant: found {method!r}, expected one of {', '.join(METHODS)}, or a "
            f"classifier and one of {', '.join(LOCALIZERS)} with + between them, as in "
            "w_talc+plain; for SCPs from files the classifier is `scores`; on a "
            f"smoothed SCP as in plain{_SMOOTHED}"
        )
    return classifier, localizer


def variant(config: Config, name: str) -> Config:
    """The config of a method: a row of Table 2 or 3, or a combination (see `parts`).

    Raises:
      InputError: there is no method of that name.
    """
    classifier, localizer = parts(name)
    components = _LOCALIZERS[localizer.removesuffix(_SMOOTHED)]
    smooth = localizer.endswith(_SMOOTHED)
    return dataclasses.replace(
        config, classifier=classifier, smooth=smooth, **components
    )


def parse_value(name: str, text: str) -> Any:
    """The value of a field from the text of a command line.

    Args:
      name: a field of `Config`.
      text: true or false, a number, text, or numbers separated by commas.

    Raises:
      InputError: the text is not of the field's type.
    """
    expected = typing.get_type_hints(Config)[name]
    readers = {bool: _truth, int: int, float: float, str: str}
    try:
        if isinstance(expected, types.GenericAlias):
            reader = expected.__args__[0]
            return tuple(reader(part) for part in text.split(","))
        return readers[expected](text)
    except ValueError:
        kind = getattr(expected, "__name__", str(expected))
        if isinstance(expected, types.GenericAlias):
            kind = f"{expected.__args__[0].__name__}s separated by commas"
        raise errors.InputError(f"{name}: found {text!r}, expected {kind}") from None


def _truth(text: str) -> bool:
    """A bool from its name."""
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def check(config: Config) -> None:
    """Raises an InputError that names the first field that makes no sense."""
    for name in ("head_steps", "adam_steps", "steps"):
        _require(config, name, lambda value: value >= 0, "0 or more")
    for name in (
        "generator_width",
        "num_samples",
        "decay_steps",
        "max_detections",
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
        "learning_rate",
        "decay_rate",
    ):
        _require(config, name, lambda value: 0 < value < float("inf"), "above 0")
    for name in ("head_momentum", "momentum"):
        _require(config, name, lambda value: 0 <= value < 1, "0 or more, below 1")
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
    known = (*CLASSIFIERS, SCORES)
    _require(config, "classifier", lambda value: value in known, ", ".join(known))
    if (config.classifier == SCORES) != bool(config.scores):
        raise errors.InputError(
            f"scores: found {config.scores!r} with the classifier "
            f"{config.classifier!r}, expected a folder with the classifier {SCORES!r} "
            "and none with any other"
        )
    if config.heads and not config.classifier.startswith("untrimmednet"):
        raise errors.InputError(
            f"heads: found {config.heads!r}, expected none with the classifier "
            f"{config.classifier!r}: they are heads of UntrimmedNet"
        )
    scores = config.action_score or config.edge_scores
    if config.train_generator and not scores:
        raise errors.InputError(
            "train_generator: found true, expected action_score or edge_scores with "
            "it: without a score there is nothing to train on"
        )
    if config.joint and not config.train_generator:
        raise errors.InputError(
            "joint: found true, expected train_generator with it: the head is "
            "fine-tuned on what the generator's proposals cover"
        )
    if config.joint and config.classifier != "untrimmednet":
        raise errors.InputError(
            f"joint: found true with the classifier {config.classifier!r}, expected "
            "untrimmednet, whose loss the paper fine-tunes"
        )


def _require(config: Config, name: str, holds: Any, expected: str) -> None:
    """Raises unless a field's value is as expected."""
    value = getattr(config, name)
    if not holds(value):
        raise errors.InputError(f"{name}: found {value!r}, expected {expected}")
