"""The page Effects: the effect of each choice at equal cost, interactions of choices, and distributions of results."""

from __future__ import annotations

import streamlit as st

from explorer.analysis.effects import choice_effects, comparable, quantity, varying_choices
from explorer.dashboard.data.trials import quantities
from explorer.dashboard.figures.effects import (
    EFFECTS_CAPTION,
    INTERACTION_CAPTION,
    categories_figure,
    distribution_figure,
    effects_figure,
    interaction_figure,
)
from explorer.dashboard.panels.charts import draw_figure
from explorer.dashboard.panels.network import quantity_title
from explorer.dashboard.quantities import Unit, unit_of
from explorer.dashboard.session import cached, current_study, identity, only_selected, selected_trials, show_message
from explorer.dashboard.text import safe_text
from explorer.errors import StudyError
from explorer.records import TrialRecord

MAX_CHOICES = 6  # in parallel categories; ribbons through more are not readable
SHOWN_CHOICES = 3  # at first: the names of their levels fit the width of a phone


def draw() -> None:
    """Draw the page."""
    found = current_study()
    if found is None:
        return
    study, records = found
    records = only_selected(study, records)
    ups, downs = quantities(records, study.objectives, study.plane)
    if not ups or not downs:
        show_message("No trial of this study is complete yet. Effects appear here when networks can be compared.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        objective = st.selectbox("Effect on", ups, format_func=quantity_title, key="effect_on", width=220)
        cost = st.selectbox("At equal", downs, format_func=quantity_title, key="at_equal", width=220)
    key = (*identity(study), study.revision, selected_trials(study), objective, cost)
    known = cached((*key, "known"), lambda: comparable(records, objective, cost))
    try:
        with st.spinner("Estimating the effects"):
            effects = cached((*key, "effects"), lambda: choice_effects(records, objective, cost))
    except StudyError as error:
        show_message(f"{error}.")
        return
    if not effects:
        show_message("All networks have the same choices, so there are no effects to show.")
        return
    unit = unit_of(objective, [quantity(record, objective) for record in known])
    st.subheader("Effect of each choice", anchor=False)
    unknown = ", ".join(dict.fromkeys(effect.factor for effect in effects if effect.method == "none"))
    if all(effect.method == "none" for effect in effects):
        show_message(f"{len(known)} networks are too few to separate the effects of these choices: {unknown}.")
    else:
        draw_figure(effects_figure(effects, unit, unit_of(cost, [])), "effects")
        st.caption(
            EFFECTS_CAPTION
            + (f" Not separated from other choices yet: {safe_text(unknown, 'markdown')}." if unknown else "")
        )
    factors = cached((*key, "factors"), lambda: varying_choices(known))
    left, right = st.columns(2, gap="medium")
    with left:
        _draw_interaction(key, known, factors, objective, unit)
    with right:
        st.subheader("Distribution of results", anchor=False)
        factor = st.selectbox("One curve per level of", factors, format_func=safe_text, key="spread_by")
        draw_figure(
            cached((*key, "spread", factor), lambda: distribution_figure(known, factor, objective, unit)), "spread"
        )
    st.subheader("Parallel categories", anchor=False)
    shown = st.multiselect(
        "Choices",
        factors,
        default=factors[:SHOWN_CHOICES],
        format_func=safe_text,
        key="through",
        max_selections=MAX_CHOICES,
    )
    if shown:
        draw_figure(
            cached((*key, "through", *shown), lambda: categories_figure(known, shown, objective, unit)), "through"
        )


def _draw_interaction(
    key: tuple[object, ...], known: list[TrialRecord], factors: list[str], objective: str, unit: Unit
) -> None:
    st.subheader("Interaction of two choices", anchor=False)
    if len(factors) < 2:
        show_message("These networks differ in only one choice.")
        return
    with st.container(horizontal=True):
        rows = st.selectbox("Rows", factors, format_func=safe_text, key="interaction_rows")
        others = [factor for factor in factors if factor != rows]
        columns = st.selectbox("Columns", others, format_func=safe_text, key="interaction_columns")
    draw_figure(
        cached((*key, "interaction", rows, columns), lambda: interaction_figure(known, rows, columns, objective, unit)),
        "interaction",
    )
    st.caption(INTERACTION_CAPTION)


draw()
