"""The list of all trials: sorted, one page at a time, and as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas
import streamlit as st

from explorer.analysis.estimates import with_estimates
from explorer.dashboard.data.storage import read_numbered
from explorer.dashboard.data.trials import trial_rows
from explorer.dashboard.panels.estimated import estimated, estimates_of
from explorer.dashboard.panels.network import quantity_title
from explorer.dashboard.panels.tables import draw_pages
from explorer.dashboard.session import confirmed_of, only_selected_numbers, trials_of
from explorer.records import TrialRecord
from explorer.store import Study

if TYPE_CHECKING:
    from explorer.dashboard.panels.plane import Plane

BY_NUMBER = "number"


def draw_trial_list(study: Study, plane: Plane | None) -> None:
    """Draw the trials in the selection box, all without one.

    Args:
        study: The study.
        plane: The plane that the page shows, whose axes sort the list; None if there is none.
    """
    table = estimated(study)
    numbers = only_selected_numbers(study, table)
    names = [BY_NUMBER, *dict.fromkeys([*([plane.y, plane.x] if plane else []), *study.objectives, *table.costs])]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = st.selectbox(
            "Sort by", names, format_func=lambda name: name if name == BY_NUMBER else quantity_title(name),
            key="sorted_by", width=200,
        )  # fmt: skip
        down = st.toggle("Descending", key="descending")
        if st.button("Prepare CSV", key="prepare_csv"):
            rows = trial_rows(
                [record for record in trials_of(study) if record.number in set(numbers.tolist())], study.objectives
            )
            st.download_button(
                "Save trials.csv", rows.to_csv(index=False), "trials.csv", "text/csv", on_click="ignore", key="csv"
            )
    if by != BY_NUMBER:
        places = np.searchsorted(table.number, numbers)
        values = table.value(by)[places]
        order = np.argsort(-values if down else values, kind="stable")  # NaN is last
        numbers = numbers[order]
    elif down:
        numbers = numbers[::-1]
    stays = plane.certainty.probabilities if plane and plane.certainty else {}

    def rows_between(first: int, last: int) -> pandas.DataFrame:
        records = read_numbered(study, numbers[first:last].tolist())
        estimates = estimates_of(study, table, study.plane[1], [record.number for record in records])
        return trial_rows(_tested(study, records), study.objectives, stays, estimates)

    draw_pages(len(numbers), rows_between, "Trials of the study", "trials_page")


def _tested(study: Study, records: list[TrialRecord]) -> list[TrialRecord]:
    """Return trials with the best estimates of their objectives."""
    return with_estimates(records, confirmed_of(study), study.objectives, study.fingerprint.get("epochs"))
