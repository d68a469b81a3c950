"""Are times in seconds? What other units look like, and by which factor they are off.

Detections in another unit evaluate without a word, to zero. Those in frames or
milliseconds begin after the end of their video, those that are fractions of the
duration all lie in its first second. Only what seconds cannot look like is said.
"""

from collections.abc import Mapping

import numpy as np

from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.metrics import average_precision

# Frame rates to try where none is known.
_RATES = (30.0, 60.0)
# Videos that are shorter can have all that happens in them in a second.
_SHORT_SECONDS = 4.0
# In frames or milliseconds, all but those of the first moments begin after the end.
_MOST = 0.75
# How a warning begins that a generator has collapsed, or times were lost.
WHOLE_VIDEOS = "detections that are as long as their video"
# A detection that covers as much is as long as its video.
_WHOLE = 0.95


# Times can be of any size; what overflows is no unit.
@np.errstate(over="ignore", invalid="ignore")
def late(
    segments: np.ndarray,
    ends: np.ndarray,
    *,
    fps: float | None = None,
    what: str = "detections",
) -> str | None:
    """Returns what to say of segments that begin after the end of their video.

    Args:
      segments: [M, 2] (start, end) as they were given.
      ends: [M] seconds at which the video of each ends, NaN where it is not known.
      fps: frames a second of the videos, None if they are not known.
      what: the segments are called.

    Returns:
      How many there are and what their unit may be; None unless they are nearly all.
    """
    known = ~np.isnan(ends)
    is_late = known & (segments[:, 0] >= ends)
    if not known.any() or is_late.sum() <= _MOST * known.sum():
        return None
    count, total = int(is_late.sum()), int(known.sum())
    shown = f"all {total}" if count == total else f"{count} of {total}"
    return (
        f"{what} that begin after the end of their video: {shown};"
        f" {_unit(segments[known], ends[known], fps)}"
    )


def early(
    segments: np.ndarray, ends: np.ndarray, *, what: str = "detections"
) -> str | None:
    """Returns what to say of segments all of which lie in the first second.

    Args:
      segments: [M, 2] (start, end) as they were given.
      ends: [M] seconds at which the video of each ends, NaN where it is not known.
      what: the segments are called.

    Returns:
      What they look like; None unless all do, in videos that are longer.
    """
    if not len(segments) or not (segments.min() >= 0 and segments.max() <= 1):
        return None
    if np.isnan(ends).all() or np.nanmedian(ends) < _SHORT_SECONDS:
        return None
    return (
        f"{what} within the first second of their video: all {len(segments)}; are"
        " these ratios of the duration? Multiply them by it"
    )


# Times can be of any size; what overflows is no unit.
@np.errstate(over="ignore", invalid="ignore")
def warnings(
    predictions: average_precision.Instances,
    truths: average_precision.Instances,
    videos: Mapping[str, annotations_lib.Video],
) -> list[str]:
    """Returns what times look like, if not like seconds, a line each.

    Args:
      predictions: [M] detections.
      truths: [G] what they are measured against.
      videos: the annotated videos by id. A video without a duration is taken to end
        where its last annotation does, which is less certain and needs more to say it.
    """
    lines = []
    durations = _of_rows(predictions, {v.id: v.duration for v in videos.values()})
    last = _of_rows(predictions, {v.id: _last_end(v) for v in videos.values()})
    ends = np.where(np.isnan(durations), last, durations)
    rates = [videos[n].fps for n in predictions.videos if n in videos and videos[n].fps]
    fps = float(np.median(rates)) if rates else None
    # Detections may well begin after the last annotation, but not all and far behind it.
    is_sure = ~np.isnan(durations) | (predictions.segments[:, 0] >= 5 * ends)
    known = ~np.isnan(ends)
    line = late(predictions.segments, ends, fps=fps)
    if line and is_sure[known].mean() > 0.5:
        lines.append(line)
    is_apart = truths.label.size and np.median(truths.segments[:, 1]) > 2
    line = early(predictions.segments, ends) if is_apart else None
    if line:
        lines.append(line)
    of_truths = _of_rows(truths, {v.id: v.duration for v in videos.values()})
    line = late(truths.segments, of_truths, fps=fps, what="instances")
    if line:
        lines.append(line)
    return [*lines, *_whole_videos(predictions, truths, durations, videos)]


def _whole_videos(
    predictions: average_precision.Instances,
    truths: average_precision.Instances,
    durations: np.ndarray,
    videos: Mapping[str, annotations_lib.Video],
) -> list[str]:
    """Says that most detections are as long as their video, where instances are not."""
    is_whole = _is_whole(predictions.segments, durations)
    of_truths = _of_rows(truths, {v.id: v.duration for v in videos.values()})
    usual = _is_whole(truths.segments, of_truths)
    if is_whole.sum() <= is_whole.size / 2 or usual.sum() > usual.size / 2:
        return []
    line = (
        f"{WHOLE_VIDEOS}: {is_whole.sum()} of"
        f" {is_whole.size}, where {usual.sum()} of {usual.size} instances are"
    )
    return [line]


def _is_whole(segments: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """[M] bool, segments that lie over their video from end to end."""
    inside = np.clip(segments, 0, durations[:, np.newaxis])
    return inside[:, 1] - inside[:, 0] >= _WHOLE * durations


def _unit(segments: np.ndarray, ends: np.ndarray, fps: float | None) -> str:
    """The unit in which most of the segments would be inside of their videos."""
    most = np.quantile(segments[:, 1] / ends, 0.75)
    for rate in (fps or _RATES[0], *_RATES):
        if most <= rate:
            return f"are these frames (fps {rate:.4g})? Divide them by the frame rate"
    if most <= 1000:
        return "are these milliseconds? Divide them by 1000"
    return f"they end at {most:.3g} times its length; expected seconds"


def _last_end(video: annotations_lib.Video) -> float | None:
    """The end of the last annotation of a video, None without any."""
    ends = [*video.segments[:, 1].tolist(), *video.ambiguous[:, 1].tolist()]
    last = max(ends, default=0.0)
    return last if last > 0 else None


def _of_rows(
    table: average_precision.Instances, values: Mapping[str, float | None]
) -> np.ndarray:
    """[M] the value of each row's video, NaN where there is none."""
    known = [values.get(name) for name in table.videos]
    found = np.array([np.nan if v is None else v for v in known], float)
    return found[table.video] if len(found) else np.zeros(0)
