"""How the frontier grew, over trials and over seconds of training: on the pages of the frontier and of runs."""

from __future__ import annotations

import streamlit as st

from dashboards.current import identity, kept, say
from dashboards.run_figures import growth_figure
from dashboards.run_tables import growth
from explorer.records import TrialRecord
from explorer.store import Study


def draw_growth(study: Study, records: list[TrialRecord]) -> None:
    """The hypervolume that the complete trials dominate, as a share of what it is now."""
    st.subheader("How the frontier grew", anchor=False)
    rows = kept((*identity(study), study.revision, "growth"), lambda: growth(records, study.objectives))
    if len(rows) < 2:
        say("With two complete trials that trade off, the growth of the frontier shows here.")
        return
    against = {"trials": "complete trials", "seconds": "seconds of training, all workers together"}
    for column, (name, title) in zip(st.columns(2, gap="medium"), against.items()):
        with column:
            st.plotly_chart(
                growth_figure(rows, name, title),
                key=f"growth_{name}",
                width="stretch",
                config={"displayModeBar": False},
            )
