import io
import os
import pickle
import struct
import time
import tracemalloc

import numpy as np
import pytest
import python2

from cleannet_jax import errors
from cleannet_jax.data.layouts import pickled, unpickle, unpickle_machine


def load(content):
    return unpickle.load(content, place="some.pc")


def op(name, *payload):
    """One operation of a pickle by hand."""
    return getattr(pickle, name) + b"".join(payload)


def text(value):
    raw = value.encode()
    return op("SHORT_BINUNICODE", struct.pack("<B", len(raw)), raw)


def named(module, name):
    return op("GLOBAL", f"{module}\n{name}\n".encode())


def stacked(module, name):
    return text(module) + text(name) + op("STACK_GLOBAL")


def called(function, *arguments):
    return function + op("MARK") + b"".join(arguments) + op("TUPLE") + op("REDUCE")


# Those of NumPy's .npy files and of AutoLoc's pickles.
PROTOCOLS = (2, 3, 4)

VALUES = [
    None,
    True,
    False,
    0,
    -1,
    255,
    256,
    65536,
    -(10**30),
    2.5,
    float("inf"),
    "",
    "caf\u00e9 \u20ac \U0001f600",
    "x" * 70000,
    b"",
    b"\x00\xff\n'",
    b"y" * 70000,
    [],
    [1, [2, [3]]],
    (),
    (1,),
    (1, 2),
    (1, 2, 3),
    (1, 2, 3, 4),
    {},
    {"a": 1, 2: "b", None: b"c", 1.5: []},
    slice(1, None, 2),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_are_those_of_pythons_own_unpickler(value, protocol):
    found = load(pickle.dumps(value, protocol=protocol))
    assert type(found) is type(value) or isinstance(found, memoryview)
    assert found == value


@pytest.mark.parametrize(
    ("value", "protocol", "message"),
    [
        (1.5, 0, "refused operation FLOAT"),
        ({"a": 1}, 0, "refused operation DICT"),
        ({1}, 4, "refused operation EMPTY_SET"),
        ({1}, 2, "refused '__builtin__.set'"),
        (bytearray(b"a"), 5, "refused operation BYTEARRAY8"),
        (np.arange(3), 5, "refused operation BYTEARRAY8|refused 'numpy.*_frombuffer'"),
    ],
)
def test_what_is_in_no_release_is_refused(value, protocol, message):
    with pytest.raises(errors.InputError, match=message):
        load(pickle.dumps(value, protocol=protocol))


ARRAYS = {
    "float64": np.linspace(0, 1, 6).reshape(2, 3),
    "big endian": np.arange(6, dtype=">f4").reshape(3, 2),
    "columns first": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "half": np.array([1.5, np.nan, np.inf], np.float16),
    "mapped": np.arange(3000, dtype=np.float32),
    "empty": np.zeros((0, 4)),
    "no axes": np.array(3.5),
    "bool": np.array([True, False]),
    "bytes": np.array([b"video", b"x"]),
    "text": np.array(["ab", "\u20ac"]),
    "big endian text": np.array(["ab", "\u20ac"], ">U2"),
    "numpy scalar": np.float32(2.5),
    "many axes": np.ones((1,) * 10),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays_are_those_that_were_written(array, protocol):
    found = load(pickle.dumps(array, protocol=protocol))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array, strict=True)


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays_of_python_2_are_those_that_were_written(array):
    found = load(python2.dumps([array, array]))
    np.testing.assert_array_equal(found[0], array, strict=True)
    assert found[1] is found[0]


@pytest.mark.parametrize("dumps", [pickle.dumps, python2.dumps])
def test_an_array_of_objects_keeps_arrays_of_one_shape_apart(dumps):
    parts = [np.full((2, 3), value) for value in range(4)]
    found = load(dumps(python2.object_array([*parts, ["a"]])))
    assert found.shape == (5,)
    np.testing.assert_array_equal(found[3], parts[3])
    assert found[4] == ["a"]


def test_a_dtype_that_is_used_twice_keeps_its_byte_order():
    array = np.arange(3, dtype=">i4")
    found = load(pickle.dumps([array, array.dtype, np.arange(4, dtype=array.dtype)]))
    assert found[1] == np.dtype(">i4")
    np.testing.assert_array_equal(found[2], [0, 1, 2, 3])


def test_strings_of_python_2_are_text_and_large_ones_views():
    small, large = load(python2.dumps(["caf\xe9", "z" * 5000]))
    assert small == "caf\xe9"
    assert isinstance(large, memoryview) and bytes(large) == b"z" * 5000


def test_the_file_is_not_copied(tmp_path):
    python2.save_array(
        tmp_path / "a.npy", python2.object_array([np.zeros((1000, 4)), np.ones((9, 4))])
    )
    array = pickled.read_array(tmp_path / "a.npy")
    base = array[0]
    while isinstance(base, np.ndarray):
        assert not base.flags.owndata and not base.flags.writeable
        base = base.base
    assert isinstance(base, memoryview)


# What Python's own unpickler would do is noted by a file that none may make.


@pytest.fixture
def untouched(tmp_path, monkeypatch):
    """A folder that nothing may be written to, which is looked at in the end."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not os.listdir(tmp_path)
    assert "A" not in os.environ


COMMAND = text("touch touched")

CALLS = {
    "os.system": ("os", "system", COMMAND),
    "posix.system": ("posix", "system", COMMAND),
    "nt.system": ("nt", "system", COMMAND),
    "os.popen": ("os", "popen", COMMAND),
    "os.execl": ("os", "execl", text("/bin/touch"), text("touch"), text("touched")),
    "os.putenv": ("os", "putenv", text("A"), text("B")),
    "os.remove": ("os", "remove", text("x")),
    "subprocess.Popen": ("subprocess", "Popen", COMMAND),
    "subprocess.getoutput": ("subprocess", "getoutput", COMMAND),
    "commands.getoutput": ("commands", "getoutput", COMMAND),
    "pty.spawn": ("pty", "spawn", COMMAND),
    "builtins.eval": ("builtins", "eval", text("open('touched', 'w')")),
    "__builtin__.eval": ("__builtin__", "eval", text("open('touched', 'w')")),
    "builtins.exec": ("builtins", "exec", text("open('touched', 'w')")),
    "builtins.compile": ("builtins", "compile", text("1"), text("a"), text("eval")),
    "builtins.getattr": ("builtins", "getattr", text("a"), text("__class__")),
    "builtins.setattr": ("builtins", "setattr", text("a"), text("b"), text("c")),
    "builtins.__import__": ("builtins", "__import__", text("os")),
    "__builtin__.__import__": ("__builtin__", "__import__", text("os")),
    "builtins.open": ("builtins", "open", text("touched"), text("w")),
    "__builtin__.file": ("__builtin__", "file", text("touched"), text("w")),
    "builtins.type": ("builtins", "type", text("a")),
    "builtins.map": ("builtins", "map", text("a"), text("b")),
    "builtins.globals": ("builtins", "globals"),
    "builtins.apply": ("__builtin__", "apply", text("a")),
    "builtins.breakpoint": ("builtins", "breakpoint"),
    "builtins.list": ("builtins", "list", text("ab")),
    "builtins.object": ("builtins", "object"),
    "builtins.set": ("builtins", "set", op("EMPTY_LIST")),
    "copy_reg._reconstructor": ("copy_reg", "_reconstructor"),
    "numpy.core.numeric._frombuffer": ("numpy.core.numeric", "_frombuffer"),
    "builtins.dict": ("builtins", "dict"),
    "builtins.bytearray": ("builtins", "bytearray", op("BININT", b"\0\0\0\x7f")),
    "operator.attrgetter": ("operator", "attrgetter", text("__class__")),
    "operator.methodcaller": ("operator", "methodcaller", text("f")),
    "_operator.itemgetter": ("_operator", "itemgetter", text("f")),
    "functools.partial": ("functools", "partial", named("os", "system")),
    "functools.reduce": ("functools", "reduce", text("a")),
    "importlib.import_module": ("importlib", "import_module", text("os")),
    "imp.load_source": ("imp", "load_source", text("a")),
    "runpy.run_path": ("runpy", "run_path", text("a")),
    "pickle.loads": ("pickle", "loads", text("a")),
    "_pickle.Unpickler": ("_pickle", "Unpickler", text("a")),
    "marshal.loads": ("marshal", "loads", text("a")),
    "types.FunctionType": ("types", "FunctionType", text("a")),
    "types.CodeType": ("types", "CodeType", text("a")),
    "code.InteractiveInterpreter": ("code", "InteractiveInterpreter"),
    "pdb.run": ("pdb", "run", text("a")),
    "timeit.timeit": ("timeit", "timeit", text("open('touched', 'w')")),
    "ctypes.CDLL": ("ctypes", "CDLL", text("libc.so.6")),
    "socket.socket": ("socket", "socket"),
    "urllib.request.urlopen": ("urllib.request", "urlopen", text("file:///etc")),
    "webbrowser.open": ("webbrowser", "open", text("a")),
    "shutil.rmtree": ("shutil", "rmtree", text("/none")),
    "pathlib.Path": ("pathlib", "Path", text("/")),
    "tempfile.mkdtemp": ("tempfile", "mkdtemp"),
    "logging.FileHandler": ("logging", "FileHandler", text("touched")),
    "numpy.load": ("numpy", "load", text("a.npy")),
    "numpy.save": ("numpy", "save", text("touched"), op("BININT1", b"\1")),
    "numpy.loadtxt": ("numpy", "loadtxt", text("/etc/passwd")),
    "numpy.fromfile": ("numpy", "fromfile", text("/etc/passwd")),
    "numpy.memmap": ("numpy", "memmap", text("touched")),
    "numpy.frompyfunc": ("numpy", "frompyfunc", text("a")),
    "numpy.vectorize": ("numpy", "vectorize", text("a")),
    "numpy.f2py.compile": ("numpy.f2py", "compile", text("a")),
    "numpy.f2py.crackfortran.myeval": ("numpy.f2py.crackfortran", "myeval", COMMAND),
    "numpy.testing.runstring": ("numpy.testing", "runstring", COMMAND),
    "numpy.testing._private.utils.runstring": (
        "numpy.testing._private.utils",
        "runstring",
        COMMAND,
    ),
    "numpy.distutils.exec_command": ("numpy.distutils.exec_command", "exec_command"),
    "numpy.lib.npyio.load": ("numpy.lib.npyio", "load", text("a")),
    "numpy.core.multiarray.fromfile": ("numpy.core.multiarray", "fromfile", text("a")),
    "numpy.recarray": ("numpy", "recarray", op("EMPTY_TUPLE")),
    "numpy.random._pickle.__randomstate_ctor": (
        "numpy.random._pickle",
        "__randomstate_ctor",
    ),
    "collections.OrderedDict": ("collections", "OrderedDict"),
    "collections.Counter": ("collections", "Counter"),
    "datetime.datetime": ("datetime", "datetime", COMMAND),
    "cleannet_jax.data.unpickle.load": ("cleannet_jax.data.unpickle", "load"),
    "torch._utils._rebuild_tensor_v2": ("torch._utils", "_rebuild_tensor_v2"),
    "pandasx.read_pickle": ("pandasx", "read_pickle", text("a")),
    "__main__.main": ("__main__", "main"),
    ".system": ("", "system", COMMAND),
}


@pytest.mark.parametrize("name", [named, stacked])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_everything_else_is_refused_by_its_name(call, name, untouched):
    module, attribute, *arguments = call
    content = called(name(module, attribute), *arguments) + op("STOP")
    with pytest.raises(errors.InputError) as caught:
        load(content)
    assert str(caught.value).startswith("some.pc: pickle, byte ")
    assert f"refused '{f'{module}.{attribute}'[:10]}" in str(caught.value)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy.core.multiarray", "_reconstruct.__globals__"),
        ("numpy.core.multiarray", "_reconstruct.__class__"),
        ("numpy", "dtype.__class__.__mro__"),
        ("numpy", "ndarray.tofile"),
        ("numpy", "core.multiarray._reconstruct"),
        ("numpy.core", "multiarray._reconstruct"),
        ("_codecs", "encode.__self__"),
        ("builtins", "slice.__init__.__objclass__"),
        ("builtins", "object.__subclasses__"),
        ("builtins", "__dict__"),
        ("copyreg", "_reconstructor.__globals__"),
        ("copyreg", "__newobj__"),
        ("copyreg", "add_extension"),
        ("", ""),
    ],
)
def test_no_attribute_is_reached_through_an_allowed_name(module, name, untouched):
    with pytest.raises(errors.InputError, match="refused"):
        load(stacked(module, name) + op("STOP"))


ARRAY = called(
    named("numpy.core.multiarray", "_reconstruct"),
    named("numpy", "ndarray"),
    op("BININT1", b"\0") + op("TUPLE1"),
    text("b"),
)
DTYPE = called(named("numpy", "dtype"), text("f8"), op("NEWFALSE"), op("NEWTRUE"))
STUB = op("EMPTY_TUPLE").join([named("pandas.core.frame", "DataFrame"), op("NEWOBJ")])
STATE = op("EMPTY_DICT") + text("__class__") + op("BININT1", b"\1") + op("SETITEM")
SLOTS = op("NONE") + STATE + op("TUPLE2")

BUILDS = {
    "a name": named("numpy", "dtype"),
    "a function": named("numpy.core.multiarray", "_reconstruct"),
    "a class of pandas": named("pandas", "DataFrame"),
    "an array": ARRAY,
    "a dtype": DTYPE,
    "a list": op("EMPTY_LIST"),
    "a dict": op("EMPTY_DICT"),
    "text": text("a"),
    "a slice": called(named("builtins", "slice"), op("NONE")),
    "nothing": b"",
}


@pytest.mark.parametrize("state", [STATE, SLOTS, text("a"), op("EMPTY_TUPLE")])
@pytest.mark.parametrize("target", BUILDS.values(), ids=BUILDS)
def test_no_attribute_is_set(target, state, untouched):
    with pytest.raises(errors.InputError, match="some.pc: pickle, byte"):
        load(target + state + op("BUILD") + op("STOP"))


def test_the_state_of_a_stub_stays_beside_it():
    stub = load(STUB + STATE + op("BUILD") + op("STOP"))
    assert type(stub) is unpickle_machine.Stub
    assert stub.name == "pandas.core.frame.DataFrame"
    assert stub.state == {"__class__": 1}
    with pytest.raises(errors.InputError, match="refused a state for .*DataFrame"):
        load(STUB + STATE + op("BUILD") + STATE + op("BUILD") + op("STOP"))


@pytest.mark.parametrize(
    "name", ["read_pickle", "eval", "DataFrame.eval", "io.common.get_handle"]
)
def test_nothing_of_pandas_is_called(name, untouched):
    stub = load(called(stacked("pandas", name), COMMAND) + op("STOP"))
    assert type(stub) is unpickle_machine.Stub
    assert stub.arguments == ("touch touched",)


CALLED = {
    "text": text("os.system"),
    "a stub": STUB,
    "an array": ARRAY,
    "a list": op("EMPTY_LIST"),
    "a class": named("numpy", "ndarray"),
    "the result of a call": called(named("builtins", "slice"), op("NONE")),
}


@pytest.mark.parametrize("make", ["REDUCE", "NEWOBJ"])
@pytest.mark.parametrize("function", CALLED.values(), ids=CALLED)
def test_only_names_are_called(function, make, untouched):
    content = function + COMMAND + op("TUPLE1") + op(make) + op("STOP")
    with pytest.raises(errors.InputError, match="refused a call of"):
        load(content)


OPERATIONS = {
    "INST": op("MARK") + COMMAND + op("INST", b"os\nsystem\n"),
    "OBJ": op("MARK") + named("os", "system") + COMMAND + op("OBJ"),
    "OBJ of text": op("MARK") + text("os") + COMMAND + op("OBJ"),
    "OBJ of nothing": op("MARK") + op("OBJ"),
    "NEWOBJ_EX": named("pandas", "A") + op("EMPTY_TUPLE") + STATE + op("NEWOBJ_EX"),
    "EXT1": op("EXT1", b"\1"),
    "EXT2": op("EXT2", b"\1\0"),
    "EXT4": op("EXT4", b"\1\0\0\0"),
    "PERSID": op("PERSID", b"os.system\n"),
    "BINPERSID": text("os.system") + op("BINPERSID"),
    "NEXT_BUFFER": op("NEXT_BUFFER"),
    "READONLY_BUFFER": op("READONLY_BUFFER"),
    "no operation": b"\xff",
    "STACK_GLOBAL of objects": op("EMPTY_LIST") * 2 + op("STACK_GLOBAL"),
    "arguments in a list": named("builtins", "slice") + op("EMPTY_LIST") + op("REDUCE"),
    "_reconstructor of os": called(
        named("copy_reg", "_reconstructor"),
        named("pandas", "A"),
        named("pandas", "B"),
        op("NONE"),
    ),
    "a subclass of arrays": called(
        named("numpy.core.multiarray", "_reconstruct"),
        named("pandas", "A"),
        op("EMPTY_TUPLE"),
        text("b"),
    ),
    "bytes of 16 GiB": called(
        named("builtins", "bytes"), op("LONG1", b"\5", b"\0\0\0\0\4")
    ),
    "hex": called(named("_codecs", "encode"), text("a"), text("hex")),
    "bz2": called(named("_codecs", "encode"), text("a"), text("bz2")),
    "no text": called(named("_codecs", "encode"), op("EMPTY_LIST"), text("latin1")),
    "not latin-1": called(named("_codecs", "encode"), text("\u20ac"), text("latin1")),
    "a slice of objects": called(named("builtins", "slice"), op("EMPTY_LIST")),
    "a dtype of records": called(
        named("numpy", "dtype"), text("f8,O"), op("NEWFALSE"), op("NEWTRUE")
    ),
    "a dtype of a module": called(
        named("numpy", "dtype"), op("EMPTY_DICT"), op("NEWFALSE"), op("NEWTRUE")
    ),
    "a dtype with fields": DTYPE
    + op("MARK")
    + op("BININT1", b"\3")
    + text("<")
    + op("NONE")
    + text("names")
    + op("NONE")
    + op("TUPLE")
    + op("BUILD"),
    "a scalar of objects": called(
        named("numpy.core.multiarray", "scalar"),
        called(named("numpy", "dtype"), text("O8"), op("NEWFALSE"), op("NEWTRUE"))
        + op("MARK")
        + op("BININT1", b"\3")
        + text("|")
        + op("NONE") * 3
        + op("TUPLE")
        + op("BUILD"),
        text("a"),
    ),
    "APPEND to a tuple": op("EMPTY_TUPLE") + op("NONE") + op("APPEND"),
    "SETITEM of a list": op("EMPTY_LIST") + op("NONE") * 2 + op("SETITEM"),
    "ADDITEMS to a list": op("EMPTY_LIST") + op("MARK") + op("ADDITEMS"),
    "a key without value": op("EMPTY_DICT") + op("MARK") + op("NONE") + op("SETITEMS"),
    "a list as a key": op("EMPTY_DICT") + op("EMPTY_LIST") * 2 + op("SETITEM"),
    "a tuple in a set": op("MARK") + op("EMPTY_TUPLE") + op("FROZENSET"),
    "no mark": op("TUPLE"),
    "nothing to pop": op("POP"),
    "nothing to stop with": b"",
    "no such memo": op("BINGET", b"\7"),
    "a memo of text": op("GET", b"x\n"),
    "no whole number": op("INT", b"1.5\n"),
    "a number of 5000 digits": op("INT", b"9" * 5000 + b"\n"),
    "no number": op("FLOAT", b"a\n"),
    "no quotes": op("STRING", b"abc\n"),
    "a broken escape": op("STRING", b"'\\xz'\n"),
    "no UTF-8": op("SHORT_BINUNICODE", b"\1\xff"),
    "a negative length": op("BINSTRING", b"\xff\xff\xff\xff"),
    "16 EiB": op("BINBYTES8", b"\xff" * 8),
    "no line end": op("INT", b"12"),
}


@pytest.mark.parametrize("operations", OPERATIONS.values(), ids=OPERATIONS)
def test_other_operations_and_arguments_are_refused(operations, untouched):
    with pytest.raises(errors.InputError, match=r"^some.pc: pickle, byte \d+: "):
        load(operations + op("STOP"))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_objects_that_pickle_themselves_are_refused(protocol, untouched):
    class Exploit:
        def __reduce__(self):
            return os.system, ("touch touched",)

    for value in (Exploit(), [{"a": (Exploit(),)}], python2.object_array([Exploit()])):
        with pytest.raises(errors.InputError, match="refused 'posix.system'"):
            load(pickle.dumps(value, protocol=protocol))


def test_a_pickle_inside_an_object_array_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "features.npy"
    content = called(named("posix", "system"), COMMAND) + op("STOP")
    with open(path, "wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": (1,)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.InputError, match="features.npy: .*'posix.system'"):
        pickled.read_array(path)
    assert os.listdir(tmp_path) == ["features.npy"]


# Small files that would grow.


def laughs(times):
    """Lists of two, each twice in the next one: 2 ** times are in the last."""
    content = op("MARK") + op("EMPTY_LIST") + op("BINPUT", b"\0")
    for level in range(1, times):
        before = op("BINGET", bytes([level - 1]))
        content += op("EMPTY_LIST") + op("BINPUT", bytes([level]))
        content += op("MARK") + before * 2 + op("APPENDS")
    return content + op("TUPLE")


def test_laughs_cost_nothing():
    start = time.monotonic()
    assert len(load(laughs(250) + op("STOP"))[-1]) == 2
    # Python would hash a key as often as there are leaves.
    key = op("EMPTY_DICT") + laughs(250)
    with pytest.raises(errors.InputError, match="refused a tuple as a key"):
        load(key + op("NONE") + op("SETITEM") + op("STOP"))
    # And a message would show all of them.
    with pytest.raises(errors.InputError, match="refused a call of a tuple"):
        load(laughs(250) + op("EMPTY_TUPLE") + op("REDUCE") + op("STOP"))
    with pytest.raises(errors.InputError, match="found a tuple, expected a DataFrame"):
        pickled.frame_columns(load(laughs(250) + op("STOP")), place="some.pc")
    assert time.monotonic() - start < 5


def test_an_array_cannot_be_larger_than_its_content():
    huge = op("LONG1", b"\5", b"\0\0\0\0\1")  # 2 ** 32
    state = (
        op("MARK")
        + op("BININT1", b"\1")
        + op("MARK")
        + huge
        + op("TUPLE")
        + DTYPE
        + op("MARK")
        + op("BININT1", b"\3")
        + text("<")
        + op("NONE") * 3
        + op("TUPLE")
        + op("BUILD")
        + op("NEWFALSE")
        + op("SHORT_BINBYTES", b"\1a")
        + op("TUPLE")
    )
    with pytest.raises(
        errors.InputError, match="found 1 bytes, expected 34359738368 for an array"
    ):
        load(ARRAY + state + op("BUILD") + op("STOP"))


def test_content_that_is_used_again_and_again_is_refused():
    large = op("BINUNICODE", struct.pack("<I", 100_000), b"a" * 100_000)
    once = op("BINGET", b"\0") + text("latin1") + op("TUPLE2")
    again = (op("BINGET", b"\1") + once + op("REDUCE")) * 200
    content = large + op("BINPUT", b"\0") + named("_codecs", "encode")
    content += op("BINPUT", b"\1") + again + op("STOP")
    with pytest.raises(errors.InputError, match="many times larger than the file"):
        load(content)


def shaped(*sizes):
    """An array of one byte that claims a shape."""
    order = op("BININT1", b"\3") + text("<") + op("NONE") * 3
    state = op("MARK") + op("BININT1", b"\1") + op("MARK") + b"".join(sizes)
    state += op("TUPLE") + DTYPE + op("MARK") + order + op("TUPLE") + op("BUILD")
    state += op("NEWFALSE") + op("SHORT_BINBYTES", b"\1a") + op("TUPLE")
    return ARRAY + state + op("BUILD")


def scalars(count, size):
    """Scalars of one large text, each a copy of it."""
    dtype = called(named("numpy", "dtype"), text(f"S{size}"), op("NEWFALSE") * 2)
    dtype += op("MARK") + op("BININT1", b"\3") + text("|") + op("NONE") * 3
    dtype += op("TUPLE") + op("BUILD")
    content = named("numpy.core.multiarray", "scalar") + op("BINPUT", b"\0")
    content += dtype + op("BINPUT", b"\1")
    content += op("BINBYTES", struct.pack("<I", size), bytes(size)) + op(
        "BINPUT", b"\2"
    )
    one = b"".join(op("BINGET", bytes([index])) for index in range(3))
    return content + (one + op("TUPLE2") + op("REDUCE")) * count


GREEDY = {
    "lists": op("EMPTY_LIST") * 300_000,
    "dicts": op("EMPTY_DICT") * 300_000,
    "marks": op("MARK") * 300_000,
    "tuples": op("EMPTY_LIST") + op("TUPLE1") * 300_000,
    "a memo": (op("EMPTY_LIST") + op("MEMOIZE")) * 200_000,
    "a sparse memo": op("NONE")
    + b"".join(op("LONG_BINPUT", struct.pack("<I", 9 * n)) for n in range(60_000)),
    "scalars": scalars(2000, 900_000),
    "dtypes": op("EMPTY_LIST") + DTYPE * 20_000,
}


@pytest.mark.parametrize("content", GREEDY.values(), ids=GREEDY)
def test_everything_is_paid_for(content):
    tracemalloc.start()
    try:
        with pytest.raises(errors.InputError):
            load(content)
        assert tracemalloc.get_traced_memory()[1] < 30 * len(content) + (16 << 20)
    finally:
        tracemalloc.stop()


def test_numbers_that_take_long_are_refused():
    start = time.process_time()
    long = op("LONG1", b"\xff" + b"\x7f" * 255)
    for content in (shaped(long), shaped(*[op("LONG1", b"\x08" + b"\xff" * 8)] * 32)):
        with pytest.raises(errors.InputError, match="refused the state of an array"):
            load(content)
    # Python hashes whole numbers modulo this one.
    keys = [(n * (2**61 - 1)).to_bytes(16, "little") for n in range(1, 60_000)]
    pairs = b"".join(op("LONG1", b"\x10", key) + op("NONE") for key in keys)
    content = op("EMPTY_DICT") + op("MARK") + pairs + op("SETITEMS") + op("STOP")
    with pytest.raises(errors.InputError, match="refused a int as a key"):
        load(content)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("state", [op("EMPTY_DICT"), op("EMPTY_LIST"), text("abcd")])
def test_the_state_of_a_dtype_is_a_tuple(state):
    with pytest.raises(errors.InputError, match="refused the state"):
        load(DTYPE + state + op("BUILD") + op("STOP"))


def test_the_number_of_operations_is_bounded(monkeypatch):
    monkeypatch.setattr(unpickle, "_MAX_OPERATIONS", 1000)
    with pytest.raises(errors.InputError, match="more than 1000 operations"):
        load(op("EMPTY_LIST") * 1001 + op("STOP"))


def test_a_memo_with_large_numbers_takes_no_room():
    content = op("NONE") + op("LONG_BINPUT", b"\xff\xff\xff\xff") + op("STOP")
    assert load(content) is None


def test_deep_nesting_needs_no_recursion():
    depth = 200_000
    value = load(op("EMPTY_LIST") + op("TUPLE1") * depth + op("STOP"))
    for _ in range(depth):
        (value,) = value
    assert value == []


def test_a_file_that_is_cut_says_so():
    content = python2.dumps([{"duration": 1.5}, np.arange(2000.0)])
    for size in range(0, len(content), 97):
        with pytest.raises(errors.InputError, match="some.pc: pickle, byte"):
            load(content[:size])


def test_random_damage_never_ends_in_another_error():
    content = bytearray(
        python2.dumps([python2.frame({"a": [1.0, 2.0]}), np.arange(3), {"b": "c"}])
    )
    generator = np.random.default_rng(0)
    for _ in range(3000):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 3):
            damaged[place] = generator.integers(256)
        try:
            load(bytes(damaged))
        except errors.InputError:
            pass


# Files.


def test_frames_of_pandas_are_read():
    frame = python2.frame(
        {
            "video-id": np.array(["0000004", "0000006"], object),
            "t-start": [0.1, 0.2],
            "t-end": [0.3, 0.4],
            "score": [1.0, -1.0],
        }
    )
    columns = pickled.frame_columns(load(python2.dumps(frame)), place="some.pc")
    assert sorted(columns) == ["score", "t-end", "t-start", "video-id"]
    assert columns["video-id"].tolist() == ["0000004", "0000006"]
    assert columns["t-end"].tolist() == [0.3, 0.4]


def test_frames_without_rows_are_read():
    frame = python2.frame({"video-id": np.array([], object), "t-start": []})
    columns = pickled.frame_columns(load(python2.dumps(frame)), place="some.pc")
    assert {name: len(column) for name, column in columns.items()} == {
        "video-id": 0,
        "t-start": 0,
    }


@pytest.mark.parametrize(
    "value",
    [None, 1, [], {}, unpickle_machine.Stub("pandas.DataFrame", ()), python2.Index],
)
def test_other_things_are_no_frames(value):
    with pytest.raises(
        errors.InputError, match="some.pc: found .*expected a DataFrame"
    ):
        pickled.frame_columns(value, place="some.pc")


def test_arrays_of_numbers_are_read_from_files(tmp_path):
    for index, array in enumerate(ARRAYS.values()):
        path = tmp_path / f"{index}.npy"
        np.save(path, array)
        np.testing.assert_array_equal(pickled.read_array(path), array)


def test_a_header_of_python_2_is_no_reason_to_warn(tmp_path):
    path = tmp_path / "names.npy"
    file = io.BytesIO()
    np.save(file, np.array([b"ab", b"cd"]))
    path.write_bytes(file.getvalue().replace(b"(2,), ", b"(2L,),"))
    assert pickled.read_array(path).tolist() == [b"ab", b"cd"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "no whole .npy header"),
        (b"\x93NUMPY", "no whole .npy header"),
        (b"PK\3\4 something", "no whole .npy header"),
    ],
)
def test_files_that_are_no_arrays(tmp_path, content, message):
    path = tmp_path / "names.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.InputError, match=f"names.npy: {message}"):
        pickled.read_array(path)


def test_an_array_that_is_cut_names_both_sizes(tmp_path):
    path = tmp_path / "names.npy"
    np.save(path, np.zeros(10))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(errors.InputError, match="found 200 bytes, expected 208"):
        pickled.read_array(path)


def test_records_with_objects_are_refused(tmp_path):
    path = tmp_path / "names.npy"
    np.save(path, np.zeros(2, [("a", object)]), allow_pickle=True)
    with pytest.raises(errors.InputError, match="an array of Python objects"):
        pickled.read_array(path)


def test_a_header_and_its_pickle_must_agree(tmp_path):
    path = tmp_path / "names.npy"
    python2.save_array(path, python2.object_array([1, 2]))
    path.write_bytes(path.read_bytes().replace(b"(2,)", b"(3,)"))
    with pytest.raises(errors.InputError, match=r"found an array of shape \(2,\)"):
        pickled.read_array(path)
