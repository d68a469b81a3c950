"""Detections in files, in the format that the ending says."""

import json

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.data.detections import files
from cleannet_jax.metrics import average_precision

FOUND = average_precision.Instances(
    videos=("a", "b"),
    labels=("Diving",),
    video=np.array([0, 1]),
    label=np.array([0, 0]),
    segments=np.array([[0.5, 2], [1, 3.25]]),
    scores=np.array([0.75, -1]),
)


@pytest.mark.parametrize("name", ["found.json", "found.txt", "found"])
def test_what_is_written_is_read(tmp_path, name):
    files.write(tmp_path / name, FOUND, details="TSN")
    for column, again in zip(FOUND, files.read(tmp_path / name), strict=True):
        np.testing.assert_array_equal(column, again)


def test_ending_decides(tmp_path):
    for name in ("found.txt", "found.json"):
        files.write(str(tmp_path / name), FOUND, details="TSN")
    # 26 is the class id of Diving.
    lines = (tmp_path / "found.txt").read_text().splitlines()
    assert lines == ["a 0.5 2.0 26 0.75", "b 1.0 3.25 26 -1.0"]
    content = json.loads((tmp_path / "found.json").read_text())
    assert content["external_data"] == {"used": True, "details": "TSN"}
    with pytest.raises(errors.InputError, match="found.txt: label 'Chop' has no class"):
        files.write(tmp_path / "found.txt", FOUND._replace(labels=("Chop",)))
