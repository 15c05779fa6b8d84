"""On the frontier: the best objective of each level under the same budget.

The answer is the difference between the best objective of a network of the space with the level and with the reference
that costs at most a budget, averaged over a range of budgets with equal weight on a logarithmic scale.

The best of noisy values is too good (the winner's curse). The best is therefore taken in draws from the posterior of
the model, which holds what the networks really are: it shrinks what one lucky training suggests.
"""

from __future__ import annotations

import math

import numpy as np

from explorer.analysis.effects.contrast import CONFIDENCE, Contrasts, Estimate
from explorer.analysis.effects.equal_cost import STEPS, Span

DRAWS = 300  # their quantiles at 2.5% have an error of a tenth of a standard deviation


class FrontierAnswers:
    """Differences between the best objectives of levels.

    Args:
        contrasts: The model and the networks of the space.
        maximised: Whether larger values of the objective are better.
    """

    def __init__(self, contrasts: Contrasts, maximised: bool):
        self._contrasts, self._sign = contrasts, 1 if maximised else -1
        self._values = self._sign * (contrasts.columns @ contrasts.model.draws(DRAWS))
        self._bests: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] = {}

    def estimate(self, column: int, level: int, span: Span) -> Estimate | None:
        """Return the difference under the same budget, level minus reference; None if no network is cheap enough."""
        from scipy.special import ndtr

        budgets = np.linspace(*span, STEPS) + 1e-9
        bests = []
        for own in (0, level):
            means = []
            for cost, best in self._best_by_cost(column, own):
                last = np.searchsorted(cost, budgets, "right") - 1
                if last[0] < 0:
                    return None
                means.append(best[last].mean(axis=0))
            bests.append(np.concatenate(means))
        drawn = self._sign * (bests[1] - bests[0])
        effect, error = float(drawn.mean()), float(drawn.std())
        low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        p = 2 * float(ndtr(-abs(effect) / error)) if error > 0 else float(math.isclose(effect, 0.0))
        return self._contrasts.within_observed(Estimate(effect, (float(low), float(high)), p))

    def _best_by_cost(self, column: int, level: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return for each draw of the costs the ascending costs, and draws of the best objective up to each of them."""
        if (column, level) not in self._bests:
            population = self._contrasts.population
            rows, draws = np.flatnonzero(population.codes[:, column] == level), len(population.costs)
            found = []
            for draw, costs in enumerate(population.costs[:, rows]):
                order = np.argsort(costs, kind="stable")
                values = self._values[rows[order], draw::draws]
                found.append((costs[order], np.maximum.accumulate(values, axis=0)))
            self._bests[column, level] = found
        return self._bests[column, level]
