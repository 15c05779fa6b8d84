"""Alternatives of a choice that a user probably means by a text that is none of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from explorer.errors import similar_names
from explorer.space.language.foreign.words import LAYERS, plain
from explorer.space.language.names import is_known


def meant_alternatives(text: str, options: Sequence[str]) -> list[str]:
    """Return the alternatives that a text probably stands for: of the same layer, else with similar letters.

    Another layer with similar letters is none of them: 'gelu' is not 'relu'.

    Args:
        text: The text.
        options: The alternatives.
    """
    name = _first_word(text)
    meant = LAYERS.get(plain(name))
    near = similar_names(text, options)
    if meant is None and not is_known(name):
        return near
    alike = [option for option in options if _first_word(option) in (name, meant)]
    return [option for option in near if option in alike or not is_known(_first_word(option))] or alike


def _first_word(text: str) -> str:
    return re.split(r"[ (]", text.strip(), maxsplit=1)[0]
