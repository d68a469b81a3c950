"""From video files to what happens in them when: what `cleannet localize RUN VIDEO` does.

One folder gets `features/`, made as those of the run's training, `scp/`, `found.json` and
`found.csv` for all videos, and for each of them subtitles and a picture. The same
command computes no feature twice.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

import cleannet_jax
from cleannet_jax import config as config_lib
from cleannet_jax import errors, experiment, localize, logs, new_videos, runs
from cleannet_jax.data import annotation_files, folders, snippets
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import dataset as dataset_lib
from cleannet_jax.data import text as text_lib
from cleannet_jax.data.detections import files as detection_files
from cleannet_jax.features import backbones, clips, extract
from cleannet_jax.features import video as video_lib
from cleannet_jax.metrics import average_precision
from cleannet_jax.report import picture, subtitles
from cleannet_jax.run import Detection

FEATURES, SCP = "features", "scp"
_FRAMES = 12
_FRAME_HEIGHT = 120
# Shown are those of at least so much of the best score of their video.
_SHOWN_SCORE = 0.5
# Instances of a video that are printed; files hold all of them.
_LISTED = 10


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found in videos.

    Attributes:
      detections: of each video, by falling score, by id.
      files: that were written, relative to the folder.
      left_out: why a video could not be read, or cut, by id.
    """

    detections: Mapping[str, list[Detection]]
    files: tuple[str, ...]
    left_out: Mapping[str, str]


def backbone_of(run: pathlib.Path, **changes: Any) -> extract.Backbone:
    """Returns what made the features that a run was trained on.

    Args:
      run: its folder.
      changes: of `backbones.Settings`: where weights, or a file of your own, are now.

    Raises:
      InputError: the run's features come from elsewhere, or the backbone is another
        one now.
    """
    if not run.is_dir():
        raise errors.InputError(f"{run}: no such folder, expected that of a run")
    model = runs.read_model(run)
    if model is None or not model.extraction:
        raise errors.InputError(
            f"{run}: nothing says how its features were made from videos: expected a run"
            " on a folder of `cleannet extract`; make features of these videos as those"
            " were made, and give them with --data"
        )
    settings = backbones.settings_of(model.extraction, str(run))
    backbone = backbones.create(dataclasses.replace(settings, **changes))
    differing = extract.differences(model.extraction, backbone.record)
    if [*differing] == ["network"] and ".py:" in settings.backbone:
        print(f"note: {settings.backbone} has changed since {run} was trained")
    elif differing:
        name, (before, now) = next(iter(differing.items()))
        raise errors.InputError(
            f"{run}: was trained on features made otherwise: {name} {before!r}, found"
            f" {now!r}"
        )
    return backbone


def localize_with(
    run: pathlib.Path,
    videos: Mapping[str, pathlib.Path],
    out: pathlib.Path,
    backbone: extract.Backbone,
    *,
    truth: str | None = None,
    clip: bool = False,
    workers: int | None = None,
) -> Found:
    """Finds actions in videos with a trained run, and writes what is found.

    Args:
      run: folder of the run.
      videos: files by id.
      out: folder, is made if it is not there.
      backbone: as `backbone_of` returns it.
      truth: annotations of the videos to draw, if there are any.
      clip: whether to cut each instance into a file.
      workers: processes that decode; None for one a core.

    Raises:
      InputError: the folder is of something else, or no video can be read.
      errors.Interrupted: it was stopped; the same command goes on.
    """
    description = runs.read_description(run)
    report = extract.extract(videos, out / FEATURES, backbone, workers=workers)
    opened = new_videos.open_for(run, description, [str(out / FEATURES)])
    experiment.check_streams(opened, description.streams, run)
    config, params = description.config, experiment.restore(run, description)
    if config.scores:
        raise errors.InputError(
            f"{run}: found a run that reads its SCPs from {config.scores}, expected one"
            " with a classifier"
        )
    names = [name for name in videos if name in opened.videos]
    dataset = only(opened, names)
    with logs.progress_bar("localize", total=len(names)) as bar:
        (found,) = localize.localize(
            [localize.Model(config, params)],
            dataset,
            names,
            scp=out / SCP,
            progress=lambda done, total: bar.update(),
        )
    return write(
        dataset, found, videos, out, config, truth=truth, clip=clip, report=report
    )


def check_folder(out: pathlib.Path) -> None:
    """Raises an InputError unless a folder is new, or of an earlier start of ours.

    Subtitles that somebody wrote would be replaced otherwise.
    """
    if out.exists() and not out.is_dir():
        raise errors.InputError(f"--out: found the file {out}, expected a folder")
    is_ours = (out / FEATURES / extract.START).exists()
    if not is_ours and not folders.is_new(out, (FEATURES,)):
        raise errors.InputError(
            f"--out: {out} holds files of something else, expected a new folder or one of"
            " the same command"
        )


def only(dataset: dataset_lib.Dataset, names: Sequence[str]) -> dataset_lib.Dataset:
    """The dataset with no other videos."""
    videos = {name: dataset.videos[name] for name in names}
    return dataclasses.replace(dataset, videos=videos)


def write(
    dataset: dataset_lib.Dataset,
    found: average_precision.Instances,
    videos: Mapping[str, pathlib.Path],
    out: pathlib.Path,
    config: config_lib.Config,
    *,
    truth: str | None,
    clip: bool,
    report: extract.Report,
) -> Found:
    """Writes what was found in the videos of a dataset, whose SCPs are in the folder.

    Args:
      dataset: of the videos.
      found: in them.
      videos: files by id.
      out: the folder.
      config: of the localizer.
      truth: file of annotations, or None.
      clip: whether to cut each instance into a file.
      report: of the extraction.
    """
    known = annotation_files.read_annotations(truth).videos if truth else {}
    written = ["found.json", "found.csv"]
    for name in written:
        detection_files.write(out / name, found, details=dataset.name)
    by_video = {name: _detections(found, name) for name in found.videos}
    saved = snippets.open_folder(out / SCP, dataset)
    left_out = dict(report.left_out)
    for name, detections in by_video.items():
        shown = _worth_showing(detections)
        subtitles.write_srt(out / f"{name}.srt", shown)
        subtitles.write_vtt(out / f"{name}.vtt", shown)
        video = video_lib.open_video(videos[name])
        of_video = _picture(
            dataset.videos[name], saved, detections, video, dataset.categories
        )
        of_video = dataclasses.replace(
            of_video,
            attention_threshold=config.min_attention,
            truth=_truth(known.get(name)),
        )
        picture.draw(out / f"{name}.png", of_video)
        written += [f"{name}.srt", f"{name}.vtt", f"{name}.png"]
        if clip:
            try:
                written += _cut(video, shown, out / "clips", name)
            except errors.InputError as error:
                left_out[name] = f"clips of {name}: {error}"
    return Found(by_video, tuple(written), left_out)


def text(found: Found, out: pathlib.Path) -> str:
    """Returns what was found for people, the best instances of each video.

    Args:
      found: what `write` returned.
      out: its folder.
    """
    lines = []
    for name, detections in found.detections.items():
        lines.append(f"{name}: {len(detections)} detections")
        lines += [
            f"  {_clock(one.start):>9} - {_clock(one.end):>9}  {one.score:6.3f}"
            f"  {text_lib.quoted(one.label)[1:-1]}"
            for one in detections[:_LISTED]
        ]
        if len(detections) > _LISTED:
            lines.append(f"  and {len(detections) - _LISTED} more")
    lines += [f"left out: {reason}" for reason in found.left_out.values()]
    lines.append(f"{out}: {', '.join(found.files[:5])}")
    if len(found.files) > 5:
        lines[-1] += f" and {len(found.files) - 5} more files"
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    """A time as minutes, seconds and tenths."""
    minutes, rest = divmod(round(seconds * 10), 600)
    return f"{minutes}:{rest / 10:04.1f}"


def _detections(found: average_precision.Instances, name: str) -> list[Detection]:
    """The detections of one video, by falling score."""
    scores = found.scores
    assert scores is not None
    rows = np.flatnonzero(found.video == found.videos.index(name))
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    return [
        Detection(
            found.labels[found.label[row]],
            *found.segments[row].tolist(),
            float(scores[row]),
        )
        for row in rows
    ]


def _truth(video: annotations_lib.Video | None) -> list[tuple[str, float, float]]:
    """The annotated instances of a video, if there are any."""
    if video is None:
        return []
    rows = zip(video.labels, video.segments.tolist(), strict=True)
    return [(label, start, end) for label, (start, end) in rows]


def _picture(
    info: dataset_lib.VideoInfo,
    saved: snippets.SavedPredictions,
    detections: list[Detection],
    video: video_lib.Video,
    categories: tuple[str, ...],
) -> picture.Picture:
    """What is to be drawn of a video."""
    predicted = saved.read(info.id)
    scp = np.asarray(predicted.scp, np.float32)
    length = len(scp)
    timebase = info.timebase
    borders = (np.arange(length + 1) * timebase.stride + timebase.offset) / timebase.fps
    attention = np.asarray(predicted.sap) * length
    return picture.Picture(
        title=info.id,
        duration=video.duration,
        frames=picture.read_frames(
            video, duration=video.duration, count=_FRAMES, height=_FRAME_HEIGHT
        ),
        truth=[],
        detections=_worth_showing(detections),
        count=len(detections),
        scp=scp,
        categories=categories,
        shown=None,
        # Times the uniform one, as the threshold is; where it is uniform it says nothing.
        attention=attention if np.ptp(attention) > 1e-3 else None,
        attention_threshold=None,
        times=borders,
        edgeness=np.asarray(jax.vmap(cleannet_jax.edgeness, 1, 1)(scp)),
    )


def _worth_showing(detections: list[Detection]) -> list[Detection]:
    """Those of high scores, by falling score as they are given."""
    best = detections[0].score if detections else 0.0
    least = min(_SHOWN_SCORE * best, best)  # Scores may be negative.
    return [one for one in detections if one.score >= least]


def _cut(
    video: video_lib.Video, detections: list[Detection], folder: pathlib.Path, name: str
) -> list[str]:
    """Cuts each instance into a file of its own; their names."""
    folders.make(folder)
    written, ending = [], clips.suffix(video)
    for row, one in enumerate(detections, start=1):
        # An id has up to 200 of the 255 bytes of a name, and a draft 10 more.
        label = re.sub(r"[^\w-]+", "_", one.label).encode()[:30].decode(errors="ignore")
        path = folder / f"{name}-{row:03}-{label}{ending}"
        clips.cut(video, one.start, one.end, path)
        written.append(f"clips/{path.name}")
    return written
