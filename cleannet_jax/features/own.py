"""Networks of your own: a function of frames, or a file of ONNX.

A function takes the frames of a snippet, (n, h, w, 3) uint8 RGB, and returns features of
the snippet, (D,), or of each frame, (n, D), which are averaged; then it is given the
frames of several snippets at once. It may return arrays of NumPy, JAX or PyTorch.
"""

import functools
import importlib
import pathlib
import runpy
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from cleannet_jax import errors

Function = Callable[[np.ndarray], Any]

# Frames given to a function of frames at a time.
_FRAMES = 64
# ImageNet's, which networks in files of ONNX usually expect of pictures in [0, 1].
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def function_named(name: str) -> Any:
    """Returns what MODULE:FUNCTION or FILE.py:FUNCTION names.

    Modules are looked for in the present folder too, after all others: what decodes
    looks for its own there as well.

    Raises:
      InputError: there is none, importing fails, or it cannot be called.
    """
    place, _, attribute = name.rpartition(":")
    try:
        if place.endswith(".py"):
            path = pathlib.Path(place).resolve()
            if not path.is_file():
                raise errors.InputError(f"--backbone: {place}: no such file")
            found = _run(path, path.stat().st_mtime_ns).get(attribute)
        else:
            _look_in(pathlib.Path.cwd())
            found = getattr(importlib.import_module(place), attribute, None)
    except errors.InputError:
        raise
    except (Exception, SystemExit) as error:  # Of code that is not ours.
        raise errors.InputError(f"--backbone: {name}: {_raised(error)}") from error
    if not callable(found):
        raise errors.InputError(
            f"--backbone: {name}: found no function {attribute!r} in {place}"
        )
    return found


@functools.lru_cache(maxsize=4)
def _run(path: pathlib.Path, changed: int) -> dict[str, Any]:
    """What a file defines, run once: it may read a network."""
    del changed
    _look_in(path.parent)
    return runpy.run_path(str(path))


def _look_in(folder: pathlib.Path) -> None:
    """Lets modules in a folder be imported, unless others have their names."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def features(function: Function, frames: np.ndarray, name: str) -> np.ndarray:
    """Features of snippets by a function of frames.

    Args:
      function: as the module says.
      frames: [n, F, h, w, 3] uint8.
      name: of the function, for messages.

    Returns:
      [n, D] float32.

    Raises:
      InputError: it raises, or returns anything else.
    """
    count = frames.shape[1]
    first = called(function, frames[0], name)
    if first.ndim == 1:
        others = [called(function, one, name) for one in frames[1:]]
        return _stacked([first, *others], name)
    if first.ndim != 2 or len(first) != count:
        raise errors.InputError(
            f"{name}: returned shape {first.shape} for frames {frames[0].shape}, expected"
            f" (D,), or ({count}, D) for each frame"
        )
    flat = frames[1:].reshape(-1, *frames.shape[2:])
    found = [first]
    for start in range(0, len(flat), _FRAMES):
        part = flat[start : start + _FRAMES]
        made = called(function, part, name)
        if made.shape != (len(part), first.shape[1]):
            raise errors.InputError(
                f"{name}: returned shape {made.shape} for {len(part)} frames, expected"
                f" ({len(part)}, {first.shape[1]}) as before"
            )
        found.append(made)
    return np.concatenate(found).reshape(len(frames), count, -1).mean(axis=1)


def _stacked(found: list[np.ndarray], name: str) -> np.ndarray:
    """Features of snippets, which must be as wide as each other."""
    wrong = [one.shape for one in found if one.shape != found[0].shape]
    if wrong:
        raise errors.InputError(
            f"{name}: returned shape {wrong[0]}, expected {found[0].shape} as before"
        )
    return np.stack(found)


def called(function: Callable[[Any], Any], given: Any, name: str) -> np.ndarray:
    """Returns what a function of somebody else's does, as float32.

    Raises:
      InputError: it raises; the message says where.
    """
    try:
        found = np.asarray(function(given))
        if found.dtype.kind != "c":
            # What becomes infinite is said where features are looked at.
            with np.errstate(over="ignore", invalid="ignore"):
                return found.astype(np.float32)
    except (Exception, SystemExit) as error:  # Of code that is not ours.
        raise errors.InputError(f"{name}: {_raised(error)}") from error
    raise errors.InputError(f"{name}: returned complex numbers, expected real ones")


def _raised(error: Exception | SystemExit) -> str:
    """What code of somebody else raised, and where, in one line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{last.filename}:{last.lineno}"
    text = str(error)
    if isinstance(error, SyntaxError):
        place, text = f"{error.filename}:{error.lineno}", str(error.msg)
    return f"raised {type(error).__name__} at {place}: {' '.join(text.split())}"


def open_onnx(path: str, size: int, count: int) -> tuple[Function, int, int]:
    """Returns a network in a file as a function of frames.

    Pictures are scaled to [0, 1], less ImageNet's mean and divided by its deviation,
    where the network takes numbers with a point, and left as they are where it takes
    bytes.

    Args:
      path: of the file; its first input is of pictures (n, 3, h, w) or (n, h, w, 3), or
        of clips with an axis of frames more, and its first output (n, D).
      size: side of frames, where the network takes any.
      count: frames a snippet, where it takes any.

    Returns:
      The function, and the side and the number of frames that it is to be given.

    Raises:
      InputError: there is no such file, or it is no such network.
    """
    try:
        import onnxruntime
    except ImportError:
        raise errors.InputError(
            f"{path}: onnxruntime is not there: pip install onnxruntime"
        ) from None
    if not pathlib.Path(path).is_file():
        raise errors.InputError(f"--backbone: {path}: no such file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # Many kinds, of which none is public.
        raise errors.InputError(
            f"{path}: no network that onnxruntime reads: {str(error)[:300]}"
        ) from error
    given = session.get_inputs()[0]
    layout = _layout(given.shape)
    if layout is None or given.type not in _TYPES:
        raise errors.InputError(
            f"{path}: found the input {given.name!r} of type {given.type} and shape"
            f" {given.shape}, expected pictures (n, 3, h, w) or (n, h, w, 3), or clips"
            " with an axis of frames more"
        )
    sides = {given.shape[axis] for axis in (layout.index("h"), layout.index("w"))}
    fixed = {side for side in sides if isinstance(side, int) and side > 0}
    if len(fixed) > 1:
        raise errors.InputError(f"{path}: found sides {fixed}, expected a square")
    frames = given.shape[layout.index("t")] if "t" in layout else None
    known = isinstance(frames, int) and frames > 0
    return (
        _onnx_function(session, layout, _TYPES[given.type]),
        fixed.pop() if fixed else size,
        frames if known else count,
    )


_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


def _layout(shape: list[Any]) -> str | None:
    """The axes of an input, n, t, h, w and c; None where it is of no pictures."""
    for layout in ("nchw", "nhwc", "ntchw", "ncthw", "nthwc"):
        if len(layout) == len(shape) and shape[layout.index("c")] == 3:
            return layout
    return None


def _onnx_function(session: Any, layout: str, dtype: Any) -> Function:
    """A network as a function of frames [n, h, w, 3]."""
    given = session.get_inputs()[0]
    batch = given.shape[0]
    axes = "nthwc" if "t" in layout else "nhwc"

    def function(frames: np.ndarray) -> np.ndarray:
        values: np.ndarray = frames
        if dtype != np.uint8:
            values = (frames.astype(np.float32) / 255 - _MEAN) / _DEVIATION
        values = values[None] if "t" in layout else values
        values = values.transpose([axes.index(axis) for axis in layout]).astype(dtype)
        # Many a network is exported for one picture at a time.
        step = batch if isinstance(batch, int) and batch > 0 else len(values)
        parts = [
            session.run(None, {given.name: values[first : first + step]})[0]
            for first in range(0, len(values), step)
        ]
        found = np.concatenate(parts)
        found = found.reshape(len(found), -1)
        return found[0] if "t" in layout else found

    return function
