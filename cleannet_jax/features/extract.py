"""Makes a feature folder from video files, and goes on where it was stopped.

Processes decode chunks of snippets, and this one computes features of them. A chunk is
kept under `.extract/ID/` when it is computed, a video becomes `STREAM/ID.npy` when all
of its chunks are there, and `annotations.json` and then `manifest.json` are written when
all videos are, or left out; so the folder is complete when it has a manifest. Memory
depends on the size of a chunk and not on that of a video. Several of these processes
(`distributed`) share the videos, in one folder that all of them see.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from cleannet_jax import distributed, errors, logs
from cleannet_jax import streams as streams_lib
from cleannet_jax.data import annotations as annotations_lib
from cleannet_jax.data import arrays, files, folders, recovered_heads
from cleannet_jax.data import manifest as manifest_lib
from cleannet_jax.features import decoders as decoders_lib
from cleannet_jax.features import inputs

REPORT = "extract_report.json"
HEADS = "heads.npz"
# The subset of videos that no labels are known of.
UNLABELLED = "unlabelled"
START = ".extract.json"
_WORK = ".extract"
_ANNOTATIONS = "annotations.json"

# What a folder is searched for; a file that is named may end in anything.
ENDINGS = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"),
)


class Backbone(NamedTuple):
    """What makes features of snippets.

    Attributes:
      streams: of the features; their widths are not known before the first ones where
        they are 0.
      grid: of the snippets.
      inputs: of `apply`, made in the processes that decode.
      apply: from the inputs of n snippets to features [n, D] by stream.
      chunk: snippets that are decoded and kept together.
      trained_on: data sets that it has seen.
      record: what the manifest says under "extraction"; other values are other features.
      heads: that were trained with it, for `heads.npz`; None where there are none.
    """

    streams: streams_lib.Streams
    grid: inputs.Grid
    inputs: inputs.Inputs
    apply: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
    chunk: int
    trained_on: tuple[str, ...]
    record: Mapping[str, Any]
    heads: recovered_heads.Heads | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """What an extraction has done.

    Attributes:
      folder: the feature folder.
      streams: of the features.
      extracted: ids of the videos whose features were computed now.
      kept: number of those that were there already.
      left_out: why a video has no features, by id.
      notes: what a person should know, a line each.
    """

    folder: str
    streams: streams_lib.Streams
    extracted: tuple[str, ...]
    kept: int
    left_out: Mapping[str, str]
    notes: tuple[str, ...]


def find_videos(
    paths: Iterable[str | os.PathLike], *, written: str | os.PathLike | None = None
) -> dict[str, pathlib.Path]:
    """Returns video files by id, the name without its ending, sorted.

    Args:
      paths: of files, or of folders, in which those that end as videos do are taken.
      written: a folder that is not searched, since it holds results.

    Raises:
      InputError: there is no such file, there are none, two have one name, or a name
        cannot be an id.
    """
    found: dict[str, pathlib.Path] = {}
    for given in map(pathlib.Path, paths):
        if not os.path.lexists(given):
            raise errors.InputError(f"{given}: no such file or folder")
        own = list(_walk(given, written)) if given.is_dir() else [given]
        if not own:
            raise errors.InputError(
                f"{given}: found no video, expected files that end in"
                f" {', '.join(ENDINGS)}"
            )
        for path in own:
            other = found.setdefault(path.stem, path)
            if not _is_same(other, path):
                raise errors.InputError(
                    f"{path}: found another video of that name, {other}, expected"
                    " different names, which are the videos' ids"
                )
            if not manifest_lib.is_path_part(path.stem):
                raise errors.InputError(
                    f"{str(path)!r}: the name cannot be a video's id: expected printable"
                    " text without slashes, at most 200 bytes"
                )
    return dict(sorted(found.items()))


def _is_same(path: pathlib.Path, other: pathlib.Path) -> bool:
    """Whether two paths lead to one file."""
    return os.path.realpath(path) == os.path.realpath(other)


def _walk(
    folder: pathlib.Path, written: str | os.PathLike | None
) -> Iterator[pathlib.Path]:
    """The videos below a folder, without those in hidden folders and in one more."""
    besides = None if written is None else os.path.realpath(written)
    for place, names, own in os.walk(folder):
        names[:] = sorted(
            name
            for name in names
            if not name.startswith(".")
            and os.path.realpath(os.path.join(place, name)) != besides
        )
        for name in sorted(own):
            path = pathlib.Path(place, name)
            if path.suffix.lower() in ENDINGS and not name.startswith("."):
                yield path


def extract(
    videos: Mapping[str, pathlib.Path],
    folder: str | os.PathLike,
    backbone: Backbone,
    *,
    labels: annotations_lib.Annotations | None = None,
    subsets: tuple[str, str] = ("training", "validation"),
    workers: int | None = None,
) -> Report:
    """Writes features of videos, or goes on with what was stopped.

    A video that cannot be read is left out and reported. Features that are there are
    kept where the file is of the same size and time as when they were computed.

    Args:
      videos: files by id.
      folder: is made if it is not there.
      backbone: makes the features.
      labels: what is known of the videos; others may be in it.
      subsets: what the annotations call the one to train and the one to evaluate on.
      workers: processes that decode; None for one a core.

    Returns:
      What was done; on other processes than process 0, by this one.

    Raises:
      InputError: the folder holds anything else than features made alike, no video can
        be read, or the backbone makes no features.
      errors.Interrupted: SIGINT or SIGTERM came; what is computed stays.
    """
    folder = pathlib.Path(folder)
    try:
        if distributed.is_first():
            _check_folder(folder, backbone)
        with decoders_lib.Decoders(workers) as decoders, _begun(folder, backbone):
            work = _Work(videos, folder, backbone, decoders)
            return work.run(labels, subsets)
    except OSError as error:
        place = error.filename or folder
        raise errors.InputError(f"{place}: {error.strerror or error}") from error


@contextlib.contextmanager
def _begun(folder: pathlib.Path, backbone: Backbone) -> Iterator[None]:
    """Has a folder for itself in the block; others than process 0 join process 0 in it."""
    if not distributed.is_first():
        distributed.wait()
        _check_folder(folder, backbone)
        yield
        return
    folders.make(folder)
    with folders.locked(folder):
        _check_folder(folder, backbone)
        folders.remove_remains(folder)
        if not (folder / START).exists():
            files.write_json(folder / START, dict(backbone.record))
        for stream in backbone.streams.names:
            folders.make(folder / stream)
            folders.remove_remains(folder / stream)
        distributed.wait()
        yield


def estimate(
    videos: Mapping[str, pathlib.Path],
    backbone: Backbone,
    *,
    workers: int | None = None,
) -> str:
    """Returns how long extraction would take, by its first chunk, and how much memory.

    Args:
      videos: files by id.
      backbone: makes the features.
      workers: processes that decode; None for one a core.

    Raises:
      InputError: no video can be read.
    """
    with decoders_lib.Decoders(workers) as decoders:
        bound = decoders.count
        waiting = {
            name: decoders.submit(decoders_lib.scan, path, backbone.grid)
            for name, path in videos.items()
        }
        facts, reasons = {}, []
        for name, job in waiting.items():
            try:
                facts[name] = job.result()
            except errors.InputError as error:
                reasons.append(str(error))
        if not facts:
            raise errors.InputError(reasons[0] if reasons else "found no video")
        longest = max(facts, key=lambda name: facts[name].snippets)
        count = min(backbone.chunk, facts[longest].snippets)
        start = time.monotonic()
        part = (facts[longest], backbone.inputs, 0, count)
        made = decoders.submit(decoders_lib.made, videos[longest], *part).result()
        decoding = (time.monotonic() - start) / count
    backbone.apply(made)  # Compiles.
    start = time.monotonic()
    found = backbone.apply(made)
    network = (time.monotonic() - start) / count
    snippets = sum(one.snippets for one in facts.values())
    seconds = snippets * max(network, decoding / bound)
    memory = 2 * bound * sum(array.nbytes for array in made.values())
    stored = sum(array.nbytes for array in found.values()) / count * snippets
    duration = sum(one.duration for one in facts.values())
    lines = [f"{len(facts)} videos, {duration:.0f} s, {snippets} snippets"]
    lines.append(
        f"about {seconds:.0f} s: {1000 * decoding:.1f} ms a snippet to decode in each of"
        f" {bound} processes, {1000 * network:.1f} ms to compute"
    )
    lines.append(
        f"about {memory / 2**20:.0f} MiB of frames at a time beside the programs' own"
        f" memory; {stored / 2**20:.1f} MiB of features on disk"
    )
    return "\n".join(lines + [f"would be left out: {reason}" for reason in reasons])


def report_text(report: Report, *, limit: int = 20) -> str:
    """Returns a report for people.

    Args:
      report: what `extract` returned.
      limit: videos left out that are written out; the rest are counted.
    """
    total = len(report.extracted) + report.kept
    lines = [
        f"{report.folder}: {report.streams}",
        f"  {total} videos ({len(report.extracted)} now, {report.kept} before)",
        *(f"  note: {note}" for note in report.notes),
    ]
    if report.left_out:
        lines.append(f"  left out: {len(report.left_out)}")
        lines += [f"    {reason}" for reason in list(report.left_out.values())[:limit]]
    if len(report.left_out) > limit:
        lines.append(f"    and {len(report.left_out) - limit} more, see {REPORT}")
    return "\n".join(lines)


class _Work:
    """An extraction into a folder that nobody else is in."""

    def __init__(
        self,
        videos: Mapping[str, pathlib.Path],
        folder: pathlib.Path,
        backbone: Backbone,
        decoders: decoders_lib.Decoders,
    ) -> None:
        self._videos, self._folder = videos, folder
        names = list(videos)[distributed.index() :: distributed.count()]
        self._own = {name: videos[name] for name in names}
        self._backbone, self._decoders = backbone, decoders
        self._left_out: dict[str, str] = {}
        self._streams = backbone.streams

    def run(
        self,
        labels: annotations_lib.Annotations | None,
        subsets: tuple[str, str],
    ) -> Report:
        """Computes what is not there, and writes the folder."""
        with logs.stop_requests() as stop:
            facts, kept = self._scan(stop)
            if kept and not all(self._streams.widths):
                self._streams = self._stored_streams(min(kept))
            todo = [name for name in facts if name not in kept]
            self._compute({name: facts[name] for name in todo}, stop)
        facts, todo, kept = self._gathered(facts, todo, kept)
        done = {name: facts[name] for name in facts if name not in self._left_out}
        if not distributed.is_first():
            return Report(
                str(self._folder), self._streams, tuple(todo), 0, self._left_out, ()
            )
        if not done:
            reason = next(iter(self._left_out.values()), "there is none")
            raise errors.InputError(f"{self._folder}: no video can be read: {reason}")
        if not all(self._streams.widths):
            self._streams = self._stored_streams(next(iter(done)))
        path, earlier = self._folder / _ANNOTATIONS, self._earlier()
        found = _annotations(done | earlier, labels, subsets[0], path)
        notes = _notes(found, self._left_out, labels)
        if earlier:
            # What was said of them stays, unless the labels say something else.
            before = annotations_lib.read_annotations(path).videos
            known = labels.videos if labels else {}
            found.videos.update(
                {n: before[n] for n in earlier if n in before and n not in known}
            )
            notes += (f"{len(earlier)} other videos were there before, and stay",)
        report = Report(
            str(self._folder),
            self._streams,
            tuple(name for name in todo if name in done),
            len(kept),
            self._left_out,
            notes,
        )
        self._write(report, found, done | earlier, subsets)
        return report

    def _gathered(
        self, facts: dict[str, decoders_lib.Facts], todo: list[str], kept: set[str]
    ) -> tuple[dict[str, decoders_lib.Facts], list[str], set[str]]:
        """The same of all processes, on process 0, in the order of the videos."""
        own = [facts, todo, sorted(kept), self._left_out]
        parts = distributed.gathered(json.dumps(own).encode())
        if len(parts) < 2:
            return facts, todo, kept
        parts = [json.loads(part) for part in parts]
        self._left_out = self._ordered({n: x for p in parts for n, x in p[3].items()})
        found = self._ordered(
            {n: decoders_lib.Facts(*x) for p in parts for n, x in p[0].items()}
        )
        chosen = {name for part in parts for name in part[1]}
        return (
            found,
            [name for name in found if name in chosen],
            {name for part in parts for name in part[2]},
        )

    def _ordered(self, found: dict[str, Any]) -> dict[str, Any]:
        """What is known of videos in the order of these."""
        return {name: found[name] for name in self._videos if name in found}

    def _scan(self, stop: list[int]) -> tuple[dict[str, decoders_lib.Facts], set[str]]:
        """What is known of the videos that can be read, and which are done."""
        facts, kept, waiting = {}, set(), {}
        for name, path in self._own.items():
            known = self._known(name)
            if known is not None:
                facts[name] = known
                if self._is_done(name, known):
                    kept.add(name)
                    shutil.rmtree(self._work(name), ignore_errors=True)
            else:
                waiting[name] = self._decoders.submit(
                    decoders_lib.scan, path, self._backbone.grid
                )
        with logs.progress_bar("scan", total=len(waiting)) as bar:
            for name, job in waiting.items():
                try:
                    facts[name] = job.result()
                except errors.InputError as error:
                    self._left_out[name] = str(error)
                bar.update()
                self._check_stop(stop)
        return self._ordered(facts), kept

    def _earlier(self) -> dict[str, decoders_lib.Facts]:
        """What is known of videos that are not asked for now, and whose features stay."""
        found = {}
        paths = sorted((self._folder / _WORK).glob("*.json"))
        for path in paths if (self._folder / _ANNOTATIONS).exists() else ():
            name = path.stem
            if name not in self._videos and not name.startswith("."):
                try:
                    facts = decoders_lib.Facts(**files.read_checked_json(path))
                except (errors.InputError, TypeError):
                    continue
                if self._is_done(name, facts):
                    found[name] = facts
        return found

    def _known(self, name: str) -> decoders_lib.Facts | None:
        """What an earlier start has found of a video, if it is the same file."""
        path = self._folder / _WORK / f"{name}.json"
        try:
            facts = decoders_lib.Facts(**files.read_checked_json(path))
            now = os.stat(self._videos[name])
        except (errors.InputError, TypeError, OSError):
            return None
        is_same = (facts.size, facts.changed) == (now.st_size, now.st_mtime_ns)
        return facts if is_same else None

    def _is_done(self, name: str, facts: decoders_lib.Facts) -> bool:
        """Whether all features of a video are there."""
        try:
            headers = [
                arrays.read_header(self._folder / stream / f"{name}.npy")
                for stream in self._streams.names
            ]
        except errors.InputError:
            return False
        widths = [
            known or header.shape[-1]
            for known, header in zip(self._streams.widths, headers, strict=True)
        ]
        shapes = [(facts.snippets, width) for width in widths]
        return [header.shape for header in headers] == shapes

    def _compute(self, todo: dict[str, decoders_lib.Facts], stop: list[int]) -> None:
        """Computes the chunks of videos in order, a few ahead in the processes."""
        total = sum(facts.snippets for facts in todo.values())
        chunks = self._chunks(todo)
        ahead: collections.deque = collections.deque()
        bound = 2 * self._decoders.count
        with logs.progress_bar("extract", total=total) as bar:
            while True:
                while len(ahead) < bound and (chunk := next(chunks, None)):
                    name, first, last = chunk
                    job = None
                    if not self._is_kept(name, first, last):
                        part = (todo[name], self._backbone.inputs, first, last)
                        path = self._videos[name]
                        job = self._decoders.submit(decoders_lib.made, path, *part)
                    ahead.append((name, first, last, job))
                if not ahead:
                    return
                name, first, last, job = ahead.popleft()
                if job is not None and name not in self._left_out:
                    self._take(name, first, last, job)
                if last == todo[name].snippets and name not in self._left_out:
                    self._finish(name, todo[name])
                bar.update(last - first)
                self._check_stop(stop)

    def _chunks(
        self, todo: dict[str, decoders_lib.Facts]
    ) -> Iterator[tuple[str, int, int]]:
        """Video, first snippet and the one after the last, of all that is to be done."""
        for name, facts in todo.items():
            self._begin(name, facts)
            for first, last in self._parts(facts):
                if name not in self._left_out:
                    yield name, first, last

    def _parts(self, facts: decoders_lib.Facts) -> Iterator[tuple[int, int]]:
        """First snippet and the one after the last of each chunk of a video."""
        size = self._backbone.chunk
        for first in range(0, facts.snippets, size):
            yield first, min(first + size, facts.snippets)

    def _work(self, name: str) -> pathlib.Path:
        return self._folder / _WORK / name

    def _chunk(self, name: str, first: int, last: int) -> pathlib.Path:
        """The file of a chunk, which other sizes of chunks do not have."""
        return self._work(name) / f"{first:09}-{last:09}.npz"

    def _is_kept(self, name: str, first: int, last: int) -> bool:
        """Whether the features of a chunk are there, whole and as the others."""
        try:
            found = arrays.read_members(self._chunk(name, first, last))
            self._check(found, name, first, last)
        except (errors.InputError, KeyError):
            return False
        return True

    def _begin(self, name: str, facts: decoders_lib.Facts) -> None:
        """Makes the folder of a video's chunks; those of another file go."""
        if self._known(name) is None:
            shutil.rmtree(self._work(name), ignore_errors=True)
            # Before anything says that the new file is known: they may be as long.
            for stream in self._streams.names:
                path = self._folder / stream / f"{name}.npy"
                if path.exists():
                    path.unlink()
                    folders.sync(path.parent)
            folders.make(self._work(name))
            path = self._folder / _WORK / f"{name}.json"
            files.write_checked_json(path, facts._asdict())
        folders.make(self._work(name))
        folders.remove_remains(self._work(name))

    def _take(
        self, name: str, first: int, last: int, job: concurrent.futures.Future
    ) -> None:
        """Computes and keeps the features of a chunk."""
        try:
            made = job.result()
        except errors.InputError as error:
            self._left_out[name] = str(error)
            shutil.rmtree(self._work(name), ignore_errors=True)
            return
        found = self._backbone.apply(made)
        self._check(found, name, first, last)
        path = self._chunk(name, first, last)
        with files.open_atomic(path, "wb", is_bulk=True) as file:
            np.savez(file, **{s: np.asarray(found[s]) for s in self._streams.names})

    def _check(
        self, found: Mapping[str, np.ndarray], name: str, first: int, last: int
    ) -> None:
        """Raises unless features are as declared, as wide as before, and finite."""
        place = f"{self._backbone.record['backbone']}: video {name!r}, snippet {first}"
        names, widths = self._streams.names, self._streams.widths
        if not all(widths):
            widths = tuple(np.shape(found[stream])[-1] for stream in names)
            if not all(widths):
                raise errors.InputError(
                    f"{place}: found features of no numbers, expected some"
                )
            self._streams = streams_lib.Streams(names, widths)
        for stream, width in zip(names, widths, strict=True):
            shape = np.shape(found[stream])
            if shape != (last - first, width):
                raise errors.InputError(
                    f"{place}: found features of shape {shape}, expected"
                    f" ({last - first}, {width})"
                )
            wrong = np.argwhere(~np.isfinite(found[stream]))
            if len(wrong):
                raise errors.InputError(
                    f"{self._backbone.record['backbone']}: video {name!r}, snippet"
                    f" {first + wrong[0][0]}: found a feature that is not finite"
                )

    def _finish(self, name: str, facts: decoders_lib.Facts) -> None:
        """Joins the chunks of a video."""
        paths = [self._chunk(name, *part) for part in self._parts(facts)]
        for stream in self._streams.names:
            target = self._folder / stream / f"{name}.npy"
            with files.open_atomic(target, "wb", is_bulk=True) as file:
                for row, path in enumerate(paths):
                    part = arrays.read_members(path)[stream]
                    if not row:
                        _write_header(file, (facts.snippets, part.shape[1]))
                    file.write(np.ascontiguousarray(part, np.float32).tobytes())
        for stream in self._streams.names:
            folders.sync(self._folder / stream)
        shutil.rmtree(self._work(name), ignore_errors=True)

    def _stored_streams(self, name: str) -> streams_lib.Streams:
        """The streams, with the widths of features that are there."""
        names = self._streams.names
        paths = [self._folder / stream / f"{name}.npy" for stream in names]
        widths = tuple(arrays.read_header(path).shape[1] for path in paths)
        return streams_lib.Streams(names, widths)

    def _check_stop(self, stop: list[int]) -> None:
        """Ends where a signal has come."""
        if stop:
            raise errors.Interrupted(
                stop[0], "stopped; the same command goes on from there"
            )

    def _write(
        self,
        report: Report,
        found: annotations_lib.Annotations,
        done: Mapping[str, decoders_lib.Facts],
        subsets: tuple[str, str],
    ) -> None:
        """Writes report, annotations and manifest."""
        backbone, folder = self._backbone, self._folder
        files.write_json(folder / REPORT, {"left_out": dict(report.left_out)})
        files.write_json(folder / _ANNOTATIONS, annotations_lib.as_content(found))
        if backbone.heads is not None:
            recovered_heads.write(folder / HEADS, backbone.heads)
        rate, frames = backbone.grid
        fps: Any = rate or {name: facts.fps for name, facts in done.items()}
        manifest = manifest_lib.Manifest(
            name=folder.resolve().name,
            streams=self._streams,
            stride_frames=frames or 1,
            window_frames=frames or 1,
            offset_frames=0,
            fps=fps,
            train_subset=subsets[0],
            evaluation_subset=subsets[1],
            source=f"cleannet extract, backbone {backbone.record['backbone']}",
            backbone_trained_on=backbone.trained_on,
            extraction=backbone.record,
        )
        manifest_lib.write_manifest(folder / "manifest.json", manifest)


def _write_header(file: Any, shape: tuple[int, int]) -> None:
    """The header of a .npy file of float32."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _check_folder(folder: pathlib.Path, backbone: Backbone) -> None:
    """Raises unless a folder is new, or of features made alike."""
    path = folder / START
    if folder.exists() and not folder.is_dir():
        raise errors.InputError(f"{folder}: found a file, expected a folder")
    if not path.exists():
        if not folders.is_new(folder):
            raise errors.InputError(
                f"{folder}: found files that no extraction has made, expected a new or an"
                " empty folder"
            )
        return
    differing = differences(files.read_json(path), backbone.record)
    if differing:
        name, (before, now) = next(iter(differing.items()))
        raise errors.InputError(
            f"{folder}: holds features made otherwise: {name} {before!r}, expected"
            f" {now!r}; choose another folder"
        )


def differences(before: Any, now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns what two records of a backbone differ in, by name, sorted.

    Files may move: where there is a digest it says which file it is.

    Args:
      before: as a file has it.
      now: of a `Backbone`.
    """
    one, other = _values(before), _values(now)
    names = sorted({*one, *other})
    return {
        name: (one.get(name), other.get(name))
        for name in names
        if one.get(name) != other.get(name)
    }


def _values(record: Any) -> dict[str, Any]:
    """A record as JSON has it, without where files are."""
    if not isinstance(record, Mapping):
        return {"record": None}
    content = json.loads(json.dumps(dict(record)))
    weights = content.get("weights")
    for item in weights if isinstance(weights, list) else ():
        if isinstance(item, dict) and item.get("sha256"):
            item.pop("file", None)
    if "network" in content:
        content["backbone"] = pathlib.PurePath(str(content.get("backbone"))).name
    return content


def _annotations(
    done: Mapping[str, decoders_lib.Facts],
    labels: annotations_lib.Annotations | None,
    train_subset: str,
    path: pathlib.Path,
) -> annotations_lib.Annotations:
    """What is known of the videos, labels and durations.

    Those that nobody has labelled are of a subset of their own.
    """
    if labels is not None:
        labels = annotations_lib.with_subset(labels, train_subset)
    known = labels.videos if labels else {}
    videos = {}
    for name, facts in done.items():
        video = known.get(name) or annotations_lib.make_video(
            name, (), subset=UNLABELLED, annotated=False
        )
        videos[name] = dataclasses.replace(
            video, duration=facts.duration, fps=facts.fps
        )
    return annotations_lib.Annotations(videos, str(path))


def _notes(
    found: annotations_lib.Annotations,
    left_out: Mapping[str, str],
    labels: annotations_lib.Annotations | None,
) -> tuple[str, ...]:
    """What a person should know of videos and labels."""
    if labels is None:
        return ("no labels: --labels FILE gives those that are known",)
    missing = [n for n in labels.videos if n not in {*found.videos, *left_out}]
    lacking = [n for n in found.videos if n not in labels.videos]
    notes = []
    if missing:
        notes.append(
            f"{labels.path}: {len(missing)} labelled videos are not among these, such as"
            f" {missing[0]!r}"
        )
    if lacking:
        notes.append(
            f"{labels.path}: {len(lacking)} videos have no labels, such as {lacking[0]!r}"
        )
    return tuple(notes)
