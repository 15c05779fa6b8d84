"""The dashboard's real server in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from explorer.store import open_study
from tests.dashboards.chromium import CHROMIUM, FLAGS
from tests.dashboards.conftest import COMPLETE, RUNNING, begin_study, ending, proposal, serving, write_study
from tests.dashboards.payloads import HOSTILE
from tests.polling import PATIENCE

HOSTILE_NAME = HOSTILE[0] + HOSTILE[3]
TIMEOUT_MS = 1000 * PATIENCE

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on PATH")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def write_hostile(url: str) -> None:
    """A study whose every text is an attack."""
    quantity = " ".join(HOSTILE[1:8])
    writer = begin_study(url, HOSTILE_NAME, {quantity: "max", "macs": "min"}, space=HOSTILE[1], data=HOSTILE[4])
    for number, text in enumerate(HOSTILE):
        writer.begin(
            number, proposal(number, choices={HOSTILE[2]: text, text: HOSTILE[-1]}, costs={"macs": number + 1, text: 2})
        )
        writer.finish(number, ending(0.5, **{quantity: number / 100}))
    writer.begin(len(HOSTILE), proposal(len(HOSTILE)))
    writer.refuse(len(HOSTILE) + 1, proposal(len(HOSTILE) + 1), "rejected", " ".join(HOSTILE))


@pytest.fixture(scope="module")
def storage(tmp_path_factory) -> str:
    """The storage of the tests below, with a study for each test."""
    url = f"sqlite:///{tmp_path_factory.mktemp('storage')}/explorer.db"
    write_hostile(url)
    for name in ("clicked", "walked", "first"):
        write_study(url, name)
    return url


@pytest.fixture(scope="module")
def address(storage):
    """The address of its dashboard."""
    with serving(storage) as address:
        yield address


@contextmanager
def visiting(browser, address: str) -> Iterator:
    """A page of the dashboard that must open no dialog and send no request to another machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    asked, dialogs = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda websocket: asked.append(websocket.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(address)
    yield page
    context.close()
    assert not dialogs
    outside = [
        url for url in asked if not re.match(r"(https?|ws)://127\.0\.0\.1:\d+/|data:|blob:http://127\.0\.0\.1", url)
    ]
    assert asked and not outside


# A function: the page's policy forbids to evaluate text, which waiting for an expression does.
AT_REST = "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
PLACE = """number => {
    const plot = document.querySelector('.js-plotly-plot');
    // The data are known before they are drawn, and drawn before a click is listened for.
    if (!plot || !plot.calcdata || !plot.querySelector('.point, .gl-canvas') || !plot.querySelector('.nsewdrag')) {
        return null;
    }
    for (const trace of plot._fullData) {
        const place = Array.from(trace.customdata || []).indexOf(number);
        if (place < 0) continue;
        const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
        const across = xaxis.c2p(xaxis.d2c(trace.x[place])), down = yaxis.c2p(yaxis.d2c(trace.y[place]));
        return [box.x + xaxis._offset + across, box.y + yaxis._offset + down];
    }
    return null;
}"""


def click_trial(page, number: int) -> None:
    """Click the point of a trial once its text appears under the pointer: plotly draws a figure before it listens."""
    text = page.locator(".hoverlayer .hovertext").filter(has_text=re.compile(rf"^\s*trial {number}(?!\d)"))
    page.wait_for_function(AT_REST)  # a rerun may draw it again
    while not text.count():
        x, y = page.wait_for_function(PLACE, arg=number).json_value()
        page.mouse.move(x, y - 100)  # the text appears after a movement
        page.mouse.move(x, y)
        page.wait_for_timeout(100)
    page.mouse.click(x, y)


@pytest.mark.slow
def test_a_click_on_a_point_shows_its_network(browser, storage, address):
    """A click on a point shows the trial's accuracy, diagram, curve and choices, and new trials do not change the
    selection."""
    study = open_study(storage, "clicked")
    cheap = study.frontier()[0]
    with visiting(browser, f"{address}/?study=clicked") as page:
        headline = page.get_by_test_id("stText").filter(has_text="trial ")
        expensive = study.frontier()[-1].number
        headline.get_by_text(f"trial {expensive} · complete").wait_for()
        shown = headline.get_by_text(f"trial {cheap.number} · complete · {cheap.objectives['accuracy']:.1%}")
        click_trial(page, cheap.number)
        shown.wait_for()
        drawing = page.locator(".explorer-drawing img").first
        drawing.wait_for()
        assert drawing.get_attribute("alt").startswith("stage 1, block")
        loaded = "image => image.complete && image.naturalHeight > 100"
        page.wait_for_function(loaded, arg=drawing.element_handle())
        page.get_by_role("tab", name="Training").click()
        page.get_by_text("validation loss").first.wait_for()
        page.get_by_text("8 epochs in 4.0 s").wait_for()
        complete = page.get_by_test_id("stText").filter(has_text="Search running")
        assert f"{COMPLETE} complete" in complete.inner_text()
        writer = begin_study(storage, "clicked")
        writer.begin(RUNNING + 1, proposal(RUNNING + 1))
        writer.finish(RUNNING + 1, ending(0.72))
        complete.get_by_text(f"{COMPLETE + 1} complete").wait_for()
        shown.wait_for()


@pytest.mark.slow
def test_a_neighbour_opens_and_back_returns(browser, storage, address):
    """By keyboard a neighbour opens, its address names it, Back and Forward work, and a button saves a file."""
    expensive = open_study(storage, "walked").frontier()[-1]
    with visiting(browser, f"{address}/architecture?study=walked") as page:
        shown = page.get_by_test_id("stText").get_by_text(f"trial {expensive.number} · complete")
        shown.wait_for()
        page.get_by_role("button", name="MACs").first.focus()
        page.keyboard.press("Enter")
        untrained = page.get_by_text("No trial holds this network.")
        untrained.wait_for()
        page.wait_for_url("**/architecture?*network=*")
        page.go_back()
        shown.wait_for()
        assert "network" not in page.url
        with page.expect_download() as saved:
            page.get_by_role("button", name="architecture.json").click()
        assert Path(saved.value.path()).read_text().startswith("{")
        page.go_forward()
        untrained.wait_for()
        assert "network=" in page.url


@pytest.mark.slow  # every page in a browser; test_text.py checks the escaping
def test_hostile_texts_stay_text(browser, address):
    """Hostile texts in the database open no dialog, create no element and send no request."""
    with visiting(browser, f"{address}/?study={quote(HOSTILE_NAME)}") as page:
        page.locator(".explorer-drawing img").first.wait_for()
        page.locator(".js-plotly-plot .point").first.wait_for()
        assert HOSTILE[1] in page.get_by_text("Best: trial").inner_text()
        for tab in ("Network", "Training", "Choices and costs", "Block"):
            page.get_by_role("tab", name=tab).click()
        assert_plain(page)
        for title in ("Architecture", "What matters", "Space", "Runs"):
            page.get_by_test_id("stTopNavLinkContainer").get_by_text(title, exact=True).click()
            page.wait_for_url(f"**/{'effects' if title == 'What matters' else title.lower()}")
            page.get_by_test_id("stSelectbox").first.wait_for()
            page.wait_for_function(AT_REST)
            assert page.get_by_test_id("stException").all_inner_texts() == []
            assert_plain(page)


def assert_plain(page) -> None:
    """Check that no text from the database became an element, a link, an icon or a colour."""
    made = "img, script, .katex, svg a, a[href^=http], a[href^=mailto], a[href*=alert], span[style*=size]"
    made = page.get_by_test_id("stMain").locator(made)
    found = made.evaluate_all("all => all.map(one => one.outerHTML.slice(0, 300))")
    own = '<img alt="', '<img src="data:image/svg+xml;base64,'  # a drawing
    assert [each for each in found if not (each.startswith(own) and "data:image/svg+xml;base64," in each)] == []


@pytest.mark.slow
def test_the_front_page_has_an_address(browser, address):
    """``/frontier`` is the front page too, and applies the parameters of the address."""
    with visiting(browser, f"{address}/frontier?study=first") as page:
        page.get_by_text("Best: trial").wait_for()
        page.locator(".js-plotly-plot .point").first.wait_for()
        assert page.url == f"{address}/?study=first"


def test_a_page_under_another_name_is_refused(browser, address):
    """Under a foreign host name (DNS rebinding) the browser shows one line, and scripts cannot read the page or open
    its websocket."""
    port = address.rpartition(":")[2]
    page = browser.new_page()
    assert page.goto(f"http://evil.test:{port}/").status == 421
    assert page.locator("body").inner_text().startswith("The dashboard does not answer to this host name.")
    for target in (f"http://evil.test:{port}", address):
        assert page.evaluate("at => fetch(at + '/_stcore/health').then(r => r.status, e => 'failed')", target) in (
            421,
            "failed",
        )
        opened = "at => new Promise(end => { const s = new WebSocket(at.replace('http', 'ws') + '/_stcore/stream');"
        opened += " s.onopen = () => end('open'); s.onerror = () => end('refused'); })"
        assert page.evaluate(opened, target) == "refused"
    page.close()


@pytest.mark.slow
def test_the_figures_obey_the_security_policy(browser, address):
    """All figures on every page are drawn without a violation of the content security policy, and without WebGL, which
    plotly's code for it would need."""
    figures = {"": 1, "architecture": 2, "effects": 2, "space": 1, "runs": 3}
    with visiting(browser, f"{address}/?study=first") as page:
        said = []
        page.on("console", lambda message: said.append(message.text))
        for path, number in figures.items():
            page.goto(f"{address}/{path}?study=first")
            page.locator(".js-plotly-plot").nth(number - 1).wait_for(state="attached")
            if path in ("", "architecture"):
                page.locator(".explorer-drawing img").first.wait_for()
            page.wait_for_function(AT_REST)
            assert "WebGL" not in page.inner_text("body")
            if path == "space":
                page.locator(".js-plotly-plot .point").nth(COMPLETE + 1).wait_for()
        assert not [text for text in said if "Content Security Policy" in text]
