"""Chooses stage 1's learning rate and length on held-out training videos.

    python benchmarks/held_out.py --dataset sfinge3d --data FOLDER --classifier w_talc \\
        --w-talc-learning-rate 0.0001,0.001 --adam-steps 500,1000

Of the training videos every fourth is held out, in four folds; the evaluation subset is
never read. Prints the mean over folds of the loss of the video-level prediction on the
videos that were held out, binary cross-entropy for stpn, whose categories do not
compete, and cross-entropy for the others, and the accuracy of the best category.
"""

import dataclasses
import itertools
import pathlib
import sys
import tempfile

import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import errors, experiment, localize, methods, train
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.programs import options

FOLDS = 4


def folds(dataset: dataset_lib.Dataset) -> list[dataset_lib.Dataset]:
    """Datasets whose evaluation videos are a fold of the training videos."""
    made = []
    for fold in range(FOLDS):
        held_out = dataset.train_ids[fold::FOLDS]
        videos = {name: dataset.videos[name] for name in dataset.train_ids}
        for name in held_out:
            videos[name] = dataclasses.replace(videos[name], subset="held out")
        made.append(
            dataclasses.replace(dataset, videos=videos, evaluation_subset="held out")
        )
    return made


def held_out_loss(
    config: config_lib.Config, dataset: dataset_lib.Dataset
) -> tuple[float, float]:
    """Loss and accuracy on the evaluation videos after stage 1 on the others."""
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder)
        params = train.train_classifier(config, dataset, run)
        localize.write_scp(
            {"head": params}, dataset, dataset.evaluation_ids, config, run / "scp"
        )
        losses, hits = [], []
        for name in dataset.evaluation_ids:
            labels = np.isin(dataset.categories, dataset.videos[name].labels)
            x = np.clip(np.load(run / "scp" / "video" / f"{name}.npy"), 1e-7, 1 - 1e-7)
            if config.classifier == "stpn":
                losses.append(-np.log(np.where(labels, x, 1 - x)).mean())
            else:
                losses.append(-np.log(x)[labels].mean())
            hits.append(labels[np.argmax(x)])
    return float(np.mean(losses)), float(np.mean(hits))


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parser = options.Parser("held_out", __doc__)
    parser.add_argument(
        "--classifier", required=True, choices=tuple(methods.CLASSIFIERS), dest="method"
    )
    options.add_config(parser)
    parsed = parser.parse_args(arguments)
    adam = f"{parsed.method}_learning_rate"
    swept = ("head_learning_rate", "head_steps", adam, "adam_steps")
    swept = [name for name in swept if hasattr(parsed, name)]
    values = {name: (getattr(parsed, name) or "").split(",") for name in swept}
    for choice in itertools.product(*values.values()):
        for name, text in zip(swept, choice, strict=True):
            setattr(parsed, name, text or None)
        try:
            config = options.read_config(parsed, parsed.method)
            config = dataclasses.replace(config, checkpoint_every=10**6)
            dataset = experiment.open_dataset(config, parsed.data)
        except errors.InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        found = np.array([held_out_loss(config, fold) for fold in folds(dataset)])
        named = " ".join(
            f"{name}={text}" for name, text in zip(swept, choice, strict=True) if text
        )
        loss, accuracy = found.mean(axis=0)
        found = f"loss {loss:.4f} accuracy {accuracy:.3f}"
        print(f"{parsed.method} {named} {found}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
