"""Pages in a real browser, headless Chromium, opened from disk."""

import contextlib
import dataclasses
import json
import pathlib
import shutil

import numpy as np
import programs
import pytest
import test_pages

from cleannet_jax import methods
from cleannet_jax.pages import gather, site

pytest.importorskip("jinja2", reason="pages need jinja2")
pytest.importorskip("plotly", reason="pages need plotly")
sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright drives the browser"
)

pytestmark = pytest.mark.once

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SHAPES = [("light", 1280), ("dark", 1280), ("light", 390)]
PAGES = ("index", "videos", "compare", "videos/00001")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        except sync_api.Error as error:
            pytest.skip(f"no Chromium to open pages in: {str(error).splitlines()[0]}")
        yield found
        found.close()


class Opened:
    """A page, what it said and what it asked for."""

    def __init__(self, page):
        self.page, self.said, self.asked = page, [], []
        page.on("console", lambda line: self.said.append(line.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: self.said.append("dialog"))
        page.on("request", lambda request: self.asked.append(request.url))

    def check(self):
        assert self.said == []
        assert [
            url for url in self.asked if not url.startswith(("file:", "data:"))
        ] == []


@contextlib.contextmanager
def opened(browser, path, scheme="light", width=1280):
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    try:
        found = Opened(context.new_page())
        found.page.set_default_timeout(20_000)
        found.page.goto(path.as_uri())
        found.page.wait_for_load_state("load")
        yield found
        found.check()
    finally:
        context.close()


def draw_all(page):
    """Draws the charts that are far below too, as for a printer."""
    page.evaluate("dispatchEvent(new Event('beforeprint'))")


def text_of(page, selector):
    return page.locator(selector).inner_text()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Pages of two files of detections with names that are not nice."""
    folder = tmp_path_factory.mktemp("hostile")
    names = test_pages.HOSTILE
    videos = {name: [(names[0], 1.0, 4.0), (names[2], 6.0, 9.0)] for name in names}
    videos["plain"] = [("run", 1.0, 4.0)]
    videos["<b>empty</b>"] = []
    first = {name: [(names[0], 1.0, 4.0, 0.5)] for name in names}
    first["plain"] = [("run", 1.0, 4.0, 0.9)]
    second = {"plain": [("run", 10.0, 14.0, 0.9)], names[0]: [(names[0], 1, 4, 0.3)]}
    one, truth = test_pages.write_files(folder, videos, first, "<i>first & co")
    other, _ = test_pages.write_files(folder, videos, second, "second")
    rules = gather.Rules(tious=test_pages.TIOUS)
    material = gather.gather([one, other], rules=rules, ground_truth=truth)
    site.write(material, folder / "pages")
    return folder / "pages"


@pytest.mark.parametrize(("scheme", "width"), SHAPES[1:])
def test_pages_are_quiet_and_fit(browser, hostile, scheme, width):
    for name in PAGES:
        with opened(browser, hostile / f"{name}.html", scheme, width) as found:
            draw_all(found.page)
            wide = found.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, name
            assert found.page.locator("h1").count() == 1
            assert found.page.locator("script:not([src])").count() == 0


def test_accessibility(browser, hostile, with_signals):
    axe = pytest.importorskip("axe_playwright_python", reason="it has axe-core's rules")
    source = (pathlib.Path(axe.__file__).parent / "axe.min.js").read_text()
    paths = [hostile / f"{name}.html" for name in PAGES]
    for scheme, width in SHAPES:
        for path in [*paths, with_signals / "videos" / "00001.html"]:
            with opened(browser, path, scheme, width) as found:
                found.page.keyboard.press("j")
                draw_all(found.page)
                found.page.evaluate(source)
                # Preloading asks for files again, which the pages' policy forbids.
                result = found.page.evaluate("axe.run({preload: false})")
                wrong = [one["id"] for one in result["violations"]]
                assert wrong == [], (path.name, scheme, width)


def test_index_of_videos(browser, hostile):
    with opened(browser, hostile / "videos.html") as found:
        page = found.page
        rows = page.locator("#videos tbody tr")
        assert rows.count() == 6
        page.fill("#search", "PLA")
        assert rows.count() == 1 and "1 of 6 videos" in text_of(page, "#count")
        assert rows.first.locator("td").nth(3).inner_text() == "100.0"
        page.select_option("#entry", "1")
        assert rows.first.locator("td").nth(3).inner_text() == "0.0"
        page.fill("#search", "")
        page.select_option("#category", label="run")
        assert rows.count() == 1
        page.select_option("#category", "")
        page.select_option("#sort", "missed")
        missed = [int(row.locator("td").nth(4).inner_text()) for row in rows.all()]
        assert missed == sorted(missed, reverse=True)
        page.select_option("#category", label="run")
        page.click("#videos tbody a")
        page.wait_for_url("**/videos/*.html")
        assert "plain" in text_of(page, "h1")


def test_overview_and_comparison(browser, hostile):
    with opened(browser, hostile / "index.html") as found:
        page = found.page
        assert page.locator(".reasons li").count() >= 1
        page.locator("#chart-categories").scroll_into_view_if_needed()
        page.wait_for_selector("#chart-categories .ytick text")
        before = page.locator("#chart-categories .ytick text").all_text_contents()
        page.select_option("#category-order", "highest")
        after = page.locator("#chart-categories .ytick text").all_text_contents()
        assert sorted(before) == sorted(after)
        page.emulate_media(color_scheme="dark")
        page.click("nav >> text=Side by side")
        rows = page.locator("#differences tbody tr")
        rows.first.wait_for()
        assert rows.count() == 5 and "-100.0" in rows.first.inner_text()
        page.select_option("#first", "1")
        page.select_option("#second", "0")
        assert "+100.0" in rows.first.inner_text()
        page.select_option("#sort", "id")
        page.click("#differences tbody a >> nth=0")
        page.wait_for_selector("#chart .barlayer", state="attached")
        assert page.locator("#chart .barlayer").count() >= 1


@pytest.fixture(scope="module")
def with_signals(tmp_path_factory):
    """Pages of a run that reads SCPs from files, so that nothing is trained."""
    import conftest

    folder = tmp_path_factory.mktemp("signals")
    data = conftest.feature_folder.__wrapped__(folder)
    made = methods.apply(conftest.tiny_config.__wrapped__(), "scores+plain")
    annotations = json.loads((data / "annotations.json").read_text())["database"]
    scores = folder / "scp"
    (scores / "attention").mkdir(parents=True)
    bases = {}
    for name, video in annotations.items():
        length = int(video["duration"] * 2)
        scp = np.full((length, 3), 0.05, np.float32)
        for one in video["annotations"]:
            start, end = (int(2 * time) for time in one["segment"])
            scp[start:end, conftest.CATEGORIES.index(one["label"])] = 0.9
        attention = scp.max(axis=1) / scp.max(axis=1).sum()
        np.save(scores / f"{name}.npy", scp)
        np.save(scores / "attention" / f"{name}.npy", attention)
        bases[name] = {"fps": 30, "stride": 15, "offset": 0}
    index = {"categories": list(conftest.CATEGORIES), "timebase": bases}
    (scores / "scp.json").write_text(json.dumps(index))
    made = dataclasses.replace(made, scores=str(scores))
    test_pages.train(data, made, "scores+plain", folder / "run", is_named=False)
    site.write(gather.gather([folder / "run"], intervals=False), folder / "pages")
    return folder / "pages"


def test_a_video_of_a_run(browser, with_signals):
    with opened(browser, with_signals / "videos" / "00001.html") as found:
        page = found.page
        axes = page.locator("#chart .yaxislayer-above").count()
        assert axes >= 4
        page.keyboard.press("j")
        assert text_of(page, "#selected-title").startswith("Annotated: ")
        assert page.locator("#truth tr.is-selected").count() == 1
        values = page.locator("#sum-rows tr td:last-child").all_inner_texts()
        action, starting, ending, total = map(float, filter(str.strip, values))
        assert total == pytest.approx(action + (starting + ending) / 2, abs=2e-4)
        page.keyboard.press("Escape")
        assert page.locator("#selected").is_hidden()
        for place, title in ((0, "Annotated: "), (1, "Found: ")):
            bars = page.locator("#chart .subplot.xy .barlayer .trace.bars")
            box = bars.nth(place).locator("path").first.bounding_box()
            middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.mouse.move(middle[0] - 3, middle[1])
            page.mouse.move(*middle)
            # A click is on what Plotly has found below the mouse by then.
            page.wait_for_selector("#chart .hoverlayer .hovertext")
            page.mouse.click(*middle)
            page.wait_for_selector("#selected:visible")
            assert text_of(page, "#selected-title").startswith(title)
        before = text_of(page, "#shown")
        page.locator("#threshold").fill("990")
        assert text_of(page, "#shown") != before
        assert text_of(page, "#threshold-value") != "all"
        page.locator("#threshold").fill("0")
        assert text_of(page, "#shown") == before
        page.select_option("#category", "0")
        page.select_option("#most", "1000")
        zoom = "Plotly.relayout('chart', {'xaxis.range[0]': 1, 'xaxis.range[1]': 2})"
        page.evaluate(zoom)
        span = "document.getElementById('chart').layout.xaxis.range[1]"
        assert page.evaluate(span) == 2
        page.click("#reset")
        assert page.evaluate(span) == page.evaluate("window.report.duration")
        page.locator(".pick").first.click()
        page.locator("h1").click()
        page.keyboard.press("n")
        page.wait_for_url("**/00002.html")
        page.keyboard.press("p")
        page.wait_for_url("**/00001.html")


def test_ten_thousand_detections_in_a_video(browser, tmp_path):
    rng = np.random.default_rng(0)
    drawn = rng.random((10_000, 2)).tolist()
    rows = [("run", 18 * at, 18 * at + 1.5, score) for at, score in drawn]
    files = test_pages.write_files(tmp_path, {"a": [("run", 1.0, 4.0)]}, {"a": rows})
    site.write(test_pages.gathered(*files, intervals=False), tmp_path / "pages")
    with opened(browser, tmp_path / "pages" / "videos" / "00001.html") as found:
        assert "200 of 10000 detections" in text_of(found.page, "#shown")
        found.page.select_option("#most", "1000")
        assert "1000 of 10000 detections" in text_of(found.page, "#shown")


def test_a_video_plays_under_the_cursor(browser, tmp_path):
    pytest.importorskip("av", reason="no PyAV")
    import videos as make

    found, truth = test_pages.write_files(
        tmp_path, {"a b": [("run", 2.0, 4.0)]}, {"a b": [("run", 2.0, 4.0, 0.9)]}
    )
    (tmp_path / "clips").mkdir()
    make.make_video(tmp_path / "clips/a b.webm", 60, fps=10, codec="libvpx-vp9")
    done = programs.run(
        *("report", found, "--ground-truth", truth, "--out", tmp_path / "pages"),
        *("--videos", tmp_path / "clips"),
    )
    assert done.returncode == 0, done.stderr
    with opened(browser, tmp_path / "pages/videos/00001.html") as page_of:
        page = page_of.page
        time = "document.getElementById('player').currentTime"
        page.wait_for_function("document.getElementById('player').readyState >= 1")
        box = page.locator("#chart").bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 0.2 * box["width"], middle)
        page.mouse.move(box["x"] + 0.3 * box["width"], middle)
        assert 2.5 < page.evaluate(time) < 6
        page.keyboard.press("j")
        assert page.evaluate(time) == pytest.approx(2, abs=0.1)
        page.wait_for_function("document.querySelector('.now').style.left !== ''")
