"""Heads of single streams that were trained elsewhere: recovered, written, read.

Parameters are nested dicts of float32 arrays as `models.head.StreamHead` has them:
{"rgb", "flow"}, each {"classification": {"kernel": [D, N], "bias": [N]}, "attention":
{"kernel": [D, 1], "bias": [1]}}. `models.head.fuse_streams` joins them (Eqs. 4, 5).
"""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from cleannet_jax import errors
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import arrays, files

Params = dict[str, dict[str, dict[str, np.ndarray]]]

_STREAMS = ("rgb", "flow")
_LAYERS = ("classification", "attention")


class Outputs(NamedTuple):
    """What heads made of the T snippets of a video, RGB first, then flow.

    Attributes:
      features: [2, T, D].
      probabilities: [2, T, N] in [0, 1], softmax over categories.
      attention: [2, T] logits.
    """

    features: np.ndarray
    probabilities: np.ndarray
    attention: np.ndarray


class Heads(NamedTuple):
    """Heads as recovered from what they made of features.

    Attributes:
      categories: names of the N categories.
      params: of both streams. Class weights have mean zero over categories, which no
        softmax sees.
      snippets: number of snippets that the class weights come from.
      left_out: number of those that they do not, for a probability too small.
      class_errors: of either stream, root mean square of what the weights leave of
        the centred log-probabilities.
      attention_errors: the same of the attention logits.
    """

    categories: tuple[str, ...]
    params: Params
    snippets: int
    left_out: int
    class_errors: tuple[float, float]
    attention_errors: tuple[float, float]


class _Sums(NamedTuple):
    """Sums over snippets that a least-squares fit needs; x has a last column of ones."""

    count: int
    xx: np.ndarray  # [D + 1, D + 1]
    xy: np.ndarray  # [D + 1, M]
    yy: np.ndarray  # [M]


def recover(
    videos: Iterable[Outputs],
    *,
    categories: Sequence[str],
    min_probability: float = 1e-6,
    max_snippets: int = 100_000,
) -> Heads:
    """Returns the heads that made these probabilities and attentions (R8).

    A softmax has log p_n(t) = w_n . f(t) + b_n - log Z(t). Less their mean over n,
    which takes Z away, log-probabilities are affine in the features, and attention
    logits are as they stand: least squares in float64 gives both.

    Args:
      videos: read one at a time, until there are enough snippets.
      categories: names of the N categories.
      min_probability: snippets with a smaller one are left out of the class weights,
        since text has too few digits of it.
      max_snippets: usable ones at which to stop reading.

    Raises:
      InputError: there are fewer usable snippets than weights to find.
    """
    sums: dict[tuple[str, str], _Sums] = {}
    total = 0
    for video in videos:
        usable = np.all(video.probabilities >= min_probability, axis=(0, 2))  # [T]
        for index, stream in enumerate(_STREAMS):
            features = video.features[index]
            targets = _centred_logs(video.probabilities[index, usable])
            _add(sums, (stream, "classification"), features[usable], targets)
            targets = video.attention[index, :, np.newaxis]
            _add(sums, (stream, "attention"), features, targets)
        total += len(usable)
        if sums["rgb", "classification"].count >= max_snippets:
            break
    _check_enough(sums, total, min_probability)
    fits = {key: _solve(value) for key, value in sums.items()}
    snippets = sums["rgb", "classification"].count
    return Heads(
        categories=tuple(categories),
        params={
            stream: {layer: fits[stream, layer][0] for layer in _LAYERS}
            for stream in _STREAMS
        },
        snippets=snippets,
        left_out=total - snippets,
        class_errors=tuple(fits[stream, "classification"][1] for stream in _STREAMS),
        attention_errors=tuple(fits[stream, "attention"][1] for stream in _STREAMS),
    )


def write(path: str | os.PathLike, heads: Heads) -> None:
    """Writes heads as an .npz file that `read` accepts, whole or not at all."""
    values = {
        f"{stream}/{layer}/{name}": array
        for stream, layers in heads.params.items()
        for layer, parts in layers.items()
        for name, array in parts.items()
    }
    with files.open_atomic(path, "wb") as file:
        np.savez(file, categories=np.array(heads.categories), **values)


def read(
    path: str | os.PathLike,
    *,
    categories: Sequence[str],
    streams: streams_lib.Streams,
) -> Params:
    """Returns the parameters of both heads from a file, by the names of the streams.

    Args:
      path: of the file.
      categories: names of the N categories, in the order wanted.
      streams: of the features: RGB, then flow.

    Raises:
      InputError: it is no file of heads, or its heads lack a category or are for features
        of another width or number of streams.
    """
    if len(streams) != len(_STREAMS):
        raise errors.InputError(
            f"{path}: found heads of the streams {' and '.join(_STREAMS)}, expected heads"
            f" of {' and '.join(streams.names)}, those of the features"
        )
    found = _read_arrays(path)
    names = found["categories"].tolist()
    # Those of others are left out: THUMOS14 detects 20 of the 101 that it classifies.
    missing = sorted(set(categories) - set(names))
    if missing or len(set(names)) < len(names):
        raise errors.InputError(
            f"{path}: found heads of {len(names)} categories, expected those of"
            f" {len(categories)}, each once; {(missing or names)[0]!r} is not among them"
        )
    order = [names.index(name) for name in categories]
    params: Params = {}
    for own, stream, width in zip(streams.names, _STREAMS, streams.widths, strict=True):
        layers = {"classification": len(names), "attention": 1}
        params[own] = {}
        for layer, columns in layers.items():
            kernel = _array(found, f"{stream}/{layer}/kernel", (width, columns), path)
            bias = _array(found, f"{stream}/{layer}/bias", (columns,), path)
            if layer == "classification":
                kernel, bias = kernel[:, order], bias[order]
            params[own][layer] = {"kernel": kernel, "bias": bias}
    return params


def _centred_logs(probabilities: np.ndarray) -> np.ndarray:
    """Log-probabilities less their mean over categories, [T, N] float64."""
    logs = np.log(probabilities.astype(np.float64))
    return logs - logs.mean(axis=1, keepdims=True)


def _add(
    sums: dict[tuple[str, str], _Sums],
    key: tuple[str, str],
    features: np.ndarray,
    targets: np.ndarray,
) -> None:
    """Adds the snippets of a video to the sums of one fit."""
    x = np.ones((len(features), features.shape[1] + 1))
    x[:, :-1] = features
    y = targets.astype(np.float64)
    new = _Sums(len(x), x.T @ x, x.T @ y, np.sum(y * y, axis=0))
    before = sums.get(key)
    sums[key] = _Sums(*map(sum, zip(before, new, strict=True))) if before else new


def _check_enough(
    sums: dict[tuple[str, str], _Sums], total: int, min_probability: float
) -> None:
    """Raises unless there are as many snippets as unknowns of a category."""
    needed = len(sums["rgb", "classification"].xx) if sums else 1
    found = sums["rgb", "classification"].count if sums else 0
    if found < needed:
        raise errors.InputError(
            f"heads: found {found} of {total} snippets with all probabilities at least"
            f" {min_probability:g}, expected {needed} or more"
        )


def _solve(sums: _Sums) -> tuple[dict[str, np.ndarray], float]:
    """Kernel and bias of a fit, and the root mean square of what they leave."""
    # Columns that are never used, or that say the same, have no weight of their own.
    values, vectors = np.linalg.eigh(sums.xx)
    kept = values > 1e-12 * values[-1]
    projected = vectors[:, kept].T @ sums.xy / values[kept, np.newaxis]
    solution = vectors[:, kept] @ projected  # [D + 1, M]
    fitted = 2 * np.sum(solution * sums.xy, axis=0)
    fitted -= np.sum(solution * (sums.xx @ solution), axis=0)
    left = np.maximum(sums.yy - fitted, 0).sum() / (sums.count * len(sums.yy))
    params = solution.astype(np.float32)
    return {"kernel": params[:-1], "bias": params[-1]}, float(np.sqrt(left))


def _read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of an .npz file of heads."""
    found = arrays.read_members(path)
    names = found.get("categories", np.zeros(0))
    if names.dtype.kind != "U" or names.ndim != 1:
        raise errors.InputError(
            f"{path}: no .npz file of heads, expected one that `cleannet convert` has made"
        )
    return found


def _array(
    found: dict[str, np.ndarray],
    name: str,
    shape: tuple[int, ...],
    path: str | os.PathLike,
) -> np.ndarray:
    """One array of the parameters, once it is of floats and of that shape."""
    if name not in found:
        raise errors.InputError(f"{path}: {name}: found nothing, expected floats")
    arrays.check_floats(found[name], place=f"{path}: {name}", shape=shape)
    with np.errstate(over="ignore"):
        values = found[name].astype(np.float32)
    if not np.isfinite(values).all():
        raise errors.InputError(
            f"{path}: {name}: found values that are not finite, expected finite ones"
        )
    return values
