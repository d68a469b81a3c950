"""Files of torch.save, read without torch."""

import base64
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import torch_by_hand as by_hand

from cleannet_jax.data import arrays
from cleannet_jax.data.feature_files import found as found_lib
from cleannet_jax.data.feature_files import old_torch_files, torch_files

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
# What torch 2.14 made of
#   x = torch.tensor([[1.5, -2, 3], [0.25, 4, inf]])
#   torch.save({"rgb": torch.nn.Parameter(x).T[1:], "flow": x.to(torch.bfloat16)[:, :2],
#               "n": torch.arange(6).reshape(2, 3).to(torch.uint16), "fps": 25}, path)
SAVED = (
    "c-p0v%}*0S7{;f&Z7EAZP!JG5!H^QMY)d~iK;4+V?7>olHfqw8?b5C;-"
    "OhFj!Nl0aK=kI(lL!9=4<5X5^r|-^H!pDV>d~2<w(M>x6`W)<P4|7?-"
    "!n7sJDZkRHvm2#XdC@t1jw3NnJeT`K3I97iNX+g;v9A66$F7Siv>n;6}n`k8*(X_t07gZaydg;t*Kf"
    "ehm>+vH*y<c4l;p2wg-n-ab&)zK$c24QPcD2A^nqs?yL*P@X%wXmMb;rmAnY{EK4qlk(eFm!#~&^*!"
    "xzNbxl)br0V4=_rNG9hElk%%7}y9Oa}HL=+D6ZEM6p7)AUU^P{IaEO{ic}L$Mb3oXHKr!IH@vT9yFi"
    "otIe2wF57_E0MIr2##dnMKibzN4u<go`YjY&|qWb+)5d3Rg^-"
    "DJ#MB8!%LX$M{t6&@ggr%_7%#$+VEae%h)*wuOWCn18<lcwN|OZNol+mOiMk!>E}PUKj4()Nq0QwVK"
    "7b4Ik=`9>v@#hP>d?xOi`F@Kkl{>BA_q7_umlf<mn6=1$P>t#s=i_np!NcD`g}Kv43D4H)0WDU}+N`"
    "G8n;}XkY*c)WGT%Qgl)&qOf>IZgXfVLYhK6Y%ly8_hO3oL=S!7-"
    "ceW0@uINse+B^9UBYR10Z63)s4wD&%&&<f!I&8w!!O6WIGVFK3W>t4(>TKP-BhZ+SWi*r({G1Uew@|"
    "cg?ZP)42wb>oO%5&eCjN40}mkl_g_DM>dyB!OR-"
    "h!XRW_^j!?gUEUt8~zX=d+G=RD6s$!_P177CI)s<5Vq7XX02|f`?MiPlcB%X{#`A8x@ALaRIES^k;B"
    "RqZ;3iI(qgm%f)-s8Oh_7N~$x`^49PwQRL-{#!*9dJsm-"
    "9K!T9k{@;SBo=)wS7lz8I~E)>CSK_vG(79Ey<5&l2+e4wboAQvuPi(z}l})p|#xY!ULNy<P=)#)GmD"
    "HwhF^ep|#ZfHsO9#*kPBg$3J0HW<21e!c0qE?`$LVDto&n>vhbt44waY=!|vbLl15?4A9Sm$4fQ6W;"
    "~7k3tx2KKL"
)


def read(path, name="", *, width=3):
    """The features of a file."""
    found = torch_files.open_torch(path, name)
    return found_lib.as_features(found, width=width).read()


def test_a_file_of_torch_itself(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(zlib.decompress(base64.b85decode(SAVED)))
    np.testing.assert_array_equal(read(path, "rgb"), [[-2, 4], [3, np.inf]])
    np.testing.assert_array_equal(read(path, "flow"), [[1.5, -2], [0.25, 4]])
    np.testing.assert_array_equal(read(path, "n"), [[0, 1, 2], [3, 4, 5]])
    message = "found the arrays 'flow', 'n', 'rgb', expected one array, or the manifest"
    with pytest.raises(arrays.ArrayError, match=message):
        read(path)
    with pytest.raises(arrays.ArrayError, match="'rgb', expected the array 'fps'"):
        read(path, "fps")


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("FloatStorage", "<f4"),
        ("DoubleStorage", "<f8"),
        ("HalfStorage", "<f2"),
        ("LongStorage", "<i8"),
        ("IntStorage", "<i4"),
        ("ShortStorage", "<i2"),
        ("CharStorage", "i1"),
        ("ByteStorage", "u1"),
    ],
)
def test_tensors_of_every_type(tmp_path, kind, dtype):
    values = VALUES.astype(dtype)
    content = by_hand.tensor("7", 12, (4, 3), kind=kind)
    by_hand.save(tmp_path / "a.pt", content, _7=values.tobytes())
    found = read(tmp_path / "a.pt")
    assert found.dtype == (values.dtype if values.dtype.kind == "f" else np.float32)
    np.testing.assert_array_equal(found, VALUES)


def test_bfloat16_is_the_first_half_of_a_float32(tmp_path):
    values = np.array([[1.0, -3.140625, np.inf, 2.0**-126]], "<f4")
    halves = values.view("<u2").reshape(-1, 2)[:, 1].tobytes()
    content = by_hand.tensor("0", 4, (1, 4), kind="BFloat16Storage")
    by_hand.save(tmp_path / "a.pt", content, _0=halves)
    np.testing.assert_array_equal(read(tmp_path / "a.pt", width=4), values)


def test_views_in_a_storage(tmp_path):
    raw = VALUES.tobytes()
    turned = by_hand.tensor("0", 12, (3, 2), strides=(1, 3), offset=3)
    old = by_hand.tensor("0", 12, (4, 3)).replace(b"_tensor_v2", b"_tensor")
    untyped = by_hand.tensor(
        "0", 48, (4, 3), kind="UntypedStorage", function="v3", dtype="float32"
    )
    content = by_hand.dictionary(turned=turned, untyped=untyped, old=old)
    by_hand.save(tmp_path / "a.pt", content, _0=raw)
    np.testing.assert_array_equal(read(tmp_path / "a.pt", "turned"), VALUES[1:3].T)
    np.testing.assert_array_equal(read(tmp_path / "a.pt", "untyped"), VALUES)
    np.testing.assert_array_equal(read(tmp_path / "a.pt", "old"), VALUES)


def test_values_are_mapped_and_read_only(tmp_path):
    by_hand.save_array(tmp_path / "a.pt", VALUES)
    values = read(tmp_path / "a.pt")
    assert not values.flags.owndata and not values.flags.writeable


def test_numpy_arrays_are_read_too(tmp_path):
    content = pickle.dumps({"a": VALUES.astype(">f8"), "id": "x"}, protocol=2)[2:-1]
    by_hand.save(tmp_path / "a.pt", content)
    np.testing.assert_array_equal(read(tmp_path / "a.pt", "a"), VALUES)


class Call:
    """Runs a command when Python unpickles it."""

    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (pickle.dumps(Call(), protocol=2)[2:-1], "posix.system"),
        (pickle.dumps({"a": Call()}, protocol=4)[2:-1], "posix.system"),
        (
            by_hand.called(by_hand.named("builtins", "eval"), by_hand.text("1")),
            "builtins.eval",
        ),
        (by_hand.named("torch._utils", "_rebuild_qtensor"), "torch._utils._rebuild_qt"),
        (by_hand.named("pandas", "DataFrame"), "pandas.DataFrame"),
    ],
)
def test_whatever_else_a_pickle_wants_is_refused(tmp_path, monkeypatch, content, name):
    monkeypatch.chdir(tmp_path)
    by_hand.save(tmp_path / "a.pt", content)
    with pytest.raises(arrays.ArrayError, match="a.pt: pickle, byte") as caught:
        read(tmp_path / "a.pt")
    assert f"wants to call {name}" in str(caught.value)
    assert str(caught.value).endswith("only tensors and NumPy arrays are read")
    assert os.listdir(tmp_path) == ["a.pt"]


TYPE = by_hand.named("torch", "FloatStorage")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (by_hand.tensor("0", 12, (4, 3), offset=1), "too few for a tensor of shape"),
        (by_hand.tensor("0", 12, (2**40, 3), strides=(0, 1)), "too few for a tensor"),
        (by_hand.tensor("0", 12, (4, 3), strides=(-3, 1)), "refused the arguments of"),
        (by_hand.tensor("0", 12, (4, 3), strides=(3,)), "refused the arguments of"),
        (by_hand.tensor("0", 13, (4, 3)), "48 bytes in storage '0', expected 52"),
        (by_hand.tensor("1", 12, (4, 3)), "found 0 bytes in storage '1', expected 48"),
        (by_hand.tensor("../0", 12, (4, 3)), "found 0 bytes in storage '../0'"),
        (by_hand.tensor("0", 2**60, (2**60, 3)), "too few for a tensor of shape"),
        (by_hand.tensor("0", -1, (4, 3)), "refused the size of a storage"),
        (by_hand.tensor("0", 12, (4, 3), kind="UntypedStorage"), "refused the argum"),
        (by_hand.tensor("0", 12, (4, 3), function="v3"), "refused the arguments"),
        (by_hand.text("x") + pickle.BINPERSID, "expected a storage"),
        (by_hand.called(TYPE), "refused a call of torch.FloatStorage"),
        (by_hand.tensor("0", 48, (4, 12), kind="BoolStorage"), "values of type bool"),
        (by_hand.tensor("0", 6, (2, 3), kind="ComplexFloatStorage"), "torch.ComplexFl"),
        (
            pickle.EMPTY_LIST,
            "found a list, expected a tensor or a flat dict of tensors",
        ),
        (by_hand.dictionary(a=pickle.EMPTY_DICT), "found a dict under 'a', expected a"),
        (by_hand.dictionary(fps=pickle.NONE), "found no array, expected an array"),
    ],
)
def test_what_cannot_be_true_is_named(tmp_path, content, message):
    path = tmp_path / "a.pt"
    by_hand.save(path, content, _0=VALUES.tobytes())
    tracemalloc.start()
    try:
        with pytest.raises(arrays.ArrayError, match=message) as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_what_else_a_dict_holds_is_left_out(tmp_path):
    content = by_hand.dictionary(
        rgb=by_hand.tensor("0", 12, (4, 3)),
        more=by_hand.dictionary(fps=by_hand.number(25)),
        name=by_hand.text("clip"),
    )
    by_hand.save(tmp_path / "a.pt", content, _0=VALUES.tobytes())
    np.testing.assert_array_equal(read(tmp_path / "a.pt", "rgb"), VALUES)
    np.testing.assert_array_equal(read(tmp_path / "a.pt"), VALUES)


def test_a_name_for_a_single_tensor(tmp_path):
    by_hand.save_array(tmp_path / "a.pt", VALUES)
    with pytest.raises(arrays.ArrayError, match="found a single tensor without a name"):
        read(tmp_path / "a.pt", "rgb")


def test_other_archives_are_named(tmp_path):
    path = tmp_path / "a.pt"
    content = by_hand.tensor("0", 12, (4, 3))
    by_hand.save(path, content, _0=VALUES.tobytes(), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(arrays.ArrayError, match="'clip/data.pkl' is compressed"):
        read(path)
    by_hand.save(path, content, _0=VALUES.tobytes(), order="big")
    with pytest.raises(
        arrays.ArrayError, match="byte order b'big', expected b'little'"
    ):
        read(path)
    np.savez(tmp_path / "b.npz", a=VALUES)
    os.replace(tmp_path / "b.npz", path)
    with pytest.raises(arrays.ArrayError, match="found a zip archive without data.pkl"):
        read(path)
    # How the files of torch 1.5 and before begin.
    path.write_bytes(bytes.fromhex("80028a0a6cfc9c46f9206aa850192e") + bytes(99))
    with pytest.raises(
        arrays.ArrayError, match="torch before 1.6.*torch.save.torch.lo"
    ):
        read(path)
    path.write_bytes(pickle.dumps(VALUES))
    with pytest.raises(arrays.ArrayError, match="not a whole file of torch.save: File"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(arrays.ArrayError, match="a.pt: the file is empty"):
        read(path)
    with pytest.raises(arrays.ArrayError, match="b.pt: no such file"):
        read(tmp_path / "b.pt")


def test_damaged_files_are_named_or_read(tmp_path):
    path = tmp_path / "a.pt"
    by_hand.save_array(path, VALUES)
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 255
        path.write_bytes(damaged)
        try:
            read(path)
        except arrays.ArrayError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        path.write_bytes(whole[:place])
        with pytest.raises(arrays.ArrayError, match="a.pt: "):
            read(path)


def test_a_member_beyond_the_end_is_named(tmp_path):
    path = tmp_path / "a.pt"
    by_hand.save_array(path, VALUES)
    content = bytearray(path.read_bytes())
    # The size, as it is and compressed, that the archive's directory has of storage 0.
    place = content.rindex(b"PK\1\2") + 20
    assert struct.unpack_from("<II", content, place) == (48, 48)
    struct.pack_into("<II", content, place, 2**31, 2**31)
    path.write_bytes(content)
    with pytest.raises(arrays.ArrayError, match="'clip/data/0' goes beyond the end"):
        read(path)


TORCH_VALUES = {
    "one": lambda torch, x: x,
    "half": lambda torch, x: x.half(),
    "bfloat16": lambda torch, x: x.bfloat16(),
    "double": lambda torch, x: x.double(),
    "int64": lambda torch, x: x.long(),
    "uint16": lambda torch, x: x.to(torch.uint16),
    "turned twice": lambda torch, x: x.T.contiguous().T,
    "part": lambda torch, x: torch.cat([x, x, x], 1)[:, 3:6],
    "with gradient": lambda torch, x: x.clone().requires_grad_(),
    "parameter": lambda torch, x: torch.nn.Parameter(x),
    "axes of length 1": lambda torch, x: x[None, :, :, None],
    "dict": lambda torch, x: {"features": x, "fps": 25.0},
    "numpy": lambda torch, x: x.numpy(),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("make", TORCH_VALUES.values(), ids=TORCH_VALUES)
def test_what_torch_saves_is_read(tmp_path, make, protocol):
    torch = pytest.importorskip("torch")
    value = make(torch, torch.from_numpy(VALUES))
    torch.save(value, tmp_path / "a.pt", pickle_protocol=protocol)
    np.testing.assert_array_equal(read(tmp_path / "a.pt"), VALUES)


@pytest.mark.parametrize("name", ["expanded", "sparse", "module", "old"])
def test_what_torch_saves_besides_is_refused(tmp_path, name):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(VALUES)
    values = {
        "expanded": x[:1].expand(100, 3),
        "sparse": x.to_sparse(),
        "module": torch.nn.Linear(3, 2),
        "old": x,
    }
    is_zip = name != "old"
    path = tmp_path / "a.pt"
    torch.save(values[name], path, _use_new_zipfile_serialization=is_zip)
    message = "too few|wants to call torch|found a file of torch before 1.6"
    with pytest.raises(arrays.ArrayError, match=message):
        read(path)


def old_bytes(content, *, storages, version=1001, is_little=pickle.NEWTRUE):
    """A file of torch before 1.6: five pickles, then storages of so many values."""
    content = content.replace(
        pickle.TUPLE + pickle.BINPERSID, pickle.NONE + pickle.TUPLE + pickle.BINPERSID
    )
    keys = b"".join(map(by_hand.text, storages))
    machine = by_hand.dictionary(little_endian=is_little)
    version = by_hand.number(version)
    lists = pickle.EMPTY_LIST + pickle.MARK + keys + pickle.APPENDS
    pickles = [b"\x80\x02" + part + b"." for part in (version, machine, content, lists)]
    values = b"".join(
        struct.pack("<q", count) + raw for count, raw in storages.values()
    )
    return old_torch_files.START + b"".join(pickles) + values


STATE = by_hand.dictionary(
    weight=by_hand.tensor("9", 12, (4, 3)), bias=by_hand.tensor("7", 2, (2,))
)
STORAGES = {"7": (2, VALUES[0, :2].tobytes()), "9": (12, VALUES.tobytes())}
# What torch hangs on a state dict.
METADATA = by_hand.dictionary(_metadata=by_hand.dictionary()) + pickle.BUILD


def test_all_tensors_of_a_state_dict(tmp_path):
    half = by_hand.tensor("0", 2, (1, 2), kind="BFloat16Storage")
    state = by_hand.dictionary(half=half, whole=by_hand.tensor("1", 12, (4, 3)))
    storages = {"_0": b"\x80\x3f\x00\xc0", "_1": VALUES.tobytes()}
    nested = by_hand.dictionary(epoch=by_hand.number(3), state_dict=state + METADATA)
    for content in (state, state + METADATA, nested):
        by_hand.save(tmp_path / "a.pth", content, **storages)
        tensors = torch_files.read_tensors(tmp_path / "a.pth")
        assert list(tensors) == ["half", "whole"]
        np.testing.assert_array_equal(tensors["half"], [[1, -2]])
        assert tensors["half"].dtype == np.float32
        np.testing.assert_array_equal(tensors["whole"], VALUES)
    by_hand.save(tmp_path / "a.pth", by_hand.number(3))
    with pytest.raises(arrays.ArrayError, match="found a int, expected a tensor or"):
        torch_files.read_tensors(tmp_path / "a.pth")


def test_no_other_attribute_is_hung_on_a_dict(tmp_path):
    state = by_hand.dictionary(__class__=by_hand.number(1)) + pickle.BUILD
    by_hand.save(tmp_path / "a.pth", STATE + state)
    with pytest.raises(arrays.ArrayError, match="refused a state for a dict"):
        torch_files.read_tensors(tmp_path / "a.pth")


def test_tensors_of_an_old_file(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(old_bytes(STATE + METADATA, storages=STORAGES))
    tensors = torch_files.read_tensors(path)
    np.testing.assert_array_equal(tensors["weight"], VALUES)
    np.testing.assert_array_equal(tensors["bias"], VALUES[0, :2])
    assert not tensors["weight"].flags.owndata


def test_an_old_file_of_torch_itself(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    layer = torch.nn.Linear(5, 3)
    for is_new in (False, True):
        torch.save(
            layer.state_dict(),
            tmp_path / "a.pth",
            _use_new_zipfile_serialization=is_new,
        )
        tensors = torch_files.read_tensors(tmp_path / "a.pth")
        np.testing.assert_array_equal(tensors["weight"], layer.weight.detach())
        np.testing.assert_array_equal(tensors["bias"], layer.bias.detach())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1000}, "version 1000, little-endian, expected 1001"),
        ({"is_little": pickle.NEWFALSE}, "version 1001, big-endian, expected 1001"),
        (
            {"storages": {"9": STORAGES["9"]}},
            "found 0 bytes in storage '7', expected 8",
        ),
        ({"storages": STORAGES | {"a": (0, b"")}}, "storages that its tensors do not"),
        (
            {"storages": STORAGES | {"9": (11, b"")}},
            "found 44 bytes in storage '9' and",
        ),
        ({"storages": STORAGES | {"9": (12, b"")}}, "48 bytes in storage '9' and 0 to"),
        ({"storages": STORAGES | {"9": (-1, b"")}}, "found .* in storage '9'"),
        ({"content": STATE[:-9]}, "a.pth: pickle, byte"),
        ({"content": by_hand.named("os", "system")}, "wants to call os.system"),
        ({"content": by_hand.tensor("9", 1, ()).replace(b"cpu", b"")}, "storages that"),
    ],
)
def test_damaged_old_files(tmp_path, changes, message):
    path = tmp_path / "a.pth"
    path.write_bytes(old_bytes(**({"content": STATE, "storages": STORAGES} | changes)))
    with pytest.raises(arrays.ArrayError, match=message):
        torch_files.read_tensors(path)


def test_old_files_cut_or_changed_anywhere_have_one_kind_of_error(tmp_path):
    path, whole = tmp_path / "a.pth", old_bytes(STATE + METADATA, storages=STORAGES)
    rng = np.random.default_rng(0)
    for at in range(1, len(whole) - 1, 7):
        changed = bytearray(whole)
        changed[at] = rng.integers(256)
        for content in (whole[:at], bytes(changed)):
            path.write_bytes(content)
            try:
                torch_files.read_tensors(path)
            except arrays.ArrayError as error:
                assert "a.pth" in str(error) and "\n" not in str(error)
