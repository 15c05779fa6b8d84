"""The address of the frontier page: what it shows apart from its defaults, so that a link shares a view."""

from __future__ import annotations

import math
from collections.abc import Mapping

import streamlit as st

from explorer.dashboard.data.trials import SPENT
from explorer.dashboard.panels.budget import budget_key
from explorer.dashboard.panels.picked_trial import MARKED, TRIAL, TRIAL_OF
from explorer.dashboard.panels.plane import NO_COLOUR, Plane
from explorer.dashboard.session import identity, read_place, table_of
from explorer.dashboard.text import safe_text
from explorer.store import Study

LAST_VIEW = "last_view"  # key of the session state: the view that the address had when the page was drawn last
NAMES = ("x", "y", "colour", "scale", "under", "trial")  # of the query parameters


def follow_address(study: Study) -> str:
    """Show what the address names if it changed since the page was drawn last.

    Returns:
        A sentence about what the study does not have, which is ignored; empty if there is nothing to say.
    """
    asked = {name: st.query_params[name] for name in NAMES if name in st.query_params}
    if not asked or asked == st.session_state.get(LAST_VIEW):
        return ""
    st.session_state[LAST_VIEW] = asked
    table = table_of(study)
    known = {*table.costs, *table.objectives, *SPENT}
    for name, key in (("x", "cost"), ("y", "against")):
        if asked.get(name) in known:
            st.session_state[key] = asked[name]
    if asked.get("colour") in (*table.levels, NO_COLOUR):
        st.session_state["colour"] = asked["colour"]
    if asked.get("scale") in ("log", "linear"):
        st.session_state["log"] = asked["scale"] == "log"
    bound = _number(asked.get("under", ""))
    if bound is not None:
        st.session_state[budget_key(study, st.session_state.get("cost", study.plane[0]))] = bound
    place, problem = read_place({"trial": [asked["trial"]] if "trial" in asked else []})
    for number in place.trials:
        if table.place(number) is None:
            problem = f"The address names trial {number:,}; this study has trials 0 to {int(table.number[-1]):,}."
        else:
            st.session_state[TRIAL] = st.session_state[MARKED] = number
            st.session_state[TRIAL_OF] = identity(study)
    allowed = {"x": known, "y": known, "colour": {*table.levels, NO_COLOUR}, "scale": {"log", "linear"}}
    wrong = [name for name, values in allowed.items() if name in asked and asked[name] not in values]
    wrong += ["under"] if "under" in asked and bound is None else []
    named = ", ".join(f"{name}={safe_text(asked[name], length=40)}" for name in wrong)
    unknown = f"The address has {named}, which this study does not have." if wrong else ""
    return " ".join(filter(None, (problem, unknown)))


def set_address(study: Study, plane: Plane | None, number: int) -> None:
    """Set the address to what the page shows; defaults are left out."""
    if plane is None:
        return
    x, y = study.plane
    view = {
        "x": plane.x if plane.x != x else "",
        "y": plane.y if plane.y != y else "",
        "colour": "" if st.session_state.get("colour") == _usual_colour(plane) else st.session_state.get("colour", ""),
        "scale": "" if plane.log_x else "linear",
        "under": "" if plane.bound is None else f"{plane.bound:.17g}",
        "trial": "" if plane.best in (None, number) else str(number),
    }
    shown = {name: text for name, text in view.items() if text}
    now = {name: st.query_params[name] for name in NAMES if name in st.query_params}
    if shown != now:
        _write({"study": study.name, **shown} if shown else {}, study)
    st.session_state[LAST_VIEW] = shown


def _write(query: Mapping[str, str], study: Study) -> None:
    named = "study" in st.query_params
    st.query_params.from_dict(query or ({"study": study.name} if named else {}))


def _usual_colour(plane: Plane) -> str:
    names = [name for name, texts in plane.trials.levels.items() if len(texts) > 1]
    return "order" if "order" in names else names[0] if names else NO_COLOUR


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
