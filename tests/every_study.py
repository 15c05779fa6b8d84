"""One small study of every kind that a storage may contain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import explorer
from explorer.costs.analytic import count_cost
from explorer.errors import StudyError
from explorer.records import TrainingResult
from explorer.space.search_space import SearchSpace
from explorer.store.confirmations import ConfirmationWriter, Wanted
from explorer.store.database import open_for_writing
from explorer.store.lease import new_worker
from explorer.store.rows import Ending, Proposal
from explorer.store.studies import create_study, find_study
from explorer.store.writer import StudyWriter
from explorer.system.environment import describe_environment
from tests.study.evaluations import SPACE_TEXT, good, score

SPACE = explorer.parse_space(SPACE_TEXT)
PARETO = {"accuracy": "max", "macs": "min"}


def _loss(architecture, *, choices, epochs, seed):
    return {"error": 1.0 - score(choices)}


def _times(architecture, *, choices, epochs, seed):
    return {"accuracy": score(choices), "latency_ms": 0.5 + 0.25 * int(choices["depth"])}


def _negative(architecture, *, choices, epochs, seed):
    return {"reward": -score(choices), "regret": 0.0}


def _broken(architecture, *, choices, epochs, seed):
    raise ValueError("no luck: 'quoted', <b>marked up</b> and [bracketed]")


# Kind -> the settings of its search.
SEARCHED: dict[str, dict] = {
    "trained": {"data": "digits", "subset": 60, "epochs": 1, "workers": 1},
    "in process": {"evaluate": good},
    "in workers": {"evaluate": good, "workers": 2},
    "own cost": {
        "evaluate": good,
        "costs": {"joules": lambda architecture, choices: 2.0 * int(choices["depth"])},
        "objectives": {"accuracy": "max", "joules": "min"},
    },
    "no accuracy": {"evaluate": _loss, "objectives": {"error": "min", "params": "min"}},
    "one objective": {"evaluate": good, "objectives": {"accuracy": "max"}},
    "one loss": {"evaluate": _loss, "objectives": {"error": "min"}},
    "table": {
        "evaluate": good,
        "costs": {"energy": lambda architecture, choices: {"1": 3.0, "2": 5.0, "3": 8.0}[choices["depth"]]},
        "limits": "energy<=8",
    },
    "latency": {"evaluate": _times, "objectives": {"accuracy": "max", "latency_ms": "min"}},
    "no cost": {"evaluate": _negative, "objectives": {"reward": "max", "regret": "min"}},
    "limited": {"evaluate": good, "limits": "params<=20k"},
    "all failed": {"evaluate": _broken},
}

WRITTEN = ("counterparts", "empty", "only rejected", "only running", "elsewhere", "confirmed")
KINDS = (*SEARCHED, *WRITTEN)
CONFIRMED_SEEDS = (1, 2)


def _proposal(space: SearchSpace, index: int, latency: Mapping[str, object] | None = None) -> Proposal:
    derivation = space.unrank(index)
    architecture = space.architecture(derivation)
    costs = {**count_cost(architecture).to_dict(), **({"latency_ms": 1.0 + index} if latency else {})}
    made = Proposal(architecture.digest, architecture.to_json(), dict(derivation.choices), costs, index)
    return dataclasses.replace(made, latency=latency or {})


def _begin(url: str, name: str, objectives: Mapping[str, str] = PARETO) -> StudyWriter:
    fingerprint = {"data": "", "split": {}, "recipe": {}, "epochs": None, "costs": [], "evaluate": "the caller's"}
    study = create_study(
        open_for_writing(url),
        name,
        space_name=SPACE.name,
        space_text=SPACE.text,
        fingerprint=fingerprint,
        objectives=objectives,
        seed=0,
    )
    return StudyWriter(study, new_worker())


def _write_rejected(url: str) -> None:
    writer = _begin(url, "only rejected")
    writer.refuse(0, _proposal(SPACE, 0), "rejected", "macs <= 1k: it has 200k")


def _write_running(url: str) -> None:
    writer = _begin(url, "only running")
    assert writer.begin(0, _proposal(SPACE, 0)).state == "running"


def _write_elsewhere(url: str) -> None:
    """Write latencies of two machines, both different from this one."""
    writer = _begin(url, "elsewhere", {"accuracy": "max", "latency_ms": "min"})
    for number in range(4):
        machine = {"digest": f"e{number % 2}", "device_name": f"CPU {number % 2}", "versions": {}, "limits": {}}
        note = {"environment": machine, "contended": False, "notes": []}
        assert writer.begin(number, _proposal(SPACE, number, note)).state == "running"
        writer.finish(number, Ending("complete", {"accuracy": 0.5 + number / 10}, environment=describe_environment()))


def _write_counterparts(url: str) -> None:
    """Write two trials that differ in one choice, the second as the counterpart of the first."""
    writer = _begin(url, "counterparts")
    for number, index in enumerate((0, 9, 1, 10)):
        twin = {
            "twin": number - 1,
            "factor": "depth",
            "objective": "accuracy",
            "asked": "depth",
            "precision": "float32",
        }
        proposal = dataclasses.replace(_proposal(SPACE, index), counterpart=twin if number % 2 else {})
        assert writer.begin(number, proposal).state == "running"
        values = {"accuracy": 0.5 + number / 10, "macs": proposal.costs["macs"]}
        writer.finish(number, Ending("complete", values, environment=describe_environment()))


def _write_confirmed(url: str) -> None:
    """Write the trained study, with its front retrained from two new seeds."""
    explorer.search(SPACE, study="confirmed", trials=3, storage=url, **SEARCHED["trained"])
    study = find_study(open_for_writing(url), "confirmed")
    writer = ConfirmationWriter(study, new_worker())
    for trial in study.frontier():
        for seed in CONFIRMED_SEEDS:
            wanted = Wanted(trial.digest, 1, seed)
            assert writer.claim([wanted]) is not None
            value = trial.objectives["accuracy"] + seed / 100
            result = TrainingResult(value, 1.0, value, 1, 1.0, 100.0, trial.result.curve)
            writer.finish(wanted, test={"accuracy": value, "top5": value, "loss": 1.0}, result=result)


def write_every_study(url: str) -> None:
    """Write a study of each of KINDS, named after its kind."""
    for name, settings in SEARCHED.items():
        try:
            explorer.search(SPACE, study=name, trials=4, storage=url, **settings)
        except StudyError:
            assert name == "all failed"
    _write_counterparts(url)
    _begin(url, "empty")
    _write_rejected(url)
    _write_running(url)
    _write_elsewhere(url)
    _write_confirmed(url)
