"""The page Runs: the states of trials, the timeline of workers, leases, and studies compared with each other."""

from __future__ import annotations

import pandas
import streamlit as st

from explorer.analysis.quantities import is_maximised
from explorer.dashboard.data.runs import lease_rows, run_rows, timeline, trials_per_hour
from explorer.dashboard.data.storage import (
    read_environments,
    read_leases,
    read_studies,
    read_study,
    why_not_comparable,
)
from explorer.dashboard.data.trials import frontier_points, state_counts
from explorer.dashboard.figures.frontier import studies_figure
from explorer.dashboard.figures.runs import MAX_BARS, timeline_figure
from explorer.dashboard.panels.charts import draw_figure, draw_hypervolume
from explorer.dashboard.panels.processes import draw_processes
from explorer.dashboard.quantities import unit_of
from explorer.dashboard.session import (
    cache_of,
    cached,
    current_trials,
    identity,
    only_selected,
    selected_trials,
    show_message,
    storage_url,
)
from explorer.dashboard.text import safe_text
from explorer.errors import StoreError
from explorer.records import TrialRecord
from explorer.store import Study

EVERY = "every state"


def draw() -> None:
    """Draw the page."""
    found = current_trials()
    if found is None:
        return
    study, records = found
    _draw_summary(records)
    draw_processes(study)
    _draw_leases(study, records)
    _draw_timeline(records)
    draw_hypervolume(study, records)
    _draw_trials(study, records)
    _draw_studies(study)


def _draw_summary(records: list[TrialRecord]) -> None:
    running = [record for record in records if record.state == "running"]
    trained = ("complete", "stopped", "failed", "interrupted")
    seconds = sum(record.seconds or 0.0 for record in records if record.state in trained)
    with st.container(horizontal=True, gap="medium"):
        for state, count in state_counts(records).items():
            st.metric(state, f"{count:,}", width="content")
        st.metric("active workers", f"{len({record.worker for record in running}):,}", width="content")
        st.metric("trials per hour (last 10 minutes)", f"{trials_per_hour(records):,.0f}", width="content")
        st.metric("hours of training", f"{seconds / 3600:,.2f}", width="content")


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
    numbers = {name: st.column_config.NumberColumn(format="%.1f") for name in ("minutes", "lease left (s)")}
    st.dataframe(rows, hide_index=True, width="stretch", column_config=numbers)
    st.caption(
        "A worker renews the leases of its trials while it runs. Any worker resumes a trial whose lease has expired."
        " New networks are proposed when a worker is free, so no others are waiting."
    )


def _draw_timeline(records: list[TrialRecord]) -> None:
    st.subheader("Timeline of workers", anchor=False)
    rows = timeline(records)
    if rows.empty:
        show_message("No trial has started training.")
        return
    draw_figure(timeline_figure(rows), "timeline")
    if len(rows) > MAX_BARS:
        st.caption(f"The last {MAX_BARS:,} of {len(rows):,} trials.")


def _draw_trials(study: Study, records: list[TrialRecord]) -> None:
    st.subheader("Trials", anchor=False)
    state = st.selectbox("State", [EVERY, *state_counts(records)], key="state", width=200)
    shown = only_selected(study, records)
    key = (*identity(study), study.revision, "runs", state, selected_trials(study))
    try:
        table = cached(
            key,
            lambda: run_rows((r for r in shown if state in (EVERY, r.state)), read_environments(study)),
        )
    except StoreError as error:
        show_message(f"{error}.")
        return
    config = {
        "started": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss", help="UTC"),
        "seconds": st.column_config.NumberColumn(format="%.1f"),
    }
    st.dataframe(table, hide_index=True, width="stretch", column_config=config)


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
    names = st.multiselect("Studies", alike, default=[study.name], format_func=safe_text, key="side_by_side")
    log_x = st.toggle("Log scale", value=True, key="side_by_side_log")
    x, y = study.plane
    try:
        picked = [study if name == study.name else read_study(storage_url(), name) for name in names]
        records = {each.name: cache_of(each).all_trials() for each in picked}
        mixed = why_not_comparable(picked, records.values(), x, y)
    except StoreError as error:
        show_message(f"{error}.")
        return
    if mixed:
        show_message(f"Not comparable: {mixed}.")
        if not st.toggle("Draw them in one plane anyway", key="mix_studies"):
            return
    points = {name: frontier_points(own, x, y, study.objectives) for name, own in records.items()}
    frontiers = {name: own[own.frontier] for name, own in points.items()}
    every = pandas.concat(frontiers.values()) if frontiers else pandas.DataFrame()
    if every.empty:
        show_message("None of these studies has a complete trial yet." if picked else "Pick the studies to compare.")
        return
    figure = studies_figure(
        frontiers,
        unit_of(x, every.x),
        unit_of(y, every.y),
        (is_maximised(x, study.objectives), is_maximised(y, study.objectives)),
        log_x,
        mixed,
    )
    draw_figure(figure, "studies")


draw()
