"""What a kill leaves in a folder, who is in it, and what is written there for good."""

import errno
import fcntl
import os
import pathlib
import subprocess
import sys

import pytest

from cleannet_jax import errors
from cleannet_jax.data import files, folders

WRITER = """
import os, signal, sys
from cleannet_jax.data import files
with files.open_atomic(sys.argv[1]) as file:
    file.write("half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return sorted(os.listdir(folder))


def test_what_a_killed_writer_leaves_goes_with_the_next_file(tmp_path):
    path = tmp_path / "found.json"
    subprocess.run([sys.executable, "-c", WRITER, str(path)], check=False)
    (left,) = names(tmp_path)
    assert left.startswith(".found.json.")
    # Another file's leftovers, and a person's own file, are not its business.
    (tmp_path / ".other.json.abcd1234").touch()
    (tmp_path / ".found.json.mine").touch()
    files.write_json(path, 1)
    assert names(tmp_path) == [
        ".found.json.mine",
        ".other.json.abcd1234",
        "found.json",
    ]


def test_a_file_that_is_being_written_stays(tmp_path):
    path = tmp_path / "found.json"
    with files.open_atomic(path) as file:
        file.write("first")
        with files.open_atomic(path) as other:
            other.write("second")
        assert len(names(tmp_path)) == 2
    assert path.read_text() == "first" and names(tmp_path) == ["found.json"]


def test_a_folder_with_nothing_but_a_beginning_is_new(tmp_path):
    assert folders.is_new(tmp_path / "absent") and folders.is_new(tmp_path)
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.json.abcd1234").touch()
    (tmp_path / "rgb").mkdir()
    (tmp_path / "rgb" / ".a.npy.abcd1234").touch()
    assert not folders.is_new(tmp_path)
    assert folders.is_new(tmp_path, own=["rgb"])
    (tmp_path / "rgb" / "a.npy").touch()
    assert not folders.is_new(tmp_path, own=["rgb"])


@pytest.mark.parametrize(
    "name", ["a.json", ".config.settings", ".lock.d", ".a.json.X-1"]
)
def test_a_person_s_file_is_no_beginning(tmp_path, name):
    (tmp_path / name).touch()
    assert not folders.is_new(tmp_path)
    folders.remove_remains(tmp_path)
    assert names(tmp_path) == [name]


def test_one_at_a_time(tmp_path):
    refused = pytest.raises(errors.InputError, match="another program is running in")
    with folders.locked(tmp_path), refused, folders.locked(tmp_path):
        pass
    assert names(tmp_path) == []
    # A lock that nobody holds, as a kill leaves it, is in nobody's way.
    (tmp_path / ".lock").touch()
    with folders.locked(tmp_path):
        pass
    assert names(tmp_path) == []


def test_a_lock_that_was_removed_in_between_is_not_taken(tmp_path, monkeypatch):
    real, calls = fcntl.flock, []

    def flock(handle, how):
        real(handle, how)
        calls.append(how)
        if len(calls) == 1:
            (tmp_path / ".lock").unlink()

    monkeypatch.setattr(fcntl, "flock", flock)
    with folders.locked(tmp_path):
        assert len(calls) == 2 and names(tmp_path) == [".lock"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP])
def test_without_locks_commands_go_on(tmp_path, monkeypatch, capsys, number):
    def flock(handle, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    folders._say_no_locks.cache_clear()
    for _ in range(2):
        with folders.locked(tmp_path):
            files.write_json(tmp_path / "a.json", 1)
    assert names(tmp_path) == ["a.json"]
    said = capsys.readouterr().out
    assert said.startswith("note: the file system has no locks (")
    assert said.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="names of handles")
def test_what_is_synced_and_when(tmp_path, monkeypatch):
    done, real, rename = [], os.fsync, os.replace

    def fsync(handle):
        done.append("sync " + pathlib.Path(f"/proc/self/fd/{handle}").resolve().name)
        real(handle)

    def replace(source, target):
        done.append(f"name {pathlib.Path(target).name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    files.write_json(tmp_path / "a.json", 1)
    with files.open_atomic(tmp_path / "b.npy", "wb", is_bulk=True):
        pass
    first, *rest = done
    assert first.startswith("sync .a.json.")
    assert rest[:2] == ["name a.json", f"sync {tmp_path.name}"]
    assert rest[2].startswith("sync .b.npy.") and rest[3:] == ["name b.npy"]


def test_a_digest_of_what_was_written(tmp_path):
    path = tmp_path / "a.json"
    value = {"é": (1, 2.5), "b": {"c": None}}
    files.write_checked_json(path, value)
    assert files.read_checked_json(path) == {"é": [1, 2.5], "b": {"c": None}}
    text = path.read_text()
    path.write_text(text.replace("2.5", "2.25"))
    with pytest.raises(errors.InputError, match="damaged, or changed by hand"):
        files.read_checked_json(path)
    # Files of versions that wrote none.
    files.write_json(path, value)
    assert files.read_checked_json(path)["b"] == {"c": None}
