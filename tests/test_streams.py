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
    ("names", "widths"), [((), ()), (("rgb",), (1, 2)), (("rgb", "flow"), (1,))]
)
def test_every_stream_has_a_width(names, widths):
    with pytest.raises(ValueError, match="expected as many of either"):
        streams.Streams(names, widths)
