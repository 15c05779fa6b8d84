"""Notes and tags of studies and trials: the only thing that the dashboard writes, if the server allows it."""

from __future__ import annotations

import os

import streamlit as st

from explorer.dashboard.data.storage import read_study, read_trial
from explorer.dashboard.launch import READ_ONLY_VARIABLE
from explorer.dashboard.session import identity, show_message, storage_url
from explorer.dashboard.text import safe_text
from explorer.errors import StoreError
from explorer.records import TrialRecord
from explorer.store import Study
from explorer.store.managing.changes import annotate_study, annotate_trial


def may_write() -> bool:
    """Return whether the server was started without ``--read-only``."""
    return not os.environ.get(READ_ONLY_VARIABLE)


def annotation_text(owner: Study | TrialRecord) -> str:
    """Return note and tags in one line; empty without any."""
    tags = ", ".join(owner.tags)
    return " ".join(filter(None, [owner.note, f"[{tags}]" if tags else ""]))


def draw_notes(study: Study, number: int | None = None) -> None:
    """Draw note and tags of a study or of one of its trials, with fields that change them if the server may write.

    Args:
        study: The study.
        number: The trial; None for the study.
    """
    try:
        owner = study if number is None else read_trial(study, number)
    except StoreError as error:
        show_message(f"{error}.")
        return
    if not may_write():
        if annotation_text(owner):
            st.text(safe_text(annotation_text(owner), length=2_100))
        return
    key = f"notes_{hash(identity(study))}_{number}"
    with st.form(key, border=False):
        note = st.text_area("Note", owner.note, height=80, key=f"{key}_note")
        tags = st.text_input("Tags, separated by commas", ", ".join(owner.tags), key=f"{key}_tags")
        saved = st.form_submit_button("Save")
    if saved:
        _save(study, number, owner, note, tags)


def _save(study: Study, number: int | None, owner: Study | TrialRecord, note: str, tags: str) -> None:
    wanted = [each.strip() for each in tags.split(",") if each.strip()]
    dropped = [each for each in owner.tags if each not in wanted]
    try:
        opened = read_study(storage_url(), study.name)
        if number is None:
            annotate_study(opened, note=note, add_tags=wanted, remove_tags=dropped)
        else:
            annotate_trial(opened, number, note=note, add_tags=wanted, remove_tags=dropped)
    except StoreError as error:
        show_message(f"Not saved: {error}.")
        return
    st.rerun()
