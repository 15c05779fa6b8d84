"""Every block of code of every page runs, or says why it does not."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import explorer
from docs.generate import ROOT
from explorer.cli import cli
from explorer.measure.child import measure_in_child
from explorer.measure.predictor import calibration
from tests.command_line import run
from tests.documentation.blocks import Block, blocks_of, commands, pages
from tests.polling import PATIENCE

STUDY = "preact_variants-cluttered-digits"  # that of the README's main command
# Added to the commands that train or measure, so that a page takes seconds. A later option replaces an earlier one.
TRAINED = ("--epochs", "1", "--subset", "60", "--workers", "1")
SHORT = {
    "search": ("--trials", "2", *TRAINED),
    "compare": TRAINED,
    "effects": ("--pairs", "2"),
    "export": ("--formats", "yaml,python,safetensors"),
    "confirm": ("--seeds", "1", "--workers", "1"),
}
SHORTER = {  # added to any command with this option
    "--calibrate": ("-n", "20"),
    "--frontier": ("--formats", "yaml"),
    "--repeats": ("--repeats", "2"),
    "--batch": ("--batch", "2"),
    "-n": ("-n", "5"),
}
TIME_SCALE = 0.02  # of measurements of latencies
# What pages leave to the reader, and the value that it has here. A busy machine keeps the longer latency: with the
# page's own a search measured up to 200 networks and refused them.
PLACEHOLDERS = {
    "latency_ms<=2": "latency_ms<=200",
    "STUDY_A": STUDY,
    "STUDY_B": "second",
    "STUDY": STUDY,
    "DIR": ".",
    "FILE": "report",
    "THEIRS": STUDY,
}
REST_OF_A_SPACE = """
input: 3x32x32
classes: 10
stem: conv3x3(16) post
stages: {blocks: 2, width: [16, 32], stride: [1, 2]}
head: pre gap fc
"""
NEEDS = {"docs/everyday/trackers.md": ("tensorboard", "mlflow", "wandb")}  # packages of extras that tests do without
RUN_ELSEWHERE = {  # the pages whose blocks other tests run as they are
    "docs/tutorial/index.md": "test_tutorial.py",
    "docs/how_to/compare_blocks.md": "test_tutorial.py",
    "docs/everyday/extending.md": "tests/extensions",
    "docs/many_machines/slurm.md": "tests/study/launchers/test_slurm_page.py",
    "docs/reference/errors.md": "tests/space/mistakes",
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder with the study that the pages go on with, of a few short trainings, another study of its space, a space
    file and a folder of images."""
    folder = tmp_path_factory.mktemp("prepared")
    for name, seed, trials in ((STUDY, 0, 11), ("second", 1, 3)):
        space = explorer.load_space("preact_variants.yaml")
        settings = {"epochs": 1, "subset": 60, "workers": 1, "scores": ["naswot"], "seed": seed, "trials": trials}
        explorer.search(space, study=name, storage=f"sqlite:///{folder}/explorer.db", **settings)
    shutil.copy(ROOT / "search_spaces" / "preact_variants.yaml", folder / "my_space.yaml")
    for number in range(160):
        place = folder / "photos" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((64, 64, 3), number, np.uint8)).save(place)
    return folder


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch) -> Path:
    """The reader's working folder."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("EXPLORER_STORAGE", raising=False)
    return folder


@pytest.fixture
def hurried(monkeypatch) -> None:
    """Measurements of latencies take a fraction of their time: no test reads what they give."""
    quick = functools.partial(measure_in_child, time_scale=TIME_SCALE)
    for module in ("measure.child", "measure.latency", "study.latency.objective"):
        monkeypatch.setattr(f"explorer.{module}.measure_in_child", quick)
    monkeypatch.setattr(calibration, "TIME_SCALE", TIME_SCALE)


def named(text: str) -> str:
    """Return the text with values in place of what it leaves to the reader."""
    return re.sub(rf"\b({'|'.join(PLACEHOLDERS)})\b", lambda found: PLACEHOLDERS[found[0]], text)


@pytest.fixture
def shell(capsys, monkeypatch):
    """Run the commands of a block in this process, short as above."""

    def call(block: Block) -> None:
        for words in commands(named(block.text)):
            where = f"{block.page}:{block.line}: {' '.join(words)}"
            if words[0] == "export":
                monkeypatch.setenv(*words[1].split("=", 1))
                continue
            assert Path(words[0]).name == "explorer", where
            command, *rest = words[1:]
            output = None
            if ">" in rest:
                output, rest = rest[rest.index(">") + 1], rest[: rest.index(">")]
            if command == "dashboard":  # it serves until it is stopped; tests/dashboards start it
                cli.get_command(None, command).make_context(command, rest)
                continue
            short = SHORT.get(command, ())
            if (command == "effects" and "--pairs" not in rest) or (command == "compare" and STUDY in rest):
                short = ()  # it trains nothing
            if command == "export" and "--formats" in rest:
                short = ()
            for option, shorter in SHORTER.items():
                short += shorter if option in rest else ()
            status, out, err = run(capsys, command, *rest, *short)
            assert status == 0, f"{where}\n{out}\n{err}"
            if output:
                Path(output).write_text(out)

    return call


def python(block: Block, folder: Path, monkeypatch) -> None:
    """Run a Python block with the names that the page's text speaks of; searches are short."""
    text = named(block.text)
    if "__main__" in text:  # a script, whose workers import it
        script = folder / "script.py"
        script.write_text(re.sub(r"(trials|workers)=\d+", r"\1=2", text))
        done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return
    space, study = explorer.load_space("preact_variants.yaml"), explorer.open_study("explorer.db", STUDY)
    if "evaluate=evaluate" in text and "(study" in text:
        study = explorer.search(space, evaluate=evaluate, storage=None, trials=8, workers=1)
    monkeypatch.setattr(explorer, "search", functools.partial(short_search, explorer.search))
    text = re.sub(r"seeds=\d+", "seeds=1", re.sub(r"(train_pairs\(\w+), \d+", r"\1, 2", text))
    known = {
        "explorer": explorer,
        "space": space,
        "study": study,
        "evaluate": evaluate,
        "batches": range(2),
        "step": lambda batch: None,
    }
    exec(compile(text, f"{block.page}:{block.line}", "exec"), known)
    if text.startswith("def evaluate"):  # a block that only defines it has shown nothing
        known["evaluate"](space.architecture(0), choices={}, epochs=1, seed=0)


def evaluate(architecture: Any, *, choices: Any, epochs: int, seed: int) -> dict[str, float]:
    """Evaluate a network without a training."""
    return {"accuracy": 0.5 + (explorer.cost(architecture).macs % 97) / 250}


def short_search(search: Any, *args: Any, **options: Any) -> Any:
    """Search as a page says, but for its length."""
    trained = {} if "evaluate" in options else {"epochs": 1, "subset": 60}
    least = {"repeats": min(options["repeats"], 2)} if "repeats" in options else {}
    return search(*args, **{"storage": None, **options, **trained, **least, "trials": 3, "workers": 1})


def checked(page: str) -> list[Block]:
    return [block for block in blocks_of(page) if block.language in ("sh", "python", "yaml")]


RUN_HERE = [page for page in pages() if page not in RUN_ELSEWHERE and checked(page)]


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("page", RUN_HERE)
def test_the_blocks_of_a_page_run(folder, shell, monkeypatch, page):
    """Commands end with status 0, Python runs, space files load; each block starts where the one before it ended."""
    for package in NEEDS.get(page, ()):
        pytest.importorskip(package)
    for block in checked(page):
        if block.reason:
            continue
        if block.file:
            (folder / block.file).write_text(block.text)
        elif block.language == "sh":
            shell(block)
        elif block.language == "python":
            with monkeypatch.context() as patch:
                python(block, folder, patch)
        else:
            rest = "" if "stages:" in block.text else REST_OF_A_SPACE  # of the README's block
            explorer.parse_space(rest + block.text, f"{page}:{block.line}").sample(1)


def test_no_command_is_outside_a_block():
    """Commands are in blocks of code, so that each of them is run; an indented line would be left out."""
    for page in pages():
        text = "".join(part for part in re.split(r"```.*?```", (ROOT / page).read_text(), flags=re.DOTALL))
        assert not re.search(r"^ {4,}(explorer|import explorer|python) ", text, re.MULTILINE), page


def test_a_block_that_is_not_run_has_a_reason():
    """The reason says what it needs that a test has not; few blocks have one."""
    reasons = [block.reason for page in pages() for block in checked(page) if block.mark.startswith("not run")]
    assert all(len(reason) > 15 for reason in reasons), reasons
    assert len(reasons) < 18


def test_pages_that_other_tests_run_exist():
    """Each page whose blocks run elsewhere is a page with blocks, and its test exists."""
    for page, test in RUN_ELSEWHERE.items():
        assert checked(page) and ((ROOT / "tests" / "documentation" / test).exists() or (ROOT / test).exists())
