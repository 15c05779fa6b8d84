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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import streamlit as st

from dashboards.launch import STORAGE_VARIABLE
from dashboards.reading import Known, read_revisions, read_studies, read_study
from dashboards.text import safe_text
from explorer.errors import StoreError
from explorer.records import TrialRecord
from explorer.store import Study, StudySummary
from explorer.store.database import DEFAULT_STORAGE

T = TypeVar("T")

LOOK_SECONDS = 4.0
DRAWING_SHARE = 0.005  # of one core, that a page left open may take by drawing itself anew; its browser takes more
LONGEST_REST = 60.0  # seconds that a page may be out of date
LISTED = 2_000  # trials to pick from in a list; of more a number is typed, or the list is most of what the page sends
DREW = "drew"  # the session's key of the CPU-seconds that the page took to be drawn last
PICKED = "study"  # and of the picked study's name
LAST = "last"  # and of the shown one's, which a storage that is gone for a while does not make the session forget
ASKED = "asked"  # and of the name that the address bar says, empty where it says none
BOXED = "boxed"  # and of (identity of the study, numbers of the trials in the box that was dragged)
CHOSEN = "chosen"  # and of (identity of the study, number of the trial looked at last), which every page starts with


class Look(NamedTuple):
    """What a look at the storage found. ``problem``: a sentence, empty when all is well; ``revisions``: of the studies,
    as they were before anything else was read."""

    problem: str = ""
    revisions: Mapping[str, int] = MappingProxyType({})
    studies: tuple[StudySummary, ...] = ()
    study: Study | None = None
    known: Known | None = None

    @property
    def mark(self) -> tuple:
        """A page is out of date when a later look has another mark."""
        return _mark(self.revisions, self.study.name if self.study else "")


def current_study() -> tuple[Study, list[TrialRecord]] | None:
    """Draws the study picker; returns the picked study and its trials, or None after saying why there is none.

    The picked one is the user's own pick, or what a link that was followed asks for."""
    asked = st.query_params.get("study", "")
    moved = asked != st.session_state.get(ASKED, "")
    if asked and moved:
        st.session_state[PICKED] = asked
    found = look(st.session_state.get(PICKED, st.session_state.get(LAST)))
    if found.study is not None:
        name = st.session_state[PICKED] = st.session_state[LAST] = found.study.name
        _draw_picker(found.studies)
        if asked and asked != name:
            if moved:
                say(f"The address asks for study {safe_text(asked)!r}, which this storage does not hold.")
            asked = st.query_params["study"] = name
    st.session_state[ASKED] = asked
    if found.problem:
        say(found.problem)
    _watch(found, time.monotonic())
    return None if found.study is None or found.known is None else (found.study, found.known.all_trials())


def known_of(study: Study) -> Known:
    """What was read of this study so far, brought up to date. Raises StoreError."""
    # Told apart by birth too: a study that was deleted and made again under its name begins anew.
    known = _known(storage_url(), study.name, study.created)
    known.update(study)
    return known


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
    st.session_state[BOXED] = (of_study, tuple(numbers))


def boxed(study: Study) -> tuple[int, ...]:
    """The numbers of the trials in the box that was dragged; none where there is no box."""
    of_study, numbers = st.session_state.get(BOXED, (None, ()))
    return tuple(sorted(numbers)) if of_study == identity(study) else ()


def narrow(study: Study, records: list[TrialRecord]) -> list[TrialRecord]:
    """The trials in the box that was dragged on the frontier page, with a line that says so and a button that
    forgets it; the very ``records`` where there is none."""
    numbers = set(boxed(study))
    if not numbers:
        return records
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"Only the {len(numbers)} networks in the box are shown.")
        st.button("Show all", key="show_all", on_click=keep_boxed, args=(identity(study), []))
    return [record for record in records if record.number in numbers]


@st.cache_resource(max_entries=48, show_spinner=False)
def kept(key: tuple, _make: Callable[[], T]) -> T:
    """What ``_make`` gave for this key before, if it did: a click changes neither a figure nor a table. The key holds
    all that the answer depends on, the study's identity and revision among it."""
    return _make()


def storage_url() -> str:
    """The storage that this server shows, with its password where it has one: for programs, never to be drawn."""
    return os.environ.get(STORAGE_VARIABLE, DEFAULT_STORAGE)


def say(sentence: str) -> None:
    """A sentence in place of what cannot be shown; its text may come from the database."""
    with st.container(border=True):
        st.text(safe_text(sentence, length=700))


def look(picked: str | None) -> Look:
    """Looks at the storage: its studies, and the picked one's trials; the one that changed last where none is picked
    or it is gone."""
    storage = storage_url()
    found = Look()
    try:
        found = Look(revisions=read_revisions(storage))
        found = found._replace(studies=tuple(read_studies(storage)))
        if not found.studies:
            return Look(
                "This storage holds no studies yet. Start one with: explorer search --space preact_variants.yaml"
            )
        names = [study.name for study in found.studies]
        study = read_study(storage, picked if picked in names else names[0])
        found = found._replace(study=study)
        return found._replace(known=known_of(study))
    except StoreError as error:
        return found._replace(problem=f"{error}.")


def _mark(revisions: Mapping[str, int], picked: str) -> tuple:
    return sorted(revisions), picked, revisions.get(picked)


@st.cache_resource(max_entries=16, show_spinner=False)
def _known(storage: str, name: str, created: float) -> Known:
    return Known()


def _draw_picker(studies: tuple[StudySummary, ...]) -> None:
    abouts = {
        study.name: f"{study.name} — space {study.space_name}, data {study.data or 'its own'}" for study in studies
    }
    st.selectbox(
        "Study", list(abouts), format_func=lambda name: safe_text(abouts.get(name, name)), key=PICKED, width=560
    )


@st.fragment(run_every=LOOK_SECONDS)
def _watch(drawn: Look, looked: float) -> None:
    # Run by the page as it is drawn, then every four seconds: the first time it has just been looked.
    rest = min(max(LOOK_SECONDS / 2, st.session_state.get(DREW, 0.0) / DRAWING_SHARE), LONGEST_REST)
    if time.monotonic() - looked > rest and has_changed(drawn):
        st.rerun()


def has_changed(drawn: Look) -> bool:
    """Whether a page drawn from this look is out of date: a trial or a training from a fresh seed began or ended, the
    studies are others, or what was amiss is."""
    picked = st.session_state.get(PICKED)
    if drawn.problem:  # what is amiss need not show in the studies' revisions
        return look(picked).problem != drawn.problem
    try:
        return _mark(read_revisions(storage_url()), picked or "") != drawn.mark
    except StoreError:
        return True
