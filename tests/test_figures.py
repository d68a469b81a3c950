"""Figures for print, looked at through their files and what is in them."""

import dataclasses
import itertools
import json
import math
import re
import sys
import types
from xml.etree import ElementTree

import numpy as np
import programs
import pytest
import videos as make

from cleannet_jax import config, errors, evaluate
from cleannet_jax.metrics import average_precision, diagnosis
from cleannet_jax.pages import gather, printed, signals
from cleannet_jax.report import drawing, figures

pytest.importorskip("matplotlib", reason="needs matplotlib")

STARTS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
TIOUS = (0.3, 0.5, 0.7)
HOSTILE = ["<script>", "$x^2$ {", "a\nb", "\u202eesrever", "é 🏊", "x" * 10_000]


def results(*names):
    return [
        figures.Result(name, TIOUS, (50.0 - index, 30.0, math.nan, 40.0))
        for index, name in enumerate(names)
    ]


def found(fill=0.25, *, missed=0.5, names=("length", "coverage", "instances")):
    """A diagnosis at two thresholds."""
    edges = {name: (1.0, 2.0, 3.0, 4.0, np.inf) for name in names}
    edges |= {"instances": (1.0, 4.0, 8.0, np.inf)} if "instances" in names else {}
    characteristics = {
        name: diagnosis.Characteristic(
            own,
            np.full(len(own), 3),
            0,
            np.full((2, len(own)), fill),
            np.full((2, len(own)), missed),
        )
        for name, own in edges.items()
    }
    counts = np.ones((2, diagnosis.MULTIPLES, len(diagnosis.TYPES)), int)
    return diagnosis.Diagnosis(
        tious=np.array([0.5, 0.7]),
        counts=counts,
        map=np.full(2, fill),
        impact=np.full((2, 5), fill),
        map_n=np.full(2, fill),
        characteristics=characteristics,
    )


def lines(count=20, **more):
    return [
        {"step": step, "stage": "head" if step < 15 else "full", "loss": 1 / step}
        | more
        for step in range(1, count + 1)
    ]


DRAWN = {
    "table": lambda path, **o: figures.draw_table(path, results("a", "b"), **o),
    "errors": lambda path, **o: figures.draw_errors(path, found(), **o),
    "curves": lambda path, **o: figures.draw_curves(path, {"a": lines()}, **o),
}


def captured(monkeypatch, draw, *arguments, **options):
    """The figure that would have been written."""
    kept = []

    def save(path, make, *, style, dots):
        font = drawing.Font()
        with drawing.styled(style, font):
            kept.append(make(font))

    monkeypatch.setattr(drawing, "save", save)
    draw("x.pdf", *arguments, **options)
    return kept[0]


def texts(figure):
    own = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        own += [text.get_text() for text in axes.texts]
        own += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
    return own


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("table", ".png"), ("curves", ".svg"), *((kind, ".pdf") for kind in DRAWN)],
)
def test_files_are_of_their_kind_and_the_same_again(tmp_path, kind, ending):
    for name in ("a", "b"):
        DRAWN[kind](tmp_path / f"{name}{ending}", note="of generated data")
    first, second = ((tmp_path / f"{name}{ending}").read_bytes() for name in "ab")
    assert first.startswith(STARTS[ending]) and first == second
    assert len(list(tmp_path.iterdir())) == 2
    if ending == ".pdf":
        assert b"/FontFile2" in first and b"/Type3" not in first
    if ending == ".png":
        assert int.from_bytes(first[16:20], "big") == round(drawing.COLUMN * 300)
    if ending == ".svg":
        root = ElementTree.fromstring(first)
        assert root.get("width") == f"{drawing.COLUMN * 72:.6g}pt"
        assert not list(root.iter("{http://www.w3.org/2000/svg}text"))


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match=r"a.jpg: found the ending '.jpg'"):
        DRAWN["table"](tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


def test_a_table_has_its_numbers_and_the_best_in_bold(monkeypatch):
    rows = results("ours", "theirs")
    rows[0] = rows[0]._replace(
        low=(48.0, 27.0, 0.0, 38.0), high=(51.0, 32.0, 0.0, 41.0)
    )
    figure = captured(monkeypatch, figures.draw_table, rows, note="THUMOS14")
    shown = texts(figure)
    assert shown.count("30.0") == 2 and shown.count("–") == 2
    assert {"0.3", "0.5", "0.7", "mean", "ours", "theirs"} <= set(shown)
    assert "±: half of a 95% interval; THUMOS14" in shown
    assert shown.count("±1.5") == 2 and "±2.5" in shown
    bold = [t.get_text() for t in figure.texts if t.get_weight() == "bold"]
    assert bold == ["50.0", "30.0", "40.0", "30.0", "40.0"]


@pytest.mark.parametrize("count", [1, 7, 10])
def test_a_table_fits_its_column(monkeypatch, count):
    tious = tuple(np.linspace(0.5, 0.95, count).round(2).tolist())
    rows = [figures.Result(name, tious, (88.8,) * (count + 1)) for name in HOSTILE]
    figure = captured(monkeypatch, figures.draw_table, rows)
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
    assert all(-1 <= b.x0 and b.x1 <= width + 1 for b in boxes)
    assert all(-1 <= b.y0 and b.y1 <= height + 1 for b in boxes)
    # None over another.
    for index, box in enumerate(boxes):
        for other in boxes[index + 1 :]:
            apart = box.x1 <= other.x0 or other.x1 <= box.x0
            assert apart or box.y1 <= other.y0 + 2 or other.y1 <= box.y0 + 2
    assert "\u202e" not in "".join(texts(figure))
    # Rules, like all else, keep off the edges.
    ends = [end for line in figure.artists for end in line.get_xdata()]
    assert 0 < min(ends) < 0.05 and 0.95 < max(ends) < 1


def test_what_names_leave_is_between_all_columns(monkeypatch):
    figure = captured(monkeypatch, figures.draw_table, results("a"))
    heads = {text.get_text(): text.get_window_extent() for text in figure.texts}
    order = [heads[name] for name in ("a", "0.3", "0.5", "0.7", "mean")]
    gaps = [right.x0 - left.x1 for left, right in itertools.pairwise(order)]
    assert max(gaps) < 1.5 * min(gaps)


def test_results_at_other_thresholds_are_not_mixed(tmp_path):
    rows = [*results("a"), figures.Result("b", (0.5,), (1.0, 1.0))]
    for given in (rows, []):
        with pytest.raises(errors.InputError, match="expected results at the same"):
            figures.draw_table(tmp_path / "a.pdf", given)


def test_rows_come_from_reports():
    result = average_precision.AveragePrecision(
        ("a",), np.array(TIOUS), np.array([[1.0], [0.5], [0.0]]), np.array([1])
    )
    confidence = evaluate.Confidence(10, 0, np.zeros(4), np.full(4, 0.5))
    report = types.SimpleNamespace(result=result, confidence=confidence)
    row = figures.of_report("mine", report)
    assert row.tious == TIOUS and row.map == (100.0, 50.0, 0.0, 50.0)
    assert row.low == (0.0,) * 4 and row.high == (50.0,) * 4
    report.confidence = None
    assert figures.of_report("mine", report).low == ()


def test_errors_are_shown_with_names_and_numbers(monkeypatch):
    figure = captured(monkeypatch, figures.draw_errors, found())
    profile, gains, missed, sensitivity = figure.axes
    shares = [bar.get_height() for bar in profile.patches]
    np.testing.assert_allclose(shares, 100 / 6)
    names = [text.get_text() for text in profile.get_legend().get_texts()]
    assert names == list(diagnosis.TYPES[::-1])
    hatched = {(p.get_facecolor(), p.get_hatch()) for p in profile.patches}
    assert len(hatched) == len(diagnosis.TYPES)
    assert [bar.get_width() for bar in gains.patches] == [25.0] * 5
    assert len(missed.patches) == 14 and missed.patches[0].get_height() == 25.0
    assert "25.0" in sensitivity.get_title(loc="left")
    # No number is where a line may be.
    inside = sensitivity.get_window_extent()
    numbers = [text for text in sensitivity.texts if text.get_text() == "50"]
    assert len(numbers) == 14
    assert all(text.get_window_extent().y0 > inside.y1 for text in numbers)
    assert [t.get_text() for t in missed.texts if t.get_text() == "length"]


@pytest.mark.parametrize("names", [("length", "instances"), ("instances",), ()])
def test_errors_of_nothing_are_drawn(tmp_path, names):
    nothing = found(np.nan, names=names)
    nothing.counts[:] = 0
    figures.draw_errors(tmp_path / "a.svg", nothing, note="nothing")
    assert (tmp_path / "a.svg").stat().st_size > 1000


def test_curves_have_a_panel_a_metric_the_loss_first(monkeypatch):
    runs_of = {"a": lines(rgb=1.0), "b": lines(12), "c": lines(1)}
    figure = captured(monkeypatch, figures.draw_curves, runs_of, note="n")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["loss", "rgb", "loss", "rgb"]
    steps = [axes.get_xlabel() for axes in figure.axes]
    assert steps == ["step of stage 1"] * 2 + ["step of full"] * 2
    first = figure.axes[0].lines
    assert len(first) == 3 and len({line.get_linestyle() for line in first}) > 1
    np.testing.assert_allclose(first[0].get_ydata(), 1 / np.arange(1, 15))
    assert {"a", "b", "c", "n"} <= set(texts(figure))


def test_long_curves_are_means_and_bands_and_what_is_not_finite_is_marked(monkeypatch):
    rows = [{"step": n, "stage": "s", "loss": n % 2} for n in range(10_000)]
    rows[500]["loss"], rows[501]["loss"] = math.nan, math.inf
    figure = captured(monkeypatch, figures.draw_curves, {"a": rows})
    (axes,) = figure.axes
    lost, curve = axes.lines
    assert lost.get_xdata().tolist() == [500, 501]
    assert len(curve.get_xdata()) == 160
    np.testing.assert_allclose(curve.get_ydata(), 0.5, atol=0.02)
    assert len(axes.collections) == 1


def test_many_metrics_keep_the_losses(monkeypatch):
    rows = [
        {"step": 1, "stage": f"stage {n}", "loss": 1.0}
        | {f"part {m}": 1.0 for m in range(9)}
        for n in range(3)
    ]
    figure = captured(monkeypatch, figures.draw_curves, {"a": rows})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert len(titles) == 8 and titles.count("loss") == 3


def test_metrics_have_names_in_words(monkeypatch):
    rows = [{"step": 1, "stage": "cleannet", "regression": 1.0, "gradient_norm": 1.0}]
    figure = captured(monkeypatch, figures.draw_curves, {"a": rows})
    titles = {axes.get_title(loc="left") for axes in figure.axes}
    assert titles == {"contrast loss", "gradient norm"}


def test_curves_of_nothing_are_refused(tmp_path):
    for given in ({}, {"a": []}):
        with pytest.raises(errors.InputError, match="found no metrics"):
            figures.draw_curves(tmp_path / "a.pdf", given)


def test_hostile_names_are_drawn(tmp_path):
    figures.draw_table(tmp_path / "a.pdf", results(*HOSTILE), note=HOSTILE[3])
    curves = dict.fromkeys(HOSTILE, lines(3))
    figures.draw_curves(tmp_path / "b.svg", curves, note=HOSTILE[5])
    assert drawing.Font().shown("a\u202eb\n$c$", 40) == "ab $c$"


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.font_manager", None)
    with pytest.raises(errors.InputError, match="found no matplotlib, expected it"):
        DRAWN["table"](tmp_path / "a.pdf")


VIDEO = {"subset": "validation", "duration": 20.0}
FOUND = [
    {"label": "jump", "segment": [1.0, 5.0], "score": 0.9},
    {"label": "sit", "segment": [9.0, 12.0], "score": 0.4},
]


@pytest.fixture
def detected(tmp_path):
    """Files of detections and of annotations; a video has the name of a figure."""
    instances = [
        {"label": label, "segment": [start, start + 3.5]}
        for label, start in (("jump", 1.5), ("sit", 15.0))
    ]
    videos = {name: {**VIDEO, "annotations": instances} for name in ("table", "vid_1")}
    (tmp_path / "truth.json").write_text(json.dumps({"database": videos}))
    found = {"results": {name: FOUND for name in videos}}
    (tmp_path / "found.json").write_text(json.dumps(found))
    return tmp_path / "found.json", "--ground-truth", tmp_path / "truth.json"


def words(path):
    """The texts of an SVG, which matplotlib notes beside their outlines."""
    return re.findall("<!-- (.*?) -->", path.read_text())


def test_a_video_is_drawn_of_detections_alone(detected, tmp_path):
    out = tmp_path / "a.svg"
    done = programs.run("report", *detected, "--figure", "vid_1", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "note: found.json: no SCP of this video to show" in done.stdout
    found = words(out)
    assert {"vid_1", "jump", "sit", ".90", ".40", "annotated"} <= set(found)
    assert "0:20, 2 detections" in found and "SCP" not in found


def test_a_video_may_have_the_name_of_a_figure(detected, tmp_path):
    out = tmp_path / "a.svg"
    for named, first in (("table", "mAP (%) at tIoU"), ("video:table", "table")):
        done = programs.run("report", *detected, "--figure", named, "--out", out)
        assert done.returncode == 0, done.stderr
        assert words(out)[0] == first or first in words(out)
    assert "0:20, 2 detections" in words(out)


@pytest.mark.parametrize(
    ("given", "near"),
    [("vid_2", "'vid_1'"), ("curve", "'curves'"), ("\n\x1b", "'table'")],
)
def test_of_an_unknown_video_near_names_are_told(detected, tmp_path, given, near):
    out = tmp_path / "a.svg"
    done = programs.run("report", *detected, "--figure", given, "--out", out)
    assert done.returncode == 2 and not out.exists()
    assert done.stderr.startswith(
        f"error: --figure: found no video {given!r} among the"
    )
    assert near in done.stderr and done.stderr.count("\n") == 1


def test_frames_are_above_where_the_video_is_at_hand(detected, tmp_path):
    pytest.importorskip("av", reason="reads videos")
    out, folder = tmp_path / "a.svg", tmp_path / "videos"
    folder.mkdir()
    asked = ("--figure", "vid_1", "--out", out, "--videos", folder)
    make.make_video(folder / "other.mp4", make.pictures(4), fps=2)
    done = programs.run("report", *detected, *asked)
    assert done.returncode == 0, done.stderr
    assert "no frames are shown: no file of this video" in done.stdout
    assert "<image" not in out.read_text()
    make.make_video(folder / "vid_1.mp4", make.pictures(40), fps=2)
    done = programs.run("report", *detected, *asked)
    assert done.returncode == 0, done.stderr
    assert "no frames" not in done.stdout and "<image" in out.read_text()


def with_signals(monkeypatch, detected, *, has=lambda entry: True, likely=True):
    """What was gathered of a file twice, as if of runs, and what they say."""
    found, _, truth = detected
    rules = gather.Rules(tious=(0.5,))
    once = gather.gather([found], rules=rules, ground_truth=truth, intervals=False)
    made = types.SimpleNamespace(config=config.Config(min_scp=0.2, min_attention=0.5))
    entries = [
        dataclasses.replace(
            once.entries[0], name=name, model=made if has(name) else None
        )
        for name in ("one", "two")
    ]
    said = signals.Signals(
        categories=("jump", "sit"),
        times=np.arange(5) * 5.0,
        scp=np.full((4, 2), 0.7),
        edgeness=np.zeros((4, 2)),
        attention=np.full(4, 2.0),
        video_scores=np.ones(2),
        likely=np.ones((4, 2), bool) if likely else None,
        is_chosen=np.ones(2, bool),
        proposals=(),
        proposal_scores=(),
        parts=(),
    )
    monkeypatch.setattr(printed.signals_lib, "signals", lambda *arguments: said)
    return dataclasses.replace(once, entries=tuple(entries))


def test_a_video_has_the_bars_of_all_runs_and_the_scp_of_the_first(
    monkeypatch, detected
):
    material = with_signals(monkeypatch, detected)
    drawn, gaps = printed.picture_of(material, "vid_1", most=2)
    assert (drawn.title, drawn.duration, gaps) == ("vid_1", 20.0, [])
    assert drawn.truth == [("jump", 1.5, 5.0), ("sit", 15.0, 18.5)]
    assert drawn.name == "one" and [name for name, _ in drawn.others] == ["two"]
    assert drawn.detections == drawn.others[0][1]
    assert drawn.detections[0] == ("jump", 1.0, 5.0, 0.9)
    assert (drawn.scp_threshold, drawn.attention_threshold) == (0.2, 0.5)
    assert drawn.note == "SCP, edgeness, attention: one"
    np.testing.assert_array_equal(drawn.times, np.arange(5) * 5.0)


def test_thresholds_and_scp_are_shown_where_there_are_some(monkeypatch, detected):
    second = with_signals(monkeypatch, detected, has=lambda name: name == "two")
    drawn, gaps = printed.picture_of(second, "vid_1", most=2)
    assert drawn.note == "SCP, edgeness, attention: two"
    assert gaps == ["one: no SCP of this video to show"]
    gridless = with_signals(monkeypatch, detected, likely=False)
    drawn, _ = printed.picture_of(gridless, "vid_1", most=2)
    assert drawn.scp is not None and drawn.scp_threshold is None

    def fails(*arguments):
        raise errors.InputError("x.npy: damaged")

    monkeypatch.setattr(printed.signals_lib, "signals", fails)
    drawn, gaps = printed.picture_of(gridless, "vid_1", most=2)
    assert drawn.scp is None and gaps[0] == "one: no SCP: x.npy: damaged"
