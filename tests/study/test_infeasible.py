"""What Optuna's samplers learn from candidates that limits reject."""

from __future__ import annotations

import math

import pytest

from explorer.analysis.limits import parse_limit
from explorer.costs.analytic import count_cost
from explorer.records import TrialRecord
from explorer.space.search_space import parse_space
from explorer.study.samplers.optuna import OptunaAdapter
from explorer.study.search import run_search

SPACE_TEXT = """
name: widths
input: 1x4x4
classes: 2
stem: conv3x3(4)
stages: {blocks: 1, width: [a, b, c, e]}
block: conv3x3 +
shortcut: {changed: conv1x1}
head: gap fc
grammar:
  a: 2 | 4 | 8 | 16
  b: 2 | 4 | 8 | 16
  c: 2 | 4 | 8 | 16
  e: 2 | 4 | 8 | 16
"""


def by_widths(architecture, *, choices, epochs, seed):
    return {"accuracy": 0.5 + sum(int(width) for width in choices.values()) / 200}


@pytest.fixture(scope="module")
def widths():
    return parse_space(SPACE_TEXT, "widths.yaml")


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", pytest.param("gp", marks=pytest.mark.slow)])
def test_fewer_candidates_are_rejected_as_trials_proceed(widths, sampler):
    """Under a limit that rejects 90% of a space, rejections fall by a quarter or more from the first to the last
    third."""
    macs = sorted(count_cost(widths.architecture(derivation)).macs for derivation in widths)
    limit = parse_limit(f"macs <= {macs[len(macs) // 10]}")
    study = run_search(widths, evaluate=by_widths, storage=None, sampler=sampler, limits=(limit,), trials=20).study
    rejected = [record.state == "rejected" for record in study.trials(full=False)]
    third = len(rejected) // 3
    assert sum(rejected[-third:]) <= 0.75 * sum(rejected[:third])


def test_networks_chosen_by_the_search_join_the_generation(widths):
    """A network chosen because all of NSGA-II's proposals were rejected or known joins its generation, also after a
    resume."""
    memory = OptunaAdapter(widths, {"accuracy": "max", "macs": "min"}, "nsga2", 0)
    resumed = OptunaAdapter(widths, {"accuracy": "max", "macs": "min"}, "nsga2", 0)
    for number in range(20):  # the size of the population
        derivation = widths.unrank(number)
        notes = memory.adopt(number, derivation)
        objectives = {"accuracy": 0.5, "macs": 9_000 + number}
        record = TrialRecord(number, "complete", choices=derivation.choices, objectives=objectives)
        memory.learn(record, {})
        resumed.learn(record, notes)
    derivation, notes = memory.ask(20)
    assert notes["NSGAIISampler:generation"] == 1 and resumed.ask(20) == (derivation, notes)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp"])
def test_a_rejected_candidate_is_infeasible_to_the_sampler(widths, sampler):
    """Optuna's sampler gets the constraint violation of a rejected candidate and none for a complete one, also after a
    resume."""
    limit = parse_limit("macs <= 10k")
    for asked in (True, False):
        memory = OptunaAdapter(widths, {"accuracy": "max", "macs": "min"}, sampler, 0, (limit,))
        for number, (state, macs) in enumerate((("complete", 9_000), ("rejected", 20_000))):
            choices = memory.ask(number)[0].choices if asked else widths.unrank(number).choices
            objectives = {"accuracy": 0.5, "macs": macs} if state == "complete" else {}
            record = TrialRecord(number, state, choices=choices, costs={"macs": macs}, objectives=objectives)
            memory.learn(record, {})
        kept, broken = memory._study.trials
        assert kept.constraints == {str(limit): pytest.approx(math.log(0.9))}
        assert broken.constraints == {str(limit): pytest.approx(math.log(2.0))} and broken.values == [0.5, 20_000]


@pytest.mark.parametrize("text, value, broken", [("macs<=5", 5, False), ("macs<5", 5, True), ("macs>=5", 4, True)])
def test_the_violation_is_positive_exactly_if_the_limit_is_broken(text, value, broken):
    """The violation is also positive on the bound itself if the limit is strict."""
    limit = parse_limit(text)
    assert (limit.excess({"macs": value}) > 0) is broken is (not limit.allows({"macs": value}))
