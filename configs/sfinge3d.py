"""SFINGE 3D hand gestures: 13 gestures, pose features first, then motion features.

    cleannet train --dataset sfinge3d --data FOLDER

Learning rates and lengths of stage 1 minimise the loss of the video-level prediction on
held-out training videos (4 folds, `benchmarks/held_out.py`). In stage 2 the paper's
learning rate hardly moves the generator on features as small as these; 0.01 lowers
L_reg of the training videos most without diverging. `smoothing_width`, which only
variants named "..._smoothed" read, is the one of 1, 5, 9, 15 and 21 with the best mAP of
"plain" on the training videos: their times were read for this one number.
"""

import pathlib

from cleannet_jax import config


def get_config() -> config.Config:
    """The config of the full model."""
    return config.Config(
        dataset="sfinge3d",
        manifest=str(
            pathlib.Path(__file__).resolve().with_name("sfinge3d_manifest.json")
        ),
        anchor_sizes=(4, 8, 16, 24, 32, 48),
        head_learning_rate=0.003,
        adam_steps=1000,
        stpn_learning_rate=0.003,
        smoothing_width=9,
        learning_rate=0.01,
        tious=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    )
