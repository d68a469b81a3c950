"""Inputs that broke a limit once, as small as they can be, by the reader that they broke.

`large` ones are made when they are asked for: what they were is their size.
"""

import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

from . import seeds


def header(descr: str, shape: str, content: bytes = b"") -> bytes:
    """A .npy file with any header."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    length = struct.pack("<H", len(text))
    return b"\x93NUMPY\1\0" + length + text.encode("latin-1") + content


def zipped(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """An archive with any members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def unwritten() -> bytes:
    """An HDF5 file of 1.4 kB with a data set of 4 PiB."""
    import h5py

    with io.BytesIO() as file:
        with h5py.File(file, "w") as content:
            content.create_dataset(
                "v1", (1 << 40, 1024), "f4", chunks=(1024, 1024), fillvalue=1
            )
        return file.getvalue()


def submission(**row: object) -> bytes:
    """A prediction file with one row that has other values than most."""
    whole = {"segment": [0, 1], "label": "run", "score": 1}
    return json.dumps({"results": {"v1": [whole | row]}}).encode()


_ZEROS = bytes(20 << 20)
_SCALARS = (
    b"cnumpy.core.multiarray\nscalar\nq\0cnumpy\ndtype\nU\7S100000\x89\x89\x87R(K\3U\1|NNN"
    b"tbq\1T" + struct.pack("<I", 100_000) + bytes(100_000) + b"q\2"
)
CORPUS: Mapping[str, Mapping[str, bytes | Callable[[], bytes]]] = {
    "npy": {
        "no type": header("[]", "(-1,)"),
        "no bytes a value": header("'|S0'", "(-1,)"),
        "an empty type": header("()", "(3,)"),
        "a dict as a key": b"\x93NUMPY\1\0\6\0{{}: 1}",
        "minus signs": header("'<f4'", "(" + "-" * 6500 + "1,)"),
        "more than there is": header("'<f4'", f"({10**20 - 1}, 16)"),
        "an open bracket": header("'<f4'", "(4, 3"),
        "an archive": b"PK\3\4",
        "a line end in a type": header("'|O\nx'", "(1,)"),
        "beyond single precision": seeds.npy(np.full((2, 2), 1e300)),
        "no character": header("'<U1'", "(1,)", b"\0\0\x11\0"),
    },
    "npz": {
        "no array": zipped(a=b"hello"),
        "a bomb": lambda: zipped(
            zipfile.ZIP_DEFLATED, a=header("'|u1'", "(20971520,)") + _ZEROS
        ),
        "lzma": lambda: zipped(zipfile.ZIP_LZMA, a=seeds.npy(seeds.VALUES)),
        "nothing": zipped(),
        "two axes of names": seeds.npz(
            **seeds.heads() | {"categories": np.array([["run", "jump"]])}
        ),
    },
    "pickle": {
        "the state of a dtype": b"cnumpy\ndtype\nU\2f8\x89\x88\x87R}b.",
        "large scalars": lambda: _SCALARS + b"h\0h\1h\2\x86R" * 2000 + b".",
        "keys of one hash": b"}("
        + b"".join(
            b"\x8a\x10" + (k * (2**61 - 1)).to_bytes(16, "little") + b"N"
            for k in range(1, 40_000)
        )
        + b"u.",
        "lists": b"]" * 150_000 + b".",
        "half a pair": b"\x8c\3\xed\xa0\x80.",
    },
    "hdf5": {"unwritten": unwritten},
    "json": {
        "a key twice": b"{"
        + b",".join(b'"k%d":1' % (n % 39_999) for n in range(40_000))
        + b"}",
        "depth": b"[" * 200 + b"]" * 200,
        "half a pair": b'{"database": {"\\ud800": 1}}',
    },
    "results": {
        "a whole number": b"1",
        "a long id": b'{"results": {"' + b"a" * 1_000_000 + b'": [{}]}}',
        "not a number": submission(extra=float("nan")),
        "no time": submission(segment=[0, 10**400]),
    },
    "thumos": {"a long line": b"a " * 1_000_000},
    "ssn": {"a long block": b"#\n" + b"v\n" * 300_000},
    "manifest": {
        "half a pair": json.dumps(seeds.MANIFEST | {"name": "\ud800"}).encode(),
        "a long key": json.dumps(seeds.MANIFEST | {"a" * 100_000: 1}).encode(),
    },
    "scp-index": {"lists": b'{"categories": [[], {}], "timebase": []}'},
}
