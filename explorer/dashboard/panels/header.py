"""The header of every page: which study it shows, how its networks were trained, and how far the search is.

A page is drawn once. A small fragment of it checks the storage every ``CHECK_SECONDS`` seconds and reruns the page only
if something changed; selections stay. Drawing competes with the search for the same cores, so a page that takes long to
draw is redrawn less often.
"""

from __future__ import annotations

import time

import streamlit as st

from explorer.dashboard.data.summary import OWN_FUNCTION, progress_text, settings_text
from explorer.dashboard.panels.theme import apply_style
from explorer.dashboard.session import (
    ASKED,
    CHECK_SECONDS,
    DRAW_SECONDS,
    DRAWING_SHARE,
    LAST,
    MAX_AGE_SECONDS,
    PICKED,
    Snapshot,
    is_outdated,
    show_message,
    table_of,
    take_snapshot,
    trials_of,
)
from explorer.dashboard.text import safe_text
from explorer.errors import StoreError
from explorer.records import TrialRecord
from explorer.store import Study, StudySummary


def current_study() -> Study | None:
    """Draw the header with the study picker and return the picked study.

    A link that names a study picks it. If there is nothing to show, a message says why.

    Returns:
        The study; None after a message.
    """
    apply_style()
    asked = st.query_params.get("study", "")
    moved = asked != st.session_state.get(ASKED, "")
    if asked and moved:
        st.session_state[PICKED] = asked
    found = take_snapshot(st.session_state.get(PICKED, st.session_state.get(LAST)))
    if found.study is not None:
        name = st.session_state[PICKED] = st.session_state[LAST] = found.study.name
        _draw_header(found.study, found.studies, bool(found.problem))
        if asked and asked != name:
            if moved:
                show_message(f"The address names study {safe_text(asked)!r}, which is not in this storage.")
            asked = st.query_params["study"] = name
    st.session_state[ASKED] = asked
    if found.problem:
        show_message(found.problem)
    _watch(found, time.monotonic())
    return None if found.problem else found.study


def current_trials(may_be_empty: bool = False) -> tuple[Study, list[TrialRecord]] | None:
    """Like ``current_study``, with the trials as records.

    Args:
        may_be_empty: Whether a study without trials is returned; otherwise a message says that it has none.
    """
    study = current_study()
    if study is None or not (may_be_empty or has_trials(study)):
        return None
    try:
        return study, trials_of(study)
    except StoreError as error:
        show_message(f"{error}.")
        return None


def has_trials(study: Study) -> bool:
    """Return whether a study has trials; a message says that it has none."""
    if len(table_of(study)):
        return True
    show_message("This study has no trials yet. They appear here by themselves when the search starts.")
    return False


def _draw_header(study: Study, studies: tuple[StudySummary, ...], is_damaged: bool) -> None:
    labels = {each.name: _label(each) for each in studies}
    with st.container(horizontal=True, vertical_alignment="center", key="header"):
        st.selectbox(
            "Study",
            list(labels),
            format_func=lambda name: safe_text(labels.get(name, name)),
            key=PICKED,
            label_visibility="collapsed",
            width=600,
        )
        if not is_damaged:
            progress = progress_text(table_of(study))
            with st.container(key="facts", gap=None):
                st.text(safe_text(settings_text(study)))
                st.text(safe_text(f"Search {progress}" if progress.startswith(("running", "ended")) else progress))


def _label(study: StudySummary) -> str:
    """Return the text of a study in the picker."""
    return f"{study.name} — space {study.space_name}, {f'data {study.data}' if study.data else OWN_FUNCTION}"


@st.fragment(run_every=CHECK_SECONDS)
def _watch(drawn: Snapshot, taken: float) -> None:
    # The first run is part of drawing the page, right after the snapshot.
    wait = min(max(CHECK_SECONDS / 2, st.session_state.get(DRAW_SECONDS, 0.0) / DRAWING_SHARE), MAX_AGE_SECONDS)
    if time.monotonic() - taken > wait and is_outdated(drawn):
        st.rerun()
