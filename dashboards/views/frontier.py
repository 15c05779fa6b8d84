"""The page Frontier: an objective over any cost, all trials, and one network in detail."""

from __future__ import annotations

from typing import NamedTuple

import pandas
import pyarrow
import streamlit as st
from plotly import graph_objects as go

from explorer.analysis.estimates import Estimate, best_estimates, with_estimates
from explorer.analysis.frontier_certainty import FrontierCertainty, certainty_text
from explorer.analysis.quantities import LATENCY, is_maximised, quantity_named
from explorer.dashboard.data.storage import certainty_of, latency_environments
from explorer.dashboard.data.trials import (
    SPENT,
    Progress,
    best_trial,
    choice_points,
    frontier_points,
    progress_label,
    progress_options,
    quantities,
    seed_points,
    state_counts,
    trial_rows,
    trials_at,
)
from explorer.dashboard.figures.frontier import CAPTION, SEEDS_CAPTION, frontier_figure
from explorer.dashboard.panels.budget import draw_slider, pick_budget
from explorer.dashboard.panels.charts import draw_hypervolume
from explorer.dashboard.panels.network import draw_detail, quantity_title
from explorer.dashboard.quantities import unit_of
from explorer.dashboard.session import (
    LISTED,
    Identity,
    cache_of,
    cached,
    current_trials,
    identity,
    last_viewed,
    only_selected,
    select_trials,
    selected_trials,
    set_viewed,
    show_message,
)
from explorer.dashboard.text import safe_text
from explorer.errors import StoreError
from explorer.records import TrialRecord
from explorer.store import Study

CHART = "frontier_chart"
# Keys of the session state: the trial in detail and its study; what the figure shows, and the trial it highlights.
TRIAL, TRIAL_OF, SHOWN, MARKED = "trial", "trial_of", "shown", "marked"
NO_COLOUR = "nothing"
PLOT_OPTIONS = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
}


class Shown(NamedTuple):
    """What the figure shows.

    Attributes:
        study: Identity of the study.
        revision: Revision of its last change.
        x: Name of the quantity on the x axis.
        y: Name of the quantity on the y axis.
        colour: The choice point that colours the points; None for one colour.
        log_x: Whether the x axis is logarithmic.
        before: Number of complete trials that the earlier frontier is drawn for; 0 for none.
        bound: The budget on x; None without one.
        progress: The moment of the trainings.
        seeds: Whether trainings from fresh seeds are drawn.
        mixed: Environments of the latencies in the plane; empty if there is only one.
    """

    study: Identity
    revision: int
    x: str
    y: str
    colour: str | None
    log_x: bool
    before: int
    bound: float | None
    progress: Progress
    seeds: bool
    mixed: str


def draw() -> None:
    """Draw the page."""
    found = current_trials()
    if found is None:
        return
    study, searched = found
    records = _estimated(study, searched)
    _draw_summary(study, records)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        try:
            shown, trained = _pick_plane(study, records)
        except StoreError as error:
            show_message(f"{error}.")
            shown, trained = None, []
        refused = False
        if shown is not None and shown.mixed:
            show_message(f"Latencies were measured in {shown.mixed}; they compare machines, not networks.")
            refused = not st.toggle("Draw them in one plane anyway", key="mix_environments")
            shown = None if refused else shown
    points = None if shown is None else _points(study, trained, shown)
    certainty = None if shown is None else _certainty(study, searched, shown)
    front = [] if points is None else [int(number) for number in points.trial[points.frontier]]
    with right:
        number = _pick_trial(study, records, front)
        draw_detail(study, number)
    with left:
        if shown is not None and points is not None:
            _draw_plane(study, trained, shown, points, certainty, number)
        elif not refused:
            show_message(_nothing_to_draw(records))
    draw_hypervolume(study, records)
    selected = only_selected(study, records)
    st.subheader("All trials" if selected is records else f"{len(selected)} selected trials", anchor=False)
    # Cached as Arrow, which the browser gets: a click does not convert a table of thousands of rows again.
    stays = certainty.probabilities if certainty else {}
    rows, floats = cached(
        (*_key(study), "rows", selected_trials(study), shown and shown[2:4]),
        lambda: _arrow(trial_rows(selected, study.objectives, stays, _estimates(study, searched, study.plane[1]))),
    )
    numbers = {name: st.column_config.NumberColumn(format="%.4g") for name in floats}
    st.dataframe(rows, hide_index=True, column_config=numbers, width="stretch")


def _estimated(study: Study, records: list[TrialRecord]) -> list[TrialRecord]:
    """Return the trials with the best estimates of their objectives."""
    epochs, confirmed = study.fingerprint.get("epochs"), cache_of(study).confirmed()
    key = (*_key(study), "estimated")
    return cached(key, lambda: with_estimates(records, confirmed, study.objectives, epochs))


def _estimates(study: Study, records: list[TrialRecord], name: str) -> dict[int, Estimate]:
    """Return trial number -> best estimate of an objective."""
    epochs, confirmed = study.fingerprint.get("epochs"), cache_of(study).confirmed()
    return cached((*_key(study), "estimates", name), lambda: best_estimates(records, confirmed, name, epochs))


def _arrow(rows: pandas.DataFrame) -> tuple[pyarrow.Table, list[str]]:
    """Return a table as Arrow, and the names of its columns of decimal numbers."""
    return pyarrow.Table.from_pandas(rows, preserve_index=False), list(rows.select_dtypes("float").columns)


def _key(study: Study) -> tuple[object, ...]:
    return *identity(study), study.revision


def _points(study: Study, trained: list[TrialRecord], shown: Shown) -> pandas.DataFrame:
    key = (*_key(study), "points", shown.x, shown.y, shown.colour, shown.progress)
    return cached(key, lambda: frontier_points(trained, shown.x, shown.y, study.objectives, shown.colour))


def _certainty(study: Study, records: list[TrialRecord], shown: Shown) -> FrontierCertainty | None:
    """Return how certain the frontier is; None if that is unknown, or if the trainings are not shown to their end."""
    if shown.progress is not None or shown.x in SPENT:
        return None
    return cached((*_key(study), "certainty", shown.x, shown.y), lambda: certainty_of(study, records, shown.x, shown.y))


def _draw_summary(study: Study, records: list[TrialRecord]) -> None:
    _, name = study.plane
    counts, best = cached(
        (*_key(study), "summary"), lambda: (state_counts(records), best_trial(records, name, study.objectives))
    )
    with st.container(horizontal=True, gap="medium"):
        for state, count in counts.items():
            st.metric(state, f"{count:,}", width="content")
        if best is not None:
            value = best.quantities[name]
            unit, estimate = unit_of(name, [value]), _estimates(study, records, name).get(best.number)
            source = f", {estimate.source}" if estimate is not None and not estimate.is_own else ""
            title = quantity_named(name).tested if source else unit.title
            st.metric(
                f"best {safe_text(title, 'markdown')} (trial {best.number}{source})",
                estimate.interval if estimate is not None and source else unit.of(value),
                width="content",
            )


def _pick_plane(study: Study, records: list[TrialRecord]) -> tuple[Shown | None, list[TrialRecord]]:
    """Draw the controls above the figure.

    Returns:
        What to draw, or None if there is nothing, and the trials at the picked moment of their training.
    """
    ups, downs, choices, environments = cached(
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
    if isinstance(epochs, int):  # the explorer trained them, so their training curves are known
        downs = [*downs, *SPENT]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        x = st.selectbox("x axis", downs, format_func=quantity_title, key="cost", width=160)
        y = ups[0]
        if len(ups) > 1:
            y = st.selectbox("y axis", ups, format_func=quantity_title, key="against", width=180)
        start = choices.index("order") + 1 if "order" in choices else min(1, len(choices))
        picked = st.selectbox(
            "Colour by", [NO_COLOUR, *choices], index=start, format_func=safe_text, key="colour", width=140
        )
        progress: Progress = None
        if isinstance(epochs, int) and epochs > 1:
            options = progress_options(epochs)
            progress = st.selectbox("Trained to", options, format_func=progress_label, key="stage", width=130)
        log_x = st.toggle("Log scale", key="log", value=True)
        confirmed = progress is None and bool(cache_of(study).confirmed())
        seeds = confirmed and st.toggle("Fresh seeds", key="seeds", value=True)
    if x in SPENT or progress is not None:
        with st.spinner("Reading the training curves"):
            trained = cached(
                (*_key(study), "progress", progress),
                lambda: trials_at(records, cache_of(study).curves(study), progress, int(epochs or 1)),
            )
    else:
        trained = records
    with st.expander("Budget and earlier frontier"):
        sources = {} if progress is not None else _estimates(study, trained, y)
        bound = pick_budget(study, trained, (x, y), downs, environments, _show_trial, sources)
        before = _pick_earlier(study, trained)
    colour = None if picked == NO_COLOUR else picked
    mixed = environments if LATENCY in (x, y) else ""
    shown = Shown(identity(study), study.revision, x, y, colour, log_x, before, bound, progress, seeds, mixed)
    return shown, trained


def _pick_earlier(study: Study, records: list[TrialRecord]) -> int:
    """Draw the controls of the earlier frontier; return after how many complete trials it is drawn, 0 for none."""
    if not st.toggle("Draw an earlier frontier", key="earlier"):
        return 0
    ended = _ended(records)
    if len(ended) < 2:
        return 0
    start = min(record.started or 0.0 for record in records)

    def label(count: int) -> str:
        minutes = ((ended[count - 1].finished or start) - start) / 60
        return f"{count:,} of {len(ended):,} trials, {minutes:,.1f} min"

    return draw_slider("Frontier after", range(1, len(ended) + 1), label, f"before_{study.name}", len(ended) // 2)


def _ended(records: list[TrialRecord]) -> list[TrialRecord]:
    """Return the complete trials in the order in which they ended."""
    return sorted((r for r in records if r.state == "complete"), key=lambda r: (r.finished or 0.0, r.number))


def _draw_plane(
    study: Study,
    records: list[TrialRecord],
    shown: Shown,
    points: pandas.DataFrame,
    certainty: FrontierCertainty | None,
    chosen: int,
) -> None:
    marked = _marked(shown, chosen)
    earlier = None
    if shown.before:
        then = frontier_points(_ended(records)[: shown.before], shown.x, shown.y, study.objectives)
        earlier = then[then.frontier]

    def figure() -> go.Figure:
        seeds = None
        if shown.seeds:
            confirmed = cache_of(study).confirmed()
            seeds = seed_points(confirmed, records, shown.x, shown.y, study.fingerprint.get("epochs"))
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
            probabilities=certainty.probabilities if certainty is not None and shown.seeds else {},
            seeds=seeds,
            note=f"latencies of {shown.mixed}" if shown.mixed else "",
        )

    st.plotly_chart(
        cached((*shown, marked), figure),
        key=CHART,
        on_select=_handle_selection,
        selection_mode=("points", "box"),
        config=PLOT_OPTIONS,
        width="stretch",
    )
    st.caption(
        f"{CAPTION} Click a point, or pick its trial. Drag a selection box (its tool is above the figure) to restrict"
        " the tables and figures of all pages to the networks in it." + (f" {SEEDS_CAPTION}" if shown.seeds else "")
    )
    if shown.progress is None and shown.x not in SPENT:
        front = [int(number) for number in points.trial[points.frontier]]
        st.caption(safe_text(certainty_text(certainty, front, shown.y), "markdown", length=400))


def _marked(shown: Shown, chosen: int) -> int:
    """Return the trial that the figure highlights itself.

    Plotly highlights a clicked point at once. A new figure would lose its zoom, so a click leaves the figure as it is;
    any other change updates it.
    """
    if st.session_state.get(SHOWN) != shown:
        st.session_state[SHOWN] = shown
        st.session_state[MARKED] = chosen
    return int(st.session_state[MARKED])


def _handle_pick() -> None:
    st.session_state[MARKED] = st.session_state[TRIAL]


def _show_trial(number: int) -> None:
    st.session_state[TRIAL] = st.session_state[MARKED] = number


def _handle_selection() -> None:
    selection = st.session_state[CHART]["selection"]
    found = [point["customdata"] for point in selection["points"] if point.get("customdata") is not None]
    numbers = [int(number[0] if isinstance(number, list) else number) for number in found]
    if selection.get("box"):
        select_trials(st.session_state[TRIAL_OF], numbers)
    elif numbers:
        st.session_state[TRIAL] = numbers[0]


def _pick_trial(study: Study, records: list[TrialRecord], on_frontier: list[int]) -> int:
    """Return the trial to show: the one clicked or picked; at first the most expensive one on the frontier."""
    states = {record.number: record.state for record in records}
    if st.session_state.get(TRIAL) not in states or st.session_state.get(TRIAL_OF) != identity(study):
        first = on_frontier[-1] if on_frontier else records[0].number
        viewed = last_viewed(study)
        st.session_state[TRIAL] = viewed if viewed in states else first
        st.session_state[TRIAL_OF] = identity(study)
    front = set(on_frontier)

    def named(number: int) -> str:
        return f"{number} — {'on the frontier' if number in front else safe_text(states.get(number, ''))}"

    if len(states) > LISTED:
        first, last = min(states), max(states)
        number = int(
            st.number_input(f"Trial, {first} to {last}", first, last, step=1, key=TRIAL, on_change=_handle_pick)
        )
    else:
        number = st.selectbox("Trial", list(states), format_func=named, key=TRIAL, on_change=_handle_pick)
    set_viewed(study, number)
    return number


def _nothing_to_draw(records: list[TrialRecord]) -> str:
    if any(record.state == "running" for record in records):
        return "No trial is complete yet. The first point appears here when its training ends."
    return "No trial of this study is complete, so there is nothing to draw. The table below shows how each one ended."


draw()
