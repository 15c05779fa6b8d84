"""Hu et al. 2018: squeeze-and-excitation in pre-activation networks on CIFAR-10."""

from __future__ import annotations

from explorer.reproduction.experiment import Case, Experiment, Scale
from explorer.reproduction.experiments.recipes import HE2016_DIFFERS, HE2016_EPOCHS, QUICK

# Network, unit of the space, published errors without and with SE.
_NETWORKS = (("ResNet-110", "basic", 6.37, 5.21), ("ResNet-164", "bottleneck", 5.46, 4.39))

EXPERIMENT = Experiment(
    name="se-cifar",
    about="squeeze-and-excitation in ResNet-110 and ResNet-164 with full pre-activation",
    source="Hu et al. 2018, arXiv:1709.01507v4, CIFAR-10; without SE He et al. 2016, arXiv:1603.05027, Table 2",
    space="published/he2016_units.yaml",
    cases=tuple(
        Case(
            f"{prefix}{network}",
            {"unit": f"{unit}_full_preact", "depth": "18", "base": "16", "attn": attn},
            published,
            against=network if prefix else "",
        )
        for network, unit, plain, with_se in _NETWORKS
        for prefix, attn, published in (("", "none", plain), ("SE-", "se(r=16)", with_se))
    ),
    scales={
        "tiny": Scale(
            3, 8, QUICK, 10_000, {"depth": {"18": "2"}, "base": {"16": "8"}, "attn": {"se(r=16)": "se(r=4)"}}
        ),
        "small": Scale(4, 12, "quick", None, {"depth": {"18": "3"}}),
        "full": Scale(5, HE2016_EPOCHS, "he2016"),
    },
    differs=f"{HE2016_DIFFERS}; the schedule is that of He et al. 2016",
)
