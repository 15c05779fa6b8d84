"""The page Runs: who runs what and where, the timeline of workers, failures by reason, and studies compared."""

from __future__ import annotations

import pandas
import streamlit as st

from explorer.analysis.quantities import is_maximised
from explorer.dashboard.data.runs import (
    failure_groups,
    lease_rows,
    run_rows,
    timeline,
    worker_rows,
    workload,
)
from explorer.dashboard.data.storage import (
    read_environments,
    read_leases,
    read_numbered,
    read_studies,
    read_study,
    why_not_comparable,
)
from explorer.dashboard.data.summary import state_counts
from explorer.dashboard.data.trials import frontier_points
from explorer.dashboard.figures.runs import MAX_BARS, timeline_figure
from explorer.dashboard.figures.studies import studies_figure
from explorer.dashboard.panels.charts import draw_figure, draw_hypervolume
from explorer.dashboard.panels.estimated import estimated
from explorer.dashboard.panels.header import current_trials
from explorer.dashboard.panels.notes import draw_notes
from explorer.dashboard.panels.processes import draw_processes
from explorer.dashboard.panels.tables import draw_pages, draw_table
from explorer.dashboard.quantities import unit_of
from explorer.dashboard.session import (
    confirmed_of,
    only_selected,
    show_message,
    storage_url,
    table_of,
    trials_of,
)
from explorer.dashboard.text import safe_text
from explorer.errors import StoreError
from explorer.records import STATES, TrialRecord
from explorer.store import Study

EVERY = "every state"
MAX_FAILURES = 20  # groups
COMPARE = "compare"  # the query parameter of each compared study
# Keys of the session state: the compared studies, and those in the address when the page was drawn last.
PICKED_STUDIES, NAMED_STUDIES = "side_by_side", "named_studies"


def draw() -> None:
    """Draw the page."""
    found = current_trials()
    if found is None:
        return
    study, records = found
    listed = only_selected(study, records, "The list of trials")
    _draw_summary(study, records)
    draw_processes(study)
    _draw_leases(study, records)
    _draw_timeline(study, records)
    _draw_failures(study, records)
    st.subheader("Hypervolume of the frontier", anchor=False)
    draw_hypervolume(study)
    _draw_trials(study, listed)
    _draw_studies(study)
    st.subheader("Note and tags of the study", anchor=False)
    draw_notes(study)


def _draw_summary(study: Study, records: list[TrialRecord]) -> None:
    with st.container(horizontal=True, gap="medium", key="metrics"):
        for state, count in state_counts(table_of(study)).items():
            st.metric(state, f"{count:,}", width="content")
        for title, text in workload(records).items():
            st.metric(title, text, width="content")


def _draw_leases(study: Study, records: list[TrialRecord]) -> None:
    st.subheader("Running and waiting trials", anchor=False)
    try:
        rows = lease_rows(read_leases(study), records)
    except StoreError as error:
        show_message(f"{error}.")
        return
    if rows.empty:
        show_message("No trial is running or waiting to be resumed.")
        return
    draw_table(rows, "Running and waiting trials")
    st.caption(
        "A worker renews the leases of its trials while it runs. Any worker resumes a trial whose lease has expired."
        " New networks are proposed when a worker is free, so no others are waiting."
    )


def _draw_timeline(study: Study, records: list[TrialRecord]) -> None:
    st.subheader("Workers", anchor=False)
    rows = timeline(records)
    if rows.empty:
        show_message("No trial has started training.")
        return
    try:
        draw_table(worker_rows(records, read_environments(study)), "Workers", height=320)
    except StoreError as error:
        show_message(f"{error}.")
    draw_figure(timeline_figure(rows), "timeline")
    if rows.lane.nunique() > rows.name.nunique():
        st.caption("A worker that trains several networks at once has one row for each.")
    if len(rows) > MAX_BARS:
        st.caption(f"The last {MAX_BARS:,} of {len(rows):,} trials.")


def _draw_failures(study: Study, records: list[TrialRecord]) -> None:
    groups = failure_groups(records)
    if not groups:
        return
    st.subheader("Failures by reason", anchor=False)
    for number, group in enumerate(groups[:MAX_FAILURES]):
        with st.expander(
            safe_text(group.title, "markdown", length=160), key=f"failure_{number}", on_change="rerun"
        ) as row:
            if not row.open:
                continue
            st.text(safe_text(f"Trials {group.listed}", length=400))
            st.code(safe_text(group.reason, length=5_000), language=None, wrap_lines=True)
            st.caption("Train this network again with the whole error message")
            command = f"explorer train {study.name}:{group.numbers[-1]} --debug"
            st.code(safe_text(command, length=400), language=None, wrap_lines=True)
    if len(groups) > MAX_FAILURES:
        st.caption(f"The {MAX_FAILURES} most frequent of {len(groups):,} reasons; the list of trials has all.")


def _draw_trials(study: Study, records: list[TrialRecord]) -> None:
    st.subheader("Trials", anchor=False)
    present = state_counts(table_of(study))
    state = st.selectbox("State", [EVERY, *(name for name in STATES if name in present)], key="state", width=200)
    shown = [record.number for record in records if state in (EVERY, record.state)]
    try:
        environments = read_environments(study)
        draw_pages(
            len(shown),
            lambda first, last: run_rows(read_numbered(study, shown[first:last]), environments),
            "Trials with worker, device and reason",
            "runs_page",
        )
    except StoreError as error:
        show_message(f"{error}.")


def _draw_studies(study: Study) -> None:
    st.subheader("Compare studies", anchor=False)
    try:
        found = read_studies(storage_url())
    except StoreError as error:
        show_message(f"{error}.")
        return
    alike = [other.name for other in found if dict(other.objectives) == dict(study.objectives)]
    if len(alike) < 2:
        show_message("This storage has no other study with the same objectives.")
        return
    _follow_address(study, alike)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = st.multiselect("Studies, any number", alike, format_func=safe_text, key=PICKED_STUDIES)
        log_x = st.toggle("Log scale", value=True, key="side_by_side_log")
    _set_address(study, names)
    x, y = study.plane
    try:
        picked = [study if name == study.name else read_study(storage_url(), name) for name in names]
        tables = {each.name: estimated(each) for each in picked}
        confirmed = any(confirmed_of(each) for each in picked)
        mixed = why_not_comparable(picked, (trials_of(each) for each in picked), x, y) if len(picked) > 1 else ""
    except StoreError as error:
        show_message(f"{error}.")
        return
    if mixed:
        show_message(f"Not comparable: {mixed}.")
        if not st.toggle("Draw them in one plane anyway", key="mix_studies"):
            return
    points = {name: frontier_points(own, x, y, study.objectives) for name, own in tables.items()}
    frontiers = {name: own[own.frontier] for name, own in points.items() if len(own)}
    every = pandas.concat(frontiers.values()) if frontiers else pandas.DataFrame()
    if every.empty:
        show_message("None of these studies has a complete trial yet." if picked else "Pick the studies to compare.")
        return
    maximised = is_maximised(x, study.objectives), is_maximised(y, study.objectives)
    units = unit_of(x, every.x), unit_of(y, every.y)
    draw_figure(studies_figure(frontiers, *units, maximised, log_x, mixed), "studies")
    if confirmed:
        st.caption(
            "Networks are drawn at their best estimates: the mean over fresh seeds, or the value that these are"
            " expected to give."
        )


def _follow_address(study: Study, alike: list[str]) -> None:
    """Compare the studies that the address names if it changed; at first only the study itself."""
    asked = st.query_params.get_all(COMPARE)
    picked = st.session_state.get(PICKED_STUDIES)
    if picked is None or asked != st.session_state.get(NAMED_STUDIES):
        picked = list(dict.fromkeys(asked)) or [study.name]
    kept = [name for name in picked if name in alike]
    unknown = [safe_text(repr(name), length=60) for name in picked if name not in alike]
    if unknown:
        show_message(f"Not compared: {', '.join(unknown)}. The storage has no such study with the same objectives.")
    st.session_state[PICKED_STUDIES] = kept if kept == picked else kept or [study.name]


def _set_address(study: Study, names: list[str]) -> None:
    """Set the address to the compared studies, so that a reload or a link shows them."""
    named = [] if names == [study.name] else names
    if named != st.query_params.get_all(COMPARE):
        query = {"study": [study.name], COMPARE: named} if named else {"study": [study.name]}
        st.query_params.from_dict(query)
    st.session_state[NAMED_STUDIES] = named


draw()
