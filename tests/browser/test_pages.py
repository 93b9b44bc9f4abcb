"""The pages of a tiny run in a real browser: every plot drew, nothing was complained of, nothing left the page.

Needs playwright and a Chromium: Debian's /usr/bin/chromium, or the one that the environment variable CHROMIUM names.
Screenshots are kept in tests/browser/screenshots, for a person to look at.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
SCREENSHOTS = Path(__file__).parent / "screenshots"
WIDTHS = {"desktop": 1280, "phone": 390}
PAGES = {"report.html": 10, "learning-curve.html": 2}
"""Page -> plots that it has at least."""

# Of each plot: its name, the size of its drawing, how many marks, bars and lines stand in it, and how many of its
# texts stick out.
PLOTS = """() => [...document.querySelectorAll('[data-plot]')].map(div => {
  const svg = div.querySelector('svg.main-svg');
  const box = svg ? svg.getBoundingClientRect() : {left: 0, right: 0, width: 0, height: 0};
  const marks = div.querySelectorAll('.point path, path.point, path.js-line').length;
  const texts = [...div.querySelectorAll('text')].map(text => text.getBoundingClientRect());
  const out = texts.filter(text => text.width && (text.left < box.left - 1 || text.right > box.right + 1)).length;
  return {name: div.id, width: box.width, height: box.height, marks, out};
})"""


@dataclass
class Opened:
    """The page at one width, and what happened while it opened."""

    name: str
    page: object
    width: int
    complaints: list = field(default_factory=list)
    requests: list = field(default_factory=list)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is absent: pip install '.[browser]'")
    if not CHROMIUM.is_file():
        pytest.skip(f"no Chromium at {CHROMIUM}: apt-get install chromium, or set CHROMIUM")
    with playwright.sync_playwright() as driver:
        # The page is our own file; containers let no root user build Chromium's sandbox.
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def folder(tiny_run):
    """A run folder with every page in it."""
    from pipeline.learning_curve import learning_curve

    run, _ = tiny_run
    learning_curve(run.config, [0.3, 1.0], lambda line: None)
    return run.folder


@pytest.fixture(scope="module", params=[(name, window) for name in PAGES for window in WIDTHS], ids="-".join)
def opened(request, browser, folder):
    name, window = request.param
    page = browser.new_page(viewport={"width": WIDTHS[window], "height": 900})
    found = Opened(name, page, WIDTHS[window])
    page.on("console", lambda message: found.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda sent: found.requests.append(sent.url))
    page.goto((folder / name).as_uri())
    page.wait_for_function("document.querySelectorAll('[data-plot]:not(:has(svg.main-svg))').length === 0")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{Path(name).stem}-{window}.png", full_page=True)
    yield found
    page.close()


def test_every_plot_drew_its_marks(opened):
    plots = opened.page.evaluate(PLOTS)
    assert len(plots) >= PAGES[opened.name]
    assert [plot for plot in plots if not plot["marks"] or plot["width"] < 250 or plot["height"] < 100] == []


def test_no_label_of_a_plot_is_cut_off(opened):
    assert [plot["name"] for plot in opened.page.evaluate(PLOTS) if plot["out"]] == []


def test_the_page_is_as_wide_as_the_window(opened):
    assert opened.page.evaluate("document.documentElement.scrollWidth") == opened.width


def test_nothing_was_complained_of(opened):
    assert opened.complaints == []


def test_nothing_left_the_page(opened):
    assert [url.partition(":")[0] for url in opened.requests] == ["file"]


def test_on_paper_every_user_is_unfolded_and_fits(opened):
    page = opened.page
    if opened.name != "report.html":
        pytest.skip("shows no users")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details.person:not([open])').length") == 0
    assert max(plot["width"] for plot in page.evaluate(PLOTS)) <= 660
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details.person:not([open])').length") > 0
