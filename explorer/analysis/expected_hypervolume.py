"""How much volume a network is expected to add to what is dominated, before it is evaluated.

All objectives are minimised. Of a candidate some are known exactly (its costs), the others are
believed to follow a shifted lognormal distribution each, independently: the surrogate's
Gaussian on a logarithmic axis (``surrogate.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from explorer.frontier import non_dominated

Array = NDArray[np.float64]
Box = tuple[tuple[float, float], ...]
STEPS = 256  # finer steps than so many to the bound are as good as none
LOWEST = 1e-12  # standard deviation under which a belief counts as certain


@dataclass(frozen=True)
class Lognormal:
    """About one objective of N candidates: it is ``floor`` + exp(X), X normal with ``mean`` and ``sd``, both (N,).

    With a ``step`` above 0 that is rounded to the next of floor, floor + step, and so on: accuracy on few images, say.
    """

    floor: float
    mean: Array
    sd: Array
    step: float = 0.0

    def shortfall(self, bounds: Array) -> Array:
        """E[max(0, bound - value)], (N, B) for ``bounds`` (B,): the expected improvement of a lognormal
        (Hutter et al. 2009, "An experimental investigation of model-based parameter optimisation", eq. 1)."""
        mean, sd = self.mean[:, None], np.maximum(self.sd, LOWEST)[:, None]
        room = np.maximum(bounds - self.floor, 0.0)[None, :]
        if self.step and room.max(initial=0.0) < STEPS * self.step:
            return self._shortfall_in_steps(room[0])
        with np.errstate(divide="ignore"):
            z = (np.log(room) - mean) / sd  # -inf, and so nothing, at and under the floor
        return np.maximum(0.0, room * ndtr(z) - np.exp(mean + sd**2 / 2) * ndtr(z - sd))

    def _shortfall_in_steps(self, room: Array) -> Array:
        """The same where values come in steps: a bound of k steps and a rest is missed by the sum over the steps
        under it of step * P[value is at or under that step], and by the rest where it is missed at all."""
        whole = np.floor(room / self.step + 1e-6).astype(int)
        rest = np.maximum(room - whole * self.step, 0.0)
        middles = (np.arange(whole.max(initial=0) + 1) + 0.5) * self.step
        sd = np.maximum(self.sd, LOWEST)[:, None]
        at_most = ndtr((np.log(middles)[None, :] - self.mean[:, None]) / sd)
        summed = np.hstack([np.zeros((len(at_most), 1)), np.cumsum(at_most, axis=1)])
        return self.step * summed[:, whole] + rest * at_most[:, whole]

    def quantile(self, z: float) -> Array:
        """The value ``z`` standard deviations from the median, (N,)."""
        return self.floor + np.exp(self.mean + z * self.sd)


def open_boxes(front: Sequence[Sequence[float]], reference: Sequence[float]) -> tuple[Array, Array]:
    """The part of the space under ``reference`` that no point of ``front`` dominates, as disjoint boxes.

    Returns lower and upper corners, both (boxes, objectives); lower ones may be -inf. By slicing along
    the last coordinate; a box goes on through the slices while its cross-section stays.
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
    begun: dict[Box, float] = dict.fromkeys(_boxes([], reference[:-1]), -np.inf)
    passed: list[tuple[float, ...]] = []
    for point in points:
        passed = [other for other in passed if not all(a <= b for a, b in zip(point[:-1], other))]
        passed.append(point[:-1])
        section = dict.fromkeys(_boxes(passed, reference[:-1]))
        for box in [box for box in begun if box not in section]:
            if begun[box] < point[-1]:
                yield (*box, (begun[box], point[-1]))
            del begun[box]
        begun = {**dict.fromkeys(section, point[-1]), **begun}
    yield from ((*box, (start, reference[-1])) for box, start in begun.items() if start < reference[-1])


def expected_hypervolume_improvement(
    front: Sequence[Sequence[float]], reference: Sequence[float], candidates: Sequence[Array | Lognormal]
) -> Array:
    """The expected hypervolume improvement, (N,), of candidates given objective by objective: the exact
    values (N,) or a belief. In closed form, a sum over boxes of products (Emmerich et al. 2011; Yang et al. 2019,
    "Efficient computation of expected hypervolume improvement")."""
    lower, upper = open_boxes(front, reference)
    gain = 1.0
    for place, known in enumerate(candidates):
        low, high = lower[:, place], upper[:, place]
        if isinstance(known, Lognormal):
            bounds, where = np.unique(np.concatenate([high, low[np.isfinite(low)]]), return_inverse=True)
            shortfall = known.shortfall(bounds)
            side = shortfall[:, where[: len(high)]]
            below = np.zeros_like(side)
            below[:, np.isfinite(low)] = shortfall[:, where[len(high) :]]
            side = side - below
        else:
            side = np.maximum(0.0, high[None, :] - np.maximum(known[:, None], low[None, :]))
        gain = gain * np.maximum(side, 0.0)
    return gain.sum(axis=1)
