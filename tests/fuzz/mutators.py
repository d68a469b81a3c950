"""Damage that knows a little of what it damages."""

import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

_MOST_BYTES = 1 << 16
# What reading a damaged archive raises; it is damaged in other ways then.
_DAMAGES = (ArithmeticError, OSError, RuntimeError, ValueError, EOFError, zlib.error)
# Numbers and words as text has them.
WORDS = [
    *(
        "0",
        "-1",
        "1e308",
        "-1e308",
        "1e999",
        "NaN",
        "nan",
        "Infinity",
        "-inf",
        "1e-320",
    ),
    *(
        str(2**31),
        str(2**63),
        str(-(2**63) - 1),
        "9" * 400,
        "9" * 5000,
        "1_0",
        "\u0663",
    ),
    *(
        "",
        " ",
        '"',
        "'",
        ",",
        ";",
        "\t",
        "\r",
        "\0",
        "\u2028",
        "\ufeff",
        "..",
        "/",
        "#",
    ),
    *(
        "null",
        "true",
        "[]",
        "{}",
        "[" * 200,
        '{"a":' * 200,
        '"\\ud800"',
        "\\",
        "a" * 2000,
    ),
]
VALUES: list[Any] = [
    *(None, True, 0, -1, 2**63, 10**400, 1e308, -1e308, float("nan"), float("inf")),
    *("", "a", "\ud800", "a" * 3000, "../x", "\0", "7", "1.5", "\U0001f600", "{id}"),
    *([], {}, [[]], [{}], {"": None}, [1], [1, 2], [1e308, 0], [0, 1e308], ["a", 1, 2]),
]
_SIZES = [
    0,
    1,
    2,
    3,
    4,
    12,
    0xFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
]
DESCRIPTIONS = [
    *("'<f4'", "'>f8'", "'<f2'", "'|u1'", "'|O'", "'<U1'", "'|S0'", "'|S3'", "'|V2'"),
    *("()", "[]", "{}", "[('a', '<f4')]", "[('a', '|O')]", "'<M8[ns]'", "'what'", "''"),
    *(
        "'<U999999999'",
        "'|b1'",
        "'<c8'",
        "'<f16'",
        "None",
        "('<f4', (2,))",
        "'<f4,<f4'",
    ),
]
SHAPES = [
    *(
        "(2, 1)",
        "(1, 2)",
        "(2,)",
        "(4, 3)",
        "()",
        "(0,)",
        "(12,)",
        "(-1,)",
        "(3)",
        "3",
        "(4L, 3L)",
        "(True, 3)",
    ),
    *(
        "(0, 99999999999999999999)",
        "(99999999999999999999, 16)",
        "(1,) * 9",
        "(4.0, 3)",
    ),
    *("(" + "1," * 70 + ")", "(" + "-" * 6500 + "1,)", "(2147483648, 2147483648)", "("),
]
# Operations of pickles with arguments, some of them refused.
OPERATIONS = [
    *(b"(", b")", b"]", b"}", b"N", b"\x88", b"\x89", b"t", b"\x85", b"\x86", b"\x87"),
    *(
        b"a",
        b"e",
        b"s",
        b"u",
        b"b",
        b"R",
        b"\x81",
        b"Q",
        b"\x94",
        b".",
        b"0",
        b"2",
        b"1",
    ),
    *(b"K\x01", b"M\xff\xff", b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 8, b"\x8f"),
    *(b"\x8a\xff" + b"\x7f" * 255, b"G\x7f\xf0" + bytes(6), b"U\x02f8", b"\x8c\x01a"),
    *(
        b"q\x01",
        b"h\x01",
        b"h\x02",
        b"r\xff\xff\xff\xff",
        b"j\xff\xff\xff\xff",
        b"\x93",
    ),
    *(
        b"cnumpy\ndtype\n",
        b"cnumpy\nndarray\n",
        b"c__builtin__\nslice\n",
        b"cos\nsystem\n",
    ),
    *(b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n"),
    *(b"cpandas.core.frame\nDataFrame\n", b"c_codecs\nencode\n", b"\x8b" + b"\xff" * 4),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"T\xff\xff\xff\x7f", b"B\1\0\0\0a"),
]


def generic(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A few changes of bytes, whatever they mean."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(found) + 1)
        end = min(len(found), at + rng.choice((1, 2, 4, 8, 40, 400)))
        kind = rng.randrange(9)
        if kind == 0 and found:
            found[at % len(found)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            found[at:end] = rng.randbytes(end - at)
        elif kind == 2:
            del found[at:end]
        elif kind == 3:
            found[at:at] = found[at:end] * rng.choice((1, 2, 50))
        elif kind == 4:
            del found[at:]
        elif kind == 5:
            other = rng.choice(others)
            found[at:] = other[rng.randrange(len(other) + 1) :]
        elif kind == 6:
            layout = rng.choice(("<B", "<H", "<I", "<Q", ">I"))
            size = struct.calcsize(layout)
            number = rng.choice(_SIZES) % (1 << (8 * size))
            found[at : at + size] = struct.pack(layout, number)
        elif kind == 7:
            found[at:at] = rng.choice(WORDS).encode()
        else:
            found[at:end] = bytes(end - at)
    return bytes(found[:_MOST_BYTES])


def words(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Other numbers, words or lines in text."""
    found = content.decode("utf-8", "replace")
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(re.finditer(r"[\w.+-]+|[^\w\s]|\s+", found))
        if places:
            place = rng.choice(places)
            new = rng.choice((rng.choice(WORDS), rng.choice(places)[0], place[0] * 2))
            found = found[: place.start()] + new + found[place.end() :]
    return found.encode("utf-8", "replace")[:_MOST_BYTES]


def tree(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Other values, keys or depths in JSON."""
    try:
        value = json.loads(content)
    except ValueError:
        return generic(rng, content, others)
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _changed(rng, value)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.1:
        text = re.sub(r'"(\w+)":', r'"\1": 0, "\1":', text, count=1)
    return text.encode("utf-8", "surrogatepass")[:_MOST_BYTES]


def _changed(rng: random.Random, value: Any) -> Any:
    """The value with one change somewhere in it."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        if rng.random() < 0.1:
            for _ in range(rng.choice((1, 90, 150))):
                value = [value]
            return value
        return rng.choice(VALUES)
    value = value.copy()
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    kind = rng.random()
    if kind < 0.1:
        del value[key]
    elif kind < 0.2 and isinstance(value, dict):
        value[rng.choice(["", "\ud800", "a" * 3000, "..", "score"])] = value.pop(key)
    elif kind < 0.2:
        value *= rng.choice((2, 30))
    else:
        value[key] = _changed(rng, value[key])
    return value


def array(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Other headers of .npy files."""
    fields = [
        f"'descr': {rng.choice(DESCRIPTIONS)}",
        f"'fortran_order': {rng.choice(('False', 'True', '0', 'None'))}",
        f"'shape': {rng.choice(SHAPES)}",
    ]
    if rng.random() < 0.1:
        rng.shuffle(fields)
        fields.pop() if rng.random() < 0.5 else fields.append("{}: 1")
    text = ("{" + ", ".join(fields) + rng.choice((", }", "}", "", "\n"))).encode()
    length = rng.choice((len(text), len(text), len(text), 0, 0xFFFF))
    head = b"\x93NUMPY\1\0" + struct.pack("<H", length) + text
    start = content.find(b"\n") + 1
    return head + content[start:][: rng.choice((48, 0, 4, 4000))]


def operations(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Operations put into a pickle or taken out, once or many times."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(len(found) + 1)
        piece = b"".join(rng.choices(OPERATIONS, k=rng.choice((1, 1, 3, 9))))
        found[at : at + rng.choice((0, 0, 1, 9))] = piece * rng.choice(
            (1, 1, 1, 30, 900)
        )
    return bytes(found[:_MOST_BYTES])


def members(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Archives that are whole and hold what is damaged."""
    file = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = {name: archive.read(name) for name in archive.namelist()}
    except (*_DAMAGES, zipfile.BadZipFile):
        return generic(rng, content, others)
    name = rng.choice(list(found) or [""])
    if not name:
        return generic(rng, content, others)
    change = operations if name.endswith(".pkl") else array
    change = rng.choice((change, change, generic))
    found[name] = change(rng, found[name], [found[name]])
    if rng.random() < 0.02 and not name.endswith(".pkl"):
        found[name] += bytes(rng.choice((1 << 10, 1 << 16, 1 << 24)))
    method = rng.choice((0, 0, 8, 8, 12)) if not name.endswith(".pkl") else 0
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, part in found.items():
            archive.writestr(name, part)
    return file.getvalue()


def written(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Bytes that are no padding, changed."""
    del others
    changed = bytearray(content)
    places = [place for place, byte in enumerate(changed) if byte]
    for place in rng.sample(places, min(len(places), rng.choice((1, 1, 2, 8)))):
        changed[place] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
    return bytes(changed)


Mutator = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
BY_ENDING: dict[str, Sequence[Mutator]] = {
    ".npy": (generic, array, operations),
    ".npz": (generic, members),
    ".pt": (generic, members),
    ".pkl": (generic, operations),
    ".h5": (generic,),
    ".arrayrecord": (generic, written),
    ".caffemodel": (generic,),
    ".safetensors": (generic,),
    "json": (generic, tree, words),
    "csv": (generic, words),
    "txt": (generic, words),
}


def mutate(rng: random.Random, ending: str, seeds: Sequence[bytes]) -> bytes:
    """Returns a damaged file of an ending, of some whole ones."""
    kinds = BY_ENDING.get(ending) or BY_ENDING[ending.rpartition(".")[2]]
    content = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2))):
        content = rng.choice(kinds)(rng, content, seeds)
    return content
