"""The page Architecture: one network in full, networks side by side, and the networks one choice away."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from explorer.analysis.quantities import quantity_named
from explorer.dashboard.data.architecture import comparison_rows
from explorer.dashboard.data.space import address_of, space_of
from explorer.dashboard.data.storage import read_gradient_flow, read_trial
from explorer.dashboard.data.trials import frontier_points
from explorer.dashboard.figures.architecture import compared_curves_figure, gradient_figure
from explorer.dashboard.panels.charts import draw_figure
from explorer.dashboard.panels.estimated import estimates_for, with_best
from explorer.dashboard.panels.export import draw_export
from explorer.dashboard.panels.header import current_trials
from explorer.dashboard.panels.neighbours import COMPARED, NETWORK, draw_neighbours, draw_untried
from explorer.dashboard.panels.network import (
    draw_anatomy,
    draw_blocks,
    draw_compared_stages,
    draw_headline,
    draw_training,
    headline,
)
from explorer.dashboard.panels.notes import annotation_text, draw_notes
from explorer.dashboard.panels.tables import draw_table
from explorer.dashboard.session import (
    LISTED,
    Place,
    cached,
    identity,
    last_viewed,
    read_number,
    read_place,
    set_viewed,
    show_message,
)
from explorer.dashboard.text import safe_text
from explorer.errors import ExplorerError, SpaceError, StoreError
from explorer.networks.architecture import Architecture
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.space.search_space import SearchSpace
from explorer.store import Study
from explorer.store.managing.extensions import require_ops

SIDE_BY_SIDE = 5  # the five orders of He et al. 2016
# Keys of the session state: identity of the study whose trials are shown; the address at the last drawing of the page;
# the trials that the page shows if the address names none.
OWNER, ADDRESS, HOME = "compared_of", "place", "home"


def draw() -> None:
    """Draw the page."""
    asked, problem = read_place({name: st.query_params.get_all(name) for name in ("study", "trial", "network")})
    moved = asked != st.session_state.get(ADDRESS, Place())  # the user followed a link or went back
    found = current_trials()
    if found is None:
        return
    study, records = found[0], with_best(*found)
    here = asked if asked.study in ("", study.name) else Place()
    states = {record.number: record.state for record in records}
    unknown = [number for number in here.trials if number not in states]
    if unknown:
        problem = f"The address names trial {unknown[0]}; this study has trials 0 to {max(states)}."
    if problem:
        show_message(problem)
    _set_shown(study, records, here._replace(trials=tuple(number for number in here.trials if number in states)), moved)
    numbers = _pick(states, _frontier(study, records))
    _set_address(study, asked, here, numbers)
    if not numbers:
        show_message("Pick one trial to see it in full, or up to five to compare them.")
        return
    set_viewed(study, numbers[0])
    trials = [trial for number in numbers if (trial := _read(study, number)) is not None]
    network = st.session_state[NETWORK]
    if trials and network is not None:
        _draw_untried(study, records, *with_best(study, trials[:1]), network)
    elif len(trials) > 1:
        _draw_comparison(study, trials)
    elif trials:
        _draw_trial(study, records, trials[0])


def _set_shown(study: Study, records: list[TrialRecord], asked: Place, moved: bool) -> None:
    """Set the trials and the network to show; they change only if the study or the address changed."""
    fresh = COMPARED not in st.session_state or st.session_state.get(OWNER) != identity(study)
    if fresh:
        st.session_state[OWNER] = identity(study)
        st.session_state[HOME] = [_first(study, records)]
    if fresh or moved:
        st.session_state[COMPARED] = list(asked.trials)[:SIDE_BY_SIDE] or st.session_state[HOME]
        st.session_state[NETWORK] = asked.network


def _set_address(study: Study, asked: Place, here: Place, numbers: list[int]) -> None:
    """Set the address to what the page shows, so that it can be shared and the browser can go back."""
    shown = Place(study.name, tuple(numbers), st.session_state[NETWORK])
    if here != asked or shown != Place(study.name, here.trials or tuple(st.session_state[HOME]), here.network):
        st.query_params.from_dict(shown.query())
        asked = shown
    st.session_state[ADDRESS] = asked


def _first(study: Study, records: list[TrialRecord]) -> int:
    """Return the trial viewed last, or else the most expensive one on the frontier."""
    viewed = last_viewed(study)
    if viewed is not None and any(record.number == viewed for record in records):
        return viewed
    front = _frontier(study, records)
    return front[-1] if front else records[0].number


def _frontier(study: Study, records: list[TrialRecord]) -> list[int]:
    """Return the trials on the frontier of the study's plane, by ascending cost."""

    x, y = study.plane

    def find() -> list[int]:
        points = frontier_points(records, x, y, study.objectives)
        return [int(number) for number in points.trial[points.frontier]]

    return cached((*identity(study), study.revision, "front"), find)


def _pick(states: Mapping[int, str], front: list[int]) -> list[int]:
    """Draw the picker of trials; return the picked ones.

    The list has all trials, or only those on the frontier if there are more than ``LISTED``; any number can be typed.
    """

    def leave_network() -> None:
        st.session_state[NETWORK] = None

    picked = st.session_state[COMPARED]
    numbers = [number for number in map(read_number, map(str, picked)) if number in states]
    if numbers != picked:  # something was typed
        st.session_state[COMPARED] = list(dict.fromkeys(numbers))
        unknown = [safe_text(each, length=40) for each in picked if read_number(str(each)) not in states]
        if unknown:
            show_message(f"No trial {', '.join(unknown)}: this study has trials 0 to {max(states):,}.")
    few = len(states) <= LISTED
    options = st.multiselect(
        "Trials (up to five)" if few else f"Trials (up to five; type a number, 0 to {max(states):,})",
        list(states) if few else sorted({*front, *st.session_state[COMPARED]}),
        # A label must not change, for example with the trial's state: Streamlit would drop the picked option.
        format_func=str,
        key=COMPARED,
        max_selections=SIDE_BY_SIDE,
        accept_new_options=True,
        on_change=leave_network,
    )
    return [number for number in options if isinstance(number, int)]


def _read(study: Study, number: int) -> TrialRecord | None:
    try:
        return read_trial(study, number)
    except StoreError as error:
        show_message(f"{error}.")
        return None


def _architecture(study: Study, trial: TrialRecord) -> Architecture | None:
    try:
        require_ops(study, trial.architecture)
        return trial.architecture
    except ExplorerError as error:
        show_message(f"The architecture of trial {trial.number} cannot be read: {error}.")
        return None


def _draw_comparison(study: Study, trials: list[TrialRecord]) -> None:
    estimates = {each.number: estimates_for(study, each) for each in trials}
    sources = {
        each.number: {
            f"source of {quantity_named(name).tested}": estimates[each.number][name].source
            if name in estimates[each.number]
            else "one seed"
            for name in dict.fromkeys(name for own in estimates.values() for name in own)
            if name in each.objectives
        }
        for each in trials
    }
    rows = comparison_rows(
        {
            f"trial {each.number}": ({**each.objectives, **each.costs}, {**sources[each.number], **each.choices})
            for each in with_best(study, trials)
        }
    )
    st.subheader("Differences", anchor=False)
    only = st.toggle("Only rows that differ", value=True, key="only_differences")
    draw_table(rows[rows.differs != ""] if only else rows, "Differences between the trials")
    st.subheader("Blocks", anchor=False)
    st.caption(f"Red borders mark what differs from the block at the same place in trial {trials[0].number}.")
    base = _architecture(study, trials[0])
    readable: dict[str, Architecture] = {}
    for column, trial in zip(st.columns(len(trials), gap="medium"), trials, strict=True):
        with column:
            st.text(headline(study, trial))
            architecture = _architecture(study, trial)
            if architecture is not None:
                other = base if trial is not trials[0] else None
                draw_blocks(architecture, f"block_of_{trial.number}", other)
                readable[f"trial {trial.number}"] = architecture
    if readable:
        st.subheader("Costs by part", anchor=False)
        draw_compared_stages(readable)
    curves = {f"trial {each.number}": each.result.curve for each in trials if each.result and each.result.curve}
    if curves:
        st.subheader("Training", anchor=False)
        draw_figure(compared_curves_figure(curves), "curves")


def _draw_trial(study: Study, records: list[TrialRecord], trial: TrialRecord) -> None:
    draw_headline(study, trial)
    if annotation_text(trial):
        st.text(safe_text(annotation_text(trial), length=2_100))
    architecture = _architecture(study, trial)
    if architecture is None:
        return
    draw_anatomy(architecture)
    space = space_of(study, architecture)
    if isinstance(space, str):
        show_message(space)
    else:
        draw_neighbours(study, records, space, Derivation(dict(trial.choices)))
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Training", anchor=False)
        draw_training(study, trial)
        _draw_gradients(study, trial)
    with right:
        st.subheader("Export", anchor=False)
        draw_export(study, trial, architecture, _address(study, space, trial))
        st.subheader("Note and tags", anchor=False)
        draw_notes(study, trial.number)


def _address(study: Study, space: SearchSpace | str, trial: TrialRecord) -> str:
    """Return the line that names a trial's network in its space; empty if the space is unknown or has no such one."""
    try:
        return "" if isinstance(space, str) else address_of(study, space, Derivation(dict(trial.choices)))
    except SpaceError:  # the neighbours say so
        return ""


def _draw_untried(study: Study, records: list[TrialRecord], trial: TrialRecord, network: int) -> None:
    architecture = _architecture(study, trial)
    if architecture is None:
        return
    space = space_of(study, architecture)
    if isinstance(space, str):
        show_message(space)
    elif not draw_untried(study, records, space, network, trial):
        st.session_state[NETWORK] = None
        _draw_trial(study, records, trial)


def _draw_gradients(study: Study, trial: TrialRecord) -> None:
    try:
        flow = read_gradient_flow(study, trial.digest)
    except StoreError as error:
        show_message(f"{error}.")
        return
    if flow is None:
        st.caption("Gradient statistics were not recorded; explorer search --record-gradients records them.")
        return
    st.subheader("Gradients at initialisation", anchor=False)
    draw_figure(gradient_figure(flow), "gradient")
    st.caption(safe_text(f"One batch of {flow.batch} images of {flow.source}, seed {flow.seed}.", "markdown"))


draw()
