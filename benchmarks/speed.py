"""How fast everything is beside other ways to do it: python benchmarks/speed.py.

    python benchmarks/speed.py
    python benchmarks/speed.py train infer --rounds 20 --json after.json
    python benchmarks/compare.py before.json after.json

Contenders take turns in one process, so that whatever else the machine does is shared.
A line is a contender: the median, the quartiles and the least of its times, and how
many of ours its median is: above 1 it is slower. Those who compute the same are checked
to give the same before they are timed; what is not installed is left out. The floor is
the time of as much arithmetic at the rate of a matrix product of that shape, and of as
many bytes at that of a copy, both measured in the same turns.

Parts: evaluator; train, a step of stage 2 on one video; w_talc, a step of W-TALC on its
batch; infer, from features to detections; suppress; map; network, of extraction; videos,
whole training and localization; start, of processes; memory.
"""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import backbones
import evaluation
import evaluator
import jax
import jax.numpy as jnp
import numpy as np

from cleannet_jax import config as config_lib
from cleannet_jax import localize, methods, sample, streams, train
from cleannet_jax.configs import activitynet12, thumos14
from cleannet_jax.data import pipeline
from cleannet_jax.models import w_talc
from cleannet_jax.ops import nms

try:
    import torch
    import torch_cleannet
    import torch_w_talc
except ImportError:
    torch = None

Tasks = dict[str, evaluator.Task]
STREAMS = streams.Streams(("rgb", "flow"), (1024, 1024))
# T, N and the config of a video.
VIDEOS = ((320, 20, thumos14.get_config()), (704, 100, activitynet12.get_config()))
SUPPRESSED = (200, 2_000, 20_000)
DETECTIONS = 10_000


class Video(NamedTuple):
    """A made-up video with planted actions, and a model that finds them."""

    config: config_lib.Config
    params: dict[str, Any]
    batch: dict[str, np.ndarray]

    @property
    def length(self) -> int:
        """T."""
        return len(self.batch["features"])

    @property
    def num_categories(self) -> int:
        """N."""
        return len(self.batch["labels"])


def make_video(length: int, categories: int, config: config_lib.Config) -> Video:
    """Actions of two categories, a third of a video of noise."""
    rng = np.random.default_rng(0)
    width = STREAMS.width
    looks = rng.normal(0, width**-0.5, (categories, width)).astype(np.float32)
    features = rng.normal(size=(length, width)).astype(np.float32)
    labels = [0, categories - 1]
    for index, start in enumerate(range(10, length - 20, 60)):
        features[start : start + 20] += 12 * looks[labels[index % 2]]
    parts = [1.5 * part.T for part in np.split(looks, len(STREAMS), axis=1)]
    head = {
        "classification": {
            "kernel": jax.scipy.linalg.block_diag(*parts),
            "bias": jnp.zeros(len(STREAMS) * categories),
        },
        "attention": {
            "kernel": jnp.asarray(0.3 * looks[labels].sum(0))[:, None],
            "bias": jnp.zeros(1),
        },
    }
    generator = dict(train.create_generator_params(jax.random.key(0), width, config))
    shape = generator["regression_kernel"].shape
    generator["regression_kernel"] = jnp.asarray(0.02 * rng.normal(size=shape), "f4")
    batch = {
        "features": features,
        "length": np.int32(length),
        "index": np.int32(0),
        "labels": np.bincount(labels, minlength=categories).astype(np.float32),
        "label_indices": np.array(labels, np.int32),
    }
    return Video(config, {"head": head, "generator": generator}, batch)


def torch_video(video: Video) -> Any:
    """The same for PyTorch."""
    names = ("features", "labels", "label_indices")
    return torch_cleannet.Video(
        *(torch.from_numpy(video.batch[name]) for name in names)
    )


def floor(video: Video, *, training: bool) -> tuple[evaluator.Task, str]:
    """The arithmetic of the layers, and what it is in numbers.

    A training step takes the product of the features and the first layer's kernel and
    its gradient, and so for the head; of the other two layers one more product each. The
    kernels are read, and a step writes them, moved by their gradients.
    """
    width, channels = STREAMS.width, video.config.generator_width
    outputs = 3 * channels + video.num_categories
    features = jnp.asarray(video.batch["features"])
    kernel, hidden = jnp.ones((width, outputs)), features[:, :channels] + 0
    layer, change = (
        jnp.ones((channels, 3 * channels)),
        jnp.ones((video.length, outputs)),
    )

    def products(features, kernel, hidden, layer, change):
        found = [features @ kernel, hidden @ layer, (hidden + 1) @ layer]
        if not training:
            return found
        back = change[:, : 3 * channels]
        for factor in (1.0, 2.0):
            found += [hidden.T @ (back * factor), (back * factor) @ layer.T]
        return [*found, kernel - 1e-4 * (features.T @ change)]

    jitted = jax.jit(products)
    given = features, kernel, hidden, layer, change
    passes = 2 if training else 1
    count = 2 * video.length * passes * width * outputs
    count += 2 * video.length * (3 if training else 1) * 2 * 3 * channels**2
    text = f"{count / 1e9:.2f} GFLOP"
    return lambda: jax.block_until_ready(jitted(*given)), text


def time_evaluator(rounds: int) -> Iterator[tuple[str, dict]]:
    for snippets, categories in evaluator.SIZES:
        scp, proposals = evaluator.sample(snippets, categories)
        times = evaluator.turns(evaluator.contenders(scp, proposals), rounds)
        for task in evaluator.TASKS:
            title = f"{task}, T {snippets}, N {categories}, P {len(proposals)}"
            yield title, {name: of[task] for name, of in times.items() if task in of}


def time_train(rounds: int) -> Iterator[tuple[str, dict]]:
    for size in VIDEOS:
        video = make_video(*size)
        stage = train.Stage("cleannet", video.config, STREAMS)
        state = [train.create_train_state(stage, video.params)]

        def ours(state=state, batch=video.batch, stage=stage):
            state[0], metrics = train.train_step(state[0], batch, stage)
            return jax.block_until_ready(metrics)

        tasks: Tasks = {"ours": ours}
        if torch:
            host = jax.device_get(video.params)
            check_train(video, stage, host)
            torch.compiler.reset()
            for name, compiled in (("PyTorch", False), ("PyTorch, compiled", True)):
                training = torch_cleannet.Training(
                    host, video.config, len(STREAMS), compiled=compiled
                )
                tasks[name] = functools.partial(training.step, torch_video(video))
        tasks["floor"], text = floor(video, training=True)
        title = f"training step, T {size[0]}, N {size[1]} ({text})"
        yield title, times_of(tasks, rounds)


def check_train(video: Video, stage: train.Stage, host: dict[str, Any]) -> None:
    """Raises unless loss and gradients are those of PyTorch."""
    key = jax.random.key(0)
    shape = len(video.config.anchor_sizes), video.config.num_samples
    within = np.array(jax.random.uniform(key, (video.length, *shape)))
    loss = functools.partial(train.cleannet_loss, stage, batch=video.batch, key=key)
    gradient = jax.jit(jax.value_and_grad(lambda params: loss(params), has_aux=True))
    (value, _), expected = gradient(video.params)
    params = torch_cleannet.tensors(host)
    found = torch_cleannet.loss(
        params,
        torch_video(video),
        torch.from_numpy(within),
        config=video.config,
        streams=len(STREAMS),
    )
    check_same(found, params, value, expected)


def check_same(
    found: Any, params: dict[str, Any], value: jax.Array, expected: Any
) -> None:
    """Raises unless a loss and its gradients are those of PyTorch, the first two."""
    found.backward()
    np.testing.assert_allclose(found.detach(), value, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        torch_cleannet.gradients(params),
        jax.device_get(expected),
    )


def time_w_talc(rounds: int) -> Iterator[tuple[str, dict]]:
    """Ten videos a batch, of as many snippets as are taken, three pairs among them."""
    # Of the first layer, forwards and backwards.
    both = jax.jit(lambda x, w: (hidden := x @ w, x.T @ (hidden * 2)))
    for _, categories, config in VIDEOS:
        config = methods.apply(config, "w_talc")
        stage = train.Stage("head", config, STREAMS)
        params = train.create_classifier_params(
            jax.random.key(0), STREAMS, categories, config
        )
        count, snippets = config.w_talc_videos, config.w_talc_snippets
        rng = np.random.default_rng(0)
        batch = {
            "features": np.abs(rng.normal(size=(count, snippets, STREAMS.width))),
            "labels": np.eye(categories)[[0, 0, 1, 1, 2, 2, *range(3, count - 3)]],
        }
        batch = {name: value.astype(np.float32) for name, value in batch.items()}
        batch["length"] = np.full(count, snippets, np.int32)
        state = [train.create_train_state(stage, params)]

        def ours(state=state, batch=batch, stage=stage):
            state[0], metrics = train.train_step(state[0], batch, stage)
            return jax.block_until_ready(metrics)

        tasks: Tasks = {"ours": ours}
        if torch:
            host = jax.device_get(params)
            tensors = [torch.from_numpy(batch[n]) for n in ("features", "labels")]
            check_w_talc(params, batch, tensors)
            torch.compiler.reset()
            for name, compiled in (("PyTorch", False), ("PyTorch, compiled", True)):
                training = torch_w_talc.Training(
                    host, config.w_talc_learning_rate, compiled=compiled
                )
                tasks[name] = functools.partial(training.step, *tensors)
        flat = jnp.asarray(batch["features"].reshape(-1, STREAMS.width))
        given = flat, params["hidden"]["kernel"]
        tasks["floor"] = lambda given=given: jax.block_until_ready(both(*given))
        gflop = 4 * len(flat) * STREAMS.width**2 / 1e9
        title = f"W-TALC's step, N {categories}, {count} videos ({gflop:.0f} GFLOP)"
        yield title, times_of(tasks, rounds)


def check_w_talc(params: Any, batch: dict[str, np.ndarray], given: list[Any]) -> None:
    """Raises unless loss and gradients without dropout are those of PyTorch."""
    loss = jax.jit(
        jax.value_and_grad(
            lambda p: w_talc.loss(p, jax.device_put(batch), None, STREAMS)[0]
        )
    )
    value, expected = loss(params)
    tensors = torch_cleannet.tensors(jax.device_get(params))
    found = torch_w_talc.loss(tensors, *given, dropout=0.0)
    check_same(found, tensors, value, expected)


def time_infer(rounds: int) -> Iterator[tuple[str, dict]]:
    for size in VIDEOS:
        video = make_video(*size)
        features = video.batch["features"]

        def ours(features, video=video):
            return localize.localize_video(
                video.params, features, video.length, STREAMS, video.config
            )

        placed = jax.device_put(features)
        tasks: Tasks = {
            "ours": functools.partial(ours, placed),
            "ours, from NumPy": functools.partial(ours, features),
        }
        if torch:
            torch.compiler.reset()
            most = methods.most_categories(video.config, video.num_categories)
            for name, compiled in (("PyTorch", False), ("PyTorch, compiled", True)):
                inference = torch_cleannet.Inference(
                    jax.device_get(video.params),
                    video.config,
                    len(STREAMS),
                    most=most,
                    compiled=compiled,
                )
                tasks[name] = functools.partial(inference, torch.from_numpy(features))
            expected = np.concatenate([scores for _, _, scores in tasks["PyTorch"]()])
            np.testing.assert_allclose(
                tasks["ours"]().scores, expected, rtol=1e-3, atol=1e-3
            )
        tasks["floor"], text = floor(video, training=False)
        title = f"inference, T {size[0]}, N {size[1]} ({text})"
        yield title, times_of(tasks, rounds)


def time_suppress(rounds: int) -> Iterator[tuple[str, dict]]:
    for count in SUPPRESSED:
        rng = np.random.default_rng(0)
        start = rng.uniform(0, count / 6, count)
        segments = np.stack([start, start + np.exp(rng.uniform(0, 3.5, count))], axis=1)
        given = segments.astype(np.float32), rng.random(count, np.float32)
        for most in (100, count):
            hard = functools.partial(nms.suppress, max_tiou=0.4, max_outputs=most)
            jitted, arrays = jax.jit(hard), jax.device_put(given)
            tasks: Tasks = {
                "ours": lambda f=jitted, a=arrays: jax.block_until_ready(f(*a))
            }
            if torch:
                tensors = [torch.from_numpy(one) for one in given]
                other = functools.partial(torch_cleannet.suppress, *tensors, 0.4, most)
                expected = given[1][other()]
                np.testing.assert_array_equal(
                    tasks["ours"]().scores[: len(expected)], expected
                )
                name = "torchvision, C++" if torch_cleannet.vision else "PyTorch"
                tasks[name] = other
            yield (
                f"suppression of {count}, at most {most} kept",
                times_of(tasks, rounds),
            )


def time_map(rounds: int) -> Iterator[tuple[str, dict]]:
    given = evaluation.sample(DETECTIONS)
    tasks = {"ours": evaluation.ours, "reference": evaluation.reference}
    found = [function(*given) for function in tasks.values()]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-9)
    tasks = {name: functools.partial(task, *given) for name, task in tasks.items()}
    yield f"mAP of {DETECTIONS} detections", times_of(tasks, rounds)


def time_network(rounds: int) -> Iterator[tuple[str, dict]]:
    for name in backbones.NETWORKS:
        networks = backbones.variants(name, 8)
        networks["ours"] = networks.pop("JAX")
        ordered = {"ours": networks.pop("ours"), **networks}
        yield f"{name}, 8 images", times_of(ordered, min(rounds, 3))


def time_videos(rounds: int) -> Iterator[tuple[str, dict]]:
    """Of the sample, a video: all that training does, the step alone; and localization.

    Its features are written to files first.
    """
    for name, config in (("thumos14", VIDEOS[0][2]), ("activitynet12", VIDEOS[1][2])):
        with tempfile.TemporaryDirectory() as place:
            yield from time_dataset(name, config, pathlib.Path(place), rounds)


def time_dataset(
    name: str, config: config_lib.Config, place: pathlib.Path, rounds: int
) -> Iterator[tuple[str, dict]]:
    """Times of one sample whose features are files in a folder."""
    made = sample.sample_dataset(name, seed=0)
    for video_id in made.ids:
        np.save(place / f"{video_id}.npy", made.read(video_id))
    dataset = dataclasses.replace(made, read=lambda one: np.load(place / f"{one}.npy"))
    config = dataclasses.replace(config, steps=40, checkpoint_every=1000)
    number = len(dataset.categories)
    key = jax.random.key(0)
    classifier = methods.classifier(config)
    head = classifier.finish(
        train.create_classifier_params(key, dataset.streams, number, config),
        dataset.streams,
    )
    generator = train.create_generator_params(key, dataset.streams.width, config)
    params = {"head": head, "generator": generator}
    whole = functools.partial(train_seconds, params, dataset, config)
    alone = functools.partial(step_seconds, params, dataset, config)
    ids = dataset.evaluation_ids[:40]
    model = localize.Model(config, params)

    def localized():
        began = time.perf_counter()
        localize.localize([model], dataset, ids)
        return (time.perf_counter() - began) / len(ids)

    for one in (whole, alone, localized):
        one()  # Compiles.
    times: dict[str, list[float]] = {"ours": [], "steps alone": []}
    located = []
    for _ in range(max(rounds // 3, 2)):
        times["ours"].append(whole())
        times["steps alone"].append(alone())
        located.append(localized())
    yield f"training on the sample of {name}, a video", times
    yield f"localization in the sample of {name}, a video", {"ours": located}


def train_seconds(params: Any, dataset: Any, config: config_lib.Config) -> float:
    """Seconds a step of a run, its start and end apart."""
    seconds = []
    for steps in (config.steps, 3 * config.steps):
        stage = train.Stage(
            "cleannet", dataclasses.replace(config, steps=steps), dataset.streams
        )
        with tempfile.TemporaryDirectory() as place:
            began = time.perf_counter()
            train.train_stage(stage, params, dataset, pathlib.Path(place))
            seconds.append(time.perf_counter() - began)
    return (seconds[1] - seconds[0]) / (2 * config.steps)


def step_seconds(params: Any, dataset: Any, config: config_lib.Config) -> float:
    """Seconds a step on batches of the same kind that are in memory."""
    videos = [dataset.videos[video_id] for video_id in dataset.train_ids]
    buckets = pipeline.buckets_for(
        [video.length for video in videos], count=config.num_buckets
    )
    batches = pipeline.training_pipeline(
        dataset,
        seed=config.seed,
        buckets=buckets,
        max_labels=max(len(video.labels) for video in videos),
    )
    given = [next(batches) for _ in range(2 * config.steps)]
    stage = train.Stage("cleannet", config, dataset.streams)
    state = train.create_train_state(stage, params)
    began = time.perf_counter()
    for batch in given:
        state, metrics = train.train_step(state, batch, stage)
    jax.block_until_ready(metrics)
    return (time.perf_counter() - began) / len(given)


FIRST_STEP = """
import sys; sys.path.insert(0, {place!r})
import jax, speed
from cleannet_jax import train
jax.config.update("jax_enable_compilation_cache", False)
video = speed.make_video(*speed.VIDEOS[0])
stage = train.Stage("cleannet", video.config, speed.STREAMS)
train.train_step(train.create_train_state(stage, video.params), video.batch, stage)
"""


def time_start(rounds: int) -> Iterator[tuple[str, dict]]:
    first = FIRST_STEP.format(place=str(pathlib.Path(__file__).parent))
    starts = {
        "import": {
            "ours": ("-c", "import cleannet_jax"),
            "import jax": ("-c", "import jax"),
            "import torch": ("-c", "import torch"),
        },
        "cleannet --version": {"ours": ("-m", "cleannet_jax", "--version")},
        "a process to its first training step": {"ours": ("-c", first)},
    }
    if not torch:
        del starts["import"]["import torch"]
    for title, commands in starts.items():
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(max(rounds // 3, 1)):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(
                    [sys.executable, *command], check=True, stdout=subprocess.DEVNULL
                )
                times[name].append(time.perf_counter() - began)
        yield title, times


def print_memory() -> None:
    """Bytes that compiled programs hold, by T, N and P; and a run's by its videos."""
    print("\nmemory in MiB: arguments, and beside them at most")
    for length, categories, config in VIDEOS:
        for longer in (1, 2, 4):
            video = make_video(longer * length, categories, config)
            stage = train.Stage("cleannet", config, STREAMS)
            state = train.create_train_state(stage, video.params)
            jitted = jax.jit(
                train.train_step, static_argnames="stage", donate_argnums=0
            )
            print_program(
                "training step", video, jitted.lower(state, video.batch, stage)
            )
    for count in (24, 200):
        command = [sys.executable, __file__, "--train-on", str(count)]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        print(
            f"training, 200 steps on {count} videos: at most {found.stdout.split()[-1]} MiB"
        )


def print_program(name: str, video: Video, lowered: Any) -> None:
    """A line of the bytes of a program."""
    found = lowered.compile().memory_analysis()
    proposals = video.length * len(video.config.anchor_sizes)
    print(
        f"{name}, T {video.length}, N {video.num_categories}, P {proposals}:"
        f" {found.argument_size_in_bytes / 2**20:.1f},"
        f" {found.temp_size_in_bytes / 2**20:.1f}"
    )


def train_on(count: int) -> None:
    """Trains on so many videos; prints the most memory that it took, in MiB."""
    config = dataclasses.replace(VIDEOS[0][2], steps=200, num_buckets=1)
    dataset = sample.sample_dataset("thumos14", seed=0)
    # One length, so that the longest video is there in either case.
    longest = max(dataset.train_ids, key=lambda name: dataset.videos[name].length)
    kept = [longest, *(name for name in dataset.train_ids if name != longest)][:count]
    videos = {name: dataset.videos[name] for name in kept}
    dataset = dataclasses.replace(dataset, videos=videos)
    head = methods.classifier(config).finish(
        train.create_classifier_params(
            jax.random.key(0), dataset.streams, len(dataset.categories), config
        ),
        dataset.streams,
    )
    with tempfile.TemporaryDirectory() as place:
        train.train_generator(config, dataset, pathlib.Path(place), {"head": head})
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10)


def times_of(tasks: Tasks, rounds: int) -> dict[str, list[float]]:
    """Seconds of every call by contender; they take turns."""
    turns = evaluator.turns({name: {"": task} for name, task in tasks.items()}, rounds)
    return {name: of[""] for name, of in turns.items()}


class Summary(NamedTuple):
    """Seconds of a contender."""

    median: float
    low: float  # the first quartile
    high: float  # the third
    least: float


def summary(times: list[float]) -> Summary:
    """The numbers of a line."""
    low, median, high = np.percentile(times, (25, 50, 75)).tolist()
    return Summary(median, low, high, min(times))


def print_part(title: str, found: dict[str, Summary]) -> None:
    """A table of milliseconds, and how many of ours a contender's median is."""
    print(
        f"\n{title}\n{'':22}{'median':>10}{'quartiles':>20}{'least':>10}{'of ours':>9}"
    )
    for name, one in found.items():
        median, low, high, least = (1e3 * value for value in one)
        ratio = one.median / found["ours"].median
        spread = f"{low:.2f}–{high:.2f}"
        print(
            f"{name:22}{median:10.2f}{spread:>20}{least:10.2f}{ratio:9.2f}", flush=True
        )


PARTS: dict[str, Callable[[int], Iterator[tuple[str, dict]]]] = {
    "evaluator": time_evaluator,
    "train": time_train,
    "w_talc": time_w_talc,
    "infer": time_infer,
    "suppress": time_suppress,
    "map": time_map,
    "network": time_network,
    "videos": time_videos,
    "start": time_start,
}


def main(arguments: list[str]) -> int:
    """Runs the program; returns its exit code."""
    parser = argparse.ArgumentParser("speed", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "memory", []])
    parser.add_argument("--rounds", type=int, default=evaluator.ROUNDS)
    parser.add_argument("--json", type=pathlib.Path, help="write all of it to a file")
    parser.add_argument("--train-on", type=int, help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.train_on:
        train_on(parsed.train_on)
        return 0
    # As in `evaluator`, so that freed memory stays at hand for everyone.
    np.ones(31 * 2**17)
    machine = {
        "jax": jax.__version__,
        "torch": torch.__version__ if torch else "absent",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print("milliseconds")
    parts = {}
    for name in parsed.parts or [*PARTS, "memory"]:
        if name == "memory":
            print_memory()
            continue
        for title, times in PARTS[name](parsed.rounds):
            found = {who: summary(values) for who, values in times.items()}
            print_part(title, found)
            parts[title] = {who: one._asdict() for who, one in found.items()}
    machine["load after"] = os.getloadavg()[0]
    print(f"load after it {machine['load after']:.1f}")
    if parsed.json:
        parsed.json.write_text(
            json.dumps({"machine": machine, "parts": parts}, indent=1)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
