"""Zagoruyko and Komodakis 2016: width against depth, and dropout in the branch."""

from __future__ import annotations

from explorer.reproduction.experiment import Case, Experiment, Scale
from explorer.reproduction.experiments.recipes import QUICK, SPLIT, WRN2016, WRN_EPOCHS

_DROPOUT = "drop(0.3)"


def _case(name: str, depth: str, k: str, published: float, against: str = "", dropout: str = "none") -> Case:
    return Case(name, {"depth": depth, "k": k, "dropout": dropout}, published, against=against)


EXPERIMENT = Experiment(
    name="wrn",
    about="Wide ResNets: width against depth, and dropout",
    source="Zagoruyko and Komodakis 2016, arXiv:1605.07146, CIFAR-10, median of 5",
    space="published/wrn.yaml",
    cases=(
        _case("WRN-16-4", "2", "4", 5.02),
        _case("WRN-16-4 with dropout", "2", "4", 5.24, "WRN-16-4", _DROPOUT),
        _case("WRN-40-4", "6", "4", 4.53, "WRN-16-4"),
        _case("WRN-16-8", "2", "8", 4.27, "WRN-40-4"),
        _case("WRN-28-10", "4", "10", 4.00, "WRN-16-8"),
        _case("WRN-28-10 with dropout", "4", "10", 3.89, "WRN-28-10", _DROPOUT),
    ),
    scales={
        "tiny": Scale(
            3, 6, QUICK, 10_000, {"depth": {"2": "1", "4": "2", "6": "3"}, "k": {"4": "1/4", "8": "1/2", "10": "1"}}
        ),
        "small": Scale(3, 10, "quick", None, {"k": {"4": "1", "8": "2", "10": "4"}}),
        "full": Scale(5, WRN_EPOCHS, WRN2016),
    },
    differs=SPLIT,
)
