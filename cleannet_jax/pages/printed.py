"""The picture of one video for print, from what was gathered for pages.

It has the bars of every run, and SCP, edgeness and attention of the first run that has
them, in the categories that its page shows first.
"""

import dataclasses
import difflib
from collections.abc import Sequence

import numpy as np

from cleannet_jax import errors
from cleannet_jax.data import text
from cleannet_jax.pages import gather
from cleannet_jax.pages import signals as signals_lib
from cleannet_jax.report import picture


def check_video(
    material: gather.Material, video_id: str, *, others: Sequence[str] = ()
) -> None:
    """Raises an InputError that has near names if a video is none of those evaluated.

    Args:
      material: that was gathered.
      video_id: of the video.
      others: names that may have been meant as well.
    """
    if video_id in material.videos:
        return
    names = [*others, *material.videos]
    # Longer names are none of a video, and would take long to compare.
    near = difflib.get_close_matches(video_id[:200], names, n=3)
    some = ", ".join(map(text.quoted, near or list(material.videos)[:3]))
    raise errors.InputError(
        f"--figure: found no video {text.quoted(video_id)} among the"
        f" {len(material.videos)} that are evaluated, expected"
        f" {'perhaps' if near else 'one such as'} {some}"
    )


def picture_of(
    material: gather.Material, video_id: str, *, most: int
) -> tuple[picture.Picture, list[str]]:
    """Returns a video's picture without frames, and lines that say what it lacks.

    Args:
      material: that was gathered; something in it is evaluated.
      video_id: one of its videos.
      most: categories whose SCP is shown.
    """
    video = material.videos[video_id]
    entries = [entry for entry in material.entries if entry.report is not None]
    found = [gather.detections_in(entry, video_id) for entry in entries]
    rows = zip(video.labels, video.segments.tolist(), strict=True)
    truth = [(label, start, end) for label, (start, end) in rows]
    wanted = picture.labels(video.labels, (one for own in found for one in own))[:most]
    bars = picture.Picture(
        title=video_id,
        duration=gather.end_of(video, found),
        truth=truth,
        detections=found[0],
        name=entries[0].name,
        others=[(entry.name, own) for entry, own in zip(entries, found, strict=True)][
            1:
        ],
    )
    gaps: list[str] = []
    for entry in entries:
        try:
            drawn = _with_signals(bars, entry, wanted)
        except errors.InputError as error:
            gaps.append(f"{entry.name}: no SCP: {error}")
            continue
        if drawn is not None:
            note = f"SCP, edgeness, attention: {entry.name}" if len(entries) > 1 else ""
            return dataclasses.replace(drawn, note=note), gaps
        gaps += entry.gaps or [f"{entry.name}: no SCP of this video to show"]
    return bars, gaps


def _with_signals(
    bars: picture.Picture, entry: gather.Entry, wanted: Sequence[str]
) -> picture.Picture | None:
    """A picture with what a run says of the video; None where it says nothing.

    Raises:
      InputError: the video's files cannot be read.
    """
    if entry.model is None:
        return None
    found = signals_lib.signals(entry.model, bars.title, wanted)
    if found is None:
        return None
    config = entry.model.config
    is_grid = found.likely is not None  # Others have no such thresholds.
    return dataclasses.replace(
        bars,
        times=found.times,
        categories=found.categories,
        scp=np.asarray(found.scp),
        scp_threshold=config.min_scp if is_grid else None,
        edgeness=np.asarray(found.edgeness),
        attention=found.attention,
        attention_threshold=config.min_attention if is_grid else None,
        shown=range(len(found.categories)),
    )
