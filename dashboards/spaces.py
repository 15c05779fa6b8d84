"""The search space of a study, as pages ask for it: parsed once, kept; and how one of its networks is addressed."""

from __future__ import annotations

import streamlit as st

from explorer.architecture import Architecture
from explorer.errors import ExplorerError
from explorer.space.choices import Derivation, named_choices
from explorer.space.search_space import SearchSpace, parse_space
from explorer.space.shipped import shipped_spaces
from explorer.store import Study
from explorer.system.files import slug


def space_of(study: Study, architecture: Architecture) -> SearchSpace | str:
    """The study's space on the input of one of its networks; a sentence where its text cannot be read."""
    try:
        return _parsed(study.space_text, tuple(architecture.input), architecture.classes)
    except ExplorerError as error:
        return f"The space of this study cannot be read by this version: {error}."


def shipped_as(study: Study) -> str | None:
    """The name of the shipped space that the study searches; None where its space is a user's own."""
    for name, file in shipped_spaces().items():
        if file.read_text(encoding="utf-8") == study.space_text:
            return name
    return None


def space_file(study: Study) -> str:
    """What to call the file of the study's space: the shipped one's name, or one under which to save it."""
    return shipped_as(study) or f"{slug(study.space_name)}.yaml"


def address_of(study: Study, space: SearchSpace, derivation: Derivation) -> str:
    """``SPACE#choice=alternative,...``: first alternatives are left out, for they stand where nothing is said."""
    first = {}

    def choose(choice) -> str:
        first[choice.name] = choice.options[0]
        return derivation.choices[choice.name]

    space.derive(choose)
    said = ",".join(f"{name}={text}" for name, text in derivation.choices.items() if text != first[name])
    try:
        kept = bool(said) and space.named(named_choices(said)) == derivation
    except ExplorerError:
        kept = False
    return f"{space_file(study)}#{said if kept else space.rank(derivation)}"


@st.cache_resource(max_entries=8, show_spinner="Reading the space")
def _parsed(text: str, shape: tuple[int, int, int], classes: int) -> SearchSpace:
    space = parse_space(text, "the study's space")
    return space if (tuple(space.input), space.classes) == (shape, classes) else space.with_input(shape, classes)
