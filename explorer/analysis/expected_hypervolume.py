"""Expected hypervolume improvement of candidates.

All objectives are minimised. Some objectives of a candidate are known exactly (its costs). The others follow
independent shifted lognormal distributions, such as the posterior of a Gaussian process on a logarithmic axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from explorer.analysis.pareto import non_dominated

Array = NDArray[np.float64]
Box = tuple[tuple[float, float], ...]
MAX_STEPS = 256  # values with more steps than this below the bound are treated as continuous
MIN_SD = 1e-12  # smallest standard deviation, so that certain values do not divide by zero


class Uncertain(Protocol):
    """The distribution of one objective of N candidates."""

    def shortfall(self, bounds: Array) -> Array:
        """Return E[max(0, bound - value)], (N, B), for ``bounds`` (B,)."""
        ...


def log_distance(values: Array, floor: float, offset: float) -> Array:
    """Return log(value - floor + offset); values below the floor count as the floor."""
    return np.asarray(np.log(np.maximum(values - floor, 0.0) + offset))


@dataclass(frozen=True)
class LogDistance:
    """The distribution of x = log(value - floor + offset) of N candidates, for gains that are measured on this axis.

    Attributes:
        value: The distribution of the values.
        offset: Above 0; the larger, the less an improvement near the floor counts beside one far from it.
    """

    value: Lognormal
    offset: float

    def shortfall(self, bounds: Array) -> Array:
        """Return E[max(0, bound - x)], (N, B), the expected improvement of Jones et al. 1998, eq. 15.

        x counts as normal, with mean and standard deviation by the delta method. If values come in steps, the shortfall
        is exact: that of the next step from below.
        """
        if self.value.step:
            room = np.exp(bounds) - self.offset
            if room.max(initial=0.0) < MAX_STEPS * self.value.step:
                return self._shortfall_in_steps(bounds, np.maximum(room, 0.0))
        mean = np.logaddexp(self.value.mean, math.log(self.offset))
        sd = np.maximum(self.value.sd * np.exp(self.value.mean - mean), MIN_SD)[:, None]
        z = (bounds[None, :] - mean[:, None]) / sd
        return np.asarray(np.maximum(0.0, sd * (z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))))

    def _shortfall_in_steps(self, bounds: Array, room: Array) -> Array:
        """Return the shortfall of values that come in steps.

        It is a sum over the steps below a bound: the distance to the next step on this axis, times the probability of a
        value at or below the step.
        """
        step = self.value.step
        whole = np.floor(room / step + 1e-6).astype(int)
        count = whole.max(initial=0)
        levels = np.log(np.arange(count + 1) * step + self.offset)
        middles = np.log((np.arange(count + 1) + 0.5) * step)
        sd = np.maximum(self.value.sd, MIN_SD)[:, None]
        at_most = ndtr((middles[None, :] - self.value.mean[:, None]) / sd)
        summed = np.hstack([np.zeros((len(at_most), 1)), np.cumsum(at_most[:, :-1] * np.diff(levels), axis=1)])
        rest = np.maximum(bounds - levels[whole], 0.0)
        return np.asarray(summed[:, whole] + rest * at_most[:, whole])


@dataclass(frozen=True)
class Lognormal:
    """The distribution of one objective of N candidates: floor + exp(X), with X normal.

    Attributes:
        floor: Lower bound of the values.
        mean: (N,) mean of X.
        sd: (N,) standard deviation of X.
        step: If above 0, values are rounded to floor, floor + step, floor + 2 step, ...; accuracy on few images is
            such a value.
    """

    floor: float
    mean: Array
    sd: Array
    step: float = 0.0

    def shortfall(self, bounds: Array) -> Array:
        """Return E[max(0, bound - value)], (N, B), for ``bounds`` (B,).

        This is the expected improvement of a lognormal distribution (Hutter et al. 2009, "An experimental
        investigation of model-based parameter optimisation", eq. 1).
        """
        mean, sd = self.mean[:, None], np.maximum(self.sd, MIN_SD)[:, None]
        room = np.maximum(bounds - self.floor, 0.0)[None, :]
        if self.step and room.max(initial=0.0) < MAX_STEPS * self.step:
            return self._shortfall_in_steps(room[0])
        with np.errstate(divide="ignore"):
            z = (np.log(room) - mean) / sd  # -inf, which gives 0, at and below the floor
        return np.maximum(0.0, room * ndtr(z) - np.exp(mean + sd**2 / 2) * ndtr(z - sd))

    def _shortfall_in_steps(self, room: Array) -> Array:
        """Return the shortfall of values that come in steps.

        For a bound of k steps and a rest it is the sum, over the k steps, of step * P[value at or below the step],
        plus rest * P[value at or below step k].
        """
        whole = np.floor(room / self.step + 1e-6).astype(int)
        rest = np.maximum(room - whole * self.step, 0.0)
        middles = (np.arange(whole.max(initial=0) + 1) + 0.5) * self.step
        sd = np.maximum(self.sd, MIN_SD)[:, None]
        at_most = ndtr((np.log(middles)[None, :] - self.mean[:, None]) / sd)
        summed = np.hstack([np.zeros((len(at_most), 1)), np.cumsum(at_most, axis=1)])
        return self.step * summed[:, whole] + rest * at_most[:, whole]

    def quantile(self, z: float) -> Array:
        """Return the value, (N,), at ``z`` standard deviations from the median."""
        return self.floor + np.exp(self.mean + z * self.sd)


def open_boxes(front: Sequence[Sequence[float]] | Array, reference: Sequence[float] | Array) -> tuple[Array, Array]:
    """Divide the region below ``reference`` that no point of ``front`` dominates into disjoint boxes.

    The region is sliced along the last objective; a box extends over all slices with the same cross-section.

    Args:
        front: Points of K objectives.
        reference: The reference point.

    Returns:
        Lower and upper corners, both (boxes, K); lower ones may be -inf.
    """
    reference = tuple(float(r) for r in reference)
    inside = [tuple(map(float, point)) for point in front if all(a < r for a, r in zip(point, reference))]
    found = list(_boxes([inside[place] for place in non_dominated(inside)], reference))
    corners = np.array(found, dtype=float).reshape(len(found), len(reference), 2)
    return corners[:, :, 0], corners[:, :, 1]


def _boxes(points: list[tuple[float, ...]], reference: tuple[float, ...]) -> Iterator[Box]:
    if len(reference) == 1:
        yield ((-np.inf, min([*(point[0] for point in points), reference[0]])),)
        return
    points = sorted(points, key=lambda point: point[-1])
    starts: dict[Box, float] = dict.fromkeys(_boxes([], reference[:-1]), -np.inf)
    projected: list[tuple[float, ...]] = []
    for point in points:
        projected = [other for other in projected if not all(a <= b for a, b in zip(point[:-1], other))]
        projected.append(point[:-1])
        section = dict.fromkeys(_boxes(projected, reference[:-1]))
        for box in [box for box in starts if box not in section]:
            if starts[box] < point[-1]:
                yield (*box, (starts[box], point[-1]))
            del starts[box]
        starts = {**dict.fromkeys(section, point[-1]), **starts}
    yield from ((*box, (start, reference[-1])) for box, start in starts.items() if start < reference[-1])


def expected_hypervolume_improvement(
    front: Sequence[Sequence[float]] | Array,
    reference: Sequence[float] | Array,
    candidates: Sequence[Array | Uncertain],
) -> Array:
    """Return the expected hypervolume improvement of N candidates, (N,).

    Closed form: a sum over boxes of products (Emmerich et al. 2011; Yang et al. 2019, "Efficient computation of
    expected hypervolume improvement").

    Args:
        front: Points of K objectives.
        reference: The reference point.
        candidates: For each objective the exact values (N,) or their distribution.
    """
    lower, upper = open_boxes(front, reference)
    gain: Array = np.ones((1, len(lower)))
    for place, known in enumerate(candidates):
        low, high = lower[:, place], upper[:, place]
        if not isinstance(known, np.ndarray):
            bounds, where = np.unique(np.concatenate([high, low[np.isfinite(low)]]), return_inverse=True)
            shortfall = known.shortfall(bounds)
            side = shortfall[:, where[: len(high)]]
            below = np.zeros_like(side)
            below[:, np.isfinite(low)] = shortfall[:, where[len(high) :]]
            side = side - below
        else:
            side = np.maximum(0.0, high[None, :] - np.maximum(known[:, None], low[None, :]))
        gain = gain * np.maximum(side, 0.0)
    return np.asarray(gain.sum(axis=1))
