"""CleanNet on ActivityNet v1.2, with the paper's hyperparameters (Section 4.1).

    cleannet train --dataset activitynet12
    cleannet train --dataset activitynet12 --data FOLDER

The paper's full model reaches 37.1 mAP at tIoU 0.5 and 21.6 on average.
Stage 1 is ours: the paper starts from published weights of UntrimmedNet (R8).
"""

from cleannet_jax import config, evaluate


def get_config() -> config.Config:
    """The config of the full model."""
    return config.Config(
        dataset="activitynet12",
        anchor_sizes=(16, 32, 64, 128, 256, 512),
        co2_net_learning_rate=3e-5,
        learning_rate=1e-4,
        decay_steps=200,
        decay_rate=0.1,
        nms_tiou=0.4,
        min_video_score=0.1,
        tious=evaluate.ACTIVITYNET_TIOUS,
    )
