"""He et al. 2016, Fig. 1: training curves of very deep networks."""

from __future__ import annotations

from explorer.reproduction.experiment import Case, Experiment, Scale
from explorer.reproduction.experiments.recipes import HE2016_DIFFERS, HE2016_EPOCHS, QUICK

# The cases of Table 3 of these depths: the figure shows ResNet-1001, the paper's text ResNet-164 beside it.
_NETWORKS = (("ResNet-164", "18", 5.93, 5.46), ("ResNet-1001", "111", 7.61, 4.92))

EXPERIMENT = Experiment(
    name="he2016-fig1",
    about="training curves of ResNet-164 and ResNet-1001 with original and pre-activation units",
    source="He et al. 2016, arXiv:1603.05027, Fig. 1 and Table 3 (CIFAR-10)",
    space="published/he2016_units.yaml",
    cases=tuple(
        Case(
            f"{network}, {order}",
            {"unit": f"bottleneck_{unit}", "depth": depth, "base": "16"},
            published,
            against=f"{network}, original" if order != "original" else "",
        )
        for network, depth, original, preact in _NETWORKS
        for order, unit, published in (("original", "original", original), ("pre-activation", "full_preact", preact))
    ),
    scales={
        "tiny": Scale(3, 8, QUICK, 10_000, {"depth": {"18": "2", "111": "6"}, "base": {"16": "4"}}),
        "small": Scale(2, 15, "quick", None, {"depth": {"18": "3", "111": "12"}}),
        "full": Scale(1, HE2016_EPOCHS, "he2016"),
    },
    differs=f"{HE2016_DIFFERS}; the curves show the error of the validation split",
    has_curves=True,
)
