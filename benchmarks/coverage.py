"""Checks the confidence intervals of mAP on made-up data: python benchmarks/coverage.py [RUNS].

Videos are drawn from a model: each has a category, a difficulty, some instances, and
detections of which the easy videos have more that are right. The truth is the mAP of
20,000 videos. Then samples of 20, 50 and 200 videos are evaluated RUNS times, and it is
counted how often a nominal 95 % interval holds the truth, and how often it holds the
mAP of its own sample. A second table has the difference of two detectors that are
equally good. Rates are in percent; with 500 runs, those of coverage are known to about
±2.

"percentile" and "BCa" resample with replacement, as it is usual; BCa is after Efron
(JASA 1987), its acceleration from leaving out a video at a time. "half" is
`metrics.bootstrap`.
"""

import statistics
import sys

import numpy as np

from cleannet_jax.metrics import average_precision, bootstrap

LEVEL = 0.95
SAMPLES = 300
SIZES = (20, 50, 200)
NUM_TRUTH = 20_000
NORMAL = statistics.NormalDist()


def draw_rankings(
    rng: np.random.Generator, count: int, categories: int
) -> list[average_precision.Ranking]:
    """Two detectors' matched detections in the same `count` new videos."""
    category = rng.integers(categories, size=count)
    ease = rng.normal(size=count)
    truth_video = np.repeat(np.arange(count), 1 + rng.poisson(2, count))
    truth_label = category[truth_video]
    rankings = []
    for _ in range(2):
        own = ease + 0.4 * rng.normal(size=count)
        logit = own[truth_video] + np.linspace(-1, 1, categories)[truth_label]
        right = truth_video[rng.random(logit.size) < 1 / (1 + np.exp(-logit))]
        wrong = np.repeat(np.arange(count), rng.poisson(3, count))
        other = np.repeat(np.arange(count), rng.poisson(2, count))
        video = np.concatenate([right, wrong, other])
        label = np.concatenate(
            [
                category[right],
                category[wrong],
                rng.integers(categories, size=other.size),
            ]
        )
        shift = np.concatenate(
            [1 + 0.5 * ease[right], 0.3 * ease[wrong], np.full(other.size, -0.5)]
        )
        order = np.lexsort((-shift - rng.normal(size=shift.size), label))
        rankings.append(
            average_precision.Ranking(
                videos=tuple(map(str, range(count))),
                labels=tuple(map(str, range(categories))),
                tious=np.array([0.5]),
                video=video[order],
                label=label[order],
                hit=(np.arange(video.size) < right.size)[order][None],
                counted=np.ones((1, video.size), bool),
                truth_video=truth_video,
                truth_label=truth_label,
                is_interpolated=True,
            )
        )
    return rankings


def percentile(values: np.ndarray) -> tuple[float, float]:
    """The middle of the resamples."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return low, high


def bca(value: float, values: np.ndarray, left_out: np.ndarray) -> tuple[float, float]:
    """Efron's interval from resamples [B] and from leaving out a video [A]."""
    below = (np.mean(values < value) + np.mean(values <= value)) / 2
    bias = NORMAL.inv_cdf(np.clip(below, 0.5 / SAMPLES, 1 - 0.5 / SAMPLES))
    influence = left_out.mean() - left_out
    scale = np.sum(influence**2) ** 1.5
    acceleration = np.sum(influence**3) / (6 * scale) if scale else 0.0
    places = []
    for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2):
        z = bias + NORMAL.inv_cdf(tail)
        places.append(NORMAL.cdf(bias + z / (1 - acceleration * z)))
    low, high = np.quantile(values, places)
    return low, high


def intervals(
    rankings: list[average_precision.Ranking], count: int, seed: int
) -> tuple[float, dict[str, tuple[float, float]]]:
    """The mAP of one ranking, or the difference of two, and its intervals by name."""
    drawn = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / count), SAMPLES
    )
    draws = np.concatenate(
        [
            drawn,
            bootstrap.draw_halves(count, samples=SAMPLES, seed=seed),
            1 - np.eye(count, dtype=int),
            np.ones((1, count), int),
        ]
    )
    each = [bootstrap.mean_average_precision(r, draws)[:, 0] for r in rankings]
    values = each[0] if len(each) == 1 else each[1] - each[0]
    with_copies, halves, left_out = np.split(values[:-1], [SAMPLES, 2 * SAMPLES])
    found = {
        "percentile": percentile(with_copies),
        "BCa": bca(values[-1], with_copies, left_out),
        "half": bootstrap.interval(
            values[-1],
            bootstrap.standard_error(halves, num_videos=count),
            freedom=count - 1,
            level=LEVEL,
            least=1 - len(rankings),
        ),
    }
    return values[-1], found


def main(runs: int) -> None:
    """Prints both tables."""
    for number, title in ((1, "mAP"), (2, "difference of two")):
        print(f"{title}: coverage / holds its own / width, of {runs} runs")
        print(f"{'categories':>10}{'videos':>8}", end="")
        print("".join(f"{name:>20}" for name in ("percentile", "BCa", "half")))
        for categories in (5, 20):
            rng = np.random.default_rng(0)
            large = draw_rankings(rng, NUM_TRUTH, categories)[0]
            truth = average_precision.average(large).mean[0] if number == 1 else 0.0
            for count in SIZES:
                rows = []
                for seed in range(runs):
                    rankings = draw_rankings(rng, count, categories)[:number]
                    value, found = intervals(rankings, count, seed)
                    rows.append(
                        [
                            (low <= truth <= high, low <= value <= high, high - low)
                            for low, high in found.values()
                        ]
                    )
                rates = 100 * np.mean(np.array(rows, float), axis=0)
                cells = "".join(f"{a:>9.0f} {b:>5.0f} {c:>4.0f}" for a, b, c in rates)
                print(f"{categories:>10}{count:>8}{cells}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
