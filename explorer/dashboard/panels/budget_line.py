"""The line of the budget in the figure of the frontier, which the user drags.

Streamlit does not report that a line of a figure was moved. A component without a surface of its own listens for it in
the page and sends the new place. The line takes the mouse from the points that it covers; the listener lets it through
where it is on a point.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import streamlit as st

_LISTENER = """
export default function ({ data, setTriggerValue }) {
  const listen = () => {
    const plot = document.querySelector(`.st-key-${data.chart} .js-plotly-plot`);
    if (!plot || !plot.on) return false;
    plot.sendBudget = place => setTriggerValue("moved", place);
    if (!plot.hasBudgetListener) {
      plot.hasBudgetListener = true;
      plot.addEventListener("mousemove", event => {
        const line = plot.querySelector(".shapelayer [drag-helper]");
        if (!line || event.buttons) return;
        const onPoint = [...plot.querySelectorAll(".scatterlayer .point")].some(point => {
          const { x, y, width, height } = point.getBoundingClientRect();
          return Math.hypot(event.clientX - x - width / 2, event.clientY - y - height / 2) <= Math.max(width, 12) / 2;
        });
        const covers = line.contains(event.target);
        line.style.pointerEvents = onPoint ? "none" : "all";
        if (onPoint && covers) {
          document.elementFromPoint(event.clientX, event.clientY)?.dispatchEvent(new MouseEvent("mousemove", event));
        }
      });
      plot.on("plotly_relayout", change => {
        const place = change["shapes[0].x0"];
        if (typeof place === "number") plot.sendBudget(place);
      });
    }
    return true;
  };
  if (listen()) return;
  const waiting = setInterval(() => { if (listen()) clearInterval(waiting); }, 200);
  return () => clearInterval(waiting);
}
"""
_component = st.components.v2.component("explorer_budget_line", js=_LISTENER)


def follow_budget_line(chart: str, set_bound: Callable[[float], None]) -> None:
    """Call a function with the place of the line, in the units of the figure, when the user has dragged it.

    Args:
        chart: Key of the figure, whose first shape is the line.
        set_bound: Called before the page is drawn again.
    """
    key = f"{chart}_line"

    def handle() -> None:
        place = st.session_state[key].get("moved")
        if isinstance(place, (int, float)) and math.isfinite(place):
            set_bound(float(place))

    _component(key=key, data={"chart": chart}, on_moved_change=handle)
