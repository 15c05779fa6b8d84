"""Runs: what happened to each trial, who worked when, how the frontier grew, and studies side by side."""

from __future__ import annotations

import pandas
import streamlit as st

from dashboards.current import boxed, current_study, identity, kept, known_of, narrow, say, storage_url
from dashboards.quantities import unit_of
from dashboards.reading import not_comparable, read_environments, read_leases, read_studies, read_study
from dashboards.run_figures import studies_figure, timeline_figure
from dashboards.run_tables import lease_rows, pace, run_rows, timeline
from dashboards.tables import frontier_points, state_counts
from dashboards.text import safe_text
from dashboards.views.growth import draw_growth
from explorer.errors import StoreError
from explorer.quantities import is_maximised
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
    draw_growth(study, records)
    st.subheader("Trials", anchor=False)
    state = st.selectbox("State", [EVERY, *state_counts(records)], key="state", width=200)
    shown = narrow(study, records)
    key = (*identity(study), study.revision, "runs", state, boxed(study))
    try:
        table = kept(
            key,
            lambda: run_rows((r for r in shown if state in (EVERY, r.state)), read_environments(study)),
        )
    except StoreError as error:
        say(f"{error}.")
        return
    config = {
        "began": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss", help="Universal time"),
        "seconds": st.column_config.NumberColumn(format="%.1f"),
    }
    st.dataframe(table, hide_index=True, width="stretch", column_config=config)
    _studies(study)


def _summary(records: list[TrialRecord]) -> None:
    running = [record for record in records if record.state == "running"]
    trained = ("complete", "stopped", "failed", "interrupted")
    worked = sum(record.seconds or 0.0 for record in records if record.state in trained)
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
    names = st.multiselect("Studies", alike, default=[study.name], format_func=safe_text, key="side_by_side")
    log_x = st.toggle("Log scale", value=True, key="side_by_side_log")
    x, y = study.plane
    try:
        picked = [study if name == study.name else read_study(storage_url(), name) for name in names]
        records = {each.name: known_of(each).all_trials() for each in picked}
        mixed = not_comparable(picked, records.values(), x, y)
    except StoreError as error:
        say(f"{error}.")
        return
    if mixed:
        say(f"{mixed}.")
        if not st.toggle("Put them in one plane all the same", key="mix_studies"):
            return
    points = {name: frontier_points(own, x, y, study.objectives) for name, own in records.items()}
    frontiers = {name: own[own.frontier] for name, own in points.items()}
    every = pandas.concat(frontiers.values()) if frontiers else pandas.DataFrame()
    if every.empty:
        say("None of these studies has a complete trial yet." if picked else "Pick the studies to set side by side.")
        return
    figure = studies_figure(
        frontiers,
        unit_of(x, every.x),
        unit_of(y, every.y),
        (is_maximised(x, study.objectives), is_maximised(y, study.objectives)),
        log_x,
        mixed,
    )
    st.plotly_chart(figure, key="studies_chart", width="stretch", config=FLAT)
