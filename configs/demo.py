"""Motions of shapes in the short clips that `cleannet demo` makes.

cleannet train --dataset demo --data FOLDER
"""

from cleannet_jax import config


def get_config() -> config.Config:
    """The config of the full model."""
    return config.Config(
        dataset="demo", anchor_sizes=(4, 8, 12, 16, 20, 24), tious=(0.3, 0.5, 0.7)
    )
