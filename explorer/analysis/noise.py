"""The test results of networks that were trained from several fresh seeds, and which of them are on the Pareto front.

The accuracy of a training depends on its seed. From networks that were trained with several seeds this module computes
the pooled standard deviation of one training, and from it the probability that a network is on the front of mean
values. Without repeated trainings both are unknown (None). ``frontier_certainty`` has the probability that a network of
a search stays on its front.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from explorer.analysis.pareto import non_dominated
from explorer.analysis.quantities import TRAINED, is_maximised
from explorer.errors import StoreError, did_you_mean
from explorer.records import ConfirmationRecord, Confirmed, TrialRecord

TAIL_CUTOFF = 8.0  # standard errors beyond which the tail of a normal distribution (6e-16) is ignored
MAX_ERRORS_IN_RANGE = 100_000  # standard errors between the worst and the best network; smaller ones are raised
RESOLUTION = 1e-9  # of the values, relative to the largest
GRID_POINTS_PER_ERROR = 4  # per smallest standard error; the error of the trapezoid rule is then below 1e-15


def pooled_std(groups: Iterable[Sequence[float]]) -> float | None:
    """Return the pooled standard deviation of one value.

        s = sqrt( sum_i sum_k (a_ik - mean_i)^2 / sum_i (K_i - 1) ),  K_i: values of group i

    Args:
        groups: Values that differ only by chance within a group, for instance one network trained with several seeds.

    Returns:
        The standard deviation; None if no group has two values.
    """
    squares, free = 0.0, 0
    for group in groups:
        if len(set(group)) > 1:  # the rounded mean of equal values may differ from them
            mean = math.fsum(group) / len(group)
            squares += math.fsum((value - mean) ** 2 for value in group)
        free += max(0, len(group) - 1)
    return math.sqrt(squares / free) if free else None


def frontier_probabilities(costs: Sequence[float], values: Sequence[float], errors: Sequence[float]) -> list[float]:
    """Return for each network the probability that no other network of at most its cost has a better mean value.

    The posterior of each true mean is normal around its estimate v_i, independent of the others (a flat prior). Then

        P_i = integral over m of  phi((m - v_i) / e_i) / e_i  *  product of  Phi((m - v_j) / e_j)
                                                                 over all j != i with cost_j <= cost_i

    which is computed by the trapezoid rule. The cheapest network has the probability 1. Of networks with equal costs
    exactly one is non-dominated, so their probabilities add up to at most 1.

    Args:
        costs: (n,) exact costs, minimised.
        values: (n,) estimated means, maximised; negate values that are minimised.
        errors: (n,) standard errors of the means, all positive or all 0. With 0 the result is 1 for non-dominated
            points (the first of equal points) and 0 for others.

    Raises:
        ValueError: Some errors are positive and others are not.
    """
    if not any(errors):
        front = set(non_dominated([(cost, -value) for cost, value in zip(costs, values, strict=True)]))
        return [float(place in front) for place in range(len(costs))]
    if min(errors) <= 0:
        raise ValueError("the standard errors must be all positive or all 0")
    from scipy.special import log_ndtr

    mean, error = np.asarray(values, float), np.asarray(errors, float)
    groups = [list(group) for _, group in groupby(np.argsort(costs, kind="stable").tolist(), key=lambda i: costs[i])]
    groups = _candidates(groups, mean, error)
    kept = np.array([place for group in groups for place in group])
    # Errors that are tiny beside the differences decide nothing, and would need an endless grid.
    error = np.maximum(error, max(np.ptp(mean[kept]) / MAX_ERRORS_IN_RANGE, np.abs(mean[kept]).max() * RESOLUTION))
    step = error[kept].min() / GRID_POINTS_PER_ERROR
    low, high = (mean[kept] - TAIL_CUTOFF * error[kept]).min(), (mean[kept] + TAIL_CUTOFF * error[kept]).max()
    grid = np.arange(low, high + step, step)
    log_cdf = np.zeros_like(grid)  # log of the product of Phi over all networks of at most this cost
    out = np.zeros(len(mean))
    for group in groups:
        for place in group:
            end = np.searchsorted(grid, mean[place] + TAIL_CUTOFF * error[place])
            log_cdf[:end] += log_ndtr((grid[:end] - mean[place]) / error[place])
        for place in group:
            begin, end = np.searchsorted(grid, mean[place] + error[place] * np.array([-TAIL_CUTOFF, TAIL_CUTOFF]))
            z = (grid[begin:end] - mean[place]) / error[place]
            density = np.exp(-0.5 * z * z + log_cdf[begin:end] - log_ndtr(z)) / math.sqrt(2 * math.pi)
            out[place] = density.sum() * step / error[place]
    rounded: list[float] = out.round(12).tolist()  # without the error of the trapezoid rule
    return rounded


def _candidates(groups: list[list[int]], mean: np.ndarray, error: np.ndarray) -> list[list[int]]:
    """Return the networks that can be on the front. A cheaper network certainly dominates each of the others, and
    with it all networks that those could dominate."""
    certain, out = -math.inf, []
    for group in groups:
        certain = max(certain, *(mean[place] - TAIL_CUTOFF * error[place] for place in group))
        out.append([place for place in group if mean[place] + TAIL_CUTOFF * error[place] > certain])
    return out


def confirmed_networks(
    confirmations: Iterable[ConfirmationRecord], trials: Iterable[TrialRecord], x: str, y: str, epochs: int | None
) -> list[Confirmed]:
    """Return the test results of networks that were trained from fresh seeds, as ``Study.confirmed`` does.

    Args:
        confirmations: The trainings from fresh seeds. Evaluations by a caller's function have no test split and are
            left out.
        trials: The trials whose networks are wanted.
        x: The cost.
        y: The quantity that was tested: accuracy, top5 or loss.
        epochs: The number of epochs of the trainings; None for that of the last finished one.

    Returns:
        The networks in ascending order of cost.

    Raises:
        StoreError: ``y`` is not tested.
    """
    if y not in TRAINED:
        raise StoreError(f"networks are tested for {', '.join(TRAINED)}, not for {y!r}{did_you_mean(y, TRAINED)}")
    records = [record for record in confirmations if record.state != "running" and not record.measured]
    if epochs is None:
        ended = [record for record in records if record.state == "complete"] or records
        epochs = max(ended, key=lambda record: record.finished or 0.0).epochs if ended else None
    of_network: dict[str, list[ConfirmationRecord]] = {}
    for record in records:
        if record.epochs == epochs:
            of_network.setdefault(record.digest, []).append(record)
    found = []
    for trial in trials:
        own, cost = of_network.get(trial.digest, []), trial.value(x)
        if own and cost is not None:
            found.append(_confirmed(trial, cost, own, y))
    return sorted(_with_probabilities(found, y), key=lambda each: (each.x, each.trial))


def _confirmed(trial: TrialRecord, cost: float, records: list[ConfirmationRecord], y: str) -> Confirmed:
    done = sorted((record for record in records if record.state == "complete"), key=lambda record: record.started or 0)
    if any(y not in record.test for record in done):
        raise StoreError(f"trial {trial.number}: a training from a fresh seed has no test {y}")
    test = tuple(record.test[y] for record in done)
    return Confirmed(
        trial=trial.number,
        digest=trial.digest,
        x=cost,
        epochs=records[0].epochs,
        seeds=len(test),
        test=test,
        test_mean=_mean(test),
        test_std=pooled_std([test]),
        validation_mean=_mean([value for record in done if (value := validation_value(record, y)) is not None]),
        failed=len(records) - len(done),
        frontier_probability=None,
    )


def _with_probabilities(networks: list[Confirmed], y: str) -> list[Confirmed]:
    tested = [each for each in networks if each.seeds]
    noise = pooled_std(each.test for each in tested)
    if noise is None:
        return networks
    sign = 1 if is_maximised(y) else -1
    values = [sign * each.test_mean for each in tested]  # type: ignore[operator]
    errors = [noise / math.sqrt(each.seeds) for each in tested]
    probabilities = dict(zip((e.digest for e in tested), frontier_probabilities([e.x for e in tested], values, errors)))
    return [replace(each, frontier_probability=probabilities.get(each.digest)) for each in networks]


def repeats_of(confirmations: Iterable[ConfirmationRecord], epochs: int | None) -> list[ConfirmationRecord]:
    """Return the further trainings that are as long as a trial.

    Args:
        confirmations: All further trainings of a study.
        epochs: The number of epochs of its trials; None, as in studies of a caller's function, for 1.
    """
    return [record for record in confirmations if record.epochs == (epochs or 1)]


def validation_value(record: ConfirmationRecord, y: str) -> float | None:
    """Return the quantity ``y`` of a further training as trials have it, on the validation split.

    Args:
        record: The training, or the evaluation by a caller's function.
        y: The quantity.

    Returns:
        The value; None if it was not measured.
    """
    if record.result is not None and y in TRAINED:
        return float(getattr(record.result, TRAINED[y]))
    return record.measured.get(y)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
