"""Categories by words instead of training: an SCP from text and frames alike.

A network with two towers, as CLIP's, embeds frames and texts in one space. With f_t the
embedding of a snippet, smoothed over a few of them, and g_n that of the text of category
n, both of length 1,

    ψ_t,n = softmax over n of (f_t · g_n / τ),

where texts of what is no category stand among the n, so that a snippet may be of none;
their columns are dropped. τ is the temperature that the network was trained with (CLIP's
is .01). What localizes reads ψ as any other SCP.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import errors, in_videos, localize, logs, methods, new_videos
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.data import snippets
from cleannet_jax.features import extract, own
from cleannet_jax.models import predictions
from cleannet_jax.ops import pooling

BACKGROUND = ("a photo of nothing in particular",)
TEMPERATURE = 0.01
SMOOTHING = 3


def snippet_scores(
    frames: jax.Array,
    texts: jax.Array,
    *,
    num_categories: int,
    temperature: float = TEMPERATURE,
    smoothing: int = SMOOTHING,
) -> jax.Array:
    """ψ [T, N] of one video, in [0, 1].

    Args:
      frames: [T, D] embeddings of snippets, of any length but 0.
      texts: [N + B, D] those of categories, then of what is none.
      num_categories: N.
      temperature: τ, above 0.
      smoothing: snippets that embeddings are averaged over, odd.
    """
    smooth = pooling.smoothed(_normal(frames), width=smoothing, length=len(frames))
    return jax.nn.softmax(_normal(smooth) @ _normal(texts).T / temperature)[
        :, :num_categories
    ]


def _normal(vectors: jax.Array) -> jax.Array:
    """Vectors [..., D] of length 1."""
    norm = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / jnp.maximum(norm, jnp.finfo(jnp.float32).tiny)


def embed(function: Any, texts: Sequence[str], name: str) -> np.ndarray:
    """Embeddings [N, D] of texts by the `text` of a backbone.

    Args:
      function: with an attribute `text`, from N texts to (N, D).
      texts: N of them.
      name: of the function, for messages.

    Raises:
      InputError: it has none, it raises, or returns anything else.
    """
    text = getattr(function, "text", None)
    if not callable(text):
        raise errors.InputError(
            f"{name}: found no attribute `text`, expected one that takes texts and"
            " returns an embedding of each, in the space of those of frames"
        )
    found = own.called(text, list(texts), f"{name}.text")
    if found.ndim != 2 or len(found) != len(texts) or not np.isfinite(found).all():
        raise errors.InputError(
            f"{name}.text: returned shape {found.shape} for {len(texts)} texts, expected"
            f" ({len(texts)}, D), finite"
        )
    return found


def localize_by_words(
    texts: Sequence[str],
    videos: Mapping[str, pathlib.Path],
    out: pathlib.Path,
    backbone: extract.Backbone,
    *,
    background: Sequence[str] = BACKGROUND,
    temperature: float = TEMPERATURE,
    method: str = "plain",
    truth: str | None = None,
    clip: bool = False,
    workers: int | None = None,
) -> in_videos.Found:
    """Finds what texts say in videos, and writes it as `in_videos.write` does.

    Args:
      texts: a category each.
      videos: files by id.
      out: folder, is made if it is not there.
      backbone: of your own, a function that has `text` too.
      background: texts of what is no category.
      temperature: τ.
      method: that localizes, as in `methods`.
      truth: annotations of the videos to draw, if there are any.
      clip: whether to cut each instance into a file.
      workers: processes that decode; None for one a core.

    Raises:
      InputError: a text stands twice, the backbone has no text tower or one of another
        space, the folder is of something else, or no video can be read.
    """
    name = backbone.record["backbone"]
    if not texts or len(set(texts)) < len(texts):
        raise errors.InputError(
            f"--text: found {list(texts)}, expected different texts"
        )
    if not temperature > 0:
        raise errors.InputError(
            f"--temperature: found {temperature:g}, expected a number above 0"
        )
    known = embed(own.function_named(name), [*texts, *background], name)
    config = methods.apply(
        config_lib.Config(dataset="words", anchors_per_octave=3),
        f"{methods.SCORES}+{method}",
    )
    report = extract.extract(
        videos, out / in_videos.FEATURES, backbone, workers=workers
    )
    folder = out / in_videos.FEATURES
    manifest = manifest_lib.read_manifest(folder / "manifest.json")
    opened = new_videos.open_folder(folder, manifest, categories=tuple(texts))
    names = [video for video in videos if video in opened.videos]
    dataset = in_videos.only(opened, names)
    if opened.streams.width != known.shape[1]:
        raise errors.InputError(
            f"{name}: found texts of {known.shape[1]} numbers and frames of"
            f" {opened.streams.width}, expected one space"
        )
    snippets.check_folder(out / in_videos.SCP)
    with snippets.rewritten(out / in_videos.SCP, dataset, names) as write:
        for video in names:
            scp = snippet_scores(
                jnp.asarray(dataset.read(video)),
                jnp.asarray(known),
                num_categories=len(texts),
                temperature=temperature,
            )
            write(video, _predictions(np.asarray(scp)))
    saved = snippets.open_folder(out / in_videos.SCP, dataset)
    with logs.progress_bar("localize", total=len(names)) as bar:
        (found,) = localize.localize(
            [localize.Model(config, {}, saved)],
            dataset,
            names,
            progress=lambda done, total: bar.update(),
        )
    return in_videos.write(
        dataset, found, videos, out, config, truth=truth, clip=clip, report=report
    )


def _predictions(scp: np.ndarray) -> predictions.SnippetPredictions:
    """An SCP with uniform attention, and a video's scores from its highest snippets."""
    count = -(-len(scp) // pooling.INSTANCE_SHARE)
    return predictions.SnippetPredictions(
        scp=scp,
        sap=np.full(len(scp), 1 / len(scp), np.float32),
        video=np.sort(scp, axis=0)[-count:].mean(axis=0),
        activations=scp,
    )
