"""The command `cleannet`: its table of programs, its options, its mistakes, a wheel."""

import json
import os
import pathlib
import subprocess
import sys

import programs
import pytest

import cleannet_jax
from cleannet_jax import config, errors, experiment, methods
from cleannet_jax.data import files
from cleannet_jax.programs import main, options, places

ROOT = pathlib.Path(__file__).parents[1]


def parse(*arguments):
    made = options.Parser("train", "")
    options.add_config(made)
    return options.read_config(made.parse_args(["--dataset", "thumos14", *arguments]))


def test_every_program_has_a_line_help_and_a_caller():
    done = programs.run("--help")
    assert done.returncode == 0
    for name, what in main.PROGRAMS.items():
        assert f"{name}  " in done.stdout and what in done.stdout
        helped = programs.run(name, "--help")
        assert helped.returncode == 0 and f"usage: cleannet {name} " in helped.stdout
        text = (ROOT / "bin" / f"{name.replace('-', '_')}.py").read_text()
        assert f'main.run("{name}")' in text and len(text.splitlines()) < 10


def test_version_and_a_misspelt_program():
    assert (
        programs.run("--version").stdout == f"cleannet_jax {cleannet_jax.__version__}\n"
    )
    done = programs.run("trian")
    assert done.returncode == 2 and "did you mean 'train'?" in done.stderr


def test_help_and_version_wait_for_no_package():
    code = (
        "import sys; from cleannet_jax.programs import main; main.main(['--help']);"
        " print([n for n in ('jax', 'numpy', 'flax') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("flag", ["--head-steps", "--head_steps"])
def test_dashes_and_underscores_are_the_same(flag):
    assert parse(flag, "7").head_steps == 7
    assert parse(f"{flag}=7").head_steps == 7


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], True),
        (["--joint"], True),
        (["--no-joint"], False),
        (["--no_joint"], False),
        (["--joint", "false"], False),
        (["--joint", "NO"], False),
        (["--joint=0"], False),
        (["--joint", "Yes"], True),
    ],
)
def test_a_switch_in_every_spelling(arguments, expected):
    assert parse(*arguments).joint is expected


def test_a_switch_before_a_file_takes_no_file():
    made = options.Parser("evaluate", "")
    made.add_argument("predictions")
    made.add_switch("--recall", help="")
    parsed = made.parse_args(["--recall", "found.json"])
    assert parsed.recall and parsed.predictions == "found.json"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--datset", "x"], "no option --datset: did you mean --dataset?"),
        (["--dataset", "thumos"], "did you mean 'thumos14'?"),
        (
            ["--dataset", "thumos14", "--joint=maybe"],
            "--joint: found 'maybe', expected",
        ),
        ([], "--dataset: found none, expected one of activitynet12, "),
        (["--config", "absent.json"], "--config: absent.json: no such file"),
    ],
)
def test_mistakes_are_one_line_and_2(arguments, message):
    done = programs.run("train", *arguments)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and message in done.stderr


def test_help_says_default_kind_and_unit():
    text = " ".join(programs.run("train", "--help").stdout.split())
    assert "length of stage 1 (whole number, batches; 500)" in text
    assert "config: stage 2, the generator" in text


def test_old_spellings_go_on_working():
    done = programs.run("train", "--dataset", "thumos14", "--variant", "x")
    assert done.returncode == 2 and "method: found 'x', expected one of" in done.stderr


def test_a_config_from_a_file(tmp_path):
    made = options.Parser("train", "")
    options.add_config(made)

    def read(path):
        return options.read_config(made.parse_args(["--config", str(path)]))

    python = tmp_path / "mine.py"
    python.write_text(
        "from cleannet_jax import config\n"
        "def get_config():\n    return config.Config(dataset='thumos14', steps=3)\n"
    )
    assert read(python).steps == 3
    fields = {"dataset": "thumos14", "anchor_sizes": [2, 4], "joint": False}
    for name, content in (("a.json", fields), ("config.json", {"config": fields})):
        (tmp_path / name).write_text(json.dumps(content))
        found = read(tmp_path / name)
        assert found.anchor_sizes == (2, 4) and found.joint is False
    # A run's own, changed by hand: its digest is not what counts here.
    content = files.with_digest({"config": fields}) | {"config": fields | {"seed": 7}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read(tmp_path / "config.json").seed == 7
    (tmp_path / "wrong.json").write_text(json.dumps({"stepz": 1}))
    with pytest.raises(errors.InputError, match="no field 'stepz'; did you mean 'step"):
        read(tmp_path / "wrong.json")


def test_a_scale_for_each_stream(feature_folder):
    options = ["--dataset", "thumos14", "--data", feature_folder]
    done = programs.run("train", *options, "--feature-scales", "1,2,3")
    assert done.returncode == 2
    assert "found 3 numbers, expected 2, one for each of rgb 6, flow 4" in done.stderr


def test_methods_have_their_names_back():
    for name in ("full", "t", "untrimmednet", "w_talc", "stpn+t", "plain_smoothed"):
        made = methods.apply(config.Config(), name)
        assert methods.name_of(made) == name
    assert methods.name_of(config.Config(tsn_sampling=False, joint=False)) == "simple"


def test_a_config_does_not_replace_the_manifest_of_the_data(feature_folder, capsys):
    made = options.Parser("train", "")
    options.add_config(made)
    arguments = ["--dataset", "sfinge3d", "--data", str(feature_folder)]
    assert options.read_config(made.parse_args(arguments)).manifest == ""
    assert "manifest.json describes the features, not" in capsys.readouterr().out
    named = options.read_config(made.parse_args([*arguments, "--manifest", "m.json"]))
    assert named.manifest == "m.json"


def test_a_run_is_named_for_its_data(
    feature_folder, tiny_config, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    dataset = experiment.open_dataset(tiny_config, str(feature_folder))

    class Parsed:
        out, data = None, str(feature_folder)

    folder = places.run_folder(Parsed, tiny_config, dataset, "full-seed0")
    assert folder == pathlib.Path("checkpoints/tiny-full-seed0")
    Parsed.data = None
    folder = places.run_folder(Parsed, tiny_config, dataset, "full-seed0")
    assert folder == pathlib.Path("checkpoints/tiny-full-seed0")


def test_train_table_and_localize_again(feature_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--head-steps", "2", "--steps", "2", "--generator-width", "4"]
    small += ["--tious", "0.5", "--anchor-sizes", "4", "--num-buckets", "1"]
    done = programs.run(
        "train", "--dataset", "thumos14", "--data", feature_folder, *small
    )
    assert done.returncode == 0, done.stderr
    run = tmp_path / "checkpoints" / "tiny-full-seed0"
    assert (run / "model.json").exists()
    # No terminal: no carriage return and no escape code.
    assert "\r" not in done.stderr and "\x1b" not in done.stderr
    # Both folders are moved; what the run needs of its old place is in it.
    run = run.rename(tmp_path / "elsewhere")
    data = feature_folder.rename(tmp_path / "renamed")
    out = tmp_path / "found.json"
    done = programs.run("localize", run, "--data", data, "--out", out)
    assert done.returncode == 0, done.stderr
    first = json.loads((run / "predictions" / "full.json").read_text())["results"]
    assert json.loads(out.read_text())["results"] == first
    table = programs.run("table", run, "--csv", tmp_path / "table.csv")
    assert table.returncode == 0 and "full" in table.stdout
    assert "map" in (tmp_path / "table.csv").read_text().splitlines()[0]
    again = programs.run(
        "train", "--config", run / "config.json", "--data", data, "--seed", "3"
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "checkpoints" / "tiny-full-seed3").is_dir()


def test_python_m_and_bin_are_the_command(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for command in (["-m", "cleannet_jax", "train"], [str(ROOT / "bin" / "train.py")]):
        done = subprocess.run(
            [sys.executable, *command, "--dataset", "kinetics"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("error: --dataset: found 'kinetics', expected")


INTERRUPT = """
import os, signal, sys, time
from cleannet_jax.programs import main

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            except BaseException:  # As packages do whose parts may be missing.
                pass

sys.meta_path.insert(0, Finder())
sys.exit(main.main({arguments!r}))
"""


@pytest.mark.parametrize("name", ["cleannet_jax.programs.train", "jax", "optax"])
def test_an_early_interrupt_is_one_line_and_130(name, tmp_path):
    arguments = ["train", "--dataset", "thumos14", "--out", str(tmp_path / "run")]
    code = INTERRUPT.format(name=name, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("stopped; ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


TERMINATE = """
import os, signal, sys, time
from cleannet_jax.programs import main, score

def run(parsed):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)

# As a shell starts what is in the background.
signal.signal(signal.SIGINT, signal.SIG_IGN)
score.run = run
code = main.main(["score", "--scp", ".", "--proposals", "p.json", "--out", "o.json"])
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
sys.exit(code)
"""


def test_a_request_to_end_is_one_line_and_143(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TERMINATE],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 143, done.stderr
    assert done.stderr == "stopped; nothing was written\n"


def test_an_interrupt_says_what_was_written(tmp_path, monkeypatch):
    out = tmp_path / "out.json"

    before, after = [], [lambda: out.write_text("{}")]

    def run(parsed):
        for write in written:
            write()
        raise KeyboardInterrupt

    monkeypatch.setattr("cleannet_jax.programs.score.run", run)
    command = ["score", "--scp", tmp_path, "--proposals", "p.json", "--out", out]
    for written, said in (  # noqa: B007
        (before, "nothing was written"),
        (after, f"written: {out}"),
    ):
        done = programs.run(*command)
        assert done.returncode == 130 and done.stderr == f"stopped; {said}\n"


def test_no_output_takes_the_place_of_an_input(feature_folder, tmp_path, monkeypatch):
    data = feature_folder
    monkeypatch.chdir(data)
    found = data / "found.json"
    found.write_text('{"version": "VERSION 1.3", "results": {}}')
    os.link(data / "manifest.json", tmp_path / "same.json")
    (data / "link.json").symlink_to("annotations.json")
    mark = options.DETECTIONS
    for name in (
        "annotations.json",
        "../data/annotations.json",
        "link.json",
        "manifest.json",
        "rgb/video00.npy",
        data / "convert_report.json",
    ):
        (data / "convert_report.json").write_text("{}")
        with pytest.raises(errors.InputError, match="--out: .* input of this command"):
            options.check_output("--out", str(name), str(data), mark=mark)
    with pytest.raises(errors.InputError, match="is an input of this command"):
        options.check_output("--out", str(tmp_path / "same.json"), "manifest.json")
    # What this command has written, a new name, and a file somewhere else.
    (tmp_path / "other.json").write_text("{}")
    for name in (found, data / "new.json", tmp_path / "other.json", None):
        options.check_output("--out", name and str(name), str(data), mark=mark)


def test_no_output_takes_the_place_of_what_links_lead_to(feature_folder, tmp_path):
    data, mark = feature_folder, options.DETECTIONS
    (tmp_path / "ann").mkdir()
    place = (data / "annotations.json").rename(tmp_path / "ann" / "anno.json")
    (data / "annotations.json").symlink_to(place)
    other = tmp_path / "ann" / "list.txt"
    other.write_text("video00 1 2 jump training\n")
    with pytest.raises(errors.InputError, match="in a folder that is an input of this"):
        options.check_output("--out", str(place), str(data), mark=mark)
    options.check_output("--out", str(other), str(data), mark=mark)
    (data / "more").symlink_to(tmp_path / "ann")
    with pytest.raises(errors.InputError, match="in a folder that is an input of this"):
        options.check_output("--out", str(other), str(data), mark=mark)


@pytest.mark.parametrize(
    ("name", "content", "is_ours"),
    [
        ("a.txt", "", True),
        ("a.txt", "video00 1.5 2e-05 7 0.5\nvideo01 1.0 2.0 7 0.5\n", True),
        ("a.txt", "video00 jump 1 2 training\n", False),
        ("a.txt", "video00 1 2 3 4\n", False),
        ("a.json", '{"results": {"database": [{"label": "database"}]}}', True),
        ("a.json", '{"details": "%s", "results": {}}' % ("x" * 70000), True),
        ("a.json", '{"results":{"a":[]}}', True),
        ("a.json", '{"version": {"results": 1}, "database": {}}', False),
        ("a.json", '["results", {"results": {}}]', False),
        ("a.json", '"results":', False),
    ],
)
def test_what_was_written_here_may_be_replaced(tmp_path, name, content, is_ours):
    path = tmp_path / name
    path.write_text(content)
    how = {"mark": options.DETECTIONS}
    if is_ours:
        options.check_output("--out", str(path), str(tmp_path), **how)
    else:
        with pytest.raises(errors.InputError, match="is nothing that it writes"):
            options.check_output("--out", str(path), str(tmp_path), **how)


def test_names_that_no_file_can_be_written_under_are_refused(tmp_path):
    with pytest.raises(errors.InputError, match="--out: found the folder .*, expected"):
        options.check_output("--out", str(tmp_path))
    with pytest.raises(errors.InputError, match="no usable path: ") as caught:
        options.check_output("--out", str(tmp_path / "a.json"), "a\0b")
    assert "\n" not in str(caught.value) and "\0" not in str(caught.value)


def test_localize_replaces_nothing_but_its_own(feature_folder, tmp_path):
    small = ["--head-steps", "1", "--steps", "1", "--generator-width", "4"]
    small += ["--tious", "0.5", "--anchor-sizes", "4", "--num-buckets", "1"]
    run, data = tmp_path / "run", feature_folder
    manifest = (data / "manifest.json").rename(tmp_path / "man.json")
    train = ["train", "--dataset", "thumos14", "--data", data, "--method", "plain"]
    train += ["--manifest", manifest]
    assert programs.run(*train, *small, "--out", run).returncode == 0
    scp, out = tmp_path / "scp", data / "found.json"
    for name in ("scp.json", ".scp.json"):
        done = programs.run("localize", run, "--scp", scp, "--out", scp / name)
        assert done.returncode == 2 and "is written by --scp" in done.stderr
        assert not scp.exists()
    for out in (
        data / "annotations.json",
        manifest,
        run / "model.json",
        run / "predictions" / "plain.json",
        run / "results" / "plain.json",
    ):
        before = out.read_bytes()
        done = programs.run("localize", run, "--out", out)
        assert done.returncode == 2 and "--out: " in done.stderr, out
        assert done.stderr.count("\n") == 1 and out.read_bytes() == before
    # SCPs that a kill has left half written are written anew; twice is the same.
    out = data / "found.json"
    command = ["localize", run, "--out", out, "--scp", scp]
    assert programs.run(*command).returncode == 0
    whole = {path: path.read_bytes() for path in [out, *scp.rglob("*.*")]}
    (scp / "scp.json").rename(scp / ".scp.json")
    next(scp.glob("*.npy")).unlink()
    (scp / ".lock").touch()
    (scp / "video" / ".a.npy.abcd1234").touch()
    assert programs.run(*command).returncode == 0
    assert {path: path.read_bytes() for path in [out, *scp.rglob("*.*")]} == whole
    assert not {path.name for path in scp.iterdir()} & {".lock", ".scp.json"}
