"""Names of categories for labels that are numbers."""

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import labels
from cleannet_jax.metrics import average_precision


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("Long jump\nDive\n\nRun\n", {0: "Long jump", 1: "Dive", 2: "Run"}),
        ("7 Long jump\n9  Dive\n", {7: "Long jump", 9: "Dive"}),
        ("1,Dive\r\n0,Run\r\n", {1: "Dive", 0: "Run"}),
        # A name may begin with a number.
        ("100 metres\nDive\n", {0: "100 metres", 1: "Dive"}),
    ],
)
def test_names_have_the_number_of_their_line_or_their_own(tmp_path, content, names):
    (tmp_path / "names.txt").write_text(content)
    assert labels.read_names(tmp_path / "names.txt") == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n", "found no line, expected a name"),
        ("1 Dive\n1 Run\n", "line 2: found '1 Run', expected a number and a name that"),
        ("Dive\nDive\n", "line 2: found 'Dive', expected"),
    ],
)
def test_lists_that_are_none_are_refused(tmp_path, content, message):
    (tmp_path / "names.txt").write_text(content)
    with pytest.raises(errors.InputError, match=message):
        labels.read_names(tmp_path / "names.txt")


def test_numbers_get_names_in_both_tables():
    names = {5: "Dive", 6: "Run"}
    table = average_precision.Instances(
        videos=("a",),
        labels=("5", "Dive", "9", "06"),
        video=np.zeros(4, int),
        label=np.array([3, 0, 1, 2]),
        segments=np.zeros((4, 2)),
        scores=np.zeros(4),
    )
    found = labels.name_instances(table, names)
    assert [found.labels[label] for label in found.label] == [
        "Run",
        "Dive",
        "Dive",
        "9",
    ]
    assert found.labels == ("Dive", "9", "Run")
    video = annotations_lib.Video(
        id="a",
        subset="test",
        duration=None,
        fps=None,
        segments=np.zeros((2, 2)),
        labels=("6", "x"),
        ambiguous=np.zeros((0, 2)),
        tags=("5", "Dive"),
    )
    truth = annotations_lib.Annotations({"a": video}, "gt.json")
    named = labels.name_annotations(truth, names).videos["a"]
    assert (named.labels, named.tags) == (("Run", "x"), ("Dive",))
