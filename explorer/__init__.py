"""Explore design spaces of residual networks: derive, cost, train, compare and export architectures.

Public names are imported on first use, so loading a space and counting its costs imports neither torch nor optuna nor
pandas.

Example:
    >>> space = explorer.load_space("preact_variants.yaml")
    >>> arch = space.architecture(1234)
    >>> macs = explorer.cost(arch).macs
    >>> net = explorer.build(arch)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from explorer.former_names import install as _find_former_modules

# Public name -> the module and the attribute that it stands for.
_PUBLIC = {
    "annotate_study": ("explorer.store.managing.changes", "annotate_study"),
    "copy_study": ("explorer.store.managing.copies", "copy_study"),
    "delete_study": ("explorer.store.managing.changes", "delete_study"),
    "merge_studies": ("explorer.study.exchange.merging", "merge_studies"),
    "rename_study": ("explorer.store.managing.changes", "rename_study"),
    "stop_study": ("explorer.store.presence.stops", "stop_study"),
    "study_status": ("explorer.store.presence.status", "study_status"),
    "Argument": ("explorer.networks.ops.base", "Argument"),
    "Call": ("explorer.networks.ops.base", "Call"),
    "Op": ("explorer.networks.ops.base", "Op"),
    "OpCost": ("explorer.networks.ops.base", "OpCost"),
    "Recipe": ("explorer.training.recipe", "Recipe"),
    "TensorShape": ("explorer.networks.ops.base", "TensorShape"),
    "load_extension": ("explorer.extensions.files", "load_extension"),
    "register": ("explorer.extensions.registry", "register"),
    "from_optuna": ("explorer.study.exchange.optuna", "from_optuna"),
    "to_optuna": ("explorer.study.exchange.optuna", "to_optuna"),
    "Architecture": ("explorer.networks.architecture", "Architecture"),
    "Derivation": ("explorer.space.choices", "Derivation"),
    "ExplorerError": ("explorer.errors", "ExplorerError"),
    "Pause": ("explorer.system.device_lock", "Pause"),
    "SearchFailed": ("explorer.errors", "SearchFailed"),
    "SearchSpace": ("explorer.space.search_space", "SearchSpace"),
    "SpaceError": ("explorer.errors", "SpaceError"),
    "atlas": ("explorer.costs.whole_space.table", "atlas"),
    "choice_effects": ("explorer.study.results.effects", "choice_effects"),
    "compare_spaces": ("explorer.study.compare", "compare_spaces"),
    "export_trial": ("explorer.study.results.exporting", "export_trial"),
    "plot_frontier": ("explorer.dashboard.study_files", "plot_frontier"),
    "write_report": ("explorer.dashboard.study_files", "write_report"),
    "Cost": ("explorer.costs.analytic", "Cost"),
    "Event": ("explorer.study.events", "Event"),
    "Progress": ("explorer.study.events", "Progress"),
    "Status": ("explorer.study.events", "Status"),
    "Study": ("explorer.store.study", "Study"),
    "TrialRecord": ("explorer.records", "TrialRecord"),
    "build": ("explorer.networks.build", "build_network"),
    "confirm": ("explorer.study.confirm.run", "confirm"),
    "cost": ("explorer.costs.analytic", "count_cost"),
    "gradients": ("explorer.training.gradient_flow", "gradient_flow"),
    "latency": ("explorer.measure.latency", "latency"),
    "load_space": ("explorer.space.search_space", "load_space"),
    "load_weights": ("explorer.export.weights", "load_weights"),
    "open_study": ("explorer.store.studies", "open_study"),
    "pair_weights": ("explorer.export.weights", "pair_weights"),
    "parse_space": ("explorer.space.search_space", "parse_space"),
    "predict_latency": ("explorer.measure.predictor.calibration", "predict_latency"),
    "Scorer": ("explorer.scoring.zero_cost", "Scorer"),
    "score": ("explorer.scoring.zero_cost", "score_architecture"),
    "search": ("explorer.study.search", "search"),
    "train_pairs": ("explorer.study.pairs.run", "train_pairs"),
    "train": ("explorer.training.run", "train_architecture"),
}

__all__ = sorted(_PUBLIC)
_find_former_modules()


def __getattr__(name: str) -> Any:
    if name == "__version__":  # on first use: a checkout asks git
        from explorer.system.version import explorer_version

        return globals().setdefault(name, explorer_version())
    if name not in _PUBLIC:
        raise AttributeError(f"module 'explorer' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC, "__version__"})
