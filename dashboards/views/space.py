"""The page Space: choice points and counts, the costs of the space's networks, and which of them the search covered."""

from __future__ import annotations

from collections.abc import Iterable

import pandas
import streamlit as st

from explorer.analysis.limits import parse_limit
from explorer.analysis.quantities import COSTS
from explorer.costs.whole_space.listing import MAX_DRAWN
from explorer.costs.whole_space.table import WITHIN
from explorer.costs.whole_space.table import atlas as atlas_of
from explorer.dashboard.data.space import (
    CELLS,
    SHOWN_COSTS,
    atlas_points,
    coverage,
    space_of,
    trained_points,
    untried_alternatives,
)
from explorer.dashboard.data.storage import read_trial
from explorer.dashboard.figures.space import space_figure
from explorer.dashboard.panels.charts import draw_figure
from explorer.dashboard.panels.header import current_trials
from explorer.dashboard.panels.network import quantity_title
from explorer.dashboard.panels.tables import draw_table
from explorer.dashboard.quantities import counted, unit_of
from explorer.dashboard.session import Identity, identity, only_selected, show_message
from explorer.dashboard.text import safe_text
from explorer.errors import ExplorerError, StoreError
from explorer.records import TrialRecord
from explorer.space.choices import point_names
from explorer.space.search_space import SearchSpace
from explorer.store import Study

MAX_NETWORKS = 20_000  # of a larger space a uniform sample
NO_COLOUR = "nothing"
TRIED = ("complete", "stopped", "running")


def draw() -> None:
    """Draw the page."""
    found = current_trials()
    if found is None:
        return
    study, records = found
    try:
        architecture = read_trial(study, records[0].number).architecture
    except (StoreError, ExplorerError) as error:
        show_message(f"{error}.")
        return
    space = space_of(study, architecture)
    if isinstance(space, str):
        show_message(space)
        return
    tried = len({record.digest for record in records if record.state in TRIED})
    with st.container(horizontal=True, gap="medium", key="metrics"):
        about = "" if space.is_counted else "about "
        st.metric("derivations", f"{about}{counted(space.size.derivations)}", width="content")
        st.metric("networks tried", f"{tried:,}", width="content")
        st.metric("input", "×".join(map(str, space.input_parts)), width="content")
        st.metric("classes", str(space.classes), width="content")
    _draw_coverage(study, space, records)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Choice points", anchor=False)
        points = [
            {"choice": safe_text(name, "cell"), "scope": f"per {point.scope}", "options": len(point.options),
             "alternatives": safe_text(" | ".join(point.options), "cell", length=400)}
            for point, name in point_names(space).items()
        ]  # fmt: skip
        draw_table(pandas.DataFrame(points), "Choice points")
    with right:
        st.subheader("Space file", anchor=False)
        st.code(study.space_text, language="yaml", wrap_lines=True)


def _draw_coverage(study: Study, space: SearchSpace, records: list[TrialRecord]) -> None:
    st.subheader("Coverage of the space", anchor=False)
    try:
        atlas = _within(_atlas(identity(study), space), study.limits)
    except ExplorerError as error:
        show_message(f"The costs of this space's networks cannot be counted: {error}.")
        return
    if atlas.empty:
        show_message("No network of the space keeps the limits of the study.")
        return
    names = [name for name in atlas.columns if name not in (*COSTS, "index", WITHIN)]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        x = st.selectbox("x axis", SHOWN_COSTS, format_func=quantity_title, key="cloud_x", width=150)
        others = [cost for cost in SHOWN_COSTS if cost != x]
        y = st.selectbox("y axis", others, format_func=quantity_title, key="cloud_y", width=150)
        picked = st.selectbox("Colour by", [NO_COLOUR, *names], format_func=safe_text, key="cloud_colour", width=150)
        log = st.toggle("Log scales", value=True, key="cloud_log")
        only = st.toggle("Only untried cells", key="cloud_unseen")
    colour = None if picked == NO_COLOUR else picked
    tried = [record for record in records if record.state in TRIED and x in record.costs and y in record.costs]
    is_covered, cells, covered_cells = coverage(atlas, trained_points(tried, x, y), x, y, log)
    shown = atlas_points(atlas[~is_covered] if only else atlas, x, y, colour, log)
    circled = trained_points(only_selected(study, tried), x, y)
    figure = space_figure(shown, circled, unit_of(x, atlas[x]), unit_of(y, atlas[y]), colour=colour, log=log)
    draw_figure(figure, "cloud")
    total = space.size.derivations
    what = (
        f"all {total:,} networks of the space"
        if space.is_counted and len(atlas) == total
        else f"{len(atlas):,} networks, a uniform sample of {counted(total)}"
        if len(atlas) in (MAX_NETWORKS, MAX_DRAWN)
        else f"{len(atlas):,} networks that keep the limits, of {counted(total)}"
    )
    st.caption(
        f"Small points: {what}{', in cells without a trained network' if only else ''}; a larger point stands for more"
        " of them. Circles: networks that this study trained. Of a grid of"
        f" {CELLS}×{CELLS} cells over these two costs, {cells:,} cells hold networks and {covered_cells:,} hold"
        " trained ones."
    )
    rows = untried_alternatives(atlas, tried, names)
    st.subheader("Untried alternatives", anchor=False)
    if rows.empty:
        show_message("Every alternative of every choice point was tried.")
    else:
        draw_table(rows, "Untried alternatives", forms={"share of the space (%)": "{:.1f}"}, height=400)


def _within(atlas: pandas.DataFrame, limits: Iterable[str]) -> pandas.DataFrame:
    """Return the rows of an atlas that keep the limits of the space and the study, but those on measured costs."""
    if WITHIN in atlas:
        atlas = atlas[atlas[WITHIN]]
    for limit in map(parse_limit, limits):
        if limit.cost in COSTS:
            atlas = atlas[limit.allows({limit.cost: atlas[limit.cost]})]
    return atlas.reset_index(drop=True)


@st.cache_data(max_entries=8, show_spinner="Counting the costs of the space's networks")
def _atlas(study: Identity, _space: SearchSpace) -> pandas.DataFrame:
    return atlas_of(_space, MAX_NETWORKS if _space.is_counted else MAX_DRAWN)


draw()
