"""The page What matters: what each choice does, importance, interactions, and distributions of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from explorer.analysis.effects import Effect, EffectModel, comparable, levels_of, quantity, varying_choices
from explorer.analysis.quantities import is_maximised
from explorer.dashboard.data.effects import (
    by_size,
    clearest_factor,
    clearest_pairs,
    effect_rows,
    effects_csv,
    points_name,
    signed_number,
)
from explorer.dashboard.data.trials import quantities
from explorer.dashboard.figures.distributions import categories_figure, distribution_figure
from explorer.dashboard.figures.effects import EFFECTS_CAPTION, MAX_ROWS, effects_figure
from explorer.dashboard.figures.importance import IMPORTANCE_CAPTION, importance_figure
from explorer.dashboard.figures.interactions import (
    CONDITIONAL_CAPTION,
    COST_HEAT_CAPTION,
    MATRIX_CAPTION,
    MEANS_CAPTION,
    conditional_figure,
    cost_heat_figure,
    matrix_figure,
    means_figure,
)
from explorer.dashboard.figures.level_curves import CURVES_CAPTION, MAX_LEVELS, curves_figure
from explorer.dashboard.panels.charts import draw_figure
from explorer.dashboard.panels.header import current_trials
from explorer.dashboard.panels.network import quantity_title
from explorer.dashboard.panels.tables import draw_table
from explorer.dashboard.quantities import Unit, unit_of
from explorer.dashboard.session import cached, identity, only_selected, selected_trials, show_message
from explorer.dashboard.text import safe_text
from explorer.errors import StudyError
from explorer.records import TrialRecord
from explorer.study.recorded_space import space_networks
from explorer.study.results.effects import values_text
from explorer.study.results.levels import unknown_levels_text

MAX_CHOICES = 6  # in parallel categories; ribbons through more are not readable
SHOWN_CHOICES = 3  # at first: the names of their levels fit the width of a phone
MAX_NOTES = 30  # listed; the table has all
ALL_CHOICES = "all choices"


class Asked(NamedTuple):
    """What the page is about.

    Attributes:
        key: The study, its revision, the selected trials, objective and cost: what results depend on.
        known: The trials that are compared.
        objective: Name of the objective.
        cost: Name of the cost.
        unit: Unit of the objective.
        model: The model of the objective, which is fitted once.
        maximised: Whether more of the objective is better.
    """

    key: tuple[object, ...]
    known: list[TrialRecord]
    objective: str
    cost: str
    unit: Unit
    model: EffectModel
    maximised: bool


def draw() -> None:
    """Draw the page."""
    found = current_trials(may_be_empty=True)
    if found is None:
        return
    study, every = found
    records = only_selected(study, every)
    ups, downs = quantities(records, study.objectives, study.plane)
    if not ups or not downs:
        show_message("No trial of this study is complete yet. Effects appear here when networks can be compared.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        objective = st.selectbox("Effect on", ups, format_func=quantity_title, key="effect_on", width=175)
        cost = st.selectbox("At equal", downs, format_func=quantity_title, key="at_equal", width=175)
    key = (*identity(study), study.revision, selected_trials(study), objective, cost)
    maximised = is_maximised(objective, study.objectives)
    known = cached((*key, "known"), lambda: comparable(records, objective, cost))
    try:
        with st.spinner("Estimating the effects"):
            model = cached(
                (*key, "model"),
                lambda: EffectModel(
                    known, objective, cost, maximised=maximised, space=space_networks(study, known, cost)
                ),
            )
            effects = cached((*key, "effects"), lambda: by_size(model.effects()))
    except StudyError as error:
        show_message(f"{error}.")
        return
    if not effects:
        show_message("All networks have the same choices, so there are no effects to show.")
        return
    unit = unit_of(objective, [quantity(record, objective) for record in known])
    asked = Asked(key, known, objective, cost, unit, model, maximised)
    untried = cached((*key, "untried"), lambda: unknown_levels_text(study, every))
    factors = cached((*key, "factors"), lambda: varying_choices(known))
    values = cached((*key, "values"), lambda: values_text(study))
    if values:
        st.caption(values)
    answers, over_cost, together, spread = st.tabs(
        ["Effects", "Over cost", "Interactions", "Distributions"], on_change="rerun", key="question"
    )
    if answers.open:
        with answers:
            if untried:
                show_message(f"Levels {untried}.")
            _draw_answers(asked, effects)
    elif over_cost.open:
        with over_cost:
            _draw_curves(asked, effects)
    elif together.open:
        with together:
            _draw_interactions(asked, factors)
    else:
        with spread:
            _draw_distributions(asked, factors)


def _draw_answers(asked: Asked, effects: Sequence[Effect]) -> None:
    """Draw the three answers as a figure, the notes on missing ones, and all as a table."""
    key, unit, cost = asked.key, asked.unit, asked.cost
    st.subheader("What each choice does", anchor=False)
    factors = list(dict.fromkeys(effect.factor for effect in effects))
    options = [ALL_CHOICES, *factors] if len(factors) > 1 and len(effects) <= MAX_ROWS else factors
    picked = options[0]
    if len(options) > 1:
        picked = st.selectbox("Choice", options, format_func=safe_text, key="effects_of", width=220)
    shown = [effect for effect in effects if picked in (ALL_CHOICES, effect.factor)]
    drawn = shown[:MAX_ROWS]
    left, right = st.columns([5, 3], gap="medium")
    with left:
        draw_figure(cached((*key, "answers", picked), lambda: effects_figure(drawn, unit, cost)), "effects")
    with right:
        st.subheader("Importance", anchor=False)
        with st.spinner("Estimating the importance of choices"):
            found = cached((*key, "importances"), asked.model.importances)
        draw_figure(cached((*key, "importance"), lambda: importance_figure(found)), "importance")
        st.caption(IMPORTANCE_CAPTION)
    if len(shown) > len(drawn):
        st.caption(f"The first {len(drawn)} of {len(shown)} levels; the table has all.")
    st.caption(EFFECTS_CAPTION)
    notes: dict[str, list[str]] = {}
    for effect in shown:
        if effect.note:
            notes.setdefault(effect.note, []).append(f"{effect.factor}: {effect.level}, not {effect.reference}")
    if notes:
        with st.expander(f"Notes on {sum(map(len, notes.values()))} of these {len(shown)} levels"):
            for note, names in list(notes.items())[:MAX_NOTES]:
                st.text(safe_text(f"{'; '.join(names)} — {note}", length=900))
    table = cached((*key, "table", picked), lambda: effect_rows(shown, unit, cost))
    forms = dict.fromkeys(table.select_dtypes("float").columns, lambda value: signed_number(value, unit))
    with st.expander("As a table"):
        draw_table(table, "Effects", forms=forms, height=520)
    points = points_name(unit)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Save as CSV", cached((*key, "csv"), lambda: effects_csv(effects)), "effects.csv", "text/csv",
            on_click="ignore", key="effects_csv",
        )  # fmt: skip
        st.caption(
            (f"Effects in the table are in {safe_text(points, 'markdown')}. " if points else "")
            + "The file has the fields of `explorer effects --json`; accuracies in it are fractions."
        )


def _draw_curves(asked: Asked, effects: Sequence[Effect]) -> None:
    """Draw the objective over cost, one colour per level of a choice."""
    key = asked.key
    factors = list(dict.fromkeys(effect.factor for effect in effects))
    first = cached((*key, "clearest"), lambda: clearest_factor(effects))
    st.subheader("Objective over cost", anchor=False)
    with st.container(horizontal=True):
        factor = st.selectbox(
            "Choice", factors, index=factors.index(first), format_func=safe_text, key="curves_of", width=220
        )
        levels = levels_of(asked.known, factor)
        shown = st.multiselect(
            "Levels in colour", levels, default=levels[:MAX_LEVELS], max_selections=MAX_LEVELS, format_func=safe_text,
            key=f"curves_levels_{factor}",
        )  # fmt: skip
    own = [effect for effect in effects if effect.factor == factor]
    curves = cached((*key, "curves", factor), lambda: asked.model.curves(factor))
    draw_figure(
        cached((*key, "over_cost", factor, *shown), lambda: curves_figure(curves, own, shown, asked.unit, asked.cost)),
        "curves",
    )
    apart = [effect.level for effect in own if effect.level in shown and effect.equal_cost is None]
    if apart:
        st.text(safe_text(f"Not compared at equal cost with {own[0].reference}: {', '.join(apart)}.", length=400))
    st.caption(f"{CURVES_CAPTION} The reference is {safe_text(own[0].reference, 'markdown')}.")


def _draw_interactions(asked: Asked, factors: list[str]) -> None:
    """Draw which pairs of choices interact, and one pair in full."""
    st.subheader("Interactions of choices", anchor=False)
    if len(factors) < 2:
        show_message("These networks differ in only one choice.")
        return
    key, known, unit = asked.key, asked.known, asked.unit
    with st.spinner("Estimating the interactions"):
        found = cached((*key, "interactions"), asked.model.interactions)
    pairs = cached((*key, "pairs"), lambda: clearest_pairs(found))
    left, right = st.columns(2, gap="medium")
    with left:
        if pairs:
            draw_figure(cached((*key, "matrix"), lambda: matrix_figure(found, unit)), "matrix")
            points = points_name(unit)
            st.caption(MATRIX_CAPTION + (f" In {safe_text(points, 'markdown')}." if points else ""))
        else:
            show_message("Too few networks have the same pair of levels to tell an interaction.")
    with right, st.container(horizontal=True):
        start = max(pairs.values(), key=lambda each: (each.significant, each.trials)) if pairs else None
        rows = st.selectbox(
            "Effect of", factors, index=factors.index(start.factor) if start else 0, format_func=safe_text,
            key="interaction_rows",
        )  # fmt: skip
        others = [factor for factor in factors if factor != rows]
        place = others.index(start.other) if start and start.other in others else 0
        columns = st.selectbox(
            "Under each", others, index=place, format_func=safe_text, key=f"interaction_columns_{rows}"
        )
    with right:
        under = cached((*key, "under", rows, columns), lambda: asked.model.conditional_effects(rows, columns))
        own = [each for each in found if {each.factor, each.other} == {rows, columns}]
        if any(each.effect is not None for each in under):
            draw_figure(
                cached((*key, "conditional", rows, columns), lambda: conditional_figure(under, own, unit)),
                "conditional",
            )
            st.caption(CONDITIONAL_CAPTION)
        else:
            show_message(
                "Too few networks have the same pair of levels to tell the effect of one choice under the other."
            )
    st.subheader("Both choices at equal cost", anchor=False)
    heat = cached((*key, "at_cost", rows, columns), lambda: asked.model.pairs_at_cost(rows, columns))
    if any(each.effect is not None for each in heat):
        draw_figure(
            cached(
                (*key, "heat", rows, columns),
                lambda: cost_heat_figure(heat, rows, columns, unit, asked.cost, maximised=asked.maximised),
            ),
            "heat",
        )
        st.caption(COST_HEAT_CAPTION)
    else:
        show_message("Too few networks of like cost have the same pair of levels.")
    with st.expander("Mean of each pair of levels, whatever the networks cost"):
        draw_figure(
            cached((*key, "means", rows, columns), lambda: means_figure(known, rows, columns, asked.objective, unit)),
            "means",
        )
        st.caption(MEANS_CAPTION)


def _draw_distributions(asked: Asked, factors: list[str]) -> None:
    """Draw the results by choice, whatever the networks cost."""
    key, known, unit = asked.key, asked.known, asked.unit
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Distribution of results", anchor=False)
        factor = st.selectbox("One curve per level of", factors, format_func=safe_text, key="spread_by")
        draw_figure(
            cached((*key, "spread", factor), lambda: distribution_figure(known, factor, asked.objective, unit)),
            "spread",
        )
    with right:
        st.subheader("Parallel categories", anchor=False)
        shown = st.multiselect(
            "Choices", factors, default=factors[:SHOWN_CHOICES], format_func=safe_text, key="through",
            max_selections=MAX_CHOICES,
        )  # fmt: skip
        if shown:
            draw_figure(
                cached((*key, "through", *shown), lambda: categories_figure(known, shown, asked.objective, unit)),
                "through",
            )


draw()
