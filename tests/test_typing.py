"""mypy checks the package, and users' scripts against the types of the public functions."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import explorer

ROOT = Path(__file__).parents[1]
FUNCTIONS = [name for name in explorer.__all__ if inspect.isfunction(getattr(explorer, name))]

RIGHT = """
from collections.abc import Mapping
from pathlib import Path

import explorer
from explorer.study.search import run_search, search
from explorer.study.settings import SearchSettings

space: explorer.SearchSpace = explorer.load_space("preact_variants.yaml")
architecture: explorer.Architecture = space.architecture(space[-1])
macs: int = explorer.cost(architecture).macs
settings: SearchSettings | None = None
study = explorer.search(
    space, settings, limits="macs<=5M", scores=["zen"], storage=Path("a.db"), data_dir=Path("images"), trials=3
)
ended: str = run_search(space, limits=["macs<=5M"], recipe={"lr": 0.1}).ended
trained = explorer.train(architecture, "digits", data_dir=Path("images"), epochs=3, seed=4)
accuracy: float = trained.result.val_accuracy
digests: list[str] = [each.digest for each in explorer.confirm(Path("a.db"), seeds=3, progress=print)]
name: str = search(space).name


def area(arch: explorer.Architecture, choices: dict[str, str]) -> float:
    return float(len(choices))


def depth(arch: explorer.Architecture, choices: Mapping[str, str]) -> int:
    return int(choices["depth"])


def evaluate(arch: explorer.Architecture, choices: dict[str, str], epochs: int | None, seed: int) -> dict[str, float]:
    return {"accuracy": 0.5}


events: list[object] = []
explorer.search(space, costs={"area": area}, evaluate=evaluate, progress=events.append)
explorer.search(space, costs={"area": area, "depth": depth}, progress=lambda event: events.index(event))
columns = explorer.atlas(space).columns
"""
WRONG = {
    "explorer.search(space, trails=3)": "Unexpected keyword argument",
    'explorer.search(space, objektives="x")': "Unexpected keyword argument",
    'explorer.search(space, trials="3")': "incompatible type",
    'explorer.train(architecture, "digits", epoch=3)': "Unexpected keyword argument",
    'explorer.confirm("a.db", seed=3)': "Unexpected keyword argument",
    "explorer.cost(space)": "incompatible type",
    "text: str = explorer.open_study()": "Incompatible types in assignment",
    "explorer.load_spaces": "has no attribute",
}


@pytest.fixture(scope="module")
def errors(pytestconfig, tmp_path_factory) -> tuple[list[str], list[str]]:
    """The errors that mypy --strict finds in the package, and those in a user's script, by one run: mypy takes half a
    minute to read torch and pandas."""
    script = tmp_path_factory.mktemp("user") / "script.py"
    script.write_text(RIGHT + "\n".join(WRONG) + "\n")
    # pytest's cache is kept between runs of the tests and not committed.
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(pytestconfig.cache.mkdir("mypy")), "--strict"]
    ran = subprocess.run([*command, "explorer", str(script)], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode in (0, 1) and not ran.stderr, ran.stdout + ran.stderr  # 2: mypy itself failed
    lines = [line for line in ran.stdout.splitlines() if ": error: " in line]
    own = [line for line in lines if line.startswith(str(script))]
    return [line for line in lines if line not in own], own


@pytest.mark.slow
def test_types_are_right(errors):
    """mypy in strict mode finds no error in the package."""
    assert errors[0] == []


@pytest.mark.slow  # only a run of mypy shows what a user's type checker sees
def test_a_users_script_is_type_checked(errors):
    """mypy --strict accepts a right script, and rejects each wrong call."""
    assert (ROOT / "explorer" / "py.typed").exists()  # else type checkers take no types from an installed package
    first = RIGHT.count("\n") + 1
    assert [line.split(":")[1] for line in errors[1]] == [str(first + place) for place in range(len(WRONG))], errors[1]
    for line, expected in zip(errors[1], WRONG.values()):
        assert expected in line


@pytest.mark.parametrize("name", FUNCTIONS)
def test_type_hints_of_public_functions_resolve(name):
    """``typing.get_type_hints`` works, and the docstring explains arguments and result."""
    function = getattr(explorer, name)
    assert "return" in typing.get_type_hints(function)
    assert "\nReturns:\n" in inspect.getdoc(function) and "\nArgs:\n    " in inspect.getdoc(function)


def test_the_signature_shows_what_a_setting_accepts():
    """``help(explorer.search)`` shows the types that a caller may give, also if settings hold another type."""
    shown = inspect.signature(explorer.search).parameters
    assert shown["limits"].annotation == "Iterable[Limit | str] | Limit | str | None"
    assert shown["scores"].annotation == "Iterable[str] | str"
    for function in (explorer.search, explorer.train):
        assert inspect.signature(function).parameters["data_dir"].annotation == "str | PathLike[str] | None"
