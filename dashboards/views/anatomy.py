"""One network taken apart: its block as papers draw it, its stages, and where its costs lie."""

from __future__ import annotations

import streamlit as st

from dashboards.cost_figures import place_figure
from dashboards.cost_tables import COSTED, cost_by_place, stage_rows
from dashboards.diagram import block_dot, block_groups, network_dot
from dashboards.quantities import unit_of
from explorer.architecture import Architecture

FLAT = {"displayModeBar": False}


def draw_blocks(architecture: Architecture, key: str) -> None:
    """The block that is picked, drawn."""
    groups = block_groups(architecture)
    place = st.selectbox(
        "Block", range(len(groups)), format_func=lambda n: groups[n].title, label_visibility="collapsed", key=key
    )
    st.graphviz_chart(block_dot(groups[place]), width="content")


def draw_anatomy(architecture: Architecture) -> None:
    """Block and whole network on the left, costs by part on the right."""
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.subheader("Block", anchor=False)
        draw_blocks(architecture, "block")
        with st.expander("The whole network"):
            st.graphviz_chart(network_dot(architecture), width="content")
    with right:
        st.subheader("Where its costs lie", anchor=False)
        cost = st.segmented_control("Cost", COSTED, format_func=_title, default="macs", key="by_place", required=True)
        table = cost_by_place(architecture)
        unit = unit_of(cost, table.groupby("part")[cost].sum())
        st.plotly_chart(place_figure(table, cost, unit), key="place_chart", width="stretch", config=FLAT)
        draw_stages(architecture)


def draw_stages(architecture: Architecture) -> None:
    """The network part by part, as a table whose columns all find room on a phone."""
    st.table(stage_rows(architecture).set_index("part"))


def _title(name: str) -> str:
    return unit_of(name, []).title
