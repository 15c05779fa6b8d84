"""Figures of one network: its costs by part, its training curve, its gradients at initialisation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from explorer.dashboard.data.architecture import KINDS, OTHER_KIND
from explorer.dashboard.figures.style import GREY, MARGIN, PALETTE, SYMBOLS
from explorer.dashboard.quantities import Unit
from explorer.records import Epoch, GradientFlow

PATTERNS = ("", "/", "\\", "x", ".", "-", "+")


def cost_figure(table: pandas.DataFrame, cost: str, unit: Unit) -> go.Figure:
    """Draw a cost as one bar per part of a network, stacked by kind of op.

    Args:
        table: As ``data.architecture.cost_by_part`` returns it.
        cost: The column to draw.
        unit: Unit of that cost.
    """
    figure = go.Figure()
    for index, kind in enumerate((*KINDS.values(), OTHER_KIND)):
        own = table[(table.kind == kind) & (table[cost] > 0)]
        if own.empty:
            continue
        figure.add_trace(
            go.Bar(
                x=own.part,
                y=own[cost] / unit.divisor,
                name=kind,
                marker={
                    "color": PALETTE[index] if index < len(PALETTE) else GREY,
                    "pattern": {"shape": PATTERNS[index % len(PATTERNS)], "fillmode": "overlay", "solidity": 0.2},
                },
                hovertemplate=f"{kind} in %{{x}}: %{{y:.4g}} {unit.name}<extra></extra>",
            )
        )
    figure.update_xaxes(categoryorder="array", categoryarray=list(dict.fromkeys(table.part)))
    figure.update_yaxes(title=unit.label)
    figure.update_layout(
        barmode="stack",
        height=320,
        margin=MARGIN,
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    return figure


def training_figure(curve: Sequence[Epoch]) -> go.Figure:
    """Draw training and validation loss over epochs, and validation accuracy below them."""
    epochs = [epoch.epoch for epoch in curve]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for row, name, colour, values in (
        (1, "training loss", PALETTE[0], [epoch.train_loss for epoch in curve]),
        (1, "validation loss", PALETTE[1], [epoch.val_loss for epoch in curve]),
        (2, "validation accuracy", PALETTE[2], [100 * epoch.val_accuracy for epoch in curve]),
    ):
        dash = "dash" if name == "training loss" else "solid"
        line = {"color": colour, "width": 2, "dash": dash}
        figure.add_trace(
            go.Scatter(x=epochs, y=values, name=name, mode="lines+markers", line=line, marker={"size": 5}), row, 1
        )
    figure.update_yaxes(title="loss", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title="accuracy (%)", row=2, col=1)
    figure.update_xaxes(title="epoch", row=2, col=1)
    figure.update_xaxes(**_epoch_ticks(len(epochs)))
    figure.update_layout(
        height=400,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        hovermode="x unified",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    return figure


def compared_curves_figure(curves: Mapping[str, Sequence[Epoch]]) -> go.Figure:
    """Draw the training curves of several networks over each other: validation accuracy, and below it both losses.

    Args:
        curves: Name of a network -> its training curve.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for index, (name, curve) in enumerate(curves.items()):
        colour, symbol = PALETTE[index % len(PALETTE)], SYMBOLS[index % len(SYMBOLS)]
        epochs = [epoch.epoch for epoch in curve]
        for row, quantity, dash, values in (
            (1, "validation accuracy (%)", "solid", [100 * epoch.val_accuracy for epoch in curve]),
            (2, "validation loss", "solid", [epoch.val_loss for epoch in curve]),
            (2, "training loss", "dot", [epoch.train_loss for epoch in curve]),
        ):
            figure.add_trace(
                go.Scatter(
                    x=epochs,
                    y=values,
                    name=name,
                    legendgroup=name,
                    showlegend=row == 1,
                    mode="lines+markers",
                    line={"color": colour, "width": 2, "dash": dash},
                    marker={"size": 6, "symbol": symbol},
                    hovertemplate=f"{name}, {quantity}: %{{y:.3g}}<extra></extra>",
                ),
                row,
                1,
            )
    figure.update_yaxes(title="accuracy (%)", row=1, col=1)
    figure.update_yaxes(title="loss (dotted: training)", row=2, col=1)
    figure.update_xaxes(title="epoch", row=2, col=1)
    figure.update_xaxes(**_epoch_ticks(max(map(len, curves.values()), default=1)))
    figure.update_layout(
        height=440,
        margin=MARGIN,
        hovermode="x unified",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    return figure


def _epoch_ticks(epochs: int) -> dict[str, int]:
    """Return the settings of an axis of epochs: ticks at whole epochs, at most eleven."""
    return {"tick0": 1, "dtick": max(1, math.ceil(epochs / 10))}


def gradient_figure(flow: GradientFlow) -> go.Figure:
    """Draw gradient norms over the blocks of a network at initialisation.

    Below them are the shortcut's share of each block's signal and the share of dead units.
    """
    names = [f"{block.stage}.{block.block}" for block in flow.blocks]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1)
    for row, name, style, values in (
        (1, "gradient norm", 0, [block.grad_norm for block in flow.blocks]),
        (2, "share of the shortcut", 2, [_percent(block.shortcut_share) for block in flow.blocks]),
        (2, "dead units", 1, [_percent(block.dead_share) for block in flow.blocks]),
    ):
        marker = {"color": PALETTE[style], "symbol": SYMBOLS[style], "size": 7}
        figure.add_trace(
            go.Scatter(x=names, y=values, name=name, mode="lines+markers", marker=marker, line={"width": 1.5}), row, 1
        )
    positive = all(block.grad_norm is None or block.grad_norm > 0 for block in flow.blocks)
    figure.update_yaxes(title="norm", type="log" if positive else "linear", row=1, col=1)
    figure.update_yaxes(title="share (%)", range=[-4, 104], row=2, col=1)
    figure.update_xaxes(type="category")
    figure.update_xaxes(title="stage.block", row=2, col=1)
    figure.update_layout(
        height=360,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        hovermode="x unified",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    return figure


def _percent(share: float | None) -> float | None:
    """Return a share in percent; None, which plotly leaves out, for a share that was not finite."""
    return None if share is None else 100 * share
