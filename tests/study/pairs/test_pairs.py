"""Counterparts of trained networks, which narrow the intervals of effects."""

from __future__ import annotations

import random
import statistics

import pytest

import explorer
from explorer.errors import StoreError, StudyError
from explorer.records import Epoch
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.studies import find_study, open_study
from explorer.store.writer import StudyWriter
from explorer.study.pairs.run import run_pairs
from explorer.study.samplers.registry import SAMPLERS
from explorer.study.stopping.learning_curves import LearningCurves
from explorer.study.stopping.rules import RULES

SPACE = """
name: small
input: 3x8x8
classes: 4
stem: conv3x3(base) bn relu
stages: {blocks: depth, width: [base]}
block: conv3x3 bn act attn +
head: gap fc
grammar:
  base: 4 | 6 | 8
  depth: 1 | 2 | 3
  act: relu | silu
  attn: none | se(r=2)
"""  # 36 networks
NOISE = 0.03


class Evaluation:
    """An objective in which silu gains 4 points, with noise that depends on network and seed.

    Attributes:
        calls: Digest and seed of each network, in the order of evaluation.
        breaks_after: The number of calls after which the next one raises KeyboardInterrupt; None: never.
    """

    def __init__(self, noise_seed: int = 0):
        self.noise_seed, self.calls, self.breaks_after = noise_seed, [], None

    def __call__(self, architecture, *, choices, epochs, seed):
        if self.breaks_after == len(self.calls):
            self.breaks_after = None
            raise KeyboardInterrupt
        self.calls.append((architecture.digest, seed))
        noise = random.Random(f"{architecture.digest} {seed} {self.noise_seed}").gauss(0, NOISE)
        return {"accuracy": 0.5 + 0.04 * (choices["act"] == "silu") + 0.02 * int(choices["depth"]) + noise}


def searched(evaluate, trials: int = 16, **options):
    options = {"storage": None, "study": "one", "sampler": "random", "seed": 0, **options}
    space = explorer.parse_space(SPACE, "small.yaml")
    return explorer.search(
        space, objectives={"accuracy": "max", "macs": "min"}, trials=trials, evaluate=evaluate, **options
    )


def counterparts(study):
    return [record for record in study.trials() if record.counterpart]


def test_exactly_n_counterparts_are_trained_with_the_seeds_of_their_twins():
    """N networks are evaluated, each new, once, with its twin's seed, and different from it only in the stated
    choice."""
    evaluate = Evaluation()
    study = searched(evaluate)
    before = {record.digest for record in study.trials()}
    found = explorer.train_pairs(study, 5, evaluate=evaluate)
    trained = counterparts(found.study)
    assert [(record.digest, record.seed) for record in trained] == evaluate.calls[16:] and len(trained) == 5
    assert len({record.digest for record in trained}) == 5 and not before & {record.digest for record in trained}
    for record in trained:
        twin = study.trial(record.counterpart["twin"])
        differing = {name for name in twin.choices if twin.choices[name] != record.choices[name]}
        assert (record.state, record.seed, record.attempt) == ("complete", twin.seed, 1)
        assert differing == {record.counterpart["factor"]}
    assert [(each.trial, each.state) for each in found.trainings] == [(record.number, "complete") for record in trained]


def test_the_method_of_a_study_trains_pairs_first():
    """``study.effects(pairs=N)`` trains N counterparts and returns the new effects, as the command does."""
    evaluate = Evaluation()
    study = searched(evaluate)
    before = study.effects("act")
    after = study.effects("act", pairs=3, evaluate=evaluate)
    assert len(counterparts(study)) == 3 and len(evaluate.calls) == 19
    assert after == study.effects("act") != before
    with pytest.raises(TypeError, match=r"effects.*: workers need pairs=N"):
        study.effects("act", workers=1)
    with pytest.raises(StudyError, match="pairs must be a whole number"):
        study.effects(pairs=0)


@pytest.mark.slow  # eight studies of a second each: one alone does not tell how far achieved widths scatter
def test_the_achieved_width_is_near_the_expected_one():
    """Over eight studies with a planted effect, the median of achieved by expected half-widths is within a fifth of 1,
    and six of the ratios are between 2/3 and 3/2."""
    ratios, narrower = [], []
    for seed in range(8):
        evaluate = Evaluation(seed)
        study = searched(evaluate, seed=seed)
        found = explorer.train_pairs(study, 8, factor="act", evaluate=evaluate)
        (expected,), (achieved,) = found.expected, found.achieved
        assert achieved.pairs_before == expected.pairs_after > expected.pairs_before
        assert expected.after < expected.before
        ratios.append(achieved.before / expected.after)
        narrower.append(achieved.before / expected.before)
    assert 0.8 < statistics.median(ratios) < 1.2
    assert sum(2 / 3 < ratio < 3 / 2 for ratio in ratios) >= 6
    assert statistics.median(narrower) < 0.9


def test_the_same_call_trains_no_more_and_a_larger_number_adds():
    """N is a total for a question: the same call evaluates nothing, N + 2 evaluates two more, and another factor or
    objective has its own N."""
    evaluate = Evaluation()
    study = searched(evaluate)
    for pairs, factor, more in ((3, "act", 3), (3, "act", 0), (5, "act", 2), (2, "act", 0), (2, None, 2)):
        before = len(evaluate.calls)
        found = explorer.train_pairs(study, pairs, factor=factor, evaluate=evaluate)
        assert (len(evaluate.calls) - before, len(found.trainings)) == (more, pairs)
    assert len(counterparts(study)) == 7


def test_an_interrupted_run_goes_on_with_the_same_networks():
    """After Ctrl-C the same call evaluates exactly the proposed networks that are left, although the results so far
    could lead to another proposal."""
    evaluate = Evaluation()
    study = searched(evaluate)
    evaluate.breaks_after = 18
    with pytest.raises(KeyboardInterrupt) as caught:
        explorer.train_pairs(study, 6, evaluate=evaluate)
    proposed = [record.digest for record in counterparts(caught.value.study)]
    assert len(proposed) == 6 and len(evaluate.calls) == 18
    found = explorer.train_pairs(study, 6, evaluate=evaluate)
    assert [digest for digest, _ in evaluate.calls[16:]] == proposed
    assert {record.state for record in counterparts(found.study)} == {"complete"}
    assert found.unfinished == 0 and "the study has 6 counterparts" in found.ended


# The other samplers are slow tests, since Optuna's take seconds to import; this shows that none repeats a network.
EACH_SAMPLER = [
    "frontier",
    "tpe",
    *(pytest.param(name, marks=pytest.mark.slow) for name in SAMPLERS if name not in ("frontier", "tpe")),
]


@pytest.mark.parametrize("sampler", EACH_SAMPLER)
def test_a_search_resumes_waiting_counterparts(sampler, url):
    """Whatever the sampler, a search finishes counterparts that wait, counts them in its total, and goes on with new
    networks."""
    evaluate = Evaluation()
    searched(evaluate, 8, storage=url, sampler=sampler)
    study = open_study(url, "one")
    evaluate.breaks_after = 9
    with pytest.raises(KeyboardInterrupt):
        explorer.train_pairs(study, 3, evaluate=evaluate)
    resumed = searched(evaluate, 13, storage=url, sampler=sampler)
    assert resumed.counts()["complete"] == 13 and resumed.counts()["interrupted"] == 0
    assert len({digest for digest, _ in evaluate.calls}) == len(evaluate.calls) == 13
    assert [record.state for record in counterparts(resumed)] == ["complete"] * 3


def test_no_network_over_a_limit_is_proposed():
    """With the study's limits, every counterpart keeps them, and fewer than N are trained if no more do."""
    evaluate = Evaluation()
    study = searched(evaluate, 6, limits="macs<=40k")
    found = explorer.train_pairs(study, 40, evaluate=evaluate)
    assert 0 < len(found.trainings) < 40
    assert all(record.costs["macs"] <= 40e3 for record in found.study.trials() if record.state == "complete")
    assert found.study.counts()["rejected"] == study.counts()["rejected"]
    assert f"{len(found.trainings)} counterparts for this question, of 40 that were asked for" in found.ended


def test_a_dry_run_changes_nothing_and_proposes_the_same():
    """A dry run needs no function and stores nothing; the networks that it returns are then trained."""
    evaluate = Evaluation()
    study = searched(evaluate)
    before = study.trials()
    dry = explorer.train_pairs(study, 4, dry_run=True)
    assert study.trials() == before and {each.state for each in dry.trainings} == {"proposed"}
    found = explorer.train_pairs(study, 4, evaluate=evaluate)
    assert [each.choices for each in found.trainings] == [each.choices for each in dry.trainings]
    assert found.expected == dry.expected


def test_requests_without_an_answer():
    """Each impossible request ends in one sentence, before anything is stored."""
    evaluate = Evaluation()
    study = searched(evaluate)
    with pytest.raises(StudyError, match=r"unknown factor 'actt'.*did you mean 'act'"):
        explorer.train_pairs(study, 3, factor="actt", evaluate=evaluate)
    for count in (0, 2.5, "x"):
        with pytest.raises(StudyError, match=rf"pairs must be a whole number in 1..10,000, found {count!r}"):
            explorer.train_pairs(study, count, evaluate=evaluate)
    with pytest.raises(StudyError, match=r"with functions of the caller's \(evaluate\).*train_pairs\(study, N, eval"):
        explorer.train_pairs(study, 3)
    with pytest.raises(StoreError, match="no quantity 'joules'"):
        explorer.train_pairs(study, 3, x="joules", evaluate=evaluate)
    with pytest.raises(StudyError, match="1 complete trial with"):
        explorer.train_pairs(searched(Evaluation(), 1), 3, evaluate=evaluate)
    assert counterparts(study) == []


def test_a_study_of_its_whole_space_has_no_counterparts_left():
    """Where every network has a trial, a sentence says that none is left to train."""
    evaluate = Evaluation()
    study = searched(evaluate, 36)
    with pytest.raises(StudyError, match="no counterpart of a trained network is left to train"):
        explorer.train_pairs(study, 3, evaluate=evaluate)


def test_a_failed_counterpart_is_reported_and_retried():
    """A counterpart whose evaluation raises is counted as failed; the same call retries it and no other one."""
    evaluate = Evaluation()
    study = searched(evaluate)
    calls = []

    def fails_once(architecture, *, choices, epochs, seed):
        calls.append(architecture.digest)
        if len(calls) == 2:
            raise ValueError("no luck")
        return Evaluation()(architecture, choices=choices, epochs=epochs, seed=seed)

    found = explorer.train_pairs(study, 3, evaluate=fails_once, changed_code="continue")
    assert found.failed == 1 and "1 failed, the last with: ValueError: no luck" in found.ended
    again = explorer.train_pairs(study, 3, evaluate=fails_once)
    assert again.failed == 0 and calls[3:] == [calls[1]] and len(again.trainings) == 3


def test_two_processes_that_propose_at_once_share_one_proposal(url):
    """The process that comes second stores no proposal of its own, and no network is trained twice."""
    evaluate = Evaluation()
    searched(evaluate, storage=url)
    database = open_for_writing(url)
    study = find_study(database, "one")

    def meanwhile(pairs):  # the other process runs after the proposal of this one is stored
        first = find_study(database, "one")
        other = run_pairs(first, 3, evaluate=evaluate)
        assert [each.trial for each in other.trainings] == [each.trial for each in pairs.trainings]

    found = run_pairs(study, 3, evaluate=evaluate, before=meanwhile)
    assert len(evaluate.calls) == 19 and found.unfinished == 0
    proposal = counterparts(study)[0]
    assert StudyWriter(study, new_worker()).queue([proposal], known=[]) is None
    database.close()


def test_a_counterpart_is_never_stopped_early():
    """The stopping rule of a search that runs a waiting counterpart does not judge it: a pair needs both trainings."""
    evaluate = Evaluation()
    study = searched(evaluate)
    explorer.train_pairs(study, 1, evaluate=evaluate)
    curves = LearningCurves(study, RULES["rungs"], 8)
    (record,) = counterparts(study)
    assert curves.decision_epochs and curves.decision_epochs_of(study.trial(0)) == curves.decision_epochs
    assert curves.decision_epochs_of(record) == ()
    assert curves.add_epoch(record, Epoch(1, 1.0, 1.0, 0.1, 0.5, 0.1, 1.0)) == ""


def test_latencies_of_counterparts_are_measured(clock):
    """With a limit on latency each counterpart is measured before it is evaluated, and none exceeds the limit."""
    evaluate = Evaluation()
    space = explorer.parse_space(SPACE, "small.yaml")
    options = {"storage": None, "study": "one", "sampler": "random", "seed": 0, "limits": "latency_ms<=0.05"}
    objectives = {"accuracy": "max", "macs": "min"}
    study = explorer.search(space, objectives=objectives, trials=8, evaluate=evaluate, **options)
    measured = len(clock.asked)
    found = explorer.train_pairs(study, 4, x="latency_ms", evaluate=evaluate)
    trained = counterparts(found.study)
    assert len(trained) == 4 and {record.digest for record in trained} <= set(clock.asked[measured:])
    assert all(record.latency and record.costs["latency_ms"] <= 0.05 for record in trained)
