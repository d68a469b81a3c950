"""Pictures of a video, looked at through the artists that they are made of."""

import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from cleannet_jax import errors, run
from cleannet_jax.report import picture as picture_lib

matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")

# What each kind of file begins with.
STARTS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
CATEGORIES = ("jump", "run", "walk", "sit", "stand", "lie")


def made(**changes):
    """A picture of 10 s and 20 snippets."""
    scp = np.zeros((20, 6), np.float32)
    scp[4:8, 1], scp[12:18, 2] = 0.9, 0.6
    values = {
        "title": "video_test_0000004",
        "duration": 10.0,
        "times": np.arange(21) / 2,
        "categories": CATEGORIES,
        "scp": scp,
        "edgeness": np.gradient(scp, axis=0),
        "detections": [
            run.Detection("run", 2.0, 4.0, 0.8),
            run.Detection("walk", 6.0, 9.0, 0.4),
            run.Detection("walk", 6.5, 8.0, 0.2),
        ],
        "truth": [("run", 2.2, 4.1), ("sit", 0.0, 1.0)],
    }
    return picture_lib.Picture(**(values | changes))


def panels(picture, **layout):
    """The axes of a picture by their names, in lists."""
    found = {}
    for axes in picture_lib.figure(picture, **layout).axes:
        found.setdefault(axes.get_label(), []).append(axes)
    return found


def bars(picture):
    """(start, end) of the bars by kind, and the top of each."""
    (axes,) = panels(picture)["bars"]
    return {
        bar.get_label(): [
            (round(p.get_x(), 6), round(p.get_x() + p.get_width(), 6), int(p.get_y()))
            for p in bar.patches
        ]
        for bar in axes.containers
    }


def texts(picture, **layout):
    """All texts of a picture."""
    figure = picture_lib.figure(picture, **layout)
    found = [text.get_text() for text in figure.texts]
    return found + [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("ending", STARTS)
def test_files_are_of_their_kind_and_the_same_again(tmp_path, ending):
    for name in ("a", "b"):
        picture_lib.draw(tmp_path / f"{name}{ending}", made())
    first, second = ((tmp_path / f"{name}{ending}").read_bytes() for name in "ab")
    assert first.startswith(STARTS[ending]) and first == second
    assert len(list(tmp_path.iterdir())) == 2
    if ending == ".png":
        width, height = (int.from_bytes(first[at : at + 4], "big") for at in (16, 20))
        figure = picture_lib.figure(made())
        assert (width, height) == (1500, int(figure.get_figheight() * 150))
    if ending == ".pdf":
        assert b"/FontFile2" in first


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(errors.InputError, match=r"a\.gif: found the ending '\.gif'"):
        picture_lib.draw(tmp_path / "a.gif", made())


def test_a_missing_matplotlib_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.font_manager", None)
    with pytest.raises(
        errors.InputError, match=r"pip install 'cleannet_jax\[report\]'"
    ):
        picture_lib.draw(tmp_path / "a.png", made())


def test_pyplot_and_its_style_are_left_alone(tmp_path):
    matplotlib.rcParams["text.usetex"] = True
    try:
        picture_lib.draw(tmp_path / "a.png", made())
        assert matplotlib.rcParams["text.usetex"]
    finally:
        matplotlib.rcParams["text.usetex"] = False
    assert matplotlib.rcParams["font.family"] == ["sans-serif"]


def test_bars_are_where_actions_are():
    assert bars(made()) == {
        "truth": [(2.2, 4.1, 0), (0.0, 1.0, 2)],
        "detections": [(2.0, 4.0, 1), (6.0, 9.0, 3), (6.5, 8.0, 4)],
    }
    shown = texts(made())
    assert {"run", "sit", "walk", ".80", ".40", ".20"} <= set(shown)
    assert "0:10, 3 detections" in shown


def test_scores_never_lie_on_bars_or_on_each_other():
    generator = np.random.default_rng(0)
    starts = generator.uniform(0, 9, 40)
    found = [
        run.Detection("run", start, start + generator.uniform(0, 4), score)
        for start, score in zip(starts, generator.random(40), strict=True)
    ]
    figure = picture_lib.figure(made(detections=found, truth=()))
    (axes,) = [axes for axes in figure.axes if axes.get_label() == "bars"]
    boxes = [bar.get_window_extent() for bar in axes.containers[0].patches]
    outside = [text for text in axes.texts if text.get_ha() != "center"]
    assert len(boxes) > 4 and outside
    boxes += [text.get_window_extent() for text in outside]
    for index, box in enumerate(boxes):
        for other in boxes[:index]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert across < 0.5 or down < 0.5
    whole = axes.get_window_extent()
    assert all(box.x0 > whole.x0 - 1 and box.x1 < whole.x1 + 1 for box in boxes)


def test_of_many_detections_the_best_are_drawn_and_it_is_said():
    generator = np.random.default_rng(0)
    found = [
        run.Detection("run", start, start + 0.2, score)
        for start, score in generator.random((1000, 2)) * (9.8, 1)
    ]
    picture = made(detections=found, truth=())
    drawn = bars(picture)["detections"]
    best = sorted(found, key=lambda detection: -detection.score)[:50]
    assert drawn[0][0] == round(best[0].start, 6)
    assert {bar[0] for bar in drawn} <= {round(found.start, 6) for found in best}
    assert f"0:10, {len(drawn)} of 1,000 detections drawn" in texts(picture)


def test_detections_are_cut_to_the_video_and_others_left_out():
    found = [
        run.Detection("run", -1.0, 2.0, 0.5),
        run.Detection("run", 8.0, 99.0, float("nan")),
        run.Detection("run", 12.0, 13.0, 0.5),
        run.Detection("run", -2.0, -1.0, 0.5),
        run.Detection("run", 5.0, 5.0, 0.5),
    ]
    assert bars(made(detections=found, truth=()))["detections"] == [
        (0.0, 2.0, 0),
        (8.0, 10.0, 0),
    ]


def test_annotated_categories_and_those_of_the_best_detections_are_shown():
    names = ["jump", "run", "walk", "sit", "stand"]
    found = [
        run.Detection(name, 1.0, 2.0, 0.1 * rank) for rank, name in enumerate(names)
    ]
    counts = [
        (made(), 3),
        (made(detections=found), 4),
        (made(detections=(), truth=()), 1),
        (made(shown=(0, 1, 2, 3, 4)), 5),
        (made(shown=()), 0),
    ]
    for picture, count in counts:
        assert len(panels(picture).get("scp", [])) == count
    values = [
        axes.patches[0].get_data().values
        for axes in panels(made(detections=found))["scp"]
    ]
    # run, sit; stand, and walk before jump.
    np.testing.assert_array_equal(values, made().scp[:, [1, 3, 4, 2]].T)


def test_scp_edgeness_and_attention_are_those_given():
    attention = np.linspace(0, 0.1, 20)
    shown = panels(made(shown=(1,), attention=attention, attention_threshold=0.05))
    edgeness = made().edgeness[:, 1]
    rising, falling = (
        patch.get_data().values for patch in shown["edgeness"][0].patches
    )
    np.testing.assert_array_equal(rising, np.maximum(edgeness, 0))
    np.testing.assert_array_equal(falling, np.minimum(edgeness, 0))
    assert not shown["scp"][0].lines
    (axes,) = panels(made(shown=(1,), scp_threshold=0.1))["scp"]
    assert axes.lines[0].get_ydata()[0] == 0.1
    (axes,) = shown["attention"]
    np.testing.assert_array_equal(axes.patches[0].get_data().values, attention)
    assert axes.lines[0].get_ydata()[0] == 0.05
    clocks = [label.get_text() for label in axes.get_xticklabels()]
    assert clocks[:3] == ["0:00", "0:01", "0:02"]


@pytest.mark.parametrize(
    ("duration", "last"),
    [(0.4, "0:00.4"), (9.0, "0:09"), (61.0, "1:00"), (4000.0, "1:00:00")],
)
def test_times_are_in_minutes_and_seconds(duration, last):
    shown = panels(made(duration=duration, times=np.linspace(0, duration, 21)))
    labels = shown["edgeness"][-1].get_xticklabels()
    assert labels[-1].get_text() == last and 2 <= len(labels) <= 13


@pytest.mark.parametrize("shape", [(120, 160, 3), (320, 180, 3), (1, 500, 3)])
def test_frames_lie_side_by_side_around_their_times(shape):
    frames = [
        (seconds, np.full(shape, 10 * index, np.uint8))
        for index, seconds in enumerate(picture_lib.choose_frames(10.0, 5))
    ]
    (axes,) = panels(made(frames=frames))["frames"]
    extents = [image.get_extent()[:2] for image in axes.images]
    for (seconds, _), (left, right) in zip(frames, extents, strict=True):
        assert left < right and abs((left + right) / 2 - seconds) < 1e-6
    ends = [right for _, right in extents]
    assert all(end < start for end, (start, _) in zip(ends, extents[1:], strict=False))
    box = axes.images[0].get_window_extent()
    assert box.width / box.height == pytest.approx(shape[1] / shape[0], rel=0.01)


def test_frames_are_chosen_from_the_middles_of_equal_parts():
    assert picture_lib.choose_frames(12.0, 3) == [2.0, 6.0, 10.0]
    assert picture_lib.choose_frames(5.0, 1) == [2.5]


@pytest.mark.parametrize(
    "name",
    [
        "$\\frac{1}$ & $x",
        "$$ \\ _ ^ % #",
        "two\nlines\ttab\x00\x1b[0m",
        "\u202eoverride \ufeff",
        "\u0642\u0641\u0632 \u05e7\u05e4\u05d9\u05e6\u05d4",
        "\u8df3\u9ad8 \U0001f3c3\u200d\u2640\ufe0f \u0915\u094d\u0937",
        "\ud83d half",
        '<b>bold</b> & "quoted" ]]> --> <!-- -',
        "W" * 10_000,
        "\u0301" * 10_000,
        "",
    ],
)
def test_names_of_any_kind_are_plain_text(tmp_path, name):
    picture = made(
        title=name,
        categories=(name, *CATEGORIES[1:]),
        detections=[run.Detection(name, 2.0, 4.0, 0.8)],
        truth=[(name, 2.0, 4.0)],
    )
    picture_lib.draw(tmp_path / "a.svg", picture)
    ElementTree.parse(tmp_path / "a.svg")
    figure = picture_lib.figure(picture)
    for text in figure.texts:
        box = text.get_window_extent()
        assert "\n" not in text.get_text() and not text.get_parse_math()
        assert 0 <= box.x0 and box.x1 <= figure.bbox.width


def test_characters_of_many_scripts_can_be_drawn(tmp_path):
    for first in range(0x20, 0x3000, 0x600):
        title = "".join(map(chr, range(first, first + 0x70)))
        picture_lib.draw(tmp_path / "a.png", made(title=title, shown=()))


@pytest.mark.parametrize(
    "changes",
    [
        {"detections": (), "truth": ()},
        {"detections": (), "truth": (), "shown": ()},
        {"scp": np.full((20, 6), np.nan), "attention": np.full(20, np.nan)},
        {"scp": np.full((20, 6), 7.0), "attention": np.zeros(20)},
        {"detections": [run.Detection("other", 0.0, 10.0, -np.inf)]},
        {"detections": [run.Detection("run", 0.0, 10.0, np.inf)] * 9},
        {"truth": [(f"action {index}", 0.0, 10.0) for index in range(30)]},
        {
            "times": np.array([0.0, 10.0]),
            "scp": np.ones((1, 6)),
            "edgeness": np.zeros((1, 6)),
            "attention": np.ones(1),
            "frames": [(5.0, np.zeros((1, 1, 3), np.uint8))],
        },
        {"duration": 360_000.0},
    ],
)
def test_little_and_much_can_be_drawn(tmp_path, changes):
    picture_lib.draw(tmp_path / "a.png", made(**changes))
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"scp: found \(19, 6\), expected \(20, 6\)"):
        made(scp=np.zeros((19, 6)))
    with pytest.raises(ValueError, match=r"attention: found \(21,\)"):
        made(attention=np.zeros(21))
    with pytest.raises(ValueError, match="found 0 s, expected a duration"):
        made(duration=0)
    with pytest.raises(ValueError, match="found no times"):
        made(times=None)
    with pytest.raises(ValueError, match="one of SCP and edgeness"):
        made(edgeness=None)


def test_of_some_of_many_detections_it_is_said():
    assert "0:10, 3 of 42 detections drawn" in texts(made(count=42))


def test_annotated_labels_come_first_then_those_of_the_best_detections():
    truth = [("b", 0.0, 1.0), ("a", 0.0, 1.0), ("b", 2.0, 3.0)]
    scores = {"d": float("nan"), "c": 0.9, "a": 0.1, "e": 0.5}
    found = [run.Detection(name, 0.0, 1.0, score) for name, score in scores.items()]
    assert picture_lib.labels([label for label, _, _ in truth], found) == [
        "b",
        "a",
        "c",
        "e",
        "d",
    ]


def test_without_scp_there_are_bars_alone():
    bare = made(times=None, categories=(), scp=None, edgeness=None)
    shown = panels(bare)
    assert set(shown) == {"bars"} and bars(bare) == bars(made())
    clocks = [label.get_text() for label in shown["bars"][0].get_xticklabels()]
    assert clocks[0] == "0:00"


def test_runs_stand_below_each_other_with_their_names():
    others = [
        ("second", [run.Detection("run", 3.0, 4.0, 70.0)]),
        ("third", [run.Detection("lie", 5.0, 6.0, 0.1)]),
    ]
    several = made(name="first", others=others)
    # Of each category a lane of annotations, and one a run where it has nothing.
    assert bars(several) == {
        "truth": [(2.2, 4.1, 0), (0.0, 1.0, 4)],
        "detections": [
            (2.0, 4.0, 1),
            (3.0, 4.0, 2),
            (6.0, 9.0, 9),
            (6.5, 8.0, 10),
            (5.0, 6.0, 16),
        ],
    }
    shown = texts(several)
    assert [shown.count(name) for name in ("first", "second", "third")] == [4] * 3
    assert "0:10, 5 detections" in shown and "first" not in texts(made(name="first"))
    # Scores of runs are on scales of their own: the best of each is as dark.
    (axes,) = panels(several)["bars"]
    strong = [bar.get_facecolor()[:3] for bar in axes.containers[1].patches]
    assert strong[1] == matplotlib.colors.to_rgb("#D55E00")


COLUMN = {"layout": picture_lib.COLUMN}


def full_column():
    """A picture that has everything, with long names."""
    long = "Having an ice cream"
    return made(
        categories=("jump", long, "VolleyballSpiking", *CATEGORIES[3:]),
        detections=[
            run.Detection(long, 2.0, 4.0, 0.8),
            run.Detection("VolleyballSpiking", 8.0, 10.0, 0.01),
        ],
        truth=[(long, 2.2, 4.1)],
        attention=np.linspace(0, 20, 20),
        attention_threshold=1.0,
        scp_threshold=0.1,
        frames=[(2.5, np.zeros((9, 16, 3), np.uint8))],
        note="generated data",
    )


def test_a_column_has_letters_that_are_read_and_nothing_outside():
    figure = picture_lib.figure(full_column(), **COLUMN)
    figure.draw_without_rendering()
    found = list(figure.texts)
    for axes in figure.axes:
        found += [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
    (legend,) = figure.legends
    found += legend.get_texts()
    shown = [text for text in found if text.get_text()]
    assert min(text.get_fontsize() for text in shown) >= 6
    for text in shown:
        box = text.get_window_extent()
        assert 0 <= box.x0 and box.x1 <= figure.bbox.width, text
        assert 0 <= box.y0 and box.y1 <= figure.bbox.height, text
    names = [text.get_text() for text in legend.get_texts()]
    assert names[2:] == ["rising edge", "falling edge", "threshold"]
    # A long name has two lines where it has place for them.
    assert {"Having an", "ice cream"} <= {text.get_text() for text in shown}
    boxes = [text.get_window_extent() for text in shown]
    for index, box in enumerate(boxes):
        for other in boxes[:index]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert across < 1 or down < 2, (shown[index], box, other)


def test_the_edges_differ_without_colour():
    panel = panels(full_column(), **COLUMN)["edgeness"][0]
    weights = (0.299, 0.587, 0.114)  # Of ITU-R BT.601, as a printer has them.
    rising, falling = (
        float(np.dot(weights, patch.get_facecolor()[:3])) for patch in panel.patches
    )
    assert rising - falling > 0.25


def test_a_column_is_as_wide_as_one_with_its_fonts(tmp_path):
    for ending in STARTS:
        picture_lib.draw(tmp_path / f"a{ending}", full_column(), **COLUMN)
    points = picture_lib.COLUMN.width * 72
    page = (tmp_path / "a.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ", page)
    assert float(box[1]) == pytest.approx(points)
    assert b"/FontFile2" in page and b"/Type3" not in page
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.get("width") == f"{points:.6g}pt"
    drawing = (tmp_path / "a.svg").read_text().lower()
    assert not list(root.iter("{http://www.w3.org/2000/svg}text"))
    for color in ("#009e73", "#e69f00", "#0072b2"):
        assert color in drawing
    for words in ("having an", "scp", "edgeness", "attention", "threshold"):
        assert f"<!-- {words} -->" in drawing
    image = (tmp_path / "a.png").read_bytes()
    assert int.from_bytes(image[16:20], "big") == round(points / 72 * 300)
