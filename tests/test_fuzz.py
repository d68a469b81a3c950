"""Every reader on whole files, on what broke one once, and on some damaged files."""

import pathlib

import pytest
from fuzz import corpus, harness, readers, seeds

CASES = [(name, case) for name, cases in corpus.CORPUS.items() for case in cases]


@pytest.fixture(autouse=True)
def a_slow_machine(monkeypatch):
    """Only what hangs may fail here: how long a reader takes is for the campaign."""
    monkeypatch.setattr(harness, "SECONDS", 60.0)


@pytest.mark.parametrize("name", readers.READERS)
def test_whole_files_are_read(tmp_path, name):
    ending, _ = readers.READERS[name]
    report = harness.run(name, seeds.all_seeds()[ending], tmp_path)
    assert not report.failure and report.inputs == len(seeds.all_seeds()[ending])
    # What is done with pickles ends with frames, which few of them hold.
    assert name == "pickle" or not report.refused


@pytest.mark.parametrize(("name", "case"), CASES, ids=map("-".join, CASES))
def test_what_broke_a_reader_once_is_refused(tmp_path, name, case):
    content = corpus.CORPUS[name][case]
    content = content if isinstance(content, bytes) else content()
    report = harness.run(name, [content], tmp_path)
    assert not report.failure and report.inputs == 1


@pytest.mark.parametrize("name", readers.READERS)
def test_damaged_files_break_no_limit(tmp_path, name):
    report = harness.run(name, harness.inputs(name, 0), tmp_path, most=400)
    assert not report.failure, f"{report.failure}: {report.content[:2000]!r}"


def test_the_harness_sees_what_breaks_a_limit(tmp_path, monkeypatch):
    def fail(path):
        raise KeyError(str(path))

    def write(path):
        pathlib.Path(path.parent, "other").write_text("x")

    def hang(path):
        while True:
            pass

    def hoard(path):
        return b"x" * (300 << 20)

    monkeypatch.setattr(harness, "SECONDS", 0.1)
    seed = seeds.all_seeds()[".npy"][0]
    expected = {fail: "KeyError", write: "opened", hang: "time", hoard: "memory"}
    for read, failure in expected.items():
        calls = iter([lambda path: None])  # The first input is not watched.
        monkeypatch.setitem(
            readers.READERS,
            "npy",
            (".npy", lambda path, calls=calls, read=read: next(calls, read)(path)),
        )
        assert failure in harness.run("npy", [seed], tmp_path).failure
