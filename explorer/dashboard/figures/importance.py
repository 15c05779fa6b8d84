"""The figure of the importance of choices."""

from __future__ import annotations

from collections.abc import Sequence

from plotly import graph_objects as go

from explorer.analysis.effects.importance import Importance
from explorer.dashboard.figures.style import GREY, MARGIN, PALETTE
from explorer.dashboard.text import safe_text

IMPORTANCE_CAPTION = (
    "The share of the variance over the networks of the space that each choice explains, costs included: dark blue"
    " alone, light blue with its interactions. Lines are 95% intervals. Noise is left out."
)
MAX_CHOICES = 30


def importance_figure(found: Sequence[Importance]) -> go.Figure:
    """Draw the importance of each choice as a bar, the largest on top.

    Args:
        found: As ``EffectModel.importances`` returns them.
    """
    shown = found[:MAX_CHOICES]
    names = [safe_text(each.factor, "plotly", length=24) for each in shown]
    places = list(range(len(shown)))
    figure = go.Figure()
    for name, values, colour in (
        ("alone", [100 * each.alone for each in shown], PALETTE[0]),
        ("interactions", [100 * (each.share - each.alone) for each in shown], PALETTE[4]),
    ):
        figure.add_trace(
            go.Bar(
                x=values,
                y=places,
                orientation="h",
                name=name,
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"{name}: %{{x:.1f}}%<extra></extra>",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=[100 * each.share for each in shown],
            y=places,
            mode="markers",
            marker={"color": GREY, "size": 4},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [100 * (each.ci95[1] - each.share) for each in shown],
                "arrayminus": [100 * (each.share - each.ci95[0]) for each in shown],
                "thickness": 1.4,
                "width": 3,
                "color": GREY,
            },
            showlegend=False,
            hovertext=[
                safe_text(
                    f"{each.factor}: {100 * each.share:.1f}%, 95% interval"
                    f" [{100 * each.ci95[0]:.1f}, {100 * each.ci95[1]:.1f}]",
                    "plotly",
                )
                for each in shown
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    figure.update_xaxes(title="share of the variance", ticksuffix="%", rangemode="tozero", fixedrange=True)
    figure.update_yaxes(
        tickvals=places, ticktext=names, range=[len(shown) - 0.5, -0.5], showgrid=False, zeroline=False, fixedrange=True
    )
    figure.update_layout(
        barmode="stack",
        height=110 + 30 * max(len(shown), 2),
        margin=MARGIN,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    return figure
