"""Small whole files of every format, as bytes."""

import io
import json
import pathlib
import pickle
import tempfile
import zipfile
from collections.abc import Mapping

import numpy as np

from cleannet_jax.data.feature_files import shards

VALUES = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
DATABASE = {
    "version": "1.3",
    "database": {
        "v1": {
            "subset": "training",
            "duration": 9.5,
            "fps": 25,
            "annotations": [
                {"segment": [0.5, 2], "label": "run"},
                {"segment": [3, 4.25], "label": 7},
            ],
        },
        "v2": {"subset": "test", "labels": ["run", "jump"], "annotations": []},
        "v3": {"subset": "test", "actions": [["run", 0, 1.5]]},
    },
}
RESULTS = {
    "version": "VERSION 1.3",
    "results": {
        "v1": [{"segment": [0, 1.5], "label": "run", "score": 0.75}] * 2,
        "v2": [],
    },
    "external_data": {"used": False, "details": "caf\u00e9 \U0001f600"},
}
MANIFEST = {
    "version": 1,
    "name": "tiny",
    "streams": [{"name": "rgb", "width": 6}, {"name": "flow", "width": 4}],
    "stride_frames": 15,
    "window_frames": 15,
    "offset_frames": 0,
    "fps": {"v1": 25, "v2": 30.0},
    "train_subset": "training",
    "evaluation_subset": "test",
    "source": "written by a test",
    "backbone_trained_on": ["Kinetics"],
}
INDEX = {
    "categories": ["run", "jump"],
    "timebase": {"v1": {"fps": 25, "stride": 15, "offset": 0}},
}


def npy(array: np.ndarray, *, version: tuple[int, int] | None = None) -> bytes:
    """An array as a .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def objects(*values: object) -> np.ndarray:
    """An array of Python objects."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def npz(**arrays: np.ndarray) -> bytes:
    """Arrays as an .npz file, compressed."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def heads() -> dict[str, np.ndarray]:
    """What a file of recovered heads holds."""
    arrays = {"categories": np.array(["run", "jump"])}
    for stream, width in (("rgb", 3), ("flow", 2)):
        for layer, columns in (("classification", 2), ("attention", 1)):
            arrays[f"{stream}/{layer}/kernel"] = np.ones((width, columns), np.float32)
            arrays[f"{stream}/{layer}/bias"] = np.zeros(columns, np.float32)
    return arrays


def pickles() -> list[bytes]:
    """Pickles as releases have them."""
    detections = {
        "video-id": ["v1", "v2", "v1"],
        "t-start": np.array([0.5, 1, 2]),
        "t-end": np.array([1.5, 2, 3], np.float32),
        "label": np.array([1, 2, 3]),
        "score": [0.5, np.float64(0.25), 1],
    }
    meta = {"v_0000001": {"duration": 9.5, "fps": 25.0}, "list": [(1, 2), {3: b"x"}]}
    values = (detections, meta, objects("a", VALUES, [1.5, None]), np.array(["ab"]))
    contents = [
        pickle.dumps(value, protocol) for value in values for protocol in (2, 4)
    ]
    contents.append(
        b"\x80\x02cpandas.core.frame\nDataFrame\nq\x01)\x81q\x02}q\x03(U\x05_datacpanda"
        b"s.core.internals\nBlockManager\nq\x04)\x81q\x05(]q\x06NN}U\x060.14.1}U\x06blo"
        b"cks]q\x07sstbsb."
    )
    return contents


def torch() -> bytes:
    """A tensor of four rows as torch.save writes it."""
    content = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00((U\x07storagectorch\nFloatSto"
        b"rage\nq\x01U\x010U\x03cpuK\x0ctQK\x00K\x04K\x03\x86K\x03K\x01\x86\x89}tRq\x02."
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", content)
        archive.writestr("a/byteorder", b"little")
        archive.writestr("a/data/0", VALUES.tobytes())
    return file.getvalue()


def hdf5() -> bytes:
    """Two data sets, one of them in a group and compressed."""
    import h5py

    with tempfile.NamedTemporaryFile(suffix=".h5") as file:
        with h5py.File(file.name, "w") as content:
            content["v1"] = VALUES
            content.create_dataset("g/v2", data=VALUES, compression="gzip", chunks=True)
        return file.read()


def arrayrecord() -> bytes:
    """A shard of two arrays."""
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        named = [(name, VALUES) for name in "ab"]
        shards.write_shard(place, "x", named, more={})
        return (place / "x.arrayrecord").read_bytes()


def caffemodel() -> bytes:
    """A network of Caffe of one layer with two blobs, and one without."""
    kernel = np.arange(6, dtype="<f4")
    shape = _field(7, _field(1, b"\2\3"))  # dims, packed
    blobs = _field(7, _field(5, kernel.tobytes()) + shape)
    blobs += _field(7, b"\x08\1\x10\1\x18\1\x20\2" + _field(5, kernel[:2].tobytes()))
    layer = _field(1, b"conv1") + _field(2, b"Convolution") + blobs
    return _field(1, b"net") + _field(100, layer) + _field(100, _field(1, b"data"))


def _field(number: int, content: bytes) -> bytes:
    """A field of a message: text, bytes or another message below 128 bytes."""
    assert len(content) < 128
    key = number << 3 | 2
    head = bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])
    return head + bytes([len(content)]) + content


def safetensors() -> bytes:
    """A file of two arrays and metadata."""
    header = {
        "__metadata__": {"record": "{}"},
        "a": {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]},
        "b": {"dtype": "F16", "shape": [], "data_offsets": [48, 50]},
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + VALUES.tobytes() + b"\0\x3c"


def all_seeds() -> Mapping[str, list[bytes]]:
    """Returns files by their ending."""
    texts = {
        "annotations.json": [json.dumps(DATABASE), json.dumps(DATABASE["database"])],
        "results.json": [json.dumps(RESULTS), json.dumps(RESULTS["results"], indent=1)],
        "manifest.json": [json.dumps(MANIFEST)],
        "scp.json": [json.dumps(INDEX)],
        "annotations.csv": [
            "video,label,start,end,subset,duration,fps\nv1,run,0,1.5,test,9,25\n",
            'id,labels\nv1,"run;jump"\nv2,\n',
        ],
        "results.csv": [
            "video,label,start,end,score\nv1,run,0,1.5,0.5\nv2,2,1,2,inf\n"
        ],
        "features.csv": ["0.5,1,2\n3,nan,1e3\n", "a,b,c\n1,2,3\n"],
        "thumos.txt": ["v1.mp4 0.5 1.5 7 0.25\nv2 1 2 9 -inf\n"],
        "ssn.txt": ["# 1\nframes/v1\n100\n1\n1\n1 2 9\n2\n1 .5 .5 2 8\n0 0 0 5 50\n"],
        "names.txt": ["7 BaseballPitch\n9 BasketballDunk\n", "run\njump\n"],
    }
    return {
        ".npy": [
            npy(VALUES),
            npy(np.asfortranarray(VALUES.astype(">f8"))),
            npy(np.float16([0.25, 0.75]), version=(2, 0)),
            npy(np.array(["v1", "v2"])),
            npy(objects("v1", [0.5, 1.5], VALUES)),
        ],
        ".npz": [npz(a=VALUES), npz(feature=VALUES[None], b=VALUES), npz(**heads())],
        ".pkl": pickles(),
        ".pt": [torch()],
        ".h5": [hdf5()],
        ".arrayrecord": [arrayrecord()],
        ".caffemodel": [caffemodel()],
        ".safetensors": [safetensors()],
        **{
            ending: [text.encode() for text in found] for ending, found in texts.items()
        },
    }
