"""Six published localizers: how the field has turned snippet scores into detections.

Each cuts sequences of a video at thresholds, takes every run of samples above one for a
proposal, scores it by the mean inside less that of both flanks together (outer–inner
contrast, OIC), adds a share of the video's score, pools all, and suppresses. What they
differ in is a row here, read from the code that their authors released for THUMOS14.

Two of their habits are followed only with `traps`: the OIC of a sequence in which what
is below the cut has become 0; and lengths in suppression that are one second, or one
snippet, more than they are, together with repeated proposals that suppress each other.
Without, sequences are scored whole, lengths are real, and of equal proposals the best
one stays. Never done are two more: to delete what touches an ambiguous segment of the
test set, and to keep the checkpoint that is best on it.

Read differently, so that any source of SCPs will do: the class sequence is the SCP, the
video's score its own prediction, and attention is relative to its maximum in the video;
where it is uniform the SCP between its extremes in the video takes its place.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cleannet_jax.localizers import proposals as proposals_lib
from cleannet_jax.models import predictions as predictions_lib
from cleannet_jax.ops import integral, nms, pooling, runs

# One second of published features: 25 frames a second, 16 a snippet.
SECOND = 25 / 16


class Sequence(NamedTuple):
    """A sequence of one category in one video.

    Attributes:
      name: "scp"; "attention"; "weighted", their product; "actionness", the sum of all
        categories' SCPs; or "mean", of the SCP and attention counted twice.
      normalised: whether between its extremes in the video.
    """

    name: str
    normalised: bool = False


class Branch(NamedTuple):
    """One sequence that is cut.

    Attributes:
      cut: the sequence.
      thresholds: at which.
      scored: the sequence that the OIC is of.
      share: of the video's score that is added.
      trapped: whether the traps score it with zeros below the cut.
    """

    cut: Sequence
    thresholds: tuple[float, ...]
    scored: Sequence
    share: float
    trapped: bool = False


class Recipe(NamedTuple):
    """A localizer.

    Attributes:
      branches: whose proposals are pooled.
      min_video_score: of categories that are localized.
      flank: one over the share of a proposal's length that each flank has.
      suppression: "hard", "soft" or "demoted", which keeps what it removes with the
        score that soft suppression would give it.
      max_tiou: the overlap from which on it is hard.
      sigma: of Gaussian suppression.
      scale: samples a snippet, between which sequences are interpolated.
      shortest: samples that a run has at least.
      strictly: whether a value must be above a threshold, not just equal to it.
      best_if_none: whether the best category is localized where none has the score.
      binarised: whether the score of a localized category counts as 1.
      in_seconds: whether the traps add a second to a length, or else a snippet.
    """

    branches: tuple[Branch, ...]
    min_video_score: float
    flank: int
    suppression: str
    max_tiou: float = 0.0
    sigma: float = 0.0
    scale: int = 1
    shortest: int = 1
    strictly: bool = False
    best_if_none: bool = True
    binarised: bool = False
    in_seconds: bool = False


def _evenly(first: float, last: float, count: int) -> tuple[float, ...]:
    step = (last - first) / (count - 1)
    return tuple(first + step * index for index in range(count))


_LOW = _evenly(0.0, 0.225, 10)
_FINE = _evenly(0.1, 0.9, 33)
_SCP, _ATTENTION = Sequence("scp", normalised=True), Sequence("attention")
_WEIGHTED, _ITS_RANGE = Sequence("weighted"), Sequence("weighted", normalised=True)
_MEAN = Sequence("mean")


def _co2_net(count: int) -> Recipe:
    """CO2-Net's and its successors', with so many thresholds."""
    return Recipe(
        (Branch(_ATTENTION, _evenly(0.1, 0.9, count), _WEIGHTED, 0.2),),
        min_video_score=0.2,
        flank=4,
        suppression="soft",
        sigma=0.3,
        strictly=True,
    )


RECIPES: Mapping[str, Recipe] = {
    # Lee et al., AAAI 2020, github.com/Pilhyeon/BaSNet-pytorch.
    "basnet": Recipe(
        (Branch(_ITS_RANGE, _LOW, _ITS_RANGE, 0.2, trapped=True),),
        min_video_score=0.25,
        flank=4,
        suppression="hard",
        max_tiou=0.7,
        scale=24,
        best_if_none=False,
        binarised=True,
        in_seconds=True,
    ),
    # Zhang et al., CVPR 2021, github.com/zhang-can/CoLA.
    "cola": Recipe(
        (
            Branch(_SCP, _LOW, _SCP, 0.2, trapped=True),
            Branch(Sequence("actionness", normalised=True), _FINE, _SCP, 0.2),
        ),
        min_video_score=0.2,
        flank=4,
        suppression="hard",
        max_tiou=0.6,
        scale=24,
        shortest=2,
        in_seconds=True,
    ),
    # He et al., CVPR 2022, github.com/boheumd/ASM-Loc.
    "asm_loc": Recipe(
        (
            Branch(_WEIGHTED, (0.15, 0.2), _WEIGHTED, 0.0, trapped=True),
            Branch(_ATTENTION, _FINE, _WEIGHTED, 0.0),
        ),
        min_video_score=0.25,
        flank=5,
        suppression="hard",
        max_tiou=0.45,
        scale=20,
        shortest=2,
        in_seconds=True,
    ),
    # Hong et al., ACM MM 2021, github.com/harlanhong/MM2021-CO2-Net; DDG-Net's too.
    "co2_net": _co2_net(10),
    # Chen et al., ECCV 2022, github.com/MengyuanChen21/ECCV2022-DELU.
    "delu": _co2_net(20),
    # github.com/sejong-rcv/PVLR.
    "pvlr": Recipe(
        (
            Branch(_ITS_RANGE, _evenly(0.1, 0.95, 10), _ITS_RANGE, 0.5),
            Branch(_ATTENTION, _evenly(0.1, 0.95, 10), _WEIGHTED, 0.05),
        ),
        min_video_score=0.2,
        flank=10,
        suppression="soft",
        sigma=0.2,
        strictly=True,
    ),
    # github.com/lizhilin-ustc/SAL.
    "sal": Recipe(
        (Branch(_MEAN, _evenly(0.1, 0.9, 9), _MEAN, 0.2),),
        min_video_score=0.25,
        flank=4,
        suppression="demoted",
        max_tiou=0.4,
        sigma=0.3,
        scale=24,
        in_seconds=True,
    ),
}


def detect(
    recipe: Recipe,
    predictions: predictions_lib.SnippetPredictions,
    length: jax.Array | int,
    *,
    most: int,
    max_outputs: int,
    traps: bool = False,
    second: jax.Array | float = SECOND,
    weighed: bool = False,
) -> tuple[jax.Array, nms.Kept]:
    """Follows a recipe in one padded video.

    Args:
      recipe: a row of `RECIPES`.
      predictions: of T snippets and N categories.
      length: number of valid snippets.
      most: C, of categories that are localized.
      max_outputs: the most detections of a category.
      traps: whether to follow it to the letter.
      second: in snippets, for the traps.
      weighed: whether the SCP is a product with attention already.

    Returns:
      Categories [C], and what was kept of each, [C, max_outputs], in snippets.
    """
    scores, categories = jax.lax.top_k(predictions.video, most)
    chosen = scores >= recipe.min_video_score
    if recipe.best_if_none:
        chosen = chosen.at[0].set(True)
    relative, varies = proposals_lib.relative_attention(predictions.sap, length)
    actionness = jnp.sum(predictions.scp, axis=1)
    extra = (second if recipe.in_seconds else 1.0) * recipe.scale if traps else 0.0

    def of_category(inputs):
        category, score, wanted = inputs
        psi = predictions.scp[:, category]
        attention = jnp.where(varies, relative, runs.normalised(psi, length=length))
        known = {"scp": psi, "attention": attention, "actionness": actionness}
        known["weighted"] = psi if weighed else psi * attention
        known["mean"] = (psi + 2 * attention) / 3
        score = jnp.float32(1) if recipe.binarised else score
        found = [
            _proposals(recipe, branch, known, score, length, traps)
            for branch in recipe.branches
        ]
        segments, values = (jnp.concatenate(x) for x in zip(*found, strict=True))
        values = jnp.where(wanted, values, -jnp.inf)
        if not traps:
            values = _best_of_equal(segments, values)
        longer = segments + jnp.stack([jnp.zeros(()), jnp.asarray(extra)])
        values = _suppressed(recipe, longer, values)
        kept = nms.suppress(segments, values, max_tiou=1.0, max_outputs=max_outputs)
        return kept._replace(segments=kept.segments / recipe.scale)

    # One after the other: many thresholds of many samples are much memory.
    return categories, jax.lax.map(of_category, (categories, scores, chosen))


def _proposals(
    recipe: Recipe,
    branch: Branch,
    known: Mapping[str, jax.Array],
    score: jax.Array,
    length: jax.Array | int,
    traps: bool,
) -> tuple[jax.Array, jax.Array]:
    """Runs [P, 2] in samples of one branch and category, and their scores [P]."""
    cut, scored = (
        _samples(known, sequence, length, recipe.scale)
        for sequence in (branch.cut, branch.scored)
    )
    # Between snippets there is no other maximum.
    most = (known["scp"].shape[0] + 1) // 2
    inside = pooling.valid_snippets(cut.shape[0], length * recipe.scale)

    def of(threshold):
        if recipe.strictly:
            selected = cut > threshold
        else:
            selected = (cut >= threshold) & (cut > 0)
        found = runs.of_mask(selected & inside, most=most)
        sequence = scored
        if traps and branch.trapped:
            sequence = jnp.where(scored < threshold, 0, scored)
        contrast = _outer_inner(sequence, found, length * recipe.scale, recipe.flank)
        long_enough = found[:, 1] - found[:, 0] >= recipe.shortest
        return found, jnp.where(long_enough, contrast + branch.share * score, -jnp.inf)

    found, values = jax.lax.map(of, jnp.asarray(branch.thresholds))
    return found.reshape(-1, 2), values.reshape(-1)


def _samples(
    known: Mapping[str, jax.Array],
    sequence: Sequence,
    length: jax.Array | int,
    scale: int,
) -> jax.Array:
    """A sequence at `scale` samples a snippet, [T · scale].

    Linear between snippets, whose values are those of the whole numbers, and after the
    last one as before it.
    """
    values = known[sequence.name]
    if sequence.normalised:
        values = runs.normalised(values, length=length)
    if scale == 1:
        return values
    snippet, step = jnp.divmod(jnp.arange(values.shape[0] * scale), scale)
    last = jnp.maximum(length - 1, 0)
    # From the last snippet on; its own value stays what it is.
    beyond = snippet >= last
    here = jnp.where(beyond, last, snippet)
    low = jnp.where(beyond, jnp.maximum(last - 1, 0), snippet)
    high = jnp.where(beyond, last, snippet + 1)
    share = (snippet * scale + step - here * scale) / scale
    return values[here] + (values[high] - values[low]) * share


def _outer_inner(
    sequence: jax.Array, found: jax.Array, length: jax.Array | int, flank: int
) -> jax.Array:
    """OIC [P] of runs: flanks are rounded up on the left and down on the right."""
    sequence = jnp.where(pooling.valid_snippets(sequence.shape[0], length), sequence, 0)
    sums = integral.integrate([sequence])
    start, end = found.T
    extent = end - start
    before = jnp.minimum(-jnp.floor(-extent / flank), start)
    after = jnp.minimum(jnp.floor(extent / flank), length - end)

    def total(first, width):
        some = width > 0
        whole = [integral.Region(1, 0, 0, 1)]
        means = integral.weighted_means(
            whole, sums, first, jnp.where(some, width, 1), jnp.ones_like(some)
        )
        return jnp.where(some, means * width, 0)

    around = total(start - before, before) + total(end, after)
    inner = total(start, extent) / jnp.maximum(extent, 1)
    return inner - around / jnp.maximum(before + after, 1)


def _best_of_equal(segments: jax.Array, scores: jax.Array) -> jax.Array:
    """Scores [P] with -inf for all but the best of proposals with the same bounds."""
    order = jnp.lexsort((-scores, segments[:, 1], segments[:, 0]))
    ranked = segments[order]
    again = jnp.all(ranked[1:] == ranked[:-1], axis=-1)
    again = jnp.zeros(scores.shape[0], bool).at[order[1:]].set(again)
    return jnp.where(again, -jnp.inf, scores)


def _suppressed(recipe: Recipe, segments: jax.Array, scores: jax.Array) -> jax.Array:
    """Scores [P] after suppression, -inf for what is removed."""
    if recipe.suppression == "soft":
        return nms.soften(segments, scores, sigma=recipe.sigma, all_signs=True)
    # Theirs remove from that overlap on, and ours above it.
    most = jnp.nextafter(jnp.float32(recipe.max_tiou), jnp.float32(0))
    if recipe.suppression == "demoted":
        return nms.demote(segments, scores, max_tiou=most, sigma=recipe.sigma)
    keep = functools.partial(nms.survivors, max_tiou=most)
    return jnp.where(keep(segments, scores), scores, -jnp.inf)
