"""What a user does on the pages, in a real browser: one server for all tests, each with a study of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from explorer.dashboard.launch import TOKEN_VARIABLE
from explorer.store import open_study
from tests.dashboards.chromium import CHROMIUM
from tests.dashboards.conftest import COMPLETE, FAILED, serving, write_study
from tests.dashboards.test_browser import PLACE, TIMEOUT_MS, browser, click_trial

__all__ = ["browser"]  # the fixture

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on PATH"),
    pytest.mark.slow,
]
LOCAL = re.compile(r"(https?|ws)://127\.0\.0\.1:\d+/|data:|blob:http://127\.0\.0\.1")
NAMES = ("plane", "touched", "budget", "list", "shared", "noted", "drawn", "compared", "small", "shut")
AT_REST = """() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
    && document.querySelector('.js-plotly-plot, .explorer-table')"""

LOOKS = """() => {  // trial -> opacity of its point, then colour and outline
    const plot = document.querySelector('.js-plotly-plot'), found = {};
    for (const point of plot.querySelectorAll('.scatterlayer .point')) {
        const {trace} = point.closest('.trace').__data__[0], {i} = point.__data__;
        const {opacity, fill} = getComputedStyle(point);
        if (trace.customdata) found[trace.customdata[i]] = [Number(opacity), fill, point.getAttribute('d')];
    }
    return found;
}"""


@pytest.fixture(scope="module")
def storage(tmp_path_factory) -> str:
    """The storage of the tests, with a study for each."""
    url = f"sqlite:///{tmp_path_factory.mktemp('storage')}/explorer.db"
    for name in NAMES:
        write_study(url, name)
    return url


@pytest.fixture(scope="module")
def address(storage):
    """The address of its dashboard."""
    with serving(storage) as address:
        yield address


@contextmanager
def opened(browser, **options) -> Iterator:
    """A browser context, whose pages must open no dialog and send no request to another machine."""
    with browser.new_context(**options) as context:
        asked, dialogs = [], []
        context.on("request", lambda request: asked.append(request.url))
        context.on("page", lambda page: page.on("websocket", lambda websocket: asked.append(websocket.url)))
        context.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        yield context
    assert not dialogs
    assert asked and not [url for url in asked if not LOCAL.match(url)]


@pytest.fixture(scope="module")
def context(browser):
    """The browser context of most tests: it loads the scripts of the pages once."""
    with opened(browser, viewport={"width": 1280, "height": 1000}) as context:
        yield context


@contextmanager
def visiting(context, address: str) -> Iterator:
    """A page of the dashboard."""
    with closing(context.new_page()) as page:
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(address)
        yield page


def rest(page) -> None:
    """Wait until the page is drawn."""
    page.wait_for_function(AT_REST)


def test_the_first_screen_answers(context, address):
    """At 1280 x 800 pixels the settings, the result, the controls in one row, the whole figure and the chosen network
    are visible without scrolling; the figure has at least half the height."""
    with visiting(context, f"{address}/?study=plane") as page:
        page.set_viewport_size({"width": 1280, "height": 800})
        rest(page)
        page.get_by_text("digits, 8 epochs, seed 0").wait_for()
        page.get_by_text("Best: trial 17").wait_for()
        page.wait_for_function("""() => {  // plotly follows the size of the window after a while
            const box = document.querySelector('.js-plotly-plot').getBoundingClientRect();
            return box.height >= 400 && box.bottom <= 800;
        }""")
        controls = [page.get_by_test_id("stSelectbox").filter(has_text=text) for text in ("x axis", "Colour by")]
        buttons = page.get_by_role("button", name="Budget").bounding_box()
        lows = [control.bounding_box()["y"] + control.bounding_box()["height"] for control in controls]
        assert max(lows) - min(lows) < 5 and abs(lows[0] - buttons["y"] - buttons["height"]) < 5
        drawing = page.locator(".explorer-drawing img").first
        drawing.wait_for()
        box = drawing.bounding_box()
        assert box["y"] + box["height"] <= 800


def test_a_box_selects_networks_for_all_pages(context, address):
    """A selection box restricts the list of trials; its points keep their looks and the others are dimmed; Show all
    restores both."""
    with visiting(context, f"{address}/?study=plane") as page:
        rest(page)
        page.locator(".js-plotly-plot").first.hover()
        before = page.evaluate(LOOKS)
        page.locator("[data-title='Box Select']").click()
        plot = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
        page.mouse.move(plot["x"] + 5, plot["y"] + 5)
        page.mouse.down()
        page.mouse.move(plot["x"] + plot["width"] / 2, plot["y"] + plot["height"] - 5, steps=8)
        page.mouse.up()
        page.get_by_text(re.compile(r"Only the \d+ networks in the selection box")).wait_for()
        rest(page)
        after = page.evaluate(LOOKS)
        assert after.keys() == before.keys() and len(after) == COMPLETE
        dimmed = [number for number in after if after[number][0] < before[number][0]]
        assert 0 < len(dimmed) < COMPLETE
        assert all(after[number][0] == before[number][0] for number in after.keys() - set(dimmed))
        assert all(after[number][1:] == before[number][1:] for number in after)
        page.get_by_role("button", name="Show all").click()
        page.get_by_text("networks in the selection box").wait_for(state="detached")
        page.wait_for_function(f"looks => JSON.stringify(({LOOKS})()) === JSON.stringify(looks)", arg=before)


def test_a_zoom_survives_a_click(context, storage, address):
    """After a zoom, a click on a point shows its network and keeps the zoom."""
    cheap = open_study(storage, "plane").frontier()[0].number
    with visiting(context, f"{address}/?study=plane") as page:
        page.locator(".js-plotly-plot .point").first.wait_for()
        rest(page)
        before = page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout.yaxis.range")
        plot = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
        x, y = page.wait_for_function(PLACE, arg=cheap).json_value()
        page.mouse.move(plot["x"] + 2, plot["y"] + plot["height"] - 2)
        page.mouse.down()
        page.mouse.move(max(x + 60, plot["x"] + 120), y - 120, steps=8)
        page.mouse.up()
        page.wait_for_function(
            "before => document.querySelector('.js-plotly-plot')._fullLayout.yaxis.range[0] !== before[0]", arg=before
        )
        zoomed = page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout.yaxis.range")
        page.wait_for_timeout(500)  # plotly takes two quick clicks for a double click, which resets the axes
        click_trial(page, cheap)
        page.get_by_test_id("stText").get_by_text(f"trial {cheap} · complete").wait_for()
        rest(page)
        assert page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout.yaxis.range") == zoomed


def test_a_budget_changes_the_result(context, storage, address):
    """By keyboard a budget is set; the result names the best network within it, and the figure has its line."""
    with visiting(context, f"{address}/?study=budget") as page:
        rest(page)
        page.get_by_role("button", name="Budget").click()
        slider = page.get_by_role("slider").first
        slider.focus()
        for _ in range(3):
            page.keyboard.press("ArrowLeft")
        page.get_by_text("Best under").wait_for()
        page.wait_for_function("() => document.querySelector('.js-plotly-plot')?._fullLayout?.shapes.length === 1")
        page.wait_for_url("**under=*")


def test_the_list_of_trials_sorts_and_turns(context, storage, address):
    """The list of trials is sorted by a quantity; the CSV has every trial."""
    study = open_study(storage, "list")
    best = max((r for r in study.trials() if r.state == "complete"), key=lambda record: record.objectives["accuracy"])
    with visiting(context, f"{address}/?study=list") as page:
        rest(page)
        page.get_by_role("combobox", name="Sort by").click()
        page.get_by_role("option", name="validation accuracy").click()
        page.get_by_text("Descending").click()
        first = page.locator(".explorer-table tbody tr").first.locator("td").first
        page.wait_for_function(
            "number => document.querySelector('.explorer-table tbody td')?.innerText === number", arg=str(best.number)
        )
        assert first.inner_text() == str(best.number)
        page.get_by_role("button", name="Prepare CSV").click()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save trials.csv").click()
        assert len(Path(saved.value.path()).read_text().strip().splitlines()) == 1 + COMPLETE + 4


def test_a_link_shares_the_view(context, address):
    """The address follows the axis, the scale and the trial, and a link to it opens the same view."""
    with visiting(context, f"{address}/?study=shared") as page:
        rest(page)
        page.get_by_role("combobox", name="x axis").click()
        page.get_by_role("option", name="parameters").click()
        page.wait_for_url("**x=params*")
        page.get_by_text("Log scale").click()
        page.wait_for_url("**scale=linear*")
        shared = page.url
    with visiting(context, shared) as page:
        rest(page)
        page.wait_for_function(
            "() => document.querySelector('.js-plotly-plot')?._fullLayout?.xaxis.title.text === 'parameters'"
        )
        assert page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout.xaxis.type") == "linear"
        assert page.url == shared


@pytest.mark.parametrize(("name", "start"), [("SVG", b"<svg"), ("PDF", b"%PDF"), ("TikZ", b"% stage")])
def test_a_drawing_is_saved(name, start, context, address):
    """The drawing of the chosen block is saved as SVG, PDF and TikZ."""
    with visiting(context, f"{address}/?study=drawn") as page:
        rest(page)
        page.get_by_role("button", name="Save drawing").click()
        with page.expect_download() as saved:
            page.get_by_role("button", name=name).click()
        assert Path(saved.value.path()).read_bytes().startswith(start)


def test_notes_and_tags_are_saved(context, storage, address):
    """A note and tags of a trial are saved in the database and shown again."""
    with visiting(context, f"{address}/architecture?study=noted&trial=3") as page:
        page.get_by_role("textbox", name="Note").fill("overfits after epoch 3")
        page.get_by_role("textbox", name="Tags, separated by commas").fill("check, paper")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_text("overfits after epoch 3 [check, paper]").wait_for()
        trial = open_study(storage, "noted").trial(3)
        assert (trial.note, trial.tags) == ("overfits after epoch 3", ("check", "paper"))
        page.get_by_role("textbox", name="Tags, separated by commas").fill("paper")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_text("overfits after epoch 3 [paper]").wait_for()


def test_two_networks_are_compared(context, address):
    """Two trials side by side have their differences, marked drawings and their curves in one figure."""
    with visiting(context, f"{address}/architecture?study=compared&trial=0&trial=3") as page:
        page.get_by_text("Red borders mark").wait_for()
        page.locator(".explorer-drawing img").nth(1).wait_for()
        page.locator(".js-plotly-plot .point").first.wait_for()
        names = page.evaluate("[...new Set(document.querySelector('.js-plotly-plot')._fullData.map(one => one.name))]")
        assert names == ["trial 0", "trial 3"]


def test_failures_open_their_reason(context, address):
    """A group of failures opens the whole reason and the command that trains the network again."""
    with visiting(context, f"{address}/runs?study=plane") as page:
        page.get_by_test_id("stExpander").first.locator("summary").click()
        page.get_by_text(f"explorer train plane:{FAILED} --debug").wait_for()


def test_a_phone_shows_navigation_and_cards(context, address):
    """At 400 pixels all pages are linked visibly, no page is wider than the screen, and rows of tables are cards."""
    with visiting(context, f"{address}/?study=small") as page:
        page.set_viewport_size({"width": 400, "height": 800})
        rest(page)
        for title in ("Frontier", "Architecture", "What matters", "Space", "Runs"):
            link = page.locator(".st-key-phone_navigation").get_by_role("link", name=title)
            link.wait_for()
            box = link.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 400 and box["y"] < 120
        page.wait_for_function("() => document.querySelector('[data-testid=stMain]').scrollWidth <= 400")
        row = page.locator(".explorer-table tbody tr").first
        row.wait_for()
        assert row.evaluate("row => getComputedStyle(row).display") == "flex"
        cut = """cells => cells.filter(cell => cell.scrollWidth > cell.clientWidth + 1
            || cell.getBoundingClientRect().right > cell.parentNode.getBoundingClientRect().right)
            .map(cell => cell.dataset.label)"""
        assert page.locator(".explorer-table td").evaluate_all(cut) == []
        page.locator(".st-key-phone_navigation").get_by_role("link", name="Runs").click()
        page.wait_for_url("**/runs*")


@pytest.mark.parametrize(("scheme", "widths"), [("light", (1280, 400)), ("dark", (1280,))])
def test_pages_are_accessible(scheme, widths, browser, address):
    """axe-core finds no serious violation on any page, on the light and the dark theme, and on a phone."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = []
    with opened(browser, color_scheme=scheme, bypass_csp=True) as context:  # axe-core is a script
        for name in ("", "architecture", "effects", "space", "runs"):
            with visiting(context, f"{address}/{name}?study=plane") as page:
                for width in widths:
                    page.set_viewport_size({"width": width, "height": 900})
                    rest(page)
                    found += [
                        (name, width, violation["id"], [node["html"][:200] for node in violation["nodes"][:3]])
                        for violation in axe.run(page).response["violations"]
                        if violation["impact"] in ("serious", "critical")
                    ]
    assert not found


def test_a_token_opens_the_pages(browser, storage):
    """The login is shown first; a wrong token is refused; the right one opens the link that was asked for, whose
    address has no token."""
    token = "a token of a browser"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TOKEN_VARIABLE, token)
        with (
            serving(storage, "--read-only") as shut,
            opened(browser) as own,  # the cookie of the login is for all ports of this machine
            visiting(own, f"{shut}/architecture?study=shut&trial=3") as page,
        ):
            page.get_by_label("Token of this dashboard").fill("a wrong token")
            page.get_by_role("button", name="Log in").click()
            page.get_by_role("alert").wait_for()
            page.get_by_label("Token of this dashboard").fill(token)
            page.get_by_role("button", name="Log in").click()
            page.get_by_text("Export with this command").wait_for()
            assert page.url == f"{shut}/architecture?study=shut&trial=3" and token not in page.content()
            rest(page)
            assert page.get_by_role("textbox", name="Note").count() == 0


def test_the_budget_line_is_dragged(context, address):
    """Dragging the line in the figure sets the budget, and the result names the best network within it."""
    with visiting(context, f"{address}/?study=drawn") as page:
        page.locator(".js-plotly-plot .point").first.wait_for()
        rest(page)
        page.wait_for_function("() => document.querySelector('.js-plotly-plot').hasBudgetListener")
        line = page.locator(".js-plotly-plot .shapelayer path").first.bounding_box()
        x, y = line["x"] + line["width"] / 2, line["y"] + line["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 250, y, steps=10)
        page.mouse.up()
        page.get_by_text("Best under").wait_for()
        page.wait_for_url("**under=*")  # the address follows the page


def test_a_finger_reaches_points_and_drags_the_line(browser, storage, address):
    """By touch a tap on a point under the budget line shows its network, and the line's upper end drags the line."""
    front = open_study(storage, "touched").frontier()
    cheap, expensive = front[0].number, front[-1].number
    phone = {"viewport": {"width": 400, "height": 900}, "has_touch": True, "is_mobile": True}
    with opened(browser, **phone) as context, visiting(context, f"{address}/?study=touched&trial={cheap}") as page:
        page.locator(".js-plotly-plot .point").first.wait_for()
        rest(page)
        page.locator(".explorer-handle").wait_for(state="attached")
        page.locator(".js-plotly-plot").scroll_into_view_if_needed()
        page.touchscreen.tap(*page.wait_for_function(PLACE, arg=expensive).json_value())
        page.get_by_test_id("stText").get_by_text(f"trial {expensive} · complete").wait_for()
        rest(page)
        box = page.locator(".explorer-handle").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        touch = context.new_cdp_session(page)

        def send(kind: str, *places: float) -> None:
            touch.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": each, "y": y} for each in places]}
            )

        send("touchStart", x)
        for step in range(1, 11):
            send("touchMove", x - 15 * step)
        send("touchEnd")
        page.get_by_text("Best under").wait_for()
        page.wait_for_url("**under=*")


def test_a_ring_is_around_the_shown_network(context, storage, address):
    """The ring follows a click at once, a trial that is picked, and a zoom."""
    ring = """number => {
        const ring = document.querySelector('.explorer-ring')?.getBoundingClientRect(), place = (PLACE)(number);
        return ring && place && Math.hypot(
            ring.x + ring.width / 2 - place[0], ring.y + ring.height / 2 - place[1]) < 2;
    }""".replace("PLACE", PLACE)
    front = [record.number for record in open_study(storage, "plane").frontier()]
    with visiting(context, f"{address}/?study=plane&trial={front[0]}") as page:
        page.locator(".js-plotly-plot .point").first.wait_for()
        rest(page)
        page.wait_for_function(ring, arg=front[0])
        click_trial(page, front[-1])
        page.wait_for_function(ring, arg=front[-1])
        page.get_by_test_id("stText").get_by_text(f"trial {front[-1]} · complete").wait_for()
        page.get_by_role("combobox", name="Trial").click()
        page.get_by_role("option", name=f"trial {front[0]},").click()
        page.get_by_test_id("stText").get_by_text(f"trial {front[0]} · complete").wait_for()
        page.wait_for_function(ring, arg=front[0])


def test_a_point_under_the_budget_line_is_clicked(context, storage, address):
    """The line, which is at first on the most expensive network, leaves it the mouse: it can be hovered and clicked."""
    front = open_study(storage, "drawn").frontier()
    cheap, expensive = front[0].number, front[-1].number
    with visiting(context, f"{address}/?study=drawn&trial={cheap}") as page:
        page.locator(".js-plotly-plot .point").first.wait_for()
        rest(page)
        page.wait_for_function("() => document.querySelector('.js-plotly-plot').hasBudgetListener")
        x, y = page.wait_for_function(PLACE, arg=expensive).json_value()
        page.mouse.move(x, y + 60)
        page.mouse.move(x, y)
        page.locator(".hoverlayer .hovertext").filter(has_text=f"trial {expensive}").wait_for()
        page.mouse.click(x, y)
        page.get_by_test_id("stText").get_by_text(f"trial {expensive} · complete").wait_for()
