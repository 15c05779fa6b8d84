"""What must not differ between two runs of one study, or its trials would not be comparable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from explorer.architecture import DIGEST_VERSION
from explorer.errors import StoreError
from explorer.records import LatencyEnvironment
from explorer.space.language.parse import content
from explorer.space.search_space import SearchSpace
from explorer.store.study import Study
from explorer.study.function_code import describe_function
from explorer.training.recipe import Recipe


def make_fingerprint(
    space: SearchSpace,
    objectives: Mapping[str, str],
    *,
    data: Mapping[str, Any] | None,
    recipe: Recipe | None,
    epochs: int | None,
    own_costs: Iterable[str],
    own_evaluation: bool,
    latency: LatencyEnvironment | None = None,
    functions: Mapping[str, Callable[..., Any]] = {},
) -> dict[str, Any]:
    """The fingerprint of a run. ``data``: the data set's own, with name, split and a hash of the content.
    ``latency``: where an objective is measured, if that is a latency. ``functions``: those that the caller brings, by
    what they are for; their names and digests of their code are kept (``function_code``)."""
    made = {
        "space": space.digest,
        "digests": DIGEST_VERSION,
        "objectives": dict(objectives),
        "data": data["name"] if data else "",
        "split": {name: value for name, value in data.items() if name != "name"} if data else {},
        "recipe": asdict(recipe) if recipe else {},
        "epochs": epochs,
        "costs": sorted(own_costs),
        "evaluate": "the caller's" if own_evaluation else "training",
    }
    if latency is not None:
        told = {name: value for name, value in latency.to_dict().items() if name not in ("digest", "commit")}
        made["latency"] = {**told, "device": latency.machine.device.partition(":")[0]}  # as in the digest
    if functions:
        made["code"] = {role: describe_function(function) for role, function in functions.items()}
    return json.loads(json.dumps(made))


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
