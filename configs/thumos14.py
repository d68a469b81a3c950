"""CleanNet on THUMOS14, with the paper's hyperparameters (Section 4.1).

    cleannet train --dataset thumos14
    cleannet train --dataset thumos14 --data FOLDER

The paper's full model reaches 37.0 / 30.9 / 23.9 / 13.9 / 7.1 mAP at tIoU 0.3 to 0.7.
Stage 1 is ours: the paper starts from published weights of UntrimmedNet (R8).
"""

from cleannet_jax import config


def get_config() -> config.Config:
    """The config of the full model."""
    return config.Config(
        dataset="thumos14",
        anchor_sizes=(1, 2, 4, 8, 16, 32),
        learning_rate=1e-4,
        decay_steps=200,
        decay_rate=0.1,
        nms_tiou=0.4,
        min_video_score=0.1,
        tious=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    )
