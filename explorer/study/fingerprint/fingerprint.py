"""The fingerprint of a study: settings and data that must not differ between its runs.

Trials of runs with different fingerprints would not be comparable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from explorer.errors import StoreError
from explorer.measure.result import LatencyEnvironment
from explorer.networks.architecture import DIGEST_VERSION
from explorer.space.language.parse import content
from explorer.space.lint.meanings import changed_meanings
from explorer.space.search_space import SearchSpace
from explorer.store.managing.extensions import ENTRY, extension_entries
from explorer.store.remote.place import PLACE
from explorer.store.study import Study
from explorer.study.fingerprint.extensions import used_extensions
from explorer.study.fingerprint.function_code import describe_function
from explorer.study.settings import SearchSettings
from explorer.training.recipe import Recipe

DESCRIBED = ("data", "subset", "skip_damaged", "recipe", "epochs", "objectives", "evaluate", "costs")


def make_fingerprint(
    space: SearchSpace,
    settings: SearchSettings,
    *,
    data: Mapping[str, Any] | None = None,
    latency: LatencyEnvironment | None = None,
) -> dict[str, Any]:
    """Return the fingerprint of a run.

    The settings in ``DESCRIBED`` have entries that hold more than their values: a hash of the content of the data, and
    names and digests of the caller's functions (``function_code``). Any other setting of the fingerprint has an entry
    only if it differs from its default, so that studies older than the setting can be resumed. Likewise ``language``
    has an entry for each spelling of the space that earlier versions read otherwise.

    Args:
        space: The space with the input shape and classes of the data.
        settings: The settings, with recipe and epochs resolved.
        data: Fingerprint of the data set: name, split and a hash of the content; None for a caller's evaluation.
        latency: Environment of the latencies if one is an objective.
    """
    evaluate, costs = settings.evaluate, settings.costs or {}
    recipe = settings.training.recipe
    made: dict[str, Any] = {
        "space": space.digest,
        "digests": DIGEST_VERSION,
        "objectives": dict(settings.objectives),
        "data": data["name"] if data else "",
        "split": {name: value for name, value in data.items() if name != "name"} if data else {},
        "recipe": asdict(recipe) if isinstance(recipe, Recipe) else {},
        "epochs": settings.training.epochs,
        "costs": sorted(costs),
        "evaluate": "the caller's" if evaluate else "training",
    }
    if meanings := changed_meanings(space):
        made["language"] = meanings
    if latency is not None:
        environment = {name: value for name, value in latency.to_dict().items() if name not in ("digest", "commit")}
        device = latency.machine.device.partition(":")[0]  # without the number of a GPU, as in the digest
        made["latency"] = {**environment, "device": device}
    if used := used_extensions(space, settings):
        made[ENTRY] = extension_entries(used)
    in_files = {each.name for each in used if each.kind == "cost" and each.origin.module}  # ENTRY has their code
    functions: dict[str, Callable[..., Any]] = {"evaluate": evaluate} if evaluate else {}
    functions |= {f"cost {name}": own for name, own in costs.items() if name not in in_files}
    if functions:
        made["code"] = {role: describe_function(function) for role, function in functions.items()}
    values = settings.values()
    for each in settings.described():
        if each.in_fingerprint and each.name not in DESCRIBED and values[each.name] != each.default:
            made[each.name] = each.kind.write(values[each.name])
    kept: dict[str, Any] = json.loads(json.dumps(made))
    return kept


def code_differences(kept: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the differences between the caller's functions of two fingerprints, as text.

    A function without recorded code, as in old studies, does not differ. Neither does code that was
    read in different ways: as source and as bytecode, or as bytecode of two versions of Python.

    Args:
        kept: Fingerprint of the study.
        found: Fingerprint of this run.
    """
    differences = []
    for role, now in found.get("code", {}).items():
        before = kept.get("code", {}).get(role, now)
        (form, _, digest), (form_now, _, digest_now) = (each["code"].rpartition(" ") for each in (before, now))
        if before["name"] != now["name"]:
            differences.append(f"{role}: {before['name']}, now {now['name']}")
        elif form == form_now and digest != digest_now:
            differences.append(f"{role}: the code of {now['name']} has changed")
    return differences


def require_same(study: Study, found: Mapping[str, Any], space_text: str) -> None:
    """Check that a run has the fingerprint of the study. The code of functions is not compared.

    Args:
        study: The study.
        found: Fingerprint of this run.
        space_text: Text of the space of this run.

    Raises:
        StoreError: The fingerprints differ; the message lists all differences.
    """
    if differences := fingerprint_differences(study, found, space_text):
        listed = "; ".join(
            f"{name}: {before + ', now ' if before else ''}{now}" for name, (before, now) in differences.items()
        )
        raise StoreError(
            f"study {study.name!r} in {study.storage} was created with other settings ({listed}); "
            "use the same settings, or create another study with --study NAME"
        )


def fingerprint_differences(study: Study, found: Mapping[str, Any], space_text: str) -> dict[str, tuple[str, str]]:
    """Return the entries in which a fingerprint differs from the study's: path -> both values as text.

    The study's value is empty where only the fact of a difference is known.

    Args:
        study: The study.
        found: The other fingerprint. Extensions, the code of functions and the place of the files are not compared.
        space_text: Text of the other space.
    """
    kept, made = (
        {name: each for name, each in of.items() if name not in ("code", ENTRY, PLACE)}
        for of in (study.fingerprint, found)
    )
    differences = _differences(_completed(kept), _completed(made))
    if "space" in differences:
        before, now = ({"space": json.loads(content(text))} for text in (study.space_text, space_text))
        in_text = _differences(before, now) or {"space": ("", "another input or number of classes")}
        differences = {**in_text, **{name: change for name, change in differences.items() if name != "space"}}
    if "evaluate" in differences:  # then split and recipe differ too, since only a training has them
        differences = {name: change for name, change in differences.items() if not name.startswith(("split", "recipe"))}
    return differences


def _completed(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's fingerprint with the defaults of settings that recipes did not have when it was created."""
    if not kept.get("recipe"):
        return dict(kept)
    defaults = {field.name: field.default for field in fields(Recipe) if field.default is not MISSING}
    return {**kept, "recipe": {**defaults, **kept["recipe"]}}


def _differences(kept: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the differences between two trees: path -> the values of both, as text."""
    before, now = _flat(kept), _flat(found)
    names = [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    return {name: (_format_value(before.get(name)), _format_value(now.get(name))) for name in names}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a tree by path, such as "recipe.lr"."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _format_value(value: Any) -> str:
    return "none" if value is None else json.dumps(value)[:80]
