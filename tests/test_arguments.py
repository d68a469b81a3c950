"""Errors of the public functions name the argument, both sides and the way out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cleannet_jax

PSI, SCP = jnp.ones(5), jnp.ones((5, 2))
ONE, MANY = jnp.ones(2), jnp.ones((4, 2))
CASES = [
    (
        "edgeness",
        (SCP,),
        {},
        ValueError,
        (
            "scp: expected (T,), found (5, 2); for all categories use evaluate_proposals"
            " or jax.vmap"
        ),
    ),
    ("temporal_contrast", (SCP,), {}, ValueError, "scp: expected (T,), found (5, 2)"),
    (
        "contrast_score",
        (SCP, ONE),
        {},
        ValueError,
        "for all categories use evaluate_proposals",
    ),
    (
        "windowed_extrema",
        (jnp.ones((2, 5, 2)),),
        {},
        ValueError,
        "scp: expected (T,) or (T, N), found (2, 5, 2)",
    ),
    (
        "evaluate_proposals",
        (PSI, MANY),
        {},
        ValueError,
        "scp: expected (T, N), found (5,); for one category use proposal_scores",
    ),
    (
        "evaluate_proposals",
        (SCP, ONE),
        {},
        ValueError,
        (
            "proposals: expected (P, 2) or (2, P, 2), found (2,); a proposal is a pair"
            " (start, end) in snippets"
        ),
    ),
    (
        "evaluate_proposals",
        (SCP, jnp.ones((3, 4, 2))),
        {},
        ValueError,
        "proposals: expected (P, 2) or (2, P, 2), found (3, 4, 2)",
    ),
    (
        "proposal_scores",
        (PSI, jnp.ones(3)),
        {},
        ValueError,
        "proposals: expected (..., 2), found (3,)",
    ),
    (
        "edgeness",
        ([0.0, 1.0],),
        {},
        TypeError,
        "scp: expected an array, found a list; jnp.asarray(scp, jnp.float32) makes one",
    ),
    (
        "edgeness",
        (jnp.arange(5),),
        {},
        TypeError,
        (
            "scp: expected floating-point numbers, found int32;"
            " scp.astype(jnp.float32) makes them"
        ),
    ),
    (
        "proposal_scores",
        (PSI, np.arange(2)),
        {},
        TypeError,
        "proposals: expected floating-point numbers, found int32",
    ),
    (
        "edgeness",
        (PSI,),
        {"window": 4},
        ValueError,
        "window: expected an odd number of snippets, found 4",
    ),
    (
        "evaluate_proposals",
        (SCP, MANY),
        {"window": 0},
        ValueError,
        "window: expected at least 1, found 0",
    ),
    (
        "windowed_extrema",
        (PSI,),
        {"window": 7.0},
        TypeError,
        "window: expected an int, found 7.0",
    ),
    (
        "contrast_score",
        (PSI, MANY),
        {"length": jnp.array([3, 4])},
        ValueError,
        (
            "length: expected one number, found shape (2,); for a batch of videos use"
            " jax.vmap"
        ),
    ),
    (
        "evaluate_proposals",
        (SCP, MANY),
        {"length": 2.5},
        TypeError,
        "length: expected an integer, found float32",
    ),
    (
        "suppress",
        (MANY, jnp.ones((2, 4))),
        {"max_tiou": 0.4, "max_outputs": 2},
        ValueError,
        "scores: expected (4,), found (2, 4); for many categories use jax.vmap",
    ),
    (
        "suppress",
        (MANY, jnp.ones(4)),
        {"max_tiou": 0.4, "max_outputs": 0},
        ValueError,
        "max_outputs: expected at least 1, found 0",
    ),
    ("tiou", ([0, 1], ONE), {}, TypeError, "first: expected an array, found a list"),
    ("tiou", (ONE, PSI), {}, ValueError, "second: expected (..., 2), found (5,)"),
]


@pytest.mark.parametrize("name, positional, named, kind, message", CASES)
def test_message(name, positional, named, kind, message):
    with pytest.raises(kind) as found:
        getattr(cleannet_jax, name)(*positional, **named)
    assert message in str(found.value)


def test_a_traced_window_is_told_to_be_static():
    with pytest.raises(TypeError, match=r"window: .*\(static_argnames='window'\)"):
        jax.jit(lambda window: cleannet_jax.edgeness(PSI, window=window))(3)


def test_whole_numbers_of_numpy_are_ints():
    found = cleannet_jax.edgeness(PSI, window=np.int64(3), length=np.int64(4))
    np.testing.assert_array_equal(found, 0)
