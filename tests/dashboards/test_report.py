"""A study as one static HTML page."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from explorer.cli import main
from explorer.dashboard.report import report_page
from explorer.store.rows import Ending
from tests.dashboards.chromium import CHROMIUM, FLAGS
from tests.dashboards.conftest import COMPLETE, REASON, begin_study, ending, proposal, write_study
from tests.dashboards.payloads import HOSTILE


def test_the_page_describes_the_study(study):
    """The page has the study's name, the trials that were not trained, the front with its choices, and the failure
    reasons."""
    page = report_page(study, study.trials())
    assert "1: their networks had been trained before" in page
    assert "digits &amp; co" in page
    assert REASON in page
    for record in study.frontier():
        assert ", ".join(f"{name}={text}" for name, text in record.choices.items()) in page
    figures = json.loads(re.search(r"const figures = (.*);\n", page)[1])
    grown = {"growth", "growth_trials", "timeline"}
    assert set(figures) - {"together"} == {
        "frontier", "effects", "curves", "importance", "spread", "through", *grown,
    }  # fmt: skip
    assert {"all else equal", "at equal MACs", "on the frontier"} <= set(re.findall(r"<th[^>]*>([^<]*)</th>", page))


def test_latencies_of_two_environments_are_not_mixed(url):
    """Latencies of two machines are not drawn in one figure: the page says so and uses MACs."""
    writer = begin_study(url, "two machines", {"accuracy": "max", "latency_ms": "min"})
    for number in range(4):
        note = {"environment": {"digest": f"e{number % 2}", "device_name": f"CPU {number % 2}", "versions": {},
                                "limits": {}}, "contended": False, "notes": []}  # fmt: skip
        costs = {"latency_ms": 1.0 + number, "macs": 10.0 * (number + 1)}
        proposed = dataclasses.replace(proposal(number, costs=costs), latency=note)
        writer.begin(number, proposed)
        writer.finish(number, ending(0.5 + number / 10))
    page = report_page(writer.study, writer.study.trials())
    assert "2 environments (device_name CPU 0 or CPU 1)" in page
    frontier = json.loads(re.search(r"const figures = (.*);\n", page)[1])["frontier"]
    assert frontier["layout"]["xaxis"]["title"]["text"].startswith("MACs")


def test_the_report_is_small(study):
    """A page with a thousand trials is smaller than 5 MB."""
    trials = []
    for number in range(1_000):
        trial = study.trial(number % COMPLETE)
        costs = {name: value + number for name, value in trial.costs.items()}
        objectives = {"accuracy": 0.3 + (number * 7919 % 1000) / 2000, "macs": costs["macs"]}
        trials.append(dataclasses.replace(trial, number=number, costs=costs, objectives=objectives))
    assert len(report_page(study, trials).encode()) < 5_000_000


def test_studies_with_few_trials(url):
    """A study without trials, or with one, gives a page that says what is missing."""
    writer = begin_study(url, "young")
    assert "no frontier to draw" in report_page(writer.study, [])
    writer.begin(0, proposal(0))
    writer.finish(0, ending(0.5))
    assert "needs at least two networks" in report_page(writer.study, writer.study.trials())


def test_the_command_writes_the_report(study, url, tmp_path, capsys):
    """``explorer report`` writes the file and prints its path and size, and an invalid folder gives one line."""
    file = tmp_path / "report.html"
    with pytest.raises(SystemExit) as left:
        main(["report", study.name, "-o", str(file), "--json", "--storage", url])
    assert left.value.code == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(file), "bytes": file.stat().st_size}
    (tmp_path / "a file").touch()
    with pytest.raises(SystemExit) as left:
        main(["report", study.name, "-o", str(tmp_path / "a file" / "x.html"), "--storage", url])
    assert left.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow  # it starts a browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")
def test_the_report_works_offline_and_escapes_texts(url, tmp_path):
    """In an offline browser all figures are drawn and hostile texts stay text."""
    from playwright.sync_api import sync_playwright

    attack = "</script><img src=x onerror=alert(1)>"
    write_study(url, attack)
    writer = begin_study(url, "hostile", {attack: "max", "macs": "min"}, space=attack, data=attack)
    for number, text in enumerate(HOSTILE):
        writer.begin(number, proposal(number, choices={attack: text, text: f"{text}{number % 2}"}))
        writer.finish(number, ending(0.5, **{attack: number / 100}))
    writer.begin(len(HOSTILE), proposal(len(HOSTILE)))
    writer.finish(len(HOSTILE), Ending("failed", reason=" ".join(HOSTILE)))
    file = tmp_path / "report.html"
    file.write_text(report_page(writer.study, writer.study.trials()))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        asked, dialogs, broken = [], [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_function("() => document.body.dataset.drawn === 'yes'")
        assert page.locator(".js-plotly-plot .point").count() >= COMPLETE // 4
        made = "img, iframe, object, form, base, meta[http-equiv=refresh], svg a, body a[href^=http], math"
        made += ", details[open], details[ontoggle]"  # the folded table of effects has neither
        assert page.locator(made).count() == 0
        assert not dialogs and not broken
        assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
        browser.close()


def test_the_table_of_effects_has_one_cell_for_each_answer(study):
    """The table of effects has a column for each answer, with its interval and what was compared, and none that is
    empty; it is folded."""
    page = report_page(study, study.trials())
    table = re.search(r"<details><summary>The \d+ rows as a table</summary>(.*?)</details>", page, re.DOTALL)[1]
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", table)
    answers = ["all else equal", "at equal MACs", "on the frontier"]
    assert heads[:6] == ["choice", "level", "against", *answers] and len(heads) <= 7
    cells = re.findall(r'data-label="(?:at equal MACs|on the frontier)"><span>([^<]*)<', table)
    assert cells and all(re.match(r"[+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\], at [\d.–]+", cell) for cell in cells)
