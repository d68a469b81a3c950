"""A user's script under mypy --strict: the public names have types, not Any."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

import cleannet_jax

pytest.importorskip("mypy")

ROOT = pathlib.Path(cleannet_jax.__file__).parents[1]

SCRIPT = """
import jax.numpy as jnp
import numpy as np
import cleannet_jax as cn

scp = jnp.ones((40, 3))
proposals = np.ones((7, 2), np.float32)
reveal_type(cn.evaluate_proposals(scp, proposals))
reveal_type(cn.evaluate_proposals(scp, proposals, window=5, length=30).contrast)
reveal_type(cn.proposal_scores(scp[:, 0], proposals).action)
reveal_type(cn.contrast_score(scp[:, 0], proposals))
reveal_type(cn.edgeness(scp[:, 0]))
reveal_type(cn.temporal_contrast(scp[:, 0], length=jnp.int32(3)))
reveal_type(cn.windowed_extrema(scp).argmax)
reveal_type(cn.tiou(proposals, proposals))
reveal_type(cn.suppress(proposals, scp[:7, 0], max_tiou=0.4, max_outputs=3).segments)
reveal_type(cn.__version__)
run = cn.load_run("r")
video = run.predict(np.ones((40, 8)))
reveal_type(video.scp)
reveal_type(video.detections[0].start)
reveal_type(video.evaluate(proposals).contrast)
"""

REVEALED = [
    (
        "tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array,"
        " fallback=cleannet_jax.ops.contrast.ProposalScores]"
    ),
    *["jax.Array"] * 8,
    "str",
    "numpy.ndarray",
    "float",
    "jax.Array",
]
WRONG = """
import cleannet_jax as cn
cn.nonsense
cn.edgeness("scp")
cn.evaluate_proposals(1.0, 2.0, windw=3)
"""


@pytest.fixture
def check(tmp_path, request):
    def run(script):
        path = tmp_path / "script.py"
        path.write_text(script)
        # Kept from one run to the next: the first one reads all of JAX.
        cache = request.config.cache.mkdir("mypy")
        options = ["--strict", "--no-error-summary", "--cache-dir", str(cache)]
        # As an installed package, whose own errors are not a user's. An editable
        # install is not found by mypy.
        options.append("--follow-imports=silent")
        environment = os.environ | {"MYPYPATH": str(ROOT)}
        command = [sys.executable, "-m", "mypy", *options, str(path)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )
        return done.stdout.splitlines()

    return run


def test_a_user_sees_arrays(check):
    lines = check(SCRIPT)
    assert not [line for line in lines if ": error:" in line]
    types = [re.search('Revealed type is "(.*)"', line) for line in lines]
    shown = [found[1].replace("builtins.", "") for found in types if found]
    shown = [
        re.sub(r"jax\._src\.basearray\.Array|jax\.jaxlib.*", "jax.Array", s)
        for s in shown
    ]
    shown = [re.sub(r"^numpy\.ndarray\[.*", "numpy.ndarray", s) for s in shown]
    assert shown == REVEALED


def test_what_is_wrong_is_an_error(check):
    errors = [line for line in check(WRONG) if ": error:" in line]
    assert len(errors) == 3, errors
