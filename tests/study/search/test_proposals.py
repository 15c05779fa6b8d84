"""Which networks a search tries: each once, within the limits, and the same ones after a resume."""

from __future__ import annotations

import pytest

from explorer.analysis.limits import parse_limit
from explorer.space.search_space import parse_space
from explorer.study.candidates import Candidates
from explorer.study.proposer import MAX_REPEATS
from explorer.study.samplers.registry import OWN_SAMPLERS
from tests.study.evaluations import raises, score
from tests.study.search.in_memory import search, tried

SAMPLERS = ("random", "evolution", "frontier", "tpe", "nsga2", "gp")


@pytest.mark.parametrize("sampler", SAMPLERS[:-1])  # fitting Gaussian processes takes too long here
def test_no_network_is_evaluated_twice_and_the_whole_space_is_found(space, sampler):
    """A search without a limit evaluates every network once, even if its sampler repeats itself, and reports the
    exhausted space."""
    asked = []

    def evaluate(architecture, *, choices, epochs, seed):
        asked.append(architecture.digest)
        return {"accuracy": score(choices)}

    result = search(space, evaluate=evaluate, sampler=sampler, trials=1000)
    everything = {space.architecture(index).digest for index in range(space.count())}
    assert sorted(asked) == sorted(everything) and len(everything) == space.count() == 27
    assert result.ended == "no network of the space within its limits is left to try" and not result.failed
    counts = result.study.counts()
    assert counts["complete"] == 27 and counts["cached"] + 27 == sum(counts.values()) and counts["cached"] > 0


def test_a_cached_trial_names_its_duplicate(space):
    """A cache hit has the values and network of its duplicate and does not count towards the total."""
    study = search(space, sampler="random", trials=20).study
    records = study.trials()
    cached = [record for record in records if record.state == "cached"]
    assert cached and study.counts()["complete"] == 20
    for record in cached:
        twin = records[record.same_as]
        assert (record.digest, record.objectives) == (twin.digest, twin.objectives) and twin.number < record.number


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_interrupted_search_proposes_the_same_trials(space, url, sampler):
    """A search in parts, on a file or in memory, gives the trials, seeds, values and cache hits of one search."""
    totals = (3, 4, 12, 22) if sampler != "gp" else (3, 12)  # its first ten trials are random, the others take long
    for trials in totals:
        in_pieces = search(space, storage=url, sampler=sampler, trials=trials)
    at_once = search(space, sampler=sampler, trials=totals[-1])
    assert tried(in_pieces.study) == tried(at_once.study)
    assert [record.number for record in in_pieces.study.trials()] == list(range(len(tried(at_once.study))))


def test_another_seed_gives_other_proposals(space):
    """Two seeds start differently; the same seed starts alike."""
    first, second, again = (tried(search(space, sampler="random", trials=5, seed=seed).study) for seed in (1, 2, 1))
    assert first == again and first != second


def test_a_finished_study_is_not_searched_further(space, url):
    """The same total evaluates nothing more; a larger total continues the study."""
    search(space, storage=url, trials=5)
    again = search(space, storage=url, evaluate=raises, changed_code="continue", trials=5)
    assert again.ended == "the study has its 5 trials"
    assert search(space, storage=url, changed_code="continue", trials=6).study.counts()["complete"] == 6


def test_without_a_budget_each_search_adds_the_default_trials(space, url, monkeypatch):
    """Each search without a budget adds the default number of trials."""
    monkeypatch.setattr("explorer.study.search.DEFAULT_TRIALS", 4)
    assert search(space, storage=url).study.counts()["complete"] == 4
    assert search(space, storage=url).study.counts()["complete"] == 8


def test_limits_reject_before_evaluation(space):
    """A network that breaks a limit is rejected with the limit and its cost, and does not count as a trial."""
    bound = 400_000
    study = search(space, limits=[f"macs<={bound}"], trials=4, sampler="tpe").study
    records = study.trials()
    rejected = [record for record in records if record.state == "rejected"]
    assert rejected and study.counts()["complete"] == 4
    for record in records:
        assert (record.costs["macs"] <= bound) == (record.state != "rejected")
    assert rejected[0].reason.startswith("limit macs <= 400k, found ")


WIDTHS = [f"k{place}" for place in range(11)]  # each doubles a width, and all of them together break its bound

RARE = f"""
name: rare
input: 1x8x8
classes: 2
stem: conv3x3(4)
stages: {{blocks: depth, width: 4}}
block: conv1x1(32*n*{"*".join(WIDTHS)}) conv1x1(4) +
head: gap fc
grammar:
  depth: 1 | 2
""" + "".join(f"  {name}: {'2 | 1' if place % 2 else '1 | 2'}\n" for place, name in enumerate(WIDTHS))


class FixedSampler:
    """A sampler that always proposes the same network."""

    def __init__(self, pool, objectives, seed):
        self._space = pool.space

    def propose(self, trials, number):
        return self._space.named({"depth": "2", **dict.fromkeys(WIDTHS, "2")}), {}


def test_a_network_that_cannot_be_built_is_skipped(monkeypatch, caplog):
    """The search skips a network that cannot be built, whether it was proposed or drawn."""
    rare = parse_space(RARE, "rare.yaml")
    assert rare.validated == "sampled"
    monkeypatch.setitem(OWN_SAMPLERS, "random", FixedSampler)
    study = search(rare, sampler="random", trials=3, evaluate=lambda *args, **settings: {"accuracy": 0.5}).study
    assert study.counts()["complete"] == 3 == sum(study.counts().values())
    assert caplog.text.count("skipped a network that cannot be built: rare.yaml:7:8: with") == 3
    drawn = [candidate for candidate in Candidates(rare, {}, ()).untried(0, set()) if candidate is not None]
    assert len(drawn) == rare.count() - 1


def test_limits_that_no_network_keeps_end_the_search(space):
    """If no network keeps the limits, a few are rejected by name and the search ends without an evaluation."""
    result = search(space, limits=[parse_limit("params<10")], evaluate=raises, trials=5)
    assert result.ended == "no network of the space within its limits is left to try"
    assert result.study.counts()["rejected"] == MAX_REPEATS == sum(result.study.counts().values())
