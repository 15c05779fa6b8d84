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
    form = _Form(study, number)
    if form.note_key not in st.session_state:  # the fields are drawn for the first time, or again
        form.load(owner)
    if (owner.note, owner.tags) != form.loaded:
        show_message(f"Changed elsewhere since the fields below were loaded: {annotation_text(owner) or 'now empty'}")
        st.button("Load it into the fields", key=f"{form.key}_load", on_click=form.load, args=(owner,))
    with st.form(form.key, border=False):
        st.text_area("Note", height=80, key=form.note_key)
        st.text_input("Tags, separated by commas", key=form.tags_key)
        st.form_submit_button("Save", on_click=form.save)
    if form.problem_key in st.session_state:
        show_message(st.session_state.pop(form.problem_key))


class _Form:
    """The fields of one owner. Saving writes only what the user changed, so that changes from elsewhere stay.

    Args:
        study: The study.
        number: The trial; None for the study.
    """

    def __init__(self, study: Study, number: int | None) -> None:
        self._study, self._number = study, number
        self.key = f"notes_{hash(identity(study))}_{number}"
        self.note_key, self.tags_key = f"{self.key}_note", f"{self.key}_tags"
        self.problem_key, self._loaded_key = f"{self.key}_problem", f"{self.key}_loaded"

    @property
    def loaded(self) -> tuple[str, tuple[str, ...]]:
        """The note and the tags that the fields had when they were loaded."""
        note, tags = st.session_state[self._loaded_key]
        return note, tags

    def load(self, owner: Study | TrialRecord) -> None:
        """Set the fields to what is stored."""
        st.session_state[self._loaded_key] = owner.note, owner.tags
        st.session_state[self.note_key] = owner.note
        st.session_state[self.tags_key] = ", ".join(owner.tags)

    def save(self) -> None:
        """Write the changed fields, unless both the user and someone else changed the note."""
        note = " ".join(str(st.session_state[self.note_key]).split())
        wanted = [tag.strip() for tag in str(st.session_state[self.tags_key]).split(",") if tag.strip()]
        note_before, tags_before = self.loaded
        try:
            opened = read_study(storage_url(), self._study.name)
            stored = (opened if self._number is None else read_trial(opened, self._number)).note
            if note not in (note_before, stored) and stored != note_before:
                st.session_state[self._loaded_key] = stored, tags_before
                st.session_state[self.problem_key] = (
                    f"Not saved: the note was changed elsewhere meanwhile, to: {stored or 'an empty note'}. Save again"
                    " to replace it."
                )
                return
            changed = None if note == note_before else note
            added = [tag for tag in wanted if tag not in tags_before]
            removed = [tag for tag in tags_before if tag not in wanted]
            owner: Study | TrialRecord
            if self._number is None:
                owner = annotate_study(opened, note=changed, add_tags=added, remove_tags=removed)
            else:
                owner = annotate_trial(opened, self._number, note=changed, add_tags=added, remove_tags=removed)
            self.load(owner)
        except StoreError as error:
            st.session_state[self.problem_key] = f"Not saved: {error}."
