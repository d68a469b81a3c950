"""What makes features of snippets: the rows that there are, and networks of your own.

| backbone | streams | of a snippet |
| --- | --- | --- |
| efficientnet_lite0 | rgb, rgbdiff | its middle frame, and how that changes, by a network of ImageNet |
| tsn | rgb, flow | its first frame and five flows, by two BN-Inceptions (UntrimmedNet) |
| blocks | rgb, motion | mean colours and motion in blocks; needs no weights |
| MODULE:FUNCTION, FILE.py:FUNCTION | clip | frames, by a function of yours |
| FILE.onnx | clip | frames, by a network in a file |
"""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from cleannet_jax import errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.features import batches, extract, inputs, own, tsn, weights
from cleannet_jax.features import video as video_lib
from cleannet_jax.models import bn_inception, efficientnet_lite

RATE = 2.0
_BATCH = 16
_CHUNK = 64


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is asked for, as the options of `cleannet extract`.

    Attributes:
      backbone: a row, MODULE:FUNCTION, FILE.py:FUNCTION or FILE.onnx.
      streams: names of those that are wanted; empty for all.
      snippets_per_second: None for `RATE`, or for one for 15 frames (tsn).
      weights: files of tsn, one a stream, or ("random",).
      means: of blue, green and red (tsn); None for UntrimmedNet's.
      trained_on: data that the weights have seen.
      classes: names of the classes of UntrimmedNet's weights, for its heads (tsn).
      crops: "center" or "ten" (tsn).
      flow: "tvl1" or "dis" (tsn).
      flow_cache: folder that flow is kept in (tsn); empty for none.
      frame_size: side of the frames for a backbone of your own, pixels.
      frames_per_snippet: that it is given.
    """

    backbone: str = "efficientnet_lite0"
    streams: tuple[str, ...] = ()
    snippets_per_second: float | None = None
    weights: tuple[str, ...] = ()
    means: tuple[float, ...] | None = None
    trained_on: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    crops: str = "center"
    flow: str = "tvl1"
    flow_cache: str = ""
    frame_size: int = 224
    frames_per_snippet: int = 8


def create(settings: Settings) -> extract.Backbone:
    """Returns the backbone that is asked for, with its weights.

    Raises:
      InputError: there is no such backbone, stream or file, or weights do not fit.
    """
    rate = settings.snippets_per_second
    if rate is not None and not 0 < rate <= 1000:
        raise errors.InputError(
            f"--snippets-per-second: found {rate:g}, expected a number above 0, at most"
            " 1000"
        )
    if settings.backbone in _ROWS:
        names, make = _ROWS[settings.backbone]
        return make(settings, _chosen(settings, names))
    if ":" in settings.backbone or settings.backbone.endswith(".onnx"):
        return _of_your_own(settings, _chosen(settings, ("clip",)))
    raise errors.InputError(
        f"--backbone: found {settings.backbone!r}, expected one of {', '.join(_ROWS)},"
        " MODULE:FUNCTION, FILE.py:FUNCTION or FILE.onnx"
    )


def settings_of(record: Mapping[str, Any], place: str) -> Settings:
    """Returns what made the features of a manifest.

    Args:
      record: the manifest's "extraction".
      place: of the manifest, for messages.

    Raises:
      InputError: `cleannet extract` has not written it.
    """
    known = {field.name for field in dataclasses.fields(Settings)}
    try:
        values = {name: record[name] for name in known if name in record}
        values["weights"] = tuple(item["file"] for item in record.get("weights", ()))
        values |= {
            name: tuple(values[name])
            for name in ("streams", "trained_on", "means")
            if values.get(name) is not None
        }
        return Settings(**{"backbone": record["backbone"], **values})
    except (KeyError, TypeError) as error:
        raise errors.InputError(
            f"{place}: extraction: found none that can be repeated ({error}), expected"
            " what `cleannet extract` writes; extract the videos with it, and localize"
            " in that folder with --data"
        ) from None


def _chosen(settings: Settings, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the streams that are wanted, in the order of the row."""
    wrong = [name for name in settings.streams if name not in known]
    if wrong:
        raise errors.InputError(
            f"--streams: found {wrong[0]!r}, expected one of {', '.join(known)}, as"
            f" {settings.backbone} has them"
        )
    return tuple(n for n in known if n in settings.streams or not settings.streams)


def _efficientnet(settings: Settings, names: tuple[str, ...]) -> extract.Backbone:
    """EfficientNet-Lite0 with the weights of ImageNet."""
    path = efficientnet_lite.weights_path()
    params = efficientnet_lite.params_from(weights.read_state(path), place=str(path))
    network = efficientnet_lite.Network()

    @jax.jit
    def features(params: Any, images: jax.Array) -> jax.Array:
        normal = (images - 127.0) / 128.0
        return network.apply({"params": params}, normal).features

    def apply(made: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        compute = functools.partial(features, params)
        return {name: batches.batched(compute, made[name], _BATCH) for name in names}

    grid = inputs.Grid(rate=settings.snippets_per_second or RATE)
    size = video_lib.Size(shorter=inputs.SHORTER, crop=(inputs.CROP, inputs.CROP))
    return extract.Backbone(
        streams=streams_lib.Streams(names, (efficientnet_lite.FEATURES,) * len(names)),
        grid=grid,
        inputs=inputs.Images(grid, names, size),
        apply=apply,
        chunk=_CHUNK,
        trained_on=("ImageNet",),
        record=_record(settings, names, grid) | {"network": _digest(path)},
    )


def _blocks(settings: Settings, names: tuple[str, ...]) -> extract.Backbone:
    """Mean colours and motion, which the processes that decode compute."""
    grid = inputs.Grid(rate=settings.snippets_per_second or RATE)
    return extract.Backbone(
        streams=streams_lib.Streams(names, (0,) * len(names)),
        grid=grid,
        inputs=inputs.Blocks(grid, names),
        apply=lambda made: made,
        chunk=_CHUNK,
        trained_on=(),
        record=_record(settings, names, grid),
    )


def _tsn(settings: Settings, names: tuple[str, ...]) -> extract.Backbone:
    """UntrimmedNet's two networks."""
    for flag, value, known in (
        ("--crops", settings.crops, ("center", "ten")),
        ("--flow", settings.flow, ("tvl1", "dis")),
    ):
        if value not in known:
            raise errors.InputError(
                f"{flag}: found {value!r}, expected one of {', '.join(known)}"
            )
    networks = tsn.read_networks(settings.weights, names)
    if settings.means:
        networks = networks._replace(means=settings.means)
    trained_on = settings.trained_on or networks.trained_on
    rate = settings.snippets_per_second
    grid = inputs.Grid(rate=rate) if rate else inputs.Grid(frames=tsn.FRAMES)
    record = _record(settings, names, grid) | {
        "weights": [
            {"file": path, "sha256": "" if path == tsn.RANDOM else _digest(path)}
            for path in settings.weights
        ],
        "means": list(networks.means),
        "flow_mean": networks.flow_mean,
        "crops": settings.crops,
        "flow": settings.flow,
        "trained_on": list(trained_on),
    }
    return extract.Backbone(
        streams=streams_lib.Streams(names, (bn_inception.FEATURES,) * len(names)),
        grid=grid,
        inputs=inputs.TwoStream(grid, names, settings.flow, settings.flow_cache),
        apply=functools.partial(tsn.features, networks, crops=settings.crops),
        chunk=tsn.CHUNK,
        trained_on=trained_on,
        record=record,
        heads=tsn.heads(networks, settings.classes) if settings.classes else None,
    )


def _of_your_own(settings: Settings, names: tuple[str, ...]) -> extract.Backbone:
    """A function, or a network in a file of ONNX."""
    is_file = settings.backbone.endswith(".onnx")
    size, count = settings.frame_size, settings.frames_per_snippet
    for flag, value in (("--frame-size", size), ("--frames-per-snippet", count)):
        if not 1 <= value <= 4096:
            raise errors.InputError(f"{flag}: found {value}, expected 1 to 4096")
    more: dict[str, Any] = {}
    if is_file:
        function, size, count = own.open_onnx(settings.backbone, size, count)
        more = {"network": _digest(settings.backbone)}
    else:
        function = own.function_named(settings.backbone)
        place = settings.backbone.rpartition(":")[0]
        # A changed file may be another network; of a module its file says less.
        more = {"network": _digest(place)} if place.endswith(".py") else {}
    grid = inputs.Grid(rate=settings.snippets_per_second or RATE)
    frames = video_lib.Size(shorter=size, crop=(size, size))

    def apply(made: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return {"clip": own.features(function, made["frames"], settings.backbone)}

    return extract.Backbone(
        streams=streams_lib.Streams(names, (0,)),
        grid=grid,
        inputs=inputs.Clips(grid, count, frames),
        apply=apply,
        chunk=max(1, min(_CHUNK, 256 // count)),
        trained_on=settings.trained_on,
        record=_record(settings, names, grid)
        | {"frame_size": size, "frames_per_snippet": count}
        | {"trained_on": list(settings.trained_on)}
        | more,
    )


_Row = tuple[tuple[str, ...], Callable[[Settings, tuple[str, ...]], extract.Backbone]]
_ROWS: Mapping[str, _Row] = {
    "efficientnet_lite0": (("rgb", "rgbdiff"), _efficientnet),
    "tsn": (("rgb", "flow"), _tsn),
    "blocks": (("rgb", "motion"), _blocks),
}


def _record(
    settings: Settings, names: tuple[str, ...], grid: inputs.Grid
) -> dict[str, Any]:
    """What every row notes of itself."""
    return {
        "backbone": settings.backbone,
        "streams": list(names),
        "snippets_per_second": grid.rate or None,
    }


def _digest(path: str | pathlib.Path) -> str:
    """The SHA-256 of a file."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise errors.InputError(f"{path}: {error.strerror}") from None
