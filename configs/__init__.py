"""One file an experiment, with `get_config()`; installed as `cleannet_jax.configs`."""
