"""Several devices and several processes compute what one computes."""

import contextlib
import dataclasses
import importlib
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import programs
import pytest

from cleannet_jax import (
    distributed,
    errors,
    experiment,
    localize,
    logs,
    methods,
    runs,
    train,
)

HERE = pathlib.Path(__file__).parent
SCALE = HERE.parent / "docs" / "scale"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def slurm_job(number):
    """The variables that Slurm gives to so many processes of a job on this machine."""
    # JAX makes a port of a job's number: one is chosen whose port is free.
    for job in range(4096):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("", 61440 + job))
            break
    shared = {"SLURM_JOB_ID": str(job), "SLURM_STEP_NODELIST": "127.0.0.1"}
    for index in range(number):
        own = {name: str(index) for name in ("SLURM_PROCID", "SLURM_LOCALID")}
        yield shared | own | {"SLURM_NTASKS": str(number)}


def start(number, config, data, folder, *, scp=None, event=None, jobs=None):
    """Starts so many processes of one run; what each returned and printed."""
    coordinator = f"127.0.0.1:{free_port()}"
    commands = []
    for index in range(number):
        place = {"coordinator": coordinator, "num_processes": number}
        given = {
            "place": {"detect": True} if jobs else place | {"process_id": index},
            "config": dataclasses.asdict(config),
            "data": str(data),
            "folder": str(folder),
            "scp": scp and str(scp),
            "event": event,
        }
        commands.append([HERE / "one_of_several.py", json.dumps(given)])
    return run_all(commands, jobs)


def run_all(commands, environments=None):
    """Runs Python programs at the same time; what each returned and printed."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen([sys.executable, *command], env=os.environ | more, **pipes)
        for command, more in zip(
            commands, environments or itertools.repeat({}), strict=False
        )
    ]
    done = [process.communicate(timeout=240) for process in processes]
    return [
        (process.returncode, out, err)
        for process, (out, err) in zip(processes, done, strict=True)
    ]


@pytest.fixture
def plain(tiny_config):
    """Stage 1 alone: what is compiled is little."""
    made = methods.apply(tiny_config, "plain")
    return dataclasses.replace(made, batch_size=4, head_steps=12, log_every=1)


def assert_near(params, folder, *, rtol=1e-5, atol=1e-6):
    """Parameters are those in a run's folder, up to float32's rounding."""
    pairs = jax.tree.map(lambda *pair: pair, params, runs.read_params(folder))
    for one, other in jax.tree.leaves(pairs, is_leaf=lambda x: isinstance(x, tuple)):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def steps_of(folder):
    return [line["step"] for line in logs.read_metrics(folder, "head")]


def files_of(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_two_processes_compute_as_one(plain, feature_folder, tmp_path):
    folder, scp = tmp_path / "two", tmp_path / "scp"
    done = start(2, plain, feature_folder, folder, scp=scp)
    assert [code for code, _, _ in done] == [0, 0], done
    assert "2 rows" in done[0][1] and "detections" in done[0][1]
    # The others are silent.
    assert done[1][1:] == ("", "")
    alone = tmp_path / "one"
    experiment.train_and_evaluate(plain, "plain", str(feature_folder), alone)
    assert_near(runs.read_params(alone), folder)
    assert runs.read_model(folder) == runs.read_model(alone)
    assert steps_of(folder) == steps_of(alone)
    # SCPs of the same parameters are the same, but for how programs compiled apart round.
    dataset = experiment.open_dataset(plain, str(feature_folder))
    params = experiment.restore(folder, runs.read_description(folder))
    model = localize.Model(plain, params)
    localize.localize([model], dataset, dataset.ids, scp=tmp_path / "own")
    paths = sorted(path.relative_to(scp) for path in scp.rglob("*.npy"))
    assert len(paths) == 3 * len(dataset.ids)
    for path in paths:
        own = np.load(tmp_path / "own" / path)
        np.testing.assert_allclose(np.load(scp / path), own, atol=1e-6)


def test_a_failure_ends_all_and_names_the_process(plain, feature_folder, tmp_path):
    # Here it is the cluster that says who is who.
    jobs, event = list(slurm_job(2)), ("fail", 1, 3)
    folder = tmp_path / "run"
    done = start(2, plain, feature_folder, folder, event=event, jobs=jobs)
    reason = "video7.npy: found 3 columns, expected 4"
    assert [code for code, _, _ in done] == [2, 2]
    assert done[1][2] == f"error: {reason}\n"
    last = done[0][2].splitlines()[-1]
    assert (
        last == f"error: process 1 (of 0 to 1) has failed: {reason}; every process ends"
    )


@pytest.mark.once
def test_killed_stopped_and_gone_on_with_by_fewer(plain, feature_folder, tmp_path):
    folder, other = tmp_path / "run", tmp_path / "other"
    done = start(4, plain, feature_folder, folder, event=("kill", 2, 5))
    assert [code for code, _, _ in done] == [2, 2, -9, 2]
    named = "error: process 2 (of 0 to 3) is gone; every process ends"
    for index in (0, 1, 3):
        assert done[index][2].splitlines()[-1] == named
    assert not (folder / "model.npz").exists()
    shutil.copytree(folder, other)
    done = start(2, plain, feature_folder, folder)
    assert [code for code, _, _ in done] == [0, 0], done
    assert steps_of(folder) == list(range(1, 13))
    # All stop where one is asked to; how far that is does not matter in the end.
    done = start(2, plain, feature_folder, other, event=("stop", 1, 3))
    assert [code for code, _, _ in done] == [143, 143]
    assert len({err.splitlines()[-1] for _, _, err in done}) == 1
    assert "stopped after step" in done[0][2]
    done = start(2, plain, feature_folder, other)
    assert [code for code, _, _ in done] == [0, 0], done
    for name in ("model.npz", "metrics.jsonl"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()
    # One process reads what several have saved, and has nothing left to do.
    dataset = experiment.open_dataset(plain, str(feature_folder))
    _, params = train.train(plain, dataset, folder)
    assert_near(params, folder, rtol=0, atol=0)
    _, params = train.train(plain, dataset, tmp_path / "one")
    assert_near(params, folder)


@pytest.mark.once
def test_two_processes_extract_as_one(tmp_path):
    pytest.importorskip("av", reason="no PyAV")
    import videos as make

    (tmp_path / "videos").mkdir()
    for name, frames in (("a", 50), ("b", 75), ("c", 30)):
        make.make_video(tmp_path / f"videos/{name}.mp4", frames)
    (tmp_path / "videos" / "d.mp4").write_text("no video")
    task = ["extract", str(tmp_path / "videos"), "--backbone", "blocks", "--workers=1"]
    coordinator = f"--coordinator=127.0.0.1:{free_port()}"
    several = tmp_path / "several" / "out"
    done = run_all(
        [
            *("-m", "cleannet_jax", *task, "--to", str(several)),
            *(coordinator, "--num-processes=2", f"--process-id={index}"),
        ]
        for index in range(2)
    )
    # One video is left out, which all say by how they end, and process 0 in words.
    assert [code for code, _, _ in done] == [1, 1], done
    assert "3 videos (3 now, 0 before)" in done[0][1]
    assert done[1][1:] == ("", "")
    alone = tmp_path / "alone" / "out"
    assert programs.run(*task, "--to", alone).returncode == 1
    assert files_of(several) == files_of(alone)


def test_one_process_alone_waits_for_nobody():
    with distributed.started(num_processes=1, coordinator="here:1", process_id=0):
        assert (distributed.index(), distributed.count()) == (0, 1)
        assert distributed.told(lambda: {"a": [1, None]}) == {"a": [1, None]}
        assert distributed.gathered(b"mine") == [b"mine"]
        assert distributed.highest(3) == 3
        distributed.wait()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_processes": 2, "process_id": 0}, "--coordinator: found none, expected"),
        ({"coordinator": "a:1", "num_processes": 2}, "--process-id: found none"),
        ({"coordinator": "a", "num_processes": 2, "process_id": 0}, "found 'a', expec"),
        ({"coordinator": "a:1", "num_processes": 2, "process_id": 2}, "found 2, expec"),
        ({"coordinator": "a:1", "num_processes": 0, "process_id": 0}, "found 0, expec"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with (
        pytest.raises(errors.InputError, match=message),
        distributed.started(**options),
    ):
        pass


def test_a_batch_that_processes_cannot_share_is_refused(plain, monkeypatch):
    monkeypatch.setattr(distributed, "count", lambda: 3)
    with pytest.raises(
        errors.InputError, match="batch_size: found 4 videos with 3 pro"
    ):
        train.check_devices(plain)


@pytest.mark.once
def test_devices_compute_as_one(feature_folder, tmp_path):
    done = subprocess.run(
        [sys.executable, HERE / "many_devices.py", feature_folder, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert {name for name, own in found.items() if own["devices"] == 8}
    for name, own in found.items():
        assert own["difference"] < 1e-5, name
        # Gradients are averaged, and nothing else is sent, but where videos are compared.
        if own["devices"] > 1 and "w_talc" not in name:
            assert own["sent"] == ["all-reduce"], name


def parsed(command):
    """The values of the options of a command of ours."""
    name, program, *arguments = command
    assert name == "cleannet"
    module = importlib.import_module(f"cleannet_jax.programs.{program}")
    return module.parser().parse_args(arguments)


def test_slurm_file():
    text = (SCALE / "slurm.sh").read_text()
    done = subprocess.run(["bash", "-n", SCALE / "slurm.sh"], check=False)
    assert done.returncode == 0
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", text, re.MULTILINE))
    processes = int(options["nodes"]) * int(options["ntasks-per-node"])
    # JAX takes the GPU of a task's number, so that each task has to see them all.
    assert options["gpu-bind"] == "none"
    (line,) = re.findall(r"^srun .*?(cleannet .*) && exit$", text, re.MULTILINE)
    found = parsed(shlex.split(line))
    assert found.distributed and int(found.batch_size) % processes == 0


def test_kubernetes_file():
    yaml = pytest.importorskip("yaml", reason="no PyYAML")
    text = (SCALE / "kubernetes.yaml").read_text()
    service, job = yaml.safe_load_all(text)
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for process in range(spec["completions"]):
        arguments = [a.replace("$(PROCESS)", str(process)) for a in container["args"]]
        found = parsed([*container["command"], *arguments])
        assert found.process_id == process
    assert found.num_processes == spec["completions"] == spec["parallelism"]
    assert int(found.batch_size) % found.num_processes == 0
    # Process 0 is found by the name that the service gives to its pod.
    names = job["metadata"]["name"], pod["subdomain"]
    assert found.coordinator.startswith(f"{names[0]}-0.{names[1]}:")
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert [entry["name"] for entry in container["env"]] == ["PROCESS"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
