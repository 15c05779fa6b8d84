"""When a training that will not reach the frontier is ended early, with any number of objectives.

A rule looks at a run after some of its epochs and compares it with all runs that came as far. It is a
function of the runs alone, so recorded curves can be replayed through it (``benchmarks/early_stopping.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from explorer.errors import StudyError, did_you_mean
from explorer.frontier import non_dominated

Array = np.ndarray
FEWEST = 8  # complete runs without which nothing is predicted
DRAWS = 1000  # of a forecast
ROUNDING = 1e-9  # crowding distances that differ by less are equal


@dataclass(frozen=True, slots=True)
class Run:
    """One training's way so far. ``learnt``: after each epoch those objectives that training brings, ``costs``:
    those known before, all to be minimised. ``signs``: after each epoch whatever else may tell how it will
    end, on a scale where a straight line makes sense. ``complete``: it was trained to the end."""

    learnt: tuple[tuple[float, ...], ...]
    costs: tuple[float, ...] = ()
    signs: tuple[tuple[float, ...], ...] = ()
    complete: bool = False

    def point(self, epoch: int) -> tuple[float, ...]:
        """All objectives as they were after ``epoch``, which counts from 1."""
        return (*self.learnt[epoch - 1], *self.costs)


class Rule(Protocol):
    """Says which runs are not worth going on with."""

    def looks(self, epochs: int) -> tuple[int, ...]:
        """The epochs, of ``epochs`` in all, after which it is asked."""
        ...

    def reasons(self, epoch: int, judged: Sequence[Run], runs: Sequence[Run]) -> list[str]:
        """Why each of the ``judged`` runs should end after ``epoch``, in words, or an empty text: it goes on.

        ``runs``: the study's other runs. A run that was ended is judged so as well, when it might be taken up again.
        """
        ...


class Never:
    """Every training runs to its end."""

    def looks(self, epochs: int) -> tuple[int, ...]:
        return ()

    def reasons(self, epoch: int, judged: Sequence[Run], runs: Sequence[Run]) -> list[str]:
        return [""] * len(judged)


@dataclass(frozen=True)
class Rungs:
    """Successive halving without waiting (Li et al. 2020, arXiv:1810.05934), its stopping form, with several
    objectives: at each rung, after 1, 2, 4, ... epochs, the best 1/``eta`` of all that came so far go on.
    (Rungs ``eta`` times apart, as there, cost more epochs and more of the frontier.)

    Runs are ordered by non-dominated rank and, within a rank, by crowding distance (Deb et al. 2002,
    III.A and III.B), objectives scaled to the rung's range. One that no other dominates always goes on: a
    cheap network is not ended for the sake of a dearer one that merely scores higher. So do the first of
    a rung, while they are fewer than ``eta``.
    """

    eta: float = 3.0
    step: float = 2.0

    def looks(self, epochs: int) -> tuple[int, ...]:
        return _geometric(epochs, self.step)

    def reasons(self, epoch: int, judged: Sequence[Run], runs: Sequence[Run]) -> list[str]:
        rung = [*judged, *(run for run in runs if len(run.learnt) >= epoch)]
        ranks, places = places_of(np.array([run.point(epoch) for run in rung]))
        size = len(rung)
        return [
            ""
            if size < self.eta or rank == 0 or place < size / self.eta
            else f"place {place + 1} of {size} after {epoch} epochs, the best {1 / self.eta:.0%} go on"
            for rank, place in zip(ranks[: len(judged)], places)
        ]


@dataclass(frozen=True)
class Curves:
    """A run ends when the finished network would join the frontier with a probability below ``chance``.

    What the finished network will reach is a linear regression of the final values on the signs at
    this epoch, over the runs that were trained to the end (as Baker et al. 2018, arXiv:1705.10823, who
    regress on more of the curve). Its uncertainty is the regression's own: a t distribution, wider
    for few runs and for unusual ones. That only some runs are trained to the end hardly bends it: which
    ones are depends on what the regression is given.
    """

    chance: float = 0.05
    step: float = 1.5

    def looks(self, epochs: int) -> tuple[int, ...]:
        return _geometric(epochs, self.step)

    def reasons(self, epoch: int, judged: Sequence[Run], runs: Sequence[Run]) -> list[str]:
        complete = [run for run in runs if run.complete]
        if len(complete) < FEWEST or not judged:
            return [""] * len(judged)
        forecast = predict(epoch, judged, complete)
        finals = [(*run.learnt[-1], *run.costs) for run in complete]
        front = [finals[place] for place in non_dominated(finals)]
        chances = [1 - _beaten(draws, run.costs, front).mean() for run, draws in zip(judged, forecast.draws)]
        return [
            "" if chance >= self.chance else f"after {epoch} epochs {chance:.1%} likely to join the frontier"
            for chance in chances
        ]


def _geometric(epochs: int, factor: float) -> tuple[int, ...]:
    """1 and then each about ``factor`` times the one before, all below ``epochs``."""
    found, at = [], 1
    while at < epochs:
        found.append(at)
        at = max(at + 1, round(at * factor))
    return tuple(found)


def places_of(points: Array) -> tuple[list[int], list[int]]:
    """Non-dominated rank (0 is the front) and place (0 is best) of each of ``points`` (N, M), all minimised.

    The place counts the points of a lower rank and those of the same rank that are less crowded; equal
    points, and equally crowded ones, share a place.
    """
    better = (points[:, None] <= points[None]).all(2) & (points[:, None] < points[None]).any(2)  # i dominates j
    ranks = np.full(len(points), -1)
    left, rank = np.ones(len(points), bool), 0
    while left.any():
        front = left & ~better[left].any(0)
        ranks[front] = rank
        left &= ~front
        rank += 1
    spread = points.max(0) - points.min(0)
    scaled = (points - points.min(0)) / np.where(spread > 0, spread, 1.0)
    crowding = np.empty(len(points))
    for each in range(rank):
        crowding[ranks == each] = _crowding(scaled[ranks == each])
    places = [int(((ranks < r) | ((ranks == r) & (crowding > c + ROUNDING))).sum()) for r, c in zip(ranks, crowding)]
    return ranks.tolist(), places


def _crowding(front: Array) -> Array:
    """The crowding distance of each point of one front (N, M): the larger, the lonelier. Equal points share theirs."""
    distinct, place = np.unique(front, axis=0, return_inverse=True)
    distance = np.zeros(len(distinct))
    for column in distinct.T:
        order = np.argsort(column, kind="stable")
        values = column[order]
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += values[2:] - values[:-2]
    return distance[place.reshape(-1)]


@dataclass(frozen=True)
class Forecast:
    """What runs will reach. ``mean``: (J, M) expected final values of the learnt objectives; ``draws``:
    (J, DRAWS, M) equally likely ones."""

    mean: Array
    draws: Array


def predict(epoch: int, judged: Sequence[Run], complete: Sequence[Run]) -> Forecast:
    """The final values of the ``judged`` runs, as the ``complete`` ones suggest that have come to theirs.

    Ridge regression on standardised features with the weight of one run on zero slopes; the spread is
    that of the residuals each run has when it is left out (its leverage tells, without another fit).
    """
    known, asked = (np.array([run.signs[epoch - 1] for run in runs]) for runs in (complete, judged))
    centre, scale = known.mean(0), known.std(0)
    scale[scale == 0] = 1.0
    known, asked = (np.column_stack([np.ones(len(x)), (x - centre) / scale]) for x in (known, asked))
    finals = np.array([run.learnt[-1] for run in complete])
    penalty = np.eye(known.shape[1])
    penalty[0, 0] = 0.0
    inverse = np.linalg.inv(known.T @ known + penalty)
    weights = inverse @ known.T @ finals
    leverage = np.einsum("ij,jk,ik->i", known, inverse, known)
    residuals = (finals - known @ weights) / (1 - leverage)[:, None]
    freedom = max(2, len(complete) - known.shape[1])
    spread = residuals.T @ residuals / len(complete)
    random = np.random.default_rng(0)
    draws = random.standard_normal((DRAWS, finals.shape[1])) / np.sqrt(random.chisquare(freedom, (DRAWS, 1)) / freedom)
    draws = draws @ np.linalg.cholesky(spread + 1e-12 * np.eye(len(spread))).T
    mean = asked @ weights
    width = np.sqrt(1 + np.einsum("ij,jk,ik->i", asked, inverse, asked))
    return Forecast(mean, mean[:, None] + width[:, None, None] * draws)


def _beaten(draws: Array, costs: Sequence[float], front: Sequence[Sequence[float]]) -> Array:
    """For each of the ``draws`` (D, M) of a run of these ``costs``: whether a point of the front is no worse."""
    beaten = np.zeros(len(draws), bool)
    learnt = draws.shape[1]
    for point in front:
        if all(mine >= its for mine, its in zip(costs, point[learnt:])):
            beaten |= (draws >= np.array(point[:learnt])).all(1)
    return beaten


AUTO = "auto"
SHORTEST = 8  # epochs; of shorter trainings "auto" stops none: benchmarks/records/early_stopping_cpu_2026-11-24.md
RULES: dict[str, Rule] = {"none": Never(), "rungs": Rungs(eta=2.25), "curves": Curves()}


def choose_stopping(name: str, epochs: int) -> str:
    """The rule of that name, for trainings of so many epochs: "auto" is "rungs", unless there are fewer than SHORTEST:
    of so few the first rungs tell little and leave little to save. Raises StudyError for an unknown name."""
    known = (AUTO, *RULES)
    if name not in known:
        raise StudyError(f"unknown stopping rule {name!r}; known: {', '.join(known)}{did_you_mean(name, known)}")
    if name != AUTO:
        return name
    return "rungs" if epochs >= SHORTEST else "none"
