"""The space: its choice points and counts, the costs of its networks, and where the search has been."""

from __future__ import annotations

import pandas
import streamlit as st

from dashboards.cost_figures import cloud_figure
from dashboards.current import current_study, identity, narrow, say
from dashboards.quantities import unit_of
from dashboards.reading import read_trial
from dashboards.spaces import space_of
from dashboards.tables import NOT_ASKED, choice_points
from dashboards.text import safe_text
from explorer.architecture import Architecture
from explorer.costing.analytic import count_cost
from explorer.errors import ExplorerError, StoreError
from explorer.grammar.space import SearchSpace
from explorer.records import TrialRecord
from explorer.store import Study

COSTS = ("macs", "params", "activations", "peak_memory_bytes", "weight_layers", "receptive_field")
DRAWN = 2_000  # networks in the cloud; a larger space is drawn from uniformly
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
        st.metric("derivations", _counted(space.count()), width="content")
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
    names = choice_points(records)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        x = st.selectbox("Across", COSTS, format_func=_title, key="cloud_x", width=180)
        y = st.selectbox("Up", [cost for cost in COSTS if cost != x], format_func=_title, key="cloud_y", width=180)
        colour = st.selectbox("Colour by", [NO_COLOUR, *names], format_func=safe_text, key="cloud_colour", width=180)
        log = st.toggle("Log scales", value=True, key="cloud_log")
    cloud = _costs(identity(study), space)
    colour = None if colour == NO_COLOUR else colour
    shown = pandas.DataFrame(
        {"x": cloud[x], "y": cloud[y], "level": [_level(choices, colour) for choices in cloud.choices]}
    )
    marked = [r for r in narrow(study, records) if r.state in TRIED and x in r.costs and y in r.costs]
    trained = pandas.DataFrame(
        {
            "x": [record.costs[x] for record in marked],
            "y": [record.costs[y] for record in marked],
            "trial": [record.number for record in marked],
        }
    )
    st.plotly_chart(
        cloud_figure(shown, trained, unit_of(x, shown.x), unit_of(y, shown.y), colour=colour, log=log),
        key="cloud_chart",
        width="stretch",
    )
    total = space.count()
    what = "every network of the space" if len(cloud) == total else f"{len(cloud):,} networks drawn uniformly"
    st.caption(f"Small points: {what}. Circles: those that this study trained.")


@st.cache_data(max_entries=8, show_spinner="Costing networks of the space")
def _costs(study: tuple, _space: SearchSpace) -> pandas.DataFrame:
    derivations = list(_space) if _space.count() <= DRAWN else _space.sample(DRAWN)
    rows = []
    for derivation in derivations:
        costs = count_cost(_space.architecture(derivation)).to_dict()
        rows.append({**{name: costs[name] for name in COSTS}, "choices": dict(derivation.choices)})
    return pandas.DataFrame(rows)


def _level(choices: dict[str, str], colour: str | None) -> str:
    return "" if colour is None else choices.get(colour, NOT_ASKED)


def _counted(number: int) -> str:
    return f"{number:,}" if number < 10**9 else f"{number:.2e}" if number < 10**300 else f"10^{len(str(number)) - 1}"


def _title(name: str) -> str:
    return unit_of(name, []).title
