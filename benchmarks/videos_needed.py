"""How mAP depends on the number of tagged videos: python benchmarks/videos_needed.py.

    python benchmarks/videos_needed.py --sizes 5,10,20,40 --seeds 3,4,5

For each seed, clips as those of `cleannet demo` are made; `full` is trained as the demo does
on the tags of the first so many clips of a category, and evaluated on 30 other clips beside
its baselines. Prints the mAP (%) at a tIoU of 0.5, of each seed and then the mean with the
standard deviation over seeds. The seed is that of the clips and of the training. Made-up
clips are much easier than real ones.
"""

import argparse
import dataclasses
import pathlib
import sys
import tempfile

import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import experiment
from cleannet_jax.configs import demo
from cleannet_jax.data import annotation_files
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.features import backbones, extract
from cleannet_jax.sample import clips

HELD_OUT = 30


def make_features(folder: pathlib.Path, seed: int, size: int) -> pathlib.Path:
    """Makes clips, so many a category and those held out, and their features."""
    count = size * len(clips.MOTIONS) + HELD_OUT
    videos, features = folder / "videos", folder / "features"
    clips.write_clips(videos, seed, count=count, evaluation=HELD_OUT)
    settings = backbones.Settings(backbone="blocks", snippets_per_second=4)
    extract.extract(
        extract.find_videos([videos]),
        features,
        backbones.create(settings),
        labels=annotation_files.read_annotations(videos / "truth.json"),
    )
    return features


def first(dataset: dataset_lib.Dataset, count: int) -> dataset_lib.Dataset:
    """The dataset with no more than the first so many videos to train on."""
    videos = dict(dataset.videos)
    for name in dataset.train_ids[count:]:
        videos[name] = dataclasses.replace(videos[name], subset="not used")
    return dataclasses.replace(dataset, videos=videos)


def measure(
    config: config_lib.Config, dataset: dataset_lib.Dataset, features: pathlib.Path
) -> dict[str, float]:
    """mAP (%) by method after training."""
    with tempfile.TemporaryDirectory() as folder:
        rows = experiment.train_and_evaluate(
            config, "full", str(features), pathlib.Path(folder, "run"), dataset=dataset
        )
    return {row.method: 100 * float(row.report.result.mean[0]) for row in rows}


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="5,10,20,40", help="clips a category")
    parser.add_argument("--seeds", default="3,4,5")
    parsed = parser.parse_args(arguments)
    sizes = [int(text) for text in parsed.sizes.split(",")]
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for seed in map(int, parsed.seeds.split(",")):
        config = dataclasses.replace(demo.get_config(), seed=seed, tious=(0.5,))
        with tempfile.TemporaryDirectory() as folder:
            features = make_features(pathlib.Path(folder), seed, max(sizes))
            dataset = experiment.open_dataset(config, str(features))
            for size in sizes:
                some = first(dataset, size * len(clips.MOTIONS))
                found[size].append(measure(config, some, features))
                print(f"seed {seed}, {size} a category: {found[size][-1]}", flush=True)
    for size, runs in found.items():
        for method in runs[0]:
            values = np.array([run[method] for run in runs])
            spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
            print(f"{size:4} a category  {method:12} {values.mean():5.1f}{spread}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
