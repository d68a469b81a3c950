"""The layouts that features can be in; a new one is a reader and a row here."""

import inspect
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cleannet_jax import errors
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data.layouts import (
    autoloc,
    cmcs,
    feature_folder,
    folders,
    hdf5,
    opentad,
    wtalc,
)


class Layout(NamedTuple):
    """A layout.

    Attributes:
      open: folder -> data set; what it takes besides are the layout's options.
      looks_like: what there is in such a folder, for people.
      marks: patterns of files, relative to the folder, of which it has at least one
        each.
    """

    open: Callable[..., dataset_lib.Dataset]
    looks_like: str
    marks: tuple[tuple[str, ...], ...]


# In this order: a layout that has all marks of another one stands before it.
LAYOUTS: Mapping[str, Layout] = {
    "feature-folder": Layout(
        feature_folder.open_folder,
        "manifest.json and what it describes",
        (("manifest.json",),),
    ),
    "autoloc": Layout(
        autoloc.open_autoloc,
        "{stage}.all.tsv or {stage}.{number}.tsv, there or in att_unfused*/",
        (
            (
                "train.*.tsv",
                "val.*.tsv",
                "test.*.tsv",
                "att_unfused*/train.*.tsv",
                "att_unfused*/val.*.tsv",
                "att_unfused*/test.*.tsv",
            ),
        ),
    ),
    "wtalc": Layout(
        wtalc.open_wtalc,
        "NAME-{I3D|UNT}-JOINTFeatures.npy and NAME-Annotations/",
        (("*-JOINTFeatures.npy",), ("*-Annotations/videoname.npy",)),
    ),
    "cmcs": Layout(
        cmcs.open_cmcs,
        "NAME-rgb.npz and NAME-flow.npz",
        (("*-rgb.npz",), ("*-flow.npz",)),
    ),
    "gtad": Layout(
        hdf5.open_gtad,
        "{rgb|flow}_{val|test}.h5",
        (("rgb_val.h5",), ("flow_val.h5",), ("rgb_test.h5",), ("flow_test.h5",)),
    ),
    "refineloc": Layout(
        hdf5.open_refineloc,
        "NAME.h5 or NAME.hdf5 with a dataset a video",
        (("*.h5", "*.hdf5"),),
    ),
    "basnet": Layout(
        folders.open_basnet,
        "gt.json and features/{train|test}/{rgb|flow}/ID.npy",
        (("gt.json",), ("features/*/rgb/*.npy",), ("features/*/flow/*.npy",)),
    ),
    "acmnet": Layout(
        folders.open_acmnet,
        "gt.json and {train|test}/ID.npy",
        (("gt.json",), ("train/*.npy",), ("test/*.npy",)),
    ),
    "stpn": Layout(
        folders.open_stpn,
        "{train|test}_data/{rgb|flow}_features/1.npy, 2.npy, ...",
        (("train_data/rgb_features/*.npy",), ("test_data/rgb_features/*.npy",)),
    ),
    "opentad": Layout(opentad.open_opentad, "ID.npy", (("*.npy",),)),
}


def detect(folder: str | os.PathLike) -> str:
    """Returns the name of the layout that a folder looks like, a key of `LAYOUTS`.

    Only names of files are looked at. What a layout leaves open, such as the order of
    streams, remains for a person to say.

    Raises:
      InputError: it looks like none of them; the message says what each looks like.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise errors.InputError(f"{folder}: no such folder")
    for name, layout in LAYOUTS.items():
        if all(any(any(folder.glob(p)) for p in mark) for mark in layout.marks):
            return name
    known = "; ".join(
        f"{name}: {layout.looks_like}" for name, layout in LAYOUTS.items()
    )
    found = sorted(os.listdir(folder))
    shown = ", ".join(map(repr, found[:5])) + (" ..." if len(found) > 5 else "")
    raise errors.InputError(
        f"{folder}: found {shown or 'nothing'}, expected a known layout ({known})"
    )


def open_layout(
    name: str, folder: str | os.PathLike, *, options: Mapping[str, Any]
) -> dataset_lib.Dataset:
    """Returns the videos of a folder in a layout; their features stay on disk.

    Args:
      name: of the layout, a key of `LAYOUTS`.
      folder: where it is.
      options: of the layout, by the names of its reader's arguments.

    Raises:
      InputError: there is no such layout, it has no such option or lacks one, or the
        folder cannot be used.
    """
    if name not in LAYOUTS:
        raise errors.InputError(
            f"--layout: found {name!r}, expected one of {', '.join(LAYOUTS)}"
        )
    known = dict(inspect.signature(LAYOUTS[name].open).parameters)
    del known["folder"]
    for option in options:
        if option not in known:
            raise errors.InputError(
                f"{_flag(option)}: layout {name!r} has no such option, only"
                f" {', '.join(map(_flag, known)) or 'none'}"
            )
    lacking = [
        _flag(option)
        for option, parameter in known.items()
        if parameter.default is parameter.empty and option not in options
    ]
    if lacking:
        these = "these options" if len(lacking) > 1 else "this option"
        raise errors.InputError(
            f"{', '.join(lacking)}: expected {these}, which layout {name!r} needs"
        )
    return LAYOUTS[name].open(folder, **options)


def _flag(option: str) -> str:
    """An option as the command line has it."""
    return f"--{option.replace('_', '-')}"
