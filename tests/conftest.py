"""A small feature folder on disk, as a person would bring one."""

import atexit
import importlib.metadata
import json
import os
import pathlib
import shutil
import tempfile

# Compiled programs are kept while the tests run, for the programs that they start too,
# and nowhere else. JAX reads this when it is imported. Before 0.10 what came out of the
# cache could be wrong.
_VERSION = tuple(map(int, importlib.metadata.version("jax").split(".")[:2]))
if "JAX_COMPILATION_CACHE_DIR" not in os.environ and _VERSION >= (0, 10):
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="cleannet_tests")
    atexit.register(
        shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True
    )
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import jax
import numpy as np
import pytest

from cleannet_jax import config as config_lib

WIDTHS = (6, 4)
CATEGORIES = ("jump", "run", "throw")


def video_features(rng, length, actions):
    """Two streams that show one category's direction while its action lasts."""
    streams = [rng.normal(0, 0.3, (length, width)) for width in WIDTHS]
    for start, end, label in actions:
        for stream in streams:
            stream[start:end, CATEGORIES.index(label)] += 2.0
    return [stream.astype(np.float16) for stream in streams]


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    """Drops compiled programs once they are much: gigabytes slow a process down."""
    yield
    statm = pathlib.Path("/proc/self/statm")
    pages = int(statm.read_text().split()[1]) if statm.exists() else 0
    if pages * os.sysconf("SC_PAGE_SIZE") > 2 << 30:
        jax.clear_caches()


@pytest.fixture
def feature_folder(tmp_path):
    """Ten training and four evaluation videos of 20 to 50 snippets, half a second each."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    for stream in ("rgb", "flow"):
        (folder / stream).mkdir(parents=True)
    database = {}
    for index in range(14):
        length = int(rng.integers(20, 50))
        start = int(rng.integers(2, length - 12))
        label = CATEGORIES[index % 3]
        actions = [(start, start + 8, label)]
        if index % 5 == 0:
            actions.append((start + 8, start + 10, CATEGORIES[(index + 1) % 3]))
        name = f"video{index:02d}"
        streams = video_features(rng, length, actions)
        for stream, values in zip(("rgb", "flow"), streams, strict=True):
            np.save(folder / stream / f"{name}.npy", values)
        database[name] = {
            "subset": "training" if index < 10 else "validation",
            "duration": length / 2,
            "annotations": [
                {"segment": [start / 2, end / 2], "label": label}
                for start, end, label in actions
            ],
        }
    (folder / "annotations.json").write_text(json.dumps({"database": database}))
    manifest = {
        "version": 1,
        "name": "tiny",
        "streams": [
            {"name": name, "width": width}
            for name, width in zip(("rgb", "flow"), WIDTHS, strict=True)
        ],
        "stride_frames": 15,
        "window_frames": 15,
        "offset_frames": 0,
        "fps": 30,
        "train_subset": "training",
        "evaluation_subset": "validation",
        "source": "written by a test",
        "backbone_trained_on": [],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def tiny_config():
    """A few steps of a small network."""
    return config_lib.Config(
        dataset="tiny",
        anchor_sizes=(4, 8),
        generator_width=8,
        num_samples=2,
        head_steps=6,
        head_learning_rate=0.1,
        steps=5,
        learning_rate=0.01,
        checkpoint_every=2,
        log_every=3,
        num_buckets=1,
        min_attention=0.0,
        positive_score=-2.0,
        tious=(0.3, 0.5),
    )
