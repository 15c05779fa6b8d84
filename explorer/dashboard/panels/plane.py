"""The plane of an objective and a cost: its controls in one row, its figure, and what they are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas
import streamlit as st
from plotly import graph_objects as go

from explorer.analysis.estimates import Estimate
from explorer.analysis.frontier_certainty import FrontierCertainty, certainty_text
from explorer.analysis.quantities import LATENCY, is_maximised
from explorer.dashboard.data.columns import TrialTable, table_of_records
from explorer.dashboard.data.storage import certainty_of, latency_environments
from explorer.dashboard.data.summary import by_quality
from explorer.dashboard.data.trials import (
    SPENT,
    Progress,
    choice_points,
    frontier_points,
    progress_label,
    progress_options,
    quantities,
    seed_points,
    trials_at,
)
from explorer.dashboard.figures.frontier import CAPTION, DENSITY_CAPTION, SEEDS_CAPTION, frontier_figure
from explorer.dashboard.figures.style import template
from explorer.dashboard.panels.budget import budget_key, nearest_cost, pick_budget, pick_earlier
from explorer.dashboard.panels.charts import draw_selectable
from explorer.dashboard.panels.estimated import estimated, estimates_of
from explorer.dashboard.panels.export import draw_picture_options, picture_options
from explorer.dashboard.panels.network import quantity_title
from explorer.dashboard.panels.picked_trial import MARKED, handle_selection, show_trial
from explorer.dashboard.panels.plane_marks import draw_marks
from explorer.dashboard.panels.theme import is_dark
from explorer.dashboard.quantities import Unit, unit_of
from explorer.dashboard.session import (
    RESTORED,
    Identity,
    cache_of,
    cached,
    confirmed_of,
    identity,
    show_message,
    table_of,
    trials_of,
)
from explorer.dashboard.text import safe_text
from explorer.store import Study

CHART = "frontier_chart"
SHOWN = "shown"  # key of the session state: what the figure showed last
NO_COLOUR = "nothing"
USAGE = (
    "Click a point to see its network. Drag the dotted line, by touch at its upper end, to set a budget. A selection"
    " box restricts the lists of trials, What matters and Space to the networks in it."
)


@dataclass(frozen=True)
class Plane:
    """What the figure shows. Two equal planes of one revision have the same figure.

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
        refused: Whether latencies of several environments are not drawn.
        maximised: Whether more is better, for x and for y.
        points: As ``frontier_points`` returns it.
        certainty: How certain the frontier is; None if unknown.
        estimates: Trial number -> best estimate of y, of the frontier and of confirmed networks.
        trials: The trials at the picked moment of their training.
        units: Units of x and y.
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
    refused: bool
    maximised: tuple[bool, bool] = field(compare=False)
    points: pandas.DataFrame = field(compare=False, repr=False)
    certainty: FrontierCertainty | None = field(compare=False, repr=False)
    estimates: Mapping[int, Estimate] = field(compare=False, repr=False)
    trials: TrialTable = field(compare=False, repr=False)
    units: tuple[Unit, Unit] = field(compare=False, repr=False)

    @property
    def front(self) -> list[int]:
        """The numbers of the trials on the frontier, by ascending cost."""
        return [int(number) for number in self.points.trial[self.points.frontier]]

    @property
    def best(self) -> int | None:
        """The best trial within the budget; None if there is none."""
        order = by_quality(self.points, self.maximised, self.bound)
        return None if order.empty else int(order.trial.iloc[0])

    @property
    def key(self) -> tuple[object, ...]:
        """What the figure depends on."""
        return (self.study, self.revision, self.x, self.y, self.colour, self.log_x, self.before, self.bound,
                self.progress, self.seeds, self.mixed)  # fmt: skip


def pick_plane(study: Study) -> Plane | None:
    """Draw the controls in one row; return what they pick, None if there is nothing to draw. Raises StoreError."""
    table = estimated(study)
    ups, downs, choices = cached(
        (*_key(study), "quantities"),
        lambda: (*quantities(table, study.objectives, study.plane), choice_points(table)),
    )
    if not ups or not downs:
        return None
    epochs = study.fingerprint.get("epochs")
    if isinstance(epochs, int):  # the explorer trained them, so their training curves are known
        downs = [*downs, *SPENT]
    with st.container(horizontal=True, vertical_alignment="bottom", key="controls"):
        x = st.selectbox("x axis", downs, format_func=quantity_title, key="cost", width=150)
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
            progress = st.selectbox("Trained to", options, format_func=progress_label, key="stage", width=120)
        log_x = st.toggle("Log scale", key="log", value=True)
        confirmed = confirmed_of(study)
        seeds = progress is None and bool(confirmed) and st.toggle("Fresh seeds", key="seeds", value=True)
        trained = _trained(study, table, x, progress, epochs)
        environments = _environments(study, table)
        with st.popover("Budget"):
            known = [int(number) for number in trained.number] if confirmed else []
            sources = estimates_of(study, y, known) if progress is None else {}
            bound = pick_budget(study, trained, (x, y), downs, environments, show_trial, sources)
        with st.popover("More"):
            before = pick_earlier(study, trained)
            draw_picture_options()
    mixed = environments if LATENCY in (x, y) else ""
    colour = None if picked == NO_COLOUR else picked
    maximised = is_maximised(x, study.objectives), is_maximised(y, study.objectives)
    key = (*_key(study), "points", x, y, colour, progress)
    points = cached(key, lambda: frontier_points(trained, x, y, study.objectives, colour))
    units = cached((*key, "units"), lambda: (unit_of(x, points.x), unit_of(y, points.y)))
    whole = progress is None and x not in SPENT
    certainty = cached((*_key(study), "certainty", x, y), lambda: _certainty(study, x, y)) if whole else None
    front = [int(number) for number in points.trial[points.frontier]]
    estimates = estimates_of(study, y, front) if progress is None else {}
    refused = bool(mixed) and not st.session_state.get("mix_environments")
    return Plane(
        identity(study), study.revision, x, y, colour, log_x, before, bound, progress, seeds, mixed, refused,
        maximised, points, certainty, estimates, trained, units,
    )  # fmt: skip


def draw_plane(study: Study, plane: Plane, chosen: int) -> None:
    """Draw the figure and what it says.

    Args:
        study: The study.
        plane: What to draw.
        chosen: The trial that has the ring.
    """
    if plane.mixed:
        show_message(f"Latencies were measured in {plane.mixed}; they compare machines, not networks.")
        st.toggle("Draw them in one plane anyway", key="mix_environments")
    # A click selects a point in the browser, a box several; another revision removes that selection.
    revision, dark = f"{_marked(plane, chosen)} {st.session_state.get(RESTORED, 0)}", is_dark()
    looks = {"selectionrevision": revision, "template": template(dark)}
    figure = cached((*plane.key, revision, dark), lambda: _figure(study, plane).update_layout(looks))
    count = len(plane.points)
    alt = (
        f"{quantity_title(plane.y)} over {quantity_title(plane.x)} of {count:,} networks; the frontier has trials"
        f" {', '.join(map(str, plane.front[:30]))}. The table below lists all networks."
    )
    draw_selectable(
        figure, CHART, safe_text(alt, length=400), lambda: handle_selection(CHART, plane), picture_options()
    )
    draw_marks(CHART, _place_of(plane, chosen), lambda place: _set_bound(study, plane, place))
    words = [CAPTION]
    words += [DENSITY_CAPTION] if plane.points.choices.isna().any() else []
    words += [SEEDS_CAPTION] if plane.seeds else []
    if plane.progress is None and plane.x not in SPENT:
        words.append(certainty_text(plane.certainty, plane.front, plane.y))
    words += [USAGE]
    st.caption(safe_text(" ".join(words), "markdown", length=900))


def _key(study: Study) -> tuple[object, ...]:
    return *identity(study), study.revision


def _trained(study: Study, table: TrialTable, x: str, progress: Progress, epochs: object) -> TrialTable:
    """Return the trials at a moment of their training."""
    if x not in SPENT and progress is None:
        return table
    with st.spinner("Reading the training curves"):
        last = epochs if isinstance(epochs, int) else 1
        return cached(
            (*_key(study), "progress", progress),
            lambda: table_of_records(trials_at(trials_of(study), cache_of(study).curves(study), progress, last)),
        )


def _environments(study: Study, table: TrialTable) -> str:
    """Describe the environments of the latencies if there are several."""
    if np.isnan(table.value(LATENCY)).all():
        return ""
    return cached((*_key(study), "environments"), lambda: latency_environments(trials_of(study)))


def _certainty(study: Study, x: str, y: str) -> FrontierCertainty | None:
    if not confirmed_of(study):
        return None
    table = table_of(study)
    return certainty_of(study, table.records(np.flatnonzero(table.complete), [x, y]), x, y)


def _figure(study: Study, plane: Plane) -> go.Figure:
    seeds = earlier = None
    if plane.seeds:
        done = plane.trials.number[plane.trials.complete].tolist()
        seeds = seed_points(plane.trials, estimates_of(study, plane.y, done), plane.x)
    if plane.before:
        ended = np.flatnonzero(plane.trials.complete)
        ended = ended[np.argsort(plane.trials.finished[ended], kind="stable")][: plane.before]
        then = frontier_points(plane.trials.select(np.sort(ended)), plane.x, plane.y, study.objectives)
        earlier = then[then.frontier]
    return frontier_figure(
        plane.points,
        *plane.units,
        log_x=plane.log_x,
        maximised=plane.maximised,
        colour=plane.colour,
        earlier=earlier,
        bound=plane.points.x.max() if plane.bound is None else plane.bound,
        probabilities=plane.certainty.probabilities if plane.certainty is not None and plane.seeds else {},
        seeds=seeds,
        note=f"latencies of {plane.mixed}" if plane.mixed else "",
    )


def _place_of(plane: Plane, trial: int) -> tuple[float, float] | None:
    """Return the place of a trial in the units of the figure; None if it is not in the plane."""
    own = plane.points[plane.points.trial == trial]
    if own.empty:
        return None
    x, y = float(own.x.iloc[0]), float(own.y.iloc[0])
    return (x / plane.units[0].divisor, y / plane.units[1].divisor) if x > 0 or not plane.log_x else None


def _set_bound(study: Study, plane: Plane, place: float) -> None:
    """Set the budget to the cost of the network that is nearest to a place on the x axis, which is then within it."""
    bound = nearest_cost(plane.points.x, place * plane.units[0].divisor, plane.log_x)
    if bound is not None:
        st.session_state[budget_key(study, plane.x)] = bound


def _marked(plane: Plane, chosen: int) -> int:
    """Return the trial that was shown when the figure was drawn last.

    A new figure would lose its zoom, so a click leaves the figure as it is; any other change draws it again.
    """
    if st.session_state.get(SHOWN) != plane.key:
        st.session_state[SHOWN] = plane.key
        st.session_state[MARKED] = chosen
    return int(st.session_state.setdefault(MARKED, chosen))
