"""He et al. 2016, Table 2: the order of batch norm, ReLU, convolution and addition."""

from __future__ import annotations

from explorer.reproduction.experiment import Case, Experiment, Scale
from explorer.reproduction.experiments.recipes import HE2016_DIFFERS, HE2016_EPOCHS, QUICK

# Order in the paper and in the space.
_ORDERS = {
    "original": "original",
    "BN after addition": "bn_after_add",
    "ReLU before addition": "relu_before_add",
    "ReLU-only pre-activation": "relu_only_preact",
    "full pre-activation": "full_preact",
}
# Network, unit of the space, and the published error of each order.
_NETWORKS = (
    ("ResNet-110", "basic", (6.61, 8.17, 7.84, 6.71, 6.37)),
    ("ResNet-164", "bottleneck", (5.93, 6.50, 6.14, 5.91, 5.46)),
)

EXPERIMENT = Experiment(
    name="he2016-table2",
    about="five orders of batch norm, ReLU, convolution and addition in ResNet-110 and ResNet-164",
    source="He et al. 2016, arXiv:1603.05027, Table 2 (CIFAR-10)",
    space="published/he2016_units.yaml",
    cases=tuple(
        Case(
            f"{network}, {title}",
            {"unit": f"{unit}_{order}", "depth": "18", "base": "16"},
            error,
            against="" if order == "original" else f"{network}, original",
        )
        for network, unit, errors in _NETWORKS
        for (title, order), error in zip(_ORDERS.items(), errors)
    ),
    scales={
        "tiny": Scale(3, 5, QUICK, 10_000, {"depth": {"18": "2"}, "base": {"16": "4"}}),
        "small": Scale(3, 10, "quick", None, {"depth": {"18": "3"}}),
        "full": Scale(5, HE2016_EPOCHS, "he2016"),
    },
    differs=HE2016_DIFFERS,
)
