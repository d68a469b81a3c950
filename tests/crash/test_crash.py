"""A sample of the campaign, in a process of its own: forks must come from a fresh one."""

import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        not os.path.exists("/proc/self/fd"), reason="operations are known by /proc"
    ),
]

ROOT = pathlib.Path(__file__).parents[2]


def campaign(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "failures: 0" in done.stdout
    return done.stdout


# One of many operations each, so that either takes some seconds.
def test_a_sample_of_converting():
    assert "operations passed" in campaign("--sample", "40", "--only", "convert")


def test_a_sample_of_training_and_localizing():
    found = campaign("--sample", "400", "--only", "train,localize")
    assert found.count("operations passed") == 2


def test_a_sample_of_extracting():
    pytest.importorskip("av", reason="no PyAV")
    assert "operations passed" in campaign("--sample", "20", "--only", "extract")


@pytest.mark.slow
def test_all_of_it():
    campaign("--full")
