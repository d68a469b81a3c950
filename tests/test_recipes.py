import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipes_by_hand

from cleannet_jax.localizers import recipes
from cleannet_jax.models import predictions as predictions_lib

pytestmark = pytest.mark.once


def video_of(seed, snippets, categories, *, smooth):
    """Snippet scores between 0 and 1; attention has 1 in it."""
    rng = np.random.default_rng(seed)
    scp, attention = rng.random((snippets, categories)), rng.random((snippets, 1))
    if smooth:
        window = np.ones(5) / 5
        around = lambda x: np.convolve(np.pad(x, 2, "edge"), window, "valid")
        scp, attention = (np.apply_along_axis(around, 0, x) for x in (scp, attention))
    # float32 numbers, so that both see the same ones.
    attention = (attention[:, 0] / attention.max()).astype(np.float32).astype(float)
    scp = scp.astype(np.float32).astype(float)
    video = rng.dirichlet(np.ones(categories)).astype(np.float32).astype(float)
    return recipes_by_hand.Video(scp, attention, video)


def predictions_of(video, padded):
    """The same as a classifier says it, with what must not matter in the padding."""
    more = padded - len(video.scp)
    scp = np.pad(video.scp, [(0, more), (0, 0)], constant_values=0.7)
    sap = np.pad(video.attention / video.attention.sum(), (0, more))
    arrays = (jnp.asarray(x, jnp.float32) for x in (scp, sap, video.video, scp))
    return predictions_lib.SnippetPredictions(*arrays)


def found_by(name, video, padded, *, traps, second=recipes.SECOND):
    follow = jax.jit(
        recipes.detect,
        static_argnames=("recipe", "most", "max_outputs", "traps"),
    )
    categories, kept = follow(
        recipes.RECIPES[name],
        predictions_of(video, padded),
        len(video.scp),
        most=video.scp.shape[1],
        max_outputs=800,
        traps=traps,
        second=second,
    )
    used = kept.scores > -np.inf
    categories = np.broadcast_to(categories[:, None], used.shape)
    return ordered(categories[used], kept.segments[used], kept.scores[used])


def ordered(categories, segments, scores):
    """Detections as rows, by category and time, then by falling score."""
    rows = np.column_stack([categories, segments, scores]).astype(float)
    samples = np.round(rows[:, 1:3] * 120)
    return rows[np.lexsort((-rows[:, 3], *samples.T, rows[:, 0]))]


@pytest.mark.parametrize("traps", [False, True])
@pytest.mark.parametrize("name", recipes.RECIPES)
def test_equals_the_reading_in_numpy(name, traps):
    cases = [(5, False, 1.5625), (23, False, 1.5625), (40, True, 10), (48, True, 3)]
    for seed, (snippets, smooth, second) in enumerate(cases):
        video = video_of(seed, snippets, 4, smooth=smooth)
        read = getattr(recipes_by_hand, name)(video, traps=traps, second=second)
        expected = ordered(read.categories, read.segments, read.scores)
        found = found_by(name, video, 48, traps=traps, second=second)
        assert len(found) == len(expected) > 0
        np.testing.assert_allclose(found[:, :3], expected[:, :3], rtol=0, atol=1e-5)
        np.testing.assert_allclose(found[:, 3], expected[:, 3], rtol=0, atol=1e-6)
