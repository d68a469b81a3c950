"""When does a generator collapse? Trains it at several learning rates, and measures.

    python benchmarks/collapse.py --dataset sfinge3d --data FOLDER --methods t,t_clipped \\
        --learning-rate 0.01,0.03,0.1,0.3 --seeds 6

The classifier is trained once a seed. Prints a line a run and then a line a method and
learning rate, means over seeds of what `Run` has. `--generator-scale` multiplies the
features that the generator sees, and not those that the classifier sees.
"""

import dataclasses
import pathlib
import sys
import tempfile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import errors, evaluate, experiment, localize, logs, methods, train
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import snippets as snippets_lib
from cleannet_jax.localizers import proposals as proposals_lib
from cleannet_jax.ops import anchors, pooling, segments
from cleannet_jax.programs import options

Params = Any

# Of the video, from which the median proposal counts as being as long as it is.
_WHOLE = 0.9
# Median norm of the gradient below which most batches have taught nothing.
_STILL = 0.01


class Run(NamedTuple):
    """What is measured of a run; proposals are those of all training videos."""

    positives: float  # a batch, mean over the last one of each training video
    to_anchor: float  # median length of a proposal in the video, in anchor sizes
    to_video: float  # the same, in lengths of the video
    at_bound: float  # share of proposals whose |r_w| is bounded (R9)
    outside: float  # share that lies outside its video
    gradient: float  # median norm of the generator's gradient, before it is bounded
    steepest: float  # largest norm of it
    map: float  # percent, mean over tIoU thresholds

    @property
    def has_collapsed(self) -> bool:
        """Whether it has stopped learning: no positives, whole videos, no gradient."""
        whole = self.to_video >= _WHOLE
        return self.positives == 0 or whole or self.gradient < _STILL


def measure(
    config: config_lib.Config,
    dataset: dataset_lib.Dataset,
    classified: Params,
    saved: snippets_lib.SavedPredictions,
) -> Run:
    """Trains the generator of a config on predictions, and measures.

    Args:
      config: of the run.
      dataset: what the generator sees.
      classified: the parameters after stage 1.
      saved: what they predict; with C5 it is predicted anew.
    """
    known = None if config.joint else saved
    config = dataclasses.replace(config, log_every=1, checkpoint_every=10**6)
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder)
        params = train.train_generator(config, dataset, run, classified, known)
        lines = list(logs.read_metrics(run, "cleannet"))
    model = localize.Model(config, params, known)
    (found,) = localize.localize([model], dataset, dataset.evaluation_ids)
    report = evaluate.evaluate(
        found,
        dataset.annotations,
        subset=dataset.evaluation_subset,
        tious=config.tious,
        protocol=config.protocol,
    )
    gradients = [line["gradient_norm"] for line in lines]
    positives = [line["positives"] for line in lines[-len(dataset.train_ids) :]]
    return Run(
        float(np.mean(positives)),
        *lengths(params["generator"], dataset, config),
        float(np.median(gradients)),
        max(gradients),
        float(100 * report.result.mean.mean()),
    )


def lengths(
    generator: Params, dataset: dataset_lib.Dataset, config: config_lib.Config
) -> tuple[float, float, float, float]:
    """`to_anchor`, `to_video`, `at_bound` and `outside` of a `Run`."""
    sizes = np.asarray(config.anchor_sizes)
    longest = max(dataset.videos[name].length for name in dataset.train_ids)
    network = proposals_lib.generator(config)

    @jax.jit
    def widths(features, length):
        mask = pooling.valid_snippets(longest, length)
        found = network.apply({"params": generator}, features, mask)
        inside = segments.clip(found, length=length)
        return found[..., 1] - found[..., 0], inside[..., 1] - inside[..., 0]

    to_anchor, to_video, at_bound = [], [], []
    for name in dataset.train_ids:
        features = dataset.read(name)
        length = len(features)
        features = np.pad(features, [(0, longest - length), (0, 0)])
        whole, inside = (w[:length] for w in widths(features, jnp.asarray(length)))
        to_anchor.append(np.ravel(inside / sizes))
        to_video.append(np.ravel(inside / length))
        # A width far from the video has lost digits in float32.
        bounded = np.abs(np.log(np.maximum(whole / sizes, 1e-9)))
        at_bound.append(np.ravel(bounded > anchors.MAX_LOG_WIDTH - 0.01))
    to_video = np.concatenate(to_video)
    return (
        float(np.median(np.concatenate(to_anchor))),
        float(np.median(to_video)),
        float(np.mean(np.concatenate(at_bound))),
        float(np.mean(to_video <= 0)),
    )


def classify(
    config: config_lib.Config, dataset: dataset_lib.Dataset, folder: pathlib.Path
) -> tuple[Params, snippets_lib.SavedPredictions]:
    """The parameters after stage 1, and its predictions of all videos."""
    params = {"head": train.train_classifier(config, dataset, folder)}
    ids = [*dataset.train_ids, *dataset.evaluation_ids]
    localize.write_scp(params, dataset, ids, config, folder / "scp")
    return params, snippets_lib.open_folder(folder / "scp", dataset)


def line(name: str, rate: str, what: str, run: Run) -> str:
    """A run, or the means of several, as a line of the table."""
    values = (
        f"{run.positives:9.1f} {run.to_anchor:9.2f} {run.to_video:8.3f} "
        f"{run.at_bound:8.2f} {run.outside:7.2f} {run.gradient:8.2f} "
        f"{run.steepest:8.1f} {run.map:5.1f}"
    )
    return f"{name:14} {rate:>6} {what:>9} {values}"


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parser = options.Parser("collapse", __doc__)
    parser.add_option("--methods", required=True, help="names with commas between them")
    parser.add_option("--seeds", default="6", help="how many seeds, from 0")
    parser.add_option("--generator-scale", default="1", help="of the features")
    options.add_config(parser)
    parsed = parser.parse_args(arguments)
    rates = (parsed.learning_rate or "0.01").split(",")
    scale = float(parsed.generator_scale)
    heading = (
        f"{'method':14} {'rate':>6} {'collapsed':>9} positives to_anchor to_video "
        "at_bound outside gradient steepest   mAP"
    )
    print(heading)
    found: dict[tuple[str, str], list[Run]] = {}
    try:
        parsed.learning_rate = None
        base = options.read_config(parsed, "untrimmednet")
        dataset = experiment.open_dataset(base, parsed.data)
        names = methods.named(parsed.methods)
        seen = dataset_lib.scaled(dataset, (scale,) * len(dataset.streams.names))
        for seed in range(int(parsed.seeds)):
            own = dataclasses.replace(base, seed=seed)
            with tempfile.TemporaryDirectory() as folder:
                classified, saved = classify(own, dataset, pathlib.Path(folder))
                for rate in rates:
                    for name in names:
                        config = methods.apply(own, name)
                        config = dataclasses.replace(config, learning_rate=float(rate))
                        if config.joint and scale != 1:
                            raise errors.InputError(
                                f"--generator-scale: found {scale:g} with {name}, whose"
                                " classifier sees the same features"
                            )
                        run = measure(config, seen, classified, saved)
                        found.setdefault((name, rate), []).append(run)
                        said = "yes" if run.has_collapsed else "no"
                        print(line(name, rate, said, run), flush=True)
    except errors.InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\n{heading}")
    for (name, rate), several in found.items():
        count = sum(run.has_collapsed for run in several)
        mean = Run(*np.mean(several, axis=0))
        print(line(name, rate, f"{count} of {len(several)}", mean))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
