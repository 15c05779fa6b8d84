"""Runs: what happened to each trial, who worked when, how the frontier grew, and studies side by side."""

from __future__ import annotations

import pandas
import streamlit as st

from dashboards.current import current_study, narrow, say, storage_url
from dashboards.quantities import is_maximised, unit_of
from dashboards.reading import read_leases, read_studies, read_study
from dashboards.run_figures import growth_figure, studies_figure, timeline_figure
from dashboards.run_tables import growth, lease_rows, pace, run_rows, timeline
from dashboards.tables import frontier_points, state_counts
from dashboards.text import safe_text
from explorer.errors import StoreError
from explorer.records import TrialRecord
from explorer.store import Study

FLAT = {"displayModeBar": False}
EVERY = "every state"
BARS = 2_000  # more bars than a screen has pixels only take time


def draw() -> None:
    """The page."""
    found = current_study()
    if found is None:
        return
    study, records = found
    if not records:
        say("This study has no trials yet. They appear here by themselves once the search has begun.")
        return
    _summary(records)
    _leases(study, records)
    st.subheader("Who worked when", anchor=False)
    rows = timeline(records)
    if rows.empty:
        say("No trial has begun to train.")
    else:
        st.plotly_chart(
            timeline_figure(rows.nlargest(BARS, "start").sort_values(["lane", "start"])),
            key="timeline_chart",
            width="stretch",
            config=FLAT,
        )
        if len(rows) > BARS:
            st.caption(f"The last {BARS:,} of {len(rows):,} trials.")
    _growth(study, records)
    st.subheader("Trials", anchor=False)
    state = st.selectbox("State", [EVERY, *state_counts(records)], key="state", width=200)
    table = run_rows(record for record in narrow(study, records) if state in (EVERY, record.state))
    config = {
        "began": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss", help="Universal time"),
        "seconds": st.column_config.NumberColumn(format="%.1f"),
    }
    st.dataframe(table, hide_index=True, width="stretch", column_config=config)
    _studies(study)


def _summary(records: list[TrialRecord]) -> None:
    running = [record for record in records if record.state == "running"]
    worked = sum(record.seconds or 0.0 for record in records if record.state in ("complete", "stopped", "failed"))
    with st.container(horizontal=True, gap="medium"):
        for state, count in state_counts(records).items():
            st.metric(state, f"{count:,}", width="content")
        st.metric("workers at work", f"{len({record.worker for record in running}):,}", width="content")
        st.metric("trials an hour, of late", f"{pace(records):,.0f}", width="content")
        st.metric("hours of training", f"{worked / 3600:,.2f}", width="content")


def _leases(study: Study, records: list[TrialRecord]) -> None:
    st.subheader("Who holds what", anchor=False)
    try:
        rows = lease_rows(read_leases(study), records)
    except StoreError as error:
        say(f"{error}.")
        return
    if rows.empty:
        say("No trial is under way, and none waits to be taken up again.")
        return
    numbers = {name: st.column_config.NumberColumn(format="%.1f") for name in ("minutes", "lease left (s)")}
    st.dataframe(rows, hide_index=True, width="stretch", column_config=numbers)
    st.caption(
        "A worker renews its leases while it lives; a trial whose lease has run out is taken up again by any worker. "
        "The next networks are proposed when a worker is free: no others wait."
    )


def _growth(study: Study, records: list[TrialRecord]) -> None:
    rows = growth(records, study.objectives)
    st.subheader("How the frontier grew", anchor=False)
    if len(rows) < 2:
        say("With two complete trials that trade off, the growth of the frontier shows here.")
        return
    left, right = st.columns(2, gap="medium")
    with left:
        st.plotly_chart(
            growth_figure(rows, "trials", "complete trials"), key="growth_trials", width="stretch", config=FLAT
        )
    with right:
        st.plotly_chart(
            growth_figure(rows, "seconds", "seconds of training, all workers together"),
            key="growth_seconds",
            width="stretch",
            config=FLAT,
        )


def _studies(study: Study) -> None:
    st.subheader("Studies side by side", anchor=False)
    try:
        found = read_studies(storage_url())
    except StoreError as error:
        say(f"{error}.")
        return
    alike = [other.name for other in found if dict(other.objectives) == dict(study.objectives)]
    if len(alike) < 2:
        say("This storage holds no other study of the same objectives. A second one shows here beside this one.")
        return
    picked = st.multiselect("Studies", alike, default=[study.name], format_func=safe_text, key="side_by_side")
    log_x = st.toggle("Log scale", value=True, key="side_by_side_log")
    y, *others = study.objectives
    x = others[0] if others else "macs"
    frontiers = {}
    for name in picked:
        try:
            records = read_study(storage_url(), name).trials(full=False)
        except StoreError as error:
            say(f"{error}.")
            continue
        points = frontier_points(records, x, y, study.objectives)
        frontiers[name] = points[points.frontier]
    if not frontiers:
        return
    every = pandas.concat(frontiers.values())
    st.plotly_chart(
        studies_figure(
            frontiers,
            unit_of(x, every.x),
            unit_of(y, every.y),
            (is_maximised(x, study.objectives), is_maximised(y, study.objectives)),
            log_x,
        ),
        key="studies_chart",
        width="stretch",
        config=FLAT,
    )
    data = {other.data for other in found if other.name in picked}
    if len(data) > 1:
        named = safe_text(", ".join(sorted(data)), "markdown")
        st.caption(f"Mind: these studies were trained on different data ({named}).")
