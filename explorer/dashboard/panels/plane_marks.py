"""What the figure of the frontier has above its points: a ring around the shown network, and the budget line.

Streamlit does not report that a line of a figure was moved, and a figure with another mark would lose its zoom. A
component without a surface of its own therefore draws the ring and listens to the line. With a mouse, the line is
dragged anywhere except where it covers a point. A finger drags its upper end, which is above all points, and reaches
the points everywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from explorer.dashboard.figures.style import HIGHLIGHT

_SCRIPT = """
const SVG = "http://www.w3.org/2000/svg";

function drawRing(plot) {
  const { xaxis, yaxis } = plot._fullLayout, plane = plot.querySelector(".scatterlayer")?.parentNode;
  let ring = plot.querySelector(".explorer-ring");
  if (!plane || !plot.shownPlace) return ring?.remove();
  if (ring?.parentNode !== plane) {
    ring?.remove();
    ring = document.createElementNS(SVG, "circle");
    const looks = { class: "explorer-ring", r: 10, fill: "none", stroke: plot.ringColour, "stroke-width": 3 };
    for (const [name, value] of Object.entries(looks)) ring.setAttribute(name, value);
    ring.style.pointerEvents = "none";
    plane.append(ring);
  }
  const [x, y] = plot.shownPlace;
  ring.setAttribute("cx", xaxis.c2p(xaxis.d2c(x)));
  ring.setAttribute("cy", yaxis.c2p(yaxis.d2c(y)));
}

function addHandle(plot) {  // of the budget line, for a finger
  const line = plot.querySelector(".shapelayer [drag-helper]"), path = line?.querySelector("path");
  if (!path || line.querySelector(".explorer-handle")) return;
  path.style.pointerEvents = "none";  // until a mouse moves
  for (const end of line.querySelectorAll("circle")) end.style.pointerEvents = "none";  // they would tilt the line
  const { x, y, width } = path.getBBox(), handle = document.createElementNS(SVG, "path");
  handle.setAttribute("class", "explorer-handle");
  handle.setAttribute("d", `M${x + width / 2 - 22},${y - 20}h44v36h-44Z`);
  Object.assign(handle.style, { fillOpacity: 0, pointerEvents: "all", cursor: "ew-resize", touchAction: "none" });
  line.append(handle);
}

function yieldToPoints(plot, event) {
  const path = plot.querySelector(".shapelayer [drag-helper] path");
  if (!path || event.buttons) return;
  const onPoint = [...plot.querySelectorAll(".scatterlayer .point")].some(point => {
    const { x, y, width, height } = point.getBoundingClientRect();
    return Math.hypot(event.clientX - x - width / 2, event.clientY - y - height / 2) <= Math.max(width, 12) / 2;
  });
  const covers = path.contains(event.target);
  path.style.pointerEvents = onPoint || plot.isTouched ? "none" : "all";
  if (onPoint && covers) {
    document.elementFromPoint(event.clientX, event.clientY)?.dispatchEvent(new MouseEvent("mousemove", event));
  }
}

function hoverFirst(event) {  // plotly selects the hovered point, and a finger does not hover before it taps
  const { clientX, clientY } = event.touches[0];
  document.elementFromPoint(clientX, clientY)?.dispatchEvent(
    new MouseEvent("mousemove", { clientX, clientY, bubbles: true, view: window }));
}

export default function ({ data, setTriggerValue }) {
  const listen = () => {
    const plot = document.querySelector(`.st-key-${data.chart} .js-plotly-plot`);
    if (!plot || !plot.on || !plot._fullLayout?.xaxis) return false;
    Object.assign(plot, { shownPlace: data.shown, ringColour: data.colour });
    plot.sendBudget = place => setTriggerValue("moved", place);
    const draw = () => { drawRing(plot); addHandle(plot); };
    draw();
    if (!plot.hasBudgetListener) {
      plot.hasBudgetListener = true;
      for (const kind of ["pointerdown", "pointermove"]) {
        plot.addEventListener(kind, event => { plot.isTouched = event.pointerType === "touch"; }, true);
      }
      plot.addEventListener("touchstart", hoverFirst, { capture: true, passive: true });
      plot.addEventListener("mousemove", event => yieldToPoints(plot, event));
      plot.on("plotly_afterplot", draw);
      plot.on("plotly_click", ({ points: [{ x, y }] }) => { plot.shownPlace = [x, y]; drawRing(plot); });
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


@cache
def _component() -> ComponentRenderer:
    """Register the component when it is first drawn: a module may be imported before the server runs."""
    return st.components.v2.component("explorer_plane_marks", js=_SCRIPT)


def draw_marks(chart: str, shown: tuple[float, float] | None, set_bound: Callable[[float], None]) -> None:
    """Draw the ring, and call a function with the place of the budget line when the user has dragged it.

    Args:
        chart: Key of the figure, whose first shape is the line.
        shown: Place of the shown network, in the units of the figure; None if it is not in the plane.
        set_bound: Called with a place on the x axis before the page is drawn again.
    """
    key = f"{chart}_line"

    def handle() -> None:
        place = st.session_state[key].get("moved")
        if isinstance(place, (int, float)) and math.isfinite(place):
            set_bound(float(place))

    _component()(key=key, data={"chart": chart, "shown": shown, "colour": HIGHLIGHT}, on_moved_change=handle)
