"""The frontier page: accuracy against any cost, the trials behind it, and one network in detail."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas
import pyarrow
import streamlit as st
from plotly import graph_objects as go

from dashboards.current import (
    LISTED,
    boxed,
    chosen_trial,
    current_study,
    identity,
    keep_boxed,
    keep_chosen,
    kept,
    known_of,
    narrow,
    say,
)
from dashboards.figures import frontier_figure
from dashboards.quantities import unit_of
from dashboards.reading import frontier_chances, latency_environments
from dashboards.stages import SPENT, Stage, at_stage, stage_name, stages
from dashboards.tables import (
    best_trial,
    choice_points,
    frontier_points,
    quantities,
    seed_points,
    state_counts,
    trial_rows,
)
from dashboards.text import safe_text
from dashboards.views.detail import draw_detail
from dashboards.views.growth import draw_growth
from explorer.errors import StoreError
from explorer.quantities import LATENCY, is_maximised
from explorer.records import TrialRecord
from explorer.store import Study

CHART = "frontier_chart"
# Keys of the session: the trial shown in detail and its study; what the figure shows, and the trial it marks itself.
TRIAL, TRIAL_OF, SHOWN, MARKED = "trial", "trial_of", "shown", "marked"
NO_COLOUR = "nothing"
STOPS = 60  # of a budget's slider
PLOT_OPTIONS = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
}


class Shown(NamedTuple):
    """What the figure shows. ``revision``: the study's last change; ``colour``: a choice point, or None;
    ``before``: so many trials had ended when the earlier frontier was; ``bound``: the budget on x, or None;
    ``stage``: of the trainings; ``seeds``: whether to show the trainings from fresh seeds; ``mixed``: in which
    environments the latencies in the plane were measured, where there is more than one."""

    study: tuple
    revision: int
    x: str
    y: str
    colour: str | None
    log_x: bool
    before: int
    bound: float | None
    stage: Stage
    seeds: bool
    mixed: str


def draw() -> None:
    """The page."""
    found = current_study()
    if found is None:
        return
    study, records = found
    if not records:
        say("This study has no trials yet. They appear here by themselves once the search has begun.")
        return
    _draw_summary(study, records)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        try:
            shown, trained = _pick_plane(study, records)
        except StoreError as error:
            say(f"{error}.")
            shown, trained = None, []
        refused = False
        if shown is not None and shown.mixed:
            say(f"Latencies were measured in {shown.mixed}: such numbers compare machines, not networks.")
            refused = not st.toggle("Put them in one plane all the same", key="mix_environments")
            shown = None if refused else shown
    points = None if shown is None else _points(study, trained, shown)
    front = [] if points is None else [int(number) for number in points.trial[points.frontier]]
    with right:
        number = _pick_trial(study, records, front)
        draw_detail(study, number)
    with left:
        if shown is not None and points is not None:
            _draw_plane(study, trained, shown, points, number)
        elif not refused:
            say(_nothing_to_draw(records))
    draw_growth(study, records)
    narrowed = narrow(study, records)
    st.subheader("All trials" if narrowed is records else f"{len(narrowed)} selected trials", anchor=False)
    # Kept as Arrow, which is what the browser gets: a table of thousands of rows is not made anew for a click.
    rows, floats = kept((*_key(study), "rows", boxed(study)), lambda: _arrow(trial_rows(narrowed, study.objectives)))
    numbers = {name: st.column_config.NumberColumn(format="%.4g") for name in floats}
    st.dataframe(rows, hide_index=True, column_config=numbers, width="stretch")


def _arrow(rows: pandas.DataFrame) -> tuple[pyarrow.Table, list[str]]:
    """The table as Arrow, and which of its columns are decimal numbers."""
    return pyarrow.Table.from_pandas(rows, preserve_index=False), list(rows.select_dtypes("float"))


def _key(study: Study) -> tuple:
    return *identity(study), study.revision


def _points(study: Study, trained: list[TrialRecord], shown: Shown) -> pandas.DataFrame:
    key = (*_key(study), "points", shown.x, shown.y, shown.colour, shown.stage)
    return kept(key, lambda: frontier_points(trained, shown.x, shown.y, study.objectives, shown.colour))


def _draw_summary(study: Study, records: list[TrialRecord]) -> None:
    _, name = study.plane
    counts, best = kept(
        (*_key(study), "summary"), lambda: (state_counts(records), best_trial(records, name, study.objectives))
    )
    with st.container(horizontal=True, gap="medium"):
        for state, count in counts.items():
            st.metric(state, f"{count:,}", width="content")
        if best is not None:
            value = best.quantities[name]
            unit = unit_of(name, [value])
            st.metric(
                f"best {safe_text(unit.title, 'markdown')} (trial {best.number})", unit.of(value), width="content"
            )


def _pick_plane(study: Study, records: list[TrialRecord]) -> tuple[Shown | None, list[TrialRecord]]:
    """The controls above the figure, and the trials as they were at the stage of training that was picked; None
    while there is nothing to draw."""
    ups, downs, choices, environments = kept(
        (*_key(study), "quantities"),
        lambda: (
            *quantities(records, study.objectives, study.plane),
            choice_points(records),
            latency_environments(records),
        ),
    )
    if not ups or not downs:
        return None, records
    epochs = study.fingerprint.get("epochs")
    if isinstance(epochs, int):  # trained by the explorer: what they spent is known, and how they were on the way
        downs = [*downs, *SPENT]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        x = st.selectbox("Cost", downs, format_func=_title, key="cost", width=160)
        y = st.selectbox("Against", ups, format_func=_title, key="against", width=180) if len(ups) > 1 else ups[0]
        start = choices.index("order") + 1 if "order" in choices else min(1, len(choices))
        colour = st.selectbox(
            "Colour by", [NO_COLOUR, *choices], index=start, format_func=safe_text, key="colour", width=140
        )
        stage = None
        if isinstance(epochs, int) and epochs > 1:
            stage = st.selectbox("Trained to", stages(epochs), format_func=stage_name, key="stage", width=130)
        log_x = st.toggle("Log scale", key="log", value=True)
        again = stage is None and bool(known_of(study).confirmed())
        seeds = again and st.toggle("Fresh seeds", key="seeds", value=True)
    if x in SPENT or stage is not None:
        with st.spinner("Reading the courses of the trainings"):
            records = kept(
                (*_key(study), "stage", stage),
                lambda: at_stage(records, known_of(study).curves(study), stage, int(epochs or 1)),
            )
    with st.expander("A budget, and the frontier as it was"):
        bound = _budget(study, records, x, y, downs, environments)
        before = _moment(study, records)
    colour = None if colour == NO_COLOUR else colour
    mixed = environments if LATENCY in (x, y) else ""
    return Shown(identity(study), study.revision, x, y, colour, log_x, before, bound, stage, seeds, mixed), records


def _moment(study: Study, records: list[TrialRecord]) -> int:
    """After how many complete trials the earlier frontier is wanted; 0 for none."""
    if not st.toggle("Draw an earlier frontier too", key="earlier"):
        return 0
    ended = _ended(records)
    if len(ended) < 2:
        return 0
    began = min(record.started or 0.0 for record in records)

    def named(count: int) -> str:
        minutes = ((ended[count - 1].finished or began) - began) / 60
        return f"{count:,} of {len(ended):,} trials, {minutes:,.1f} min"

    return _slider("As it was after", range(1, len(ended) + 1), named, f"before_{study.name}", len(ended) // 2)


def _ended(records: list[TrialRecord]) -> list[TrialRecord]:
    """The complete trials in the order in which they ended."""
    return sorted((r for r in records if r.state == "complete"), key=lambda r: (r.finished or 0.0, r.number))


def _slider(title: str, values: Sequence, named: Callable[[Any], str], key: str, start: Any) -> Any:
    """A slider over at most STOPS of ``values``. The stops move as trials end: it then goes to the nearest one."""
    last = len(values) - 1
    stops = list(values) if last < STOPS else [values[k * last // (STOPS - 1)] for k in range(STOPS)]
    wanted = st.session_state.get(key, start)
    st.session_state[key] = min(stops, key=lambda stop: abs(stop - wanted))
    return st.select_slider(title, stops, format_func=named, key=key)


def _budget(
    study: Study, records: list[TrialRecord], x: str, y: str, downs: list[str], environments: str
) -> float | None:
    """Bounds on costs, and the best network under them; returns the bound on ``x``, or None."""
    costs = st.multiselect("At most so much of", downs, default=[x], format_func=_title, key=f"budget_of_{x}")
    bounds = {}
    for cost in costs:
        values = sorted({value for record in records if (value := _value(record, cost)) is not None})
        if len(values) > 1:
            unit, key = unit_of(cost, values), f"budget_{study.name}_{cost}"
            bounds[cost] = _slider(unit.title, values, unit.of, key, values[-1])
    if LATENCY in costs and environments:
        st.text(safe_text(f"Mind: latencies were measured in {environments}.", length=700))
    within = [
        record for record in records if all(_value(record, cost, math.inf) <= bound for cost, bound in bounds.items())
    ]
    best = best_trial(within, y, study.objectives)
    if best is None:
        say("No complete trial keeps this budget.")
    else:
        with st.container(horizontal=True, vertical_alignment="center"):
            told = [f"{_title(name)} {unit_of(name, [value]).of(value)}" for name in dict.fromkeys((y, *costs))
                    if (value := _value(best, name)) is not None]  # fmt: skip
            st.text(f"Best under it: trial {best.number}, {', '.join(told)}")
            st.button("Show it", key="show_best", on_click=_take, args=(best.number,))
    return bounds[x] if x in bounds and bounds[x] < max(_value(r, x, 0.0) for r in records) else None


def _value(record: TrialRecord, name: str, default: Any = None) -> Any:
    value = record.value(name)
    return value if isinstance(value, (int, float)) and math.isfinite(value) else default


def _draw_plane(study: Study, records: list[TrialRecord], shown: Shown, points: pandas.DataFrame, chosen: int) -> None:
    marked = _marked(shown, chosen)
    earlier = None
    if shown.before:
        then = frontier_points(_ended(records)[: shown.before], shown.x, shown.y, study.objectives)
        earlier = then[then.frontier]

    def figure() -> go.Figure:
        likely, again = {}, None
        if shown.seeds:
            likely = frontier_chances(study, records, shown.x, shown.y)
            fresh = known_of(study).confirmed()
            again = seed_points(fresh, records, shown.x, shown.y, study.fingerprint.get("epochs"))
        return frontier_figure(
            points,
            unit_of(shown.x, points.x),
            unit_of(shown.y, points.y),
            log_x=shown.log_x,
            maximised=(is_maximised(shown.x, study.objectives), is_maximised(shown.y, study.objectives)),
            colour=shown.colour,
            chosen=marked,
            earlier=earlier,
            bound=shown.bound,
            likely=likely,
            seeds=again,
            note=f"latencies of {shown.mixed}" if shown.mixed else "",
        )

    st.plotly_chart(
        kept((*shown, marked), figure),
        key=CHART,
        on_select=_take_click,
        selection_mode=("points", "box"),
        config=PLOT_OPTIONS,
        width="stretch",
    )
    st.caption(
        "A point is a trained network; the line joins those that no other beats. Click one, or pick its trial; "
        "drag a box (its tool is above the figure) and the tables and figures of every page keep to the networks in it."
        + (
            " Crosses with whiskers: mean over trainings from fresh seeds, and a standard deviation of a single one."
            " The fainter a point, the less likely it is on the frontier, noise reckoned with."
            if shown.seeds
            else ""
        )
    )


def _marked(shown: Shown, chosen: int) -> int:
    """The trial that the figure marks by itself.

    A click is marked by plotly, at once. Were the figure made anew for it, it would be drawn from
    nothing and lose its zoom; so a click leaves the figure as it is, and any other change brings it up to date.
    """
    if st.session_state.get(SHOWN) != shown:
        st.session_state[SHOWN] = shown
        st.session_state[MARKED] = chosen
    return st.session_state[MARKED]


def _take_pick() -> None:
    st.session_state[MARKED] = st.session_state[TRIAL]


def _take(number: int) -> None:
    st.session_state[TRIAL] = st.session_state[MARKED] = number


def _take_click() -> None:
    selection = st.session_state[CHART]["selection"]
    found = [point["customdata"] for point in selection["points"] if point.get("customdata") is not None]
    numbers = [int(number[0] if isinstance(number, list) else number) for number in found]
    if selection.get("box"):
        keep_boxed(st.session_state[TRIAL_OF], numbers)
    elif numbers:
        st.session_state[TRIAL] = numbers[0]


def _pick_trial(study: Study, records: list[TrialRecord], on_frontier: list[int]) -> int:
    """The trial to show: what was clicked or picked, at first the frontier's dear end."""
    states = {record.number: record.state for record in records}
    if st.session_state.get(TRIAL) not in states or st.session_state.get(TRIAL_OF) != identity(study):
        first = on_frontier[-1] if on_frontier else records[0].number
        looked_at = chosen_trial(study)
        st.session_state[TRIAL] = looked_at if looked_at in states else first
        st.session_state[TRIAL_OF] = identity(study)
    front = set(on_frontier)

    def named(number: int) -> str:
        return f"{number} — {'on the frontier' if number in front else safe_text(states.get(number, ''))}"

    if len(states) > LISTED:
        first, last = min(states), max(states)
        number = int(st.number_input(f"Trial, {first} to {last}", first, last, step=1, key=TRIAL, on_change=_take_pick))
    else:
        number = st.selectbox("Trial", list(states), format_func=named, key=TRIAL, on_change=_take_pick)
    keep_chosen(study, number)
    return number


def _nothing_to_draw(records: list[TrialRecord]) -> str:
    if any(record.state == "running" for record in records):
        return "No trial is complete yet. The first point appears here by itself when its training ends."
    return "No trial of this study is complete, so there is nothing to draw. The table below says how each one ended."


def _title(quantity: str) -> str:
    return unit_of(quantity, []).title
