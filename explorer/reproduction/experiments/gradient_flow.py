"""Gradient flow at initialisation through the five orders of He et al. 2016."""

from __future__ import annotations

from explorer.reproduction.experiment import GRADIENT_RATIO, Case, Experiment, Scale

# Order in the paper, in the space, and the earlier ratio, of which no record is kept.
_ORDERS = (
    ("original", "original", 12.7),
    ("BN after addition", "bn_after_add", 44.3),
    ("ReLU before addition", "relu_before_add", 9.8),
    ("ReLU-only pre-activation", "relu_only_preact", 8.8),
    ("full pre-activation", "full_preact", 11.7),
)

_PROJECTION = {"full_preact": {"preact_option": "preact_B"}}

EXPERIMENT = Experiment(
    name="gradient-flow",
    about="norm of the gradient at the first block of stage 1 over that at its last block, five orders of ResNet-110",
    source="earlier figures without a record (projection shortcuts, 32 noise images), not of a paper: He et al. 2016,"
    " arXiv:1603.05027, derive the flow (eq. 5) and print no numbers",
    space="published/he2016_units.yaml",
    cases=tuple(
        Case(
            f"ResNet-110, {title}",
            {"unit": f"basic_{order}", "depth": "18", "base": "16", **_PROJECTION.get(order, {"option": "B"})},
            ratio,
            against="" if order == "original" else "ResNet-110, original",
        )
        for title, order, ratio in _ORDERS
    ),
    scales={"tiny": Scale(3), "small": Scale(10), "full": Scale(30)},
    differs="seeds; one seed varies by about a tenth",
    quantity=GRADIENT_RATIO,
)
