"""Questions to a study: its usual axes, and checks of the names of quantities, of fractions and of latencies."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from explorer.analysis.latency_environments import mixed_environments
from explorer.analysis.limits import Limit, parse_limit
from explorer.analysis.quantities import BEFORE_TRAINING, COSTS, FRACTIONS, LATENCY, TRAINED
from explorer.errors import StoreError, did_you_mean
from explorer.records import TrialRecord


def default_plane(objectives: Mapping[str, str], own_costs: Iterable[str]) -> tuple[str, str]:
    """Return the quantities (x, y) of a study's frontier, as ``Study.plane`` describes them.

    Args:
        objectives: Objective -> "max" or "min".
        own_costs: Names of the caller's cost functions.
    """
    costs = {*BEFORE_TRAINING, *own_costs}
    measured = [name for name in objectives if name not in costs] or list(objectives)
    y = next((name for name in measured if objectives[name] == "max"), measured[0])
    minimised = [name for name, way in objectives.items() if way == "min" and name not in (y, *TRAINED)]
    return next((name for name in minimised if name in costs), next(iter(minimised), "macs")), y


def limits_of(limits: Iterable[Limit | str] | Limit | str) -> tuple[Limit, ...]:
    """Return one or several limits, as text or as Limit, as a tuple of them."""
    is_one = isinstance(limits, (str, Limit)) or not isinstance(limits, Iterable)
    return tuple(map(parse_limit, (limits,) if is_one else limits))  # type: ignore[arg-type]


def require_names(study: str, names: Iterable[Any]) -> None:
    """Raise StoreError for a quantity that is not given by its name as text, or by None for the usual one."""
    for name in names:
        if name is not None and not isinstance(name, str):
            raise StoreError(f"study {study!r}: {name!r:.80} is not the name of a quantity, as 'accuracy' is")


def reference_point(study: str, objectives: Iterable[str], reference: Mapping[str, float]) -> dict[str, float]:
    """Return objective -> finite value of a reference point. Raises StoreError unless it has just all objectives."""
    if not isinstance(reference, Mapping) or set(reference) != set(objectives):
        given = ", ".join(map(str, reference)) if isinstance(reference, Mapping) else repr(reference)
        raise StoreError(
            f"study {study!r}: a reference point has a value for each objective ({', '.join(objectives)}); found"
            f" {given[:80] or 'none'}"
        )
    for name, value in reference.items():
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise StoreError(f"study {study!r}: reference point: {name} is {value!r:.80}, expected a finite number")
    return {name: float(value) for name, value in reference.items()}


def storable(number: int, what: str = "the number of a trial") -> int:
    """Return an integer as a database can compare it: the nearest one of 64 bits. Raises StoreError for no integer."""
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise StoreError(f"{what} is a whole number, as in 2; found {number!r:.80}")
    return min(max(operator.index(number), -(2**63)), 2**63 - 1)


def storable_all(numbers: Iterable[int]) -> list[int]:
    """Return the numbers of trials as a database can compare them. Raises StoreError if they are none."""
    if isinstance(numbers, str) or not isinstance(numbers, Iterable):
        raise StoreError(f"the numbers of trials are a list of whole numbers, as in [2, 3]; found {numbers!r:.80}")
    return list(map(storable, numbers))


def require_known(
    study: str,
    objectives: Iterable[str],
    fingerprint: Mapping[str, Any],
    names: Iterable[str],
    records: list[TrialRecord],
) -> None:
    """Raise StoreError for a quantity that a study does not have.

    Args:
        study: The name of the study.
        objectives: Its objectives.
        fingerprint: Its settings.
        names: The quantities.
        records: Its complete trials; without any, it has its objectives and all costs.
    """
    known = {*objectives, *(name for record in records for name in (*record.objectives, *record.costs))}
    if not records:
        known |= {*COSTS, *fingerprint.get("costs", ())}
    for name in names:
        if name not in known:
            hint = f"it has {', '.join(sorted(known))}{did_you_mean(name, known)}"
            raise StoreError(f"study {study!r} has no quantity {name!r}; {hint}")


def require_fractions(study: str, limits: Iterable[Limit], records: list[TrialRecord]) -> None:
    """Raise StoreError for a limit above 1 on a quantity whose values are fractions."""
    for limit in limits:
        values = [value for record in records if (value := record.value(limit.cost)) is not None]
        if limit.cost in FRACTIONS and limit.bound > 1 and values and max(values) <= 1:
            share = f"{limit.cost}{limit.comparison}{limit.bound / 100:g}"
            meant = f"; did you mean {share!r} ({limit.bound:g}%)?" if limit.bound <= 100 else ""
            raise StoreError(f"limit {limit}: {limit.cost} of study {study!r} is a fraction of 1{meant}")


def require_one_environment(study: str, names: Iterable[str], records: list[TrialRecord]) -> None:
    """Raise StoreError if latency is among the quantities and was measured in several environments."""
    if LATENCY in names and (found := mixed_environments(records)):
        raise StoreError(
            f"study {study!r}: {LATENCY} was measured in {found}; such numbers compare machines, not networks;"
            " --mix-environments (in Python mix_environments=True) compares them anyway"
        )
