"""Video files: every frame in its time, the same however it is come by."""

import os
import pathlib
import pickle
import struct
import sys
import zlib
from fractions import Fraction

import numpy as np
import pytest

from cleannet_jax import errors

av = pytest.importorskip("av")

import videos

from cleannet_jax.features import video as video_lib

SHARED = pathlib.Path(__file__).parents[2] / "shared" / "data" / "video"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no shared videos")
AS_SHOWN = video_lib.Size()
SHORT_GROUPS = {"bf": "3", "g": "12"}
OPEN_GROUPS = {"bf": "3", "x264-params": "open-gop=1:keyint=12"}
# Keyframes that are none: pictures are refreshed column by column.
REFRESHED = {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}
QUICK = {"g": "10", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "10"}
JPEG = {"codec": "mjpeg", "pix_fmt": "yuvj420p"}


def all_frames(video, size=AS_SHOWN):
    return video_lib.frames(video, range(len(video.times)), size)


def difference(images, others):
    """Mean absolute difference of grey levels."""
    return np.abs(images.astype(int) - others).mean()


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("h264.mp4", {"options": SHORT_GROUPS}),
        ("h264.ts", {"options": SHORT_GROUPS}),
        ("open.mp4", {"options": OPEN_GROUPS}),
        ("open.ts", {"options": OPEN_GROUPS}),
        ("open.mkv", {"options": OPEN_GROUPS}),
        ("refreshed.ts", {"options": REFRESHED}),
        ("raw.h264", {"options": SHORT_GROUPS}),
        ("mpeg4.mp4", {"codec": "mpeg4", "options": {"bf": "2", "g": "10"}}),
        ("mpeg4.avi", {"codec": "mpeg4", "options": {"bf": "2", "g": "10"}}),
        ("mpeg2.mpg", {"codec": "mpeg2video", "options": {"bf": "2", "g": "10"}}),
        ("mpeg2.ts", {"codec": "mpeg2video", "options": {"bf": "2", "g": "10"}}),
        ("vp9.mkv", {"codec": "libvpx-vp9", "options": QUICK}),
        ("mjpeg.avi", JPEG),
    ],
)
def test_a_frame_is_the_same_alone_and_among_others(tmp_path, name, how):
    count = 90 if "open" in name else 50
    video = video_lib.open_video(videos.make_video(tmp_path / name, count, **how))
    first = 0.04 if name == "mpeg4.avi" else 0.0  # AVI has times of decoding only.
    np.testing.assert_allclose(video.times, first + np.arange(count) / 25, atol=1e-9)
    assert video.fps == pytest.approx(25)
    assert video.duration == pytest.approx(first + count / 25)
    images = all_frames(video)
    # Colours and order are those that were written, up to compression.
    written = videos.pictures(count)
    assert difference(images, written) < 6
    assert difference(images[1:], written[:-1]) > difference(images, written) + 1
    for number in range(count):
        alone = video_lib.frames(video, [number], AS_SHOWN)
        np.testing.assert_array_equal(alone[0], images[number], f"{number}")
    some = [0, 0, 7, 8, 30, 30, count - 1]
    found = video_lib.frames(video, some, AS_SHOWN)
    np.testing.assert_array_equal(found, images[some])


def test_frames_far_from_each_other_are_sought(tmp_path):
    path = videos.make_video(tmp_path / "a.mp4", 300, options=SHORT_GROUPS)
    video = video_lib.open_video(path)
    some = [2, 3, 100, 101, 299]
    np.testing.assert_array_equal(
        video_lib.frames(video, some, AS_SHOWN), all_frames(video)[some]
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_frames_of_a_variable_rate_are_in_their_times(tmp_path, name):
    times = [0, 40, 50, 200, 1000, 1010, 60_000]
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    path = videos.make_video(tmp_path / name, 7, times=times, codec=codec)
    video = video_lib.open_video(path)
    np.testing.assert_allclose(video.times, np.array(times) / 1000, atol=1e-9)
    assert video.fps == pytest.approx(6 / 60)
    asked = [-1, 0, 0.0399, 0.04, 0.049, 0.05, 1.0 - 1e-9, 5, 60, 1000]
    shown = [0, 0, 0, 1, 1, 2, 4, 5, 6, 6]
    np.testing.assert_array_equal(video_lib.number_at(video, asked), shown)
    assert len(all_frames(video)) == 7


def test_times_are_relative_to_the_start_of_the_container(tmp_path):
    # Sound begins first, pictures half a second after it.
    path = videos.make_video(
        tmp_path / "a.mkv", 5, times=[500, 540, 580, 620, 660], has_audio=True
    )
    video = video_lib.open_video(path)
    assert video.has_audio
    np.testing.assert_allclose(video.times, 0.5 + np.arange(5) / 25, atol=0.07)
    np.testing.assert_allclose(np.diff(video.times), 0.04, atol=1e-9)
    # A transport stream counts from anywhere.
    video = video_lib.open_video(videos.make_video(tmp_path / "a.ts", 5))
    assert video.times[0] == 0 and not video.has_audio


def test_frames_that_an_edit_list_drops_do_not_count(tmp_path):
    path = videos.make_video(
        tmp_path / "a.mp4", 10, times=np.arange(-4, 6) * 40, options={"bf": "0"}
    )
    video = video_lib.open_video(path)
    np.testing.assert_allclose(video.times, np.arange(6) / 25, atol=1e-9)
    assert difference(all_frames(video), videos.pictures(10)[4:]) < 6
    alone = video_lib.frames(video, [2], AS_SHOWN)
    np.testing.assert_array_equal(alone[0], all_frames(video)[2])


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_frames_are_turned_as_a_player_turns_them(tmp_path, rotation):
    path = videos.make_video(tmp_path / "a.mp4", 3, rotation=rotation)
    video = video_lib.open_video(path)
    turned = np.rot90(videos.pictures(3), rotation // 90, axes=(1, 2))
    assert video.rotation == rotation and not video.is_mirrored
    assert (video.height, video.width) == turned.shape[1:3]
    assert difference(all_frames(video), turned) < 6
    small = all_frames(video, video_lib.Size(24))
    assert small.shape[1:3] == ((32, 24) if rotation != 180 else (24, 32))


def test_frames_are_mirrored_where_the_file_says_so(tmp_path):
    path = tmp_path / "a.mp4"
    videos.make_video(path, 3, rotation=90, is_mirrored=True)
    video = video_lib.open_video(path)
    # PyAV mirrors after it turns.
    expected = np.rot90(videos.pictures(3), axes=(1, 2))[:, :, ::-1]
    assert video.is_mirrored and video.height == 64
    assert difference(all_frames(video), expected) < 6


def test_pixels_become_square(tmp_path):
    path = videos.make_video(tmp_path / "a.mp4", 2, aspect=Fraction(3, 2))
    video = video_lib.open_video(path)
    assert (video.width, video.height) == (96, 48)
    assert all_frames(video).shape == (2, 48, 96, 3)
    path = videos.make_video(tmp_path / "b.mp4", 2, aspect=Fraction(1, 1000))
    assert video_lib.open_video(path).width == 64


def test_frames_of_odd_sizes_are_scaled_and_cropped(tmp_path):
    path = videos.make_video(tmp_path / "a.avi", videos.pictures(3, 33, 17), **JPEG)
    video = video_lib.open_video(path)
    assert (video.width, video.height) == (33, 17)
    for size, shape in (
        (AS_SHOWN, (17, 33)),
        (video_lib.Size(8), (8, 16)),
        (video_lib.Size(34, crop=(31, 33)), (33, 31)),
        (video_lib.Size(exact=(340, 256), crop=(224, 224)), (224, 224)),
    ):
        images = all_frames(video, size)
        assert images.shape == (3, *shape, 3) and images.dtype == np.uint8
    whole = all_frames(video)
    crop = all_frames(video, video_lib.Size(crop=(11, 7)))
    np.testing.assert_array_equal(crop, whole[:, 5:12, 11:22])
    assert video_lib.frames(video, [], AS_SHOWN).shape == (0, 17, 33, 3)
    for size in (video_lib.Size(8, exact=(3, 3)), video_lib.Size(8, crop=(8, 9))):
        with pytest.raises(ValueError, match="expected"):
            all_frames(video, size)
    for numbers in ([2, 1], [-1], [3], [[0]]):
        with pytest.raises(ValueError, match="expected"):
            video_lib.frames(video, numbers, AS_SHOWN)


def test_scaling_averages_what_becomes_a_pixel(tmp_path):
    images = np.zeros((1, 64, 64, 3), np.uint8)
    images[:, ::2] = 254
    path = videos.make_video(tmp_path / "a.mp4", images, options={"qp": "0"})
    small = all_frames(video_lib.open_video(path), video_lib.Size(8))
    np.testing.assert_allclose(small[:, 1:-1, 1:-1], 127, atol=3)


def test_one_frame_is_a_video(tmp_path):
    video = video_lib.open_video(videos.make_video(tmp_path / "a.mp4", 1, fps=10))
    assert (video.times.tolist(), video.duration, video.fps) == ([0.0], 0.1, 10)
    assert len(all_frames(video)) == 1
    write_image(tmp_path / "a.png")
    video = video_lib.open_video(tmp_path / "a.png")
    assert (video.times.tolist(), video.duration) == ([0.0], 0.04)
    np.testing.assert_array_equal(all_frames(video)[0], videos.pictures(1)[0])


def write_image(path, width=64, height=48):
    """Writes a PNG image, as far as one of 64x48 goes."""

    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    rows = b"".join(b"\0" + row.tobytes() for row in videos.pictures(1)[0])
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b""))


def test_a_video_can_be_sent_to_another_process(tmp_path):
    video = video_lib.open_video(videos.make_video(tmp_path / "a.mp4", 5))
    copy = pickle.loads(pickle.dumps(video))
    np.testing.assert_array_equal(all_frames(copy), all_frames(video))
    error = video_lib.DamagedError("a.mp4: damaged", 1.5, 3.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.readable, copy.duration) == ("a.mp4: damaged", 1.5, 3.0)


def check_refused(path, message):
    with pytest.raises(errors.InputError, match=message) as caught:
        video_lib.open_video(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("garbage.mp4", np.random.default_rng(0).bytes(5000)),
        ("text.mp4", b"hello, world\n" * 200),
        ("text.txt", b"hello, world\n" * 200),
        ("box.mp4", struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0)),
        ("annotations.json", b'{"database": {}}'),
    ],
)
def test_what_is_no_video_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    check_refused(tmp_path / name, "found no video that can be read")


def test_what_is_no_file_is_named(tmp_path):
    check_refused(tmp_path / "none.mp4", "no such file")
    check_refused(tmp_path, "found a folder, expected a video file")
    os.mkfifo(tmp_path / "pipe.mp4")
    check_refused(tmp_path / "pipe.mp4", "found no regular file")
    check_refused("a\0b.mp4", "cannot be read")


@pytest.mark.parametrize(
    "path", ["http://localhost/a.mp4", "concat:a.mp4|b.mp4", "pipe:0", "file:a.mp4"]
)
def test_an_address_is_a_path(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    videos.make_video("a.mp4", 2)
    check_refused(path, "no such file")


def test_other_files_are_not_followed(tmp_path):
    video = videos.make_video(tmp_path / "a.mp4", 10)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
    session = (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    for name, text in (
        ("a.m3u8", playlist.format(video)),
        ("b.m3u8", playlist.format("a.mp4")),
        ("c.m3u8", playlist.format("http://localhost:1/a.mp4")),
        ("a.txt", f"ffconcat version 1.0\nfile a.mp4\nfile {video}\n"),
        ("a.sdp", session),
    ):
        (tmp_path / name).write_text(text)
        check_refused(tmp_path / name, "found no video that can be read")


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.mp2", "mp2")])
def test_audio_alone_is_named(tmp_path, name, codec):
    path = videos.make_sound(tmp_path / name, codec=codec)
    check_refused(path, "found audio only, expected a video stream")


def test_a_cover_is_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    videos.make_sound(path, has_cover=True)
    check_refused(path, "found audio and a cover only")


@pytest.mark.parametrize(("width", "height"), [(20_000, 4), (9000, 9000)])
def test_frames_of_absurd_sizes_are_refused(tmp_path, width, height):
    write_image(tmp_path / "a.png", width, height)
    check_refused(tmp_path / "a.png", "found frames of .* pixels")


def test_frames_are_not_made_absurd(tmp_path):
    path = videos.make_video(tmp_path / "a.avi", videos.pictures(1, 4096, 16), **JPEG)
    with pytest.raises(errors.InputError, match="would be scaled to 262144x1024"):
        all_frames(video_lib.open_video(path), video_lib.Size(1024))


def test_times_that_leap_are_refused(tmp_path):
    path = tmp_path / "a.mkv"
    videos.make_video(path, 4, times=[0, 40, 80, 86_400_000 * 900])
    check_refused(path, "times of frames that leap by 77760000 s, expected at")


def test_several_recordings_in_one_file_are_refused(tmp_path):
    path = videos.make_video(tmp_path / "a.ts", 50)
    path.write_bytes(path.read_bytes() * 2)
    check_refused(path, "found times of frames in no order, .* of one recording")


def test_a_single_wrong_time_is_found(tmp_path):
    source = videos.make_video(
        tmp_path / "a.avi", 20, codec="mpeg4", options={"g": "20"}
    )
    path = tmp_path / "a.mkv"
    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.pts += 900 * (packet.pts == 7)
                packet.stream = stream
                output.mux(packet)
    video = video_lib.open_video(path)
    with pytest.raises(video_lib.DamagedError, match="in no order of time"):
        all_frames(video)
    assert len(video_lib.frames(video, range(7), AS_SHOWN)) == 7


def test_two_frames_in_one_packet_are_told_apart(tmp_path):
    source = videos.make_video(
        tmp_path / "a.avi", 40, codec="mpeg4", options={"bf": "1", "g": "9"}
    )
    path = tmp_path / "packed.avi"
    packed, highest = [], -1
    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            content = bytes(packet)
            if packet.size and packet.pts < highest:
                # Two pictures in one packet, then one that says that it is not coded.
                packed[-1][0] += content
                # The bits: P, not coded, its time in 1/25 s.
                code = 0b0101_00000_10_01111 | (highest - 1) % 25 << 7
                packed.append([b"\0\0\1\xb6" + code.to_bytes(2, "big"), False])
            elif packet.size:
                if not packed:
                    user = b"\0\0\1\xb2DivX503b1393p"
                    content = content.replace(b"\0\0\1\xb3", user + b"\0\0\1\xb3", 1)
                packed.append([content, packet.is_keyframe])
                highest = packet.pts
        for number, (content, is_keyframe) in enumerate(packed):
            packet = av.Packet(content)
            packet.pts = packet.dts = number
            packet.time_base, packet.is_keyframe = Fraction(1, 25), is_keyframe
            packet.stream = stream
            output.mux(packet)
    video = video_lib.open_video(path)
    np.testing.assert_allclose(video.times, np.arange(40) / 25, atol=1e-9)
    images = all_frames(video)
    assert difference(images, videos.pictures(40)) < 6
    for number in range(0, 40, 3):
        alone = video_lib.frames(video, [number], AS_SHOWN)
        np.testing.assert_array_equal(alone[0], images[number])


def test_of_two_frames_in_one_time_one_counts(tmp_path):
    source = videos.make_video(tmp_path / "a.avi", 6, **JPEG)
    path = tmp_path / "a.mkv"
    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.pts = packet.dts = max(packet.dts - 1, packet.dts > 0)
                packet.stream = stream
                output.mux(packet)
    video = video_lib.open_video(path)
    np.testing.assert_allclose(video.times, np.arange(5) / 25, atol=1e-9)
    images = all_frames(video)
    assert difference(images, videos.pictures(6)[[0, 1, 3, 4, 5]]) < 6
    for number in range(5):
        alone = video_lib.frames(video, [number], AS_SHOWN)
        np.testing.assert_array_equal(alone[0], images[number])


def test_a_packet_without_a_picture_shows_the_frame_before(tmp_path):
    source = videos.make_video(tmp_path / "a.avi", 20, codec="mpeg4")
    path = tmp_path / "a.mkv"
    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                # An MPEG-4 picture that says that it is not coded, behind every one.
                empty = av.Packet(b"\0\0\1\xb6\x50\x4f")
                empty.pts = empty.dts = packet.pts * 40 + 20
                empty.time_base = Fraction(1, 1000)
                for each in (packet, empty):
                    each.stream = stream
                    output.mux(each)
    video = video_lib.open_video(path)
    np.testing.assert_allclose(video.times, np.arange(40) / 50, atol=1e-9)
    images = all_frames(video)
    np.testing.assert_array_equal(images[1::2], images[::2])
    assert difference(images[::2], videos.pictures(20)) < 6
    for number in range(40):
        alone = video_lib.frames(video, [number], AS_SHOWN)
        np.testing.assert_array_equal(alone[0], images[number])


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")],
)
def test_a_file_that_is_cut_short_is_named(tmp_path, name, codec):
    path = tmp_path / name
    # The index of an MP4 file in front, where a cut does not take it.
    fast = {"movflags": "faststart"} if name == "a.mp4" else {}
    videos.make_video(path, 250, codec=codec, container_options=fast)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    check_refused(path, r"cut short: found \d\.\d s, expected 10.0 s")
    with pytest.raises(video_lib.DamagedError) as caught:
        video_lib.open_video(path)
    assert 3 < caught.value.readable < 8 and caught.value.duration == 10


def test_longer_sound_is_no_cut(tmp_path):
    for name in ("a.mp4", "a.mkv"):
        path = tmp_path / name
        videos.make_video(path, 25, has_audio=True, sound_seconds=4.0)
        assert video_lib.open_video(path).duration == pytest.approx(1, abs=0.1)


@pytest.fixture
def damaged(tmp_path):
    """A video of 10 s with wrong bytes in its middle."""
    path = tmp_path / "damaged.mp4"
    videos.make_video(path, 250, options={"g": "25"})
    content = bytearray(path.read_bytes())
    middle = content.index(b"mdat") + (content.index(b"moov")) // 2
    content[middle : middle + 80] = np.random.default_rng(1).bytes(80)
    path.write_bytes(content)
    return video_lib.open_video(path)


def test_frames_that_would_be_made_up_are_refused(damaged):
    with pytest.raises(video_lib.DamagedError, match="damaged: found .* 10.0 s") as had:
        all_frames(damaged)
    assert 3 < had.value.readable < 7 and had.value.duration == 10
    assert str(had.value).startswith(damaged.path)
    # What is before it can be had, and what is after it too.
    readable = np.searchsorted(damaged.times, had.value.readable)
    assert len(video_lib.frames(damaged, range(readable), AS_SHOWN)) == readable
    with pytest.raises(video_lib.DamagedError):
        video_lib.frames(damaged, [readable], AS_SHOWN)
    assert len(video_lib.frames(damaged, [3, 249], AS_SHOWN)) == 2


def test_a_broadcast_may_begin_between_keyframes(tmp_path):
    path = videos.make_video(tmp_path / "a.ts", 60, options=OPEN_GROUPS)
    path.write_bytes(path.read_bytes()[188 * 20 :])
    video = video_lib.open_video(path)
    assert 40 < len(video.times) < 60 and video.times[0] > 0
    images = all_frames(video)
    assert difference(images, videos.pictures(60)[-len(images) :]) < 6
    for number in range(len(images)):
        alone = video_lib.frames(video, [number], AS_SHOWN)
        np.testing.assert_array_equal(alone[0], images[number])


def test_ffmpeg_prints_nothing(damaged, capfd):
    with pytest.raises(video_lib.DamagedError):
        all_frames(damaged)
    assert capfd.readouterr() == ("", "")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    check_refused(tmp_path / "a.mp4", r"pip install 'cleannet_jax\[video\]'")


@needs_shared
def test_real_videos_are_read():
    video = video_lib.open_video(SHARED / "v_GGSY1Qvo990.mp4")
    assert len(video.times) == 355 and round(video.duration, 1) == 18.1
    assert (video.width, video.height, video.has_audio) == (320, 240, True)
    video = video_lib.open_video(SHARED / "women_long_jump.mp4")
    size = video_lib.Size(64, crop=(56, 56))
    images = video_lib.frames(video, range(200, 240), size)
    alone = video_lib.frames(video, [231], size)
    np.testing.assert_array_equal(images[31], alone[0])


@needs_shared
def test_a_real_damaged_video_is_named():
    video = video_lib.open_video(SHARED / "corrupted.mp4")
    with pytest.raises(video_lib.DamagedError, match="corrupted.mp4: damaged") as had:
        all_frames(video, video_lib.Size(32))
    assert 0 < had.value.readable < had.value.duration == 5
