"""How costs and objectives are called, and in which unit they are shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from explorer.dashboard.text import safe_text
from explorer.scoring.names import NAMES

_TITLES = {
    "macs": "MACs",
    "flops": "FLOPs",
    "params": "parameters",
    "activations": "activations",
    "peak_memory_bytes": "peak memory",
    "latency_ms": "latency",
    "weight_layers": "weight layers",
    "receptive_field": "receptive field",
    "accuracy": "validation accuracy",
    "top5": "top-5 validation accuracy",
    "loss": "validation loss",
    "epochs_spent": "epochs spent",
    "training_seconds": "training time",
}
_SHARES = ("accuracy", "top5")
_COUNTED = ("macs", "flops", "params", "activations")
_FIXED_UNITS = {"latency_ms": "ms", "receptive_field": "pixels", "training_seconds": "s"}
_FACTORS = {
    "count": ((10**9, "billions", "G"), (10**6, "millions", "M"), (10**3, "thousands", "k")),
    "bytes": ((2**30, "GiB", " GiB"), (2**20, "MiB", " MiB"), (2**10, "KiB", " KiB")),
}


@dataclass(frozen=True, slots=True)
class Unit:
    """How a quantity is shown: its values divided by ``divisor``; ``name`` of the unit on an axis (may
    be empty), ``suffix`` behind a single value."""

    title: str
    name: str
    suffix: str
    divisor: float

    @property
    def label(self) -> str:
        """For an axis or a heading: ``MACs (millions)``."""
        return f"{self.title} ({self.name})" if self.name else self.title

    def of(self, number: float) -> str:
        """One value: ``40.8M``, ``93.2%``, ``1.23 ms``."""
        shown = number / self.divisor
        digits = f"{shown:.1f}" if self.name == "%" else f"{shown:,.0f}" if abs(shown) >= 1000 else f"{shown:.4g}"
        return digits + self.suffix


def unit_of(name: str, values: Iterable[float]) -> Unit:
    """The unit in which all of ``values`` read well; a quantity that is not known keeps its name and has no unit."""
    title = _TITLES.get(name) or safe_text(name)
    if name in _SHARES:
        return Unit(title, "%", "%", 0.01)
    if name in _FIXED_UNITS:
        return Unit(title, _FIXED_UNITS[name], f" {_FIXED_UNITS[name]}", 1)
    kind = "count" if name in _COUNTED else "bytes" if name.endswith("_bytes") else ""
    largest = max((abs(value) for value in values), default=0.0)
    for factor, unit, suffix in _FACTORS.get(kind, ()):
        if largest >= factor:
            return Unit(title, unit, suffix, factor)
    return Unit(title, "bytes", " bytes", 1) if kind == "bytes" else Unit(title, "", "", 1)


def is_maximised(name: str, objectives: Mapping[str, str]) -> bool:
    """Whether more of it is better: as the study says, else accuracies and zero-cost scores only."""
    return objectives.get(name, "max" if name in (*_SHARES, *NAMES) else "min") == "max"


def change_of(name: str, values: Mapping[str, float], own: Mapping[str, float]) -> str:
    """A quantity of one network against another's: ``+12.5%``, ``±0%``, of shares ``-2.1 points``; empty where one has
    none."""
    if name not in values or name not in own:
        return ""
    if name in _SHARES:
        return f"{100 * (values[name] - own[name]):+.1f} points"
    if values[name] == own[name]:
        return "±0%"
    if not own[name]:
        return ""
    percent = 100 * (values[name] - own[name]) / abs(own[name])
    form = "+,.0f" if abs(percent) >= 100 else "+.1f" if abs(percent) >= 1 else "+.1g"
    return f"{percent:{form}}%"


def counted(number: int) -> str:
    """A count of any size: ``10,368``, ``3.2e+14``, ``10^140``."""
    if number < 10**9:
        return f"{number:,}"
    return f"{number:.2e}" if number < 10**300 else f"10^{int(math.log10(number))}"
