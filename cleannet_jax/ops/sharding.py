"""What functions need to know of the devices that their arguments are spread over.

Under `jax.shard_map` a value is known to vary over mesh axes or not to, and the
branches of a condition must agree in that. On meshes with explicit axes the sharding
of an array is part of its type, and every operation must say how its result is
sharded; look-ups cannot.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax


def varying_like(value: jax.Array, *others: Any) -> jax.Array:
    """The value, as one that varies over every mesh axis that others vary over."""
    axes: set[Any] = set()
    for leaf in jax.tree.leaves(others):
        axes |= _varying(leaf)
    missing = tuple(axes - _varying(value))
    if not missing:
        return value
    value = jax.numpy.asarray(value)
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(value, missing, to="varying")
    return jax.lax.pvary(value, missing)


def explicit_axes(array: Any) -> tuple[Any, ...]:
    """The mesh axes that each axis of an array is explicitly sharded over, or None."""
    sharding = getattr(jax.typeof(array), "sharding", None)
    spec = getattr(sharding, "spec", None)
    rank = jax.numpy.ndim(array)
    if spec is None or sharding.mesh.empty:
        return (None,) * rank
    return (*spec, *[None] * (rank - len(spec)))


def automatically(
    function: Callable[..., Any], operands: Sequence[Any], axes: Sequence[Any]
) -> Any:
    """What a function returns, where the compiler decides how to share its work.

    Args:
      function: of the operands; returns a tree of arrays.
      operands: arrays, some of which may be explicitly sharded, or None.
      axes: the mesh axes that each axis of every result is sharded over, or None.
    """
    if not _mesh_is_explicit():
        return function(*operands)
    spec = jax.sharding.PartitionSpec(*axes)
    operands = jax.tree.map(jax.numpy.asarray, operands)
    return jax.sharding.auto_axes(function, out_sharding=spec)(*operands)


def _mesh_is_explicit() -> bool:
    """Whether an axis of the mesh that is set is an explicit one."""
    mesh = jax.sharding.get_abstract_mesh()
    return any(
        "Explicit" in str(kind) for kind in getattr(mesh, "axis_types", None) or ()
    )


def _varying(value: Any) -> set[Any]:
    """The mesh axes of a `shard_map` that a value varies over."""
    kind = jax.typeof(value)
    # Newer versions of JAX keep them one level down.
    kind = getattr(kind, "manual_axis_type", kind)
    return set(getattr(kind, "varying", getattr(kind, "vma", ())))
