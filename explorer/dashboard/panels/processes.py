"""The panel of the processes that work on a study, as ``explorer status`` shows them."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from explorer.dashboard.data.processes import process_rows
from explorer.dashboard.panels.tables import draw_table
from explorer.dashboard.session import show_message
from explorer.errors import StoreError
from explorer.store import Study
from explorer.store.presence.status import StudyStatus, study_status


def draw_processes(study: Study) -> None:
    """Draw who works on a study, how fast, and until when."""
    st.subheader("Processes", anchor=False)
    try:
        status = study_status(study)
    except StoreError as error:
        show_message(f"{error}.")
        return
    rows = process_rows(status)
    if rows.empty:
        show_message("No process works on this study.")
        return
    with st.container(horizontal=True, gap="medium"):
        for name, value in _facts(status).items():
            st.metric(name, value, width="content")
    draw_table(rows, "Processes that work on the study")
    if status.stop is not None:
        st.caption("A request to stop was made: the processes start nothing more.")


def _facts(status: StudyStatus) -> dict[str, str]:
    """Return the figures of the study's processes, by their names."""
    facts = {"processes": f"{status.processes:,}"}
    if status.utilisation is not None:
        facts["of their time in trainings"] = f"{status.utilisation:.0%}"
    if status.failure_rate is not None:
        facts["failed trials"] = f"{status.failure_rate:.1%}"
    if status.expected_end is not None:
        end = datetime.fromtimestamp(status.expected_end, UTC)
        facts["expected end (UTC)"] = f"{end:%Y-%m-%d %H:%M}"
    return facts
