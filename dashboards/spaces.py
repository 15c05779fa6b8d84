"""The search space of a study, as pages ask for it: parsed once, kept."""

from __future__ import annotations

import streamlit as st

from explorer.architecture import Architecture
from explorer.errors import ExplorerError
from explorer.grammar.parse import parse_space
from explorer.grammar.space import SearchSpace
from explorer.store import Study


def space_of(study: Study, architecture: Architecture) -> SearchSpace | str:
    """The study's space on the input of one of its networks; a sentence where its text cannot be read."""
    try:
        return _parsed(study.space_text, tuple(architecture.input), architecture.classes)
    except ExplorerError as error:
        return f"The space of this study cannot be read by this version: {error}."


@st.cache_resource(max_entries=8, show_spinner="Reading the space")
def _parsed(text: str, shape: tuple[int, int, int], classes: int) -> SearchSpace:
    space = parse_space(text, "the study's space")
    return space if (tuple(space.input), space.classes) == (shape, classes) else space.with_input(shape, classes)
