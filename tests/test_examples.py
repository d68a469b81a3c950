"""The examples in the docstrings of the public names do what they show."""

import doctest
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import programs
import pytest

import cleannet_jax


def example_of(name):
    finder = doctest.DocTestFinder(recurse=False)
    public = {known: getattr(cleannet_jax, known) for known in cleannet_jax.__all__}
    own = inspect.unwrap(public[name])
    (found,) = finder.find(own, name, globs=public | {"jax": jax, "jnp": jnp, "np": np})
    return found


@pytest.fixture
def trained(feature_folder, tmp_path, monkeypatch):
    """The run that the example of `load_run` loads."""
    monkeypatch.chdir(tmp_path)
    small = (
        "--head-steps 2 --steps 2 --generator-width 8 --anchor-sizes 4,8 --method plain"
    )
    options = ["--dataset", "activitynet12", "--data", feature_folder, *small.split()]
    out = "checkpoints/activitynet12-full-seed0"
    done = programs.run("train", *options, "--out", out)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", cleannet_jax.__all__)
def test_example(name, request):
    if name == "load_run":
        request.getfixturevalue("trained")
    example = example_of(name)
    assert example.examples, f"{name} has no example"
    runner = doctest.DocTestRunner(verbose=False)
    told = []
    runner.run(example, out=told.append)
    assert runner.failures == 0, "".join(told)
