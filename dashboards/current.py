"""The study that the pages show: picked by the user, and kept fresh while its search runs.

A page draws itself once from what it was given. A small part of it looks at the storage every four
seconds and draws the page anew only when something changed; what is selected stays selected. Drawing
takes turns with the search on the same cores, so the longer a page takes to draw, the longer it rests.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import streamlit as st

from dashboards.launch import STORAGE_VARIABLE
from dashboards.reading import Trials, read_studies, read_study
from dashboards.text import safe_text
from explorer.errors import StoreError
from explorer.records import TrialRecord
from explorer.store import Study, StudySummary
from explorer.store.database import DEFAULT_STORAGE

LOOK_SECONDS = 4.0
DRAWING_SHARE = 0.01  # of one core, that a page left open may take by drawing itself anew; the browser takes more
LONGEST_REST = 60.0  # seconds that a page may be out of date
DREW = "drew"  # the session's key of the CPU-seconds that the page took to be drawn last
PICKED = "study"  # and of the picked study's name
BOXED = "boxed"  # and of (identity of the study, numbers of the trials in the box that was dragged)
CHOSEN = "chosen"  # and of (identity of the study, number of the trial looked at last), which every page starts with


class Look(NamedTuple):
    """What a look at the storage found. ``problem``: a sentence, empty when all is well."""

    problem: str = ""
    studies: tuple[StudySummary, ...] = ()
    study: Study | None = None
    trials: Trials | None = None
    revision: int = 0

    @property
    def mark(self) -> tuple:
        """A page is out of date when a later look has another mark."""
        return self.problem, sorted(study.name for study in self.studies), self.study and self.study.name, self.revision


def current_study() -> tuple[Study, list[TrialRecord]] | None:
    """Draws the study picker; returns the picked study and its trials, or None after saying why there is none."""
    found = _look(st.session_state.get(PICKED))
    if found.study is not None:
        st.session_state[PICKED] = found.study.name
        _draw_picker(found.studies)
    if found.problem:
        say(found.problem)
    _watch(found.mark, time.monotonic())
    return None if found.study is None or found.trials is None else (found.study, found.trials.all())


@contextmanager
def drawing() -> Iterator[None]:
    """Takes the time of what a page's whole drawing costs this server."""
    began = time.thread_time()
    try:
        yield
    finally:
        st.session_state[DREW] = time.thread_time() - began
        _spare_modules()


_spared = 0  # modules


def _spare_modules() -> None:
    """Takes what is imported out of the sight of the garbage collector. Streamlit has it look at everything after each
    run, a look every four seconds too: a tenth of a second each time with pandas and plotly there."""
    global _spared
    if len(sys.modules) > _spared:
        _spared = len(sys.modules)
        gc.collect()
        gc.freeze()


def identity(study: Study) -> tuple:
    """What tells a study from every other, one of the same name made later among them."""
    return study.storage, study.name, study.created


def chosen_trial(study: Study) -> int | None:
    """The trial of this study that was looked at last, on whichever page."""
    of_study, number = st.session_state.get(CHOSEN, (None, None))
    return number if of_study == identity(study) else None


def keep_chosen(study: Study, number: int) -> None:
    """Remembers the trial that a page shows."""
    st.session_state[CHOSEN] = (identity(study), number)


def keep_boxed(of_study: tuple, numbers: list[int]) -> None:
    """Remembers the trials in the box that was dragged, for every page; an empty box forgets them."""
    st.session_state[BOXED] = (of_study, frozenset(numbers))


def narrow(study: Study, records: list[TrialRecord]) -> list[TrialRecord]:
    """The trials in the box that was dragged on the frontier page, with a line that says so and a button that
    forgets it; the very ``records`` where there is none."""
    of_study, numbers = st.session_state.get(BOXED, (None, frozenset()))
    if of_study != identity(study) or not numbers:
        return records
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"Only the {len(numbers)} networks in the box are shown.")
        st.button("Show all", key="show_all", on_click=keep_boxed, args=(of_study, []))
    return [record for record in records if record.number in numbers]


def storage_url() -> str:
    """The storage that this server shows, with its password where it has one: for programs, never to be drawn."""
    return os.environ.get(STORAGE_VARIABLE, DEFAULT_STORAGE)


def say(sentence: str) -> None:
    """A sentence in place of what cannot be shown; its text may come from the database."""
    with st.container(border=True):
        st.text(safe_text(sentence, length=700))


def _look(picked: str | None) -> Look:
    storage = storage_url()
    found = Look()
    try:
        found = Look(studies=tuple(read_studies(storage)))
        if not found.studies:
            return Look(
                "This storage holds no studies yet. Start one with: explorer search --space preact_variants.yaml"
            )
        names = [study.name for study in found.studies]
        study = read_study(storage, picked if picked in names else names[0])
        found = found._replace(study=study)
        trials = _trials(storage, study.name, study.created)
        trials.update(study)
        return found._replace(trials=trials, revision=trials.revision)
    except StoreError as error:
        return found._replace(problem=f"{error}.")


@st.cache_resource(max_entries=16, show_spinner=False)
def _trials(storage: str, name: str, created: float) -> Trials:
    # Told apart by birth too: a study that was deleted and made again under its name begins anew.
    return Trials()


def _draw_picker(studies: tuple[StudySummary, ...]) -> None:
    abouts = {
        study.name: f"{study.name} — space {study.space_name}, data {study.data or 'its own'}" for study in studies
    }
    st.selectbox(
        "Study", list(abouts), format_func=lambda name: safe_text(abouts.get(name, name)), key=PICKED, width=560
    )


@st.fragment(run_every=LOOK_SECONDS)
def _watch(drawn: tuple, looked: float) -> None:
    # Run by the page as it is drawn, then every four seconds: the first time it has just been looked.
    rest = min(max(LOOK_SECONDS / 2, st.session_state.get(DREW, 0.0) / DRAWING_SHARE), LONGEST_REST)
    if time.monotonic() - looked > rest and _look(st.session_state.get(PICKED)).mark != drawn:
        st.rerun()
