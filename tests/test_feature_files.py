"""Arrays in .npy, .npz, .csv and HDF5 files, and what is taken for features."""

import builtins
import re
import sys
import zlib

import ml_dtypes
import numpy as np
import pytest

from cleannet_jax.data import arrays
from cleannet_jax.data.feature_files import (
    csv_files,
    found,
    hdf5_files,
    numpy_files,
    table,
)

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


def made(values):
    """An array as if it had been found in a file."""
    return found.Found("here", values.shape, values.dtype, lambda: values)


def read(path, name="", *, width=3):
    """The features of a file."""
    array = table.kind_of(str(path)).open(path, name)
    return found.as_features(array, width=width).read()


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_floats_stay_as_they_are(dtype):
    array = found.as_features(made(VALUES.astype(dtype)), width=3)
    assert array.dtype == array.read().dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i4", "<i8", ">u8"])
def test_integers_are_numbers(dtype):
    array = found.as_features(made(VALUES.astype(dtype)), width=3)
    assert array.dtype == array.read().dtype == np.float32
    np.testing.assert_array_equal(array.read(), VALUES)


def test_bfloat16_is_read_as_other_packages_write_it(tmp_path):
    values = np.array([[1.0, -0.1, np.nan, np.inf, 1e30]], ml_dtypes.bfloat16)
    np.save(tmp_path / "a.npy", values.repeat(3, axis=0)[:, ::-1])
    array = read(tmp_path / "a.npy", width=5)
    expected = values.repeat(3, axis=0)[:, ::-1].astype(np.float32)
    np.testing.assert_array_equal(array, expected, strict=True)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [("?", "bool"), ("c8", "complex64"), ("U3", "<U3"), ("g", ""), ("V3", "V3")],
)
def test_what_is_no_number_is_refused_by_name(dtype, kind):
    message = f"^here: found values of type .*{kind}.*, expected numbers: float16"
    with pytest.raises(arrays.ArrayError, match=message) as caught:
        found.as_features(made(np.zeros((4, 3), dtype)), width=3)
    assert caught.value.kind == "wrong type"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 3), (4, 3)),
        ((1, 4, 3), (4, 3)),
        ((4, 3, 1, 1), (4, 3)),
        ((4, 1, 3), (4, 3)),
        ((1, 3, 1, 1), (1, 3)),  # One snippet.
        ((1, 1, 3), (1, 3)),
        ((1, 0, 3), (0, 3)),
        ((4, 5, 1), (4, 5)),  # Another width, which is named by others.
        ((3, 4), (3, 4)),
    ],
)
def test_axes_of_length_1_are_dropped(shape, expected):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    array = found.as_features(made(values), width=3)
    assert array.shape == expected
    np.testing.assert_array_equal(array.read(), values.reshape(expected))


def test_one_column_is_an_axis_of_length_1_too():
    for shape in ((4, 1, 1), (1, 4, 1)):
        array = found.as_features(made(np.zeros(shape)), width=1)
        assert array.shape == (4, 1)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 10, 3), "an axis of crops must go first: store their mean, or one of the"),
        ((10, 4, 3), "an axis of crops must go first"),
        ((3, 1, 1), r"expected \(snippets, 3\)$"),  # Three snippets of one column?
        ((1, 1, 1), r"expected \(snippets, 3\)$"),
        ((3,), r"found shape \(3,\), expected \(snippets, 3\)$"),
        ((), r"found shape \(\), expected"),
    ],
)
def test_other_axes_are_refused_with_the_way_out(shape, message):
    with pytest.raises(arrays.ArrayError, match=message) as caught:
        found.as_features(made(np.zeros(shape)), width=3)
    assert str(caught.value).startswith(f"here: found shape {shape}, expected (snippe")
    assert caught.value.kind == "wrong shape"


@pytest.mark.parametrize("ending", table.KINDS)
def test_what_is_no_whole_file_is_named(tmp_path, ending):
    if ending in (".h5", ".hdf5"):
        pytest.importorskip("h5py")
    path = tmp_path / f"a{ending}"
    for content in (
        b"",
        b"\x89HDF\r\n",
        b"PK\3\4",
        b"\xff\xfe,1\n",
        b"PK\5\6" + bytes(18),
    ):
        path.write_bytes(content)
        with pytest.raises(
            arrays.ArrayError, match=f"^{re.escape(str(path))}"
        ) as caught:
            read(path)
        assert "\n" not in str(caught.value) and caught.value.kind
    path.unlink()
    with pytest.raises(arrays.ArrayError, match="no such file"):
        read(path)
    path.mkdir()
    with pytest.raises(arrays.ArrayError, match="directory|not a file"):
        read(path)


def test_the_only_array_of_an_archive_needs_no_name(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", features=VALUES)
    np.testing.assert_array_equal(read(tmp_path / "a.npz"), VALUES)
    np.testing.assert_array_equal(read(tmp_path / "a.npz", "features"), VALUES)


@pytest.mark.parametrize(
    ("names", "name", "message"),
    [
        ("ba", "", "found the arrays 'a', 'b', expected one array, or the manifest's "),
        ("fedcba", "", "found the arrays 'a', 'b', 'c', 'd', 'e' and 1 more, expected"),
        ("b", "a", "found the array 'b', expected the array 'a'"),
        ("", "", "found no array, expected an array"),
    ],
)
def test_the_array_that_is_meant_must_be_there(tmp_path, names, name, message):
    path = tmp_path / "a.npz"
    np.savez(path, **dict.fromkeys(names, VALUES))
    with pytest.raises(arrays.ArrayError, match=f"^{path}: {message}"):
        numpy_files.open_npz(path, name)


def test_objects_are_refused_and_others_of_the_archive_read(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([None]), b=VALUES)
    np.testing.assert_array_equal(read(tmp_path / "a.npz", "b"), VALUES)
    with pytest.raises(arrays.ArrayError, match="an array of Python objects"):
        read(tmp_path / "a.npz", "a")


def test_truncated_archives_are_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=VALUES)
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 30):
        path.write_bytes(whole[:size])
        with pytest.raises(arrays.ArrayError, match="not a whole .npz file"):
            read(path)


def write_csv(folder, text):
    path = folder / "a.csv"
    path.write_text(text)
    return path


def test_a_row_a_snippet(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    np.savetxt(tmp_path / "a.csv", values, delimiter=",", fmt="%.9g")
    np.testing.assert_array_equal(
        read(tmp_path / "a.csv", width=5), values, strict=True
    )


@pytest.mark.parametrize(
    "text",
    [
        "0,1,2\n3,4,5\n",
        "0, 1 ,2\r\n\r\n3,4,5",
        "\ufeff0,1e0,+2\n3,4,5\n\n",
        "f0,f1,f2\n0,1,2\n3,4,5\n",
        '"x","y","z"\n0,1,2\n3,4,5\n',
        "features\n0,1,2\n3,4,5\n",
    ],
)
def test_a_first_line_without_a_number_is_a_header(tmp_path, text):
    path = write_csv(tmp_path, text)
    np.testing.assert_array_equal(read(path), [[0, 1, 2], [3, 4, 5]])


def test_a_first_line_that_numbers_many_columns_is_a_header(tmp_path):
    header = ",".join(map(str, range(16)))
    path = write_csv(tmp_path, f"{header}\n" + ",".join(["7"] * 16))
    np.testing.assert_array_equal(read(path, width=16), np.full((1, 16), 7))
    # Fewer may be values.
    assert read(write_csv(tmp_path, "0,1,2\n0,1,2\n")).shape == (2, 3)


def test_values_that_are_not_finite_are_kept(tmp_path):
    path = write_csv(tmp_path, "nan,NaN,inf\n1,-inf,1e300\n")
    expected = [[np.nan, np.nan, np.inf], [1, -np.inf, np.inf]]
    np.testing.assert_array_equal(read(path), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\nc,d\n", "line 3: column 1: found 'c', expected a number"),
        ("1,2\n\n3,x\n", "line 3: column 2: found 'x', expected a number"),
        ("1,x\n3,4\n", "line 1: column 2: found 'x', expected a number"),
        (",0,1\n0,5,6\n", "line 1: column 1: found '', expected a number"),
        (
            "1;2\n3;4\n5;6\n",
            "line 2: column 1: found '3;4', expected a number; numbers",
        ),
        ("1,2\n3,4,5\n", "line 2: found 3 columns, expected 2 as in the rows above"),
        ("1,2\n3\n", "line 2: found 1 columns, expected 2 as in the rows above"),
        ("a,b\n", "a.csv: found no row of numbers, expected one a snippet"),
        ("\n", "a.csv: found no row of numbers"),
    ],
)
def test_what_is_wrong_with_a_row_is_named(tmp_path, text, message):
    path = write_csv(tmp_path, text)
    with pytest.raises(arrays.ArrayError, match=message) as caught:
        csv_files.open_csv(path, "")
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_rows_are_counted_once_until_the_file_changes(tmp_path, monkeypatch):
    path = write_csv(tmp_path, "1,2\n3,4\n")
    assert csv_files.open_csv(path, "").shape == (2, 2)
    rows = csv_files._rows
    monkeypatch.setattr(csv_files, "_rows", None)
    assert csv_files.open_csv(path, "").shape == (2, 2)
    monkeypatch.setattr(csv_files, "_rows", rows)
    write_csv(tmp_path, "1,2\n3,4\n5,6\n")
    assert csv_files.open_csv(path, "").shape == (3, 2)


@pytest.fixture
def h5(tmp_path):
    """An open HDF5 file, and its path."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        yield file, tmp_path / "a.h5"


def test_data_sets_are_found_by_name(h5):
    file, path = h5
    file["v1/rgb"] = VALUES
    file["v1/flow"] = VALUES.astype(">f2")
    file.create_dataset("v2", data=VALUES[None], compression="gzip")
    file["again"] = file["v2"]
    file.close()
    np.testing.assert_array_equal(read(path, "v1/rgb"), VALUES)
    np.testing.assert_array_equal(read(path, "v1/flow"), VALUES)
    np.testing.assert_array_equal(read(path, "v2"), VALUES)
    np.testing.assert_array_equal(read(path, "again"), VALUES)
    assert hdf5_files.item_names(path) == {"v1", "v1/rgb", "v1/flow", "v2", "again"}
    message = "found the arrays 'again', 'v1/flow', 'v1/rgb', 'v2', expected one array"
    with pytest.raises(arrays.ArrayError, match=message):
        read(path)
    with pytest.raises(arrays.ArrayError, match="expected the array 'v3'"):
        read(path, "v3")


def test_the_only_data_set_needs_no_name(h5):
    file, path = h5
    file["group/inner/features"] = VALUES
    file.close()
    np.testing.assert_array_equal(read(path), VALUES)


def test_groups_are_named_with_what_is_in_them(h5):
    file, path = h5
    file["v1/rgb"] = VALUES
    file.create_group("empty")
    file.close()
    message = (
        "'v1': found a group with the array 'v1/rgb', expected a data set; the man"
    )
    with pytest.raises(arrays.ArrayError, match=message):
        read(path, "v1")
    with pytest.raises(
        arrays.ArrayError, match="'empty': found a link or an empty gro"
    ):
        read(path, "empty")


def test_groups_in_a_circle_come_to_an_end(h5):
    file, path = h5
    file["a/b"] = VALUES
    file["a/round"] = file["/"]
    file.close()
    np.testing.assert_array_equal(read(path, "a/b"), VALUES)


def test_links_and_values_in_other_files_are_refused(h5, tmp_path):
    import h5py

    file, path = h5
    with h5py.File(tmp_path / "b.h5", "w") as other:
        other["v"] = VALUES
    file["outside"] = h5py.ExternalLink("b.h5", "v")
    file["soft"] = h5py.SoftLink("/nowhere")
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "b.h5", "v", (4, 3))
    file.create_virtual_dataset("virtual", layout)
    raw = [(str(tmp_path / "b.h5"), 0, 48)]
    file.create_dataset("external", (4, 3), "f4", external=raw)
    file.close()
    for name in ("outside", "soft"):
        with pytest.raises(arrays.ArrayError, match=f"{name}': found a link"):
            read(path, name)
    for name in ("virtual", "external"):
        with pytest.raises(arrays.ArrayError, match="values lie in other files"):
            read(path, name)


def test_what_is_claimed_must_be_stored(h5):
    import h5py

    file, path = h5
    file.create_dataset("chunks", (2**40, 3), "f4", chunks=(64, 3))
    file["text"] = [["a"] * 3]
    file["none"] = h5py.Empty("f4")
    file.close()
    with pytest.raises(arrays.ArrayError, match="found 0 bytes, too few for shape"):
        read(path, "chunks")
    with pytest.raises(arrays.ArrayError, match="found values of type object"):
        read(path, "text")
    with pytest.raises(arrays.ArrayError, match=r"found shape \(\), expected"):
        read(path, "none")


def test_an_unknown_data_set_leaves_the_others(h5):
    import h5py

    file, path = h5
    file["v"] = VALUES
    space = h5py.h5s.create_simple((4, 3))
    h5py.h5d.create(file.id, b"times", h5py.h5t.UNIX_D32LE, space)
    file.close()
    np.testing.assert_array_equal(read(path, "v"), VALUES)
    with pytest.raises(arrays.ArrayError, match=f"^{path}: 'times': "):
        read(path, "times")


def test_truncated_hdf5_is_named(h5):
    file, path = h5
    file["v"] = np.zeros((4000, 3))
    file.close()
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 300):
        path.write_bytes(whole[:size])
        with pytest.raises(arrays.ArrayError, match="not a whole HDF5 file"):
            read(path, "v")


def test_a_file_is_listed_anew_once_it_changes(tmp_path):
    h5py = pytest.importorskip("h5py")
    for length in (4, 5):
        # Nothing keeps the file open.
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["v"] = np.zeros((length, 3))
        assert read(tmp_path / "a.h5", "v").shape == (length, 3)


def test_without_h5py_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "a.h5").write_bytes(b"x")
    original = builtins.__import__

    def without(name, *arguments):
        if name == "h5py":
            raise ImportError(name)
        return original(name, *arguments)

    monkeypatch.delitem(sys.modules, "h5py", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    message = r"a.h5: reading HDF5 needs h5py: pip install 'cleannet_jax\[hdf5\]'"
    with pytest.raises(arrays.ArrayError, match=message):
        read(tmp_path / "a.h5", "v")


def test_unwritten_values_are_not_made_up(h5):
    file, path = h5
    size = {"shape": (1 << 40, 1024), "dtype": "f4"}
    file.create_dataset("nothing", chunks=(1024, 1024), **size)
    part = file.create_dataset(
        "part", (1 << 20, 64), "f4", chunks=(1024, 64), compression="gzip"
    )
    part[:10] = 1
    file.create_dataset(
        "chunk", (2, 2), "f4", chunks=(1 << 13, 1 << 13), maxshape=(None, None)
    )
    file.close()
    for name, end in (
        ("nothing", "float32$"),
        ("part", "store it uncompressed or as .npy$"),
        ("chunk", "float32$"),
    ):
        message = f"'{name}': found .* too few for shape .*{end}"
        with pytest.raises(arrays.ArrayError, match=message):
            read(path, name)


def test_a_chunk_that_unfolds_to_more_than_it_is_is_refused(h5):
    file, path = h5
    how = {"shape": (16, 64), "dtype": "f4", "chunks": (16, 64)}
    bomb = zlib.compress(bytes(60 << 20))
    for name, more in (
        ("bomb", {"compression": "gzip"}),
        ("both", {"compression": "gzip", "shuffle": True, "fletcher32": True}),
        ("plain", {"compression": "gzip"}),
    ):
        item = file.create_dataset(name, **how, **more)
        # Of "plain" the filters are said to be left out, and its bytes are the values.
        item.id.write_direct_chunk(
            (0, 0), bytes(4096) if name == "plain" else bomb, int(name == "plain")
        )
    file.close()
    for name in ("bomb", "both"):
        with pytest.raises(
            arrays.ArrayError, match="unfold to more than the 4096 of a"
        ):
            read(path, name)
    assert not read(path, "plain").any()


def test_filters_are_those_whose_room_is_known(h5):
    import h5py

    file, path = h5
    values = np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)
    for at, more in enumerate(
        (
            {"compression": "gzip", "shuffle": True, "fletcher32": True},
            {"compression": "gzip", "chunks": values.shape},
            {"compression": "lzf"},
            {"fletcher32": True},
        )
    ):
        file.create_dataset(f"{at}", data=values, **more)
    twice = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    twice.set_chunk((16, 16))
    twice.set_deflate(4)
    twice.set_deflate(4)
    space = h5py.h5s.create_simple((16, 16))
    h5py.h5d.create(file.id, b"twice", h5py.h5t.NATIVE_FLOAT, space, twice)
    file.create_dataset("other", data=values.astype(int), scaleoffset=0)
    file.close()
    for at in range(4):
        np.testing.assert_array_equal(read(path, f"{at}"), values)
    for name, filters in (("twice", "deflate, deflate"), ("other", "6")):
        message = f"found the filters {filters}, expected none, or shuffle and"
        with pytest.raises(arrays.ArrayError, match=message):
            read(path, name)


def test_deep_groups_need_no_recursion(h5):
    file, path = h5
    group = file
    for _ in range(3000):
        group = group.create_group("g")
    file.close()
    with pytest.raises(arrays.ArrayError, match="found groups in groups, 16 deep"):
        read(path, "g")
