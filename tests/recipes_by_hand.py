"""How published localizers turn snippet scores into detections, read by hand (NumPy).

Slow loops in double precision, one function a recipe, to test against. Each follows
the code that the method's authors released for THUMOS14, with two changes: its video
score is the one given, and where it has several attentions or streams, there is one.
SAL's helpers were not to be had and are read from the authors' earlier AICL and their
SAL for ActivityNet, which agree. DELU was released with 10 thresholds and with 20, and
with and without dropping what lasts one snippet in the end: 20 and without, here.

With `traps` a recipe does what that code does, also where it looks like a slip:

- BaS-Net, CoLA and ASM-Loc take the contrast of the class sequence after what is below
  the cut was set to 0;
- suppression measures end − start + 1, in seconds or in snippets, so that segments
  less than 1 apart overlap;
- equal proposals of several thresholds stay, to be suppressed like others.

Without, the contrast is that of the uncut sequence, lengths are real, and of proposals
with the same bounds the best stays. All else is the same. One slip of theirs is not
followed: they ask of indices whether any is true, where they mean whether there is any,
so that a mask that holds at index 0 alone gives nothing.

Among equal scores the earlier proposal comes first: branches in the order given,
thresholds ascending, time ascending. Detections come by category, as suppression
leaves them. Times are in snippets.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

# Of 16 frames each, at 25 frames a second.
_SECOND = 1.5625

_LOW = np.arange(0.0, 0.25, 0.025)  # 0, .025, … .225
_FINE = np.arange(0.1, 0.925, 0.025)  # .1, .125, … .9


class Video(NamedTuple):
    """What the recipes take of one video."""

    scp: np.ndarray  # [T, N], in [0, 1]
    attention: np.ndarray  # [T], in [0, 1]
    video: np.ndarray  # [N], the video-level prediction


class Found(NamedTuple):
    """The detections of one video."""

    segments: np.ndarray  # [M, 2], in snippets
    categories: np.ndarray  # [M] int
    scores: np.ndarray  # [M]


class _Proposal(NamedTuple):
    start: float
    end: float
    score: float


def basnet(video: Video, *, traps: bool, second: float = _SECOND) -> Found:
    """BaS-Net: one branch, the suppressed class sequence.

    A category is taken whose video score is .25 or more, and none if there is none;
    its score counts as 1 from there on.

    >>> scp = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> clip = Video(scp, np.ones(3), np.array([0.0, 0.5]))
    >>> found = basnet(clip, traps=False)
    >>> (found.segments * 24).tolist()  # between the zeros at 0 and 2 × 24
    [[1.0, 48.0]]

    Of the triangle's 47 samples the mean is 24 / 47. Their flanks of 11.75 samples are
    the one at 0 and the 11 on the right: 0, −1 / 24, … −10 / 24, the last of them
    beyond the last snippet.

    >>> bool(np.isclose(found.scores[0], 24 / 47 + 55 / 24 / 12 + 0.2))
    True

    Where the cut sequence gives the contrast, flanks are 0, and the highest threshold,
    .225, is the best: from 6 / 24 on.

    >>> found = basnet(clip, traps=True)
    >>> (found.segments * 24).tolist()
    [[6.0, 43.0]]
    >>> bool(np.isclose(found.scores[0], (24 - 2 * 15 / 24) / 37 + 0.2))
    True
    """
    chosen = np.flatnonzero(video.video >= 0.25)
    suppressed = video.scp * video.attention[:, None]
    pooled = {}
    for category in chosen:
        sequence = upsampled(normalized(suppressed[:, category]), 24)
        pooled[category] = _proposals(
            sequence,
            _LOW,
            # Zeroed below the threshold and then asked for what is above 0.
            above=lambda values, cut: (values >= cut) & (values > 0),
            contrast_of=sequence,
            cut_contrast=traps,
            flank=0.25,
            bonus=0.2 * 1.0,
            scale=24,
            shortest=1,
        )
    return _hard(pooled, max_tiou=0.7, extra=second if traps else 0.0, traps=traps)


def cola(video: Video, *, traps: bool, second: float = _SECOND) -> Found:
    """CoLA: the class sequence, and the actionness, the sum of all class sequences.

    Both are normalized to [0, 1], the former within each category. What is cut by
    actionness is still scored by the category's sequence, and that one uncut.
    """
    pooled = {}
    actionness = upsampled(normalized(video.scp.sum(axis=1)), 24)
    for category in _chosen(video.video >= 0.2, video.video):
        sequence = upsampled(normalized(video.scp[:, category]), 24)
        branch = functools.partial(
            _proposals,
            above=lambda values, cut: (values >= cut) & (values > 0),
            contrast_of=sequence,
            flank=0.25,
            bonus=0.2 * video.video[category],
            scale=24,
            shortest=2,  # samples after upsampling
        )
        pooled[category] = branch(sequence, _LOW, cut_contrast=traps)
        pooled[category] += branch(actionness, _FINE, cut_contrast=False)
    return _hard(pooled, max_tiou=0.6, extra=second if traps else 0.0, traps=traps)


def asm_loc(video: Video, *, traps: bool, second: float = _SECOND) -> Found:
    """ASM-Loc: the foreground's class sequence, and the attention; neither normalized.

    What is cut by attention is scored by the class sequence, uncut. The video score
    takes no part in a proposal's.
    """
    foreground = video.scp * video.attention[:, None]
    attention = upsampled(video.attention, 20)
    pooled = {}
    for category in _chosen(video.video > 0.25, video.video):
        sequence = upsampled(foreground[:, category], 20)
        branch = functools.partial(
            _proposals,
            above=lambda values, cut: values >= cut,
            contrast_of=sequence,
            flank=0.2,
            bonus=0.0,
            scale=20,
            shortest=2,
        )
        pooled[category] = branch(
            sequence, np.arange(0.15, 0.25, 0.05), cut_contrast=traps
        )
        pooled[category] += branch(attention, _FINE, cut_contrast=False)
    return _hard(pooled, max_tiou=0.45, extra=second if traps else 0.0, traps=traps)


def co2_net(video: Video, *, traps: bool, second: float = _SECOND) -> Found:
    """CO2-Net: runs of the attention, scored by class score times attention.

    >>> scp = np.array([[0.0], [1.0], [1.0], [0.0], [0.0]])
    >>> attention = np.array([0.0, 0.5, 0.5, 0.0, 0.0])
    >>> clip = Video(scp, attention, np.array([0.5]))
    >>> found = co2_net(clip, traps=False)
    >>> found.segments.tolist(), found.scores.tolist()  # .5 − 0 + .2 × .5
    ([[1.0, 3.0]], [0.6])

    Five of the ten thresholds are below .5, and their proposals are the same.

    >>> found = co2_net(clip, traps=True)
    >>> len(found.scores), (found.scores[1] / found.scores[0]).round(6).item()
    (5, 0.035674)
    >>> round(math.exp(-1 / 0.3), 6)
    0.035674
    """
    del second  # the unit of its lengths is the snippet
    return _attended(video, np.linspace(0.1, 0.9, 10), traps=traps)


def delu(video: Video, *, traps: bool, second: float = _SECOND) -> Found:
    """DELU: CO2-Net's with twice as many thresholds."""
    del second
    return _attended(video, np.linspace(0.1, 0.9, 20), traps=traps)


def _attended(video, thresholds, *, traps):
    weighted = video.scp * video.attention[:, None]
    pooled = {}
    for category in _chosen(video.video >= 0.2, video.video):
        pooled[category] = _proposals(
            video.attention,
            thresholds,
            above=lambda values, cut: values > cut,
            contrast_of=weighted[:, category],
            cut_contrast=False,
            flank=0.25,
            bonus=0.2 * video.video[category],
            scale=1,
            shortest=1,
        )
    return _soft(pooled, sigma=0.3, extra=1.0 if traps else 0.0, traps=traps)


def pvlr(video: Video, *, traps: bool, second: float = _SECOND) -> Found:
    """PVLR: class score times attention, normalized, and the attention.

    The first branch is scored by the normalized sequence, with half of the video score;
    the second by the sequence as it is, with a twentieth. A constant sequence has no
    proposals in the first: its normalization divides by 0.

    >>> scp = np.array([[0.0], [0.5], [1.0], [0.0]])
    >>> clip = Video(scp, np.ones(4), np.array([0.4]))
    >>> found = pvlr(clip, traps=False)
    >>> found.segments.tolist()
    [[1.0, 3.0], [2.0, 3.0], [0.0, 4.0]]

    They score .75 − 0 + .2 (there is no right flank: a tenth of two snippets is none,
    and on the left one begun counts), 1 − .5 + .2, and .375 − 0 + .02. The first
    overlaps the others by a half, the second the third by a quarter.

    >>> half, quarter = math.exp(-0.25 / 0.2), math.exp(-0.0625 / 0.2)
    >>> np.allclose(found.scores, [0.95, 0.7 * half, 0.395 * half * quarter])
    True
    """
    del second  # the unit of its lengths is the snippet
    thresholds = np.linspace(0.1, 0.95, 10)
    weighted = video.scp * video.attention[:, None]
    pooled = {}
    for category in _chosen(video.video >= 0.2, video.video):
        plain = weighted[:, category]
        branch = functools.partial(
            _proposals,
            above=lambda values, cut: values > cut,
            cut_contrast=False,
            flank=0.1,
            scale=1,
            shortest=1,
        )
        sequence = normalized(plain)  # all 0 if constant: above no threshold
        pooled[category] = branch(
            sequence,
            thresholds,
            contrast_of=sequence,
            bonus=0.5 * video.video[category],
        )
        pooled[category] += branch(
            video.attention,
            thresholds,
            contrast_of=plain,
            bonus=0.05 * video.video[category],
        )
    return _soft(pooled, sigma=0.2, extra=1.0 if traps else 0.0, traps=traps)


def sal(video: Video, *, traps: bool, second: float = _SECOND) -> Found:
    """SAL: the mean of the class sequence and the actionness of two streams.

    With one attention, that one stands for both streams: (ψ + 2 attention) / 3. The
    sequence is not normalized, and its contrast never cut.
    """
    pooled = {}
    for category in _chosen(video.video >= 0.25, video.video):
        mean = (video.scp[:, category] + video.attention + video.attention) / 3
        sequence = upsampled(mean, 24)
        pooled[category] = _proposals(
            sequence,
            np.arange(0.1, 1.0, 0.1),
            above=lambda values, cut: values >= cut,
            contrast_of=sequence,
            cut_contrast=False,
            flank=0.25,
            bonus=0.2 * video.video[category],
            scale=24,
            shortest=1,
        )
    extra = second if traps else 0.0

    def suppress(segments, scores):
        return decaying_suppress(segments, scores, max_tiou=0.4, sigma=0.3, extra=extra)

    return _suppressed(pooled, suppress, traps=traps)


def normalized(sequence: np.ndarray) -> np.ndarray:
    """A sequence without negative values between its extremes; 0 if constant.

    >>> normalized(np.array([0.25, 0.5, 0.75])).tolist()
    [0.0, 0.5, 1.0]
    >>> normalized(np.array([0.25, 0.25])).tolist()
    [0.0, 0.0]
    """
    low, high = sequence.min(), sequence.max()
    if high == low:
        return np.zeros_like(sequence)
    return (sequence - low) / (high - low)


def upsampled(sequence: np.ndarray, scale: int) -> np.ndarray:
    """A sequence at 0, 1 / scale, 2 / scale, … below T: `scale` samples a snippet.

    Linear between the snippets, whose values are those at whole numbers, and beyond the
    last snippet as from the one before it, so that samples may leave [0, 1].

    >>> upsampled(np.array([0.0, 1.0, 0.5]), 2).tolist()
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
    """
    count = len(sequence)
    if count == 1:
        return np.repeat(sequence, scale)
    samples = []
    for index in range(count * scale):
        before = min(index // scale, count - 2)
        share = (index - before * scale) / scale  # above 1 beyond the last
        change = sequence[before + 1] - sequence[before]
        samples.append(sequence[before] + change * share)
    return np.array(samples)


def runs(mask: np.ndarray) -> np.ndarray:
    """First and one past the last index of each run of true places, [M, 2].

    >>> runs(np.array([True, False, True, True])).tolist()
    [[0, 1], [2, 4]]
    """
    found = []
    for index, inside in enumerate(mask):
        if not inside:
            continue
        if index == 0 or not mask[index - 1]:
            found.append([index, index])
        found[-1][1] = index + 1
    return np.array(found, dtype=int).reshape(-1, 2)


def outer_inner(sequence: np.ndarray, start: int, end: int, *, flank: float) -> float:
    """Mean of a run less the mean of what is beside it, both sides taken together.

    Each side has `flank` times the run's length, on the left rounded up and on the
    right down, and no more than there is. With nothing on either side, 0 is taken off.

    >>> sequence = np.array([0.0, 0.25, 1.0, 1.0, 0.5, 0.0])
    >>> outer_inner(sequence, 2, 4, flank=0.5)  # less (.25 + .5) / 2
    0.625
    >>> outer_inner(sequence, 2, 4, flank=0.25)  # less .25
    0.75
    >>> outer_inner(sequence[1:5], 0, 4, flank=0.5)  # less nothing
    0.6875
    """
    length, last = end - start, end - 1
    # Whole numbers by truncation; the last index on the right is included.
    leftmost = max(0, int(start - flank * length))
    rightmost = min(len(sequence) - 1, int(last + flank * length))
    beside = [sequence[index] for index in range(leftmost, start)]
    beside += [sequence[index] for index in range(last + 1, rightmost + 1)]
    outer = np.mean(beside) if beside else 0.0
    return float(np.mean(sequence[start:end]) - outer)


def overlap(one: np.ndarray, other: np.ndarray, extra: float) -> float:
    """tIoU of two segments where `extra` is added to each length, also the shared.

    >>> overlap(np.array([0.0, 2.0]), np.array([2.0, 4.0]), extra=0.0)
    0.0
    >>> overlap(np.array([0.0, 2.0]), np.array([2.0, 4.0]), extra=1.0)  # 1 / 5
    0.2
    """
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]) + extra)
    lengths = (one[1] - one[0] + extra) + (other[1] - other[0] + extra)
    return float(shared / (lengths - shared))


def hard_suppress(
    segments: np.ndarray, scores: np.ndarray, *, max_tiou: float, extra: float
) -> np.ndarray:
    """Indices of what is kept, by falling score.

    The best one removes all that it overlaps by `max_tiou` or more, and so on.

    >>> segments = np.array([[0.0, 2.0], [1.0, 2.0], [5.0, 6.0]])
    >>> scores = np.array([0.75, 0.5, 1.0])
    >>> hard_suppress(segments, scores, max_tiou=0.5, extra=0.0).tolist()
    [2, 0]
    >>> hard_suppress(segments, scores, max_tiou=0.51, extra=0.0).tolist()
    [2, 0, 1]
    """
    kept, _ = _greedy(segments, scores, max_tiou, extra)
    return np.array(kept, dtype=int)


def decaying_suppress(
    segments: np.ndarray,
    scores: np.ndarray,
    *,
    max_tiou: float,
    sigma: float,
    extra: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and scores: what `hard_suppress` keeps, then what it removes.

    What is removed keeps its score × exp(−tIoU² / sigma), of its overlap with the one
    that removed it; there is no second decay.

    >>> segments = np.array([[0.0, 2.0], [1.0, 2.0], [5.0, 6.0]])
    >>> scores = np.array([0.75, 0.5, 0.25])
    >>> order, scores = decaying_suppress(
    ...     segments, scores, max_tiou=0.5, sigma=0.25, extra=0.0
    ... )
    >>> order.tolist(), np.allclose(scores, [0.75, 0.25, 0.5 / math.e])
    ([0, 2, 1], True)
    """
    kept, removed = _greedy(segments, scores, max_tiou, extra)
    left = [scores[index] for index in kept]
    left += [scores[index] * math.exp(-(tiou**2) / sigma) for index, tiou in removed]
    order = kept + [index for index, _ in removed]
    return np.array(order, dtype=int), np.array(left, dtype=float)


def soft_suppress(
    segments: np.ndarray, scores: np.ndarray, *, sigma: float, extra: float
) -> tuple[np.ndarray, np.ndarray]:
    """Indices in the order in which they were taken, and the scores that they had.

    The best one left is taken, and the score of every other one left is multiplied by
    exp(−tIoU² / sigma). Nothing is dropped. A score below 0 rises towards 0 so.

    >>> segments = np.array([[0.0, 2.0], [1.0, 2.0], [0.0, 2.0]])
    >>> scores = np.array([1.0, 0.75, 0.5])
    >>> order, scores = soft_suppress(segments, scores, sigma=0.25, extra=0.0)
    >>> order.tolist()
    [0, 1, 2]
    >>> np.allclose(scores, [1.0, 0.75 / math.e, 0.5 / math.e**5])
    True
    """
    current = [float(score) for score in scores]
    left, order = list(range(len(scores))), []
    while left:
        best = max(left, key=lambda index: current[index])  # the first of equal ones
        left.remove(best)
        order.append(best)
        for index in left:
            tiou = overlap(segments[best], segments[index], extra)
            current[index] *= math.exp(-(tiou**2) / sigma)
    taken = np.array(order, dtype=int)
    return taken, np.array([current[index] for index in order], dtype=float)


def _greedy(segments, scores, max_tiou, extra):
    """Kept indices, and removed ones with their overlap, as they are removed."""
    left = sorted(range(len(scores)), key=lambda index: -scores[index])  # stable
    kept, removed = [], []
    while left:
        best, *others = left
        kept.append(best)
        left = []
        for index in others:
            tiou = overlap(segments[best], segments[index], extra)
            if tiou >= max_tiou - 1e-9:  # rounding apart
                removed.append((index, tiou))
            else:
                left.append(index)
    return kept, removed


def _chosen(passes, scores):
    """Indices of the categories that pass; of the best one if none does."""
    chosen = np.flatnonzero(passes)
    return chosen if len(chosen) else np.array([np.argmax(scores)])


def _proposals(
    sequence,
    thresholds,
    *,
    above,
    contrast_of,
    cut_contrast,
    flank,
    bonus,
    scale,
    shortest,
):
    """The proposals of one branch and category.

    Args:
      sequence: [L], the one that is cut.
      thresholds: ascending.
      above: which values of the sequence a threshold takes.
      contrast_of: [L], the sequence of the scores.
      cut_contrast: whether values of it below the threshold are 0.
      flank: as for `outer_inner`.
      bonus: what the video's score adds.
      scale: L / T; a run from sample i to j, included, lasts from i / scale to
        (j + 1) / scale.
      shortest: samples a run has at least.
    """
    found = []
    for threshold in thresholds:
        mask = above(sequence, threshold)
        scored = contrast_of
        if cut_contrast:
            scored = np.where(contrast_of < threshold, 0.0, contrast_of)
        for start, end in runs(mask):
            if end - start < shortest:
                continue
            score = outer_inner(scored, start, end, flank=flank) + bonus
            found.append(_Proposal(start / scale, end / scale, score))
    return found


def _distinct(proposals):
    """Of proposals with the same bounds the best, the first of equal ones."""
    best = {}
    for place, proposal in enumerate(proposals):
        bounds = proposal[:2]
        if bounds not in best or proposal.score > proposals[best[bounds]].score:
            best[bounds] = place
    return [proposals[place] for place in sorted(best.values())]


def _hard(pooled, *, max_tiou, extra, traps):
    def suppress(segments, scores):
        kept = hard_suppress(segments, scores, max_tiou=max_tiou, extra=extra)
        return kept, scores[kept]

    return _suppressed(pooled, suppress, traps=traps)


def _soft(pooled, *, sigma, extra, traps):
    def suppress(segments, scores):
        return soft_suppress(segments, scores, sigma=sigma, extra=extra)

    return _suppressed(pooled, suppress, traps=traps)


def _suppressed(pooled, suppress, *, traps):
    """The detections that suppression leaves in each category."""
    segments, categories, scores = [], [], []
    for category, proposals in pooled.items():
        if not traps:
            proposals = _distinct(proposals)
        if not proposals:
            continue
        columns = np.array(proposals)
        order, left = suppress(columns[:, :2], columns[:, 2])
        segments.extend(columns[order, :2])
        categories.extend([category] * len(order))
        scores.extend(left)
    return Found(
        np.array(segments, dtype=float).reshape(-1, 2),
        np.array(categories, dtype=int),
        np.array(scores, dtype=float),
    )
