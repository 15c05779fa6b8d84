"""The space: its choice points and counts, the costs of its networks, and where the search has been."""

from __future__ import annotations

import pandas
import streamlit as st

from dashboards.cost_figures import cloud_figure
from dashboards.current import current_study, identity, narrow, say
from dashboards.quantities import counted, unit_of
from dashboards.reading import read_trial
from dashboards.space_tables import CELLS, cloud_points, coverage, trained_points, untried
from dashboards.spaces import space_of
from dashboards.text import safe_text
from explorer.architecture import Architecture
from explorer.errors import ExplorerError, StoreError
from explorer.quantities import COSTS
from explorer.records import TrialRecord
from explorer.space.search_space import SearchSpace
from explorer.store import Study
from explorer.survey.table import atlas as atlas_of

SHOWN = ("macs", *(cost for cost in COSTS if cost not in ("macs", "flops")))  # FLOPs are 2 x MACs
DRAWN = 20_000  # networks in the cloud, as many as a browser moves about; a larger space is drawn from uniformly
NO_COLOUR = "nothing"
TRIED = ("complete", "stopped", "running")


def draw() -> None:
    """The page."""
    found = current_study()
    if found is None:
        return
    study, records = found
    if not records:
        say("This study has no trials yet. They appear here by themselves once the search has begun.")
        return
    try:
        architecture = Architecture.from_json(read_trial(study, records[0].number).architecture)
    except (StoreError, ExplorerError) as error:
        say(f"{error}.")
        return
    space = space_of(study, architecture)
    if isinstance(space, str):
        say(space)
        return
    tried = len({record.digest for record in records if record.state in TRIED})
    with st.container(horizontal=True, gap="medium"):
        st.metric("derivations", counted(space.count()), width="content")
        st.metric("networks tried", f"{tried:,}", width="content")
        st.metric("input", str(space.input).replace("x", "×"), width="content")
        st.metric("classes", str(space.classes), width="content")
    _cloud(study, space, records)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Choice points", anchor=False)
        points = [
            {"choice": safe_text(point.name, "cell"), "drawn once a": point.scope, "options": len(point.options),
             "alternatives": safe_text(" | ".join(point.options), "cell", length=400)}
            for point in space.points
        ]  # fmt: skip
        st.dataframe(pandas.DataFrame(points), hide_index=True, width="stretch", height="content")
    with right:
        st.subheader("The file", anchor=False)
        st.code(study.space_text, language="yaml", height=420)


def _cloud(study: Study, space: SearchSpace, records: list[TrialRecord]) -> None:
    st.subheader("Where the search has been", anchor=False)
    try:
        atlas = _atlas(identity(study), space)
    except ExplorerError as error:
        say(f"The networks of this space cannot be costed: {error}.")
        return
    names = [name for name in atlas.columns if name not in (*COSTS, "index")]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        x = st.selectbox("Across", SHOWN, format_func=_title, key="cloud_x", width=180)
        y = st.selectbox("Up", [cost for cost in SHOWN if cost != x], format_func=_title, key="cloud_y", width=180)
        colour = st.selectbox("Colour by", [NO_COLOUR, *names], format_func=safe_text, key="cloud_colour", width=180)
        log = st.toggle("Log scales", value=True, key="cloud_log")
        only = st.toggle("Only where it has not been", key="cloud_unseen")
    colour = None if colour == NO_COLOUR else colour
    tried = [record for record in records if record.state in TRIED and x in record.costs and y in record.costs]
    trained = trained_points(tried, x, y)
    seen, cells, visited = coverage(atlas, trained, x, y, log)
    shown = cloud_points(atlas[~seen] if only else atlas, x, y, colour)
    within = narrow(study, tried)
    st.plotly_chart(
        cloud_figure(
            shown,
            trained_points(within, x, y),
            unit_of(x, atlas[x]),
            unit_of(y, atlas[y]),
            colour=colour,
            log=log,
        ),
        key="cloud_chart",
        width="stretch",
    )
    total = space.count()
    what = (
        f"all {total:,} networks of the space"
        if len(atlas) == total
        else f"{len(atlas):,} networks drawn uniformly of {counted(total)}"
    )
    st.caption(
        f"Small points: {what}{', in cells without a trained one' if only else ''}. Circles: those that this study"
        f" trained. In a grid of {CELLS}×{CELLS} over these two costs, networks lie in {cells:,} cells and trained ones"
        f" in {visited:,} of them."
    )
    rows = untried(atlas, tried, names)
    st.subheader("What the search has left out", anchor=False)
    if rows.empty:
        say("Every alternative of every choice point has been tried.")
    else:
        percent = {"share of the space (%)": st.column_config.NumberColumn(format="%.1f")}
        st.dataframe(rows, hide_index=True, width="stretch", column_config=percent)


@st.cache_data(max_entries=8, show_spinner="Costing the networks of the space")
def _atlas(study: tuple, _space: SearchSpace) -> pandas.DataFrame:
    return atlas_of(_space, DRAWN)


def _title(name: str) -> str:
    return unit_of(name, []).title
