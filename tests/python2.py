"""Writes pickles as Python 2 did, with stand-ins for the pandas of its time."""

import io
import pickle
import struct
import typing

import numpy as np

_OLD_NAMES = {"builtins": "__builtin__", "copyreg": "copy_reg"}


class Pickler(pickle._Pickler):
    """A pickler of protocol 2 whose text and bytes are Python 2's strings."""

    dispatch: typing.ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        """Writes text or bytes, which were one type."""
        raw = value.encode("latin-1") if isinstance(value, str) else value
        if len(raw) < 256:
            self.write(pickle.SHORT_BINSTRING + struct.pack("<B", len(raw)) + raw)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    def save_global(self, value, name=None):
        """Writes a name without importing its module."""
        module = getattr(value, "__module__", None) or "builtins"
        module = _OLD_NAMES.get(module, module).replace("numpy._core", "numpy.core")
        self.write(f"c{module}\n{name or value.__qualname__}\n".encode())
        self.memoize(value)

    def save_type(self, value):
        """Writes a class."""
        self.save_global(value)

    dispatch[str] = save_string
    dispatch[bytes] = save_string
    dispatch[type] = save_type
    dispatch[type(struct.pack)] = save_global
    dispatch[type(lambda: None)] = save_global


def dumps(value):
    """The bytes of a pickle by Python 2, protocol 2."""
    file = io.BytesIO()
    Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def save_array(path, array):
    """Writes a .npy file of Python objects as NumPy did under Python 2."""
    with open(path, "wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(dumps(array))


def object_array(values):
    """A one-dimensional array of Python objects, arrays among them kept apart."""
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def _new_Index(kind, data):
    """Stands for the function that pandas makes an index by."""


def _pandas(name, module):
    kind = type(name, (), {})
    kind.__module__, kind.__qualname__ = module, name
    return kind


_new_Index.__module__ = "pandas.core.indexes.base"
Index = _pandas("Index", "pandas.core.indexes.base")
RangeIndex = _pandas("RangeIndex", "pandas.core.indexes.range")
BlockManager = _pandas("BlockManager", "pandas.core.internals")
DataFrame = _pandas("DataFrame", "pandas.core.frame")


class _Reduced:
    """An object that is pickled as a call, with a state or not."""

    def __init__(self, function, arguments, state=None):
        self.reduction = (function, arguments, state)

    def __reduce_ex__(self, protocol):
        return self.reduction


class _New:
    """An object that is pickled as a new one of a class, with a state."""

    def __init__(self, kind, state):
        self.kind, self.state = kind, state

    def save(self, pickler):
        """Writes it as protocol 2 writes objects of new-style classes."""
        pickler.save(self.kind)
        pickler.save(())
        pickler.write(pickle.NEWOBJ)
        pickler.memoize(self)
        pickler.save(self.state)
        pickler.write(pickle.BUILD)


Pickler.dispatch[_New] = lambda pickler, value: value.save(pickler)


def frame(columns):
    """A frame of pandas 0.2x: text columns in one block, numbers in another."""
    names = list(columns)
    rows = len(next(iter(columns.values())))
    is_text = [np.asarray(columns[name]).dtype == object for name in names]
    blocks = []
    for wanted, dtype in ((False, np.float64), (True, object)):
        places = [at for at, text in enumerate(is_text) if text == wanted]
        if places:
            values = np.empty((len(places), rows), dtype)
            for row, at in enumerate(places):
                values[row] = columns[names[at]]
            blocks.append({"values": values, "mgr_locs": _places(places)})
    items = _Reduced(_new_Index, (Index, {"data": object_array(names), "name": None}))
    index = {"start": 0, "stop": rows, "step": 1, "name": None}
    axes = [items, _Reduced(_new_Index, (RangeIndex, index))]
    state = (
        axes,
        [block["values"] for block in blocks],
        [items] * len(blocks),
        {"0.14.1": {"axes": axes, "blocks": blocks}},
    )
    content = {"_data": _New(BlockManager, state), "_typ": "dataframe", "_metadata": []}
    return _New(DataFrame, content)


def _places(places):
    """Positions as pandas has them: a slice where they are in a row."""
    if places == list(range(places[0], places[-1] + 1)):
        return slice(places[0], places[-1] + 1, None)
    return np.array(places)
