"""A search in the current process: what it evaluates, what it stores, when it ends."""

from __future__ import annotations

import inspect
import time

import pytest

import explorer
from explorer.analysis.limits import parse_limit
from explorer.costs.analytic import count_cost
from explorer.errors import StoreError, StudyError
from explorer.space.search_space import parse_space
from explorer.store.studies import open_study
from explorer.study import budget
from explorer.study.candidates import Candidates
from explorer.study.proposer import MAX_REPEATS
from explorer.study.samplers.registry import OWN_SAMPLERS
from explorer.study.search import run_search
from explorer.study.search import search as search_study
from tests.study.evaluations import FAILURES, SPACE_TEXT, endless, good, raises, score

SAMPLERS = ("random", "evolution", "frontier", "tpe", "nsga2", "gp")


def search(space, **settings):
    """Run a search, in memory by default."""
    return run_search(space, **{"evaluate": good, "storage": None, "study": "one", **settings})


def tried(study) -> list[tuple]:
    """Return the content of each trial without times and workers."""
    return [(r.number, r.state, r.digest, r.choices, r.objectives, r.seed, r.same_as, r.reason) for r in study.trials()]


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


def test_every_cost_and_objective_is_stored(space):
    """Each trial stores analytic costs, own costs and objectives; an own cost may replace an analytic one."""
    own = {"joules": lambda architecture, choices: 3.0 * int(choices["depth"]), "macs": lambda architecture, choices: 1}
    objectives = {"accuracy": "max", "joules": "min"}
    study = search(space, costs=own, objectives=objectives, trials=6).study
    assert study.objectives == objectives
    for record in study.trials():
        depth = int(record.choices["depth"])
        assert record.objectives == {"accuracy": score(record.choices), "joules": 3.0 * depth}
        assert record.costs["joules"] == 3.0 * depth and record.costs["macs"] == 1.0
        assert record.costs["params"] == count_cost(space.architecture(space.named(record.choices))).params
    front = {record.costs["joules"] for record in study.frontier("joules", "accuracy")}
    assert front and front <= {3.0, 6.0, 9.0}


def test_evaluate_gets_the_settings(space):
    """``evaluate`` gets the architecture, its choices, the epochs and the trial's seed."""
    seen = []

    def evaluate(architecture, *, choices, epochs, seed):
        seen.append((architecture.digest, choices, epochs, seed))
        return {"accuracy": 0.5}

    study = search(space, evaluate=evaluate, epochs=7, trials=3, sampler="random").study
    kept = [(r.digest, r.choices, 7, r.seed) for r in study.trials() if r.state == "complete"]
    assert seen == kept and len({seed for *_, seed in seen}) == 3


@pytest.mark.parametrize("evaluate", FAILURES, ids=lambda evaluate: evaluate.__name__)
def test_what_is_no_result_is_a_failure_with_its_reason(space, evaluate):
    """An exception, or a result that is not a finite number of the right name, fails the trial with its reason."""

    def sometimes(architecture, *, choices, epochs, seed):
        return (evaluate if choices["depth"] == "2" else good)(architecture, choices=choices, epochs=epochs, seed=seed)

    study = search(space, evaluate=sometimes, trials=8, sampler="random").study
    failed = [record for record in study.trials() if record.state == "failed"]
    assert failed and study.counts()["complete"] == 8 and study.counts()["running"] == 0
    for record in failed:
        assert FAILURES[evaluate] in record.reason and len(record.reason) <= 500 and "\n" not in record.reason
        assert record.objectives == {} and record.choices["depth"] == "2"


def test_a_search_that_mostly_fails_gives_up(space):
    """If more than half of the last twenty trials failed, the search ends with the reason."""
    result = search(space, evaluate=raises, trials=100)
    assert result.failed and result.study.counts()["failed"] <= budget.FAILURE_WINDOW
    assert result.ended.startswith("11 of the last 11 trials failed, the last with: RuntimeError: exploded")


@pytest.mark.parametrize("error", [LookupError, SystemExit])
def test_a_cost_that_always_fails_ends_the_search(space, error):
    """A network whose cost function fails is a failed trial, whether it was proposed or drawn."""

    def joules(architecture, choices):
        raise error("no meter")

    result = search(space, costs={"joules": joules}, evaluate=raises, trials=100)
    assert result.failed and result.study.counts()["failed"] == 11
    assert result.ended.startswith(f"11 of the last 11 trials failed, the last with: {error.__name__}: no meter")


def test_a_study_with_only_failures_has_failed(space, url):
    """In a small space, a search whose networks all failed ends with the last reason; an interrupted trial is not a
    failure."""
    settings = {"evaluate": raises, "storage": url, "limits": [parse_limit("macs<=200k")], "sampler": "random"}
    for _ in range(2):
        result = search(space, **settings)
        assert result.failed and {r.state for r in result.study.trials()} <= {"failed", "rejected"}
        assert "is left to try; no trial succeeded, the last failed with: RuntimeError: exploded" in result.ended
    with pytest.raises(StudyError, match="no trial succeeded"):
        search_study(space, study="one", **settings)
    settings["limits"] = []
    assert not search(space, **{**settings, "evaluate": good}, trials=1).failed


def test_a_search_with_some_failures_continues(space):
    """A search continues with ten failures among the last twenty trials."""
    calls = []

    def every_other(architecture, *, choices, epochs, seed):
        calls.append(seed)
        return (raises if len(calls) % 2 else good)(architecture, choices=choices, epochs=epochs, seed=seed)

    result = search(space, evaluate=every_other, trials=12)
    assert not result.failed and result.study.counts()["complete"] == 12


def test_a_failing_cost_fails_only_its_trial(space):
    """An own cost that raises or returns no number fails its trial before the evaluation."""

    def joules(architecture, choices):
        if choices["depth"] == "2":
            raise ZeroDivisionError("no joules")
        return float("nan") if (choices["depth"], choices["act"]) == ("3", "gelu") else 1.0

    study = search(space, costs={"joules": joules}, trials=15, sampler="random").study
    reasons = {r.choices["depth"]: r.reason for r in study.trials() if r.state == "failed"}
    assert reasons["2"].startswith("ZeroDivisionError: no joules")
    assert reasons["3"].startswith("ValueError: the cost joules is nan (float), expected a finite number")
    assert {r.choices["depth"] for r in study.trials() if r.state == "complete"} == {"1", "3"}


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


@pytest.mark.parametrize(
    "change, difference",
    [
        ({"objectives": {"accuracy": "max"}}, 'objectives.macs: "min", now none'),
        ({"objectives": {"accuracy": "max", "macs": "max"}}, 'objectives.macs: "min", now "max"'),
        ({"epochs": 3}, "epochs: none, now 3"),
        ({"costs": {"joules": lambda architecture, choices: 1.0}}, "costs: "),
        (
            {"space": parse_space(SPACE_TEXT.replace("ratio: 2 | 4", "ratio: 2 | 8"), "tiny.yaml")},
            'space.grammar.ratio: "2 | 4", now "2 | 8")',
        ),
        (
            {"space": parse_space(SPACE_TEXT.replace("1x8x8", "3x8x8"), "tiny.yaml")},
            "(space: another input or number of classes)",
        ),
        (
            {"evaluate": None, "data": "digits"},
            """(data: "", now "digits"; epochs: none, now 15; evaluate: "the caller's", now "training")""",
        ),
    ],
    ids=["an objective less", "a direction", "epochs", "a cost", "an alternative", "the input", "the evaluation"],
)
def test_a_study_created_with_other_settings_is_refused(space, url, change, difference):
    """A run with other settings that affect comparability is refused with the difference and changes nothing."""
    before = tried(search(space, storage=url, trials=2).study)
    settings = {"space": space, "storage": url, "trials": 4, **change}
    with pytest.raises(StoreError, match="--new-study") as caught:
        search(settings.pop("space"), **settings)
    assert difference in str(caught.value) and "study 'one'" in str(caught.value)
    assert tried(open_study(url, "one")) == before


def test_settings_that_may_differ_between_runs(space, url):
    """Trials, time, sampler, limits and workers may change between runs; without a seed the study's seed is used."""
    search(space, storage=url, trials=2, seed=5)
    limits = [parse_limit("macs<=1G")]
    study = search(space, storage=url, trials=4, seconds=60, sampler="random", workers=1, limits=limits).study
    assert study.counts()["complete"] == 4 and study.seed == 5


def test_a_comment_in_the_space_makes_no_difference(space, url):
    """A space in which only comments and white space changed is the same space."""
    search(space, storage=url, trials=2)
    study = search(parse_space("# a comment\n" + SPACE_TEXT, "tiny.yaml"), storage=url, trials=3).study
    assert study.counts()["complete"] == 3


def test_a_new_study_leaves_the_old_one_unchanged(space, url):
    """``new_study`` creates a study with the next free name and leaves the first one unchanged."""
    first = search(space, storage=url, trials=2).study
    second = search(space, storage=url, trials=2, epochs=3, new_study=True).study
    third = search(space, storage=url, trials=2, new_study=True).study
    assert (first.name, second.name, third.name) == ("one", "one-2", "one-3")
    assert open_study(url, "one").counts()["complete"] == 2


def test_a_study_is_named_after_its_space(space):
    """Without a name the study is named after the space and the evaluation function, if there is one."""
    assert search(space, study=None, trials=1).study.name == "tiny-good"
    named = search(space, study=None, trials=1, evaluate=lambda architecture, **settings: {"accuracy": 0.5}).study
    assert named.name == "tiny-evaluate"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"objectives": {}}, "at least one objective"),
        ({"objectives": "accuracy,macs"}, "objectives map names to 'max' or 'min', as in .*; found 'accuracy,macs'"),
        ({"evaluate": {"accuracy": 0.5}}, "evaluate must be a function, found {'accuracy': 0.5}"),
        ({"costs": {"joules": 3.0}}, "the cost joules must be a function, found 3.0"),
        ({"objectives": {"accuracy": "up"}}, "a direction is 'max' or 'min', found 'up'"),
        ({"objectives": {"macs": "min", "params": "min"}}, "known without training"),
        (
            {"objectives": {"acuracy": "max"}, "evaluate": None},
            "unknown objective 'acuracy'; known: accuracy, .* did you mean 'accuracy'",
        ),
        (
            {"limits": [parse_limit("mac<=5")]},
            "limit mac <= 5: 'mac' is not known before training; .*did you mean 'macs'",
        ),
        (
            {"sampler": "tpee"},
            "unknown sampler 'tpee'; known: frontier, evolution, random, tpe, nsga2, gp; did you mean 'tpe'",
        ),
        ({"trials": 0}, "trials must be at least 1, found 0"),
        ({"until_stable": 0}, "until_stable must be at least 1, found 0"),
        ({"stopping": "rung"}, "unknown stopping rule 'rung'; known: auto, none, rungs, curves; did you mean 'rungs'"),
        ({"trials": "5"}, "trials must be a whole number, found '5'"),
        ({"trials": 2.5}, "trials must be a whole number, found 2.5"),
        ({"epochs": "3"}, "epochs must be a whole number, found '3'"),
        ({"workers": 2.0}, "workers must be a whole number, found 2.0"),
        ({"trial_memory": -5}, "trial_memory must be at least 1, found -5"),
        ({"trial_seconds": -1}, "trial_seconds must be a positive number of seconds, found -1"),
        ({"seconds": "2h"}, "seconds must be a positive number of seconds, found '2h'"),
        ({"seed": 2**70}, f"seed must be a whole number from -9223372036854775808 to .*, found {2**70}"),
        ({"seed": "1"}, "seed must be a whole number from .*, found '1'"),
        ({"changed_code": "keep"}, "unknown changed_code 'keep'; known: refuse, continue"),
        ({"seed": 1.5}, "seed must be a whole number from .*, found 1.5"),
        ({"limits": "mac<=1k"}, "limit mac <= 1k: 'mac' is not known before training"),
        ({"seconds": 0}, "positive number of seconds, found 0"),
        ({"seconds": float("nan")}, "positive number of seconds, found nan"),
        ({"workers": 0}, "workers must be at least 1, found 0"),
        ({"epochs": 0}, "epochs must be at least 1, found 0"),
        ({"data": "digits"}, "'evaluate' replaces training"),
        ({"evaluate": lambda architecture, **settings: {}, "workers": 2}, "must be picklable"),
    ],
)
def test_wrong_settings_are_rejected_before_anything_is_written(space, url, tmp_path, settings, message):
    """Invalid settings give a one-line error and create no database."""
    with pytest.raises(StudyError, match=message) as caught:
        search(space, **{"trials": 1, "storage": url, **settings})
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_the_time_limit_is_kept(space):
    """No trial starts that would end after the time limit, judged by the median so far."""

    def lasting(architecture, *, choices, epochs, seed):
        time.sleep(0.1)
        return {"accuracy": 0.5}

    result = search(space, evaluate=lasting, sampler="random", seconds=0.45)
    assert result.ended == "the time of 0.45 s is used" and 1 <= result.study.counts()["complete"] <= 4


def test_a_search_without_improvement_ends(space, url):
    """A fixed number of consecutive trials without a gain in hypervolume ends the search, and a resumed one at once."""

    def first_is_best(architecture, *, choices, epochs, seed):
        return {"accuracy": 0.5}

    settings = {"objectives": {"accuracy": "max"}, "evaluate": first_is_best, "sampler": "random", "storage": url}
    result = search(space, until_stable=5, **settings)
    assert result.ended == "the hypervolume has not changed for 5 trials"
    assert result.study.counts()["complete"] == 6
    assert search(space, until_stable=5, **settings).study.counts()["complete"] == 6
    assert search(space, until_stable=7, **settings).study.counts()["complete"] == 8


def test_trials_beyond_the_time_limit_are_left_to_the_next_search(space, url, monkeypatch):
    """A search waits a limited time for its last trials, then ends; the next search resumes them."""
    monkeypatch.setattr(budget, "GRACE_SECONDS", 0.0)
    over = search(space, storage=url, evaluate=endless, sampler="random", workers=2, seconds=3)
    assert over.ended == "the time is over; the next search resumes 2 trials that still ran"
    assert [record.reason for record in over.study.trials()] == ["interrupted: the search ended"] * 2
    study = search(space, storage=url, trials=3).study
    assert [record.attempt for record in study.trials() if record.state == "complete"] == [1, 1, 1]


def test_limits_that_cannot_be_enforced_are_reported(space, caplog):
    """In the current process a trial's time and memory cannot be limited, and the search warns about such limits."""
    assert search(space, trials=1, trial_seconds=5).study.counts()["complete"] == 1
    assert "a trial's time and memory are not limited" in caplog.text


def test_search_returns_the_study_or_raises(space):
    """``search`` returns the study and raises an error if the search gave up."""
    assert search_study(space, evaluate=good, storage=None, trials=2).counts()["complete"] == 2
    with pytest.raises(StudyError, match="the search gave up: 11 of the last 11 trials failed"):
        search_study(space, evaluate=raises, storage=None)


def test_the_signature_of_search_names_its_settings():
    """``help(explorer.search)`` shows and explains every setting of a search."""
    shown, settings = inspect.signature(explorer.search), inspect.signature(run_search)
    assert list(shown.parameters.values()) == list(settings.parameters.values()) and shown.return_annotation == "Study"
    assert [name for name in shown.parameters if name not in explorer.search.__doc__] == []


def test_events_report_the_whole_search(space):
    """The progress callback gets the start, the start and end of each trial with the current state, and the stop
    reason."""
    events = []
    result = search(space, trials=5, sampler="random", progress=events.append)
    assert [events[0].kind, events[-1].kind, events[-1].why] == ["begun", "finished", result.ended]
    ended = [event for event in events if event.kind == "ended" and event.trial.state == "complete"]
    assert [event.status.done for event in ended] == [1, 2, 3, 4, 5]
    started = [event.trial.number for event in events if event.kind == "started"]
    assert [event.trial.number for event in ended] == started
    last = events[-1].status
    assert last.counts == result.study.counts() and last.frontier == len(result.study.frontier()) and last.target == 5
    assert last.best.objectives["accuracy"] == max(record.objectives["accuracy"] for record in result.study.trials())


def test_an_error_of_the_progress_callback_loses_no_trial(space, url):
    """If ``progress`` raises, the search ends with that error, and running trials can be resumed."""

    def watch(event):
        if event.kind == "started" and event.trial.number == 2:
            raise LookupError("the watcher's own")

    with pytest.raises(LookupError):
        search(space, storage=url, trials=5, sampler="random", progress=watch)
    left = open_study(url, "one")
    assert [record.state for record in left.trials()] == ["complete", "complete", "interrupted"]
    whole = search(space, storage=url, trials=5, sampler="random").study
    assert whole.trial(2).attempt == 1 and whole.counts()["complete"] == 5 and whole.counts()["failed"] == 0
