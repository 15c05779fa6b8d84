"""The list of all trials: sorted, one page at a time, and as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas
import streamlit as st

from explorer.dashboard.data.storage import read_numbered
from explorer.dashboard.data.trials import trial_rows
from explorer.dashboard.panels.estimated import estimated, estimates_of, with_best
from explorer.dashboard.panels.network import quantity_title
from explorer.dashboard.panels.tables import draw_pages
from explorer.dashboard.session import only_selected_numbers, trials_of
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
        wants_csv = st.button("Prepare CSV", key="prepare_csv")
        place_of_csv = st.empty()
    if by != BY_NUMBER:
        places = np.searchsorted(table.number, numbers)
        values = table.value(by)[places]
        order = np.argsort(-values if down else values, kind="stable")  # NaN is last
        numbers = numbers[order]
    elif down:
        numbers = numbers[::-1]
    stays = plane.certainty.probabilities if plane and plane.certainty else {}

    def rows_of(records: list[TrialRecord]) -> pandas.DataFrame:
        estimates = estimates_of(study, study.plane[1], [record.number for record in records])
        return trial_rows(with_best(study, records), study.objectives, stays, estimates)

    if wants_csv:
        known = {record.number: record for record in trials_of(study)}
        csv = rows_of([known[number] for number in numbers.tolist()]).to_csv(index=False)
        place_of_csv.download_button("Save trials.csv", csv, "trials.csv", "text/csv", on_click="ignore", key="csv")
    draw_pages(
        len(numbers),
        lambda first, last: rows_of(read_numbered(study, numbers[first:last].tolist())),
        "Trials of the study",
        "trials_page",
    )
