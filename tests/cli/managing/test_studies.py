"""``explorer studies`` changes studies, and tables leave the explorer as CSV, LaTeX and Markdown."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess

import pytest

import explorer
from explorer.cli.managing.studies import studies as group
from explorer.cli.managing.tables import latex_table, markdown_table
from explorer.store import open_study
from tests.command_line import run
from tests.study.evaluations import SPACE_TEXT, good

SPACE = explorer.parse_space(SPACE_TEXT, "tiny.yaml")


@pytest.fixture
def url(tmp_path, monkeypatch):
    """A storage with the studies "a" and "b", which differ only in their seed."""
    url = f"sqlite:///{tmp_path}/explorer.db"
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("ab"):
        explorer.search(SPACE, evaluate=good, trials=4, seed=seed, study=name, storage=url, workers=1, progress=False)
    return url


def test_each_command_changes_what_it_names(capsys, url, tmp_path):
    """rename, copy, merge, note, tag and delete work, also with --storage before the command and with --json."""
    other = f"sqlite:///{tmp_path}/other.db"
    assert run(capsys, "studies", "--storage", url, "rename", "a", "first study")[0] == 0
    status, out, _ = run(capsys, "studies", "copy", "first study", "--to", other, "--storage", url, "--json")
    assert status == 0 and json.loads(out)["trials"]["complete"] == 4
    status, out, _ = run(capsys, "studies", "merge", "first study", "b", "--from", url, "--storage", other)
    assert status == 0 and out.startswith("'b': added ")
    assert run(capsys, "studies", "note", "b", "lr 0.1, as in the paper", "--storage", url)[0] == 0
    assert run(capsys, "studies", "note", "b", "--storage", url)[1] == "lr 0.1, as in the paper\n"
    assert run(capsys, "studies", "tag", "b", "paper", "v2", "--storage", url)[1] == "paper, v2\n"
    assert run(capsys, "studies", "tag", "b", "v2", "--remove", "--storage", url)[1] == "paper\n"
    (listed,) = json.loads(run(capsys, "studies", "--tag", "paper", "--storage", url, "--json")[1])
    assert (listed["name"], listed["note"], listed["tags"]) == ("b", "lr 0.1, as in the paper", ["paper"])
    assert "lr 0.1, as in the paper" in run(capsys, "studies", "--storage", url)[1]
    status, _, err = run(capsys, "studies", "delete", "b", "first study", "--storage", url)
    assert status == 2 and "nothing is deleted without --yes; it deletes 'b': 4 trials" in err
    status, out, _ = run(capsys, "studies", "delete", "b", "first study", "--yes", "--storage", url)
    assert status == 0 and out.startswith("deleted 'b': 4 trials") and explorer.open_study(other, "first study")
    assert run(capsys, "studies", "--storage", url, "--json")[1] == "[]\n"


def test_trials_have_notes_and_tags(capsys, url):
    """note and tag take STUDY:TRIAL; a study whose name looks like one comes first; the list of trials has both."""
    assert run(capsys, "studies", "note", "a:2", "overfits", "--storage", url)[0] == 0
    assert run(capsys, "studies", "note", "a:2", "--storage", url)[1] == "overfits\n"
    assert run(capsys, "studies", "tag", "a:2", "check", "paper", "--storage", url)[1] == "check, paper\n"
    assert run(capsys, "studies", "tag", "a:2", "check", "--remove", "--storage", url)[1] == "paper\n"
    assert json.loads(run(capsys, "studies", "tag", "a:2", "--storage", url, "--json")[1]) == {
        "trial": "a:2", "note": "overfits", "tags": ["paper"],
    }  # fmt: skip
    listed = json.loads(run(capsys, "trials", "a", "--storage", url, "--json")[1])
    assert [(each.get("note"), each.get("tags")) for each in listed if "note" in each] == [("overfits", ["paper"])]
    assert run(capsys, "studies", "note", "a:99", "x", "--storage", url)[0] == 2
    assert run(capsys, "studies", "tag", "a:2", "one,two", "--storage", url)[0] == 2
    assert run(capsys, "studies", "rename", "b", "a:2", "--storage", url)[0] == 0
    assert run(capsys, "studies", "note", "a:2", "--storage", url)[1] == ""


def test_the_environment_does_not_outrank_a_typed_storage(capsys, url, tmp_path, monkeypatch):
    """``explorer studies --storage URL delete`` acts on URL although EXPLORER_STORAGE names another database."""
    other = tmp_path / "other.db"
    shutil.copy(tmp_path / "explorer.db", other)
    monkeypatch.setenv("EXPLORER_STORAGE", f"sqlite:///{other}")
    assert run(capsys, "studies", "--storage", url, "delete", "a", "--yes")[0] == 0
    assert [each["name"] for each in json.loads(run(capsys, "studies", "--json")[1])] == ["a", "b"]


def test_studies_that_differ_are_not_merged(capsys, url, tmp_path):
    """A merge names each difference and changes nothing."""
    space = explorer.parse_space(SPACE_TEXT.replace("depth: 1 | 2 | 3", "depth: 1 | 2"), "tiny.yaml")
    objectives = {"accuracy": "max", "params": "min"}
    explorer.search(space, evaluate=good, trials=2, objectives=objectives, study="c", storage=url, workers=1)
    status, _, err = run(capsys, "studies", "merge", "a", "b", "c", "--storage", url)
    assert status == 2 and err.count("\n") == 1
    assert "study 'c' cannot be merged into 'a'" in err and "objectives.params: none in 'a', \"min\"" in err
    assert open_study(url, "a").counts()["complete"] == 4
    assert "cannot be merged into itself" in run(capsys, "studies", "merge", "a", "a", "--storage", url)[2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("a",), "unknown command 'a'; the commands are rename, delete, copy, merge, note, tag"),
        (("renam", "a", "b"), "did you mean 'rename'?"),
        (("rename", "a"), "Missing argument 'NEW'"),
        (("rename", "a", "b"), "there is a study 'b' in"),
        (("rename", "aa", "c"), "did you mean 'a'?"),
        (("copy", "a"), "name the copy"),
        (("copy", "a", "b"), "there is a study 'b' in"),
        (("copy", "a", "--to", "mysql://x/y"), "mysql"),
        (("merge", "a", "b", "--from", "sqlite:///missing.db"), "there is no file"),
        (("delete", "zz", "--yes"), "there is no study 'zz'"),
        (("tag", "a", "x,y"), "no comma"),
    ],
)
def test_a_mistake_is_one_line(capsys, url, line, message):
    """A misspelled command or study, and a name that is taken, give status 2 and one line."""
    status, _, err = run(capsys, "studies", *line, "--storage", url)
    assert status == 2 and message in err and err.count("\n") == 1, err


def test_every_command_of_the_group_has_help(capsys):
    """Each command has a docstring, and ``--help`` lists it."""
    overview = run(capsys, "studies", "--help")[1]
    for name in group.commands:
        assert name in overview
        status, out, _ = run(capsys, "studies", name, "--help")
        assert status == 0 and "--storage" in out and "--json" in out


def test_tables_are_read_back(capsys, url):
    """CSV of trials and front has each number in full; LaTeX and Markdown have one row per network."""
    study = open_study(url, "a")
    rows = list(csv.DictReader(io.StringIO(run(capsys, "trials", "a", "--csv", "--storage", url)[1])))
    assert [float(row["accuracy"]) for row in rows] == [trial.objectives["accuracy"] for trial in study.trials()]
    front = study.frontier()
    rows = list(csv.DictReader(io.StringIO(run(capsys, "frontier", "a", "--csv", "--storage", url)[1])))
    assert [int(row["trial"]) for row in rows] == [trial.number for trial in front]
    assert [row["depth"] for row in rows] == [trial.choices["depth"] for trial in front]
    assert [float(row["accuracy"]) for row in rows] == [trial.objectives["accuracy"] for trial in front]
    latex = run(capsys, "frontier", "a", "--latex", "--storage", url)[1]
    assert latex.count(r" \\") == 1 + len(front) and r"\%" in latex and latex.startswith(r"\begin{tabular}")
    markdown = run(capsys, "frontier", "a", "--markdown", "--storage", url)[1]
    table = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert len(table) == 2 + len(front) and len({line.count("|") for line in table}) == 1
    status, _, err = run(capsys, "frontier", "a", "--csv", "--latex", "--storage", url)
    assert status == 2 and "--csv and --latex: choose one format" in err
    assert run(capsys, "frontier", "a", "--csv", "--under", "macs<=1", "--storage", url)[1] == "\n"


def test_signs_of_the_formats_are_escaped():
    """Text with signs of LaTeX or Markdown stays text."""
    columns = {"a_b": "left", "c": "right"}
    assert r"a\_b & c \\" in latex_table(columns, [])
    row = latex_table(columns, [[r"50% {x} \n a|b", None]]).splitlines()[4]
    assert row == r"50\% \{x\} \textbackslash{}n a\textbar{}b &  \\"
    assert markdown_table(columns, [["a|b", "x*y"]]).splitlines()[2] == r"| a\|b | x\*y |"


@pytest.mark.parametrize("cell", ["a & b", "{", "}}", "100%", "x\\\\", "$n_1^2$", "#1 ~ <|>", "two\nlines", ""])
def test_no_cell_breaks_a_latex_table(cell):
    """Any text leaves the braces balanced, the columns separated by as many &, and no sign that LaTeX reads."""
    lines = latex_table({"a": "left", "b": "right"}, [[cell, cell]]).splitlines()
    assert len(lines) == 7 and lines[4].endswith(r" \\")
    row = re.sub(r"\\text\w+\{\}|\\[&%$#_{}]", "", lines[4].removesuffix(r" \\"))
    assert row.count("&") == 1 and not set(row) & set("\\{}%$#_^~<>|")


def test_latex_compiles_the_front(capsys, url, tmp_path):
    """LaTeX accepts the table."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    table = run(capsys, "frontier", "a", "--latex", "--storage", url)[1]
    text = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + table + r"\end{document}"
    (tmp_path / "t.tex").write_text(text)
    done = subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, env=os.environ, capture_output=True)
    assert done.returncode == 0, done.stdout
