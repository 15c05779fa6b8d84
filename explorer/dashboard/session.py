"""The state of a browser session: the study and trials that the pages show, and when a page is out of date."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np
import streamlit as st

from explorer.dashboard.data.columns import TrialTable
from explorer.dashboard.data.storage import StudyCache, TableCache, read_revisions, read_studies, read_study
from explorer.dashboard.launch import STORAGE_VARIABLE
from explorer.dashboard.text import safe_text
from explorer.errors import StoreError
from explorer.records import ConfirmationRecord, TrialRecord
from explorer.store import Study, StudySummary
from explorer.store.database import DEFAULT_STORAGE

T = TypeVar("T")
Identity = tuple[str, str, float]  # storage, name and creation time: a study that was recreated is another one
Mark = tuple[list[str], str, int | None]

CHECK_SECONDS = 4.0
DRAWING_SHARE = 0.005  # of one core: the most that redraws of an open page may take on the server
MAX_AGE_SECONDS = 60.0  # a page is never out of date for longer
LISTED = 2_000  # most trials in a list; above it a number is typed, or the list would be most of the page's data
MAX_DIGITS = {"trial": 12, "network": 1_000}  # of numbers in an address

# Keys of the session state.
DRAW_SECONDS = "draw_seconds"  # CPU time of the last drawing of the page
PICKED = "study"  # name of the study in the picker
LAST = "last"  # name of the study shown last; survives a storage that is away for a while
ASKED = "asked"  # name of the study in the address, empty if there is none
SELECTED = "selected"  # (identity of the study, numbers of the trials in the selection box)
RESTORED = "restored"  # how often a selection box was removed
VIEWED = "viewed"  # (identity of the study, number of the trial viewed last), with which every page starts


class Snapshot(NamedTuple):
    """What one check of the storage found.

    Attributes:
        problem: Why there is nothing to show, as a sentence; empty if there is no problem.
        revisions: Study name -> revision, read before everything else.
        studies: The studies, the one that changed last first.
        study: The study to show.
    """

    problem: str = ""
    revisions: Mapping[str, int] = MappingProxyType({})
    studies: tuple[StudySummary, ...] = ()
    study: Study | None = None

    @property
    def mark(self) -> Mark:
        """A value that differs from that of a later snapshot if the page is out of date."""
        return _mark(self.revisions, self.study.name if self.study else "")


def table_of(study: Study) -> TrialTable:
    """Return the trials of a study as arrays, brought up to date. Raises StoreError."""
    return _table(*identity(study)).update(study)


@st.cache_resource(max_entries=16, show_spinner=False)
def _table(storage: str, name: str, created: float) -> TableCache:
    return TableCache()


def confirmed_of(study: Study) -> list[ConfirmationRecord]:
    """Return the complete trainings from fresh seeds. Raises StoreError."""
    return _table(*identity(study)).confirmed(study)


def trials_of(study: Study) -> list[TrialRecord]:
    """Return the trials of a study as records, brought up to date. Raises StoreError."""
    cache = cache_of(study)
    return cached((*identity(study), cache.revision, "records"), cache.all_trials)


def cache_of(study: Study) -> StudyCache:
    """Return the cached trials of a study, brought up to date. Raises StoreError."""
    cache = _cache(*identity(study))
    cache.update(study)
    return cache


@st.cache_resource(max_entries=16, show_spinner=False)
def _cache(storage: str, name: str, created: float) -> StudyCache:
    return StudyCache()


@contextmanager
def timed() -> Iterator[None]:
    """Measure the server's CPU time for drawing a page."""
    start = time.thread_time()
    try:
        yield
    finally:
        st.session_state[DRAW_SECONDS] = time.thread_time() - start
        _freeze_modules()


_frozen = 0  # number of modules at the last gc.freeze


def _freeze_modules() -> None:
    """Exclude imported modules from garbage collection.

    Streamlit collects garbage after each run, also of the fragment that checks the storage. With pandas and plotly
    imported that takes a tenth of a second.
    """
    global _frozen
    if len(sys.modules) > _frozen:
        _frozen = len(sys.modules)
        gc.collect()
        gc.freeze()


def identity(study: Study) -> Identity:
    """Return what distinguishes a study from all others, including a later one of the same name."""
    return study.storage, study.name, study.created


def last_viewed(study: Study) -> int | None:
    """Return the number of this study's trial that was viewed last on any page."""
    owner, number = st.session_state.get(VIEWED, (None, None))
    return number if owner == identity(study) else None


def set_viewed(study: Study, number: int) -> None:
    """Remember the trial that a page shows."""
    st.session_state[VIEWED] = (identity(study), number)


def select_trials(owner: Identity, numbers: Sequence[int]) -> None:
    """Restrict all pages to the trials in a selection box; an empty box restores all trials."""
    if not numbers and st.session_state.get(SELECTED, (owner, ()))[1]:
        st.session_state[RESTORED] = st.session_state.get(RESTORED, 0) + 1
    st.session_state[SELECTED] = (owner, tuple(numbers))


def selected_trials(study: Study) -> tuple[int, ...]:
    """Return the sorted numbers of the trials in the selection box; empty without a box."""
    owner, numbers = st.session_state.get(SELECTED, (None, ()))
    return tuple(sorted(numbers)) if owner == identity(study) else ()


def only_selected(study: Study, records: list[TrialRecord], where: str = "") -> list[TrialRecord]:
    """Return the trials in the selection box, with a line that says so and a button that removes the box.

    Args:
        study: The study.
        records: Its trials.
        where: The part of the page that shows only them, if the others show all trials.

    Returns:
        The list ``records`` itself without a box.
    """
    numbers = set(_selected(study, where))
    return [record for record in records if record.number in numbers] if numbers else records


def only_selected_numbers(study: Study, table: TrialTable) -> np.ndarray:
    """Like ``only_selected``, of trials as arrays; return their numbers."""
    numbers = _selected(study)
    return np.intersect1d(table.number, numbers) if numbers else table.number


def _selected(study: Study, where: str = "") -> tuple[int, ...]:
    """Draw a line about the selection box, if there is one; return the trials in it."""
    numbers = selected_trials(study)
    if numbers:
        with st.container(horizontal=True, vertical_alignment="center"):
            place = f"{where} shows only the" if where else "Only the"
            st.text(f"{place} {len(numbers):,} networks in the selection box{'' if where else ' are shown'}.")
            st.button("Show all", key="show_all", on_click=select_trials, args=(identity(study), []))
    return numbers


@st.cache_resource(max_entries=48, show_spinner=False)
def cached(key: tuple[object, ...], _make: Callable[[], T]) -> T:
    """Return the result of ``_make``, computed once per key.

    Args:
        key: Everything that the result depends on, including the study's identity and revision.
        _make: Computes the result.
    """
    return _make()


def storage_url() -> str:
    """Return the storage of this server with its password, if it has one; never show it."""
    return os.environ.get(STORAGE_VARIABLE, DEFAULT_STORAGE)


def show_message(sentence: str) -> None:
    """Show a sentence in place of what cannot be shown. The text may come from the database."""
    with st.container(border=True):
        st.text(safe_text(sentence, length=700))


def take_snapshot(picked: str | None) -> Snapshot:
    """Read the studies of the storage and the trials of one of them.

    Args:
        picked: Name of the study to show. None, or a name that is not in the storage, means the study that changed
            last.
    """
    storage = storage_url()
    found = Snapshot()
    try:
        found = Snapshot(revisions=read_revisions(storage))
        key = ("studies", storage, *sorted(found.revisions.items()))
        found = found._replace(studies=cached(key, lambda: tuple(read_studies(storage))))
        if not found.studies:
            return Snapshot(
                "This storage holds no studies yet. Start one with: explorer search --space preact_variants.yaml"
            )
        names = [study.name for study in found.studies]
        study = read_study(storage, picked if picked is not None and picked in names else names[0])
        found = found._replace(study=study)
        table_of(study)
        return found
    except StoreError as error:
        return found._replace(problem=f"{error}.")


def _mark(revisions: Mapping[str, int], picked: str) -> Mark:
    return sorted(revisions), picked, revisions.get(picked)


def is_outdated(drawn: Snapshot) -> bool:
    """Return whether a page drawn from this snapshot is out of date.

    It is if a trial or a training from a fresh seed started or ended, a study was added or removed, or the problem with
    the storage changed.
    """
    picked = st.session_state.get(PICKED)
    if drawn.problem:  # a problem need not change the revisions
        return take_snapshot(picked).problem != drawn.problem
    try:
        return _mark(read_revisions(storage_url()), picked or "") != drawn.mark
    except StoreError:
        return True


class Place(NamedTuple):
    """What the address says the architecture page should show. The page decides what the address leaves out.

    Attributes:
        study: Name of the study.
        trials: Numbers of trials.
        network: Index of a derivation to show beside the trials.
    """

    study: str = ""
    trials: tuple[int, ...] = ()
    network: int | None = None

    def query(self) -> dict[str, list[str]]:
        """Return the query parameters of the address."""
        parameters = {
            "study": [self.study] if self.study else [],
            "trial": [str(number) for number in self.trials],
            "network": [] if self.network is None else [str(self.network)],
        }
        return {name: values for name, values in parameters.items() if values}


def read_number(text: str, digits: int = MAX_DIGITS["trial"]) -> int | None:
    """Return the non-negative integer that a text of at most ``digits`` digits spells; None for other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def read_place(query: Mapping[str, Sequence[str]]) -> tuple[Place, str]:
    """Return the place that query parameters name, and a sentence about values that are not numbers, or ""."""
    problems = []

    def numbers(name: str) -> list[int]:
        found = []
        for text in query.get(name, ()):
            number = read_number(text, MAX_DIGITS[name])
            if number is None:
                problems.append(f"{name} {safe_text(text, length=40)!r}")
            else:
                found.append(number)
        return list(dict.fromkeys(found))

    trials, networks = numbers("trial"), numbers("network")
    place = Place(next(iter(query.get("study", ())), ""), tuple(trials), networks[0] if networks else None)
    return place, f"The address names {', '.join(problems)}, which is not a whole number from 0." if problems else ""
