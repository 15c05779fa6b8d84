"""The example of docs/everyday/extending.md runs: as a file, in other processes, as a package, and exported."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.dashboard.launch import STORAGE_VARIABLE
from tests.command_line import run_forked as run
from tests.extensions.page import shown

SEARCH = (
    *("search", "--space", "parts.yaml", "--data", "stripes", "--recipe", "slow", "--sampler", "near"),
    *("--stopping", "worst", "--objectives", "accuracy,joules", "--limit", "joules<=1", "--epochs", "2"),
    *("--trials", "4", "--workers", "1", "--cover", "0", "--json"),
)


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of an invalid input."""
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    return done.stderr


def space_error_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the errors of a space file, each with its line."""
    assert done.returncode == 2 and "Traceback" not in done.stderr and "^" in done.stderr, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder, with a blank in its name, that has the files of the page and a study that used them."""
    folder = tmp_path_factory.mktemp("own parts")
    (folder / "my parts.py").write_text(shown("parts.py"))
    (folder / "parts.yaml").write_text(shown("parts.yaml"))
    done = run(folder, *SEARCH, "--import", "my parts.py")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["study"] == "parts-stripes" and result["trials"]["complete"] + result["trials"]["stopped"] == 4
    return folder


def test_a_search_uses_every_kind_of_a_file(folder):
    """Op, data set, sampler, stopping rule, recipe and cost of the page are those of the study, and are recorded."""
    code = """
import explorer
study = explorer.open_study("explorer.db")
print(*sorted(study.fingerprint["extensions"]), sep=", ")
print(set(study.fingerprint["extensions"].values()))
print(study.fingerprint["recipe"]["name"], study.objectives, study.limits)
assert all(0 < trial.costs["joules"] < 1e-3 for trial in study.trials(full=False))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    first, second, third = done.stdout.splitlines()
    assert first == "cost joules, data stripes, op chanscale, recipe slow, sampler near, stopping worst", done.stderr
    assert second.startswith("{'my parts.py (code ")
    assert third == "slow {'accuracy': 'max', 'joules': 'min'} ('joules <= 1',)"


def test_an_op_of_a_file_is_exported_as_code(folder):
    """The exported folder runs without the explorer and without the file; its code has the class of the op."""
    done = run(folder, "trials", "--json")
    number = next(
        trial["number"]
        for trial in json.loads(done.stdout)
        if "chanscale" in str(trial["choices"]) and trial["state"] == "complete"
    )
    done = run(
        folder,
        *("export", f"parts-stripes:{number}", "-o", "network", "--formats", "yaml,python,safetensors"),
        *("--import", "./my parts.py"),
    )
    assert done.returncode == 0, done.stderr
    code = (folder / "network" / "model.py").read_text()
    assert "class ChannelScale(nn.Module):" in code and "explorer" not in code.split('"""', 2)[2]
    program = "import sys, torch; sys.path.insert(0, 'network'); import model; print(model.__name__)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert ran.stdout == "model\n", ran.stderr
    assert run(folder, "describe", "network", EXPLORER_IMPORT="my parts.py").returncode == 0
    done = run(folder, "describe", "network")
    assert "chanscale" in error_of(done)


def test_the_suggested_commands_run_as_printed(folder):
    """What a search suggests next repeats the file and the storage that it was given, and runs as it is."""
    storage = ("--storage", "sqlite:///second storage.db")
    line = [word for word in SEARCH if word != "--json"]
    done = run(folder, *line, *storage, "--import", "my parts.py")
    assert done.returncode == 0, done.stderr
    suggested = done.stdout.partition("Next commands:\n")[2].strip().splitlines()
    assert len(suggested) == 3 and all("--import 'my parts.py'" in each for each in suggested)
    for each in suggested[1:]:
        command = each + (" --formats yaml" if " export " in each else "")  # else it takes long
        words = shlex.split(command)
        ran = run(folder, *words[words.index("explorer") + 1 :])  # it begins as this process was started
        assert ran.returncode == 0, ran.stderr


PAGES = """
import sys
from streamlit.testing.v1 import AppTest
from explorer.dashboard.launch import pages_folder
for page in ("frontier", "architecture", "effects", "space", "runs"):
    at = AppTest.from_file(pages_folder() / "views" / f"{page}.py", default_timeout=300)
    at.session_state["study"] = "parts-stripes"
    at.run()
    print(page, [error.value for error in at.exception], [text.value for text in at.text])
"""


def test_the_dashboard_draws_a_study_with_the_file(folder):
    """Each page of a study whose networks have an op of a file is drawn, and names the op."""
    pytest.importorskip("streamlit")
    variables = {"EXPLORER_IMPORT": "my parts.py", STORAGE_VARIABLE: f"sqlite:///{folder}/explorer.db"}
    done = subprocess.run(
        [sys.executable, "-c", PAGES], cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 5, done.stderr
    assert all(line.split(" ", 1)[1].startswith("[] ") for line in lines), done.stdout


def test_a_missing_file_is_named(folder):
    """Without the file, a worker and an export name the op, the file and the option."""
    for line in (
        ("worker", "--study", "parts-stripes"),
        ("export", "parts-stripes:0", "-o", "other"),
        ("confirm", "parts-stripes"),
    ):
        message = error_of(run(folder, *line))
        assert "my parts.py" in message and "add --import my parts.py, or name the file in EXPLORER_IMPORT" in message


def test_a_worker_with_the_file_joins(folder):
    """``explorer worker`` takes the file from EXPLORER_IMPORT, by a relative path, and from --import."""
    done = run(
        folder, "worker", "--trials", "5", "--workers", "1", "--json", EXPLORER_IMPORT=f"my parts.py{os.pathsep}"
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["trials"]
    assert counts["complete"] + counts["stopped"] == 5


def test_pairs_use_the_cost_of_the_file(folder):
    """``effects --pairs`` computes the study's registered cost, without a function of the caller's."""
    done = run(
        folder, "effects", "parts-stripes", "--pairs", "1", "--workers", "1", "--json", "--import", "my parts.py"
    )
    assert done.returncode == 0, done.stderr
    (training,) = json.loads(done.stdout)["trainings"]
    assert training["state"] == "complete"
    trials = {each["number"]: each for each in json.loads(run(folder, "trials", "--json").stdout)}
    assert 0 < trials[training["trial"]]["costs"]["joules"] < 1e-3


def test_reading_needs_no_file(folder):
    """Lists and fronts of a study need none of its extensions."""
    for command in ("studies", "trials", "frontier"):
        assert run(folder, command).returncode == 0


def test_a_changed_file_is_named(folder, tmp_path):
    """A comment is no change; a change of an op is one line with what to do."""
    text = shown("parts.py")
    (tmp_path / "my parts.py").write_text("# a comment\n" + text)
    resumed = (*SEARCH, "--trials", "5", "--import", str(tmp_path / "my parts.py"))
    assert run(folder, *resumed).returncode == 0
    (tmp_path / "my parts.py").write_text(text.replace("params=x.channels", "params=2 * x.channels"))
    message = error_of(run(folder, *resumed))
    assert "study 'parts-stripes' was created with the" in message and "restore the earlier my parts.py" in message
    changed = ("--import", str(tmp_path / "my parts.py"))
    trials = json.loads(run(folder, "trials", "--json").stdout)
    owned = [each["number"] for each in trials if "chanscale" in str(each["choices"]) and each["state"] == "complete"]
    other = [each["number"] for each in trials if "chanscale" not in str(each["choices"])]
    for line in (
        ("export", f"parts-stripes:{owned[0]}", "-o", "changed", "--formats", "python,safetensors"),
        ("gradients", f"parts-stripes:{owned[0]}"),
        ("latency", f"parts-stripes:{owned[0]}"),
        ("cost", f"parts-stripes:{owned[0]}"),
        ("effects", "--pairs", "1", "--dry-run"),
    ):
        message = error_of(run(folder, *line, *changed))
        assert "created with the op 'chanscale'" in message and "restore the earlier my parts.py" in message, line
    assert not (folder / "changed").exists()
    exported = ("--import", "my parts.py")
    done = run(folder, "export", f"parts-stripes:{owned[0]}", "-o", "kept", "--formats", "yaml", *exported)
    assert done.returncode == 0, done.stderr
    for line in (("gradients", "kept"), ("cost", "kept/architecture.json"), ("export", "kept", "-o", "changed")):
        message = error_of(run(folder, *line, *changed))
        assert "exported with the op 'chanscale' of my parts.py" in message and "restore the earlier" in message, line
    described = run(folder, "describe", "kept", *changed)
    assert described.returncode == 0 and "exported with the op 'chanscale' of my parts.py" in described.stderr
    assert run(folder, "describe", "kept", *exported).stderr == ""
    for number in other[:1]:  # a network without the op is the same
        assert run(folder, "gradients", f"parts-stripes:{number}", *changed).returncode == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = undefined", "bad.py:1: the file cannot be imported: NameError: name 'undefined' is not defined"),
        ("x = (", "bad.py:1: the file cannot be imported: SyntaxError"),
        ("import sys\nsys.exit(3)", "bad.py:2: the file cannot be imported: SystemExit: 3"),
        ("import neighbour_of_mine", "add the folder of a module of your own to PYTHONPATH"),
        ("import explorer\nexplorer.register('smapler', 'x', 1)", "did you mean 'sampler'?"),
        ("import explorer\nexplorer.register('sampler', 'frontier', 1)", "is the explorer's own"),
        ("import explorer\nexplorer.register('op', 'conv', 1)", "is the explorer's own"),
        ("import explorer\nexplorer.register('op', 'x', 1)", "derived from explorer.Op, found 1"),
        ("import explorer\nexplorer.register('cost', '', len)", "needs a name"),
    ],
)
def test_an_error_in_a_file_is_one_line(folder, tmp_path, text, message):
    """An exception of the file, and a name that is unknown or taken, give one line with the place."""
    (tmp_path / "bad.py").write_text(text)
    line = ("search", "--space", "parts.yaml", "--import", str(tmp_path / "bad.py"), "--sampler", "random")
    assert message in error_of(run(folder, *line))


def test_a_file_that_does_not_exist_is_one_line(folder):
    """``--import`` and EXPLORER_IMPORT name a missing file."""
    assert "--import ops.py" in error_of(run(folder, "studies", "--import", "missing.py"))
    assert "EXPLORER_IMPORT: missing.py" in error_of(run(folder, "space", "parts.yaml", EXPLORER_IMPORT="missing.py"))


def test_two_files_with_one_name_are_named(folder, tmp_path):
    """Two files that register the same op are both named; the same file twice is one file."""
    (tmp_path / "copy.py").write_text(shown("parts.py"))
    both = ("space", "parts.yaml", "--import", "my parts.py", "--import")
    message = error_of(run(folder, *both, str(tmp_path / "copy.py")))
    assert "is registered by both my parts.py and copy.py" in message
    assert run(folder, *both, f"{folder}/my parts.py", EXPLORER_IMPORT="./my parts.py").returncode == 0


def install(folder: Path, name: str = "explorer_parts", version: str = "1.0", code: str = "") -> None:
    """Write the package of the page as pip installs it into a folder."""
    text = shown("parts.py") + code
    text = text.replace('explorer.register("recipe", value=explorer.', "SLOW = (explorer.")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("@explorer.register"))
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    points = shown("pyproject.toml").split("\n\n", 1)[1]
    points = points.replace('[project.entry-points."', "[").replace('"]', "]").replace('"', "")
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(points.replace("explorer_parts:", f"{name}:"))


def run_installed(folder: Path, *arguments: str, site: str) -> subprocess.CompletedProcess[str]:
    """Run ``explorer ARGUMENTS`` in an interpreter that finds the packages of ``site``."""
    command = [sys.executable, "-m", "explorer", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": site}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)


def test_a_package_adds_parts_as_entry_points(folder, tmp_path):
    """The same parts as entry points of an installed package need no option; the package is recorded."""
    (tmp_path / "parts.yaml").write_text(shown("parts.yaml"))
    install(tmp_path / "site")
    done = run_installed(tmp_path, *SEARCH, site=f"{tmp_path}/site")
    assert done.returncode == 0, done.stderr
    message = error_of(run(tmp_path, "worker"))
    assert "package explorer-parts 1.0" in message and "install the package explorer-parts==1.0" in message
    install(tmp_path / "second", "more_parts")
    message = space_error_of(run_installed(tmp_path, *SEARCH, site=f"{tmp_path}/site:{tmp_path}/second"))
    assert "is in both package" in message and "uninstall one of them" in message
    install(tmp_path / "broken", code="\nraise OSError('no device')\n")
    message = space_error_of(run_installed(tmp_path, "space", "parts.yaml", site=f"{tmp_path}/broken"))
    assert "cannot be loaded: OSError: no device" in message
