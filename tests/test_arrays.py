"""The one reader of .npy and .npz files."""

import concurrent.futures
import os
import pickle
import re
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from cleannet_jax.data import arrays

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


def header(descr, shape, fortran="False"):
    """A .npy header of version 1 by hand."""
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "<i4"])
def test_arrays_are_those_that_were_written(tmp_path, dtype, order):
    array = np.asarray(VALUES, dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", a=array, b=array[:1])
    mapped = arrays.map_array(tmp_path / "a.npy")
    read = arrays.read_array(tmp_path / "a.npy")
    members = arrays.read_members(tmp_path / "a.npz")
    for found in (mapped, read, members["a"]):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    assert not mapped.flags.owndata and not mapped.flags.writeable
    assert read.flags.owndata and read.flags.writeable
    assert list(members) == ["a", "b"]
    assert list(arrays.read_members(tmp_path / "a.npz", "b")) == ["b"]
    assert arrays.read_member_header(tmp_path / "a.npz", "b").shape == (1, 3)


def test_headers_of_version_2_and_of_python_2_are_read(tmp_path):
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array(file, VALUES, version=(2, 0))
    np.testing.assert_array_equal(arrays.map_array(tmp_path / "a.npy"), VALUES)
    content = header("'<f4'", "(4L, 3L)") + VALUES.tobytes()
    (tmp_path / "b.npy").write_bytes(content)
    np.testing.assert_array_equal(arrays.map_array(tmp_path / "b.npy"), VALUES)


@pytest.mark.parametrize("shape", [(0, 3), (), (0,)])
def test_arrays_without_values_or_axes_are_read(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    assert arrays.map_array(tmp_path / "a.npy").shape == shape


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no whole .npy header .* at the start of the 0 bytes"),
        (b"\x93NUMPY\1\0", "no whole .npy header of version 1 or 2"),
        (b"\x93NUMPY\3\0" + bytes(122), "no whole .npy header of version 1 or 2"),
        (b"\x93NUMPY\1\0\6\0(((((\n", "no whole .npy header"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff" + b"(" * 20_000, "no whole .npy header"),
        (header("'<f4'", "(" * 900), "no whole .npy header"),
        (header("'what'", "(4, 3)"), "no whole .npy header"),
        (header("'<f4'", "(-4, -3)") + bytes(48), r"found shape \(-4, -3\), expected"),
        (header("'<f4'", "(4, 3)") + bytes(47), "bytes, expected .* of float32"),
        (header("'<f4'", "(4, 3)") + bytes(49), "bytes, expected .* of float32"),
        (header("'<U0'", "(4000000000,)"), r"for shape \(4000000000,\)"),
        (header("'<f4'", f"(0, {10**30})"), "expected one that can be indexed"),
        (header("'|O'", "(4, 3)") + pickle.dumps([1]), "array of Python objects"),
        (header("[('a', '|O')]", "(1,)") + bytes(8), "array of Python objects"),
        (pickle.dumps([1.0]), "no whole .npy header"),
        (header("()", "(3,)"), "no whole .npy header .* found the type"),
        (header("[]", "(-1,)"), "expected numbers or text"),
        (header("'|S0'", "(-1,)"), r"found shape \(-1,\), expected none below 0"),
        (header("'|S0'", "(5,)"), r"for shape \(5,\)"),
        (header("'<M8[ns]'", "(1,)") + bytes(8), "'<M8.*expected numbers or text"),
        (header("[('a', '<f4')]", "(1,)") + bytes(4), "expected numbers or text"),
        (header("'<f4'", "(True, 3)") + bytes(12), "no whole .npy header"),
        (header("'<f4'", "3") + bytes(12), "no whole .npy header"),
        (header("'<f4'", "(3)") + bytes(12), "no whole .npy header"),
        (header("'<f4'", "(" + "-" * 6500 + "1,)"), "no whole .npy header"),
        (header("'<f4'", "(" + "1," * 65 + ")") + bytes(4), "can be indexed"),
        (header("'<f4'", f"({10**19}, 16)"), "can be indexed"),
        (header("'<f8'", f"(0, {2**32}, {2**32})"), "can be indexed"),
        (header("'<U1'", "(1,)") + b"\0\0\x11\0", "found the character 0x110000"),
        (header("'<U1'", "(1,)") + b"\0\xd8\0\0", "found the character 0xd800"),
        (b"\x93NUMPY\1\0\6\0{{}: 1}", "no whole .npy header"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, content, message):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(arrays.ArrayError, match=f"^{re.escape(str(path))}: ") as caught:
        arrays.map_array(path)
    assert re.search(message, str(caught.value)) and "\n" not in str(caught.value)
    assert caught.value.kind


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(arrays.ArrayError, match="a.npy: no such file"):
        arrays.map_array(tmp_path / "a.npy")
    with pytest.raises(arrays.ArrayError, match="Is a directory"):
        arrays.map_array(tmp_path)
    with pytest.raises(arrays.ArrayError, match="a.npz: no such file"):
        arrays.read_members(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", a=VALUES)
    with pytest.raises(arrays.ArrayError, match="whole .npz file: .* 'b.npy'"):
        arrays.read_members(tmp_path / "a.npz", "b")


def test_a_claimed_size_is_not_allocated(tmp_path):
    claim = header("'<f8'", f"({2**33},)")
    (tmp_path / "a.npy").write_bytes(claim + bytes(80))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", claim + bytes(80))
    # A member whose own size is a lie as well.
    content = bytearray((tmp_path / "a.npz").read_bytes())
    size = len(claim) + 80
    place = content.rindex(b"PK\1\2") + 24
    assert int.from_bytes(content[place : place + 4], "little") == size
    content[place : place + 4] = (2**32 - 2).to_bytes(4, "little")
    (tmp_path / "b.npz").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(arrays.ArrayError, match="bytes, expected 687194"):
            arrays.read_array(tmp_path / "a.npy")
        for name in ("a.npz", "b.npz"):
            with pytest.raises(arrays.ArrayError, match=name):
                arrays.read_members(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_objects_in_archives_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([None]))
    for read in (arrays.read_members, arrays.read_member_header):
        with pytest.raises(arrays.ArrayError, match="a: .*an array of Python objects"):
            read(tmp_path / "a.npz", "a")


def bomb(path, names, size):
    """An .npz file of arrays of zeros, far smaller than they are."""
    content = header("'|u1'", f"({size},)") + bytes(size)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(f"{name}.npy", content)


def test_an_archive_that_unfolds_to_much_more_than_it_is_is_refused(tmp_path):
    bomb(tmp_path / "one.npz", ["a"], 30 << 20)
    bomb(tmp_path / "many.npz", "abcd", 8 << 20)
    bomb(tmp_path / "small.npz", ["a"], 8 << 20)
    tracemalloc.start()
    try:
        for read in (arrays.read_members, arrays.read_member_header):
            with pytest.raises(
                arrays.ArrayError, match="that take .* at most .* uncompressed or as"
            ):
                read(tmp_path / "one.npz", "a")
        with pytest.raises(arrays.ArrayError, match="many.npz: found 33554"):
            arrays.read_members(tmp_path / "many.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    # Zeros are no mistake.
    assert not arrays.read_members(tmp_path / "small.npz")["a"].any()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("a.npy", header("'|u1'", "(3,)") + bytes(3))
    with pytest.raises(arrays.ArrayError, match="a: found compression"):
        arrays.read_members(tmp_path / "a.npz")


def test_damaged_archives_are_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.random.default_rng(0).random((40, 30)))
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        damaged = bytearray(whole)
        damaged[place] ^= 255
        path.write_bytes(damaged)
        try:
            arrays.read_members(path)
        except arrays.ArrayError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        path.write_bytes(whole[:place])
        with pytest.raises(arrays.ArrayError, match="not a whole .npz file"):
            arrays.read_members(path)


@pytest.mark.parametrize(
    ("array", "shape", "kind", "message"),
    [
        (VALUES.astype(int), ("T", 3), "wrong type", "values of type int64, expected"),
        (VALUES.astype(np.longdouble), ("T", 3), "wrong type", "expected float16"),
        (VALUES, ("T", 4), "wrong shape", r"found shape \(4, 3\), expected \(T, 4\)"),
        (VALUES, ("T",), "wrong shape", r"found shape \(4, 3\), expected \(T,\)"),
        (np.array([[None]]), ("T", 1), "object array", "Python objects"),
    ],
)
def test_floats_of_a_shape_are_asked_for(array, shape, kind, message):
    with pytest.raises(arrays.ArrayError, match=f"^here: .*{message}") as caught:
        arrays.check_floats(array, place="here", shape=shape)
    assert caught.value.kind == kind
    assert arrays.check_floats(VALUES, place="here", shape=("T", 3)) == (4, 3)


def test_threads_at_different_depths_read_at_once(tmp_path):
    # Headers are parsed as Python source, which some versions do in a thread at a time.
    path = tmp_path / "values.npy"
    np.save(path, np.zeros((3, 2), np.float32))

    def read_at(depth):
        if depth:
            return read_at(depth - 1)
        return [arrays.read_header(path) for _ in range(1500)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(read_at, range(0, 80, 10)))
    finally:
        sys.setswitchinterval(interval)


def test_a_file_stays_as_it_is(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, VALUES)
    before = path.read_bytes()
    arrays.read_array(path)[:] = 0
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.npy"]
