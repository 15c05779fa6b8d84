"""Extra values that ``evaluate`` returns: numbers are stored with the trial, all others are ignored."""

from __future__ import annotations

import pytest

from explorer.store.studies import open_study
from explorer.study.search import run_search
from tests.command_line import run
from tests.study.evaluations import score


def measures_more(architecture, *, choices, epochs, seed):
    """Return an objective, two more numbers, and values that are not numbers or not measurements."""
    more = {
        "watts": 3,
        "top5": 0.99,
        "nan": float("nan"),
        "curve": [1, 2],
        "note": "fine",
        "beyond": 1e308,
        "macs": 1,
        7: 1.0,
        "\x1b": 1,
    }
    return {"accuracy": score(choices), **more}


@pytest.mark.parametrize("workers", [1, 2])
def test_extra_numbers_are_stored_with_the_trial(space, url, workers, caplog, capsys):
    """Extra numbers appear in frame, listings and front; other values and names of costs give one warning per run."""
    settings = {"storage": url, "study": "one", "sampler": "random", "workers": workers}
    study = run_search(space, evaluate=measures_more, trials=4, **settings).study
    complete = [record for record in study.trials() if record.state == "complete"]
    assert len(complete) == 4 and study.counts()["failed"] == 0
    for record in complete:
        assert record.objectives == {
            "accuracy": score(record.choices), "watts": 3.0, "top5": 0.99, "macs": record.costs["macs"],
        }  # fmt: skip
    assert caplog.text.count("ignored answers of 'evaluate'") == 1
    assert "finite numbers of magnitude up to 1e+100" in caplog.text
    for name in ("'beyond'", "'nan'", "'curve'", "'note'", "'macs'", "7"):
        assert name in caplog.text
    assert list(study.to_frame()["watts"].dropna()) == [3.0] * 4
    assert study.frontier("macs", "watts") and open_study(url, "one").frontier("watts", "accuracy")
    status, out, _ = run(capsys, "trials", "one", "--storage", url)
    assert status == 0 and "watts" in out and "attempts" in out
    status, _, err = run(capsys, "frontier", "one", "--y", "watts", "--storage", url)
    assert status == 0, err


def test_a_missing_objective_is_a_failure(space, url):
    """Extra numbers do not replace an objective."""

    def lacking(architecture, *, choices, epochs, seed):
        return {"acuracy": 0.5, "watts": 3.0}

    study = run_search(space, evaluate=lacking, storage=url, study="one").study
    assert {r.state for r in study.trials()} == {"failed"}
    assert "evaluate gave acuracy, watts, expected accuracy" in study.trial(0).reason
