"""What matters: the effect of each choice at equal cost, how choices act together, and how results spread."""

from __future__ import annotations

import streamlit as st

from dashboards.current import boxed, current_study, identity, kept, narrow, say
from dashboards.effect_figures import categories_figure, distribution_figure, effects_figure, interaction_figure
from dashboards.quantities import Unit, unit_of
from dashboards.tables import quantities
from dashboards.text import safe_text
from explorer.effects import choice_effects, comparable, quantity, varying_choices
from explorer.errors import StudyError
from explorer.records import TrialRecord

FLAT = {"displayModeBar": False}
MOST_FACTORS = 6  # ribbons through more dimensions are not read
SHOWN = 3  # of them at first: a phone's width has room for the names of their levels


def draw() -> None:
    """The page."""
    found = current_study()
    if found is None:
        return
    study, records = found
    records = narrow(study, records)
    ups, downs = quantities(records, study.objectives, study.plane)
    if not ups or not downs:
        say("No trial of this study is complete yet; effects appear here once networks can be compared.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        objective = st.selectbox("Effect on", ups, format_func=_title, key="effect_on", width=220)
        cost = st.selectbox("At equal", downs, format_func=_title, key="at_equal", width=220)
    key = (*identity(study), study.revision, boxed(study), objective, cost)
    known = kept((*key, "known"), lambda: comparable(records, objective, cost))
    try:
        with st.spinner("Reckoning the effects"):
            effects = kept((*key, "effects"), lambda: choice_effects(records, objective, cost))
    except StudyError as error:
        say(f"{error}.")
        return
    if not effects:
        say("All networks made the same choices, so there is no effect to see.")
        return
    unit = unit_of(objective, [quantity(record, objective) for record in known])
    st.subheader("Effect of each choice", anchor=False)
    untold = ", ".join(dict.fromkeys(effect.factor for effect in effects if effect.method == "none"))
    if all(effect.method == "none" for effect in effects):
        say(f"{len(known)} networks cannot tell these choices apart yet: {untold}.")
    else:
        st.plotly_chart(
            effects_figure(effects, unit, unit_of(cost, [])), key="effects_chart", width="stretch", config=FLAT
        )
        st.caption(
            "Each level against the choice's most frequent one. A whisker that crosses zero: these trials cannot say."
            + (f" Not told apart from other choices yet: {safe_text(untold, 'markdown')}." if untold else "")
        )
    factors = kept((*key, "factors"), lambda: varying_choices(known))
    left, right = st.columns(2, gap="medium")
    with left:
        _interactions(key, known, factors, objective, unit)
    with right:
        st.subheader("How results spread", anchor=False)
        factor = st.selectbox("A curve for each level of", factors, format_func=safe_text, key="spread_by")
        figure = kept((*key, "spread", factor), lambda: distribution_figure(known, factor, objective, unit))
        st.plotly_chart(figure, key="spread_chart", width="stretch", config=FLAT)
    st.subheader("Networks through their choices", anchor=False)
    shown = st.multiselect(
        "Choices", factors, default=factors[:SHOWN], format_func=safe_text, key="through", max_selections=MOST_FACTORS
    )
    if shown:
        figure = kept((*key, "through", *shown), lambda: categories_figure(known, shown, objective, unit))
        st.plotly_chart(figure, key="through_chart", width="stretch", config=FLAT)


def _interactions(key: tuple, known: list[TrialRecord], factors: list[str], objective: str, unit: Unit) -> None:
    st.subheader("Two choices together", anchor=False)
    if len(factors) < 2:
        say("Only one choice differs between these networks.")
        return
    with st.container(horizontal=True):
        rows = st.selectbox("Rows", factors, format_func=safe_text, key="interaction_rows")
        others = [factor for factor in factors if factor != rows]
        columns = st.selectbox("Columns", others, format_func=safe_text, key="interaction_columns")
    figure = kept(
        (*key, "interaction", rows, columns), lambda: interaction_figure(known, rows, columns, objective, unit)
    )
    st.plotly_chart(figure, key="interaction_chart", width="stretch", config=FLAT)
    st.caption("Mean values, whatever the networks cost; in brackets, of how many networks.")


def _title(name: str) -> str:
    return unit_of(name, []).title
