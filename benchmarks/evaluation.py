"""Times the evaluation of detections: python benchmarks/evaluation.py [LARGEST].

Made-up detections, ten tIoU thresholds. The reference does what the official
ActivityNet script does, one detection after the other: measures it against the ground
truth of its video, sorts that by tIoU, and looks for a free one at each threshold. It
is linear in the detections, so it is timed up to 30,000 and left out beyond that. Both
give the same mAP, or the benchmark stops.

The reference keeps its tables in NumPy. The script keeps them in pandas and is slower
by far, so the column "official" compares with its own rate, which was measured once:
3.7 s for the 13,295 detections of AutoLoc on ActivityNet v1.2, the fastest of some runs
on two cores.
"""

import sys
import time

import numpy as np

from cleannet_jax.metrics import average_precision

TIOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())
SIZES = (10_000, 30_000, 100_000, 1_000_000, 10_000_000)
LONGEST_REFERENCE = 30_000
OFFICIAL_SECONDS = 3.7 / 13_295  # A detection.
NUM_CATEGORIES = 100
NUM_VIDEOS = 2_000
NUM_TRUTHS = 3_500


def sample(count: int) -> tuple[average_precision.Instances, ...]:
    """`count` detections, nine in ten with its category, near one of the ground-truth segments."""
    rng = np.random.default_rng(0)
    videos = tuple(f"video{index:05d}" for index in range(NUM_VIDEOS))
    labels = tuple(f"category{index:03d}" for index in range(NUM_CATEGORIES))
    video = rng.integers(NUM_VIDEOS, size=NUM_TRUTHS)
    label = (video + rng.integers(2, size=NUM_TRUTHS)) % NUM_CATEGORIES
    start = rng.uniform(0, 150, NUM_TRUTHS)
    segments = np.stack([start, start + rng.uniform(1, 60, NUM_TRUTHS)], axis=1)
    truths = average_precision.Instances(videos, labels, video, label, segments)
    near = rng.integers(NUM_TRUTHS, size=count)
    moved = segments[near] + rng.normal(0, 4, (count, 2))
    found_label = np.where(
        rng.random(count) < 0.9, label[near], rng.integers(NUM_CATEGORIES, size=count)
    )
    detections = average_precision.Instances(
        videos,
        labels,
        video[near],
        found_label,
        np.sort(moved, axis=1),
        rng.permutation(count) / count,
    )
    return detections, truths


def reference(
    detections: average_precision.Instances, truths: average_precision.Instances
) -> np.ndarray:
    """[K] mAP, one detection at a time."""
    ap = [
        _reference_category(detections, truths, category)
        for category in np.unique(truths.label)
    ]
    return np.mean(ap, axis=0)


def _reference_category(detections, truths, category: int) -> np.ndarray:
    """[K] average precision of one category."""
    wanted = np.flatnonzero(truths.label == category)
    rows = np.flatnonzero(detections.label == category)
    rows = rows[np.argsort(-detections.scores[rows])]
    taken = np.zeros((len(TIOUS), len(truths.label)), bool)
    hit = np.zeros((len(TIOUS), len(rows)), bool)
    for rank, row in enumerate(rows):
        here = wanted[truths.video[wanted] == detections.video[row]]
        if not here.size:
            continue
        (start, end), other = detections.segments[row], truths.segments[here]
        inside = np.minimum(end, other[:, 1]) - np.maximum(start, other[:, 0])
        inside = inside.clip(0)
        tiou = inside / (other[:, 1] - other[:, 0] + end - start - inside)
        order = np.argsort(-tiou)
        for index, threshold in enumerate(TIOUS):
            for place in order:
                if tiou[place] < threshold:
                    break
                if not taken[index, here[place]]:
                    taken[index, here[place]] = hit[index, rank] = True
                    break
    found = hit.cumsum(axis=1)
    precision = found / np.arange(1, len(rows) + 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.where(hit, best, 0).sum(axis=1) / len(wanted)


def seconds(function, *arguments, repeats: int) -> tuple[float, np.ndarray]:
    """The best wall time of a few, and the result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function(*arguments)
        times.append(time.perf_counter() - start)
    return min(times), result


def ours(detections, truths) -> np.ndarray:
    """[K] mAP by this package."""
    return average_precision.activitynet(detections, truths, tious=TIOUS).mean


def main(largest: int) -> None:
    """Prints the table."""
    heads = ("detections", "seconds", "us each", "official", "reference", "ratio")
    print("".join(f"{head:>12}" for head in heads))
    for count in SIZES:
        if count > largest:
            break
        detections, truths = sample(count)
        taken, found = seconds(ours, detections, truths, repeats=3)
        official = OFFICIAL_SECONDS * count / taken
        line = (
            f"{count:>12,}{taken:>12.3f}{1e6 * taken / count:>12.2f}{official:>11.0f}x"
        )
        if count <= LONGEST_REFERENCE:
            slow, expected = seconds(reference, detections, truths, repeats=1)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
            line += f"{slow:>12.2f}{slow / taken:>11.0f}x"
        print(line, flush=True)


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else SIZES[-1])
