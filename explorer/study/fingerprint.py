"""What must not differ between two runs of one study, or its trials would not be comparable."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from explorer.errors import StoreError
from explorer.measure.result import LatencyEnvironment
from explorer.networks.architecture import DIGEST_VERSION
from explorer.space.language.parse import content
from explorer.space.search_space import SearchSpace
from explorer.store.study import Study
from explorer.study.function_code import describe_function
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

    The settings DESCRIBED have entries of their own, which say more than their values: of the data the hash of the
    content, of the caller's functions names and digests of their code (``function_code``). Any other setting of the
    fingerprint has an entry where it is not the default, so studies of before there was that setting are resumed.

    Args:
        space: The space with the data's input.
        settings: The settings; the recipe and the epochs of a training are chosen.
        data: The data set's own fingerprint: name, split and a hash of the content; None for a caller's evaluation.
        latency: Where an objective is measured, if that is a latency.
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
    if latency is not None:
        told = {name: value for name, value in latency.to_dict().items() if name not in ("digest", "commit")}
        made["latency"] = {**told, "device": latency.machine.device.partition(":")[0]}  # as in the digest
    functions: dict[str, Callable[..., Any]] = {"evaluate": evaluate} if evaluate else {}
    functions |= {f"cost {name}": own for name, own in costs.items()}
    if functions:
        made["code"] = {role: describe_function(function) for role, function in functions.items()}
    values = settings.values()
    for each in settings.described():
        if each.in_fingerprint and each.name not in DESCRIBED and values[each.name] != each.default:
            made[each.name] = each.kind.write(values[each.name])
    kept: dict[str, Any] = json.loads(json.dumps(made))
    return kept


def code_differences(kept: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Where the functions of two fingerprints differ. Not counted are a function whose code the kept one does not have,
    as in studies of before code was kept, and code that was read in another way: source, or another Python's bytecode.
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
    """Raises StoreError, naming every difference, unless the study was begun with this fingerprint, the code of
    functions aside (``code_differences``). ``space_text``: of the space that is searched now."""
    before, now = ({name: each for name, each in made.items() if name != "code"} for made in (study.fingerprint, found))
    differences = _differences(_completed(before), now)
    if "space" in differences:
        before, now = ({"space": json.loads(content(text))} for text in (study.space_text, space_text))
        in_text = _differences(before, now) or {"space": "another input or number of classes"}
        differences = {**in_text, **{name: said for name, said in differences.items() if name != "space"}}
    if "evaluate" in differences:  # what only a training has goes without saying
        differences = {name: said for name, said in differences.items() if not name.startswith(("split", "recipe"))}
    if differences:
        listed = "; ".join(f"{name}: {said}" for name, said in differences.items())
        raise StoreError(
            f"study {study.name!r} in {study.storage} was begun otherwise ({listed}); "
            "run it as it was begun, or begin another beside it with --new-study"
        )


def _completed(kept: Mapping[str, Any]) -> dict[str, Any]:
    """A study's fingerprint with what a recipe could not say yet when it was begun: such fields are off by default."""
    if not kept.get("recipe"):
        return dict(kept)
    defaults = {field.name: field.default for field in fields(Recipe) if field.default is not MISSING}
    return {**kept, "recipe": {**defaults, **kept["recipe"]}}


def _differences(kept: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, str]:
    """Where two trees differ: path -> what stands there and what stood there."""
    before, now = _flat(kept), _flat(asked)
    names = [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    return {name: f"{_shown(before.get(name))}, now {_shown(now.get(name))}" for name in names}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value)[:80]
