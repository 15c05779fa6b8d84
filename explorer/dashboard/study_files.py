"""A study as a page in a file, and its front as a figure, for scripts and the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.analysis.estimates import with_estimates
from explorer.analysis.quantities import is_maximised
from explorer.errors import ExplorerError, did_you_mean
from explorer.store import Study
from explorer.system.files import begins_with, check_output, write_atomically
from explorer.system.installation import install_command
from explorer.system.lazy_module import LazyModule

if TYPE_CHECKING:
    from plotly import graph_objects as go
else:  # a report of a missing package names how to install it
    go = LazyModule("plotly.graph_objects")


def write_report(study: Study, output: str | os.PathLike[str]) -> Path:
    """Write a study as one static page with the dashboard's figures. It opens offline; an earlier page is replaced.

    Args:
        study: The study.
        output: The file, whose name ends in .html.

    Returns:
        The path of the file.

    Raises:
        ExplorerError: plotly is not installed, the file is not an earlier report, or it cannot be written.
    """
    try:
        from explorer.dashboard.report import HEAD, report_page
    except ModuleNotFoundError as error:
        fix = install_command("dashboard")
        raise ExplorerError(f"a report needs {error.name}; install with: {fix}") from None
    path = Path(output)
    check_output(path, (".html", ".htm"), lambda file: begins_with(file, HEAD))
    page = report_page(study, study.trials()).encode()
    try:
        write_atomically(path, page)
    except OSError as error:
        raise ExplorerError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path


def plot_frontier(
    study: Study,
    x: str | None = None,
    y: str | None = None,
    *,
    colour: str | None = None,
    log_x: bool = True,
    mix_environments: bool = False,
) -> go.Figure:
    """Draw all complete trials of a study and its front, by the best estimates of the objectives.

    Args:
        study: The study.
        x: The cost; that of the study's ``plane`` by default.
        y: The objective; that of the study's ``plane`` by default.
        colour: The choice whose levels colour the points; one colour by default.
        log_x: Whether the x axis is logarithmic.
        mix_environments: Whether to draw latencies that were measured in several environments.

    Returns:
        A plotly figure.

    Raises:
        ExplorerError: plotly is not installed, or the study has no such quantity or choice.
    """
    try:
        from explorer.dashboard.data.trials import frontier_points
        from explorer.dashboard.figures.frontier import frontier_figure
        from explorer.dashboard.quantities import unit_of
    except ModuleNotFoundError as error:
        fix = install_command("dashboard")
        raise ExplorerError(f"a figure needs {error.name}; install with: {fix}") from None
    x, y = study.axes(x, y)
    study.require_known((x, y))
    if not mix_environments:
        study.require_one_environment((x, y))
    records = with_estimates(
        study.trials(full=False), study.confirmations(), study.objectives, study.fingerprint.get("epochs")
    )
    if records and colour is not None and colour not in (names := {name for each in records for name in each.choices}):
        hint = f"it has {', '.join(sorted(names)) or 'none'}{did_you_mean(str(colour), names)}"
        raise ExplorerError(f"study {study.name!r} has no choice {colour!r}; {hint}")
    points = frontier_points(records, x, y, study.objectives, colour)
    maximised = is_maximised(x, study.objectives), is_maximised(y, study.objectives)
    units = unit_of(x, points.x), unit_of(y, points.y)
    return frontier_figure(points, *units, log_x=log_x, maximised=maximised, colour=colour)
