"""Reading a space and computing its costs need no torch, optuna, pandas or streamlit."""

from __future__ import annotations

import subprocess
import sys

import pytest

import explorer

HEAVY = ("torch", "numpy", "optuna", "pandas", "streamlit", "plotly", "sqlalchemy", "onnx")
READING = (
    "import explorer; space = explorer.load_space('preact_variants');"
    "explorer.cost(space.architecture(7)).macs; space.sample(3); space.digest"
)


@pytest.mark.parametrize(
    "program",
    [
        "import explorer",
        "import explorer.space.search_space, explorer.space.edits",
        "import explorer.costs.analytic, explorer.networks.ops, explorer.networks.architecture",
        "import explorer.analysis.limits, explorer.analysis.pareto",
        READING,
    ],
)
def test_reading_and_costing_import_no_heavy_package(program):
    """`import explorer`, loading a space and computing its costs import none of the heavy packages."""
    check = f"{program}\nimport sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    child = subprocess.run([sys.executable, "-W", "error", "-c", check], capture_output=True, text=True, check=True)
    assert child.stdout.split() == []


@pytest.mark.slow
def test_building_imports_torch():
    """Building a network imports torch, so the check above works."""
    check = f"{READING}; explorer.build(space.architecture(7)); import sys; print('torch' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "True"


def test_public_names_are_listed_and_unknown_ones_raise():
    """dir(explorer) lists the public names, and another name is an AttributeError."""
    assert {"load_space", "cost", "build", "Architecture", "SpaceError"} <= set(dir(explorer))
    assert explorer.SpaceError.__name__ == "SpaceError"
    with pytest.raises(AttributeError, match="no attribute 'load_spaces'"):
        explorer.load_spaces  # noqa: B018


def test_a_command_that_prints_json_imports_no_tables():
    """The options of the commands import rich only when a table or a text is printed."""
    check = "import explorer.cli.options, sys; print('rich.console' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "False"


def test_the_commands_that_export_import_no_database():
    """The modules of an export, and its note on untrained weights, import no sqlalchemy for a network of a space."""
    check = (
        "import explorer.export.package, sys; from explorer.cli import sharing\n"
        "found = sharing.find_architecture('preact_variants.yaml#0', 'sqlite:///absent.db')\n"
        "sharing._note_untrained(found, sharing.Request(frozenset(), (), None, None, False), 'sqlite:///absent.db')\n"
        "print('sqlalchemy' in sys.modules)"
    )
    child = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "False"
