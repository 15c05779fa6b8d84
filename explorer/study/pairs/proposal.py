"""Proposals of counterparts: untrained networks that differ from a trained one only in one choice.

A study keeps its counterparts as trials, which know their twin and the question for which they were proposed. So the
same question again goes on with them, and only a larger number adds some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from explorer.analysis.effects import Narrowing, expected_narrowing, propose_pairs
from explorer.errors import ExplorerError
from explorer.records import TrialRecord
from explorer.store.rows import Proposal
from explorer.store.study import Study
from explorer.study.candidates import Candidate, Candidates
from explorer.study.recorded_space import space_networks


@dataclass(frozen=True, slots=True)
class Question:
    """The effects that counterparts are to tell.

    Attributes:
        objective: The objective.
        cost: The cost; it decides only which trials are used.
        factor: The choice; None for all choices.
    """

    objective: str
    cost: str
    factor: str | None = None

    def counterparts(self, records: Iterable[TrialRecord]) -> list[TrialRecord]:
        """Return the trials that were proposed for this question, the most informative first."""
        return [
            record
            for record in records
            if record.counterpart
            and (record.counterpart["objective"], record.counterpart["asked"]) == (self.objective, self.factor or "")
        ]


def propose(
    study: Study,
    question: Question,
    count: int,
    candidates: Candidates,
    with_latency: Callable[[Candidate], Candidate] = lambda candidate: candidate,
) -> tuple[list[Proposal], list[Narrowing]]:
    """Return up to ``count`` networks to train, and what they are expected to tell.

    No network is proposed that exceeds a limit or of which a trial has begun.

    Args:
        study: The study.
        question: The question.
        count: The number of networks, beyond the counterparts that the study has for the question.
        candidates: Makes the networks of the space.
        with_latency: Measures the latency of a network, if the study needs it.

    Raises:
        StudyError: The question has no answer from these trials.
    """
    records = study.trials(full=False)
    tried = {record.digest for record in records if record.state != "rejected"}
    made: list[Candidate] = []

    def possible(choices: Mapping[str, str]) -> bool:
        try:
            candidate = candidates.make(candidates.space.named(dict(choices)))
        except ExplorerError:  # the space has no such network
            return False
        if candidate.refusal is not None or candidate.architecture.digest in tried:
            return False
        candidate = with_latency(candidate)
        tried.add(candidate.architecture.digest)
        if candidate.refusal is not None:
            return False
        made.append(candidate)
        return True

    found = propose_pairs(
        records,
        count,
        question.objective,
        question.cost,
        question.factor,
        possible=possible,
        space=space_networks(study, records, question.cost),
        begun=_unfinished(question, records),
    )
    proposals = []
    for candidate, training in zip(made, found.trainings, strict=True):
        twin = study.trial(training.twin)
        proposals.append(
            Proposal(
                digest=candidate.architecture.digest,
                architecture=candidate.architecture.to_json(),
                choices=candidate.derivation.choices,
                costs=candidate.costs,
                seed=twin.seed,
                latency=candidate.latency,
                counterpart={
                    "twin": training.twin,
                    "factor": training.factor,
                    "precision": "" if twin.result is None else twin.result.precision,
                    "objective": question.objective,
                    "asked": question.factor or "",
                },
            )
        )
    return proposals, found.narrowing


def narrowing(study: Study, question: Question, levels: Mapping[str, list[str]] | None = None) -> list[Narrowing]:
    """Return the intervals now, and as expected when the counterparts of the question are trained that are not yet.

    Args:
        study: The study.
        question: The question.
        levels: Choice -> its levels, the reference first. Default: the most frequent level first.
    """
    records = study.trials(full=False)
    return expected_narrowing(
        records,
        _unfinished(question, records),
        question.objective,
        question.cost,
        question.factor,
        space=space_networks(study, records, question.cost),
        levels=levels,
    )


def _unfinished(question: Question, records: Iterable[TrialRecord]) -> list[Mapping[str, str]]:
    """Return the choices of the counterparts that are waiting or running."""
    waiting = ("running", "interrupted")
    return [record.choices for record in question.counterparts(records) if record.state in waiting]
