"""The generated sample: a made-up dataset in the image of THUMOS14 or ActivityNet v1.2.

Everything is drawn from a seed, nothing is stored and nothing was recorded: names, ids
and `Dataset.generated` say so. A video is a `Timeline` of instances; its features F,
[T, 2D] float32, RGB columns first, are made from it whenever they are read. A seed
gives the same bits in any order of reading and on any thread; NumPy does not promise
them across its versions. Times are in snippets until they become annotations.

**Statistics** are those of the benchmarks' own annotations ("annotated" below) and of
the paper's Section 4.3. Reached, over the seeds 0 to 7, annotated in brackets:

    thumos14       70.5 % background (70.8, the paper 71.4); 15.3 instances (15.4) and
                   207 s (213) a video; median instance 3.3 s (3.1) and gap 2.9 s
                   (2.9); 14 % of videos with two labels (15)
    activitynet12  35.4 % background (35.9, the paper 34.6); 1.48 instances (1.49) and
                   116 s (116) a video; median instance 32 s (28), but gap 3.4 s (8.4)

**Strengths** (`Appearance`, the same for both) are set so that thresholding scores what
it scores on the real data: UntrimmedNet's rows of Tables 3 and 4. No other method was
looked at. The head was that of stage 1 (R7, R8): from zero, 500 videos one at a time,
SGD at 0.001 with momentum 0.9, features as they are; the detector was R16 with an SCP
threshold of 0.1; ActivityNet's protocol. mAP in percent, mean over the seeds 0 to 3:

    thumos14       tIoU 0.3 to 0.7: 32.7, 23.2, 15.4, 9.2, 4.8
                            target: 29.8, 22.8, 15.4, 8.3, 4.2
    activitynet12  tIoU 0.5: 7.1, mean of 0.5 to 0.95: 2.8; targets 7.4 and 3.6

Single seeds range from 12.0 to 19.0 and from 5.2 to 9.1 at 0.5. `salience` and
`weakest` move the level of the curve, `edge` and `boundary` its end. The best category
of a video is one of its own in 100 % and 83 % of the evaluation videos, for THUMOS14
more often than in reality. A learning rate of 0.003 is too high for activitynet12, 0.01
for both: attention settles on background.
"""

from cleannet_jax.sample.generated import sample_dataset
from cleannet_jax.sample.looks import Prototypes, draw_prototypes, video_features
from cleannet_jax.sample.spec import (
    ACTIVITYNET12,
    STREAM_WIDTH,
    STREAMS,
    THUMOS14,
    TIMEBASE,
    Appearance,
    SampleSpec,
)
from cleannet_jax.sample.timelines import Timeline, draw_timeline

__all__ = [
    "ACTIVITYNET12",
    "STREAMS",
    "STREAM_WIDTH",
    "THUMOS14",
    "TIMEBASE",
    "Appearance",
    "Prototypes",
    "SampleSpec",
    "Timeline",
    "draw_prototypes",
    "draw_timeline",
    "sample_dataset",
    "video_features",
]
