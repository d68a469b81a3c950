"""Run by test_distributed on eight virtual devices: trains on 1, 2, 4 and 8 of them.

Its arguments are a feature folder and one to write to. The last line that it prints is
JSON: how many devices shared the batches, by how much parameters differ at most from
those of one device, and what the devices sent each other in a step.
"""

import dataclasses
import json
import os
import pathlib
import re
import sys

# Nearly all of the time goes into compiling, and little of it matters here.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
)

import conftest
import jax
import numpy as np

from cleannet_jax import experiment, methods, train

CONFIG = dataclasses.replace(
    conftest.tiny_config.__wrapped__(),
    batch_size=8,
    head_steps=3,
    adam_steps=3,
    w_talc_learning_rate=0.01,
    w_talc_videos=8,
    steps=3,
)
SENT = re.compile(r" (all-\w+|collective-\w+|reduce-scatter)(?:-start)?\(")
# By method, the numbers of devices beside one.
METHODS = {"plain": (2, 4, 8), "full": (8,), "w_talc+plain": (8,)}


def main(data, folder):
    found, devices, every = {}, jax.devices(), []
    step = train._train_step

    def noting(*arguments):
        if arguments[-1] is not None and not every:
            text = step.lower(*arguments).compile().as_text()
            every.append((arguments[-1].size, SENT.findall(text)))
        return step(*arguments)

    train._train_step = noting
    for method, numbers in METHODS.items():
        made = methods.apply(CONFIG, method)
        dataset = experiment.open_dataset(made, data)
        trained = {}
        for number in (1, *numbers):
            jax.devices = lambda number=number: devices[:number]
            every.clear()
            place = pathlib.Path(folder, f"{method}-{number}")
            _, params = train.train(made, dataset, place)
            trained[number] = jax.tree.leaves(jax.device_get(params))
            pairs = zip(trained[number], trained[1], strict=True)
            found[f"{method} on {number}"] = {
                "devices": every[-1][0] if every else 1,
                "difference": max(float(np.abs(a - b).max()) for a, b in pairs),
                "sent": sorted({kind for _, sent in every for kind in sent}),
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
