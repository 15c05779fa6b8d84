"""Early stopping of unpromising trainings, with any number of objectives.

A rule judges a run after some of its epochs by all runs that reached the same epoch. It is a function of the runs
alone, so recorded learning curves can be replayed through it (``benchmarks/early_stopping.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from explorer.analysis.amounts import plural
from explorer.analysis.crowding import crowding_distances, non_dominated_ranks
from explorer.analysis.pareto import non_dominated
from explorer.errors import StudyError, did_you_mean
from explorer.extensions.lookup import find, names, unknown_hint
from explorer.extensions.registry import serve

Array = np.ndarray
MIN_COMPLETE = 8  # complete runs needed before final values are predicted
SAMPLES = 1000  # samples of a forecast
TOLERANCE = 1e-9  # crowding distances that differ by less count as equal
MIN_COST = 1e-300  # so that a cost has a logarithm; one that is not positive is compared as it is


@dataclass(frozen=True, slots=True)
class Run:
    """One training so far.

    Attributes:
        metrics: After each epoch, the objectives that training measures, all minimised.
        costs: The objectives known before training, all minimised.
        predictors: After each epoch, further metrics that predict the final values, scaled for a linear model.
        complete: Whether it was trained to the end.
        train_losses: After each epoch, the logarithm of the training loss.
        lost_epochs: Epochs to train again before it can continue, because its checkpoint does not hold them.
    """

    metrics: tuple[tuple[float, ...], ...]
    costs: tuple[float, ...] = ()
    predictors: tuple[tuple[float, ...], ...] = ()
    complete: bool = False
    train_losses: tuple[float, ...] = ()
    lost_epochs: int = 0

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
        size, after = len(rung), plural(epoch, "epoch")
        return [
            ""
            if size < self.eta or rank == 0 or place < size / self.eta
            else f"place {place + 1} of {size} after {after}, only the best {1 / self.eta:.0%} continue"
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
            else f"after {plural(epoch, 'epoch')} the probability to reach the frontier is {chance:.1%}"
            for chance in chances
        ]


@dataclass(frozen=True)
class Allowance:
    """What the budget of a search leaves to a rule that pauses trials.

    Attributes:
        new: The trials that may still begin; infinite without a number of trials.
        trials: The trials whose share of epochs may be trained; infinite if only time is limited.
        spent: Epochs of further trials, which the rule does not see, and epochs that were trained and not continued.
    """

    new: float = math.inf
    trials: float = math.inf
    spent: int = 0


UNLIMITED = Allowance()


@dataclass(frozen=True)
class FreezeThaw:
    """Pauses runs and continues those that gain most per epoch (Swersky et al. 2014, arXiv:1406.3896).

    The gain of a run is the expected enlargement of the hypervolume of the complete runs, in the metrics and the
    logarithms of the costs. A run is preferred to a new one while it gains at least as much per epoch that is left to
    it as a new one per ``share`` of a training. All trainings together take ``share`` of their epochs. While new runs
    may begin, one epoch is reserved for each. After that, a run continues only if the rest of its epochs is allowed, or
    if no run is complete or being trained.

    Attributes:
        share: Share of the epochs of all runs that is trained.
        step: Factor between the epochs at which runs are compared.
    """

    share: float = 1 / 3
    step: float = 1.5

    def decision_epochs(self, epochs: int) -> tuple[int, ...]:
        return _geometric(epochs, self.step)

    def choose(
        self, candidates: Sequence[Run], others: Sequence[Run], epochs: int, allowance: Allowance = UNLIMITED
    ) -> int | None:
        """Return the place of the candidate to train next.

        Args:
            candidates: Runs of at least one epoch that are not complete.
            others: The other runs of at least one epoch; those that are not complete are being trained.
            epochs: Epochs of a whole training.
            allowance: What the budget leaves.

        Returns:
            The place; on equal terms the first. None if a new run gains more, or no candidate is worth its epochs.
        """
        if not candidates:
            return None
        runs, number = [*candidates, *others], len(candidates)
        looks = (*self.decision_epochs(epochs), epochs)
        trained = np.array([len(run.metrics) for run in runs])
        gains, of_new = self._gains(runs, trained, looks)
        lost = np.array([run.lost_epochs for run in candidates])
        left = epochs - trained[:number] + lost
        rates = gains[:number] / left
        spent, needed, least = float(trained.sum() + allowance.spent), left, 0.0
        if allowance.new:
            following = np.array(looks)[np.searchsorted(looks, trained[:number], side="right")]
            needed = following - trained[:number] + lost
            least = of_new / (self.share * epochs)
            spent += allowance.new if math.isfinite(allowance.new) else 0.0
        else:
            spent += sum(epochs - len(run.metrics) for run in others if not run.complete)
        allowed = self.share * epochs * allowance.trials
        if not others and not allowance.new:  # otherwise a search of few runs or epochs would have no result
            allowed = math.inf
        worth = (rates > 0) & (rates >= least) & (spent + needed <= allowed)
        rates[~worth] = 0.0
        return int(rates.argmax()) if worth.any() else None

    def _gains(self, runs: Sequence[Run], trained: Array, looks: Sequence[int]) -> tuple[Array, float]:
        """Return what each run is expected to gain, and a new one."""
        from explorer.study.stopping.freeze_thaw import expected_gains  # imports scipy, which no other rule needs

        metrics = [np.array(run.metrics) for run in runs]
        reached = np.searchsorted(looks, trained, side="right")
        values = np.zeros((len(runs), len(looks), metrics[0].shape[1] + 2))
        for run, own, measured, count in zip(runs, values, metrics, reached):
            places = np.array(looks[:count]) - 1
            losses = [(run.predictors[place][1], run.train_losses[place]) for place in places]
            own[:count] = np.hstack([measured[places], np.array(losses)])
        features = np.array([run.predictors[0][2:] for run in runs])
        costs = np.array([run.costs for run in runs])
        costs = np.where((costs > 0).all(0), np.log(np.maximum(costs, MIN_COST)), costs)
        return expected_gains(values, reached, features, costs, np.max([each.max(0) for each in metrics], axis=0))


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
RULES: dict[str, Rule | FreezeThaw] = {
    "none": Never(),
    "rungs": Rungs(eta=2.25),
    "curves": Curves(),
    "freeze_thaw": FreezeThaw(),
}


serve("stopping", (AUTO, *RULES))


def rule_of(name: str) -> Rule | FreezeThaw:
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
