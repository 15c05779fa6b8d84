"""He et al. 2016, Table 3: depth."""

from __future__ import annotations

from explorer.reproduction.experiment import Case, Experiment, Scale
from explorer.reproduction.experiments.recipes import HE2016_DIFFERS, HE2016_EPOCHS, QUICK

# Network in the paper, unit and depth in the space, published errors of original and pre-activation units.
_NETWORKS = (
    ("ResNet-110 of one-layer units", "single", "36", 9.90, 8.91),
    ("ResNet-110", "basic", "18", 6.61, 6.37),
    ("ResNet-164", "bottleneck", "18", 5.93, 5.46),
    ("ResNet-1001", "bottleneck", "111", 7.61, 4.92),
)


def _cases(network: str, unit: str, depth: str, original: float, preact: float) -> tuple[Case, Case]:
    """Return a network with original and with pre-activation units."""
    chosen, first = {"depth": depth, "base": "16"}, f"{network}, original"
    return (
        Case(first, {"unit": f"{unit}_original", **chosen}, original),
        Case(f"{network}, pre-activation", {"unit": f"{unit}_full_preact", **chosen}, preact, against=first),
    )


EXPERIMENT = Experiment(
    name="he2016-table3",
    about="original and full pre-activation units in networks of 110 to 1,001 layers",
    source="He et al. 2016, arXiv:1603.05027, Table 3 (CIFAR-10)",
    space="published/he2016_units.yaml",
    cases=tuple(case for network in _NETWORKS for case in _cases(*network)),
    scales={
        "tiny": Scale(3, 5, QUICK, 10_000, {"depth": {"36": "4", "18": "2", "111": "6"}, "base": {"16": "4"}}),
        "small": Scale(2, 8, "quick", None, {"depth": {"36": "6", "18": "3", "111": "12"}}),
        "full": Scale(5, HE2016_EPOCHS, "he2016"),
    },
    differs=HE2016_DIFFERS,
)
