"""Seconds a step of stage 2 takes with as many videos for each process; JSON.

python benchmarks/weak_scaling.py PROCESSES VIDEOS [COORDINATOR PROCESS]

With the first two alone it starts that many processes on this machine, each on a core of
its own. Features are random numbers: 320 snippets of 2,048 columns, 20 categories.
"""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time

import numpy as np

STEPS, WARM = 25, 5
SNIPPETS, CATEGORIES = 320, 20


def start(processes: int, videos: int) -> None:
    """Starts all processes."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{found.getsockname()[1]}"
    command = [sys.executable, __file__, str(processes), str(videos), place]
    started = [subprocess.Popen([*command, str(i)]) for i in range(processes)]
    sys.exit(max(process.wait() for process in started))


def measure(processes: int, videos: int, place: str, process: int) -> None:
    """Takes the steps, as one of the processes."""
    os.sched_setaffinity(0, {process % (os.cpu_count() or 1)})
    import jax
    from jax.sharding import PartitionSpec

    from cleannet_jax import config, distributed, methods, streams, train

    with distributed.started(
        coordinator=place, num_processes=processes, process_id=process
    ):
        made = methods.apply(config.Config(), "full")
        made = dataclasses.replace(made, batch_size=videos * processes)
        columns = streams.Streams(("rgb", "flow"), (1024, 1024))
        stage = train.Stage("cleannet", made, columns)
        key = jax.random.key(0)
        heads = train.create_classifier_params(key, columns, CATEGORIES, made)
        params = {
            "head": methods.classifier(made).finish(heads, columns),
            "generator": train.create_generator_params(key, columns.width, made),
        }
        mesh = train.mesh_of(stage)
        state = train.create_train_state(stage, params)
        state = train.placed(state, mesh, PartitionSpec())
        rows = np.arange(videos) % CATEGORIES
        batch = {
            "features": np.random.default_rng(0).random(
                (videos, SNIPPETS, columns.width), np.float32
            ),
            "length": np.full(videos, SNIPPETS, np.int32),
            "labels": np.eye(CATEGORIES, dtype=np.float32)[rows],
            "label_indices": rows[:, None].astype(np.int32),
        }
        if made.batch_size == 1:
            batch = {name: values[0] for name, values in batch.items()}
        wall, own = [], []
        for _ in range(STEPS):
            distributed.wait()
            begin = time.perf_counter(), time.process_time()
            shared = train.placed(batch, mesh, PartitionSpec("videos"))
            state, metrics = train.train_step(state, shared, stage)
            float(metrics["loss"])
            wall.append(time.perf_counter() - begin[0])
            own.append(time.process_time() - begin[1])
        found = {
            "processes": processes,
            "videos": videos,
            "median_ms": 1000 * float(np.median(wall[WARM:])),
            "least_ms": 1000 * min(wall[WARM:]),
            "processor_ms": 1000 * float(np.median(own[WARM:])),
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    count, each, *rest = sys.argv[1:]
    if rest:
        measure(int(count), int(each), rest[0], int(rest[1]))
    else:
        start(int(count), int(each))
