"""A study whose space chooses the resolution: its pages, its effects and its report."""

from __future__ import annotations

import re

import pytest

from explorer.costs.analytic import count_cost
from explorer.dashboard.report import report_page
from explorer.space.search_space import parse_space
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.rows import Proposal
from explorer.store.studies import create_study
from explorer.store.study import Study
from explorer.store.writer import StudyWriter
from explorer.study.results.effects import choice_effects
from tests.dashboards.conftest import OBJECTIVES, ending
from tests.dashboards.views.contents import texts

SPACE = """
input: 1 x res x res
classes: 10
stem: conv3x3(8) bn relu
stages: {blocks: depth, width: [8, 16], stride: [1, 2]}
block: conv3x3 bn relu conv3x3 bn + relu
head: gap fc
grammar: {res: 8 | 16, depth: 1 | 2 | 3 | 4}
vary: {depth: stage}
"""


@pytest.fixture
def resolutions(url) -> Study:
    """A study of all networks, whose accuracy rises by 10 points with the resolution."""
    space = parse_space(SPACE)
    study = create_study(
        open_for_writing(url),
        "resolutions",
        space_name="resolutions",
        space_text=SPACE,
        fingerprint={"data": "digits", "epochs": 8},
        objectives=OBJECTIVES,
        seed=0,
    )
    writer = StudyWriter(study, new_worker())
    for number, derivation in enumerate(space):
        network, choices = space.architecture(derivation), dict(derivation.choices)
        costs = count_cost(network).to_dict()
        writer.begin(number, Proposal(network.digest, network.to_json(), choices, costs, number))
        accuracy = 0.5 + 0.1 * (choices["res"] == "16") + 0.01 * int(choices["depth@stage1"]) + number % 3 / 1000
        writer.finish(number, ending(accuracy))
    return study


@pytest.mark.parametrize("name", ["frontier", "architecture", "effects", "runs"])
def test_pages_of_a_study_of_resolutions(page, resolutions, name):
    """Each page is drawn."""
    at = page(name)
    assert not at.exception and not at.error and at.get("plotly_chart")


def test_the_space_page_names_the_rule_of_the_input(page, resolutions):
    """The page shows all networks of every resolution, and the rule of the size, not the size of one network."""
    at = page("space")
    assert texts(at)
    shown = {metric.label: metric.value for metric in at.metric}
    assert (shown["input"], shown["derivations"], shown["networks tried"]) == ("1×res×res", "32", "32")


def test_the_effect_of_the_resolution(resolutions):
    """The resolution has its effect all else equal, with the ratio of the costs."""
    (effect,) = choice_effects(resolutions, "res")
    assert effect.paired is not None and effect.paired.cost_ratio == pytest.approx(4, abs=0.1)
    assert abs(effect.paired.effect) == pytest.approx(0.1, abs=0.005)
    page = re.sub(
        r"<td[^>]*>(?:<span>)?(.*?)(?:</span>)?</td>", r"<td>\1</td>", report_page(resolutions, resolutions.trials())
    )
    assert f"<td>res</td><td>{effect.level}</td>" in page
