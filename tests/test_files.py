"""JSON files, whole and a member at a time, and the mistakes in them."""

import json
import os
import re
import resource
import time

import numpy as np
import pytest

from cleannet_jax import errors
from cleannet_jax.data import files
from cleannet_jax.data import text as text_lib
from cleannet_jax.data.detections import submission, table


@pytest.fixture(params=[1, 2, 3, 7, 1 << 22])
def chunk(request, monkeypatch):
    """Reads files in pieces of this many characters."""
    monkeypatch.setattr(files, "_CHUNK", request.param)


@pytest.fixture
def write(tmp_path):
    """Writes text or bytes and returns the path."""

    def write_text(text):
        path = tmp_path / "x.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_text


def members(path, key="results"):
    return list(files.iterate_json(path, key))


CONTENT = {
    "version": 1.25,
    "results": {"a": [{"b": [1, -2.5e3]}, 'c"}],{'], "é漢": {}, "n": 123456, "": None},
    "numbers": {"a": 1.5, "b": -2.5e-7, "c": 10**20, "d": 1e5, "e": True},
    "external_data": {"used": False, "details": ["results", {"results": {}}]},
}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("ascii", [True, False])
def test_members_are_those_of_the_whole(chunk, write, indent, ascii):
    path = write(json.dumps(CONTENT, indent=indent, ensure_ascii=ascii))
    assert members(path) == list(CONTENT["results"].items())
    assert members(path, "numbers") == list(CONTENT["numbers"].items())
    assert members(path, "external_data") == list(CONTENT["external_data"].items())
    assert files.read_json(path) == CONTENT


def test_byte_order_mark_and_line_ends(chunk, write):
    text = json.dumps(CONTENT, indent=2).replace("\n", "\r\n")
    path = write(b"\xef\xbb\xbf" + text.encode() + b"\r\n \t")
    assert members(path) == list(CONTENT["results"].items())
    assert files.read_json(path) == CONTENT


def test_members_come_before_the_mistake_behind_them(chunk, write):
    path = write('{"results": {"a": 1, "b": 2, "c": ]}}')
    found = []
    with pytest.raises(errors.InputError, match="line 1, column 35: not JSON"):
        for name, value in files.iterate_json(path, "results"):
            found.append((name, value))
    assert found == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: not JSON: Expecting value"),
        ("{", "not JSON: Expecting"),
        ('{"results": {"a": [1, 2', "line 1, column 24: not JSON: Expecting"),
        ('{"results": {"a": 1}', "line 1, column 21: not JSON: Expecting"),
        ('{"results":\n {"a" 1}}', "line 2, column 7: not JSON: Expecting"),
        ('{"results": {"a": 1,}}', "line 1, column 21: not JSON: Expecting"),
        ('{"results": {a: 1}}', "line 1, column 14: not JSON: Expecting"),
        ('{"results": {}} {}', "line 1, column 17: not JSON: Extra data"),
        ('{"results": {"a": "\n"}}', "line 1, column 20: not JSON: Invalid control"),
        ('{"results": {"a": 1, "a": 2}}', ": key 'a' stands twice in one object"),
        ('{"results": {}, "results": {}}', ": key 'results' stands twice in one obj"),
        ('{"results": {"a": [{"b": 1, "b": 2}]}}', ": key 'b' stands twice in one obj"),
        ('{"results": {"a": ' + "9" * 5000 + "}}", "Exceeds the limit (4300 digits)"),
        ('{"results": {"a": ' + "[" * 200_000 + "}}", ": JSON that is nested too deep"),
        (b'{"results": {"a": "\xff"}}', ": not UTF-8 text: invalid start byte"),
        (b"\x80\x04\x95", ": not UTF-8 text"),
        ('{"results": {"a": ' + "[" * 101 + "]" * 101 + "}}", "nested too deeply"),
    ],
)
def test_mistakes_are_one_line(chunk, write, text, message):
    path = write(text)
    for read in (members, files.read_json):
        with pytest.raises(errors.InputError) as caught:
            read(path)
        line = str(caught.value)
        assert line.startswith(f"{path}: ") and "\n" not in line and len(line) < 400
        assert message in line or read is files.read_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", ": expected an object with the key 'results', found [1]"),
        ('"x"', ": expected an object with the key 'results', found 'x'"),
        ("{}", ": expected the key 'results', found only []"),
        ('{"a": 1, "b": 2}', ": expected the key 'results', found only ['a', 'b']"),
        ('{"results": [1]}', ": results: expected an object from video ids, found [1]"),
    ],
)
def test_another_shape_is_named(chunk, write, text, message):
    with pytest.raises(errors.InputError) as caught:
        members(write(text))
    assert str(caught.value).endswith(message)


def test_absent_and_unreadable_files(tmp_path):
    for read in (members, files.read_json):
        with pytest.raises(errors.InputError, match="x.json: no such file"):
            read(tmp_path / "x.json")
        with pytest.raises(errors.InputError, match="Is a directory"):
            read(tmp_path)


def test_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        files.write_json(path, {"a": float("nan")})
    assert files.read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    path, place = tmp_path / "x.json", tmp_path / "folder"
    place.mkdir()
    lines = re.escape(f"File too large: '{path}'")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, resource.RLIM_INFINITY))
    try:
        with pytest.raises(OSError, match=lines):
            files.write_json(path, "x" * 100_000)
        # NumPy says nothing of the cause.
        with (
            pytest.raises(OSError, match=f"'{path}'"),
            files.open_atomic(path, "wb") as file,
        ):
            np.save(file, np.zeros(100_000))
    finally:
        limits = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    for name in (place, tmp_path / "absent" / "x.json"):
        with pytest.raises(OSError, match=f"'{name}'$"):
            files.write_json(name, 1)
    message = "x.json: .* half of a surrogate pair in .a.*ud800b"
    with (
        pytest.raises(errors.InputError, match=message),
        files.open_atomic(path) as file,
    ):
        file.write("a\ud800b")
    # What is raised about another file keeps its name.
    with pytest.raises(FileNotFoundError, match="other'"), files.open_atomic(path):
        (tmp_path / "other").read_text()
    assert os.listdir(tmp_path) == ["folder"]


def test_links_and_pipes_stay_what_they_are(tmp_path):
    place, link, pipe = (tmp_path / name for name in ("there/x", "link", "pipe"))
    place.parent.mkdir()
    link.symlink_to("there/x")
    for value in (1, 2):
        files.write_json(link, value)
        assert link.is_symlink() and files.read_json(place) == value
    assert os.listdir(place.parent) == ["x"]
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write_json(pipe, [1])
    assert os.read(reader, 100) == b"[\n 1\n]\n" and pipe.is_fifo()
    os.close(reader)


@pytest.mark.parametrize(
    "results", ['{"a": "x\\ud800y"}', '{"\\uDFFFa": 1}', '{"a": [[{"\\ude00": 1}]]}']
)
def test_halves_of_surrogate_pairs_are_refused_where_they_would_be_written(
    chunk, write, results
):
    path = write(f'{{"results": {results}}}')
    with pytest.raises(errors.InputError, match="x.json: .*half of a surrogate pair"):
        files.read_json(path)
    assert members(path) == list(json.loads(results).items())


def test_whole_surrogate_pairs_are_text(chunk, write):
    path = write('{"results": {"\\ud83d\\ude00": "\\\\ud800"}}')
    assert members(path) == [("\U0001f600", "\\ud800")]
    assert files.read_json(path) == {"results": {"\U0001f600": "\\ud800"}}


def test_a_key_that_stands_twice_is_found_among_many(write):
    names = [f"k{index}" for index in range(60_000)]
    path = write("{" + ",".join(f'"{name}":1' for name in [*names, names[-1]]) + "}")
    start = time.process_time()
    with pytest.raises(errors.InputError, match="key 'k59999' stands twice"):
        files.read_json(path)
    assert time.process_time() - start < 5


def test_messages_are_short(write):
    name = "a" * 1_000_000
    rows = [{"segment": [1, 0], "label": name, "score": 1}]
    for results in ({name: rows}, {name: [{}]}, {name: {name: name}}):
        path = write(json.dumps({"results": results}))
        for read in (submission.read_detections, submission.read_proposals):
            with pytest.raises(errors.InputError) as caught:
                read(path)
            assert len(str(caught.value)) < 400
    assert len(str(errors.InputError(name))) < 5000


def test_lines_and_records_have_an_end(write):
    path = write("video 0 1 2 " + "3" * 70_000)
    with pytest.raises(errors.InputError, match="line 1: found more than 65536 char"):
        list(text_lib.read_lines(path))
    path = write('video,label,start,end,score\n"' + "a\n" * 70_000)
    with pytest.raises(errors.InputError, match="a record of more than 65536 char"):
        table.read_detections(path)
