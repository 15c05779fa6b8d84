"""The figure of training curves of a reproduction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas
from plotly import graph_objects as go

from explorer.dashboard.figures.style import MARGIN, PALETTE
from explorer.dashboard.text import safe_text
from explorer.records import ConfirmationRecord


def training_curves_table(records: Mapping[str, Sequence[ConfirmationRecord]]) -> pandas.DataFrame:
    """Return one row per case and epoch.

    Args:
        records: The complete trainings of each case.

    Returns:
        The columns case, epoch, train_loss (mean over the seeds), error and least and greatest error of the seeds
        (validation split, in percent).
    """
    rows = [
        {"case": case, "epoch": epoch.epoch, "train_loss": epoch.train_loss, "error": 100 * (1 - epoch.val_accuracy)}
        for case, trainings in records.items()
        for training in trainings
        if training.result is not None
        for epoch in training.result.curve
    ]
    columns = ["case", "epoch", "train_loss", "error", "least", "greatest"]
    if not rows:
        return pandas.DataFrame(columns=columns)
    grouped = pandas.DataFrame(rows).groupby(["case", "epoch"], sort=False)
    table = grouped.agg(
        train_loss=("train_loss", "mean"), error=("error", "mean"), least=("error", "min"), greatest=("error", "max")
    )
    return table.reset_index()[columns]


def training_curves_figure(table: pandas.DataFrame, title: str) -> go.Figure:
    """Draw the validation error (full line, bars from the least to the greatest seed) and the training loss (dashed).

    Args:
        table: As ``training_curves_table`` returns it.
        title: The title.
    """
    figure = go.Figure()
    for index, (case, rows) in enumerate(table.groupby("case", sort=False)):
        colour, name = PALETTE[index % len(PALETTE)], safe_text(str(case), "plotly")
        spread = {"array": rows.greatest - rows.error, "arrayminus": rows.error - rows.least}
        figure.add_trace(
            go.Scatter(
                x=rows.epoch, y=rows.error, name=name, line={"color": colour}, error_y={"symmetric": False, **spread}
            )
        )
        figure.add_trace(
            go.Scatter(
                x=rows.epoch,
                y=rows.train_loss,
                name=f"{name}, training loss",
                yaxis="y2",
                line={"color": colour, "dash": "dash"},
            )
        )
    figure.update_layout(
        title=safe_text(title, "plotly"),
        xaxis_title="epoch",
        yaxis_title="validation error in %",
        yaxis2={"title": "training loss", "overlaying": "y", "side": "right", "showgrid": False},
        legend={"orientation": "h", "y": -0.15},
        margin={**MARGIN, "t": 60},
    )
    return figure
