"""Compiled programs are kept for the next run, in JAX's persistent compilation cache."""

import os
import pathlib

# Before it, programs that were read back from the cache computed something else on a CPU
# (seen with 0.6.0: suppression kept nothing).
_TRUSTED = (0, 10)


def cache(folder: str | None) -> None:
    """Turns the cache on, before anything is compiled.

    Args:
      folder: where it is; "none" for no cache; None for where the variable
        JAX_COMPILATION_CACHE_DIR says, or else the user's cache folder, if the
        version of JAX can be trusted with it.
    """
    import jax

    if folder == "none":
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if folder is None and "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    if folder is None and jax.__version_info__ < _TRUSTED:
        return
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    place = pathlib.Path(folder) if folder else pathlib.Path(base, "cleannet_jax")
    jax.config.update("jax_compilation_cache_dir", str(place.absolute()))
    # Most programs here take less than JAX's second to compile, and there are many.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
