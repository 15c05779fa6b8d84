"""Early stopping of unpromising trainings, with any number of objectives.

A rule judges a run after some of its epochs by all runs that reached the same epoch. It is a function of the runs
alone, so recorded learning curves can be replayed through it (``benchmarks/early_stopping.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from explorer.analysis.crowding import crowding_distances, non_dominated_ranks
from explorer.analysis.pareto import non_dominated
from explorer.errors import StudyError, did_you_mean
from explorer.extensions.lookup import find, names, unknown_hint
from explorer.extensions.registry import serve

Array = np.ndarray
MIN_COMPLETE = 8  # complete runs needed before final values are predicted
SAMPLES = 1000  # samples of a forecast
TOLERANCE = 1e-9  # crowding distances that differ by less count as equal


@dataclass(frozen=True, slots=True)
class Run:
    """One training so far.

    Attributes:
        metrics: After each epoch, the objectives that training measures, all minimised.
        costs: The objectives known before training, all minimised.
        predictors: After each epoch, further metrics that predict the final values, scaled for a linear model.
        complete: Whether it was trained to the end.
    """

    metrics: tuple[tuple[float, ...], ...]
    costs: tuple[float, ...] = ()
    predictors: tuple[tuple[float, ...], ...] = ()
    complete: bool = False

    def point(self, epoch: int) -> tuple[float, ...]:
        """Return all objectives after ``epoch``, counted from 1."""
        return (*self.metrics[epoch - 1], *self.costs)


class Rule(Protocol):
    """Decides which runs to stop."""

    def decision_epochs(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs, of ``epochs`` in total, after which the rule judges a run."""
        ...

    def reasons(self, epoch: int, judged: Sequence[Run], runs: Sequence[Run]) -> list[str]:
        """Return for each judged run the reason to stop it after ``epoch``, or an empty text to continue it.

        Args:
            epoch: Epoch counted from 1.
            judged: Runs that have trained for ``epoch`` epochs; stopped runs are judged again to resume them.
            runs: The other runs of the study.
        """
        ...


class Never:
    """Stops no training."""

    def decision_epochs(self, epochs: int) -> tuple[int, ...]:
        return ()

    def reasons(self, epoch: int, judged: Sequence[Run], runs: Sequence[Run]) -> list[str]:
        return [""] * len(judged)


@dataclass(frozen=True)
class Rungs:
    """Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934) with several objectives, in its stopping form.

    At each rung, after 1, 2, 4, ... epochs, the best 1/``eta`` of all runs that reached it continue. In the paper rungs
    are ``eta`` times apart; that costs more epochs and loses more of the Pareto front.

    Runs are ordered by non-dominated rank and, within a rank, by crowding distance (Deb et al. 2002, III.A and III.B),
    with objectives scaled to the range of the rung. A non-dominated run always continues, so that a cheap network is
    not stopped because a more expensive one is more accurate. The first runs of a rung continue while they are fewer
    than ``eta``.

    Attributes:
        eta: Reduction factor, above 1.
        step: Factor between the epochs of two rungs.
    """

    eta: float = 3.0
    step: float = 2.0

    def decision_epochs(self, epochs: int) -> tuple[int, ...]:
        return _geometric(epochs, self.step)

    def reasons(self, epoch: int, judged: Sequence[Run], runs: Sequence[Run]) -> list[str]:
        rung = [*judged, *(run for run in runs if len(run.metrics) >= epoch)]
        ranks, places = places_of(np.array([run.point(epoch) for run in rung]))
        size = len(rung)
        return [
            ""
            if size < self.eta or rank == 0 or place < size / self.eta
            else f"place {place + 1} of {size} after {epoch} epochs, only the best {1 / self.eta:.0%} continue"
            for rank, place in zip(ranks[: len(judged)], places)
        ]


@dataclass(frozen=True)
class Curves:
    """Stops a run whose probability to reach the Pareto front is below ``chance``.

    The final values are estimated by a linear regression on the predictors at this epoch, over the complete runs (as in
    Baker et al. 2018, arXiv:1705.10823, who use more of the curve). The uncertainty is that of the regression: a t
    distribution, wider for few and for unusual runs. The selection of complete runs causes little bias, because it
    depends on the inputs of the regression.

    Attributes:
        chance: Smallest probability with which a run continues.
        step: Factor between the epochs at which runs are judged.
    """

    chance: float = 0.05
    step: float = 1.5

    def decision_epochs(self, epochs: int) -> tuple[int, ...]:
        return _geometric(epochs, self.step)

    def reasons(self, epoch: int, judged: Sequence[Run], runs: Sequence[Run]) -> list[str]:
        complete = [run for run in runs if run.complete]
        if len(complete) < MIN_COMPLETE or not judged:
            return [""] * len(judged)
        forecast = predict(epoch, judged, complete)
        finals = [(*run.metrics[-1], *run.costs) for run in complete]
        front = [finals[place] for place in non_dominated(finals)]
        chances = [1 - _beaten(draws, run.costs, front).mean() for run, draws in zip(judged, forecast.samples)]
        return [
            ""
            if chance >= self.chance
            else f"after {epoch} epochs the probability to reach the frontier is {chance:.1%}"
            for chance in chances
        ]


def _geometric(epochs: int, factor: float) -> tuple[int, ...]:
    """Return 1 and then epochs that grow by about ``factor``, all below ``epochs``."""
    found, at = [], 1
    while at < epochs:
        found.append(at)
        at = max(at + 1, round(at * factor))
    return tuple(found)


def places_of(points: Array) -> tuple[list[int], list[int]]:
    """Return the non-dominated rank and the place of each point.

    Args:
        points: (N, M) objectives, all minimised.

    Returns:
        Ranks, 0 for the front, and places, 0 for the best. The place of a point is the number of points of a lower
        rank, plus those of the same rank with a larger crowding distance; equal points share a place.
    """
    ranks = non_dominated_ranks(points)
    crowding = crowding_distances(points, ranks)
    places = [int(((ranks < r) | ((ranks == r) & (crowding > c + TOLERANCE))).sum()) for r, c in zip(ranks, crowding)]
    return ranks.tolist(), places


@dataclass(frozen=True)
class Forecast:
    """Predicted final values of J runs.

    Attributes:
        mean: (J, M) expected values of the objectives that training measures.
        samples: (J, SAMPLES, M) samples.
    """

    mean: Array
    samples: Array


def predict(epoch: int, judged: Sequence[Run], complete: Sequence[Run]) -> Forecast:
    """Predict the final values of the judged runs from the complete ones.

    Ridge regression on standardised predictors, with a penalty that weighs as much as one run. The spread is that of
    the leave-one-out residuals, computed from the leverages.

    Args:
        epoch: Epoch, counted from 1, whose predictors are used.
        judged: Runs to predict.
        complete: Runs trained to the end.
    """
    known, asked = (np.array([run.predictors[epoch - 1] for run in runs]) for runs in (complete, judged))
    centre, scale = known.mean(0), known.std(0)
    scale[scale == 0] = 1.0
    known, asked = (np.column_stack([np.ones(len(x)), (x - centre) / scale]) for x in (known, asked))
    finals = np.array([run.metrics[-1] for run in complete])
    penalty = np.eye(known.shape[1])
    penalty[0, 0] = 0.0
    inverse = np.linalg.inv(known.T @ known + penalty)
    weights = inverse @ known.T @ finals
    leverage = np.einsum("ij,jk,ik->i", known, inverse, known)
    residuals = (finals - known @ weights) / (1 - leverage)[:, None]
    freedom = max(2, len(complete) - known.shape[1])
    spread = residuals.T @ residuals / len(complete)
    random = np.random.default_rng(0)
    draws = random.standard_normal((SAMPLES, finals.shape[1])) / np.sqrt(
        random.chisquare(freedom, (SAMPLES, 1)) / freedom
    )
    draws = draws @ np.linalg.cholesky(spread + 1e-12 * np.eye(len(spread))).T
    mean = asked @ weights
    width = np.sqrt(1 + np.einsum("ij,jk,ik->i", asked, inverse, asked))
    return Forecast(mean, mean[:, None] + width[:, None, None] * draws)


def _beaten(draws: Array, costs: Sequence[float], front: Sequence[Sequence[float]]) -> Array:
    """Return for each sample (D, M) of a run with these costs whether a point of the front is at least as good."""
    beaten = np.zeros(len(draws), bool)
    measured = draws.shape[1]
    for point in front:
        if all(mine >= its for mine, its in zip(costs, point[measured:])):
            beaten |= (draws >= np.array(point[:measured])).all(1)
    return beaten


AUTO = "auto"
MIN_EPOCHS = 8  # with fewer epochs "auto" is "none": benchmarks/records/early_stopping_cpu_2026-11-24.md
RULES: dict[str, Rule] = {"none": Never(), "rungs": Rungs(eta=2.25), "curves": Curves()}


serve("stopping", (AUTO, *RULES))


def rule_of(name: str) -> Rule:
    """Return a rule by its name: one of ``RULES``, or of an extension, which is a Rule or a class of one."""
    if name in RULES:
        return RULES[name]
    found = find("stopping", name)
    if found is None:
        raise StudyError(f"unknown stopping rule {name!r}{unknown_hint('stopping', name)}")
    rule: Rule = found.value() if isinstance(found.value, type) else found.value
    return rule


def choose_stopping(name: str, epochs: int) -> str:
    """Return the name of the rule to use.

    "auto" is "rungs" for trainings of at least MIN_EPOCHS epochs, else "none": in short trainings the first rungs
    predict little and little time is left to save.

    Args:
        name: One of ``RULES``, the name of an extension, or "auto".
        epochs: Epochs of each training.

    Raises:
        StudyError: No rule has this name.
    """
    known = (AUTO, *RULES, *names("stopping"))
    if name not in known:
        raise StudyError(f"unknown stopping rule {name!r}; known: {', '.join(known)}{did_you_mean(name, known)}")
    if name != AUTO:
        return name
    return "rungs" if epochs >= MIN_EPOCHS else "none"
