"""Four concurrent searches share the trials of one study."""

from __future__ import annotations

import multiprocessing

import pytest

from explorer.space.search_space import parse_space
from explorer.store.studies import open_study
from explorer.study.search import run_search
from tests.polling import PATIENCE
from tests.study.faults import SCALE, acknowledged, acknowledging, invariant

CONTEXT = multiprocessing.get_context("forkserver")


def search_widths(url: str, path: str, stages: str, trials: int, *endings: str) -> None:
    """Run one of several searches in one study: four widths, one letter each, per stage."""
    text = f"""
name: widths
input: 1x4x4
classes: 2
stem: conv3x3(4)
stages: {{blocks: 1, width: [{", ".join(stages)}]}}
block: conv3x3 +
shortcut: {{changed: conv1x1}}
head: gap fc
grammar: {{{", ".join(f"{name}: 2 | 4 | 6 | 8" for name in stages)}}}
"""

    def evaluate(architecture, *, choices, epochs, seed):
        return {"accuracy": seed / 2**31}

    settings = {"storage": url, "study": "one", "sampler": "random", "progress": acknowledging(path)}
    result = run_search(parse_space(text, "widths.yaml"), evaluate=evaluate, trials=trials, **settings)
    assert result.ended in endings and not result.failed


def four_searches(*args) -> None:
    """Run ``search_widths`` in four processes, which must all exit with status 0."""
    CONTEXT.set_forkserver_preload([__name__])
    processes = [CONTEXT.Process(target=search_widths, args=args) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0] * 4


@pytest.mark.slow
def test_four_searches_share_the_trials(url, tmp_path):
    """Four concurrent searches complete exactly the trials of a study, without an error or a lost acknowledged
    result."""
    wanted = min(250 * SCALE, 4_000)  # of 4,096 networks
    endings = f"the study has its {wanted} trials", "the study's last trials are running"
    four_searches(url, str(tmp_path / "acknowledged"), "abcefg", wanted, *endings)
    invariant(url, tmp_path)
    counts = open_study(url, "one").counts()
    assert counts["complete"] == len(acknowledged(tmp_path)) == wanted == sum(counts.values()) - counts["cached"]


@pytest.mark.slow  # four processes; test_interruption.py has a test with two
def test_four_searches_exhaust_a_space(url, tmp_path):
    """Four concurrent searches find all 64 networks, evaluate each once, and all end."""
    ended = "no network of the space within its limits is left to try"
    four_searches(url, str(tmp_path / "acknowledged"), "abc", 1_000, ended)
    invariant(url, tmp_path)
    assert open_study(url, "one").counts()["complete"] == len(acknowledged(tmp_path)) == 64
