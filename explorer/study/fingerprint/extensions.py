"""The extensions that a study uses: ops of its space, data set, recipe, costs, sampler and stopping rule."""

from __future__ import annotations

import re

from explorer.extensions.lookup import find, names
from explorer.extensions.registry import Extension
from explorer.space.language.parse import content
from explorer.space.search_space import SearchSpace
from explorer.study.settings import SearchSettings
from explorer.training.recipe import Recipe


def used_extensions(space: SearchSpace, settings: SearchSettings) -> list[Extension]:
    """Return the extensions that a search uses.

    Args:
        space: The space.
        settings: The settings, with the costs of extensions.

    Raises:
        ExtensionError: One of them cannot be loaded, or two have the same name.
    """
    words = set(re.findall(r"[a-z_]+", content(space.text)))  # the names of ops, also before a kernel size
    training = settings.training
    used = [("op", name) for name in names("op") if name in words]
    used += [("cost", name) for name in names("cost") if name in (settings.costs or {})]
    used += [("sampler", settings.sampler), ("stopping", settings.stopping)]
    if settings.evaluate is None:
        recipe = training.recipe.name if isinstance(training.recipe, Recipe) else training.recipe
        used += [("data", training.data or ""), ("recipe", recipe if isinstance(recipe, str) else "")]
    found = [find(kind, name) for kind, name in used if name in names(kind)]
    return [each for each in found if each is not None]
