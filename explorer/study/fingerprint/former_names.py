"""The names that the explorer's functions and classes had in earlier versions.

The digest of a caller's function contains the full names of what it refers to. Digests in users' databases contain the
names that were in use when a study was created, so names that have moved keep their former ones there.
"""

from __future__ import annotations

_FORMER_NAMES = {
    "explorer.costs.whole_space.table.atlas": "explorer.survey.table.atlas",
    "explorer.data.dataset.Dataset": "explorer.training.data.Dataset",
    "explorer.data.dataset.load_data": "explorer.training.data.load_data",
    "explorer.measure.predictor.calibration.predict_latency": "explorer.measure.calibration.predict_latency",
    "explorer.networks.block.Block": "explorer.architecture.Block",
    "explorer.networks.block.Stage": "explorer.architecture.Stage",
    "explorer.space.search_space.load_space": "explorer.grammar.parse.load_space",
    "explorer.space.search_space.parse_space": "explorer.grammar.parse.parse_space",
    "explorer.study.confirm.run.confirm": "explorer.study.confirmation.confirm",
}
_FORMER_MODULES = {
    "explorer.analysis.distributions": "explorer.distributions",
    "explorer.analysis.effects": "explorer.effects",
    "explorer.analysis.limits": "explorer.limits",
    "explorer.analysis.pareto": "explorer.frontier",
    "explorer.costs.analytic": "explorer.costing.analytic",
    "explorer.costs.reference": "explorer.costing.reference",
    "explorer.measure.result": "explorer.records",
    "explorer.networks.architecture": "explorer.architecture",
    "explorer.networks.build": "explorer.network.build",
    "explorer.networks.ops": "explorer.ops",
    "explorer.space.choices": "explorer.grammar.space",
    "explorer.space.search_space": "explorer.grammar.space",
    "explorer.system.device_lock": "explorer.measure.device_lock",
    "explorer.system.environment": "explorer.measure.environment",
    "explorer.system.files": "explorer.files",
}


def former_name(name: str) -> str:
    """Return the name under which an earlier version had a function or class, or the name itself.

    Args:
        name: Module and qualified name.
    """
    if name in _FORMER_NAMES:
        return _FORMER_NAMES[name]
    module, _, rest = name.rpartition(".")
    while module:
        if module in _FORMER_MODULES:
            return f"{_FORMER_MODULES[module]}.{rest}"
        module, _, last = module.rpartition(".")
        rest = f"{last}.{rest}"
    return name
