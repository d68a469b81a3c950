"""Parts of a video as files of their own."""

import os

import numpy as np
import pytest

from cleannet_jax import errors

av = pytest.importorskip("av")

import videos

from cleannet_jax.features import clips
from cleannet_jax.features import video as video_lib

AS_SHOWN = video_lib.Size()
GROUPS = {"bf": "3", "g": "12"}
OPEN_GROUPS = {"bf": "3", "x264-params": "open-gop=1:keyint=12"}


@pytest.mark.parametrize(
    ("name", "ending", "how"),
    [
        ("a.mp4", ".mp4", {"options": GROUPS, "has_audio": True}),
        ("b.mp4", ".mp4", {"options": OPEN_GROUPS}),
        ("a.mkv", ".mkv", {"options": OPEN_GROUPS, "has_audio": True}),
        ("a.ts", ".ts", {"options": OPEN_GROUPS}),
        ("a.avi", ".avi", {"codec": "mpeg4", "options": {"g": "10"}}),
        ("a.webm", ".mkv", {"codec": "libvpx"}),
        ("a.flv", ".mkv", {"options": GROUPS}),
    ],
)
def test_a_clip_has_the_frames_of_its_time(tmp_path, name, ending, how):
    video = video_lib.open_video(videos.make_video(tmp_path / name, 100, **how))
    assert clips.suffix(video) == ending
    path = tmp_path / f"clip{ending}"
    found = clips.cut(video, 1.5, 2.6, path)
    assert found.start <= 1.5 and 2.6 - 1e-6 <= found.end <= 2.6 + 0.2
    clip = video_lib.open_video(path)
    assert clip.has_audio == video.has_audio
    assert clip.times[0] == pytest.approx(0, abs=0.05)
    begin = int(video_lib.number_at(video, found.start))
    images = video_lib.frames(clip, range(len(clip.times)), AS_SHOWN)
    whole = video_lib.frames(video, range(begin, begin + len(images)), AS_SHOWN)
    last = round((found.end - found.start) * 25)
    assert last - 2 <= len(images) <= last
    # Behind a gap at the end come frames that others refer to.
    same = round((2.6 - found.start) * 25)
    np.testing.assert_array_equal(images[:same], whole[:same])
    assert not [entry for entry in os.listdir(tmp_path) if entry.startswith(".")]


def test_sound_stays_with_its_pictures(tmp_path):
    path = videos.make_video(tmp_path / "a.mp4", 250, options=GROUPS, has_audio=True)
    video = video_lib.open_video(path)
    found = clips.cut(video, 5, 8, tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        sound = [packet for packet in container.demux(audio=0) if packet.size]
    begin = float(sound[0].pts * sound[0].time_base)
    end = float((sound[-1].pts + sound[-1].duration) * sound[-1].time_base)
    assert 0 <= begin < 0.1
    assert end == pytest.approx(found.end - found.start, abs=0.1)


def test_a_turned_video_gives_turned_clips(tmp_path):
    path = videos.make_video(tmp_path / "a.mp4", 30, rotation=90, options=GROUPS)
    video = video_lib.open_video(path)
    clips.cut(video, 0.6, 0.8, tmp_path / "clip.mp4")
    clip = video_lib.open_video(tmp_path / "clip.mp4")
    assert (clip.rotation, clip.width, clip.height) == (90, 48, 64)


def test_a_clip_can_be_all_of_a_video(tmp_path):
    video = video_lib.open_video(videos.make_video(tmp_path / "a.mp4", 10))
    found = clips.cut(video, 0, 1000, tmp_path / "clip.mkv")
    assert found == (0, pytest.approx(0.4))
    assert len(video_lib.open_video(tmp_path / "clip.mkv").times) == 10
    found = clips.cut(video, 0.2, 0.2001, tmp_path / "clip.mp4")
    assert found == (0, pytest.approx(0.24))


def test_what_cannot_be_cut_is_named(tmp_path):
    video = video_lib.open_video(videos.make_video(tmp_path / "a.mp4", 10))
    for start, end in ((0.2, 0.2), (0.4, 0.5), (-2, -1), (0, float("nan"))):
        with pytest.raises(ValueError, match="expected a part of 0 .. 0.400 s"):
            clips.cut(video, start, end, tmp_path / "clip.mp4")
    with pytest.raises(ValueError, match="expected a name in .mp4, "):
        clips.cut(video, 0, 1, tmp_path / "clip.gif")
    with pytest.raises(OSError):
        clips.cut(video, 0, 1, tmp_path / "none" / "clip.mp4")
    raw = video_lib.open_video(videos.make_video(tmp_path / "a.h264", 10))
    with pytest.raises(errors.InputError, match="frames without time stamps"):
        clips.cut(raw, 0, 1, tmp_path / "clip.mp4")
    path = videos.make_video(tmp_path / "a.webm", 10, codec="libvpx")
    video = video_lib.open_video(path)
    with pytest.raises(errors.InputError, match="cannot be copied into mp4"):
        clips.cut(video, 0, 1, tmp_path / "clip.mp4")
    assert not (tmp_path / "clip.mp4").exists()
