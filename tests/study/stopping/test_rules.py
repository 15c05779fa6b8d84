"""The early-stopping rules on synthetic curves, compared with brute force."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import StudyError
from explorer.study.stopping.rules import MIN_COMPLETE, RULES, Curves, Run, Rungs, choose_stopping, places_of, predict

coordinates = st.integers(0, 6).map(float)  # few values, so that ties and equal points are common
points = st.integers(1, 3).flatmap(lambda m: st.lists(st.tuples(*[coordinates] * m), min_size=1, max_size=24))


def dominates(a, b) -> bool:
    return all(x <= y for x, y in zip(a, b)) and a != b


def brute_rank(point, others) -> int:
    """Return the length of the longest chain of points that dominate one another and then this point."""
    above = [other for other in others if dominates(other, point)]
    return max((1 + brute_rank(other, above) for other in above), default=0)


def brute_crowding(point, front, spans) -> float:
    """Return the sum over the objectives of the gap between the neighbours of ``point`` in its front."""
    total = 0.0
    for axis, span in enumerate(spans):
        ordered = sorted(set(front), key=lambda p: (p[axis], p))
        place = ordered.index(point)
        if place in (0, len(ordered) - 1):
            return math.inf
        total += (ordered[place + 1][axis] - ordered[place - 1][axis]) / (span or 1.0)
    return total


@settings(max_examples=100, deadline=None)
@given(points)
def test_ranks_and_places_are_those_of_brute_force(points):
    """Rank is the longest chain of dominating points; place is the number of points with lower rank or equal rank and
    less crowding."""
    ranks, places = places_of(np.array(points))
    assert ranks == [brute_rank(point, points) for point in points]
    spans = [max(column) - min(column) for column in zip(*points)]
    crowding = [
        brute_crowding(point, [p for p, r in zip(points, ranks) if r == rank], spans)
        for point, rank in zip(points, ranks)
    ]
    for rank, place, own in zip(ranks, places, crowding):
        before = [
            r < rank or (r == rank and other > own and not math.isclose(other, own))
            for r, other in zip(ranks, crowding)
        ]
        assert place == sum(before)


@settings(max_examples=100, deadline=None)
@given(points, st.integers(2, 4))
def test_a_rung_lets_the_best_share_go_on(points, eta):
    """A run continues exactly if it is among the first of its rung, undominated, or in the best 1/eta of the places."""
    runs = [Run((point[:1],), point[1:]) for point in points]
    judged, others = runs[:1], runs[1:]
    (reason,) = Rungs(eta).reasons(1, judged, others)
    ranks, places = places_of(np.array(points))
    goes_on = len(points) < eta or ranks[0] == 0 or places[0] * eta < len(points)
    assert (reason == "") == goes_on
    if not goes_on:
        assert reason == f"place {places[0] + 1} of {len(points)} after 1 epoch, only the best {1 / eta:.0%} continue"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=24), coordinates)
def test_the_cheapest_run_is_never_stopped(others, accuracy):
    """The rules never stop a run that is cheaper than all others, whatever their scores."""
    cheap = Run(((-accuracy,),), (-1.0,))
    assert Rungs().reasons(1, [cheap], [Run(((-a,),), (cost,)) for a, cost in others]) == [""]


@pytest.mark.parametrize(
    "epochs, rungs, curves",
    [
        (1, (), ()),
        (2, (1,), (1,)),
        (5, (1, 2, 4), (1, 2, 3, 4)),
        (15, (1, 2, 4, 8), (1, 2, 3, 4, 6, 9, 14)),
        (28, (1, 2, 4, 8, 16), (1, 2, 3, 4, 6, 9, 14, 21)),
    ],
)
def test_checks_are_at_geometric_epochs(epochs, rungs, curves):
    """Rungs check after 1, 2, 4, ... epochs, curves more often, and neither after the last epoch."""
    assert RULES["rungs"].decision_epochs(epochs) == rungs
    assert RULES["curves"].decision_epochs(epochs) == RULES["freeze_thaw"].decision_epochs(epochs) == curves
    assert RULES["none"].decision_epochs(epochs) == ()


def made_up(count: int, seed: int, noise: float = 0.03) -> list[Run]:
    """Return complete runs of four epochs whose accuracy grows towards a final value, with costs between 1 and 100."""
    draw = random.Random(seed)
    runs = []
    for _ in range(count):
        cost = math.exp(draw.uniform(0, math.log(100)))
        final = min(1.0, max(0.0, 0.5 + 0.08 * math.log(cost) + draw.gauss(0, 0.08)))
        ways = [(-(final * (0.4 + 0.15 * epoch) + draw.gauss(0, noise)),) for epoch in range(1, 4)]
        runs.append(run([*(-way[0] for way in ways), final], cost, complete=True))
    return runs


def run(accuracies, cost: float, complete: bool = False) -> Run:
    """Return a run with these accuracies; accuracy and cost are its only metrics."""
    return Run(tuple((-a,) for a in accuracies), (cost,), tuple((a, math.log(cost)) for a in accuracies), complete)


def test_forecast_intervals_contain_the_final_values():
    """About nine in ten held-out runs end between the 5th and the 95th percentile of their forecast."""
    inside = total = 0
    for seed in range(40):
        known, unseen = made_up(12, seed), made_up(20, 1000 + seed)
        forecast = predict(1, unseen, known)
        low, high = np.quantile(forecast.samples[:, :, 0], [0.05, 0.95], axis=1)
        finals = np.array([run.metrics[-1][0] for run in unseen])
        inside += int(((low <= finals) & (finals <= high)).sum())
        total += len(unseen)
    assert 0.85 <= inside / total <= 0.95


def test_curves_stop_only_unpromising_runs():
    """With enough complete runs, a run far behind for its cost is stopped with its probability; good or cheap runs
    continue."""
    complete = made_up(30, 1)
    hopeless, good, cheap = run([0.1], 90.0), run([0.55], 90.0), run([0.1], 0.5)
    rule = Curves()
    reason, *others = rule.reasons(1, [hopeless, good, cheap], complete)
    assert reason.startswith("after 1 epoch the probability to reach the frontier is ") and reason.endswith("%")
    assert others == ["", ""]
    assert rule.reasons(1, [hopeless], complete[: MIN_COMPLETE - 1]) == [""]


def test_unfinished_and_shorter_runs_are_ignored():
    """Incomplete runs do not enter forecasts, and shorter runs do not enter a rung."""
    complete, short = made_up(20, 3), [run([0.9], 1.0)] * 30
    judged = [run([0.1, 0.2], 50.0)]
    assert Curves().reasons(2, judged, complete + short) == Curves().reasons(2, judged, complete)
    assert Rungs().reasons(2, judged, complete + short) == Rungs().reasons(2, judged, complete)


def test_several_measured_objectives_are_forecast_jointly():
    """If accuracy and loss are both forecast, a run must be behind in both to be stopped; samples keep their
    correlation."""
    known = [replace(run, metrics=tuple((a[0], 1 + a[0]) for a in run.metrics)) for run in made_up(30, 4)]
    forecast = predict(1, known[:1], known)
    assert np.corrcoef(forecast.samples[0].T)[0, 1] > 0.99
    hopeless = replace(run([0.1], 90.0), metrics=((-0.1, 0.9),))
    assert Curves().reasons(1, [hopeless], known)[0]


def test_an_unknown_rule_is_refused_by_name():
    """An unknown rule name gives a one-line error that lists the known rules."""
    with pytest.raises(
        StudyError,
        match="unknown stopping rule 'rung'; known: auto, none, rungs, curves, freeze_thaw; did you mean 'rungs'",
    ):
        choose_stopping("rung", 10)


def test_auto_stops_no_short_training():
    """By default short trainings run to their end; a rule given by name applies to them too."""
    assert [choose_stopping("auto", epochs) for epochs in (1, 5, 7, 8, 30)] == ["none"] * 3 + ["rungs"] * 2
    assert choose_stopping("rungs", 2) == "rungs"
