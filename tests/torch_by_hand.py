"""Files of torch.save written by hand, for tests that do without torch."""

import pickle
import struct
import zipfile

FLOATS = "FloatStorage"


def text(value):
    raw = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(raw)) + raw


def number(value):
    return pickle.LONG1 + b"\x08" + struct.pack("<q", value)


def named(module, name):
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def several(*values):
    """A tuple."""
    return pickle.MARK + b"".join(values) + pickle.TUPLE


def called(function, *arguments):
    return function + several(*arguments) + pickle.REDUCE


def storage(key, count, *, kind=FLOATS, module="torch", location="cuda:0"):
    ends = (text("storage"), named(module, kind), text(key), text(location))
    return several(*ends, number(count)) + pickle.BINPERSID


def tensor(
    key, count, shape, *, strides=None, offset=0, kind=FLOATS, function="v2", dtype=None
):
    """A tensor as `_rebuild_tensor_v2` makes it, in a storage of `count` values."""
    if strides is None:
        strides = [1] * len(shape)
        for axis in range(len(shape) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * shape[axis + 1]
    module = "torch.storage" if kind == "UntypedStorage" else "torch"
    arguments = [
        storage(key, count, kind=kind, module=module),
        number(offset),
        several(*map(number, shape)),
        several(*map(number, strides)),
        pickle.NEWFALSE,
        called(named("collections", "OrderedDict")),
    ]
    if dtype:
        arguments.append(named("torch", dtype))
    return called(named("torch._utils", f"_rebuild_tensor_{function}"), *arguments)


def dictionary(**values):
    items = b"".join(text(name) + value for name, value in values.items())
    return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS


def save(path, content, *, order="little", compression=zipfile.ZIP_STORED, **storages):
    """Writes an archive with a pickle and storages, each of which is bytes.

    Args:
      path: of the file.
      content: the pickle, without protocol and stop.
      order: content of the member `byteorder`; None for none.
      compression: of every member.
      **storages: bytes by key, after an underscore.
    """
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("clip/data.pkl", b"\x80\x02" + content + pickle.STOP)
        if order:
            archive.writestr("clip/byteorder", order)
        for key, values in storages.items():
            archive.writestr(f"clip/data/{key[1:]}", values)


def save_arrays(path, **arrays):
    """Writes a dict of contiguous float32 tensors."""
    numbered = list(enumerate(arrays.items()))
    content = dictionary(
        **{
            name: tensor(str(key), values.size, values.shape)
            for key, (name, values) in numbered
        }
    )
    storages = {
        f"_{key}": values.astype("<f4").tobytes() for key, (_, values) in numbered
    }
    save(path, content, **storages)


def save_array(path, values):
    """Writes one contiguous float32 tensor."""
    content = tensor("0", values.size, values.shape)
    save(path, content, _0=values.astype("<f4").tobytes())
