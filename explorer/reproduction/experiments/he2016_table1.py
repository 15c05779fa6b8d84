"""He et al. 2016, Table 1: shortcuts."""

from __future__ import annotations

from explorer.reproduction.experiment import Case, Experiment, Scale
from explorer.reproduction.experiments.recipes import HE2016_DIFFERS, HE2016_EPOCHS, QUICK

_DEPTH = {"depth": "18", "base": "16"}
_ORIGINAL = "original"
_FAIL = "fail: above 20% error"


def _case(name: str, shortcut: str, published: float | None, bias: str = "", note: str = "") -> Case:
    """Return a case of ResNet-110, which is compared with the original one."""
    choices = {"shortcut": shortcut, **_DEPTH, **({"bias": bias} if bias else {})}
    return Case(name, choices, published, note, "" if name == _ORIGINAL else _ORIGINAL)


EXPERIMENT = Experiment(
    name="he2016-table1",
    about="shortcuts of ResNet-110: identity, constant scaling, Highway gates, 1x1 conv, dropout",
    source="He et al. 2016, arXiv:1603.05027, Table 1 (CIFAR-10, ResNet-110)",
    space="published/he2016_shortcuts.yaml",
    cases=(
        _case(_ORIGINAL, "plain_sum", 6.61),
        _case("constant scaling, shortcut 0", "no_shortcut", None, note=_FAIL),
        _case("constant scaling, shortcut 0.5", "half_shortcut", None, note=_FAIL),
        _case("constant scaling, shortcut 0.5, branch 0.5", "half_both", 12.35),
        _case("exclusive gating, bias 0", "exclusive", None, "0", f"{_FAIL}, for every bias from 0 to -5"),
        _case("exclusive gating, bias -6", "exclusive", 8.70, "-6"),
        _case("exclusive gating, bias -7", "exclusive", 9.81, "-7"),
        _case("shortcut-only gating, bias 0", "gated", 12.86, "0"),
        _case("shortcut-only gating, bias -6", "gated", 6.91, "-6"),
        _case("1x1 conv shortcut", "projection", 12.22),
        _case("dropout shortcut, 0.5", "dropout", None, note=_FAIL),
    ),
    scales={
        "tiny": Scale(3, 5, QUICK, 10_000, {"depth": {"18": "2"}, "base": {"16": "4"}}),
        "small": Scale(3, 10, "quick", None, {"depth": {"18": "3"}}),
        "full": Scale(5, HE2016_EPOCHS, "he2016"),
    },
    differs=HE2016_DIFFERS,
)
