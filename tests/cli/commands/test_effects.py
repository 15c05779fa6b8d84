"""``explorer effects``: three answers side by side."""

from __future__ import annotations

import json

import pytest

import explorer
from tests.cli.commands.small_space import SPACE
from tests.command_line import run


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """A database with one study of 30 networks, in which silu gains 10 points."""
    url = f"sqlite:///{tmp_path_factory.mktemp('effects') / 'explorer.db'}"

    def evaluate(arch, *, choices, epochs, seed):
        return {"accuracy": 0.5 + 0.1 * (choices["act"] == "silu") + 0.001 * (seed % 7)}

    explorer.search(
        explorer.parse_space(SPACE, "small.yaml"), objectives={"accuracy": "max", "macs": "min"}, trials=30,
        sampler="random", seed=0, storage=url, study="one", evaluate=evaluate,
    )  # fmt: skip
    return url


def test_three_answers_are_printed_side_by_side(capsys, storage, monkeypatch):
    """The table has a column for each answer in points, marks what is not zero, and says at which costs."""
    monkeypatch.setenv("COLUMNS", "220")
    status, out, err = run(capsys, "effects", "one", "--storage", storage)
    assert (status, err) == (0, "")
    header, *lines = out.splitlines()
    assert [name for name in ("all else equal", "at equal macs", "on the frontier") if name not in header] == []
    act = next(line for line in lines if line.startswith("act"))
    assert act.count("10.") >= 3 and act.count("*") == 3 and "k macs" in act
    assert "effects in percentage points of accuracy, with 95% intervals" in out
    assert "no common range of macs" in out


def test_effects_json_is_a_list_with_three_answers(capsys, storage):
    """``effects --json`` has the fields that scripts read; ``--interactions --json`` is a list of interactions."""
    status, out, _ = run(capsys, "effects", "one", "--factor", "act", "--json", "--storage", storage)
    (effect,) = json.loads(out)
    assert status == 0 and abs(effect["effect"]) == pytest.approx(0.1, abs=0.01) and effect["significant"]
    assert effect["paired"]["pairs"] >= 3 and effect["equal_cost"]["from"] < effect["equal_cost"]["to"]
    status, out, _ = run(capsys, "effects", "one", "--interactions", "--json", "--storage", storage)
    assert status == 0 and {"factor", "other", "effect", "ci95", "significant"} <= set(json.loads(out)[0])


def test_interactions_are_a_second_table(capsys, storage):
    """``--interactions`` adds a table of pairs of choices."""
    status, out, _ = run(capsys, "effects", "one", "--interactions", "--storage", storage)
    assert status == 0 and "differs by" in out


def test_a_cost_is_no_objective_at_equal_cost(capsys, storage):
    """The same quantity as objective and cost is refused in one line."""
    status, out, err = run(capsys, "effects", "one", "--objective", "macs", "--cost", "macs", "--storage", storage)
    assert (status, out) == (2, "") and len(err.splitlines()) == 1
    assert "objective and cost are both macs" in err
