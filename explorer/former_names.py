"""Where earlier versions had the explorer's functions, classes and modules.

The table has two uses. The digest of a caller's function contains the full names of what it refers to; digests in
users' databases contain the names that were in use when a study was created, so names that have moved keep their former
ones there. And a module is still found under its former name, so that pickled objects and scripts of earlier versions
can be loaded.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_FORMER_NAMES = {
    "explorer.data.catalogue.data_place": "explorer.training.data.data_place",
    "explorer.data.catalogue.require_known": "explorer.training.data.require_known",
    "explorer.data.images.ImageFormat": "explorer.training.images.Form",
    "explorer.data.sources.PublicDataset": "explorer.training.sources.Known",
    "explorer.data.splits.LazySplit": "explorer.training.splits.UnreadSplit",
    "explorer.data.streaming.ImagesOnDisk": "explorer.training.ondisk.ImagesOnDisk",
    "explorer.networks.walk.PlacedBlock": "explorer.architecture.Placed",
    "explorer.space.edits.change_choice": "explorer.grammar.neighbours.changed",
    "explorer.space.edits.current_choices": "explorer.grammar.neighbours.asked",
    "explorer.space.search_space.load_space": "explorer.grammar.parse.load_space",
    "explorer.space.search_space.parse_space": "explorer.grammar.parse.parse_space",
}
_FORMER_MODULES = {
    "explorer.analysis.distributions": "explorer.distributions",
    "explorer.analysis.effects": "explorer.effects",
    "explorer.analysis.limits": "explorer.limits",
    "explorer.analysis.noise": "explorer.noise",
    "explorer.analysis.pareto": "explorer.frontier",
    "explorer.analysis.ranking": "explorer.scoring.correlation",
    "explorer.cli.address": "explorer.address",
    "explorer.cli.doctor": "explorer.doctor",
    "explorer.cli.managing.cleaning": "explorer.cli.cleaning",
    "explorer.costs.analytic": "explorer.costing.analytic",
    "explorer.costs.reference": "explorer.costing.reference",
    "explorer.costs.whole_space": "explorer.survey",
    "explorer.data": "explorer.training",
    "explorer.data.dataset": "explorer.training.data",
    "explorer.data.decoding": "explorer.training.images",
    "explorer.data.formats": "explorer.training",
    "explorer.data.reading": "explorer.training.sources",
    "explorer.export.model_py": "explorer.export",
    "explorer.export.verify": "explorer.export",
    "explorer.measure.predictor.calibration": "explorer.measure.calibration",
    "explorer.measure.predictor.features": "explorer.measure.features",
    "explorer.measure.predictor.predictor": "explorer.measure.predictor",
    "explorer.measure.result": "explorer.records",
    "explorer.networks.architecture": "explorer.architecture",
    "explorer.networks.block": "explorer.architecture",
    "explorer.networks.build": "explorer.network.build",
    "explorer.networks.canonical": "explorer.canonical",
    "explorer.networks.init": "explorer.network.init",
    "explorer.networks.ops": "explorer.ops",
    "explorer.networks.randomness": "explorer.network.randomness",
    "explorer.space.choices": "explorer.grammar.space",
    "explorer.space.edits": "explorer.grammar.neighbours",
    "explorer.space.json_schema": "explorer.grammar.json_schema",
    "explorer.space.search_space": "explorer.grammar.space",
    "explorer.space.shipped": "explorer.grammar.shipped",
    "explorer.space.validate": "explorer.grammar.validate",
    "explorer.study.compare": "explorer.study.comparison",
    "explorer.study.confirm.run": "explorer.study.confirmation",
    "explorer.system.cores": "explorer.measure.cores",
    "explorer.system.device_lock": "explorer.measure.device_lock",
    "explorer.system.environment": "explorer.measure.environment",
    "explorer.system.files": "explorer.files",
    "explorer.system.nvml": "explorer.measure.nvml",
    "explorer.system.plain_text": "explorer.plain_text",
    "explorer.system.processes": "explorer.processes",
    "explorer.system.signals": "explorer.signals",
    "explorer.system.strict_json": "explorer.strict_json",
    "explorer.training.cpu.relu": "explorer.training.relu",
}
# Modules whose objects earlier versions pickled with a SearchSpace. They are not needed: a space is read from its text.
_INSIDE_A_SPACE = tuple(
    f"explorer.grammar.{name}"
    for name in (
        "asks",
        "automaton",
        "decisions",
        "liveness",
        "relevance",
        "resolve",
        "space",
        "states",
        "tree",
        "unit_shapes",
    )
)


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


def moved(module: str, name: str) -> Any:
    """Return what a module of an earlier version had under a name, whether it defined or imported it.

    Args:
        module: The module's name in the earlier version.
        name: The name in that module.

    Raises:
        AttributeError: No successor of the module has this name.
    """
    renamed = (new for new, old in _FORMER_NAMES.items() if old == f"{module}.{name}")
    places = [new.rpartition(".") for new in renamed] or [(place, "", name) for place in _modules_of(module)]
    for place, _, present in places:
        if not present.startswith("__") and hasattr(import_module(place), present):
            return getattr(import_module(place), present)
    if module in _INSIDE_A_SPACE and not name.startswith("_"):
        return type(name, (_Discarded,), {"__module__": module})
    raise AttributeError(f"module {module!r} of an earlier version has no attribute {name!r} in this version")


class _Discarded:
    """An object without contents in place of one that a SearchSpace of an earlier version was pickled with."""

    def __new__(cls, *args: Any) -> _Discarded:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None: ...


def _modules_of(former: str) -> list[str]:
    """Return the modules that have the contents of a former module or package; empty if there was none."""
    of_names = [(new.rpartition(".")[0], old.rpartition(".")[0]) for new, old in _FORMER_NAMES.items()]
    found = []
    for new, old in [*_FORMER_MODULES.items(), *of_names]:
        if f"{old}.".startswith(f"{former}."):
            found.append(new)
        elif former.startswith(f"{old}.") and _exists(new + former.removeprefix(old)):
            found.append(new + former.removeprefix(old))
    return list(dict.fromkeys(found))


def _exists(module: str) -> bool:
    """Return whether there is a module of that name."""
    path = Path(__file__).parent.joinpath(*module.split(".")[1:])  # an import here could ask for former names again
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


class FormerModules:
    """Finds and loads the modules of earlier versions, which forward to their successors.

    It is asked last, so an import of a module that exists is not slower. It has no base class of ``importlib.abc``,
    which would add eight modules to the start of each command.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("explorer.") or not (fullname in _INSIDE_A_SPACE or _modules_of(fullname)):
            return None
        return ModuleSpec(fullname, self, is_package=True)  # type: ignore[arg-type]  # the type wants ``load_module``

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None: Python makes the module."""

    def exec_module(self, module: ModuleType) -> None:
        former = module.__name__
        module.__getattr__ = partial(moved, former)  # type: ignore[method-assign]
        if not isinstance(sys.modules[former.rpartition(".")[0]].__spec__.loader, FormerModules):  # type: ignore[union-attr]
            warnings.warn(
                f"{former} has moved to {', '.join(_modules_of(former))}; save pickled objects again with this version",
                DeprecationWarning,
                stacklevel=2,
            )


def install() -> None:
    """Make the modules of earlier versions importable."""
    if not any(isinstance(each, FormerModules) for each in sys.meta_path):
        sys.meta_path.append(FormerModules())
