import numpy as np
import pytest

from cleannet_jax import streams


def test_streams_split_the_columns_in_order():
    both = streams.Streams(("rgb", "flow"), (2, 1))
    parts = both.split(np.arange(6).reshape(2, 3))
    assert list(parts) == ["rgb", "flow"] and both.width == 3 and len(both) == 2
    np.testing.assert_array_equal(parts["rgb"], [[0, 1], [3, 4]])
    np.testing.assert_array_equal(parts["flow"], [[2], [5]])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("rgb flow", "rgb flow"),
        ("flow rgb", "rgb flow"),
        ("Flow pose RGB", "RGB pose Flow"),
        ("flow pose", "flow pose"),
        ("pose rgb", "pose rgb"),
    ],
)
def test_rgb_is_first_where_there_is_flow(names, expected):
    names = tuple(names.split())
    ordered = streams.Streams(names, tuple(range(1, len(names) + 1))).rgb_first
    assert ordered.names == tuple(expected.split())
    assert ordered.widths == tuple(names.index(name) + 1 for name in ordered.names)


@pytest.mark.parametrize(
    ("names", "widths"), [((), ()), (("rgb",), (1, 2)), (("rgb", "flow"), (1,))]
)
def test_every_stream_has_a_width(names, widths):
    with pytest.raises(ValueError, match="expected as many of either"):
        streams.Streams(names, widths)
