"""Thresholds from the text of a command line."""

import pytest

from cleannet_jax import errors, evaluate, thresholds


@pytest.mark.parametrize(
    ("text", "tious"),
    [
        ("0.5", (0.5,)),
        ("0.3, 0.5,0.7", (0.3, 0.5, 0.7)),
        ("0.1:0.1:0.9", evaluate.THUMOS14_TIOUS),
        ("0.3:0.1:0.7", (0.3, 0.4, 0.5, 0.6, 0.7)),
        ("0.1:0.4:1", (0.1, 0.5, 0.9)),
        ("0.5:0.05:0.95", evaluate.ACTIVITYNET_TIOUS),
        ("0.5:0.1:0.5", (0.5,)),
    ],
)
def test_tious_from_text(text, tious):
    assert thresholds.parse_tious(text) == tious


@pytest.mark.parametrize(
    "text",
    ["", "half", "0", "1.5", "nan", "0.5,", "0.1:0.7", "0.1:0:0.7", "0.1:1e-9:0.7",
     "0.7:0.1:0.5", "0:0.1:0.5", "0.1:0.1:2", "0.1:0.1:0.2:0.3"],
)  # fmt: skip
def test_tious_that_are_none(text):
    with pytest.raises(errors.InputError, match="expected numbers in"):
        thresholds.parse_tious(text)
