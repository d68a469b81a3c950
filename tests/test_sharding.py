"""The evaluator on four virtual devices equals itself on one: values and gradients."""

import json
import pathlib
import subprocess
import sys

import jax
import pytest

SCRIPT = pathlib.Path(__file__).with_name("sharded.py")


@pytest.mark.once
@pytest.mark.skipif(
    not hasattr(jax, "shard_map") or not hasattr(jax, "set_mesh"),
    reason="this version of JAX has no jax.shard_map or jax.set_mesh",
)
def test_sharded_over_batch_proposals_or_categories():
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    differences = json.loads(done.stdout)
    # Eight ways to share the work on three kinds of meshes, five gradients, and five
    # ways that only an explicit mesh makes hard.
    assert len(differences) == 3 * 8 + 5 + 5
    assert {name: d for name, d in differences.items() if not d < 1e-5} == {}
